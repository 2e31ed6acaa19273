-- 1MSG could not be reached for hours, and all looked well: each message was "due later", no alert, the breaker closed; and when
-- it was back, nothing made the waiting messages go. Who can't be reached is at fault like a channel: said once, asked for,
-- and what waited is due when it answers.
local simulation = require "support.simulation"

local E = simulation.EPOCH

describe("1MSG that can't be reached", function()
  local sim, from, till
  after_each(function() sim:close() end)

  local function lost(at) return at - E >= from and at - E < till end
  local function start(options)
    options = options or {}
    options.give_up_after = "24h"
    options.answer = function(_, n, at)
      if lost(at) then
        return nil, "not_sent: api.1msg.io: Could not resolve host; the message had not left",
          { outcome = "not_sent", class = "network", retry = true }
      end
      return { outcome = "accepted", id = "wamid." .. n }
    end
    options.status = function(at)
      return lost(at) and "disconnected" or "connected" -- as ill as no answer
    end
    sim = simulation.new(options)
  end

  local function submit(n)
    assert(sim.flow:submit { id = "m" .. n, type = "paid", phone = tostring(12020740000 + n), name = "Maria" })
  end

  local function gate() return sim.flow:stats().channels.main end

  for _, count in ipairs { 1, 30, 200 } do
    it(("is said once, costs no tries, and %d messages leave when it answers"):format(count), function()
      from, till = 0, 3 * 3600
      start()
      for n = 1, count do submit(n) end
      sim:advance(3600)
      assert.equal(1, #sim.alerts)
      assert.equal("stopped", sim.alerts[1].alert)
      assert.matches("^1MSG can't be reached: api.1msg.io: Could not resolve host", sim.alerts[1].reason)
      assert.equal("open", gate().breaker)
      assert.matches("can't be reached", gate().reason)
      sim:advance(2 * 3600 + 400) -- the probe comes every five minutes at the latest
      assert.same({ accepted = count }, sim.flow:stats().states)
      assert.same({ "stopped", "resumed" }, { sim.alerts[1].alert, sim.alerts[2].alert })
      assert.equal(2, #sim.alerts)
      for _, row in ipairs(sim.flow:list { limit = 1000 }) do
        assert.is_true(sim.flow:show(row.id).attempts < 20, sim.flow:show(row.id).attempts)
      end
    end)
  end

  it("is no news where it lasts but seconds", function()
    from, till = 0, 4
    start()
    for n = 1, 64 do submit(n) end
    sim:advance(600)
    assert.same({ accepted = 64 }, sim.flow:stats().states)
    assert.equal(0, #sim.alerts)
  end)

  it("is tried at once when a person says that all is well", function()
    from, till = 0, 3600
    start()
    for n = 1, 30 do submit(n) end
    sim:advance(3610 - 1)
    till = 0
    local told = assert(sim.flow:resume { channel = "main" })
    assert.equal(30, told.waiting)
    sim:advance(30)
    assert.same({ accepted = 30 }, sim.flow:stats().states)
  end)

  it("leaves who is paused where they are, in their order", function()
    from, till = 0, 3600
    start()
    for n = 1, 5 do assert(sim.flow:submit { id = "m" .. n, type = "paid", phone = "12020740001", name = tostring(n) }) end
    sim:advance(5) -- tried before
    assert(sim.flow:pause { template = "action_success" })
    for n = 6, 8 do assert(sim.flow:submit { id = "m" .. n, type = "paid", phone = "12020740001", name = tostring(n) }) end
    for n = 1, 6 do -- these find out that 1MSG is not reached, and that it is again
      assert(sim.flow:submit { id = "o" .. n, type = "other", phone = tostring(12020741000 + n), name = "Maria" })
    end
    sim:advance(3600 + 400)
    assert.same({ "paused", "stopped", "resumed" }, { sim.alerts[1].alert, sim.alerts[2].alert, sim.alerts[3].alert })
    assert.same({ queued = 8, accepted = 6 }, sim.flow:stats().states)
    local left = #sim.sent
    assert(sim.flow:resume { template = "action_success" })
    sim:advance(600)
    local order = {}
    for n, one in ipairs(sim.sent) do
      local name = one.message.body and one.message.body[1] or one.message.name
      if n > left and one.phone == "12020740001" then order[#order + 1] = name end
    end
    assert.equal("1 2 3 4 5 6 7 8", table.concat(order, " "))
  end)
end)
