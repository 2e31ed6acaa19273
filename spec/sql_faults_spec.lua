-- onemsg.sql on bad days: full and read-only disks, locks, files that vanish or are none of ours. Each fault is said
-- aloud, nothing acknowledged is lost, and work goes on by itself when the fault is gone.
local sql = require "onemsg.sql"
local store = require "support.store"
local sys = require "support.sys"

local NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups "
local root = store.output("id -u") == "0"

describe("onemsg.sql", function()
  local directory, path, finish

  setup(store.warm_up)

  before_each(function() directory, path, finish = store.case() end)
  after_each(function() finish() end)

  local function open(options)
    local db = assert(sql.open("sqlite:" .. path, options))
    assert(db:unit { { "CREATE TABLE IF NOT EXISTS t(a TEXT PRIMARY KEY, b TEXT)" } })
    return db
  end

  local function insert(db, key, bytes)
    return db:unit { { "INSERT INTO t(a, b) VALUES($1, $2)", key, ("x"):rep(bytes or 100) } }
  end

  local function count(db)
    return assert(db:read { { "SELECT COUNT(*) AS n FROM t" } })[1][1].n
  end

  local function refused(word, class, value, err, info)
    assert.is_nil(value)
    assert.matches("^" .. word, err)
    assert.equal(class, info.class)
    return info
  end

  it("names what cannot be a store when it is opened", function()
    for target, sentence in pairs {
      [""] = "config: the store must be given as sqlite:", ["x.db"] = "config: the store must be given as sqlite:",
      ["sqlite"] = "config: the store must be given", ["mysql://x"] = "config: the store must be given",
      ["sqlite:a\0b"] = "config: the store must be given", ["sqlite:"] = "config: .*names no file",
      ["sqlite::memory:"] = "config: .*names no file", ["sqlite:" .. directory .. "/"] = "config: .*names no file",
      ["sqlite:" .. directory .. "/.."] = "config: .*names no file",
      ["sqlite:" .. directory] = "config: .*is a directory; name a file",
      ["sqlite:/dev/null"] = "config: .*is no regular file",
      ["sqlite:" .. directory .. "/no/x.db"] = "config: the directory .*/no/ does not exist; create it first",
      ["sqlite:/etc/hostname/x.db"] = "config: the directory .* does not exist",
      ["sqlite:" .. directory .. "/" .. ("x"):rep(500)] = "config: the path of the database is too long",
    } do
      local db, err, info = sql.open(target)
      assert.is_nil(db, target)
      assert.matches("^" .. sentence, err)
      assert.equal("config", info.class)
    end
  end)

  it("says when a file is no database, or a damaged one, and leaves it as it is", function()
    for _, case in ipairs { { ("no database "):rep(1000), "is not an SQLite database" }, { nil, "is damaged" } } do
      local bytes = case[1]
      if not bytes then
        local db = open()
        for i = 1, 200 do assert(insert(db, "k" .. i, 500)) end
        db:close()
        bytes = store.read(path)
        bytes = bytes:sub(1, 100) .. ("\255"):rep(#bytes - 100)
      end
      store.write(path, bytes)
      local db = assert(sql.open("sqlite:" .. path))
      for _ = 1, 2 do
        refused("store: .*" .. case[2], "corrupt", db:unit { { "INSERT INTO t(a) VALUES('x')" } })
        refused("store: .*" .. case[2], "corrupt", db:read { { "SELECT a FROM t" } })
      end
      db:close()
      assert.equal(bytes, store.read(path))
      store.sh("rm " .. path .. "*")
    end
  end)

  describe("with another process's lock", function()
    it("waits as long as it was told to, and then says so", function()
      local db = open { busy_timeout = 0.2 }
      local release = store.lock(path)
      local start = sys.now()
      local info = refused("store: another process kept .* locked", "busy", insert(db, "x"))
      local took = sys.now() - start
      assert.is_true(info.retry)
      assert.is_true(took >= 0.2)
      release()
      assert(insert(db, "x"))
      assert.equal(1, count(db))
      assert.is_true(db:stats().busy > 5)
      db:close()
    end)

    it("goes on as soon as it is released", function()
      local db = open { busy_timeout = 60 }
      local release = store.lock(path)
      local pending = assert(db:async { { "INSERT INTO t(a) VALUES('x')" } })
      assert.matches("^timeout:", select(2, pending:wait(0.05)))
      release()
      assert(pending:wait(60))
      assert.equal(1, count(db))
      db:close()
    end)

    it("does not keep the process at its end longer than is set", function()
      local db = open { busy_timeout = "1m" }
      local release = store.lock(path)
      assert(db:async { { "INSERT INTO t(a) VALUES('late')" } })
      local start = sys.now()
      db:close()
      assert.is_true(sys.now() - start < 55) -- not for the minute
      release()
      db = open()
      assert.equal(0, count(db)) -- it was refused, and the answer had nobody to go to
      db:close()
    end)
  end)

  it("notices that its file was deleted or replaced, and acknowledges nothing into the void", function()
    local db = open()
    assert(insert(db, "before"))
    assert(store.sh("mkdir " .. directory .. "/away && mv " .. path .. "* " .. directory .. "/away"))
    refused("store: .*was deleted or replaced while it was in use", "moved", insert(db, "void"))
    for _ = 1, 2 do
      refused("store: .*is gone, though it was there before", "moved", insert(db, "void"))
      refused("store: .*is gone, though it was there before", "moved", db:read { { "SELECT a FROM t" } })
    end
    assert.is_nil(store.read(path)) -- no empty one in its place
    assert(store.sh("mv " .. directory .. "/away/* " .. directory))
    assert(insert(db, "after"))

    assert.equal(2, count(db))
    assert(store.sh("rm " .. path .. "*"))
    refused("store: .*was deleted", "moved", insert(db, "void"))
    local anew = open() -- opened by hand: now an empty one is what is wanted
    assert.equal(0, count(anew))
    assert(insert(db, "x"))
    assert.equal(1, count(anew))
    anew:close()
    db:close()
  end)

  it("outlives a limit on the size of files", function()
    local acknowledged = directory .. "/acknowledged"
    local child = store.child(function()
      local db = open()
      local bound = sys.limit("fsize", 400 * 1024)
      local stored, failed = 0, nil
      for i = 1, 2000 do
        local ok, err, info = insert(db, "k" .. i, 2000)
        if not ok then failed = err assert(info.class == "full", err) assert(info.retry) break end
        stored = i
      end
      assert(failed and failed:find "^store: no space left", failed)
      assert(count(db) == stored)
      sys.limit("fsize", bound)
      assert(insert(db, "again", 2000))
      store.write(acknowledged, tostring(stored + 1))
      return 0
    end)
    assert.same({ "exited", 0 }, { sys.waitpid(child) })
    local db = open()
    assert.equal(tonumber(store.read(acknowledged)), count(db))
    db:close()
  end)

  if not root then
    pending("the disks that fill up and turn read-only: they need root, for mount")
    return
  end

  it("says what it may not write, and whom that concerns", function()
    local script = ([[local db, err = require("onemsg.sql").open("sqlite:%s")
      io.write(err or "opened")]]):format(path)
    -- What nobody may read, too, wherever this tree is: /root is closed to them.
    local copy = store.directory()
    finally(function() store.remove(copy) end)
    local build = (os.getenv "B" or "build") .. "/" .. (rawget(_G, "jit") and "luajit" or "5.4")
    assert(store.sh(("cp -r lua %s/onemsg.so %s && chmod -R a+rX %s"):format(build, copy, copy)))
    local before = ("LUA_PATH='%s/lua/?.lua;;' LUA_CPATH='%s/?.so;;' %s"):format(copy, copy, NOBODY)
    local function said()
      return store.run(directory, script, before)
    end
    assert.matches("^store: no permission to write .*store.db %(Permission denied%)", said()) -- the directory
    local db = open()
    db:close()
    assert.matches("^store: no permission to write", said())
    assert(store.sh("chmod 777 " .. directory))
    assert.matches("^store: no permission to write", said()) -- the file: 0600, of root
    assert(store.sh("chown 65534 " .. path))
    assert.equal("opened", said())
  end)

  describe("on a disk of its own", function()
    before_each(function()
      assert(store.sh("mount -t tmpfs -o size=3m,mode=755 tmpfs " .. directory))
    end)

    after_each(function()
      assert(store.sh("umount " .. directory))
    end)

    it("refuses aloud while that is full, still reads, and goes on when there is space", function()
      local db = open()
      local stored = 0
      for _ = 1, 20 do
        assert(insert(db, "k" .. stored + 1, 1000))
        stored = stored + 1
      end
      for _ = 1, 3 do
        store.sh("dd if=/dev/zero of=" .. directory .. "/filler bs=4k 2>/dev/null")
        local window, failed = {}, 0
        for i = 1, 64 do
          window[i] = assert(db:async { { "INSERT INTO t(a, b) VALUES($1, $2)", "f" .. i + stored, ("x"):rep(4000) } })
        end
        for i = 1, 64 do
          local ok, err, info = window[i]:wait()
          if ok then stored = stored + 1 else
            failed = failed + 1
            assert.matches("^store: no space left for .*free some space, and it goes on by itself", err)
            assert.equal("full", info.class)
            assert.is_true(info.retry)
          end
        end
        assert.is_true(failed > 0)
        assert.equal(stored, count(db))
        assert(store.sh("rm " .. directory .. "/filler"))
        assert(insert(db, "again" .. stored, 1000))
        stored = stored + 1
        assert.equal(stored, count(db))
      end
      assert.equal("ok", assert(db:read { { "PRAGMA integrity_check" } })[1][1].integrity_check)
      db:close()
      db = open()
      assert.equal(stored, count(db))
      db:close()
    end)

    it("that is full from the first: so is what it says, and it begins when there is space", function()
      store.sh("dd if=/dev/zero of=" .. directory .. "/filler bs=4k 2>/dev/null")
      local db = assert(sql.open("sqlite:" .. path))
      refused("store: no space left", "full", db:unit { { "CREATE TABLE t(a TEXT PRIMARY KEY, b TEXT)" } })
      assert(store.sh("rm " .. directory .. "/filler"))
      assert(db:unit { { "CREATE TABLE t(a TEXT PRIMARY KEY, b TEXT)" } })
      assert(insert(db, "x"))
      assert.equal(1, count(db))
      db:close()
    end)

    it("that is read-only: refused at the opening and at a unit, and taken up again", function()
      local db = open()
      assert(insert(db, "x"))
      db:close()
      local unused = assert(sql.open("sqlite:" .. path))
      assert(store.sh("mount -o remount,ro " .. directory))
      local READ_ONLY = "store: no permission to write .*%(Read%-only file system%); the file and its directory must be"
      local info = refused(READ_ONLY, "readonly", sql.open("sqlite:" .. path))
      assert.is_false(info.retry)
      for _ = 1, 2 do
        refused(READ_ONLY, "readonly", insert(unused, "y"))
      end
      assert(store.sh("mount -o remount,rw " .. directory))
      assert(insert(unused, "y"))
      assert.equal(2, count(unused))
      unused:close()
    end)
  end)
end)
