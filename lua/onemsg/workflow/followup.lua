--- onemsg.workflow.followup: the part of the loop that looks after what was accepted: silence, failures, doubt, other
-- ways to reach a person. For onemsg.workflow.worker. What to do stands in onemsg.policy.delivery; here it is done.
-- A confirmation that needs attention is leased by one worker; every change names the step that it was read at, so what
-- somebody else did meanwhile wins, and the row is looked at again.
local cjson = require "cjson"
local amend = require "onemsg.outbox.amend"
local statuses = require "onemsg.outbox.statuses"
local times = require "onemsg.outbox.clock"
local fold = require "onemsg.workflow.fold"
local hooks = require "onemsg.workflow.hooks"
local news = require "onemsg.policy.delivery"
local reconcile = require "onemsg.workflow.reconcile"
local templates = require "onemsg.workflow.templates"
local ways = require "onemsg.workflow.ways"

local M = {}

local BATCH = 50            -- confirmations taken up at once
local ASKS_IN_FLIGHT = 8    -- of one workflow, so that questions never take the place of sends
local ASKS_PER_SECOND = 20
local UPKEEP = 30           -- seconds from one upkeep to the next
local UPKEEP_BACK = 600     -- statuses as old as this are looked at again; at the first upkeep, all
local NONE = amend.NONE

local act

-- Questions -------------------------------------------------------------------------------------------------------

--- How many questions may leave now.
local function room(worker)
  local at = worker.flow.steady()
  if at - worker.asked_since >= 1 then worker.asked_since, worker.asked = at, 0 end
  return math.max(0, math.min(ASKS_IN_FLIGHT - worker.asking, ASKS_PER_SECOND - worker.asked))
end

--- May one more question leave? Then it counts.
local function may_ask(worker)
  if room(worker) == 0 then return false end
  worker.asked, worker.asking = worker.asked + 1, worker.asking + 1
  return true
end

--- The channel does not offer the call.
local function offered(info)
  local status = info and info.status
  return not (status == 404 or status == 405 or status == 501)
end

--- A change for the store out of what onemsg.policy.delivery says of a failure.
local function without_retry(change)
  if change.drop_retry then
    change.drop_retry, change.retry_at, change.note, change.reason = nil, NONE, change.reason, nil
  end
  return change
end

--- What hookInfo's answer changes, beyond the statuses in it.
local function after_asking(row, report, mute, now, random)
  if row.state == "failed" then
    return without_retry(news.checked(row, report, mute, now))
  elseif row.fallback_at and row.fallback_at <= now then
    local wait = not report and not mute and news.CHECKS[row.checks + 1]
    return wait and { fallback_at = now + wait, checks = row.checks + 1 } or {}
  end
  local at = news.look_at(row.accepted_at or now, row.asks + 2, random) or math.huge
  return { asks = row.asks + 1, attend_at = math.min(math.max(at, now + 1), row.stall_at or now + news.STALLED_AFTER) }
end

local function answered(worker, row, report, info)
  local flow = worker.flow
  local now, mute = flow.now(), not report and not offered(info)
  if mute and flow.box:mute(row.channel, now + news.MUTE) == 1 then
    flow:alert { alert = "no_hookinfo", channel = row.channel,
                 reason = "the channel does not offer hookInfo: only hooks tell of deliveries" }
  end
  local list, people = {}, {}
  for n, event in ipairs(report and report.hooks or {}) do
    people[n] = { phone = event.recipient, bsuid = event.bsuid, username = event.username }
    event.id = row.message_id
    list[n] = statuses.statements.status(event, row.channel, "poll", now)
  end
  local ok, err = flow.box:keep(list)
  if ok then ok, err = flow.box:join(people, now) end
  if ok then ok, err = fold.fold(flow, { row }) end
  local fresh
  if ok then fresh, err = flow.box:row(row.id) end
  if not fresh then return worker:trouble(err or "store: the confirmation is gone") end
  if fresh.message_id ~= row.message_id or fresh.state == "delivered" or fresh.state == "read" then
    return worker:write(fresh, {})
  end
  fresh = worker:write(fresh, after_asking(fresh, report, mute, now, flow.random))
  if fresh then
    fresh.asked_now = true
    act(worker, fresh)
  end
end

local function ask(worker, row)
  local flow = worker.flow
  if not may_ask(worker) then
    return worker:write(row, { attend_until = flow.now() + 1 + flow.random() })
  end
  flow.counted.asks = flow.counted.asks + 1
  worker:begin(flow.channels[row.channel], "hookInfo", {
    land = function(flight)
      worker.asking = worker.asking - 1
      answered(worker, row, flight.answer[1], flight.answer[3])
    end,
  }, row.message_id)
end

local function doubt(worker, row)
  local flow = worker.flow
  if not may_ask(worker) then
    return worker:write(row, { attend_until = flow.now() + 1 + flow.random() })
  end
  worker.asking = worker.asking - 1 -- one question at most, and mostly none: the rate is what counts
  reconcile.look(worker, row)
end

-- Deadlines, new messages -----------------------------------------------------------------------------------------

local function stall(worker, row)
  local flow = worker.flow
  local change = { state = "stalled", attend_at = NONE,
    reason = ("no news of its delivery for %.0f h"):format((flow.now() - (row.accepted_at or row.changed_at)) / 3600) }
  if row.otherwise and not row.fallback then change.fallback_at = row.fallback_at or flow.now() end
  worker:write(row, change)
end

