--- onemsg replay: queues again what ended, as the rules decide it now.
local calls = require "onemsg.cli.call"

local M = {
  summary = "Queue again what was rejected, failed, skipped, expired or cancelled, once its cause is fixed",
  arguments = { { "ID", "the event's id", optional = true } },
  options = {
    calls.STORE, calls.RULES, calls.RESOLVE, calls.RESOLVE_TIMEOUT,
    { "state", "STATE", "instead: all that are rejected, failed, skipped, expired or cancelled; what rules still skip stays" },
    { "rule", "NAME", "of them, those of this rule" },
    { "type", "TYPE", "those of this event type" },
    { "find", "TEXT", "those with this text anywhere, such as a name" },
    { "since", "TIME", "those that changed within this time, such as 2h, or since a day: 2026-11-26", past = true },
  },
  examples = { "onemsg replay o-3", 'onemsg replay --state rejected --rule "Paid" --since 2h' },
}

local function all(call)
  local options = call.options
  if not options.state then return nil, "replay: give an id, or --state", calls.USAGE end
  local flow, err, info = call:flow()
  if not flow then return call:fail(err, info) end
  local ok, result
  ok, result, err, info = pcall(flow.replay, flow, { state = options.state, rule = options.rule, type = options.type,
    find = options.find, by = calls.person(), since = options.since and flow.now() - options.since or nil })
  flow:close()
  if not ok then return nil, (tostring(result):gsub("^.*replay: ", "replay: ")), calls.USAGE end
  if not result then return call:fail(err, info) end
  call.out:object(result)
  for _, one in ipairs(result.refused) do call.out:line("%s stays: %s", one.id, one.error) end
  call.out:line("%d replayed; %d stay as they are", result.replayed, #result.refused)
  return true
end

function M.run(call)
  if call.options[1] then return call:by_hand("flow", "replay", { by = calls.person() }) end
  return all(call)
end

return M
