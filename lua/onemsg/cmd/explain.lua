--- onemsg explain: what submit would do with an event, and why. Sends and stores nothing.
local calls = require "onemsg.cli.call"
local input = require "onemsg.cli.input"
local phones = require "onemsg.base.phone"

local M = {
  summary = "What submit would do with an event (JSON on standard input), and why; sends and stores nothing",
  arguments = { { "FILE", "the event; else standard input", optional = true } },
  options = { calls.STORE, calls.RULES, calls.RESOLVE, calls.RESOLVE_TIMEOUT, { "full", false, "with the whole phone number" } },
  examples = { [[echo '{"id":"o-7","type":"order.paid","order":{"number":"7","total":50},]]
    .. [["customer":{"phone":"+12020721300","whatsapp_ok":true}}' | onemsg explain]] },
}

local function tell(call, one)
  local out = call.out
  if not call.options.full then phones.hide(one) end
  local also, trace = one.also or {}, one.trace or {}
  one.also = nil
  out:object(one)
  for _, line in ipairs(trace) do out:line("%s", line) end
  if one.duplicate then
    out:line("known before: it was %s, and is %s", one.state, one.now)
  elseif one.state == "skipped" then
    out:line("would be skipped: %s", one.reason)
  else
    out:line("would be sent to %s: template %s in %s, %s", one.recipient, one.template, one.language,
      table.concat(one.body or {}, " | "))
    out:changes(one.changes)
  end
  for _, further in ipairs(also) do tell(call, further) end
end

function M.run(call)
  local flow, err, info = call:flow()
  if not flow then return call:fail(err, info) end
  local read
  read, err = input.open(call.options[1])
  if not read then return call:fail(err) end
  local count, code = 0, nil
  for item in input.each(read) do
    local ticket
    err = item.error
    if not err then ticket, err, info = flow:explain(item.event) end
    if not ticket then return call:fail(err, info) end
    count = count + 1
    code = ticket.state == "skipped" and calls.SKIPPED or nil
    tell(call, ticket)
  end
  flow:close()
  if count == 0 then return nil, "explain: there is no event on standard input", calls.USAGE end
  return true, nil, count == 1 and code or nil
end

return M
