--- onemsg work: sends, retries, follows, until told to stop. Any number of them may share a store.
local call_room = require "onemsg.cli_call"

local M = {
  summary = "Send what was submitted, retry, follow, until SIGTERM or Ctrl-C",
  options = {
    call_room.STORE, call_room.RULES,
    { "drain", "TIME", "stop when nothing more becomes due within this time, such as 0 or 10s", seconds = true },
    { "rate", "N", "messages a second, over all processes of the store (20)", number = true },
    { "window", "N", "sends in flight (64)", number = true },
    { "log", "FILE", "the delivery log, JSON lines, besides what is printed" },
    { "quiet", false, "print nothing but trouble" },
  },
  examples = { "onemsg work", "onemsg work --drain 10s --json" },
}

--- A line of the delivery log for people.
local function tell(call, entry)
  local at = entry.at:match "T(%d+:%d+:%d+)" or ""
  if entry.alert then
    return call.out:note("%sZ ATTENTION %s%s: %s", at, entry.alert, entry.channel and " " .. entry.channel or "",
      entry.reason or "")
  end
  if call.options.quiet then return end
  call.out:line("%sZ %-9s %s  %s  %s", at, entry.state, entry.id, entry.phone or "", entry.reason or "")
end

local function sink(call, file)
  return function(line, entry)
    if file then file:write(line, "\n") end
    if call.options.json then
      if not call.options.quiet or entry.alert then call.out:object(entry) end
    else
      tell(call, entry)
    end
  end
end

function M.run(call)
  local options, file = call.options, nil
  if options.log then
    local why
    file, why = io.open(options.log, "a")
    if not file then return call:fail("config: the log can't be opened: " .. why) end
    file:setvbuf "line"
  end
  local flow, err, info = call:flow { log = sink(call, file), rate = options.rate, window = options.window }
  if not flow then return call:fail(err, info) end
  local core = require "onemsg.core"
  core.stop_on_signals()
  local recorded = 0
  if options.drain then
    recorded, err, info = flow:drain { timeout = options.drain, stop = core.stopped }
  end
  -- also behind a drain: what is still in flight is waited for, or it would have to be called unknown
  if recorded then
    local later
    later, err, info = flow:work { stop = function() return options.drain or core.stopped() end }
    recorded = later and recorded + later
  end
  if not recorded then return call:fail(err, info) end
  flow:close()
  if file then file:close() end
  if not options.quiet then call.out:note("%s: %d answers recorded", core.stopped() and "stopped" or "done", recorded) end
  return true
end

return M
