--- onemsg.outbox.read: the questions to the store that change nothing. For onemsg.outbox.
local gate = require "onemsg.outbox.gate"

local M = { methods = {} }
local Read = M.methods

M.LIST_LIMIT = 100
M.LIST_MOST = 1000

--- One read; its lists of rows, or nil, err, info.
local function ask(box, ...)
  local results, err, info = box.db:read { ... }
  if not results then return nil, err, info end
  for _, rows in ipairs(results) do rows.changes = nil end
  return results
end

local ROW = "SELECT * FROM confirmation WHERE id = $1"
local HISTORY = "SELECT step, at, state, reason, version FROM history WHERE id = $1 ORDER BY step"

--- All statuses of a confirmation's messages, the present one and earlier ones.
M.STATUSES = [[
  SELECT s.* FROM status s JOIN confirmation c ON c.message_id = s.message_id
  WHERE c.id = $1 AND s.channel IN ('', c.channel)
  UNION SELECT s.* FROM status s JOIN earlier e ON e.message_id = s.message_id
  WHERE e.id = $1 AND s.channel IN ('', e.channel)
  ORDER BY received_at, at, message_id, status]]

--- A confirmation's row, or nil without an error when the id is unknown.
function Read:row(id)
  local results, err, info = ask(self, { ROW, id })
  if not results then return nil, err, info end
  return results[1][1]
end

--- The same with its history and its delivery statuses.
-- @treturn ?table row
-- @treturn table history
-- @treturn table statuses
function Read:story(id)
  local results, err, info = ask(self, { ROW, id }, { HISTORY, id }, { M.STATUSES, id })
  if not results then return nil, err, info end
  local row = results[1][1]
  if not row then return nil end
  local statuses = {}
  for n, s in ipairs(results[3]) do -- not whom it was to: their number is shown by the row, or masked
    statuses[n] = { message_id = s.message_id, earlier = s.message_id ~= row.message_id or nil, status = s.status,
      at = s.at, received_at = s.received_at, source = s.source, code = s.code, error = s.error }
  end
  return row, results[2], statuses
end

--- A row with what its submit decided.
M.TICKET = [[
  SELECT c.*, h.state AS first_state, h.reason AS first_reason
  FROM confirmation c JOIN history h ON h.id = c.id AND h.step = 1 WHERE c.id = $1]]

--- What is stored of an event: the rows of all its confirmations, none when the id is unknown.
function Read:tickets(id)
  local results, err, info = ask(self, { M.TICKET, id })
  if not results then return nil, err, info end
  local rows = { results[1][1] }
  local parts = rows[1] and rows[1].parts or 1
  for n = 2, parts do
    results, err, info = ask(self, { M.TICKET, id .. "~" .. n })
    if not results then return nil, err, info end
    rows[n] = results[1][1]
  end
  return rows
end

local KEY_HOLDER = "SELECT id FROM once_key WHERE rule = $1 AND value = $2"

--- The id of the confirmation that holds a once_per key, or nil.
function Read:holder(rule, value)
  local results, err, info = ask(self, { KEY_HOLDER, rule, value })
  if not results then return nil, err, info end
  return results[1][1] and results[1][1].id
end

local filters = { state = "state = ", rule = "rule = ", person = "person = ", type = "type = ", channel = "channel = ",
                  since = "changed_at >= ", before = "changed_at < " }

local function listing(by, limit)
  local where, statement = {}, { "" }
  for name, text in pairs(filters) do
    if by[name] ~= nil then
      statement[#statement + 1] = by[name]
      where[#where + 1] = text .. "$" .. #statement - 1
    end
  end
  statement[#statement + 1] = limit
  statement[1] = "SELECT * FROM confirmation" .. (#where > 0 and " WHERE " .. table.concat(where, " AND ") or "")
    .. " ORDER BY changed_at DESC, place DESC LIMIT $" .. #statement - 1
  return statement
end

local function newer(a, b)
  if a.changed_at ~= b.changed_at then return a.changed_at > b.changed_at end
  return a.place > b.place
end

--- Rows, the newest change first.
-- @tparam table by any of state, rule, person (a key, onemsg.outbox.person), type, channel (equal),
--   since, before (seconds), limit (100)
-- @tparam table states all of them: without state or person, each is asked for its newest, which an index has at hand
function Read:list(by, states)
  local limit, unit = math.min(by.limit or M.LIST_LIMIT, M.LIST_MOST), {}
  if by.state or by.person then
    unit[1] = listing(by, limit)
  else
    for i, state in ipairs(states) do
      local one = { state = state }
      for name in pairs(filters) do one[name] = one[name] or by[name] end
      unit[i] = listing(one, limit)
    end
  end
  local results, err, info = self.db:read(unit)
  if not results then return nil, err, info end
  local rows = {}
  for _, part in ipairs(results) do
    for _, row in ipairs(part) do rows[#rows + 1] = row end
  end
  table.sort(rows, newer)
  for n = #rows, limit + 1, -1 do rows[n] = nil end
  return rows
end

local STATES = "SELECT state, COUNT(*) AS n FROM confirmation GROUP BY state"
local DUE = "SELECT COUNT(*) AS n, MIN(due_at) AS oldest FROM confirmation WHERE state = 'queued' AND due_at <= $1"
local GATES = "SELECT * FROM channel ORDER BY name"
local PARKED = "SELECT * FROM park WHERE until_at > $1 ORDER BY channel, template"

--- Counts for stats(): states, due, oldest_due, channels, parked.
function Read:counts(now)
  local results, err, info = ask(self, { STATES }, { DUE, now }, { GATES }, { PARKED, now })
  if not results then return nil, err, info end
  local states = {}
  for _, row in ipairs(results[1]) do states[row.state] = row.n end
  return { states = states, due = results[2][1].n, oldest_due = results[2][1].oldest,
           channels = gate.known(results[3], self.names), parked = results[4] }
end

return M
