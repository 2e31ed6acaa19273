--- onemsg.cli: the command `onemsg`: finds the command (onemsg.cmd.*), lets it work, and ends with its exit code.
-- In cli/: args (what was typed), output (text and JSON), call (channel, workflow, exit codes).
local arguments = require "onemsg.cli.args"
local calls = require "onemsg.cli.call"
local settings = require "onemsg.cli.settings"
local suggest = require "onemsg.base.suggest"

local M = {}

--- The commands, in the order of the help.
M.COMMANDS = { "send", "hookinfo", "templates", "webhook", "rules", "submit", "senders", "explain", "work", "show", "list",
  "settle", "replay", "cancel", "pause", "resume", "suppress", "unsuppress",
  "suppressed", "forget", "stats", "audit", "operator", "backup", "copy", "doctor", "init", "fake", "help" }

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
  return calls.USAGE
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

--- What was typed: the command, its full name, its options.
-- @tparam table args from 1, the command's name among them
-- @treturn ?table command, or verb of it
-- @treturn string its name, such as "webhook add"; with nil: what is wrong
-- @treturn table options; with nil: the command that help should be about, or nil
function M.read(args)
  local command = M.command(args[1])
  if not command then
    return nil, ("there is no command %s%s"):format(args[1], suggest.phrase(args[1], known))
  end
  local part, name, from = verb_of(command, args[1], args)
  if not part and args[2] and args[2]:find "^%-%-?h" then return M.read { "help", args[1] } end
  if not part then
    return nil, args[2] and ("%s has no %s%s"):format(args[1], args[2], suggest.phrase(args[2], command.verbs))
      or args[1] .. " needs one of: " .. table.concat(command.verb_names, ", "), args[1]
  end
  local options, wrong = arguments.parse(part, rest(args, from))
  if not options then return nil, name .. ": " .. wrong, name end
  return part, name, options
end

local dispatch
function dispatch(args)
  if args[1] == "--version" then
    print("onemsg " .. require "onemsg"._VERSION)
    return calls.OK
  elseif args[1] == nil or args[1] == "--help" or args[1] == "-h" then
    args = { "help" }
  elseif args[1] == "--json" and args[2] then -- as some people write it, before the command
    args = rest(args, 2)
    args[#args + 1] = "--json"
  end
  local command, name, options = M.read(args)
  if not command then return usage(name, options) end
  if options.help and command.verbs then return dispatch { "help", name } end
  if options.help then
    print(arguments.help(name, command))
    return calls.OK
  end
  local call = calls.new(options)
  if not command.alone then
    local fine, why = settings.read()
    if not fine then return complain(why) or calls.CONFIG end
    call.left_out = why
  end
  local done, message, code = command.run(call)
  if call.out.broken and not call.out.broken:find "Broken pipe" then
    complain("standard output: " .. call.out.broken)
    return calls.SERVER
  end
  if done then return code or calls.OK end
  if message then complain(message) end
  return code or calls.USAGE
end

--- Runs a command.
-- @tparam table args what was typed, from 1; `arg` of a script
-- @treturn number exit code: 0 ok, 1 usage, 2 refused (4xx), 3 server (5xx) or store, 4 network, 5 not configured,
--   6 unknown outcome, 7 skipped by a rule
function M.main(args)
  local ok, result = pcall(dispatch, args)
  if ok then return result end
  complain((tostring(result):gsub("^[^\n:]+%.lua:%d+: ", "")))
  return calls.USAGE
end

return M
