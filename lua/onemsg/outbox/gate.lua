--- onemsg.outbox.gate: the rows that decide whether a channel's or a template's messages may leave. For onemsg.outbox.
-- A gate is read, thought about in Lua (onemsg.pace), and changed under its revision: who comes second gets a
-- "conflict: …" and looks again. So all processes on one store share one pace and one breaker.
local amend = require "onemsg.outbox.amend"
local attention = require "onemsg.outbox.attention"

local M = { methods = {} }
local Gate = M.methods

--- Microseconds by which a set-aside message falls behind in its recipient's line, so that it holds nobody up.
M.PARK_SHIFT = 86400 * 1e6

-- A gate that nothing went through yet.
local NEW = { revision = 0, tat = 0, pause_until = 0, breaker = "closed", fault = "", reason = "", tries = 0, next_at = 0,
              closed_at = 0, told = "answer", opened_at = 0, sent_at = 0, hooked_at = 0, mute_until = 0 }

local function fresh(name)
  local gate = { name = name }
  for column, value in pairs(NEW) do gate[column] = value end
  return gate
end

--- The gates of a store as its rows say; where nothing was sent yet, those of whoever asks, unused.
function M.known(rows, names)
  if #rows > 0 then return rows end
  local list = {}
  for n, name in ipairs(names) do list[n] = fresh(name) end
  return list
end

