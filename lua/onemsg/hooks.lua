--- onemsg.hooks: reads what 1MSG posts to a webhook or answers to hookInfo, and folds statuses. PLATFORM.md 1.5 and 3.
-- Pure: no I/O, no clock (received_at is an argument), no state. A body is the work of a stranger: wrong types, nulls
-- and floods end in counts or in "invalid: …", never in a raised error.
local null = require "cjson".null
local document = require "onemsg.base.document"
local languages = require "onemsg.base.language"
local fold = require "onemsg.hooks.fold"
local one = require "onemsg.hooks.items"
local values = require "onemsg.hooks.values"

local M = {}

M.BYTES = 3 * 1024 * 1024 -- longest body: what Meta itself may post
M.DEPTH = 32              -- deepest JSON; a raw envelope needs about 10
M.ITEMS = 5000            -- most events and messages in one body; more is refused, not cut
local KINDS = 16          -- names of unknown kinds kept; the rest is counted as "other"

local word, digits, object, items = values.word, values.digits, values.object, values.items
local bsuid_of, username_of, instance_of = values.bsuid_of, values.username_of, values.instance_of
local ID_BYTES, WORD_BYTES, NAME_BYTES = one.ID_BYTES, values.WORD_BYTES, values.NAME_BYTES

local decode = document.reader(M.DEPTH, "told")

-- A template's category and quality are words about it as well: CATEGORY_MARKETING, QUALITY_RED.
local SAID_OF_TEMPLATES = { template_category_update = { "new_category", "CATEGORY_" },
                            message_template_quality_update = { "new_quality_score", "QUALITY_" } }

--- The rank of a status word, upper or lower case: 0 (queued) to 6 (played); nil for a word that changes no state
-- (deleted, warning, anything unknown). PLATFORM.md 3.2.
M.rank = fold.rank

--- Folds one event into the state of its message; the result does not depend on the order of events.
-- @param state what an earlier fold returned, or nil; it is not changed
-- @param event { status, at (s, may be nil), code, error }
-- @return the new state: { status (accepted sent failed delivered read played; undelivered counts as failed, viewed as
--   read; nil while only words without rank came), times = { status = first time, … }, failure = { at, code, error } or
--   nil, kept also when it was delivered after all, contradiction = true when both were reported,
--   notes = { word = first time or true } }
-- @return true when status rose; duplicates and late events don't
-- @return true when this event brought the first contradiction: failed and delivered for the same message
M.fold = fold.fold

--- Collects one body; `found` is the table that parse returns.
-- @tparam function breathe called between the items
local function collector(received_at, breathe)
  local found = { events = {}, messages = {}, templates = {}, errors = {}, people = {}, others = {}, ignored = 0 }
  local room, kinds, people = M.ITEMS, 0, {}
  local c = { found = found, breathe = breathe }

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
      breathe()
      local made = make(item)
      if made then into[#into + 1] = made else c.other(kind) end
    end
  end

  function c.statuses(value, kind, instance)
    c.each(value, kind, found.events, function(item)
      local event = one.event_of(item, instance, received_at)
      if event and event.id then
        if not one.in_group(event.chat_id) then c.person(event.recipient, event.bsuid, event.username, instance) end
        return event
      end
    end)
  end

  function c.messages(value, instance, echo)
    c.each(value, "messages", found.messages, function(item)
      local message = one.message_of(item, instance, received_at, echo)
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
        breathe()
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
      local code, text = one.error_of { errors = { item } }
      return (code or text) and { code = code, error = text, at = received_at, instance = instance }
    end)
  end

  function c.template(value, instance, field)
    local said = SAID_OF_TEMPLATES[field]
    local name = word(value.message_template_name, ID_BYTES)
    local status = fold.word(said and value[said[1]] or not said and (value.event or value.status) or nil)
    local language = word(value.message_template_language, WORD_BYTES)
    if not name or not status then return c.other(field) end
    status = said and said[2] .. status or status
    room = room - 1
    found.templates[#found.templates + 1] = { name = name, status = status:upper():gsub("[%- ]", "_"), at = received_at,
      instance = instance, language = languages.code(language) or language, reason = word(value.reason, NAME_BYTES) }
  end
  return c
end

--- changes[] of Meta's own envelope (rawHooks).
local function collect_changes(c, changes, instance)
  for _, change in ipairs(items(changes)) do
    c.breathe()
    local value = object(change) and object(change.value)
    if c.full() then
      return
    elseif not value then
      c.other("changes")
    elseif change.field == "message_template_status_update" or SAID_OF_TEMPLATES[change.field] then
      c.template(value, instance, change.field)
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
    c.breathe()
    if object(entry) then collect_changes(c, entry.changes, instance) else c.other("entry") end
  end
  if not known then c.other(body.type or body.field or body.event) end
end

--- Reads the body of a webhook call.
-- @param body JSON text, or the table decoded from it
-- @param received_at when it came, Unix seconds; the time of everything that bears none (acks never do)
-- @param breathe called between the pieces of the work, for who has others to serve; default: nobody
-- @return { events, messages, templates, errors, others, ignored } or nil, "invalid: …"
--   events    { id, status (lower case), at (s), recipient (digits), chat_id, bsuid, username, code, error, category,
--             instance }
--   messages  { id, from_me, at, phone (digits, the customer's), chat_id, bsuid, username, group (true: of several
--             people), text, texts (where there are several, or the text is but a file's URL: a list of those that are
--             texts), type, name, instance, moved_to (digits: the customer says that this is their number from now on) }
--   people    { phone (digits), bsuid, username, instance }: names that one item has for one person, where there are at least two
--   templates { name, language, status (upper case), reason, at, instance }: a template was paused, approved, …; its
--             category (CATEGORY_MARKETING) or quality (QUALITY_RED) is another
--   errors    { code, error, at, instance }: of the account, not of one message
--   others    { kind = count } of what was not understood; ignored is their sum. Answer such a body with 200 all the
--             same: it was read, and a repeat would not help (PLATFORM.md 3.1).
function M.parse(body, received_at, breathe)
  if type(received_at) ~= "number" then
    error("hooks.parse(body, received_at): received_at is the time in seconds, for example os.time()", 2)
  end
  if type(body) == "string" then
    if #body > M.BYTES then return nil, ("invalid: the body is longer than %d bytes"):format(M.BYTES) end
    local decoded, why = decode(body, breathe)
    if decoded == nil then return nil, "invalid: the body is not JSON (" .. tostring(why) .. ")" end
    body = decoded
  end
  if type(body) ~= "table" then return nil, "invalid: the body is not a JSON object" end
  local c = collector(received_at, breathe or function() end)
  if body[1] ~= nil then -- an array of bodies, or of status items
    for _, part in ipairs(body) do
      if c.full() then break end
      c.breathe()
      if not object(part) then c.other("array")
      elseif part.status ~= nil and part.id ~= nil then c.statuses({ part }, "array")
      else collect(c, part) end
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
    local event = #report.hooks < M.ITEMS and one.event_of(item, instance_of(decoded))
    local nameless = event and event.id == nil and (item.id == nil or item.id == null) -- it stands in our report
    if event and (event.id == id or nameless) then
      event.id = nil
      state = fold.fold(state, event)
      report.hooks[#report.hooks + 1] = event
      order[event] = #report.hooks
    else
      report.ignored = report.ignored + 1
    end
  end
  table.sort(report.hooks, function(a, b)
    local rank_a, rank_b = fold.rank(a.status) or 99, fold.rank(b.status) or 99
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
