--- onemsg.policy.delivery: what becomes of a message after its acceptance, when there is news of it and when there is none.
-- PLATFORM.md 3.2, 4 and 8. Pure: rows and statuses in, decisions out; nothing given is changed.
-- Times are seconds since the epoch.
local codes = require "onemsg.codes"
local hooks = require "onemsg.hooks"
local measures = require "onemsg.policy.measures"
local pace = require "onemsg.pace"
local states = require "onemsg.policy.states"

local M = {}

--- Seconds after acceptance at which hookInfo is asked about a message without news, and GET messages about a doubt.
M.SCHEDULE = { 15, 60, 300, 1800, 10800 }
M.JITTER = 0.1            -- of such a time, at most, and only later
M.STALLED_AFTER = 86400   -- seconds of silence until a message without a ttl is `stalled`
M.HELD_FOR = 7 * 86400    -- the same of one that WhatsApp took and holds back: it is paced for days (PLATFORM.md 9)
M.HOOKS_FLOW = 600        -- a channel whose hooks came so recently is not polled
M.MUTE = 86400            -- seconds until a channel that does not offer hookInfo is asked again
M.RESENDS = 2             -- new messages after a proven failure, at most
M.RESEND_GAP = 60         -- seconds from a failure to the next message, at least
M.CHECKS = { 60, 300 }    -- a failed hook that hookInfo does not confirm: seconds until it is asked again
M.DOUBT_FOR = 86400       -- after that only hooks are still evidence; GET messages is asked no more

-- Statuses --------------------------------------------------------------------------------------------------------

local words = { [1] = "accepted", [2] = "sent", [3] = "failed", [4] = "delivered", [5] = "read", [6] = "read" }
local FAILED, DELIVERED = 3, 4

local function said(failure)
  local entry = failure.code and codes.lookup(failure.code)
  local text = failure.error or entry and entry.meaning or "no reason was given"
  if failure.code and not text:find(failure.code, 1, true) then text = failure.code .. " " .. text end
  return text
end

--- Folds the statuses of each message of a confirmation; the order of the list does not matter.
-- @treturn table the fold of the present message
-- @treturn table the fold of the best earlier one
local function fold_all(row, statuses)
  local folds = {}
  for _, status in ipairs(statuses) do
    folds[status.message_id] = hooks.fold(folds[status.message_id], status)
  end
  local before = {}
  for id, fold in pairs(folds) do
    if id ~= row.message_id and (hooks.rank(fold.status) or 0) > (hooks.rank(before.status) or 0) then before = fold end
  end
  return folds[row.message_id] or {}, before
end

--- What the statuses of a confirmation contradict, as a sentence, or nil.
local function contradiction_of(row, present, before, best)
  for _, fold in ipairs { present, before } do
    if fold.contradiction then
      return ("both failed (%s) and delivered were reported"):format(said(fold.failure))
    end
  end
  if row.settled == "not_arrived" and best >= DELIVERED then
    return "settled by hand as not arrived, and then it was reported as delivered"
  elseif row.settled == "arrived" and best < DELIVERED and present.failure then
    return ("settled by hand as arrived, and then it was reported as failed (%s)"):format(said(present.failure))
  elseif row.textless == 1 and best == FAILED then
    return ("found without its text, and then reported as failed (%s): it may be another one's, and nothing follows")
      :format(said(present.failure))
  end
  return nil
end

local function source_of(statuses, status)
  for _, one in ipairs(statuses) do
    if hooks.rank(one.status) == hooks.rank(status) and one.source == "poll" then return "hookInfo says so" end
  end
  return ""
end

