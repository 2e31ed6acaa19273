--- onemsg.workflow.fold: what all news of a message, taken together, changes in its confirmation. For onemsg.workflow.
-- What was stored and not folded (the process died, the answer to the send was not recorded yet) is folded when the answer is
-- recorded, or by the upkeep of work(). What it means stands in onemsg.policy.delivery.
local amend = require "onemsg.outbox.amend"
local hooks = require "onemsg.hooks"
local log = require "onemsg.workflow.log"
local news = require "onemsg.policy.delivery"
local phones = require "onemsg.base.phone"
local recipient = require "onemsg.outbox.recipient"
local statuses = require "onemsg.outbox.statuses"

local M = {}

local TRIES = 8         -- of a fold whose row is changed by others all the time
local PORTION = 64      -- confirmations whose changes are under way together: who waits for the store waits no longer

--- The change of one row by all that is known of its messages, ready for amend(); nil: none.
local function change_of(flow, row, known, now)
  local change, measures = news.fold(row, known), nil
  if not change then return nil end
  local after = {}
  if change.failure then
    local next_step
    next_step, measures = news.failed(row, change.failure, now, flow.random)
    if next_step.why then change.reason = change.reason .. "; " .. next_step.why end
    change.retry_at = next_step.retry_at or amend.NONE
    change.fallback_at = next_step.fallback_at or amend.NONE
    change.attend_at, change.confirmed, change.checks = amend.NONE, 0, 0
    for _, status in ipairs(known) do
      if status.source == "poll" and hooks.rank(status.status) == 3 and status.message_id == row.message_id then
        change.confirmed = 1
      end
    end
    change.failure = nil
  elseif change.state == "delivered" or change.state == "read" then
    change.retry_at, change.fallback_at, change.attend_at = amend.NONE, amend.NONE, amend.NONE
    change.held, change.attend_until = amend.NONE, amend.NONE
    after[1], after[2], after[3] = recipient.lift_for_delivery(row, now)
  end
  if change.state and row.held then change.held = amend.NONE end -- what WhatsApp held back is on its way, or is over
  if change.state == "sent" and (row.state == "stalled" or row.held) then -- on its way after all: it may fall silent once more
    change.stall_at = now + flow.stalled_after
    change.attend_at = change.stall_at
  end
  change.reason = phones.redact(change.reason, row.phone)
  if not change.state then change.note, change.reason = change.reason, nil end
  return change, measures, after
end

--- Begins what the statuses of a row change, together with the note that they were joined to it.
local function begin(flow, one, now)
  local change, measures, after = change_of(flow, one.row, one.statuses, now)
  local lifts = after ~= nil and #after > 0
  local joins = statuses.joining(one.row, one.statuses)
  if not change and not joins then return nil end
  for _, statement in ipairs(joins or {}) do
    after = after or {}
    after[#after + 1] = statement
  end
  -- Without a change the row is written all the same: it guards the note against a step that somebody makes meanwhile.
  local begun = flow.box:amend(one.row, change or { rank = one.row.rank }, now, after)
  begun.measures, begun.told, begun.lifts = measures, change ~= nil, lifts
  return begun
end

--- Tells of a change that is on disk, and does what it asks for.
-- @tparam function further of amended()
local function tell(flow, one, row, further, now)
  for _, back in ipairs(one.lifts and further(2) or {}) do flow:announce(back) end
  if one.told then log.amended(flow, row, one.change, now) end
  if one.measures then flow.worker:apply(row, one.measures) end
  if one.told and row.textless ~= 1 then flow.worker:heard(row) end
end

--- Folds a few.
local function fold_portion(flow, left, now)
  for _ = 1, TRIES do
    if #left == 0 then return true end
    local list, err, info = flow.box:with_statuses(left)
    if not list then return nil, err, info end
    local begun = {}
    for _, one in ipairs(list) do
      flow.breathe()
      begun[#begun + 1] = begin(flow, one, now)
    end
    left = {}
    for _, one in ipairs(begun) do
      flow.breathe()
      local row
      row, err, info = flow.box:amended(one)
      if row then
        tell(flow, one, row, err, now)
      elseif err:find("^conflict:") then
        left[#left + 1] = one.row
      else
        return nil, err, info
      end
    end
  end
  return true -- others are at it; the upkeep looks once more
end

--- Folds all that the store knows of some confirmations into them.
-- @tparam table rows
-- @treturn ?boolean true; nil, err, info when the store failed
function M.fold(flow, rows)
  for first = 1, #rows, PORTION do
    local portion = {}
    for n = first, math.min(first + PORTION - 1, #rows) do portion[#portion + 1] = rows[n] end
    local done, err, info = fold_portion(flow, portion, flow.now())
    if not done then return nil, err, info end
  end
  return true
end

--- Folds what is held for messages whose answers were just recorded.
function M.join(flow, rows)
  local with_id = {}
  for _, row in ipairs(rows) do
    if row.message_id or row.resends > 0 then with_id[#with_id + 1] = row end
  end
  return M.fold(flow, with_id)
end

-- Upkeep ----------------------------------------------------------------------------------------------------------

--- Folds what processes left lying, and drops what is too old.
-- @tparam number since of the statuses that are looked at
-- @treturn ?boolean true
-- @treturn boolean true: there are words of the platform that nobody acted upon
-- @treturn number by how many seconds the store is ahead of now
function M.upkeep(flow, now, since)
  local box = flow.box
  local err
  local ids, old, info = box:upkeep(since, now)
  if not ids then return nil, old, info end
  if #ids > 0 then
    local rows
    rows, err, info = box:owners(ids)
    if not rows then return nil, err, info end
    local ok
    ok, err, info = M.fold(flow, rows)
    if not ok then return nil, err, info end
  end
  local done
  done, err, info = box:join_late(old.late, now)
  if not done then return nil, err, info end
  done, err, info = box:tidy(old)
  if not done then return nil, err, info end
  return true, old.words, old.ahead
end

return M
