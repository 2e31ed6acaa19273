--- onemsg.base.canonical: a value as one canonical text, so that the same event is the same text in every process and Lua.
-- JSON with sorted keys, and numbers in one spelling, or as they were written where onemsg.base.document knows it. Pure.
local null = require "cjson".null
local document = require "onemsg.base.document"
local numbers = require "onemsg.base.number"
local utf8 = require "onemsg.base.utf8"

local M = {}

M.DEPTH = 32

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

-- Where the text is at: the keys that lead there, one a level. Written only where it is said.
local path, level = {}, 0

local function where()
  local out = { "event" }
  for n = 1, level do
    out[n + 1] = type(path[n]) == "number" and ("[%d]"):format(path[n]) or "." .. path[n]
  end
  return table.concat(out)
end

local function refuse(sentence)
  error({ sentence = sentence }, 0)
end

local LEAST = 2          -- bytes of a member at least
local room = math.huge -- bytes that are left; what is longer is not gone through

local function take(bytes)
  room = room - bytes
  if room < 0 then error({ sentence = "it is too long", long = true }, 0) end
end

local function quote(s, what)
  take(#s + 2)
  if not utf8.valid(s) then
    what = (what or "") .. where()
    if s:find("\237[\160-\191]") then
      refuse(what .. " has half a surrogate pair: its text was cut in the middle of an emoji")
    end
    refuse(what .. " is not valid UTF-8")
  end
  return '"' .. s:gsub('[%z\1-\31\127"\\]', function(c)
    return escapes[c] or ("\\u%04x"):format(c:byte())
  end) .. '"'
end

local function number(n)
  if n ~= n or n == math.huge or n == -math.huge then refuse(where() .. " is not a finite number") end
  if n == math.floor(n) and n > -2 ^ 53 and n < 2 ^ 53 then return ("%d"):format(n) end
  return numbers.shortest(n)
end

local encode

-- true: numbers in one spelling, for M.same.
local plainly = false

--- The value at a key of a table.
local function inner(t, key, depth)
  path[depth], level = key, depth
  local value = t[key]
  local written = type(value) == "number" and not plainly and document.spelling(t, key, value)
  written = written or encode(value, depth + 1)
  level = depth - 1
  return written
end

--- Keys of a table: the length of an array, or a sorted list of names.
local function shape(t)
  local names, count = {}, 0
  for key in pairs(t) do
    count = count + 1
    if count * LEAST > room then take(count * LEAST) end
    if type(key) == "string" then
      names[#names + 1] = key
    elseif type(key) ~= "number" then
      refuse(where() .. " has a key that is neither a name nor a position")
    end
  end
  if count == 0 or #names == count then
    table.sort(names)
    return nil, names
  end
  if #names > 0 or #t ~= count then refuse(where() .. " is neither a list nor a table of names") end
  return count
end

local function encode_table(t, depth)
  if depth > M.DEPTH then refuse(("it is nested more than %d deep"):format(M.DEPTH)) end
  local length, names = shape(t)
  if names and #names == 0 and document.is_list(t) then return "[]" end
  local out = {}
  take(1 + (length or #names))
  if length then
    for i = 1, length do out[i] = inner(t, i, depth) end
    return "[" .. table.concat(out, ",") .. "]"
  end
  for i, name in ipairs(names) do
    out[i] = quote(name, "a name in ") .. ":" .. inner(t, name, depth)
  end
  return "{" .. table.concat(out, ",") .. "}"
end

function encode(value, depth)
  local kind = type(value)
  if kind == "string" then return quote(value) end
  if kind == "number" then return number(value) end
  if kind == "boolean" then return tostring(value) end
  if kind == "table" then return encode_table(value, depth) end
  if value == null then return "null" end
  return refuse(("%s is a %s, which JSON does not have"):format(where(), kind))
end

--- The canonical text of a value that JSON can say.
-- @tparam ?number most bytes that it may have: what is longer is not gone through to its end
-- @tparam ?boolean plain numbers in one spelling
-- @treturn ?string
-- @treturn string with nil: what is wrong, a sentence part
-- @treturn ?boolean true: it is longer
function M.text(value, most, plain)
  local before = { path, level, room, plainly } -- a finalizer may come here while somebody else's text is written
  path, level, room, plainly = {}, 0, most or math.huge, plain or false
  local ok, text = pcall(encode, value, 1)
  path, level, room, plainly = before[1], before[2], before[3], before[4]
  if ok then
    if most and #text > most then return nil, "it is too long", true end
    return text
  end
  if type(text) == "table" and text.sentence then return nil, text.sentence, text.long end
  error(text, 0)
end

local read = document.reader(M.DEPTH + 2, "stored")

--- A canonical text as it is compared: its numbers in one spelling.
function M.plain(text)
  local value = read(text)
  return value ~= nil and M.text(value, nil, true) or text
end

--- Do two canonical texts have the same content? 19.9 and 19.90 are one number.
function M.same(a, b)
  return a == b or M.plain(a) == M.plain(b)
end

return M
