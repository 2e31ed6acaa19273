--- onemsg.base.check: a programmer's mistake, told to who did not make it.
local M = {}

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
