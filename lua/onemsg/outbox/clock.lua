--- onemsg.outbox.clock: what the processes of a machine believe of its clock, and what becomes of times that were stored
-- while it was wrong. For onemsg.outbox; what to believe stands in onemsg.workflow.clock.
local states = require "onemsg.policy.states"

local M = { methods = {} }
local Times = M.methods

M.AHEAD = 60 -- seconds; a time so far in the future can't be when something happened
local BATCH = 200

local READ = "SELECT value FROM meta WHERE name = 'clock'"
local WRITE = [[
  INSERT INTO meta(name, value) VALUES ('clock', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value]]

--- @treturn ?string as write_clock() got it; nil without an error: nobody wrote one
function Times:read_clock()
  local results, err, info = self.db:read { { READ } }
  if not results then return nil, err, info end
  return results[1][1] and results[1][1].value
end

function Times:write_clock(text)
  return self.db:unit { { WRITE, text } }
end

local DATABASE_TIME = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION) AS at"

--- What the clock of a store for several machines says.
function Times:time()
  local results, err, info = self.db:read { { DATABASE_TIME } }
  if not results then return nil, err, info end
  return results[1][1].at
end

-- Times from the future -----------------------------------------------------------------------------------------------
-- What was stored by a clock that was ahead, and believed, would wait until that time comes: a lease, a gap, a due time.

local function all_states()
  local list = {}
  for n, state in ipairs(states.list) do list[n] = "'" .. state.name .. "'" end
  return table.concat(list, ", ")
end
local STATES = all_states()

local FURTHEST = "SELECT changed_at AS at FROM confirmation WHERE state = '%s' ORDER BY changed_at DESC LIMIT 1"

--- Appends the statements that ask by how many seconds the store is ahead of a time.
function M.ask_ahead(unit)
  for _, state in ipairs(states.list) do unit[#unit + 1] = { FURTHEST:format(state.name) } end
end

--- Their answer; 0: by none that matters.
-- @tparam table results
-- @tparam number before how many results stand before theirs
function M.ahead(results, before, now)
  local most = 0
  for n = before + 1, before + #states.list do
    local row = results[n][1]
    if row then most = math.max(most, row.at - now) end
  end
  return most > M.AHEAD and most or 0
end

--- SQL for columns that say when something happened: now at the latest.
local function happened(columns)
  local sets = {}
  for n, name in ipairs(columns) do
    sets[n] = ("%s = CASE WHEN %s > $1 THEN $1 ELSE %s END"):format(name, name, name)
  end
  return table.concat(sets, ", ")
end

--- … and for those that say when something is to happen: what was reckoned from the row's last change is reckoned from now.
local function planned(columns, since)
  local sets = {}
  for n, name in ipairs(columns) do
    sets[n] = ("%s = CASE WHEN %s >= %s THEN %s - (%s - $1) ELSE %s END"):format(name, name, since, name, since, name)
  end
  return table.concat(sets, ", ")
end

local SET_BACK = "UPDATE confirmation SET " .. planned({ "due_at", "attend_at", "attend_until", "retry_at", "fallback_at",
    "fallback_lease", "stall_at", "lease_until" }, "changed_at") .. ", "
  .. happened { "left_at", "accepted_at", "faulted_at" } .. [[,
    give_up_at = CASE WHEN created_at > $1 THEN give_up_at - (created_at - $1) ELSE give_up_at END,
    place = CASE WHEN created_at > $1 THEN place - CAST((created_at - $1) * 1000000 AS BIGINT) ELSE place END,
    created_at = CASE WHEN created_at > $1 THEN $1 ELSE created_at END,
    awake_until = NULL, changed_at = $1, step = step + 1
  WHERE id IN (SELECT id FROM confirmation WHERE state IN (]] .. STATES .. [[) AND changed_at > $2 LIMIT $3) RETURNING id]]
local LOG = [[
  INSERT INTO history(id, step, at, state, reason, version)
  SELECT id, step, changed_at, state, CAST($2 AS TEXT), version FROM confirmation
  WHERE state IN (]] .. STATES .. [[) AND changed_at = $1 ON CONFLICT (id, step) DO NOTHING]]

local BY_A_NOTE = "EXISTS (SELECT 1 FROM history h WHERE h.id = confirmation.id AND h.step = confirmation.step AND h.at > $2)"
local ASK_QUIET_HOURS = [[
  UPDATE confirmation SET awake_until = NULL, held = CASE WHEN ]] .. BY_A_NOTE .. [[ THEN NULL ELSE held END,
    give_up_at = CASE WHEN due_at > $1 AND ]] .. BY_A_NOTE .. [[ THEN give_up_at - (due_at - $1) ELSE give_up_at END,
    due_at = CASE WHEN due_at > $1 AND ]] .. BY_A_NOTE .. [[ THEN $1 ELSE due_at END
  WHERE state = 'queued' AND quiet IS NOT NULL]]
local TRY_TEMPLATES = [[
  UPDATE confirmation SET due_at = $1, held = NULL FROM park p
  WHERE confirmation.state = 'queued' AND p.channel = confirmation.channel AND p.template = confirmation.template
    AND p.language = confirmation.language AND confirmation.due_at = p.until_at AND p.until_at > $1]]

--- What was planned without a time beside it, by a clock that was ahead by $2.
local function sooner(columns)
  local sets = {}
  for n, name in ipairs(columns) do
    sets[n] = ("%s = CASE WHEN %s > $1 + $2 THEN %s - $2 WHEN %s > $1 THEN $1 ELSE %s END"):format(name, name, name, name, name)
  end
  return table.concat(sets, ", ")
end
local GATES = "UPDATE channel SET revision = revision + 1, " .. sooner { "next_at", "pause_until", "mute_until", "tat" } .. ", "
  .. happened { "hooked_at", "opened_at", "closed_at", "sent_at" }

--- Sets back what was stored by a clock that was ahead.
-- @tparam number ahead by how many seconds it was
-- @treturn ?number confirmations that were set back
function Times:set_back(now, ahead)
  local why = ("the clock was %.0f s ahead when this was stored: its times were set back"):format(ahead)
  local results, err, info = self.db:unit {
    { TRY_TEMPLATES, now }, { "UPDATE park SET until_at = $1 WHERE until_at > $1", now },
    { ASK_QUIET_HOURS, now, now + M.AHEAD },
    { GATES, now, ahead },
    { "UPDATE suppression SET " .. happened { "created_at", "lifted_at" } .. " WHERE created_at > $1 OR lifted_at > $1", now },
  }
  if not results then return nil, err, info end
  local count = 0
  repeat
    results, err, info = self.db:unit { { SET_BACK, now, now + M.AHEAD, BATCH }, { LOG, now, why } }
    if not results then return nil, err, info end
    count = count + #results[1]
  until #results[1] == 0
  return count
end

return M
