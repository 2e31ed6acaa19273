--- onemsg.policy.evidence: is there evidence that a message whose answer was lost did leave? PLATFORM.md 2.2. Pure.
-- Evidence is an outgoing message to that recipient, in that time, with that text, in a hook or in the history; or a
-- status of a message that nobody else owns, to that recipient, in that time. Absence proves nothing: there is no
-- verdict "it did not leave".
local hooks = require "onemsg.hooks"
local plain = require "onemsg.base.utf8"
local phones = require "onemsg.base.phone"

local M = {}

M.SKEW = 60          -- seconds that 1MSG's clock may be off
M.WINDOW = 600       -- seconds after the answer was lost in which the message may show
M.JOB_WINDOW = 86400 -- the same for what 1MSG queued

--- When a message in doubt can have left.
-- @tparam table row
-- @tparam number began when its sending began
-- @treturn number
-- @treturn number
function M.window(row, began)
  return began - M.SKEW, (row.left_at or began) + (row.job_id and M.JOB_WINDOW or M.WINDOW)
end

--- How a text fits a message: "the text" (it is the filled-in template), "all values" (it contains them), or nil.
-- @tparam ?string text of the message that was seen
-- @tparam ?string filled the template with the values in it, where the template is known
-- @tparam table values
function M.fits(text, filled, values)
  if not text or text == "" then return nil end
  if filled then
    local seen, own = plain.comparable(text), plain.comparable(filled)
    return (seen == own or #own >= 20 and seen:find(own, 1, true)) and "the text" or nil
  end
  local any = false
  for _, value in ipairs(values or {}) do
    if not text:find(value, 1, true) then return nil end
    any = true
  end
  return any and "all values" or nil
end

local function by_time(a, b)
  if a.at ~= b.at then return a.at < b.at end
  return a.id < b.id
end

--- Of those who may own the messages that were found, the place of this one, by the order in which they were sent.
local function place_of(row, rivals)
  local place = 1
  for _, rival in ipairs(rivals) do
    if rival.place < row.place or rival.place == row.place and rival.id < row.id then place = place + 1 end
  end
  return place
end

--- Messages with that text, from hooks and history, each once.
local function with_text(row, seen)
  local found, by_id = {}, {}
  for _, source in ipairs { { seen.echoes, "a hook" }, { seen.history, "the history" } } do
    for _, message in ipairs(source[1] or {}) do
      local id = message.message_id or message.id
      local fits = phones.same(message.phone, row.phone) and M.fits(message.text, seen.filled, seen.values)
      if fits and by_id[id] then
        if by_id[id].where ~= source[2] then by_id[id].where = "a hook and the history" end
      elseif fits then
        by_id[id] = { id = id, at = message.at, fits = fits, where = source[2] }
        found[#found + 1] = by_id[id]
      end
    end
  end
  table.sort(found, by_time)
  return found
end

--- Messages that only their statuses tell of, those left out whose text is known and is another one.
local function by_status(row, seen)
  local other = {}
  for _, list in ipairs { seen.echoes or {}, seen.history or {} } do
    for _, message in ipairs(list) do
      if message.text then other[message.message_id or message.id] = true end
    end
  end
  local found, by_id = {}, {}
  for _, status in ipairs(seen.statuses or {}) do
    local id, rank = status.message_id, hooks.rank(status.status)
    local utility = status.category == nil or status.category:find("utility", 1, true) ~= nil
      or status.category:find("marketing", 1, true) ~= nil
    if rank and utility and not other[id] and phones.same(status.recipient, row.phone) then
      if not by_id[id] then
        by_id[id] = { id = id, at = status.at, words = {} }
        found[#found + 1] = by_id[id]
      end
      by_id[id].at = math.min(by_id[id].at, status.at)
      table.insert(by_id[id].words, status.status)
    end
  end
  table.sort(found, by_time)
  return found
end

local function after(row, at, began)
  return ("%.0f s after its sending began"):format(math.max(0, at - (began or row.left_at)))
end

--- What the evidence shows.
-- @tparam table row a confirmation in doubt
-- @tparam table seen
--   echoes    { { message_id, at, phone, text } }  outgoing messages that hooks told of
--   history   { { id, at, phone, text } } or nil when it was not, or could not be, asked
--   statuses  { { message_id, at, status, recipient, category } } of messages that nobody owns
--   rivals    { { id, place, message } }  others in doubt to the same recipient in this time
--   filled, values  the text and its values;  rival_fits(rival) → true when it would have the same text
--   began     when its sending began
--   asked     true: the history was asked or can't be, so statuses alone may decide
-- @treturn ?table message_id, evidence = a sentence
-- @treturn ?string with nil: why what was found does not decide it; nil when nothing was found
function M.verdict(row, seen)
  local alike = {}
  for _, rival in ipairs(seen.rivals or {}) do
    if not seen.rival_fits or seen.rival_fits(rival) then alike[#alike + 1] = rival end
  end
  local found = with_text(row, seen)
  if #found > 0 then
    if #found < #alike + 1 then
      return nil, ("%d message with %s was found for %d that may own it"):format(#found, found[1].fits, #alike + 1)
    end
    local one = found[place_of(row, alike)]
    return { message_id = one.id, evidence = ("evidence: %s shows a message to this recipient with %s, %s"):format(
      one.where, one.fits, after(row, one.at, seen.began)) }
  end
  if not seen.asked then return nil end
  found = by_status(row, seen)
  if #found == 0 then return nil end
  if #found > 1 or #(seen.rivals or {}) > 0 then
    return nil, ("statuses of %d unknown message(s) to this recipient, and %d confirmation(s) that may own them")
      :format(#found, #(seen.rivals or {}) + 1)
  end
  return { message_id = found[1].id, evidence =
    ("evidence: status %s of the only unknown message to this recipient, %s; no text was seen"):format(
      table.concat(found[1].words, ", "), after(row, found[1].at, seen.began)) }
end

return M
