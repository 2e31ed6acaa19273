--- onemsg.outbox.amend: how a confirmation is changed: under the step at which it was read, with its line in history, and
-- with what a new message resets, which stands here once. For onemsg.outbox.
local sql = require "onemsg.sql"

local M = { methods = {}, statements = {} }
local Amend = M.methods

M.NONE = sql.null -- in a change: no value
M.CHUNK = 200     -- statements in one unit

local NONE = sql.null

--- A value for a statement: nil is NULL.
function M.or_null(value)
  if value == nil then return NONE end
  return value
end

-- Refusals ----------------------------------------------------------------------------------------------------------

-- What a database says when a key is there already: somebody was faster. SQLite's extended codes, and a SQLSTATE.
local taken = { [1555] = true, [2067] = true, ["23505"] = true }

--- What a unit that failed says. A step that was not as it had been read, or a key that is there, means that somebody was
-- faster: "conflict: …". Any other constraint refuses what we should never have written: that is a fault of ours, and is said.
function M.refusal(err, info)
  if info and info.class == "constraint" and not taken[info.code] then
    return "store: a change was refused, which is a fault of onemsg; please report it: " .. err, info
  end
  return err, info
end

--- Is a key there already?
function M.is_taken(info)
  return info ~= nil and info.class == "constraint" and taken[info.code] == true
end

-- History -----------------------------------------------------------------------------------------------------------

--- One line of history for what just happened to one confirmation …
M.LOG_ONE = [[
  INSERT INTO history(id, step, at, state, reason, version)
  SELECT id, step, changed_at, state, reason, version FROM confirmation WHERE id = $1
  ON CONFLICT (id, step) DO NOTHING]]

--- … or to all that reached a state at one instant.
M.LOG_AT = [[
  INSERT INTO history(id, step, at, state, reason, version)
  SELECT id, step, changed_at, state, reason, version FROM confirmation WHERE state = $1 AND changed_at = $2
  ON CONFLICT (id, step) DO NOTHING]]

-- A change ----------------------------------------------------------------------------------------------------------

--- A condition on `confirmation`: a message id ($n, or NULL) was never another confirmation's. That none has it now is said
-- by a unique index; one that has gone on to another message has it in `earlier`.
-- @tparam string place "$n"
function M.nobody_had(place)
  return " AND NOT EXISTS (SELECT 1 FROM earlier e WHERE e.message_id = " .. place
    .. " AND e.channel = confirmation.channel AND e.id <> confirmation.id)"
end

