-- onemsg.sql: units, their errors, what a handle does. The hard days are in sql_faults_spec.lua.
local sql = require "onemsg.sql"

describe("onemsg.sql", function()
  local directory, path, db

  before_each(function()
    directory = os.tmpname()
    os.remove(directory)
    assert(os.execute("mkdir " .. directory))
    path = directory .. "/store.db"
    db = assert(sql.open("sqlite:" .. path))
    assert(db:unit { { "CREATE TABLE t(a TEXT PRIMARY KEY, b BIGINT)" } })
  end)

  after_each(function()
    db:close()
    os.execute("rm -rf " .. directory)
  end)

  local function count()
    return assert(db:unit { { "SELECT COUNT(*) AS n FROM t" } })[1][1].n
  end

  it("runs a unit and returns rows by column name", function()
    local results = assert(db:unit {
      { "INSERT INTO t(a, b) VALUES($2, $1)", 5, "x" },
      { "INSERT INTO t(a) VALUES($1) RETURNING a, b", "y" },
      { "UPDATE t SET b = COALESCE(b, 0) + 1" },
      { "SELECT a, b FROM t ORDER BY a" },
    })
    assert.same({ changes = 1 }, results[1])
    assert.same({ { a = "y" }, changes = 1 }, results[2])
    assert.same({ changes = 2 }, results[3])
    assert.same({ { a = "x", b = 6 }, { a = "y", b = 1 }, changes = 0 }, results[4])
  end)

  it("undoes the whole unit, and only it, when a statement fails", function()
    assert(db:unit { { "INSERT INTO t(a) VALUES('x')" } })
    local bad = db:async { { "INSERT INTO t(a) VALUES('y')" }, { "INSERT INTO t(a) VALUES('x')" } }
    local good = db:async { { "INSERT INTO t(a) VALUES('z')" } }
    local results, err, info = bad:wait()
    assert.is_nil(results)
    assert.equal("conflict: UNIQUE constraint failed: t.a", err)
    assert.equal(2, info.statement)
    assert.equal("constraint", info.class)
    assert.equal(1, good:wait()[1].changes)
    assert.equal(2, count())
  end)

  it("undoes a unit that changes another number of rows than it expects", function()
    local results, err, info = db:unit {
      { "INSERT INTO t(a) VALUES('x')", expect = 1 },
      { "UPDATE t SET b = 1 WHERE a = 'nobody'", expect = 1 },
    }
    assert.is_nil(results)
    assert.matches("^conflict: statement 2 changed 0 rows", err)
    assert.equal(2, info.statement)
    assert.equal(0, count())
  end)

  it("closes once and for all", function()
    assert.equal("onemsg.sql (" .. path .. ")", tostring(db))
    db:close()
    db:close()
    assert.equal("onemsg.sql (closed)", tostring(db))
    assert.matches("^closed:", select(2, db:unit { { "SELECT 1" } }))
  end)
end)
