--- onemsg.outbox.recipient: whom not to address, and when not to. For onemsg.outbox.
-- A suppression is a row by channel and person; channel '' means every channel. until_at NULL: for good. A lifted one
-- stays as a row, so that a hook that is repeated days later does not bring it back. When a failure told of it, the person is
-- reached another way; else somebody asked for silence, and that holds for every way.
local amend = require "onemsg.outbox.amend"
local audit = require "onemsg.outbox.audit"
local forget = require "onemsg.outbox.forget"
local gate = require "onemsg.outbox.gate"
local once = require "onemsg.outbox.once"
local person = require "onemsg.outbox.person"
local phones = require "onemsg.base.phone"
local sql = require "onemsg.sql"

local M = { methods = {} }
local People = M.methods

local NONE = sql.null
local LIST_MOST = 1000
M.AHEAD = 200 -- queued messages in front that one claim looks at

local ON = "s.person = %s AND s.channel IN ('', %s) AND s.lifted_at IS NULL "
  .. "AND (s.until_at IS NULL OR s.until_at > %s)"
local WHY = "(SELECT MIN(s.reason) FROM suppression s WHERE " .. ON .. ")"

local SILENT = ON .. " AND s.source <> 'failure'"

-- What becomes of a message whose recipient is suppressed, at a time: skipped, until that is lifted; and the rule's other way
-- is due.
local function skipping(at)
  return "state = 'skipped', suppressed_at = " .. at .. ", reason = 'suppressed: ' || "
    .. WHY:format("confirmation.person", "confirmation.channel", at)
    .. ", fallback_at = CASE WHEN otherwise IS NOT NULL AND fallback IS NULL AND NOT EXISTS (SELECT 1 FROM suppression s WHERE "
    .. SILENT:format("confirmation.person", "confirmation.channel", at)
    .. ") THEN CAST(" .. at .. " AS DOUBLE PRECISION) END"
end

--- Of a message in `c`, at the time $4: it may be claimed as far as its recipient is concerned.
M.MAY_LEAVE = "AND NOT EXISTS (SELECT 1 FROM suppression s WHERE " .. ON:format("c.person", "c.channel", "$4") .. ")"
  .. " AND (c.quiet IS NULL OR c.awake_until > $4)"

-- Suppressed ------------------------------------------------------------------------------------------------------

-- (state || '') keeps the planner from walking through all that is queued.
local function skip(which)
  return "UPDATE confirmation SET was = state, step = step + 1, held = NULL, changed_at = $1, " .. skipping "$1"
    .. " WHERE (state || '') = 'queued' AND " .. which .. " AND EXISTS (SELECT 1 FROM suppression s WHERE "
    .. ON:format("confirmation.person", "confirmation.channel", "$1") .. ") RETURNING *"
end
local SKIP_DUE = skip [[id IN (
  SELECT id FROM confirmation WHERE channel = $2 AND state = 'queued' AND due_at <= $1
  ORDER BY due_at, place LIMIT $3)]]
local SKIP_DUE_HELD = SKIP_DUE:gsub(" RETURNING %*$", gate.in_hand "$2" .. "%0")
local SKIP_PERSON = skip("person = " .. person.of "$2" .. " AND (channel = $3 OR $3 = '')")
local LOG_SKIPPED = [[
  INSERT INTO history(id, step, at, state, reason, version)
  SELECT id, step, changed_at, state, reason, version FROM confirmation WHERE state = 'skipped' AND changed_at = $1
  ON CONFLICT (id, step) DO NOTHING]]
