--- onemsg.outbox.survey: what a PostgreSQL server says of itself that matters to a store. For `onemsg doctor`.
-- An ordinary role may ask all of it. Our own connection has synchronous_commit and timeouts of its own: reset_val is what
-- others get.
local copy = require "onemsg.outbox.copy"
local node = require "onemsg.outbox.node"

local M = {}

local FACTS = [[
  SELECT CAST(current_setting('server_version_num') AS BIGINT) AS version, current_setting('server_encoding') AS encoding,
    current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
    current_setting('autovacuum') AS autovacuum, CAST(current_setting('port') AS BIGINT) AS port,
    (SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit') AS synchronous_commit,
    (SELECT CAST(reset_val AS BIGINT) FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout') AS idle_timeout,
    current_setting('synchronous_standby_names') AS standby_names,
    (SELECT COUNT(*) FROM pg_stat_replication) AS standbys,
    CAST(current_setting('max_connections') AS BIGINT) AS connections_most,
    (SELECT COUNT(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
    CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION) AS at,
    CAST(COALESCE((SELECT MAX(EXTRACT(EPOCH FROM clock_timestamp() - xact_start)) FROM pg_stat_activity
      WHERE pid <> pg_backend_pid()), 0) AS DOUBLE PRECISION) AS oldest_transaction,
    CAST(COALESCE((SELECT MAX(EXTRACT(EPOCH FROM clock_timestamp() - prepared)) FROM pg_prepared_xacts), 0)
      AS DOUBLE PRECISION) AS oldest_prepared,
    has_schema_privilege(current_schema(), 'CREATE') AS may_create]]
local PROCESSES = "SELECT COUNT(*) AS n FROM node WHERE ended = 0 AND at > $1"
local FORBIDDEN = [[
  SELECT c.relname AS name FROM pg_class c WHERE c.relname IN (%s) AND c.relkind = 'r' AND pg_table_is_visible(c.oid)
    AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
      AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')) ORDER BY c.relname]]

local function forbidden()
  local names = {}
  for n, one in ipairs(copy.tables()) do names[n] = "'" .. one.name .. "'" end
  return FORBIDDEN:format(table.concat(names, ", "))
end

--- @tparam userdata db of a PostgreSQL
-- @treturn ?table the facts, by the names above; processes (that send); forbidden: names of tables
function M.read(db)
  local results, err, info = db:read { { FACTS }, { forbidden() } }
  if not results then return nil, err, info end
  local facts = results[1][1]
  facts.forbidden = {}
  for n, row in ipairs(results[2]) do facts.forbidden[n] = row.name end
  if facts.forbidden[1] then return facts end
  results, err, info = db:read { { PROCESSES, facts.at - node.GONE } }
  if not results then return nil, err, info end
  facts.processes = results[1][1].n
  return facts
end

return M
