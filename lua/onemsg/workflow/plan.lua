--- onemsg.workflow.plan: from an event to the confirmations it leads to. submit and explain both use this, and the
-- channel's own check, so that explain says what submit then does. Stores nothing, sends nothing.
local attempt = require "onemsg.base.check".attempt
local canonical = require "onemsg.base.canonical"
local document = require "onemsg.base.document"
local only_to = require "onemsg.workflow.only_to"
local quiet = require "onemsg.workflow.quiet"
local resolve = require "onemsg.workflow.resolve"
local utf8 = require "onemsg.base.utf8"
local phones = require "onemsg.base.phone"
local json = require "onemsg.base.json"
local keys = require "onemsg.outbox.once"

local M = {}

--- An event as the store has it, decoded.
M.stored = document.reader(canonical.DEPTH + 1, "stored")

M.ID_BYTES = 200
M.TEXT_BYTES = 65536  -- of the canonical text; an event is a notice, not a document
M.SENDER_BYTES = 524288 -- of one that a sender writes as it likes (onemsg.senders): an order with all its lines

local function label(event, name, example)
  local value = event[name]
  if value == nil or value == "" then
    return nil, ("event.%s is missing: give %s"):format(name, example)
  elseif type(value) ~= "string" and (type(value) ~= "number" or name ~= "id") then
    return nil, ("event.%s must be a text, not a %s"):format(name, type(value))
  end
  if type(value) == "number" then
    if value ~= math.floor(value) or value <= -2 ^ 53 or value >= 2 ^ 53 then
      return nil, ("event.%s is a number that JSON does not keep exactly: write it as a text"):format(name)
    end
    local text, err = canonical.text(value)
    if not text then return nil, ("event.%s: %s"):format(name, err) end
    value = text
  end
  if #value > M.ID_BYTES then
    return nil, ("event.%s is longer than %d bytes"):format(name, M.ID_BYTES)
  elseif value:find("%c") or not utf8.valid(value) then
    return nil, ("event.%s has control characters or is not valid UTF-8"):format(name)
  end
  return value
end

--- Checks an event and gives what the workflow needs of it.
-- @treturn ?table id, type, text
-- @treturn string with nil: a sentence that says what to do
function M.read(event)
  if type(event) ~= "table" then return nil, "an event is a table with id, type and what happened" end
  local id, err = label(event, "id", "the order or payment number, so that a repeat is recognised")
  if not id then return nil, err end
  if id:find("~%d+$") then
    return nil, "event.id must not end in ~ and digits: that is how onemsg names further confirmations of one event"
  end
  local kind
  kind, err = label(event, "type", 'what happened, such as "payment.succeeded"')
  if not kind then return nil, err end
  local most = type(event.sender) == "string" and M.SENDER_BYTES or M.TEXT_BYTES
  local text, wrong, long = canonical.text(event, most)
  if long then return nil, ("the event is too long; of its bytes as JSON at most %d are kept"):format(most) end
  if not text then return nil, "the event can't be stored: " .. wrong end
  return { id = id, type = kind, text = text }
end

local function strip(reason)
  return (reason:gsub("^skipped: ", ""))
end

local function skip(part, reason)
  part.state, part.reason = "skipped", strip(reason)
  return part
end

local message_fields = { "body", "template", "language", "namespace", "header", "buttons", "ttl", "text" }

local function compose(decision, phone)
  local message = { country = decision.country }
  if phone and phones.is_bsuid(phone) then
    message.bsuid = phone
  elseif phone then
    message.phone = phone
  else
    message.bsuid, message.username, message.chat_id = decision.bsuid, decision.username, decision.chat_id
  end
  for _, name in ipairs(message_fields) do message[name] = decision[name] end
  return message
end

--- The message as it will leave, or nil and why it can't.
local function check(channel, message)
  local ok, checked, err, info = attempt(channel.check, channel, message)
  if not ok then return nil, "invalid: " .. tostring(checked) end
  if not checked then return nil, err, info end
  local final = { header = message.header, buttons = message.buttons, text = message.text,
    country = checked.phone and false } -- the phone is international from here on
  for _, name in ipairs { "phone", "bsuid", "username", "chat_id", "body", "template", "language", "namespace", "ttl" } do
    final[name] = checked[name]
  end
  local first = message.body and message.body[1]
  if type(first) == "table" then -- { name, text } each: a template with named variables
    local texts, names = {}, {}
    for n, value in ipairs(message.body) do
      local said = checked.body[n] -- cleaned
      texts[n], names[n] = type(said) == "table" and said.text or said, value.name
    end
    final.body, final.named = texts, names
  end
  return final, checked.changes
