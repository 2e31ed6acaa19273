--- How a light thread of nginx waits until an operation has ended, while its worker serves everything else.
--
-- Engine threads put what has ended into the port of this Lua state (port.h). One light thread, the reader, sleeps on a
-- private Unix socket that gets a byte whenever the port stops being empty; it takes everything home and posts the
-- semaphore of whoever waits for it. Where no socket can be made it looks every millisecond instead; where not even a
-- timer can be had, each waiter looks for itself. Whoever waits also looks by itself once a second, so that a reader
-- that died costs a second and no answer.
--
-- The reader lives in a timer, because a cosocket belongs to the request that made it. It starts with the first
-- operation and leaves after a second without any: then this Lua state can be collected (lua_code_cache off), and no
-- reload waits for it. A second timer, the keeper, watches over that second. nginx fires it early when the worker is to
-- leave, and from then on the reader stays no longer than the last operation under way.

local semaphore = require "ngx.semaphore"

local at, exiting, log, sleep = ngx.timer.at, ngx.worker.exiting, ngx.log, ngx.sleep
local WARN = ngx.WARN

local M = {}

local LINGER_S = 1             -- a reader without work stays for one to two of these
local SLICE_S = 1              -- a waiter looks by itself so often
local STEP_MIN_S, STEP_MAX_S = 0.001, 0.05   -- … and so often while there is no reader
local START_PATIENCE_S = 1     -- nginx drops a timer without a word when lua_max_running_timers are running
local POLL_MAX_S = 0.01        -- the reader without a socket: from 1 ms to this, while nothing ends
local CONNECT_MS, READ_MS = 5000, 2147483647
local RINGS_BYTES = 4096
local ACCEPT_TRIES = 8         -- others that found the socket's path are sent away, one a try
local SPARES_MAX = 1024        -- semaphores kept for later use

local core, dispatch, raw_wait
local waiters = {}             -- pending or group -> semaphore; its field `waiting`: how many wait for it
local spares, spare_count = {}, 0
local reader                   -- nil, or { since =, up =, polls =, lingers =, seen = } of the one that runs or starts
local ended = 0                -- operations that came home so far
local polls_next = false       -- the last reader failed: the next one does without a socket

-- ---- waking ----

local function wake(key)
  local sem = waiters[key]
  if sem then
    waiters[key] = nil
    sem:post(sem.waiting)
  end
end
--- Ends the wait for a pending or a group early, if there is one.
M.wake = wake

--- Takes home what has ended, and wakes who waits for it. Never waits itself.
local function pump()
  local list = dispatch()
  local count = #list
  ended = ended + count
  for i = 1, count do
    local pending = list[i]
    if waiters[pending] then
      wake(pending)
    else
      local group = core.group(pending)
      if group then
        wake(group)
      else
        raw_wait(pending, 0) -- perhaps nobody ever asks: read the answer, so that channel:stats() counts it
      end
    end
  end
end
M.pump = pump

-- ---- the reader ----

--- A socket that gets a byte whenever there is something to take home; nil, and why not.
local function open()
  local path, err = core.listen()
  if not path then return nil, err end
  local made, socket = pcall(ngx.socket.tcp)
  if not made then
    core.hangup()
    return nil, socket
  end
  socket:settimeouts(CONNECT_MS, CONNECT_MS, READ_MS)
  local connected
  connected, err = socket:connect("unix:" .. path)
  if connected then
    for _ = 1, ACCEPT_TRIES do
      connected, err = core.accept()
      if connected then return socket end
    end
    socket:close()
  end
  core.hangup()
  return nil, err or "others took it"
end

local told -- why there was no socket the last time

--- Says it once for each reason: a worker that looks every millisecond works, and costs more.
local function tell(why)
  if why and why ~= told then
    log(WARN, "onemsg: no private socket could be had (", tostring(why), "), so that completions are looked for every ",
      "1 to 10 ms; give nginx a TMPDIR that it can write to (env TMPDIR), or more descriptors (worker_rlimit_nofile)")
  end
  told = why
end

local function read(mine, socket)
  pump()
  while mine.lingers or core.under_way() > 0 do
    local rings, err = socket:receiveany(RINGS_BYTES)
    pump()
    if not rings and err ~= "timeout" then return err end
  end
end

local function poll()
  local step = STEP_MIN_S
  while core.under_way() > 0 do
    local before = ended
    sleep(step)
    pump()
    step = ended > before and STEP_MIN_S or math.min(step * 2, POLL_MAX_S)
  end
end

local arm

