--- onemsg.policy.why: in words for people: what happened to a confirmation, how that is known, what comes next, and what
-- somebody can do. Pure: what is known comes in, sentences go out.
local codes = require "onemsg.codes"
local hooks = require "onemsg.hooks"
local states = require "onemsg.policy.states"

local M = {}

local function utc(at) return os.date("!%Y-%m-%d %H:%M:%S UTC", math.floor(at)) end

--- The sentence without a stop and without the state in front of it.
local NEVER = 1e10 -- seconds: a time as late as this only says that nobody knows when

local function bare(text, state)
  text = (text or ""):gsub("^" .. state .. ": ", ""):gsub("%s*%.?%s*$", "")
  return text
end

--- The code of a failure and what it means; nil when there is none.
local function meaning(one)
  local entry = one.code and codes.lookup(one.code)
  return entry and entry.meaning and ("code %d: %s"):format(one.code, bare(entry.meaning, "")) or nil, entry
end

local function because(one)
  local reason = bare(one.reason, one.state)
  local told = meaning(one)
  if reason == "" then return told and " (" .. told .. ")" or "" end
  return ": " .. reason .. (told and " (" .. told .. ")" or "")
end

-- What happened ---------------------------------------------------------------------------------------------------

local happened = {
  queued = function(one)
    if one.attempts == 0 then return "It waits to be sent." end
    return ("It was tried %s and did not leave%s."):format(one.attempts == 1 and "once" or one.attempts .. " times", because(one))
  end,
  sending = function() return "It is being sent right now." end,
  accepted = function() return "1MSG took it; no phone has confirmed it yet." end,
  sent = function() return "It is on its way; the phone has not confirmed it yet." end,
  delivered = function() return "It arrived on the phone." end,
  read = function() return "It arrived on the phone and was read." end,
  unknown = function(one) return ("It may or may not have left%s."):format(because(one)) end,
  stalled = function() return "1MSG took it, and then nothing was heard of it by its deadline." end,
  failed = function(one) return ("It did not arrive%s."):format(because(one)) end,
  rejected = function(one) return ("It was refused%s."):format(because(one)) end,
  expired = function(one) return ("It was not sent in time%s."):format(because(one)) end,
  skipped = function(one) return ("Nothing was sent%s."):format(because(one)) end,
  cancelled = function() return "It was taken back by hand before it left." end,
}

-- How that is known -----------------------------------------------------------------------------------------------

local BEFORE = { rejected = "What left before was refused.", failed = "What left before did not arrive." }
local SOURCES = { hook = "a webhook of 1MSG", poll = "1MSG, when it was asked" }

--- The status of the present message that its state stands on: the first of those that say just that; of a state that no
-- status says, the last there is.
local function telling_status(one)
  local rank, proof, last = hooks.rank(one.state), nil, nil
  for _, status in ipairs(one.statuses or {}) do
    if not status.earlier and status.at then
      local its = hooks.rank(status.status)
      if rank and its and (its == rank or one.state == "read" and its > rank) then
        proof = (not proof or status.at < proof.at) and status or proof
      end
      last = (not last or status.at >= last.at) and status or last
    end
  end
  return proof or last
end

local function evidence(one, time)
  if one.forgotten_at then return "What it stood on was forgotten with it." end
  if one.settled then
    return ("Somebody said so by hand: %s."):format(one.settled == "arrived" and "it arrived" or "it did not arrive")
  end
  local status = telling_status(one)
  if status then
    return ('%s said "%s" at %s%s.'):format((SOURCES[status.source] or status.source):gsub("^%l", string.upper), status.status,
      time(status.at), status.error and ": " .. bare(status.error, status.status) or "")
  end
  if one.message_id then return ("1MSG answered with the message id %s."):format(one.message_id) end
  if one.job_id then return ("1MSG answered that it queued it as job %s."):format(one.job_id) end
  if one.state == "rejected" or one.state == "failed" then
    return one.attempts > 0 and "1MSG's answer said so." or "It was checked before anything left."
  end
  if one.state == "unknown" then return "No answer came, and nothing heard since names this message." end
  if one.state == "skipped" and bare(one.reason, "skipped"):find "^suppressed: " then
    return "They are suppressed: on the list of whom nothing is sent to."
  end
  if one.state == "skipped" and one.rule then return ("The rules decided so (%s)."):format(one.rule) end
  if one.state == "skipped" then return "The rules decided so." end
  if one.state == "sending" then return "A worker took it; its answer is awaited." end
  if one.state == "queued" and BEFORE[one.was] then return BEFORE[one.was] end
  return "Nothing has left for this confirmation."
