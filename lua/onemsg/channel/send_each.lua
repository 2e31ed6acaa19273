--- onemsg.channel.send_each: many sends, a window of them in flight.
-- The only caller is channel:send_each; the C module finds this file at its first call.
local check = require "onemsg.base.check"
local core = require "onemsg.core"

local M = {}

local WINDOW_DEFAULT = 64
local TAKES = { window = { 1, 10000 } }

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

local function window_of(messages, options)
  if type(messages) ~= "table" and type(messages) ~= "function" then
    core.raise("send_each takes a list of messages, or a function that returns the next one, and got a "
      .. type(messages))
  end
  return check.options("send_each", options, TAKES).window or WINDOW_DEFAULT
end

--- channel:send_each(messages [, { window = 64 }]) -> iterator of index, receipt, err, info
-- Sends every message and yields each as it ends, in that order; index is its place in `messages`.
-- `receipt, err, info` are what channel:send returns. Memory holds a window, not the whole list.
-- Leaving the loop early begins no further send; those in flight end by themselves.
-- Several light threads may call one iterator: each send is yielded to one of them.
-- A message of a wrong type, or an error of `messages` itself, is raised when all that was begun has been yielded.
-- @param messages a list of what channel:send takes, or a function that returns the next or nil
-- @param options window: sends in flight, 1 to 10000, default 64
-- nginx: wherever a light thread may wait (rewrite, access, precontent, content, timer).
function M.send_each(channel, messages, options)
  local window = window_of(messages, options)
  local next_message = source(messages)
  local done, taken = { [0] = 0 }, 0 -- ended sends in the order of their ends; read up to `taken`
  local count, in_flight, ends, more, failure = 0, 0, 0, true, nil

  local function begin()
    local message = next_message()
    if message == nil then
      more = false
      return nil
    end
    count = count + 1
    return core.async_in(channel, done, "send", message)
  end

  --- The oldest pending that ended; nil when none will, after a fork, or when others took all that were in flight.
  local function ended()
    while taken == done[0] do
      local before = ends
      core.wait_group(done)
      if taken == done[0] and (ends == before or in_flight == 0) then return nil end
    end
    taken, ends, in_flight = taken + 1, ends + 1, in_flight - 1
    local pending = done[taken]
    done[taken] = nil
    if taken == done[0] then
      done[0], taken = 0, 0
    end
    return pending
  end

  --- Begins sends until the window is full. -> boolean: one could not be begun; nil, err, info
  local function fill()
    while more and in_flight < window do
      local ok, pending, err, info = pcall(begin)
      if not ok then
        failure, more = { pending }, false
      elseif pending then
        core.place(pending, count) -- no table by pending: with a window of 2^n it would be rehashed at every send
        in_flight = in_flight + 1
      elseif more then
        return true, err, info
      end
    end
  end

  return function()
    repeat
      local refused, err, info = fill()
      if refused then return count, nil, err, info end
      local pending = in_flight > 0 and ended()
      if pending then return core.place(pending), pending:wait() end
      if pending == nil and in_flight > 0 then
        in_flight, more = 0, false
        return count, nil, "closed: the sends in flight belong to the process that began them, before the fork",
          { outcome = "unknown", retry = false }
      end
    until not more
    if failure then error(failure[1], 0) end
    return nil
  end
end

return M
