--- Confinement: compiles a rules script and runs it, and later its functions, on a budget.
--
-- What it holds back: bytecode; every global of the host; endless loops and deep recursion (a count hook that
-- looks at every instruction where texts are joined: one can make twelve of one, sampling would come too late); the
-- host's string functions, which a script reaches through ("").rep whatever its environment says (the strings'
-- metatable points to the copies while a script runs). LuaJIT: compiled code runs no hooks, so the script, its
-- functions and the copies stay interpreted. There is no pcall, so nothing in a script can catch the end of its budget.
-- What it cannot do: work while the host itself is inside a debug hook or a C hook is set; the latter is refused.
-- Nothing yields in here, so hook and metatable are as before when a call returns, also among nginx's light threads.
local library = require "onemsg.rules.library"

local M = {}

local pcall, error, type, rawget, rawset, collect, clock, floor =
  pcall, error, type, rawget, rawset, collectgarbage, os.clock, math.floor
local sethook, gethook, getinfo = debug.sethook, debug.gethook, debug.getinfo
local string_meta = debug.getmetatable("")
local jit_off = rawget(_G, "jit") and rawget(_G, "jit").off

-- Budgets. A declaration takes some 30 steps, a usual function 10 to 100; a step is one instruction of the machine
-- and takes 0.05 to 0.2 microseconds while it is watched.
M.SCRIPT = { steps = 1000000, kilobytes = 8192, seconds = 2 }
M.FUNCTION = { steps = 100000, kilobytes = 1024, seconds = 0.5 }

-- The call under way. `mark`: the count of steps at which the clock is read again.
local steps, stride, mark, ceiling, deadline, why, stopped_at, budget, source, run

local function stop_script(reason)
  local level = 3
  while true do -- the innermost line that is the script's own
    local info = getinfo(level, "Sl")
    if not info or level > 40 then break end
    if info.source == source then
      stopped_at = info.currentline
      break
    end
    level = level + 1
  end
  why = reason
  error(reason, 0)
end

local function watch()
  steps = steps - stride
  if steps < mark or collect("count") > ceiling then
    if getinfo(2, "f").func == run then return end -- the script has ended, these are run's own instructions
    if steps < 0 then stop_script("it ran too long, more than " .. budget.steps .. " steps") end
    if collect("count") > ceiling then
      stop_script("it used too much memory, more than " .. floor(budget.kilobytes / 1024) .. " MB")
    end
    if clock() > deadline then stop_script("it ran too long, more than " .. budget.seconds .. " s") end
    mark = steps > 1000 and steps - 1000 or 0
  end
end

-- The library's matcher counts its own steps, at full speed, from the same budget.
library.pause = function()
  sethook()
  return steps
end
library.resume = function(left)
  steps = left or steps
  sethook(watch, "", stride)
end
library.exhausted = function() stop_script("it ran too long, more than " .. budget.steps .. " steps") end

local Complaint = {}

--- Ends a script with a sentence of ours and the line it concerns.
function M.complain(sentence, line) error(setmetatable({ sentence = sentence, line = line }, Complaint), 0) end

--- Sentence and line of what `complain` raised; nil for any other error.
function M.complaint(raised)
  if getmetatable(raised) == Complaint then return raised.sentence, raised.line end
end

--- The line of the script that is being run, seen from a function the script called.
function M.line_here()
  for level = 2, 30 do
    local info = getinfo(level, "Sl")
    if info and info.source == source then return info.currentline end
  end
end

library.complain = function(sentence) M.complain(sentence, M.line_here()) end

-- Lua's own sentences (5.4's, LuaJIT's) for what goes wrong most, and ours: the same on both.
local PLAIN = {
  { "index", "'%s' is missing, and the script looks into it" },
  { "perform arithmetic on", "'%s' is missing, and the script calculates with it" },
  { "concatenate", "'%s' is missing, and the script joins it to a text" },
  { "call", "there is no function '%s'" },
}

local function plain(message)
  for _, one in ipairs(PLAIN) do
    local name = message:match("^attempt to " .. one[1] .. " a nil value %(%a+ '(.-)'%)")
      or message:match("^attempt to " .. one[1] .. " %a+ '(.-)' %(a nil value%)")
    if name then return one[2]:format(name) end
  end
  if message:find("^attempt to index a string value") then return "a text has no fields to set" end
  if message:find("^attempt to compare") and message:find("nil", 1, true) then
    return "it compares with a value that is missing"
  elseif message:find("stack overflow", 1, true) then
    return "functions call each other without end"
  end
  return message
