-- onemsg.sql on PostgreSQL: what only a server can do to its clients. Each unit has a key of its own; what was acknowledged is
-- there, what "was not stored" is not, and only what was said to be open may be either.
local postgres = require "support.postgres"
local sql = require "onemsg.sql"
local store = require "support.store"
local stores = require "support.stores"
local sys = require "support.sys"

local engine = stores.postgres

describe("onemsg.sql on PostgreSQL", function()
  local case, server, threads, fds

  setup(engine.start)
  teardown(engine.stop)

  before_each(function()
    collectgarbage()
    case = engine.case()
    server = case.server
    case.psql "CREATE TABLE t(a TEXT PRIMARY KEY, b BIGINT); CREATE TABLE alone(id BIGINT PRIMARY KEY, n BIGINT)"
    threads, fds = sys.threads(), sys.fds()
  end)

  after_each(function()
    case.finish()
    assert.equal(threads, sys.threads())
    assert.equal(fds, sys.fds())
  end)

  local function open(options)
    return assert(sql.open(case.target, options or { busy_timeout = 60 }))
  end

  local function insert(a)
    return { "INSERT INTO t(a, b) VALUES($1, 1)", a }
  end

  local function keys()
    local found = {}
    for key in case.psql("SELECT a FROM t"):gmatch "[^\n]+" do found[key] = true end
    return found
  end

  --- Keeps 64 units in flight until more() is false, and judges what became of each. -> counts
  local function judge(db, more)
    local window, said, i = {}, {}, 0
    local function settle(place)
      local one = window[place]
      if one then
        local ok, err = one.unit:wait()
        said[one.key] = ok and "stored" or err
      end
      window[place] = nil
    end
    while more(i) do
      i = i + 1
      settle(i % 64)
      local unit, err = db:async { insert("k" .. i), { "UPDATE t SET b = b + 1 WHERE a = $1", "k" .. i, expect = 1 } }
      if unit then window[i % 64] = { key = "k" .. i, unit = unit } else said["k" .. i] = err end
    end
    for place = 0, 63 do settle(place) end
    local counts, found = { all = i, stored = 0, lost = 0, open = 0, refused = 0 }, keys()
    for key, what in pairs(said) do
      if what == "stored" then
        assert.is_true(found[key], key .. " was acknowledged and is gone")
        counts.stored = counts.stored + 1
      elseif what:find "may not have been stored" then
        counts.open = counts.open + 1
      else
        assert.matches("nothing was stored", what)
        assert.is_nil(found[key], key .. " is there: " .. what)
        counts.refused = counts.refused + 1
      end
    end
    assert.equal(i, counts.stored + counts.open + counts.refused)
    assert.equal("0", case.psql "SELECT COUNT(*) FROM t WHERE b <> 2") -- no half of any
    return counts
  end

  describe("a target", function()
    local SECRET = "p4ss-w0rd"

    it("is checked without a server, and says nothing of its password", function()
      for target, why in pairs {
        ["postgres://u:" .. SECRET .. "@h:port/db"] = "its port is no number",
        ["postgres://u:" .. SECRET .. "%0@h/db"] = "libpq can't read it",
        ["postgres://u:" .. SECRET .. "@h/db?colour=red"] = "libpq can't read it",
        ["postgres://u:" .. SECRET .. "/more@h/db"] = "its port is no number",
        ["postgres://u:" .. SECRET .. "@[::1/db"] = "libpq can't read it",
      } do
        local db, err, info = sql.open(target)
        assert.is_nil(db, target)
        assert.matches("^config: .*" .. why, err)
        assert.equal("config", info.class)
        assert.is_nil(err:find(SECRET, 1, true))
      end
    end)

    it("is shown without its password, also when nobody answers there", function()
      local db = assert(sql.open("postgresql://u:" .. SECRET .. "@/db?host=" .. case.directory, { busy_timeout = 0.3 }))
      assert.equal("onemsg.sql (postgres://u@" .. case.directory .. "/db)", tostring(db))
      local value, err, info = db:unit { { "SELECT 1" } }
      assert.is_nil(value)
      assert.matches("^store: no connection to postgres://u@.*nothing was stored", err)
      assert.is_nil(err:find(SECRET, 1, true))
      assert.equal("connection", info.class)
      assert.is_true(info.retry)
      db:close()
    end)

    it("that the server does not know is a matter of configuration", function()
      local db = assert(sql.open("postgres://onemsg@/nosuch?host=" .. server.directory))
      local value, err, info = db:unit { { "SELECT 1" } }
      assert.is_nil(value)
      assert.matches('^config: .*database "nosuch" does not exist', err)
      assert.equal("config", info.class)
      db:close()
    end)
  end)

  it("loses nothing and stores nothing twice while its sessions are ended every few milliseconds", function()
    local db = open()
    local over = case.directory .. "/over"
    local killer = store.child(function()
      while not io.open(over) do
        case.psql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'onemsg'"
      end
    end)
    local counts = judge(db, function(i) return i < 3000 or db:stats().opened < 20 end)
    assert(io.open(over, "w")):close()
    sys.waitpid(killer) -- and with it its last psql
    assert.is_true(db:stats().opened >= 20)
    assert.is_true(counts.stored > 0) -- how many were open at their end is a matter of luck
    assert(db:unit { insert "after" })
    db:close()
  end)

  it("goes on by itself when the server was stopped at once and came back", function()
    local db = open()
    local count = 0
    local counts = judge(db, function(i)
      if i % 500 == 499 and count < 3 then
        count = count + 1
        assert(server.ctl "-m immediate stop")
        assert(server.ctl "start")
      end
      return i < 3000
    end)
    assert.equal(3, count)
    assert.equal(3000, counts.stored + counts.open)
    db:close()
  end)

  it("runs units that deadlock until each has been stored once", function()
    case.psql "INSERT INTO alone SELECT n, 0 FROM generate_series(1, 8) AS n"
    local pids = {}
    for child = 1, 2 do
      pids[child] = store.child(function()
        local own, window = open(), {}
        for i = 1, 200 do
          local first, second = i % 8 + 1, (i * 3 + child) % 8 + 1
          if child == 2 then first, second = second, first end
          if window[i % 8] then assert(window[i % 8]:wait()) end
          window[i % 8] = assert(own:async {
            { "UPDATE alone SET n = n + 1 WHERE id = $1", first, expect = 1 },
            { "UPDATE alone SET n = n + 1 WHERE id = $1", second, expect = 1 },
          })
        end
        for _, unit in pairs(window) do assert(unit:wait()) end
        own:close()
        return 0
      end)
    end
    for _, pid in ipairs(pids) do assert.same({ "exited", 0 }, { sys.waitpid(pid) }) end
    assert.equal("800", case.psql "SELECT SUM(n) FROM alone")
  end)

  describe("a commit that waits for a standby", function()
    local function waiting() return case.psql "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'" == "1" end

    before_each(function()
      server.psql "ALTER SYSTEM SET synchronous_standby_names = 'nobody'"
      server.psql "SELECT pg_reload_conf()"
    end)

    after_each(function()
      server.psql "ALTER SYSTEM RESET synchronous_standby_names"
      server.psql "SELECT pg_reload_conf()"
    end)

    for how, sentence in pairs { cancel = "did not wait for its standby", terminate = "no connection to" } do
      it("is not acknowledged when somebody ends the waiting: " .. how, function()
        local db = open()
        local unit = assert(db:async { insert "x" })
        store.until_true(waiting, "the commit")
        case.psql(("SELECT pg_%s_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"):format(how))
        local value, err, info = unit:wait()
        assert.is_nil(value)
        assert.matches("^store: .*" .. sentence .. ".*it may not have been stored", err)
        assert.is_true(info.retry)
        assert.equal("x", case.psql "SELECT a FROM t") -- and it is there: "nothing was stored" would have been a lie
        server.psql "ALTER SYSTEM RESET synchronous_standby_names"
        server.psql "SELECT pg_reload_conf()"
        store.until_true(function() return case.psql "SHOW synchronous_standby_names" == "" end, "the reload")
        db:close()
      end)
    end
  end)

  it("waits for a connection where there are too many, and takes the next that is free", function()
    case.psql "CREATE ROLE plain LOGIN CONNECTION LIMIT 0; GRANT ALL ON t TO plain"
    local db = assert(sql.open((case.target:gsub("onemsg@", "plain@")), { busy_timeout = 60 }))
    local unit = assert(db:async { insert "x" })
    assert.matches("^timeout:", select(2, unit:wait(0.3)))
    case.psql "ALTER ROLE plain CONNECTION LIMIT -1"
    assert(unit:wait())
    local value, err, info = db:unit { { "UPDATE alone SET n = 1" } }
    assert.is_nil(value)
    assert.matches("^store: no permission in .*permission denied for table alone", err)
    assert.equal("readonly", info.class)
    db:close()
    case.psql "REVOKE ALL ON t FROM plain; DROP ROLE plain"
  end)

  it("does not take a role's word for what is on disk, nor for how long to wait", function()
    case.psql "ALTER ROLE onemsg SET synchronous_commit = off; ALTER ROLE onemsg SET lock_timeout = '1h'"
    local db = open()
    local row = assert(db:unit { { [[SELECT current_setting('synchronous_commit') AS durable,
      current_setting('lock_timeout') AS lock]] } })
    assert.same({ durable = "on", lock = "100ms" }, row[1][1])
    assert(db:unit { insert "x" })
    db:close()
    case.psql "ALTER ROLE onemsg RESET ALL"
  end)

  it("prepares anew what a change of the table has made old", function()
    local db = open()
    assert(db:unit { insert "x" })
    for i = 1, 3 do
      assert.equal("x", assert(db:read { { "SELECT * FROM t" } })[1][1].a)
      assert.equal("", case.psql(("ALTER TABLE t ADD COLUMN c%d BIGINT DEFAULT %d"):format(i, i)))
      assert.equal(i, assert(db:read { { "SELECT * FROM t" } })[1][1]["c" .. i])
    end
    db:close()
  end)

  it("gives a name to no more texts than it keeps, and forgets the oldest", function()
    local db = open()
    for i = 1, 700 do assert.equal(i, assert(db:read { { ("SELECT %d + $1 AS n"):format(i), 0 } })[1][1].n) end
    local many = assert(db:unit { { "SELECT COUNT(*) AS n FROM pg_prepared_statements" } })[1][1].n
    assert.is_true(many <= 256)
    db:close()
  end)

  it("keeps a value out of its sentences", function()
    local db = open()
    local value, err = db:unit { { "SELECT CAST($1 AS BIGINT) AS n", "+5511" }, { "SELECT CAST($1 AS BIGINT)", "x1y" } }
    assert.is_nil(value)
    assert.matches("invalid input syntax", err)
    assert.is_nil(err:find("x1y", 1, true))
    db:close()
  end)

  local bouncer = postgres.has_bouncer() and it or function(name) pending(name .. ": pgbouncer is not installed") end

  bouncer("works through PgBouncer, which gives each transaction another session", function()
    local pooled = server.bouncer()
    local databases = { case.database }
    local pids = {}
    for child = 1, 3 do
      pids[child] = store.child(function()
        local own = assert(sql.open(pooled.target(databases[1]), { busy_timeout = 60 }))
        local window = {}
        for i = 1, 300 do
          if window[i % 8] then assert(window[i % 8]:wait()) end
          window[i % 8] = assert(own:async { insert(child .. "/" .. i), { "SELECT a FROM t WHERE a = $1", "x" } })
          if i % 50 == 0 then
            assert(own:read { { "SELECT current_setting('lock_timeout') AS lock" } }[1][1].lock == "100ms")
            assert(not own:unit { insert(child .. "/" .. i), insert(child .. "/" .. i) })
          end
        end
        for _, unit in pairs(window) do assert(unit:wait()) end
        own:close()
        return 0
      end)
    end
    for _, pid in ipairs(pids) do assert.same({ "exited", 0 }, { sys.waitpid(pid) }) end
    assert.equal("900", case.psql "SELECT COUNT(*) FROM t")
    assert.equal("0", case.psql "SELECT COUNT(*) FROM pg_stat_activity WHERE state = 'idle in transaction'")
    pooled.stop()
  end)
end)
