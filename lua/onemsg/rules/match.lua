--- Conditions: `over(0)`, `one_of("a", "b")`, `missing`, plain values and functions, made ready for many events.
--
-- Numbers: an event's number, or a text that is written like one ("990", "-12.50"), for many systems quote amounts.
-- Texts are compared byte for byte, capital letters included. Pure, except that functions run through rules/sandbox.
local sandbox = require "onemsg.rules.sandbox"
local text = require "onemsg.rules.text"
local cost = require "onemsg.rules.cost"

local M = {}

local type, error, pairs, ipairs, next, rawget, tonumber, select, setmetatable =
  type, error, pairs, ipairs, next, rawget, tonumber, select, setmetatable
local byte, sub, find, format, concat, sort =
  string.byte, string.sub, string.find, string.format, table.concat, table.sort
local floor = math.floor
local math_type = rawget(math, "type")

-- What a function of a script may see of an event.
M.MAX_VIEW_TEXT = 65536
M.MAX_VIEW_VALUES = 20000
M.MAX_VIEW_DEPTH = 64
local PER_STEP = 4 -- values of an event that are copied in a step

-- What each opaque value stands for that a script gets from over(), missing …
local made = setmetatable({}, { __mode = "k" })

-- `price`: how many values the test compares with, 1 where it looks one up. `meant`: from, to (numbers), values (a list),
-- for who compares conditions with each other.
local function condition(test, say, kind, price, meant)
  local token = setmetatable({}, {
    __newindex = function() error("a condition cannot be changed", 2) end,
    __call = function(self) -- missing() is as good as missing
      if kind then return self end
      error("this is a condition already: one ( ) is enough", 2)
    end,
    __metatable = false,
  })
  made[token] = { test = test, say = say, kind = kind, price = price or 1, meant = meant or {} }
  return token
end

local function as_number(value)
  if type(value) == "number" then return value end
  if type(value) == "string" and #value < 40 and find(value, "^%s*%-?%d+%.?%d*%s*$") then return tonumber(value) end
  return nil
end

local function want_number(value, name, extra)
  if type(value) ~= "number" or value ~= value then
    error(format("%s needs a number, as in %s; it has %s", name, extra, text.kind(value)), 3)
  end
end

-- One text, several, or a list of them.
local function want_list(name, sample, kinds, ...)
  local list = { ... }
  if select("#", ...) == 1 and type(list[1]) == "table" and not made[list[1]] then list = list[1] end
  local copy = {}
  for at, value in ipairs(list) do
    cost.charge(2)
    if not kinds[type(value)] then error(format("%s holds %s; write %s", name, text.kind(value), sample), 3) end
    copy[at] = value
  end
  if #copy == 0 then error(format("%s is empty; write %s", name, sample), 3) end
  return copy
end

local MAX_LISTED = 50 -- values that a sentence names

local function listed(values)
  local said = {}
  for at, value in ipairs(values) do
    if at > MAX_LISTED then
      said[at] = "…"
      break
    end
    said[at] = text.plain(value)
  end
  return concat(said, ", ")
end

local words = {}
M.words = words

-- A decimal comma gives a word one number more than it takes.
local function no_more(count, most, name, sample)
  if count > most then
    error(format("%s takes %s: a decimal is written with a point, as in %s", name, most == 1 and "one number"
      or "two numbers", sample), 3)
  end
end

--- over(n): a number greater than n.
function words.over(n, ...)
  want_number(n, "over", "over(0)")
  no_more(1 + select("#", ...), 1, "over", "over(19.90)")
  return condition(function(value) value = as_number(value) return value ~= nil and value > n end,
    "over " .. text.plain(n), nil, nil, { over = n })
end

--- under(n): a number less than n.
function words.under(n, ...)
  want_number(n, "under", "under(100)")
  no_more(1 + select("#", ...), 1, "under", "under(19.90)")
  return condition(function(value) value = as_number(value) return value ~= nil and value < n end,
    "under " .. text.plain(n), nil, nil, { under = n })
end

--- between(low, high): a number from low to high, both included.
function words.between(low, high, ...)
  want_number(low, "between", "between(1, 10)")
  want_number(high, "between", "between(1, 10)")
  no_more(2 + select("#", ...), 2, "between", "between(9.50, 19.90)")
  if low > high then error("between: the first number is greater than the second", 2) end
  return condition(
    function(value) value = as_number(value) return value ~= nil and value >= low and value <= high end,
    format("between %s and %s", text.plain(low), text.plain(high)), nil, nil, { from = low, to = high })
end

