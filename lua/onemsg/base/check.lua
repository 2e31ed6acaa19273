--- onemsg.base.check: a mistake of a programmer is raised at the line that made it, and told without one to others; and the
-- options of a call, held against what it takes.
local duration = require "onemsg.base.duration"
local plain = require "onemsg.base.utf8"
local suggest = require "onemsg.base.suggest"

local M = {}

local NAME_BYTES = 40 -- of an unknown name that is repeated

--- Raises the sentence with the position of the first caller that is none of our files. Never returns.
-- For use by a check that is called by a public function; needs `onemsg` loaded to look past more callers than that.
function M.misuse(sentence)
  local core = package.loaded["onemsg.core"]
  if core then core.raise(sentence) end
  error(sentence, 4)
end

--- "a number or a string"
local function spoken(kinds)
  return "a " .. kinds:gsub(" ", " or a ")
end

--- What a value becomes; nil and why it is refused, which reads on after its name.
local function read(value, kinds)
  if kinds == "duration" or kinds == "delay" then
    local seconds, form = duration.seconds(value)
    if not seconds then return nil, "must be " .. form end
    if kinds == "duration" and seconds == 0 then return nil, "must be more than 0" end
    return seconds
  elseif kinds == "time" then
    if type(value) == "number" and value - value == 0 then return value end
    return nil, "must be seconds since 1970, a number"
  elseif type(kinds) == "table" then
    local least, most = kinds[1], kinds[2]
    if type(value) == "number" and value >= least and value <= most and value % 1 == 0 then return value end
    return nil, ("must be a whole number from %.0f to %.0f"):format(least, most)
  elseif not (" " .. kinds .. " "):find(" " .. type(value) .. " ", 1, true) then
    return nil, ("must be %s, not a %s"):format(spoken(kinds), type(value))
  elseif type(value) == "number" and not (value > 0 and value < math.huge) then
    return nil, "must be more than 0"
  end
  return value
end

--- Options held against what a call takes.
-- @tparam string call as sentences begin: "workflow.open"
-- @param given a table, or nil for none
-- @tparam table takes name → the kinds of value, by the words of type() with blanks between (a number is then one
--   above 0); "duration": seconds above 0, as a number or a text; "delay": the same, or 0; "time": seconds since
--   1970; { 1, 5 }: a whole number from 1 to 5
-- @tparam ?string noun what the names are; "option"
-- @treturn ?table a copy, its durations in seconds
-- @treturn string with nil: a whole sentence
function M.read(call, given, takes, noun)
  if given == nil then return {} end
  noun = noun or "option"
  if type(given) ~= "table" then return nil, ("%s takes a table of %ss, not a %s"):format(call, noun, type(given)) end
  local options = {}
  for name, value in pairs(given) do
    local kinds = takes[name]
    if not kinds then
      local shown = plain.cut(tostring(name), NAME_BYTES)
      local near = suggest.phrase(shown, takes)
      if near == "" then near = "; it has " .. table.concat(suggest.words(takes), ", ") end
      return nil, ("%s has no %s '%s'%s"):format(call, noun, shown, near)
    end
    local taken, why = read(value, kinds)
    if why then return nil, ("%s: %s %s"):format(call, name, why) end
    options[name] = taken
  end
  return options
end

--- The same; what is wrong is raised.
function M.options(call, given, takes, noun)
  local options, why = M.read(call, given, takes, noun)
  if not options then M.misuse(why) end
  return options
end

local function ended(core, before, ...)
  core.positions(before)
  return ...
end

--- pcall for calls of our own, whose mistakes are read by whoever gets a ticket: misuse within has no position.
-- @tparam function f must not yield
-- @treturn boolean
-- @return what f returns, or the sentence
function M.attempt(f, ...)
  local core = require "onemsg.core"
  local before = core.positions(false)
  return ended(core, before, pcall(f, ...))
end

return M
