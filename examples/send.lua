-- Confirms an action to one person. Who you are is in ONE_MSG_TOKEN and the other ONE_MSG_* variables (README.md).
--
--     lua5.4 examples/send.lua "+1 202 072 1369" Maria "subscription payment" "Access activated in your account."
local onemsg = require "onemsg"

local phone, name, action, next_step = ...
if not next_step then
  io.stderr:write "usage: send.lua PHONE NAME ACTION NEXT_STEP\n"
  os.exit(1)
end

local channel = assert(onemsg.new {})
local receipt, err, info = channel:send { phone = phone, name = name, action = action, next_step = next_step }

if receipt then
  -- Accepted is not delivered yet: keep the id, and ask with it (follow.lua) or wait for a hook.
  print(receipt.outcome, receipt.id or receipt.job_id)
  for field, changes in pairs(receipt.changes or {}) do
    print("  " .. field .. " was cleaned: " .. table.concat(changes, ", "))
  end
else
  print(err)
  if info.hint then print("  " .. info.hint) end
  if info.outcome == "unknown" then print "  It may have arrived. Look before you send it again." end
  os.exit(2)
end
