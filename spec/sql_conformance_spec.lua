-- onemsg.sql: what every store must do alike: units and their answers, reads, limits, pendings, handles. STORE=sqlite or
-- STORE=postgres: that one only. sql_spec.lua and sql_postgres_spec.lua have what is one store's own.
local onemsg = require "onemsg"
local sql = require "onemsg.sql"
local store = require "support.store"
local stores = require "support.stores"
local sys = require "support.sys"

local LARGEST, SMALLEST = rawget(math, "maxinteger"), rawget(math, "mininteger") -- Lua 5.4 only

for _, engine in ipairs(stores.list) do describe("onemsg.sql on " .. engine.name, function()
  local case, db, threads, fds

  setup(engine.start)
  teardown(engine.stop)

  before_each(function()
    collectgarbage()
    case = engine.case()
    threads, fds = sys.threads(), sys.fds()
    db = assert(sql.open(case.target, { busy_timeout = 60 }))
    assert(db:unit { { "CREATE TABLE t(a TEXT PRIMARY KEY, b BIGINT)" } })
  end)

  after_each(function()
    db:close()
    case.finish()
    assert.equal(threads, sys.threads())
    assert.equal(fds, sys.fds())
  end)

  local function one(statement)
    return assert(db:unit { statement })[1][1]
  end

  local function count()
    return one({ "SELECT COUNT(*) AS n FROM t" }).n
  end

  describe("a unit", function()
    it("returns rows by column name, and how many it changed", function()
      local results = assert(db:unit {
        { "INSERT INTO t(a, b) VALUES($2, $1)", 5, "x" },
        { "INSERT INTO t(a) VALUES($1) RETURNING a, b", "y" },
        { "UPDATE t SET b = COALESCE(b, 0) + 1" },
        { "SELECT a, b FROM t ORDER BY a" },
        { "INSERT INTO t(a) VALUES($1) ON CONFLICT DO NOTHING RETURNING a", "x" },
        { "CREATE INDEX t_b ON t(b)" },
      })
      assert.same({
        { changes = 1 },
        { { a = "y" }, changes = 1 },
        { changes = 2 },
        { { a = "x", b = 6 }, { a = "y", b = 1 }, changes = 0 },
        { changes = 0 },
        { changes = 0 },
      }, results)
    end)

    it("brings every value back as it was", function()
      local values = {
        "", "x", "it's \"quoted\" $1 ? -- ; /*", "олá 👩‍👩‍👧", ("x"):rep(1e6),
        0, 1, -1, 1.5, -1e300, 1e-300, 0.1, 2 ^ 53, -2 ^ 53, 123456789012345,
      }
      values[#values + 1] = LARGEST
      values[#values + 1] = SMALLEST
      for _, value in ipairs(values) do
        local back = one({ "SELECT $1 AS v", value }).v
        assert.equal(value, back)
        assert.equal(type(value), type(back))
      end
      for _, bytes in ipairs { "a\0b\0", "\255\254" } do
        local back, err, info = db:unit { { "SELECT $1 AS v", bytes } }
        if engine.any_bytes then
          assert.equal(bytes, back[1][1].v)
        else
          assert.is_nil(back)
          assert.matches("^store: statement 1: ", err)
          assert.equal("statement", info.class)
        end
      end
      assert.same({ yes = 1, no = 0 }, one({ "SELECT $1 AS yes, $2 AS no, $3 AS nought", true, false, sql.null }))
    end)

    it("takes whole numbers, fractions and NULL at the same place, one after the other", function()
      assert(db:unit { { "CREATE TABLE n(k BIGINT, r DOUBLE PRECISION)" } })
      for i, value in ipairs { 5, 5.5, sql.null, 2 ^ 40, 0.1, sql.null, 7 } do
        assert(db:unit { { "INSERT INTO n(k, r) VALUES($1, $2)", i, value } })
        local row = one({ "SELECT COUNT(*) AS n FROM n WHERE r = $1 AND r < $1 + 1 AND k = $2", value, i })
        assert.equal(value == sql.null and 0 or 1, row.n)
      end
      assert.same({ n = 7, sum = 28 }, one({ "SELECT COUNT(*) AS n, SUM(k) AS sum FROM n" }))
    end)

    it("rounds no integer: beyond 2^53 LuaJIT gets a string of its digits", function()
      local row = one({ "SELECT 9007199254740993 AS big, -9223372036854775808 AS least, 9007199254740992 AS last" })
      assert.equal("9007199254740993", tostring(row.big))
      assert.equal("-9223372036854775808", tostring(row.least))
      assert.equal(LARGEST and "number" or "string", type(row.big))
      assert.equal("number", type(row.last))
    end)

    it("takes placeholders in any order, more than once, and leaves quoted ones alone", function()
      local row = one({ [[SELECT $3 AS c, $1 AS a, $2 AS b, $1 AS again, '$9' AS "$8" /* $7 */ -- $6
        ]], "A", "B", "C" })
      assert.same({ a = "A", b = "B", c = "C", again = "A", ["$8"] = "$9" }, row)
      local many, values = {}, { false }
      for i = 1, 1000 do many[i], values[i + 1] = "$" .. i, i end
      values[1] = "SELECT " .. table.concat(many, " + ") .. " AS sum"
      assert.equal(500500, one(values).sum)
    end)

    it("is undone as a whole, and alone, when one of its statements fails", function()
      assert(db:unit { { "INSERT INTO t(a) VALUES('x')" } })
      local bad = db:async { { "INSERT INTO t(a) VALUES('y')" }, { "INSERT INTO t(a) VALUES('x')" } }
      local good = db:async { { "INSERT INTO t(a) VALUES('z')" } }
      local results, err, info = bad:wait()
      assert.is_nil(results)
      assert.equal("conflict: " .. engine.duplicate, err)
      assert.same({ outcome = "conflict", class = "constraint", retry = false, statement = 2,
        code = engine.duplicate_code }, info)
      assert.equal(1, good:wait()[1].changes)
      assert.equal(2, count())
    end)

    it("is undone when it changes or returns another number of rows than it expects", function()
      for _, wrong in ipairs {
        { "UPDATE t SET b = 1 WHERE a = 'nobody'", expect = 1 },
        { "INSERT INTO t(a) VALUES('q'), ('r')", expect = 1 },
        { "SELECT 1 AS one", expect = 0 },
        { "INSERT INTO t(a) VALUES('q') RETURNING a", expect = 2 },
      } do
        local results, err, info = db:unit { { "INSERT INTO t(a) VALUES('x')", expect = 1 }, wrong }
        assert.is_nil(results)
        assert.matches("^conflict: statement 2 %a+ %d rows where exactly " .. wrong.expect, err)
        assert.equal(2, info.statement)
        assert.equal("expect", info.class)
        assert.equal(0, count())
      end
      assert(db:unit { { "INSERT INTO t(a) VALUES('x')", expect = 1 }, { "SELECT 1 WHERE 1 = 0", expect = 0 } })
    end)

    it("hurts no neighbour of its transaction, however it fails", function()
      local FAILURES = {
        { "INSERT INTO t(a) VALUES('taken')" },
        engine.failures[1], engine.failures[2] or { "DELETE FROM nowhere" },
        { "UPDATE t SET b = 0 WHERE a = 'nobody'", expect = 1 },
        { "SELEC" },
        { "ROLLBACK" },
      }
      assert(db:unit { { "INSERT INTO t(a) VALUES('taken')" } })
      local expected = 1
      for round = 1, 12 do
        local release = case.hold() -- so that all of them wait for one transaction
        local commits = db:stats().commits
        local bad, good = {}, {}
        for i = 1, 20 do
          good[i] = assert(db:async { { "INSERT INTO t(a) VALUES($1)", round .. "/" .. i } })
          if i % 7 == 0 or round % 3 == 0 then
            local failure = FAILURES[(round + i) % #FAILURES + 1]
            bad[#bad + 1] = assert(db:async { { "INSERT INTO t(a) VALUES('gone')" }, failure })
          end
        end
        release()
        for _, pending in ipairs(good) do assert.equal(1, assert(pending:wait())[1].changes) end
        for _, pending in ipairs(bad) do assert.is_nil((pending:wait())) end
        expected = expected + #good
        assert.equal(expected, count())
        assert.is_true(db:stats().commits - commits <= 1 + #good)
      end
      for round = 1, 200 do
        local bad = assert(db:async { { "INSERT INTO t(a) VALUES('gone')" }, FAILURES[round % #FAILURES + 1] })
        local good = assert(db:async { { "INSERT INTO t(a) VALUES($1)", "after " .. round } })
        assert.is_nil((bad:wait()))
        assert.equal(1, assert(good:wait())[1].changes)
      end
      assert.equal(expected + 200, count())
    end)

    it("shares its commit with all that wait", function()
      local release = case.hold()
      local commits, busy, pendings = db:stats().commits, db:stats().busy, {}
      for i = 1, 64 do pendings[i] = assert(db:async { { "INSERT INTO t(a) VALUES($1)", "p" .. i } }) end
      release()
      for _, pending in ipairs(pendings) do assert(pending:wait()) end
      local stats = db:stats()
      local waits = stats.busy - busy -- who waited for a row goes alone
      if engine.rotates then
        assert.is_true(stats.commits - commits <= 3 + waits)
      else
        assert.is_true(stats.commits - commits <= 3) -- the thread may have begun with the first ones
        assert.is_true(stats.largest >= 32)
      end
      assert.is_true(stats.largest <= math.min(64, engine.largest))
      assert.equal(0, stats.queued)
    end)
  end)

  describe("a read", function()
    it("takes no part in a commit, by itself or by name", function()
      local commits = db:stats().commits
      assert(db:unit { { "SELECT 1" }, { "-- why\n select 2" } })
      assert(db:unit { { "VALUES (1)" } })
      assert(db:read { { "WITH x AS (SELECT 1 AS n) SELECT n FROM x" } })
      assert(db:async_read { { "SELECT 1" } }:wait())
      assert.equal(commits, db:stats().commits)
      assert(db:unit { { "WITH x AS (SELECT 'w' AS n) INSERT INTO t(a) SELECT n FROM x" } })
      assert.equal(commits + 1, db:stats().commits)
    end)

    it("may not write", function()
      local results, err, info = db:read { { "SELECT 1" }, { "DELETE FROM t" } }
      assert.is_nil(results)
      assert.matches("^store: statement 2: a statement that writes has no place in a read", err)
      assert.equal(2, info.statement)
    end)

    it("goes on while another process has the write lock", function()
      local release = case.hold()
      local write = assert(db:async { { "INSERT INTO t(a) VALUES('x')" } })
      for _ = 1, 20 do assert.equal(0, count()) end
      assert.is_false(write:ready())
      release()
      assert(write:wait())
      assert.equal(1, count())
    end)

    it("has a bound on rows and on bytes", function()
      local SERIES = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %d) SELECT n%s FROM s"
      assert.equal(100000, #assert(db:read { { SERIES:format(100000, "") } })[1])
      for _, text in ipairs { SERIES:format(100001, ""), SERIES:format(1000, ", " .. engine.bytes:format(100000) .. " AS z") } do
        local results, err, info = db:read { { text } }
        assert.is_nil(results)
        assert.matches("^store: the answer has more than 100000 rows or 64 MiB", err)
        assert.equal("limit", info.class)
      end
      assert.equal(0, count())
    end)
  end)

  describe("what is refused", function()
    it("leaves the handle as it was", function()
      local own = "has no place in a unit"
      for text, why in pairs {
        ["BEGIN"] = own, ["COMMIT"] = own, ["END"] = own, ["ROLLBACK"] = own, ["SAVEPOINT s"] = own,
        ["RELEASE unit"] = own, ["ROLLBACK TO unit"] = own, [" /* why */ commit"] = own, ["VACUUM"] = "transaction",
        ["SELECT 1; SELECT 2"] = "", ["SELECT 1; DROP TABLE t"] = "", [" "] = "empty", ["-- nothing"] = "empty",
        [";"] = "empty", ["SELECT ?"] = "", ["SELECT :a"] = "", ["SELECT @a"] = "", ["SELECT $a"] = "", ["SELECT ?1"] = "",
        ["SELEC 1"] = "syntax error", ["SELECT 'open"] = "", ["SELECT * FROM nowhere"] = "", ["SELECT \"text\""] = "",
        ["INSERT INTO t(a) VALUES(1, 2)"] = "",
      } do
        local results, err, info = db:unit { { "INSERT INTO t(a) VALUES('x')" }, { text } }
        assert.is_nil(results, text)
        assert.matches("^store: statement 2: .*" .. why, err)
        assert.equal(2, info.statement)
        assert.equal("statement", info.class)
        assert.is_false(info.retry)
        assert.equal(0, count())
      end
      assert(db:unit { { "INSERT INTO t(a) VALUES('x')" } })
    end)

    it("is a unit that is too large, or one too many", function()
      local results, err = db:unit { { "SELECT $1", ("x"):rep(17 * 2 ^ 20) } }
      assert.is_nil(results)
      assert.matches("^invalid: a unit of more than 16 MiB", err)
      local release = case.hold()
      local pendings, refused, info = {}, nil, nil
      for i = 1, 5000 do
        local pending, why, details = db:async { { "INSERT INTO t(a) VALUES($1)", "q" .. i } }
        if not pending then refused, info = why, details break end
        pendings[i] = pending
      end
      assert.equal(4096, #pendings)
      assert.matches("^store: 4096 units wait already", refused)
      assert.equal("queue", info.class)
      assert.is_true(info.retry)
      release()
      for _, pending in ipairs(pendings) do assert(pending:wait()) end
      assert.equal(4096, count())
    end)
  end)

  describe("with another's lock", function()
    it("waits as long as it was told to, and then says so", function()
      local release = case.hold()
      local hasty = assert(sql.open(case.target, { busy_timeout = 0.2 }))
      local start = sys.now()
      local value, err, info = hasty:unit { { "INSERT INTO t(a) VALUES('x')" } }
      assert.is_nil(value)
      assert.matches("^store: another process kept .* locked for too long.*nothing was stored", err)
      assert.equal("busy", info.class)
      assert.is_true(info.retry)
      assert.is_true(sys.now() - start >= 0.2)
      release()
      assert(hasty:unit { { "INSERT INTO t(a) VALUES('x')" } })
      hasty:close()
      assert.equal(1, count())
    end)

    it("goes on as soon as it is released", function()
      local release = case.hold()
      local pending = assert(db:async { { "INSERT INTO t(a) VALUES('x')" } })
      assert.matches("^timeout:", select(2, pending:wait(0.05)))
      release()
      assert(pending:wait(60))
      assert.equal(1, count())
    end)

    it("does not keep the process at its end longer than is set", function()
      local release = case.hold()
      local pending = assert(db:async { { "INSERT INTO t(a) VALUES('late')" } })
      local start = sys.now()
      db:close()
      assert.is_true(sys.now() - start < 55) -- not for the minute
      assert.is_nil((pending:wait()))
      release()
      db = assert(sql.open(case.target))
      assert.equal(0, count())
    end)
  end)

  describe("a pending", function()
    it("answers as often as it is asked", function()
      local pending = assert(db:async { { "INSERT INTO t(a) VALUES('x')" } })
      assert.equal(1, pending:wait()[1].changes)
      assert.is_true(pending:ready())
      assert.is_false(pending:cancel())
      assert.equal(1, pending:wait()[1].changes)
      assert.equal(1, count())
    end)

    it("times out without losing the unit, and cancels it while it waits", function()
      local release = case.hold()
      local kept = assert(db:async { { "INSERT INTO t(a) VALUES('kept')" } })
      local dropped = assert(db:async { { "INSERT INTO t(a) VALUES('dropped')" } })
      assert.matches("^timeout:", select(2, kept:wait(0.01)))
      assert.is_true(dropped:cancel())
      local busy = db:stats().busy -- behind another try of the same batch nobody has it in hand any more
      store.until_true(function() return db:stats().busy > busy + 1 end, "two more tries")
      release()
      assert(kept:wait())
      assert.matches("^closed: this unit was cancelled before it ran", select(2, dropped:wait()))
      assert.equal(1, count())
    end)

    it("need not be kept: the unit is done all the same", function()
      for i = 1, 100 do assert(db:async { { "INSERT INTO t(a) VALUES($1)", "n" .. i } }) end
      collectgarbage()
      collectgarbage()
      db:close()
      db = assert(sql.open(case.target, { busy_timeout = 60 }))
      assert.equal(100, count())
    end)
  end)

  describe("a handle", function()
    it("closes once and for all", function()
      assert.equal("onemsg.sql (" .. case.shown .. ")", tostring(db))
      db:close()
      db:close()
      assert.equal("onemsg.sql (closed)", tostring(db))
      for _, method in ipairs { "unit", "read", "async", "async_read", "stats" } do
        local value, err = db[method](db, { { "SELECT 1" } })
        assert.is_nil(value)
        assert.matches("^closed: this store handle is closed", err)
      end
    end)

    it("shares thread and commit with the others of the same target", function()
      local others = {}
      for i = 1, 3 do
        others[i] = assert(sql.open(case.target, { busy_timeout = "1s" }))
        assert(others[i]:unit { { "INSERT INTO t(a) VALUES($1)", "o" .. i } })
        assert.equal(threads + 1, sys.threads())
      end
      assert.equal(1, others[3]:stats().opened) -- what only reads may have a thread and a connection of its own
      assert.equal(3, count())
      for _, other in ipairs(others) do other:close() end
      assert.equal(3, count())
    end)

    it("starts no thread and opens nothing before its first unit", function()
      local unused = assert(sql.open(case.other()))
      assert.equal(threads + 1, sys.threads())
      unused:close()
    end)
  end)

  it("keeps 64 units of 10,000 in flight, and nothing afterwards", function()
    local window, memory = {}, nil
    for i = 1, 10000 do
      local place = i % 64
      if window[place] then assert.equal(1, assert(window[place]:wait())[1].changes) end
      window[place] = assert(db:async { { "INSERT INTO t(a, b) VALUES($1, $2)", "unit " .. i, i } })
      if i == 2000 then memory = sys.rss_kb() end
    end
    for place = 0, 63 do assert(window[place]:wait()) end
    local stats = db:stats()
    assert.equal(10000, count())
    assert.equal(10001, stats.units)
    assert.is_true(stats.commits < 5000)
    assert.equal(0, stats.queued)
    if not (os.getenv "LD_PRELOAD" or os.getenv "SPEC_LUA") then -- sanitizers keep what was freed
      assert.is_true(sys.rss_kb() - memory < 30000) -- the page cache has 16 MiB
    end
  end)

  it("survives the collector at full pressure", function()
    local pause, mul = collectgarbage("setpause", 1), collectgarbage("setstepmul", 10000)
    for i = 1, 300 do
      local other = assert(sql.open(case.target, { busy_timeout = 60 }))
      local pending = other:async { { "INSERT INTO t(a) VALUES($1) RETURNING a", "g" .. i } }
      if i % 3 == 0 then other = nil end -- luacheck: ignore
      if i % 2 == 0 then assert.equal("g" .. i, pending:wait()[1][1].a) end
      collectgarbage("step", 100)
    end
    collectgarbage("setpause", pause)
    collectgarbage("setstepmul", mul)
    collectgarbage()
    assert(db:unit { { "SELECT 1" } })
    assert(db:unit { { "UPDATE t SET b = 1" } }) -- behind all of them
    assert.equal(300, count())
  end)

  it("lets any event loop wait for it", function()
    local had = sys.fds()
    local fd = assert(onemsg.fd())
    fds = fds + sys.fds() - had -- it stays
    onemsg.dispatch() -- what others have left
    local pending = assert(db:async { { "INSERT INTO t(a) VALUES('x')" } })
    local ready
    repeat -- the ring for what an earlier case left may come behind it
      assert.is_true(sys.poll(fd, 60))
      ready = onemsg.dispatch()
    until #ready > 0
    assert.equal(1, #ready)
    assert.equal(pending, ready[1])
    assert.equal(1, pending:wait()[1].changes)
    assert.is_false(sys.poll(fd, 0))
  end)
end) end
