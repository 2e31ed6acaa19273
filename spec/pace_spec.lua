local pace = require "onemsg.pace"

local function closed(more)
  local gate = { tat = 0, pause_until = 0, breaker = "closed", fault = "", reason = "", tries = 0, next_at = 0,
                 closed_at = 0 }
  for name, value in pairs(more or {}) do gate[name] = value end
  return gate
end

local function merged(gate, fields)
  for name, value in pairs(fields) do gate[name] = value end
  return gate
end

describe("pace: the bucket", function()
  local limits = { rate = 20, burst = 5 }

  local function take(gate, now, n)
    local cost = pace.cost(gate, now, limits)
    gate.tat = cost.from + n * cost.each
  end

  it("gives the burst after a calm, then the rate", function()
    local gate, sent = closed(), 0
    for tick = 0, 999 do -- 10 s in steps of 10 ms, taking all there is
      local now = 1000 + tick * 0.01
      local n = pace.room(gate, now, limits)
      if n > 0 then
        take(gate, now, n)
        sent = sent + n
      end
    end
    assert.is_true(sent >= 5 + 20 * 9.9 and sent <= 5 + 20 * 10, "sent " .. sent)
  end)

  it("never has more than the burst, however long it was down", function()
    local gate = closed()
    take(gate, 1000, 5)
    assert.equal(0, (pace.room(gate, 1000, limits)))
    assert.equal(5, (pace.room(gate, 1000 + 7 * 3600, limits)))
  end)

  it("says when the next may leave", function()
    local gate = closed()
    take(gate, 1000, 5)
    local n, again = pace.room(gate, 1000, limits)
    assert.equal(0, n)
    assert.near(1000.05, again, 1e-6)
    assert.equal(0, (pace.room(gate, 1000.049, limits)))
    assert.equal(1, (pace.room(gate, again, limits)))
  end)

  it("survives a clock that is set back", function()
    local gate = closed()
    take(gate, 1000000, 5)
    assert.equal(5, (pace.room(gate, 1000, limits)))
  end)

  it("is shut in a pause, while the breaker is open, and lets one through in trial", function()
    local n, again = pace.room(closed { pause_until = 1010 }, 1000, limits)
    assert.same({ 0, 1010 }, { n, again })
    assert.equal(5, (pace.room(closed { pause_until = 1010 }, 1010, limits)))
    n, again = pace.room(closed { breaker = "open", next_at = 1020 }, 1030, limits)
    assert.same({ 0, 1020 }, { n, again })
    assert.equal(1, (pace.room(closed { breaker = "trial", next_at = 1000 }, 1000, limits)))
    n, again = pace.room(closed { breaker = "trial", next_at = 1060 }, 1000, limits)
    assert.same({ 0, 1060 }, { n, again })
  end)
end)

describe("pace: new sends", function()
  local function bounds(about)
    return pace.backoff(about, function() return 0 end), pace.backoff(about, function() return 0.999999 end)
  end

  it("come by full jitter between 2 s and the doubled wait, at most 15 minutes", function()
    for retry, ceiling in ipairs { 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900 } do
      local low, high = bounds { retry = retry }
      assert.equal(2, low)
      assert.near(ceiling, high, 0.001 * ceiling)
    end
    local _, high = bounds { retry = 100000 }
    assert.near(900, high, 1)
  end)

  it("use the whole range", function()
    local random, seen = math.random, {}
    for _ = 1, 2000 do seen[math.floor(pace.backoff({ retry = 4 }, random) / 4)] = true end -- 2 … 32 in boxes of 4
    for box = 0, 7 do assert.is_true(seen[box], "nothing near " .. box * 4) end
  end)

  it("never undercut Retry-After, and don't believe more than an hour", function()
    assert.equal(120, (bounds { retry = 1, retry_after = 120 }))
    assert.equal(3600, (bounds { retry = 1, retry_after = 86400 }))
    assert.equal(2, (bounds { retry = 1, retry_after = -5 }))
  end)

  it("wait at least as long as the code asks for", function()
    local low, high = bounds { retry = 1, wait = 60 }
    assert.equal(60, low)
    assert.near(120, high, 0.1)
    low, high = bounds { retry = 1, wait = 3600 }
    assert.equal(3600, low)
    assert.near(4500, high, 0.1)
  end)

  it("follow the law of 131056: never sooner than 4^X s", function()
    for retry = 1, 8 do
      local low = bounds { retry = retry, wait = 6, factor = 4 }
      assert.is_true(low >= math.min(900, 4 ^ (retry - 1)), "retry " .. retry)
      assert.is_true(low <= 900)
    end
  end)
end)

describe("pace: the breaker", function()
  it("opens once, with a first probe after seconds, then less and less often", function()
    local gate = closed()
    local fields, news = pace.trip(gate, 1000, { reason = "401" })
    assert.is_true(news)
    merged(gate, fields)
    assert.equal("open", gate.breaker)
    assert.equal(1005, gate.next_at)
    assert.is_nil((pace.trip(gate, 1001, { reason = "401" })))
    local at, waits = 1005, {}
    for n = 1, 9 do
      merged(gate, pace.probed(gate, at, "ill"))
      waits[n] = gate.next_at - at
      at = gate.next_at
    end
    assert.same({ 10, 20, 40, 80, 160, 300, 300, 300, 300 }, waits)
  end)

  it("waits as long as the fault asks for", function()
    local fields = pace.trip(closed(), 1000, { reason = "131048", wait = 3600 })
    assert.equal(4600, fields.next_at)
  end)

  it("is closed by a message that is answered, not by a healthy word alone", function()
    local gate = merged(closed(), (pace.trip(closed(), 1000, { reason = "131042" })))
    merged(gate, pace.probed(gate, 1005, "well"))
    assert.equal("trial", gate.breaker)
    local again = pace.trip(gate, 1006, { reason = "131042" })
    assert.equal("open", again.breaker)
    assert.equal(1016, again.next_at)
    merged(gate, pace.tried(gate, 1006, true))
    assert.same({ "closed", 1006, 0 }, { gate.breaker, gate.closed_at, gate.tries })
    assert.is_nil((pace.tried(gate, 1007, true)))
  end)

  it("tells nobody twice: a trial that fails is no news", function()
    local gate = merged(closed(), { breaker = "trial", next_at = 0 })
    local _, news = pace.trip(gate, 1000, { reason = "401" })
    assert.is_false(news)
  end)

  it("takes an answer in doubt for no proof", function()
    local fields = pace.tried(closed { breaker = "trial", tries = 1 }, 1000, false)
    assert.is_nil(fields.breaker)
    assert.equal(1010, fields.next_at)
  end)

  it("after mere doubt asks at once, and closes on a healthy word", function()
    local gate = merged(closed(), (pace.trip(closed(), 1000, { reason = "20 doubts", fault = "doubt" })))
    assert.equal(1000, gate.next_at)
    assert.equal("closed", pace.probed(gate, 1000, "well").breaker)
  end)
end)
