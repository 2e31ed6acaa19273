--- onemsg.cli.alerts: a program that hears of every alert, beside the loop: `onemsg work --alert PROGRAM`. One runs at a
-- time, in the order of the alerts, so that "it stopped" is not heard after "it goes on".
local core
local output = require "onemsg.cli.output"

local M = {}

M.TIMEOUT = 60 -- seconds that it may run
local WAITING = 100 -- alerts; the oldest of more are left out

local Alerts = {}
Alerts.__index = Alerts

--- @tparam string command for the shell
-- @tparam function say called with a sentence when it failed
function M.new(command, say)
  core = core or require "onemsg" and require "onemsg.core"
  return setmetatable({ command = command, say = say, waiting = {}, child = nil, ends = nil }, Alerts)
end

--- Tells of an alert soon: JSON on the program's standard input.
function Alerts:tell(alert)
  if #self.waiting >= WAITING then
    table.remove(self.waiting, 1)
    self.say(("--alert: %s is behind by %d alerts; the oldest is left out"):format(self.command, WAITING))
  end
  self.waiting[#self.waiting + 1] = output.encode(alert) .. "\n"
end

local function ended(self)
  local status = core.child_poll(self.child)
  if not status then
    if core.steady() < self.ends then return false end
    core.child_kill(self.child)
    self.ends = math.huge
    self.say(("--alert: %s was killed: it ran for %d s"):format(self.command, M.TIMEOUT))
    return false
  end
  if status ~= 0 and self.ends < math.huge then
    self.say(("--alert: %s ended with %d"):format(self.command, status))
  end
  self.child = nil
  return true
end

--- Goes on with what is under way; returns at once.
-- @treturn boolean is anything left?
function Alerts:turn()
  if self.child and not ended(self) then return true end
  local text = table.remove(self.waiting, 1)
  if not text then return false end
  local why
  self.child, why = core.child_start(self.command, text)
  self.ends = core.steady() + M.TIMEOUT
  if not self.child then self.say(("--alert: %s can't be run: %s"):format(self.command, why)) end
  return true
end

--- Waits until every alert was told.
function Alerts:finish()
  while self:turn() do require "onemsg".sleep(0.02) end
end

return M
