--- onemsg.outbox.statuses: what hooks and hookInfo said, stored once, and whose it is by its id. For onemsg.outbox.
-- What it means stands in onemsg.policy.delivery and onemsg.policy.evidence.
local amend = require "onemsg.outbox.amend"
local cjson = require "cjson"
local clock = require "onemsg.outbox.clock"
local person = require "onemsg.outbox.person"
local phones = require "onemsg.base.phone"
local evidence = require "onemsg.policy.evidence"
local STATUSES = require "onemsg.outbox.read".STATUSES
local utf8 = require "onemsg.base.utf8"

local M = { methods = {}, statements = {} }
local Statuses = M.methods

M.HELD_FOR = 86400  -- seconds that a status of an unknown message, or an echo, is kept
M.HELD_MOST = 100000 -- of each; beyond that the oldest go
M.LIFTED_FOR = 30 * 86400 -- seconds that a suppression that is over, a word of the platform, a lost message is remembered
local KINDS = 200   -- of oddities; further ones are counted as "other"
local SAMPLE_BYTES = 4096
local CHUNK, or_null = amend.CHUNK, amend.or_null

-- What is stored ----------------------------------------------------------------------------------------------------

local KEEP_STATUS = [[
  INSERT INTO status(channel, message_id, status, at, received_at, source, code, error, recipient, category)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
  ON CONFLICT (channel, message_id, status) DO NOTHING RETURNING message_id]]
