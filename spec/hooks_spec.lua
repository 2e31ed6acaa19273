-- onemsg.hooks: shapes of PLATFORM.md 1.5 and 3.1, the fold of 3.2.
local hooks = require "onemsg.hooks"
local cjson = require "cjson.safe"
local permute = require "support.orders".permute
local channels = require "support.channels"

local NOW = 1700000000

local function parse(body)
  return assert(hooks.parse(body, NOW))
end

local function fold_all(events)
  local state, rose, contradictions = nil, 0, 0
  for _, event in ipairs(events) do
    local changed, contradiction
    state, changed, contradiction = hooks.fold(state, event)
    rose = rose + (changed and 1 or 0)
    contradictions = contradictions + (contradiction and 1 or 0)
  end
  return state, rose, contradictions
end

describe("hooks.rank", function()
  it("orders the words", function()
    local order = { "queued", "accepted", "sent", "failed", "delivered", "read", "played" }
    for i = 2, #order do assert.is_true(hooks.rank(order[i]) > hooks.rank(order[i - 1])) end
    assert.equal(hooks.rank "failed", hooks.rank "undelivered")
    assert.equal(hooks.rank "read", hooks.rank "viewed")
    assert.equal(hooks.rank "read", hooks.rank " READ ")
    for _, other in ipairs { "deleted", "warning", "", "reading", 5, true, {}, cjson.null } do
      assert.is_nil(hooks.rank(other))
    end
    assert.is_nil(hooks.rank(nil))
  end)
end)

