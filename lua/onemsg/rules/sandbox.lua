--- Confinement: compiles a rules script and runs it, and later its functions, on a budget.
--
-- What it holds back: bytecode; every global of the host; endless loops and deep recursion (a count hook that
-- looks at every instruction where texts are joined: one can make twelve of one, sampling would come too late); the
-- host's string functions, which a script reaches through ("").rep whatever its environment says (the strings'
-- metatable points to the copies while a script runs). LuaJIT: compiled code runs no hooks, so the script, its
-- functions and the copies stay interpreted. There is no pcall, so nothing in a script can catch the end of its budget.
-- What it cannot do: work while the host itself is inside a debug hook or a C hook is set; the latter is refused.
-- Nothing yields in here, so hook and metatable are as before when a call returns, also among nginx's light threads.
local letters = require "onemsg.base.utf8"
local complaint = require "onemsg.rules.complaint"
local cost = require "onemsg.rules.cost"
local meter = require "onemsg.rules.meter"
local source = require "onemsg.rules.source"

local M = {}

local pcall, xpcall, type, rawget, rawset, tostring, tonumber, setmetatable, getmetatable =
  pcall, xpcall, type, rawget, rawset, tostring, tonumber, setmetatable, getmetatable
local sub, match, find = string.sub, string.match, string.find
local unpack = rawget(_G, "unpack") or rawget(table, "unpack")
local string_meta = debug.getmetatable("")

local MAX_SENTENCE = 300 -- bytes of an error that are looked at, characters that are said

M.complain, M.complaint, M.line_here = complaint.complain, complaint.complaint, complaint.line_here

-- Lua's own sentences (5.4's, LuaJIT's) for what goes wrong most, and ours: the same on both.
local USES = {
  { "index", "'%s' is missing, and the script looks into it", "'%s' is %s, and the script looks into it" },
  { "call", "there is no function '%s'", "'%s' is %s and cannot be called" },
}
local KINDS = { number = "a number", string = "a text", boolean = "true or false", table = "a table",
  ["function"] = "a function" }

local function plain(message)
  for _, use in ipairs(USES) do
    local kind, name = match(message, "^attempt to " .. use[1] .. " an? (%a+) value %(%a+ '(.-)'%)")
    if not kind then name, kind = match(message, "^attempt to " .. use[1] .. " %a+ '(.-)' %(an? (%a+) value%)") end
    if kind == "nil" then return use[2]:format(name) end
    if kind then return use[3]:format(name, KINDS[kind] or "a " .. kind) end
  end
  if find(message, "^attempt to compare") and find(message, "nil", 1, true) then
    return "it compares with a value that is missing"
  elseif find(message, "stack overflow", 1, true) then
    return "functions call each other without end"
  end
  return message
end

local Caught = {}

-- Notes where in the script an error came up that does not say so itself.
local function note(raised)
  if type(raised) ~= "string" then return raised end
  return setmetatable({ message = raised, line = complaint.line_here() }, Caught)
end

