--- onemsg.outbox: the store of confirmations, and with its rooms (outbox_schema, outbox_gate, outbox_read) the only
-- place with SQL. Policy stands elsewhere (onemsg.workflow, onemsg.pace): here is what is true after a call returned.
--
-- Every change of a confirmation is one UPDATE that names the state it comes from, plus a line in the table history,
-- in one unit. Calls answer a value, or nil, "store: …" | "conflict: …" | "config: …", info.
-- Time comes from the caller: `now`, seconds since the epoch.
local delivery = require "onemsg.outbox_delivery"
local doubt = require "onemsg.outbox_doubt"
local gate = require "onemsg.outbox_gate"
local people = require "onemsg.outbox_people"
local read = require "onemsg.outbox_read"
local schema = require "onemsg.outbox_schema"
local sql = require "onemsg.sql"

local M = {}

local Outbox = {}
Outbox.__index = Outbox

--- From which state to which. The schema's CHECK is made of this table: the database refuses any other change.
-- `unknown` never becomes `queued`: only evidence or a person ends it, and what a person ended may be replayed.
M.legal = {
  new       = { "queued", "skipped" },
  queued    = { "sending", "skipped", "expired", "cancelled", "delivered", "read" }, -- an earlier message arrived
  sending   = { "accepted", "unknown", "rejected", "queued" },
  accepted  = { "sent", "delivered", "read", "failed", "stalled" },
  sent      = { "delivered", "read", "failed", "stalled" },
  delivered = { "read" },
  failed    = { "delivered", "read", "queued" },
  stalled   = { "sent", "delivered", "read", "failed" },
  unknown   = { "accepted", "sent", "delivered", "read", "failed", "rejected" },
  skipped   = { "queued", "delivered", "read" },
  rejected  = { "queued", "delivered", "read" },
  expired   = { "queued", "delivered", "read" },
  cancelled = { "queued", "delivered", "read" },
}

--- States that a person may settle, and states that a person may send again from.
M.doubtful = { unknown = true, stalled = true }
M.replayable = { skipped = true, rejected = true, failed = true, expired = true, cancelled = true }

local FIRST_LOOK = 15 -- seconds from a loss to the first search for evidence, as for every doubt (onemsg.news)
local BATCH = 200 -- rows that expire or run out of lease in one unit

