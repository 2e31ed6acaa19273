-- Sends a confirmation and follows it until it is delivered, or has failed, or a minute has passed.
--
--     lua5.4 examples/follow.lua "+1 202 072 1369" Maria "subscription payment" "Access activated in your account."
local onemsg = require "onemsg"

local phone, name, action, next_step = ...
if not next_step then
  io.stderr:write "usage: follow.lua PHONE NAME ACTION NEXT_STEP\n"
  os.exit(1)
end

local ENDS = { delivered = 0, read = 0, played = 0, failed = 2, undelivered = 2 } -- exit codes
local PATIENCE = 60 -- seconds

local channel = assert(onemsg.new {})
local receipt = assert(channel:send { phone = phone, name = name, action = action, next_step = next_step })
if not receipt.id then
  print(receipt.outcome .. ", without an id to follow it by")
  os.exit(0)
end
print("accepted", receipt.id)

local seen, pause, waited = nil, 0.1, 0
repeat
  local report, err, info = channel:hookInfo(receipt.id)
  if not report and not info.retry then error(err, 0) end
  if report and report.status ~= seen then
    seen = report.status
    print(seen, report.error or "")
  end
  if ENDS[seen] then os.exit(ENDS[seen]) end
  onemsg.sleep(pause)
  waited, pause = waited + pause, math.min(pause * 1.5, 5) -- ask less and less often
until waited > PATIENCE

-- Silence proves nothing: phones are switched off, and hooks get lost.
print("no news after " .. PATIENCE .. " s; it was " .. (seen or "accepted") .. " last")
os.exit(3)
