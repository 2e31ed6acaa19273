--- onemsg copy: a store moves to another one: from SQLite to PostgreSQL, or back.
local utf8 = require "onemsg.base.utf8"

local M = {
  summary = "Move a store that nobody uses just now to another one: SQLite to PostgreSQL, or back",
  arguments = { { "FROM", "such as sqlite:confirmations.db; it can't be used afterwards" },
                { "TO", "such as postgres://onemsg@db/onemsg; there must be nothing in it" } },
  examples = { "onemsg copy sqlite:confirmations.db 'postgres://onemsg@db.example/onemsg'     # interrupted? run it again" },
}

--- What PostgreSQL does not take in a text.
local function clean(text)
  if text:find "[%z\128-\255]" then return (utf8.repair(text, #text):gsub("%z", "?")) end
  return text
end

local function same(text) return text end

function M.run(call)
  local sql, names, dbs = require "onemsg.sql", {}, {}
  for n = 1, 2 do
    local target = call.options[n]
    local path = target:match "^sqlite:([^?]+)"
    local file = path and io.open(path, "rb")
    if file then file:close() end
    if n == 1 and path and not file then return call:fail(("config: there is no store at %s"):format(path)) end
    local db, err, info = sql.open(target, { busy_timeout = 60 })
    if not db then return call:fail(err, info) end
    dbs[n], names[n] = db, (tostring(db):gsub("^.-%((.*)%)$", "%1"))
  end
  if names[1] == names[2] then return call:fail "config: FROM and TO are one store" end
  local count, err, info = require "onemsg.outbox.copy".copy(dbs[1], dbs[2], names[1], names[2],
    dbs[2]:engine() == "postgres" and clean or same,
    function(name, rows) if rows > 0 then call.out:note("%s: %d", name, rows) end end)
  for _, db in ipairs(dbs) do db:close() end
  if not count then return call:fail(err, info) end
  call.out:object { confirmations = count, from = names[1], to = names[2] }
  call.out:line("%d confirmations are in %s now, and %s can't be used any more.", count, names[2], names[1])
  local path = call.options[1]:match "^sqlite:([^?]+)"
  if path then
    call.out:line("Let ONE_MSG_WITNESS name %s-witness on this machine; what %s.key holds, if it is there, becomes "
      .. "ONE_MSG_HASH_KEY.", path, path)
  end
  return true
end

return M