--- In plain words what went wrong inside a script, and the line when it is known.
local function describe(raised, scope)
  local sentence, line = complaint.complaint(raised)
  if sentence then return sentence, line end
  local message = raised
  if type(raised) == "table" and getmetatable(raised) == Caught then message, line = raised.message, raised.line end
  if type(message) ~= "string" then return "it raised an error that is not a text", nil end
  message = match(sub(message, 1, MAX_SENTENCE), "^[^\r\n]*")
  local own = scope.name .. ":"
  if sub(message, 1, #own) == own then
    local number, rest = match(sub(message, #own + 1), "^(%d+): (.*)$")
    if number then message, line = rest, tonumber(number) end
  else
    message = match(message, "^%S-%.lua:%d+: (.*)$") or message
  end
  return letters.line(letters.repair(plain(message), MAX_SENTENCE)), line
end

--- Runs a function of a script.
-- @tparam function fn
-- @param argument its one argument
-- @tparam table limits of rules.cost
-- @tparam table scope what `compile` returned
-- @tparam table pool what this call shares with others
-- @treturn[1] true
-- @return[1] what the function returned first
-- @treturn[1] boolean whether it wrote into any table
-- @treturn[2] false
-- @treturn[2] string what went wrong
-- @treturn[2] number|nil the line
local function run(fn, argument, limits, scope, pool)
  local strings = rawget(string_meta, "__index")
  local watched = complaint.watch(scope.source)
  cost.begin(limits, pool, scope, run)
  rawset(string_meta, "__index", scope.strings)
  local ok, result = xpcall(fn, note, argument)
  rawset(string_meta, "__index", strings)
  local wrote = cost.finish(pool)
  complaint.watch(watched)
  if ok then return true, result, wrote end
  return false, describe(result, scope)
end
M.run = run

-- What Lua says of a mistake in the form, with the hint that most often is the answer.
local HINTS = { -- the first that is found
  { "unfinished string", "the closing quote is missing" },
  { "unfinished long", "the closing brackets are missing" },
  { "near '?<eof>", "the script ends in the middle: is a bracket or a quote not closed?" },
  { "'}' expected near '='", 'a name with a dot is written ["plan.kind"] = …, and between two conditions stands a comma' },
  { "'}' expected near ':'", "a value is set with =, as in on = \"order.paid\"" },
  { "'?<name>'? expected near", "a value is set with =, as in on = \"order.paid\"" },
  { "'%)' expected near '='", "behind its name a declaration has { }, not ( )" },
  { "'[%)}]' expected", "is a comma missing at the end of the line above?" },
  { "near '='", "outside of { } nothing is set with '=': is a { missing?" },
  { "syntax error near", "a declaration looks like: confirm \"Name\" { on = \"…\" }" },
  { "unexpected symbol near '}'", "is there a } too many?" },
  { "unexpected symbol", "is a quote or a comma missing?" },
}

local function hint(message)
  for _, pair in ipairs(HINTS) do
    if message:find(pair[1]) then return pair[2] end
  end
end

-- Lua's sentence for a text that is no script, in ours, and the line.
local function refusal(message)
  message = match(tostring(message), "^[^\r\n]*")
  if find(message, "overflow", 1, true) or find(message, "syntax levels", 1, true) then
    return "brackets are nested too deep"
  end
  local number, rest = match(message, "^.-:(%d+): (.*)$")
  local advice = hint(message)
  return (rest or message) .. (advice and ": " .. advice or ""), tonumber(number)
end

--- Compiles a script, without running it.
-- @tparam string text
-- @tparam string name how messages call it
-- @tparam table environment what the script sees as its globals
-- @tparam ?function breathe called between the pieces of the work
-- @treturn[1] function
-- @treturn[1] table scope, for `run`
-- @treturn[2] nil
-- @treturn[2] string sentence
-- @treturn[2] number|nil line
function M.compile(text, name, environment, breathe)
  breathe = breathe or function() end
  text = text:gsub("^\239\187\191", "") -- the mark some editors put in front
  if text:byte(1) == 27 then
    return nil, "this is compiled bytecode, not a text; rules are written as text"
  end
  local wrong, line = source.no_text(text)
  if not wrong then wrong, line = source.odd(text) end -- LuaJIT would take such letters in names
  if wrong then return nil, wrong, line end
  breathe()
  -- pcall keeps an error handler of the host away, which 5.4 calls when its parser's stack ends
  local _, fn, message = pcall(load, text, "=" .. name, "t", environment.globals)
  if not fn then return nil, refusal(message) end
  breathe()
  local ok, metered = pcall(meter.write, text, breathe)
  if not ok then
    local sentence, at = complaint.complaint(metered)
    if sentence then return nil, sentence, at end
    error(metered, 0)
  end
  breathe()
  _, fn, message = pcall(load, metered, "=" .. name, "t", environment.globals)
  if not fn then
    local sentence, at = refusal(message)
    return nil, "this is too much for one function: " .. sentence, at
  end
  local operators = {}
  for at, operator in ipairs(meter.OPERATORS) do operators[at] = cost.operators[operator] end
  return function() return fn(unpack(operators)) end,
    { name = name, source = "=" .. name, strings = environment.strings, kept = {} }
end

return M
