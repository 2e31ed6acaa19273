-- serve_events { from = … } in a real nginx: requests that the senders' own libraries signed, to messages at the fake.
local cjson = require "cjson"
local files = require "support.files"
local nginx = require "support.nginx"
local service = require "support.service"
local socket_url = require "socket.url"
local support = require "support.server"

local VECTORS = cjson.decode(files.content "spec/support/sender_vectors.json")
local NOW = ("%d"):format(VECTORS[1].now)

local secrets, locations, urls = {}, {}, {}
for _, vector in ipairs(VECTORS) do
  urls[vector.sender] = vector.url or urls[vector.sender]
  secrets[vector.sender] = secrets[vector.sender] or {}
  table.insert(secrets[vector.sender], vector.secret)
end
for name, list in pairs(secrets) do
  for n, one in ipairs(list) do list[n] = ("%q"):format(one) end
  secrets[name] = ("%s = { %s }"):format(name, table.concat(list, ", "))
  locations[#locations + 1] = ([[location /events/%s { content_by_lua_block {
    require("resty.onemsg").serve_events { from = %q, url = %s } } }]]):format(name, name,
    urls[name] and ("%q"):format(urls[name]) or "nil")
end
locations[#locations + 1] = [[
  location = /events/nobody { content_by_lua_block { require("resty.onemsg").serve_events { from = "nobody" } } }
  location = /named { content_by_lua_block { require("resty.onemsg").serve_events { from = "plain", header = "X-Key" } } }
  location = /wrong { content_by_lua_block {
    for _, options in ipairs { { from = "strip" }, { form = "stripe" }, { url = "x" }, { from = "stripe", url = 5 } } do
      ngx.say(tostring(select(2, pcall(require("resty.onemsg").serve_events, options))))
    end } }]]

