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

-- Calling codes of one and of two digits; all others have three. Countries whose numbers really begin with a 0.
local one_digit = { ["1"] = true, ["7"] = true }
local two_digits = {}
for code in ("20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 "
  .. "90 91 92 93 94 95 98"):gmatch "%d+" do two_digits[code] = true end
local keeps_zero = { ["1"] = true, ["7"] = true, ["39"] = true, ["225"] = true, ["241"] = true, ["242"] = true,
                     ["378"] = true, ["379"] = true }

local function calling_code(digits)
  local n = one_digit[digits:sub(1, 1)] and 1 or two_digits[digits:sub(1, 2)] and 2 or 3
  return digits:sub(1, n)
end

--- Every address that may stand for the same person, the given one first: its variants, and what it is with a trunk 0
-- less or more, since WhatsApp reports a number without it (PLATFORM.md 1.4, 5.4). What is no number has one.
-- @treturn table list
function M.spellings(address)
  local list = M.variants(address)
  if not address:find("^%d+$") or #address < 8 then return list end
  local code = calling_code(address)
  if keeps_zero[code] then return list end
  local rest = address:sub(#code + 1)
  list[#list + 1] = code .. (rest:match("^0(.+)$") or "0" .. rest)
  return list
end

--- Are two addresses the same person's, as far as their spelling tells?
function M.same(a, b)
  if not a or not b then return false end
  for _, spelling in ipairs(M.spellings(M.of_chat(a))) do
    if spelling == M.of_chat(b) then return true end
  end
  return false
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
