--- onemsg.workflow.node: by which name a machine is known among those that share a store. For onemsg.workflow.
local utf8 = require "onemsg.base.utf8"

local M = {}

local HOST, MOST = "/proc/sys/kernel/hostname", 64

local function host()
  local file = io.open(HOST)
  local name = file and file:read "*l"
  if file then file:close() end
  return name
end

--- The name: the option, ONE_MSG_NODE, or that of the machine.
-- @treturn ?string
-- @treturn string with nil: why not
function M.name(option, core)
  local given = option or core.getenv "ONE_MSG_NODE"
  if not given then
    local name = utf8.trim(host() or "")
    return name ~= "" and name:sub(1, MOST) or "a machine"
  end
  if given == "" or #given > MOST or given:find "%c" or not utf8.valid(given) then
    return nil, ("config: node (ONE_MSG_NODE) is a name of 1 to %d bytes, in one line"):format(MOST)
  end
  return given
end

return M
