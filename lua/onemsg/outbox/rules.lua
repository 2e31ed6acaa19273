--- onemsg.outbox.rules: the texts of the rules that decided something, and the events that they decided about, read again.
-- For onemsg.outbox.
local M = { methods = {} }
local Rules = M.methods

local KEEP = "INSERT INTO ruleset(version, name, source, at) VALUES ($1, $2, $3, $4) ON CONFLICT (version) DO NOTHING"

--- The statement that keeps a text with what it decides; nil where this process has kept it before.
function M.keep(box, set, now)
  if not set or not set.source or box.kept_rules == set.version then return nil end
  return { KEEP, set.version, set.name, set.source, now }
end

--- Keeps a text on its own.
function Rules:keep_rules(set, now)
  local statement = M.keep(self, set, now)
  if not statement then return true end
  local results, err, info = self.db:unit { statement }
  if not results then return nil, err, info end
  self.kept_rules = set.version
  return true
end

--- What is kept: { version, name, at (when it first decided), bytes }, the oldest first.
function Rules:rules_log()
  local results, err, info = self.db:read { { "SELECT version, name, at, LENGTH(source) AS bytes FROM ruleset" } }
  if not results then return nil, err, info end
  local list = {}
  for n, row in ipairs(results[1]) do list[n] = row end
  table.sort(list, function(a, b)
    if a.at ~= b.at then return a.at < b.at end
    return a.version < b.version
  end)
  return list
end

--- One text, by its version.
function Rules:rules_text(version)
  local results, err, info = self.db:read { { "SELECT * FROM ruleset WHERE version = $1", version } }
  if not results then return nil, err, info end
  return results[1][1]
end

-- Pages go by the ids, which an index has: a page costs the same however much is stored.
local PAGE = [[
  SELECT id, type, parts, state, reason, rule, phone, template, language, message, created_at, resolved,
    CASE WHEN created_at >= $2 THEN event END AS event
  FROM confirmation WHERE id > $1 ORDER BY id LIMIT $3]]

--- Rows behind an id, in the order of ids; `event` only of those that came at a time or later.
function Rules:decided(after, since, limit)
  local results, err, info = self.db:read { { PAGE, after, since, limit } }
  if not results then return nil, err, info end
  return results[1]
end

local PART = "SELECT id, state, reason, rule, phone, template, language, message FROM confirmation WHERE id = $1"

--- Further confirmations of an event.
function Rules:further(id, parts)
  local unit = {}
  for n = 2, parts do unit[n - 1] = { PART, id .. "~" .. n } end
  local results, err, info = self.db:read(unit)
  if not results then return nil, err, info end
  local rows = {}
  for n, one in ipairs(results) do rows[n] = one[1] end
  return rows
end

return M