local function resend(worker, row)
  local flow = worker.flow
  local now = flow.now()
  local change = {
    state = "queued", reason = ("a new message, the %s: the one before failed (%s)"):format(
      row.resends == 0 and "2nd" or "3rd", row.reason:gsub("; a new message may follow.*", "")),
    message_id = NONE, due_at = now, place = flow.box:next_place(now), resends = row.resends + 1, awake_until = NONE,
    held = NONE, accepted_at = NONE, guard = amend.UNDELIVERED,
  }
  for name, value in pairs(amend.OF_MESSAGE) do change[name] = value end
  local written = worker:write(row, change, { amend.statements.before(row, now) })
  if written then return worker:wake() end
  local ok, err = fold.fold(flow, { row }) -- perhaps it arrived, and nobody has folded that yet
  if not ok then worker:trouble(err) end
end

--- There will be no new message.
local function keep(worker, row)
  worker:write(row, without_retry(news.unproven(row, worker.flow.now())))
end

-- The loop's part -------------------------------------------------------------------------------------------------

local actions = { ask = ask, doubt = doubt, stall = stall, resend = resend, keep = keep, fall_back = ways.fall_back }
local kept = { "attend_at", "retry_at", "fallback_at" }

--- Does what a leased row needs next.
function act(worker, row)
  local channel = worker.channels[row.channel] or { hooked_at = 0, mute_until = 0 }
  if not worker.flow.fallback[row.way] then row.fallback_at = nil end -- it is for others, who have that way
  local what, rest = news.next_step(row, channel, worker.flow.now())
  if what then return actions[what](worker, row) end
  local change, differs = {}, row.attend_until ~= nil
  for _, name in ipairs(kept) do
    if rest[name] ~= row[name] then change[name], differs = rest[name] or NONE, true end
  end
  if differs then worker:write(row, change) end
end

--- When an answer to a send is recorded: when to look at that message first, and its deadline.
function M.first_look(flow, row, change, now)
  if change.state == "unknown" then
    change.attend_at = news.look_at(now, 1, flow.random)
  elseif change.state == "accepted" then
    local ttl = cjson.decode(row.message).ttl
    change.stall_at = now + math.max(ttl and ttl > 0 and ttl or flow.stalled_after, change.held and news.HELD_FOR or 0)
    change.attend_at = change.message_id and math.min(news.look_at(now, 1, flow.random), change.stall_at)
      or change.stall_at
  end
end

--- Sets back what a clock that was ahead left in the store. Not while this one is in doubt.
-- @tparam number ahead by how many seconds the store is ahead, as its newest change says
local function set_back(worker, now, ahead)
  local flow, clock = worker.flow, worker.flow.clock
  if not clock.jumps or clock.theirs or clock:jumped() then return true end
  -- Since `now` this process may have been stopped, while others went on: then it is behind, and nobody ahead.
  local read_at = flow.now()
  ahead, now = ahead - (read_at - now), read_at
  if ahead <= times.AHEAD then ahead = 0 end
  ahead = math.max(ahead, -clock.moved)
  if ahead <= 0 then return true end
  local count, err = flow.box:set_back(now, ahead)
  if not count then return nil, err end
  clock.moved = 0
  if count > 0 then
    flow:alert { alert = "clock", reason =
      ("%d confirmations were stored by a clock that was %.0f s ahead; their times were set back"):format(count, ahead) }
  end
  return true
end

local function keep_up(worker, now)
  local flow, at = worker.flow, worker.flow.steady()
  local ok, words, ahead = fold.upkeep(flow, now, worker.upkeep_at == 0 and 0 or now - UPKEEP_BACK)
  local err = not ok and words
  if ok and words then ok, err = hooks.template_news(flow, now) end -- words were left
  if ok then ok, err = templates.marketing_ends(flow, now) end
  if ok then ok, err = templates.look(worker, now) end
  if ok then ok, err = set_back(worker, now, ahead) end
  if ok then ok, err = flow.box:sign(flow.node, now) end
  if not ok then return worker:trouble(err) end
  worker.upkeep_at = at + UPKEEP
end

--- Looks after what was accepted. Part of a look of the worker.
-- @tparam table agenda when something needs attention next
function M.look(worker, agenda, now)
  local flow = worker.flow
  if flow.steady() >= worker.upkeep_at then keep_up(worker, now) end
  if worker.ill then return end
  if next(worker.ways.open) then ways.take_back(worker) end
  if worker.ill then return end
  if agenda.lost and agenda.lost <= now and flow.clock:ends_leases(flow.fallback_timeout + flow.lease) then
    ways.find_lost(worker, now)
  end
  local free = ways.room(worker)
  local soon = free > 0 and agenda.actions or agenda.retries -- a way that ends makes the loop look again
  if free == 0 and not flow.beside then worker:due_at(agenda.actions) end -- one a turn: the next turn has the next one
  local soonest = math.min(agenda.questions or math.huge, soon or math.huge)
  if soonest > now then
    worker:due_at(soon)
    worker.look_at = math.min(worker.look_at, flow.steady() + (soonest - now))
    return
  end
  local channels, rows, err
  channels, err = flow.box:channels()
  if not channels then return worker:trouble(err) end
  worker.channels = channels
  local questions = room(worker)
  rows, err = flow.box:attend(questions, BATCH, math.min(free, BATCH), now, flow.lease)
  if not rows then return worker:trouble(err) end
  for _, row in ipairs(rows) do
    if worker.ill then return end -- what is leased comes again when that is over
    act(worker, row)
  end
  if #rows > 0 then -- what is left is leased by others, or comes next
    worker:due_at(now)
  elseif questions == 0 and worker.asking == 0 then
    worker.look_at = math.min(worker.look_at, worker.asked_since + 1)
  end
end

return M
