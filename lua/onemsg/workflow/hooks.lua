--- onemsg.workflow.hooks: flow:hooks, and what news of a message changes. For onemsg.workflow.
-- First what a body says is stored, then it is folded into the confirmations. What was stored and not folded (the
-- process died, the answer to the send was not recorded yet) is folded when the answer is recorded, or by the upkeep of
-- work().
local amend = require "onemsg.outbox.amend"
local statuses = require "onemsg.outbox.statuses"
local hooks = require "onemsg.hooks"
local log = require "onemsg.workflow.log"
local news = require "onemsg.policy.delivery"
local recipient = require "onemsg.outbox.recipient"
local check = require "onemsg.base.check"
local phones = require "onemsg.base.phone"

local M = { methods = {} }
local statements = statuses.statements

local TRIES = 8         -- of a fold whose row is changed by others all the time
local HOUR = 3600
local DISABLED = 86400  -- seconds to set a template aside that a hook calls disabled or rejected

--- Tells of an amendment: of a change, or, in the log only, of a note. A note changes no state, so on_change is not
-- called: nobody may take it for a second acceptance or failure.
function M.announce(flow, row, change, now)
  if change.note then
    local told = {}
    for name, value in pairs(row) do told[name] = value end
    told.reason, told.changed_at = change.note, now
    return log.change(flow.sink, told)
  end
  if change.reason then flow:announce(row) end
end

-- Fold ------------------------------------------------------------------------------------------------------------

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
    change.held = amend.NONE
    if row.code or change.contradiction then after[1] = recipient.forgive(row, now) end
  end
  change.reason = phones.redact(change.reason, row.phone)
  if not change.state then change.note, change.reason = change.reason, nil end
  return change, measures, after
end

