--- The people of the fake 1MSG, and the names by which they are known (PLATFORM.md 1.4, 5.4). Pure.
-- Who has the phone 12020721300 also has the business-scoped user id US.12020721300 and the username u12020721300. An
-- address is one of the three, the last as "u12020721300@username"; fake/numbers.lua goes by the last two digits of it.

local M = {}

--- Which names hooks and history tell. "sent": the one that the message was addressed by, or that the person writes by;
-- "all": all three; "bsuid": never the phone, as of people who hide it.
M.TELL = { sent = true, all = true, bsuid = true }

--- The address in a body of sendTemplate, or in a chat id.
-- @tparam table sent phone (digits), bsuid, username or chatId, one of them
-- @treturn ?string nil: it is malformed. Messages to "…@lid" fail at 1MSG.
function M.address(sent)
  local function text(value, pattern) return type(value) == "string" and value:match(pattern) or nil end
  if sent.phone then return text(sent.phone, "^[1-9]%d+$") end
  if sent.bsuid then return text(sent.bsuid, "^%u%u%.%w+$") or text(sent.bsuid, "^%u%u%.ENT%.%w+$") end
  if sent.username then
    local name = text(sent.username, "^[%w._]+$")
    return name and name:lower() .. "@username"
  end
  local chat = text(sent.chatId, "^[%w._-]*@[%w.]+$")
  local name = text(chat, "^@([%w._]+)$")
  if name then return name:lower() .. "@username" end
  return text(chat, "^([1-9]%d+)@c%.us$") or not text(chat, "@lid$") and chat or nil
end

--- The names of an address's person.
-- @tparam string address
-- @tparam string tell a key of TELL
-- @treturn table phone, bsuid, username (nil: not told), chat
function M.names(address, tell)
  local phone, bsuid = address:match("^%d+$"), address:match("^%u%u%..+$")
  local username = address:match("^(.*)@username$")
  if tell ~= "sent" then
    local digits = address:match("%d+")
    phone = phone or digits
    bsuid = bsuid or digits and "US." .. digits
    username = username or digits and "u" .. digits
    if tell == "bsuid" then phone = nil end
  end
  local chat = phone and phone .. "@c.us" or bsuid and bsuid .. "@lid" or username and username .. "@username"
  return { phone = phone, bsuid = bsuid, username = username, chat = chat or address }
end

--- What a customer writes, in the form in which 1MSG passes it on.
-- @tparam table message as fake/messages.shown makes it
-- @tparam string text
-- @tparam string form text, button, list, caption
function M.write(message, text, form)
  if form == "button" then
    message.type, message.body, message.button = "button", nil, { text = text, payload = text }
  elseif form == "list" then
    message.type, message.body = "interactive", nil
    message.interactive = { type = "list_reply", list_reply = { id = "1", title = text } }
  elseif form == "caption" then
    message.type, message.body, message.caption = "image", "https://example.com/picture.jpg", text
  end
  return message
end

--- The forms of M.write.
M.FORMS = { text = true, button = true, list = true, caption = true }

return M
