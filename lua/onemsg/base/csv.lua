--- onemsg.base.csv: tables as spreadsheets write and read them (RFC 4180; commas, semicolons or tabs). Pure.
local document = require "onemsg.base.document"
local utf8 = require "onemsg.base.utf8"

local M = {}

local SEPARATORS = { ",", ";", "\t" }

-- Spreadsheets of half the world separate by semicolons: what the first line has most.
local function separator_of(text)
  local line, best, most = text:match "^[^\r\n]*", ",", 0
  for _, one in ipairs(SEPARATORS) do
    local _, count = line:gsub(one, "")
    if count > most then best, most = one, count end
  end
  return best
end

--- The rows of a text.
-- @tparam string text
-- @treturn function iterator of row (a list of trimmed texts), and the line where it begins; lines without a text are left out
function M.rows(text)
  text = document.bare(text):gsub("\r\n?", "\n")
  local at, line, size, separator = 1, 1, #text, separator_of(text)
  local plain = "^[^\n" .. separator .. "]*()"
  local function cell()
    local start = text:match('^[ \t]*"()', at)
    if not start then
      local stop = text:match(plain, at)
      local value = text:sub(at, stop - 1)
      at = stop
      return utf8.trim(value)
    end
    local parts, from = {}, start
    repeat
      local quote = text:find('"', from, true) or size + 1
      parts[#parts + 1] = text:sub(from, quote - 1)
      from = quote + 2
    until text:sub(quote + 1, quote + 1) ~= '"'
    at = text:match(plain, math.min(from - 1, size + 1))
    local value = table.concat(parts, '"')
    line = line + select(2, value:gsub("\n", ""))
    return utf8.trim(value)
  end
  return function()
    while at <= size do
      local row, first, filled = {}, line, false
      repeat
        row[#row + 1] = cell()
        filled = filled or row[#row] ~= ""
        local behind = text:sub(at, at)
        at = at + 1
      until behind ~= separator
      line = line + 1
      if filled then return row, first end
    end
  end
end

--- A row as a line. What a spreadsheet would take for a formula is kept from being one.
function M.line(row)
  local cells = {}
  for n, value in ipairs(row) do
    value = tostring(value)
    if value:find "^[=+%-@\t\r]" and not value:find "^%-?%d+%.?%d*$" then value = "'" .. value end
    cells[n] = value:find '[",;\n\r\t]' and '"' .. value:gsub('"', '""') .. '"' or value
  end
  return table.concat(cells, ",")
end

return M
