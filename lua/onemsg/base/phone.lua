--- Phones: their one form, their other forms, and how they are shown. What is no phone but a chat id stays as it is,
-- but for "…@c.us", which names a phone. Pure; the normaliser is C's, the one that messages go through.
local M = {}

local PERSON = "@c%.us$"

-- Countries whose numbers WhatsApp writes with or without a digit that others write otherwise: prefix, digit, and how
-- many digits follow it. PLATFORM.md 5.4.
local doubles = { { "55%d%d", "9", 8 }, { "52", "1", 10 }, { "54", "9", 10 } }

--- The address of whom people mean: by it the store knows a recipient, however they are written.
-- @param given a phone as a message may have it, a number or a text, or a chat id
-- @tparam ?string country calling code, for national numbers
-- @treturn ?string digits, or a chat id
-- @treturn ?string with nil: what is wrong, which reads on after "phone": "has a letter: …"
function M.address(given, country)
  if type(given) ~= "string" and type(given) ~= "number" then return nil, "must be a text, and is a " .. type(given) end
  if type(given) == "string" and given:find("@", 1, true) then
    if not given:find(PERSON) then return given end
    given = "+" .. given:gsub(PERSON, "")
  end
  local core = require "onemsg" and require "onemsg.core" -- here: loading this loads no C
  return core.phone(given, country)
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

--- A phone in all the forms in which WhatsApp may write it, the given one first.
-- @tparam string address
-- @treturn table list
function M.variants(address)
  for _, double in ipairs(doubles) do
    local prefix, rest = address:match("^(" .. double[1] .. ")(%d+)$")
    if prefix and #rest == double[3] then return { address, prefix .. double[2] .. rest } end
    if prefix and #rest == double[3] + 1 and rest:sub(1, 1) == double[2] then
      return { address, prefix .. rest:sub(2) }
    end
  end
  return { address }
end

--- May two addresses be the same person's? WhatsApp reports some in a form of its own: with a trunk 0 less, with or
-- without the ninth digit of Brazil, the 1 of Mexico, the 9 of Argentina (PLATFORM.md 1.4, 5.4).
function M.same(a, b)
  if not a or not b then return false end
  a, b = M.digits(a), M.digits(b)
  if a == b then return true end
  return math.abs(#a - #b) <= 1 and #a >= 10 and #b >= 10 and M.tail(a) == M.tail(b) and a:sub(1, 2) == b:sub(1, 2)
end

--- The digits that all forms of a number end in.
function M.tail(address)
  return M.digits(address):sub(-7)
end

--- "…1369"
function M.mask(address)
  return "…" .. M.digits(tostring(address)):sub(-4)
end

--- A sentence without the recipient's number, which an answer of the API may contain.
function M.redact(sentence, address)
  local digits = address and address:match("%d+")
  if not digits or #digits < 5 then return sentence end
  return (sentence:gsub(digits, M.mask(digits)))
end

return M
