--- onemsg.outbox.read: the questions to the store that change nothing. For onemsg.outbox.
local canonical = require "onemsg.base.canonical"
local gate = require "onemsg.outbox.gate"
local json = require "onemsg.base.json"
local node = require "onemsg.outbox.node"
local pause = require "onemsg.outbox.pause"
local templates = require "onemsg.outbox.templates"
local utf8 = require "onemsg.base.utf8"

local M = { methods = {} }
local Read = M.methods

M.LIST_LIMIT = 100
M.LIST_MOST = 1000
local FIND_CHARS = 200

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

-- Who is in front of somebody in their line, the next one.
local BEHIND = [[
  SELECT b.id FROM confirmation c JOIN confirmation b ON b.channel = c.channel AND b.person = c.person AND b.place < c.place
  WHERE c.id = $1 AND c.state = 'queued' AND b.state IN ('queued', 'sending') ORDER BY b.place DESC LIMIT 1]]
local GATE = "SELECT g.* FROM channel g JOIN confirmation c ON c.channel = g.name WHERE c.id = $1"

--- The same with its history and its delivery statuses, and what it waits for.
-- @treturn ?table row
-- @treturn table history
-- @treturn table statuses
-- @treturn table behind (an id or nil), gate (of its channel, or nil), pause (reason, person; or nil), node (a name, or nil)
function Read:story(id)
  local results, err, info = ask(self, { ROW, id }, { HISTORY, id }, { M.STATUSES, id }, { BEHIND, id }, { GATE, id },
    { pause.OF, id }, { node.OF, id })
  if not results then return nil, err, info end
  local row = results[1][1]
  if not row then return nil end
  local statuses = {}
  for n, s in ipairs(results[3]) do -- not whom it was to: their number is shown by the row, or masked
    statuses[n] = { message_id = s.message_id, earlier = s.message_id ~= row.message_id or nil, status = s.status,
      at = s.at, received_at = s.received_at, source = s.source, code = s.code, error = s.error }
  end
  return row, results[2], statuses, { behind = (results[4][1] or {}).id, gate = results[5][1], pause = results[6][1],
    node = (results[7][1] or {}).name }
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

local filters = { state = "state = ", rule = "rule = ", person = "person = ", type = "type = ", channel = "channel = ",
                  since = "changed_at >= ", before = "changed_at < " }

-- Any text of a confirmation: in its ids, its recipient, its event. JSON has some letters in another form.
local FIND = [[(LOWER(id) LIKE %s ESCAPE '!' OR phone LIKE %s ESCAPE '!' OR LOWER(message_id) LIKE %s ESCAPE '!'
  OR LOWER(event) LIKE %s ESCAPE '!' OR LOWER(message) LIKE %s ESCAPE '!')]]
-- What follows a row, the newest first.
local AFTER = "(changed_at < %s OR changed_at = %s AND place < (SELECT a.place FROM confirmation a WHERE a.id = %s))"

local function pattern_of(text)
  return "%" .. text:lower():gsub("[!%%_]", "!%0") .. "%"
end

