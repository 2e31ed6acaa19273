--- onemsg.workflow.followup: the part of the loop that looks after what was accepted: silence, failures, doubt, other
-- ways to reach a person. For onemsg.workflow.worker. What to do stands in onemsg.policy.delivery; here it is done.
-- A confirmation that needs attention is leased by one worker; every change names the step that it was read at, so what
-- somebody else did meanwhile wins, and the row is looked at again.
local cjson = require "cjson"
local amend = require "onemsg.outbox.amend"
local statuses = require "onemsg.outbox.statuses"
local fold = require "onemsg.workflow.fold"
local hooks = require "onemsg.workflow.hooks"
local log = require "onemsg.workflow.log"
local news = require "onemsg.policy.delivery"
local phones = require "onemsg.base.phone"
local plain = require "onemsg.base.utf8"
local reconcile = require "onemsg.workflow.reconcile"

local M = {}

local BATCH = 50            -- confirmations taken up at once
local ASKS_IN_FLIGHT = 8    -- of one workflow, so that questions never take the place of sends
local ASKS_PER_SECOND = 20
local UPKEEP = 30           -- seconds from one upkeep to the next
local UPKEEP_BACK = 600     -- statuses as old as this are looked at again; at the first upkeep, all
local NONE = amend.NONE

local act

--- Writes a change and tells of it.
-- @treturn ?table the row as it is now; nil: it was changed by somebody else, or the store failed (which is told)
local function write(worker, row, change, more)
  local flow = worker.flow
  local now = flow.now()
  change.attend_until = change.attend_until or NONE
  local changed, err = flow.box:amended(flow.box:amend(row, change, now, more))
  if changed then
    log.amended(flow, changed, change, now)
  elseif not err:find("^conflict:") then
    worker:trouble(err)
  end
  return changed
end

-- Questions -------------------------------------------------------------------------------------------------------

--- How many questions may leave now.
local function room(worker, now)
  if now - worker.asked_since >= 1 or now < worker.asked_since then worker.asked_since, worker.asked = now, 0 end
  return math.max(0, math.min(ASKS_IN_FLIGHT - worker.asking, ASKS_PER_SECOND - worker.asked))
end

--- May one more question leave? Then it counts.
local function may_ask(worker, now)
  if room(worker, now) == 0 then return false end
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
    return write(worker, fresh, {})
  end
  fresh = write(worker, fresh, after_asking(fresh, report, mute, now, flow.random))
  if fresh then
    fresh.asked_now = true
    act(worker, fresh)
  end
end

local function ask(worker, row)
  local flow = worker.flow
  if not may_ask(worker, flow.now()) then
    return write(worker, row, { attend_until = flow.now() + 1 + flow.random() })
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
  if not may_ask(worker, flow.now()) then
    return write(worker, row, { attend_until = flow.now() + 1 + flow.random() })
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
  write(worker, row, change)
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
  local written = write(worker, row, change, { amend.statements.before(row, now) })
  if written then return worker:wake() end
  local ok, err = fold.fold(flow, { row }) -- perhaps it arrived, and nobody has folded that yet
  if not ok then worker:trouble(err) end
end

--- There will be no new message.
local function keep(worker, row)
  write(worker, row, without_retry(news.unproven(row, worker.flow.now())))
end

-- Other ways ------------------------------------------------------------------------------------------------------

local function notice_of(row, otherwise)
  local message = cjson.decode(row.message)
  return phones.tell({ id = row.id, type = row.type, rule = row.rule, version = row.version, channel = row.channel,
    body = message.body, state = row.state, reason = row.reason, code = row.code,
    message_id = row.message_id, send = otherwise.send, text = otherwise.text, event = cjson.decode(row.event) },
    row.phone, row.person)
end

--- What came of it, as often as others change the row meanwhile.
local function note_result(worker, id, name, ok, result, why)
  local box = worker.flow.box
  local good = ok and (result or result == nil and why == nil)
  local detail = good and result ~= true and result or not good and (ok and why or result) or nil
  local word = good and "done" or "failed"
  local said = detail ~= nil and " (" .. plain.repair(plain.line(tostring(detail)), 300) .. ")" or ""
  local note = ("%s: %s%s"):format(name, word, said)
  for _ = 1, 8 do
    local row, err = box:row(id)
    if not row then return worker:trouble(err or "store: the confirmation is gone") end
    if write(worker, row, { fallback = word, fallback_lease = NONE, note = note }) then return end
  end
end

