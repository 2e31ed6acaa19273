--- onemsg.cli.database: what `onemsg doctor` makes of what a PostgreSQL says of itself. Pure.
local M = {}

local OLDEST_VERSION = 150000
local DRIFT = 2         -- seconds
local OLD = 300         -- seconds that a transaction may be open
local CROWDED = 0.8     -- of max_connections

-- facts → is something wrong?, what, what to do; "fix" or "note". In this order.
local CHECKS = {
  { "fix", function(f) return f.version < OLDEST_VERSION end, "PostgreSQL %d is older than 15",
    "Use PostgreSQL 15 or later.", function(f) return math.floor(f.version / 10000) end },
  { "fix", function(f) return f.encoding ~= "UTF8" end, "its encoding is %s, not UTF8",
    "Make the database anew: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0.", function(f) return f.encoding end },
  { "fix", function(f) return f.fsync == "off" or f.full_page_writes == "off" end,
    "fsync or full_page_writes is off: what was acknowledged may be lost, and then sent twice",
    "Switch both on in postgresql.conf." },
  { "fix", function(f) return f.forbidden[1] ~= nil end, "this role may not read and write %s",
    "GRANT SELECT, INSERT, UPDATE, DELETE on them, or let one role own and use the store.",
    function(f) return table.concat(f.forbidden, ", ") end },
  { "note", function(f) return f.may_create == false or f.may_create == 0 or f.may_create == "f" end,
    "this role may create no tables in its schema", "A newer onemsg can't bring the store to its schema: GRANT CREATE to the "
    .. "role that owns it, and open it as that one then." },
  { "note", function(f) return f.synchronous_commit == "off" end,
    "synchronous_commit is off for this role; onemsg switches it on for itself",
    "What else writes to this database is told too early that it is stored." },
  { "note", function(f)
      return f.standbys > 0 and (f.standby_names == "" or f.synchronous_commit == "local" or f.synchronous_commit == "off")
    end, "%d standby servers follow, and a commit waits for none of them",
    "One that is promoted may lack the last commits; the witness keeps what left from leaving again, while its machine lives. "
    .. "synchronous_standby_names makes a commit wait.", function(f) return f.standbys end },
  { "fix", function(f) return f.autovacuum == "off" end, "autovacuum is off: each claim gets slower",
    "Switch it on." },
  { "note", function(f) return f.connections > CROWDED * f.connections_most end, "%d of %d connections are in use",
    "Each process needs two: raise max_connections, or put PgBouncer in between.",
    function(f) return f.connections, f.connections_most end },
  { "note", function(f) return 2 * (f.processes or 0) > CROWDED * f.connections_most end,
    "%d processes send, and there are %d connections; each needs two",
    "Raise max_connections, or put PgBouncer in between.", function(f) return f.processes, f.connections_most end },
  { "note", function(f) return f.idle_timeout == 0 end,
    "others may leave a transaction open for ever, which keeps vacuum from its work",
    "ALTER DATABASE … SET idle_in_transaction_session_timeout = '1min'. (onemsg has one of its own.)" },
  { "fix", function(f) return f.oldest_transaction > OLD end,
    "a transaction has been open for %.0f s: vacuum can't work, and each claim gets slower",
    "Find it in pg_stat_activity by its xact_start, and end it.", function(f) return f.oldest_transaction end },
  { "fix", function(f) return f.oldest_prepared > OLD end,
    "a prepared transaction has been open for %.0f s: vacuum can't work, and each claim gets slower",
    "Find it in pg_prepared_xacts, and end it.", function(f) return f.oldest_prepared end },
  { "note", function(f) return math.abs(f.drift) > DRIFT end, "this machine's clock is %.0f s %s the server's",
    "Due times and leases go by the server's; the log goes by this one. Set it (NTP).",
    function(f) return math.abs(f.drift), f.drift > 0 and "ahead of" or "behind" end },
  { "note", function(f) return f.dialed and f.dialed ~= f.port end,
    "port %d was called, and the server listens on %d: something stands in between",
    "If that is PgBouncer in transaction mode, all works, without prepared statements: slower.",
    function(f) return f.dialed, f.port end },
}

--- The port that a target names; nil where it leaves that to libpq's own settings.
function M.port(target)
  local authority, query = target:match "^%l+://([^/?]*)[^?]*%??(.*)$"
  local port = authority and (authority:match ":(%d+)$" or ("&" .. query):match "&port=(%d+)")
  return port and tonumber(port)
end

--- @tparam table facts of onemsg.outbox.survey; drift: this machine's clock minus the server's; dialed: M.port
-- @treturn table { { state = "fix" | "note", text, advice }, … }
function M.judge(facts)
  local findings = {}
  for _, check in ipairs(CHECKS) do
    if check[2](facts) then
      local text = check[5] and check[3]:format(check[5](facts)) or check[3]
      findings[#findings + 1] = { state = check[1], text = text, advice = check[4] }
    end
  end
  return findings
end

return M
