-- onemsg.sql: what is refused as misuse, and what SQLite does in a way of its own. sql_conformance_spec.lua has what every store
-- does alike, sql_faults_spec.lua the bad days of a file.
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
end)
