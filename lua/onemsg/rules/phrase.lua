--- money(amount, currency) and first_word(text): what may stand in rules wherever a text may stand, joined to others too.
--
-- At load such a word gives a text in which its call stands as one field, so that it goes through everything that texts
-- go through; rules/text makes it a filler. In a function of a script, with an event's own values, it gives the result.
-- Pure.
local currency = require "onemsg.base.currency"
local complaint = require "onemsg.rules.complaint"
local cost = require "onemsg.rules.cost"
local numbers = require "onemsg.base.number"
local text = require "onemsg.rules.text"
local utf8 = require "onemsg.base.utf8"

local M = {}

local type, format = type, string.format
local fail = complaint.fail

local MAX_AMOUNT = 64   -- bytes
local CALL, PART = "\4", "\3"         -- no path and no text for people holds these
local hidden = { ["{"] = "\1", ["}"] = "\2" }
local shown = { ["\1"] = "{", ["\2"] = "}" }

-- Money -----------------------------------------------------------------------------------------------------------

--- The amount that a text is: its digits with a point, as JSON would write it; nil where it is open which of its signs
-- is the decimal one.
local function amount_of(said)
  if #said > MAX_AMOUNT then return nil end
  local sign, rest = said:gsub("[\194\226][\160\128][\175\137]?", " "):match "^%s*([+-]?)%s*(%d[%d%.,' ]*)%s*$"
  if not rest then return numbers.expand(utf8.trim(said)) end
  rest = utf8.trim(rest)
  local points, commas = select(2, rest:gsub("%.", "")), select(2, rest:gsub(",", ""))
  local decimal
  if points > 0 and commas > 0 then
    decimal = rest:match "([%.,])%d*$"
    if (decimal == "." and points or commas) > 1 then return nil end
  elseif points == 1 then
    decimal = "."
  elseif commas == 1 then
    if rest:find ",%d%d%d$" then return nil end -- 1,234: a thousand, or one and a bit
    decimal = ","
  end
  local whole, fraction = rest, ""
  if decimal then
    local at = rest:find("[%.,]%d*$")
    whole, fraction = rest:sub(1, at - 1), rest:sub(at + 1)
  end
  if not whole:find "^%d+$" and not whole:find "^%d%d?%d?[%.,' ]%d%d%d" then return nil end
  for group in whole:gmatch "[%.,' ](%d+)" do
    if #group ~= 3 then return nil end
  end
  whole = whole:gsub("[%.,' ]", ""):gsub("^0+(%d)", "%1")
  return (sign == "-" and "-" or "") .. whole .. (fraction ~= "" and "." .. fraction or "")
end

