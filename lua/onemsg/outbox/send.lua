--- onemsg.outbox.send: what is due is claimed, and what came of it is recorded; what was not sent in time ends, what
-- nobody recorded in time is in doubt. For onemsg.outbox.
local amend = require "onemsg.outbox.amend"
local gate = require "onemsg.outbox.gate"
local pause = require "onemsg.outbox.pause"
local recipient = require "onemsg.outbox.recipient"
local witness = require "onemsg.outbox.witness"

local M = { methods = {} }
local Send = M.methods

local FIRST_LOOK = 15 -- seconds from a loss to the first search for evidence, as for every doubt (onemsg.policy.delivery)
local BATCH = 200 -- rows that expire or run out of lease in one unit
local LOG_ONE, LOG_AT, or_null = amend.LOG_ONE, amend.LOG_AT, amend.or_null

-- Claim -------------------------------------------------------------------------------------------------------------

-- One statement: whoever is due, is first in the recipient's line, has nobody in flight to the same recipient, and
-- nobody who left within the gap. Others' messages are passed over, so nobody waits behind another recipient.
-- Outside, it says "still queued and due" once more: PostgreSQL, after it waited for a row, asks that alone again.
-- (state || '') keeps a planner from walking through all that is queued; and what is first, or last, in an index is asked for
-- by its order, or PostgreSQL walks through the index once for each candidate.
local CLAIM = [[
  UPDATE confirmation SET was = state, state = 'sending', step = step + 1, reason = '', held = NULL,
    attempts = attempts + 1, departures = departures + 1, owner = $2, lease_until = $3, left_at = $4, changed_at = $4
  WHERE lease_until IS NULL AND (state || '') = 'queued' AND due_at <= $4%s AND id IN (
    SELECT c.id FROM confirmation c
    WHERE c.channel = $1 AND c.state = 'queued' AND c.due_at <= $4 AND c.give_up_at > $4
      AND c.id = (SELECT b.id FROM confirmation b WHERE b.channel = c.channel AND b.person = c.person
        AND b.state IN ('queued', 'sending') ORDER BY b.channel, b.person, b.place, b.id LIMIT 1)
      AND (SELECT f.id FROM confirmation f WHERE f.channel = c.channel AND f.person = c.person
        AND f.state = 'sending' LIMIT 1) IS NULL
      AND COALESCE((SELECT l.left_at FROM confirmation l WHERE l.person = c.person AND l.channel = c.channel
        AND l.left_at IS NOT NULL ORDER BY l.person DESC, l.channel DESC, l.left_at DESC LIMIT 1), $5) <= $5
      ]] .. recipient.MAY_LEAVE .. "\n      " .. gate.MAY_TRY .. [[

    ORDER BY c.due_at, c.place LIMIT $6)
  RETURNING *]]
local CLAIM_ALONE = CLAIM:format ""
local CLAIM_HELD = CLAIM:format(gate.in_hand "$1") -- or nothing: see outbox.gate

local LOG_CLAIM = [[
  INSERT INTO history(id, step, at, state, reason, version)
  SELECT id, step, changed_at, state, reason, version FROM confirmation WHERE state = 'sending' AND owner = $1]]