local function creation()
  local names, values = { "name" }, { "$1" }
  for column, value in pairs(NEW) do
    names[#names + 1] = column
    values[#values + 1] = type(value) == "string" and "'" .. value .. "'" or ("%d"):format(value)
  end
  return ("INSERT INTO channel(%s) VALUES (%s) ON CONFLICT (name) DO NOTHING"):format(table.concat(names, ", "),
    table.concat(values, ", "))
end
local CREATE = creation()

--- Gates are made by who sends: a process that only looks at a store knows its channels perhaps by other names.
local function create(box, names)
  local unit = {}
  for i, name in ipairs(names) do unit[i] = { CREATE, name } end
  return box.db:unit(unit)
end

local function is_mine(box, name)
  for _, one in ipairs(box.names) do
    if one == name then return true end
  end
  return false
end

-- Several machines: who claims has the gate's row locked, and who finds it locked, or changed since it was read, does nothing
-- and goes on to the next one. So nobody waits, and nothing is claimed in vain. All statements of a unit go to PostgreSQL
-- together, so each of them asks whether the gate is in hand, which the first one notes for the transaction. There is
-- nothing of that on SQLite, where one process writes at a time.
-- Where nothing was queued when PostgreSQL last looked, which is the usual state, every index seems to cost nothing, and a
-- claim would walk through the whole queue for each candidate. In this transaction it takes what is in order already; and as
-- that makes every plan look dear, it would compile each one for seconds (jit).
local TAKE_GATE = [[
  SELECT set_config('enable_sort', 'off', true), set_config('enable_seqscan', 'off', true),
    set_config('enable_bitmapscan', 'off', true), set_config('jit', 'off', true),
    set_config('onemsg.gate', COALESCE((SELECT ':' || g.name FROM (
      SELECT name FROM channel WHERE name = $1 AND revision = $2 FOR UPDATE SKIP LOCKED) g), ''), true)]]

--- The statement that takes a gate in hand.
function M.take(row) return { TAKE_GATE, row.name, row.revision } end

--- The end of a condition of a statement that is done only with the gate in hand.
-- @tparam string name of the channel: a parameter, such as "$1"
function M.in_hand(name) return " AND current_setting('onemsg.gate', true) = ':' || CAST(" .. name .. " AS TEXT)" end
local IN_HAND = M.in_hand "$1"

local CHARGE = [[
  UPDATE channel SET revision = revision + 1,
    tat = $3 + CAST($4 AS DOUBLE PRECISION) * (
      SELECT COUNT(*) FROM confirmation WHERE state = 'sending' AND owner = $5),
    next_at = CASE WHEN breaker = 'trial' AND EXISTS (
      SELECT 1 FROM confirmation WHERE state = 'sending' AND owner = $5) THEN $6 ELSE next_at END
  WHERE name = $1 AND revision = $2]]
local CHARGE_HELD = CHARGE .. IN_HAND

--- The statement that charges a gate for what `owner` just claimed. In trial, nothing more leaves before trial_ends.
-- @tparam boolean held with the gate in hand
function M.charge(row, owner, cost, trial_ends, held)
  return { held and CHARGE_HELD or CHARGE, row.name, row.revision, cost.from, cost.each, owner, trial_ends, expect = 1 }
end

local GATES = "SELECT * FROM channel"
local NEXT_DUE = "SELECT due_at FROM confirmation WHERE channel = $1 AND state = 'queued' ORDER BY due_at LIMIT 1"
-- Who is due behind another that waits, to the same person, can't be claimed yet: to try is a commit for nothing, four times
-- a second. (Both states are named for the index.) Not on PostgreSQL, which may judge all that is queued for it.
local NEXT_IN_LINE = [[
  SELECT c.due_at FROM confirmation c WHERE c.channel = $1 AND c.state = 'queued'
    AND c.id = (SELECT b.id FROM confirmation b WHERE b.channel = c.channel AND b.person = c.person
      AND b.state IN ('queued', 'sending') AND b.state = 'queued'
      ORDER BY b.channel, b.person, b.place, b.id LIMIT 1)
  ORDER BY c.due_at LIMIT 1]]
local NEXT_LEASE = "SELECT lease_until AS at FROM confirmation WHERE state = 'sending' AND owner NOT LIKE $1 "
  .. "ORDER BY lease_until LIMIT 1"
local NEXT_GIVE_UP = "SELECT give_up_at AS at FROM confirmation WHERE state = 'queued' ORDER BY give_up_at LIMIT 1"

--- What is there to do, and when: one read, a few index probes however much is stored.
-- @tparam ?boolean in_flight as for recover(): leases of our own are left out
-- @treturn ?table gates = { name → gate with due_at of its first message }, lease_at (of others), give_up_at (nil: none),
--   attention
function Gate:look(in_flight)
  local unit = { { GATES }, { NEXT_LEASE, self:alive(in_flight) }, { NEXT_GIVE_UP } }
  for _, name in ipairs(self.names) do unit[#unit + 1] = { self.several and NEXT_DUE or NEXT_IN_LINE, name } end
  local before = #unit
  for n, statement in ipairs(self:asking_attention()) do unit[before + n] = statement end
  local results, err, info = self.db:read(unit)
  if not results then return nil, err, info end
  local gates, missing = {}, {}
  for _, row in ipairs(results[1]) do gates[row.name] = row end
  for n, name in ipairs(self.names) do
    local first = results[3 + n][1]
    if not gates[name] and (first or self.named) then missing[#missing + 1] = name end
    gates[name] = gates[name] or fresh(name)
    gates[name].due_at = first and first.due_at
  end
  if #missing > 0 then
    local made
    made, err, info = create(self, missing)
    if not made then return nil, err, info end
  end
  return { gates = gates, lease_at = (results[2][1] or {}).at, give_up_at = (results[3][1] or {}).at,
           attention = attention.attention(results, before) }
end

local CHANGE = [[
  UPDATE channel SET revision = revision + 1, pause_until = $3, breaker = $4, fault = $5, reason = $6, tries = $7,
    next_at = $8, closed_at = $9, told = $10, opened_at = $11, sent_at = $12
  WHERE name = $1 AND revision = $2]]

--- Changes a gate by what `think(gate)` returns: fields, or nil to leave it. Looks again when somebody was faster.
-- @treturn ?table the gate as it is now, and what think returned second; nil, err, info
function Gate:change_gate(name, think)
  for _ = 1, 10 do
    local results, err, info = self.db:read { { GATES .. " WHERE name = $1", name } }
    local row = results and results[1][1]
    if results and not row and is_mine(self, name) then
      local made
      made, err, info = create(self, { name })
      row = made and fresh(name)
    end
    if not row then return nil, err or ("config: no channel " .. name), info end
    local fields, extra = think(row)
    if not fields then return row, extra end
    local revision = row.revision
    for key, value in pairs(fields) do row[key] = value end
    row.revision = revision + 1
    results, err, info = self.db:unit { { CHANGE, name, revision, row.pause_until, row.breaker, row.fault, row.reason,
                                          row.tries, row.next_at, row.closed_at, row.told, row.opened_at,
                                          row.sent_at, expect = 1 } }
    if results then return row, extra end
    err, info = amend.refusal(err, info)
    if not err:find("^conflict:") then return nil, err, info end
  end
  return nil, "store: channel " .. name .. " is changed by others all the time", {}
end

-- Parks -------------------------------------------------------------------------------------------------------------
-- A template that was refused is set aside until a time. Then one of its messages tries, and the others wait on until its
-- answer: it is set aside anew, or all are due.

--- Until when a template is set aside that only a person, its platform's word or the rules take up again.
M.FOREVER = 1e10

local IS_PARKED = "SELECT 1 AS yes FROM park WHERE channel = $1 AND template = $2 AND language = $3 AND until_at > $4"
local PARK = [[
  INSERT INTO park(channel, template, language, until_at, reason) VALUES ($1, $2, $3, $4, $5)
  ON CONFLICT (channel, template, language) DO UPDATE SET until_at = $4, reason = $5
  WHERE park.until_at < ]] .. ("%.0f"):format(M.FOREVER)
local PARK_QUEUED = [[
  UPDATE confirmation SET due_at = $4, held = $5, place = place + $6
  WHERE state = 'queued' AND channel = $1 AND template = $2 AND language = $3 AND due_at < $4]]

--- Sets a template's messages aside until a time; those of other templates go on.
-- @tparam table row a confirmation: channel, template, language
-- @treturn ?boolean true: it was not set aside before
function Gate:park(row, until_at, reason, now)
  local results, err, info = self.db:unit {
    { IS_PARKED, row.channel, row.template, row.language, now },
    { PARK, row.channel, row.template, row.language, until_at, reason },
    { PARK_QUEUED, row.channel, row.template, row.language, until_at, reason, M.PARK_SHIFT } }
  if not results then return nil, err, info end
  return #results[1] == 0
end

local STAY_QUEUED = [[
  UPDATE confirmation SET due_at = $4 FROM park p
  WHERE confirmation.state = 'queued' AND confirmation.channel = $1 AND p.channel = $1 AND p.template = $2 AND p.language = $3
    AND confirmation.template = p.template AND confirmation.language = p.language AND confirmation.due_at = p.until_at
    AND p.until_at < $4]]
local STAY = "UPDATE park SET until_at = $4 WHERE channel = $1 AND template = $2 AND language = $3 AND until_at < $4"

--- A template that is set aside stays so until a later time; one that is not stays as it is.
function Gate:stay_parked(row, until_at)
  return self.db:unit { { STAY_QUEUED, row.channel, row.template, row.language, until_at },
    { STAY, row.channel, row.template, row.language, until_at } }
end

--- Of a message in `c`, at the time $4: its template is not set aside, or it is the one that tries: the first that is due
-- and that nobody is before in its recipient's line. Whoever waits for somebody else to leave can't try.
M.MAY_TRY = [[AND NOT EXISTS (SELECT 1 FROM park p WHERE p.channel = c.channel AND p.template = c.template
        AND p.language = c.language AND c.id <> (SELECT x.id FROM confirmation x WHERE x.channel = c.channel
          AND x.state = 'queued' AND x.due_at <= $4 AND x.template = c.template AND x.language = c.language
          AND NOT EXISTS (SELECT 1 FROM confirmation y WHERE y.channel = x.channel AND y.person = x.person
            AND y.state IN ('queued', 'sending') AND (y.place, y.id) < (x.place, x.id))
        ORDER BY x.due_at, x.place LIMIT 1))]]

local TRY = [[
  UPDATE park SET until_at = $2 WHERE channel = $1 AND until_at <= $3 AND EXISTS (
    SELECT 1 FROM confirmation c WHERE c.state = 'sending' AND c.lease_until = $2 AND c.owner = $4 AND c.channel = park.channel
      AND c.template = park.template AND c.language = park.language)%s RETURNING template, language]]
local OTHERS_WAIT = [[
  UPDATE confirmation SET due_at = p.until_at, held = p.reason FROM park p
  WHERE confirmation.state = 'queued' AND confirmation.channel = $1 AND confirmation.due_at <= $2
    AND p.channel = confirmation.channel AND p.template = confirmation.template
    AND p.language = confirmation.language AND p.until_at > $2]]
local TRYING = { [false] = { TRY:format "", OTHERS_WAIT }, [true] = { TRY:format(IN_HAND), OTHERS_WAIT .. IN_HAND } }

--- The statements after a claim by which the others of a template wait for the one that tries; the first returns the
-- templates. held: with the gate in hand
function M.trying(channel, owner, now, trial_ends, held)
  local texts = TRYING[held]
  return { texts[1], channel, trial_ends, now, owner }, { texts[2], channel, now }
end

local UNPARK = "DELETE FROM park WHERE channel = $1 AND template = $2 AND language = $3 RETURNING until_at"
local UNPARK_QUEUED = [[
  UPDATE confirmation SET due_at = $4, held = NULL
  WHERE state = 'queued' AND channel = $1 AND template = $2 AND language = $3
    AND due_at = (SELECT until_at FROM park WHERE channel = $1 AND template = $2 AND language = $3)]]

--- The template is well, by an answer or by a person's word: its messages are due again.
function Gate:unpark(row, now)
  local results, err, info = self.db:unit {
    { UNPARK_QUEUED, row.channel, row.template, row.language, now },
    { UNPARK, row.channel, row.template, row.language } }
  if not results then return nil, err, info end
  return #results[2] > 0
end

local KEEP_ASIDE = ([[
  UPDATE confirmation SET due_at = p.until_at, held = p.reason, place = place + %.0f FROM park p
  WHERE EXISTS (SELECT 1 FROM park WHERE until_at >= %.0f) AND confirmation.channel = $1 AND confirmation.state = 'queued'
    AND confirmation.due_at <= $2 AND p.channel = confirmation.channel AND p.template = confirmation.template
    AND p.language = confirmation.language AND p.until_at >= %.0f]]):format(M.PARK_SHIFT, M.FOREVER, M.FOREVER)

--- The statement before a claim by which messages of a template that is set aside for good stay aside, however they came to
-- be due: nobody tries such a template. held: with the gate in hand
function M.keep_aside(channel, now, held) return { held and KEEP_ASIDE .. IN_HAND or KEEP_ASIDE, channel, now } end

local FOR_GOOD = ("SELECT channel, template, language FROM park WHERE until_at >= %.0f"):format(M.FOREVER)

--- The templates that are set aside for good.
function Gate:parked_for_good()
  local results, err, info = self.db:read { { FOR_GOOD } }
  if not results then return nil, err, info end
  results[1].changes = nil
  return results[1]
end

local FOR_A_TIME = ([[
  SELECT 1 AS yes FROM park WHERE channel = $1 AND template = $2 AND language = $3 AND until_at < %.0f]]):format(M.FOREVER)

--- The same as unpark, for a template that is set aside for a time only.
function Gate:unpark_for_a_time(row, now)
  local results, err, info = self.db:read { { FOR_A_TIME, row.channel, row.template, row.language } }
  if not results then return nil, err, info end
  return #results[1] > 0 and self:unpark(row, now)
end

local HURRY = [[
  UPDATE confirmation SET due_at = $2 WHERE state = 'queued' AND channel = $1 AND due_at > $2 AND due_at <= $3
    AND was = 'sending' AND held IS NULL AND code IS NULL]]

--- What only waits for its own next try, because 1MSG was not reached, is due now. Who was set aside, by a person or with a
-- template, stays where it is.
-- @tparam number till as late as such a try may be: what is later waits for something else
-- @treturn ?number how many
function Gate:hurry(name, now, till)
  local results, err, info = self.db:unit { { HURRY, name, now, till } }
  if not results then return nil, err, info end
  return results[1].changes
end

local RESUME_QUEUED = [[
  UPDATE confirmation SET due_at = $4, held = NULL FROM park p
  WHERE confirmation.state = 'queued' AND confirmation.channel = $1 AND ($2 = '' OR p.template = $2)
    AND ($3 = '' OR p.language = $3) AND p.channel = confirmation.channel AND p.template = confirmation.template
    AND p.language = confirmation.language AND confirmation.due_at = p.until_at]]
local RESUME = [[
  DELETE FROM park WHERE channel = $1 AND ($2 = '' OR template = $2) AND ($3 = '' OR language = $3)
  RETURNING template, language]]

--- Takes up the templates of a channel, one or all, that were set aside.
-- @treturn ?table their names and languages
function Gate:resume_templates(name, template, language, now)
  local results, err, info = self.db:unit {
    { RESUME_QUEUED, name, template or "", language or "", now }, { RESUME, name, template or "", language or "" } }
  if not results then return nil, err, info end
  return results[2]
end

local WAITING = [[
  SELECT COUNT(*) AS waiting, SUM(CASE WHEN give_up_at < $2 THEN 1 ELSE 0 END) AS expiring FROM confirmation
  WHERE state = 'queued' AND channel = $1]]

--- How many messages wait on a channel, and how many of them end before a time.
function Gate:waiting(name, before)
  local results, err, info = self.db:read { { WAITING, name, before } }
  if not results then return nil, err, info end
  return { waiting = results[1][1].waiting, expiring = results[1][1].expiring or 0 }
end

--- The names of all channels that the store knows.
function Gate:channel_names()
  local results, err, info = self.db:read { { "SELECT name FROM channel ORDER BY name" } }
  if not results then return nil, err, info end
  local names = {}
  for n, row in ipairs(results[1]) do names[n] = row.name end
  return names
end

local STRANDED = [[
  SELECT (SELECT COUNT(*) FROM confirmation WHERE state = 'queued' AND channel = $1 AND due_at <= $2)
    + (SELECT COUNT(*) FROM confirmation WHERE attend_at <= $2 AND channel = $1 AND state <> 'sending') AS n]]

--- Channels of the store that this workflow does not have, and whose messages nobody has sent although they were due by
-- a time: name → how many.
function Gate:stranded(before)
  local all, err, info = self:channel_names()
  if not all then return nil, err, info end
  local ours, names, unit, found = {}, {}, {}, {}
  for _, name in ipairs(self.names) do ours[name] = true end
  for _, name in ipairs(all) do
    if not ours[name] then names[#names + 1], unit[#unit + 1] = name, { STRANDED, name, before } end
  end
  if #unit == 0 then return found end
  local results
  results, err, info = self.db:read(unit)
  if not results then return nil, err, info end
  for n, name in ipairs(names) do
    if results[n][1].n > 0 then found[name] = results[n][1].n end
  end
  return found
end

return M