--- What all statuses of a confirmation, taken together, change in it.
-- @tparam table row
-- @tparam table statuses { { message_id, status, at, source, code, error }, … } of its present and earlier messages
-- @treturn ?table state, rank, reason, code, contradiction, failure (when it rose to failed); nil: nothing
function M.fold(row, statuses)
  if row.state == "sending" then return nil end
  local present, before = fold_all(row, statuses)
  local best, late = hooks.rank(present.status) or 0, false
  local of_before = hooks.rank(before.status) or 0
  if of_before >= DELIVERED and of_before > best then best, late = of_before, true end
  local change = {}
  local word = words[best]
  if row.textless == 1 and best == FAILED then word = nil end -- a failure never proves that ours was accepted
  if word and best > row.rank and states.may(row.state, word) then
    change.state, change.rank = word, best
    if best == FAILED then
      change.failure = present.failure
      change.code, change.reason = present.failure.code, said(present.failure)
    else
      change.reason = source_of(statuses, (late and before or present).status)
      if late then change.reason = "an earlier message of this confirmation arrived" end
    end
  end
  local contradiction = contradiction_of(row, present, before, best)
  if contradiction and contradiction ~= row.contradiction then
    change.contradiction = contradiction
    change.reason = (change.reason and change.reason ~= "" and change.reason .. "; " or "") .. contradiction
  end
  if change.state and best >= DELIVERED and row.fallback then
    change.reason = (change.reason ~= "" and change.reason .. "; " or "") .. "the other way had been used by then"
  end
  return change.reason and change or nil
end

-- Failures --------------------------------------------------------------------------------------------------------

--- What a `failed` leads to, by its code.
-- @tparam table row as it was before
-- @tparam table failure code, error
-- @tparam number now
-- @tparam function random () -> [0, 1)
-- @treturn table retry_at: a new message may follow then; fallback_at; why: a sentence part
-- @treturn table measures for the channel, the template, the recipient (onemsg.policy.measures)
function M.failed(row, failure, now, random)
  local entry = failure.code and codes.lookup(failure.code) or {}
  local told = measures.of(entry, said(failure), now, { code = failure.code, told = "hook" })
  local next_step = {}
  if row.fallback and (entry.retry or told.trip) then
    next_step.why = "no new message: the other way was used"
  elseif told.trip then -- not this message's fault: it leaves again when the channel is well
    local at = now + M.RESEND_GAP
    if at < (row.give_up_at or 0) then
      next_step.retry_at, next_step.why = at, "a new message may follow when the channel is well"
    end
  elseif entry.retry and not entry.suppress and row.resends < math.min(M.RESENDS, entry.tries or M.RESENDS) then
    local wait = pace.backoff({ retry = row.resends + 1, wait = entry.wait, factor = entry.factor }, random)
    local at = now + math.max(M.RESEND_GAP, wait)
    if at < (row.give_up_at or 0) then
      next_step.retry_at, next_step.why = at, ("a new message may follow in %.0f s"):format(at - now)
    else
      next_step.why = "too late for a new message"
    end
  elseif entry.retry and row.resends > 0 then
    next_step.why = ("%d new messages failed as well"):format(row.resends)
  end
  if not next_step.retry_at and row.otherwise then next_step.fallback_at = now end
  return next_step, told
end

-- Silence ---------------------------------------------------------------------------------------------------------

--- When to look at a message that was accepted, or is in doubt, for the nth time (from 1).
-- @tparam number since
-- @tparam number n
-- @tparam function random
-- @treturn ?number nil: the schedule is over
function M.look_at(since, n, random)
  local wait = M.SCHEDULE[n]
  return wait and since + wait * (1 + M.JITTER * random())
end

local ended = { delivered = true, read = true, cancelled = true, skipped = true }
local travelling = { accepted = true, sent = true }
local may_fall_back = { failed = true, rejected = true, expired = true, accepted = true, sent = true, stalled = true }

--- May another way to reach the person be used now?
function M.may_fall_back(row)
  if not row.otherwise or row.fallback then return false end
  if row.state == "skipped" then return row.suppressed_at ~= nil end -- nothing else was to be sent
  return may_fall_back[row.state] or row.state == "unknown" and row.otherwise_unknown == 1 or false
end

local function reached(at, now)
  return at ~= nil and at <= now
end

--- Must hookInfo be asked before the other way is used for this failure, or this silence?
local function to_be_asked(row, channel, now)
  if not row.message_id or row.confirmed == 1 or channel.mute_until > now then return false end
  return row.asked_now ~= true
end

