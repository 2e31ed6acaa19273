--- onemsg.pace: when a message may leave, and when it may be tried again. PLATFORM.md 4.2, 5.6, 8 (items 12 to 16).
-- Pure: no I/O, no clock, no random source of its own. Times are seconds since the epoch, durations seconds.
--
-- The gate of a channel is a row of the store, so that all processes that share the store share the pace:
--   tat        when the bucket will be full again (the "theoretical arrival time" of GCRA)
--   breaker    "closed" messages flow; "open" none leaves; "trial" one at a time may, to see whether the fault is gone
--   next_at    open: when to probe; trial: when the next one may leave
--   reason     what opened it; tries  how often it was probed or tried in vain; fault  "channel" or "doubt"
--   closed_at  when it last closed because a message was answered; pause_until  nothing leaves before
-- The functions that change a gate return the fields that change, as a new table; nothing here is written to.
local M = {}

M.RATE = 20           -- messages per second and channel; WhatsApp allows 80, numbers shared with the app 20 (5.6)
M.BURST = 20          -- messages that may leave at once after a calm
M.PAIR_GAP = 6        -- seconds between two messages to one recipient (5.6)
M.BACKOFF_FIRST = 2   -- seconds; no new send comes sooner
M.BACKOFF_MOST = 900
M.RETRY_AFTER_MOST = 3600 -- a server that asks for more is not believed (PLATFORM.md 2.1)
M.PROBE_FIRST = 5     -- seconds from opening to the first probe
M.PROBE_MOST = 300
M.HOOK_FIRST = 60     -- the same between messages that try, where only their delivery tells: hooks need time
M.HOOK_MOST = 900
M.ILL_TRIED = 24      -- after so many probes that say "ill", some two hours, one message tries all the same
M.SENT_PROVES = 300   -- seconds after `sent` without a failure that count as well
M.PARK = 3600         -- seconds to set a template aside when its refusal names no time
M.LOST = 5            -- messages in a row that did not reach 1MSG, over LOST_FOR seconds at least: the channel waits then
M.LOST_FOR = 10
M.DOUBTS = 20         -- answers in a row that leave open what happened, before the channel is probed

--- The bucket ------------------------------------------------------------------------------------------------------

--- The time from which the bucket counts. A time far ahead can only come from a clock that was set back.
local function counted_from(gate, now, step, burst)
  local tat = gate.tat or 0
  if tat < now or tat > now + step * burst + 1 then return now end
  return tat
end

--- How many messages may leave now.
-- @tparam table gate
-- @tparam number now
-- @tparam table limits rate, burst
-- @treturn number whole, 0 or more
-- @treturn ?number with 0: the time at which to look again
function M.room(gate, now, limits)
  if (gate.pause_until or 0) > now then return 0, gate.pause_until end
  if gate.breaker == "open" then return 0, gate.next_at end
  if gate.breaker == "trial" then
    if gate.next_at > now then return 0, gate.next_at end
    return 1
  end
  local step = 1 / limits.rate
  local free = limits.burst - (counted_from(gate, now, step, limits.burst) - now) / step
  local whole = math.floor(free + 1e-6)
  if whole >= 1 then return whole end
  return 0, now + (1 - free) * step
end

--- What a claim costs: the gate's tat becomes `from` plus `each` for every message that was claimed.
function M.cost(gate, now, limits)
  return { from = counted_from(gate, now, 1 / limits.rate, limits.burst), each = 1 / limits.rate }
end

--- New sends -------------------------------------------------------------------------------------------------------

--- Seconds until a message that was proven not to have left may be tried again.
-- Full jitter: any time from the first wait (2 s, or what the code asks for) to that wait doubled with each retry, at
-- most 15 minutes. Where WhatsApp names a law of growth (131056: 4^X s) or more than 15 minutes, that is the floor, and
-- a quarter more the ceiling.
-- @tparam table about retry = 1 for the first; wait, factor of the code's entry; retry_after of the answer
-- @tparam function random () -> [0, 1)
function M.backoff(about, random)
  local first = about.wait or M.BACKOFF_FIRST
  local low, high
  if about.factor or first > M.BACKOFF_MOST then
    low = first * (about.factor or 1) ^ (about.retry - 1)
    if first <= M.BACKOFF_MOST then low = math.min(low, M.BACKOFF_MOST) end
    high = low * 1.25
  else
    low = math.max(first, M.BACKOFF_FIRST)
    high = math.min(M.BACKOFF_MOST, low * 2 ^ math.min(about.retry, 30))
  end
  local after = math.min(about.retry_after or 0, M.RETRY_AFTER_MOST)
  return math.max(after, low + (high - low) * random())
end

