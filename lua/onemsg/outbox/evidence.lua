--- onemsg.outbox.evidence: what the store knows that may be evidence for a message in doubt. For onemsg.outbox.
local phones = require "onemsg.base.phone"
local M = { methods = {} }
local Doubt = M.methods

local MOST = 200 -- of a kind

-- A message whose id belongs to a confirmation is no evidence for another one.
local FOREIGN = [[
  AND NOT EXISTS (SELECT 1 FROM confirmation o WHERE o.message_id = %s.message_id AND o.id <> $4)
  AND NOT EXISTS (SELECT 1 FROM earlier o WHERE o.message_id = %s.message_id AND o.id <> $4)]]
local ECHOES = "SELECT * FROM echo e WHERE e.at >= $1 AND e.at <= $2 AND e.channel IN ('', $3)"
  .. FOREIGN:format("e", "e") .. " AND e.phone LIKE $5 ORDER BY e.at LIMIT $6"
local STATUSES = "SELECT * FROM status s WHERE s.id IS NULL AND s.at >= $1 AND s.at <= $2 AND s.channel IN ('', $3)"
  .. FOREIGN:format("s", "s") .. " AND s.recipient LIKE $5 ORDER BY s.at LIMIT $6"
-- Others in doubt to the same recipient: which of them a message belongs to may be open.
local RIVALS = [[
  SELECT id, place, left_at, message FROM confirmation
  WHERE phone = $1 AND channel = $2 AND id <> $3 AND message_id IS NULL AND left_at >= $4 AND left_at <= $5
    AND (state = 'unknown' OR settled IS NOT NULL) ORDER BY place LIMIT $6]]
local LEFT = "SELECT MAX(at) AS at FROM history WHERE id = $1 AND state = 'sending'"
local KNOWN = [[
  SELECT message_id FROM confirmation WHERE message_id = $1 AND id <> $2
  UNION SELECT message_id FROM earlier WHERE message_id = $1 AND id <> $2]]

--- When the message in doubt left, at the earliest.
function Doubt:began(row)
  local results, err, info = self.db:read { { LEFT, row.id } }
  if not results then return nil, err, info end
  return (results[1][1] or {}).at or row.left_at
end

--- What hooks told of messages to this recipient in this time.
-- @tparam table row
-- @tparam number from seconds
-- @tparam number till
-- @treturn ?table echoes, statuses, rivals
function Doubt:evidence(row, from, till)
  local tail = "%" .. phones.tail(row.phone) -- PLATFORM.md 5.4: WhatsApp's own form of a number may differ
  local results, err, info = self.db:read {
    { ECHOES, from, till, row.channel, row.id, tail, MOST },
    { STATUSES, from, till, row.channel, row.id, tail, MOST },
    { RIVALS, row.phone, row.channel, row.id, from, till, MOST },
  }
  if not results then return nil, err, info end
  return { echoes = results[1], statuses = results[2], rivals = results[3] }
end

--- Which of some message ids belong to other confirmations.
-- @treturn ?table id → true
function Doubt:taken(ids, row)
  local unit, taken = {}, {}
  for n, id in ipairs(ids) do unit[n] = { KNOWN, id, row.id } end
  if #unit == 0 then return taken end
  local results, err, info = self.db:read(unit)
  if not results then return nil, err, info end
  for n, id in ipairs(ids) do taken[id] = #results[n] > 0 end
  return taken
end

return M
