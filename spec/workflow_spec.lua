-- onemsg.workflow: what open, submit, explain, stats, callbacks and log say and leave behind. A real store, a scripted
-- channel, simulated time. show, list, settle, replay, cancel: workflow_hand_spec.lua; with the fake 1MSG:
-- workflow_send_spec.lua, workflow_crash_spec.lua; retries, breaker, pace: workflow_retry_spec.lua.
local simulation = require "support.simulation"
local workflow = require "onemsg.workflow"

local PHONE = "12020721300"

local function paid(id, more)
  local event = { id = id, type = "paid", phone = PHONE, name = "Maria" }
  for name, value in pairs(more or {}) do event[name] = value end
  return event
end

describe("workflow.open", function()
  local function opening(options)
    return function() return workflow.open(options) end
  end

  it("raises on misuse, with a suggestion", function()
    assert.error_matches(opening(nil), "takes a table of options")
    assert.error_matches(opening { chanel = {} }, "no option 'chanel', did you mean 'channel'")
    assert.error_matches(opening { rules = "x" }, "channel = … or channels")
    assert.error_matches(opening { channel = {}, channels = { a = {} }, rules = "x" }, "one of them")
    assert.error_matches(opening { channel = {} }, "rules is missing")
    assert.error_matches(opening { channels = {}, rules = "x" }, "channels is empty")
    assert.error_matches(opening { channel = {}, rules = "x", lease = "1" }, "lease must be seconds as a number")
    assert.error_matches(opening { channel = {}, rules = "x", rate = 0 }, "rate must be more than 0")
    assert.error_matches(opening { channel = {}, rules = "x", rate = 0 / 0 }, "rate must be more than 0")
    assert.error_matches(opening { channel = {}, rules = "x", give_up_after = "soon" },
      "give_up_after must be seconds as a number, or like \"30s\"")
    assert.error_matches(opening { channel = {}, rules = "x", fallback = { sms = "x" } },
      "fallback.sms must be a function, not a string")
  end)

  it("takes a handle of onemsg.sql, and leaves it open", function()
    local path = simulation.store_path()
    local db = assert(require("onemsg.sql").open(require("support.stores").at(path)))
    local rules = require "onemsg.rules".load(simulation.RULES)
    local flow = assert(workflow.open { channel = {}, rules = rules, store = db })
    assert(flow:submit { id = "a", type = "newsletter" })
    flow:close()
    assert.equal("skipped", assert(db:read { { "SELECT state FROM confirmation" } })[1][1].state)
    db:close()
    simulation.remove(path)
  end)

  it("says what the world lacks", function()
    local flow, err, info = workflow.open { channel = {}, rules = "/nowhere/rules.lua", store = "sqlite:/nowhere/x.db" }
    assert.is_nil(flow)
    assert.matches("^config: rules.lua", err)
    assert.equal("invalid", info.outcome)
    local rules = require "onemsg.rules".load(simulation.RULES)
    flow, err = workflow.open { channel = {}, rules = rules, store = "sqlite:/nowhere/x.db" }
    assert.is_nil(flow)
    assert.matches("^config: the directory /nowhere/ does not exist", err)
    flow, err = workflow.open { channel = {}, rules = rules, store = "sqlite:x.db", log = "/nowhere/log" }
    assert.is_nil(flow)
    assert.matches("^config: the log", err)
  end)

  it("names a channel or a fallback that the rules need and that is not given", function()
    local rules = require "onemsg.rules".load(simulation.RULES .. [[
      confirm "L" { on = "l", channel = "latam", action = "x", next_step = "y" }]])
    local flow, err = workflow.open { channel = {}, rules = rules, store = "sqlite:x.db" }
    assert.is_nil(flow)
    assert.matches("^config: rules.lua:%d+ names the channel \"latam\"", err)
    rules = require "onemsg.rules".load(simulation.RULES)
    flow, err = workflow.open { channel = {}, rules = rules, store = "sqlite:x.db", fallback = { mail = print } }
    assert.is_nil(flow)
    assert.matches("^config: rules.lua:%d+ names the fallback \"sms\"", err)
  end)
end)

