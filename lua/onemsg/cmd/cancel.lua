--- onemsg cancel: takes back what has not been sent.
local call_room = require "onemsg.cli_call"

local M = {
  summary = "Take back what has not been sent yet",
  arguments = { { "ID", "the event's id" } },
  options = { call_room.STORE },
  examples = { "onemsg cancel p-1" },
}

function M.run(call)
  return call:by_hand("desk", "cancel")
end

return M
