--- What the specs of the endpoints share: a whole service (resty.onemsg) in a real nginx before the fake 1MSG.
--
--     local service = require("support.service").start { fake = fake, workers = 2, init = "event_items = 5," }
--     service:post("/events", body, headers)      status, body, headers; one connection each
--     service:event(event)                        signed; status, decoded answer
--     service.nginx                               of support.nginx;  service:flow(function(flow) … end): its store
--     service:stop()

local cjson = require "cjson"
local nginx = require "support.nginx"
local onemsg = require "onemsg"
local signature = require "onemsg.signature"
local socket = require "socket"
local workflow = require "onemsg.workflow"

local M = {}
local Service = {}
Service.__index = Service
local running = {}

M.SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
M.OLD_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
M.TOKEN = "a-bearer-token-of-24-chars"
M.HOOK, M.OLD_HOOK = "hook-secret-0123456789abcdef", "hook-secret-of-last-month"
M.OPERATOR = "operator-token-0123456789"

M.RULES = [[
template "action_success" { language = "en", body = { "name", "action", "next_step" } }
defaults { phone = "{customer.phone}", name = "{customer.first_name|there}", give_up_after = "6h" }
confirm "Payment" { on = "payment.succeeded", action = "payment {id}", next_step = "Access activated." }
]]

M.LOCATIONS = [[
  location = /events  { client_max_body_size 4m; content_by_lua_block { require("resty.onemsg").serve_events() } }
  location /hooks/    { client_max_body_size 4m; client_body_timeout 1s; error_log $dir/hooks.log notice;
                        content_by_lua_block { require("resty.onemsg").serve_hooks() } }
  location = /metrics { content_by_lua_block { require("resty.onemsg").serve_metrics() } }
  location /onemsg/   { content_by_lua_block { require("resty.onemsg").serve_status() } }
]]

--- Start one.
-- @tparam table o fake; and, all optional: workers, secrets (false: none), init (more Lua inside init { … }), http,
--   locations, rules, store (a target), dict (false: no shared dictionary), environment, before, channels ("environment":
--   init says nothing of them)
function M.start(o)
  local channel = o.channels == "environment" and "" or "channel = channel,"
  local secrets = ([[event_secrets = { %q, %q }, event_tokens = %q, hook_secrets = { %q, %q }, operator_token = %q,]])
    :format(M.SECRET, M.OLD_SECRET, M.TOKEN, M.HOOK, M.OLD_HOOK, M.OPERATOR)
  local server = nginx.start {
    fake = o.fake, workers = o.workers, environment = o.environment, before = o.before, level = "notice",
    files = { ["rules.lua"] = o.rules or M.RULES },
    init = ([[require("resty.onemsg").init { %s rules = "$dir/rules.lua", store = %q, %s %s }]])
      :format(channel, o.store or "sqlite:$dir/store.db", o.secrets == false and "" or secrets, o.init or ""),
    http = (o.dict == false and "" or "lua_shared_dict onemsg 1m; ")
      .. [[init_worker_by_lua_block { require("resty.onemsg").init_worker() } ]] .. (o.http or ""),
    locations = M.LOCATIONS .. (o.locations or ""),
  }
  local self = setmetatable({ nginx = server, fake = o.fake, store = "sqlite:" .. server.dir .. "/store.db" }, Service)
  running[self] = true
  return self
end

--- Stops what a test that failed has left running.
function M.stop_all()
  for one in pairs(running) do one:stop() end
end

function M.sign(body, id, at, secret)
  at = at or os.time()
  id = id or "msg_1"
  return { ["webhook-id"] = id, ["webhook-timestamp"] = tostring(at),
           ["webhook-signature"] = signature.sign(secret or M.SECRET, id, at, body) }
end

--- Sends a request and reads the answer to its end.
-- @treturn ?number status; nil when there was no whole answer
-- @treturn string body
-- @treturn table headers, names in lower case
function Service:request(method, path, body, headers)
  local client = assert(socket.connect("127.0.0.1", self.nginx.port))
  client:settimeout(60)
  local head = { ("%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close"):format(method, path) }
  if body then head[2] = "Content-Length: " .. #body end
  for name, value in pairs(headers or {}) do head[#head + 1] = name .. ": " .. value end
  client:send(table.concat(head, "\r\n") .. "\r\n\r\n" .. (body or ""))
  local answer_headers = {}
  local line = client:receive "*l"
  local status = line and tonumber(line:match "^HTTP/1%.1 (%d+)")
  while line and line ~= "" do
    line = client:receive "*l"
    local name, value = (line or ""):match "^([^:]+):%s*(.-)%s*$"
    if name then answer_headers[name:lower()] = value end
  end
  local answer = client:receive "*a"
  client:close()
  return status, answer or "", answer_headers
end

function Service:post(path, body, headers)
  return self:request("POST", path, body, headers)
end

function Service:get(path, headers)
  return self:request("GET", path, nil, headers)
end

--- Posts an event, or a list of them, signed.
function Service:event(event)
  local body = cjson.encode(event)
  local status, answer, headers = self:post("/events", body, M.sign(body))
  local ok, decoded = pcall(cjson.decode, answer)
  return status, ok and decoded or answer, headers
end

local number = 0
--- An event that the rules confirm, to a phone with this ending.
function M.payment(ending)
  number = number + 1
  return { id = ("p-%d-%d"):format(os.time(), number), type = "payment.succeeded",
           customer = { first_name = "Maria", phone = ("1202%05d%s"):format(number, ending or "00") } }
end

--- Uses the service's store from this process, as another program on the same machine would.
function Service:flow(use)
  local channel = assert(onemsg.new { base_url = self.fake.env.FAKE_HTTP_URL, token = self.fake.env.ONE_MSG_TOKEN,
    template = "action_success", namespace = self.fake.env.ONE_MSG_TEMPLATE_NAMESPACE, language = "en" })
  local flow = assert(workflow.open { channel = channel, store = self.store, rules = self.nginx.dir .. "/rules.lua" })
  local ok, err = pcall(use, flow)
  flow:close()
  channel:close()
  assert(ok, err)
end

--- Waits until a confirmation is in one of the states.
function Service:state(id, ...)
  local wanted, shown = {}, nil
  for _, state in ipairs { ... } do wanted[state] = true end
  self:flow(function(flow)
    require("support.server").eventually(function()
      shown = assert(flow:show(id))
      return wanted[shown.state]
    end)
  end)
  return shown.state, shown
end

--- kill -9 of everything, at once.
function Service:kill()
  local sys = require "support.sys"
  for _, pid in ipairs(self.nginx:workers()) do sys.kill(pid, sys.KILL) end
  sys.kill(self.nginx.master, sys.KILL)
end

function Service:stop()
  running[self] = nil
  self.nginx:stop()
end

return M
