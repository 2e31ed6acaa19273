--- What a rules script costs, counted in steps: one for each word of it that is gone through, and for what one word can
-- make dear (a text's bytes, a list's length, a crowded table) as many more as the work it stands for.
--
-- rules_meter puts the calls of `operators` into a script; rules_library charges for its functions. Nothing here asks a
-- clock or the collector: the same event costs the same on every machine and decides the same each time.
-- A step is worth at most about a tenth of a microsecond of work and 64 bytes of memory.
local complaint = require "onemsg.rules.complaint"
local numbers = require "onemsg.base.number"
local text = require "onemsg.rules.text"

local M = {}

local type, next, rawget, getmetatable, setmetatable, tonumber, floor, huge, format, concat, getinfo =
  type, next, rawget, getmetatable, setmetatable, tonumber, math.floor, math.huge, string.format, table.concat,
  debug.getinfo
local fail, kind_of = complaint.fail, text.kind

-- Budgets. A load is the script, the judging of what it declared and all of its examples; an event is every function
-- of every rule that it meets. A declaration takes some 50 steps, a usual function 10 to 100.
M.LOAD = { steps = 4000000, bytes = 67108864, who = "it" }
M.EVENT = { steps = 1000000, bytes = 33554432, who = "all rules' functions together" }
M.FUNCTION = { steps = 200000, bytes = 8388608, who = "it" }
M.EXAMPLES = { steps = M.LOAD.steps, bytes = M.LOAD.bytes, who = "the script with all its examples" }

M.MAX_TEXT = 65536       -- bytes of a text that a script may make
M.MAX_DEPTH = 150        -- functions inside functions: with 250 registers each they fit LuaJIT's smallest stack
local EVERY = 32         -- calls between two looks at the depth
local MAX_NUMERAL = 200  -- bytes of a text that counts as a number; Lua's own limit for one
local PER_STEP = 64      -- bytes that one step makes, copies or compares

-- The call under way.
local left, memory = 0, 0
local steps_of, bytes_of = M.FUNCTION, M.FUNCTION -- whose limits these are, for the sentence
local kept = {}          -- tables of the script that outlive the call: not to be changed
local call, entries, wrote, base = 0, 0, false, nil
local granted, granted_bytes = 0, 0
local calls, depth, outer, NONE = 0, 0, {}, {}

--- Steps that the last call took; that the last script took to be loaded, its examples apart.
M.spent, M.script = 0, 0

-- Per table what makes it dearer than its contents say. Weak: they go with their table.
local sparse = setmetatable({}, { __mode = "k" })  -- numbers as names that follow no other: they may share one place
local emptied = setmetatable({}, { __mode = "k" }) -- { names gone, the most it held }: room for them is looked through

local function too_long()
  left = 0 -- what was too dear was not done
  fail(format("%s ran too long, more than %d steps", steps_of.who, steps_of.steps))
end

local function charge(steps)
  left = left - steps
  if left < 0 then too_long() end
end
M.charge = charge

--- Pays for a text of so many bytes: the work, and the memory, which a call never gets back.
local function take(bytes)
  memory = memory - bytes
  left = left - floor(bytes / PER_STEP) - 1
  if left < 0 then too_long() end
  if memory < 0 then
    memory = 0
    fail(format("%s used too much memory, more than %d MB", bytes_of.who, floor(bytes_of.bytes / 1048576)))
  end
end
M.take = take

--- The steps that this call may still take.
function M.left() return left end

--- Pays for reading or comparing so many bytes.
function M.read(bytes) charge(floor(bytes / PER_STEP)) end

--- Raises when a text that is about to be made is longer than one may be.
function M.want_size(bytes, name)
  if bytes > M.MAX_TEXT then fail(format("%s: the text would be longer than %d bytes", name, M.MAX_TEXT)) end
end

-- Budgets ----------------------------------------------------------------------------------------------------------

--- What several calls share.
function M.pool(limits) return { steps = limits.steps, bytes = limits.bytes, limits = limits } end

--- A part of what is left of the call under way, for calls that are asked for by it; `settle` pays for what they used.
function M.share(limits, whole)
  local pool = { steps = limits.steps, bytes = limits.bytes, limits = limits }
  if left < pool.steps or memory < pool.bytes then pool.limits = whole end
  if left < pool.steps then pool.steps = left end
  if memory < pool.bytes then pool.bytes = memory end
  pool.all, pool.all_bytes = pool.steps, pool.bytes
  return pool