--- Begins what the statuses of a row change, together with the note that they were joined to it.
local function begin(flow, one, now)
  local change, measures, after = change_of(flow, one.row, one.statuses, now)
  local joins = statuses.joining(one.row, one.statuses)
  if not change and not joins then return nil end
  for _, statement in ipairs(joins or {}) do
    after = after or {}
    after[#after + 1] = statement
  end
  -- Without a change the row is written all the same: it guards the note against a step that somebody makes meanwhile.
  local begun = flow.box:amend(one.row, change or { rank = one.row.rank }, now, after)
  begun.measures, begun.told = measures, change ~= nil
  return begun
end

--- Folds all that the store knows of some confirmations into them.
-- @tparam table rows
-- @treturn ?boolean true; nil, err, info when the store failed
function M.fold(flow, rows)
  local now, left = flow.now(), rows
  for _ = 1, TRIES do
    if #left == 0 then return true end
    local list, err, info = flow.box:with_statuses(left)
    if not list then return nil, err, info end
    local begun = {}
    for _, one in ipairs(list) do begun[#begun + 1] = begin(flow, one, now) end
    left = {}
    for _, one in ipairs(begun) do
      local row
      row, err, info = flow.box:amended(one)
      if row then
        if one.told then M.announce(flow, row, one.change, now) end
        if one.measures then flow.worker:apply(row, one.measures) end
        if one.told then flow.worker:heard(row) end
      elseif err:find("^conflict:") then
        left[#left + 1] = one.row
      else
        return nil, err, info
      end
    end
  end
  return true -- others are at it; the upkeep looks once more
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
function M.upkeep(flow, now, since)
  local box = flow.box
  local ids, old, info = box:upkeep(since, now)
  if not ids then return nil, old, info end
  if #ids > 0 then
    local rows, err
    rows, err, info = box:owners(ids)
    if not rows then return nil, err, info end
    local ok
    ok, err, info = M.fold(flow, rows)
    if not ok then return nil, err, info end
  end
  return box:tidy(old)
end

-- Hooks -----------------------------------------------------------------------------------------------------------

--- The name of the channel that a hook speaks of: '' when that is open; nil when it is none of ours.
local function channel_of(flow, instance, given)
  if instance and next(flow.instances) then
    local name = flow.instances[instance]
    return (not given or given == name) and name or nil
  end
  return given or (#flow.names == 1 and flow.names[1]) or ""
end

--- One kind of item, those of other channels left out and counted.
local function of_ours(flow, list, given, counts)
  local ours = {}
  for _, item in ipairs(list) do
    local name = channel_of(flow, item.instance, given)
    if name then ours[#ours + 1] = { item = item, channel = name } else counts.foreign = counts.foreign + 1 end
  end
  return ours
end

--- All that has to be on disk before the hook is acknowledged.
local function to_keep(found, body, now)
  local list = {}
  for n, one in ipairs(found.events) do list[n] = statements.status(one.item, one.channel, "hook", now) end
  for _, one in ipairs(found.messages) do
    if one.item.from_me then
      list[#list + 1] = statements.echo(one.item, one.channel, now)
      if one.item.phone then list[#list + 1] = statements.alarm(one.item.phone, now) end
    end
  end
  for _, one in ipairs(found.events) do
    if one.item.recipient then list[#list + 1] = statements.alarm(one.item.recipient, now) end
  end
  local sample = type(body) == "string" and body or ""
  for kind, n in pairs(found.others) do list[#list + 1] = statements.oddity(kind, n, sample, now) end
  return list
end

--- Inbound messages that consist of a stop word: their senders are left alone.
local function heed(flow, messages, now)
  local stopped = 0
  for _, one in ipairs(messages) do
    local message = one.item
    local word = not message.from_me and message.phone and flow.stop_word(message.text)
    for _, phone in ipairs(word and phones.variants(message.phone) or {}) do
      local rows, err, info = flow.box:suppress({ channel = one.channel, phone = phone,
        reason = ('they wrote "%s"'):format(word), at = math.min(message.at or now, now) }, now)
      if not rows then return nil, err, info end
      for _, row in ipairs(rows) do flow:announce(row) end
    end
    if word then stopped = stopped + 1 end
  end
  return stopped
end

local paused = { PAUSED = 3 * HOUR, FLAGGED = false, DISABLED = DISABLED, REJECTED = DISABLED,
                 PENDING_DELETION = DISABLED, DELETED = DISABLED }

--- Word of the platform about a template, and about the account.
local function mind(flow, found, given, now)
  for _, one in ipairs(found.templates) do
    for _, name in ipairs(given and { given } or flow.names) do
      local row = { channel = name, template = one.name, language = one.language or "" }
      if paused[one.status] then
        flow.worker:apply(row, { park = { until_at = now + paused[one.status], reason =
          ("the template is set aside: WhatsApp calls it %s"):format(one.status:lower()) } })
      elseif one.status == "APPROVED" or one.status == "REINSTATED" then
        flow.box:unpark(row, now)
      end
    end
  end
  for _, one in ipairs(found.errors) do
    local _, measures = news.failed({ resends = 0 }, one, now, flow.random)
    local name = given or #flow.names == 1 and flow.names[1]
    measures.park, measures.suppress = nil, nil
    if name then flow.worker:apply({ channel = name }, measures) end
  end
end

--- Takes what 1MSG posted to a webhook (PLATFORM.md 3). What it says is on disk when this returns a number.
-- Statuses are kept once by channel, message and word; those of a message that is not known yet are held for a day and
-- joined when it is. Bodies of other channels (instanceId) and kinds that are not understood are counted, and no error.
-- @tparam string|table body JSON as it came, or the table decoded from it
-- @tparam ?table options channel = name, where the webhook's address says it; else the body's instanceId does, or the
--   only channel there is
-- @treturn ?number how many events it held: statuses, messages, words about templates and the account
-- @treturn table new (statuses that were not known), duplicates, held (of unknown messages), messages, stopped (stop
--   words), foreign (of other channels), ignored (not understood)
-- @treturn string with nil: "invalid: …" (no JSON, too long, too many items: answer 400, a repeat would not help), or
--   "store: …" (answer 503, it must come again)
-- In nginx: wherever a light thread may wait.
function M.methods.hooks(flow, body, options)
  local given, now = check.options("hooks", options, { channel = "string" }).channel, flow.now()
  if given and not flow.channels[given] then check.misuse(("hooks: there is no channel '%s'"):format(given)) end
  if type(body) ~= "string" and type(body) ~= "table" then
    check.misuse("hooks takes the body of a webhook, a text, not a " .. type(body))
  end
  local found, err = hooks.parse(body, now)
  local tally = flow.counted
  tally.hooks = tally.hooks + 1
  if not found then
    tally.hooks_invalid = tally.hooks_invalid + 1
    return nil, err, { outcome = "invalid" }
  end
  local counts = { new = 0, duplicates = 0, held = 0, foreign = 0, stopped = 0, ignored = found.ignored }
  local events = #found.events + #found.messages + #found.templates + #found.errors
  found.events = of_ours(flow, found.events, given, counts)
  found.messages = of_ours(flow, found.messages, given, counts)
  counts.messages = #found.messages
  local kept, store_err, info = flow.box:keep(to_keep(found, body, now))
  if not kept then return nil, store_err, info end
  local fresh, seen = {}, {}
  for n, one in ipairs(found.events) do
    if #kept[n] > 0 then
      counts.new = counts.new + 1
      local key = one.item.id .. "\0" .. one.channel
      if not seen[key] then fresh[#fresh + 1], seen[key] = { one.item.id, one.channel }, true end
    else
      counts.duplicates = counts.duplicates + 1
    end
  end
  local stopped
  stopped, store_err, info = heed(flow, found.messages, now)
  if not stopped then return nil, store_err, info end
  counts.stopped = stopped
  for _, name in ipairs { "new", "duplicates", "foreign", "ignored" } do
    tally["hook_" .. name] = tally["hook_" .. name] + counts[name]
  end
  -- From here on all is on disk, and what fails is done by the upkeep.
  mind(flow, found, given, now)
  local rows = flow.box:owners(fresh)
  if rows then
    counts.held = math.max(0, #fresh - #rows)
    M.fold(flow, rows)
  end
  flow.worker:wake()
  return events, counts
end

return M
