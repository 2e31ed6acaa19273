--- The table functions and loops that rules scripts see, at a price for each. For rules_library.
--
-- Whatever the host's own would do in C by a length that a script can forge, or in an order that a script can spoil, is
-- done here item by item and paid for before it begins.
local complaint = require "onemsg.rules.complaint"
local cost = require "onemsg.rules.cost"
local texts = require "onemsg.rules.library_text"
local text = require "onemsg.rules.text"

local M = {}

local type, select, next, floor, format, concat = type, select, next, math.floor, string.format, table.concat
local fail, charge, take, put, look = complaint.fail, cost.charge, cost.take, cost.put, cost.look
local length, compare = cost.operators.length, cost.operators.compare
local want_text, want_number = texts.want_text, texts.want_number

local function want_list(list, name)
  if type(list) ~= "table" then fail(format("%s: argument 1 must be a list, not %s", name, text.kind(list))) end
  return length("", list)
end

local function want_place(position, size, name)
  position = want_number(position, 2, name)
  if position < 1 or position > size or position % 1 ~= 0 then
    fail(format("%s: the position must be from 1 to %s", name, cost.numeral(size)))
  end
  return floor(position)
end

-- Sorts items 1 to `size`: by merging, so that it takes as long with any order, keeps what is equal as it was, and asks
-- `less` the same questions on every Lua.
local function sort(items, size, less)
  local from, to, width = items, {}, 1
  while width < size do
    for first = 1, size, 2 * width do
      local middle, stop = first + width, first + 2 * width
      if middle > size + 1 then middle = size + 1 end
      if stop > size + 1 then stop = size + 1 end
      charge(2 * (stop - first))
      local a, b = first, middle
      for at = first, stop - 1 do
        if a < middle and (b >= stop or not less(from[b], from[a])) then
          to[at], a = from[a], a + 1
        else
          to[at], b = from[b], b + 1
        end
      end
    end
    from, to, width = to, from, 2 * width
  end
  return from
end

--- name = { what its price depends on, beside a step for the call; the function }
local functions = {}
M.functions = functions

functions.insert = { "items that move", function(list, ...)
  local size = want_list(list, "table.insert")
  local given, position, value = select("#", ...), ...
  if given < 1 or given > 2 then fail("table.insert: write table.insert(list, value)") end
  if given == 1 then return put(list, size + 1, position) end
  position = want_place(position, size + 1, "table.insert")
  charge(size - position + 1)
  for at = size, position, -1 do put(list, at + 1, list[at]) end
  put(list, position, value)
end }

functions.remove = { "items that move", function(list, position)
  local size = want_list(list, "table.remove")
  if size == 0 then return nil end
  position = position == nil and size or want_place(position, size, "table.remove")
  charge(size - position + 1)
  local value = list[position]
  for at = position, size - 1 do put(list, at, list[at + 1]) end
  put(list, size, nil)
  return value
end }

functions.concat = { "items and bytes of the result", function(list, separator, i, j)
  local last = want_list(list, "table.concat")
  separator = separator ~= nil and want_text(separator, 2, "table.concat") or ""
  local first = i == nil and 1 or want_number(i, 3, "table.concat")
  if j ~= nil then last = want_number(j, 4, "table.concat") end
  local out, size = {}, 0
  for at = first, last do
    charge(1)
    look(list, at)
    local value = list[at]
    if type(value) ~= "string" and type(value) ~= "number" then
      fail(format("table.concat: item %s is %s", cost.numeral(at), text.kind(value)))
    end
    value = want_text(value, 1, "table.concat")
    size = size + #value + #separator
    cost.want_size(size, "table.concat")
    out[#out + 1] = value
  end
  take(size)
  return concat(out, separator)
end }

functions.sort = { "items times the logarithm of their number, and what the function costs", function(list, before)
  local size = want_list(list, "table.sort")
  if before ~= nil and type(before) ~= "function" then fail("table.sort: argument 2 must be a function") end
  charge(size)
  local items = {}
  for at = 1, size do
    local item = list[at]
    if item == nil then fail(format("table.sort: item %d is missing", at)) end
    items[at] = item
  end
  local sorted = sort(items, size, before or function(a, b) return compare("<", a, b) end)
  for at = 1, size do put(list, at, sorted[at]) end
end }

local RANK = { number = 1, string = 2, boolean = 3 }

local function key_less(a, b)
  local kind, other = type(a), type(b)
  if kind ~= other then return RANK[kind] < RANK[other] end
  if kind == "boolean" then return b and not a end
  return compare("<", a, b)
end

--- pairs in one order: numbers, then texts, each rising.
M.pairs = { "fields times the logarithm of their number", function(t)
  if type(t) ~= "table" then fail("pairs: the argument must be a table, not " .. text.kind(t)) end
  charge(floor(cost.room(t) / 8))
  local keys, size = {}, 0
  for key in next, t do
    if not RANK[type(key)] then fail("pairs: a key is " .. text.kind(key)) end
    size = size + 1
    charge(1)
    keys[size] = key
  end
  keys = sort(keys, size, key_less)
  local at = 0
  return function()
    while true do
      at = at + 1
      local key = keys[at]
      if key == nil then return nil end
      charge(1)
      look(t, key)
      local value = t[key]
      if value ~= nil then return key, value end
    end
  end
end }

local function step(t, at)
  at = at + 1
  charge(1)
  look(t, at)
  local value = t[at]
  if value ~= nil then return at, value end
end

M.ipairs = { "items that are gone through", function(t)
  if type(t) ~= "table" then fail("ipairs: the argument must be a list, not " .. text.kind(t)) end
  return step, t, 0
end }

return M
