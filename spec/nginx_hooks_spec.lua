--- /hooks/<secret> in a real nginx: what 1MSG posts is on disk at 200, and nobody else gets in.
local cjson = require "cjson"
local onemsg = require "onemsg"
local service = require "support.service"
local socket = require "socket"
local support = require "support.server"

local URL = "/hooks/" .. service.HOOK

describe("nginx: serve_hooks", function()
  local fake, here

  local function channel()
    return assert(onemsg.new { base_url = fake.env.FAKE_HTTP_URL, token = fake.env.ONE_MSG_TOKEN })
  end

  setup(function()
    fake = support.fake { set = { pace_ms = 0 } }
    here = service.start { fake = fake, workers = 2 }
  end)
  teardown(function()
    local complaints, log = here.nginx:complaints "onemsg: a hook was not stored", here.nginx:log()
    local own = assert(io.open(here.nginx.dir .. "/hooks.log"))
    local of_requests = own:read "*a"
    own:close()
    service.stop_all()
    fake:stop()
    assert.equal("", complaints)
    assert.is_nil(of_requests:find("[lua]", 1, true), "our code logged a request, and with it the secret")
    for _, secret in ipairs { service.HOOK, service.OLD_HOOK, service.TOKEN, service.OPERATOR, "whsec_" } do
      assert.is_nil(log:find(secret, 1, true), "a secret stands in the error log")
    end
  end)

  local function ack(id, status, more)
    local item = { id = id, status = status, chatId = "12020720100@c.us", phone = "12020720100", category = "utility" }
    for name, value in pairs(more or {}) do item[name] = value end
    return cjson.encode { instanceId = fake.env.ONE_MSG_INSTANCE_ID, ack = { item } }
  end

  --- An accepted confirmation: its id and its message's.
  local function accepted(ending)
    local event = service.payment(ending)
    assert.equal(202, (here:event(event)))
    local state, shown = here:state(event.id, "accepted")
    assert.equal("accepted", state)
    return event.id, shown.message_id
  end

  it("takes what the fake posts, to either secret, and the confirmation is read", function()
    local base = "http://127.0.0.1:" .. here.nginx.port .. "/hooks/"
    local mine = channel()
    for _, secret in ipairs { service.HOOK, service.OLD_HOOK } do
      assert(mine:setWebhook { base .. secret })
      fake:set { ackNotificationsOn = true }
      for _, ending in ipairs { "00", "31", "32", "36", "37", "38", "39" } do
        local event = service.payment(ending)
        here:event(event)
        assert.equal("read", (here:state(event.id, "read")), ending)
      end
    end
    local failed = service.payment "22"
    here:event(failed)
    local state, shown = here:state(failed.id, "failed")
    assert.same({ "failed", 131026 }, { state, shown.code })
    fake:set { ackNotificationsOn = false }
    assert.equal(0, fake:stats().refused)
    mine:close()
  end)

  it("answers with 200 what it has, whether it knows the message or not, once or twice", function()
    local id, message = accepted()
    for _ = 1, 2 do
      assert.equal(200, (here:post(URL, ack(message, "delivered"))))
      assert.equal(200, (here:post(URL, ack("wamid.nobody's", "delivered"))))
    end
    assert.equal(200, (here:post(URL .. "/", ack(message, "sent"))))
    local _, shown = here:state(id, "delivered")
    local deliveries = 0
    for _, step in ipairs(shown.history) do deliveries = deliveries + (step.state == "delivered" and 1 or 0) end
    assert.equal(1, deliveries)
    assert.equal(2, #shown.statuses)
  end)

  it("answers with 200 what it does not understand, and keeps count", function()
    for _, body in ipairs { "{}", "[]", '{"type":"calls"}', '{"ack":[]}', '{"ack":{}}', '{"ack":17}', '{"surprise":{"a":1}}',
        '{"messages":[{"id":"m1","body":"Hello","fromMe":false,"chatId":"12020720100@c.us"}]}',
        '{"ack":[{"id":"x","status":"teleported"}]}', '{"ack":[{"status":"sent"}]}' } do
      local status, text = here:post(URL, body)
      assert.equal(200, status, body .. " " .. text)
    end
    assert(support.eventually(function()
      local _, metrics = here:get "/metrics"
      return (tonumber(metrics:match 'onemsg_hook_requests_total{result="stored"} (%d+)') or 0) >= 10
        and metrics:find('onemsg_hook_events_total{kind="new"} ', 1, true)
        and metrics:find('onemsg_hook_age_seconds{channel="main"} ', 1, true)
    end))
  end)

  it("answers GET and HEAD with 200, other methods with 405", function()
    local got, text = here:get(URL)
    assert.same({ 200, "ok\n" }, { got, text })
    assert.equal(200, (here:request("HEAD", URL)))
    local status, _, headers = here:request("PUT", URL, "{}")
    assert.same({ 405, "GET, HEAD, POST" }, { status, headers.allow })
  end)

  it("refuses with 400 what is no JSON, too deep or too many", function()
    local many = {}
    for i = 1, 5001 do many[i] = { id = "m" .. i, status = "sent" } end
    for name, body in pairs { empty = "", text = "hello", cut = '{"ack":[{"id":"x"', nan = '{"ack":NaN}',
        deep = ("["):rep(10000) .. ("]"):rep(10000), deeper = ('{"ack":'):rep(10000) .. "1" .. ("}"):rep(10000),
        many = cjson.encode { ack = many } } do
      local status, text = here:post(URL, body)
      assert.equal(400, status, name)
      assert.matches("^invalid: ", text)
    end
  end)

  it("takes 2 MiB, and refuses more than 3 MiB with 413", function()
    local filler = ("x"):rep(1000)
    local list = {}
    for i = 1, 2000 do list[i] = { id = "m" .. i, note = filler } end
    assert.equal(200, (here:post(URL, cjson.encode { something = list })))
    assert.equal(413, (here:post(URL, '{"x":"' .. filler:rep(3300) .. '"}')))
  end)

  describe("says 404 to a wrong secret,", function()
    local wrong = { "/hooks/", "/hooks/x", "/hooks/" .. service.HOOK:sub(1, -2), "/hooks/" .. service.HOOK .. "0",
      "/hooks/" .. service.HOOK:upper(), "/hooks/" .. service.HOOK .. "/x", "/hooks/" .. ("x"):rep(4000),
      "/hooks/" .. service.TOKEN, "/hooks/?secret=" .. service.HOOK }

    it("the same in every byte, whatever the method, the path and the body", function()
      for _, path in ipairs(wrong) do
        for _, method in ipairs { "GET", "POST", "PUT" } do
          local status, text, headers = here:request(method, path, method ~= "GET" and ack("x", "sent") or nil)
          headers.date = nil
          assert.same({ 404, "not found\n", { ["content-type"] = "text/plain", ["content-length"] = "10",
            server = headers.server, connection = "close" } }, { status, text, headers })
        end
      end
    end)

    it("before it has read the body", function()
      local client = assert(socket.connect("127.0.0.1", here.nginx.port))
      client:settimeout(60)
      client:send("POST /hooks/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
      assert.matches("^HTTP/1.1 404", (client:receive "*l"))
      client:close()
    end)
  end)

  it("goes on while 50 others send a byte now and then", function()
    local slow = {}
    for i = 1, 50 do
      slow[i] = assert(socket.connect("127.0.0.1", here.nginx.port))
      slow[i]:send("POST " .. URL .. " HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    end
    local _, message = accepted()
    for _, status in ipairs { "sent", "delivered", "read" } do -- each has its answer, or this waits in vain
      assert.equal(200, (here:post(URL, ack(message, status))))
      for i = 1, 50 do slow[i]:send " " end
    end
    for i = 1, 50 do
      slow[i]:settimeout(60) -- client_body_timeout is a second here
      slow[i]:receive "*a"
      slow[i]:close()
    end
    assert.equal("pong\n", (here.nginx:get "/ping"))
  end)

  it("says 503 with Retry-After while the store fails; the repeat is taken", function()
    local id, message = accepted()
    local holder = assert(io.popen(("sqlite3 %s/store.db"):format(here.nginx.dir), "w"))
    holder:write "BEGIN IMMEDIATE;\nUPDATE meta SET value = value;\n"
    holder:write((".shell touch %s/held\n"):format(here.nginx.dir))
    holder:flush()
    assert(support.eventually(function() return io.open(here.nginx.dir .. "/held") end))
    local status, text, headers = here:post(URL, ack(message, "delivered"))
    assert.same({ 503, "5", "not stored, send it again\n" }, { status, headers["retry-after"], text })
    holder:write "ROLLBACK;\n.quit\n"
    holder:close()
    assert.equal(200, (here:post(URL, ack(message, "delivered"))))
    assert.equal("delivered", (here:state(id, "delivered")))
    assert(support.eventually(function()
      return here.nginx:log():find("onemsg: a hook was not stored: store: ", 1, true)
    end))
  end)

  it("has on disk what it said 200 to, when everything is killed right after", function()
    for _ = 1, 5 do
      local doomed = service.start { fake = fake, workers = 2 }
      local event = service.payment "00"
      doomed:event(event)
      local _, shown = doomed:state(event.id, "accepted")
      local held = "wamid.early" .. event.id
      assert.equal(200, (doomed:post(URL, ack(held, "delivered"))))
      local status = doomed:post(URL, ack(shown.message_id, "delivered"))
      doomed:kill()
      assert.equal(200, status)
      doomed:flow(function(flow)
        assert.equal("delivered", flow:show(event.id).state)
        assert.equal(1, flow:stats().held)
      end)
      doomed:stop()
    end
  end)
end)

describe("nginx: fallbacks", function()
  local fake

  setup(function() fake = support.fake { set = { pace_ms = 0 } } end)
  teardown(function() fake:stop() end)
  after_each(service.stop_all)

  it("run beside the work, which goes on meanwhile, and once", function()
    local here = service.start { fake = fake, rules = service.RULES .. [[
      confirm "Order" { on = "order.paid", action = "order", next_step = "-", otherwise = { send = "sms", text = "paid" } }
    ]], init = [[ fallback = { sms = function(notice)
      while not io.open "$dir/go" do ngx.sleep(0.02) end
      local file = io.open("$dir/sms", "a")
      file:write(notice.id, " ", notice.text, "\n")
      file:close()
    end }, ]] }
    local refused, other = service.payment "40", service.payment "00"
    refused.type = "order.paid"
    here:event(refused)
    here:flow(function(flow)
      assert(support.eventually(function() return flow:show(refused.id).fallback == "handed_over" end))
    end)
    here:event(other)
    assert.equal("accepted", (here:state(other.id, "accepted"))) -- beside the fallback, which has no end yet
    assert(io.open(here.nginx.dir .. "/go", "w")):close()
    local function said()
      local file = io.open(here.nginx.dir .. "/sms")
      if not file then return nil end
      local text = file:read "*a"
      file:close()
      return text
    end
    here:flow(function(flow)
      assert(support.eventually(function() return flow:show(refused.id).fallback == "done" end), "no fallback")
    end)
    local last = service.payment "00" -- and a turn later it was not called again
    here:event(last)
    assert.equal("accepted", (here:state(last.id, "accepted")))
    assert.equal(refused.id .. " paid\n", said())
    assert.equal("", here.nginx:complaints())
  end)

  it("are ended when their time is over, and nobody is held up", function()
    local here = service.start { fake = fake, rules = service.RULES .. [[
      confirm "Order" { on = "order.paid", action = "order", next_step = "-", otherwise = { send = "sms", text = "paid" } }
    ]], init = [[ fallback_timeout = 1, fallback = { sms = function()
      while true do ngx.sleep(0.05) end
    end }, ]] }
    local refused, other = service.payment "40", service.payment "00"
    refused.type = "order.paid"
    here:event(refused)
    here:flow(function(flow)
      assert(support.eventually(function() return flow:show(refused.id).fallback == "unknown" end))
      local history = flow:show(refused.id).history
      assert.matches("not done within 1 s, and was ended", history[#history].reason)
    end)
    here:event(other)
    assert.equal("accepted", (here:state(other.id, "accepted")))
  end)
end)
