--- onemsg.base.canonical: a value as one canonical text, so that the same event is the same text in every process and Lua.
-- JSON with sorted keys, and numbers in one spelling, or as they were written where onemsg.base.document knows it. Pure.
local null = require "cjson".null
local document = require "onemsg.base.document"
local numbers = require "onemsg.base.number"
local utf8 = require "onemsg.base.utf8"

local M = {}

M.DEPTH = 32

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function refuse(sentence)
  error({ sentence = sentence }, 0)
end

local function quote(s, where)
  if not utf8.valid(s) then
    if s:find("\237[\160-\191]") then
      refuse(where .. " has half a surrogate pair: its text was cut in the middle of an emoji")
    end
    refuse(where .. " is not valid UTF-8")
  end
  return '"' .. s:gsub('[%z\1-\31\127"\\]', function(c)
    return escapes[c] or ("\\u%04x"):format(c:byte())
  end) .. '"'
end

local function number(n, where)
  if n ~= n or n == math.huge or n == -math.huge then refuse(where .. " is not a finite number") end
  if n == math.floor(n) and n > -2 ^ 53 and n < 2 ^ 53 then return ("%d"):format(n) end
  return numbers.shortest(n)
end

local encode

-- true: numbers in one spelling, for M.same.
local plainly = false

--- The value at a key of a table.
local function inner(t, key, where, depth)
  local value = t[key]
  local written = type(value) == "number" and not plainly and document.spelling(t, key, value)
  return written or encode(value, where, depth)
end

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
  if names and #names == 0 and document.is_list(t) then return "[]" end
  local out = {}
  if length then
    for i = 1, length do out[i] = inner(t, i, ("%s[%d]"):format(where, i), depth + 1) end
    return "[" .. table.concat(out, ",") .. "]"
  end
  for i, name in ipairs(names) do
    out[i] = quote(name, "a name in " .. where) .. ":" .. inner(t, name, where .. "." .. name, depth + 1)
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

local read = document.reader(M.DEPTH + 2, "stored")

local function plain(text)
  local value = read(text)
  if value == nil then return text end
  plainly = true
  local again = M.text(value)
  plainly = false
  return again or text
end

--- A canonical text as it is compared: its numbers in one spelling.
M.plain = plain

--- Do two canonical texts have the same content? 19.9 and 19.90 are one number.
function M.same(a, b)
  return a == b or plain(a) == plain(b)
end

return M
