--- Runs in nginx, in every phase (nginx_phase_spec.lua): calls each public function, and writes down what came of it,
-- one line `phase function result` each. Results: yes; the first word of the error; or a Lua error.

local M = {}

--- Arguments for each method that waits, by its name.
M.arguments = {
  send = function(message) return message() end,
  hookInfo = function() return "wamid.x" end,
  status = function() end,
  settings = function() end,
  messages = function() return { limit = 1 } end,
  webhook = function() end,
  setWebhook = function() return { "https://a.example/" } end,
  request = function() return "GET", "status" end,
  templates = function() end,
  addWebhook = function() return "https://b.example/" end,
  removeWebhook = function() return "https://b.example/" end,
}

local function word(err)
  return tostring(err):match "^(%a[%w_]*):" or tostring(err)
end

local function try(call)
  local function reached(...)
    if not ... then return "raised: " .. tostring((select(2, ...))) end
    local value, err = select(2, ...)
    if value == nil or value == false then return word(err) end
    return "yes"
  end
  return reached(pcall(call))
end

local serial = 0

--- @tparam string phase its name in the answers
-- @tparam table t the table with channel, onemsg, db, text, file
function M.run(phase, t)
  local channel, onemsg, db, core = t.channel, t.onemsg, t.db, require "onemsg.core"
  local function message(ending)
    serial = serial + 1
    return t.text(("1203%02d%03d%02d"):format(t.number[phase], serial % 1000, ending or serial % 20))
  end
  local lines, pending = {}, nil
  local function note(name, call)
    lines[#lines + 1] = phase .. " " .. name .. " " .. try(call) .. "\n"
  end
  note("new", function() return onemsg.new(t.options) end)
  note("check", function() return channel:check(message()) end)
  note("stats", function() return channel:stats() end)
  note("async", function()
    local err
    pending, err = channel:async("send", message(76)) -- is never answered
    return pending, err
  end)
  if pending then
    note("ready", function() return pending:ready() == false end)
    note("wait(0)", function() return pending:wait(0) end)
    note("wait", function() return pending:wait(0.05) end)
    note("cancel", function() return pending:cancel() end)
  end
  for _, name in ipairs(core.operations) do
    local arguments = assert(M.arguments[name], "the probe knows no arguments for " .. name)
    note(name, function() return channel[name](channel, arguments(message)) end)
  end
  for name in pairs(core.several) do
    local arguments = name ~= "send_each" and assert(M.arguments[name], "the probe knows no arguments for " .. name)
    if arguments then note(name, function() return channel[name](channel, arguments(message)) end) end
  end
  note("send_each", function()
    local got, why = 0, nil
    for _, receipt, err in channel:send_each { message(), message() } do
      got, why = got + (receipt and 1 or 0), err
    end
    return got == 2 or nil, why
  end)
  note("sleep", function() return onemsg.sleep(0.001) end)
  note("dispatch", function() return onemsg.dispatch() end)
  note("fd", function() return onemsg.fd() end)
  note("unit", function() return db:unit { { "SELECT 1 AS one" } } end)
  note("read", function() return db:read { { "SELECT 1 AS one" } } end)
  note("db:async", function() return db:async { { "SELECT 1 AS one" } } end)
  note("db:async_read", function() return db:async_read { { "SELECT 1 AS one" } } end)
  local file = assert(io.open(t.file, "a"))
  file:write(table.concat(lines))
  file:close()
end

return M
