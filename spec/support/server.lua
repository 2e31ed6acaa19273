--- What specs use to run against the fake 1MSG. One fake a spec file:
--
--     local fake = require("support.server").fake { }      -- options of onemsg.fake.server.start
--     fake.env.FAKE_HTTP_URL, fake.env.ONE_MSG_TOKEN …      -- fake.env
--     fake:count(phone)          whole sendTemplate requests for this phone
--     fake:journal { phone = }   whole requests as tables, oldest first
--     fake:set { pace_ms = 0 }   options of resty.onemsg.fake.state, and the channel's settings
--     fake:reset()               options, settings, messages, hooks and journal back to the start
--     fake:stats()               messages that went out, counters of the hook poster
--     fake:stop()
--
-- The fake also ends by itself within two seconds after this process: a spec that dies leaves nothing behind.

local cjson = require "cjson"
local http = require "socket.http"
local ltn12 = require "ltn12"
local fake_server = require "onemsg.fake.server"

local M = {}

local Fake = {}
Fake.__index = Fake

local function escape(text)
  return (tostring(text):gsub("[^%w_.~-]", function(c) return ("%%%02X"):format(c:byte()) end))
end

local function query(args)
  local parts = {}
  for name, value in pairs(args or {}) do parts[#parts + 1] = escape(name) .. "=" .. escape(value) end
  return #parts > 0 and "?" .. table.concat(parts, "&") or ""
end

--- Use a control of the fake.
-- @tparam string name
-- @tparam ?table args
-- @tparam ?string body
-- @treturn string the answer; raises when the fake refuses
function Fake:control(name, args, body)
  local chunks = {}
  local ok, status = http.request {
    url = self.env.FAKE_HTTP_URL .. "/_fake/" .. name .. query(args),
    method = body and "POST" or "GET",
    headers = body and { ["Content-Length"] = #body, ["Content-Type"] = "application/json" } or nil,
    source = body and ltn12.source.string(body) or nil,
    sink = ltn12.sink.table(chunks),
  }
  local text = table.concat(chunks)
  assert(ok and status == 200, ("fake: %s answered %s %s"):format(name, tostring(status), text))
  return text
end

--- How many sendTemplate requests for a phone arrived whole.
-- @tparam string phone digits
-- @treturn number
function Fake:count(phone)
  return cjson.decode(self:control("count", { phone = phone })).count
end

--- The whole requests, oldest first. Reads the file: works also when the fake has ended.
-- @tparam ?table filter phone, method, verb, token, protocol …: fields that must be equal
-- @treturn table list of { time, verb, method, path, phone, body, headers, token, connection, request, protocol }
function Fake:journal(filter)
  local list = {}
  for line in io.lines(self.env.FAKE_JOURNAL) do
    local entry, fits = cjson.decode(line), true
    for name, value in pairs(filter or {}) do fits = fits and entry[name] == value end
    if fits then list[#list + 1] = entry end
  end
  return list
end

--- How many whole requests each phone had.
-- @treturn table phone to number; phones without any are absent
function Fake:counts()
  local counts = {}
  for line in io.lines(self.env.FAKE_JOURNAL) do
    local phone = line:match '"phone":"([^"]+)"'
    if phone then counts[phone] = (counts[phone] or 0) + 1 end
  end
  return counts
end

--- Set options of the fake, or settings of its channel (`ackNotificationsOn = true`).
function Fake:set(options) self:control("set", options) end

--- Everything back to the start.
function Fake:reset() self:control "reset" end

--- What happened since the last reset: messages (that went out), and the hook poster's posted, refused, given_up,
-- dropped, foreign, waiting.
function Fake:stats() return cjson.decode(self:control "stats") end

--- Let the fake post a body of ours to the registered URLs.
-- @tparam string body JSON
function Fake:hook(body) self:control("hook", nil, body) end

--- What stands in the fake's error log.
function Fake:errors()
  local file = assert(io.open(self.env.FAKE_DIR .. "/error.log"))
  local text = file:read "*a"
  file:close()
  return text
end

--- Stop it and remove its directory.
function Fake:stop()
  fake_server.stop { dir = self.env.FAKE_DIR }
  if self.temporary then os.execute("rm -rf '" .. self.temporary .. "'") end
end

--- A directory of our own under TMPDIR.
function M.directory()
  local pipe = assert(io.popen "mktemp -d")
  local dir = pipe:read "*l"
  pipe:close()
  return dir
end

--- Start a fake.
-- @tparam ?table options as onemsg.fake.server.start takes them; `dir` is a temporary one when absent
-- @treturn table the fake
function M.fake(options)
  local all = { owner = fake_server.own_pid() }
  for name, value in pairs(options or {}) do all[name] = value end
  local temporary = not all.dir and M.directory() or nil
  all.dir = all.dir or temporary
  local env = assert(fake_server.start(all))
  env.ONE_MSG_TIMEOUT, env.ONE_MSG_CONNECT_TIMEOUT = "600", "600" -- on a slow machine no answer is late
  return setmetatable({ env = env, temporary = temporary }, Fake)
end

--- So long a spec waits for what must come: a defect makes it wait for ever, a slow machine never so long.
M.PATIENCE = 60

--- How many were accepted: who takes more than 15 s on the way learns of deliveries, too.
function M.accepted(states)
  return (states.accepted or 0) + (states.sent or 0) + (states.delivered or 0) + (states.read or 0)
end

--- Wait until a test holds, without a sleep of a fixed length.
-- @tparam function test
-- @return what the test returned; nil when it did not hold within PATIENCE
function M.eventually(test)
  local socket, sys = require "socket", require "support.sys"
  local ending = sys.now() + M.PATIENCE
  repeat
    local value = test()
    if value then return value end
    socket.sleep(0.01)
  until sys.now() > ending
end

return M
