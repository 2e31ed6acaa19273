--- Makes every call of onemsg that waits one that yields. `require "onemsg"` calls this by itself inside nginx.
--
-- A call that waits becomes: begin it (C, never waits), wait (wait.lua), take the answer (C). Where nginx cannot yield,
-- it begins nothing and returns nil, "invalid: …", info with a sentence that names the phase and the call to use.

local wait = require "resty.onemsg.wait"

local get_phase = ngx.get_phase

local M = {}

--- Phases in which a light thread may yield. Those of TLS may only in an nginx with OpenResty's patches, which cannot
-- be told from here; without them a yield breaks the handshake, after the message has left.
local CAN_WAIT = {
  rewrite = true, server_rewrite = true, access = true, precontent = true, content = true, timer = true,
  preread = true,
}

--- Phases in which not even `async` makes sense, and why.
local CANNOT_BEGIN = {
  init = "nginx has not forked yet, and what begins before would belong to no worker; begin it in init_worker_by_lua",
  exit_worker = "the worker is about to end, and would cut it off; begin it before",
}

--- Operations that are several requests have no async.
local IN_A_TIMER = "call it within ngx.timer.at(0, function() … end)"

local core, raw, yieldable

local function fail(word, outcome, phase, sentence)
  return nil, word .. ": " .. sentence, { outcome = outcome, retry = false, phase = phase }
end

--- Why `what` cannot be done here: nil, err, info.
local function refuse(what, instead, outcome)
  local phase = get_phase()
  local blocked = CANNOT_BEGIN[phase]
  if blocked then return fail("invalid", outcome, phase, what .. " in " .. phase .. "_by_lua: " .. blocked) end
  if not CAN_WAIT[phase] then
    return fail("invalid", outcome, phase, what .. " waits, and " .. phase .. "_by_lua cannot; " .. instead)
  end
  return fail("invalid", outcome, phase, what .. " waits, and cannot within require, table.sort, string.gsub or "
    .. "another C function that calls back; " .. instead)
end

--- Whether a call may wait here.
local function can_wait()
  return CAN_WAIT[get_phase()] and yieldable()
end
M.can_wait = can_wait

local function check_self(self, name)
  if type(self) ~= "userdata" then
    error("call it with a colon, like object:" .. name .. "(…); the first argument is a " .. type(self), 3)
  end
end

-- ---- the channel ----

--- channel:send(message) and the other operations.
local function operation(name)
  local what = "channel:" .. name
  local instead = 'call channel:async("' .. name .. '", …), which does not wait, or ' .. IN_A_TIMER
  local async = raw.async
  return function(channel, a, b, c)
    check_self(channel, name)
    if not can_wait() then return refuse(what, instead, "invalid") end
    local pending, err, info = async(channel, name, a, b, c)
    if not pending then return nil, err, info end
    return wait.pending(pending)
  end
end

--- What begins something and does not wait for it.
local function beginner(begin, name)
  return function(self, ...)
    check_self(self, name)
    if CANNOT_BEGIN[get_phase()] then return refuse(name, nil, "invalid") end
    local pending, err, info = begin(self, ...)
    if not pending then return nil, err, info end
    wait.begun()
    return pending
  end
end

--- channel:templates() and the others that are several requests: Lua functions, which may yield.
local function several(name, module, field)
  local what, found = "channel:" .. name, nil
  return function(channel, ...)
    check_self(channel, name)
    if not can_wait() then return refuse(what, IN_A_TIMER, "invalid") end
    found = found or require(module)[field]
    return found(channel, ...)
  end
end

-- ---- pendings ----

--- pending:wait([seconds]). An answer that is already there, and wait(0), are to be had in every phase.
local function pending_wait(pending, seconds)
  check_self(pending, "wait")
  if seconds ~= nil then seconds = core.seconds(seconds) end
  if seconds == 0 or raw.ready(pending) then return raw.wait(pending, 0) end
  if not can_wait() then
    return refuse("pending:wait", "ask pending:ready(), or " .. IN_A_TIMER, "pending")
  end
  return wait.pending(pending, seconds)
end

--- core.async_in begins the sends of channel:send_each, which waits for them afterwards; core.send_in those of a workflow.
local function begins_in(begin)
  return function(channel, group, ...)
    if not can_wait() then return refuse("channel:send_each", IN_A_TIMER, "invalid") end
    return begin(channel, group, ...)
  end
end

local function sleep(seconds)
  seconds = core.seconds(seconds)
  if not can_wait() then return refuse("onemsg.sleep", IN_A_TIMER, "invalid") end
  ngx.sleep(seconds)
  return true
end

local function fd()
  return fail("config", "invalid", get_phase(), "in nginx completions come by themselves; nothing is to be watched")
end

local function dispatch()
  wait.pump()
  return {}
end

--- What answers at once. Whatever else C offers waits, and has to be replaced here.
local AT_ONCE = {
  channel = { check = true, stats = true, close = true }, pending = { ready = true, cancel = true },
  database = { stats = true, engine = true },
}

--- Runs `replace`, which puts functions that yield into the_core[kind]; raises where one was forgotten, for it would
-- block the worker.
local function replacing(the_core, kind, replace)
  local methods, before = the_core[kind], {}
  for name, method in pairs(methods) do before[name] = method end
  replace(methods)
  for name, method in pairs(before) do
    if methods[name] == method and not AT_ONCE[kind][name] then
      error(("resty.onemsg.yield: %s:%s may wait and is not made to yield"):format(kind, name), 0)
    end
  end
end

--- For onemsg.c: replaces what waits in the channel, in pendings and in the module.
-- @tparam table the_core what `require "onemsg.core"` returns
function M.channel(the_core)
  core = the_core
  local module = core.module
  raw = { async = core.channel.async, ready = core.pending.ready, wait = core.pending.wait }
  yieldable = core.yieldable
  wait.init(core)
  replacing(core, "channel", function(channel)
    for _, name in ipairs(core.operations) do channel[name] = operation(name) end
    for name, at in pairs(core.several) do channel[name] = several(name, at[1], at[2]) end
    channel.async = beginner(raw.async, "channel:async")
    local each = core.several.send_each -- an iterator: each of its sends is refused for itself
    channel.send_each = function(...) return require(each[1])[each[2]](...) end
  end)
  replacing(core, "pending", function(pending) pending.wait = pending_wait end)
  core.async_in, core.send_in, core.wait_group = begins_in(core.async_in), begins_in(core.send_in), wait.group
  module.sleep, module.fd, module.dispatch = sleep, fd, dispatch
end

--- For onemsg.c, when onemsg.sql is loaded: the same for database handles.
-- @tparam table the_core
function M.database(the_core)
  replacing(the_core, "database", function(database)
    for name, twin in pairs { unit = "async", read = "async_read" } do
      local begin = database[twin]
      local what = "db:" .. name
      local instead = "call db:" .. twin .. "{…}, which does not wait, or " .. IN_A_TIMER
      database[name] = function(self, statements)
        check_self(self, name)
        if not can_wait() then return refuse(what, instead, "invalid") end
        local pending, err, info = begin(self, statements)
        if not pending then return nil, err, info end
        return wait.pending(pending)
      end
    end
    database.async, database.async_read =
      beginner(database.async, "db:async"), beginner(database.async_read, "db:async_read")
    database.close = the_core.detach
  end)
end

return M
