--- Addresses: by which people are known, their one form, their other forms, and how they are shown. An address is a
-- phone's digits, a business-scoped user id (BR.13491208655302741918), "name@username", or another chat id. Pure; the
-- normaliser of phones is C's, the one that messages go through. PLATFORM.md 1.4, 5.4.
local plain = require "onemsg.base.utf8"

local M = {}

--- The fields of a message, a rule or a decision that may name its recipient; of several the first counts.
M.FIELDS = { "phone", "bsuid", "username", "chat_id" }

local PERSON = "@c%.us$"
local USERNAME = "@username"

-- Here, not above: loading this loads no C.
local function core() return require "onemsg" and require "onemsg.core" end

--- The address of whom people mean: by it the store knows a recipient, however they are written.
-- @param given a phone as a message may have it, a number or a text, or a chat id
-- @tparam ?string country of national numbers: ISO code or calling code
-- @treturn ?string digits, or a chat id
-- @treturn ?string with nil: what is wrong, which reads on after "phone": "has a letter: …"
function M.address(given, country)
  if type(given) ~= "string" and type(given) ~= "number" then return nil, "must be a text, and is a " .. type(given) end
  if type(given) == "string" and (given:find("@", 1, true) or M.is_bsuid(given)) then
    if not given:find(PERSON) then return M.of_chat(given) end
    given = "+" .. given:gsub(PERSON, "")
  end
  return core().phone(given, country)
end

--- Is it a business-scoped user id?
function M.is_bsuid(text)
  return text:find("^%u%u%.%w+$") ~= nil or text:find("^%u%u%.ENT%.%w+$") ~= nil
end

--- The address in a chat id of 1MSG's, or in a username as people write it, "@maria".
function M.of_chat(chat_id)
  local name = chat_id:match("^@([%w._]+)$") or chat_id:match("^([%w._]+)@username$")
  if name then return name:lower() .. USERNAME end
  local bsuid = chat_id:match("^(.*)@lid$")
  if bsuid and M.is_bsuid(bsuid) then return bsuid end
  return (chat_id:gsub(PERSON, ""))
end

--- The address of a message's recipient, as channel:check gives it.
-- @tparam table message one of FIELDS
function M.of_message(message)
  return message.phone or message.bsuid or M.of_chat(message.username and "@" .. message.username or message.chat_id)
end

--- Which field of a message an address stands in, and its value there: "phone", "12020721369".
function M.field_of(address)
  if M.is_bsuid(address) then return "bsuid", address end
  local name = address:match("^([%w._]+)@username$")
  if name then return "username", name end
  return address:find("@", 1, true) and "chat_id" or "phone", address
end

--- The chat id of an address.
function M.chat_of(address)
  if address:find("@", 1, true) then return address end
  return address .. (M.is_bsuid(address) and "@lid" or "@c.us")
end

--- The digits of an address.
function M.digits(address)
  return (address:gsub("@.*", ""))
end

--- A phone in all the forms in which WhatsApp may write it, the given one first (PLATFORM.md 1.4, 5.4).
-- @tparam string address
-- @treturn table list
function M.variants(address)
  local list = { address }
  for _, form in ipairs { core().spellings(address) } do
    if form ~= address then list[#list + 1] = form end
  end
  return list
end

--- The one form of an address, by which the store knows it: of a phone's spellings always the same.
function M.key(address)
  return not address:find("[^%d]") and (core().spellings(address)) or address:find(PERSON) and M.key(M.of_chat(address))
    or address
end

--- The address of the customer of an event or a message of onemsg.hooks, or nil.
function M.of_item(item)
  return item.recipient or item.phone or item.bsuid or item.username and M.of_message { username = item.username }
end

--- Are two addresses the same person's?
function M.same(a, b)
  if not a or not b then return false end
  return M.key(a) == M.key(b)
end

--- The digits that all forms of a number end in.
function M.tail(address)
  return M.digits(address):sub(-7)
end

--- "…1369"; of a short name less.
function M.mask(address)
  local digits = M.digits(tostring(address))
  return "…" .. plain.repair(digits:sub(#digits - math.min(4, math.floor(#digits / 2)) + 1), 4)
end

--- Says in a table whose an address is: recipient, the address, and the fields of its kind and of what else is known.
-- @tparam table into
-- @tparam ?string address
-- @tparam ?string person the key of whose it is, in the store
-- @treturn table into
function M.tell(into, address, person)
  into.recipient = address
  for _, one in pairs { address, person } do
    local field, name = M.field_of(one)
    into[field] = into[field] or name
  end
  return into
end

--- Masks all names in a confirmation as show() gives it, or in a decision of the rules; returns it.
function M.hide(one)
  for _, field in ipairs(M.FIELDS) do one[field] = one[field] and M.mask(one[field]) end
  one.recipient = one.recipient and M.mask(one.recipient)
  return one
end

--- A sentence without the recipient's number or name, which an answer of the API may contain in any letters.
function M.redact(sentence, address)
  local name = address and M.digits(address):lower() or ""
  if name == "" then return sentence end
  local pattern = name:gsub("%p", "%%%0")
  if #name < 5 then pattern = "%f[%w]" .. pattern .. "%f[^%w]" end -- a word of its own
  local found, out, from = sentence:lower(), {}, 1
  while true do
    local first, last = found:find(pattern, from)
    if not first then break end
    out[#out + 1], from = sentence:sub(from, first - 1) .. M.mask(name), last + 1
  end
  return table.concat(out) .. sentence:sub(from)
end

return M