--- The statement that changes a row, if it still is as it was read.
local function amendment(row, change, now)
  local names, sets, statement, guard = {}, {}, { "", row.id, row.step }, change.guard or ""
  for name in pairs(change) do
    if name ~= "note" and name ~= "guard" then names[#names + 1] = name end
  end
  table.sort(names)
  local function bind(value)
    statement[#statement + 1] = value
    return "$" .. #statement - 1
  end
  for _, name in ipairs(names) do
    local place = bind(change[name])
    if name == "state" then sets[#sets + 1] = "was = CASE WHEN state = " .. place .. " THEN was ELSE state END" end
    if name == "message_id" and change[name] ~= NONE then guard = guard .. M.nobody_had(place) end
    sets[#sets + 1] = name .. " = " .. place
  end
  if change.reason then sets[#sets + 1] = "changed_at = " .. bind(now) end
  if change.reason or change.note then sets[#sets + 1] = "step = step + 1" end
  statement[1] = "UPDATE confirmation SET " .. table.concat(sets, ", ") .. " WHERE id = $1 AND step = $2"
    .. guard .. " RETURNING *"
  statement.expect = 1
  return statement
end

local LOG_NOTE = [[
  INSERT INTO history(id, step, at, state, reason, version)
  SELECT id, step, CAST($2 AS DOUBLE PRECISION), state, CAST($3 AS TEXT), version FROM confirmation
  WHERE id = $1 ON CONFLICT (id, step) DO NOTHING]]

local ARRIVED = "s.status IN ('delivered', 'read', 'viewed', 'played') AND s.channel IN ('', confirmation.channel)"

--- Of amend(): it holds only while no other way was used and no delivery of any of its messages is known.
M.UNDELIVERED = " AND fallback IS NULL AND NOT EXISTS (SELECT 1 FROM status s WHERE s.message_id = "
  .. "confirmation.message_id AND " .. ARRIVED .. ") AND NOT EXISTS (SELECT 1 FROM earlier e JOIN status s "
  .. "ON s.message_id = e.message_id WHERE e.id = confirmation.id AND " .. ARRIVED .. ")"

--- Begins to change a confirmation, in one unit with further statements.
-- @tparam table row as it was read: when somebody made a step meanwhile, nothing changes
-- @tparam table change columns; reason: why the state is what it is, which makes it a step with a line in history, as a
--   change of `state` must be; or note: a line in history without a change of state; guard: a further condition
-- @treturn table for amended()
function Amend:amend(row, change, now, more)
  local unit = { amendment(row, change, now) }
  if change.reason then unit[2] = { M.LOG_ONE, row.id } end
  if change.note then unit[2] = { LOG_NOTE, row.id, now, change.note } end
  local own = #unit
  for _, statement in ipairs(more or {}) do unit[#unit + 1] = statement end
  local pending, err, info = self.db:async(unit)
  return { pending = pending, err = err, info = info, row = row, change = change, own = own }
end

--- Waits until an amendment is on disk.
-- @treturn ?table the row as it is now; nil, "conflict: …" when it was changed meanwhile, nil, "store: …"
-- @treturn function with a row: (n) → the rows that the nth further statement returned
function Amend.amended(_, begun)
  if not begun.pending then return nil, begun.err, begun.info end
  local results, err, info = begun.pending:wait()
  if not results then return nil, M.refusal(err, info) end
  return results[1][1], function(n) return results[begun.own + n] end
end

--- Runs statements in units of bounded size; what was done stays done when a later one fails.
-- @treturn ?table the lists of rows, in order
function Amend:keep(statements)
  local begun, rows = {}, {}
  for first = 1, #statements, M.CHUNK do
    local unit = {}
    for n = first, math.min(first + M.CHUNK - 1, #statements) do unit[#unit + 1] = statements[n] end
    self.breathe()
    local pending, err, info = self.db:async(unit)
    if not pending then return nil, err, info end
    begun[#begun + 1] = pending
  end
  for _, pending in ipairs(begun) do
    self.breathe()
    local results, err, info = pending:wait()
    if not results then return nil, M.refusal(err, info) end
    for _, list in ipairs(results) do rows[#rows + 1] = list end
  end
  return rows
end

-- A new message -----------------------------------------------------------------------------------------------------

local KEEP_EARLIER = [[
  INSERT INTO earlier(message_id, channel, id, at)
  SELECT message_id, channel, id, CAST($2 AS DOUBLE PRECISION) FROM confirmation
  WHERE id = $1 AND message_id IS NOT NULL ON CONFLICT (message_id, channel) DO NOTHING]]

--- Remembers the present message of a confirmation that is about to get another one.
function M.statements.earlier(id, now) return { KEEP_EARLIER, id, now } end

local THIS_EARLIER = [[
  INSERT INTO earlier(message_id, channel, id, at) VALUES ($1, $2, $3, $4)
  ON CONFLICT (message_id, channel) DO NOTHING]]

local KEEP_LOST = [[
  INSERT INTO lost(id, channel, phone, person, message, job_id, began, left_at)
  SELECT c.id, c.channel, c.phone, c.person, c.message, c.job_id,
    (SELECT MAX(h.at) FROM history h WHERE h.id = c.id AND h.state = 'sending'), c.left_at FROM confirmation c
  WHERE c.id = $1 AND c.message_id IS NULL AND c.left_at IS NOT NULL AND c.settled IS NOT NULL
  ON CONFLICT (id, left_at) DO NOTHING]]

--- Remembers a message that nobody knows the id of, when its confirmation gets another one: it may still turn up.
function M.statements.lost(id) return { KEEP_LOST, id } end

local FOUND = "DELETE FROM lost WHERE id = $1 AND left_at = CAST($2 AS DOUBLE PRECISION)"

--- The id of a lost message is known after all.
function M.statements.found(id, left_at) return { FOUND, id, left_at } end

--- The same for a row at hand.
function M.statements.before(row, now) return { THIS_EARLIER, row.message_id, row.channel, row.id, now } end

-- Unless it is another confirmation's.
local LATE_EARLIER = [[
  INSERT INTO earlier(message_id, channel, id, at)
  SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS DOUBLE PRECISION)
  WHERE NOT EXISTS (SELECT 1 FROM confirmation c WHERE c.message_id = $1 AND c.channel = $2)
  ON CONFLICT (message_id, channel) DO NOTHING]]

--- The id of an earlier message of a confirmation, which is heard only now.
function M.statements.late(row, message_id, now) return { LATE_EARLIER, message_id, row.channel, row.id, now } end

--- What speaks of a confirmation's present message, and what it is before there is one: every new message begins so.
M.OF_MESSAGE = { rank = 0, asks = 0, checks = 0, confirmed = 0, textless = 0, hint = NONE, attend_at = NONE,
                 attend_until = NONE, stall_at = NONE, retry_at = NONE }

--- A statement that sets what speaks of a message to what it is before there is one.
local function afresh(sets, condition)
  for name, value in pairs(M.OF_MESSAGE) do
    sets[#sets + 1] = ("%s = %s"):format(name, value == NONE and "NULL" or ("%d"):format(value))
  end
  table.sort(sets)
  return "UPDATE confirmation SET " .. table.concat(sets, ", ") .. " WHERE id = $1" .. condition
end
local AFRESH = afresh({ "resends = 0", "settled = NULL", "fallback_lease = NULL" }, "")
local NOT_LEFT = afresh({}, " AND state = 'queued'")

--- Forgets what was known of the message before.
function M.statements.afresh(id) return { AFRESH, id } end

--- Forgets what was looked for of a message that turned out not to have left.
function M.statements.not_left(id) return { NOT_LEFT, id } end

local FIRST_LOOK = [[
  UPDATE confirmation SET attend_at = $2, stall_at = $3, asks = 0, checks = 0, confirmed = 0,
    rank = CASE WHEN state = 'accepted' THEN 1 ELSE 0 END
  WHERE id = $1 AND state IN ('accepted', 'unknown')]]

--- When a message whose answer was recorded is first looked at, and when its silence has lasted too long.
function M.statements.first_look(id, attend_at, stall_at) return { FIRST_LOOK, id, attend_at, stall_at or NONE } end

return M
