--- onemsg.policy.measures: what a failure, told by an answer or by a hook, means for others: the channel is stopped or
-- paused, the template set aside, the recipient suppressed. Pure. PLATFORM.md 4.
local pace = require "onemsg.pace"

local M = {}

--- Does the failure concern every message of the channel, whatever it says?
function M.stops_channel(entry)
  return entry.scope == "channel" and (entry.action == "stop" or entry.action == "pause" and not entry.retry)
end

--- The measures of a failure.
-- @tparam table entry of onemsg.codes, or an empty one
-- @tparam string reason
-- @tparam number now
-- @tparam ?table more retry_after (of the answer), code, told = "answer" (default) | "hook"
-- @treturn table any of
--   trip         { reason, wait, told }: the channel stops, and nothing of the following holds
--   pause_until  nothing leaves on the channel before
--   park         { until_at, reason }: the template is set aside
--   suppress     { for_s, reason, code }: the recipient is left alone
function M.of(entry, reason, now, more)
  more = more or {}
  if M.stops_channel(entry) then
    return { trip = { reason = reason, wait = entry.wait, told = more.told or "answer" } }
  end
  local measures = {}
  if entry.retry and (entry.action == "pause" or entry.scope == "channel") then
    measures.pause_until = now + math.min(more.retry_after or entry.wait or 0, pace.RETRY_AFTER_MOST)
  end
  if entry.scope == "template" then
    measures.park = { until_at = now + (entry.wait or pace.PARK), reason = "the template is set aside: " .. reason }
  end
  if entry.suppress then measures.suppress = { for_s = entry.suppress, reason = reason, code = more.code } end
  return measures
end

return M
