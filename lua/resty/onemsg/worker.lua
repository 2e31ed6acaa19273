--- resty.onemsg.worker: the workflow of an nginx worker. One long light thread opens it, does its work (flow:work)
-- until the worker is to leave, and is begun again when it fails. Requests use the same workflow.
local canonical = require "onemsg.base.canonical"
local counters = require "resty.onemsg.counters"
local log = require "onemsg.workflow.log"
local request = require "resty.onemsg.request"
local core = require "onemsg" and require "onemsg.core"
local semaphore = require "ngx.semaphore"
local slice = require "resty.onemsg.slice"
local wait = require "resty.onemsg.wait"
local workflow = require "onemsg.workflow"
local yield = require "resty.onemsg.yield"

local M = {}

local exiting = ngx.worker.exiting

local PAUSE_MIN_S, PAUSE_MAX_S = 0.2, 10 -- after the first failure, and after many
local SLICE_S = 0.2                      -- a pause looks so often whether the worker is to leave
local BEAT_S = 1
local PATIENCE_S = 5                     -- a request waits so long for the store to be opened
local KEPT_MOST = 4096                   -- events that are kept until then, as many as the store's queue holds
local STEADY_S = 60                      -- what ran so long before it failed begins with the short pause again

local settings, flow, trouble, started
local opened = semaphore.new(0)
local waiting = 0
local kept, kept_count = {}, 0 -- events that came before the store was opened, oldest first

local function pause(seconds)
  local left = seconds
  while left > 0 and not exiting() do
    request.write()
    ngx.sleep(math.min(SLICE_S, left))
    left = left - SLICE_S
  end
end

local function release()
  if waiting > 0 then opened:post(waiting) end
end

-- What came too early -----------------------------------------------------------------------------------------------

local Kept = {}
Kept.__index = Kept

function Kept:ready()
  if self.landing then return self.landing:ready() end
  return self.answer ~= nil
end

function Kept:wait(seconds)
  local till = seconds and ngx.now() + seconds
  while not self.landing and not self.answer do
    local left = till and till - ngx.now() or PATIENCE_S
    if left <= 0 or not yield.can_wait() then
      return nil, "timeout: this worker has not opened its store yet; the event is kept until then", { outcome = "pending" }
    end
    waiting = waiting + 1
    opened:wait(math.min(left, PATIENCE_S))
    waiting = waiting - 1
  end
  if self.answer then return self.answer[1], self.answer[2], self.answer[3] end
  return self.landing:wait(till and math.max(0, till - ngx.now()))
end

--- A copy, for the caller may go on to change its table.
local function copy(value, depth)
  if type(value) ~= "table" or depth > canonical.DEPTH then return value end
  local out = {}
  for key, one in pairs(value) do out[key] = copy(one, depth + 1) end
  return setmetatable(out, getmetatable(value)) -- which lists are lists
end

--- Keeps an event until this worker has opened its store: in a phase that can't wait nobody could come again.
-- @treturn ?table a pending, as flow:submit { wait = false } gives
function M.keep(event, options)
  if not started then return M.flow() end
  if kept_count >= KEPT_MOST then
    return nil, ("store: %d events wait already for the store to be opened"):format(kept_count),
      { outcome = "invalid", retry = true }
  end
  local one = setmetatable({ event = copy(event, 0), options = options }, Kept)
  kept_count = kept_count + 1
  kept[kept_count] = one
  return one
end

--- The store is open: hands in what was kept.
local function hand_in()
  local first = 1
  while kept[first] do
    local one = kept[first]
    slice.give_way()
    local ok, landing, err, info = pcall(flow.submit, flow, one.event, one.options)
    if not ok then landing, err = nil, "invalid: " .. tostring(landing) end
    if landing then one.landing = landing else one.answer = { nil, err, info } end
    if not landing then request.say("an event that came before the store was open was not taken: " .. tostring(err)) end
    kept[first], first = nil, first + 1
  end
  kept, kept_count = {}, 0
end

-- The work ----------------------------------------------------------------------------------------------------------

local children = {} -- light threads of fallbacks

--- A fallback in a light thread of its own: it may wait for an SMS gateway while the work goes on.
-- @treturn table with stop(), which ends it
local function spawn(run)
  local child = {}
  children[child] = true
  child.thread = ngx.thread.spawn(function()
    run()
    child.ended = true
  end)
  return { stop = function()
    if child.ended or not ngx.thread.kill(child.thread) then return false end
    children[child] = nil
    return true
  end }
end

--- nginx keeps a light thread that ended until somebody waits for it.
local function reap()
  for child in pairs(children) do
    if child.ended then
      ngx.thread.wait(child.thread)
      children[child] = nil
    end
  end