end

-- In plain words what went wrong inside a script, and the line when it is known.
local function describe(message, chunk_name)
  if why then return why, stopped_at end
  if getmetatable(message) == Complaint then return message.sentence, message.line end
  if type(message) == "number" then message = tostring(message) end
  if type(message) ~= "string" then return "it raised an error that is not a text", nil end
  local first = message:match("^[^\r\n]*"):sub(1, 300)
  local name, number, rest = first:match("^(.-):(%d+): (.*)$")
  if name ~= chunk_name then return plain(first), nil end
  return plain(rest), tonumber(number)
end

--- Runs a function of a script.
-- @tparam function fn
-- @param argument its one argument
-- @tparam table limits SCRIPT or FUNCTION
-- @tparam table scope what `compile` returned
-- @treturn[1] true
-- @return[1] what the function returned first
-- @treturn[2] false
-- @treturn[2] string what went wrong
-- @treturn[2] number|nil the line
function run(fn, argument, limits, scope)
  local hook, mask, count = gethook()
  if hook ~= nil and type(hook) ~= "function" then
    return false, "a debug hook written in C is set in this process: rules cannot be held to their budget under it"
  end
  local strings = string_meta and rawget(string_meta, "__index")
  source, budget, stride, why, stopped_at = scope.source, limits, scope.stride, nil, nil
  steps, mark = limits.steps, limits.steps - 1000
  ceiling, deadline = collect("count") + limits.kilobytes, clock() + limits.seconds
  if string_meta then rawset(string_meta, "__index", scope.strings) end
  sethook(watch, "", stride)
  local ok, result = pcall(fn, argument)
  sethook(hook, mask, count)
  if string_meta then rawset(string_meta, "__index", strings) end
  if ok then return true, result end
  return false, describe(result, scope.name)
end
M.run = run

-- What Lua says of a mistake in the form, with the hint that most often is the answer.
local HINTS = { -- the first that is found
  { "unfinished string", "the closing quote is missing" },
  { "unfinished long", "the closing brackets are missing" },
  { "near '?<eof>", "the script ends in the middle: is a bracket or a quote not closed?" },
  { "'[%)}]' expected", "is a comma missing at the end of the line above?" },
  { "near '='", "outside of { } nothing is set with '=': is a { missing?" },
  { "syntax error near", "a declaration looks like: confirm \"Name\" { on = \"…\" }" },
  { "unexpected symbol", "is a quote or a comma missing?" },
}

local function hint(message)
  for _, pair in ipairs(HINTS) do
    if message:find(pair[1]) then return pair[2] end
  end
end

--- Compiles a script, without running it.
-- @tparam string text
-- @tparam string name how messages call it
-- @tparam table environment what the script sees as its globals
-- @tparam boolean joins whether `..` occurs in it: without it no instruction makes much of little, and the hook may
--   look at every 16th only
-- @treturn[1] function
-- @treturn[1] table scope, for `run`
-- @treturn[2] nil
-- @treturn[2] string sentence
-- @treturn[2] number|nil line
function M.compile(text, name, environment, joins)
  text = text:gsub("^\239\187\191", "") -- the mark some editors put in front
  if text:byte(1) == 27 then
    return nil, "this is compiled bytecode, not a text; rules are written as text"
  end
  if text:find("\0", 1, true) then return nil, "this is not a text: it holds zero bytes" end
  -- pcall keeps an error handler of the host away, which 5.4 calls when its parser's stack ends
  local _, fn, message = pcall(load, text, "=" .. name, "t", environment.globals)
  if not fn then
    message = tostring(message):match("^[^\r\n]*")
    if message:find("overflow", 1, true) or message:find("syntax levels", 1, true) then
      return nil, "brackets are nested too deep"
    end
    local number, rest = message:match("^.-:(%d+): (.*)$")
    local advice = hint(message)
    return nil, (rest or message) .. (advice and ": " .. advice or ""), tonumber(number)
  end
  if jit_off then jit_off(fn, true) end
  return fn, { name = name, source = "=" .. name, strings = environment.strings, stride = joins and 1 or 16 }
end

-- What the hook watches must not be compiled, and the watcher need not be.
if jit_off then
  jit_off(watch)
  jit_off(run)
end

return M
