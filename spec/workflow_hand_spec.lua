-- What a person asks and decides: show, list, settle, replay, cancel. A real store, a scripted channel, simulated time.
local simulation = require "support.simulation"

local PHONE = "12020721300"

local function paid(id, more)
  local event = { id = id, type = "paid", phone = PHONE, name = "Maria" }
  for name, value in pairs(more or {}) do event[name] = value end
  return event
end

describe("workflow by hand", function()
  local sim, flow

  local function start(options)
    if sim then sim:close() end
    sim = simulation.new(options or {})
    flow = sim.flow
  end

  before_each(function() start() end)
  after_each(function()
    sim:close()
    sim = nil
  end)

  it("shows nothing for an unknown id, and raises for none", function()
    local shown, err = flow:show("nobody")
    assert.is_nil(shown)
    assert.is_nil(err)
    assert.error_matches(function() flow:show() end, "show takes the id")
    for _, call in ipairs { "cancel", "replay" } do
      assert.matches("^invalid: no confirmation has the id nobody", select(2, flow[call](flow, "nobody")))
    end
    assert.matches("^invalid: no confirmation", select(2, flow:settle("nobody", "arrived")))
  end)

  it("lists by state, rule, phone and time, the newest first", function()
    assert(flow:submit(paid "a"))
    sim:advance(10)
    assert(flow:submit(paid("b", { phone = "12020721311" })))
    assert(flow:submit(paid("c", { type = "nothing" })))
    local function ids(by)
      local list = {}
      for n, one in ipairs(flow:list(by)) do list[n] = one.id end
      return table.concat(list, " ")
    end
    assert.equal("b", ids { state = "queued" })
    assert.equal("a", ids { state = "accepted" })
    assert.equal("c b a", ids())
    assert.equal("c b", ids { limit = 2 })
    assert.equal("a", ids { phone = PHONE })
    assert.equal("b a", ids { rule = "Paid" })
    assert.equal("a", ids { before = sim.time })
    assert.equal("c b", ids { since = sim.time })
    assert.error_matches(function() flow:list { stat = "x" } end, "no filter 'stat', did you mean 'state'")
    assert.error_matches(function() flow:list { state = "quued" } end, "no state 'quued', did you mean 'queued'")
    assert.error_matches(function() flow:list { limit = "5" } end, "limit must be a number")
  end)

  it("cancels what is queued, and nothing else", function()
    assert(flow:submit(paid "a"))
    assert.equal("cancelled", flow:cancel("a").state)
    sim:advance(60)
    assert.equal(0, #sim.sent)
    assert.matches("^conflict: a is cancelled", select(2, flow:cancel("a")))
    assert.equal("queued cancelled", sim:states "a")
  end)

  it("settles what is in doubt, and nothing else", function()
    start { answer = function() return nil, "unknown: reset", { outcome = "unknown" } end }
    assert(flow:submit(paid "a"))
    assert(flow:submit(paid("b", { phone = "12020721311" })))
    assert.matches("^conflict: a is queued", select(2, flow:settle("a", "arrived")))
    sim:advance(60)
    assert.error_matches(function() flow:settle("a", "maybe") end, "arrived")
    assert.matches("^conflict: a is unknown; settle it first", select(2, flow:replay("a")))
    assert.equal("delivered", flow:settle("a", "arrived").state)
    assert.equal("failed", flow:settle("b", "not_arrived").state)
    assert.matches("^conflict: a is delivered", select(2, flow:settle("a", "arrived")))
    assert.matches("^conflict: a is delivered", select(2, flow:replay("a")))
    assert.equal("queued", flow:replay("b").state)
    sim:advance(60)
    assert.equal(2, #sim:times "12020721311")
    assert.equal("queued sending unknown failed queued sending unknown", sim:states "b")
  end)

  it("replays what was refused, as the rules decide it now", function()
    local fixed = false
    start { answer = function(message)
      if fixed then return { outcome = "accepted", id = "wamid." .. #message.phone } end
      return nil, "rejected: 422 namespace is missing", { outcome = "rejected", status = 422 }
    end }
    assert(flow:submit(paid "a"))
    sim:advance(60)
    assert.equal("rejected", flow:show("a").state)
    fixed = true
    local shown = assert(flow:replay("a"))
    assert.equal("queued", shown.state)
    assert.matches("^conflict: a is queued", select(2, flow:replay("a")))
    sim:advance(60)
    shown = flow:show("a")
    assert.same({ "accepted", 1, "wamid.11" }, { shown.state, shown.attempts, shown.message_id })
  end)

  it("replays what was skipped only when the rules confirm it now", function()
    local rules = require "onemsg.rules"
    local set = rules.load(simulation.RULES)
    start { rules = { current = function() return set end } }
    assert(flow:submit { id = "a", type = "new", phone = PHONE })
    assert.matches("^invalid: the rules skip it: no rule is for \"new\"", select(2, flow:replay("a")))
    set = rules.load(simulation.RULES .. 'confirm "New" { on = "new", action = "x", next_step = "y" }')
    assert.equal("New", flow:replay("a").rule)
    sim:advance(60)
    assert.equal("accepted", flow:show("a").state)
    assert.equal(set.version, flow:show("a").version)
  end)

  it("does not replay around once_per", function()
    start { answer = function(_, n)
      if n == 1 then return nil, "rejected: 400", { outcome = "rejected", status = 400 } end
      return { outcome = "accepted", id = "w" .. n }
    end }
    assert(flow:submit { id = "a", type = "once", payment = "p", phone = PHONE })
    assert(flow:submit { id = "b", type = "once", payment = "p", phone = PHONE })
    sim:advance(60)
    assert.matches("^conflict: another confirmation holds its once_per key", select(2, flow:replay("b")))
    assert.equal("skipped", flow:show("b").state)
    assert(flow:replay("a"))
    sim:advance(60)
    assert.equal("accepted", flow:show("a").state)
  end)
end)
