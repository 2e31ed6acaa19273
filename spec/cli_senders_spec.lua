-- onemsg submit --from, onemsg senders: requests of senders in a shell.
local cjson = require "cjson"
local commands = require "support.command"
local files = require "support.files"
local senders = require "onemsg.senders"
local server = require "support.server"

local VECTORS = cjson.decode(files.content "spec/support/sender_vectors.json")
local RULES = [[
template "action_success" { language = "en", body = { "name", "action", "next_step" } }
confirm "Any" { on = "*", when = { id = starts_with("github:", "shopify:", "mercadopago:", "gocardless:") },
  phone = "12020746100", name = "Maria", action = "{type}", next_step = "Thank you." }
]]

local fake, command

setup(function() fake = server.fake { set = { pace_ms = 0 } } end)
teardown(function() fake:stop() end)
before_each(function()
  command = commands.new(fake.env)
  command.env.ONE_MSG_STORE = "sqlite:" .. command.dir .. "/confirmations.db"
  command.env.ONE_MSG_RULES = command:write("rules.lua", RULES)
end)
after_each(function() command:remove() end)

--- The vector of a sender whose signature does not age.
local function vector(name)
  for _, one in ipairs(VECTORS) do
    if one.sender == name then return one end
  end
end

local function line_of(one, more)
  local out = { ("submit --json --from %s %s"):format(one.sender, more or "") }
  for name, value in pairs(one.headers) do out[#out + 1] = ("--header '%s: %s'"):format(name, value) end
  out[#out + 1] = command:write("body.json", one.body)
  return table.concat(out, " ")
end

describe("onemsg submit --from", function()
  for _, name in ipairs { "shopify", "gocardless" } do
    it("takes what is signed, and a repeat: " .. name, function()
      local one = vector(name)
      command.env[senders.variable(name)] = "another-secret " .. one.secret
      for n = 1, 2 do
        local done = command:run(line_of(one))
        local first = done.json[1]
        assert.same({ 0, name .. ":" .. one.id, "queued", n == 2 }, { done.code, first.id, first.state, first.duplicate })
      end
    end)
  end

  --- Runs a line that fails: its exit code and what it must say.
  local function fails(code, sentence, line)
    local done = command:run(line)
    assert.equal(code, done.code)
    assert.truthy(done.err:find(sentence, 1, true), done.err)
  end

  it("refuses what is not, and says why", function()
    local one = vector "shopify"
    local variable = senders.variable "shopify"
    fails(5, "set " .. variable .. ", or give --unverified", line_of(one))
    command.env[variable] = "other"
    fails(1, "no signature matches", line_of(one))
    fails(1, "takes 'NAME: VALUE'", line_of(one, "--header odd"))
    fails(1, "did you mean 'shopify'", line_of { sender = "shopfy", headers = {}, body = "{}" })
    fails(1, "belong to --from", "submit --unverified")
    fails(1, "{header.x-shopify-webhook-id} is missing", line_of({ sender = "shopify", headers = {}, body = "{}" },
      "--unverified"))
  end)

  it("takes it unsigned when told so", function()
    local done = command:run(line_of(vector "shopify", "--unverified"))
    assert.same({ 0, "queued" }, { done.code, done.json[1].state })
    local one = vector "mercadopago"
    done = command:run(line_of(one, "--unverified --url 'https://shop.example/mp?data.id=999009&type=payment'"))
    assert.same({ 0, "mercadopago:" .. one.id }, { done.code, done.json[1].id })
  end)
end)

describe("onemsg senders", function()
  it("lists them all, and tells of one what to do", function()
    local done = command:run "senders"
    assert.equal(0, done.code)
    for _, name in ipairs(senders.names()) do
      assert.truthy(("\n" .. done.out):find("\n" .. name .. " ", 1, true), name)
    end
    done = command:run "senders stripe"
    assert.equal(0, done.code)
    for _, part in ipairs { "ONE_MSG_STRIPE_SECRET", "https://your.host/events/stripe", 'from = "stripe"',
      "checkout.session.completed", "HMAC-SHA256 in stripe-signature" } do
      assert.truthy(done.out:find(part, 1, true), part)
    end
    done = command:run "senders --json"
    assert.equal(#senders.names(), #done.json)
    assert.equal("stripe", command:run("senders --json stripe").json[1].name)
    done = command:run "senders strpe"
    assert.equal(1, done.code)
    assert.matches("did you mean 'stripe'", done.err)
  end)
end)
