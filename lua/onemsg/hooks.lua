--- onemsg.hooks: reads what 1MSG posts to a webhook or answers to hookInfo, and folds statuses. PLATFORM.md 1.5 and 3.
-- Pure: no I/O, no clock (received_at is an argument), no state. A body is the work of a stranger: wrong types, nulls
-- and floods end in counts or in "invalid: …", never in a raised error.
local null = require "cjson".null
local codes = require "onemsg.codes"
local document = require "onemsg.base.document"
local languages = require "onemsg.base.language"
local phones = require "onemsg.base.phone"
local utf8 = require "onemsg.base.utf8"

local M = {}

M.BYTES = 3 * 1024 * 1024 -- longest body: what Meta itself may post
M.DEPTH = 32              -- deepest JSON; a raw envelope needs about 10
M.ITEMS = 5000            -- most events and messages in one body; more is refused, not cut
local KINDS = 16          -- names of unknown kinds kept; the rest is counted as "other"
local ID_BYTES, WORD_BYTES, NAME_BYTES = 512, 64, 200
local TEXT_CHARS = 4096   -- of an inbound or echoed message; WhatsApp's own limit

local decode = document.reader(M.DEPTH, "told")

-- Values --------------------------------------------------------------------------------------------------------

--- A short text, valid UTF-8 without control bytes, or nil. A whole number counts as its digits.
local function word(value, bytes)
  if type(value) == "number" and value == math.floor(value) and math.abs(value) < 2 ^ 53 then
    value = ("%.0f"):format(value)
  end
  if type(value) ~= "string" or #value > bytes then return nil end
  value = utf8.trim(value)
  return value ~= "" and not value:find("%c") and utf8.valid(value) and value or nil
end

--- Digits of "12025550123", 12025550123, "+12025550123", "12025550123@c.us", or nil.
local function digits(value)
  local s = word(value, 64)
  s = s and (s:match("^%+?(%d+)$") or s:match("^%+?(%d+)@[cs][%w%.]+$"))
  return s and #s >= 5 and #s <= 20 and s or nil
end

--- The first business-scoped user id among some values, each of which may be anything.
local function bsuid_of(...)
  for n = 1, select("#", ...) do
    local id = word((select(n, ...)), NAME_BYTES)
    id = id and (id:match("^(.*)@lid$") or id)
    if id and phones.is_bsuid(id) then return id end
  end
  return nil
end

--- A username without its @, in small letters, or that of a chat id "maria@username".
local function username_of(name, chat_id)
  local text = word(name, NAME_BYTES) or chat_id and chat_id:match("^(.*)@username$")
  local plain = text and text:match("^@?([%w._]+)$")
  return plain and plain:lower()
end

--- Unix seconds from a number or a string of digits, in s, ms or µs; nil where it is no time of this epoch.
local function seconds(value)
  if type(value) == "string" then
    value = #value <= 24 and value:match("^%s*%d+%.?%d*%s*$") and tonumber(value)
  end
  if type(value) ~= "number" or value ~= value then return nil end
  if value > 1e14 then value = value / 1e6 elseif value > 1e11 then value = value / 1e3 end
  if value < 1e9 or value > 1e10 then return nil end
  return value == math.floor(value) and math.floor(value) or value
end

local function time_of(item)
  return seconds(item.timestamp) or seconds(item.time)
end

local function object(value)
  return type(value) == "table" and value or nil
end

--- The items of an array, of an object that stands where an array belongs, or none.
local function items(value)
  if type(value) ~= "table" then return {} end
  if value[1] == nil and next(value) ~= nil then return { value } end
  return value
end

local function instance_of(body)
  local name = word(body.instanceId, NAME_BYTES) or word(body.instance_id, NAME_BYTES)
  return name and name:gsub("^instance", "") or nil
end

-- Statuses ------------------------------------------------------------------------------------------------------

local ranks = { unknown = 0, queued = 0, pending = 0, accepted = 1, sent = 2, failed = 3, undelivered = 3,
  delivered = 4, read = 5, viewed = 5, played = 6 }
local one_word = { undelivered = "failed", viewed = "read", unknown = "queued", pending = "queued" }
local FAILED, DELIVERED = ranks.failed, ranks.delivered

local function status_word(value)
  local s = word(value, WORD_BYTES)
  return s and s:lower()
end

--- The rank of a status word, upper or lower case: 0 (queued) to 6 (played); nil for a word that changes no state
-- (deleted, warning, anything unknown). PLATFORM.md 3.2.
function M.rank(status)
  return ranks[status_word(status) or ""]
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

