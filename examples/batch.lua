-- Confirms many actions, from a CSV file whose first line names the columns: phone,name,action,next_step
--
--     lua5.4 examples/batch.lua confirmations.csv
local onemsg = require "onemsg"

--- Iterates over the rows of a CSV text (RFC 4180): lists of fields.
local function rows(text)
  local at, line = 1, 0
  local function quoted() -- behind the opening quote; two quotes are one
    local value, part, again = ""
    repeat
      part, again, at = text:match('^([^"]*)"("?)()', at)
      if not part then error("row " .. line .. ": a quote is never closed", 0) end
      value = value .. part .. again
    until again == ""
    return value
  end
  return function()
    if at > #text then return nil end
    local row, comma, value = {}
    line = line + 1
    repeat
      if text:sub(at, at) == '"' then
        at = at + 1
        value = quoted()
      else
        value, at = text:match("^([^,\r\n]*)()", at)
      end
      row[#row + 1] = value
      comma, at = text:match("^(,?)()", at)
    until comma == ""
    at = text:match("^\r?\n()", at) or at > #text and at or error("row " .. line .. ": text behind a quote", 0)
    return row
  end
end

local file = assert(io.open((assert(..., "usage: batch.lua FILE.csv")), "rb"))
local next_row = rows((file:read "*a":gsub("^\239\187\191", ""))) -- spreadsheets put a mark first
local columns = assert(next_row(), "the file is empty")

local function next_message()
  local row, message = next_row(), {}
  for i, value in ipairs(row or {}) do message[columns[i] or "a column more than the first line has"] = value end
  return row and message
end

local channel = assert(onemsg.new {})
local total, count, problems = 0, {}, {}
for index, receipt, err, info in channel:send_each(next_message, { window = 64 }) do
  local outcome = receipt and receipt.outcome or info.outcome
  total, count[outcome] = total + 1, (count[outcome] or 0) + 1
  if err then problems[#problems + 1] = { index, err } end
  if total % 50 == 0 then io.stderr:write(("\r%d done, %d accepted"):format(total, count.accepted or 0)) end
end
io.stderr:write "\r"
for outcome, n in pairs(count) do print(("%-9s %d"):format(outcome, n)) end
table.sort(problems, function(a, b) return a[1] < b[1] end)
for _, problem in ipairs(problems) do print(("row %d: %s"):format(problem[1] + 1, problem[2])) end
os.exit(#problems > 0 and 2 or 0)
