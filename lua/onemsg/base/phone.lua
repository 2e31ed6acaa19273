--- Phones: their one form, their other forms, and how they are shown. What is no phone but a chat id stays as it is,
-- but for "…@c.us", which names a phone. Pure; the normaliser is C's, the one that messages go through.
local plain = require "onemsg.base.utf8"

local M = {}

local PERSON = "@c%.us$"

-- Here, not above: loading this loads no C.
local function core() return require "onemsg" and require "onemsg.core" end

--- The address of whom people mean: by it the store knows a recipient, however they are written.
-- @param given a phone as a message may have it, a number or a text, or a chat id
-- @tparam ?string country of national numbers: ISO code or calling code
-- @treturn ?string digits, or a chat id
-- @treturn ?string with nil: what is wrong, which reads on after "phone": "has a letter: …"
function M.address(given, country)
  if type(given) ~= "string" and type(given) ~= "number" then return nil, "must be a text, and is a " .. type(given) end
  if type(given) == "string" and given:find("@", 1, true) then
    if not given:find(PERSON) then return given end
    given = "+" .. given:gsub(PERSON, "")
  end
  return core().phone(given, country)
end

--- The address in a chat id of 1MSG's.
function M.of_chat(chat_id)
  return (chat_id:gsub(PERSON, ""))
end

--- The chat id of an address.
function M.chat_of(address)
  return address:find("@", 1, true) and address or address .. "@c.us"
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

--- Are two addresses the same person's?
function M.same(a, b)
  if not a or not b then return false end
  return (core().spellings(a)) == (core().spellings(b))
end

--- The digits that all forms of a number end in.
function M.tail(address)
  return M.digits(address):sub(-7)
end

--- "…1369"
function M.mask(address)
  return "…" .. plain.repair(M.digits(tostring(address)):sub(-4), 4)
end

--- A sentence without the recipient's number, which an answer of the API may contain.
function M.redact(sentence, address)
  local digits = address and address:match("%d+")
  if not digits or #digits < 5 then return sentence end
  return (sentence:gsub(digits, M.mask(digits)))
end

return M
