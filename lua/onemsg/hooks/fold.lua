--- onemsg.hooks.fold: what the statuses of a message come to, in whatever order they arrive. Pure. PLATFORM.md 3.2.
local values = require "onemsg.hooks.values"

local M = {}

local ranks = { unknown = 0, queued = 0, pending = 0, accepted = 1, sent = 2, failed = 3, undelivered = 3,
  delivered = 4, read = 5, viewed = 5, played = 6 }
local one_word = { undelivered = "failed", viewed = "read", unknown = "queued", pending = "queued" }
local FAILED, DELIVERED = ranks.failed, ranks.delivered

--- A status as a word in small letters, or nil.
function M.word(value)
  local s = values.word(value, values.WORD_BYTES)
  return s and s:lower()
end

--- See onemsg.hooks.
function M.rank(status)
  return ranks[M.word(status) or ""]
end

local function earliest(a, b)
  if a and b then return math.min(a, b) end
  return a or b
end

--- Which of two failures tells more: the one with a code, then the earlier, then by value; so that order never matters.
local function better_failure(a, b)
  if not a or not b then return a or b end
  if (a.code ~= nil) ~= (b.code ~= nil) then return a.code and a or b end
  if (a.at or math.huge) ~= (b.at or math.huge) then return (a.at or math.huge) < (b.at or math.huge) and a or b end
  if a.code ~= b.code then return a.code < b.code and a or b end
  return (a.error or "") >= (b.error or "") and a or b
end

--- See onemsg.hooks.
function M.fold(state, event)
  local new = { times = {}, notes = {} }
  for key, value in pairs(state or {}) do
    if key ~= "times" and key ~= "notes" then new[key] = value end
  end
  for key, value in pairs(state and state.times or {}) do new.times[key] = value end
  for key, value in pairs(state and state.notes or {}) do new.notes[key] = value end

  local name = M.word(event.status)
  local rank = ranks[name or ""]
  if not rank then
    if name then
      local before = new.notes[name]
      new.notes[name] = earliest(type(before) == "number" and before or nil, event.at) or true
    end
    return new, false, false
  end
  name = one_word[name] or name
  new.times[name] = earliest(new.times[name], event.at)
  if rank == FAILED then
    new.failure = better_failure(new.failure, { at = event.at, code = event.code, error = event.error })
  end
  local before = ranks[new.status or ""] or -1
  if rank > before then new.status = name end
  local contradiction = new.failure ~= nil and math.max(rank, before) >= DELIVERED
  if contradiction then new.contradiction = true end
  return new, rank > before, contradiction and not (state and state.contradiction or false)
end

return M
