--- "did you mean": the known word that is nearest to one that was mistyped. Pure.
local M = {}

local min, sort = math.min, table.sort

-- Edits between two words: letters added, dropped, changed, or swapped with their neighbour.
local function distance(a, b)
  local before, last, row = {}, {}, {}
  for j = 0, #b do last[j] = j end
  for i = 1, #a do
    row[0] = i
    for j = 1, #b do
      local same = a:sub(i, i) == b:sub(j, j)
      row[j] = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same and 0 or 1))
      if i > 1 and j > 1 and a:sub(i, i) == b:sub(j - 1, j - 1) and a:sub(i - 1, i - 1) == b:sub(j, j) then
        row[j] = min(row[j], before[j - 2] + 1)
      end
    end
    before, last, row = last, row, before
  end
  return last[#b]
end

--- The nearest of the known words, or nil when none is near.
-- @tparam string word
-- @tparam table known a set: word = anything true
function M.nearest(word, known)
  if type(word) ~= "string" or #word > 40 then return nil end
  local best, least
  local names = {}
  for name in pairs(known) do names[#names + 1] = name end
  sort(names)
  for _, name in ipairs(names) do
    local edits = distance(word:lower(), name:lower())
    local allowed = #name <= 3 and 1 or #name <= 6 and 2 or 3
    if edits <= allowed and edits < #name and (not least or edits < least) then best, least = name, edits end
  end
  return best
end

--- ", did you mean 'confirm'?" or "".
function M.phrase(word, known)
  local best = M.nearest(word, known)
  return best and (", did you mean '" .. best .. "'?") or ""
end

return M