local function listing(by, limit)
  local where, statement = {}, { "" }
  local function parameter(value)
    statement[#statement + 1] = value
    return "$" .. #statement - 1
  end
  for name, text in pairs(filters) do
    if by[name] ~= nil then where[#where + 1] = text .. parameter(by[name]) end
  end
  if by.find then
    local text = utf8.repair(by.find, FIND_CHARS)
    local plain = parameter(pattern_of(text))
    local in_event, in_message = canonical.text(text):sub(2, -2), json.encode(text):sub(2, -2) -- without their quotes
    where[#where + 1] = FIND:format(plain, plain, plain, parameter(pattern_of(in_event)), parameter(pattern_of(in_message)))
  end
  if by.after then
    local at = parameter(by.after.changed_at)
    where[#where + 1] = AFTER:format(at, at, parameter(by.after.id))
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
--   since, before (seconds), find (a text anywhere), after (the last row that was read before), limit (100)
-- @tparam table states all of them: without state or person, each is asked for its newest, which an index has at hand
function Read:list(by, states)
  local limit, unit = math.min(by.limit or M.LIST_LIMIT, M.LIST_MOST), {}
  if by.state or by.person then
    unit[1] = listing(by, limit)
  else
    for i, state in ipairs(states) do
      local one = { state = state }
      for name, value in pairs(by) do one[name] = one[name] or value end
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

-- By what changes are counted. A reason may name an order: its code, or what it begins with, stands for it.
local KEYS = {
  reason = "CASE WHEN code IS NOT NULL THEN CAST(code AS TEXT) ELSE SUBSTR(reason, 1, 60) END",
  rule = "COALESCE(rule, '')",
  hour = "CAST(changed_at AS BIGINT) / 3600",
}
local GROUPS = {}
for name, key in pairs(KEYS) do
  GROUPS[name] = ([[SELECT %s AS named, MIN(code) AS code, MIN(reason) AS reason, COUNT(*) AS n FROM confirmation
    WHERE state = $1 AND changed_at >= $2 GROUP BY %s]]):format(key, key)
end

--- What changed last since a time, by state and reason, rule or hour.
-- @tparam table states all of them
-- @treturn ?table { { state, named (text, or hours since 1970), code, reason (one of them), n }, … }
function Read:grouped(by, since, states)
  local unit, found = {}, {}
  for n, state in ipairs(states) do unit[n] = { GROUPS[by], state, since } end
  local results, err, info = self.db:read(unit)
  if not results then return nil, err, info end
  for n, rows in ipairs(results) do
    for _, row in ipairs(rows) do
      row.state = states[n]
      found[#found + 1] = row
    end
  end
  return found
end

local STATES = "SELECT state, COUNT(*) AS n FROM confirmation GROUP BY state"
-- Those that wait their turn behind another to the same person are no backlog.
local DUE = [[
  SELECT COUNT(*) AS n, MIN(due_at) AS oldest FROM confirmation c WHERE state = 'queued' AND due_at <= $1
    AND NOT EXISTS (SELECT 1 FROM confirmation b WHERE b.channel = c.channel AND b.person = c.person
      AND b.state IN ('queued', 'sending') AND b.place < c.place)]]
local GATES = "SELECT * FROM channel ORDER BY name"
local PARKED = "SELECT * FROM park WHERE until_at > $1 ORDER BY channel, template"

local LATER = [[
  SELECT name AS channel,
    (SELECT COUNT(*) FROM confirmation WHERE state = 'queued' AND channel = channel.name AND due_at > $1) AS n,
    (SELECT MIN(due_at) FROM confirmation WHERE state = 'queued' AND channel = channel.name AND due_at > $1) AS at
  FROM channel]]
local SENDING = "SELECT COUNT(*) AS n, MIN(lease_until) AS at FROM confirmation WHERE state = 'sending'"
local SOONEST = "SELECT reason FROM confirmation WHERE state = 'queued' AND channel = $1 AND due_at = $2 LIMIT 1"

--- What waits for a later time: queued = { n, at (the soonest), reason (of that one) }, sending = { n, at (when the first
-- is taken for left by a worker that died) }; nil where there is none.
function Read:later(now)
  local results, err, info = ask(self, { LATER, now }, { SENDING })
  if not results then return nil, err, info end
  local later, first = { sending = results[2][1].n > 0 and results[2][1] or nil }, nil
  for _, row in ipairs(results[1]) do
    if row.n > 0 then
      later.queued = { n = row.n + (later.queued and later.queued.n or 0) }
      if not first or row.at < first.at then first = row end
    end
  end
  if not first then return later end
  later.queued.at = first.at
  results, err, info = ask(self, { SOONEST, first.channel, first.at })
  if not results then return nil, err, info end
  later.queued.reason = results[1][1] and results[1][1].reason
  return later
end

--- Counts for stats(): states, due, oldest_due, channels, parked, paused, nodes, templates.
function Read:counts(now)
  local results, err, info = ask(self, { STATES }, { DUE, now }, { GATES }, { PARKED, now }, { pause.ALL },
    { node.ALL, now - node.GONE }, { templates.ALL })
  if not results then return nil, err, info end
  local states = {}
  for _, row in ipairs(results[1]) do states[row.state] = row.n end
  return { states = states, due = results[2][1].n, oldest_due = results[2][1].oldest,
           channels = gate.known(results[3], self.names), parked = results[4], paused = results[5],
           nodes = results[6], templates = results[7] }
end

return M
