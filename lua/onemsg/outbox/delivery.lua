--- onemsg.outbox.delivery: what the store does after acceptance: statuses in, confirmations amended, and which of them
-- need attention. For onemsg.outbox. What it all means stands in onemsg.policy.delivery and onemsg.policy.evidence.
local plain = require "onemsg.base.utf8"
local sql = require "onemsg.sql"
local STATUSES = require "onemsg.outbox.read".STATUSES

local M = { methods = {} }
local Delivery = M.methods

M.NONE = sql.null   -- in a change: no value
M.CHUNK = 200       -- statements in one unit
M.HELD_FOR = 86400  -- seconds that a status of an unknown message, or an echo, is kept
M.HELD_MOST = 100000 -- of each; beyond that the oldest go
M.LIFTED_FOR = 30 * 86400 -- seconds that a suppression that is over is remembered
local KINDS = 200   -- of oddities; further ones are counted as "other"
local SAMPLE_BYTES = 4096

local NONE = sql.null

local function or_null(value)
  if value == nil then return NONE end
  return value
end

--- One line of history for what just happened to one confirmation.
M.LOG_ONE = [[
  INSERT INTO history(id, step, at, state, reason, version)
  SELECT id, step, changed_at, state, reason, version FROM confirmation WHERE id = $1
  ON CONFLICT (id, step) DO NOTHING]]

-- Amend -----------------------------------------------------------------------------------------------------------