end

-- What comes next -------------------------------------------------------------------------------------------------

--- What keeps a queued message, the most telling first.
local function waiting(one, know, time)
  if know.paused then return ("It is paused: %s."):format(bare(know.paused, "")) end
  if one.held and one.due_at >= NEVER then return ("It waits: %s."):format(bare(one.held, "")) end
  if one.held then return ("It waits until %s: %s."):format(time(one.due_at), bare(one.held, "")) end
  if know.behind then return ("It waits behind %s, to the same person."):format(know.behind) end
  local channel = know.channel or {}
  if channel.breaker and channel.breaker ~= "closed" then
    return ("The channel %s is stopped%s; it is asked again at %s."):format(one.channel,
      channel.reason and ": " .. bare(channel.reason, "") or "", time(channel.next_at or know.now))
  end
  if channel.pause_until and channel.pause_until > know.now then
    return ("The channel %s pauses until %s."):format(one.channel, time(channel.pause_until))
  end
  if one.due_at > know.now then return ("It leaves at %s."):format(time(one.due_at)) end
  return ("It has been due since %s: it leaves as soon as a worker has its turn."):format(time(one.due_at))
end

local USED = { handed_over = "is on its way", done = "was used", failed = "was tried and failed",
               unknown = "may have been used" }

local function another_way(one, know, time)
  if one.way_missing then return bare(one.way_missing, ""):gsub("^%l", string.upper, 1) .. "." end
  if one.fallback then
    return ('The other way "%s" %s.'):format(one.way, USED[one.fallback] or one.fallback)
  end
  if not one.fallback_at then return nil end
  return ('The other way "%s" %s.'):format(one.way, one.fallback_at > know.now and "is used at " .. time(one.fallback_at)
    .. ", unless it arrived by then" or "is due now")
end

local function next_step(one, know, time)
  if one.forgotten_at then
    return ("Nothing: it was forgotten at %s. Its id is known, so that the same event is a duplicate."):format(
      time(one.forgotten_at))
  end
  local list = {}
  if one.state == "queued" then
    list[1] = waiting(one, know, time)
    if one.give_up_at then list[2] = ("Given up at %s."):format(time(one.give_up_at)) end
  elseif one.state == "sending" then
    list[1] = "Its answer; without one it is unknown, and never sent again by itself."
  elseif one.state == "accepted" or one.state == "sent" then
    if one.held then list[1] = bare(one.held, "") .. "." end
    list[#list + 1] = "A webhook of 1MSG, or its answer when it is asked, says what became of it"
      .. (one.stall_at and (", until %s."):format(time(one.stall_at)) or ".")
  elseif one.state == "unknown" then
    list[1] = "Evidence is looked for; it is never sent again by itself."
  elseif one.state == "failed" and one.retry_at then
    list[1] = ("A new message leaves at %s."):format(time(one.retry_at))
  end
  list[#list + 1] = another_way(one, know, time)
  return list[1] and table.concat(list, " ") or nil
end

-- What somebody can do --------------------------------------------------------------------------------------------

local function can_do(one, know)
  local person = states.by_name[one.state].person
  local _, entry = meaning(one)
  local hint = entry and entry.hint
  if one.forgotten_at then return nil end
  if one.state == "skipped" and bare(one.reason, "skipped"):find "^suppressed: " then
    return "Unsuppress them, if they want messages again: then it is sent by itself."
  elseif person == "replay" then
    return (hint and bare(hint, "") .. ". " or "") .. "Replay it once its cause is fixed."
  elseif person == "settle" then
    return "Look in the chat whether it arrived, and settle it: arrived, or not_arrived, which may be replayed."
  elseif person == "cancel" then
    return know.paused and "Resume what is paused, or cancel it." or "Cancel it, if it must not leave."
  end
end

--- In words what became of a confirmation.
-- @tparam table one as show() gives it
-- @tparam table know now; of a queued one: behind (id of the one before it in its person's line), channel (as stats()
--   has it), paused (a sentence)
-- @tparam ?function time(seconds) → text; default UTC
-- @treturn table happened, evidence; next and can_do, nil where there is nothing
function M.tell(one, know, time)
  time = time or utc
  return { happened = happened[one.state](one), evidence = evidence(one, time), next = next_step(one, know, time),
           can_do = can_do(one, know) }
end

return M