--- What a new message needs: hookInfo's own word that the one before failed, and no other way used meanwhile. Nobody's
-- silence is proof, nor is a channel that does not offer hookInfo.
local function resend_or_why_not(row, channel, now)
  if row.fallback then return "keep" end
  if row.confirmed == 1 then return "resend" end
  return row.message_id and channel.mute_until <= now and row.asked_now ~= true and "ask" or "keep"
end

--- What to do about a confirmation that its worker looks at.
-- @tparam table row; row.asked_now = true when hookInfo was just asked about it
-- @tparam table channel its gate: hooked_at, mute_until, breaker
-- @tparam number now
-- @treturn ?string "ask" hookInfo; "doubt" look for evidence; "fall_back"; "resend"; "keep" (there will be no new message:
--   unproven() says what then); "stall"; nil: wait
-- @treturn table with nil: attend_at, retry_at, fallback_at as they shall be (absent: none)
function M.next_step(row, channel, now)
  if row.state == "sending" then return nil, { attend_at = row.lease_until, fallback_at = row.fallback_at } end
  local by_way = row.state == "skipped" and row.suppressed_at and row.fallback_at
  if ended[row.state] and not by_way and not (row.settled and not row.message_id and row.left_at) then return nil, {} end
  if reached(row.fallback_at, now) and row.state ~= "queued" then
    if not M.may_fall_back(row) then return nil, { attend_at = row.attend_at, retry_at = row.retry_at } end
    return to_be_asked(row, channel, now) and "ask" or "fall_back"
  end
  if row.state == "failed" and reached(row.retry_at, now) then
    if channel.breaker == "open" and not row.fallback then
      return nil, { retry_at = math.max(now + M.RESEND_GAP, channel.next_at or 0) }
    end
    return resend_or_why_not(row, channel, now)
  end
  if row.state == "unknown" or row.settled and not row.message_id then
    if reached(row.attend_at, now) then return "doubt" end
  elseif travelling[row.state] then
    if reached(row.stall_at, now) then return "stall" end
    if reached(row.attend_at, now) then
      if row.message_id and M.SCHEDULE[row.asks + 1] and not row.asked_now then
        local quiet_till = math.max(channel.mute_until, channel.hooked_at + M.HOOKS_FLOW)
        if quiet_till <= now then return "ask" end
        return nil, { attend_at = math.min(quiet_till, row.stall_at), fallback_at = row.fallback_at }
      end
      return nil, { attend_at = row.stall_at, fallback_at = row.fallback_at }
    end
  elseif reached(row.attend_at, now) then
    return nil, { retry_at = row.retry_at, fallback_at = row.fallback_at }
  end
  return nil, { attend_at = row.attend_at, retry_at = row.retry_at, fallback_at = row.fallback_at }
end

--- What hookInfo's answer means for a failure that only an unsigned hook told of.
-- @tparam table row state failed
-- @tparam ?table report of hookInfo; nil: it could not be asked
-- @tparam boolean mute hookInfo is not offered on this channel: the hook is all there is
-- @treturn table change: confirmed, or checks with retry_at or fallback_at put off; drop_retry and a reason when there
--   will be no new message
function M.checked(row, report, mute, now)
  local rank = report and hooks.rank(report.status)
  if rank == FAILED then return { confirmed = 1 } end
  if mute and row.retry_at then return M.unproven(row, now) end
  if mute then return { confirmed = 1 } end -- the hook is all there is; the other way is no second message
  if report and not rank and not row.retry_at then return { confirmed = 1 } end -- nothing known speaks against it
  local wait = M.CHECKS[row.checks + 1]
  if wait then
    local at = now + wait
    return { checks = row.checks + 1, retry_at = row.retry_at and math.max(at, row.retry_at) or nil,
             fallback_at = row.fallback_at and math.max(at, row.fallback_at) or nil }
  end
  if row.retry_at then return M.unproven(row, now) end
  return { confirmed = 1 } -- enough was asked: a double notice harms less than a missing one
end

--- A second WhatsApp message needs proof that the first one failed, and there is none: the other way is left.
function M.unproven(row, now)
  return { confirmed = 1, drop_retry = true, fallback_at = row.otherwise and not row.fallback and now or nil,
           reason = row.fallback and "no new message: the other way was used"
             or "no new message: hookInfo did not confirm that the first one failed" }
end

return M
