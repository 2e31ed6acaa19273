--- Runs in nginx, in every phase (nginx_phase_spec.lua): calls each public function, and writes down what came of it,
-- one line `phase function result` each. Results: yes; the first word of the error; or a Lua error.

local M = {}

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
  local channel, onemsg, db = t.channel, t.onemsg, t.db
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
  note("send", function() return channel:send(message()) end)
  note("hookInfo", function() return channel:hookInfo "wamid.x" end)
  note("status", function() return channel:status() end)
  note("settings", function() return channel:settings() end)
  note("messages", function() return channel:messages { limit = 1 } end)
  note("webhook", function() return channel:webhook() end)
  note("setWebhook", function() return channel:setWebhook { "https://a.example/" } end)
  note("request", function() return channel:request("GET", "status") end)
  note("templates", function() return channel:templates() end)
  note("addWebhook", function() return channel:addWebhook "https://b.example/" end)
  note("removeWebhook", function() return channel:removeWebhook "https://b.example/" end)
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
