-- onemsg.sql, on every store, with several processes: kill -9 at random moments, many writers, forks, and the end of a process.
local sql = require "onemsg.sql"
local store = require "support.store"
local stores = require "support.stores"
local sys = require "support.sys"

local KILLS = 60

for _, engine in ipairs(stores.list) do describe("onemsg.sql on " .. engine.name, function()
  local case, directory, threads, fds

  setup(engine.start)
  teardown(engine.stop)

  before_each(function()
    collectgarbage()
    case = engine.case()
    directory = case.directory
    threads, fds = sys.threads(), sys.fds()
  end)

  after_each(function()
    case.finish()
    assert.equal(threads, sys.threads())
    assert.equal(fds, sys.fds())
  end)

  local function open()
    return assert(sql.open(case.target, { busy_timeout = 60 }))
  end

  local function create()
    local db = open()
    assert(db:unit { { "CREATE TABLE t(a TEXT PRIMARY KEY, b BIGINT)" } })
    return db
  end

  local function insert(a)
    return { "INSERT INTO t(a, b) VALUES($1, 1)", a }
  end

  local function count(db)
    return assert(db:read { { "SELECT COUNT(*) AS n FROM t" } })[1][1].n
  end

  local function assert_exited(pid)
    assert.same({ "exited", 0 }, { sys.waitpid(pid) })
  end

  it("has every unit that returned before a kill -9, and no half of any", function()
    local db = create() -- open all the time: each fork passes an open store
    local acknowledged, killed_at_work = 0, 0
    math.randomseed(os.time())
    for round = 1, KILLS do
      local journal = directory .. "/journal"
      os.remove(journal)
      local pid = store.child(function()
        local own, window = open(), {}
        local file = assert(io.open(journal, "w"))
        file:setvbuf "no"
        for i = 1, 100000 do
          local place = i % 8
          if window[place] then
            assert(window[place].unit:wait())
            file:write(window[place].key, "\n")
          end
          local key = round .. "/" .. i
          window[place] = { key = key, unit = assert(own:async { insert(key), insert(key .. "+") }) }
        end
        return 1
      end)
      store.until_true(function() return (store.read(journal) or "") ~= "" end, "the first unit")
      sys.sleep(math.random() * 0.03)
      assert(sys.kill(pid, sys.KILL))
      assert.same({ "killed", sys.KILL }, { sys.waitpid(pid) })
      local found = {}
      for _, row in ipairs(assert(db:read { { "SELECT a FROM t WHERE a LIKE $1", round .. "/%" } })[1]) do
        found[row.a] = true
      end
      local text = store.read(journal)
      for key in text:gmatch "([^\n]+)\n" do
        assert.is_true(found[key], key .. " was acknowledged and is gone")
        acknowledged = acknowledged + 1
      end
      for key in pairs(found) do
        local other = key:find "%+$" and key:sub(1, -2) or key .. "+"
        assert.is_true(found[other], key .. " is there without the rest of its unit")
        killed_at_work = killed_at_work + (text:find(key:gsub("%+$", "") .. "\n", 1, true) and 0 or 1)
      end
    end
    assert.is_true(acknowledged > KILLS)
    assert.is_true(killed_at_work > 0) -- some were on disk and their answer on its way: the moments were random
    if engine.check then assert.equal("ok", assert(db:read { { engine.check } })[1][1].integrity_check) end
    db:close()
  end)

  it("lets several processes write at once, each unit once", function()
    local db = create()
    assert(db:unit { { "INSERT INTO t(a, b) VALUES('counter', 0)" } })
    local pids = {}
    for child = 1, 4 do
      pids[child] = store.child(function()
        local own, window = open(), {}
        for i = 1, 250 do
          local place = i % 4
          if window[place] then assert(window[place]:wait()) end
          window[place] = assert(own:async {
            { "UPDATE t SET b = b + 1 WHERE a = 'counter'", expect = 1 }, insert(child .. "/" .. i),
          })
        end
        for _, pending in pairs(window) do assert(pending:wait()) end
        own:close()
        return 0
      end)
    end
    for _, pid in ipairs(pids) do assert_exited(pid) end
    assert.equal(1001, count(db))
    assert.equal(1000, assert(db:read { { "SELECT b FROM t WHERE a = 'counter'" } })[1][1].b)
    db:close()
  end)

  it("gives one of many that begin at once the right to make the tables", function()
    local pids = {}
    for child = 1, 6 do
      pids[child] = store.child(function()
        local own = open()
        for n = 1, 20 do -- the moment in which two see that it is not there is short
          assert(own:unit { { ("CREATE TABLE IF NOT EXISTS t%d(a TEXT PRIMARY KEY)"):format(n) } })
        end
        assert(own:unit { { "CREATE TABLE IF NOT EXISTS t(a TEXT PRIMARY KEY, b BIGINT)" }, insert("c" .. child) })
        return 0
      end)
    end
    for _, pid in ipairs(pids) do assert_exited(pid) end
    local db = open()
    assert.equal(6, count(db))
    db:close()
  end)

  describe("over a fork", function()
    it("says that a handle used before is the parent's, and opens another", function()
      local db = create()
      local pid = store.child(function()
        for _, method in ipairs { "unit", "read", "async", "async_read", "stats" } do
          local value, err = db[method](db, { { "SELECT 1 AS one" } })
          assert(value == nil and err:find "^closed: this store handle", err)
        end
        db:close()
        assert(tostring(db) == "onemsg.sql (closed)")
        local own = open()
        for i = 1, 100 do assert(own:unit { insert("child" .. i) }) end
        own:close()
        return 0
      end)
      for i = 1, 100 do assert(db:unit { insert("parent" .. i) }) end
      assert_exited(pid)
      assert.equal(200, count(db))
      db:close()
    end)

    it("hands no open database to the child", function()
      local db = create()
      local own = sys.fds() - fds -- a file with its log and the log's index, or a connection
      assert.equal(engine.descriptors, own)
      assert_exited(store.child(function() return sys.fds() == fds and 0 or 1 end))
      assert(db:unit { insert "x" })
      assert.equal(2, db:stats().opened)
      db:close()
    end)

    it("works on both sides with a handle that was not used before", function()
      create():close()
      local db = open()
      local pid = store.child(function()
        assert(db:unit { insert "child" })
        db:close()
        return 0
      end)
      assert(db:unit { insert "parent" })
      assert_exited(pid)
      assert.equal(2, count(db))
      db:close()
    end)

    it("loses nothing of what the parent has in flight", function()
      local db = create()
      local pendings = {}
      for i = 1, 400 do
        pendings[i] = assert(db:async { insert("p" .. i) })
        if i % 40 == 0 then
          assert_exited(store.child(function()
            local value, err = pendings[i]:wait()
            if value then return 0 end -- it had come home before the fork
            return err:find "^closed: this unit belongs to the process that began it" and 0 or 1
          end))
        end
      end
      for _, pending in ipairs(pendings) do assert(pending:wait()) end
      assert.equal(400, count(db))
      db:close()
    end)

    it("waits 2 s for a statement that runs, and then tells the child what it cannot have", function()
      if os.getenv "SPEC_LUA" then return pending "sanitizers do not bear a fork while another thread allocates" end
      create():close()
      local other = case.other()
      assert_exited(store.child(function()
        local db = open()
        assert(db:async_read { { engine.endless } })
        store.until_true(function() return db:stats().opened == 1 or sys.fds() > fds end, "the statement")
        local start = sys.now()
        local pid = store.child(function()
          for _, target in ipairs { case.target, other } do
            local value, err = assert(sql.open(target)):unit { { "SELECT 1 AS one" } }
            assert(value == nil and err:find "^closed: this process was forked while a statement ran", err)
          end
          return 0
        end)
        local took = sys.now() - start
        assert(took > 1.5, took)
        local how, code = sys.waitpid(pid)
        return how == "exited" and code or 1 -- the statement would run for ever
      end))
    end)

    it("does not wait for another process's lock", function()
      local db = create()
      local release = case.hold()
      local pending = assert(db:async { insert "x" })
      assert_exited(store.child(function() -- who had waited for the lock until time was up could use no store here
        return open():read { { "SELECT 1 AS one" } } and 0 or 1
      end))
      release()
      assert(pending:wait())
      db:close()
    end)
  end)

  it("ends with its process, however that ends, after what is queued", function()
    local ends = { "", "os.exit(0)", "os.exit(0, true)", "db = nil collectgarbage()", "db:close()", "error(5)" }
    for i, the_end in ipairs(ends) do
      store.run(directory, ([[local sql = require "onemsg.sql"
        db = assert(sql.open("%s"))
        db:unit { { "CREATE TABLE IF NOT EXISTS t(a TEXT PRIMARY KEY, b BIGINT)" } }
        for i = 1, 500 do assert(db:async { { "INSERT INTO t(a) VALUES($1)", "%d/" .. i } }) end
        %s]]):format(case.target, i, the_end))
      local db = open()
      assert.equal(500 * i, count(db), the_end)
      db:close()
      if case.path then assert.equal("store.db", store.output("ls " .. directory)) end
    end
  end)
end) end
