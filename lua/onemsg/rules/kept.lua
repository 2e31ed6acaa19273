--- The tables of a script that are still there when it has run: what its functions share from event to event. Pure.
--
-- No function may change one (rules.cost, `put`), else what an event decides would depend on the events before it, and
-- a script could fill the memory of a worker with time.
local M = {}

local type, next, getinfo, getupvalue = type, next, debug.getinfo, debug.getupvalue

--- Finds them.
-- @tparam string source the chunk name of the script: functions of ours are not looked into
-- @tparam table roots values to begin with
-- @treturn table a weak set
function M.of(source, roots)
  local kept, seen, open, count = setmetatable({}, { __mode = "k" }), {}, {}, 0
  local function add(value)
    local kind = type(value)
    if (kind == "table" or kind == "function") and not seen[value] then
      seen[value] = true
      count = count + 1
      open[count] = value
    end
  end
  add(roots)
  while count > 0 do
    local value = open[count]
    count = count - 1
    if type(value) == "table" then
      kept[value] = true
      for key, inner in next, value do
        add(key)
        add(inner)
      end
    elseif getinfo(value, "S").source == source then
      local at = 1
      while true do
        local name, inner = getupvalue(value, at)
        if not name then break end
        add(inner)
        at = at + 1
      end
    end
  end
  return kept
end

return M
