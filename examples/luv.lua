-- Sends from an event loop (luv here; cqueues and copas do as well), which goes on turning meanwhile.
--
--     lua5.4 examples/luv.lua "+1 202 072 1369" "+55 11 91234-5678" …
local onemsg = require "onemsg"
local uv = require "luv"

local channel = assert(onemsg.new {})
local waiting, count = {}, 0 -- pending to phone

for _, phone in ipairs { ... } do
  local pending, err = channel:async("send", {
    phone = phone, name = "Maria", action = "subscription payment", next_step = "Access activated in your account.",
  })
  if pending then
    waiting[pending], count = phone, count + 1
  else
    print(phone, err) -- refused here: nothing has left
  end
end

-- The rest of your program: it is not held up.
local ticks = 0
local clock = uv.new_timer()
clock:start(0, 5, function() ticks = ticks + 1 end)

-- One descriptor is readable whenever something has ended; dispatch says what.
local poll = uv.new_poll(assert(onemsg.fd()))
local function stop()
  poll:close()
  clock:close()
end

poll:start("r", function()
  for _, pending in ipairs(onemsg.dispatch()) do
    local receipt, err = pending:wait() -- has its answer: returns at once
    print(waiting[pending], receipt and receipt.outcome or err)
    waiting[pending], count = nil, count - 1
  end
  if count == 0 then stop() end
end)
if count == 0 then stop() end

uv.run()
print(("the loop turned %d times meanwhile"):format(ticks))
