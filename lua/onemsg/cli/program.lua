--- onemsg.cli.program: can a program that an option names be run at all? Asked before the work begins, and when the shell
-- says that it could not start one: then nobody was reached.
local M = {}

local PLAIN = "^[%w_.:@%%+,/~-]+$" -- a word that means itself to the shell; others only the shell understands

--- The shell's answer to a test.
local function says_yes(test)
  local answer = os.execute(test .. " >/dev/null 2>&1") -- a number on LuaJIT
  return answer == true or answer == 0
end

--- The program that a script's first line names; nil: it names none, or it is there.
local function missing_interpreter(path)
  local file = io.open(path, "rb")
  local name = file and (file:read(256) or ""):match "^#![ \t]*(/[^%s]+)"
  if file then file:close() end
  if not name or not name:find(PLAIN) or says_yes("test -x " .. name) then return nil end
  return name
end

--- Why a command can't be started: its first word is no program. nil: it is one, or only the shell knows.
-- @tparam string command for the shell
-- @treturn ?string such as "/usr/bin/sms is not there"
function M.why_not(command)
  local word = command:match "^%s*(%S+)"
  if not word or not word:find(PLAIN) or word:find "^~" then return nil end
  if not word:find("/", 1, true) then
    return not says_yes("command -v -- " .. word) and word .. " is not in PATH" or nil
  end
  if not says_yes("test -e " .. word) then return word .. " is not there, or can't be looked at by this user" end
  if says_yes("test -d " .. word) then return word .. " is a directory" end
  if not says_yes("test -x " .. word) then return word .. " is not executable (chmod +x)" end
  local interpreter = missing_interpreter(word)
  return interpreter and ("%s names %s in its first line, which is not there"):format(word, interpreter) or nil
end

--- The same for a command that has ended. One that begins with a program which is there was started, whatever it ended
-- with; and so were perhaps parts of one that is more than a program and its arguments.
-- @tparam number status 126 and 127 are what the shell says when it could not start it
function M.never_began(command, status)
  if status ~= 126 and status ~= 127 or command:find "[;&|`$()\n]" then return nil end
  return M.why_not(command)
end

return M
