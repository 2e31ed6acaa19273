--- onemsg.outbox.evidence: what the store knows that may be evidence for a message without an id. For onemsg.outbox.
-- What it proves stands in onemsg.policy.evidence.
local cjson = require "cjson"
local person = require "onemsg.outbox.person"
local phones = require "onemsg.base.phone"
local M = { methods = {} }
local Doubt = M.methods

local MOST = 200     -- of a kind
local BACK = 90000   -- seconds that a rival may have left earlier, and still be about to show
local AHEAD = 3600   -- seconds that a rival's answer may have been lost later

-- A message whose id belongs to a confirmation is no evidence for any other, nor for another message of the same one.
local FOREIGN = [[
  AND NOT EXISTS (SELECT 1 FROM confirmation o WHERE o.message_id = %s.message_id)
  AND NOT EXISTS (SELECT 1 FROM earlier o WHERE o.message_id = %s.message_id)]]
local ECHOES = "SELECT * FROM echo e WHERE e.at >= $1 AND e.at <= $2 AND e.channel IN ('', $3)"
  .. FOREIGN:format("e", "e") .. " AND (e.phone LIKE $4 OR " .. person.is_name_of("e.phone", "$6") .. ") ORDER BY e.at LIMIT $5"
local STATUSES = "SELECT * FROM status s WHERE s.id IS NULL AND s.at >= $1 AND s.at <= $2 AND s.channel IN ('', $3)"
  .. FOREIGN:format("s", "s") .. " AND (s.recipient LIKE $4 OR "
  .. person.is_name_of("s.recipient", "$6") .. ") ORDER BY s.at LIMIT $5"
-- Everybody else of whose message no id is known, or one that was found without its text and may be a stranger's; and
-- whatever is being sent to this person right now.
local RIVALS = [[
  SELECT c.id, c.channel, c.state, c.left_at, c.job_id, c.message,
    (SELECT MAX(h.at) FROM history h WHERE h.id = c.id AND h.state = 'sending') AS began
  FROM confirmation c
  WHERE c.person = $5 AND c.id <> $1 AND (c.state = 'sending'
    OR (c.message_id IS NULL OR c.textless = 1) AND c.left_at >= $2 AND c.left_at <= $3
      AND (c.state IN ('unknown', 'accepted', 'sent', 'stalled', 'delivered', 'read', 'failed') OR c.settled IS NOT NULL))
  UNION ALL SELECT l.id, l.channel, 'lost' AS state, l.left_at, l.job_id, l.message, l.began FROM lost l
  WHERE l.person = $5 AND l.left_at >= $2 AND l.left_at <= $3
  LIMIT $4]]
local LEFT = "SELECT MAX(at) AS at FROM history WHERE id = $1 AND state = 'sending'"
local KNOWN = "SELECT message_id FROM confirmation WHERE message_id = $1 "
  .. "UNION SELECT message_id FROM earlier WHERE message_id = $1"

--- When the message in doubt left, at the earliest.
function Doubt:began(row)
  local results, err, info = self.db:read { { LEFT, row.id } }
  if not results then return nil, err, info end
  return (results[1][1] or {}).at or row.left_at
end

--- What is stored of messages to this recipient in this time, as of one instant.
-- @tparam table row
-- @tparam number from seconds
-- @tparam number till
-- @treturn ?table echoes, statuses, rivals; crowded: true when there are more than are returned
function Doubt:evidence(row, from, till)
  local tail = "%" .. phones.tail(row.phone) -- PLATFORM.md 5.4: WhatsApp's own form of a number may differ
  local results, err, info = self.db:read {
    { ECHOES, from, till, row.channel, tail, MOST, row.person },
    { STATUSES, from, till, row.channel, tail, MOST, row.person },
    { RIVALS, row.id, from - BACK, till + AHEAD, MOST, row.person },
    person.names_statement(row.person),
  }
  if not results then return nil, err, info end
  local echoes, statuses, rivals = results[1], results[2], results[3]
  for _, echo in ipairs(echoes) do echo.texts = echo.texts and cjson.decode(echo.texts) or {} end
  return { echoes = echoes, statuses = statuses, rivals = rivals, names = person.names_of(row.person, results[4]),
           crowded = #echoes >= MOST or #statuses >= MOST or #rivals >= MOST }
end

--- Which of some message ids belong to confirmations.
-- @treturn ?table id → true
function Doubt:taken(ids)
  local unit, taken = {}, {}
  for n, id in ipairs(ids) do unit[n] = { KNOWN, id } end
  if #unit == 0 then return taken end
  local results, err, info = self.db:read(unit)
  if not results then return nil, err, info end
  for n, id in ipairs(ids) do taken[id] = #results[n] > 0 end
  return taken
end

return M
