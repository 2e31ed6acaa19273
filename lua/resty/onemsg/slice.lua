--- resty.onemsg.slice: work whose amount a body or a file decides is done in slices, and between two of them the worker
-- serves everybody else. The slices of all light threads of a worker stand in one row, so that many of them at once do
-- not add up to one long pause; a light thread that was killed leaves its place empty, and holds nobody up.
local yield = require "resty.onemsg.yield"

local M = {}

local SLICE_S = 0.003 -- so long one of them works …
local GAP_S = 0.001   -- … and then nobody does, which nginx's timers cannot make shorter

local began = setmetatable({}, { __mode = "k" }) -- light thread → when its slice began
local free_at = 0                                -- when the row's next place begins

local function now()
  ngx.update_time()
  return ngx.now()
end

--- To be called between any two pieces of such work, each of which takes much less than a slice. Waits when this light
-- thread's slice is over. Where none can wait, it does nothing.
function M.breathe()
  local thread, time = coroutine.running(), now()
  local mine = began[thread]
  if mine and time >= mine and time - mine < SLICE_S or not yield.can_wait() then return end
  if free_at > time + 60 then free_at = time end -- the clock was set back
  local at = math.max(free_at, mine and time + GAP_S or time)
  free_at = at + SLICE_S + GAP_S
  if at > time then
    ngx.sleep(math.max(GAP_S, at - time))
    time = now()
    free_at = math.max(free_at, time + SLICE_S + GAP_S)
  end
  began[thread] = time
end

return M
