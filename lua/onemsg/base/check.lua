--- onemsg.base.check: a programmer's mistake is raised at the line that made it, and told without one to others.
local M = {}

--- Raises the sentence with the position of the first caller that is none of our files. Never returns.
-- For use by a check that is called by a public function; needs `onemsg` loaded to look past more callers than that.
function M.misuse(sentence)
  local core = package.loaded["onemsg.core"]
  if core then core.raise(sentence) end
  error(sentence, 4)
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
