--- onemsg.cli.manual: the manual page and the shells' completions, from what the commands say of themselves. Pure.
local arguments = require "onemsg.cli.args"

local M = {}

--- Every command and verb: list of { name, part, of = command of the verb }.
local function parts(cli)
  local list = {}
  for _, name in ipairs(cli.COMMANDS) do
    local command = cli.command(name)
    if command.options or not command.verbs then list[#list + 1] = { name, command } end
    for _, verb in ipairs(command.verb_names or {}) do
      list[#list + 1] = { name .. " " .. verb, command.verbs[verb], of = name, verb = verb }
    end
  end
  return list
end

local function options_of(part)
  local list = {}
  for _, some in ipairs { part.options or {}, arguments.COMMON } do
    for _, option in ipairs(some) do list[#list + 1] = option end
  end
  return list
end

-- The manual page ---------------------------------------------------------------------------------------------------------

--- A text as roff reads it: nothing of it is a request or an escape.
local function roff(text)
  text = text:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("\n", " ")
  return (text:gsub("^[.']", "\\&%0"))
end

local COLUMNS = 78

--- The same in lines, as editors and mandoc like them.
local function prose(text)
  local lines, line = {}, nil
  for word in text:gmatch "%S+" do
    word = roff(word)
    if line and #line + #word < COLUMNS then
      line = line .. " " .. word
    else
      lines[#lines + 1] = line
      line = word
    end
  end
  lines[#lines + 1] = line
  return table.concat(lines, "\n")
end

local HEAD = [[
.\" Made from the commands' own tables by `onemsg help --as man`.
.Dd %s
.Dt ONEMSG 1
.Os
.Sh NAME
.Nm onemsg
.Nd confirm by WhatsApp, through the 1MSG API, that what a person did worked
.Sh SYNOPSIS
.Nm
.Ar command
.Op Ar option ...
.Sh DESCRIPTION
Events go in, rules decide, WhatsApp messages go out; what was taken is on
disk, and nothing is sent twice.
Results stand on standard output, errors on standard error.
Every command takes
.Fl \-json ,
which prints an object, or one a line, and
.Fl \-help .
]]

local TAIL = [[
.Sh ENVIRONMENT
Settings are variables:
.Ev ONE_MSG_TOKEN
or
.Ev ONE_MSG_TOKEN_FILE ,
.Ev ONE_MSG_TEMPLATE ,
.Ev ONE_MSG_TEMPLATE_NAMESPACE ,
.Ev ONE_MSG_TEMPLATE_LANGUAGE ,
.Ev ONE_MSG_STORE ,
.Ev ONE_MSG_RULES
and others;
.Nm
.Cm doctor
says what is missing.
.Sh FILES
.Bl -tag -width Ds
.It Pa /etc/onemsg/env
Settings that the environment has not, where it names no channel of its own.
Another file is named by
.Ev ONE_MSG_ENV_FILE .
.El
.Sh EXIT STATUS
.Bl -tag -width Ds
.It 0
Done; of several events, all were taken, or known before.
.It 1
Usage, or a message or event that can't be.
.It 2
Refused, a conflict, or not found.
.It 3
The server failed, or the store.
.It 4
Network: nothing was reached, nothing left.
.It 5
Not configured.
.It 6
Unknown outcome: the message may have left; look before you send again.
.It 7
Skipped by a rule.
.El
]]

local function man_part(lines, name, part)
  local function add(line) lines[#lines + 1] = line end
  add(".It Cm " .. name)
  for _, argument in ipairs(part.arguments or {}) do

    lines[#lines] = lines[#lines] .. (argument.optional and " Op Ar " or " Ar ") .. argument[1]
  end
  add(prose(part.summary .. "."))
  if part.options and part.options[1] then
    add ".Bl -tag -width Ds"
    for _, option in ipairs(part.options) do
      add(".It Fl \\-" .. option[1]:gsub("%-", "\\-") .. (option[2] and " Ar " .. roff(option[2]) or ""))
      add(prose(option[3] .. "."))
    end
    add ".El"
  end
  for _, example in ipairs(part.examples) do
    add ".Pp"
    add(".Dl " .. roff(example))
  end
end

--- The manual page, in mdoc.
-- @param cli
-- @tparam string date as "November 26, 2026"
function M.man(cli, date)
  local lines = { HEAD:format(date) .. ".Sh COMMANDS\n.Bl -tag -width Ds" }
  for _, one in ipairs(parts(cli)) do man_part(lines, one[1], one[2]) end
  lines[#lines + 1] = ".El\n" .. TAIL:gsub("\n$", "")
  return table.concat(lines, "\n")
end

-- Completions -------------------------------------------------------------------------------------------------------------

local function quoted(text) return "'" .. text:gsub("'", "'\\''"):gsub("\n", " ") .. "'" end

local function words(list) return table.concat(list, " ") end

local function names_of(part)
  local list = {}
  for _, option in ipairs(options_of(part)) do list[#list + 1] = "--" .. option[1] end
  return list
end

--- For bash; the file's names where an argument or a value stands.
function M.bash(cli)
  local lines = { [[
# Completion of onemsg in bash; made by `onemsg help --as bash`.
_onemsg() {
  local word=${COMP_WORDS[COMP_CWORD]} path=${COMP_WORDS[1]:-} offered=
  [ "$COMP_CWORD" -gt 2 ] && case ${COMP_WORDS[2]} in -*) ;; *) path="$path ${COMP_WORDS[2]}" ;; esac
  if [ "$COMP_CWORD" -eq 1 ]; then]] }
  lines[2] = "    offered=" .. quoted(words(cli.COMMANDS) .. " --version --help") .. "\n  else\n    case $path in"
  for _, one in ipairs(parts(cli)) do
    if one.of then lines[#lines + 1] = ("      %s) offered=%s ;;"):format(quoted(one[1]), quoted(words(names_of(one[2])))) end
  end
  for _, name in ipairs(cli.COMMANDS) do
    local command = cli.command(name)
    local offered = (command.options or not command.verbs) and names_of(command) or {}
    for _, verb in ipairs(command.verb_names or {}) do table.insert(offered, verb) end
    for _, one in ipairs(name == "help" and cli.COMMANDS or {}) do table.insert(offered, one) end
    lines[#lines + 1] = ("      %s | %s' '*) offered=%s ;;"):format(name, name, quoted(words(offered)))
  end
  lines[#lines + 1] = [[
    esac
  fi
  COMPREPLY=($(compgen -W "$offered" -- "$word"))
}
complete -o default -F _onemsg onemsg]]
  return table.concat(lines, "\n")
end

--- For fish: each command and option with its line of help.
function M.fish(cli)
  local lines = { "# Completion of onemsg in fish; made by `onemsg help --as fish`." }
  local function fish(text) return "'" .. text:gsub("[\\']", "\\%0"):gsub("\n", " ") .. "'" end
  for _, name in ipairs(cli.COMMANDS) do
    local summary = fish(cli.command(name).summary)
    lines[#lines + 1] = ("complete -c onemsg -f -n __fish_use_subcommand -a %s -d %s"):format(name, summary)
  end
  for _, one in ipairs(parts(cli)) do
    local seen = "__fish_seen_subcommand_from " .. (one.of or one[1])
    if one.of then
      lines[#lines + 1] = ("complete -c onemsg -n %s -a %s -d %s"):format(fish(seen), one.verb, fish(one[2].summary))
      seen = seen .. "; and __fish_seen_subcommand_from " .. one.verb
    end
    for _, option in ipairs(options_of(one[2])) do
      lines[#lines + 1] = ("complete -c onemsg -n %s -l %s%s -d %s"):format(fish(seen), option[1], option[2] and " -r" or "",
        fish(option[3]))
    end
  end
  lines[#lines + 1] = ("complete -c onemsg -f -n '__fish_seen_subcommand_from help' -a %s"):format(fish(words(cli.COMMANDS)))
  return table.concat(lines, "\n")
end

--- A text inside a specification of zsh's _arguments.
local function zsh(text) return (text:gsub("[%[%]:\\]", "\\%0"):gsub("'", "'\\''"):gsub("\n", " ")) end

--- For zsh.
function M.zsh(cli)
  local lines = { "#compdef onemsg", "# Completion of onemsg in zsh; made by `onemsg help --as zsh`.", "_onemsg() {",
    "  if ((CURRENT == 2)); then", "    local -a commands=(" }
  for _, name in ipairs(cli.COMMANDS) do
    lines[#lines + 1] = ("      '%s:%s'"):format(name, zsh(cli.command(name).summary))
  end
  lines[#lines + 1] = "    )\n    _describe command commands\n    return\n  fi\n  case \"${words[2]} ${words[3]}\" in"
  local function case(pattern, part, verbs)
    lines[#lines + 1] = ("    %s) _arguments"):format(pattern)
    for _, option in ipairs(options_of(part)) do
      lines[#lines] = lines[#lines] .. (" \\\n      '%s--%s[%s]%s'"):format(option.list and "*" or "", option[1], zsh(option[3]),
        option[2] and ":" .. zsh(option[2]) .. ":_files" or "")
    end
    local rest = verbs and ("'*:what:(%s)'"):format(words(verbs)) or "'*:file:_files'"
    lines[#lines] = lines[#lines] .. " \\\n      " .. rest .. " ;;"
  end
  for _, one in ipairs(parts(cli)) do
    if one.of then case("'" .. one[1] .. "'", one[2]) end
  end
  for _, name in ipairs(cli.COMMANDS) do
    local command = cli.command(name)
    case("'" .. name .. " '*", (command.options or not command.verbs) and command or {}, name == "help" and cli.COMMANDS
      or command.verb_names)
  end
  lines[#lines + 1] = "  esac\n}\n_onemsg \"$@\""
  return table.concat(lines, "\n")
end

return M