local SKIP_NEW = "UPDATE confirmation SET " .. skipping "$2" .. [[

  WHERE id = $1 AND was = 'new' AND state = 'queued'
    AND EXISTS (SELECT 1 FROM suppression s WHERE ]] .. ON:format("confirmation.person", "confirmation.channel", "$2")
  .. ")"

--- The statement by which a new confirmation to a suppressed recipient is stored as skipped.
function M.skip_new(id, now) return { SKIP_NEW, id, now } end

--- The statements that skip what is due to suppressed recipients; the first returns the rows.
-- @tparam boolean held with the channel's gate in hand
function M.skip_due(channel, now, held)
  return { held and SKIP_DUE_HELD or SKIP_DUE, now, channel, M.AHEAD }, { LOG_SKIPPED, now }
end

local SUPPRESSED = "SELECT s.* FROM suppression s WHERE " .. ON:format(person.of "$1", "$2", "$3") .. " LIMIT 1"

--- Why a recipient is not addressed on a channel; nil without an error: nothing speaks against it.
function People:suppression(phone, channel, now, digest)
  local key = phones.key(phone)
  local results, err, info = self.db:read { { SUPPRESSED, key, channel, now },
    digest and forget.kept_statement(digest, key, channel) or nil }
  if not results then return nil, err, info end
  if results[1][1] or not results[2] then return results[1][1] end
  return results[2][1] and { reason = forget.WANTED_NOTHING }
end

-- A shorter or older one never replaces a longer one, and what happened before a person lifted it does not count.
local SUPPRESS = [[
  INSERT INTO suppression(channel, phone, reason, code, until_at, created_at, source, person)
  VALUES ($1, $2, $3, $4, $5, $6, $7, ]] .. person.of "$8" .. [[)
  ON CONFLICT (channel, person) DO UPDATE SET phone = excluded.phone, source = excluded.source,
    reason = excluded.reason, code = excluded.code, until_at = excluded.until_at, created_at = excluded.created_at,
    lifted_at = NULL
  WHERE (suppression.lifted_at IS NULL OR suppression.lifted_at < excluded.created_at)
    AND suppression.until_at IS NOT NULL AND (excluded.until_at IS NULL OR excluded.until_at > suppression.until_at)]]
local REPLACE = [[
  INSERT INTO suppression(channel, phone, reason, code, until_at, created_at, source, person)
  VALUES ($1, $2, $3, $4, $5, $6, $7, ]] .. person.of "$8" .. [[)
  ON CONFLICT (channel, person) DO UPDATE SET phone = excluded.phone, source = excluded.source,
    reason = excluded.reason, code = excluded.code, until_at = excluded.until_at, created_at = excluded.created_at,
    lifted_at = NULL]]

--- Suppresses a recipient, and skips what waits for them.
-- @tparam table about channel ('' for all), phone (an address), reason, code, until_at (nil: for good), at (when it
--   happened), source: "stop", "failure", or "hand", which replaces whatever is there; by = who
-- @treturn ?table the confirmations that were skipped
function People:suppress(about, now)
  local key = phones.key(about.phone)
  local results, err, info = self.db:unit {
    { about.source == "hand" and REPLACE or SUPPRESS, about.channel, about.phone, about.reason, about.code or NONE,
      about.until_at or NONE, about.at or now, about.source, key },
    { SKIP_PERSON, now, key, about.channel }, { LOG_SKIPPED, now },
    about.source == "hand" and audit.line(self, now, about.by, "suppress", phones.mask(about.phone)) or nil }
  if not results then return nil, amend.refusal(err, info) end
  return results[2]
end

-- What somebody asked for goes with them; the number that they left stays suppressed, whoever gets it.
local FOLLOW = [[
  INSERT INTO suppression(channel, person, phone, reason, code, until_at, created_at, source)
  SELECT s.channel, ]] .. person.of "$2" .. [[, $3, s.reason, s.code, s.until_at, s.created_at, s.source FROM suppression s
  WHERE s.person = ]] .. person.of "$1" .. [[ AND s.source <> 'failure' AND s.lifted_at IS NULL
    AND (s.until_at IS NULL OR s.until_at > $4)
  ON CONFLICT (channel, person) DO UPDATE SET reason = excluded.reason, code = excluded.code, phone = excluded.phone,
    until_at = excluded.until_at, created_at = excluded.created_at, lifted_at = NULL, source = excluded.source
  WHERE suppression.until_at IS NOT NULL AND (excluded.until_at IS NULL OR excluded.until_at > suppression.until_at)]]

--- A person has another number from now on: their suppressions hold for it as well, and what waits for it is skipped.
-- @treturn ?table the confirmations that were skipped
function People:follow(from, to, now)
  local key = phones.key(to)
  local results, err, info = self.db:unit {
    { FOLLOW, phones.key(from), key, to, now }, { SKIP_PERSON, now, key, "" }, { LOG_SKIPPED, now } }
  if not results then return nil, amend.refusal(err, info) end
  return results[2]
end

-- Lifted ----------------------------------------------------------------------------------------------------------

-- What was skipped only for that comes back, unless it would be told twice: another way was used, or another confirmation
-- took its once_per key meanwhile.
local COME_BACK = [[
  UPDATE confirmation SET was = state, state = 'queued', step = step + 1, changed_at = $3, due_at = $3,
    reason = 'it is no longer suppressed: ' || CAST($4 AS TEXT), suppressed_at = NULL, fallback_at = NULL, awake_until = NULL
  WHERE suppressed_at IS NOT NULL AND person = ]] .. person.of "$1" .. [[ AND (channel = $2 OR $2 = '')
    AND state = 'skipped' AND fallback IS NULL AND give_up_at > $3 AND ]] .. once.IS_OWN .. [[
    AND NOT EXISTS (SELECT 1 FROM suppression s WHERE ]] .. ON:format("confirmation.person", "confirmation.channel", "$3")
  .. ") RETURNING *"

local function come_back(key, channel, now, why)
  return { COME_BACK, key, channel, now, why }, { amend.LOG_AT, "queued", now }
end

local LIFT = [[
  UPDATE suppression SET until_at = $2, lifted_at = $2 WHERE person = ]] .. person.of "$1" .. [[
  AND (until_at IS NULL OR until_at > $2)]]
local LIFT_FOR_DELIVERY = [[
  UPDATE suppression SET until_at = $3 WHERE person = $1 AND channel = $2 AND code IS NOT NULL AND until_at > $3]]

--- Ends suppressions; what they had skipped is queued again.
-- @tparam table more further statements; with digests, the first is one that lifts as well
local function lift(box, statement, key, channel, now, why, more)
  local back, log = come_back(key, channel, now, why)
  local results, err, info = box.db:unit { statement, back, log, more[1], more[2] }
  if not results then return nil, amend.refusal(err, info) end
  return results[1].changes + (more.digests and results[4].changes or 0), results[2]
end

local function others(digest, key, source, at, line)
  local of_forgotten = forget.lift(digest, key, source, at)
  return of_forgotten and { of_forgotten, line, digests = true } or { line }
end

--- Ends all suppressions of a recipient.
-- @treturn ?number how many there were
-- @treturn table the rows that came back
function People:unsuppress(phone, now, by, digest)
  local key = phones.key(phone)
  return lift(self, { LIFT, key, now }, key, "", now, "lifted by " .. (by or "hand"),
    others(digest, key, "", now, audit.line(self, now, by, "unsuppress", phones.mask(phone))))
end

local LIFT_STOP = LIFT .. " AND source = 'stop' AND created_at <= $3 AND (channel = $4 OR channel = '' OR $4 = '')"

--- Ends what somebody's stop word began on a channel ('': on all), as they wrote that they want messages again.
-- @tparam number at when they wrote it
-- @treturn ?number how many there were
-- @treturn table the rows that came back
function People:start(phone, channel, at, now, digest)
  local key = phones.key(phone)
  return lift(self, { LIFT_STOP, key, now, at, channel }, key, channel, now, "they asked for it",
    others(digest, key, "stop", at))
end

--- The statements that end what a failure brought: the message arrived after all. The second returns the rows that come
-- back.
function M.lift_for_delivery(row, now)
  return { LIFT_FOR_DELIVERY, row.person, row.channel, now }, come_back(row.person, row.channel, now, "a message arrived")
end

local IS_SILENT = "SELECT s.reason FROM suppression s WHERE " .. SILENT:format("$1", "$2", "$3") .. " LIMIT 1"

--- Did somebody ask for silence, on every way? Why; nil without an error: no.
function People:silence(row, now)
  local results, err, info = self.db:read { { IS_SILENT, row.person, row.channel, now } }
  if not results then return nil, err, info end
  return results[1][1] and results[1][1].reason
end

local LIST = [[
  SELECT channel, phone, reason, code, until_at, created_at, source FROM suppression
  WHERE lifted_at IS NULL AND (until_at IS NULL OR until_at > $1)%s ORDER BY created_at DESC, phone, channel LIMIT $2]]
local LIST_FIRST = LIST:format ""
local LIST_MORE = LIST:format(" AND created_at <= $3 AND (created_at < $3 OR phone > $4 OR phone = $4 AND channel > $5)")

--- Who is suppressed, the newest first.
-- @tparam ?table after the last of those that were read before
function People:suppressed(now, after)
  local results, err, info = self.db:read { after
    and { LIST_MORE, now, LIST_MOST, after.created_at, after.phone, after.channel } or { LIST_FIRST, now, LIST_MOST } }
  if not results then return nil, err, info end
  results[1].changes = nil
  return results[1]
end

-- Quiet hours -----------------------------------------------------------------------------------------------------

local KEEP_QUIET = "UPDATE confirmation SET quiet = $2, awake_until = NULL WHERE id = $1"
local DUE_IN_QUIET_HOURS = [[
  SELECT * FROM confirmation WHERE channel = $1 AND state = 'queued' AND quiet IS NOT NULL AND due_at <= $2
    AND (awake_until IS NULL OR awake_until <= $2) ORDER BY due_at LIMIT $3]]

function M.keep_quiet(id, quiet) return { KEEP_QUIET, id, quiet or NONE } end

--- Messages that are due and whose quiet hours were not asked since they last began.
function People:due_in_quiet_hours(channel, now)
  local results, err, info = self.db:read { { DUE_IN_QUIET_HOURS, channel, now, M.AHEAD } }
  if not results then return nil, err, info end
  return results[1]
end

return M
