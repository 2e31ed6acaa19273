--- onemsg.outbox.witness: what has left from this machine, beside the store and not in it. For onemsg.outbox.
--
-- A store may forget: a backup is restored, a standby is promoted that lacks the last commits. Then it calls `queued`, or
-- does not know at all, what has left already. Each time that a confirmation is about to leave, as a message or on another
-- way, the store counts it in `departures`, and the witness remembers the count, on disk before the first byte. A count
-- that the witness has seen before says that the store has forgotten: that one must not leave again.
-- A SQLite database of its own, which several processes, and several stores, may share. Limit: who loses the machine along
-- with the last commits of the store loses its witness as well.
local cjson = require "cjson"
local sql = require "onemsg.sql"

local M = {}

local Witness = {}
Witness.__index = Witness

M.KEEP = 30 * 86400 -- seconds; what is queued for longer than that has expired, in a backup as well

-- Rows are replaced, never updated: the order of rowid is that of time. way: 1: another way was begun, now or before.
M.SCHEMA = [[
  CREATE TABLE IF NOT EXISTS departure (
    store TEXT NOT NULL, id TEXT NOT NULL, n INTEGER NOT NULL, way INTEGER NOT NULL, at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (store, id))]]

local SEEN = [[
  SELECT d.id AS id, d.n AS n, d.way AS way, d.at AS at FROM json_each($2) c
  CROSS JOIN departure d ON d.store = $1 AND d.id = json_extract(c.value, '$[0]')
  WHERE d.n >= json_extract(c.value, '$[1]')]]
local NOTE = [[
  INSERT OR REPLACE INTO departure(store, id, n, way, at)
  SELECT $1, json_extract(c.value, '$[0]'), MAX(json_extract(c.value, '$[1]'), COALESCE(d.n, 0)),
    MAX(CAST($3 AS INTEGER), COALESCE(d.way, 0)), $4
  FROM json_each($2) c LEFT JOIN departure d ON d.store = $1 AND d.id = json_extract(c.value, '$[0]')]]
local FORGET = [[
  DELETE FROM departure WHERE at < $1 AND rowid IN (SELECT rowid FROM departure ORDER BY rowid LIMIT $2)]]
local BACKWARDS = [[
  SELECT rowid AS place, id, n, way, at FROM departure WHERE +store = $1 AND rowid < $2 ORDER BY rowid DESC LIMIT $3]]
local NEWEST = 2 ^ 53 -- beyond every rowid
M.PAGE = 200

--- Opens or makes it.
-- @tparam string path
-- @tparam string store the identity of the store that it speaks of
-- @treturn ?table witness
-- @treturn string with nil: "store: …"
function M.open(path, store)
  local db, err, info = sql.open("sqlite:" .. path)
  if not db then return nil, err, info end
  local self = setmetatable({ db = db, store = store, path = path }, Witness)
  local ok
  ok, err, info = db:unit { { M.SCHEMA }, { NOTE, "", '[["",0]]', 0, 0 } } -- can it be written? Before anything is claimed
  if not ok then
    db:close()
    return nil, err, info
  end
  return self
end

function Witness:close() self.db:close() end

--- Notes that these are about to leave, on disk when this returns.
-- @tparam table rows as claim() gave them: id, departures
-- @tparam boolean way not as a message, on another way
-- @treturn ?table of those that the store has forgotten: id → n, way, at (when it last left)
function Witness:note(rows, way, now)
  local list = {}
  for i, row in ipairs(rows) do list[i] = { row.id, row.departures } end
  local text = cjson.encode(list)
  local results, err, info = self.db:unit {
    { SEEN, self.store, text }, { NOTE, self.store, text, way and 1 or 0, now }, { FORGET, now - M.KEEP, 2 * #list + 2 } }
  if not results then return nil, err, info end
  local left = {}
  for _, row in ipairs(results[1]) do left[row.id] = row end
  return left
end

--- What left last, newest first, a page.
-- @tparam ?number before the `place` of the last one of the page before
-- @treturn ?table list of id, n, way, at, place
function Witness:page(before)
  local results, err, info = self.db:read { { BACKWARDS, self.store, before or NEWEST, M.PAGE } }
  if not results then return nil, err, info end
  return results[1]
end

-- In the store ------------------------------------------------------------------------------------------------------

M.methods = {}
local Forgotten = M.methods

local COUNT = "SELECT id, state, departures FROM confirmation WHERE id = $1"
local IDENTITY = "SELECT value FROM meta WHERE name = 'identity'"
local CATCH_UP = "UPDATE confirmation SET departures = $2, fallback = COALESCE($3, fallback) WHERE id = $1"

--- The name that a store got when it was made; a copy of it has the same.
function Forgotten:identity()
  local results, err, info = self.db:read { { IDENTITY } }
  if not results then return nil, err, info end
  return results[1][1].value
end

--- Which of some departures the store does not know.
-- @tparam table list as Witness:page gives it
-- @treturn ?number how many
-- @treturn table of them, those that are queued
function Forgotten:forgotten(list)
  if #list == 0 then return 0, list end
  local unit, count, queued = {}, 0, {}
  for i, departure in ipairs(list) do unit[i] = { COUNT, departure.id } end
  local results, err, info = self.db:read(unit)
  if not results then return nil, err, info end
  for i, departure in ipairs(list) do
    local row = results[i][1]
    if not row or row.departures < departure.n then
      count = count + 1
      if row and row.state == "queued" then queued[#queued + 1] = departure end
    end
  end
  return count, queued
end

--- The statement by which the store learns what it has forgotten.
function M.catch_up(id, change) return { CATCH_UP, id, change.departures, change.fallback or sql.null } end

return M