--- Folds one event into the state of its message; the result does not depend on the order of events.
-- @param state what an earlier fold returned, or nil; it is not changed
-- @param event { status, at (s, may be nil), code, error }
-- @return the new state: { status (accepted sent failed delivered read played; undelivered counts as failed, viewed as
--   read; nil while only words without rank came), times = { status = first time, … }, failure = { at, code, error } or
--   nil, kept also when it was delivered after all, contradiction = true when both were reported,
--   notes = { word = first time or true } }
-- @return true when status rose; duplicates and late events don't
-- @return true when this event brought the first contradiction: failed and delivered for the same message
function M.fold(state, event)
  local new = { times = {}, notes = {} }
  for key, value in pairs(state or {}) do
    if key ~= "times" and key ~= "notes" then new[key] = value end
  end
  for key, value in pairs(state and state.times or {}) do new.times[key] = value end
  for key, value in pairs(state and state.notes or {}) do new.notes[key] = value end

  local name = status_word(event.status)
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

--- code, text of an item's error in any of its forms: errors = { … }, error = { … }, error = "a sentence".
local function error_of(item)
  local said = { errors = object(item.errors), error = item.error }
  if type(said.error) ~= "table" and type(said.error) ~= "string" then said.error = nil end
  if not said.errors and not said.error then return nil, nil end
  return (codes.find(said)), codes.text(said)
end

local function category_of(item)
  local pricing, conversation = object(item.pricing), object(item.conversation)
  local origin = conversation and object(conversation.origin)
  return word(item.category, WORD_BYTES) or word(pricing and pricing.category, WORD_BYTES)
    or word(origin and origin.type, WORD_BYTES)
end

--- Does a chat have several people, whose names are not one person's?
local function in_group(chat_id)
  return chat_id and (chat_id:find("@g%.us$") or chat_id:find("@broadcast$") or chat_id:find("@newsletter$")) and true or nil
end

--- One status item of any shape as an event; nil where it has no status. id may be nil.
local function event_of(item, instance, received_at)
  item = object(item)
  local status = item and status_word(item.status)
  if not status then return nil end
  local code, text = error_of(item)
  local chat_id = word(item.chatId, NAME_BYTES)
  return {
    id = word(item.id, ID_BYTES), status = status, at = time_of(item) or received_at, instance = instance,
    recipient = digits(item.phone) or digits(item.recipient_id) or digits(chat_id), chat_id = chat_id,
    bsuid = bsuid_of(item.bsuid, item.recipient_user_id, item.phone, item.recipient_id, chat_id),
    username = username_of(item.userName, chat_id),
    code = code, error = text, category = category_of(item),
  }
end

-- Messages ------------------------------------------------------------------------------------------------------

-- Where a text can stand, what was written as such first: a media message has it in its caption, and a file's URL or
-- name in its body (PLATFORM.md 9).
local places = { { "caption" }, { "image", "caption" }, { "video", "caption" }, { "document", "caption" },
  { "text", "body" }, { "text" }, { "body" }, { "button", "text" }, { "interactive", "button_reply", "title" },
  { "interactive", "list_reply", "title" }, { "interactive", "body", "text" } }

