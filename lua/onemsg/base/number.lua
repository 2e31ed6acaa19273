--- onemsg.base.number: numbers as texts for people: no exponent, no digit that nobody wrote. Pure.
local M = {}

local floor, huge, format, tonumber = math.floor, math.huge, string.format, tonumber

local EXACT = 2 ^ 53
local FAR = 40             -- places that an exponent may shift the point: more is no number for people
local FINE = 1e9           -- below it, digits behind the fifteenth come from calculating (0.1 + 0.2)

--- A number as JSON writes it, without exponent: "0.00001" for "1e-05". What stands behind the point stays as it was
-- written ("19.90"), but for a ".0" alone, which is how machines write a whole number.
-- @treturn ?string nil: it is none, or has more than 40 places
function M.expand(written)
  local sign, whole, fraction, exponent = written:match "^(%-?)(%d+)%.?(%d*)[eE]?([+-]?%d*)$"
  if not sign then return nil end
  local shift = exponent ~= "" and tonumber(exponent) or 0
  if not shift or shift > FAR or shift < -FAR then return nil end
  local digits, point = whole .. fraction, #whole + shift
  if point < 1 then
    digits, point = ("0"):rep(1 - point) .. digits, 1
  elseif point > #digits then
    digits = digits .. ("0"):rep(point - #digits)
  end
  whole, fraction = digits:sub(1, point):gsub("^0+(%d)", "%1"), digits:sub(point + 1)
  if fraction == "0" then fraction = "" end
  if not (whole .. fraction):find "[1-9]" then sign = "" end
  return sign .. whole .. (fraction ~= "" and "." .. fraction or "")
end

--- The fewest digits that are this number again: "0.1", "0.30000000000000004", "1e-05".
function M.shortest(n)
  for digits = 15, 17 do
    local text = format("%." .. digits .. "g", n)
    if tonumber(text) == n or digits == 17 then return text end
  end
end

--- A number as people write it: 990 for 990.0, 12.5, 0.00001.
-- @treturn ?string
-- @treturn string with nil: what is wrong, which reads on after the field
function M.text(n)
  if n ~= n or n == huge or n == -huge then return nil, "is no number that can be written" end
  if n >= EXACT or n <= -EXACT then
    return nil, "is a number beyond 2^53, of which digits may be lost: give it as a text"
  end
  if floor(n) == n then return n == 0 and "0" or format("%.0f", n) end
  return M.expand((n >= FINE or n <= -FINE) and M.shortest(n) or format("%.15g", n))
end

--- What a number is that was written so.
-- @treturn number|string itself; or its digits as a text, where a number does not hold them
-- @treturn ?string with a number: how it was written, where M.text would write it otherwise
function M.read(written)
  local n, text = tonumber(written), M.expand(written)
  if not n or not text or n >= EXACT or n <= -EXACT then return text or written end
  if text == M.text(n) then return n end
  return n, text
end

return M