local KEEP_ECHO = [[
  INSERT INTO echo(message_id, channel, phone, texts, type, at, received_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
  ON CONFLICT (message_id, channel) DO UPDATE SET phone = COALESCE(echo.phone, excluded.phone),
    texts = COALESCE(echo.texts, excluded.texts), type = COALESCE(echo.type, excluded.type)]]
-- Whoever waits for evidence about a message to this recipient is looked at now.
local ALARM = [[
  UPDATE confirmation SET attend_at = $3
  WHERE person = ]] .. person.of "$1" .. [[ AND left_at > $2 AND message_id IS NULL
    AND (state = 'unknown' OR settled IS NOT NULL)]]
local KEEP_ODDITY = [[
  INSERT INTO oddity(kind, n, at, sample)
  VALUES (CASE WHEN EXISTS (SELECT 1 FROM oddity WHERE kind = $1) OR (SELECT COUNT(*) FROM oddity) < $5
    THEN $1 ELSE 'other' END, $2, $3, $4)
  ON CONFLICT (kind) DO UPDATE SET n = oddity.n + excluded.n, at = excluded.at, sample = excluded.sample]]

function M.statements.status(event, channel, source, now)
  return { KEEP_STATUS, channel, event.id, event.status, event.at or now, now, source, or_null(event.code),
           or_null(event.error), or_null(phones.of_item(event)), or_null(event.category) }
end

function M.statements.echo(message, channel, now)
  local texts = evidence.texts(message)
  return { KEEP_ECHO, message.id, channel, or_null(phones.of_item(message)), or_null(texts[1] and cjson.encode(texts)),
           or_null(message.type), message.at or now, now }
end

--- @tparam string address of whom news came
function M.statements.alarm(address, now)
  return { ALARM, phones.key(address), now - M.HELD_FOR, now }
end

local KEEP_WORD = [[
  INSERT INTO word(channel, subject, language, word, at, received_at, code, error) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
  ON CONFLICT (channel, subject, language, word, at) DO NOTHING]]

--- What the platform said of a template, or (subject '') of the account.
function M.statements.word(about, channel, now)
  return { KEEP_WORD, channel, about.name or "", about.language or "", about.status or "error", about.at or now, now,
           or_null(about.code), or_null(about.error) }
end

function M.statements.oddity(kind, n, sample, now)
  return { KEEP_ODDITY, kind, n, now, utf8.repair(utf8.cut(sample, SAMPLE_BYTES), SAMPLE_BYTES), KINDS }
end

-- Words of the platform ---------------------------------------------------------------------------------------------

local OPEN_WORDS = "SELECT * FROM word WHERE acted_at IS NULL ORDER BY at, received_at LIMIT $1"
local ACTED = [[
  UPDATE word SET acted_at = $6
  WHERE channel = $1 AND subject = $2 AND language = $3 AND word = $4 AND at = $5 AND acted_at IS NULL]]

--- Words that nobody acted upon yet, the oldest first.
function Statuses:open_words()
  local results, err, info = self.db:read { { OPEN_WORDS, CHUNK } }
  if not results then return nil, err, info end
  return results[1]
end

--- It was done what a word asks for.
function Statuses:acted(word, now)
  return self:keep { { ACTED, word.channel, word.subject, word.language, word.word, word.at, now } }
end

-- Whose it is -------------------------------------------------------------------------------------------------------

local OF_MESSAGE = [[
  SELECT * FROM confirmation WHERE message_id = $1 AND (channel = $2 OR $2 = '')
  UNION SELECT c.* FROM earlier e JOIN confirmation c ON c.id = e.id
  WHERE e.message_id = $1 AND (e.channel = $2 OR $2 = '')]]
local ROW = "SELECT * FROM confirmation WHERE id = $1"

--- The confirmations that own messages.
-- @tparam table ids { { message_id, channel }, … }
-- @treturn ?table rows, each once
function Statuses:owners(ids)
  local rows, seen = {}, {}
  for first = 1, #ids, CHUNK do
    local unit = {}
    for n = first, math.min(first + CHUNK - 1, #ids) do unit[#unit + 1] = { OF_MESSAGE, ids[n][1], ids[n][2] } end
    self.breathe()
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
function Statuses:with_statuses(rows)
  local list = {}
  for first = 1, #rows, CHUNK / 2 do
    local unit, last = {}, math.min(first + CHUNK / 2 - 1, #rows)
    for n = first, last do
      unit[#unit + 1] = { ROW, rows[n].id }
      unit[#unit + 1] = { STATUSES, rows[n].id }
    end
    self.breathe()
    local results, err, info = self.db:read(unit)
    if not results then return nil, err, info end
    for n = 1, #results, 2 do
      if results[n][1] then list[#list + 1] = { row = results[n][1], statuses = results[n + 1] } end
    end
  end
  return list
end

local JOIN = "UPDATE status SET id = $1 WHERE message_id = $2 AND channel = $3 AND id IS NULL"
local HOOKED = "UPDATE channel SET hooked_at = $2 WHERE name = $1 AND hooked_at < CAST($2 AS DOUBLE PRECISION) - 5"

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

-- Upkeep ------------------------------------------------------------------------------------------------------------

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
    OR EXISTS (SELECT 1 FROM echo WHERE received_at <= $1) OR EXISTS (SELECT 1 FROM suppression WHERE until_at <= $2)
    OR EXISTS (SELECT 1 FROM word WHERE received_at <= $2) OR EXISTS (SELECT 1 FROM lost WHERE left_at <= $2)]]
local DROP_HELD = "DELETE FROM status WHERE id IS NULL AND received_at <= $1"
local DROP_ECHO = "DELETE FROM echo WHERE received_at <= $1"
local DROP_OVER = "DELETE FROM suppression WHERE until_at <= $1"
local DROP_WORD = "DELETE FROM word WHERE received_at <= $1 AND acted_at IS NOT NULL"
local DROP_LOST = "DELETE FROM lost WHERE left_at <= $1"

--- What needs upkeep: held statuses whose message is known by now, because a process died between two steps; names
-- under which something was being sent when they were joined.
-- @tparam number since of the statuses that are looked at
-- @treturn ?table { message_id, channel } list
-- @treturn table for tidy(); words: true when there are some that nobody acted upon; ahead: by how many seconds the store
--   is ahead of now (onemsg.outbox.clock)
function Statuses:upkeep(since, now)
  local age, over = now - M.HELD_FOR, now - M.LIFTED_FOR
  local unit = { { ORPHANS, since, CHUNK }, { OVER_HELD, M.HELD_MOST }, { OVER_ECHO, M.HELD_MOST }, { OLD, age, over },
    { OPEN_WORDS, 1 }, person.late_statement() }
  local before = #unit
  clock.ask_ahead(unit)
  local results, err, info = self.db:read(unit)
  if not results then return nil, err, info end
  local ids = {}
  for n, row in ipairs(results[1]) do ids[n] = { row.message_id, row.channel } end
  local held, echo = results[2][1], results[3][1]
  return ids, { needed = held or echo or #results[4] > 0, over = over, words = #results[5] > 0, late = results[6],
                ahead = clock.ahead(results, before, now),
                held = math.max(age, held and held.at or 0), echo = math.max(age, echo and echo.at or 0) }
end

--- Drops what was held too long, or is too much.
function Statuses:tidy(what)
  if not what.needed then return true end
  return self.db:unit { { DROP_HELD, what.held }, { DROP_ECHO, what.echo }, { DROP_OVER, what.over },
    { DROP_WORD, what.over }, { DROP_LOST, what.over } }
end

local COUNT_HELD = "SELECT COUNT(*) AS n FROM status WHERE id IS NULL"
local ODDITIES = "SELECT kind, n, at FROM oddity ORDER BY n DESC, kind LIMIT 50"
local OVERDUE = "SELECT COUNT(*) AS n FROM confirmation WHERE fallback = 'unknown'"

--- For stats(): held statuses, kinds that were not understood, hand-overs without an answer.
function Statuses:delivery_counts()
  local results, err, info = self.db:read { { COUNT_HELD }, { ODDITIES }, { OVERDUE } }
  if not results then return nil, err, info end
  local odd = {}
  for _, row in ipairs(results[2]) do odd[row.kind] = row.n end
  return { held = results[1][1].n, oddities = odd, fallbacks_unknown = results[3][1].n }
end

return M
