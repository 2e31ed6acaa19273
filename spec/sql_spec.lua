-- onemsg.sql: units and their answers, what is refused, what a handle does.
-- sql_faults_spec.lua has the bad days, sql_processes_spec.lua several processes.
local onemsg = require "onemsg"
local sql = require "onemsg.sql"
local store = require "support.store"
local sys = require "support.sys"

local LARGEST, SMALLEST = rawget(math, "maxinteger"), rawget(math, "mininteger") -- Lua 5.4 only

describe("onemsg.sql", function()
  local directory, path, db, threads, fds

  setup(store.warm_up)

  before_each(function()
    collectgarbage()
    threads, fds = sys.threads(), sys.fds()
    directory = store.directory()
    path = directory .. "/store.db"
    db = assert(sql.open("sqlite:" .. path, { busy_timeout = 60 }))
    assert(db:unit { { "CREATE TABLE t(a TEXT PRIMARY KEY, b BIGINT)" } })
  end)

  after_each(function()
    db:close()
    store.remove(directory)
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
        "", "x", "it's \"quoted\" $1 ? -- ; /*", "a\0b\0", "олá 👩‍👩‍👧", ("x"):rep(1e6), "\255\254",
        0, 1, -1, 1.5, -1e300, 1e-300, 2 ^ 53, -2 ^ 53, 123456789012345,
      }
      values[#values + 1] = LARGEST
      values[#values + 1] = SMALLEST
      for _, value in ipairs(values) do
        local back = one({ "SELECT $1 AS v, typeof($1) AS t", value })
        assert.equal(value, back.v)
        local whole = type(value) == "number" and value % 1 == 0 and math.abs(value) <= 2 ^ 53
        whole = whole or value == LARGEST or value == SMALLEST
        assert.equal(type(value) == "string" and "text" or whole and "integer" or "real", back.t)
      end
      assert.same({ yes = 1, no = 0 }, one({ "SELECT $1 AS yes, $2 AS no, $3 AS nought", true, false, sql.null }))
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
      assert.equal("conflict: UNIQUE constraint failed: t.a", err)
      assert.same({ outcome = "conflict", class = "constraint", retry = false, statement = 2, code = 1555 }, info)
      assert.equal(1, good:wait()[1].changes)
      assert.equal(2, count())
    end)

    it("is undone when it changes or returns another number of rows than it expects", function()
      for _, case in ipairs {
        { "UPDATE t SET b = 1 WHERE a = 'nobody'", expect = 1 },
        { "INSERT INTO t(a) VALUES('q'), ('r')", expect = 1 },
        { "SELECT 1 AS one", expect = 0 },
        { "INSERT INTO t(a) VALUES('q') RETURNING a", expect = 2 },
      } do
        local results, err, info = db:unit { { "INSERT INTO t(a) VALUES('x')", expect = 1 }, case }
        assert.is_nil(results)
        assert.matches("^conflict: statement 2 %a+ %d rows where exactly " .. case.expect, err)
        assert.equal(2, info.statement)
        assert.equal("expect", info.class)
        assert.equal(0, count())
      end
      assert(db:unit { { "INSERT INTO t(a) VALUES('x')", expect = 1 }, { "SELECT 1 WHERE 1 = 0", expect = 0 } })
    end)

    it("hurts no neighbour of its transaction, however it fails", function()
      local FAILURES = {
        { "INSERT INTO t(a) VALUES('taken')" },
        { "INSERT OR ROLLBACK INTO t(a) VALUES('taken')" },
        { "INSERT OR FAIL INTO t(a) VALUES('half'), ('taken')" },
        { "UPDATE t SET b = 0 WHERE a = 'nobody'", expect = 1 },
        { "SELEC" },
        { "ROLLBACK" },
      }
      assert(db:unit { { "INSERT INTO t(a) VALUES('taken')" } })
      local expected = 1
      for round = 1, 12 do
        local release = store.lock(path) -- so that all of them wait for one transaction
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
      local release = store.lock(path)
      local commits, pendings = db:stats().commits, {}
      for i = 1, 64 do pendings[i] = assert(db:async { { "INSERT INTO t(a) VALUES($1)", "p" .. i } }) end
      release()
      for _, pending in ipairs(pendings) do assert(pending:wait()) end
      local stats = db:stats()
      assert.is_true(stats.commits - commits <= 3) -- the thread may have begun with the first ones
      assert.is_true(stats.largest >= 32 and stats.largest <= 64)
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
      local release = store.lock(path)
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
      for _, text in ipairs { SERIES:format(100001, ""), SERIES:format(1000, ", zeroblob(100000) AS z") } do
        local results, err, info = db:read { { text } }
        assert.is_nil(results)
        assert.matches("^store: the answer has more than 100000 rows or 64 MiB", err)
        assert.equal("limit", info.class)
      end
      assert.equal(0, count())
    end)
  end)

  describe("what is refused", function()
    it("by the database leaves the handle as it was", function()
      local own = "has no place in a unit"
      for text, why in pairs {
        ["BEGIN"] = own, ["COMMIT"] = own, ["END"] = own, ["ROLLBACK"] = own, ["SAVEPOINT s"] = own,
        ["RELEASE unit"] = own, ["ROLLBACK TO unit"] = own, ["ATTACH ':memory:' AS m"] = own, ["DETACH m"] = own,
        ["PRAGMA synchronous = OFF"] = own, ["PRAGMA journal_mode = DELETE"] = own, ["PRAGMA wal_checkpoint"] = own,
        ["PRAGMA writable_schema = 1"] = own, ["VACUUM"] = "transaction",
        ["SELECT 1; SELECT 2"] = "one statement at a time", ["SELECT 1; DROP TABLE t"] = "one statement at a time",
        [" "] = "empty", ["-- nothing"] = "empty", [";"] = "empty",
        ["SELECT ?"] = "placeholders", ["SELECT :a"] = "placeholders", ["SELECT @a"] = "placeholders",
        ["SELECT $a"] = "placeholders", ["SELECT ?1"] = "placeholders",
        ["SELEC 1"] = "syntax error", ["SELECT 'open"] = "unrecognized", ["SELECT * FROM nowhere"] = "no such table",
        ["SELECT \"text\""] = "no such column", ["INSERT INTO t(a) VALUES(1, 2)"] = "2 values",
        ["SELECT load_extension('x')"] = "", ["DELETE FROM sqlite_master"] = "may not be modified",
      } do
        local results, err, info = db:unit { { "INSERT INTO t(a) VALUES('x')" }, { text } }
        assert.is_nil(results, text)
        assert.matches("^store: statement 2: .*" .. why, err)
        assert.equal(2, info.statement)
        assert.equal("statement", info.class)
        assert.is_false(info.retry)
        assert.equal(0, count())
      end
      assert.equal("wal", one({ "PRAGMA journal_mode" }).journal_mode)
      assert.equal(2, one({ "PRAGMA synchronous" }).synchronous)
      assert.equal(1, one({ "PRAGMA foreign_keys" }).foreign_keys)
    end)

    local function units(of)
      local list = {}
      for i = 1, of do list[i] = { "SELECT 1" } end
      return list
    end

    local function values(of)
      local list = { "SELECT 1" }
      for i = 1, of do list[i + 1] = i end
      return list
    end

    local HOSTILE = {
      { nil, "list of statements" }, { 5, "list of statements" }, { "SELECT 1", "list of statements" },
      { {}, "1 to 4000 statements" }, { units(4001), "1 to 4000 statements" },
      { { "SELECT 1" }, "statement 1 must be a table" }, { { { "SELECT 1" }, 5 }, "statement 2 must be a table" },
      { { {} }, "must begin with its text" }, { { { 5 } }, "must begin with its text" },
      { { { nil, 5 } }, "must begin with its text" }, { { { {} } }, "must begin with its text" },
      { { { "SELECT \0 1" } }, "zero byte" }, { { { "SELECT $1", nil } }, "use sql.null" },
      { { { "SELECT $1, $2", nil, 2 } }, "value %$1 of statement 1 is nil; use sql.null" },
      { { { "SELECT 1", 2 } }, "placeholders up to %$0 and 1 values" },
      { { { "SELECT $1", 1, 2 } }, "placeholders up to %$1 and 2 values" },
      { { { "SELECT $2000", 1 } }, "placeholders up to" },
      { { { "SELECT $1", {} } }, "is a table" }, { { { "SELECT $1", print } }, "is a function" },
      { { { "SELECT $1", io.stdout } }, "is a userdata" },
      { { { "SELECT $1", coroutine.create(print) } }, "is a thread" },
      { { { "SELECT $1", 0 / 0 } }, "not a number" }, { { { "SELECT $1", math.huge } }, "infinite" },
      { { { "SELECT $1", -math.huge } }, "infinite" }, { { values(1001) }, "at most 1000 values" },
      { { { "SELECT 1", expects = 1 } }, "did you mean 'expect'" },
      { { { "SELECT 1", colour = 1 } }, "field 'colour'" },
      { { { "SELECT 1", expect = "1" } }, "expect must be a whole number" },
      { { { "SELECT 1", expect = 1.5 } }, "expect must be a whole number" },
      { { { "SELECT 1", expect = -1 } }, "expect must be a whole number" },
      { { { "SELECT 1", expect = 0 / 0 } }, "expect must be a whole number" },
      { { { "SELECT 1", [1.5] = 1 } }, "must be a list" }, { { { "SELECT 1", [0] = 1 } }, "must be a list" },
      { { { "SELECT 1", [-1] = 1 } }, "must be a list" }, { { { "SELECT 1", [true] = 1 } }, "must be a list" },
      { { { "SELECT 1", [2 ^ 40] = 1 } }, "must be a list" },
    }
    for _, method in ipairs { "unit", "read", "async", "async_read" } do
      it("as misuse raises at the caller's line: " .. method, function()
        for i, case in ipairs(HOSTILE) do
          local ok, message = pcall(function() return db[method](db, case[1]) end)
          assert.is_false(ok, i .. ": " .. case[2])
          assert.matches("^[^:]*sql_spec.lua:%d+: ", message)
          assert.matches(case[2], message)
        end
        assert.is_false(pcall(db[method], {}, { { "SELECT 1" } }))
        assert.is_false(pcall(db[method]))
        assert.equal(0, db:stats().queued)
      end)
    end

    it("runs no metamethod of its arguments", function()
      local trap = { __index = function() error "touched" end, __len = function() error "touched" end }
      assert(db:unit(setmetatable({ setmetatable({ "SELECT $1", "x" }, trap) }, trap)))
    end)

    it("is a unit that is too large, or one too many", function()
      local results, err = db:unit { { "SELECT $1", ("x"):rep(17 * 2 ^ 20) } }
      assert.is_nil(results)
      assert.matches("^invalid: a unit of more than 16 MiB", err)
      local release = store.lock(path)
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
      local release = store.lock(path)
      local kept = assert(db:async { { "INSERT INTO t(a) VALUES('kept')" } })
      local dropped = assert(db:async { { "INSERT INTO t(a) VALUES('dropped')" } })
      assert.matches("^timeout:", select(2, kept:wait(0.01)))
      assert.is_true(dropped:cancel())
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
      db = assert(sql.open("sqlite:" .. path, { busy_timeout = 60 }))
      assert.equal(100, count())
    end)
  end)

  describe("a handle", function()
    it("closes once and for all, and leaves one file", function()
      assert.equal("onemsg.sql (" .. path .. ")", tostring(db))
      db:close()
      db:close()
      assert.equal("onemsg.sql (closed)", tostring(db))
      for _, method in ipairs { "unit", "read", "async", "async_read", "stats" } do
        local value, err = db[method](db, { { "SELECT 1" } })
        assert.is_nil(value)
        assert.matches("^closed: this store handle is closed", err)
      end
      assert.equal("store.db", store.output("ls " .. directory))
    end)

    it("shares thread and commit with the others of the same file, whatever they call it", function()
      assert(store.sh("ln -s " .. path .. " " .. directory .. "/link.db"))
      local others = {}
      for i, name in ipairs { path, directory .. "/link.db", directory .. "/./store.db" } do
        others[i] = assert(sql.open("sqlite:" .. name, { busy_timeout = "1s" }))
        assert(others[i]:unit { { "INSERT INTO t(a) VALUES($1)", "o" .. i } })
        assert.equal(threads + 1, sys.threads())
      end
      assert.equal(1, others[3]:stats().opened)
      assert.equal(3, count()) -- a read: on a second thread, with a connection of its own
      assert.equal(threads + 2, sys.threads())
      assert.equal(2, others[3]:stats().opened)
      for _, other in ipairs(others) do other:close() end
      assert.equal(3, count())
    end)

    it("starts no thread and opens nothing before its first unit", function()
      local unused = assert(sql.open("sqlite:" .. directory .. "/unused.db"))
      assert.equal(threads + 1, sys.threads()) -- the other store's
      assert.is_nil(store.read(directory .. "/unused.db"))
      unused:close()
    end)

    it("makes files that only its user can read, whatever the umask says", function()
      for i, mask in ipairs { "000", "022", "777" } do
        local file = directory .. "/mode" .. i .. ".db"
        local modes = store.run(directory, ([[local sql = require "onemsg.sql"
          local db = assert(sql.open("sqlite:%s"))
          assert(db:unit { { "CREATE TABLE t(a TEXT)" } })
          io.write(io.popen("stat -c %%a %s*"):read "*a")]]):format(file, file), "umask " .. mask .. ";")
        assert.equal("600\n600\n600", modes)
      end
    end)

    it("is opened by a target and options that are checked", function()
      for _, case in ipairs {
        { nil, nil, "store must be a string" }, { 5, nil, "store must be a string" },
        { {}, nil, "store must be a string" }, { "sqlite:x.db", 5, "options of sql.open must be a table" },
        { "sqlite:x.db", { busy_timout = 1 }, "did you mean 'busy_timeout'" },
        { "sqlite:x.db", { busy_timeout = -1 }, "busy_timeout must be" },
        { "sqlite:x.db", { busy_timeout = 0 / 0 }, "busy_timeout must be" },
        { "sqlite:x.db", { busy_timeout = "soon" }, "busy_timeout must be" },
        { "sqlite:x.db", { busy_timeout = 61 }, "busy_timeout must be at most 60" },
      } do
        local ok, message = pcall(function() return sql.open(case[1], case[2]) end)
        assert.is_false(ok)
        assert.matches("^[^:]*sql_spec.lua:%d+: .*" .. case[3], message)
      end
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
      local other = assert(sql.open("sqlite:" .. path, { busy_timeout = 60 }))
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
    local fd = assert(onemsg.fd())
    fds = fds + 1 -- it stays
    local pending = assert(db:async { { "INSERT INTO t(a) VALUES('x')" } })
    assert.is_true(sys.poll(fd, 60))
    local ready = onemsg.dispatch()
    assert.equal(1, #ready)
    assert.equal(pending, ready[1])
    assert.equal(1, pending:wait()[1].changes)
    assert.is_false(sys.poll(fd, 0))
  end)
end)
