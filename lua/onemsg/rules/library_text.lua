--- The string functions that rules scripts see: the host's meaning, at a price for each. For rules_library.
--
-- A price stands for the work, whatever the result: what a text is searched, compared, copied for is paid by its bytes
-- before or as it is done. Alike on every Lua.
local complaint = require "onemsg.rules.complaint"
local cost = require "onemsg.rules.cost"
local pattern = require "onemsg.rules.pattern"
local text = require "onemsg.rules.text"

local M = {}

local type, tonumber, select, pcall = type, tonumber, select, pcall
local byte, char, sub, gsub, find, match, format, rep, lower, upper, reverse, concat =
  string.byte, string.char, string.sub, string.gsub, string.find, string.match, string.format, string.rep,
  string.lower, string.upper, string.reverse, table.concat
local floor = math.floor
local fail, charge, take, read, want_size = complaint.fail, cost.charge, cost.take, cost.read, cost.want_size

local FAR = 2 ^ 31       -- no position in a text is further
local SEARCH = 8         -- steps of any search, beside those of its pattern
local MAX_NUMERAL = 200  -- bytes of a text that counts as a number

--- An argument that must be a text; a number counts as one.
function M.want_text(value, which, name)
  if type(value) == "string" then return value end
  if type(value) == "number" then return cost.written(value) end
  fail(format("%s: argument %d must be a text, not %s", name, which, text.kind(value)))
end
local want_text = M.want_text

--- An argument that must be a number; a text that is written like one counts.
function M.want_number(value, which, name)
  if type(value) == "number" then return value end
  local number = type(value) == "string" and #value <= MAX_NUMERAL and tonumber(value)
  if number then return number end
  fail(format("%s: argument %d must be a number, not %s", name, which, text.kind(value)))
end
local want_number = M.want_number

-- A whole number, as a position or a count is.
local function want_whole(value, which, name, default)
  if value == nil and default then return default end
  value = want_number(value, which, name)
  if value ~= value then fail(format("%s: argument %d is no number", name, which)) end
  return value > FAR and FAR or value < -FAR and -FAR or floor(value)
end

local function start_of(init, size, name)
  init = want_whole(init, 3, name, 1)
  if init < 0 then init = size + init + 1 end
  return init < 1 and 1 or init
end

