--- support.stores: the stores that onemsg.sql and the outbox stand on, each with what a spec needs of it; so one suite is run on
-- all of them. For specs only.
--   name
--   start()           once a file; stop() at its end
--   case() -> store   an empty one: target, other() (another empty one's target), hold(), which keeps all writers of table t
--                     out until the function it returns is called, and finish()
--   and where they differ: duplicate (what a taken key is called), code, text_of_bytes, …
local lock_and_files = require "support.store"
local postgres = require "support.postgres"

local M = {}

M.sqlite = {
  name = "sqlite",
  start = lock_and_files.warm_up,
  stop = function() end,
  case = function()
    local directory = lock_and_files.directory()
    local path, count = directory .. "/store.db", 0
    return {
      directory = directory,
      path = path,
      target = "sqlite:" .. path,
      shown = path,
      other = function()
        count = count + 1
        return ("sqlite:%s/other%d.db"):format(directory, count)
      end,
      hold = function() return lock_and_files.lock(path) end,
      finish = function() lock_and_files.remove(directory) end,
    }
  end,
  duplicate = "UNIQUE constraint failed: t.a",
  duplicate_code = 1555,
  any_bytes = true,
  bytes = "zeroblob(%d)",
  endless = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s) SELECT SUM(n) FROM s",
  failures = {
    { "INSERT OR ROLLBACK INTO t(a) VALUES('taken')" },
    { "INSERT OR FAIL INTO t(a) VALUES('half'), ('taken')" },
  },
  largest = 256,
  descriptors = 3,
  check = "PRAGMA integrity_check",
}

M.postgres = {
  name = "postgres",
  start = function()
    M.postgres.server = postgres.start()
    M.postgres.databases = 0
    local db = assert(require "onemsg.sql".open(M.postgres.server.target)) -- what starts only once is there before specs count
    assert(db:unit { { "SELECT 1 AS one" } })
    db:close()
  end,
  stop = function() M.postgres.server.stop() end,
  case = function()
    local server, directory = M.postgres.server, lock_and_files.directory()
    local function database()
      M.postgres.databases = M.postgres.databases + 1
      local name = "case" .. M.postgres.databases
      local said = server.psql("CREATE DATABASE " .. name)
      assert(said == "", said)
      return name
    end
    local name = database()
    local function target(of) return ("postgres://onemsg@/%s?host=%s"):format(of, server.directory) end
    return {
      directory = directory,
      target = target(name),
      shown = ("postgres://onemsg@%s/%s"):format(server.directory, name),
      server = server,
      database = name,
      other = function() return target(database()) end,
      hold = function(text) return server.hold(text or "LOCK TABLE t IN EXCLUSIVE MODE", name) end,
      psql = function(text) return server.psql(text, name) end,
      finish = function()
        lock_and_files.remove(directory)
        server.psql(("DROP DATABASE %s WITH (FORCE)"):format(name))
      end,
    }
  end,
  duplicate = 'duplicate key value violates unique constraint "t_pkey"',
  duplicate_code = "23505",
  any_bytes = false,
  bytes = "repeat('x', %d)",
  endless = "SELECT pg_sleep(600)",
  failures = { { "SELECT 1 / 0" } },
  largest = 60,
  rotates = true,
  descriptors = 1,
}

--- All of them, or the one that STORE names.
M.list = {}
for _, name in ipairs { "sqlite", "postgres" } do
  if (os.getenv "STORE" or name) == name then M.list[#M.list + 1] = M[name] end
end

local made = {}

--- The store that belongs to a path: a file there, or with STORE=postgres a database of this process's own server.
function M.at(path)
  if os.getenv "STORE" ~= "postgres" then return "sqlite:" .. path end
  M.server = M.server or postgres.start()
  local name = "at" .. path:gsub("[^%w]", "_"):lower()
  if not made[name] then
    made[name] = true
    local said = M.server.psql("CREATE DATABASE " .. name)
    assert(said == "" or said:find "already exists", said)
  end
  return ("postgres://onemsg@/%s?host=%s"):format(name, M.server.directory)
end

return M
