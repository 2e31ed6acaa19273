--- onemsg.cli.output: what the command prints: text for people or, with --json, JSON lines; results on standard output,
-- the rest on standard error. Never a token; a phone as its last four digits unless the caller says otherwise.
local canonical = require "onemsg.base.canonical"
local utf8 = require "onemsg.base.utf8"
local codec = require "onemsg.base.json"

local M = {}

local unpack = table.unpack or unpack -- luacheck: ignore
local TEXT_CHARS = 4000
-- JSON for what may be an empty list; lua-cjson and event.text can't tell it from an empty object.
local LISTS = { "statuses", "history", "hooks", "trace", "webhooks", "body", "parked", "paused", "templates", "rules", "buttons",
  "names", "warnings", "samples" }

local Output = {}
Output.__index = Output

function M.new(json)
  return setmetatable({ json = json }, Output)
end

--- A copy that JSON can say.
local function repaired(value)
  if type(value) == "string" then return utf8.repair(value, TEXT_CHARS) end
  if type(value) ~= "table" then
    if value ~= value or value == math.huge or value == -math.huge then return nil end
    return value
  end
  local copy = {}
  for key, item in pairs(value) do copy[key] = repaired(item) end
  return copy
end

--- Canonical JSON, its keys sorted.
function M.encode(value)
  local text = canonical.text(value) or canonical.text(repaired(value)) or codec.encode(repaired(value))
  for _, name in ipairs(LISTS) do text = text:gsub('"' .. name .. '":{}', '"' .. name .. '":[]') end
  return text
end

--- A reason beside its state: "rejected: 422 …" needs no second "rejected".
function M.reason(state, reason)
  reason = reason or ""
  local head = state .. ": "
  return reason:sub(1, #head) == head and reason:sub(#head + 1) or reason
end

--- A time for programs, as CSV files have it; "" for none.
function M.iso(at) return at and os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(at)) or "" end

--- A clock time of the operator's own zone.
function M.time(at)
  return at and os.date("%Y-%m-%d %H:%M:%S", math.floor(at)) or ""
end

local function write(self, text)
  if self.broken then return end
  local ok, why = io.stdout:write(text, "\n")
  if ok then ok, why = io.stdout:flush() end
  if not ok then self.broken = why or "it failed" end -- a reader that left (head) is no reason to stop working
end

--- A result: with --json this table, else nothing.
function Output:object(value)
  if self.json then write(self, M.encode(value)) end
end

--- Blanks at the ends stay.
local function one_line(text)
  return (utf8.line("|" .. utf8.repair(text, TEXT_CHARS) .. "|"):sub(2, -2))
end

--- What strangers wrote stays on its line and moves no cursor.
local function say(format, ...)
  local values = { n = select("#", ...), ... }
  for i = 1, values.n do
    if type(values[i]) == "string" then values[i] = one_line(values[i]) end
  end
  return format:format(unpack(values, 1, values.n))
end

--- A line for people; nothing with --json.
function Output:line(format, ...)
  if not self.json then write(self, say(format, ...)) end
end

--- A line as it is.
function Output:raw(text)
  if not self.json then write(self, text) end
end

--- Something on standard error.
function Output:note(format, ...) -- luacheck: no self
  io.stderr:write(say(format, ...), "\n")
end

--- What cleaning changed in a message's texts: field → sentences.
function Output:changes(changes)
  local names = {}
  for name in pairs(changes or {}) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do self:line("          changed: %s: %s", name, table.concat(changes[name], "; ")) end
end

--- Rows of texts as columns; the first row is the head.
function Output:columns(rows)
  if self.json then return end
  local widths = {}
  for _, row in ipairs(rows) do
    for n = 1, #row do
      row[n] = one_line(tostring(row[n]))
      widths[n] = math.max(widths[n] or 0, utf8.length(row[n]))
    end
  end
  for _, row in ipairs(rows) do
    local cells = {}
    for n = 1, #row do cells[n] = row[n] .. (n < #row and (" "):rep(widths[n] - utf8.length(row[n])) or "") end
    write(self, (table.concat(cells, "  "):gsub("%s+$", "")))
  end
end

return M
