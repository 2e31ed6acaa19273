--- onemsg.event: an event as one canonical text, so that the same event is the same text in every process and Lua.
-- JSON with sorted keys and numbers in one spelling. Pure. Two events have the same content when their texts are equal.
local null = require "cjson".null
local plain = require "onemsg.plain"

local M = {}

M.ID_BYTES = 200
M.TEXT_BYTES = 65536  -- of the canonical text; an event is a notice, not a document
M.DEPTH = 32

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function refuse(sentence)
  error({ sentence = sentence }, 0)
end

local function quote(s, where)
  if not plain.valid(s) then refuse(where .. " is not valid UTF-8") end
  return '"' .. s:gsub('[%z\1-\31\127"\\]', function(c)
    return escapes[c] or ("\\u%04x"):format(c:byte())
  end) .. '"'
end

local function number(n, where)
  if n ~= n or n == math.huge or n == -math.huge then refuse(where .. " is not a finite number") end
  if n == math.floor(n) and n > -2 ^ 53 and n < 2 ^ 53 then return ("%d"):format(n) end
  return ("%.17g"):format(n)
end

local encode

--- Keys of a table: the length of an array, or a sorted list of names.
local function shape(t, where)
  local names, count = {}, 0
  for key in pairs(t) do
    count = count + 1
    if type(key) == "string" then
      names[#names + 1] = key
    elseif type(key) ~= "number" then
      refuse(where .. " has a key that is neither a name nor a position")
    end
  end
  if count == 0 or #names == count then
    table.sort(names)
    return nil, names
  end
  if #names > 0 or #t ~= count then refuse(where .. " is neither a list nor a table of names") end
  return count
end

local function encode_table(t, where, depth)
  if depth > M.DEPTH then refuse(("it is nested more than %d deep"):format(M.DEPTH)) end
  local length, names = shape(t, where)
  local out = {}
  if length then
    for i = 1, length do out[i] = encode(t[i], ("%s[%d]"):format(where, i), depth + 1) end
    return "[" .. table.concat(out, ",") .. "]"
  end
  for i, name in ipairs(names) do
    out[i] = quote(name, "a name in " .. where) .. ":" .. encode(t[name], where .. "." .. name, depth + 1)
  end
  return "{" .. table.concat(out, ",") .. "}"
end

function encode(value, where, depth)
  local kind = type(value)
  if kind == "string" then return quote(value, where) end
  if kind == "number" then return number(value, where) end
  if kind == "boolean" then return tostring(value) end
  if kind == "table" then return encode_table(value, where, depth) end
  if value == null then return "null" end
  return refuse(("%s is a %s, which JSON does not have"):format(where, kind))
end

--- The canonical text of a value that JSON can say.
-- @treturn ?string
-- @treturn string with nil: what is wrong, a sentence part
function M.text(value)
  local ok, text = pcall(encode, value, "event", 1)
  if ok then return text end
  if type(text) == "table" and text.sentence then return nil, text.sentence end
  error(text, 0)
end

local function label(event, name, example)
  local value = event[name]
  if value == nil or value == "" then
    return nil, ("event.%s is missing: give %s"):format(name, example)
  elseif type(value) ~= "string" and (type(value) ~= "number" or name ~= "id") then
    return nil, ("event.%s must be a text, not a %s"):format(name, type(value))
  end
  if type(value) == "number" then
    if value ~= math.floor(value) or value <= -2 ^ 53 or value >= 2 ^ 53 then
      return nil, ("event.%s is a number that JSON does not keep exactly: write it as a text"):format(name)
    end
    local text, err = M.text(value)
    if not text then return nil, ("event.%s: %s"):format(name, err) end
    value = text
  end
  if #value > M.ID_BYTES then
    return nil, ("event.%s is longer than %d bytes"):format(name, M.ID_BYTES)
  elseif value:find("%c") or not plain.valid(value) then
    return nil, ("event.%s has control characters or is not valid UTF-8"):format(name)
  end
  return value
end

--- Checks an event and gives what the workflow needs of it.
-- @treturn ?table id, type, text
-- @treturn string with nil: a sentence that says what to do
function M.read(event)
  if type(event) ~= "table" then return nil, "an event is a table with id, type and what happened" end
  local id, err = label(event, "id", "the order or payment number, so that a repeat is recognised")
  if not id then return nil, err end
  if id:find("~%d+$") then
    return nil, "event.id must not end in ~ and digits: that is how onemsg names further confirmations of one event"
  end
  local kind
  kind, err = label(event, "type", 'what happened, such as "payment.succeeded"')
  if not kind then return nil, err end
  local text
  text, err = M.text(event)
  if not text then return nil, "the event can't be stored: " .. err end
  if #text > M.TEXT_BYTES then
    return nil, ("the event has %d bytes as JSON; at most %d are kept"):format(#text, M.TEXT_BYTES)
  end
  return { id = id, type = kind, text = text }
end

return M
