--- onemsg.outbox.once: the keys of once_per: who holds one, and when it is free. For onemsg.outbox.
-- A key stands once for each event type (''; of all, where rules share it), with the confirmation that took it. It is held
-- while that confirmation, or another one of its event with the same key, may have reached the person or still may. So it
-- is free by what its holder has become, and nobody has to give it back; who takes it decides that in one unit.
local json = require "onemsg.base.json"

local M = { methods = {} }
local Once = M.methods

--- What a rule's once_per says of a further event; the id of the confirmation that holds the key follows.
M.ONCE = "once_per: already confirmed by "

-- A confirmation %s of which it is certain that nothing left and nothing will.
local NOTHING_LEFT = [[(%s.state IN ('skipped', 'cancelled', 'rejected', 'expired') AND %s.fallback IS NULL
  AND %s.fallback_at IS NULL AND NOT EXISTS (SELECT 1 FROM history h WHERE h.id = %s.id
    AND h.state NOT IN ('queued', 'sending', 'skipped', 'cancelled', 'rejected', 'expired')))]]

local FREE = [[EXISTS (SELECT 1 FROM confirmation f WHERE f.id = once_key.id AND ]]
  .. NOTHING_LEFT:gsub("%%s", "f") .. [[
  AND NOT EXISTS (SELECT 1 FROM confirmation s WHERE s.once = once_key.value AND s.event = f.event
    AND NOT ]] .. NOTHING_LEFT:gsub("%%s", "s") .. "))"

-- The key of a message in `confirmation`, if it has one, is its own.
M.IS_OWN = [[(confirmation.once IS NULL OR EXISTS (SELECT 1 FROM once_key k JOIN confirmation f ON f.id = k.id
  WHERE k.value = confirmation.once AND k.type IN ('', confirmation.type) AND f.event = confirmation.event))]]

local TAKE = "INSERT INTO once_key(value, type, id) SELECT $1, CAST($%d AS TEXT), CAST($%d AS TEXT) "
  .. "WHERE NOT EXISTS (SELECT 1 FROM once_key WHERE %s) ON CONFLICT (value, type) DO NOTHING"
local SKIP_TAKEN = "UPDATE confirmation SET state = 'skipped', reason = $%d || (SELECT MIN(id) FROM once_key WHERE %s "
  .. "AND id <> $%d) WHERE id = $%d AND was = 'new' AND EXISTS (SELECT 1 FROM once_key WHERE %s AND id <> $%d)"
local IS_MINE = "SELECT id FROM confirmation WHERE id = $1 AND " .. M.IS_OWN

--- A key for the store.
-- @tparam table once of a decision: across, said, on
-- @tparam string value
-- @tparam string event_type
-- @treturn table key, type, on (nil: of all types), value, across
function M.key(once, value, event_type)
  local whose = once.across and { "across", once.across, value }
    or { once.said == "" and "function" or "text", once.said, value }
  return { key = json.encode(whose), type = once.across and "" or event_type, on = once.on, value = value,
    across = once.across }
end

--- The condition for the rows of a key that count for a rule: those of the event types that it is for.
-- @treturn string
-- @treturn table the statement's values so far
local function rows_of(key)
  local values = { key.key }
  if not key.on then return "value = $1", values end
  local list = {}
  local function add(form, value)
    values[#values + 1] = value
    list[#list + 1] = form:format(#values)
  end
  for _, said in ipairs(key.on.said) do
    if said == "*" then return "value = $1", { key.key } end
    if said:sub(-1) == "*" then
      add("substr(type, 1, " .. #said - 1 .. ") = $%d", said:sub(1, -2))
    else
      add("type = $%d", said)
    end
  end
  return "value = $1 AND (" .. table.concat(list, " OR ") .. ")", values
end

local function statement(text, values, ...)
  local made = { text }
  for _, value in ipairs(values) do made[#made + 1] = value end
  for _, value in ipairs { ... } do made[#made + 1] = value end
  return made
end

--- The statements by which a confirmation takes its key, if that is free.
-- @tparam table key
-- @tparam string id of the confirmation
function M.take(key, id)
  local rows, values = rows_of(key)
  local n = #values
  return statement("DELETE FROM once_key WHERE " .. rows .. " AND " .. FREE, values),
    statement(TAKE:format(n + 1, n + 2, rows), values, key.type, id)
end

--- The statement that stores a new confirmation as skipped when its key is held by another event.
-- @tparam string first the confirmation of the same event that took the key, or would have
function M.skip_taken(key, id, first)
  local rows, values = rows_of(key)
  local n = #values
  return statement(SKIP_TAKEN:format(n + 1, rows, n + 2, n + 3, rows, n + 2), values, M.ONCE, first, id)
end

--- The statement that fails the unit when the key of a confirmation is not its own.
function M.must_be_own(id) return { IS_MINE, id, expect = 1 } end

-- Whose event is forgotten holds its key by a digest, until somebody speaks of it again -------------------------------------

local DIGEST = "digest " -- no JSON begins so

--- A key as it stands for a confirmation that is forgotten.
function M.digested(key, digest)
  return key:sub(1, #DIGEST) == DIGEST and key or DIGEST .. digest("once " .. key)
end

local HIDE = [[
  UPDATE once_key SET value = $3 WHERE value = $2
    AND (id = $1 OR id IN (SELECT f.id FROM confirmation f WHERE f.id = once_key.id AND f.forgotten_at IS NOT NULL))]]
local HIDE_OTHERS = "UPDATE confirmation SET once = $2 WHERE once = $1 AND forgotten_at IS NOT NULL"
local KEY_AGAIN = "UPDATE once_key SET value = $2 WHERE value = $1"
local ROWS_AGAIN = "UPDATE confirmation SET once = $2 WHERE once = $1"

--- Adds to the unit that forgets a confirmation that its key becomes a digest; also where it was brought back meanwhile.
function M.hide(unit, id, key, held)
  if key == held then return end
  unit[#unit + 1], unit[#unit + 2] = { HIDE, id, key, held }, { HIDE_OTHERS, key, held }
end

--- Adds to a unit that somebody speaks of a key again: who holds it by a digest holds it by name.
-- @tparam ?function digest nil: nothing was ever forgotten here
function M.named_again(unit, digest, key)
  if not digest then return end
  local held = M.digested(key.key, digest)
  unit[#unit + 1], unit[#unit + 2] = { KEY_AGAIN, held, key.key }, { ROWS_AGAIN, held, key.key }
end

--- The id of the confirmation that holds a key, or nil.
-- @tparam ?function digest as for named_again
function Once:holder(key, digest)
  if digest then
    local hidden = {}
    for name, value in pairs(key) do hidden[name] = value end
    hidden.key = M.digested(key.key, digest)
    local id, err, info = self:holder(hidden)
    if id or err then return id, err, info end
  end
  local rows, values = rows_of(key)
  local results, err, info = self.db:read { statement(
    "SELECT id FROM once_key WHERE " .. rows .. " AND NOT " .. FREE .. " ORDER BY type LIMIT 1", values) }
  if not results then return nil, err, info end
  return results[1][1] and results[1][1].id
end

return M
