-- Every magic number of the fake 1MSG over simulated hours: exactly the sends that its answers allow. The
-- answers are real: each is taken once from the fake through a real channel, and then given again in simulated time.
local channels = require "support.channels"
local numbers = require "onemsg.fake.numbers"
local server = require "support.server"
local simulation = require "support.simulation"

local HOUR = 3600
local GIVE_UP = 6 * HOUR

-- What a code makes of a refusal, by PLATFORM.md 4: a new send helps, the template is set aside, the channel stops.
local RETRIED = { [65] = true, [66] = true, [68] = true }
local STOPS = { [58] = true, [60] = true, [61] = true, [94] = true, [95] = true }
local PARKS = { [47] = true, [93] = true }

describe("workflow over simulated hours", function()
  local answers, sim = {}, nil

  setup(function()
    local fake = server.fake { journal = false, set = { pace_ms = 0 } }
    local channel = channels.new(fake)
    local hasty = channels.new(fake, { timeout = 3 })
    for ending, row in pairs(numbers.list) do
      local phone, taken = channels.phone(ending), {}
      for n = 1, (row.first or 0) + 1 do
        taken[n] = { (ending == 76 and hasty or channel):send(channels.message(phone)) }
      end
      answers[ending] = taken
    end
    channel:close()
    hasty:close()
    fake:stop()
  end)

  after_each(function()
    if sim then sim:close() end
    sim = nil
  end)

  --- A simulation in which each phone gets the answers of its ending.
  local function start(options)
    local counts = {}
    options = options or {}
    options.answer = options.answer or function(message)
      local phone = message.phone
      counts[phone] = (counts[phone] or 0) + 1
      local taken = answers[tonumber(phone:sub(-2))]
      if not taken then return { outcome = "accepted", id = "wamid." .. counts[phone] .. phone:sub(-2) } end
      local answer = taken[math.min(counts[phone], #taken)]
      return answer[1], answer[2], answer[3]
    end
    sim = simulation.new(options)
  end

  local function submit(id, ending, more)
    local event = { id = id, type = "paid", phone = channels.phone(ending) }
    for name, value in pairs(more or {}) do event[name] = value end
    assert(sim.flow:submit(event))
    return event.phone
  end

  --- The seconds from each send to the next.
  local function gaps(phone)
    local times, list = sim:times(phone), {}
    for n = 2, #times do list[n - 1] = times[n] - times[n - 1] end
    return list
  end

  local endings = {}
  for ending in pairs(numbers.list) do endings[#endings + 1] = ending end
  table.sort(endings)

  for _, ending in ipairs(endings) do
    local row = numbers.list[ending]
    local again = row.outcome == "not_sent" or RETRIED[ending]
    it(("%02d: %s"):format(ending, row.say), function()
      start()
      local phone = submit("one", ending)
      sim:advance(GIVE_UP + HOUR)
      local shown = sim.flow:show("one")
      local sends = #sim:times(phone)
      if not again and not STOPS[ending] then
        assert.equal(1, sends)
        local state = row.outcome == "queued" and "unknown" or row.outcome
        assert.equal(state, shown.state)
        assert.equal("queued sending " .. state, sim:states "one")
        if row.outcome == "queued" then assert.equal("job-", shown.job_id:sub(1, 4)) end
      elseif row.first then
        assert.equal(row.first + 1, sends)
        assert.equal("accepted", shown.state)
      else
        assert.equal("expired", shown.state)
        assert.is_true(sends > 5 and sends < 100, "sends: " .. sends)
      end
      assert.is_true(shown.state ~= "expired" or shown.changed_at - shown.created_at == GIVE_UP)
      for n, gap in ipairs(gaps(phone)) do
        local most = STOPS[ending] and HOUR + 900 or 900 * 1.25 + 10
        assert.is_true(gap >= 2 and gap <= most, ("gap %d: %g s"):format(n, gap))
      end
    end)
  end

  it("429 without a word: full jitter between the code's 5 s and its doubling, and never after six hours", function()
    start()
    local phone = submit("one", 64)
    sim:advance(8 * HOUR)
    for n, gap in ipairs(gaps(phone)) do
      assert.is_true(gap >= 5 and gap <= math.min(900, 5 * 2 ^ n) + 0.3, ("gap %d: %g s"):format(n, gap))
    end
    local times = sim:times(phone)
    assert.is_true(times[#times] < simulation.EPOCH + GIVE_UP)
  end)

  it("429 with Retry-After: never sooner than the server asked for", function()
    start { answer = function()
      return nil, "not_sent: 429", { outcome = "not_sent", status = 429, retry = true, retry_after = 700 }
    end }
    local phone = submit("one", 0)
    sim:advance(8 * HOUR)
    for _, gap in ipairs(gaps(phone)) do assert.is_true(gap >= 700) end
    assert.is_true(#gaps(phone) > 10)
  end)

  it("131056: the waits grow by four", function()
    start()
    local phone = submit("one", 66)
    sim:advance(8 * HOUR)
    for n, gap in ipairs(gaps(phone)) do
      local low = math.min(900, 6 * 4 ^ (n - 1))
      assert.is_true(gap >= low and gap <= low * 1.25 + 0.3, ("gap %d: %g s"):format(n, gap))
    end
  end)

  it("a code that names a number of tries is tried so often", function()
    start { answer = function()
      return nil, "rejected: 131000",
        { outcome = "rejected", status = 400, code = 131000, retry = true, retry_after = 10 }
    end }
    local phone = submit("one", 0)
    sim:advance(8 * HOUR)
    assert.equal(4, #sim:times(phone))
    assert.equal("rejected", sim.flow:show("one").state)
  end)

  it("give_up_after of the rule ends it, not a count", function()
    start()
    local phone = submit("one", 64, { type = "short" })
    sim:advance(HOUR)
    local times = sim:times(phone)
    assert.is_true(times[#times] - simulation.EPOCH < 600)
    local shown = sim.flow:show("one")
    assert.same({ "expired", 600 }, { shown.state, shown.changed_at - shown.created_at })
  end)

  describe("the breaker", function()
    it("stops the channel at the first fault, burns nothing, tells once, and goes on when it is fixed", function()
      local broken = true
      start { answer = function(message)
        if broken then return nil, "rejected: 401 Wrong token", { outcome = "rejected", status = 401 } end
        return { outcome = "accepted", id = "w" .. message.phone:sub(5, 10) }
      end, status = function() return broken and "disconnected" or "connected" end, window = 4 }
      for n = 1, 50 do submit("e" .. n, n % 20) end
      sim:advance(HOUR)
      assert.is_true(#sim.sent <= 4, #sim.sent .. " sends into a closed door")
      assert.same({ queued = 50 }, sim.flow:stats().states)
      assert.equal("open", sim.flow:stats().channels.main.breaker)
      assert.equal(1, #sim.alerts)
      assert.equal("stopped", sim.alerts[1].alert)
      assert.is_true(#sim.probes > 5 and #sim.probes < 25, #sim.probes .. " probes in an hour")
      broken = false
      sim:advance(600)
      assert.same({ accepted = 50 }, sim.flow:stats().states)
      assert.equal("closed", sim.flow:stats().channels.main.breaker)
      assert.same({ "stopped", "resumed" }, { sim.alerts[1].alert, sim.alerts[2].alert })
      assert.equal(2, #sim.alerts)
    end)

    it("lets one message try when the channel says that it is connected", function()
      start { answer = function()
        return nil, "rejected: 131042", { outcome = "rejected", status = 200, code = 131042, retry = false }
      end, window = 1 }
      for n = 1, 30 do submit("e" .. n, n % 20) end
      sim:advance(HOUR)
      assert.is_true(#sim.sent > 5 and #sim.sent < 25, #sim.sent .. " sends in an hour")
      for n = 2, #sim.sent do assert.is_true(sim.sent[n].at - sim.sent[n - 1].at >= 5) end
      assert.same({ queued = 30 }, sim.flow:stats().states)
    end)

    it("waits as long as the fault asks for", function()
      start()
      submit("one", 95)
      submit("two", 0)
      sim:advance(10)
      local sends = #sim.sent
      sim:advance(HOUR - 20)
      assert.equal(sends, #sim.sent)
    end)

    it("rejects a message whose fault turns out to be its own", function()
      start { window = 1 }
      submit("bad", 94)
      for n = 1, 15 do -- it is the only one that is refused, time and again, while others pass
        submit("good" .. n, n)
        sim:advance(HOUR / 4)
      end
      assert.equal("rejected", sim.flow:show("bad").state)
      assert.equal(15, sim.flow:stats().states.accepted)
      assert.equal("closed", sim.flow:stats().channels.main.breaker)
    end)

    it("looks at the channel when answer after answer leaves open what happened", function()
      local down = true
      start { answer = function(message)
        if down then return nil, "unknown: 502", { outcome = "unknown", status = 502 } end
        return { outcome = "accepted", id = "w" .. message.phone:sub(5, 10) }
      end, status = function() return down and "" or "connected" end, window = 1 }
      for n = 1, 100 do submit("e" .. n, n % 20) end
      sim:advance(5 * HOUR)
      assert.same({ unknown = 20, queued = 80 }, sim.flow:stats().states)
      down = false
      sim:advance(400)
      assert.same({ unknown = 20, accepted = 80 }, sim.flow:stats().states)
    end)

    it("is opened by a person's replay", function()
      local broken = true
      start { answer = function()
        if broken then return nil, "rejected: 401", { outcome = "rejected", status = 401 } end
        return { outcome = "accepted", id = "w" }
      end, status = function() return broken and "disconnected" or "connected" end }
      submit("short", 0, { type = "short" })
      sim:advance(4 * HOUR)
      assert.equal("expired", sim.flow:show("short").state)
      broken = false
      assert(sim.flow:replay("short"))
      sim:advance(30)
      assert.equal("accepted", sim.flow:show("short").state)
    end)
  end)

  for ending in pairs(PARKS) do
    it(("%02d: sets that template's messages aside, and only those"):format(ending), function()
      start { answer = function(message)
        if message.template == "other_template" then
          return answers[ending][1][1], answers[ending][1][2], answers[ending][1][3]
        end
        return { outcome = "accepted", id = "w" .. message.phone:sub(5, 10) }
      end, window = 1 }
      local phone = submit("first", 0, { type = "other" })
      for n = 1, 10 do submit("o" .. n, n, { type = "other" }) end
      assert(sim.flow:submit { id = "same person", type = "paid", phone = phone })
      for n = 1, 10 do submit("p" .. n, n) end
      sim:advance(600)
      assert.equal("rejected", sim.flow:show("first").state)
      assert.same({ rejected = 1, queued = 10, accepted = 11 }, sim.flow:stats().states)
      assert.matches("the template is set aside", sim.flow:show("o5").held)
      submit("late", 11, { type = "other" })
      sim:advance(600)
      assert.equal("queued", sim.flow:show("late").state)
      assert.is_true(#sim.flow:stats().parked == 1)
      sim:advance(4 * HOUR)
      assert.is_true(sim.flow:stats().states.rejected <= 5) -- one an hour, not all
      assert(sim.flow:replay("first"))                      -- a person says that it is fixed
      assert.equal(0, #sim.flow:stats().parked)
      assert.equal(sim.time, sim.flow:show("late").due_at)
    end)
  end

  describe("the recipient", function()
    it("gets one message at a time, in order, six seconds apart", function()
      start()
      local phone = channels.phone(0)
      for n = 1, 5 do assert(sim.flow:submit { id = "m" .. n, type = "paid", phone = phone, name = "n" .. n }) end
      sim:advance(60)
      local times = sim:times(phone)
      assert.equal(5, #times)
      for n, sent in ipairs(sim.sent) do assert.equal("n" .. n, sent.message.body[1]) end
      for n = 2, 5 do assert.is_true(times[n] - times[n - 1] >= 6 and times[n] - times[n - 1] < 7) end
    end)

    it("keeps the order also while the first is tried again, and holds nobody else up", function()
      start()
      local phone = channels.phone(67) -- 429 twice
      for n = 1, 3 do assert(sim.flow:submit { id = "m" .. n, type = "paid", phone = phone, name = "n" .. n }) end
      for n = 1, 20 do submit("x" .. n, n % 20) end
      sim:advance(1)
      assert.equal(20, sim.flow:stats().states.accepted)
      sim:advance(120)
      local names = {}
      for _, sent in ipairs(sim.sent) do
        if sent.phone == phone then names[#names + 1] = sent.message.body[1] end
      end
      assert.same({ "n1", "n1", "n1", "n2", "n3" }, names)
    end)
  end)

  it("does not flood after downtime", function()
    start { rate = 20, burst = 20 }
    for n = 1, 1000 do submit("e" .. n, n % 20) end
    sim.time = sim.time + 5 * HOUR
    local from = sim.time
    sim:advance(120)
    assert.equal(1000, sim.flow:stats().states.accepted)
    local second, most = {}, 0
    for _, sent in ipairs(sim.sent) do
      local at = math.floor(sent.at - from)
      second[at] = (second[at] or 0) + 1
      most = math.max(most, second[at])
    end
    assert.is_true(most <= 41, most .. " in one second")
    assert.is_true(sim.sent[1000].at - from >= 48)
  end)

  it("a lease that ran out in sending becomes unknown, and is never sent again", function()
    start { lease = 60 }
    local phone = submit("one", 0)
    local gate = sim.flow.box:look().gates.main
    assert.equal(1, #sim.flow.box:claim(gate, 10, { from = sim.time, each = 0.05 }, sim.time, 60, 6))
    sim:advance(59)
    assert.equal("sending", sim.flow:show("one").state)
    sim:advance(2)
    assert.equal("unknown", sim.flow:show("one").state)
    assert.matches("ended before it recorded the answer", sim.flow:show("one").reason)
    sim:advance(10 * HOUR)
    assert.equal(0, #sim:times(phone))
    assert.equal("queued sending unknown", sim:states "one")
  end)
end)
