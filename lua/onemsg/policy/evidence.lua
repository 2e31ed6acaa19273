--- onemsg.policy.evidence: whose is a message that was seen, when no id says so? PLATFORM.md 2.2. Pure.
--
-- Proof is a message to that recipient, in that time, of that kind, with that text, which no other confirmation can own.
-- Everybody who may own it is a rival: in doubt, queued at 1MSG, settled by hand, replayed since; and while something is
-- being sent to that recipient its first news may come before its answer, so nothing is decided until it ended.
-- Order, number and exclusion are no proof. An outgoing message whose text can't be read makes its only possible owner
-- `accepted`, and nothing else ever follows from it. A status alone has no text: it is told, and proves nothing.
-- Absence proves nothing: there is no verdict "it did not leave".
local phones = require "onemsg.base.phone"
local plain = require "onemsg.base.utf8".comparable

local M = {}

M.SKEW = 60          -- seconds that 1MSG's clock may be off
M.WINDOW = 600       -- seconds after the answer was lost in which the message may show
M.JOB_WINDOW = 86400 -- the same for what 1MSG queued
M.WAIT = 15          -- seconds until it is looked again when something is being sent to the recipient
local TELLING = 20   -- bytes of a text that is recognised inside of another one

--- When a message without an id can have left.
-- @tparam table row left_at, job_id
-- @tparam ?number began when its sending began
-- @treturn number
-- @treturn number the end, for what has its text
-- @treturn number the end, for what has no text
function M.window(row, began)
  local left = row.left_at or began
  return math.min(began or left, left) - M.SKEW, left + (row.job_id and M.JOB_WINDOW or M.WINDOW), left + M.WINDOW
end