-- One search, paid by its steps, its pattern and what it captures.
local function search(subject, what, init)
  charge(SEARCH + #what)
  local before = cost.left()
  local ok, left, start, stop, captures = pcall(pattern.search, subject, what, init, before)
  if not ok then
    if type(left) == "table" then charge(before + 1) end -- the steps have run out
    fail(left)
  end
  charge(before - left)
  for at = 1, captures and #captures or 0 do
    if type(captures[at]) == "string" then take(#captures[at]) end
  end
  return start, stop, captures
end

local function spread(captures, at)
  if at <= #captures then return captures[at], spread(captures, at + 1) end
end

local function results(subject, start, stop, captures)
  if #captures == 0 then
    take(stop - start + 1)
    return sub(subject, start, stop)
  end
  return spread(captures, 1)
end

--- name = { what its price depends on, beside a step for the call; the function }
local functions = {}
M.functions = functions

functions.len = { "nothing", function(s) return #want_text(s, 1, "string.len") end }

functions.sub = { "bytes of the result", function(s, i, j)
  s = want_text(s, 1, "string.sub")
  local part = sub(s, want_whole(i, 2, "string.sub"), want_whole(j, 3, "string.sub", -1))
  take(#part)
  return part
end }

for name, fn in pairs { upper = upper, lower = lower, reverse = reverse } do
  functions[name] = { "bytes of the text", function(s)
    s = want_text(s, 1, "string." .. name)
    take(#s)
    return fn(s)
  end }
end

functions.char = { "number of bytes", function(...)
  local codes, count = { ... }, select("#", ...)
  take(count)
  for at = 1, count do
    local code = want_whole(codes[at], at, "string.char")
    if code < 0 or code > 255 then fail("string.char: a byte is a number from 0 to 255") end
    codes[at] = char(code)
  end
  return concat(codes)
end }

functions.byte = { "number of bytes, 256 at most", function(s, i, j)
  s = want_text(s, 1, "string.byte")
  i = want_whole(i, 2, "string.byte", 1)
  if i < 0 then i = #s + i + 1 end
  j = want_whole(j, 3, "string.byte", i)
  i = i < 1 and 1 or i
  j = j < 0 and #s + j + 1 or j > #s and #s or j
  if j - i > 255 then fail("string.byte: ask for 256 bytes at most") end
  if j > i then charge(j - i) end
  return byte(s, i, j)
end }

functions.rep = { "bytes of the result", function(s, n, separator)
  s = want_text(s, 1, "string.rep")
  n = want_whole(n, 2, "string.rep")
  separator = separator and want_text(separator, 3, "string.rep") or ""
  local size = #s + #separator
  if n < 1 or size == 0 then return "" end
  want_size(size * n, "string.rep")
  take(size * n)
  return rep(s .. separator, n - 1) .. s
end }

functions.find = { "steps of the search; plain: bytes of the text times bytes of what is sought",
  function(s, what, init, plain)
    s, what = want_text(s, 1, "string.find"), want_text(what, 2, "string.find")
    init = start_of(init, #s, "string.find")
    if init > #s + 1 then return nil end
    if plain then
      read((#s - init + 1) * (#what + 8))
      return find(s, what, init, true)
    end
    local start, stop, captures = search(s, what, init)
    if not start then return nil end
    return start, stop, spread(captures, 1)
  end }

functions.match = { "steps of the search", function(s, what, init)
  s, what = want_text(s, 1, "string.match"), want_text(what, 2, "string.match")
  init = start_of(init, #s, "string.match")
  if init > #s + 1 then return nil end
  local start, stop, captures = search(s, what, init)
  if not start then return nil end
  return results(s, start, stop, captures)
end }

functions.gmatch = { "steps of each search", function(s, what)
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
end }

-- What gsub puts in place of one match.
local function replacement(with, whole, captures)
  local value
  if type(with) == "string" then
    charge(#with)
    return (gsub(with, "%%(.)", function(mark)
      if mark == "%" then return "%" end
      local value_of = mark == "0" and whole or captures[tonumber(mark)] or mark == "1" and whole
      if not value_of then fail("string.gsub: no capture %" .. mark .. " in the pattern") end
      take(#want_text(value_of, 3, "string.gsub"))
      return value_of
    end))
  elseif type(with) == "table" then
    value = captures[1] or whole
    cost.look(with, value)
    value = with[value]
  else
    value = with(captures[1] or whole, spread(captures, 2))
  end
  if not value then return whole end
  return want_text(value, 3, "string.gsub")
end

functions.gsub = { "steps of each search and bytes of the result", function(s, what, with, limit)
  s, what = want_text(s, 1, "string.gsub"), want_text(what, 2, "string.gsub")
  if type(with) == "number" then with = want_text(with, 3, "string.gsub") end
  if type(with) ~= "string" and type(with) ~= "table" and type(with) ~= "function" then
    fail("string.gsub: argument 3 must be a text, a table or a function")
  end
  limit = limit ~= nil and want_whole(limit, 4, "string.gsub")
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
      take(#piece)
      out[count] = piece
      copied, last = stop + 1, stop
      at = stop < start and start + 1 or stop + 1
    end
    if byte(what, 1) == 94 then break end -- "^": one match at most
  end
  out[count + 1] = sub(s, copied)
  size = size + #out[count + 1]
  want_size(size, "string.gsub")
  take(size)
  return concat(out), count
end }

local WHOLE = { d = "d", i = "d", u = "d", c = "c", x = "x", X = "X", o = "o" }
local BROKEN = { e = "e", E = "E", f = "f", g = "g", G = "G" }
-- What may stand between % and the letter; every Lua takes at least this.
local SPEC = { d = "^%%[%-+ 0]*%d?%d?%.?%d?%d?$", x = "^%%[%-#0]*%d?%d?%.?%d?%d?$", c = "^%%%-?%d?%d?$",
  s = "^%%%-?%d?%d?%.?%d?%d?$", q = "^%%$", ["%"] = "^%%$" }
SPEC.i, SPEC.u, SPEC.X, SPEC.o = SPEC.d, SPEC.d, SPEC.x, SPEC.x
for letter in pairs(BROKEN) do SPEC[letter] = "^%%[%-+ #0]*%d?%d?%.?%d?%d?$" end
local LARGEST = 2 ^ 53

-- The text for one %…
local function formatted(spec, letter, value)
  if letter == "s" or letter == "q" then
    value = M.tostring(value)
    if spec ~= "%" and find(value, "\0", 1, true) then fail("string.format: a text with a zero byte has no width") end
    want_size(#value * (letter == "q" and 4 or 1), "string.format")
    take(#value)
    return format(spec .. letter, value)
  end
  local known = WHOLE[letter] or BROKEN[letter]
  if type(value) ~= "number" then fail("string.format: %" .. letter .. " needs a number") end
  if WHOLE[letter] then
    if value % 1 ~= 0 or value > LARGEST or value < -LARGEST then
      fail("string.format: %" .. letter .. " needs a whole number")
    elseif value < 0 and known ~= "d" or letter == "c" and value > 255 then
      fail("string.format: %" .. letter .. " cannot show " .. cost.numeral(value))
    end
    value = floor(value)
  end
  charge(8)
  return format(spec .. known, value)
end

functions.format = { "bytes of the form and of the result", function(form, ...)
  form = want_text(form, 1, "string.format")
  want_size(#form, "string.format")
  take(#form)
  local values, given, used = { ... }, select("#", ...), 0
  local out, size, at = {}, 0, 1
  while true do
    local mark = find(form, "%", at, true)
    out[#out + 1] = sub(form, at, (mark or 0) - 1)
    if not mark then break end
    -- flags, width and precision are ten bytes at most; what is longer does not reach its letter
    local spec, letter = match(sub(form, mark, mark + 10), "^(%%[%-+ #0%d%.]*)(.)")
    if spec and not SPEC[letter] then fail("string.format: %" .. letter .. " is not available") end
    if not spec or not find(spec, SPEC[letter]) or find(gsub(spec, "^%%[%-+ #0]*", ""), "^%d%d%d") then
      fail(format("string.format: %s is malformed", text.plain(sub(form, mark, mark + 20))))
    end
    charge(4)
    if letter == "%" then
      out[#out + 1] = "%"
    else
      used = used + 1
      if used > given then fail(format("string.format: there is no value for the %d. %%%s", used, letter)) end
      out[#out + 1] = formatted(spec, letter, values[used])
    end
    size = size + #out[#out]
    want_size(size + #form, "string.format")
    at = mark + #spec + 1
  end
  take(size)
  return concat(out)
end }

--- A value as a text, the same each time: never an address, which differs from run to run.
function M.tostring(value)
  local kind = type(value)
  if kind == "string" then return value end
  if kind == "number" then return cost.written(value) end
  if kind == "nil" or kind == "boolean" then return value == nil and "nil" or value and "true" or "false" end
  return kind
end

return M
