--- onemsg backup: a copy of a SQLite store, while others work with it.
local calls = require "onemsg.cli.call"

local M = {
  summary = "Copy a SQLite store that is at work, whole and of one moment",
  arguments = { { "FILE", "where to; it must not be there yet" } },
  options = { calls.STORE },
  examples = { "onemsg backup /var/backups/confirmations-2026-11-26.db" },
}

function M.run(call)
  local store, err = call:store()
  if not store then return call:fail(err) end
  local path, amiss = calls.store_file(store)
  if not path then return call:fail "config: only a SQLite store is copied so; PostgreSQL has pg_dump" end
  if amiss == "missing" then return call:fail(("config: there is no store at %s"):format(path)) end
  if amiss then return call:fail(amiss) end
  local to = call.options[1]
  local core = require "onemsg" and require "onemsg.core"
  local done, why = core.sqlite_backup(path, to)
  if not done then return call:fail("store: " .. why) end
  local file = assert(io.open(to, "rb"))
  local bytes = file:seek "end"
  file:close()
  call.out:object { backup = to, bytes = bytes }
  call.out:line("%s: %.1f MB, checked", to, bytes / 1e6)
  return true
end

return M
