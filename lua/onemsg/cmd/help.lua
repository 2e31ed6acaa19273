--- onemsg help: the commands, or one of them.
local arguments = require "onemsg.cli.args"
local suggest = require "onemsg.base.suggest"

local FORMS = { man = true, bash = true, fish = true, zsh = true }

local M = {
  summary = "What there is: onemsg help, onemsg help send",
  arguments = { { "COMMAND", "one of them", optional = true }, { "VERB", "as add in webhook add", optional = true } },
  options = { { "as", "FORM", "man, bash, fish or zsh: the manual page, or a completion to be sourced" } },
  examples = { "onemsg help submit", "onemsg help --as bash" }, alone = true,
}

local function overview(cli)
  local lines = { "onemsg tells people on WhatsApp that what they did worked, through the 1MSG API.", "" }
  for _, name in ipairs(cli.COMMANDS) do
    lines[#lines + 1] = ("  %-10s %s"):format(name, cli.command(name).summary)
  end
  lines[#lines + 1] = [[

Every command takes --json and --help. Settings come from ONE_MSG_TOKEN, ONE_MSG_TEMPLATE, ONE_MSG_TEMPLATE_NAMESPACE,
ONE_MSG_TEMPLATE_LANGUAGE, ONE_MSG_STORE, ONE_MSG_RULES …; `onemsg doctor` says what is missing.
Exit codes: 0 ok, 1 usage, 2 refused, 3 server or store, 4 network, 5 not configured, 6 unknown outcome, 7 skipped by a
rule.]]
  return table.concat(lines, "\n")
end

function M.run(call)
  local cli = require "onemsg.cli"
  local name, verb, form = call.options[1], call.options[2], call.options.as
  if form then
    if not FORMS[form] then return nil, "--as takes man, bash, fish or zsh, not " .. form end
    call.out:raw(require "onemsg.cli.manual"[form](cli,
      os.date("!%B %d, %Y", tonumber(os.getenv "SOURCE_DATE_EPOCH" or os.time()))))
    return true
  end
  if not name then
    call.out:raw(overview(cli))
    local commands = {}
    for _, one in ipairs(cli.COMMANDS) do commands[one] = cli.command(one).summary end
    call.out:object(commands)
    return true
  end
  local command = cli.command(name)
  if not command then
    local known = {}
    for _, one in ipairs(cli.COMMANDS) do known[one] = true end
    return nil, ("there is no command %s%s"):format(name, suggest.phrase(name, known))
  end
  local text = {}
  if not verb and (command.options or not command.verbs) then text[1] = arguments.help(name, command) end
  for _, one in ipairs(command.verb_names or {}) do
    if not verb or verb == one then text[#text + 1] = arguments.help(name .. " " .. one, command.verbs[one]) end
  end
  if not text[1] then return nil, ("%s has no %s"):format(name, verb) end
  call.out:raw(table.concat(text, "\n\n"))
  call.out:object { help = table.concat(text, "\n\n") }
  return true
end

return M
