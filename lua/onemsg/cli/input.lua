--- onemsg.cli.input: events on standard input or in a file: JSON lines, or one JSON document (an event, or an array).
-- Lines are taken as they come: a slow sender's event at once, a file of any size in little memory.
local document = require "onemsg.base.document"

local M = {}

local CHUNK_BYTES = 65536
local DOCUMENT_BYTES = 16 * 1024 * 1024 -- of a line, and of a document that stands on several lines
local DEPTH = 40                        -- an event may have 32

local decode = document.reader(DEPTH, "event")

--- Where events come from.
-- @tparam ?string path nil or "-": standard input
-- @treturn ?function read() → the next piece of text; nil at the end; nil, err
-- @treturn string with nil: "invalid: …"
function M.open(path)
  if not path or path == "-" then
    require "onemsg"
    local core = require "onemsg.core"
    if core.terminal(0) then io.stderr:write("reading events from the terminal; Ctrl-D ends them\n") end
    return core.read
  end
  local file, why = io.open(path, "rb")
  if not file then return nil, "invalid: the events can't be read: " .. why end
  return function() return file:read(CHUNK_BYTES) end
end

--- The events that a text holds.
local function put(items, line, text)
  local value, why = decode(text)
  if value == nil then
    items[#items + 1] = { line = line, error = ("invalid: line %d is not JSON: %s"):format(line, why) }
  elseif type(value) == "table" and text:find "^%s*%[" then
    for _, one in ipairs(value) do items[#items + 1] = { line = line, event = one } end
  else
    items[#items + 1] = { line = line, event = value }
  end
end

local Reader = {}
Reader.__index = Reader

local SEVERAL = "everal events stand one on a line, or in a list [ … ]"

--- Are these lines JSON lines, of which the first is a bad one? Else they are one text.
local function are_lines(lines)
  if lines[1]:find "[%]}]%s*$" then return true end
  if lines[1]:find "^%s*%[" then return false end
  for n = 2, #lines do
    if lines[n]:find "^{" and decode(lines[n]) ~= nil then return true end
  end
  return false
end

--- What is wrong with a text on several lines, said once, where it ends or breaks.
local function broken(text, first, why)
  local at = tonumber(why:match "at character (%d+)") or #text + 1
  local ends = why:find "^Expected the end"
  local before = text:sub(1, at - 1)
  if ends then before = before:gsub("%s+$", "") end
  local line = first + select(2, before:gsub("\n", ""))
  if ends then
    return line, ("invalid: the JSON that begins in line %d ends in line %d, and more follows: s"):format(first, line) .. SEVERAL
  end
  return line, ("invalid: line %d is not JSON: %s; it belongs to what begins in line %d. S"):format(line, why, first) .. SEVERAL
end

--- The document is whole; if it is none, its lines are lines after all, the first of them a bad one, or it is refused as
-- one, and with it what follows.
function Reader:end_document(items)
  local lines = self.document
  self.document = nil
  local text = table.concat(lines, "\n")
  local value, why = decode(text)
  if value ~= nil then return put(items, self.first, text) end
  if not are_lines(lines) then
    local line, err = broken(text, self.first, why)
    items[#items + 1] = { line = line, error = err }
    self.over, self.tail = true, ""
    return
  end
  for n, line in ipairs(lines) do
    if line:find "%S" then put(items, self.first + n - 1, line) end
  end
end

function Reader:take(line, items)
  self.number = self.number + 1
  if self.number == 1 then line = document.bare(line) end
  if self.document then
    table.insert(self.document, line)
    self.size = self.size + #line
    if self.size > DOCUMENT_BYTES then self:end_document(items) end
  elseif line:find "%S" then
    if not self.first and line:find "^%s*[%[{]" and decode(line) == nil then
      self.document, self.size = { line }, #line -- the first line is not whole: a document on several lines
    else
      put(items, self.number, line)
    end
    self.first = self.first or self.number
  end
end

function Reader:pieces(piece, items)
  local text, from = self.tail .. piece, 1
  while true do
    local at = text:find("\n", from, true)
    if not at then break end
    self:take(text:sub(from, at - 1), items)
    from = at + 1
    if self.over then return true end
  end
  self.tail = text:sub(from)
  return #self.tail <= DOCUMENT_BYTES
end

function Reader:finish(why, items)
  self.over = true
  if self.tail ~= "" then self:take(self.tail, items) end
  if self.document then self:end_document(items) end
  if why then items[#items + 1] = { line = self.number + 1, error = "invalid: the events can't be read: " .. why } end
end

--- Events in the batches in which they come.
-- @tparam function read see open
-- @treturn function iterator of lists of { line, event } or { line, error }
function M.batches(read)
  local reader = setmetatable({ number = 0, tail = "" }, Reader)
  return function()
    while not reader.over do
      local items = {}
      local piece, why = read()
      local foreign = piece and reader.number == 0 and reader.tail == "" and document.foreign(piece)
      if not piece then
        reader:finish(why, items)
      elseif foreign then
        reader:finish(foreign, items)
      elseif not reader:pieces(piece, items) then
        reader.tail, reader.document = "", nil
        reader:finish("a line is longer than 16 MiB", items)
      end
      if #items > 0 then return items end
    end
  end
end

--- The same, one by one.
function M.each(read)
  local following, items, at = M.batches(read), {}, 0
  return function()
    at = at + 1
    if not items[at] then items, at = following(), 1 end
    return items and items[at]
  end
end

return M