--- Takes up to n due messages of a channel and marks them as being sent, on disk when this returns.
-- Everything that is returned must be sent at once: whose answer is not recorded within the lease is `unknown`.
-- @tparam table row the channel's gate, as look() gave it; when somebody changed it since: nil, "conflict: …"
-- @tparam table cost what each claimed message adds to the gate (onemsg.pace)
-- @treturn ?table rows
-- @treturn table rows that were skipped instead, because their recipient is suppressed
-- @treturn table templates of which one message tries
function Send:claim(row, n, cost, now, lease, gap)
  local owner = self:next_owner()
  local held = self.several
  local skip, log_skipped = recipient.skip_due(row.name, now, held)
  local try, others_wait = gate.trying(row.name, owner, now, now + lease, held)
  local unit = {
    pause.set_aside(row.name, now, held),
    gate.keep_aside(row.name, now, held),
    { held and CLAIM_HELD or CLAIM_ALONE, row.name, owner, now + lease, now, now - gap, n },
    gate.charge(row, owner, cost, now + lease, held),
    { LOG_CLAIM, owner },
    skip, log_skipped,
    try, others_wait,
  }
  if held then table.insert(unit, 1, gate.take(row)) end
  local results, err, info = self.db:unit(unit)
  if not results then
    if not err:find("^conflict:") then self.open_claims[#self.open_claims + 1] = owner end
    return nil, amend.refusal(err, info)
  end
  if held then table.remove(results, 1) end
  return results[3], results[6], results[8]
end

local TAKE_BACK = [[
  UPDATE confirmation SET was = state, state = 'queued', step = step + 1, attempts = attempts - 1, reason = $2,
    left_at = NULL, lease_until = NULL, changed_at = $3
  WHERE state = 'sending' AND owner = $1 RETURNING *]]

--- None of what a claim took is sent: take_back() queues it again.
function Send:give_back(owner)
  self.open_claims[#self.open_claims + 1] = owner
end

--- What was given back, and what a claim took that failed, and was stored all the same (a disk that failed at the very
-- commit): none of it was sent, so it is queued again.
-- @treturn ?table rows
function Send:take_back(now)
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

-- Record ------------------------------------------------------------------------------------------------------------

local RECORD = [[
  UPDATE confirmation SET was = state, state = $5, step = step + 1, reason = $6, held = $7, due_at = $8, left_at = $9,
    message_id = COALESCE($10, message_id), job_id = COALESCE($11, job_id), code = $12,
    faulted_at = COALESCE($13, faulted_at), faults = COALESCE($17, faults),
    accepted_at = COALESCE($14, accepted_at), fallback_at = $15,
    lease_until = NULL, changed_at = $16
  WHERE id = $1 AND owner = $2 AND attempts = $3 AND state = $4]] .. amend.nobody_had "$10" .. " RETURNING *"

--- Begins to record what came of a claimed message.
-- @tparam table row as claim() gave it
-- @tparam table change state, reason; due_at, held, left_at, message_id, job_id, code, faulted_at, fallback_at; with
--   departures also fallback
-- @treturn table for recorded()
function Send:record(row, change, now, from)
  local accepted_at = change.state == "accepted" and now or nil
  local unit = {
    { RECORD, row.id, row.owner, row.attempts, from or "sending", change.state, change.reason, or_null(change.held),
      change.due_at or row.due_at, or_null(change.left_at), or_null(change.message_id), or_null(change.job_id),
      or_null(change.code), or_null(change.faulted_at), or_null(accepted_at), or_null(change.fallback_at), now,
      or_null(change.faults), expect = 1 },
    { LOG_ONE, row.id },
    change.attend_at and amend.statements.first_look(row.id, change.attend_at, change.stall_at)
      or from and change.state == "queued" and amend.statements.not_left(row.id) or nil,
  }
  if change.departures then unit[#unit + 1] = witness.catch_up(row.id, change) end
  local pending, err, info = self.db:async(unit)
  if not pending then return nil, err, info end
  return { pending = pending, row = row, change = change, now = now, from = from }
end

-- What another way may have told the person already, and with it what a message would tell them twice.
local told = { handed_over = true, done = true, unknown = true }

--- The lease had run out, and somebody declared the message `unknown` before its answer could be recorded. That it did not
-- leave is proven however late it is heard: it waits for its turn again.
local function record_late(box, begun, now_there)
  local row, change = begun.row, {}
  for name, value in pairs(begun.change) do change[name] = value end
  if change.state == "unknown" then return now_there, false end
  if change.state == "queued" and told[now_there.fallback] then
    change.state, change.reason = "rejected", "it did not leave (" .. change.reason
      .. "); that was heard after another way had been used: replay it, if it shall be sent as well"
  elseif change.state == "queued" then
    change.reason = "it did not leave, which was heard after its lease: " .. change.reason
  end
  local late, err, info = box:record(row, change, begun.now, "unknown")
  if not late then return nil, err, info end
  late.late = true
  return box:recorded(late)
end

--- The id that came with the answer is another confirmation's: 1MSG gave it twice, or it names something else. The message
-- was accepted all the same; it can't be followed.
local function record_without_id(box, begun)
  local change = {}
  for name, value in pairs(begun.change) do change[name] = value end
  change.message_id = nil
  change.reason = ("accepted with the id %s, which another confirmation has: it can't be followed"):format(
    begun.change.message_id)
  local again, err, info = box:record(begun.row, change, begun.now, begun.from)
  if not again then return nil, err, info end
  return box:recorded(again)
end

--- An id that came too late to say what became of the confirmation: a person settled it, or another message followed. It
-- is kept all the same, so that what hooks say of it has an owner; what was decided stays.
local function keep_id(box, begun, there)
  local row, change = begun.row, begun.change
  if not change.message_id or there.message_id == change.message_id then return there end
  local kept, err, info
  if there.owner == row.owner and there.attempts == row.attempts and there.settled and not there.message_id then
    kept, err, info = box:amended(box:amend(there, { message_id = change.message_id,
      job_id = amend.or_null(change.job_id or there.job_id), attend_at = amend.NONE, attend_until = amend.NONE,
      note = there.reason .. "; its answer came late, with the id " .. change.message_id }, begun.now))
  end
  if not kept and (not err or err:find "^conflict:") then
    kept, err, info = box:keep { amend.statements.late(row, change.message_id, begun.now),
      amend.statements.found(row.id, row.left_at) }
    kept = kept and there
  end
  if kept or amend.is_taken(info) then return kept or there end
  return nil, err, info
end

--- Waits until it is on disk. Safe to repeat after a failure: it is recorded once.
-- @treturn ?table the row as it is now
-- @treturn boolean true: by this record
function Send:recorded(begun)
  local results, err, info = begun.pending:wait()
  if results then return results[1][1], true end
  if amend.is_taken(info) and begun.change.message_id then return record_without_id(self, begun) end
  err, info = amend.refusal(err, info)
  if not err:find("^conflict:") then return nil, err, info end
  local there, read_err, read_info = self:row(begun.row.id)
  if not there then return nil, read_err or "store: the confirmation is gone", read_info end
  local same = there.owner == begun.row.owner and there.attempts == begun.row.attempts
  if same and begun.change.message_id and there.state == (begun.from or "sending") then return record_without_id(self, begun) end
  local mine = there.owner == begun.row.owner and not begun.late
  if mine and there.state == "unknown" then return record_late(self, begun, there) end
  there, err, info = keep_id(self, begun, there)
  if not there then return nil, err, info end
  return there, mine -- true: recorded before; the answer to that was lost
end

-- Housekeeping ------------------------------------------------------------------------------------------------------

local EXPIRE = [[
  UPDATE confirmation SET was = state, state = 'expired', step = step + 1, reason = $2, held = NULL, changed_at = $1,
    fallback_at = CASE WHEN otherwise IS NULL THEN NULL ELSE $1 END
  WHERE lease_until IS NULL AND (state || '') = 'queued' AND id IN (
    SELECT id FROM confirmation WHERE state = 'queued' AND give_up_at <= $1 ORDER BY give_up_at LIMIT $3)
  RETURNING *]]

--- Ends what was not sent by its give_up_after.
-- @treturn ?table rows
function Send:expire(now)
  local results, err, info = self.db:unit {
    { EXPIRE, now, "not sent within give_up_after", BATCH }, { LOG_AT, "expired", now } }
  if not results then return nil, amend.refusal(err, info) end
  return results[1]
end

local RECOVER = [[
  UPDATE confirmation SET was = state, state = 'unknown', step = step + 1, reason = $2, lease_until = NULL,
    changed_at = $1, attend_at = $4, asks = 0, checks = 0, confirmed = 0, rank = 0,
    fallback_at = CASE WHEN otherwise_unknown = 1 THEN $1 + COALESCE(otherwise_after, 0) ELSE fallback_at END
  WHERE lease_until <= $1 AND id IN (
    SELECT id FROM confirmation WHERE state = 'sending' AND lease_until <= $1 AND owner NOT LIKE $5
    ORDER BY lease_until LIMIT $3)
  RETURNING *]]

--- Declares `unknown` what was being sent by a process that did not record the answer within its lease; never what this
-- one has in flight: it lives, and will know.
-- @tparam ?boolean in_flight something that was claimed here is in flight here
-- @treturn ?table rows
function Send:recover(now, in_flight)
  local results, err, info = self.db:unit {
    { RECOVER, now, "the process that was sending it ended before it recorded the answer", BATCH, now + FIRST_LOOK,
      self:alive(in_flight) },
    { LOG_AT, "unknown", now } }
  if not results then return nil, amend.refusal(err, info) end
  return results[1]
end

return M