--- The breaker -----------------------------------------------------------------------------------------------------
--
-- What was complained about is what must be shown to be well: a fault that an answer told of is lifted by an answer, one
-- that a delivery told of (told = "hook") by a delivery. There are several ways out: GET /status and one message that
-- tries; a message that left since and arrived; a person (flow:resume).

local function probe_wait(gate_told, tries)
  local first, most = M.PROBE_FIRST, M.PROBE_MOST
  if gate_told == "hook" then first, most = M.HOOK_FIRST, M.HOOK_MOST end
  return math.min(most, first * 2 ^ math.min(tries, 30))
end

local function closed(now)
  return { breaker = "closed", tries = 0, next_at = 0, reason = "", told = "answer", sent_at = 0, closed_at = now }
end

--- A fault of the whole channel was seen.
-- @tparam table why reason = a sentence; wait = seconds that the fault asks for; fault = "channel" (default), "doubt" or
--   "network" (1MSG is not reached);
--   told = "answer" (default) or "hook"; left_at = when the message left that tells of it
-- @treturn ?table changes; nil when the gate is open already, or the message left before the trial began
-- @treturn boolean true: it was closed, so somebody should be told
function M.trip(gate, now, why)
  if gate.breaker == "open" then return nil, false end
  if gate.breaker == "trial" and why.left_at and why.left_at < gate.opened_at then return nil, false end
  local trial = gate.breaker == "trial"
  local tries, fault = trial and gate.tries + 1 or 0, why.fault or "channel"
  local told = trial and gate.told == "hook" and "hook" or why.told or "answer"
  local wait = fault ~= "channel" and tries == 0 and 0 or probe_wait(trial and told or "answer", tries)
  return { breaker = "open", reason = why.reason, fault = fault, tries = tries, told = told, opened_at = now,
           sent_at = 0, next_at = now + math.max(wait, why.wait or 0) }, not trial
end

--- The probe (GET /status) was answered.
-- @tparam string verdict "well", "ill", or "open": the answer does not say. "Well" does not prove that messages leave
--   (billing, quality: PLATFORM.md 1.7), so after a channel fault one message tries; after mere doubt the gate closes.
--   What does not say is no obstacle to a trial. What is ill for long is tried all the same, but not after doubt: a
--   refusal costs nothing, one more message in doubt does. Where 1MSG was not reached, any answer says that it is.
function M.probed(gate, now, verdict)
  local lost = gate.fault == "network"
  if verdict == "well" and gate.fault == "doubt" or verdict ~= "ill" and lost then return closed(gate.closed_at) end
  local tries = gate.tries + 1
  if verdict == "ill" and (lost or gate.fault == "doubt" or tries % M.ILL_TRIED ~= 0) then
    return { tries = tries, next_at = now + probe_wait(gate.told, tries) }
  end
  return { breaker = "trial", next_at = now, opened_at = now, tries = verdict == "ill" and tries or gate.tries }
end

--- A message was answered while the gate was in trial.
-- @tparam boolean proven the answer speaks for a working channel; false: it leaves that open
-- @treturn ?table changes
function M.tried(gate, now, proven)
  if gate.breaker ~= "trial" then return nil end
  if proven and gate.told ~= "hook" then return closed(now) end
  return { tries = gate.tries + 1, next_at = now + probe_wait(gate.told, gate.tries) }
end

--- There is news of a message that left.
-- @tparam ?number left_at when it left
-- @tparam string word its state by now
-- @treturn ?table changes
function M.heard(gate, now, left_at, word)
  if gate.breaker == "closed" or not left_at or left_at < gate.opened_at then return nil end
  if word == "delivered" or word == "read" then return closed(now) end
  if word == "sent" and gate.sent_at == 0 then return { sent_at = now } end
  return nil
end

--- A message of the trial was reported as sent, and nothing bad was heard for a while: when that is enough.
-- @treturn ?number nil: no such message
function M.proven_at(gate)
  return gate.breaker == "trial" and gate.sent_at > 0 and gate.sent_at + M.SENT_PROVES or nil
end

--- One more message of a channel did not reach 1MSG: were there so many in a row, and over so long, that the channel has to
-- wait? Begins to count anew then.
-- @tparam table counts of this process, by channel; changed
-- @tparam string name
-- @tparam number steady seconds on a monotonic clock
function M.is_lost(counts, name, steady)
  local count = counts[name] or { n = 0, since = steady }
  count.n = count.n + 1
  local lost = count.n >= M.LOST and steady - count.since >= M.LOST_FOR
  counts[name] = not lost and count or nil
  return lost
end

--- The gate is well again, by a person's word or by what proven_at says.
function M.closed(now) return closed(now) end

return M
