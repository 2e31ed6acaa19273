-- Sends with onemsg: send_each with a window, or send, one at a time. Settings and figures as in load.h.
local onemsg = require "onemsg"
local sys = require "support.sys"

local window = tonumber(os.getenv "BENCH_WINDOW")
local count = tonumber(os.getenv "BENCH_COUNT")
local warm = tonumber(os.getenv "BENCH_WARM")

local channel = assert(onemsg.new { http = os.getenv "BENCH_HTTP", max_connections = window })

local function message()
  return { phone = "+1 (202) 072-1300", name = "Maria", action = "subscription payment",
           next_step = "Access activated in your account." }
end

local function messages(n)
  return function()
    n = n - 1
    if n >= 0 then return message() end
  end
end

local send
function send(n)
  local accepted, turned_away = 0, 0
  if window == 1 then
    for _ = 1, n do
      local receipt, err = channel:send(message())
      if not receipt then error(err) end
      if receipt.outcome == "accepted" and receipt.id then accepted = accepted + 1 end
    end
    return accepted
  end
  for _, receipt, err, info in channel:send_each(messages(n), { window = window }) do
    if not receipt and info.outcome == "not_sent" then -- nginx ends an HTTP/2 connection after 1,000 requests
      turned_away = turned_away + 1
    elseif not receipt then
      error(err)
    elseif receipt.outcome == "accepted" and receipt.id then
      accepted = accepted + 1
    end
  end
  return accepted + (turned_away > 0 and send(turned_away) or 0)
end

send(warm)
local began, burnt = sys.now(), os.clock()
local accepted = send(count)
print(("accepted=%d seconds=%.6f cpu=%.6f"):format(accepted, sys.now() - began, os.clock() - burnt))
os.exit(accepted == count and 0 or 1, true)
