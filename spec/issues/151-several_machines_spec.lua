-- Several nodes on one PostgreSQL: who finds a gate in another's hand goes on, waits for no row and changes none; a
-- claim walks through no queue whatever the server believes of its tables; time is the database's; and nothing is lost or sent
-- twice when a node is killed, another one stopped beyond its lease, and the database restarted under all of them.
-- The spec's own process forks, so it keeps its hands off threads until the last child is gone.
local channels = require "support.channels"
local clocks = require "onemsg.workflow.clock"
local outbox = require "onemsg.outbox"
local postgres = require "support.postgres"
local rules = require "onemsg.rules"
local server = require "support.server"
local simulation = require "support.simulation"
local sql = require "onemsg.sql"
local sys = require "support.sys"
local workflow = require "onemsg.workflow"

local HALF = 60
local EVENTS = 2 * HALF

describe("several nodes on one database", function()
  local fake, store, directory

  setup(function()
    store = postgres.start()
    fake = server.fake { set = { pace_ms = 0 } }
  end)
  teardown(function()
    fake:stop()
    store.stop()
  end)
  before_each(function()
    directory = server.directory()
    store.psql("DROP DATABASE IF EXISTS onemsg WITH (FORCE)", "postgres")
    store.psql("CREATE DATABASE onemsg", "postgres")
    fake:reset()
    fake:set { pace_ms = 0 }
  end)
  after_each(function() os.execute("rm -rf '" .. directory .. "'") end)

  local function open(target)
    local options = { channel = channels.new(fake, { timeout = 1, connect_timeout = 1 }), rate = 1000, burst = 1000,
      rules = assert(rules.load(simulation.RULES)), store = assert(sql.open(target, { busy_timeout = 60 })),
      witness = directory .. "/witness" }
    while true do -- as `onemsg work` does while the database restarts
      local flow, err, info = workflow.open(options)
      if flow then return flow end
      assert(info and info.retry, err)
      sys.sleep(0.1)
    end
  end

  local function child(job)
    local pid = assert(sys.fork())
    if pid > 0 then return pid end
    local ok, err = xpcall(job, debug.traceback)
    if not ok then
      local file = io.open(directory .. "/errors", "a")
      file:write(tostring(err), "\n")
      file:close()
    end
    sys.exit_now(ok and 0 or 1)
  end

  local function errors()
    local file = io.open(directory .. "/errors")
    return file and file:read "*a" or ""
  end

  local function node(target) return child(function() open(target):work() end) end

  --- One whose messages the fake just accepts: those that end in 00 to 07.
  local function phone(n) return ("120207%03d%02d"):format(math.floor(n / 8), n % 8) end

  --- Submits events; what the database does not take just now is submitted again, as a sender does.
  local function submitter(target, first, last)
    return child(function()
      local flow = open(target)
      for n = first, last do
        repeat until flow:submit { id = "m" .. n, type = "paid", phone = phone(n) }
      end
    end)
  end

  local function number(text) return tonumber((store.psql(text):match "%d+")) end

  local function left() return number "SELECT COUNT(*) FROM confirmation WHERE state IN ('queued', 'sending')" end

  local function kill(...)
    for _, pid in ipairs { ... } do
      sys.kill(pid, sys.KILL)
      sys.waitpid(pid)
    end
  end

  --- Everything was sent once, or is in doubt and was sent once at most. -> how many are in doubt
  local function judge()
    assert.equal("", errors())
    local flow, doubts = open(store.target), 0
    local counts = fake:counts()
    for n = 1, EVENTS do
      local shown = assert(flow:show("m" .. n), "lost: m" .. n)
      local count = counts[phone(n)] or 0
      assert.truthy(count <= 1, ("%s was sent %d times"):format(shown.id, count))
      if shown.state == "unknown" then
        doubts = doubts + 1
      else
        assert.truthy(({ accepted = 1, sent = 1, delivered = 1, read = 1 })[shown.state], shown.state .. ": " .. shown.reason)
        assert.equal(1, count)
      end
    end
    flow:close()
    return doubts
  end

  it("lose nothing and send nothing twice: one killed, one stopped beyond its lease, the database restarted", function()
    local target = store.target
    assert.equal("exited", (sys.waitpid(child(function() open(target):close() end)))) -- the schema
    local first = submitter(target, 1, HALF)
    local one, two, three = node(target), node(target), node(target)
    server.eventually(function() return number "SELECT COUNT(*) FROM confirmation WHERE attempts > 0" > 10 end)
    sys.kill(one, sys.KILL)
    sys.kill(two, sys.STOP)
    local second = submitter(target, HALF + 1, EVENTS)
    assert.is_true(store.ctl "-m immediate restart")
    for _, pid in ipairs { first, second } do assert.equal("exited", (sys.waitpid(pid))) end
    sys.waitpid(one)
    server.eventually(function() return left() == 0 end) -- the leases of what those two had in flight end
    sys.kill(two, sys.CONT)
    assert.equal("exited", (sys.waitpid(child(function() -- … and it is at work again, and sends: last of all its own
      local flow = open(target)
      assert(flow:submit { id = "last", type = "paid", phone = phone(7999) })
    end))))
    kill(three)
    server.eventually(function()
      return number "SELECT COUNT(*) FROM confirmation WHERE id = 'last' AND message_id IS NOT NULL" == 1
    end)
    server.eventually(function() return left() == 0 end)
    kill(two)
    local doubts = judge()
    print(("\n%d submitted, 0 lost, 0 twice, %d in doubt"):format(EVENTS, doubts))
  end)

  it("work through PgBouncer in transaction mode", function()
    if not postgres.has_bouncer() then return pending "pgbouncer is not installed" end
    local pool = store.bouncer()
    local target = pool.target "onemsg"
    assert.equal("exited", (sys.waitpid(child(function() open(target):close() end))))
    local one, two, three = node(target), node(target), node(target)
    assert.equal("exited", (sys.waitpid(submitter(target, 1, EVENTS))))
    server.eventually(function() return left() == 0 end)
    kill(one, two, three)
    assert.equal(0, judge())
    pool.stop()
  end)

  --- An outbox with some that are due, and its gate.
  local function queued(count)
    local box = assert(outbox.open(store.target, { "main" }, true))
    local flow = open(store.target)
    for n = 1, count do assert(flow:submit { id = "m" .. n, type = "paid", phone = phone(n) }) end
    local now = flow.now()
    flow:close()
    return box, assert(box:look()).gates.main, now
  end

  it("do not wait for a gate that another one has in hand, nor claim without it", function()
    local box, gate, now = queued(3)
    local cost = { from = now, each = 0 }
    local release = store.hold "SELECT * FROM channel WHERE name = 'main' FOR UPDATE"
    local rows, err = box:claim(gate, 3, cost, now + 1, 30, 6)
    assert.is_nil(rows)
    assert.matches("^conflict:", err)
    assert.equal(0, number "SELECT COUNT(*) FROM confirmation WHERE state = 'sending'")
    release()
    rows = assert(box:claim(gate, 2, cost, now + 1, 30, 6))
    assert.equal(2, #rows)
    assert(box:pause("template", assert(box:row "m1").template, "to see", nil, now, now))
    release = store.hold "SELECT * FROM channel WHERE name = 'main' FOR UPDATE; SELECT * FROM confirmation FOR UPDATE"
    rows, err = box:claim(assert(box:look()).gates.main, 2, cost, now + 1, 30, 6) -- nor set anything aside
    assert.is_nil(rows)
    assert.matches("^conflict:", err)
    release()
    assert(box:unpause("template", "", { "main" }, now))
    rows, err = box:claim(gate, 2, cost, now + 1, 30, 6) -- as it was read before
    assert.is_nil(rows)
    assert.matches("^conflict:", err)
    assert.equal(1, #assert(box:claim(assert(box:look()).gates.main, 3, cost, now + 1, 30, 6)))
    box:close()
  end)

  it("claim by what is in order already, whatever the server believes", function()
    local box, gate, now = queued(1)
    store.psql "UPDATE confirmation SET state = 'cancelled', was = 'queued'; ANALYZE" -- nothing is queued: the usual state
    local texts, db = {}, box.db
    box.db = { unit = function(_, unit)
      texts = unit
      return db:unit(unit)
    end }
    assert(box:claim(gate, 60, { from = now, each = 0 }, now + 1, 30, 6))
    local claim
    for _, statement in ipairs(texts) do
      if statement[1]:find "UPDATE confirmation SET was = state, state = 'sending'" then claim = statement end
    end
    local explain = { "EXPLAIN " .. claim[1] }
    for n = 2, #claim do explain[n] = claim[n] end
    local results = assert(db:unit { texts[1], explain })
    local plan = {}
    for n, row in ipairs(results[2]) do plan[n] = row["QUERY PLAN"] end
    plan = table.concat(plan, "\n")
    assert.is_nil(plan:find("Seq Scan on confirmation", 1, true), plan)
    assert.is_nil(plan:find("JIT", 1, true), plan) -- compiling it took seconds
    assert.is_nil(plan:find("confirmation_line on confirmation b\n[^\n]*\n%s+Filter"), plan)
    for _, index in ipairs { "confirmation_due", "confirmation_line", "confirmation_left" } do
      assert.truthy(plan:find(index, 1, true), index .. " in\n" .. plan)
    end
    db:close()
  end)

  it("go by the database's time, and believe a jump of it when it has held", function()
    local steady, theirs = 1000, 1800000000
    local clock = clocks.new({}, { steady = function() return steady end, clocks = function() return 5, steady end })
    local box = { several = true, time = function() return theirs end }
    assert(clock:open(box))
    assert.equal(theirs, clock.now())
    local function pass(seconds)
      steady, theirs = steady + seconds, theirs + seconds
      assert(clock:share(box))
    end
    pass(10)
    assert.equal(1800000010, clock.now())
    theirs = theirs + 3600
    pass(2)
    assert.equal(1800000012, clock.now())
    assert.matches("^the store's clock jumped 3600 s ahead", clock.news[1].reason)
    pass(clocks.HOLD)
    assert.equal(theirs, clock.now())
    assert.is_false(clock:ends_leases(30)) -- those of before seem to have ended
    pass(31)
    assert.is_true(clock:ends_leases(30))
  end)
end)
