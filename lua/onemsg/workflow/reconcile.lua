--- onemsg.workflow.reconcile: looks for evidence about a confirmation in doubt, and records the verdict. For
-- onemsg.workflow.followup. What counts as evidence stands in onemsg.policy.evidence.
local cjson = require "cjson"
local amend = require "onemsg.outbox.amend"
local evidence = require "onemsg.policy.evidence"
local flow_hooks = require "onemsg.workflow.hooks"
local hooks = require "onemsg.hooks"
local news = require "onemsg.policy.delivery"
local phones = require "onemsg.base.phone"
local template = require "onemsg.template"

local M = {}

local TEXTS_FOR = 86400 -- seconds that a list of templates is believed
local RETRY_TEXTS = 600 -- seconds until it is asked for again when that failed

--- The text of a message as the recipient sees it, or nil when its template is not known.
local function filled(flow, row)
  local message = cjson.decode(row.message)
  local known = flow.texts[row.channel]
  local tpl = known and known.list and template.find(known.list, message.template, message.language)
  if not tpl or not message.body then return nil, message.body end
  local ok, text = pcall(template.fill, tpl, message.body)
  return ok and text or nil, message.body
end

local function same_text(message)
  return function(rival)
    local other = cjson.decode(rival.message)
    local a, b = message.body or {}, other.body or {}
    if message.template ~= other.template or #a ~= #b then return false end
    for n, value in ipairs(a) do
      if b[n] ~= value then return false end
    end
    return true
  end
end

--- The next look, or none: after a day only hooks tell more.
local function put_off(flow, row, now)
  local since = row.left_at or row.changed_at
  local at = news.look_at(since, row.asks + 2, flow.random)
  if not at and row.asks < #news.SCHEDULE then at = since + news.DOUBT_FOR end
  return at and math.max(at, now + 1) or amend.NONE
end

--- The message was found: it is this confirmation's, and what is known of it counts.
local function found(flow, row, verdict, now)
  local change = { message_id = verdict.message_id, reason = verdict.evidence, attend_until = amend.NONE,
                   asks = 0, checks = 0, rank = row.settled and row.rank or 1 }
  if row.state == "unknown" then
    change.state, change.accepted_at = "accepted", now
    change.attend_at = news.look_at(now, 1, flow.random)
    change.stall_at = now + flow.stalled_after
    change.fallback_at = row.otherwise_after and now + row.otherwise_after or amend.NONE
  else
    change.attend_at = amend.NONE
    change.note, change.reason = verdict.evidence, nil
    if row.settled == "not_arrived" then
      change.contradiction = "settled by hand as not arrived, and then the message turned up"
      change.note = change.contradiction .. "; " .. verdict.evidence
    end
  end
  local changed, err, info = flow.box:amended(flow.box:amend(row, change, now))
  if not changed then return nil, err, info end
  flow_hooks.announce(flow, changed, change, now)
  return flow_hooks.fold(flow, { changed })
end

--- Decides by what is at hand.
-- @tparam ?table history messages of GET messages
-- @tparam boolean asked the history was asked, or can't be
-- @treturn boolean true: it is decided, or put off; false: the history should be asked
local function decide(flow, row, history, asked)
  local now, box = flow.now(), flow.box
  local began, err = box:began(row)
  if not began then return nil, err end
  local from, till = evidence.window(row, began)
  local seen
  seen, err = box:evidence(row, from, till)
  if not seen then return nil, err end
  local ids = {}
  for n, message in ipairs(history or {}) do ids[n] = message.id end
  local taken, why_not = box:taken(ids, row)
  if not taken then return nil, why_not end
  seen.history, seen.asked, seen.began = history and {}, asked, began
  for _, message in ipairs(history or {}) do
    local at = message.at or now
    if message.from_me and not taken[message.id] and at >= from and at <= till then
      table.insert(seen.history, message)
    end
  end
  seen.filled, seen.values = filled(flow, row)
  seen.rival_fits = same_text(cjson.decode(row.message))
  local verdict, why = evidence.verdict(row, seen)
  if verdict then return found(flow, row, verdict, now) end
  if not asked then return false end
  local change = { asks = row.asks + 1, attend_at = put_off(flow, row, now), attend_until = amend.NONE }
  if why then change.note = why end
  local changed
  changed, err = box:amended(box:amend(row, change, now))
  if not changed and not err:find("^conflict:") then return nil, err end
  if changed then flow_hooks.announce(flow, changed, change, now) end
  return true
end

--- The message ids, times and texts that GET messages gave, as onemsg.hooks reads them.
local function read_history(answer, now)
  local read = type(answer) == "table" and hooks.parse(answer, now)
  return read and read.messages or nil
end

local function ask_history(worker, row)
  local flow = worker.flow
  local chat = phones.chat_of(row.phone)
  local began = flow.box:began(row) or row.left_at
  worker:begin(flow.channels[row.channel], "messages", {
    land = function(flight)
      local history = read_history(flight.answer[1], flow.now())
      local done, err = decide(flow, row, history, true)
      if done == nil and err then worker:trouble(err) end
    end,
  }, { chatId = chat, min_time = math.max(0, math.floor(evidence.window(row, began))) })
end

local function ask_templates(worker, row, go_on)
  local flow, name = worker.flow, row.channel
  worker:begin(flow.channels[name], "request", {
    land = function(flight)
      local answer, now = flight.answer[1], flow.now()
      local ok, list = pcall(template.normalize, answer)
      local good = type(answer) == "table" and ok
      flow.texts[name] = { list = good and list or nil, till = now + (good and TEXTS_FOR or RETRY_TEXTS) }
      go_on()
    end,
  }, "GET", "templates?limit=100&offset=0")
end

--- Looks for evidence: first among the hooks, then, when that does not decide it, in the history.
-- @tparam table worker
-- @tparam table row unknown, or settled without a message id
function M.look(worker, row)
  local flow = worker.flow
  local function go_on()
    local done, err = decide(flow, row, nil, false)
    if done == nil and err then return worker:trouble(err) end
    if not done then ask_history(worker, row) end
  end
  local known = flow.texts[row.channel]
  if known and known.till > flow.now() then return go_on() end
  ask_templates(worker, row, go_on)
end

return M
