--- onemsg.outbox.retention: what ended long ago, and tombstones that nobody needs any more. For onemsg.outbox.
-- The tombstones are those of onemsg.outbox.forget. Pages go by an index that holds what is not forgotten, or what is: each
-- costs the same however much is stored. An event's confirmations are forgotten, and deleted, together or not yet.
local amend = require "onemsg.outbox.amend"
local witness = require "onemsg.outbox.witness"

local M = { methods = {} }
local Retention = M.methods

M.PAGE = 50

local OLD = [[
  SELECT * FROM confirmation WHERE forgotten_at IS NULL AND created_at <= $1 AND (created_at, id) > ($2, $3)
  ORDER BY created_at, id LIMIT $4]]
local TOMBS = [[
  SELECT id, parts, forgotten_at, left_at FROM confirmation WHERE forgotten_at IS NOT NULL AND forgotten_at <= $1
    AND (forgotten_at, id) > ($2, $3) ORDER BY forgotten_at, id LIMIT $4]]
local ONE = "SELECT * FROM confirmation WHERE id = $1"

-- Nothing comes by itself any more, and nobody is needed.
local ENDED = { delivered = true, read = true, failed = true, rejected = true, expired = true, skipped = true, cancelled = true }

local function is_over(row, before)
  return ENDED[row.state] and row.changed_at <= before and not (row.attend_at or row.retry_at or row.fallback_at
    or row.fallback_lease) and row.fallback ~= "handed_over" and row.fallback ~= "unknown"
end

--- The rows of all events of a page that are whole: list, or nil, err, info.
local function whole(box, page, fits)
  local by_id, list = {}, {}
  local function get(id)
    if by_id[id] == nil then
      local results, err, info = box.db:read { { ONE, id } }
      if not results then return nil, err, info end
      by_id[id] = results[1][1] or false
    end
    return by_id[id]
  end
  for _, row in ipairs(page) do
    local name, number = row.id:match "^(.*)~(%d+)$"
    local head, err, info
    if name then
      head, err, info = get(name)
      if err then return nil, err, info end
    end
    if not head or head.parts < tonumber(number) then -- a further one comes with its first
      local event, good = { row }, fits(row)
      for n = 2, good and row.parts or 1 do
        local part
        part, err, info = get(row.id .. "~" .. n)
        if err then return nil, err, info end
        good = good and (not part or fits(part))
        event[#event + 1] = part or nil
      end
      for _, one in ipairs(good and event or {}) do list[#list + 1] = one end
    end
  end
  return list
end

local function page_of(box, text, before, after, at)
  local results, err, info = box.db:read { { text, before, after and after[at] or -1e300, after and after.id or "", M.PAGE } }
  if not results then return nil, err, info end
  return results[1]
end

--- A page of what was created before a time, the oldest first, with what of it is over.
-- @tparam ?table after the last row of the page before
-- @treturn ?table rows to forget
-- @treturn ?table the last one of the page; nil: that was the last page
function Retention:over(before, after)
  local page, err, info = page_of(self, OLD, before, after, "created_at")
  if not page then return nil, err, info end
  local rows
  rows, err, info = whole(self, page, function(row) return not row.forgotten_at and is_over(row, before) end)
  if not rows then return nil, err, info end
  return rows, page[M.PAGE]
end

local DROP = {
  "DELETE FROM history WHERE id = $1", "DELETE FROM once_key WHERE id = $1", "DELETE FROM earlier WHERE id = $1",
  "DELETE FROM lost WHERE id = $1",
}
local DROP_ONE = "DELETE FROM confirmation WHERE id = $1 AND forgotten_at <= $2 RETURNING id"

--- Deletes a page of tombstones that are older than a time; ids of what left are kept as long as a store that forgets is told
-- by them (onemsg.outbox.witness).
-- @treturn ?number how many
-- @treturn ?table the last one of the page; nil: that was the last page
function Retention:drop(before, after, now)
  local page, err, info = page_of(self, TOMBS, before, after, "forgotten_at")
  if not page then return nil, err, info end
  local known = now - witness.KEEP
  local unit, done = {}, true
  local function is_old(row) return row.forgotten_at and row.forgotten_at <= before and (row.left_at or 0) <= known end
  local rows
  rows, err, info = whole(self, page, is_old)
  if not rows then return nil, err, info end
  for _, row in ipairs(rows) do
    for _, text in ipairs(DROP) do unit[#unit + 1] = { text, row.id } end
    unit[#unit + 1] = { DROP_ONE, row.id, before }
  end
  if #unit > 0 then done, err, info = self.db:unit(unit) end
  if not done then return nil, amend.refusal(err, info) end
  return #rows, page[M.PAGE]
end

return M