--- The text of a message, or a body that is the URL of a file where there is none; and the list of all its texts, where
-- that is another one than the text alone.
local function texts_of(item)
  local list, seen, url = {}, {}, nil
  for _, place in ipairs(places) do
    local value = item
    for _, name in ipairs(place) do value = object(value) and value[name] end
    if type(value) == "string" and value:find("%S") and not seen[value] then
      seen[value] = true
      local text = utf8.repair(value:gsub("%z", "?"), TEXT_CHARS)
      if value:find("^%s*%a+://%S+%s*$") then url = url or text else list[#list + 1] = text end
    end
  end
  local text = list[1] or url or type(item.body) == "string" and "" or nil
  return text, (#list > 1 or text and text ~= "" and not list[1]) and list or nil
end

local function truth(value)
  return value == true or value == 1 or value == "1" or value == "true"
end

--- Is the author certainly not whose chat it is? Then what is said of the author are no names of the customer.
local function is_another(chat_id, author, author_id)
  local phone, bsuid = digits(chat_id), bsuid_of(chat_id)
  local other_phone, other_bsuid = digits(author), bsuid_of(author_id, author)
  return phone and other_phone and phone ~= other_phone and not phones.same(phone, other_phone)
    or bsuid and other_bsuid and bsuid ~= other_bsuid
end

local CHANGED_NUMBER = { user_changed_number = true, customer_changed_number = true } -- Meta's system messages

--- One message, written by the customer or (from_me) by the business, normalised or raw.
local function message_of(item, instance, received_at, echo)
  item = object(item)
  local id = item and word(item.id, ID_BYTES)
  if not id then return nil end
  local chat_id = word(item.chatId, NAME_BYTES)
  local text, texts = texts_of(item)
  local from_me = echo or truth(item.fromMe)
  local customer, user_id = item.from, item.from_user_id
  if from_me then customer, user_id = item.to, item.to_user_id or item.recipient_user_id end
  local author, author_id, author_name = item.author, item.authorBsuid, item.authorUserName
  if from_me or is_another(chat_id, author, author_id) then -- it is the business
    author, author_id, author_name = nil, nil, nil
  end
  local system = object(item.system) or {}
  return {
    id = id, from_me = from_me, at = time_of(item) or received_at, instance = instance,
    moved_to = not from_me and CHANGED_NUMBER[system.type] and (digits(system.wa_id) or digits(system.new_wa_id)) or nil,
    phone = digits(chat_id) or digits(customer) or digits(author), chat_id = chat_id, group = in_group(chat_id),
    bsuid = bsuid_of(author_id, user_id, chat_id, customer, author),
    username = username_of(author_name, chat_id),
    type = word(item.type, WORD_BYTES), text = text, texts = texts, name = word(item.senderName, NAME_BYTES),
  }
end

-- Bodies --------------------------------------------------------------------------------------------------------

--- Collects one body; `found` is the table that parse returns.
local function collector(received_at)
  local found = { events = {}, messages = {}, templates = {}, errors = {}, people = {}, others = {}, ignored = 0 }
  local room, kinds, people = M.ITEMS, 0, {}
  local c = { found = found }

  function c.full()
    return room < 0
  end

  function c.other(kind)
    kind = word(kind, WORD_BYTES) or "other"
    if not kind:find("^[%w_%.%-]+$") then kind = "other" end
    if not found.others[kind] then
      kinds = kinds + 1
      if kinds > KINDS then kind = "other" end
    end
    found.others[kind] = (found.others[kind] or 0) + 1
    found.ignored = found.ignored + 1
  end

  function c.each(value, kind, into, make)
    if value ~= nil and value ~= null and type(value) ~= "table" then return c.other(kind) end
    for _, item in ipairs(items(value)) do
      room = room - 1
      if room < 0 then return end
      local made = make(item)
      if made then into[#into + 1] = made else c.other(kind) end
    end
  end

  function c.statuses(value, kind, instance)
    c.each(value, kind, found.events, function(item)
      local event = event_of(item, instance, received_at)
      if event and event.id then
        if not in_group(event.chat_id) then c.person(event.recipient, event.bsuid, event.username, instance) end
        return event
      end
    end)
  end

  function c.messages(value, instance, echo)
    c.each(value, "messages", found.messages, function(item)
      local message = message_of(item, instance, received_at, echo)
      if message and not message.group then c.person(message.phone, message.bsuid, message.username, instance) end
      return message
    end)
  end

  --- contacts[] of Meta's: names of the people that a change is about; more than one of a person is news.
  function c.contacts(value, instance)
    for _, item in ipairs(items(value)) do
      local contact = room > 0 and object(item)
      if contact then
        room = room - 1
        local profile = object(contact.profile)
        c.person(digits(contact.wa_id), bsuid_of(contact.user_id), username_of(profile and profile.username), instance)
      end
    end
  end

  --- The names by which one item knows one person.
  function c.person(phone, bsuid, username, instance)
    local n = (phone and 1 or 0) + (bsuid and 1 or 0) + (username and 1 or 0)
    local key = ("%s %s %s %s"):format(phone, bsuid, username, instance)
    if n < 2 or people[key] then return end
    people[key] = true
    found.people[#found.people + 1] = { phone = phone, bsuid = bsuid, username = username, instance = instance }
  end

  function c.errors(value, instance)
    c.each(value, "errors", found.errors, function(item)
      local code, text = error_of { errors = { item } }
      return (code or text) and { code = code, error = text, at = received_at, instance = instance }
    end)
  end

  function c.template(value, instance)
    local name, status = word(value.message_template_name, ID_BYTES), status_word(value.event or value.status)
    local language = word(value.message_template_language, WORD_BYTES)
    if not name or not status then return c.other("message_template_status_update") end
    room = room - 1
    found.templates[#found.templates + 1] = { name = name, status = status:upper():gsub("[%- ]", "_"), at = received_at,
      instance = instance, language = languages.code(language) or language, reason = word(value.reason, NAME_BYTES) }
  end
  return c
end

--- changes[] of Meta's own envelope (rawHooks).
local function collect_changes(c, changes, instance)
  for _, change in ipairs(items(changes)) do
    local value = object(change) and object(change.value)
    if c.full() then
      return
    elseif not value then
      c.other("changes")
    elseif change.field == "message_template_status_update" then
      c.template(value, instance)
    elseif value.statuses or value.messages or value.message_echoes or value.errors then
      c.statuses(value.statuses, "statuses", instance)
      c.messages(value.messages, instance)
      c.messages(value.message_echoes, instance, true)
      c.errors(value.errors, instance)
      if not value.message_echoes then c.contacts(value.contacts, instance) end -- there they are the business's own
    else
      c.other(change.field)
    end
  end
end

local function collect(c, body)
  local instance = instance_of(body)
  local known = body.hooks or body.ack or body.statuses or body.messages or body.entry or body.changes
  c.statuses(body.hooks, "hooks", instance)
  c.statuses(body.ack, "ack", instance)
  c.statuses(body.statuses, "statuses", instance)
  c.messages(body.messages, instance)
  collect_changes(c, body.changes, instance)
  for _, entry in ipairs(items(body.entry)) do
    if c.full() then break end
    if object(entry) then collect_changes(c, entry.changes, instance) else c.other("entry") end
  end
  if not known then c.other(body.type or body.field or body.event) end
end

--- Reads the body of a webhook call.
-- @param body JSON text, or the table decoded from it
-- @param received_at when it came, Unix seconds; the time of everything that bears none (acks never do)
-- @return { events, messages, templates, errors, others, ignored } or nil, "invalid: …"
--   events    { id, status (lower case), at (s), recipient (digits), chat_id, bsuid, username, code, error, category,
--             instance }
--   messages  { id, from_me, at, phone (digits, the customer's), chat_id, bsuid, username, group (true: of several
--             people), text, texts (where there are several, or the text is but a file's URL: a list of those that are
--             texts), type, name, instance, moved_to (digits: the customer says that this is their number from now on) }
--   people    { phone (digits), bsuid, username, instance }: names that one item has for one person, where there are at least two
--   templates { name, language, status (upper case), reason, at, instance }: a template was paused, approved, …
--   errors    { code, error, at, instance }: of the account, not of one message
--   others    { kind = count } of what was not understood; ignored is their sum. Answer such a body with 200 all the
--             same: it was read, and a repeat would not help (PLATFORM.md 3.1).
function M.parse(body, received_at)
  if type(received_at) ~= "number" then
    error("hooks.parse(body, received_at): received_at is the time in seconds, for example os.time()", 2)
  end
  if type(body) == "string" then
    if #body > M.BYTES then return nil, ("invalid: the body is longer than %d bytes"):format(M.BYTES) end
    local decoded, why = decode(body)
    if decoded == nil then return nil, "invalid: the body is not JSON (" .. tostring(why) .. ")" end
    body = decoded
  end
  if type(body) ~= "table" then return nil, "invalid: the body is not a JSON object" end
  local c = collector(received_at)
  if body[1] ~= nil then -- an array of bodies, or of status items
    for _, one in ipairs(body) do
      if c.full() then break end
      if not object(one) then c.other("array")
      elseif one.status ~= nil and one.id ~= nil then c.statuses({ one }, "array")
      else collect(c, one) end
    end
  else
    collect(c, body)
  end
  if c.full() then return nil, ("invalid: the body has more than %d items"):format(M.ITEMS) end
  return c.found
end

--- The report that hookInfo gives about one message. PLATFORM.md 1.5.
-- @param id the message's id; entries that name another id are left out and counted
-- @param decoded the answer; anything at all
-- @return { id, status (as fold says it; nil: nothing reported yet, which proves nothing), hooks = events without id,
--   in order of rank, then time; code, error, contradiction as of the fold, ignored = entries left out }
function M.report(id, decoded)
  decoded = object(decoded) or {}
  local list = decoded[1] ~= nil and decoded or decoded.hooks or decoded.ack or decoded.statuses
  local report, state = { id = id, hooks = {}, ignored = 0 }, nil
  local order = {}
  for _, item in ipairs(items(list)) do
    local event = #report.hooks < M.ITEMS and event_of(item, instance_of(decoded))
    local nameless = event and event.id == nil and (item.id == nil or item.id == null) -- it stands in our report
    if event and (event.id == id or nameless) then
      event.id = nil
      state = M.fold(state, event)
      report.hooks[#report.hooks + 1] = event
      order[event] = #report.hooks
    else
      report.ignored = report.ignored + 1
    end
  end
  table.sort(report.hooks, function(a, b)
    local rank_a, rank_b = ranks[a.status] or 99, ranks[b.status] or 99
    if rank_a ~= rank_b then return rank_a < rank_b end
    local at_a, at_b = a.at or math.huge, b.at or math.huge -- one order for all, or table.sort may raise
    if at_a ~= at_b then return at_a < at_b end
    return order[a] < order[b]
  end)
  if state then
    report.status, report.contradiction = state.status, state.contradiction
    if state.failure then report.code, report.error = state.failure.code, state.failure.error end
  end
  return report
end

return M
