--- "did you mean": the known word that is nearest to one that was mistyped. C judges it, for its own options as for ours.
local M = {}

local core -- at the first use: loading this loads no C

--- The words of a set, in order.
function M.words(known)
  local names = {}
  for name in pairs(known) do
    if type(name) == "string" then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

--- The nearest of the known words, or nil when none is near.
-- @tparam string word
-- @tparam table known a set: word = anything true
function M.nearest(word, known)
  if type(word) ~= "string" then return nil end
  core = core or require "onemsg" and require "onemsg.core"
  return core.nearest(word, M.words(known))
end

--- ", did you mean 'confirm'?" or "".
function M.phrase(word, known)
  local best = M.nearest(word, known)
  return best and (", did you mean '" .. best .. "'?") or ""
end

return M
