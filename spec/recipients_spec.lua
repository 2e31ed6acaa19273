-- A message is for a phone, a business-scoped user id, a username or a chat id: exactly one of them. PLATFORM.md 1.4, 5.4.
local channels = require "support.channels"
local cjson = require "cjson"
local phones = require "onemsg.base.phone"
local rules = require "onemsg.rules"
local server = require "support.server"

local BSUID = "US.12020721300"

describe("a recipient", function()
  local fake, channel
  setup(function()
    fake = server.fake { set = { pace_ms = 0 } }
    channel = channels.new(fake)
  end)
  teardown(function()
    channel:close()
    fake:stop()
  end)

  -- What a message says, the field and the value that leave, the address by which the store knows the person.
  for _, case in ipairs {
    { { bsuid = BSUID }, "bsuid", BSUID, BSUID },
    { { bsuid = "BR.ENT.9f3A" }, "bsuid", "BR.ENT.9f3A", "BR.ENT.9f3A" },
    { { username = "maria.s_1" }, "username", "maria.s_1", "maria.s_1@username" },
    { { username = "@Maria" }, "username", "Maria", "maria@username" },
    { { chat_id = BSUID .. "@lid" }, "bsuid", BSUID, BSUID },
    { { chat_id = "12020721300@c.us" }, "chatId", "12020721300@c.us", "12020721300" },
    { { chat_id = "@maria" }, "chatId", "@maria", "maria@username" },
    { { chat_id = "maria@username" }, "chatId", "maria@username", "maria@username" },
    { { phone = "+1 202 072 1300", bsuid = cjson.null }, "phone", "12020721300", "12020721300" },
  } do
    local message, field, value, address = case[1], case[2], case[3], case[4]
    it(("%s %s is known by its address %s"):format(field, value, address), function()
      local given = channels.message(nil, message)
      local checked = assert(channel:check(given))
      assert.equal(address, phones.of_message(checked))
      fake:reset()
      assert(channel:send(given))
      local body = cjson.decode(fake:journal()[1].body)
      assert.equal(value, body[field])
      for _, other in ipairs { "phone", "bsuid", "username", "chatId" } do
        assert.equal(other == field, body[other] ~= nil, other)
      end
      local name, plain = phones.field_of(address)
      assert.equal(address, phones.of_message { [name] = plain })
      assert.equal(address, phones.address(name == "phone" and "+" .. plain or address))
    end)
  end

  for message, sentence in pairs {
    [{ bsuid = "br.134912" }] = "bsuid is no business%-scoped user id", [{ bsuid = "BR." }] = "bsuid is no",
    [{ bsuid = "" }] = "bsuid is no", [{ bsuid = "BR.1\0" }] = "bsuid is no",
    [{ bsuid = "BR." .. ("1"):rep(129) }] = "bsuid is no",
    [{ bsuid = "12020721300" }] = "bsuid is no", [{ username = "@" }] = "username is no username",
    [{ username = "ma ria" }] = "username is no", [{ username = "maria\0" }] = "username is no",
    [{ chat_id = "12020721300@lid" }] = "chat_id ends in @lid", [{ phone = BSUID }] = "give it as bsuid",
    [{ phone = "12020721300", bsuid = BSUID }] = "phone and bsuid are both set",
    [{ bsuid = BSUID, username = "maria" }] = "bsuid and username are both set",
    [{ username = "maria", chat_id = "1@c.us" }] = "username and chat_id are both set", [{}] = "phone is missing",
  } do
    it("is refused: " .. sentence .. " for " .. cjson.encode(message), function()
      local receipt, err, info = channel:send(channels.message(nil, message))
      assert.is_nil(receipt)
      assert.truthy(err:find("^invalid: " .. sentence) or err:find("^invalid: .*" .. sentence), err)
      assert.equal("invalid", info.outcome)
    end)
  end

  it("of the wrong type is the caller's mistake", function()
    for _, field in ipairs { "bsuid", "username" } do
      local ok, err = pcall(channel.send, channel, channels.message(nil, { [field] = 7 }))
      assert.is_false(ok)
      assert.truthy(err:find(field .. " must be a text, and is a number"), err)
    end
  end)
end)

describe("an address", function()
  it("is masked by less than half of it, and taken out of sentences whole", function()
    assert.equal("…1300", phones.mask "12020721300")
    assert.equal("…1300", phones.mask(BSUID))
    assert.equal("…a", phones.mask "mia@username")
    assert.equal("username …a_x1 is not found", phones.redact("username mari.a_x1 is not found", "mari.a_x1@username"))
    assert.equal("no user …na, banana", phones.redact("no user Anna, banana", "anna@username"))
    assert.equal("…", phones.mask "a@username")
    assert.equal("no user …1300", phones.redact("no user " .. BSUID, BSUID))
  end)
end)

describe("in rules", function()
  local set = assert(rules.load [[
template "t" { language = "en", body = { "name" } }
confirm "Paid" { on = "paid", phone = "{phone}", bsuid = "{bsuid}", username = "{username}", chat_id = "{chat}", name = "x" }
]])
  local NAMES = { "phone", "bsuid", "username", "chat_id" }

  for _, case in ipairs {
    { { phone = "+12020721300", bsuid = BSUID, username = "maria", chat = "1@c.us" }, "phone" },
    { { bsuid = BSUID, username = "maria", chat = "1@c.us" }, "bsuid" }, { { phone = "", bsuid = BSUID }, "bsuid" },
    { { phone = cjson.null, username = "maria", chat = "1@c.us" }, "username" }, { { chat = "1@c.us" }, "chat_id" }, { {}, nil },
  } do
    it("the first name counts that the event has: " .. tostring(case[2]), function()
      case[1].type = "paid"
      local decision = set:decide(case[1])[1]
      assert.is_true(decision.confirm)
      for _, name in ipairs(NAMES) do assert.equal(name == case[2], decision[name] ~= nil, name) end
      assert.equal(case[2] == nil or nil, decision.needs_phone)
    end)
  end
end)