--- one_of(a, b, …) or one_of { a, b, … }: equal to one of them.
function words.one_of(...)
  local values = want_list("one_of", 'one_of("a", "b")', { string = true, number = true, boolean = true }, ...)
  local set = {}
  for _, value in ipairs(values) do set[value] = true end
  return condition(function(value) return value == value and set[value] == true end, "one of " .. listed(values), nil, nil,
    { values = values })
end

--- starts_with(a, …): a text that begins with one of them.
function words.starts_with(...)
  local values = want_list("starts_with", 'starts_with("+55")', { string = true }, ...)
  return condition(function(value)
    if type(value) ~= "string" then return false end
    for at = 1, #values do
      if sub(value, 1, #values[at]) == values[at] then return true end
    end
    return false
  end, "a text that starts with " .. listed(values), nil, #values)
end

--- ends_with(a, …): a text that ends with one of them.
function words.ends_with(...)
  local values = want_list("ends_with", 'ends_with("@ourcompany.example")', { string = true }, ...)
  return condition(function(value)
    if type(value) ~= "string" then return false end
    for at = 1, #values do
      local ending = values[at]
      if #ending == 0 or sub(value, -#ending) == ending then return true end
    end
    return false
  end, "a text that ends with " .. listed(values), nil, #values)
end

words.present = condition(function(value) return value ~= nil end, "present", "present")
words.missing = condition(function(value) return value == nil end, "missing", "missing")

-- One entry of a `when` table: a condition that is ready, or nil and what is wrong.
local function compile_one(path, want)
  local get, problem = text.path(path)
  if not get then return nil, problem end
  local kind = type(want)
  local one = { path = path, get = get, secret = text.is_secret(path) }
  if made[want] then
    one.test, one.kind, one.unmet, one.price = made[want].test, made[want].kind, "not " .. made[want].say,
      made[want].price
    one.meant = made[want].meant
    return one
  elseif kind == "function" then
    one.call, one.unmet = want, "and its function says no"
    return one
  elseif kind == "string" or kind == "number" or kind == "boolean" then
    one.test, one.unmet = function(value) return value == want end, "not " .. text.plain(want)
    one.meant = { values = { want } }
    return one
  elseif kind == "table" then
    if #want > 0 then return nil, format("%s has a list: write one_of(%s)", path, listed(want)) end
    local inner = next(want)
    return nil, format("%s has a table: write [\"%s.%s\"] = …", path, path, inner == nil and "name" or tostring(inner))
  end
  return nil, format("%s has %s: write a value, or over, under, between, one_of, starts_with, ends_with, missing, "
    .. "present", path, text.kind(want))
end

--- Compiles `when`: a function of the event, or a table of field = condition.
-- @treturn[1] table list of conditions, in the order of their paths
-- @treturn[2] nil
-- @treturn[2] string what is wrong
-- @treturn[2] string|nil the field it concerns
function M.compile(when)
  if type(when) == "function" then return { { whole = when } } end
  if made[when] or type(when) ~= "table" then
    return nil, "when must be { field = condition } or a function, not "
      .. (made[when] and "a condition alone" or text.kind(when))
  end
  local conditions = {}
  for path, want in pairs(when) do
    if type(path) ~= "string" then
      return nil, "when has a value without a field: write when = { field = condition }"
    end
    local ready, problem = compile_one(path, want)
    if not ready then return nil, problem, path end
    conditions[#conditions + 1] = ready
  end
  if #conditions == 0 then return nil, "when is empty: leave it away, or write a condition" end
  sort(conditions, function(a, b) return a.path < b.path end)
  return conditions
end

local function copy(value, count, depth)
  local kind = type(value)
  if kind == "table" then
    local numbers = 0
    if depth > M.MAX_VIEW_DEPTH then error("is nested deeper than " .. M.MAX_VIEW_DEPTH .. " levels", 0) end
    local twin = {}
    for key, inner in next, value do
      local key_kind = type(key)
      if key_kind == "string" or key_kind == "number" then
        count[1] = count[1] + 1
        if key_kind == "number" and key ~= 1 and rawget(value, key - 1) == nil then numbers = numbers + 1 end
        if count[1] > M.MAX_VIEW_VALUES then error("has more than " .. M.MAX_VIEW_VALUES .. " values", 0) end
        if key_kind == "string" and #key > M.MAX_VIEW_TEXT then error("has a name that is too long", 0) end
        twin[key] = copy(inner, count, depth + 1)
      end
    end
    return cost.note(numbers, twin)
  elseif kind == "string" then
    if #value > M.MAX_VIEW_TEXT then error(format("has a text of %d bytes", #value), 0) end
    return value
  elseif kind == "number" then
    -- JSON knows one kind of number, Lua 5.4 two: 990.0 would read "990.0" in a text
    if math_type and math_type(value) == "float" and floor(value) == value and value > -2^53 and value < 2^53 then
      return floor(value)
    end
    return value
  elseif kind == "boolean" then
    return value
  end
  return nil
end

-- A copy for a function, paid by the event; nil and why there is none.
local function view_of(value, pool)
  local count = { 0 }
  local ok, result = pcall(copy, value, count, 1)
  pool.steps = pool.steps - floor(count[1] / PER_STEP)
  if not ok then return nil, "the event " .. result .. ", more than a function may see" end
  return result
end

--- Calls a function of a script with a copy of the event (or of one value). Rules share a copy until one writes.
-- @tparam table context { event =, scope =, view =, pool = } of one event; `wrote`: its view may be changed
-- @treturn[1] true
-- @return[1] its result
-- @treturn[2] false
-- @treturn[2] string what went wrong, with the line
function M.call(context, fn, value, has_value)
  local pool = context.pool
  if not pool then
    pool = cost.pool(cost.EVENT)
    context.pool = pool
  end
  local argument, wrong
  if has_value and type(value) ~= "table" then
    argument = value
    if type(value) == "string" and #value > M.MAX_VIEW_TEXT then argument = sub(value, 1, M.MAX_VIEW_TEXT) end
  elseif has_value or not context.view then
    argument, wrong = view_of(has_value and value or context.event, pool)
    if wrong then return false, wrong end
    if not has_value then context.view = argument end
  else
    argument = context.view
  end
  local scope = context.scope
  local ok, result, at = sandbox.run(fn, argument, cost.FUNCTION, scope, pool)
  if ok then
    if at then context.wrote = true end
    return true, result
  end
  context.wrote = true
  return false, at and format("%s:%d: %s", scope.name, at, result) or result
end

--- Judges an event.
-- @treturn[1] true
-- @treturn[2] false
-- @treturn[2] table the condition that was not met
-- @return[2] the value it met
-- @treturn[3] nil
-- @treturn[3] string what went wrong in a function
function M.holds(conditions, context)
  local event = context.event
  for at = 1, #conditions do
    local one = conditions[at]
    if one.test then
      local value = one.get(event)
      if not one.test(value) then return false, one, value end
    else
      local value = one.get and one.get(event)
      local ok, result = M.call(context, one.call or one.whole, value, one.call ~= nil)
      if not ok then return nil, result end
      if not result then return false, one, value end
    end
  end
  return true
end

--- The sentence part for what `holds` returned with false: why the event does not meet the condition.
function M.explain(one, value)
  if one.whole then return "its function says no" end
  local path = one.path
  if value == nil then
    if one.kind == "present" then return path .. " is missing" end
    return path .. " is missing, " .. one.unmet
  end
  if type(value) == "string" and byte(value) == 43 then -- "+": a phone number
    return path .. " is " .. text.plain(value, true) .. ", " .. one.unmet
  end
  return path .. " is " .. text.plain(value, one.secret) .. ", " .. one.unmet
end

--- Does everything that meets one condition meet another of the same field?
local function implies(one, other)
  if one.call or other.call or one.whole or other.whole then return false end
  if one.unmet == other.unmet and one.kind == other.kind then return true end
  if other.kind == "present" then return one.kind ~= "missing" end
  local meant = one.meant
  if one.kind or other.kind or not meant then return false end
  if meant.values then
    for _, value in ipairs(meant.values) do
      if not other.test(value) then return false end
    end
    return true
  end
  local wide = other.meant or {}
  local low, high = meant.over or meant.from, meant.under or meant.to
  if wide.over then return low ~= nil and (low > wide.over or meant.over == wide.over) end
  if wide.under then return high ~= nil and (high < wide.under or meant.under == wide.under) end
  return wide.from ~= nil and low ~= nil and high ~= nil and low >= wide.from and high <= wide.to
end

--- Does every event that meets `narrow` meet `wide`? Both are lists of compile; nil: every event.
function M.covers(wide, narrow)
  for _, wanted in ipairs(wide or {}) do
    local met = false
    for _, one in ipairs(narrow or {}) do
      met = met or one.path == wanted.path and implies(one, wanted)
    end
    if not met then return false end
  end
  return true
end

--- True for a value that over(), missing … made.
function M.is_condition(value) return made[value] ~= nil end

return M
