--- onemsg.base.utf8: texts of strangers made fit for logs, JSON and databases: valid UTF-8, bounded, on one line. Pure.
local M = {}

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
  if i <= #s then out[n] = "…" end
  return table.concat(out)
end

--- s on one line: blanks, controls, bidi marks and line separators become one space each run, none at the ends.
function M.line(s)
  return (s:gsub("\194[\128-\159]", " "):gsub("\226\128[\168-\174]", " "):gsub("\226\129[\166-\169]", " ")
    :gsub("[%s%c]+", " "):match("^ ?(.-) ?$"))
end

return M
