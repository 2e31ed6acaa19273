-- Reads stood in one queue with the commits: with a million stored, one look at the metrics held every event for half a
-- second, and twenty of them for seconds. Reads have a connection of their own; what each side sees of the other is this.
local sql = require "onemsg.sql"
local store = require "support.store"
local sys = require "support.sys"

-- Would run for years.
local ENDLESS = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s) SELECT SUM(n) FROM s"

describe("onemsg.sql reads apart from commits", function()
  local directory, path, finish

  setup(store.warm_up)
  before_each(function() directory, path, finish = store.case() end)
  after_each(function() finish() end)

  local function open()
    return assert(sql.open("sqlite:" .. path, { busy_timeout = 60 }))
  end

  local function create()
    local db = open()
    assert(db:unit { { "CREATE TABLE IF NOT EXISTS t(a TEXT PRIMARY KEY)" } })
    return db
  end

  local function insert(key) return { "INSERT INTO t(a) VALUES($1)", key } end

  local function count(db)
    return assert(db:read { { "SELECT COUNT(*) AS n FROM t" } })[1][1].n
  end

  it("commits while a read runs", function()
    create():close()
    local child = store.child(function() -- of its own: nobody can end the read but the process
      local db = open()
      local endless = assert(db:async_read { { ENDLESS } })
      for i = 1, 100 do assert(db:unit { insert("k" .. i) }) end
      assert(db:stats().commits == 100 and not endless:ready())
      os.execute("kill -9 " .. sys.getpid())
    end)
    assert.same({ "killed", 9 }, { sys.waitpid(child) })
    local db = open()
    assert.equal(100, count(db))
    db:close()
  end)

  it("reads while another process keeps it from committing", function()
    local db = create()
    assert(db:unit { insert "before" })
    local release = store.lock(path)
    local pending = assert(db:async { insert "held" })
    assert.equal(1, count(db))
    assert.is_false(pending:ready())
    release()
    assert(pending:wait())
    assert.equal(2, count(db))
    db:close()
  end)

  it("shows every read what was acknowledged before it", function()
    local db = create()
    for i = 1, 500 do
      assert(db:unit { insert("k" .. i) })
      assert.equal(i, count(db))
    end
    db:close()
  end)

  it("refuses what writes, and leaves one file behind", function()
    local db = create()
    local value, err = db:read { { "DELETE FROM t" } }
    assert.is_nil(value)
    assert.matches("a statement that writes has no place in a read", err, 1, true)
    db:close()
    assert.equal("store.db", store.output("ls " .. directory))
  end)

  it("makes a database by whatever comes first, and never an empty one in the place of one that is gone", function()
    local reader = open()
    assert.equal(1, assert(reader:read { { "SELECT 1 AS one" } })[1][1].one)
    assert(reader:unit { { "CREATE TABLE t(a TEXT PRIMARY KEY)" } })
    assert(store.sh("mv " .. path .. " " .. directory .. "/away; rm -f " .. path .. "-wal " .. path .. "-shm"))
    for n = 1, 6 do -- whichever connection looks
      local value, err = reader[n % 2 == 0 and "read" or "unit"](reader, { { "SELECT 1 AS one" } })
      assert.is_nil(value)
      assert.matches(n == 1 and "was deleted or replaced while it was in use" or "is gone, though it was there", err, 1, true)
    end
    assert.is_nil(store.read(path))
    reader:close()
  end)

  it("survives forks in the middle of both", function()
    local db, pendings = create(), {}
    for i = 1, 40 do
      pendings[#pendings + 1] = assert(db:async { insert("p" .. i) })
      pendings[#pendings + 1] = assert(db:async_read { { "SELECT COUNT(*) AS n FROM t" } })
      if i % 10 == 0 then assert.same({ "exited", 0 }, { sys.waitpid(store.child(function() return 0 end)) }) end
    end
    for _, pending in ipairs(pendings) do assert(pending:wait()) end
    assert.equal(40, count(db))
    db:close()
  end)
end)
