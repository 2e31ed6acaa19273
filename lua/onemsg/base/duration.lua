--- Durations as people write them. The parser is C's, so that an option of onemsg.new, of workflow.open, of the command
-- and a field of a rule read alike.
local M = {}

local core -- at the first use: loading this loads no C

--- Seconds of a duration: a number, or "30s", "10m", "6h", "2d", "1h30m", "1.5h".
-- @param value
-- @tparam ?boolean bare a text may also be a number without a unit, as on a command line
-- @treturn ?number seconds, from 0 to less than 2^31
-- @treturn ?string with nil: what it must be: "seconds as a number, or like …"
function M.seconds(value, bare)
  core = core or require "onemsg" and require "onemsg.core"
  return core.duration(value, bare)
end

return M
