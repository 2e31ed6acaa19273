--- onemsg replay: queues again what ended, as the rules decide it now.
local calls = require "onemsg.cli.call"

local M = {
  summary = "Queue again what was rejected, failed, skipped, expired or cancelled, once its cause is fixed",
  arguments = { { "ID", "the event's id" } },
  options = { calls.STORE, calls.RULES, calls.RESOLVE },
  examples = { "onemsg replay o-3" },
}

function M.run(call)
  return call:by_hand("flow", "replay")
end

return M
