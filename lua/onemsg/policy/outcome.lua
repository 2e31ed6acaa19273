--- onemsg.policy.outcome: what an answer leads to. PLATFORM.md 4. Pure.
local codes = require "onemsg.codes"
local measures = require "onemsg.policy.measures"
local pace = require "onemsg.pace"

local M = {}

M.FAULTS = 2 -- when a message met a fault of the channel so often again while others were accepted, the fault is its own

--- The entry of codes behind an error; what has neither code nor status gets the plainest one.
local function entry_of(info)
  local entry = info.code and codes.lookup(info.code)
  if entry then return entry end
  local body = type(info.body) == "string" and info.body or nil
  return (codes.explain(info.status, nil, body))
end

local function seconds(s)
  return s < 90 and ("%.0f s"):format(s) or s < 5400 and ("%.0f min"):format(s / 60) or ("%.1f h"):format(s / 3600)
end

--- Tried again after a proven refusal or a failure to send: when. The code's own wait counts where the server named
-- none (info.retry_after is then that very wait) or where WhatsApp names a law of growth.
local function again(row, err, info, entry, now, random)
  local by_code = entry.retry and (entry.factor or not info.retry_after or info.retry_after == entry.wait)
  local wait = pace.backoff({ retry = row.attempts, wait = by_code and entry.wait or nil,
    factor = by_code and entry.factor or nil, retry_after = info.retry_after }, random)
  return { state = "queued", due_at = now + wait, code = info.code, reason = err .. "; again in " .. seconds(wait) }
end

--- Several others were accepted since the channel was last thought to be at fault for this message.
local function exonerated(row, known)
  return row.faulted_at ~= nil and known.cleared_at ~= nil and known.cleared_at > row.faulted_at
end

--- A fault of the channel is no fault of the message: it waits. Only one that met it time and again, while others were
-- accepted in between, is at fault itself.
local function channel_fault(row, err, info, entry, known, now, random)
  local cleared = exonerated(row, known)
  local faults = row.faults + (cleared and 1 or 0)
  if faults >= M.FAULTS then return { state = "rejected", reason = err, code = info.code } end
  local change = again(row, err, info, entry, now, random)
  change.faulted_at, change.faults, change.held = not cleared and row.faulted_at or now, faults, "the channel is stopped: " .. err
  return change
end

local function refused(row, err, info, known, now, random)
  local entry = entry_of(info)
  local told = measures.of(entry, err, now, { retry_after = info.retry_after, code = info.code })
  local rejected = { state = "rejected", reason = err, code = info.code }
  if told.trip then return channel_fault(row, err, info, entry, known, now, random), told end
  told.passed = true
  if told.park and known.parked and not row.otherwise then -- it left before that was known: the first one tells of it
    return { state = "queued", due_at = told.park.until_at, held = told.park.reason, code = info.code,
             reason = err .. "; again when the template is back" }, told
  end
  if not entry.retry or entry.tries and row.attempts > entry.tries then return rejected, told end
  return again(row, err, info, entry, now, random), told
end

local function not_sent(row, err, info, now, random)
  local entry, told = { retry = false }, { passed = info.status ~= nil } -- a refused connection is no answer
  if info.status then
    entry = entry_of(info)
    told.pause_until = now + math.min(info.retry_after or entry.wait or 0, pace.RETRY_AFTER_MOST)
  end
  return again(row, err, info, entry, now, random), told
end

--- A setting of ours is missing or wrong: the message is good, and waits until that is mended; the channel is stopped.
local function not_set_up(row, err, info, now, random)
  local change = again(row, err, info, { retry = false }, now, random)
  change.held = "the channel is stopped: " .. err
  return change, { trip = { reason = err, told = "answer" } }
end

local function answered(receipt)
  if receipt.outcome == "accepted" then
    local reason = receipt.id and "" or "accepted without an id: it can't be followed"
    return { state = "accepted", reason = reason, message_id = receipt.id,
      held = receipt.held and ("WhatsApp holds it back (%s), and sends it later or not at all"):format(receipt.held) },
      { passed = true }
  end
  local job = tostring(receipt.job_id)
  return { state = "unknown", job_id = job, reason = "1MSG queued it as job " .. job .. ", which no call resolves" },
    { passed = true }
end

--- When the rule's other way to reach the person is due after this change; nil: not, or not yet known.
local function fallback_at(row, state, now)
  if not row.otherwise then return nil end
  if state == "accepted" then return row.otherwise_after and now + row.otherwise_after end
  if state == "rejected" then return now end
  if state == "unknown" and row.otherwise_unknown == 1 then return now + (row.otherwise_after or 0) end
  return nil
end

--- What becomes of a confirmation that has left before, which the store has forgotten (onemsg.outbox.witness).
-- @tparam table departure n, way, at
function M.forgotten(row, departure, now)
  local way = departure.way == 1 and not row.fallback or nil
  return { state = "unknown", departures = departure.n, left_at = departure.at, held = nil,
    fallback = way and "unknown", fallback_at = not way and fallback_at(row, "unknown", now) or nil,
    reason = ("it left before, %s ago; the store is older than that: a backup, or a standby without the last commits%s"):format(
      seconds(math.max(0, now - departure.at)), way and ". Another way was used as well" or "") }
end

--- What becomes of a confirmation that was sent, and of its channel.
-- @tparam table row as claimed
-- @tparam table answer receipt or nil, err, info of channel:send
-- @tparam number now
-- @tparam function random () -> [0, 1)
-- @tparam ?table known parked = true: its template is known to be refused, since it left; cleared_at = since when
--   several others were accepted
-- @treturn table change for outbox:record: state, reason, due_at, held, left_at, message_id, job_id, code …
-- @treturn table measures (onemsg.policy.measures), and passed (the answer shows that the channel works), doubt
--   (it is open whether the message left)
function M.verdict(row, answer, now, random, known)
  local receipt, err, info = answer[1], answer[2], answer[3] or {}
  known = known or {}
  local change, told
  if receipt then
    change, told = answered(receipt)
  elseif info.outcome == "not_sent" or err:find("^closed:") and info.outcome ~= "unknown" then
    change, told = not_sent(row, err, info, now, random)
  elseif info.outcome == "rejected" then
    change, told = refused(row, err, info, known, now, random)
  elseif err:find("^config:") and info.outcome ~= "unknown" then
    change, told = not_set_up(row, err, info, now, random)
  elseif info.outcome == "invalid" then
    change, told = { state = "rejected", reason = err }, {}
  else
    change, told = { state = "unknown", reason = err, code = info.code }, { doubt = true }
  end
  if change.state == "accepted" or change.state == "unknown" then change.left_at = now end
  change.fallback_at = fallback_at(row, change.state, now)
  return change, told
end

return M