end

function M.settle(pool)
  memory = memory - (pool.all_bytes - pool.bytes)
  charge(pool.all - pool.steps)
  take(0)
end

--- Begins a call: at most `limits`, and no more than the pool still has. Calls may lie in one another.
-- @tparam table scope of the script whose function is called; nil: work of ours for a script
-- @tparam function runner where the stack of the call begins
function M.begin(limits, pool, scope, runner)
  if depth > 0 then outer[depth] = { left, memory, granted, granted_bytes, steps_of, bytes_of, kept, call, entries, base } end
  depth = depth + 1
  local shared = pool.limits
  left, steps_of = limits.steps, limits
  if pool.steps < left then left, steps_of = pool.steps, shared end
  memory, bytes_of = limits.bytes, limits
  if pool.bytes < memory then memory, bytes_of = pool.bytes, shared end
  granted, granted_bytes = left, memory
  kept, entries, wrote, base = scope and scope.kept or NONE, 0, false, runner
  calls = calls + 1
  call = calls
end

--- Ends it: the pool pays, and what was under way before goes on.
-- @treturn boolean whether the call wrote into any table
function M.finish(pool)
  local changed, spent = wrote, granted - left
  M.spent = spent
  pool.steps, pool.bytes = pool.steps - spent, pool.bytes - (granted_bytes - memory)
  depth = depth - 1
  if depth > 0 then
    local was = outer[depth]
    left, memory, granted, granted_bytes, steps_of, bytes_of, kept, call, entries, base =
      was[1], was[2], was[3], was[4], was[5], was[6], was[7], was[8], was[9], was[10]
  end
  return changed
end

--- Lets others run in the middle of our own work for a script, between two calls of its functions. They may judge, load and
-- decide meanwhile; nothing of ours is left where they find it.
function M.apart(breathe)
  local was = { left, memory, granted, granted_bytes, steps_of, bytes_of, kept, call, entries, base }
  local was_wrote, was_depth, was_outer, was_spent = wrote, depth, outer, M.spent
  depth, outer = 0, {}
  local judged = complaint.judge(nil)
  breathe()
  complaint.judge(judged)
  left, memory, granted, granted_bytes, steps_of, bytes_of, kept, call, entries, base =
    was[1], was[2], was[3], was[4], was[5], was[6], was[7], was[8], was[9], was[10]
  wrote, depth, outer, M.spent = was_wrote, was_depth, was_outer, was_spent
end

-- Words of a script ------------------------------------------------------------------------------------------------

local function the(label) return label ~= "" and "'" .. label .. "'" or "a value" end

-- What is wrong with a value that was to be looked into, calculated with, joined.
local function unfit(label, value, use)
  if value == nil then fail(format("%s is missing, and the script %s", the(label), use)) end
  fail(format("%s is %s, and the script %s", the(label), kind_of(value), use))
end

--- Pays for finding a name in a table. One that holds many numbers as names, in a row of somebody's choosing, may have
-- to go through the others to find one.
local function look(t, key)
  local kind = type(key)
  if kind == "string" then
    if #key > PER_STEP then charge(floor(#key / PER_STEP)) end
  elseif kind == "number" then
    local count = sparse[t]
    if count then charge(floor(count / 16)) end
  end
end
M.look = look

-- A name is given up: room stays, and the next new name may have to look through all of it.
local function give_up(t)
  local gone = emptied[t]
  if not gone then
    local count = 0
    for _ in next, t do count = count + 1 end
    charge(floor(count / 8))
    gone = { 0, count }
    emptied[t] = gone
  end
  gone[1] = gone[1] + 1
end

local function new_name(t, key)
  left = left - 4
  if type(key) == "number" and key ~= 1 and rawget(t, key - 1) == nil then sparse[t] = (sparse[t] or 0) + 1 end
  local gone = emptied[t]
  if gone then
    charge(gone[2])
    gone[2] = gone[2] + 1
    gone[1] = gone[1] - 1
    if gone[1] == 0 then emptied[t] = nil end
  end
end

--- Sets a field of a table of the script, and pays for it.
function M.put(t, key, value)
  if kept[t] then
    fail("a function cannot change a table that was made outside of it: rules keep nothing from event to event")
  end
  wrote = true
  charge(1)
  if getmetatable(t) ~= nil then -- what we gave it; it says itself why it cannot be changed
    t[key] = value
    return
  end
  if key == nil or key ~= key then fail("a field is set whose name is missing") end
  look(t, key)
  local old = t[key]
  if old == nil then
    if value == nil then return end
    new_name(t, key)
  elseif value == nil then
    give_up(t)
  end
  t[key] = value
