--- The libraries that rules scripts see: copies, read-only, bounded, the same on every Lua.
--
-- Left out on purpose: everything that reaches the outside (io, os, require, load, debug, package), that catches
-- errors (pcall), that hides things (metatables, raw access, coroutines), or that would make the same event decide
-- differently twice (random, time, addresses in tostring, the order of pairs).
local pattern = require "onemsg.rules.pattern"
local text = require "onemsg.rules.text"

local M = {}

-- Set by rules/sandbox: stop counting instructions, go on with what is left, end the script for want of budget or with a
-- sentence and its line.
M.pause, M.resume, M.exhausted, M.complain = nil, nil, nil, nil

M.MAX_TEXT = 65536 -- bytes that rep, concat, format or gsub may produce

local error, type, pairs, ipairs, tonumber, pcall = error, type, pairs, ipairs, tonumber, pcall
local byte, sub, gsub, find, format, rep, concat, sort =
  string.byte, string.sub, string.gsub, string.find, string.format, string.rep, table.concat, table.sort
local floor, insert, remove = math.floor, table.insert, table.remove
local jit_off = rawget(_G, "jit") and rawget(_G, "jit").off

-- Ends the script with a sentence and the line that called us.
local function fail(sentence) M.complain(sentence) end

local function want_text(value, which, name)
  if type(value) == "number" then return text.number(value) or "nan" end
  if type(value) ~= "string" then
    fail(format("%s: argument %d must be a text, not %s", name, which, text.kind(value)))
  end
  return value
end

local function want_size(size, name)
  if size > M.MAX_TEXT then fail(format("%s: the text would be longer than %d bytes", name, M.MAX_TEXT)) end
end

-- One search, in steps taken from the budget of the script's call.
local function search(subject, what, init)
  local ok, left, start, stop, captures = pcall(pattern.search, subject, what, init, M.pause())
  if ok then
    M.resume(left)
    return start, stop, captures
  end
  M.resume()
  if type(left) == "table" then M.exhausted() end
  fail(left)
end

local function start_of(init, size)
  init = init == nil and 1 or floor(tonumber(init) or 1)
  if init < 0 then init = size + init + 1 end
  return init < 1 and 1 or init
end

local function spread(captures, at)
  if at <= #captures then return captures[at], spread(captures, at + 1) end
end

local function results(subject, start, stop, captures)
  if #captures == 0 then return sub(subject, start, stop) end
  return spread(captures, 1)
end

local strings = {
  len = string.len, sub = sub, upper = string.upper, lower = string.lower, reverse = string.reverse,
  char = string.char,
}

