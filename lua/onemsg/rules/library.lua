--- The libraries that rules scripts see: copies, read-only, each at its price, the same on every Lua.
--
-- Left out on purpose: everything that reaches the outside (io, os, require, load, debug, package), that catches
-- errors (pcall), that hides things (metatables, raw access, coroutines), or that would make the same event decide
-- differently twice (random, time, addresses in tostring, the order of pairs).
local complaint = require "onemsg.rules.complaint"
local cost = require "onemsg.rules.cost"
local tables = require "onemsg.rules.library_table"
local text = require "onemsg.rules.text"
local texts = require "onemsg.rules.library_text"

local M = {}

local type, pairs, ipairs, select, tonumber, format = type, pairs, ipairs, select, tonumber, string.format
local fail, charge, want_number = complaint.fail, cost.charge, texts.want_number
local MAX_SENTENCE = 300 -- bytes of an error of a script that are looked at

-- What a script says with error or assert.
local function raise(message)
  if type(message) == "number" then message = cost.numeral(message) end
  if type(message) ~= "string" then fail("it raised an error that is not a text") end
  fail(message:sub(1, MAX_SENTENCE):match("^[^\r\n]*"))
end

--- name = { what its price depends on, beside a step for the call; the function }
local base = {
  type = { "nothing", type },
  tonumber = { "bytes of the text", function(value, radix)
    if type(value) == "string" then charge(#value) end
    if radix == nil then
      if type(value) ~= "string" and type(value) ~= "number" then return nil end
      return tonumber(value)
    end
    radix = want_number(radix, 2, "tonumber")
    if type(value) ~= "string" then fail("tonumber: with a base, argument 1 must be a text") end
    if radix % 1 ~= 0 or radix < 2 or radix > 36 then fail("tonumber: a base is a whole number from 2 to 36") end
    return tonumber(value, radix)
  end },
  tostring = { "nothing", texts.tostring },
  error = { "nothing", function(message) raise(message) end },
  assert = { "nothing", function(value, message, ...)
    if value then return value, message, ... end
    raise(message == nil and "assertion failed!" or message)
  end },
  pairs = tables.pairs, ipairs = tables.ipairs,
}

local numbers = {}
for _, name in ipairs { "abs", "ceil", "floor", "modf", "sqrt" } do
  local fn, said = math[name], "math." .. name
  numbers[name] = { "nothing", function(value) return fn(want_number(value, 1, said)) end }
end

numbers.fmod = { "nothing", function(a, b)
  a, b = want_number(a, 1, "math.fmod"), want_number(b, 2, "math.fmod")
  charge(8)
  if b == 0 then fail("math.fmod: argument 2 is 0") end
  return math.fmod(a, b)
end }

for _, name in ipairs { "max", "min" } do
  local fn, said = math[name], "math." .. name
  numbers[name] = { "number of arguments", function(first, ...)
    local best, rest = want_number(first, 1, said), { ... }
    charge(select("#", ...))
    for at = 1, select("#", ...) do best = fn(best, want_number(rest[at], at + 1, said)) end
    return best
  end }
end

--- Every function that a script can call, by its name: what it costs beside a step for the call.
M.PRICES = {}

local function functions_of(room, prefix)
  local functions = {}
  for name, one in pairs(room) do
    M.PRICES[prefix .. name] = one[1]
    functions[name] = one[2]
  end
  return functions
end

local words = functions_of(base, "")
local libraries = {
  string = functions_of(texts.functions, "string."),
  table = functions_of(tables.functions, "table."),
  math = functions_of(numbers, "math."),
}
libraries.math.pi, libraries.math.huge = math.pi, math.huge

local function frozen(name, content)
  return setmetatable({}, {
    __index = content,
    __newindex = function(_, key)
      fail(format("%s.%s cannot be changed: a rules script only declares", name, text.plain(texts.tostring(key))
        :gsub('^"(.*)"$', "%1")))
    end,
    __metatable = false,
  })
end

--- Fresh copies for one script.
-- @treturn table the base functions and libraries by name
-- @treturn table what texts find behind ":", for rules/sandbox
function M.new()
  local own = {}
  for name, fn in pairs(words) do own[name] = fn end
  for name, library in pairs(libraries) do own[name] = frozen(name, library) end
  return own, own.string
end

return M