local list = {}
for _, one in pairs(secrets) do list[#list + 1] = one end

local RULES = [[
template "action_success" { language = "en", body = { "name", "action", "next_step" } }
defaults { phone = "{phone}", name = "Maria", action = "{type}", next_step = "Thank you." }
confirm "Theft" { on = "stolen", phone = "{unsigned.phone}" }
]]

local function options(rules)
  return { init = "event_items = 50, sender_secrets = { " .. table.concat(list, ", ") .. " },", rules = rules,
    before = ([[ngx.time = function() return %s end
    require("onemsg.senders").add("nobody", {
      sign = { equal = "bearer" }, id = "{id}", type = "{type}" })]]):format(NOW), locations = table.concat(locations, "\n") }
end

describe("nginx: senders", function()
  local fake, here, idle
  local phones = nginx.phones(#VECTORS + 1)

  setup(function()
    fake = support.fake {}
    local rules = { RULES }
    for n, vector in ipairs(VECTORS) do
      rules[#rules + 1] = ('confirm "Vector %d" { on = %q, when = { id = %q }, phone = %q }'):format(n, vector.type,
        vector.sender .. ":" .. vector.id, phones[n])
    end
    local o = options(table.concat(rules, "\n"))
    o.fake = fake
    here = service.start(o)
    o = options(RULES)
    o.fake = fake
    idle = service.start(o)
  end)
  teardown(function()
    for _, one in ipairs { here, idle } do
      local complaints = one.nginx:complaints():gsub("[^\n]*events of nobody are refused[^\n]*\n?", "")
      one:stop()
      assert.equal("", complaints)
    end
    fake:stop()
  end)

  local function post(to, vector, change)
    local made = { headers = {}, body = vector.body, query = {} }
    for name, value in pairs(vector.headers) do made.headers[name] = value end
    for name, value in pairs(vector.query or {}) do
      made.query[#made.query + 1] = name .. "=" .. socket_url.escape(value)
    end
    if change then change(made) end
    local path = "/events/" .. vector.sender .. (#made.query > 0 and "?" .. table.concat(made.query, "&") or "")
    local status, answer = to:post(path, made.body, made.headers)
    local ok, decoded = pcall(cjson.decode, answer)
    return status, ok and (decoded.results and decoded.results[1] or decoded) or answer
  end

  for n, vector in ipairs(VECTORS) do
    it(("go the whole way: %s, %s (%d)"):format(vector.sender, vector.by, n), function()
      local id = vector.sender .. ":" .. vector.id
      local status, ticket = post(idle, vector)
      assert.equal(200, status)
      assert.same({ id, "skipped", false }, { ticket.id, ticket.state, ticket.duplicate })

      status, ticket = post(here, vector)
      assert.equal(200, status)
      assert.same({ id, "queued", "Vector " .. n, false }, { ticket.id, ticket.state, ticket.rule, ticket.duplicate })
      assert.equal("accepted", (here:state(id, "accepted")))

      status, ticket = post(here, vector)
      assert.same({ 200, id, true, nil }, { status, ticket.id, ticket.duplicate, ticket.differs })
      if vector.again then
        status, ticket = post(here, vector, function(made)
          made.body, made.headers = vector.again.body, vector.again.headers
        end)
        assert.same({ 200, id, true }, { status, ticket.id, ticket.duplicate })
      end
      assert.equal(1, fake:count(phones[n]))

      status = post(here, vector, function(made) -- no secret of this sender's
        for name, value in pairs(made.headers) do
          if name:lower():find "signature" or name == "Authorization" or name == "verif-hash" or name:find "[Hh]mac" then
            made.headers[name] = value:gsub("%w%w%w%w=*$", "0000")
          end
        end
        made.query = {}
        if vector.no_header then made.body = made.body:gsub('"value":1130', '"value":1131') end
      end)
      assert.equal(401, status)
    end)
  end

  local STRIPE = { id = "evt_x", type = "nothing.known", livemode = true }

  --- A request of Stripe's, signed now.
  local function stripe(event, body)
    body = body or cjson.encode(event)
    local mac = require "onemsg".hmac(VECTORS[1].secret, NOW .. "." .. body):gsub(".", function(char)
      return ("%02x"):format(char:byte())
    end)
    local status, answer, headers = here:post("/events/stripe", body,
      { ["Stripe-Signature"] = ("t=%s,v1=%s"):format(NOW, mac) })
    return status, cjson.decode(answer), headers
  end

  it("have what no rule names stored, and what differs under an id kept as it first was", function()
    local status, ticket = stripe(STRIPE)
    assert.same({ 200, "stripe:evt_x", "skipped" }, { status, ticket.id, ticket.state })
    assert.matches("no rule", ticket.reason)
    STRIPE.pending_webhooks = 1
    status, ticket = stripe(STRIPE)
    assert.same({ 200, true, nil }, { status, ticket.duplicate, ticket.differs })
    STRIPE.amount = 1
    status, ticket = stripe(STRIPE)
    assert.same({ 200, true, true }, { status, ticket.duplicate, ticket.differs })
    assert.equal("skipped", (here:state("stripe:evt_x", "skipped")))
    assert.matches('onemsg_events_total{result="differs"} [1-9]', select(2, here:get "/metrics"))
  end)

  for _, case in ipairs {
    { "a body without an id", 400, '{"type":"a"}', "stripe: {id} is missing" },
    { "no JSON", 400, "{", "no JSON that can be taken" },
    { "a list with a number", 400, "[5]", "is no object" }, { "nothing", 400, " ", "is empty" },
    { "an event of 600 KB", 400, '{"id":"e","type":"t","x":"' .. ("x"):rep(600000) .. '"}', "at most 524288" },
    { "51 events", 413, "[" .. ('{"id":"e","type":"t"},'):rep(50) .. '{"id":"e","type":"t"}]', "at most 50" },
  } do
    it("are refused " .. case[1] .. " with " .. case[2], function()
      local status, answer = stripe(nil, case[3])
      assert.equal(case[2], status)
      assert.truthy(answer.error:find(case[4], 1, true), answer.error)
    end)
  end

  it("have an order of 200 KB taken", function()
    local status, ticket = stripe(nil, '{"id":"evt_long","type":"t","lines":"' .. ("x"):rep(200000) .. '"}')
    assert.same({ 200, "stripe:evt_long" }, { status, ticket.id })
  end)

  it("have tests skipped, and no recipient taken from what nobody signed", function()
    local status, ticket = stripe { id = "evt_test", type = "checkout.session.completed", livemode = false }
    assert.same({ 200, "skipped" }, { status, ticket.state })
    local made = { body = '{"type":"payment","action":"stolen","phone":"+12020746666"}' }
    status, ticket = post(here, { sender = "mercadopago", headers = VECTORS[13].headers, query = VECTORS[13].query,
      body = made.body })
    assert.same({ 200, "skipped" }, { status, ticket.state })
    assert.matches("no recipient is taken from there", ticket.reason)
    assert.equal(0, fake:count "12020746666")
  end)

  it("hear what their handshakes and pings want, stored by nobody", function()
    local status, answer, headers = here:request("OPTIONS", "/events/cloudevents", nil,
      { ["WebHook-Request-Origin"] = "bus.example" })
    assert.same({ 200, "bus.example", "*", "" },
      { status, headers["webhook-allowed-origin"], headers["webhook-allowed-rate"], answer })
    status, answer = here:get("/events/okta", { ["X-Okta-Verification-Challenge"] = 'a"b' })
    assert.same({ 200, { verification = 'a"b' } }, { status, cjson.decode(answer) })
    assert.equal(200, (here:post("/events/woocommerce", "webhook_id=7", {})))
    status, answer, headers = here:get("/events/stripe")
    assert.same({ 405, "POST" }, { status, headers.allow })
    assert.matches("posted", answer)
  end)

  it("that are anything have their secret in the URL, or in a header of their own", function()
    local secret, body = "plain-secret-of-the-shop", '{"id":"%s","type":"x"}'
    local function sent(path, n, given) return (here:post(path, body:format(n), given or {})) end
    assert.equal(200, sent("/events/plain/" .. secret, "u-1"))
    assert.equal(401, sent("/events/plain/" .. secret .. "x", "u-2"))
    assert.equal(401, sent("/events/plain", "u-3"))
    assert.equal(200, sent("/named", "u-4", { ["x-key"] = secret }))
    assert.equal(401, sent("/named", "u-5", { ["x-key"] = secret .. "x" }))
    assert.equal(401, sent("/named", "u-6", { Authorization = "Bearer " .. secret }))
  end)

  it("that nobody set up, or that do not exist, are no open door", function()
    local said = select(2, here:get "/wrong")
    for _, sentence in ipairs { "no sender strip, did you mean 'stripe'", "no option 'form'", "from is missing",
      "url must be a string" } do
      assert.truthy(said:find(sentence, 1, true), said)
    end
    local status, answer = idle:post("/events/nobody", '{"id":"1","type":"t"}', { Authorization = "Bearer " })
    assert.equal(401, status)
    assert.matches("there is no secret", answer)
  end)
end)
