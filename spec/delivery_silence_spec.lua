-- What happens when no news comes, when news is bad, and when it is open whether a message left: silence, doubt, other
-- ways. A real store, a scripted channel, simulated time.
local cjson = require "cjson"
local simulation = require "support.simulation"

local HOUR = 3600
local PHONE = "12020721300"

local RULES = simulation.RULES .. [[
confirm "Doubtful" { on = "doubt", action = "payment", next_step = "Thank you.",
  otherwise = { send = "sms", after = "5m", text = "Paid.", on_unknown = true } }
confirm "Silent" { on = "silent", action = "payment", next_step = "Thank you.", otherwise = { send = "sms" } }
confirm "Brief" { on = "brief", action = "payment", next_step = "Thank you.", ttl = 600 }
]]

describe("after acceptance", function()
  local sim, flow, sms

  local function start(options)
    options = options or {}
    sms = {}
    options.rules = options.rules or RULES
    options.fallback = options.fallback or { sms = function(notice)
      sms[#sms + 1] = notice
      return "sms-" .. #sms
    end }
    sim = simulation.new(options)
    flow = sim.flow
  end

  local function submit(id, kind, phone)
    assert(flow:submit { id = id, type = kind or "paid", phone = phone or PHONE, name = "Maria" })
    flow:drain()
    return flow:show(id)
  end

  local function hook(message_id, status, more)
    local item = { id = message_id, status = status }
    for name, value in pairs(more or {}) do item[name] = value end
    return assert(flow:hooks(cjson.encode { ack = { item } }))
  end

  local function history(id) return simulation.history(flow, id) end

  local function asked(call)
    local times = {}
    for _, one in ipairs(sim.asked) do
      if one.call == (call or "hookInfo") then times[#times + 1] = one.at - simulation.EPOCH end
    end
    return times
  end

  local function says(status, code)
    return function(id)
      local item = { status = status, at = sim.time, code = code }
      return { id = id, status = status, hooks = status and { item } or {}, code = code }
    end
  end

  after_each(function()
    if sim then sim:close() end
    sim = nil
  end)

  describe("silence", function()
    it("is asked about at 15 s, 1, 5, 30 min, 3 h, and is stalled after a day", function()
      start()
      submit "a"
      sim:advance(23 * HOUR)
      local times = asked()
      assert.equal(5, #times)
      for n, at in ipairs { 15, 60, 300, 1800, 10800 } do
        assert.is_true(times[n] >= at and times[n] <= at * 1.1 + 1, times[n] .. " for " .. at)
      end
      assert.equal("accepted", flow:show("a").state)
      sim:advance(2 * HOUR)
      assert.equal("stalled", flow:show("a").state)
      assert.matches("no news of its delivery for 24 h", flow:show("a").reason)
      sim:advance(48 * HOUR)
      assert.equal(5, #asked())
      hook(flow:show("a").message_id, "delivered") -- late, and still good news
      assert.equal("delivered", flow:show("a").state)
    end)

    it("ends with the message's ttl, or with stalled_after", function()
      start { stalled_after = "2h" }
      submit "a"
      submit("b", "brief", "12020721301")
      sim:advance(700)
      assert.equal("stalled", flow:show("b").state)
      assert.equal("accepted", flow:show("a").state)
      sim:advance(2 * HOUR)
      assert.equal("stalled", flow:show("a").state)
    end)

    it("ends when hookInfo has news", function()
      start { calls = { hookInfo = says "delivered" } }
      submit "a"
      sim:advance(HOUR)
      assert.equal("delivered", flow:show("a").state)
      assert.equal("hookInfo says so", flow:show("a").reason)
      assert.equal("poll", flow:show("a").statuses[1].source)
      assert.equal(1, #asked())
    end)

    it("is not asked about while hooks flow, and is when they stop", function()
      start()
      submit "silent one"
      for n = 1, 12 * 6 do
        local id = submit("x" .. n, nil, tostring(12020740000 + n)).message_id
        hook(id, "delivered")
        sim:advance(300)
      end
      assert.equal(0, #asked())
      sim:advance(HOUR)
      assert.is_true(#asked() >= 1)
    end)

    it("is asked about when only strangers' or repeated hooks come", function()
      start()
      local old = submit("old").message_id
      hook(old, "delivered")
      sim:advance(2 * HOUR)
      submit("a", nil, "12020721301")
      for n = 1, 20 do
        hook("wamid.stranger" .. n, "delivered")
        hook(old, "delivered")
        sim:advance(60)
      end
      assert.is_true(#asked() >= 2)
    end)

    it("is not asked about on a channel that answers 404, for a day", function()
      start { calls = { hookInfo = function() return nil, "rejected: 404", { outcome = "rejected", status = 404 } end } }
      for n = 1, 20 do submit("a" .. n, nil, tostring(12020740000 + n)) end
      sim:advance(20 * HOUR)
      assert.is_true(#asked() <= 8) -- those that were on their way when the first answer came
      assert.is_false(flow:stats().channels.main.hookinfo)
      local told = 0
      for _, alert in ipairs(sim.alerts) do told = told + (alert.alert == "no_hookinfo" and 1 or 0) end
      assert.equal(1, told)
      local before = #asked()
      sim.calls.hookInfo = says "delivered"
      sim:advance(5 * HOUR)
      submit("later", nil, "12020721399")
      sim:advance(60)
      assert.is_true(#asked() > before)
      assert.equal("delivered", flow:show("later").state)
    end)

    it("is asked about at a bounded rate", function()
      start()
      for n = 1, 300 do assert(flow:submit { id = "b" .. n, type = "paid", phone = tostring(12020740000 + n) }) end
      sim:advance(55)
      local times, most = asked(), 0
      assert.equal(300, #times)
      for first = 1, #times do
        local n = first
        while times[n + 1] and times[n + 1] < times[first] + 1 do n = n + 1 end
        most = math.max(most, n - first + 1)
      end
      assert.is_true(most <= 40, most .. " in a second")
    end)

    it("survives seven hours without a provider: nothing is lost, nothing is sent twice", function()
      local down = true
      local function answer(message, n)
        if down then return nil, "not_sent: connection refused", { outcome = "not_sent" } end
        return { outcome = "accepted", id = ("wamid.%s.%d"):format(message.phone, n) }
      end
      down = false
      start { answer = answer, calls = {
        hookInfo = function(id)
          if down then return nil, "not_sent: connection refused", { outcome = "not_sent" } end
          return says "delivered"(id)
        end,
        messages = function() return nil, "not_sent: connection refused", { outcome = "not_sent" } end } }
      for n = 1, 20 do submit("before" .. n, nil, tostring(12020750000 + n)) end
      down = true
      for n = 1, 20 do submit("during" .. n, nil, tostring(12020751000 + n)) end
      submit("short", "short", "12020752000")
      sim:advance(7 * HOUR)
      assert.equal("expired", flow:show("short").state)
      for n = 1, 20 do submit("last" .. n, nil, tostring(12020753000 + n)) end
      down = false
      sim:advance(HOUR)
      local ends = { before = {}, during = {}, last = {} }
      for kind, states in pairs(ends) do
        for n = 1, 20 do
          local state = flow:show(kind .. n).state
          states[state] = (states[state] or 0) + 1
        end
      end
      assert.same({ expired = 20 }, ends.during) -- their give_up_after was 6 h; none was lost from sight
      assert.same({ delivered = 20 }, ends.last)
      assert.equal(20, (ends.before.accepted or 0) + (ends.before.delivered or 0))
      for n = 1, 20 do hook(flow:show("before" .. n).message_id, "delivered") end
      assert.equal(40, flow:stats().states.delivered)
    end)
  end)

  describe("another way", function()
    it("is used at once on a proven failure, once", function()
      start { calls = { hookInfo = says("failed", 131026) } }
      local id = submit("a", "else").message_id
      hook(id, "failed", { error = "Message undeliverable" })
      flow:drain()
      assert.equal(1, #sms)
      local notice = sms[1]
      assert.equal("a", notice.id)
      assert.equal(PHONE, notice.phone)
      assert.equal("Paid. Thank you.", notice.text)
      assert.equal("failed", notice.state)
      assert.equal(131026, notice.code)
      assert.equal("Maria", notice.event.name)
      hook(id, "failed")
      hook(id, "undelivered")
      sim:advance(48 * HOUR)
      assert.equal(1, #sms)
      assert.equal("done", flow:show("a").fallback)
      assert.matches("sms: handed over.*sms: done %(sms%-1%)", history "a")
      assert.matches("sms: done %(sms%-1%)", table.concat(sim.lines))
      local told = {} -- the notes in the history are no changes of state
      for n, change in ipairs(sim.changes) do told[n] = change.state end
      assert.same({ "queued", "sending", "accepted", "failed" }, told)
    end)

    it("is used when the API refuses, and when it was not sent in time", function()
      start { answer = function() return nil, "rejected: 422 x", { outcome = "rejected", status = 422 } end }
      submit("a", "else")
      flow:drain()
      assert.equal(1, #sms)
      assert.equal("rejected", sms[1].state)
      sim.answer = function() return nil, "not_sent: refused", { outcome = "not_sent" } end
      submit("b", "else", "12020721301")
      sim:advance(7 * HOUR)
      assert.equal(2, #sms)
      assert.equal("expired", sms[2].state)
      assert.equal(0, #asked())
    end)

    it("is used after silence at the set time, and asks first", function()
      start()
      submit("a", "else")
      sim:advance(598)
      assert.equal(0, #sms)
      sim:advance(4)
      assert.equal(1, #sms)
      assert.equal("accepted", sms[1].state)
      local times = asked()
      assert.is_true(times[#times] >= 600) -- right before
      sim:advance(48 * HOUR)
      assert.equal(1, #sms)
    end)

    it("is used when the message stalls, where the rule names no time", function()
      start()
      submit("a", "silent")
      sim:advance(23 * HOUR)
      assert.equal(0, #sms)
      sim:advance(2 * HOUR)
      assert.equal(1, #sms)
      assert.equal("stalled", sms[1].state)
    end)

    it("is not used when a delivered hook comes while it waits", function()
      start()
      local id = submit("a", "else").message_id
      sim:advance(590)
      hook(id, "delivered")
      sim:advance(48 * HOUR)
      assert.equal(0, #sms)
      assert.is_nil(flow:show("a").fallback_at)
    end)

    it("is not used when the hook was lost and hookInfo says delivered, even while hooks flow", function()
      start { calls = { hookInfo = says "delivered" } }
      submit("a", "else")
      for n = 1, 6 do
        hook(submit("x" .. n, nil, tostring(12020740000 + n)).message_id, "read")
        sim:advance(99)
      end
      assert.equal(0, #asked())
      sim:advance(60)
      assert.equal(1, #asked())
      assert.equal(0, #sms)
      assert.equal("delivered", flow:show("a").state)
    end)

    it("is not used on a failed hook that hookInfo belies", function()
      start { calls = { hookInfo = says "delivered" } }
      local id = submit("a", "else").message_id
      hook(id, "failed", { error = "Message undeliverable" }) -- forged
      flow:drain()
      assert.equal(0, #sms)
      assert.equal("delivered", flow:show("a").state)
      assert.is_truthy(flow:show("a").contradiction)
      sim:advance(48 * HOUR)
      assert.equal(0, #sms)
    end)

    it("waits six minutes when hookInfo can't be asked, or knows of no failure", function()
      start { calls = { hookInfo = function() return nil, "unknown: x", { outcome = "unknown" } end } }
      local id = submit("a", "else").message_id
      hook(id, "failed", { error = "Message undeliverable" })
      sim:advance(300)
      assert.equal(0, #sms)
      sim:advance(70)
      assert.equal(1, #sms)
      sim.calls.hookInfo = says "sent"
      hook(submit("b", "else", "12020721301").message_id, "failed")
      sim:advance(300)
      assert.equal(1, #sms)
      sim:advance(70)
      assert.equal(2, #sms)
    end)

    it("says what the function returned or raised, and goes on", function()
      local results = { function() error("no credit", 0) end, function() return nil, "the gateway is down" end,
                        function() return true end, function() return end, function() return false end }
      local n = 0
      start { calls = { hookInfo = says("failed", 131026) }, fallback = { sms = function()
        n = n + 1
        return results[n]()
      end } }
      local expected = { "failed %(no credit%)", "failed %(the gateway is down%)", "done$", "done$", "failed$" }
      for k, pattern in ipairs(expected) do
        hook(submit("a" .. k, "else", tostring(12020740000 + k)).message_id, "failed")
        flow:drain()
        assert.matches("sms: " .. pattern, history("a" .. k))
      end
      sim:advance(48 * HOUR)
      assert.equal(5, n)
    end)

    it("is used on unknown only if the rule says so, and at its time", function()
      start { answer = function() return nil, "unknown: timeout", { outcome = "unknown" } end }
      submit("a", "else")
      submit("b", "doubt", "12020721301")
      sim:advance(299)
      assert.equal(0, #sms)
      sim:advance(5)
      assert.equal(1, #sms)
      assert.equal("b", sms[1].id)
      sim:advance(48 * HOUR)
      assert.equal(1, #sms)
      assert.equal("unknown", flow:show("b").state)
      flow:settle("a", "not_arrived") -- a person's word is proof
      flow:drain()
      assert.equal(2, #sms)
    end)

    it("that was handed over by a process that died is shown, and not repeated", function()
      start { calls = { hookInfo = says("failed", 131026) }, spawn = function() end } -- dies before it calls
      hook(submit("a", "else").message_id, "failed")
      flow:drain()
      assert.equal("handed_over", flow:show("a").fallback)
      local path = sim.path
      flow:close()
      start { path = path, calls = { hookInfo = says("failed", 131026) } }
      sim.time = simulation.EPOCH + 120
      flow:drain()
      assert.equal("unknown", flow:show("a").fallback)
      assert.matches("not called again", history "a")
      assert.equal(1, flow:stats().fallbacks_unknown)
      sim:advance(48 * HOUR)
      assert.equal(0, #sms)
    end)
  end)

  describe("doubt", function()
    local TEXT = 'Hello, Maria! Action "payment" completed successfully. Thank you. Thank you for using our service.'
    local TEMPLATES = { templates = { { name = "action_success", language = "en", status = "APPROVED", components = {
      { type = "BODY", text =
        'Hello, {{1}}! Action "{{2}}" completed successfully. {{3}} Thank you for using our service.' } } } } }

    local function lost() return nil, "unknown: the answer was lost", { outcome = "unknown" } end
    local function echo(id, text, at, phone)
      return { id = id, body = text, fromMe = true, time = at or sim.time, chatId = (phone or PHONE) .. "@c.us" }
    end

    local function in_doubt(options)
      options = options or {}
      options.answer = options.answer or lost
      options.calls = options.calls or {}
      options.calls.request = options.calls.request or function() return TEMPLATES end
      start(options)
      return submit "a"
    end

    it("ends with an outgoing message in a hook, with the filled-in text", function()
      assert.equal("unknown", in_doubt().state)
      flow:hooks(cjson.encode { messages = { echo("wamid.found", TEXT) } })
      flow:drain()
      local shown = flow:show "a"
      assert.equal("accepted", shown.state)
      assert.equal("wamid.found", shown.message_id)
      assert.matches("evidence: a hook shows a message to this recipient with the text", history "a")
      hook("wamid.found", "delivered")
      assert.equal("delivered", flow:show("a").state)
      assert.equal(0, #asked "messages")
    end)

    it("ends with the history, and the statuses that were held count", function()
      in_doubt { calls = { messages = function(about)
        assert.equal(PHONE .. "@c.us", about.chatId)
        assert.is_true(about.min_time <= simulation.EPOCH)
        return { messages = { echo("wamid.found", TEXT, simulation.EPOCH + 1) } }
      end } }
      hook("wamid.found", "read", { phone = PHONE })
      flow:drain()
      assert.equal("read", flow:show("a").state)
      assert.matches("evidence: the history shows a message to this recipient with the text, 1 s after", history "a")
    end)

    it("stays with a status of the only unknown message to that recipient: exclusion is no proof, and is said once", function()
      in_doubt()
      hook("wamid.found", "delivered", { phone = PHONE, category = "utility" })
      hook("wamid.found", "read", { phone = PHONE, category = "utility" })
      sim:advance(HOUR)
      assert.equal("unknown", flow:show("a").state)
      local _, told = history("a"):gsub("status delivered, read of 1 unknown message", "")
      assert.equal(1, told)
      flow:hooks(cjson.encode { messages = { echo("wamid.found", TEXT, simulation.EPOCH + 1) } })
      flow:drain()
      assert.equal("read", flow:show("a").state) -- once its text is there, what was said before counts
    end)

    it("takes a number that WhatsApp writes otherwise for the same", function()
      start { answer = lost, calls = { request = function() return TEMPLATES end } }
      submit("a", nil, "5511912345678")
      flow:hooks(cjson.encode { messages = { echo("wamid.found", TEXT, nil, "551112345678") } })
      hook("wamid.found", "sent", { phone = "551112345678" })
      sim:advance(30)
      assert.equal("sent", flow:show("a").state)
    end)

    it("stays when the evidence is another text, time, recipient, direction, owner, or kind of message", function()
      local history_of = {}
      in_doubt { calls = { messages = function() return { messages = history_of } end } }
      local other = flow.box
      assert.is_truthy(other)
      history_of = { echo("w1", "Hello, Maria! Something else."), echo("w2", TEXT, simulation.EPOCH - 4000),
                     echo("w3", TEXT, nil, "12020729999") }
      history_of[4] = { id = "w4", body = TEXT, fromMe = false, time = sim.time, chatId = PHONE .. "@c.us" }
      hook("w1", "delivered", { phone = PHONE })               -- its text is known, and another
      hook("w5", "delivered", { phone = "12020729999" })
      hook("w6", "delivered", { phone = PHONE, category = "service" })
      sim.answer = function() return { outcome = "accepted", id = "w7" } end
      submit("b")                                              -- same text, same recipient, and its own id
      sim:advance(7)
      assert.equal("w7", flow:show("b").message_id)
      history_of[5] = echo("w7", TEXT)
      hook("w7", "delivered", { phone = PHONE })
      sim:advance(48 * HOUR)
      assert.equal("unknown", flow:show("a").state, history "a")
      assert.is_true(#asked "messages" >= 6 and #asked "messages" <= 10, #asked "messages")
      assert.equal(2, #sim.sent)                               -- and it is never sent again
    end)

    it("stays where statuses may belong to several", function()
      in_doubt()
      hook("w1", "delivered", { phone = PHONE })
      hook("w2", "delivered", { phone = PHONE })
      sim:advance(30)
      assert.equal("unknown", flow:show("a").state)
      assert.matches("status delivered of 2 unknown message", history "a")
    end)

    it("gives nobody one of two messages with one text, where two may own them: order is no proof", function()
      in_doubt()
      submit "b"
      sim:advance(8)
      assert.equal("unknown", flow:show("b").state)
      flow:hooks(cjson.encode { messages = { echo("w1", TEXT, simulation.EPOCH + 1) } })
      flow:drain()
      assert.equal("unknown", flow:show("a").state) -- one message, two that may own it
      flow:hooks(cjson.encode { messages = { echo("w2", TEXT, simulation.EPOCH + 7) } })
      flow:drain()
      for _, id in ipairs { "a", "b" } do
        assert.equal("unknown", flow:show(id).state)
        assert.matches("2 messages to this recipient with the text were seen", history(id))
      end
      flow:settle("a", "arrived")                   -- a person may tell them apart, and a settled one is a rival still
      flow:drain()
      assert.equal("unknown", flow:show("b").state)
    end)

    it("compares by the values where the template is not known", function()
      in_doubt { calls = { request = function() return nil, "rejected: 403", { outcome = "rejected" } end } }
      flow:hooks(cjson.encode { messages = { echo("w0", "Maria, your parcel"), echo("w1", "payment Maria: Thank you.") } })
      flow:drain()
      assert.equal("w1", flow:show("a").message_id)
      assert.matches("with all values", history "a")
    end)

    it("of what 1MSG queued ends as well, also hours later", function()
      in_doubt { answer = function() return { outcome = "queued", job_id = "job-1" } end }
      assert.equal("job-1", flow:show("a").job_id)
      sim:advance(5 * HOUR)
      assert.equal("unknown", flow:show("a").state)
      flow:hooks(cjson.encode { messages = { echo("w1", TEXT) } })
      flow:drain()
      assert.equal("accepted", flow:show("a").state)
    end)

    it("is ended by settle; what turns up against it is shown", function()
      in_doubt()
      assert(flow:settle("a", "not_arrived"))
      flow:hooks(cjson.encode { messages = { echo("w1", TEXT) } })
      flow:drain()
      local shown = flow:show "a"
      assert.equal("failed", shown.state)
      assert.equal("w1", shown.message_id)
      assert.matches("settled by hand as not arrived, and then the message turned up", shown.contradiction)
      hook("w1", "delivered")
      shown = flow:show "a"
      assert.equal("delivered", shown.state)
      assert.matches("settled by hand as not arrived, and then it was reported as delivered", shown.contradiction)
      assert.matches("evidence: a hook", history "a")

      sim.answer = lost
      submit("b", nil, "12020721301")
      assert(flow:settle("b", "arrived"))
      flow:hooks(cjson.encode { messages = { echo("w2", TEXT, nil, "12020721301") } })
      flow:drain()
      hook("w2", "failed", { error = "Message undeliverable" })
      shown = flow:show "b"
      assert.equal("delivered", shown.state)
      assert.matches("settled by hand as arrived, and then it was reported as failed", shown.contradiction)
      assert.equal(2, #sim.sent)
    end)
  end)
end)