--- The keeper: a second later, or when the worker is to leave.
local function keep(premature, mine)
  mine.lingers = false
  if reader ~= mine then return end
  if not premature and (ended ~= mine.seen or core.under_way() > 0) then
    mine.seen = ended
    arm(mine)
  end
  if not mine.lingers then core.ring() end
end

--- Without a keeper nobody would tell the reader of a reload: then it does not linger.
function arm(mine)
  mine.lingers = not exiting() and at(LINGER_S, keep, mine) and true or false
end

local start

local function run(_, mine)
  if reader ~= mine then return end -- one that came late; another was started meanwhile
  mine.up = true
  local socket, ok, err
  if not mine.polls then
    local why
    socket, why = open()
    tell(why)
  end
  if socket then
    arm(mine)
    ok, err = pcall(read, mine, socket)
    socket:close()
    core.hangup()
  else
    ok, err = pcall(poll)
  end
  polls_next = not ok or err ~= nil
  if polls_next then log(WARN, "onemsg: the reader of completions ended (", tostring(err), "); another takes over") end
  if reader == mine then reader = nil end
  pump()
  if core.under_way() > 0 then start() end
end

--- Sees to it that there is a reader, or that one is on its way; where nginx refuses a timer, the caller must look for
-- itself. Wherever timers can be made.
function start()
  if reader and (reader.up or core.steady() - reader.since < START_PATIENCE_S) then return end
  local mine = { since = core.steady(), polls = polls_next }
  local called, made = pcall(at, 0, run, mine)
  reader = called and made and mine or nil
end

--- After an operation was begun.
function M.begun()
  if not (reader and reader.up) then start() end
end

-- ---- waiting ----

--- Waits for one key; true when it was woken, false when `seconds` (nil: no limit) are over. May wake for nothing.
local function wait(key, seconds)
  local sem = waiters[key]
  local alone = not sem
  if alone then
    if spare_count > 0 then
      sem = spares[spare_count]
      spares[spare_count] = nil
      spare_count = spare_count - 1
    else
      sem = assert(semaphore.new(0))
    end
    sem.waiting = 1
    waiters[key] = sem
  else
    sem.waiting = sem.waiting + 1
  end
  local ok, err = sem:wait(seconds)
  if ok then
    if alone and sem.waiting == 1 and spare_count < SPARES_MAX then
      spare_count = spare_count + 1
      spares[spare_count] = sem
    end
    return true
  end
  sem.waiting = sem.waiting - 1
  if sem.waiting == 0 and waiters[key] == sem then waiters[key] = nil end
  if err ~= "timeout" then error("onemsg: cannot wait here: " .. tostring(err), 0) end
  return false
end

--- Waits in slices until `done(key)` or the time is over. A wait lasts a millisecond at least: nginx's semaphores take
-- less for nothing, and who waits for a due time in the same millisecond would go round and round while the worker serves
-- nobody and ngx.now() stands still.
local function wait_in_slices(key, seconds, done)
  local left, step = math.max(seconds or math.huge, STEP_MIN_S), STEP_MIN_S
  repeat
    M.begun()
    local slice = SLICE_S
    if not (reader and reader.up) then
      slice = step
      step = math.min(step * 2, STEP_MAX_S)
    end
    slice = math.min(slice, left)
    if wait(key, slice) then return end
    left = left - slice
    pump()
  until left <= 0 or done(key)
end

local function is_ready(pending)
  local _, err = raw_wait(pending, 0)
  return not (err and err:find("^timeout:"))
end

local function has_members(group)
  return group[0] > 0
end

--- Waits for a pending, and answers as pending:wait does. Only where a light thread may yield.
-- @param pending an operation under way
-- @tparam ?number seconds nil: until it ends
function M.pending(pending, seconds)
  wait_in_slices(pending, seconds, is_ready)
  return raw_wait(pending, 0)
end

--- Waits until a group (send_each.lua) has a member. Only where a light thread may yield.
function M.group(group, seconds)
  pump()
  if group[0] == 0 then wait_in_slices(group, seconds, has_members) end
end

-- ---- setting up ----

--- A worker that is told to end at once takes what is under way with it: its log says so.
local function report_at_the_end()
  local proxy = newproxy(true)
  getmetatable(proxy).__gc = function()
    pcall(dispatch)
    local count = core.under_way()
    if count > 0 then
      log(WARN, "onemsg: the worker ends with ", count, " calls under way; the outcome of each that left is unknown")
    end
  end
  return proxy
end

--- Once a Lua state.
function M.init(the_core)
  core, dispatch, raw_wait = the_core, the_core.module.dispatch, the_core.pending.wait
  core.collect()
  M.at_the_end = report_at_the_end()
end

return M
