--- onemsg work: sends, retries, follows, until told to stop. Any number of them may share a store.
local alerts = require "onemsg.cli.alerts"
local calls = require "onemsg.cli.call"
local output = require "onemsg.cli.output"
local programs = require "onemsg.cli.program"
local log = require "onemsg.workflow.log"

local M = {
  summary = "Send what was submitted, retry, follow, until SIGTERM or Ctrl-C",
  options = {
    calls.STORE, calls.RULES,
    { "drain", "TIME", "stop when nothing more becomes due within this time, such as 0 or 10s", seconds = true },
    { "rate", "N", "messages a second, over all processes of the store (20)", number = 0.01, broken = true },
    { "window", "N", "sends in flight (64)", number = 1 },
    { "log", "FILE", "the delivery log, JSON lines, besides what is printed" },
    { "fallback", "NAME=PROGRAM", "what `otherwise { send = \"NAME\" }` runs: it gets the notice as JSON on its standard input, "
      .. "and ends with 0 when it reached the person", list = true },
    { "fallback-timeout", "TIME", "how long such a program may run (1m); then it is killed, with its process group",
      seconds = true },
    { "fallback-window", "N", "such programs that run at a time (8)", number = 1 },
    { "alert", "PROGRAM", "hears of trouble: a channel that stops or goes on, a store that fails; it gets each alert as JSON on "
      .. "its standard input, one at a time" },
    { "quiet", false, "print nothing but trouble" },
  },
  examples = { "onemsg work", "onemsg work --drain 10s --json", "onemsg work --fallback sms=/usr/local/bin/send-sms" },
}

--- A line of the delivery log for people.
local function tell(call, entry)
  local at = entry.at:match "T(%d+:%d+:%d+)" or ""
  if entry.alert then
    return call.out:note("%sZ ATTENTION %s%s: %s", at, entry.alert, entry.channel and " " .. entry.channel or "",
      (entry.reason or "") .. (entry.missing and "; " .. entry.missing or ""))
  end
  if call.options.quiet then return end
  local state = entry.state or ""
  local to = entry.phone or entry.bsuid or entry.username or entry.chat_id or ""
  call.out:line("%sZ %-9s %s  %s  %s", at, state, entry.id or "", to, output.reason(state, entry.reason))
end

local function sink(call, file)
  return function(line, entry)
    if file then file:line(line, entry) end
    if call.options.json then
      if not call.options.quiet or entry.alert then call.out:object(entry) end
    else
      tell(call, entry)
    end
  end
end

--- A way to reach a person that is a program, beside the loop: it yields until the program has ended, or has to.
local function program(command, core)
  return function(notice)
    local child, why = core.child_start(command, output.encode(notice) .. "\n")
    if not child then return nil, ("%s can't be run: %s"):format(command, why) end
    local status = core.child_poll(child)
    local killed = false
    while not status do
      if coroutine.yield() == "stop" and not killed then
        core.child_kill(child)
        killed = true
      end
      status = core.child_poll(child)
    end
    if status == 0 then return true end
    local never = not killed and programs.never_began(command, status)
    if never then return nil, never, { not_begun = true } end
    return nil, ("%s ended with %d"):format(command, status)
  end
end

--- Programs that were killed, until the system says that they are gone.
local function spawner()
  local dying = {}
  return function(run)
    local way = coroutine.create(run)
    local function go_on(word)
      local good, err = coroutine.resume(way, word)
      if not good then error(err, 0) end
    end
    local handle = {}
    function handle.turn()
      for other in pairs(dying) do
        if coroutine.status(other) ~= "dead" then coroutine.resume(other) end
        if coroutine.status(other) == "dead" then dying[other] = nil end
      end
      go_on()
    end
    function handle.stop()
      dying[way] = true
      go_on "stop"
      return true
    end
    go_on()
    return handle
  end
end

--- An option's program that can't be run would fail whenever it is needed, and people with it.
-- @treturn ?string "config: …"
local function unusable(option, command)
  local why = programs.why_not(command)
  return why and ("config: %s can't be run: %s. Name a program that is there and executable for this user"):format(option, why)
end

local function fallbacks(call, core)
  local list
  for _, text in ipairs(call.options.fallback or {}) do
    local name, command = text:match "^([%w_-]+)=(.+)$"
    if not name then return nil, "invalid: --fallback takes NAME=PROGRAM, not " .. text end
    local err = unusable("--fallback " .. name, command)
    if err then return nil, err end
    list = list or {}
    list[name] = program(command, core)
  end
  return list or false
end