describe("workflow", function()
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

  describe("submit", function()
    it("stores a confirmation and says by which rule", function()
      local ticket = assert(flow:submit(paid "o-1"))
      assert.same({ "o-1", "queued", "Paid", 'matched rule "Paid"', false },
        { ticket.id, ticket.state, ticket.rule, ticket.reason, ticket.duplicate })
      local shown = assert(flow:show("o-1"))
      assert.equal("queued", shown.state)
      assert.same({ "Maria", "payment", "Thank you." }, shown.body)
      assert.equal(PHONE, shown.phone)
      assert.equal(sim.time, shown.due_at)
      assert.equal(ticket.version, shown.version)
      assert.equal(1, #shown.history)
    end)

    it("takes the same id and content for a repeat: the first ticket again, nothing sent", function()
      local first = assert(flow:submit(paid("o-1", { nested = { 1, 2, { a = 1, b = 2 } } })))
      sim:advance(60)
      local again = assert(flow:submit(paid("o-1", { nested = { 1, 2, { b = 2, a = 1.0 } } })))
      assert.is_true(again.duplicate)
      assert.same({ first.id, first.state, first.rule, first.reason, first.version, "accepted" },
        { again.id, again.state, again.rule, again.reason, again.version, again.now })
      sim:advance(60)
      assert.equal(1, #sim.sent)
      assert.equal(1, flow:stats().duplicates)
    end)

    it("refuses the same id with other content", function()
      assert(flow:submit(paid "o-1"))
      local ticket, err, info = flow:submit(paid("o-1", { amount = 2 }))
      assert.is_nil(ticket)
      assert.matches("^conflict: event.id o%-1", err)
      assert.equal("invalid", info.outcome)
      assert.equal("Maria", flow:show("o-1").body[1])
    end)

    it("needs an id and a type, and says which", function()
      for _, case in ipairs {
        { nil, "an event is a table" }, { "x", "an event is a table" },
        { { type = "paid" }, "event.id is missing: give the order or payment number" },
        { { id = "", type = "paid" }, "event.id is missing" },
        { { id = {}, type = "paid" }, "event.id must be a text" },
        { { id = true, type = "paid" }, "event.id must be a text" }, { { id = 0 / 0, type = "paid" }, "event.id" },
        { { id = "a\nb", type = "paid" }, "control characters" }, { { id = "a\255", type = "paid" }, "UTF%-8" },
        { { id = ("x"):rep(201), type = "paid" }, "longer than 200 bytes" },
        { { id = "o-1~2", type = "paid" }, "must not end in ~" },
        { { id = "o-1" }, "event.type is missing" }, { { id = "o-1", type = 5 }, "event.type must be a text" },
        { { id = "o-1", type = "paid", f = print }, "event.f is a function" },
        { { id = "o-1", type = "paid", n = 1 / 0 }, "event.n is not a finite number" },
        { { id = "o-1", type = "paid", s = "\237\160\128" }, "event.s has half a surrogate pair" },
        { { id = "o-1", type = "paid", t = { 1, x = 2 } }, "event.t is neither a list nor a table of names" },
        { { id = "o-1", type = "paid", big = ("x"):rep(70000) }, "at most 65536 are kept" },
      } do
        local ticket, err, info = flow:submit(case[1])
        assert.is_nil(ticket)
        assert.matches("^invalid: .*" .. case[2], err)
        assert.equal("invalid", info.outcome)
      end
      local loop = { id = "o-1", type = "paid" }
      loop.loop = loop
      assert.matches("nested more than 32 deep", select(2, flow:submit(loop)))
      assert.equal(0, #flow:list())
    end)

    it("takes a number for an id", function()
      assert.equal("4711", flow:submit(paid(4711)).id)
      assert.is_true(flow:submit(paid(4711)).duplicate)
      assert.equal("4711", flow:show(4711).id)
    end)

    it("records what is skipped, and why", function()
      for id, case in pairs {
        none = { { type = "nothing" }, 'no rule is for "nothing"' },
        staff = { { email = "x@ourcompany.example" }, 'never "Staff"' },
        phone = { { phone = "call me" }, "invalid: phone has a letter" },
        absent = { { phone = require "cjson".null }, "no phone" },
      } do
        local ticket = assert(flow:submit(paid(id, case[1])))
        assert.equal("skipped", ticket.state)
        assert.is_truthy(ticket.reason:find(case[2], 1, true), ticket.reason)
        assert.equal("skipped", flow:show(id).state)
        assert.is_true(flow:submit(paid(id, case[1])).duplicate)
      end
      sim:advance(7 * 3600)
      assert.equal(0, #sim.sent)
    end)

    it("confirms once per key, whatever the events", function()
      local first = assert(flow:submit { id = "a", type = "once", payment = "p-1", phone = PHONE })
      local second = assert(flow:submit { id = "b", type = "once", payment = "p-1", phone = PHONE })
      local other = assert(flow:submit { id = "c", type = "once", payment = "p-2", phone = PHONE })
      assert.same({ "queued", "skipped", "queued" }, { first.state, second.state, other.state })
      assert.equal("once_per: already confirmed by a", second.reason)
      sim:advance(60)
      assert.equal(2, #sim.sent)
    end)

    it("follows `also` to several confirmations of one event, all or none", function()
      local ticket = assert(flow:submit { id = "e", type = "both", phone = PHONE })
      assert.same({ "e", "First", "e~2", "Second" },
        { ticket.id, ticket.rule, ticket.also[1].id, ticket.also[1].rule })
      local again = flow:submit { id = "e", type = "both", phone = PHONE }
      assert.is_true(again.duplicate)
      assert.equal("e~2", again.also[1].id)
      sim:advance(5)
      assert.equal(1, #sim.sent)
      sim:advance(5)
      assert.equal(2, #sim.sent)
      assert.same({ "first", "second" }, { sim.sent[1].message.body[2], sim.sent[2].message.body[2] })
    end)

    it("asks resolve for a phone that the event lacks", function()
      local asked = 0
      start { resolve = function(event)
        asked = asked + 1
        if event.id == "boom" then error("the CRM is down") end
        return event.id == "found" and PHONE or nil
      end }
      assert.equal("queued", flow:submit { id = "found", type = "paid" }.state)
      assert.equal("skipped", flow:submit { id = "lost", type = "paid" }.state)
      assert.equal("queued", flow:submit(paid "given").state)
      assert.equal(2, asked)
      local ticket, err = flow:submit { id = "boom", type = "paid" }
      assert.is_nil(ticket)
      assert.matches("^store: resolve failed, submit the event again: .*the CRM is down", err)
      assert.is_nil(flow:show("boom"))
    end)

    it("with wait = false gives a pending", function()
      local landing = assert(flow:submit(paid "o-1", { wait = false }))
      local ticket = assert(landing:wait(60))
      assert.equal("queued", ticket.state)
      assert.is_true(landing:ready())
      assert.equal(ticket, (landing:wait()))
      local _, err = flow:submit(paid("o-1", { amount = 2 }), { wait = false }):wait()
      assert.matches("^conflict:", err)
      assert(flow:submit(paid "o-2", { wait = false })) -- nobody waits for it: the work loop does
      sim:advance(60)
      assert.equal("accepted", flow:show("o-2").state)
      assert.equal("queued sending accepted", sim:states "o-2")
    end)
  end)

  it("explains by the very checks of submit, and stores nothing", function()
    local told = assert(flow:explain(paid "o-1"))
    assert.same({ "o-1", "queued", "Paid", PHONE, "main", "action_success" },
      { told.id, told.state, told.rule, told.phone, told.channel, told.template })
    assert.same({ "Maria", "payment", "Thank you." }, told.body)
    assert.equal('never "Staff": no, email is missing, not a text that ends with "@ourcompany.example"', told.trace[1])
    assert.is_nil(flow:show("o-1"))
    assert(flow:submit(paid "o-1"))
    assert.is_true(flow:explain(paid "o-1").duplicate)
    assert.matches("^conflict:", select(2, flow:explain(paid("o-1", { amount = 1 }))))
    assert.matches("^invalid:", select(2, flow:explain { type = "paid" }))
    assert(flow:submit { id = "k", type = "once", payment = "p", phone = PHONE })
    assert.equal("once_per: already confirmed by k",
      flow:explain { id = "l", type = "once", payment = "p", phone = PHONE }.reason)
    sim:advance(60)
    assert.equal(2, #sim.sent)
  end)

  it("explains 1,000 random events exactly as submit then treats them", function()
    local random = simulation.random(42)
    local function one_of(list) return list[1 + math.floor(random() * #list)] end
    local null = require "cjson".null
    for _ = 1, 1000 do
      local event = {
        id = one_of { "a", "b", "c" } .. math.floor(random() * 300),
        phone = one_of { PHONE, "12020721311", "abc", null },
        type = one_of { "paid", "once", "both", "short", "nothing", "else" }, name = one_of { "Maria", "", null, 5 },
        payment = one_of { "p1", "p2", "p3", null }, email = one_of { null, null, "x@ourcompany.example" },
      }
      local told, told_err = flow:explain(event)
      local ticket, err = flow:submit(event)
      assert.equal(told_err, err)
      while ticket do
        assert.same({ ticket.id, ticket.state, ticket.rule or "", ticket.reason, ticket.duplicate },
          { told.id, told.state, told.rule or "", told.reason, told.duplicate })
        if not ticket.duplicate then
          local shown = flow:show(ticket.id)
          assert.same({ told.phone, told.body, told.channel }, { shown.phone, shown.body, shown.channel })
        end
        assert.equal(ticket.also and #ticket.also, told.also and #told.also)
        ticket, told = ticket.also and ticket.also[1], told.also and told.also[1]
      end
    end
    local states = flow:stats().states
    assert.is_true(states.queued > 100 and states.skipped > 100)
  end)

  it("raises on options that submit, work and drain do not have", function()
    assert.error_matches(function() flow:work { stpo = function() return true end } end, "did you mean 'stop'")
    assert.error_matches(function() flow:work { stop = true } end, "stop must be a function, not a boolean")
    assert.error_matches(function() flow:drain { timout = 1 } end, "drain has no option 'timout', did you mean 'timeout'")
    assert.error_matches(function() flow:drain { timeout = "soon" } end, "like \"30s\"")
    assert.error_matches(function() flow:drain(10) end, "drain takes a table of options, not a number")
    assert.error_matches(function() flow:submit(paid "a", { wiat = false }) end, "did you mean 'wait'")
    assert.is_nil((flow:show "a"))
  end)

  it("tells every change, in order, to on_change and to the log", function()
    assert(flow:submit(paid "a"))
    sim:advance(60)
    local seen = {}
    for n, change in ipairs(sim.changes) do seen[n] = change.was .. ">" .. change.state end
    assert.same({ "new>queued", "queued>sending", "sending>accepted" }, seen)
    assert.equal(3, #sim.lines)
    local line = require "cjson".decode(sim.lines[3])
    assert.same({ "a", "accepted", "sending", "…1300", "Paid", 1 },
      { line.id, line.state, line.was, line.phone, line.rule, line.attempts })
    assert.equal("2027-01-15T08:00:00.000Z", line.at)
    for _, text in ipairs(sim.lines) do assert.is_nil(text:find(PHONE, 1, true)) end
  end)

  it("keeps the recipient's number out of the log when an answer repeats it", function()
    start { answer = function(message)
      return nil, "rejected: 400 no such user " .. message.phone, { outcome = "rejected", status = 400 }
    end }
    assert(flow:submit(paid "a"))
    sim:advance(60)
    for _, text in ipairs(sim.lines) do assert.is_nil(text:find(PHONE, 1, true)) end
    for _, step in ipairs(flow:show("a").history) do assert.is_nil(step.reason:find(PHONE, 1, true)) end
  end)

  it("lets callbacks submit, and works in one loop at a time", function()
    local second
    start { on_change = function(change)
      if change.id == "a" and change.state == "accepted" then
        assert(flow:submit(paid "b", { wait = false }))
        second = { flow:drain() }
      end
    end }
    assert(flow:submit(paid "a"))
    sim:advance(60)
    assert.equal("accepted", flow:show("b").state)
    assert.is_nil(second[1])
    assert.matches("^conflict: this workflow is at work already", second[2])
  end)

  it("is not hurt by callbacks that fail", function()
    local calls = 0
    local function boom()
      calls = calls + 1
      error("boom")
    end
    start { on_change = boom, log = boom, on_alert = boom }
    assert(flow:submit(paid "a"))
    sim:advance(60)
    assert.equal("accepted", flow:show("a").state)
    assert.equal(6, calls)
  end)

  it("writes the log to a file, a line a change", function()
    local path = os.tmpname()
    start { log = path }
    assert(flow:submit(paid "a"))
    sim:advance(60)
    flow:close()
    local states = {}
    for line in io.lines(path) do states[#states + 1] = require "cjson".decode(line).state end
    os.remove(path)
    assert.same({ "queued", "sending", "accepted" }, states)
  end)

  it("stores what a rule's `otherwise` needs, and when it is due", function()
    assert(flow:submit { id = "a", type = "else", phone = PHONE })
    sim:advance(1)
    local shown = flow:show("a")
    assert.equal(shown.accepted_at + 600, shown.fallback_at)
  end)

  it("takes up new rules while it runs, keeps the good ones when the file is bad, and says so once", function()
    local rules = require "onemsg.rules"
    local file = os.tmpname()
    local function write(text)
      local out = assert(io.open(file, "w"))
      out:write(text)
      out:close()
      sim.time = sim.time + 2
    end
    write(simulation.RULES)
    start { rules = assert(rules.open(file, simulation.EPOCH)) }
    local first = flow:submit(paid "a").version
    write(simulation.RULES .. 'confirm "New" { on = "new", action = "x", next_step = "y" }')
    local second = flow:submit(paid("b", { type = "new" })).version
    assert.is_true(first ~= second)
    write "confirm {"
    for n = 1, 5 do assert.equal(second, flow:submit(paid("c" .. n)).version) end
    assert.matches("^config: ", flow:stats().rules.problem)
    write(simulation.RULES)
    assert.equal(first, flow:submit(paid "d").version)
    os.remove(file)
    local said = {}
    for n, alert in ipairs(sim.alerts) do said[n] = alert.reason end
    assert.equal(3, #said)
    assert.equal("new rules are at work", said[1])
    assert.matches("^config: ", said[2])
    assert.equal("the rules file is good again", said[3])
    assert.is_nil(flow:stats().rules.problem)
  end)

  it("counts", function()
    assert.equal("closed", flow:stats().channels.main.breaker) -- before anything was sent on it
    assert(flow:submit(paid "a"))
    assert(flow:submit(paid("b", { type = "nothing" })))
    local stats = flow:stats()
    assert.same({ queued = 1, skipped = 1 }, stats.states)
    assert.same({ 1, 1, 0, 0, 1 }, { stats.submitted, stats.skipped, stats.duplicates, stats.attempts, stats.due })
    sim:advance(60)
    stats = flow:stats()
    assert.same({ 1, 1, 0, 0 }, { stats.attempts, stats.recorded, stats.in_flight, stats.due })
    assert.equal("closed", stats.channels.main.breaker)
  end)

  it("says so when it is closed", function()
    flow:close()
    flow:close()
    for _, call in ipairs { "submit", "explain", "work", "drain", "show", "list", "settle", "replay", "cancel",
                            "stats" } do
      assert.matches("^closed:", select(2, flow[call](flow, paid "a")))
    end
    assert.equal("onemsg.workflow (closed)", tostring(flow))
  end)
end)
