--- onemsg send: one message now, without rules and store.
local output = require "onemsg.cli_output"
local log = require "onemsg.workflow_log"

local M = {
  summary = "Send one message now",
  options = {
    { "phone", "NUMBER", "the recipient, as people write numbers" },
    { "chat-id", "ID", "instead of the phone" },
    { "name", "TEXT", "{{1}} of the template" },
    { "action", "TEXT", "{{2}}" },
    { "next-step", "TEXT", "{{3}}" },
    { "body", "TEXT", "another template's variables, in order: once for each", list = true },
    { "template", "NAME", "else ONE_MSG_TEMPLATE" },
    { "namespace", "TEXT", "else ONE_MSG_TEMPLATE_NAMESPACE" },
    { "language", "CODE", "else ONE_MSG_TEMPLATE_LANGUAGE" },
    { "ttl", "TIME", "how long WhatsApp tries, such as 10m", seconds = true },
    { "check", false, "only check; nothing is sent" },
  },
  examples = { [[onemsg send --phone "+1 202 072 1300" --name Maria --action "subscription payment" ]]
    .. [[--next-step "Access activated in your account."]] },
}

local fields = { "phone", "chat_id", "name", "action", "next_step", "body", "template", "namespace", "language", "ttl" }

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

--- What cleaning changed: field → sentences.
local function tell_changes(call, changes)
  local names = {}
  for name in pairs(changes or {}) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do call.out:line("          changed: %s: %s", name, table.concat(changes[name], "; ")) end
end

function M.run(call)
  local options, message = call.options, {}
  for _, name in ipairs(fields) do message[name] = options[name] end
  if not message.phone and not message.chat_id then return nil, "send: --phone is missing", 1 end
  local channel, err, info = call:channel()
  if not channel then return call:fail(err, info) end
  if options.check then
    local checked
    checked, err, info = channel:check(message)
    if not checked then return call:fail(err, info) end
    checked.phone = checked.phone and output.mask(checked.phone)
    call.out:object(checked)
    call.out:line("ok  %s in %s to %s: %s", checked.template, checked.language,
      checked.phone or checked.chat_id, table.concat(checked.body, " | "))
    tell_changes(call, checked.changes)
    return true
  end
  local receipt
  receipt, err, info = sent(call, channel, message)
  if not receipt then return call:fail(err, info, true) end
  local digits = tostring(message.phone or message.chat_id):gsub("%D", "")
  receipt.message = receipt.message and log.redact(receipt.message, digits)
  call.out:object(receipt)
  call.out:line("%-9s %s", receipt.outcome, receipt.id or receipt.job_id or "(1MSG gave no id)")
  tell_changes(call, receipt.changes)
  return true
end

return M