end

--- A stored message as channel:send takes it.
-- @tparam table message decoded
-- @treturn table the same
function M.to_send(message)
  for n, name in ipairs(message.named or {}) do message.body[n] = { name = name, text = message.body[n] } end
  message.named = nil
  return message
end

local function confirmation(flow, ruleset, event, decision, part, now, asked)
  local name = decision.channel or flow.default_channel
  local channel = flow.channels[name]
  if not channel then
    return nil, ("config: rule %q names the channel %q, which this workflow does not have"):format(decision.rule,
      tostring(name)), { outcome = "invalid" }
  end
  local phone = decision.phone
  if decision.needs_phone then
    local found, err, info = asked.found, asked.why, nil
    if found == nil then found, err, info = resolve.ask(flow, event, asked.kept) end
    if found == nil then return nil, err, info end
    asked.found, asked.why = found, err
    phone = found and found.phone
    if not phone then
      return skip(part, "no phone: neither the event nor resolve has one" .. (err and ": " .. err or ""))
    end
  end
  local message, why, fault = check(channel, compose(decision, phone))
  if not message then
    if not why:find("^invalid:") then return nil, why, fault end -- we can't now; the event is good
    return skip(part, why)
  end
  part.phone = phones.of_message(message) -- one line for one person, however addressed
  if not only_to.allows(flow, part.phone) then return skip(part, only_to.WHY) end
  part.state, part.channel = "queued", name
  part.template, part.language = message.template or "", message.language or ""
  part.body, part.changes, part.message = message.body, why, json.encode(message)
  if decision.once_per then part.once = keys.key(ruleset:once(decision.rule), decision.once_per, event.type) end
  part.after = decision.after
  part.give_up_at = now + (part.after or 0) + (decision.give_up_after or flow.give_up_after)
  local otherwise = decision.otherwise
  if otherwise then
    part.otherwise = { json = json.encode(otherwise), send = otherwise.send, after = otherwise.after,
      on_unknown = otherwise.on_unknown }
  end
  if decision.quiet then
    local trouble = quiet.trouble(decision.quiet)
    part.quiet = json.encode(decision.quiet)
    if trouble then part.reason = part.reason .. "; " .. trouble end
  end
  return part
end

--- What the rules make of an event.
-- @tparam table flow channels, default_channel, ruleset, resolve, give_up_after
-- @tparam table event
-- @tparam number now
-- @tparam ?table kept what resolve found before, for when there is no resolve now
-- @treturn ?table plan: id, type, text (canonical), ruleset, seen (the event as the rules see it),
--   resolved (JSON), parts = { { id, state = "queued" | "skipped", reason,
--   rule, version, channel, phone, template, language, body, message (JSON), once, give_up_at, otherwise }, … }
-- @treturn string with nil: "invalid: …", "config: …", "store: …"
-- @treturn table info
function M.plan(flow, event, now, kept)
  local read, wrong = M.read(event)
  if not read then return nil, "invalid: " .. wrong, { outcome = "invalid" } end
  local ruleset = flow:ruleset(now)
  local plan = { id = read.id, type = read.type, text = read.text, ruleset = ruleset, parts = {} }
  local asked = { kept = kept }
  if (ruleset.uses or {}).resolved and ruleset:concerns(read.type) then
    local found, err, info = resolve.ask(flow, event, kept)
    if found == nil then return nil, err, info end
    asked.found, asked.why = found, err
  end
  plan.seen = resolve.with(event, asked.found)
  for n, decision in ipairs(ruleset:decide(plan.seen)) do
    local part = { id = n == 1 and read.id or read.id .. "~" .. n, rule = decision.rule, version = decision.version,
                   reason = decision.reason }
    if decision.confirm then
      local done, err, info = confirmation(flow, ruleset, event, decision, part, now, asked)
      if not done then return nil, err, info end
    else
      skip(part, decision.reason)
      part.trace = decision.trace
    end
    plan.parts[n] = part
  end
  if asked.found then plan.resolved = canonical.text(asked.found) end
  return plan
end

return M
