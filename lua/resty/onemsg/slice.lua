--- resty.onemsg.slice: work whose amount a body or a file decides is done in slices, and between two of them the worker
-- serves everybody else. The light threads of a worker that have such work stand in one row, and one slice is worked at a
-- time, so that many of them at once do not add up to one long pause.
local core = require "onemsg" and require "onemsg.core"
local semaphore = require "ngx.semaphore"
local yield = require "resty.onemsg.yield"

local M = {}

local SLICE_S = 0.004 -- so long one of them works …
local GAP_S = 0.001   -- … and then nobody does, which nginx's timers cannot make shorter
local LOST_S = 0.2    -- whoever stands first and has not moved for so long was killed

local began = setmetatable({}, { __mode = "k" }) -- light thread → what this worker had worked when its slice began
local row, first, last = {}, 1, 0                -- semaphores of those who wait for a turn
local moved_at, busy_at = 0, 0                   -- when the first of them last looked; when somebody was last at work

local function now()
  ngx.update_time()
  return ngx.now()
end

local function is_idle(time)
  return time - busy_at >= GAP_S or time < busy_at
end

--- Takes the first place away, its owner's turn having come or its owner being lost.
local function advance(time)
  row[first], first, moved_at = nil, first + 1, time
  if row[first] then row[first]:post() end
end

--- Waits for a turn.
local function take_turn()
  local place, mine = last + 1, semaphore.new(0)
  last = place
  row[place] = mine
  local time = now()
  if first == place then moved_at = time end
  while first < place do
    mine:wait(LOST_S)
    time = now()
    if first < place and (time - moved_at > LOST_S or time < moved_at) then advance(time) end
  end
  repeat
    ngx.sleep(GAP_S)
    time = now()
    if first == place then moved_at = time end
  until is_idle(time)
  if first == place then advance(time) end -- else it was taken for lost
end

--- Has this light thread's slice come to its end? Measured by what the processor did for this worker since it began: a
-- worker that waits, or does not get its turn from the system, uses nothing up.
local function is_over(thread, worked)
  local mine = began[thread]
  return not mine or worked - mine >= SLICE_S
end

--- To be called between any two pieces of such work, each of which takes much less than a slice. Waits for another turn
-- when this light thread's slice is over. Where none can wait, it does nothing.
function M.breathe()
  local thread = coroutine.running()
  if is_over(thread, core.worked()) then
    if not yield.can_wait() then return end
    if began[thread] or row[first] or not is_idle(now()) then take_turn() end
    began[thread] = core.worked()
  end
  busy_at = now()
end

--- The same for the worker's long light thread, which has the messages to send: it waits for nobody's turn.
function M.give_way()
  local thread = coroutine.running()
  if is_over(thread, core.worked()) then
    if began[thread] then ngx.sleep(GAP_S) end
    began[thread] = core.worked()
  end
end

return M
