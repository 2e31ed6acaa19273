--- onemsg hookinfo: what became of a message, as 1MSG knows it.
local calls = require "onemsg.cli.call"
local output = require "onemsg.cli.output"
local phones = require "onemsg.base.phone"

local M = {
  summary = "What became of a message, by the id that send gave",
  arguments = { { "ID", "the message's id, such as wamid.HBgM…" } },
  options = { { "wait", "TIME", "ask until it is delivered, read or failed, at most so long", seconds = true }, calls.CHANNEL },
  examples = { "onemsg hookinfo wamid.HBgLMTIwMjA3MjEzMDAA --wait 30s" },
}

local FIRST, SLOWEST = 0.25, 5 -- seconds between two questions
local final = { delivered = true, read = true, failed = true, undelivered = true, played = true, viewed = true }

local function ask(call, channel)
  local onemsg, core = require "onemsg", require "onemsg.core"
  local deadline, pause = core.steady() + (call.options.wait or 0), FIRST
  while true do
    local report, err, info = channel:hookInfo(call.options[1])
    if not report then return nil, err, info end
    local left = deadline - core.steady()
    if final[report.status] or left <= 0 then return report end
    onemsg.sleep(math.min(pause, left))
    pause = math.min(pause * 1.5, SLOWEST)
  end
end

function M.run(call)
  local channel, err, info = call:channel()
  if not channel then return call:fail(err, info) end
  local report
  report, err, info = ask(call, channel)
  if not report then return call:fail(err, info) end
  for _, hook in ipairs(report.hooks or {}) do hook.recipient = hook.recipient and phones.mask(hook.recipient) end
  call.out:object(report)
  call.out:line("%s", report.status or "no news yet")
  for _, hook in ipairs(report.hooks or {}) do
    call.out:line("  %-19s  %-11s %s", output.time(hook.at), hook.status, hook.error or "")
  end
  return true
end

return M
