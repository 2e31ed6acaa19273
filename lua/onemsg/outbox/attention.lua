--- onemsg.outbox.attention: which confirmations need to be looked at again, and when. For onemsg.outbox.
-- What to do about them stands in onemsg.policy.delivery.
local amend = require "onemsg.outbox.amend"

local M = { methods = {} }
local Attention = M.methods

local ATTEND = "UPDATE confirmation SET attend_until = $2 "
  .. "WHERE (attend_until IS NULL OR attend_until <= $1) AND id IN (%s) RETURNING *"
local WANTING = "SELECT id FROM (SELECT id FROM confirmation WHERE %s <= $1 AND (attend_until IS NULL OR "
  .. "attend_until <= $1) AND state <> 'sending' AND channel IN (%s)%s ORDER BY %s LIMIT %s) AS by_%s"
local kinds = { "attend_at", "retry_at", "fallback_at" }

--- "$4, $5": places for the names of this store's channels, from a number on.
local function places(names, from)
  local list = {}
  for n in ipairs(names) do list[n] = "$" .. n + from - 1 end
  return table.concat(list, ", ")
end

--- The condition for rows whose other way is due: it is one that this process has. The others are left to who has them.
local function of_ways(box, column, from)
  if column ~= "fallback_at" then return "" end
  return #box.ways == 0 and " AND 1 = 0" or " AND way IN (" .. places(box.ways, from) .. ")"
end

local function attending(box)
  local parts, names = {}, box.names
  for n, column in ipairs(kinds) do
    parts[n] = WANTING:format(column, places(names, 6), of_ways(box, column, 6 + #names), column, "$" .. n + 2, column)
  end
  return ATTEND:format(table.concat(parts, " UNION "))
end

--- Takes up confirmations that need attention; nobody else does until the lease ends.
-- @tparam number questions at most so many of those that may lead to a question
-- @tparam number retries at most so many of those that wait for a new message
-- @tparam number others … and of those for another way
-- @treturn ?table rows
function Attention:attend(questions, retries, others, now, lease)
  self.attending = self.attending or attending(self)
  local statement = { self.attending, now, now + lease, questions, retries, others }
  for _, name in ipairs(self.names) do statement[#statement + 1] = name end
  for _, way in ipairs(self.ways) do statement[#statement + 1] = way end
  local results, err, info = self.db:unit { statement }
  if not results then return nil, err, info end
  return results[1]
end

local NEXT = "SELECT %s AS at FROM confirmation WHERE %s IS NOT NULL AND state <> 'sending' AND channel IN (%s)%s "
  .. "ORDER BY %s LIMIT 1"
local CHANNELS = "SELECT name, hooked_at, mute_until, breaker, next_at FROM channel"

local function next_of(box)
  local unit, names = {}, box.names
  for n, column in ipairs { "attend_at", "retry_at", "fallback_at", "fallback_lease" } do
    unit[n] = { NEXT:format(column, column, places(names, 1), of_ways(box, column, 1 + #names), column) }
    for _, name in ipairs(names) do unit[n][#unit[n] + 1] = name end
    for _, way in ipairs(column == "fallback_at" and box.ways or {}) do unit[n][#unit[n] + 1] = way end
  end
  return unit
end

--- The statements that ask when something needs attention next, for look().
function Attention:asking_attention()
  self.next_of = self.next_of or next_of(self)
  return self.next_of
end

--- Their answer.
-- @tparam table results
-- @tparam number before how many results stand before theirs
-- @treturn table questions (asks, deadlines), retries (new messages), actions (those and other ways), lost (hand-overs);
--   absent: none
function M.attention(results, before)
  local function at(n) return (results[before + n][1] or {}).at end
  local retry, other = at(2), at(3)
  return { questions = at(1), retries = retry,
    actions = retry and other and math.min(retry, other) or retry or other, lost = at(4) }
end

--- Name → hooked_at, mute_until, breaker, next_at.
function Attention:channels()
  local results, err, info = self.db:read { { CHANNELS } }
  if not results then return nil, err, info end
  local by_name = {}
  for _, row in ipairs(results[1]) do by_name[row.name] = row end
  return by_name
end

local MUTE = "UPDATE channel SET mute_until = $2 WHERE name = $1 AND mute_until < $2"

--- hookInfo is not offered on a channel: it is not asked until then.
-- @treturn ?number 1 when that is news
function Attention:mute(name, until_at)
  local results, err, info = self.db:unit { { MUTE, name, until_at } }
  if not results then return nil, err, info end
  return results[1].changes
end

local LOST = [[
  SELECT * FROM confirmation WHERE fallback_lease <= $1 AND fallback = 'handed_over' ORDER BY fallback_lease LIMIT $2]]

--- Confirmations whose other way was handed over by a process that did not live to say what came of it.
function Attention:lost(now)
  local results, err, info = self.db:read { { LOST, now, amend.CHUNK } }
  if not results then return nil, err, info end
  return results[1]
end

local WAITING = "SELECT way FROM confirmation WHERE fallback_at <= $1 AND state <> 'sending' LIMIT $2"
local COUNTED = 10000

--- Confirmations whose other way was due by a time, and nobody used it: name → how many (of COUNTED at most).
-- Those of this process's ways are left out, unless all are asked for.
function Attention:waiting_ways(before, all)
  local results, err, info = self.db:read { { WAITING, before, COUNTED } }
  if not results then return nil, err, info end
  local ours, found = {}, {}
  for _, way in ipairs(all and {} or self.ways) do ours[way] = true end
  for _, row in ipairs(results[1]) do
    if row.way and not ours[row.way] then found[row.way] = (found[row.way] or 0) + 1 end
  end
  return found
end

return M
