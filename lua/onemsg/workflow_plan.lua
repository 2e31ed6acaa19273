--- onemsg.workflow_plan: from an event to the confirmations it leads to. submit and explain both use this, and the
-- channel's own check, so that explain says what submit then does. Stores nothing, sends nothing.
local json = require "onemsg.json"
local event_room = require "onemsg.event"
local quiet_room = require "onemsg.workflow_quiet"

local M = {}

local function strip(reason)
  return (reason:gsub("^skipped: ", ""))
end

local function skip(part, reason)
  part.state, part.reason = "skipped", strip(reason)
  return part
end

--- Asks the user's resolve. nil, err, info: it failed, so nothing may be decided yet.
local function resolve(flow, event)
  if not flow.resolve then return false end
  local ok, phone = pcall(flow.resolve, event)
  if not ok then
    return nil, "store: resolve failed, submit the event again: " .. tostring(phone), { outcome = "not_sent" }
  end
  if phone == nil or phone == false or phone == "" then return false end
  if type(phone) ~= "string" and type(phone) ~= "number" then
    return nil, "config: resolve must return a phone as text, or nil, and returned a " .. type(phone),
      { outcome = "invalid" }
  end
  return type(phone) == "number" and ("%.0f"):format(phone) or phone
end

local message_fields = { "body", "template", "language", "namespace", "header", "buttons", "ttl", "text" }

local function compose(decision, phone)
  local message = { phone = phone, chat_id = not phone and decision.chat_id or nil }
  for _, name in ipairs(message_fields) do message[name] = decision[name] end
  return message
end

--- The message as it will leave, or nil and why it can't.
local function check(channel, message)
  local ok, checked, err, info = pcall(channel.check, channel, message)
  if not ok then return nil, "invalid: " .. tostring(checked) end
  if not checked then return nil, err, info end
  local final = { header = message.header, buttons = message.buttons, text = message.text }
  for _, name in ipairs { "phone", "chat_id", "body", "template", "language", "namespace", "ttl" } do
    final[name] = checked[name]
  end
  return final, checked.changes
end

local function confirmation(flow, event, decision, part, now)
  local name = decision.channel or flow.default_channel
  local channel = flow.channels[name]
  if not channel then
    return nil, ("config: rule %q names the channel %q, which this workflow does not have"):format(decision.rule,
      tostring(name)), { outcome = "invalid" }
  end
  local phone = decision.phone
  if decision.needs_phone then
    local found, err, info = resolve(flow, event)
    if found == nil then return nil, err, info end
    if not found then return skip(part, "no phone: neither the event nor resolve has one") end
    phone = found
  end
  local message, why, fault = check(channel, compose(decision, phone))
  if not message then
    if why:find("^closed:") then return nil, why, fault end
    return skip(part, why)
  end
  part.state, part.channel = "queued", name
  part.phone = (message.phone or message.chat_id):gsub("@c%.us$", "") -- one line for one person, however addressed
  part.template, part.language = message.template or "", message.language or ""
  part.body, part.changes, part.message = message.body, why, json.encode(message)
  part.once = decision.once_per
  part.give_up_at = now + (decision.give_up_after or flow.give_up_after)
  local otherwise = decision.otherwise
  if otherwise then
    part.otherwise = { json = json.encode(otherwise), after = otherwise.after, on_unknown = otherwise.on_unknown }
  end
  if decision.quiet then
    local trouble = quiet_room.trouble(decision.quiet)
    part.quiet = json.encode(decision.quiet)
    if trouble then part.reason = part.reason .. "; " .. trouble end
  end
  return part
end

--- What the rules make of an event.
-- @tparam table flow channels, default_channel, ruleset, resolve, give_up_after
-- @tparam table event
-- @tparam number now
-- @treturn ?table plan: id, type, text (canonical), ruleset, parts = { { id, state = "queued" | "skipped", reason,
--   rule, version, channel, phone, template, language, body, message (JSON), once, give_up_at, otherwise }, … }
-- @treturn string with nil: "invalid: …", "config: …", "store: …"
-- @treturn table info
function M.plan(flow, event, now)
  local read, wrong = event_room.read(event)
  if not read then return nil, "invalid: " .. wrong, { outcome = "invalid" } end
  local ruleset = flow:ruleset(now)
  local plan = { id = read.id, type = read.type, text = read.text, ruleset = ruleset, parts = {} }
  for n, decision in ipairs(ruleset:decide(event)) do
    local part = { id = n == 1 and read.id or read.id .. "~" .. n, rule = decision.rule, version = decision.version,
                   reason = decision.reason }
    if decision.confirm then
      local done, err, info = confirmation(flow, event, decision, part, now)
      if not done then return nil, err, info end
    else
      skip(part, decision.reason)
      part.trace = decision.trace
    end
    plan.parts[n] = part
  end
  return plan
end

return M
