--- onemsg.policy.outcome: what an answer leads to. DESIGN.md sections 4 and 6, PLATFORM.md 4. Pure.
local codes = require "onemsg.codes"
local pace = require "onemsg.pace"

local M = {}

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

--- Does the refusal concern every message of the channel, whatever it says?
local function stops_channel(entry)
  return entry.scope == "channel" and (entry.action == "stop" or entry.action == "pause" and not entry.retry)
end

--- Others were accepted since the channel was last thought to be at fault for this message: the fault is its own.
local function exonerated(row, gate)
  return row.faulted_at ~= nil and (gate.closed_at or 0) > row.faulted_at
end

--- Until when nothing leaves on the channel: what the server named, or what the code asks for.
local function pause_end(entry, info, now)
  return now + math.min(info.retry_after or entry.wait or 0, pace.RETRY_AFTER_MOST)
end

local function refused(row, err, info, gate, now, random)
  local entry, measures = entry_of(info), { passed = true }
  local rejected = { state = "rejected", reason = err, code = info.code }
  if stops_channel(entry) then
    if exonerated(row, gate) then return rejected, measures end
    local change = again(row, err, info, entry, now, random)
    change.faulted_at, change.held = now, "the channel is stopped: " .. err
    return change, { trip = { reason = err, wait = entry.wait } }
  end
  if entry.suppress then measures.suppress = { for_s = entry.suppress, reason = err, code = info.code } end
  if entry.scope == "template" then
    measures.park = { until_at = now + (entry.wait or pace.PARK), reason = "the template is set aside: " .. err }
  end
  if not entry.retry or entry.tries and row.attempts > entry.tries then return rejected, measures end
  if entry.action == "pause" then measures.pause_until = pause_end(entry, info, now) end
  return again(row, err, info, entry, now, random), measures
end

local function not_sent(row, err, info, now, random)
  local entry, measures = { retry = false }, { passed = info.status ~= nil } -- a refused connection is no answer
  if info.status then
    entry = entry_of(info)
    measures.pause_until = pause_end(entry, info, now)
  end
  return again(row, err, info, entry, now, random), measures
end

local function answered(receipt)
  if receipt.outcome == "accepted" then
    local reason = receipt.id and "" or "accepted without an id: it can't be followed"
    return { state = "accepted", reason = reason, message_id = receipt.id }, { passed = true }
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

--- What becomes of a confirmation that was sent, and of its channel.
-- @tparam table row as claimed
-- @tparam table gate of its channel, as it was at the claim
-- @tparam table answer receipt or nil, err, info of channel:send
-- @tparam number now
-- @tparam function random () -> [0, 1)
-- @treturn table change for outbox:record: state, reason, due_at, held, left_at, message_id, job_id, code …
-- @treturn table measures: trip = { reason, wait }, park = { until_at, reason }, pause_until, passed (the answer shows
--   that the channel works), doubt (it is open whether the message left)
function M.verdict(row, gate, answer, now, random)
  local receipt, err, info = answer[1], answer[2], answer[3] or {}
  local change, measures
  if receipt then
    change, measures = answered(receipt)
  elseif info.outcome == "not_sent" or err:find("^closed:") then
    change, measures = not_sent(row, err, info, now, random)
  elseif info.outcome == "rejected" then
    change, measures = refused(row, err, info, gate, now, random)
  elseif info.outcome == "invalid" then
    change, measures = { state = "rejected", reason = err }, {}
  else
    change, measures = { state = "unknown", reason = err, code = info.code }, { doubt = true }
  end
  if change.state == "accepted" or change.state == "unknown" then change.left_at = now end
  change.fallback_at = fallback_at(row, change.state, now)
  return change, measures
end

return M
