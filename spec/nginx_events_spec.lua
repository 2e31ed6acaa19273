--- POST /events in a real nginx: who may, what is taken, what is refused, and that 202 means on disk.
local cjson = require "cjson"
local nginx = require "support.nginx"
local service = require "support.service"
local signature = require "onemsg.signature"
local socket = require "socket"
local support = require "support.server"

local payment, sign = service.payment, service.sign

describe("nginx: serve_events", function()
  local fake, here

  setup(function()
    fake = support.fake {}
    here = service.start { fake = fake, workers = 2, init = "event_items = 100," }
  end)
  teardown(function()
    local complaints = here.nginx:complaints()
    here:stop()
    fake:stop()
    assert.equal("", complaints)
  end)

  local function refused(status, sentence, body, headers)
    local got, answer = here:post("/events", body, headers or sign(body))
    assert.equal(status, got, answer)
    assert.matches(sentence, cjson.decode(answer).error)
  end

  describe("takes", function()
    it("an event, which is on disk at 202 and sent once", function()
      local event = payment()
      local status, ticket = here:event(event)
      assert.equal(202, status)
      assert.same({ event.id, "queued", "Payment", false }, { ticket.id, ticket.state, ticket.rule, ticket.duplicate })
      assert.equal("accepted", (here:state(event.id, "accepted")))
      assert.equal(1, fake:count(event.customer.phone))
    end)

    it("a repeat, with 200 and the first ticket", function()
      local event = payment()
      assert.equal(202, (here:event(event)))
      local status, ticket = here:event(event)
      assert.equal(200, status)
      assert.same({ event.id, "queued", true }, { ticket.id, ticket.state, ticket.duplicate })
      here:state(event.id, "accepted")
      assert.equal(1, fake:count(event.customer.phone))
    end)

    it("an id that a double does not hold, with all its digits", function()
      local body = '{"id":9007199254740993,"type":"payment.succeeded","customer":{"phone":"12020721300"}}'
      local status, answer = here:post("/events", body, sign(body))
      assert.equal(202, status)
      assert.equal("9007199254740993", cjson.decode(answer).id)
    end)

    it("what the rules skip, and says why", function()
      local event = payment()
      event.type = "newsletter.sent"
      local status, ticket = here:event(event)
      assert.equal(202, status)
      assert.equal("skipped", ticket.state)
      assert.matches("no rule", ticket.reason)
    end)

    it("an array: the worst status, and each one's result", function()
      local good, skipped, same = payment(), payment(), payment()
      skipped.type = "nothing"
      here:event(same)
      local status, answer = here:event { good, skipped, same }
      assert.equal(202, status)
      local seen = {}
      for i, result in ipairs(answer.results) do seen[i] = ("%s %d %s"):format(result.id, result.status, result.state) end
      assert.same({ good.id .. " 202 queued", skipped.id .. " 202 skipped", same.id .. " 200 queued" }, seen)
      assert.equal(200, (here:event { good, skipped, same }))

      local changed, fresh = payment(), payment()
      here:event(changed)
      changed.amount = 5
      status, answer = here:event { fresh, changed }
      assert.same({ 409, 202, 409 }, { status, answer.results[1].status, answer.results[2].status })
      status, answer = here:event { changed, { id = "x" }, 7, fresh }
      assert.equal(400, status)
      assert.same({ 409, 400, 400, 200 }, { answer.results[1].status, answer.results[2].status,
        answer.results[3].status, answer.results[4].status })
      assert.matches("event.type is missing", answer.results[2].error)
      assert.matches("an event is an object", answer.results[3].error)
    end)

    it("the same event twice in one array once", function()
      local event = payment()
      local status, answer = here:event { event, event }
      assert.equal(202, status)
      assert.same({ 202, 200 }, { answer.results[1].status, answer.results[2].status })
      here:state(event.id, "accepted")
      assert.equal(1, fake:count(event.customer.phone))
    end)

    it("JSON lines, of which a bad one hurts no other", function()
      local one, two = payment(), payment()
      local body = cjson.encode(one) .. "\n\r\n{ bad\n" .. cjson.encode(two) .. "\n"
      local status, answer = here:post("/events", body, sign(body))
      assert.equal(400, status)
      local results = cjson.decode(answer).results
      assert.same({ 202, 400, 202 }, { results[1].status, results[2].status, results[3].status })
      assert.equal(one.id, results[1].id)
      assert.equal(two.id, results[3].id)
      assert.matches("the line is no JSON", results[2].error)
    end)

    it("one event over many lines", function()
      local body = cjson.encode(payment()):gsub(",", ",\n  ")
      assert.equal(202, (here:post("/events", body, sign(body))))
    end)

    it("a body that nginx put into a file", function()
      local list = {}
      for i = 1, 100 do
        list[i] = payment()
        list[i].type, list[i].note = "nothing", ("x"):rep(2000)
      end
      local status, answer = here:event(list)
      assert.equal(202, status)
      assert.equal(100, #answer.results)
      assert.equal("skipped", (here:state(list[100].id, "skipped")))
    end)
  end)

  describe("lets in", function()
    local body = cjson.encode { id = "in-1", type = "nothing" }

    it("either of two signing secrets, one of several signatures, and the published vector's form", function()
      assert.equal(202, (here:post("/events", body, sign(body))))
      assert.equal(200, (here:post("/events", body, sign(body, "msg_2", nil, service.OLD_SECRET))))
      local headers = sign(body)
      headers["webhook-signature"] = "v1,AAAA v1a,xyz " .. headers["webhook-signature"]
      assert.equal(200, (here:post("/events", body, headers)))
      -- The example of the Standard Webhooks specification, as a check that we compute what others do.
      assert.equal("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        signature.sign(service.SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, '{"test": 2432232314}'))
    end)

    it("the bearer token", function()
      assert.equal(200, (here:post("/events", body, { Authorization = "Bearer " .. service.TOKEN })))
    end)

    it("clocks within five minutes", function()
      for _, off in ipairs { -295, 295 } do
        assert.equal(200, (here:post("/events", body, sign(body, nil, os.time() + off))))
      end
    end)
  end)

  describe("keeps out with 401", function()
    local body = cjson.encode { id = "never-taken", type = "nothing" }
    local function with(change)
      local headers = sign(body)
      change(headers)
      return headers
    end

    local cases = {
      { "no credentials", "sign the request", {} },
      { "another secret", "no signature matches",
        sign(body, nil, nil, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA") },
      { "a changed body", "no signature matches", sign(body .. " ") },
      { "a changed id", "no signature matches", with(function(h) h["webhook-id"] = "msg_9" end) },
      { "another version", "no signature matches",
        with(function(h) h["webhook-signature"] = h["webhook-signature"]:gsub("^v1", "v2") end) },
      { "an old request", "too old", sign(body, nil, os.time() - 310) },
      { "a request from the future", "in the future", sign(body, nil, os.time() + 310) },
      { "a moved time", "no signature matches",
        with(function(h) h["webhook-timestamp"] = tostring(os.time() + 1) end) },
      { "no id", "webhook%-id is missing", with(function(h) h["webhook-id"] = nil end) },
      { "no time", "webhook%-timestamp is missing", with(function(h) h["webhook-timestamp"] = nil end) },
      { "another token", "not one of ours", { Authorization = "Bearer " .. service.TOKEN .. "x" } },
      { "a shorter token", "not one of ours", { Authorization = "Bearer a" } },
      { "a token without its scheme", "sign the request", { Authorization = service.TOKEN } },
      { "the secret as a token", "not one of ours", { Authorization = "Bearer " .. service.SECRET } },
      { "a wrong token beside a good signature", "not one of ours",
        with(function(h) h.Authorization = "Bearer wrong" end) },
    }
    for _, case in ipairs(cases) do
      it(case[1], function()
        refused(401, case[2], body, case[3])
        local _, _, headers = here:post("/events", body, case[3])
        assert.equal("Bearer", headers["www-authenticate"])
      end)
    end

    it("and stores nothing", function()
      here:flow(function(flow) assert.is_nil(flow:show("never-taken")) end)
    end)
  end)

  describe("refuses", function()
    it("other methods with 405", function()
      for _, method in ipairs { "GET", "PUT", "DELETE" } do
        local status, _, headers = here:request(method, "/events")
        assert.equal(405, status)
        assert.equal("POST", headers.allow)
      end
    end)

    local bad = {
      { "an empty body", "empty", "" },
      { "blanks", "empty", " \n" },
      { "no JSON", "no JSON that can be taken", "id=1" },
      { "cut JSON", "no JSON that can be taken", '{"id":"1","type":' },
      { "a number", "not an event", "17" },
      { "a text", "not an event", '"hello"' },
      { "null", "not an event", "null" },
      { "an empty array", "holds no event", "[]" },
      { "NaN", "no JSON that can be taken", '{"id":"1","type":"a","amount":NaN}' },
      { "no id", "event%.id is missing: give the order or payment number", '{"type":"a"}',
        { Authorization = "Bearer " .. service.TOKEN } },
      { "an empty id", "event%.id is missing", '{"id":"","type":"a"}' },
      { "null as an id", "event%.id must be a text", '{"id":null,"type":"a"}' },
      { "an id with a fraction", "write it as a text", '{"id":1.5,"type":"a"}' },
      { "a long id", "longer than 200 bytes", '{"id":"' .. ("x"):rep(201) .. '","type":"a"}' },
      { "no type", "event%.type is missing", '{"id":"1"}' },
      { "a type that is no text", "event%.type must be a text", '{"id":"1","type":5}' },
      { "broken UTF-8", "UTF%-8", '{"id":"1","type":"a","name":"\255\254"}' },
      { "an event of 80 KB", "at most 65536", '{"id":"1","type":"a","x":"' .. ("x"):rep(80000) .. '"}' },
      { "40 levels", "no JSON that can be taken", '{"id":"1","type":"a","x":' .. ("["):rep(40) .. ("]"):rep(40) .. "}" },
      { "10,000 levels", "no JSON that can be taken", ("["):rep(10000) .. ("]"):rep(10000) },
      { "10,000 levels of objects", "no JSON that can be taken", ('{"a":'):rep(10000) .. "1" .. ("}"):rep(10000) },
    }
    for _, case in ipairs(bad) do
      it(case[1] .. " with 400", function() refused(400, case[2], case[3], case[4]) end)
    end

    it("the same id with other content with 409", function()
      local event = payment()
      here:event(event)
      event.amount = 1
      local status, answer = here:event(event)
      assert.equal(409, status)
      assert.matches("^conflict: .*other content", answer.error)
    end)

    it("2 MiB with 413, told beforehand or not", function()
      local body = '{"id":"1","type":"a","x":"' .. ("x"):rep(2 * 1048576) .. '"}'
      refused(413, "1048576 bytes", body)
      local client = assert(socket.connect("127.0.0.1", here.nginx.port))
      client:settimeout(60)
      assert(client:send("POST /events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
        .. "Authorization: Bearer " .. service.TOKEN .. "\r\n\r\n"))
      assert(client:send(("%x\r\n%s\r\n0\r\n\r\n"):format(#body, body)))
      assert.matches("^HTTP/1.1 413", (client:receive "*l"))
      client:close()
    end)

    it("more events than allowed with 413", function()
      local list = {}
      for i = 1, 101 do list[i] = { id = "many-" .. i, type = "a" } end
      local status, answer = here:event(list)
      assert.equal(413, status)
      assert.matches("101 events in one request; at most 100", answer.error)
      here:flow(function(flow) assert.is_nil(flow:show("many-1")) end)
    end)
  end)

  it("serves others while somebody sends a byte a second", function()
    local slow = assert(socket.connect("127.0.0.1", here.nginx.port))
    slow:send("POST /hooks/" .. service.HOOK .. " HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    for _ = 1, 20 do
      assert.equal("pong\n", (here.nginx:get "/ping"))
    end
    slow:settimeout(60)
    assert.matches("408", (slow:receive "*l") or "408") -- client_body_timeout: 408, or nginx just hangs up
    slow:close()
  end)
end)

describe("nginx: the service", function()
  local fake

  setup(function() fake = support.fake {} end)
  teardown(function() fake:stop() end)
  before_each(function() fake:reset() end)
  after_each(service.stop_all)

  it("has on disk what it said 202 to, when everything is killed right after", function()
    for _ = 1, 5 do
      local here = service.start { fake = fake, workers = 2 }
      local events = {}
      for i = 1, 3 do
        events[i] = payment()
        local status = here:event(events[i])
        if i == 3 then here:kill() end
        assert.equal(202, status)
      end
      here:flow(function(flow)
        for _, event in ipairs(events) do
          local shown = assert(flow:show(event.id))
          assert.is_true(shown.state == "queued" or shown.state == "sending" or shown.state == "accepted", shown.state)
        end
      end)
      here:stop()
    end
  end)

  it("loses and doubles nothing over reloads under load, with two workers and another process", function()
    local here = service.start { fake = fake, workers = 2 }
    local script = here.nginx.dir .. "/work.lua"
    local file = assert(io.open(script, "w"))
    file:write(([[
      local onemsg, workflow = require "onemsg", require "onemsg.workflow"
      local flow = assert(workflow.open { rules = %q, store = %q,
        channel = assert(onemsg.new { base_url = %q, token = %q, template = "action_success", namespace = %q }) })
      flow:work { stop = function() return io.open(%q) ~= nil end }
    ]]):format(here.nginx.dir .. "/rules.lua", here.store, fake.env.FAKE_HTTP_URL, fake.env.ONE_MSG_TOKEN,
      fake.env.ONE_MSG_TEMPLATE_NAMESPACE, here.nginx.dir .. "/stop"))
    file:close()
    local outside = assert(io.popen(("lua5.4 %s 2>&1"):format(script)))

    local taken, old = {}, {}
    for round = 1, 6 do
      for _ = 1, 25 do
        local event = payment()
        local status, answer
        repeat -- what was cut off is repeated, as a sender does
          status, answer = here:event(event)
          if status then assert.is_true(status == 202 or status == 200, tostring(answer)) end
        until status
        taken[#taken + 1] = event
      end
      if round % 2 == 0 then
        for _, pid in ipairs(here.nginx:reload()) do old[#old + 1] = pid end
      end
    end
    here:flow(function(flow)
      assert(support.eventually(function()
        return support.accepted(flow:stats().states) == #taken
      end), cjson.encode(flow:stats().states))
    end)
    assert.is_truthy(nginx.gone(old), "an old worker stayed")
    assert(io.open(here.nginx.dir .. "/stop", "w")):close()
    local said = outside:read "*a"
    outside:close()
    assert.equal("", said)
    local counts = fake:counts()
    for _, event in ipairs(taken) do assert.equal(1, counts[event.customer.phone]) end
    local complaints = here.nginx:complaints()
    here:stop()
    assert.equal("", complaints)
  end)

  it("quits with sends in flight: all are recorded, and then it is gone", function()
    fake:set { held = true }
    local here = service.start { fake = fake }
    local events = {}
    for i = 1, 10 do
      events[i] = payment()
      assert.equal(202, (here:event(events[i])))
    end
    assert(support.eventually(function() return fake:count(events[10].customer.phone) == 1 end))
    local all = here.nginx:workers()
    all[#all + 1] = here.nginx.master
    here.nginx:signal "QUIT"
    fake:set { held = false }
    assert.is_truthy(nginx.gone(all))
    here:flow(function(flow)
      for _, event in ipairs(events) do assert.equal("accepted", flow:show(event.id).state) end
    end)
    assert.equal("", here.nginx:complaints())
    here:stop()
  end)

  it("says 503 with Retry-After while the store fails, and goes on when it is fixed", function()
    local store = support.directory()
    local here = service.start { fake = fake, workers = 2, store = "sqlite:" .. store .. "/gone/store.db",
      before = ("os.execute('mkdir -p %s/gone')"):format(store) }
    here.store = "sqlite:" .. store .. "/gone/store.db"
    local event = payment()
    assert.equal(202, (here:event(event)))
    here:state(event.id, "accepted")

    -- Another process holds the write lock for longer than anybody waits.
    local holder = assert(io.popen(("sqlite3 %s/gone/store.db 2>&1"):format(store), "w"))
    holder:write("BEGIN IMMEDIATE;\nUPDATE meta SET value = value;\n")
    holder:write((".shell touch %s/held\n"):format(store))
    holder:flush()
    assert(support.eventually(function() return io.open(store .. "/held") end))
    local late = payment()
    local status, answer, headers = here:event(late)
    assert.equal(503, status)
    assert.matches("^store: ", answer.error)
    assert.equal("5", headers["retry-after"])
    assert.equal("pong\n", (here.nginx:get "/ping"))
    holder:write "ROLLBACK;\n.quit\n"
    holder:close()

    status = here:event(late)
    assert.is_true(status == 202 or status == 200)
    here:state(late.id, "accepted")
    assert.equal(1, fake:count(late.customer.phone))
    assert(support.eventually(function()
      return here.nginx:log():find("onemsg: an event was not stored: store: ", 1, true)
    end))
    assert.equal("", here.nginx:complaints "onemsg: ")
    here:stop()
    os.execute("rm -rf " .. store)
  end)

  it("starts while the store can't be opened, says so, and takes events when it can", function()
    local place = support.directory()
    local here = service.start { fake = fake, store = "sqlite:" .. place .. "/store.db",
      before = ("os.execute('mkdir -p %s && rm -f %s/store.db && echo no database > %s/store.db')")
        :format(place, place, place) }
    here.store = "sqlite:" .. place .. "/store.db"
    local event = payment()
    local status, answer = here:event(event)
    assert.equal(503, status)
    assert.matches("^store: ", answer.error)
    local _, metrics = here:get "/metrics"
    assert.matches("\nonemsg_store_up 0\n", metrics)
    os.execute("rm " .. place .. "/store.db")
    assert(support.eventually(function() return (here:event(event)) == 202 end))
    here:state(event.id, "accepted")
    assert.equal("", here.nginx:complaints "onemsg: ")
    here:stop()
    os.execute("rm -rf " .. place)
  end)

  it("takes events in every phase, and waits in none that can't", function()
    local here = service.start { fake = fake, locations = [[
      location = /log { content_by_lua_block { ngx.print "x" } log_by_lua_block {
        local m = require "resty.onemsg"
        local no, err = m.submit({ id = "log-0", type = "a" })
        local landing = assert(m.submit(
          { id = "log-1", type = "payment.succeeded", customer = { phone = "12020720100" } }, { wait = false }))
        ngx.log(ngx.NOTICE, "SAID ", tostring(no), " ", err, " ", tostring(landing.wait ~= nil))
      } }
      location = /access { access_by_lua_block {
        local ticket = assert(require("resty.onemsg").submit { id = "access-1", type = "a" })
        ngx.print(ticket.state, " ", require("resty.onemsg").flow():show("access-1").reason)
      } }
    ]] }
    assert.matches("^skipped no rule", (here.nginx:get "/access"))
    here.nginx:get "/log"
    assert(support.eventually(function() return fake:count "12020720100" == 1 end))
    assert.matches("SAID nil invalid: submit waits, and log_by_lua cannot; call submit%(event, { wait = false }%) true",
      here.nginx:log())
    here:flow(function(flow) assert.is_nil(flow:show "log-0") end)
    assert.equal("", here.nginx:complaints())
    here:stop()
  end)

  it("begins the work again when it fails", function()
    local here = service.start { fake = fake, init = [[ rate = 1000, now = function()
      local left = package.loaded.clock_fails or 0
      if left > 0 and ngx.get_phase() == "timer" then package.loaded.clock_fails = left - 1 error "clock" end
      return ngx.now()
    end, ]], locations = [[ location = /break { content_by_lua_block { package.loaded.clock_fails = 2 ngx.print "x" } } ]] }
    assert.equal(202, (here:event(payment()))) -- it is at work
    here.nginx:get "/break"
    assert(support.eventually(function() return here.nginx:log():find("begun again", 1, true) end))
    local event = payment()
    assert.equal(202, (here:event(event)))
    here:state(event.id, "accepted")
    local _, metrics = here:get "/metrics"
    assert.matches("\nonemsg_work_restarts_total [12]\n", metrics)
    assert.equal("", here.nginx:complaints "begun again")
    here:stop()
  end)
end)
