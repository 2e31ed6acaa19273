--- onemsg.policy.quiet: hours in which a recipient is not to be disturbed. What falls into them is held, not dropped.
-- Pure. An hour is what the recipient's wall clock shows: it is quiet while that clock stands from `from` (included) to
-- `to` (excluded), across midnight where `to` is the earlier one, and also on the two days of the year on which an hour
-- is left out or comes twice: quiet hours whose end is left out end at the change, an hour that comes twice is quiet
-- twice.
local M = {}

local DAY = 86400

local function inside(clock, from, to)
  if from < to then return clock >= from and clock < to end
  return clock >= from or clock < to
end

--- The first whole second after `at` at which the offset is another one; there is one until `till`.
local function change_of(zone, at, till)
  local offset, low, high = zone:offset(at), math.floor(at), math.ceil(till)
  while high - low > 1 do
    local middle = math.floor((low + high) / 2)
    if zone:offset(middle) == offset then low = middle else high = middle end
  end
  return high
end

--- When the wall clock next enters (or leaves) the quiet hours.
local function turn(now, from, to, zone)
  local quiet, at = inside((now + zone:offset(now)) % DAY, from, to), now
  for _ = 1, 8 do -- a change of the offset is met once or twice in a day at most
    local offset = zone:offset(at)
    local rest = ((quiet and to or from) - (at + offset)) % DAY
    if rest == 0 then rest = DAY end
    local next_at = math.floor(at + rest + 0.5)
    if zone:offset(next_at) == offset then return next_at end
    at = change_of(zone, at, next_at)
    if inside((at + zone:offset(at)) % DAY, from, to) ~= quiet then return at end
  end
  return at
end

--- When a message may leave.
-- @tparam number now seconds since the epoch
-- @tparam number from seconds after midnight, 0 to 86399
-- @tparam number to the same, and another one
-- @tparam table zone what has offset(at): onemsg.base.zone
-- @treturn ?number nil: now; else the time at which it may
-- @treturn ?number with nil: when quiet hours begin next
function M.hold(now, from, to, zone)
  local quiet = inside((now + zone:offset(now)) % DAY, from, to)
  local at = turn(now, from, to, zone)
  if quiet then return at end
  return nil, at
end

return M
