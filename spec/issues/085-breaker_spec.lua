-- The breaker believed acceptance: a fault that only deliveries tell of burned message after message; one good answer
-- between two faults made the messages look guilty; a template burned a burst at each end of its park; the only way out
-- was two words of GET /status; and messages of a channel that a process lacks were lost sight of, or moved.
-- Kind: what was complained about is what must be shown to be well, and every stop has more than one exit.
local simulation = require "support.simulation"

local HOUR = 3600
local E = simulation.EPOCH

local function refusal(status, code, text)
  return nil, "rejected: " .. text, { outcome = "rejected", status = status, code = code }
end

describe("the breaker", function()
  local sim
  after_each(function() sim:close() end)

  local function submit(n, type)
    assert(sim.flow:submit { id = "m" .. n, type = type or "paid", phone = tostring(12020740000 + n), name = "Maria" })
  end

  local function states()
    local counts = sim.flow:stats().states
    return counts
  end

  --- Tells by hook what became of all that left and was not told of yet.
  local told
  local function tell(part)
    for n = told + 1, #sim.sent do
      local message = sim.sent[n]
      assert(sim.flow:hooks(('{"ack":[{"id":"wamid.%d.%s","phone":"%s",%s}]}'):format(n, message.phone:sub(-2),
        message.phone, part)))
    end
    told = #sim.sent
  end
  before_each(function() told = 0 end)

  for name, part in pairs {
    ["131042 by code"] = '"status":"failed","errors":[{"code":131042}]',
    ["131031 by code"] = '"status":"failed","errors":[{"code":131031}]',
    ["131042 by text"] = '"status":"failed","error":"Business eligibility payment issue"',
    ["131031 by text"] = '"status":"failed","error":"Business Account locked"',
    ["368 by text"] = '"status":"failed","error":"Temporarily blocked for policies violations"',
  } do
    it("is judged by deliveries where a delivery told of the fault: " .. name, function()
      sim = simulation.new {}
      for minute = 1, 120 do
        submit(minute)
        sim:advance(51)
        tell(part)
        sim:advance(9)
      end
      assert.is_true(#sim.sent < 20, #sim.sent .. " left")
      assert.equal(1, #sim.alerts)
      assert.is_true(states().queued > 100)
      sim:advance(900) -- one more tries, and it arrives
      tell '"status":"delivered"'
      sim:advance(300)
      assert.equal("closed", sim.flow:stats().channels.main.breaker)
      assert.same({ "stopped", "resumed" }, { sim.alerts[1].alert, sim.alerts[2].alert })
      assert.is_nil(states().queued)
    end)
  end

  it("takes `sent` without a failure after it for enough, and a delivery of what left before for nothing", function()
    sim = simulation.new {}
    submit(1)
    submit(2)
    sim:advance(1)
    local first = { sim.sent[1], sim.sent[2] }
    told = 1
    tell '"status":"failed","errors":[{"code":131042}]'
    sim:advance(30)
    assert(sim.flow:hooks(('{"ack":[{"id":"wamid.1.%s","status":"delivered"}]}'):format(first[1].phone:sub(-2))))
    assert.are_not.equal("closed", sim.flow:stats().channels.main.breaker)
    submit(3)
    sim:advance(60)
    told = #sim.sent - 1
    tell '"status":"sent"'
    sim:advance(310)
    sim.flow:drain()
    assert.equal("closed", sim.flow:stats().channels.main.breaker)
  end)

  it("counts each fault: one good answer between two makes no message guilty", function()
    local ok = 0
    sim = simulation.new { random = simulation.random(3), answer = function(_, n, at)
      local t = at - E
      if t < 20 or ok > 0 and t < 120 then return refusal(401, nil, "401 Wrong token") end
      if ok == 0 then ok = 1 end
      return { outcome = "accepted", id = "wamid." .. n }
    end }
    for n = 1, 64 do submit(n) end
    sim:advance(3 * HOUR)
    assert.same({ accepted = 64 }, states())
  end)

  for code, text in pairs { [132015] = "Template is paused", [132001] = "Template name does not exist" } do
    it("lets one message try a template that was set aside: " .. code, function()
      sim = simulation.new { give_up_after = "24h", stalled_after = "30d", rate = 20, burst = 20, answer = function(_, n, at)
        if at < E + 4 * HOUR then return refusal(400, code, ("400 (#%d) %s"):format(code, text)) end
        return { outcome = "accepted", id = "wamid." .. n }
      end }
      for n = 1, 200 do submit(n) end
      sim:advance(20 * HOUR)
      local counts = states()
      assert.is_true(counts.rejected <= 5, counts.rejected .. " rejected")
      assert.equal(200, counts.accepted + counts.rejected)
    end)
  end

  for name, status in pairs {
    connected = function() return "connected" end,
    ["a word that is not known"] = function() return "authenticated" end,
    ["no such call"] = function() return nil end,
    ["disconnected for ever"] = function() return "disconnected" end,
  } do
    it("has a way out when GET /status says: " .. name, function()
      local first = true
      sim = simulation.new { status = status, answer = function(_, n)
        if first then
          first = false
          return refusal(401, nil, "401 Wrong token")
        end
        return { outcome = "accepted", id = "wamid." .. n }
      end }
      submit(1)
      sim.flow:drain()
      for n = 2, 20 do submit(n) end
      sim:advance(5 * HOUR)
      assert.same({ accepted = 20 }, states())
    end)
  end

  it("is closed by a person's word, and so are a park and a pause", function()
    local bad = true
    sim = simulation.new { status = function() return "disconnected" end, answer = function(message, n)
      if bad and message.template == "other_template" then return refusal(400, 132001, "400 (#132001)") end
      if bad then return refusal(401, nil, "401 Wrong token") end
      return { outcome = "accepted", id = "wamid." .. n }
    end }
    submit(1, "other")
    sim:advance(1)
    submit(2, "other")
    submit(3)
    sim:advance(60)
    assert.same({ queued = 2, rejected = 1 }, states())
    bad = false
    assert.same({ waiting = 2, expiring = 0 }, sim.flow:resume { channel = "main" })
    sim:advance(1)
    assert.same({ accepted = 2, rejected = 1 }, states())
    local answer, err = sim.flow:resume { channel = "sales" }
    assert.is_nil(answer)
    assert.matches("^config: the store has no channel 'sales'; it has main", err)
    assert.has_error(function() sim.flow:resume { chanel = "main" } end)
  end)

  it("says that messages wait for a channel which nobody serves, and moves none of them", function()
    local path = simulation.store_path()
    local one = simulation.new { path = path, channels = { sales = { id = "ODI1" } }, answer = function(message)
      if message.phone:sub(-1) == "1" then return refusal(422, nil, "422 namespace is missing") end
      return nil, "not_sent: refused", { outcome = "not_sent" }
    end }
    for n = 1, 5 do
      assert(one.flow:submit { id = "m" .. n, type = "paid", phone = tostring(12020740000 + n), name = "Maria" })
    end
    one.flow:drain()
    one.flow:close()
    sim = simulation.new { path = path }
    sim.time = E + 60
    sim:advance(48 * HOUR)
    assert.equal(0, #sim.sent)
    assert.equal(1, #sim.alerts)
    assert.equal("stranded", sim.alerts[1].alert)
    assert.matches("4 confirmations wait for the channel sales", sim.alerts[1].reason)
    local answer, err = sim.flow:replay "m1"
    assert.is_nil(answer)
    assert.matches("^config: m1 belongs to the channel sales", err)
    assert.equal("sales", sim.flow:show("m1").channel)
  end)
end)
