--- onemsg cancel: takes back what has not been sent.
local calls = require "onemsg.cli.call"

local M = {
  summary = "Take back what has not been sent yet",
  arguments = { { "ID", "the event's id" } },
  options = { calls.STORE },
  examples = { "onemsg cancel p-1" },
}

function M.run(call)
  return call:by_hand("desk", "cancel", { by = calls.person() })
end

return M