end
local put = M.put

--- What a table once held at most, when it gave up some of it: reading all of it goes through that room.
function M.room(t)
  local gone = emptied[t]
  return gone and gone[2] or 0
end

--- Notes how many numbers as names a table has that was not filled by `put`.
local function note(count, t)
  if count > 8 then sparse[t] = (sparse[t] or 0) + count end
  return t
end
M.note = note

--- Ends a call that goes deeper than functions may call each other.
local function look_deep()
  if not getinfo(M.MAX_DEPTH + 3, "f") then return end
  for level = 3, M.MAX_DEPTH + 3 do
    if getinfo(level, "f").func == base then return end
  end
  fail("functions call each other without end")
end

local ORDERED = { number = true, string = true }

--- What rules_meter writes into a script, by the names it uses.
M.operators = {
  step = charge,
  enter = function(steps)
    entries = entries + 1
    if entries % EVERY == 0 then look_deep() end
    left = left - steps
    if left < 0 then too_long() end
  end,
  get = function(label, t, key)
    if type(t) ~= "table" then
      if type(t) ~= "string" then unfit(label, t, "looks into it") end
      return t[key]
    end
    look(t, key)
    return t[key]
  end,
  set = function(label, t, key, value)
    if type(t) == "string" then fail("a text has no fields to set") end
    if type(t) ~= "table" then unfit(label, t, "looks into it") end
    put(t, key, value)
  end,
  key = function(key)
    if type(key) == "string" then charge(floor(#key / PER_STEP)) end
    return key
  end,
  list = note,
  length = function(label, value)
    if type(value) == "table" then
      charge(floor((sparse[value] or 0) / 4) + 2)
    elseif type(value) ~= "string" then
      unfit(label, value, "asks for its length")
    end
    return #value
  end,
  number = function(label, value)
    if type(value) == "number" then return value end
    if type(value) == "string" then
      local number = #value <= MAX_NUMERAL and tonumber(value)
      if number then return number end
      fail(format("%s is a text that is no number, and the script calculates with it", the(label)))
    end
    unfit(label, value, "calculates with it")
  end,
  join = function(count, labels, a, b, ...)
    if count == 2 and type(a) == "string" and type(b) == "string" then
      M.want_size(#a + #b, "..")
      take(#a + #b)
      return a .. b
    end
    local parts, size = { a, b, ... }, 0
    for at = 1, count do
      local part = parts[at]
      if type(part) == "number" then
        part = M.written(part)
        parts[at] = part
      elseif type(part) ~= "string" then
        local label = 1
        for one in (labels .. "|"):gmatch("([^|]*)|") do
          if label == at then unfit(one, part, "joins it to a text") end
          label = label + 1
        end
      end
      size = size + #part
    end
    M.want_size(size, "..")
    take(size)
    return concat(parts, "", 1, count)
  end,
  compare = function(operator, a, b)
    local kind = type(a)
    if operator == "==" or operator == "~=" then
      if kind == "string" and type(b) == "string" and #a == #b then charge(floor(#a / PER_STEP)) end
      if operator == "==" then return a == b end
      return a ~= b
    end
    if kind ~= type(b) or not ORDERED[kind] then
      if a == nil or b == nil then fail("it compares with a value that is missing") end
      fail(format("it compares %s with %s", kind_of(a), kind_of(b)))
    end
    if kind == "string" then charge(floor((#a < #b and #a or #b) / PER_STEP)) end
    if operator == "<" then return a < b elseif operator == ">" then return a > b
    elseif operator == "<=" then return a <= b end
    return a >= b
  end,
  call = function() return call end, -- the call a variable belongs to
  own = function(born, name)
    if born ~= call then
      fail(format("a function cannot set '%s', which was made outside of it: rules keep nothing from event to event",
        name))
    end
  end,
}

--- A number as it stands in a sentence.
function M.numeral(n) return text.number(n) or n ~= n and "nan" or n > 0 and "inf" or "-inf" end

--- A number that becomes part of a text which people may read.
function M.written(n)
  local written, wrong = numbers.text(n)
  if not written and n == n and n < huge and n > -huge then fail("a number that becomes a text " .. wrong) end
  return written or M.numeral(n)
end

return M