--- The statement that changes a row, if it still is as it was read.
local function amendment(row, change, now)
  local names, sets, statement = {}, {}, { "", row.id, row.step }
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
    sets[#sets + 1] = name .. " = " .. place
  end
  if change.reason then sets[#sets + 1] = "changed_at = " .. bind(now) end
  if change.reason or change.note then sets[#sets + 1] = "step = step + 1" end
  statement[1] = "UPDATE confirmation SET " .. table.concat(sets, ", ") .. " WHERE id = $1 AND step = $2"
    .. (change.guard or "") .. " RETURNING *"
  statement.expect = 1
  return statement
end

local LOG_NOTE = [[
  INSERT INTO history(id, step, at, state, reason, version)
  SELECT id, step, CAST($2 AS DOUBLE PRECISION), state, CAST($3 AS TEXT), version FROM confirmation
  WHERE id = $1 ON CONFLICT (id, step) DO NOTHING]]

--- Of amend(): it holds only while no other way was used and no delivery is known.
M.UNDELIVERED = [[ AND fallback IS NULL AND NOT EXISTS (SELECT 1 FROM status s
  WHERE s.message_id = confirmation.message_id AND s.status IN ('delivered', 'read', 'viewed', 'played'))]]

--- Begins to change a confirmation, in one unit with further statements.
-- @tparam table row as it was read: when somebody made a step meanwhile, nothing changes
-- @tparam table change columns; reason: why the state is what it is, which makes it a step with a line in history, as a
--   change of `state` must be; or note: a line in history without a change of state; guard: a further condition
-- @treturn table for amended()
function Delivery:amend(row, change, now, more)
  local unit = { amendment(row, change, now) }
  if change.reason then unit[2] = { M.LOG_ONE, row.id } end
  if change.note then unit[2] = { LOG_NOTE, row.id, now, change.note } end
  for _, statement in ipairs(more or {}) do unit[#unit + 1] = statement end
  local pending, err, info = self.db:async(unit)
  return { pending = pending, err = err, info = info, row = row, change = change }
end

--- Waits until an amendment is on disk.
-- @treturn ?table the row as it is now; nil, "conflict: …" when it was changed meanwhile, nil, "store: …"
function Delivery.amended(_, begun)
  if not begun.pending then return nil, begun.err, begun.info end
  local results, err, info = begun.pending:wait()
  if not results then return nil, err, info end
  return results[1][1]
end

-- Hooks -----------------------------------------------------------------------------------------------------------

local KEEP_STATUS = [[
  INSERT INTO status(channel, message_id, status, at, received_at, source, code, error, recipient, category)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
  ON CONFLICT (channel, message_id, status) DO NOTHING RETURNING message_id]]
local KEEP_ECHO = [[
  INSERT INTO echo(message_id, channel, phone, text, at, received_at) VALUES ($1, $2, $3, $4, $5, $6)
  ON CONFLICT (message_id, channel) DO NOTHING]]
-- Whoever waits for evidence about a message to this recipient is looked at now.
local ALARM = [[
  UPDATE confirmation SET attend_at = $3
  WHERE phone = $1 AND left_at > $2 AND message_id IS NULL AND (state = 'unknown' OR settled IS NOT NULL)]]
local KEEP_ODDITY = [[
  INSERT INTO oddity(kind, n, at, sample)
  VALUES (CASE WHEN EXISTS (SELECT 1 FROM oddity WHERE kind = $1) OR (SELECT COUNT(*) FROM oddity) < $5
    THEN $1 ELSE 'other' END, $2, $3, $4)
  ON CONFLICT (kind) DO UPDATE SET n = oddity.n + excluded.n, at = excluded.at, sample = excluded.sample]]

M.statements = {}

function M.statements.status(event, channel, source, now)
  return { KEEP_STATUS, channel, event.id, event.status, event.at or now, now, source, or_null(event.code),
           or_null(event.error), or_null(event.recipient), or_null(event.category) }
end

function M.statements.echo(message, channel, now)
  return { KEEP_ECHO, message.id, channel, or_null(message.phone), or_null(message.text), message.at or now, now }
end

function M.statements.alarm(phone, now)
  return { ALARM, phone, now - M.HELD_FOR, now }
end

function M.statements.oddity(kind, n, sample, now)
  return { KEEP_ODDITY, kind, n, now, plain.repair(plain.cut(sample, SAMPLE_BYTES), SAMPLE_BYTES), KINDS }
end

--- Runs statements in units of bounded size; what was done stays done when a later one fails.
-- @treturn ?table the lists of rows, in order
function Delivery:keep(statements)
  local begun, rows = {}, {}
  for first = 1, #statements, M.CHUNK do
    local unit = {}
    for n = first, math.min(first + M.CHUNK - 1, #statements) do unit[#unit + 1] = statements[n] end
    local pending, err, info = self.db:async(unit)
    if not pending then return nil, err, info end
    begun[#begun + 1] = pending
  end
  for _, pending in ipairs(begun) do
    local results, err, info = pending:wait()
    if not results then return nil, err, info end
    for _, list in ipairs(results) do rows[#rows + 1] = list end
  end
  return rows
end

-- Fold ------------------------------------------------------------------------------------------------------------

local OF_MESSAGE = [[
  SELECT * FROM confirmation WHERE message_id = $1 AND (channel = $2 OR $2 = '')
  UNION SELECT c.* FROM earlier e JOIN confirmation c ON c.id = e.id
  WHERE e.message_id = $1 AND (e.channel = $2 OR $2 = '')]]
local ROW = "SELECT * FROM confirmation WHERE id = $1"

--- The confirmations that own messages.
-- @tparam table ids { { message_id, channel }, … }
-- @treturn ?table rows, each once
function Delivery:owners(ids)
  local rows, seen = {}, {}
  for first = 1, #ids, M.CHUNK do
    local unit = {}
    for n = first, math.min(first + M.CHUNK - 1, #ids) do unit[#unit + 1] = { OF_MESSAGE, ids[n][1], ids[n][2] } end
    local results, err, info = self.db:read(unit)
    if not results then return nil, err, info end
    for _, list in ipairs(results) do
      for _, row in ipairs(list) do
        if not seen[row.id] then rows[#rows + 1], seen[row.id] = row, true end
      end
    end
  end
  return rows
end

--- Fresh rows with all statuses of their messages.
-- @treturn ?table { { row, statuses }, … }
function Delivery:with_statuses(rows)
  local list = {}
  for first = 1, #rows, M.CHUNK / 2 do
    local unit, last = {}, math.min(first + M.CHUNK / 2 - 1, #rows)
    for n = first, last do
      unit[#unit + 1] = { ROW, rows[n].id }
      unit[#unit + 1] = { STATUSES, rows[n].id }
    end
    local results, err, info = self.db:read(unit)
    if not results then return nil, err, info end
    for n = 1, #results, 2 do
      if results[n][1] then list[#list + 1] = { row = results[n][1], statuses = results[n + 1] } end
    end
  end
  return list
end

local JOIN = "UPDATE status SET id = $1 WHERE message_id = $2 AND channel = $3 AND id IS NULL"
local HOOKED = "UPDATE channel SET hooked_at = $2 WHERE name = $1 AND hooked_at < $2 - 5"

--- The statements that say that held statuses belong to a confirmation now, and that hooks reach us.
-- @treturn ?table nil when there is nothing to say
function M.joining(row, statuses)
  local joins, hooked = {}, 0
  for _, status in ipairs(statuses) do
    if not status.id then
      joins[#joins + 1] = { JOIN, row.id, status.message_id, status.channel }
      if status.source == "hook" then hooked = math.max(hooked, status.received_at) end
    end
  end
  if hooked > 0 then joins[#joins + 1] = { HOOKED, row.channel, hooked } end
  return #joins > 0 and joins or nil
end

local KEEP_EARLIER = [[
  INSERT INTO earlier(message_id, channel, id, at)
  SELECT message_id, channel, id, CAST($2 AS DOUBLE PRECISION) FROM confirmation
  WHERE id = $1 AND message_id IS NOT NULL ON CONFLICT (message_id, channel) DO NOTHING]]

--- Remembers the present message of a confirmation that is about to get another one.
function M.statements.earlier(id, now) return { KEEP_EARLIER, id, now } end

local THIS_EARLIER = [[
  INSERT INTO earlier(message_id, channel, id, at) VALUES ($1, $2, $3, $4)
  ON CONFLICT (message_id, channel) DO NOTHING]]

--- The same for a row at hand.
function M.statements.before(row, now) return { THIS_EARLIER, row.message_id, row.channel, row.id, now } end

local AFRESH = [[
  UPDATE confirmation SET rank = 0, asks = 0, checks = 0, confirmed = 0, attend_at = NULL, attend_until = NULL,
    stall_at = NULL, retry_at = NULL, resends = 0, settled = NULL, fallback_lease = NULL
  WHERE id = $1]]

--- Forgets what was known of the message before.
function M.statements.afresh(id) return { AFRESH, id } end

local FIRST_LOOK = [[
  UPDATE confirmation SET attend_at = $2, stall_at = $3, asks = 0, checks = 0, confirmed = 0,
    rank = CASE WHEN state = 'accepted' THEN 1 ELSE 0 END
  WHERE id = $1 AND state IN ('accepted', 'unknown')]]

--- When a message whose answer was recorded is first looked at, and when its silence has lasted too long.
function M.statements.first_look(id, attend_at, stall_at) return { FIRST_LOOK, id, attend_at, stall_at or NONE } end

-- Attention -------------------------------------------------------------------------------------------------------

local ATTEND = "UPDATE confirmation SET attend_until = $2 "
  .. "WHERE (attend_until IS NULL OR attend_until <= $1) AND id IN (%s) RETURNING *"
local WANTING = "SELECT id FROM (SELECT id FROM confirmation WHERE %s <= $1 AND (attend_until IS NULL OR "
  .. "attend_until <= $1) AND state <> 'sending' AND channel IN (%s) ORDER BY %s LIMIT %s) AS by_%s"
local kinds = { "attend_at", "retry_at", "fallback_at" }

--- "$4, $5": places for the names of this store's channels, from a number on.
local function places(names, from)
  local list = {}
  for n in ipairs(names) do list[n] = "$" .. n + from - 1 end
  return table.concat(list, ", ")
end

local function attending(names)
  local parts = {}
  for n, column in ipairs(kinds) do
    parts[n] = WANTING:format(column, places(names, 5), column, n == 1 and "$3" or "$4", column)
  end
  return ATTEND:format(table.concat(parts, " UNION "))
end

--- Takes up confirmations that need attention; nobody else does until the lease ends.
-- @tparam number questions at most so many of those that may lead to a question
-- @tparam number actions at most so many of those that wait for a new message, and of those for another way
-- @treturn ?table rows
function Delivery:attend(questions, actions, now, lease)
  self.attending = self.attending or attending(self.names)
  local statement = { self.attending, now, now + lease, questions, actions }
  for _, name in ipairs(self.names) do statement[#statement + 1] = name end
  local results, err, info = self.db:unit { statement }
  if not results then return nil, err, info end
  return results[1]
end

local NEXT = "SELECT %s AS at FROM confirmation WHERE %s IS NOT NULL AND state <> 'sending' AND channel IN (%s) "
  .. "ORDER BY %s LIMIT 1"
local CHANNELS = "SELECT name, hooked_at, mute_until, breaker FROM channel"

local function next_of(names)
  local unit = {}
  for n, column in ipairs { "attend_at", "retry_at", "fallback_at", "fallback_lease" } do
    unit[n] = { NEXT:format(column, column, places(names, 1), column) }
    for _, name in ipairs(names) do unit[n][#unit[n] + 1] = name end
  end
  return unit
end

--- The statements that ask when something needs attention next, for look().
function Delivery:asking_attention()
  self.next_of = self.next_of or next_of(self.names)
  return self.next_of
end

--- Their answer.
-- @tparam table results
-- @tparam number before how many results stand before theirs
-- @treturn table questions (asks, deadlines), actions (new messages, other ways), lost (hand-overs); absent: none
function M.attention(results, before)
  local function at(n) return (results[before + n][1] or {}).at end
  local retry, other = at(2), at(3)
  return { questions = at(1), actions = retry and other and math.min(retry, other) or retry or other, lost = at(4) }
end

--- Name → hooked_at, mute_until, breaker.
function Delivery:hearing()
  local results, err, info = self.db:read { { CHANNELS } }
  if not results then return nil, err, info end
  local by_name = {}
  for _, row in ipairs(results[1]) do by_name[row.name] = row end
  return by_name
end

local MUTE = "UPDATE channel SET mute_until = $2 WHERE name = $1 AND mute_until < $2"

--- hookInfo is not offered on a channel: it is not asked until then.
-- @treturn ?number 1 when that is news
function Delivery:mute(name, until_at)
  local results, err, info = self.db:unit { { MUTE, name, until_at } }
  if not results then return nil, err, info end
  return results[1].changes
end

local LOST = [[
  SELECT * FROM confirmation WHERE fallback_lease <= $1 AND fallback = 'handed_over' ORDER BY fallback_lease LIMIT $2]]

--- Confirmations whose other way was handed over by a process that did not live to say what came of it.
function Delivery:lost(now)
  local results, err, info = self.db:read { { LOST, now, M.CHUNK } }
  if not results then return nil, err, info end
  return results[1]
end

-- Upkeep ----------------------------------------------------------------------------------------------------------

local ORPHANS = [[
  SELECT s.message_id, s.channel FROM status s
  WHERE s.id IS NULL AND s.received_at > $1 AND (
    EXISTS (SELECT 1 FROM confirmation c WHERE c.message_id = s.message_id AND s.channel IN ('', c.channel))
    OR EXISTS (SELECT 1 FROM earlier e WHERE e.message_id = s.message_id AND s.channel IN ('', e.channel)))
  LIMIT $2]]

local OVER_HELD = "SELECT received_at AS at FROM status WHERE id IS NULL ORDER BY received_at DESC LIMIT 1 OFFSET $1"
local OVER_ECHO = "SELECT received_at AS at FROM echo ORDER BY received_at DESC LIMIT 1 OFFSET $1"
local OLD = [[
  SELECT 1 AS yes WHERE EXISTS (SELECT 1 FROM status WHERE id IS NULL AND received_at <= $1)
    OR EXISTS (SELECT 1 FROM echo WHERE received_at <= $1) OR EXISTS (SELECT 1 FROM suppression WHERE until_at <= $2)]]
local DROP_HELD = "DELETE FROM status WHERE id IS NULL AND received_at <= $1"
local DROP_ECHO = "DELETE FROM echo WHERE received_at <= $1"
local DROP_OVER = "DELETE FROM suppression WHERE until_at <= $1"

--- What needs upkeep: held statuses whose message is known by now, because a process died between two steps.
-- @tparam number since of the statuses that are looked at
-- @treturn ?table { message_id, channel } list
-- @treturn table for tidy()
function Delivery:upkeep(since, now)
  local age, over = now - M.HELD_FOR, now - M.LIFTED_FOR
  local results, err, info = self.db:read { { ORPHANS, since, M.CHUNK }, { OVER_HELD, M.HELD_MOST },
    { OVER_ECHO, M.HELD_MOST }, { OLD, age, over } }
  if not results then return nil, err, info end
  local ids = {}
  for n, row in ipairs(results[1]) do ids[n] = { row.message_id, row.channel } end
  local held, echo = results[2][1], results[3][1]
  return ids, { needed = held or echo or #results[4] > 0, over = over,
                held = math.max(age, held and held.at or 0), echo = math.max(age, echo and echo.at or 0) }
end

--- Drops what was held too long, or is too much.
function Delivery:tidy(what)
  if not what.needed then return true end
  return self.db:unit { { DROP_HELD, what.held }, { DROP_ECHO, what.echo }, { DROP_OVER, what.over } }
end

local COUNT_HELD = "SELECT COUNT(*) AS n FROM status WHERE id IS NULL"
local ODDITIES = "SELECT kind, n, at FROM oddity ORDER BY n DESC, kind LIMIT 50"
local OVERDUE = "SELECT COUNT(*) AS n FROM confirmation WHERE fallback = 'unknown'"

--- For stats(): held statuses, kinds that were not understood, hand-overs without an answer.
function Delivery:delivery_counts()
  local results, err, info = self.db:read { { COUNT_HELD }, { ODDITIES }, { OVERDUE } }
  if not results then return nil, err, info end
  local odd = {}
  for _, row in ipairs(results[2]) do odd[row.kind] = row.n end
  return { held = results[1][1].n, oddities = odd, fallbacks_unknown = results[3][1].n }
end

return M
