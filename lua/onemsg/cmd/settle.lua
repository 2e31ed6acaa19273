--- onemsg settle: a person says what became of a message that is in doubt.
local calls = require "onemsg.cli.call"

local M = {
  summary = "Say what became of a message in doubt: it arrived, or it did not",
  arguments = { { "ID", "the event's id" }, { "VERDICT", "arrived or not_arrived; the latter may then be replayed" } },
  options = { calls.STORE },
  examples = { "onemsg settle p-1 arrived", "onemsg settle p-2 not_arrived && onemsg replay p-2" },
}

function M.run(call)
  local verdict = call.options[2]:gsub("%-", "_")
  if verdict ~= "arrived" and verdict ~= "not_arrived" then
    return nil, ("settle: the verdict is arrived or not_arrived, not %s"):format(call.options[2]), calls.USAGE
  end
  return call:by_hand("desk", "settle", verdict, { by = calls.person() })
end

return M
