--- onemsg.cli: the command `onemsg`: finds the command (onemsg.cmd.*), lets it work, and ends with its exit code.
-- Rooms: cli_args (what was typed), cli_output (text and JSON), cli_call (channel, workflow, exit codes).
local args_room = require "onemsg.cli_args"
local call_room = require "onemsg.cli_call"
local suggest = require "onemsg.rules_suggest"

local M = {}

--- The commands, in the order of the help.
M.COMMANDS = { "send", "hookinfo", "templates", "webhook", "rules", "submit", "explain", "work", "show", "list",
  "settle", "replay", "cancel", "stats", "doctor", "fake", "help" }

local known = {}
for _, name in ipairs(M.COMMANDS) do known[name] = true end

--- A command by its name; nil when there is none.
function M.command(name)
  return known[name] and require("onemsg.cmd." .. name) or nil
end

--- A sentence for standard error; the first line is said by whom.
local function complain(message)
  io.stderr:write("onemsg: ", (message:gsub("[%z\1-\9\11-\31\127]", " ")), "\n")
end

local function usage(message, name)
  complain(message)
  io.stderr:write(("  `onemsg help%s` says what there is\n"):format(name and " " .. name or ""))
  return call_room.USAGE
end

--- The verb of `onemsg webhook add …` is a command of its own kind inside the command.
local function verb_of(command, name, args)
  if not command.verbs then return command, name, 2 end
  local verb = args[2]
  if verb == nil or verb:find "^%-" then
    if command.options then return command, name, 2 end
    return nil, verb
  end
  return command.verbs[verb], name .. " " .. verb, 3
end

local function rest(args, from)
  local list = {}
  for i = from, #args do list[#list + 1] = args[i] end
  return list
end

local function dispatch(args)
  local first = args[1]
  if first == nil or first == "--help" or first == "-h" then first = "help" end
  if first == "--version" then
    print("onemsg " .. require "onemsg"._VERSION)
    return call_room.OK
  end
  local command = M.command(first)
  if not command then
    return usage(("there is no command %s%s"):format(first, suggest.phrase(first, known)))
  end
  local part, name, from = verb_of(command, first, args)
  if not part then
    if args[2] == "--help" or args[2] == "-h" then return dispatch { "help", first } end
    return usage(args[2] and ("%s has no %s%s"):format(first, args[2], suggest.phrase(args[2], command.verbs))
      or first .. " needs one of: " .. table.concat(command.verb_names, ", "), first)
  end
  local options, wrong = args_room.parse(part, rest(args, from))
  if not options then return usage(name .. ": " .. wrong, name) end
  if options.help then
    print(args_room.help(name, part))
    return call_room.OK
  end
  local call = call_room.new(options)
  local done, message, code = part.run(call)
  if call.out.broken and not call.out.broken:find "Broken pipe" then
    complain("standard output: " .. call.out.broken)
    return call_room.SERVER
  end
  if done then return code or call_room.OK end
  if message then complain(message) end
  return code or call_room.USAGE
end

--- Runs a command.
-- @tparam table args what was typed, from 1; `arg` of a script
-- @treturn number exit code: 0 ok, 1 usage, 2 refused (4xx), 3 server (5xx) or store, 4 network, 5 not configured,
--   6 unknown outcome, 7 skipped by a rule
function M.main(args)
  local ok, result = pcall(dispatch, args)
  if ok then return result end
  complain((tostring(result):gsub("^[^\n:]+%.lua:%d+: ", "")))
  return call_room.USAGE
end

return M