--- How one text fits a message: "the text" (it is the filled-in template, perhaps with a header around it), "all values"
-- (the template is not known, and it contains them), or nil.
-- @tparam ?string text of the message that was seen
-- @tparam ?string filled the template with the values in it, where the template is known
-- @tparam table values
function M.fits(text, filled, values)
  if not text or text == "" then return nil end
  if filled then
    local seen, own = plain(text), plain(filled)
    return (seen == own or #own >= TELLING and seen:find(own, 1, true)) and "the text" or nil
  end
  local any = false
  for _, value in ipairs(values or {}) do
    if not text:find(value, 1, true) then return nil end
    any = any or value ~= ""
  end
  return any and "all values" or nil
end

--- The best fit of all texts of a message: a media message has one in its caption, another one in its body.
local function best_fit(texts, filled, values)
  local best
  for _, text in ipairs(texts) do
    local fit = M.fits(text, filled, values)
    if fit == "the text" then return fit end
    best = best or fit
  end
  return best
end

--- The texts of a message as onemsg.hooks reads it; none when it can't be read.
function M.texts(message)
  return message.texts or message.text and message.text:find "%S" and { message.text } or {}
end

-- What was seen -----------------------------------------------------------------------------------------------------

--- Types that an echo of a template may bear; one with a media header bears that header's.
local kinds = { template = true, hsm = true, chat = true, text = true, interactive = true, button = true, buttons = true }

local function kind_fits(seen, message)
  local kind = message.kind and message.kind:lower()
  return kind == nil or kinds[kind] or seen.media ~= nil and kind == seen.media:lower()
end

--- Whether what its status says of its price can be said of our template. What no template is charged as is a person's
-- or another program's own words; without its text, it must be the very category of the template.
local function category_fits(seen, category, has_text)
  if not category then return true end
  category = category:lower():gsub("_lite$", "")
  if has_text or not seen.category then
    return category == "utility" or category == "marketing" or category == "authentication"
  end
  return category == seen.category:lower()
end

--- A test whether what was seen is to the row's recipient, by any of their names.
local function to_recipient(row, seen)
  local names = { [phones.key(row.phone)] = true }
  for _, name in ipairs(seen.names or {}) do names[name] = true end
  return function(address) return address and names[phones.key(address)] or false end
end

--- Messages to this recipient, each once, with all that is known of it from every source, the oldest first.
local function messages_of(seen, is_theirs)
  local list, by_id = {}, {}
  local function take(one, where)
    if not is_theirs(phones.of_item(one)) then return end
    local id = one.message_id or one.id
    local message = by_id[id]
    if not message then
      message = { id = id, at = one.at, texts = {}, sources = {} }
      list[#list + 1], by_id[id] = message, message
    end
    if one.channel and one.channel ~= "" then message.channel = one.channel end
    message.kind = message.kind or one.type
    message.at = math.min(message.at, one.at)
    for _, text in ipairs(M.texts(one)) do table.insert(message.texts, text) end
    if not message.sources[where] then
      message.sources[where] = true
      table.insert(message.sources, where)
    end
  end
  for _, one in ipairs(seen.echoes or {}) do take(one, "a hook") end
  for _, one in ipairs(seen.history or {}) do take(one, "the history") end
  for _, status in ipairs(seen.statuses or {}) do
    local message = by_id[status.message_id]
    if message then message.category = message.category or status.category end
  end
  table.sort(list, function(a, b)
    if a.at ~= b.at then return a.at < b.at end
    return a.id < b.id
  end)
  return list
end

--- Words of the statuses of messages that nobody owns and that no echo told of, for a person to read.
local function hint_of(seen, messages, is_theirs)
  local known, words, ids, n = {}, {}, {}, 0
  for _, message in ipairs(messages) do known[message.id] = true end
  for _, status in ipairs(seen.statuses or {}) do
    if not known[status.message_id] and is_theirs(status.recipient) then
      if not ids[status.message_id] then ids[status.message_id], n = true, n + 1 end
      if not words[status.status] then
        words[status.status] = true
        table.insert(words, status.status)
      end
    end
  end
  if n == 0 then return nil end
  table.sort(words)
  return ("status %s of %d unknown message(s) to this recipient, whose text nobody saw: that is no proof"):format(
    table.concat(words, ", "), n)
end

-- Who may own it ----------------------------------------------------------------------------------------------------

local function same_channel(a, b)
  return a == nil or b == nil or a == "" or b == "" or a == b
end

--- May another confirmation own a message? What is not known of it speaks for it.
-- @tparam table rival
-- @tparam table message
-- @treturn boolean
function M.may_own(rival, message)
  if not same_channel(rival.channel, message.channel) then return false end
  local from, till = M.window(rival, rival.began)
  if message.at < from or message.at > till then return false end
  if #message.texts == 0 or not rival.filled and not (rival.values and #rival.values > 0) then return true end
  return best_fit(message.texts, rival.filled, rival.values) ~= nil
end

local function owners(message, seen)
  local n = 1
  for _, rival in ipairs(seen.rivals or {}) do
    if M.may_own(rival, message) then n = n + 1 end
  end
  return n
end

--- The one message that fits, or why none does.
local function only(found, seen, what)
  if #found == 0 then return nil, nil end
  if #found > 1 then
    return nil, ("%d messages to this recipient with %s were seen: nobody knows which is ours"):format(#found, what)
  end
  local n = owners(found[1], seen)
  if n > 1 then return nil, ("a message to this recipient with %s was seen, and %d may own it"):format(what, n) end
  return found[1]
end

local function sentence(row, message, seen, what)
  return ("evidence: %s shows a message to this recipient with %s, %.0f s after its sending began%s"):format(
    table.concat(message.sources, " and "), what == "no text" and "no readable text" or what,
    math.max(0, message.at - (seen.began or row.left_at)),
    what == "the text" and "" or "; found without its text: nothing but its acceptance follows from that")
end

-- The verdict -------------------------------------------------------------------------------------------------------

--- What the evidence shows.
-- @tparam table row a confirmation without a message id
-- @tparam table seen
--   echoes    { { message_id, at, phone, channel ('' or nil: open), text or texts, type } }  outgoing messages that hooks told of
--   history   { { id, at, phone, text or texts, type } } or nil when it was not, or could not be, asked
--   statuses  { { message_id, at, status, recipient, category } }; of all three, only of messages that nobody owns
--   rivals    { { channel, state, left_at, began, job_id, filled, values } }  everybody else to whom no id was told,
--             and what is being sent to this recipient;  crowded: there are more than could be read
--   names     by which the recipient is known (keys), beside the row's own address
--   filled, values, category, media  the text, its values, the template's category and media header, as far as known
--   began     when its sending began
--   asked     true: the history was asked or can't be
-- @treturn ?table message_id, evidence = a sentence, textless = true when it was found without its text
-- @treturn ?string with nil: why what was found does not decide it; nil when nothing was found
-- @treturn ?boolean with nil: true when it is to be looked at again as soon as what is being sent ended
function M.verdict(row, seen)
  for _, rival in ipairs(seen.rivals or {}) do
    if rival.state == "sending" then return nil, nil, true end
  end
  if seen.crowded then return nil, "there is more to this recipient than can be told apart" end
  local is_theirs = to_recipient(row, seen)
  local messages = messages_of(seen, is_theirs)
  local from, till, soon = M.window(row, seen.began)
  local proof, likely = {}, {}
  for _, message in ipairs(messages) do
    local fit = best_fit(message.texts, seen.filled, seen.values)
    local ours = same_channel(message.channel, row.channel) and message.at >= from
      and category_fits(seen, message.category, fit == "the text")
    if ours and fit == "the text" and message.at <= till then
      proof[#proof + 1] = message
    elseif ours and message.at <= soon and (fit or #message.texts == 0) and kind_fits(seen, message) then
      likely[#likely + 1] = message
    end
  end
  local one, why = only(proof, seen, "the text")
  if one then return { message_id = one.id, evidence = sentence(row, one, seen, "the text") } end
  if why then return nil, why end
  if not seen.asked then return nil end
  local what = likely[1] and #likely[1].texts > 0 and "all values" or "no text"
  one, why = only(likely, seen, what == "no text" and "no readable text" or what)
  if one and not row.settled then
    return { message_id = one.id, textless = true, evidence = sentence(row, one, seen, what) }
  end
  return nil, why or hint_of(seen, messages, is_theirs)
end

return M