describe("hooks.fold", function()
  local e = {
    accepted = { status = "accepted", at = 1 }, sent = { status = "sent", at = 2 },
    failed = { status = "failed", at = 3, code = 131026, error = "x" }, delivered = { status = "delivered", at = 4 },
    read = { status = "read", at = 5 }, deleted = { status = "deleted", at = 6 }, odd = { status = "Odd", at = 7 },
  }

  it("comes to the same end in every order of sent, delivered, read, failed, each twice", function()
    local expected, count = nil, 0
    permute({ e.sent, e.sent, e.delivered, e.delivered, e.read, e.failed, e.failed }, function(list)
      local state, _, contradictions = fold_all(list)
      expected = expected or state
      assert.same(expected, state)
      assert.equal(1, contradictions)
      count = count + 1
    end)
    assert.equal(5040, count)
    assert.equal("read", expected.status)
    assert.is_true(expected.contradiction)
    assert.same({ at = 3, code = 131026, error = "x" }, expected.failure)
    assert.same({ sent = 2, delivered = 4, read = 5, failed = 3 }, expected.times)
  end)

  it("comes to the same end in every order of every set of events", function()
    local all = { e.accepted, e.sent, e.failed, e.delivered, e.read, e.deleted, e.odd }
    for mask = 1, 2 ^ #all - 1 do
      local set, expected = {}, nil
      for i = 1, #all do
        if math.floor(mask / 2 ^ (i - 1)) % 2 == 1 then set[#set + 1] = all[i] end
      end
      if #set <= 5 then
        permute(set, function(list)
          local state = fold_all(list)
          expected = expected or state
          assert.same(expected, state)
        end)
      end
    end
  end)

  it("holds for random streams: order and repetition don't matter, status never sinks", function()
    local seed = 42
    local function random(n) -- its own generator: the same stream on both Luas
      seed = (seed * 1103515245 + 12345) % 2147483648
      return math.floor(seed / 65536) % n + 1
    end
    local words = { "queued", "accepted", "sent", "failed", "undelivered", "delivered", "read", "viewed", "played",
                    "deleted", "warning", "strange", "FAILED", "Sent" }
    for _ = 1, 2000 do
      local events = {}
      for i = 1, random(8) do
        local status = words[random(#words)]
        events[i] = { status = status, at = random(3) > 1 and random(9) or nil,
                      code = random(3) == 1 and 131000 + random(3) or nil,
                        error = random(2) == 1 and "e" .. random(3) or nil }
      end
      local expected = fold_all(events)
      local shuffled = {}
      for _, event in ipairs(events) do
        table.insert(shuffled, random(#shuffled + 1), event)
        if random(2) == 1 then table.insert(shuffled, random(#shuffled + 1), event) end
      end
      assert.same(expected, (fold_all(shuffled)))
      local state, top = nil, -1
      for _, event in ipairs(shuffled) do
        local before = state and state.status
        local changed
        state, changed = hooks.fold(state, event)
        local rank = state.status and hooks.rank(state.status) or -1
        assert.is_true(rank >= top)
        assert.equal(state.status ~= before, changed)
        top = rank
      end
    end
  end)

  it("changes nothing on duplicates and late events, and does not touch the old state", function()
    local state = fold_all { e.sent, e.delivered }
    local again, changed, contradiction = hooks.fold(state, e.delivered)
    assert.same(state, again)
    assert.same({ false, false }, { changed, contradiction })
    local late, rose = hooks.fold(state, { status = "accepted", at = 0 })
    assert.same({ "delivered", false }, { late.status, rose })
    assert.is_nil(state.times.accepted)
    hooks.fold(state, e.failed)
    assert.is_nil(state.failure)
  end)

  it("lets delivery win over failure, and keeps both", function()
    local state, changed, contradiction = hooks.fold(fold_all { e.sent, e.failed }, e.delivered)
    assert.same({ "delivered", true, true }, { state.status, changed, contradiction })
    state, changed, contradiction = hooks.fold(fold_all { e.sent, e.delivered }, e.failed)
    assert.same({ "delivered", false, true }, { state.status, changed, contradiction })
    assert.equal(131026, state.failure.code)
    assert.is_true(state.contradiction)
    assert.is_false((select(3, hooks.fold(state, e.failed)))) -- told once
  end)

  it("never lifts a failure by a late sent", function()
    local state, changed = hooks.fold(fold_all { e.failed }, e.sent)
    assert.same({ "failed", false }, { state.status, changed })
  end)

  it("prefers the failure that has a code", function()
    local state = fold_all { { status = "undelivered", at = 1, error = "text" }, { status = "failed", at = 9,
      code = 131049 } }
    assert.same({ at = 9, code = 131049 }, state.failure)
    assert.equal("failed", state.status)
  end)

  it("notes other words, and keeps silent about the state", function()
    local state, changed = hooks.fold(nil, e.deleted)
    assert.same({ nil, false }, { state.status, changed })
    assert.same({ deleted = 6 }, state.notes)
    state = hooks.fold(state, { status = "odd" })
    assert.same({ deleted = 6, odd = true }, state.notes)
    for _, bad in ipairs { {}, { status = 7 }, { status = {} }, { status = cjson.null }, { status = "" } } do
      local same, rose = hooks.fold(state, bad)
      assert.is_false(rose)
      assert.is_nil(same.status)
    end
  end)
end)

describe("hooks.parse", function()
  it("reads ack[] as it really comes: no time, a text as error", function()
    local found = parse [[{"instanceId":"instance371267300","ack":[
      {"id":"wamid.A=","chatId":"12025550123@c.us","phone":"12025550123","bsuid":"US.abc","userName":null,
       "status":"delivered","category":"utility"},
      {"id":"wamid.B","chatId":"12025550124@c.us","status":"failed",
       "error":"User's number is part of an experiment"}]}]]
    assert.same({
      { id = "wamid.A=", status = "delivered", at = NOW, recipient = "12025550123", chat_id = "12025550123@c.us",
        bsuid = "US.abc", category = "utility", instance = "371267300" },
      { id = "wamid.B", status = "failed", at = NOW, recipient = "12025550124", chat_id = "12025550124@c.us",
        code = 130472, error = "User's number is part of an experiment", instance = "371267300" },
    }, found.events)
    assert.equal(0, found.ignored)
  end)

  it("reads hooks[] of the use case", function()
    local found = parse [[{"hooks":[{"id":"w1","type":"message","status":"sent","timestamp":"1654864094",
      "recipient_id":"12025550123","pricing":{"billable":true,"category":"utility"},
      "conversation":{"id":"c","origin":{"type":"utility"}}}]}]]
    assert.same({ { id = "w1", status = "sent", at = 1654864094, recipient = "12025550123", category = "utility" } },
      found.events)
    assert.equal("1654864094", tostring(found.events[1].at))
  end)

  it("reads Meta's own envelope, several entries, changes and statuses", function()
    local body = { object = "whatsapp_business_account", entry = {} }
    for i = 1, 2 do
      body.entry[i] = { id = "e", changes = {} }
      for j = 1, 2 do
        body.entry[i].changes[j] = { field = "messages", value = { metadata = { phone_number_id = "1" }, statuses = {
          { id = i .. j .. "a", status = "read", timestamp = "1654864094", recipient_id = "12025550123",
            recipient_user_id = "US.x", pricing = { category = "marketing" } },
          { id = i .. j .. "b", status = "failed", timestamp = 1654864095000, errors = {
            { code = 131026, title = "Message undeliverable", message = "Message undeliverable",
              error_data = { details = "Message Undeliverable." }, href = "https://x" } } } } } }
      end
    end
    local found = parse(cjson.encode(body))
    assert.equal(8, #found.events)
    assert.same({ id = "11a", status = "read", at = 1654864094, recipient = "12025550123", bsuid = "US.x",
                  category = "marketing" }, found.events[1])
    assert.same({ id = "22b", status = "failed", at = 1654864095, code = 131026,
                  error = "Message undeliverable: Message Undeliverable." }, found.events[8])
  end)

  it("reads all arrays of one body at once, objects in place of arrays, statuses without envelope", function()
    local found = parse [[{"ack":{"id":"a","status":"sent"},"hooks":{"id":"b","status":"read"},
      "statuses":[{"id":"c","status":"delivered"}],"changes":{"value":{"statuses":{"id":"d","status":"failed",
      "error":{"code":131049,"message":"withheld"}}}},
      "entry":{"changes":{"value":{"statuses":[{"id":"e","status":"sent"}]}}},
      "messages":{"id":"m","fromMe":true,"chatId":"12025550123@c.us","body":"hi"}}]]
    local by_id = {}
    for _, event in ipairs(found.events) do by_id[event.id] = event.status .. (event.code or "") end
    assert.same({ a = "sent", b = "read", c = "delivered", d = "failed131049", e = "sent" }, by_id)
    assert.equal(1, #found.messages)
    found = parse [=[[{"id":"a","status":"sent"},{"ack":[{"id":"b","status":"read"}]},7]]=]
    assert.equal(2, #found.events)
    assert.equal(1, found.others.array)
  end)

  for text, at in pairs {
    ['"1654864094"'] = 1654864094, ["1654864094"] = 1654864094, ["1654864094000"] = 1654864094,
    ['"1654864094500"'] = 1654864094.5, ["1654864094000000"] = 1654864094, ['" 1654864094 "'] = 1654864094,
    ['"0x62A33F1E"'] = NOW, ["-5"] = NOW, ["0"] = NOW, ["12"] = NOW, ["null"] = NOW, ["true"] = NOW, ["{}"] = NOW,
    ['"soon"'] = NOW, ["1e30"] = NOW, ['"1e9"'] = NOW, ['""'] = NOW,
  } do
    it("reads the time " .. text, function()
      assert.equal(at, parse('{"hooks":[{"id":"x","status":"sent","timestamp":' .. text .. "}]}").events[1].at)
    end)
  end

  for text, recipient in pairs {
    ['"phone":"12025550123"'] = "12025550123", ['"phone":12025550123'] = "12025550123",
    ['"phone":"+12025550123"'] = "12025550123", ['"chatId":"12025550123@c.us"'] = "12025550123",
    ['"recipient_id":"12025550123"'] = "12025550123", ['"phone":"","chatId":"12025550123@c.us"'] = "12025550123",
    ['"phone":"call me"'] = "", ['"chatId":"somebody@lid"'] = "", ['"phone":{}'] = "", ['"phone":1.5'] = "",
  } do
    it("reads the recipient of " .. text, function()
      assert.equal(recipient, parse('{"ack":[{"id":"x","status":"sent",' .. text .. "}]}").events[1].recipient or "")
    end)
  end

  it("reads errors in each form", function()
    for text, expected in pairs {
      ['"error":"Message undeliverable"'] = { 131026, "Message undeliverable" },
      ['"error":"something new"'] = { nil, "something new" },
      ['"error":{"code":131049,"message":"m"}'] = { 131049, "m" },
      ['"errors":[{"code":131047,"title":"t"}]'] = { 131047, "t" },
      ['"errors":{"code":131047,"title":"t"}'] = { 131047, "t" },
      ['"errors":[{"code":1,"title":"API Unknown"}]'] = { 1, "API Unknown" },
      ['"errors":[],"error":null'] = {}, ['"error":false'] = {}, ['"error":""'] = {}, ['"errors":[null]'] = {},
    } do
      local event = parse('{"ack":[{"id":"x","status":"failed",' .. text .. "}]}").events[1]
      assert.same(expected, { event.code, event.error })
    end
  end)

  it("reads messages: echoes of the business and texts of customers, normalised and raw", function()
    local found = parse [[{"instanceId":"VAN388218473","messages":[
      {"id":"m1","body":"Hello","type":"chat","author":"5215550000@c.us","chatId":"12025550123@c.us","fromMe":1,
       "self":0,"time":"1654864094","senderName":"Shop"},
      {"id":"m2","body":"STOP","type":"chat","author":"12025550123@c.us","chatId":"12025550123@c.us","fromMe":false,
       "time":1654864095}]}]]
    assert.same({ id = "m1", from_me = true, at = 1654864094, phone = "12025550123", chat_id = "12025550123@c.us",
                  text = "Hello", type = "chat", name = "Shop", instance = "VAN388218473" }, found.messages[1])
    assert.same({ false, "STOP", "12025550123" },
      { found.messages[2].from_me, found.messages[2].text, found.messages[2].phone })
    found = parse [[{"entry":[{"changes":[{"field":"messages","value":{"messages":[{"from":"12025550123","id":"r1",
      "timestamp":"1654864094","type":"text","text":{"body":"Stop"}}]}},{"field":"smb_message_echoes","value":
      {"message_echoes":[{"from":"5215550000","to":"12025550123","id":"r2","text":{"body":"Hi"}}]}}]}]}]]
    assert.same({ "12025550123", "Stop", false },
      { found.messages[1].phone, found.messages[1].text, found.messages[1].from_me })
    assert.same({ "12025550123", "Hi", true },
      { found.messages[2].phone, found.messages[2].text, found.messages[2].from_me })
  end)

  it("lets no byte through that a database would refuse", function()
    local found = parse { ack = { { id = "\237\160\128", status = "sent" }, { id = "x", status = "sent\255" },
      { id = "y", status = "failed", error = "a\255b\0c", category = "\192\128", bsuid = "\244\144\128\128" } },
      messages = { { id = "m", body = "é\255\0\n" .. ("x"):rep(5000) }, { id = "n", senderName = "\255" } } }
    assert.same({ { id = "y", status = "failed", at = NOW, error = "a?b c" } }, found.events)
    assert.equal("é??\n" .. ("x"):rep(4091) .. "…", found.messages[1].text)
    assert.is_nil(found.messages[2].name)
  end)

  it("reads a template's change and an account's error", function()
    local found = parse [[{"entry":[{"changes":[{"field":"message_template_status_update","value":{"event":"paused",
      "message_template_id":1,"message_template_name":"action_success","message_template_language":"en","reason":"q"}},
      {"field":"messages","value":{"errors":[{"code":131031,"title":"Account locked"}]}},
      {"field":"message_template_status_update","value":{}}]}]}]]
    assert.same({ { name = "action_success", language = "en", status = "PAUSED", reason = "q", at = NOW } },
      found.templates)
    assert.same({ { code = 131031, error = "Account locked", at = NOW } }, found.errors)
    assert.same({ message_template_status_update = 1 }, found.others)
  end)

  it("counts what it does not know, under a bounded number of names", function()
    local found = parse [[{"type":"calls","instanceId":"x"}]]
    assert.same({ { calls = 1 }, 1 }, { found.others, found.ignored })
    assert.same({ other = 1 }, parse("{}").others)
    assert.same({ hooks = 1, ack = 2 }, parse([[{"hooks":"x","ack":[{"id":"a"},{"status":"sent"}]}]]).others)
    local entry = { changes = {} }
    for i = 1, 100 do entry.changes[i] = { field = "field_" .. i, value = {} } end
    entry.changes[101] = { field = 'bad"name', value = {} }
    found = parse { entry = { entry } }
    local names = 0
    for _ in pairs(found.others) do names = names + 1 end
    assert.equal(17, names)
    assert.equal(101, found.ignored)
  end)

  it("refuses what is no JSON object, and what is too much", function()
    for _, body in ipairs { "", "x", "{", "[1", "null", "7", '"s"', "nan", ("["):rep(10000), true, 5,
                            ('{"a":'):rep(10000) } do
      local found, err = hooks.parse(body, NOW)
      assert.is_nil(found)
      assert.truthy(err:find("^invalid: "))
      assert.is_true(#err < 200)
    end
    assert.truthy(select(2, hooks.parse((" "):rep(hooks.BYTES + 1), NOW)):find("^invalid: .*bytes"))
    local item = '{"id":"x","status":"sent"}'
    local full = '{"ack":[' .. (item .. ","):rep(hooks.ITEMS - 1) .. item .. "]}"
    assert.equal(hooks.ITEMS, #parse(full).events)
    local more = '{"ack":[' .. (item .. ","):rep(hooks.ITEMS) .. item .. "]}"
    assert.truthy(select(2, hooks.parse(more, NOW)):find("^invalid: .*items"))
  end)

  it("needs the time of receipt", function()
    local ok, why = pcall(function() local found = hooks.parse("{}") return found end)
    assert.is_false(ok)
    assert.truthy(why:find("hooks_spec.lua", 1, true) and why:find("received_at", 1, true))
  end)

  it("never raises on hostile types, wherever they stand", function()
    local values = { true, false, 0, -1, 1 / 0, 0 / 0, 1e300, "", "x", ("x"):rep(10000), "\0\1\255", {}, { {} }, { 1 },
                     { cjson.null }, cjson.null, { a = { b = { c = 1 } } }, print }
    local places = {
      function(v) return { hooks = v } end, function(v) return { ack = { v } } end,
      function(v) return { ack = { { id = v, status = "sent" } } } end,
      function(v) return { ack = { { id = "x", status = v } } } end,
      function(v) return { hooks = { { id = "x", status = "failed", error = v, errors = v } } } end,
      function(v) return { hooks = { { id = "x", status = "failed", errors = { v } } } } end,
      function(v) return { ack = { { id = "x", status = "sent", phone = v, chatId = v, bsuid = v,
        category = v } } } end,
      function(v) return { hooks = { { id = "x", status = "sent", timestamp = v, time = v, pricing = v,
                                       conversation = { origin = v } } } } end,
      function(v) return { messages = { { id = "x", body = v, text = v, fromMe = v, chatId = v, time = v } } } end,
      function(v) return { messages = v, statuses = v, instanceId = v, type = v } end,
      function(v) return { entry = v } end, function(v) return { entry = { v } } end,
      function(v) return { entry = { { changes = v } } } end, function(v) return { changes = { v } } end,
      function(v) return { changes = { { field = v, value = v } } } end,
      function(v) return { changes = { { field = "message_template_status_update",
        value = { message_template_name = v, event = v, message_template_language = v, reason = v } } } } end,
      function(v) return { changes = { { value = { statuses = v, messages = v, errors = v,
        message_echoes = v } } } } end,
      function(v) return v end, function(v) return { v, v } end, function(v) return { [1] = v, hooks = v } end,
    }
    for _, place in ipairs(places) do
      for _, value in ipairs(values) do
        local found, err = hooks.parse(place(value), NOW)
        assert.is_true(found ~= nil or (err or ""):find("^invalid: ") ~= nil)
        for _, event in ipairs(found and found.events or {}) do
          assert.is_true(type(event.id) == "string" and #event.id <= 512 and not event.id:find("%c"))
          assert.is_string(event.status)
          assert.is_true(event.at == event.at and event.at < 1e11)
        end
        hooks.report("x", place(value))
      end
    end
  end)
end)

describe("hooks.report", function()
  it("gives the status, and the hooks in the order of rank", function()
    local report = hooks.report("w1", { hooks = {
      { id = "w1", type = "message", status = "read", timestamp = "1654864099" },
      { id = "w1", type = "message", status = "warning", timestamp = "1654864090" },
      { id = "w1", type = "message", status = "sent", timestamp = "1654864094", recipient_id = "12025550123",
        pricing = { category = "utility" } },
      { status = "delivered", timestamp = 1654864096 },
      { id = "other", status = "failed" }, "junk", cjson.null,
    } })
    assert.same({ id = "w1", status = "read", ignored = 3, hooks = {
      { status = "sent", at = 1654864094, recipient = "12025550123", category = "utility" },
      { status = "delivered", at = 1654864096 },
      { status = "read", at = 1654864099 },
      { status = "warning", at = 1654864090 },
    } }, report)
  end)

  it("gives code and error of a failure, also when it was delivered after all", function()
    local failed = { id = "w1", status = "Undelivered", errors = { { code = 131026,
      title = "Message undeliverable" } } }
    local report = hooks.report("w1", { hooks = failed })
    assert.same({ "failed", 131026, "Message undeliverable" }, { report.status, report.code, report.error })
    assert.equal("undelivered", report.hooks[1].status)
    report = hooks.report("w1", { failed, { id = "w1", status = "delivered" } })
    assert.same({ "delivered", 131026, true }, { report.status, report.code, report.contradiction })
  end)

  it("orders one rank by time, those without time last, and never raises while it sorts", function()
    local at = {}
    for _, hook in ipairs(hooks.report("w1", { { status = "failed", time = 1654864099 }, { status = "undelivered" },
        { status = "failed", time = 1654864095 }, { status = "failed", time = 1654864097 } }).hooks) do
      at[#at + 1] = hook.at or "none"
    end
    assert.same({ 1654864095, 1654864097, 1654864099, "none" }, at)
    local list = {}
    for i = 1, 2000 do
      list[i] = { status = "sent", time = i % 3 > 0 and 1654864000 + i * 7919 % 1000 or nil }
    end
    assert.equal(2000, #hooks.report("w1", list).hooks)
  end)

  it("says nothing where nothing was reported", function()
    for _, answer in ipairs { {}, { hooks = {} }, { hooks = cjson.null }, cjson.null, "text", 5, true,
                              { hooks = "x" }, { hooks = { { id = "w2", status = "read" } } } } do
      local report = hooks.report("w1", answer)
      assert.is_nil(report.status)
      assert.same({ "w1", {} }, { report.id, report.hooks })
    end
    assert.same({ id = "w1", hooks = {}, ignored = 0 }, hooks.report("w1", nil))
  end)
end)

describe("channel:hookInfo on a channel", function()
  local fake, channel, finish

  setup(function() fake, channel, finish = channels.with_fake(nil, { timeout = 60 }) end)
  before_each(function() fake:reset() end)
  teardown(function() finish() end)

  it("reports what was posted, and bears a trouble of the server", function()
    fake:set { pace_ms = 0 }
    local receipt = assert(channel:send { phone = "12020721300", name = "M", action = "a", next_step = "n" })
    local report
    require("support.server").eventually(function()
      report = assert(channel:hookInfo(receipt.id))
      return report.status == "read"
    end)
    assert.equal("read", report.status)
    assert.equal("delivered", report.hooks[2].status)
    assert.equal("sent", report.hooks[1].status)
    assert.equal("12020721300", report.hooks[1].recipient)
    fake:set { hookinfo = "500" }
    local none, _, info = channel:hookInfo(receipt.id)
    assert.is_nil(none)
    assert.same({ true, "backoff" }, { info.retry, info.action }) -- a reading may be repeated
    fake:set { hookinfo = "404" }
    assert.same({ false, 404 }, { (select(3, channel:hookInfo(receipt.id))).retry,
      (select(3, channel:hookInfo(receipt.id))).status })
  end)
end)
