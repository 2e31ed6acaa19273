--- onemsg send: one message now, without rules and store.
local calls = require "onemsg.cli.call"
local input = require "onemsg.cli.input"
local only_to = require "onemsg.workflow.only_to"
local phones = require "onemsg.base.phone"

local M = {
  summary = "Send one message now",
  arguments = { { "FILE", "the message as JSON, as channel:send takes it; - for standard input", optional = true } },
  options = {
    { "phone", "NUMBER", "the recipient, as people write numbers" },
    { "country", "CODE", "of a national number, such as BR or 55; else ONE_MSG_COUNTRY" },
    { "bsuid", "ID", "instead of the phone: the customer's business-scoped user id" },
    { "username", "NAME", "instead of the phone" },
    { "chat-id", "ID", "instead of the phone" },
    { "name", "TEXT", "{{1}} of the template" },
    { "action", "TEXT", "{{2}}" },
    { "next-step", "TEXT", "{{3}}" },
    { "body", "TEXT", "another template's variables, in order: once for each", list = true },
    { "template", "NAME", "else ONE_MSG_TEMPLATE" },
    { "namespace", "TEXT", "else ONE_MSG_TEMPLATE_NAMESPACE" },
    { "language", "CODE", "else ONE_MSG_TEMPLATE_LANGUAGE" },
    { "ttl", "TIME", "how long WhatsApp tries, such as 10m", seconds = true },
    calls.CHANNEL,
    { "check", false, "only check; nothing is sent" },
  },
  examples = { [[onemsg send --phone "+1 202 072 1300" --name Maria --action "subscription payment" ]]
    .. [[--next-step "Access activated in your account."]],
    [[echo '{"phone":"12020721300","template":"order_shipped","header":{"image":"https://shop.example/a.png"},]]
      .. [["body":["7"],"buttons":[{"url":"7"}]}' | onemsg send -]] },
}

local fields = { "phone", "country", "bsuid", "username", "chat_id", "name", "action", "next_step", "body", "template",
  "namespace", "language", "ttl" }

local PERHAPS = "Perhaps the message left: look in the person's chat, in 1MSG's cabinet, before you send again."
local LOOK = 0.25 -- seconds between two looks whether somebody wants to leave

--- Sends, and waits for the answer also when asked to leave: without it nobody knows whether the message left. A second
-- signal ends the process.
local function sent(call, channel, message)
  local core = require "onemsg.core"
  core.stop_on_signals()
  local pending, err, info = channel:async("send", message)
  if not pending then return nil, err, info end
  local receipt, told
  repeat
    receipt, err, info = pending:wait(LOOK)
    if err and core.stopped() and not told then
      told = true
      call.out:note("waiting for the answer, which says whether the message left; once more to leave at once")
    end
  until receipt or not err:find "^timeout:"
  return receipt, err, info
end

--- The message of a file.
local function read(path)
  local source, err = input.open(path)
  if not source then return nil, err end
  local first, second
  for item in input.each(source) do first, second = first or item, first and item end
  if not first then return nil, "invalid: there is no message" end
  if first.error then return nil, first.error end
  if second then return nil, "invalid: send takes one message; `onemsg submit` takes many events" end
  if type(first.event) ~= "table" then return nil, "invalid: the message must be a JSON object" end
  return first.event
end

--- May it be sent from here? ONE_MSG_ONLY_TO holds on every way out.
local function allowed(channel, message)
  local flow = { names = { "main" }, countries = { main = require "onemsg.core".channel_country(channel) } }
  local people, err = only_to.read(flow)
  if err then return nil, err end
  flow.only_to = people
  local checked = flow.only_to and channel:check(message)
  local address = checked and phones.of_message(checked)
  if not address or only_to.allows(flow, address) then return true end -- what is wrong with it, send says
  return nil, "invalid: the recipient is not in ONE_MSG_ONLY_TO: this system writes to the people named there alone"
end

function M.run(call)
  local options, message, wrong = call.options, {}, nil
  if options[1] then message, wrong = read(options[1]) end
  if not message then return call:fail(wrong) end
  for _, name in ipairs(fields) do
    if options[name] ~= nil then message[name] = options[name] end
  end
  if not (message.phone or message.bsuid or message.username or message.chat_id) then
    return nil, "send: --phone is missing", 1
  end
  local channel, err, info = call:channel()
  if not channel then return call:fail(err, info) end
  local may, why = allowed(channel, message)
  if not may then return call:fail(why, { outcome = "invalid" }) end
  if options.check then
    local checked
    checked, err, info = channel:check(message)
    if not checked then return call:fail(err, info) end
    local to = phones.mask(phones.of_message(checked))
    for _, field in ipairs(phones.FIELDS) do checked[field] = checked[field] and to end
    call.out:object(checked)
    call.out:line("ok  %s in %s to %s: %s", checked.template, checked.language, to, table.concat(checked.body, " | "))
    call.out:changes(checked.changes)
    return true
  end
  local receipt
  receipt, err, info = sent(call, channel, message)
  if not receipt then return call:fail(err, info, PERHAPS) end
  local checked = channel:check(message)
  local to = checked and phones.of_message(checked)
  receipt.message = receipt.message and phones.redact(receipt.message, to)
  call.out:object(receipt)
  call.out:line("%-9s %s", receipt.outcome, receipt.id or receipt.job_id or "(1MSG gave no id)")
  call.out:changes(receipt.changes)
  return true
end

return M