--- Uses the rule's other way: first it is marked as handed over, on disk, then the function is called. It is called
-- once: of what a process did not live to tell, nobody knows whether the person was reached, and it is not repeated.
local function fall_back(worker, row)
  local flow = worker.flow
  local otherwise = cjson.decode(row.otherwise)
  local call, now = flow.fallback[otherwise.send], flow.now()
  if not call then -- the rules of another process know it
    return write(worker, row, { attend_until = now + flow.lease })
  end
  local marked = write(worker, row, { fallback = "handed_over", fallback_lease = now + flow.lease, fallback_at = NONE,
    retry_at = NONE, note = ("%s: handed over"):format(otherwise.send), guard = amend.UNDELIVERED })
  if not marked then
    worker.open_hands[row.id] = worker.ill and now + flow.lease -- it may be marked all the same, by a commit that failed
    return
  end
  flow.counted.fallbacks = flow.counted.fallbacks + 1
  flow.spawn(function() note_result(worker, row.id, otherwise.send, pcall(call, notice_of(row, otherwise))) end)
end

--- Hand-overs whose mark may have been stored though the store said no: nothing was called, so they are due again.
local function take_back(worker)
  local box, now = worker.flow.box, worker.flow.now()
  for id, lease in pairs(worker.open_hands) do
    local row, err = box:row(id)
    if err then return worker:trouble(err) end
    if row and row.fallback == "handed_over" and row.fallback_lease == lease then
      write(worker, row, { fallback = NONE, fallback_lease = NONE, fallback_at = now,
        note = ("%s: not called; the store failed just then"):format(cjson.decode(row.otherwise).send) })
      if worker.ill then return end
    end
    worker.open_hands[id] = nil
  end
end

--- Hand-overs of processes that died.
local function find_lost(worker, now)
  local rows, err = worker.flow.box:lost(now)
  if not rows then return worker:trouble(err) end
  for _, row in ipairs(rows) do
    local name = cjson.decode(row.otherwise).send
    write(worker, row, { fallback = "unknown", fallback_lease = NONE, note = name
      .. ": unknown; the process that called it ended before it said what came of it. It is not called again" })
  end
end

-- The loop's part -------------------------------------------------------------------------------------------------

local actions = { ask = ask, doubt = doubt, stall = stall, resend = resend, keep = keep, fall_back = fall_back }
local kept = { "attend_at", "retry_at", "fallback_at" }

--- Does what a leased row needs next.
function act(worker, row)
  local channel = worker.channels[row.channel] or { hooked_at = 0, mute_until = 0 }
  local what, rest = news.next_step(row, channel, worker.flow.now())
  if what then return actions[what](worker, row) end
  local change, differs = {}, row.attend_until ~= nil
  for _, name in ipairs(kept) do
    if rest[name] ~= row[name] then change[name], differs = rest[name] or NONE, true end
  end
  if differs then write(worker, row, change) end
end

--- When an answer to a send is recorded: when to look at that message first, and its deadline.
function M.first_look(flow, row, change, now)
  if change.state == "unknown" then
    change.attend_at = news.look_at(now, 1, flow.random)
  elseif change.state == "accepted" then
    local ttl = cjson.decode(row.message).ttl
    change.stall_at = now + (ttl and ttl > 0 and ttl or flow.stalled_after)
    change.attend_at = change.message_id and math.min(news.look_at(now, 1, flow.random), change.stall_at)
      or change.stall_at
  end
end

--- Looks after what was accepted. Part of a look of the worker.
-- @tparam table agenda when something needs attention next
function M.look(worker, agenda, now)
  local flow = worker.flow
  if now >= worker.upkeep_at or now < worker.upkeep_at - UPKEEP then
    local ok, err = fold.upkeep(flow, now, worker.upkeep_at == 0 and 0 or now - UPKEEP_BACK)
    if ok and err then ok, err = hooks.template_news(flow, now) end -- words were left
    if not ok then return worker:trouble(err) end
    worker.upkeep_at = now + UPKEEP
  end
  if next(worker.open_hands) then take_back(worker) end
  if worker.ill then return end
  if agenda.lost and agenda.lost <= now then find_lost(worker, now) end
  local soonest = math.min(agenda.questions or math.huge, agenda.actions or math.huge)
  if soonest > now then
    worker:due_at(agenda.actions)
    worker.look_at = math.min(worker.look_at, soonest)
    return
  end
  local channels, rows, err
  channels, err = flow.box:channels()
  if not channels then return worker:trouble(err) end
  worker.channels = channels
  local questions = room(worker, now)
  rows, err = flow.box:attend(questions, BATCH, now, flow.lease)
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