function strings.byte(s, i, j)
  s = want_text(s, 1, "string.byte")
  i = start_of(i, #s)
  j = j == nil and i or floor(tonumber(j) or 0)
  j = j < 0 and #s + j + 1 or j > #s and #s or j
  if j - i > 255 then fail("string.byte: ask for 256 bytes at most") end
  return byte(s, i, j)
end

function strings.rep(s, n, separator)
  s = want_text(s, 1, "string.rep")
  n = floor(tonumber(n) or 0)
  separator = separator and want_text(separator, 3, "string.rep") or ""
  if n < 1 then return "" end
  want_size((#s + #separator) * n, "string.rep")
  return rep(s .. separator, n - 1) .. s
end

function strings.find(s, what, init, plain)
  s, what = want_text(s, 1, "string.find"), want_text(what, 2, "string.find")
  init = start_of(init, #s)
  if init > #s + 1 then return nil end
  if plain then return find(s, what, init, true) end
  local start, stop, captures = search(s, what, init)
  if not start then return nil end
  return start, stop, spread(captures, 1)
end

function strings.match(s, what, init)
  s, what = want_text(s, 1, "string.match"), want_text(what, 2, "string.match")
  init = start_of(init, #s)
  if init > #s + 1 then return nil end
  local start, stop, captures = search(s, what, init)
  if not start then return nil end
  return results(s, start, stop, captures)
end

function strings.gmatch(s, what)
  s, what = want_text(s, 1, "string.gmatch"), want_text(what, 2, "string.gmatch")
  local at, last = 1, 0
  return function()
    while at <= #s + 1 do
      local start, stop, captures = search(s, what, at)
      if not start then return nil end
      if stop < start and stop == last and start > 1 then
        at = start + 1 -- nothing at the end of the last match: not a match of its own
      else
        at, last = stop < start and start + 1 or stop + 1, stop
        return results(s, start, stop, captures)
      end
    end
  end
end

-- What gsub puts in place of one match.
local function replacement(with, whole, captures)
  local value
  if type(with) == "string" then
    return (gsub(with, "%%(.)", function(mark)
      if mark == "%" then return "%" end
      local value_of = mark == "0" and whole or captures[tonumber(mark)] or mark == "1" and whole
      return value_of or fail("string.gsub: no capture %" .. mark .. " in the pattern")
    end))
  elseif type(with) == "table" then
    value = with[captures[1] or whole]
  else
    value = with(captures[1] or whole, spread(captures, 2))
  end
  if not value then return whole end
  return want_text(value, 3, "string.gsub")
end

function strings.gsub(s, what, with, limit)
  s, what = want_text(s, 1, "string.gsub"), want_text(what, 2, "string.gsub")
  if type(with) == "number" then with = text.number(with) end
  if type(with) ~= "string" and type(with) ~= "table" and type(with) ~= "function" then
    fail("string.gsub: argument 3 must be a text, a table or a function")
  end
  local out, size, at, copied, count, last = {}, 0, 1, 1, 0, 0
  while at <= #s + 1 and not (limit and count >= limit) do
    local start, stop, captures = search(s, what, at)
    if not start then break end
    if stop < start and stop == last and start > 1 then
      at = start + 1
    else
      local piece = sub(s, copied, start - 1) .. replacement(with, sub(s, start, stop), captures)
      size, count = size + #piece, count + 1
      want_size(size, "string.gsub")
      out[count] = piece
      copied, last = stop + 1, stop
      at = stop < start and start + 1 or stop + 1
    end
    if byte(what, 1) == 94 then break end -- "^": one match at most
  end
  out[count + 1] = sub(s, copied)
  want_size(size + #out[count + 1], "string.gsub")
  return concat(out), count
end

local WHOLE = { d = true, i = true, u = true, c = true, x = true, X = true, o = true }

function strings.format(form, a, b, c, d, e, f, g, h)
  form = want_text(form, 1, "string.format")
  want_size(#form, "string.format")
  local values, used, size = { a, b, c, d, e, f, g, h }, 0, #form
  local out = gsub(form, "(%%[%-+ #0]*%d*%.?%d*)(.)", function(spec, letter)
    if letter == "%" then return "%" end
    used = used + 1
    local value = values[used]
    if letter == "s" or letter == "q" then
      value = M.base.tostring(value)
      size = size + #value
      want_size(size, "string.format")
    elseif WHOLE[letter] or find(letter, "[eEfgG]") then
      if type(value) ~= "number" then fail("string.format: %" .. letter .. " needs a number") end
      if WHOLE[letter] and floor(value) ~= value then
        fail("string.format: %" .. letter .. " needs a whole number")
      end
    else
      fail("string.format: %" .. letter .. " is not available")
    end
    if not find(spec, "^%%[%-+ #0]*%d?%d?%.?%d?%d?$") or #spec > 10 then
      fail(format("string.format: %s%s is malformed", sub(spec, 1, 20), letter))
    end
    return (format(spec .. letter, value))
  end)
  return out
end

local tables = { sort = sort }

-- LuaJIT's own takes a position far outside of the list and shifts its way there, in C.
local function want_place(position, size, name)
  if type(position) ~= "number" or position < 1 or position > size or position % 1 ~= 0 then
    fail(format("%s: the position must be from 1 to %d", name, size))
  end
end

function tables.insert(list, position, value)
  if type(list) ~= "table" then fail("table.insert: argument 1 must be a list") end
  if value == nil then return insert(list, position) end
  want_place(position, #list + 1, "table.insert")
  return insert(list, position, value)
end

function tables.remove(list, position)
  if type(list) ~= "table" then fail("table.remove: argument 1 must be a list") end
  if #list == 0 then return nil end
  want_place(position or #list, #list, "table.remove")
  return remove(list, position or #list)
end

function tables.concat(list, separator, i, j)
  if type(list) ~= "table" then fail("table.concat: argument 1 must be a list") end
  separator = separator and want_text(separator, 2, "table.concat") or ""
  local size = 0
  for at = i or 1, j or #list do
    local value = list[at]
    if type(value) ~= "string" and type(value) ~= "number" then
      fail(format("table.concat: item %d is %s", at, text.kind(value)))
    end
    size = size + #want_text(value, 1, "table.concat") + #separator
    want_size(size, "table.concat")
  end
  return concat(list, separator, i or 1, j or #list)
end

local RANK = { number = 1, string = 2, boolean = 3 }

M.base = {
  type = type, tonumber = tonumber, ipairs = ipairs, error = error, assert = assert,
}

function M.base.tostring(value)
  local kind = type(value)
  if kind == "string" then return value end
  if kind == "number" then return text.number(value) or (value ~= value and "nan" or value > 0 and "inf" or "-inf") end
  if kind == "nil" or kind == "boolean" then return value == nil and "nil" or value and "true" or "false" end
  return kind -- never an address: it differs from run to run
end

--- pairs in one order: numbers, then texts, each rising.
function M.base.pairs(t)
  if type(t) ~= "table" then fail("pairs: the argument must be a table, not " .. text.kind(t)) end
  local keys = {}
  for key in pairs(t) do
    if not RANK[type(key)] then fail("pairs: a key is " .. text.kind(key)) end
    keys[#keys + 1] = key
  end
  sort(keys, function(x, y)
    local kind_x, kind_y = type(x), type(y)
    if kind_x ~= kind_y then return RANK[kind_x] < RANK[kind_y] end
    if kind_x == "boolean" then return y and not x end
    return x < y
  end)
  local at = 0
  return function()
    at = at + 1
    return keys[at], t[keys[at]]
  end
end

local numbers = {}
for _, name in ipairs { "abs", "ceil", "floor", "fmod", "huge", "max", "min", "modf", "pi", "sqrt" } do
  numbers[name] = math[name]
end

if jit_off then -- on LuaJIT the budget counts only what is interpreted
  for _, functions in ipairs { strings, tables, M.base } do
    for _, fn in pairs(functions) do pcall(jit_off, fn, true) end -- refuses those in C
  end
  for _, fn in ipairs { want_text, want_size, want_place, search, start_of, spread, results, replacement } do
    jit_off(fn, true)
  end
end

local function frozen(name, content)
  return setmetatable({}, {
    __index = content,
    __newindex = function(_, key)
      fail(format("%s.%s cannot be changed: a rules script only declares", name, tostring(key)))
    end,
    __metatable = false,
  })
end

--- Fresh copies for one script.
-- @treturn table the base functions and libraries by name
-- @treturn table what texts find behind ":", for rules/sandbox
function M.new()
  local words = {}
  for name, fn in pairs(M.base) do words[name] = fn end
  words.string, words.table, words.math =
    frozen("string", strings), frozen("table", tables), frozen("math", numbers)
  return words, words.string
end

return M