local function legal_changes()
  local list = {}
  for was, nexts in pairs(M.legal) do
    for _, state in ipairs(nexts) do list[#list + 1] = ("'%s>%s'"):format(was, state) end
  end
  table.sort(list)
  return table.concat(list, ", ")
end

local null = sql.null
local function or_null(value)
  if value == nil then return null end
  return value
end

--- Eight random bytes in hex: tells the claims of one opened store from those of all others.
local function token()
  local file = io.open("/dev/urandom", "rb")
  local bytes = file and file:read(8) or tostring({}) .. os.time()
  if file then file:close() end
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

--- Opens a store and brings it to the newest schema.
-- @tparam string|table store "sqlite:path", or a handle of onemsg.sql
-- @tparam table names of the channels that are used here
-- @treturn ?table an outbox
function M.open(store, names)
  local db = store
  if type(store) == "string" then
    local opened, err, info = sql.open(store)
    if not opened then return nil, err, info end
    db = opened
  end
  local box = setmetatable({ db = db, owned = db ~= store, names = names, token = token(), claims = 0, place = 0,
    open_claims = {} }, Outbox)
  local ok, err, info = schema.migrate(db, schema.steps(legal_changes()))
  if ok then ok, err, info = gate.create(db, names) end
  if not ok then
    box:close()
    return nil, err, info
  end
  return box
end

--- Closes the database if open() opened it.
function Outbox:close()
  if self.owned then self.db:close() end
  self.owned = false
end

for _, room in ipairs { gate, read, delivery, doubt, people } do
  for name, method in pairs(room.methods) do Outbox[name] = method end
end

--- A new position behind all that this process gave, in microseconds.
function Outbox:next_place(now)
  self.place = math.max(math.floor(now * 1e6), self.place + 1)
  return self.place
end

function Outbox:next_owner()
  self.claims = self.claims + 1
  return self.token .. "." .. self.claims
end

-- One line of history for what just happened to one confirmation, or to all that reached a state at one instant.
local LOG_ONE = delivery.LOG_ONE
local LOG_AT = [[
  INSERT INTO history(id, step, at, state, reason, version)
  SELECT id, step, changed_at, state, reason, version FROM confirmation WHERE state = $1 AND changed_at = $2
  ON CONFLICT (id, step) DO NOTHING]]

--- Submit ----------------------------------------------------------------------------------------------------------

-- When a new message may leave: now, but after the one before it in the recipient's line, and 6 s after the last.
local TURN = [[
  (SELECT MAX(t) FROM (
    SELECT CAST($14 AS DOUBLE PRECISION) AS t
    UNION ALL SELECT due_at + $15 FROM (
      SELECT due_at FROM confirmation
      WHERE channel = $8 AND phone = $9 AND state IN ('queued', 'sending') AND place <= $13
      ORDER BY place DESC, id DESC LIMIT 1) AS line
    UNION ALL SELECT MAX(left_at) + $15 FROM confirmation
      WHERE phone = $9 AND channel = $8 AND left_at IS NOT NULL) AS times)]]

local INSERT = [[
  INSERT INTO confirmation(id, event, type, was, state, step, reason, rule, version, channel, phone, template, language,
    message, place, due_at, give_up_at, attempts, owner, otherwise, otherwise_after, otherwise_unknown, created_at,
    changed_at, parts)
  VALUES ($1, $2, $3, 'new', $4, 1, $5, $6, $7, $8, $9, $10, $11,
    $12, $13, ]] .. TURN .. [[, $16, 0, $17, $18, $19, $20, $14, $14, $21)
  ON CONFLICT (id) DO NOTHING RETURNING id]]

local TAKE_KEY = "INSERT INTO once_key(rule, value, id) VALUES ($1, $2, $3) ON CONFLICT (rule, value) DO NOTHING"
local SKIP_TAKEN = [[
  UPDATE confirmation SET state = 'skipped', reason = $4 || (SELECT id FROM once_key WHERE rule = $2 AND value = $3)
  WHERE id = $1 AND was = 'new'
    AND EXISTS (SELECT 1 FROM once_key WHERE rule = $2 AND value = $3 AND id <> $1)]]

--- What a rule's once_per says of a further event; the id of the first confirmation follows.
M.ONCE = "once_per: already confirmed by "

local SET_ASIDE = [[
  UPDATE confirmation SET due_at = park.until_at, held = park.reason, place = place + $2
  FROM park WHERE confirmation.id = $1 AND confirmation.state = 'queued' AND park.channel = confirmation.channel
    AND park.template = confirmation.template AND park.language = confirmation.language AND park.until_at > $3]]

local function insertion(box, plan, part, parts, now, gap, owner)
  local otherwise = part.otherwise or {}
  return { INSERT, part.id, plan.text, plan.type, part.state, part.reason, or_null(part.rule), or_null(part.version),
    or_null(part.channel), or_null(part.phone), or_null(part.template), or_null(part.language), or_null(part.message),
    box:next_place(now), now, gap, or_null(part.give_up_at), owner, or_null(otherwise.json), or_null(otherwise.after),
    otherwise.on_unknown and 1 or 0, parts, expect = 1 }
end

--- The unit that stores an event's confirmations, whole or, when the id is known already, not at all.
local function submission(box, plan, now, gap)
  local owner, unit, tickets = box:next_owner(), {}, {}
  for n, part in ipairs(plan.parts) do
    unit[#unit + 1] = insertion(box, plan, part, n == 1 and #plan.parts or 1, now, gap, owner)
    if part.once and part.state == "queued" then
      unit[#unit + 1] = { TAKE_KEY, part.rule, part.once, part.id }
      unit[#unit + 1] = { SKIP_TAKEN, part.id, part.rule, part.once, M.ONCE }
    end
    if part.state == "queued" then
      unit[#unit + 1] = { SET_ASIDE, part.id, gate.PARK_SHIFT, now }
      unit[#unit + 1] = people.skip_new(part.id, now)
    end
    if part.quiet then unit[#unit + 1] = people.keep_quiet(part.id, part.quiet) end
    unit[#unit + 1] = { LOG_ONE, part.id }
    unit[#unit + 1] = { read.TICKET, part.id }
    tickets[n] = #unit
  end
  return unit, tickets
end

--- Begins to store a plan (onemsg.workflow_plan).
-- @tparam table plan id, text, type, parts = { { id, state, reason, rule, … }, … }
-- @tparam number gap seconds between two messages to one recipient
-- @treturn table a pending: submitted(pending) waits for it
function Outbox:submit(plan, now, gap)
  local unit, tickets = submission(self, plan, now, gap)
  local pending, err, info = self.db:async(unit)
  if not pending then return nil, err, info end
  return { pending = pending, tickets = tickets, plan = plan }
end

--- Waits until the plan is on disk.
-- @treturn ?table the stored rows, one a part, with first_state and first_reason
-- @treturn boolean|string true: they had been stored before; nothing was changed
function Outbox:submitted(begun, seconds)
  local results, err, info = begun.pending:wait(seconds)
  if results then
    local rows = {}
    for n, at in ipairs(begun.tickets) do rows[n] = results[at][1] end
    return rows, false
  elseif not err:find("^conflict:") then
    return nil, err, info
  end
  local rows, read_err, read_info = self:tickets(begun.plan.id)
  if not rows then return nil, read_err, read_info end
  if not rows[1] then return nil, "store: " .. err, info end
  return rows, true
end

--- Claim -----------------------------------------------------------------------------------------------------------

-- One statement: whoever is due, is first in the recipient's line, has nobody in flight to the same recipient, and
-- nobody who left within the gap. Others' messages are passed over, so nobody waits behind another recipient.
-- (Outside, lease_until says "still queued" once more, for databases whose statements don't see one instant; by the
-- state, a planner would walk through all that is queued.)
local CLAIM = [[
  UPDATE confirmation SET was = state, state = 'sending', step = step + 1, reason = '', held = NULL,
    attempts = attempts + 1, owner = $2, lease_until = $3, left_at = $4, changed_at = $4
  WHERE lease_until IS NULL AND id IN (
    SELECT c.id FROM confirmation c
    WHERE c.channel = $1 AND c.state = 'queued' AND c.due_at <= $4 AND c.give_up_at > $4
      AND NOT EXISTS (SELECT 1 FROM confirmation b WHERE b.channel = c.channel AND b.phone = c.phone
        AND b.state IN ('queued', 'sending') AND (b.place, b.id) < (c.place, c.id))
      AND NOT EXISTS (SELECT 1 FROM confirmation f WHERE f.channel = c.channel AND f.phone = c.phone
        AND f.state = 'sending')
      AND NOT EXISTS (SELECT 1 FROM confirmation l WHERE l.phone = c.phone AND l.channel = c.channel
        AND l.left_at IS NOT NULL AND l.left_at > $5)
      ]] .. people.MAY_LEAVE .. [[

    ORDER BY c.due_at, c.place LIMIT $6)
  RETURNING *]]

local LOG_CLAIM = [[
  INSERT INTO history(id, step, at, state, reason, version)
  SELECT id, step, changed_at, state, reason, version FROM confirmation WHERE state = 'sending' AND owner = $1]]

--- Takes up to n due messages of a channel and marks them as being sent, on disk when this returns.
-- Everything that is returned must be sent at once: whose answer is not recorded within the lease is `unknown`.
-- @tparam table row the channel's gate, as look() gave it; when somebody changed it since: nil, "conflict: …"
-- @tparam table cost what each claimed message adds to the gate (onemsg.pace)
-- @treturn ?table rows
-- @treturn table rows that were skipped instead, because their recipient is suppressed
function Outbox:claim(row, n, cost, now, lease, gap)
  local owner = self:next_owner()
  local skip, log_skipped = people.skip_due(row.name, now)
  local results, err, info = self.db:unit {
    { CLAIM, row.name, owner, now + lease, now, now - gap, n },
    gate.charge(row, owner, cost, now + lease),
    { LOG_CLAIM, owner },
    skip, log_skipped,
  }
  if not results then
    if not err:find("^conflict:") then self.open_claims[#self.open_claims + 1] = owner end
    return nil, err, info
  end
  return results[1], results[4]
end

local TAKE_BACK = [[
  UPDATE confirmation SET was = state, state = 'queued', step = step + 1, attempts = attempts - 1, reason = $2,
    left_at = NULL, lease_until = NULL, changed_at = $3
  WHERE state = 'sending' AND owner = $1 RETURNING *]]

--- What a claim took that failed, and was stored all the same (a disk that failed at the very commit): none of it was
-- sent, so it is queued again.
-- @treturn ?table rows
function Outbox:take_back(now)
  local rows = {}
  while #self.open_claims > 0 do
    local results, err, info = self.db:unit {
      { TAKE_BACK, self.open_claims[#self.open_claims], "the store failed while it was taken up; it was not sent", now },
      { LOG_AT, "queued", now } }
    if not results then return nil, err, info end
    self.open_claims[#self.open_claims] = nil
    for _, row in ipairs(results[1]) do rows[#rows + 1] = row end
  end
  return rows
end

--- Record ----------------------------------------------------------------------------------------------------------

local RECORD = [[
  UPDATE confirmation SET was = state, state = $5, step = step + 1, reason = $6, held = $7, due_at = $8, left_at = $9,
    message_id = COALESCE($10, message_id), job_id = COALESCE($11, job_id), code = $12,
    faulted_at = COALESCE($13, faulted_at), accepted_at = COALESCE($14, accepted_at), fallback_at = $15,
    lease_until = NULL, changed_at = $16
  WHERE id = $1 AND owner = $2 AND attempts = $3 AND state = $4 RETURNING *]]

--- Begins to record what came of a claimed message.
-- @tparam table row as claim() gave it
-- @tparam table change state, reason; due_at, held, left_at, message_id, job_id, code, faulted_at, fallback_at
-- @treturn table for recorded()
function Outbox:record(row, change, now, from)
  local accepted_at = change.state == "accepted" and now or nil
  local pending, err, info = self.db:async {
    { RECORD, row.id, row.owner, row.attempts, from or "sending", change.state, change.reason, or_null(change.held),
      change.due_at or row.due_at, or_null(change.left_at), or_null(change.message_id), or_null(change.job_id),
      or_null(change.code), or_null(change.faulted_at), or_null(accepted_at), or_null(change.fallback_at), now,
      expect = 1 },
    { LOG_ONE, row.id },
    change.attend_at and delivery.statements.first_look(row.id, change.attend_at, change.stall_at),
  }
  if not pending then return nil, err, info end
  return { pending = pending, row = row, change = change, now = now }
end

--- The lease had run out, and somebody declared the message `unknown` before its answer could be recorded.
local function record_late(box, begun, now_there)
  local row, change = begun.row, begun.change
  if change.state == "unknown" then return now_there, false end
  if change.state == "queued" then
    local why = "it did not leave (" .. change.reason .. "), but that was recorded after its lease: replay it"
    change = { state = "rejected", reason = why, code = change.code, fallback_at = change.fallback_at }
  end
  local late, err, info = box:record(row, change, begun.now, "unknown")
  if not late then return nil, err, info end
  late.late = true
  return box:recorded(late)
end

--- Waits until it is on disk. Safe to repeat after a failure: it is recorded once.
-- @treturn ?table the row as it is now
-- @treturn boolean true: by this record
function Outbox:recorded(begun)
  local results, err, info = begun.pending:wait()
  if results then return results[1][1], true end
  if not err:find("^conflict:") then return nil, err, info end
  local now_there, read_err, read_info = self:row(begun.row.id)
  if not now_there then return nil, read_err or "store: the confirmation is gone", read_info end
  if now_there.owner ~= begun.row.owner or begun.late then return now_there, false end
  if now_there.state == "unknown" then return record_late(self, begun, now_there) end
  return now_there, true -- recorded before; the answer to that was lost
end

--- Housekeeping ----------------------------------------------------------------------------------------------------

local EXPIRE = [[
  UPDATE confirmation SET was = state, state = 'expired', step = step + 1, reason = $2, held = NULL, changed_at = $1,
    fallback_at = CASE WHEN otherwise IS NULL THEN NULL ELSE $1 END
  WHERE lease_until IS NULL AND id IN (
    SELECT id FROM confirmation WHERE state = 'queued' AND give_up_at <= $1 ORDER BY give_up_at LIMIT $3)
  RETURNING *]]

--- Ends what was not sent by its give_up_after.
-- @treturn ?table rows
function Outbox:expire(now)
  local results, err, info = self.db:unit {
    { EXPIRE, now, "not sent within give_up_after", BATCH }, { LOG_AT, "expired", now } }
  if not results then return nil, err, info end
  return results[1]
end

local RECOVER = [[
  UPDATE confirmation SET was = state, state = 'unknown', step = step + 1, reason = $2, lease_until = NULL,
    changed_at = $1, attend_at = $4, asks = 0, checks = 0, confirmed = 0, rank = 0,
    fallback_at = CASE WHEN otherwise_unknown = 1 THEN $1 + COALESCE(otherwise_after, 0) ELSE fallback_at END
  WHERE lease_until <= $1 AND id IN (
    SELECT id FROM confirmation WHERE state = 'sending' AND lease_until <= $1 ORDER BY lease_until LIMIT $3)
  RETURNING *]]

--- Declares `unknown` what was being sent by a process that did not record the answer within its lease.
-- @treturn ?table rows
function Outbox:recover(now)
  local results, err, info = self.db:unit {
    { RECOVER, now, "the process that was sending it ended before it recorded the answer", BATCH, now + FIRST_LOOK },
    { LOG_AT, "unknown", now } }
  if not results then return nil, err, info end
  return results[1]
end

--- By hand ---------------------------------------------------------------------------------------------------------

local CHANGE = [[
  UPDATE confirmation SET was = state, state = $3, step = step + 1, reason = $4, held = NULL, changed_at = $5,
    settled = $6, retry_at = NULL,
    fallback_at = CASE WHEN otherwise IS NOT NULL AND $3 = 'failed' THEN CAST($5 AS DOUBLE PRECISION) END
  WHERE id = $1 AND state = $2 RETURNING *]]

--- A change by a person: settle and cancel. `from` is the state that the person saw, `verdict` what settle was told.
-- @treturn ?table the changed row; nil, "conflict: …" when it is in another state by now
function Outbox:change(id, from, state, reason, now, verdict)
  local results, err, info = self.db:unit {
    { CHANGE, id, from, state, reason, now, or_null(verdict), expect = 1 }, { LOG_ONE, id } }
  if not results then return nil, err, info end
  return results[1][1]
end

local REPLAY = [[
  UPDATE confirmation SET was = state, state = 'queued', step = step + 1, reason = $3, held = NULL, changed_at = $4,
    rule = $5, version = $6, channel = $7, phone = $8, template = $9, language = $10, message = $11, place = $12,
    due_at = $4, give_up_at = $13, attempts = 0, message_id = NULL, job_id = NULL, code = NULL, faulted_at = NULL,
    fallback_at = NULL, otherwise = $14, otherwise_after = $15, otherwise_unknown = $16
  WHERE id = $1 AND state = $2 RETURNING *]]
local HAS_KEY = "SELECT id FROM once_key WHERE rule = $1 AND value = $2 AND id = $3"

--- Queues an ended confirmation again, as the rules decide it now.
-- @tparam table part of a plan (onemsg.workflow_plan)
-- @treturn ?table the changed row; nil, "conflict: …" when its state changed, or another one holds its once_per key
function Outbox:replay(from, part, reason, now)
  local otherwise = part.otherwise or {}
  local unit = {
    delivery.statements.earlier(part.id, now),
    { REPLAY, part.id, from, reason, now, part.rule, or_null(part.version), part.channel, part.phone, part.template,
      part.language, part.message, self:next_place(now), part.give_up_at, or_null(otherwise.json),
      or_null(otherwise.after), otherwise.on_unknown and 1 or 0, expect = 1 },
    delivery.statements.afresh(part.id), people.keep_quiet(part.id, part.quiet), { LOG_ONE, part.id } }
  if part.once then
    unit[#unit + 1] = { TAKE_KEY, part.rule, part.once, part.id }
    unit[#unit + 1] = { HAS_KEY, part.rule, part.once, part.id, expect = 1 }
  end
  local results, err, info = self.db:unit(unit)
  if results then return results[2][1] end
  if info and info.statement == #unit and part.once then
    return nil, "conflict: another confirmation holds its once_per key, " .. part.once, info
  end
  return nil, err, info
end

return M
