--- onemsg.cli.args: what was typed behind `onemsg send`, held against what the command takes. Pure.
--
-- A command (onemsg.cmd.*) describes itself:
--   summary   = "one line"
--   arguments = { { "ID", "what it is", optional = true }, … }
--   options   = { { "phone", "NUMBER", "what it is" }, { "full", false, "a switch" }, … }; a third kind of field:
--               list = true (may be given again), number = least (whole, unless broken = true), seconds = true (also "30s"),
--               past = true (seconds ago: "2h", "2026-11-26")
--   examples  = { "onemsg send --phone …" }
--   alone     = true: works without the settings of this machine
-- Options of all commands: --json, --help.
local suggest = require "onemsg.base.suggest"
local duration = require "onemsg.base.duration"

local M = {}

M.COMMON = {
  { "json", false, "JSON on standard output: an object, or one a line" },
  { "help", false, "this text" },
}

local function option_table(command)
  local known = {}
  for _, list in ipairs { command.options or {}, M.COMMON } do
    for _, option in ipairs(list) do known[option[1]] = option end
  end
  return known
end

--- How many seconds ago a day began, or a minute of it was, by the clock of this place; nil: it is no day.
local function since(text)
  local year, month, day, rest = text:match "^(%d%d%d%d)%-(%d%d)%-(%d%d)(.*)$"
  local hour, minute = (rest or ""):match "^[ T](%d%d):(%d%d)$"
  if not year or rest ~= "" and not hour then return nil end
  local time = os.time { year = tonumber(year), month = tonumber(month), day = tonumber(day), hour = tonumber(hour or 0),
                         min = tonumber(minute or 0) }
  if os.date("%m-%d", time) ~= month .. "-" .. day then return nil end -- the 31st of April
  return os.time() - time
end

--- The text of an option as its value; nil and why not.
local function read(option, text)
  if option.number then
    local number = text:match "^%d+%.?%d*$" and tonumber(text)
    if number and number >= option.number and (number % 1 == 0 or option.broken) then return number end
    return nil, ("--%s takes a %snumber from %g, not '%s'"):format(option[1], option.broken and "" or "whole ",
      option.number, text)
  elseif option.past then
    local value = duration.seconds(text, true) or since(text)
    if not value then
      return nil, ("--%s takes a time such as 2h or 7d, or a day such as 2026-11-26 or \"2026-11-26 14:30\", not '%s'"):format(
        option[1], text)
    end
    return value
  elseif option.seconds then
    local value = duration.seconds(text, true)
    if not value then
      return nil, ('--%s takes seconds, or a text such as 30s, 10m, 6h, not \'%s\''):format(option[1], text)
    end
    return value
  end
  return text
end

local function keep(values, option, text)
  local key = option[1]:gsub("%-", "_")
  local value, why = read(option, text)
  if value == nil then return nil, why end
  if option.list then
    values[key] = values[key] or {}
    table.insert(values[key], value)
  elseif values[key] ~= nil then
    return nil, ("--%s is given twice"):format(option[1])
  else
    values[key] = value
  end
  return true
end

--- Takes one option at args[i].
-- @treturn ?number how many of args it took
local function take(values, known, args, i)
  local name, text = args[i]:match "^%-%-([^=]+)=(.*)$"
  name = name or args[i]:match "^%-%-(.+)$" or (args[i] == "-h" and "help")
  local option = known[name or ""]
  if not option then
    return nil, ("there is no option %s%s"):format(args[i]:match "^[^=]*", suggest.phrase(name or "", known):gsub("'", "'--", 1))
  elseif not option[2] then
    if text then return nil, ("--%s takes no value"):format(name) end
    values[name:gsub("%-", "_")] = true
    return 1
  end
  local taken = text and 1 or 2
  text = text or args[i + 1]
  if not text or taken == 2 and text:find "^%-%-%a" then
    return nil, ("--%s takes a value: %s"):format(name, option[2])
  end
  local kept, why = keep(values, option, text)
  return kept and taken, why
end

local function check_count(command, values)
  local arguments = command.arguments or {}
  for n, argument in ipairs(arguments) do
    if not values[n] and not argument.optional then
      return nil, ("%s is missing: %s"):format(argument[1], argument[2])
    end
  end
  local last = arguments[#arguments]
  if #values > #arguments and not (last and last.list) then
    return nil, ("what is '%s'? It takes %s"):format(values[#arguments + 1], #arguments == 0 and "no arguments"
      or #arguments == 1 and "one argument" or #arguments .. " arguments")
  end
  return values
end

--- Reads the arguments of a command.
-- @tparam table command
-- @tparam table args texts
-- @treturn ?table positional arguments by number, options by name (dashes as _)
-- @treturn string with nil: what is wrong
function M.parse(command, args)
  local known, values, i, only_arguments = option_table(command), {}, 1, false
  while args[i] do
    if only_arguments or not args[i]:find "^%-." then
      values[#values + 1] = args[i]
      i = i + 1
    elseif args[i] == "--" then
      only_arguments, i = true, i + 1
    else
      local taken, why = take(values, known, args, i)
      if not taken then return nil, why end
      i = i + taken
    end
  end
  if values.help then return values end
  return check_count(command, values)
end

--- The help of a command.
function M.help(name, command)
  local usage = { "onemsg", name }
  local lines = { command.summary, "", "", "" }
  local function line(left, right) lines[#lines + 1] = ("  %-24s %s"):format(left, right) end
  for _, argument in ipairs(command.arguments or {}) do
    usage[#usage + 1] = argument.optional and "[" .. argument[1] .. "]" or argument[1]
    line(argument[1], argument[2])
  end
  lines[3] = "usage: " .. table.concat(usage, " ") .. " [options]"
  for _, list in ipairs { command.options or {}, M.COMMON } do
    for _, option in ipairs(list) do
      line("--" .. option[1] .. (option[2] and " " .. option[2] or ""), option[3])
    end
  end
  lines[#lines + 1] = "\nexample" .. (command.examples[2] and "s" or "") .. ":"
  for _, example in ipairs(command.examples) do lines[#lines + 1] = "  " .. example end
  return table.concat(lines, "\n")
end

return M
