--- onemsg.hooks.items: one status, message or error of a body, whatever its shape, in the form that hooks.parse gives. Pure.
local codes = require "onemsg.codes"
local fold = require "onemsg.hooks.fold"
local phones = require "onemsg.base.phone"
local utf8 = require "onemsg.base.utf8"
local values = require "onemsg.hooks.values"

local M = {}

M.ID_BYTES = 512
local TEXT_CHARS = 4096 -- of an inbound or echoed message; WhatsApp's own limit

local word, digits, object, time_of = values.word, values.digits, values.object, values.time_of
local bsuid_of, username_of = values.bsuid_of, values.username_of

--- code, text of an item's error in any of its forms: errors = { … }, error = { … }, error = "a sentence".
function M.error_of(item)
  local said = { errors = object(item.errors), error = item.error }
  if type(said.error) ~= "table" and type(said.error) ~= "string" then said.error = nil end
  if not said.errors and not said.error then return nil, nil end
  return (codes.find(said)), codes.text(said)
end

local function category_of(item)
  local pricing, conversation = object(item.pricing), object(item.conversation)
  local origin = conversation and object(conversation.origin)
  return word(item.category, values.WORD_BYTES) or word(pricing and pricing.category, values.WORD_BYTES)
    or word(origin and origin.type, values.WORD_BYTES)
end

--- Does a chat have several people, whose names are not one person's?
function M.in_group(chat_id)
  return chat_id and (chat_id:find("@g%.us$") or chat_id:find("@broadcast$") or chat_id:find("@newsletter$")) and true or nil
end

--- One status item of any shape as an event; nil where it has no status. id may be nil.
function M.event_of(item, instance, received_at)
  item = object(item)
  local status = item and fold.word(item.status)
  if not status then return nil end
  local code, text = M.error_of(item)
  local chat_id = word(item.chatId, values.NAME_BYTES)
  return {
    id = word(item.id, M.ID_BYTES), status = status, at = time_of(item) or received_at, instance = instance,
    recipient = digits(item.phone) or digits(item.recipient_id) or digits(chat_id), chat_id = chat_id,
    bsuid = bsuid_of(item.bsuid, item.recipient_user_id, item.phone, item.recipient_id, chat_id),
    username = username_of(item.userName, chat_id),
    code = code, error = text, category = category_of(item),
  }
end

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
function M.message_of(item, instance, received_at, echo)
  item = object(item)
  local id = item and word(item.id, M.ID_BYTES)
  if not id then return nil end
  local chat_id = word(item.chatId, values.NAME_BYTES)
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
    phone = digits(chat_id) or digits(customer) or digits(author), chat_id = chat_id, group = M.in_group(chat_id),
    bsuid = bsuid_of(author_id, user_id, chat_id, customer, author),
    username = username_of(author_name, chat_id),
    type = word(item.type, values.WORD_BYTES), text = text, texts = texts, name = word(item.senderName, values.NAME_BYTES),
  }
end

return M
