--- onemsg.workflow.reconcile: looks for evidence about a confirmation in doubt, and records the verdict. For
-- onemsg.workflow.followup. What counts as evidence stands in onemsg.policy.evidence.
local cjson = require "cjson"
local amend = require "onemsg.outbox.amend"
local evidence = require "onemsg.policy.evidence"
local fold = require "onemsg.workflow.fold"
local hooks = require "onemsg.hooks"
local log = require "onemsg.workflow.log"
local news = require "onemsg.policy.delivery"
local planner = require "onemsg.workflow.plan"
local phones = require "onemsg.base.phone"
local template = require "onemsg.template"
local templates = require "onemsg.workflow.templates"

local M = {}

--- The kind of file in a message's header, as its echo names it.
local function media_of(message, tpl)
  local header = type(message.header) == "table" and message.header or {}
  for _, kind in ipairs { "image", "video", "document" } do
    if header[kind] then return kind end
  end
  return tpl and tpl.header and tpl.header.media
end

--- What is known of the message of a row: its text, values, category, media header; nil where it is not known.
local function appearance(flow, row)
  local message = cjson.decode(row.message)
  local known = flow.texts[row.channel]
  local tpl = known and known.list and template.find(known.list, message.template, message.language)
  local seen = { values = message.body, media = media_of(message, tpl) }
  if not tpl then return seen end
  seen.category = tpl.category
  local ok, text = pcall(template.fill, tpl, planner.to_send(cjson.decode(row.message)).body or {})
  seen.filled = ok and text or nil
  return seen
end

--- The next look, or none: after a day only hooks tell more.
local function put_off(flow, row, now)
  local since = row.left_at or row.changed_at
  for n = 1, #news.SCHEDULE do
    local at = news.look_at(since, n, flow.random)
    if at > now then return at end
  end
  return now < since + news.DOUBT_FOR and since + news.DOUBT_FOR or amend.NONE
end

--- Writes what a look changed. Whoever changed the row meanwhile has the newer knowledge, and it is looked at again.
local function write(flow, row, change, now)
  change.attend_until = amend.NONE
  local changed, err, info = flow.box:amended(flow.box:amend(row, change, now))
  if changed then
    log.amended(flow, changed, change, now)
  elseif not err:find("^conflict:") then
    return nil, err, info
  end
  return changed or false
end

--- The message was found: it is this confirmation's, and what is known of it counts.
local function found(flow, row, verdict, now)
  local change = { message_id = verdict.message_id, textless = verdict.textless and 1 or 0, hint = amend.NONE, asks = 0,
                   checks = 0, rank = row.settled and row.rank or 1, attend_at = amend.NONE }
  if row.state == "unknown" then
    change.state, change.accepted_at, change.reason = "accepted", now, verdict.evidence
    change.attend_at = news.look_at(now, 1, flow.random)
    change.stall_at = now + flow.stalled_after
    local after = row.otherwise_after and now + row.otherwise_after or nil
    -- Without its text it may be somebody else's: then the other way leaves no later than it would have.
    if verdict.textless and row.fallback_at then after = math.min(after or row.fallback_at, row.fallback_at) end
    change.fallback_at = after or amend.NONE
  else
    change.note = verdict.evidence
    if row.settled == "not_arrived" then
      change.contradiction = "settled by hand as not arrived, and then the message turned up"
      change.note = change.contradiction .. "; " .. verdict.evidence
    end
  end
  local changed, err, info = write(flow, row, change, now)
  if not changed then return changed == false or nil, err, info end
  return fold.fold(flow, { changed })
end

--- All that may be evidence, of one instant, with what each possible owner's message looks like.
-- @tparam ?table history messages of GET messages
local function gather(flow, row, history, now)
  local box = flow.box
  local began, err, info = box:began(row)
  if not began then return nil, err, info end
  local from, till = evidence.window(row, began)
  local seen
  seen, err, info = box:evidence(row, from, till)
  if not seen then return nil, err, info end
  seen.began, seen.history = began, history and {}
  local ids = {}
  for n, message in ipairs(history or {}) do ids[n] = message.id end
  local taken
  taken, err, info = box:taken(ids)
  if not taken then return nil, err, info end
  for _, message in ipairs(history or {}) do
    message.at, message.channel = message.at or now, row.channel
    if message.from_me and not taken[message.id] then table.insert(seen.history, message) end
  end
  for name, value in pairs(appearance(flow, row)) do seen[name] = value end
  for _, rival in ipairs(seen.rivals) do
    local look = appearance(flow, rival)
    rival.filled, rival.values = look.filled, look.values
  end
  return seen
end

--- Decides by what is at hand.
-- @tparam boolean asked the history was asked, or can't be
-- @treturn ?boolean true: it is decided, or put off; false: the history should be asked
local function decide(flow, row, history, asked)
  local now = flow.now()
  local seen, err, info = gather(flow, row, history, now)
  if not seen then return nil, err, info end
  seen.asked = asked
  local verdict, why, wait = evidence.verdict(row, seen)
  if verdict then return found(flow, row, verdict, now) end
  local change
  if wait then
    change = { attend_at = now + evidence.WAIT }
  elseif asked then
    change = { attend_at = put_off(flow, row, now) }
    if why ~= row.hint then change.hint, change.note = why or amend.NONE, why end -- said once
  else
    return false
  end
  local written
  written, err, info = write(flow, row, change, now)
  if written == nil then return nil, err, info end
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
  local began, err = flow.box:began(row)
  if not began then return worker:trouble(err) end
  worker:begin(flow.channels[row.channel], "messages", {
    land = function(flight)
      local history = read_history(flight.answer[1], flow.now())
      local done, why = decide(flow, row, history, true)
      if done == nil then worker:trouble(why) end
    end,
  }, { chatId = chat, min_time = math.max(0, math.floor(evidence.window(row, began))) })
end

--- Looks for evidence: first among the hooks, then, when that does not decide it, in the history.
-- @tparam table worker
-- @tparam table row unknown, or settled without a message id
function M.look(worker, row)
  local flow = worker.flow
  local function go_on()
    local done, err = decide(flow, row, nil, false)
    if done == nil then return worker:trouble(err) end
    if not done then ask_history(worker, row) end
  end
  local known = flow.texts[row.channel]
  if known and known.till > flow.now() then return go_on() end
  templates.ask(worker, row.channel, go_on)
end

return M
