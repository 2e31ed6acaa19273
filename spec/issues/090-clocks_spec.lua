-- A wall clock that was set back stopped the loop until that time came again; one that was a day ahead for a moment expired
-- everything that waited, stalled everything accepted, and used every other way.
-- Kind: deadlines in memory are by a clock that only rises; a jump of the wall clock is said, and not believed at once; what
-- a wrong clock stored is set back.
local clocks = require "onemsg.workflow.clock"
local simulation = require "support.simulation"

local E, DAY, HOUR = simulation.EPOCH, 86400, 3600

describe("the clock", function()
  local wall, steady, clock
  local function new()
    return clocks.new { now = function() return wall end, steady = function() return steady end }
  end
  before_each(function()
    wall, steady = E, 1000
    clock = new()
  end)

  --- Time passes, by both clocks.
  local function pass(seconds, of)
    wall, steady = wall + seconds, steady + seconds
    return (of or clock).now()
  end

  for _, by in ipairs { DAY, HOUR, 61, 2, -2, -61, -HOUR, -DAY } do
    it(("that jumps by %d s is not believed until it has held"):format(by), function()
      assert.equal(E + 10, pass(10))
      wall = wall + by
      assert.equal(E + 11, pass(1))
      assert.equal(E + 10 + clocks.HOLD, pass(clocks.HOLD - 1))
      assert.equal(1, #clock.news)
      assert.equal(by, clock:jumped())
      pass(1)
      assert.equal(E + by + 12 + clocks.HOLD, pass(1))
      assert.is_nil(clock:jumped())
      assert.equal(2, #clock.news)
      assert.equal(by > 0, not clock:ends_leases(100)) -- those of before seem to have ended
      pass(101)
      assert.is_true(clock:ends_leases(100))
    end)

    it(("that jumps by %d s and comes back did nothing"):format(by), function()
      wall = wall + by
      assert.equal(E + clocks.HOLD / 2, pass(clocks.HOLD / 2))
      wall = wall - by
      assert.equal(E + clocks.HOLD / 2 + DAY, pass(DAY))
      assert.equal(2, #clock.news)
      assert.is_nil(clock:jumped())
    end)
  end

  it("that jumps again while it is in doubt has to hold anew", function()
    wall = wall + DAY
    pass(1)
    pass(clocks.HOLD - 1)
    wall = wall + HOUR
    assert.equal(E + clocks.HOLD + 1, pass(1))
    assert.equal(E + 2 * clocks.HOLD, pass(clocks.HOLD - 1))
    pass(1)
    assert.equal(E + 2 * clocks.HOLD + 2 + DAY + HOUR, pass(1))
  end)

  it("follows a step too small to matter without a word", function()
    wall = wall + 0.5
    assert.equal(E + 2.5, pass(2))
    assert.equal(0, #clock.news)
  end)

  it("is one for the processes of one boot", function()
    local kept
    local box = { read_clock = function() return kept end, write_clock = function(_, text) kept = text return true end }
    local function process(boot)
      local one = new()
      one.boot = boot or "b-1"
      assert(one:open(box))
      return one
    end
    clock = process()
    wall = wall + DAY
    pass(2)
    clock:share(box)
    local short = process() -- begun after the jump: it believes what the others do
    assert.equal(E + 2, short.now())
    assert.equal(DAY, short:jumped())
    pass(clocks.HOLD)
    short = process() -- it lives for a moment, and others have seen the jump long before
    assert.equal(E + 2 + clocks.HOLD, short.now())
    short:watch()
    assert.equal(E + DAY + 2 + clocks.HOLD, short.now())
    short:share(box)
    local late = new()
    late.boot, late.offset = "b-1", E - 1000
    late:watch()
    assert.equal(DAY, late:jumped())
    late:share(box) -- somebody else believes it by now: all of them do
    assert.is_nil(late:jumped())
    assert.equal(late.now(), short.now())
    assert.is_nil(process("b-2"):jumped()) -- another start of the machine knows nothing of this one's clocks
  end)

  it("is not sure of itself just after the machine started", function()
    local box = { read_clock = function() return "b-1 5.0 - -" end, write_clock = function() return true end }
    for at, sure in pairs { [10] = false, [clocks.YOUNG + 1] = true } do
      steady = at
      local one = new()
      one.boot = "b-2"
      assert(one:open(box))
      assert.equal(sure, one:is_sure())
      steady = at + clocks.HOLD
      assert.is_true(one:is_sure())
    end
  end)
end)

describe("a jump of the wall clock", function()
  local sim, sms
  local function start(more)
    sms = 0
    local options = { fallback = { sms = function() sms = sms + 1 return true end } }
    for name, value in pairs(more or {}) do options[name] = value end
    sim = simulation.new(options)
  end
  after_each(function() sim:close() end)

  local function submit(id, n, kind)
    return assert(sim.flow:submit { id = id, type = kind or "else", phone = tostring(12020721300 + n), name = "Maria" })
  end

  --- What everybody does in the middle of it.
  local function turns()
    for _ = 1, 5 do
      sim.flow.worker.look_at = 0
      sim.flow.worker:turn(true)
    end
  end

  for _, by in ipairs { DAY + 60, HOUR, -HOUR } do
    it(("of %d s ends nothing, uses no other way, and takes nobody for dead"):format(by), function()
      local down = false
      start { answer = function(_, n)
        if down then return nil, "not_sent: refused", { outcome = "not_sent" } end
        return { outcome = "accepted", id = "w" .. n }
      end }
      for n = 1, 3 do submit("accepted" .. n, n) end
      sim.flow:drain()
      local other = simulation.new { path = sim.path } -- another process, in the middle of a send
      submit("sending", 9)
      assert.equal(1, #other.flow.box:claim(other.flow.box:look().gates.main, 1, { from = E, each = 0 }, sim.time, 35, 6))
      down = true
      for n = 4, 6 do submit("queued" .. n, n) end
      sim.flow:drain()
      sim.time = sim.time + by
      turns()
      assert.same({ accepted = 3, queued = 3, sending = 1 }, sim.flow.box:counts(E).states) -- to look passes no time
      assert.equal(by, sim.flow.clock:jumped())
      sim.time = sim.time - by
      turns()
      assert.same({ accepted = 3, queued = 3, sending = 1 }, sim.flow:stats().states)
      assert.equal(0, sms)
      assert.same({ "clock", "clock" }, { sim.alerts[1].alert, sim.alerts[2].alert })
      assert.equal(2, #sim.alerts)
      assert.is_nil(sim.flow:stats().clock.jumped)
      other.flow:close()
    end)
  end

  it("that was believed, and was wrong, leaves nothing behind that waits for it", function()
    local path = simulation.store_path()
    local refused = true
    start { path = path, answer = function(message, n)
      if message.template == "other_template" then
        return nil, "rejected: 132015 paused", { outcome = "rejected", status = 400, code = 132015 }
      end
      if refused then return nil, "not_sent: refused", { outcome = "not_sent" } end
      return { outcome = "accepted", id = "w" .. n }
    end }
    sim.time = E + DAY -- the wrong clock
    submit("queued", 1, "paid")
    submit("paused", 2, "other")
    sim.flow:drain()
    submit("parked", 5, "other")
    submit("dead", 3, "paid")
    assert.equal(1, #sim.flow.box:claim(sim.flow.box:look().gates.main, 1, { from = E, each = 0 }, sim.time, 35, 6))
    sim.flow.box:suppress({ channel = "main", phone = "12020721304", reason = "x", source = "hook", at = sim.time,
      until_at = sim.time + 60 },
      sim.time)
    assert.equal(1, sim.flow:unsuppress "+12020721304")
    sim.flow:close()
    refused = false
    start { path = path }
    sim.time = E + 5
    sim:advance(60)
    assert.same({ accepted = 2, rejected = 1, unknown = 1 }, sim.flow:stats().states)
    local told = sim.alerts[1]
    assert.equal("clock", told.alert)
    assert.matches("confirmations were stored by a clock that was 86%d%d%d s ahead", told.reason)
    assert.matches("its times were set back", simulation.history(sim.flow, "queued"))
    assert.is_true(sim.flow:show("queued").created_at <= sim.time)
  end)
end)