--- amount: a text; code: of a currency, any case. The sum as people read it; or nil, what, what is wrong with it.
local function money(amount, code, minor, decimal)
  code = utf8.trim(code)
  if not code:find "^%a%a%a%a?%a?$" then return nil, "money: " .. text.plain(code), "is no code of a currency such as EUR" end
  code = code:upper()
  local plain = amount_of(amount)
  local sign, whole, fraction = (plain or ""):match "^(%-?)(%d+)%.?(%d*)$"
  if not sign then return nil, "money: " .. text.plain(amount), "is no amount that can be read in one way" end
  local digits = type(minor) == "number" and minor or currency.digits[code]
  if minor then
    if not digits then return nil, "money: " .. text.plain(code), "is no currency of ISO 4217: say how many digits minor has" end
    if fraction:find "[^0]" then return nil, "money: " .. text.plain(amount), "is no whole number of minor units" end
    whole = ("0"):rep(digits + 1 - #whole) .. whole
    whole, fraction = whole:sub(1, #whole - digits), whole:sub(#whole - digits + 1)
  elseif digits and #fraction < digits then
    fraction = fraction .. ("0"):rep(digits - #fraction)
  elseif digits and #fraction > digits and not fraction:find("[^0]", digits + 1) then
    fraction = fraction:sub(1, digits)
  end
  return sign .. whole .. (fraction ~= "" and decimal .. fraction or "") .. " " .. code
end

-- Words -----------------------------------------------------------------------------------------------------------

--- The first word of a name, without the comma that may stand behind it.
local function first_word(said)
  said = said:gsub("\194\160", " "):gsub("\226\128[\128-\138\168\169\175]", " "):gsub("\227\128\128", " ")
  return said:match "^%s*(%S*[^%s,;])[,;]*" or said:match "%S+" or ""
end

local calls = {
  money = function(args) return money(args[1], args[2], args[3] == "true" or tonumber(args[3]) or nil, args[4]) end,
  first_word = function(args) return first_word(args[1]) end,
}

--- The filler of a call that `call` wrote, for rules/text: of event and values, as M.compile's.
-- @treturn[1] function
-- @treturn[2] nil
-- @treturn[2] string what is wrong
local function compile(inner)
  local parts = {}
  for part in (inner:sub(2) .. PART):gmatch("([^" .. PART .. "]*)" .. PART) do
    parts[#parts + 1] = part:gsub("[\1\2]", shown)
  end
  local fill = calls[parts[1]]
  if not fill then return nil, "what money and first_word give can be joined to other texts, but not changed" end
  local ready = {}
  for at = 2, #parts do
    local made, problem = text.compile(parts[at])
    if not made then return nil, problem end
    ready[at - 1] = made
  end
  return function(event, values)
    local args = {}
    for at = 1, #ready do
      local one = ready[at]
      if type(one) == "function" then
        local path, wrong
        one, path, wrong = one(event, values)
        if not one then return nil, path, wrong end
      end
      args[at] = one
    end
    return fill(args)
  end
end
text.calls(CALL, compile)

local function argument(word, value, which, sample)
  if type(value) == "number" then value = cost.written(value) end
  if type(value) ~= "string" then
    fail(format("%s: argument %d must be a text such as %s, not %s", word, which, sample, text.kind(value)))
  end
  cost.take(#value)
  return value
end

local function call(frozen, word, args)
  if frozen then
    local filled, what, wrong = calls[word](args)
    if not filled then fail(what .. " " .. wrong) end
    cost.take(#filled)
    return filled
  end
  for at, one in ipairs(args) do args[at] = one:gsub("[{}]", hidden) end
  local source = "{" .. CALL .. word .. PART .. table.concat(args, PART) .. "}"
  cost.take(#source)
  return source
end

local OPTIONS = { minor = true, decimal = true }

--- The words for one script.
-- @tparam function frozen → true when the script has run, and its functions are called
function M.new(frozen)
  local words = {}

  --- money(amount, currency [, { minor = true | digits, decimal = "," }]): "12.50 EUR". minor: the amount is in cents
  -- (true: as many digits as ISO 4217 gives the currency). decimal: the sign between, "." if nothing is said.
  function words.money(amount, code, options)
    local sample = '"{data.amount}"'
    amount = argument("money", amount, 1, sample)
    code = argument("money", code, 2, '"EUR" or "{data.currency}"')
    if options ~= nil and type(options) ~= "table" then
      fail("money: write { minor = true } or { decimal = \",\" } as the third argument, not " .. text.kind(options))
    end
    options = options or {}
    for name in pairs(options) do
      cost.charge(1)
      if not OPTIONS[name] then fail(format("money: it has minor and decimal, not %s", text.plain(name))) end
    end
    local minor, decimal = options.minor or false, options.decimal or "."
    if type(minor) ~= "boolean" and (type(minor) ~= "number" or minor % 1 ~= 0 or minor < 0 or minor > 8) then
      fail("money: minor is true, or the number of digits that minor units have")
    elseif decimal ~= "." and decimal ~= "," then
      fail('money: decimal is "." or ","')
    end
    return call(frozen(), "money", { amount, code, type(minor) == "number" and format("%d", minor) or tostring(minor),
      decimal })
  end

  --- first_word(text): "Maria" of "Maria da Silva".
  function words.first_word(said)
    return call(frozen(), "first_word", { argument("first_word", said, 1, '"{customer.name|there}"') })
  end

  return words
end

--- For rules/library's list of prices: what a call costs beside its step.
M.PRICES = { money = "bytes of the texts", first_word = "bytes of the texts" }

return M
