--- onemsg.base.utf8: texts of strangers made fit for logs, JSON and databases: valid UTF-8, bounded, on one line. Pure.
local M = {}

local ELLIPSIS = "…"

--- Length in bytes of the UTF-8 sequence that begins at byte i, or nil where none does (RFC 3629: no overlong forms, no
-- surrogates, nothing beyond U+10FFFF; PostgreSQL refuses those too).
local function sequence(s, i)
  local b, c = s:byte(i, i + 1)
  if b < 0x80 then return 1 end
  local len = b >= 0xC2 and b < 0xE0 and 2 or b >= 0xE0 and b < 0xF0 and 3 or b >= 0xF0 and b < 0xF5 and 4
  local tail = len and s:sub(i + 1, i + len - 1)
  if not tail or #tail < len - 1 or tail:find("[^\128-\191]") then return nil end
  if b == 0xE0 and c < 0xA0 or b == 0xED and c > 0x9F or b == 0xF0 and c < 0x90 or b == 0xF4 and c > 0x8F then
    return nil
  end
  return len
end

--- Is s valid UTF-8?
function M.valid(s)
  local i = s:find("[\128-\255]")
  while i and i <= #s do
    local len = sequence(s, i)
    if not len then return false end
    i = s:find("[\128-\255]", i + len)
  end
  return true
end

--- s as valid UTF-8 of at most `chars` code points: a byte out of place becomes "?", a cut ends in an ellipsis.
function M.repair(s, chars)
  if #s <= chars and not s:find("[\128-\255]") then return s end
  local out, n, i = {}, 0, 1
  while i <= #s and n < chars do
    local len = sequence(s, i)
    n = n + 1
    out[n] = len and s:sub(i, i + len - 1) or "?"
    i = i + (len or 1)
  end
  if i <= #s then out[n] = ELLIPSIS end
  return table.concat(out)
end

--- Length in code points; of what is not valid UTF-8, about.
function M.length(s)
  return #s - select(2, s:gsub("[\128-\191]", ""))
end

--- s in at most so many bytes: a cut falls between letters and ends in an ellipsis, which is counted. Bytes that were out
-- of place before stay so.
function M.cut(s, bytes)
  if #s <= bytes then return s end
  local last = bytes - #ELLIPSIS
  for i = last, math.max(last - 2, 1), -1 do
    local byte = s:byte(i)
    if byte >= 0xC0 and (sequence(s, i) or 1) > last - i + 1 then last = i - 1 end
    if byte < 0x80 or byte >= 0xC0 then break end
  end
  return s:sub(1, last) .. ELLIPSIS
end

--- s on one line: blanks, controls, bidi marks and line separators become one space each run, none at the ends.
function M.line(s)
  return (s:gsub("\194[\128-\159]", " "):gsub("\226\128[\168-\174]", " "):gsub("\226\129[\166-\169]", " ")
    :gsub("[%s%c]+", " "):match("^ ?(.-) ?$"))
end

--- s without blanks at its ends. Costs what s is long, whatever stands in it.
function M.trim(s)
  local first = s:find("%S")
  return first and s:match("^.*%S", first) or ""
end

--- s without blanks at its ends and one pair of quotes around it, as files of variables keep them.
function M.unquoted(s)
  s = M.trim(s)
  local within = s:match "^'([^']*)'$" or s:match '^"([^"]*)"$' or s:match "^\226\128[\152\156](.*)\226\128[\153\157]$"
  return within and M.trim(within) or s
end

-- Capital letters of two bytes, by their first byte: what range becomes what.
local function lower_two(first, second)
  local a, b = first:byte(), second:byte()
  if a == 0xC3 and b >= 0x80 and b <= 0x9E and b ~= 0x97 then return first .. string.char(b + 0x20) end -- À … Þ
  if a == 0xC4 or a == 0xC5 then -- Latin Extended-A: mostly pairs, the capital first
    local odd = a == 0xC4 and b >= 0xB9 or a == 0xC5 and b <= 0x88
    if a == 0xC4 and b == 0xB0 then return "i" end -- İ
    if a == 0xC5 and b == 0xB8 then return "\195\191" end
    if (b % 2 == 0) ~= odd and b < 0xBF then return first .. string.char(b + 1) end
  elseif a == 0xCE and b >= 0x91 and b <= 0x9F then return first .. string.char(b + 0x20)       -- Α … Ο
  elseif a == 0xCE and b >= 0xA0 and b <= 0xA9 then return "\207" .. string.char(b - 0x20)      -- Π … Ω
  elseif a == 0xD0 and b >= 0x90 and b <= 0x9F then return first .. string.char(b + 0x20)       -- А … П
  elseif a == 0xD0 and b >= 0xA0 and b <= 0xAF then return "\209" .. string.char(b - 0x20)      -- Р … Я
  elseif a == 0xD0 and b >= 0x80 and b <= 0x8F then return "\209" .. string.char(b + 0x10)      -- Ѐ … Џ
  end
  return first .. second
end

--- A text as it is compared with what people wrote: lower case (Latin, Greek, Cyrillic), single blanks, no punctuation
-- around it.
function M.comparable(text)
  text = text:lower():gsub("([\195-\208])([\128-\191])", lower_two)
  text = text:gsub("\194\160", " "):gsub("\226\128[\139-\143\168-\175]", ""):gsub("\239\184[\128-\143]", "")
  text = text:gsub("\194[\161\171\187\191]", "!"):gsub("\226\128[\152-\159\166]", "!") -- ¡ « » ¿, quotes, …
  text = text:gsub("\227\128[\129\130\140\141]", "!"):gsub("\239\188[\129\140\159]", "!") -- 、 。 「 」 ！ ， ？
  return ((text:match("[^%s%p].*[^%s%p]") or text:match("[^%s%p]") or ""):gsub("%s+", " "))
end

return M
