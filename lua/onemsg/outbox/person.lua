--- onemsg.outbox.person: the names of people. For onemsg.outbox.
-- A person has one key in the store: their phone where it is known, else their bsuid, else their username. Line, gap,
-- suppression and evidence go by it. Further names stand in the table person; who is known by one name only is not there.
-- A name that is found to be somebody's brings all that was stored under it along; one that belonged to another person
-- until now moves alone: the newer fact counts. Whoever said stop stays left alone under their bsuid; usernames change hands.
local amend = require "onemsg.outbox.amend"
local phones = require "onemsg.base.phone"

local M = { methods = {} }
local Person = M.methods

local CHUNK = amend.CHUNK
local REMEMBERED = 20000 -- ties that a process knows to be stored
local FRESH = 60         -- seconds that it believes so: another process may have learned something newer
local unpack = table.unpack or unpack -- luacheck: ignore

--- The key of the person with a name that is a parameter, such as "$9".
function M.of(parameter)
  return ("COALESCE((SELECT n.person FROM person n WHERE n.name = %s), %s)"):format(parameter, parameter)
end

--- Is a column one of the names of a person? Both are texts of SQL.
function M.is_name_of(column, person)
  return ("(%s = %s OR %s IN (SELECT n.name FROM person n WHERE n.person = %s))"):format(column, person, column, person)
end

-- $1 the name, $2 the key of its person by now.
local STOPPED = [[
  INSERT INTO suppression(channel, person, phone, reason, code, until_at, created_at, lifted_at, source)
  SELECT channel, $2, phone, reason, code, until_at, created_at, lifted_at, source FROM suppression
  WHERE (person = $1 OR until_at IS NULL AND source = 'stop' AND $1 NOT LIKE '%@username'
    AND person = (SELECT n.person FROM person n WHERE n.name = $1)) AND person <> $2
  ON CONFLICT (channel, person) DO UPDATE SET reason = excluded.reason, code = excluded.code, phone = excluded.phone,
    until_at = excluded.until_at, created_at = excluded.created_at, lifted_at = excluded.lifted_at, source = excluded.source
  WHERE suppression.until_at IS NOT NULL AND (excluded.until_at IS NULL OR excluded.until_at > suppression.until_at)]]
local NOT_STOPPED = "DELETE FROM suppression WHERE person = $1 AND $1 <> $2"
-- Two that are being sent stay two until one of them ended: one person has one in flight.
local MOVE = [[
  UPDATE confirmation SET person = $2 WHERE (person = $1 OR phone = $1) AND person <> $2
    AND NOT (state = 'sending' AND EXISTS (SELECT 1 FROM confirmation f
      WHERE f.channel = confirmation.channel AND f.person = $2 AND f.state = 'sending'))]]
local MOVE_LOST = "UPDATE lost SET person = $2 WHERE (person = $1 OR phone = $1) AND person <> $2"
local NAMES = "UPDATE person SET person = $2, at = $3 WHERE person = $1 AND person <> $2"
local NAME = [[
  INSERT INTO person(name, person, at, late) VALUES ($1, $2, $3, 0)
  ON CONFLICT (name) DO UPDATE SET person = excluded.person, at = excluded.at WHERE person.person <> excluded.person]]
local LATE = [[
  UPDATE person SET late = CASE WHEN EXISTS (SELECT 1 FROM confirmation c WHERE c.person = $1) THEN 1 ELSE 0 END
  WHERE name = $1]]

local function move(unit, name, person, now)
  for _, statement in ipairs { STOPPED, NOT_STOPPED, MOVE, MOVE_LOST } do unit[#unit + 1] = { statement, name, person } end
  unit[#unit + 1] = { NAMES, name, person, now }
  unit[#unit + 1] = { NAME, name, person, now }
  unit[#unit + 1] = { LATE, name }
end

local KEY = "SELECT " .. M.of "$1" .. " AS person"

--- The keys of people by one of their names each.
-- @tparam table names list of keys (onemsg.base.phone)
-- @treturn ?table list
function Person:persons(names)
  local unit, found = {}, {}
  for n, name in ipairs(names) do unit[n] = { KEY, name } end
  for first = 1, #unit, CHUNK do
    local results, err, info = self.db:read { unpack(unit, first, math.min(first + CHUNK - 1, #unit)) }
    if not results then return nil, err, info end
    for _, rows in ipairs(results) do found[#found + 1] = rows[1].person end
  end
  return found
end

local function tie_of(one)
  local names = {}
  if one.phone then names[1] = phones.key(one.phone) end
  names[#names + 1] = one.bsuid
  if one.username then names[#names + 1] = phones.of_message { username = one.username } end
  return names, table.concat(names, " ")
end

-- Does this process know that the names are stored as one person's? What was told of one of them since then counts.
local function is_known(box, names, tie, now)
  local known = box.ties[tie]
  if not known or known.at + FRESH <= now or known.at > now then return false end
  for _, name in ipairs(names) do
    if (box.tied_to[name] or name) ~= known.person then return false end
  end
  return true
end

local function remember(box, names, tie, person, now)
  if box.tied >= REMEMBERED then box.ties, box.tied_to, box.tied = {}, {}, 0 end
  if not box.ties[tie] then box.tied = box.tied + 1 end
  box.ties[tie] = { at = now, person = person }
  for _, name in ipairs(names) do box.tied_to[name] = person end
end

--- Keeps that names are one person's.
-- @tparam table people { { phone, bsuid, username }, … } as onemsg.hooks gives them
-- @treturn ?boolean true
function Person:join(people, now)
  for _, one in ipairs(people) do
    self.breathe()
    local names, tie = tie_of(one)
    if #names > 1 and not is_known(self, names, tie, now) then
      local first, err, info = self:persons { names[1] }
      if not first then return nil, err, info end
      local unit = {}
      for n = 2, #names do move(unit, names[n], first[1], now) end
      local done
      done, err, info = self.db:unit(unit)
      if not done then return nil, amend.refusal(err, info) end
      remember(self, names, tie, first[1], now)
    end
  end
  return true
end

local WAITING = "SELECT name, person FROM person WHERE late = 1 LIMIT $1"

--- The question for names under which something was being sent when they were found to be somebody's.
function M.late_statement() return { WAITING, CHUNK } end

--- Brings that along.
-- @tparam table rows what the question found
function Person:join_late(rows, now)
  for _, row in ipairs(rows) do
    local unit = {}
    move(unit, row.name, row.person, now)
    local done, err, info = self.db:unit(unit)
    if not done then return nil, amend.refusal(err, info) end
  end
  return true
end

local OTHERS = "SELECT name FROM person WHERE person = $1 ORDER BY name LIMIT 20"

--- The question for all names of a person, and what its answer says: a list, the key first.
function M.names_statement(person) return { OTHERS, person } end

function M.names_of(person, rows)
  local names = { person }
  for _, row in ipairs(rows) do names[#names + 1] = row.name end
  return names
end

return M
