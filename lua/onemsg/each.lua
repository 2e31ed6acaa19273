--- onemsg.each: many sends, a window of them in flight.
-- The only caller is channel:send_each; the C module finds this file at its first call.
local core = require "onemsg.core"

local M = {}

local WINDOW_DEFAULT, WINDOW_MAX = 64, 10000

local function source(messages)
  if type(messages) == "table" then
    local i = 0
    return function()
      i = i + 1
      return messages[i]
    end
  end
  return messages
end

local function check(messages, options)
  if type(messages) ~= "table" and type(messages) ~= "function" then
    error("send_each takes a list of messages, or a function that returns the next one, and got a "
      .. type(messages), 3)
  end
  if options ~= nil and type(options) ~= "table" then
    error("send_each takes options like { window = 64 } second, and got a " .. type(options), 3)
  end
  for name in pairs(options or {}) do
    if name ~= "window" then
      error("send_each has no option '" .. tostring(name) .. "', did you mean 'window'?", 3)
    end
  end
  local window = options and options.window or WINDOW_DEFAULT
  if type(window) ~= "number" or window < 1 or window > WINDOW_MAX or window % 1 ~= 0 then
    error("window must be a whole number from 1 to " .. WINDOW_MAX, 3)
  end
  return window
end

--- channel:send_each(messages [, { window = 64 }]) -> iterator of index, receipt, err, info
-- Sends every message and yields each as it ends, in that order; index is its place in `messages`.
-- `receipt, err, info` are what channel:send returns. Memory holds a window, not the whole list.
-- Leaving the loop early begins no further send; those in flight end by themselves.
-- @param messages a list of what channel:send takes, or a function that returns the next or nil
-- @param options window: sends in flight, 1 to 10000, default 64
-- nginx: wherever a light thread may wait (rewrite, access, content, timer).
function M.send_each(channel, messages, options)
  local window = check(messages, options)
  local next_message = source(messages)
  local done, taken = { [0] = 0 }, 0 -- ended sends in the order of their ends; read up to `taken`
  local count, in_flight, more = 0, 0, true

  local function take()
    taken = taken + 1
    local pending = done[taken]
    done[taken] = nil
    if taken == done[0] then
      done[0], taken = 0, 0
    end
    in_flight = in_flight - 1
    return core.place(pending), pending:wait()
  end

  return function()
    while more and in_flight < window do
      local message = next_message()
      if message == nil then
        more = false
        break
      end
      count = count + 1
      local pending, err, info = core.async_in(channel, done, "send", message)
      if not pending then
        return count, nil, err, info
      end
      core.place(pending, count) -- no table by pending: with a window of 2^n it would be rehashed at every send
      in_flight = in_flight + 1
    end
    if in_flight == 0 then
      return nil
    end
    if taken == done[0] then
      core.wait_group(done)
    end
    return take()
  end
end

return M
