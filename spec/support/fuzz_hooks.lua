--- support.fuzz_hooks: what 1MSG, and whoever knows the address, posts to the webhook: in every shape. See fuzz_spec.
local cjson = require "cjson"

local M = {}

local WORDS = { "sent", "delivered", "read", "failed", "undelivered", "viewed", "queued", "deleted", "warning", "SENT" }

--- A status item in one of its forms.
local function status_item(provider, message, word, code, shape)
  local chance = provider.chance
  local item = { id = message.id, status = word }
  if shape == "raw" then
    item.recipient_id = provider:form(message.phone)
    item.timestamp = tostring(math.floor(provider.world.time))
    if chance:yes(0.5) then item.pricing = { category = message.category } end
  elseif chance:yes(0.6) then
    item.chatId = provider:chat(message.phone)
  elseif chance:yes(0.5) then
    item.phone = provider:form(message.phone)
  end
  if code then
    if chance:yes(0.7) then item.errors = { { code = code, title = "it failed" } } else item.error = { code = tostring(code) } end
  end
  return item
end

local function wrapped(chance, items, key, field)
  if key == "raw" then
    return { entry = { { changes = { { field = "messages", value = { [field] = items } } } } } }
  end
  return { [key] = #items == 1 and chance:yes(0.2) and items[1] or items }
end

--- The id of the channel as the body has it, and whether it is certainly another's.
local function instance(provider, channel)
  local id = provider.world.options.channels[channel]
  local kind = provider.chance:int(10)
  if kind == 10 then return "ODI999", id ~= false end
  if not id or kind > 6 then return nil, false end
  local number = id:match "%d+"
  return ({ id, number, "instance" .. number })[(kind - 1) % 3 + 1], false
end

--- A body with statuses of some messages. -> body, { { message, status } … } that must be on disk when it was taken
function M.statuses(provider, list)
  local chance = provider.chance
  local shape = chance:pick { "ack", "hooks", "raw", "statuses" }
  local items, kept = {}, {}
  local id, foreign = instance(provider, list[1].message.channel)
  for n, one in ipairs(list) do
    items[n] = status_item(provider, one.message, one.status, one.code, shape)
    if not foreign then kept[#kept + 1] = one end
  end
  local body = wrapped(chance, items, shape, "statuses")
  body.instanceId = id
  return body, kept
end

--- What may be said of a message: the truth, or anything.
function M.any_status(provider, message)
  local chance = provider.chance
  local true_ones = provider:so_far(message)
  if #true_ones > 0 and chance:yes(0.75) then
    local one = chance:pick(true_ones)
    return { message = message, status = one.status, code = one.code }
  end
  local word = chance:pick(WORDS)
  local code = (word == "failed" or word == "undelivered") and chance:yes(0.8)
    and chance:pick { 131026, 131000, 131042, 132015, 130429, 131049, 131016, 131031, 1, 999 } or nil
  return { message = message, status = word, code = code }
end

--- A body that shows an outgoing message.
function M.echo(provider, message)
  local chance = provider.chance
  local id = instance(provider, message.channel)
  local body
  local item = provider:shown(message)
  if chance:yes(0.3) then
    item = { id = message.id, to = provider:form(message.phone), type = message.type,
             timestamp = tostring(math.floor(message.at)),
             text = message.text and not message.unreadable and { body = message.text } or nil }
    body = wrapped(chance, { item }, "raw", "message_echoes")
  else
    body = wrapped(chance, { item }, "messages")
  end
  body.instanceId = id
  return body
end

--- A body with a customer's message. -> body, foreign
function M.inbound(provider, phone, channel, text)
  local chance = provider.chance
  local id, foreign = instance(provider, channel)
  local body
  local item = { id = "in." .. chance:int(1e6), fromMe = false, body = text, type = "chat",
                 chatId = provider:chat(phone), time = math.floor(provider.world.time) }
  if chance:yes(0.3) then
    item = { id = item.id, from = provider:form(phone), type = "text", text = { body = text },
             timestamp = tostring(math.floor(provider.world.time)) }
    if chance:yes(0.3) then item.type, item.text, item.button = "button", nil, { text = text } end
    body = wrapped(chance, { item }, "raw", "messages")
  else
    body = wrapped(chance, { item }, "messages")
  end
  body.instanceId = id
  return body, foreign
end

--- A body about a template or the account.
function M.word(provider)
  local chance = provider.chance
  local value, field
  if chance:yes(0.8) then
    field = "message_template_status_update"
    value = { message_template_name = chance:pick { "action_success", "other_template" }, message_template_language = "en",
              event = chance:pick { "PAUSED", "APPROVED", "APPROVED", "REINSTATED", "FLAGGED", "DISABLED", "IN_APPEAL" } }
  else
    field = "messages"
    value = { errors = { { code = chance:pick { 131042, 131031, 368, 131000 }, title = "of the account" } } }
  end
  return { entry = { { changes = { { field = field, value = value } } } } }
end

--- What is no hook at all.
function M.rubbish(chance)
  return chance:pick { "not json", "[]", "{}", '{"ack":[1,2,null]}', '{"hooks":{"id":7}}', '{"ack":"x"}', '[[[]]]',
    '{"messages":[{"id":"x","fromMe":true}]}', '{"entry":[{"changes":null}]}', '{"something":{"new":true}}',
    '{"ack":[{"id":"wamid.nobody","status":"failed","phone":"12020721300"}]}' }
end

M.encode = cjson.encode

return M
