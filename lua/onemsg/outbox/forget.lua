--- onemsg.outbox.forget: what is left of a confirmation whose person is forgotten. For onemsg.outbox.
-- Its tombstone: id, type, state, rule, times, and of the event a keyed digest, so that the same id is a duplicate or a conflict
-- as before; what it held of once_per stays held, by a digest. The same is left of what ended long ago (onemsg.outbox.retention).
-- An endless suppression, and the ids of messages, survive as digests too (the table forgotten). The key is not in the store.
local amend = require "onemsg.outbox.amend"
local audit = require "onemsg.outbox.audit"
local once = require "onemsg.outbox.once"
local person = require "onemsg.outbox.person"

local M = { methods = {} }
local Forget = M.methods

M.MARK = "forgotten " -- an event that begins so is a digest; no JSON does
local BATCH = 50
local unpack = table.unpack or unpack -- luacheck: ignore
local PAGE = 1000

local OF_PERSON = "SELECT * FROM confirmation WHERE person = $1"
local OF_ADDRESS = "SELECT * FROM confirmation WHERE phone = $1"
local HEAD = "SELECT * FROM confirmation WHERE id = $1"
local EARLIER = "SELECT message_id FROM earlier WHERE id = $1"

--- The confirmations of people by their keys, and of events by their ids, with all others of the same events.
function Forget:of_people(names, ids)
  local found, rows, unit = {}, {}, {}
  local function take(results)
    for _, list in ipairs(results) do
      for _, row in ipairs(list) do
        if not found[row.id] then found[row.id], rows[#rows + 1] = row, row end
      end
    end
  end
  for _, name in ipairs(names) do unit[#unit + 1], unit[#unit + 2] = { OF_PERSON, name }, { OF_ADDRESS, name } end
  for _, id in ipairs(ids) do unit[#unit + 1] = { HEAD, id } end
  local results, err, info
  for first = 1, #unit, amend.CHUNK do
    results, err, info = self.db:read { unpack(unit, first, math.min(first + amend.CHUNK - 1, #unit)) }
    if not results then return nil, err, info end
    take(results)
  end
  for n = 1, #rows do
    local head = rows[n].id:match "^(.*)~%d+$"
    local first = head and found[head] or not head and rows[n]
    if head and not first then
      results, err, info = self.db:read { { HEAD, head } }
      if not results then return nil, err, info end
      take(results)
      first = results[1][1]
    end
    for part = 2, first and first.parts or 1 do
      results, err, info = self.db:read { { HEAD, first.id .. "~" .. part } }
      if not results then return nil, err, info end
      take(results)
    end
  end
  return rows
end

local WITHOUT_PERSON = [[
  SELECT id, event, changed_at FROM confirmation WHERE state = 'skipped' AND changed_at >= $1 AND person IS NULL
    AND (changed_at > $1 OR id > $2) ORDER BY changed_at, id LIMIT $3]]

--- The ids of events that were skipped before anybody knew whom they were about, and that name somebody.
-- @tparam function names_them(event's text) → boolean
function Forget:that_name(names_them)
  local ids, at, id = {}, 0, ""
  repeat
    local results, err, info = self.db:read { { WITHOUT_PERSON, at, id, PAGE } }
    if not results then return nil, err, info end
    for _, row in ipairs(results[1]) do
      at, id = row.changed_at, row.id
      if row.event:sub(1, #M.MARK) ~= M.MARK and names_them(row.event) then ids[#ids + 1] = row.id end
    end
  until #results[1] < PAGE
  return ids
end

local TOMBSTONE = [[
  UPDATE confirmation SET was = CASE WHEN state = 'queued' THEN state ELSE was END,
    state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END, step = step + 1, event = $3, reason = $4,
    changed_at = CASE WHEN state = 'queued' THEN $5 ELSE changed_at END, forgotten_at = $5, once = $6,
    phone = NULL, person = NULL, message = NULL, resolved = NULL, held = NULL, message_id = NULL, job_id = NULL,
    otherwise = NULL, way = NULL, fallback_at = NULL, fallback_lease = NULL, quiet = NULL, suppressed_at = NULL,
    contradiction = NULL, hint = NULL, attend_at = NULL, attend_until = NULL, stall_at = NULL, retry_at = NULL
  WHERE id = $1 AND step = $2 AND state <> 'sending']]
local SILENCE = "UPDATE history SET reason = '' WHERE id = $1 AND reason <> ''"
-- Of what it went through, what says that it may have left stays: see NOTHING_LEFT in onemsg.outbox.once.
local SHORTEN = "DELETE FROM history WHERE id = $1 AND step > 1 AND state IN ('queued', 'sending')"
local LAST = [[
  INSERT INTO history(id, step, at, state, reason, version)
  SELECT id, step, forgotten_at, state, reason, version FROM confirmation WHERE id = $1]]
local GONE = {
  "DELETE FROM status WHERE message_id IN (SELECT message_id FROM confirmation WHERE id = $1)",
  "DELETE FROM status WHERE message_id IN (SELECT message_id FROM earlier WHERE id = $1)",
  "DELETE FROM earlier WHERE id = $1", "DELETE FROM lost WHERE id = $1",
}
local KEEP_DIGEST = [[
  INSERT INTO forgotten(digest, channel, source, at) VALUES ($1, $2, $3, $4) ON CONFLICT (digest, channel) DO NOTHING]]

local function bury(unit, row, messages, digest, event_digest, now)
  for _, id in ipairs(messages) do unit[#unit + 1] = { KEEP_DIGEST, digest(id), "", "message", now } end
  for _, text in ipairs(GONE) do unit[#unit + 1] = { text, row.id } end
  local held = row.once and once.digested(row.once, digest)
  unit[#unit + 1] = { TOMBSTONE, row.id, row.step, M.MARK .. event_digest, "forgotten", now, amend.or_null(held), expect = 1 }
  if held then once.hide(unit, row.id, row.once, held) end
  unit[#unit + 1], unit[#unit + 2], unit[#unit + 3] = { SILENCE, row.id }, { SHORTEN, row.id }, { LAST, row.id }
end

--- The ids of all messages of some rows: n → a list.
local function messages_of(box, rows, first, last)
  local questions, lists = {}, {}
  for n = first, last do questions[#questions + 1] = { EARLIER, rows[n].id } end
  local found, err, info = box.db:read(questions)
  if not found then return nil, err, info end
  for n = first, last do
    lists[n] = { rows[n].message_id }
    for _, one in ipairs(found[n - first + 1]) do lists[n][#lists[n] + 1] = one.message_id end
  end
  return lists
end

--- Forgets confirmations, in units of some dozens, each whole: who is killed in between begins again and finds the rest.
-- @tparam table rows of of_people
-- @tparam function digest(text) → text
-- @tparam function content(row) → the text of its event that a repeat is compared by
-- @tparam ?boolean late no news of its messages is expected any more: their ids need not be kept
-- @tparam ?table final statements that go with the last unit: all is done when they are
-- @treturn ?number how many were queued, and are cancelled
function Forget:bury(rows, digest, content, now, late, final)
  local cancelled = 0
  for first = 1, math.max(#rows, final and 1 or 0), BATCH do
    local unit, last = {}, math.min(first + BATCH - 1, #rows)
    local messages, err, info = {}, nil, nil
    if not late and last > 0 then messages, err, info = messages_of(self, rows, first, last) end
    if not messages then return nil, err, info end
    for n = first, last do
      local row = rows[n]
      bury(unit, row, messages[n] or {}, digest, digest(content(row)), now)
      if row.state == "queued" then cancelled = cancelled + 1 end
    end
    for n = 1, last == #rows and final and #final or 0 do unit[#unit + 1] = final[n] end
    local done
    done, err, info = self.db:unit(unit)
    if not done then return nil, amend.refusal(err, info) end
  end
  return cancelled
end

local SUPPRESSIONS = "SELECT channel, source, until_at, lifted_at FROM suppression WHERE person = $1 OR phone = $1"
local STRAY = {
  "DELETE FROM suppression WHERE person = $1 OR phone = $1", "DELETE FROM lost WHERE person = $1 OR phone = $1",
  "DELETE FROM status WHERE recipient = $1 AND id IS NULL", "DELETE FROM echo WHERE phone = $1",
  "DELETE FROM person WHERE person = $1 OR name = $1",
}
local SAMPLES = "UPDATE oddity SET sample = '' WHERE sample LIKE $1"

--- The statements that forget all names of a person, and what is kept under them. Their endless suppressions stay as digests.
-- They belong to the last unit of bury: as long as a confirmation is left, it is found by every name.
-- @treturn ?table
-- @treturn ?number how many suppressions stay
function Forget:names_forgotten(names, digest, by, about, now)
  local questions, unit, kept = {}, {}, {}
  for n, name in ipairs(names) do questions[n] = { SUPPRESSIONS, name } end
  local found, err, info = {}, nil, nil
  if questions[1] then found, err, info = self.db:read(questions) end
  if not found then return nil, err, info end
  for _, list in ipairs(found) do
    for _, row in ipairs(list) do
      if not row.until_at and not row.lifted_at then kept[row.channel] = row.source end
    end
  end
  local count = 0
  for channel, source in pairs(kept) do
    count = count + 1
    for _, name in ipairs(names) do unit[#unit + 1] = { KEEP_DIGEST, digest(name), channel, source, now } end
  end
  for _, name in ipairs(names) do
    for _, text in ipairs(STRAY) do unit[#unit + 1] = { text, name } end
    unit[#unit + 1] = { SAMPLES, "%" .. name:gsub("@.*", "") .. "%" }
  end
  unit[#unit + 1] = audit.line(self, now, by, "forget", about)
  return unit, count
end

M.WANTED_NOTHING = "they wanted nothing more, before they were forgotten"
local KNOWN_AGAIN = "DELETE FROM forgotten WHERE digest = $1 AND source <> 'message'"
local AGAIN = [[
  INSERT INTO suppression(channel, phone, reason, code, until_at, created_at, source, person)
  SELECT f.channel, CAST($2 AS TEXT), ']] .. M.WANTED_NOTHING .. [[', NULL, NULL, f.at, f.source,
    ]] .. person.of "$3" .. [[ FROM forgotten f WHERE f.digest = $1 AND f.source <> 'message'
  ON CONFLICT (channel, person) DO NOTHING]]

--- Adds to a unit that somebody is named again: what they wanted before they were forgotten holds as it did.
-- @tparam ?function digest nil: nobody was ever forgotten here
function M.named_again(unit, digest, phone, key)
  if not digest then return end
  local one = digest(key)
  unit[#unit + 1] = { AGAIN, one, phone, key }
  unit[#unit + 1] = { KNOWN_AGAIN, one }
end

local LIFT = "DELETE FROM forgotten WHERE digest = $1 AND source <> 'message' AND ($2 = '' OR source = $2) AND at <= $3"

--- The statement by which what somebody wanted before they were forgotten ends. nil: nobody was ever forgotten here.
-- @tparam string source "stop": only what they wrote; "": all of it
function M.lift(digest, key, source, at) return digest and { LIFT, digest(key), source, at } end

local IS_KEPT = "SELECT f.source FROM forgotten f WHERE f.digest = $1 AND f.source <> 'message' AND f.channel IN ('', $2)"

--- The question whether somebody who is not named in the store wanted nothing more.
function M.kept_statement(digest, key, channel) return { IS_KEPT, digest(key), channel } end

local IS_FORGOTTEN = "SELECT digest FROM forgotten WHERE digest = $1 AND source = 'message'"

--- Which messages were of people who are forgotten?
-- @treturn ?table as a set
function Forget:forgotten_messages(ids, digest)
  local unit, set = {}, {}
  for n, id in ipairs(ids) do unit[n] = { IS_FORGOTTEN, digest(id) } end
  for first = 1, #unit, amend.CHUNK do
    local part = {}
    for n = first, math.min(first + amend.CHUNK - 1, #unit) do part[#part + 1] = unit[n] end
    local results, err, info = self.db:read(part)
    if not results then return nil, err, info end
    for n, rows in ipairs(results) do
      if rows[1] then set[ids[first + n - 1]] = true end
    end
  end
  return set
end

return M
