--- onemsg.outbox.copy: all that a store holds, into another store of any kind. For the command `copy`.
--
-- All or nothing: until everything is there, a mark in the target's meta keeps everybody from using it, and who begins anew
-- begins by emptying it. Then, in one unit of the source, its table of confirmations gets another name, so that nobody can go
-- on with it, not even who has it open, provided that nothing was written since; and the target loses its mark. So at no
-- moment two stores send the same.
local clock = require "onemsg.outbox.clock"
local node = require "onemsg.outbox.node"
local schema = require "onemsg.outbox.schema"
local sql = require "onemsg.sql"
local states = require "onemsg.policy.states"

local M = {}

local PAGE = 200
local VALUES = 1000           -- a statement
local UNIT_BYTES = 4 * 2 ^ 20 -- then it is written

-- What the schema's texts say ----------------------------------------------------------------------------------------

--- The parts of a text between commas that stand in no bracket.
local function parts(text)
  local list, depth, from = {}, 0, 1
  for at, c in text:gmatch "()([(),])" do
    depth = depth + (c == "(" and 1 or c == ")" and -1 or 0)
    if c == "," and depth == 0 then
      list[#list + 1] = text:sub(from, at - 1)
      from = at + 1
    end
  end
  list[#list + 1] = text:sub(from)
  return list
end

local function read_table(text)
  local name, body = text:gsub("%-%-[^\n]*", ""):match "^%s*CREATE TABLE (%w[%w_]*)%s*(%b())"
  if not name then return nil end
  local found = { name = name, columns = {}, types = {}, key = {} }
  for _, part in ipairs(parts(body:sub(2, -2))) do
    local key = part:match "^%s*PRIMARY KEY%s*%((.*)%)"
    local column, kind = part:match "^%s*([%l_]+)%s+(%u+)"
    if key then
      for one in key:gmatch "[%l_]+" do found.key[#found.key + 1] = one end
    elseif column then
      found.columns[#found.columns + 1] = column
      found.types[#found.types + 1] = kind == "DOUBLE" and "DOUBLE PRECISION" or kind == "INTEGER" and "BIGINT" or kind
      if part:find("PRIMARY KEY", 1, true) then found.key[1] = column end
    end
  end
  return found
end

--- The tables of the newest schema: { { name, columns, types, key }, … }.
function M.tables()
  local list = {}
  for _, step in ipairs(schema.steps(states.changes())) do
    for _, text in ipairs(step) do list[#list + 1] = read_table(text) end
  end
  return list
end

-- Rows ---------------------------------------------------------------------------------------------------------------

--- The statement that reads what follows a row, by the table's key.
local function page_after(one, row)
  local key, marks = table.concat(one.key, ", "), {}
  local statement = { "" }
  for n, column in ipairs(one.key) do
    marks[n] = ("CAST($%d AS %s)"):format(n, one.type_of[column])
    if row then statement[n + 1] = row[column] end
  end
  statement[1] = ("SELECT * FROM %s%s ORDER BY %s LIMIT %d"):format(one.name,
    row and (" WHERE (%s) > (%s)"):format(key, table.concat(marks, ", ")) or "", key, PAGE)
  return statement
end

--- The statement that writes rows from `first` on, as many as fit; their bytes, and the last one's number.
local function insertion(one, rows, first, clean)
  local last = math.min(#rows, first + math.floor(VALUES / #one.columns) - 1)
  local tuples, statement, bytes = {}, { "" }, 0
  for n = first, last do
    local marks = {}
    for c, column in ipairs(one.columns) do
      local value = rows[n][column]
      if type(value) == "string" then
        value = clean(value)
        bytes = bytes + #value
      end
      statement[#statement + 1] = value == nil and sql.null or value
      marks[c] = ("CAST($%d AS %s)"):format(#statement - 1, one.types[c])
    end
    tuples[#tuples + 1] = "(" .. table.concat(marks, ", ") .. ")"
  end
  statement[1] = ("INSERT INTO %s(%s) VALUES %s"):format(one.name, table.concat(one.columns, ", "), table.concat(tuples, ", "))
  return statement, bytes, last
end

--- Writes a page, in units that are not too large.
local function write(to, one, rows, clean)
  local unit, size, first = {}, 0, 1
  while first <= #rows do
    local statement, bytes, last = insertion(one, rows, first, clean)
    unit[#unit + 1], size, first = statement, size + bytes, last + 1
    if size > UNIT_BYTES or first > #rows then
      local ok, err, info = to:unit(unit)
      if not ok then return nil, err, info end
      unit, size = {}, 0
    end
  end
  return true
end

--- Copies a table. -> how many rows
local function copy(from, to, one, clean)
  local count, last = 0, nil
  repeat
    local results, err, info = from:read { page_after(one, last) }
    if not results then return nil, err, info end
    local rows = results[1]
    local ok
    ok, err, info = write(to, one, rows, clean)
    if not ok then return nil, err, info end
    count, last = count + #rows, rows[#rows]
  until #rows < PAGE
  return count
end

-- What both hold -----------------------------------------------------------------------------------------------------

--- A text that differs when somebody has written. %s: how confirmation is called.
local CONTENT = [[
  (SELECT CAST(COUNT(*) AS TEXT) || ' ' || CAST(COALESCE(SUM(step), 0) AS TEXT) FROM %s)
  || (SELECT ' ' || CAST(COUNT(*) AS TEXT) FROM history) || (SELECT ' ' || CAST(COUNT(*) AS TEXT) FROM status)
  || (SELECT ' ' || CAST(COUNT(*) AS TEXT) FROM suppression) || (SELECT ' ' || CAST(COUNT(*) AS TEXT) FROM audit)
  || (SELECT ' ' || CAST(COALESCE(SUM(revision), 0) AS TEXT) FROM channel)]]
local SAYS = "SELECT " .. CONTENT:format "confirmation" .. " AS content"
local AT_WORK = "SELECT COUNT(*) AS n FROM node WHERE ended = 0 AND at > $1"
local META = "SELECT name, value FROM meta WHERE name IN ('schema', 'identity', 'copying', 'moved')"
local MARK = "INSERT INTO meta(name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
local RETIRE = "ALTER TABLE confirmation RENAME TO confirmation_moved"
local UNCHANGED = "UPDATE meta SET value = value WHERE name = 'moved' AND $1 = " .. CONTENT:format "confirmation_moved"
local IS_READY = "DELETE FROM meta WHERE name = 'copying'"

local function refuse(sentence, ...) return nil, "config: " .. sentence:format(...), { outcome = "invalid" } end

--- What a store says of itself: name → value; {}: it is empty.
local function meta_of(db)
  local results, err, info = db:read { { META } }
  if not results then
    if info.class == "statement" or info.class == "config" then return {} end -- no such table, no such file
    return nil, err, info
  end
  local meta = {}
  for _, row in ipairs(results[1]) do meta[row.name] = row.value end
  return meta
end

local function content_of(db)
  local results, err, info = db:read { { SAYS } }
  if not results then return nil, err, info end
  return results[1][1].content
end

--- Makes the target ready to be filled, whatever an earlier attempt has left.
local function prepare(to, meta, source, tables, name)
  if meta.copying and meta.copying ~= source.identity and meta.copying ~= "all of " .. source.identity then
    return refuse("%s holds a copy of another store that was not finished", name)
  end
  local ok, err, info = to:unit { { "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)" } }
  if ok and meta.schema and not meta.copying then -- a store: is there anything in it?
    for _, one in ipairs(tables) do
      local results
      results, err, info = to:read { { ("SELECT 1 AS yes FROM %s LIMIT 1"):format(one.name) } }
      if not results then return nil, err, info end
      if results[1][1] then return refuse("%s is not empty: there is something in its table %s", name, one.name) end
    end
  end
  if ok then ok, err, info = to:unit { { MARK, "copying", source.identity }, { MARK, "identity", source.identity } } end
  if ok then ok, err, info = schema.migrate(to, schema.steps(states.changes()), source.identity, true) end
  if not ok then return nil, err, info end
  local unit = {}
  for n, one in ipairs(tables) do unit[n] = { "DELETE FROM " .. one.name } end
  return to:unit(unit)
end

--- May the source be copied?
local function check_source(from, name)
  local ok, err, info = schema.migrate(from, schema.steps(states.changes()), "")
  if not ok then return nil, err, info end
  local now = os.time()
  if from:engine() == "postgres" then
    now, err, info = clock.methods.time { db = from }
    if not now then return nil, err, info end
  end
  local results
  results, err, info = from:read { { AT_WORK, now - node.GONE },
    { "SELECT COUNT(*) AS n FROM confirmation WHERE state = 'sending' AND lease_until > $1", now } }
  if not results then return nil, err, info end
  if results[1][1].n > 0 then
    return refuse("%d processes send from %s: stop them; one that was killed counts for %d s more", results[1][1].n, name,
      node.GONE)
  end
  if results[2][1].n > 0 then return refuse("something is being sent from %s: wait until its lease is over", name) end
  return true
end

--- The last two steps: nobody goes on with the source, and the target may be used.
local function hand_over(from, to, content, name, to_name)
  local ok, err, info = from:unit { { RETIRE }, { MARK, "moved", to_name }, { UNCHANGED, content, expect = 1 } }
  if not ok then
    if err:find "^conflict:" then
      return nil, ("conflict: something was written to %s meanwhile: stop whatever submits to it, and copy again"):format(name),
        { outcome = "invalid" }
    end
    return nil, err, info
  end
  return to:unit { { IS_READY, expect = 1 } }
end

--- Copies a store.
-- @tparam table from, to databases of onemsg.sql
-- @tparam string name, to_name as people may see them
-- @tparam function clean(text) → text that the target takes
-- @tparam function tell(table, rows) after each table
-- @treturn ?number confirmations
-- @treturn string with nil: "config: …", "conflict: …", "store: …"
function M.copy(from, to, name, to_name, clean, tell)
  local tables = M.tables()
  for _, one in ipairs(tables) do
    one.type_of = {}
    for n, column in ipairs(one.columns) do one.type_of[column] = one.types[n] end
  end
  local source, err, info = meta_of(from)
  if not source then return nil, err, info end
  if not source.identity then return refuse("there is no store at %s", name) end
  local target
  target, err, info = meta_of(to)
  if not target then return nil, err, info end
  local all = "all of " .. source.identity
  local ok
  if source.moved and target.copying == all then -- it was interrupted between the last two steps
    ok, err, info = to:unit { { IS_READY, expect = 1 } }
    if not ok then return nil, err, info end
    return tonumber((content_of(to) or "0"):match "^%d+")
  end
  ok, err, info = check_source(from, name)
  if ok then ok, err, info = prepare(to, target, source, tables, to_name) end
  if not ok then return nil, err, info end
  local before
  before, err, info = content_of(from)
  if not before then return nil, err, info end
  for _, one in ipairs(tables) do
    local count
    count, err, info = copy(from, to, one, clean)
    if not count then return nil, err, info end
    tell(one.name, count)
  end
  local there
  there, err, info = content_of(to)
  if not there then return nil, err, info end
  if there ~= before then
    return nil, ("conflict: %s was written to meanwhile: stop whatever submits to it, and copy again"):format(name),
      { outcome = "invalid" }
  end
  ok, err, info = to:unit { { MARK, "copying", all } }
  if ok then ok, err, info = hand_over(from, to, before, name, to_name) end
  if not ok then return nil, err, info end
  return tonumber(before:match "^%d+")
end

return M
