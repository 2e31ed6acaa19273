--- A process in which finalizers use onemsg while lua_close collects everything; run by 033-last_finalizers_spec.lua.
--     last_child.lua oldest|youngest|both fall|close URL DIR
-- The oldest finalizer was there before onemsg and runs when all of it has been collected, the youngest runs first. Each
-- prints a line a call: its name, then "value" or the first word of its error.
local when, how, url, dir = arg[1], arg[2], arg[3], arg[4]
local body

--- Runs f when it is collected: at the end, as it is kept.
local kept = {}
local function at_the_end(f)
  local object = rawget(_G, "newproxy") and newproxy(true) or setmetatable({}, { __gc = f }) -- luacheck: ignore newproxy
  if rawget(_G, "newproxy") then getmetatable(object).__gc = f end
  kept[#kept + 1] = object
end

if when ~= "youngest" then at_the_end(function() body "oldest" end) end

local onemsg = require "onemsg"
local sql = require "onemsg.sql"
local options = { base_url = url, token = "link_made-up-for-the-specs-0123456789", channel = "RAW1", template = "action_success",
  namespace = "ns", language = "en", timeout = 20 }
local channel = assert(onemsg.new(options))
local db = assert(sql.open("sqlite:" .. dir .. "/last.db"))
assert(db:unit { { "CREATE TABLE IF NOT EXISTS t (id TEXT PRIMARY KEY)" } })
local message = { phone = "12020721300", body = { "Maria", "payment", "Thank you." } }
local pendings = {}
for i = 1, 8 do pendings[i] = assert(channel:async("send", message)) end

local CALLS = {
  { "send", function() return channel:send(message) end },
  { "hookInfo", function() return channel:hookInfo "wamid.1" end },
  { "check", function() return channel:check(message) end },
  { "wait", function() return pendings[1]:wait() end },
  { "peek", function() return pendings[2]:ready() end },
  { "async", function() return channel:async("send", message) end },
  { "async and wait", function()
    local pending, err = channel:async("send", message)
    if not pending then return nil, err end
    return pending:wait()
  end },
  { "send_each", function()
    local receipt, err
    for _, one, why in channel:send_each { message, message } do receipt, err = one, why end
    return receipt, err
  end },
  { "unit", function() return db:unit { { "INSERT INTO t VALUES ($1) ON CONFLICT DO NOTHING", "once" } } end },
  { "read", function() return db:unit { { "SELECT count(*) AS n FROM t" } } end },
  { "dispatch", function() return onemsg.dispatch() end },
  { "fd", function() return onemsg.fd() end },
  { "new", function()
    local another, err = onemsg.new(options)
    if not another then return nil, err end
    local receipt, why = another:send(message)
    another:close()
    return receipt, why
  end },
  { "open", function()
    local another, err = sql.open("sqlite:" .. dir .. "/last.db")
    if not another then return nil, err end
    local rows, why = another:unit { { "SELECT 1 AS one" } }
    another:close()
    return rows, why
  end },
  { "collect", function() collectgarbage() return true end },
  { "one more finalizer", function() at_the_end(function() pcall(channel.send, channel, message) end) return true end },
  { "close", function() channel:close() db:close() return true end },
  { "send, closed", function() return channel:send(message) end },
  { "collect again", function() collectgarbage() collectgarbage() return true end },
}

function body(which)
  for _, call in ipairs(CALLS) do
    local ok, value, err = pcall(call[2])
    local word = not ok and "raised " .. tostring(value) or value ~= nil and "value" or tostring(err):match "^[%w_]+"
    io.write(which, " | ", call[1], " | ", word, "\n")
  end
  io.flush()
end

if when ~= "oldest" then at_the_end(function() body "youngest" end) end
if how == "close" then os.exit(0, true) end