local PATIENCE = 5 -- seconds, at least, that a drain waits for a store that can't be opened just now
local PAUSE = 0.25

--- Opens the workflow. A store that is full or locked is waited for here as it is later, and that is said once.
local function open(call, core, stopped, given)
  local patience = call.options.drain and math.max(call.options.drain, PATIENCE) or math.huge
  local deadline, told = core.steady() + patience, {}
  while true do
    local flow, err, info = call:flow(given)
    if flow or not (info and info.retry) or stopped() or core.steady() >= deadline then return flow, err, info end
    if not told[err] then
      local alert = { alert = "store", reason = err }
      log.write(given.log, alert, core.now())
      if given.on_alert then given.on_alert(alert) end
    end
    told[err] = true
    require "onemsg".sleep(PAUSE)
  end
end

--- Works, or drains and then waits for what is in flight, or it would have to be called unknown.
-- @treturn ?number how many answers were recorded; nil, err, info: the store did not take all that there was
local function work(flow, options, stopped)
  local recorded, err, info = 0, nil, nil
  if options.drain then recorded, err, info = flow:drain { timeout = options.drain, stop = stopped } end
  local later, late_err, late_info = flow:work { stop = function() return options.drain or stopped() end }
  if later and recorded then return recorded + later end
  return nil, late_err or err, late_info or info
end

--- Says what a drain leaves, and why.
-- @tparam table stats
-- @tparam table later see onemsg.outbox.read
local function tell_left(call, stats, later, now)
  local queued, sending = later.queued, later.sending
  if stats.due > 0 then
    call.out:note("%d are still due: `onemsg stats` says what keeps them; else give --drain more time", stats.due)
  end
  if queued then
    local why = output.reason("queued", queued.reason)
    call.out:note("%d wait for a later time, the first until %s, in %.0f s%s", queued.n, output.time(queued.at),
      queued.at - now, why ~= "" and not why:find "^matched rule" and ": " .. why or "")
  end
  if sending then
    call.out:note("%d are being sent by another worker; if that one has died, they are taken up %s", sending.n,
      sending.at and sending.at > now and ("from %s on, in %.0f s"):format(output.time(sending.at), sending.at - now) or "soon")
  end
  local behind = (stats.states.queued or 0) - stats.due - (queued and queued.n or 0)
  if behind > 0 then call.out:note("%d wait for their turn behind another message to the same person", behind) end
end

function M.run(call)
  local options, file = call.options, nil
  local info
  local core = require "onemsg" and require "onemsg.core"
  local ways, err = fallbacks(call, core)
  err = err or options.alert and unusable("--alert", options.alert)
  if err then return call:fail(err) end
  if options.log then
    file, err = log.file(options.log)
    if not file then return call:fail(err) end
  end
  core.stop_on_signals()
  local heard = options.alert and alerts.new(options.alert, function(sentence) call.out:note("%s", sentence) end)
  local function stopped()
    if heard then heard:turn() end
    return core.stopped()
  end
  local flow
  flow, err, info = open(call, core, stopped, { log = sink(call, file), rate = options.rate, window = options.window,
    fallback = ways or nil, spawn = spawner(), fallback_timeout = options.fallback_timeout,
    fallback_window = options.fallback_window, on_alert = heard and function(alert) heard:tell(alert) end })
  if not flow then
    if heard then heard:finish() end
    return call:fail(err, info)
  end
  if err then call.out:note("ATTENTION no_way: %s; --fallback NAME=PROGRAM gives one", err) end
  if flow.only_to then call.out:note("only_to: messages go to the people named there alone; others are skipped") end
  if not options.quiet and not options.drain then
    for _, one in ipairs { { "log", "no delivery log is kept" }, { "fallback", "there is no other way to reach a person" },
                           { "alert", "nobody is told of trouble" } } do
      if not options[one[1]] then call.out:note("off: %s (--%s)", one[2], one[1]) end
    end
    call.out:note("at work; SIGTERM or Ctrl-C stops it")
  end
  local recorded
  recorded, err, info = work(flow, options, stopped)
  if heard then heard:finish() end
  local now, stats = flow.now(), options.drain and flow:stats()
  local later = stats and flow.box:later(now)
  flow:close()
  if later then tell_left(call, stats, later, now) end
  local lost = file and file:close() or 0
  if lost > 0 then call.out:note("ATTENTION log: %s", log.lost(lost).reason) end
  if not recorded then return call:fail(err, info) end
  if not options.quiet then call.out:note("%s: %d answers recorded", core.stopped() and "stopped" or "done", recorded) end
  return true
end

return M