end

local function open()
  local options = {}
  for name, value in pairs(settings.workflow) do options[name] = value end
  options.spawn = options.spawn or spawn
  local theirs = options.on_change
  options.on_change = function(confirmation)
    counters.change(confirmation)
    if theirs then theirs(confirmation) end
  end
  local their_alert = options.on_alert
  options.on_alert = function(alert)
    local reason, about = tostring(alert.reason or ""), alert.channel or alert.rule or alert.template
    local good = alert.alert == "resumed" or alert.alert == "paused" or alert.alert == "rules" and not reason:find "^config:"
    request.say(("%s%s: %s"):format(alert.alert, about and " " .. about or "", reason),
      good and ngx.NOTICE or ngx.ERR)
    if alert.missing then request.say("no_way: " .. alert.missing, ngx.WARN) end
    if their_alert then their_alert(alert) end
  end
  local ok, made, err = pcall(workflow.open, options)
  if not ok then return nil, "config: " .. tostring(made) end
  if not made then return nil, err end
  if err then request.say("no_way: " .. err, ngx.WARN) end
  local long = coroutine.running()
  made.breathe = function()
    if coroutine.running() == long then slice.give_way() else slice.breathe() end
  end
  made.rules.breathe = made.breathe
  made.forget = function()
    return nil, "config: forget waits for the disk: use the command onemsg forget", { outcome = "invalid" }
  end
  made.worker.on_wake = function() wait.wake(made.worker.done) end
  return made
end

local beat_at = 0

--- What is to be done about once a second beside the work: tell the counts, and look whether the rules file is good.
local function beat()
  local at = core.steady()
  if at - beat_at < BEAT_S then return end
  beat_at = at
  counters.channels(settings.channels)
  counters.flush()
  reap()
  flow:ruleset(flow.now())
end

local function stop()
  request.write()
  beat()
  return exiting()
end

--- The worker is to leave: what requests have handed in to the store is told first, whether they still wait or not.
local function last()
  local landing = flow and next(flow.landing)
  while landing do
    local ok, err = pcall(landing.wait, landing)
    if not ok then
      flow.landing[landing] = nil
      request.say("an event's end was not told: " .. tostring(err))
    end
    landing = next(flow.landing)
  end
end

local function run(premature)
  counters.add("onemsg_work_restarts_total", "", 0) -- a counter that is there from the start shows its first rise
  local patience = PAUSE_MIN_S
  while not premature and not exiting() do
    local from, err = core.steady(), nil
    if not flow then
      flow, err = open()
      trouble = err
      if flow then hand_in() end
      release()
    end
    if flow then
      local ok, done, why = pcall(flow.work, flow, { stop = stop })
      if not ok or not done then
        local again = not exiting()
        err = (again and "the work failed, and is begun again: " or "the work ended: ") .. tostring(not ok and done or why)
        if again then counters.add("onemsg_work_restarts_total", "", 1) end
      end
    end
    if err then
      request.say(err)
      if core.steady() - from > STEADY_S then patience = PAUSE_MIN_S end
      pause(patience)
      patience = math.min(patience * 2, PAUSE_MAX_S)
    end
  end
  if flow then flow.on_begun = function() pcall(ngx.timer.at, 0, last) end end -- of requests that outlive the work
  last()
  if kept_count > 0 then
    request.say(("the worker ends before it could open its store; %d events that it kept are not stored"):format(kept_count))
  end
  local lost = log.flush()
  if lost > 0 then request.say(log.lost(lost).reason) end
  counters.channels(settings.channels)
  counters.flush()
  request.write()
end

--- Begins the long thread; for init_worker.
function M.start(the_settings)
  settings, started = the_settings, true
  local ok, err = ngx.timer.at(0, run)
  if not ok then
    started = false
    error("resty.onemsg.init_worker: nginx gives no timer: " .. tostring(err), 0)
  end
end

--- Has this worker opened its store?
function M.is_open() return flow ~= nil end

--- This worker's workflow.
-- @treturn ?table flow; may wait for the store to be opened, where the phase can
-- @treturn string with nil: "config: …", "store: …"
function M.flow()
  if flow then return flow end
  if not started then
    return nil, settings and "store: this worker is ending"
      or "config: call require('resty.onemsg').init { … } in init_by_lua and init_worker() in init_worker_by_lua",
      { outcome = "invalid" }
  end
  if not trouble and yield.can_wait() then
    waiting = waiting + 1
    opened:wait(PATIENCE_S)
    waiting = waiting - 1
  end
  if flow then return flow end
  return nil, trouble or "store: this worker has not opened it yet; submit again", { outcome = "invalid", retry = true }
end

return M
