--- A stand-in for 1MSG inside nginx, on loopback: `onemsg fake` and the specs start it (fake/server.lua).
-- Every call that onemsg uses; behaviour chosen by the last two digits of the phone (fake/numbers.lua); hooks
-- (fake/hooks.lua); a journal of every request whose body arrived whole (fake/journal.lua); and controls under
-- /_fake/. One worker: its state is plain Lua tables.

local cjson = require "cjson"
local calls = require "resty.onemsg.fake.calls"
local hooks = require "resty.onemsg.fake.hooks"
local journal = require "resty.onemsg.fake.journal"
local messages = require "onemsg.fake.messages"
local people = require "onemsg.fake.people"
local sender = require "resty.onemsg.fake.send"
local state = require "resty.onemsg.fake.state"
local templates = require "onemsg.fake.templates"

local M = {}
local config
local reply = sender.reply

--- In init_by_lua.
-- @tparam table c dir, token, channel, owner (pid after whose end the server ends; 0: none), options (table)
function M.init(c)
  config = c
  config.bearer = "Bearer " .. c.token
  config.send_uri = "/" .. c.channel .. "/sendTemplate"
  state.start = {}
  for name, text in pairs(c.options or {}) do
    assert(state.set(name, text))
    state.start[name] = state.option[name]
  end
end

local ffi = require "ffi"
ffi.cdef "int kill(int pid, int number); int getppid(void);"

--- The server ends when the process that wanted it is gone: no spec leaves an nginx behind.
local function watch_owner()
  if config.owner > 0 and ffi.C.kill(config.owner, 0) ~= 0 then ffi.C.kill(ffi.C.getppid(), 15) end
end

--- Answers nothing for 120 s, or until the client leaves.
function M.hang()
  ngx.sleep(120)
  ngx.exit(444)
end

--- In init_worker_by_lua.
function M.init_worker()
  cjson.decode_max_depth(1000)
  collectgarbage("setpause", 100)   -- little garbage: dead strings too lengthen LuaJIT's hash chains
  math.randomseed(ngx.worker.pid())
  messages.base64, messages.unbase64 = ngx.encode_base64, ngx.decode_base64
  journal.open(config.dir .. "/journal.jsonl")
  hooks.start(watch_owner)
  local ready = assert(io.open(config.dir .. "/worker.pid", "w"))
  ready:write(ngx.worker.pid(), "\n")
  ready:close()
end

--- The whole body, also when nginx put it into a file.
local function read_body()
  ngx.req.read_body()
  local body = ngx.req.get_body_data()
  if body then return body end
  local path = ngx.req.get_body_file()
  if not path then return "" end
  local file = assert(io.open(path, "rb"))
  body = file:read "*a"
  file:close()
  return body
end

local function hide_token(text)
  local from, to = text:find(config.token, 1, true)
  if not from then return text end
  return text:sub(1, from - 1) .. "(token)" .. hide_token(text:sub(to + 1))
end

local function write_journal(verb, method, phone, body, token)
  local headers, var = ngx.req.get_headers(), ngx.var
  headers.authorization = nil
  journal.write(hide_token(cjson.encode {
    time = ngx.now(), verb = verb, method = method, path = var.request_uri, headers = headers, token = token,
    body = body, phone = phone, connection = tonumber(var.connection), request = tonumber(var.connection_requests),
    protocol = var.server_protocol, scheme = var.scheme,
  }))
end

--- The token where 1MSG takes it: in the query, in the body, or in the header (PLATFORM.md 1.2). In several places the
-- header comes last, so that a stale one elsewhere is noticed.
local function token_state(args, sent)
  local given = args.token or sent and sent.token
  if given == nil then
    given = ngx.var.http_authorization
    if not given then return "missing", "" end
    given = given:match "^Bearer (.+)$" or given
  end
  return given == config.token and "right" or "wrong", tostring(given)
end

local function html(status)
  return ("<html>\n<head><title>%d</title></head>\n<body>\n<h1>%d</h1>\n</body>\n</html>\n"):format(status, status)
end

local function refuse_token(given)
  local echo = given:gsub('[%c"\\]', "")
  reply(401, ('{"error":"Wrong token \\"%s\\" for channel \\"%s\\". Provide the token as a GET parameter: ?token=%s"}')
    :format(echo, config.channel, echo))
end

local function down(mode)
  if mode == "hang" then return ngx.exec "@hang" end
  local status = tonumber(mode) or 503
  reply(status, html(status), { ["Content-Type"] = "text/html" })
end

local LOOK_S = 0.01 -- while answers are held back

--- The latency, so that answers do not come in step when there is jitter; before it, what holds all answers back.
local function take_time(option)
  while state.option.held do ngx.sleep(LOOK_S) end
  local ms = option.latency_ms
  if option.jitter_ms > 0 then ms = ms + option.jitter_ms * (2 * math.random() - 1) end
  if ms > 0 then ngx.sleep(ms / 1000) end
end

--- The short way of a benchmark (`check` and `journal` off): whatever its body says, a send with the right token is
-- accepted, unseen and not followed by hooks. The body is read but never becomes a Lua string.
-- @treturn boolean false: not such a request, take the long way
local function serve_fast(option)
  local var = ngx.var
  if var.uri ~= config.send_uri or var.http_authorization ~= config.bearer then return false end
  ngx.req.read_body()
  take_time(option)
  sender.accept "10000000000"
  return true
end

--- The API: /<channel>/<method>.
function M.serve()
  local option = state.option
  if not option.check and not option.journal and option.down == "" and serve_fast(option) then return end
  if option.down == "close" then return ngx.exec "@close" end
  local verb, uri = ngx.req.get_method(), ngx.var.uri
  local channel, method = uri:match "^/([%w_-]+)/(%w+)$"
  local body = read_body()
  local ok, sent = pcall(cjson.decode, body)
  if not ok or type(sent) ~= "table" then sent = nil end
  local args = ngx.req.get_uri_args()
  local token, given = token_state(args, sent)
  if sent then sent.token = nil end
  local send = method == "sendTemplate" and verb == "POST"
  local phone = send and sent and templates.recipient(sent) or nil
  local nth = phone and journal.count(phone) or 1
  if option.journal then write_journal(verb, method, phone, body, token) end
  take_time(option)
  if option.down ~= "" then return down(option.down) end
  if not channel then return reply(404, '{"error":"Not found"}') end
  if channel ~= config.channel then return reply(404, '{"error":"Channel \\"' .. channel .. '\\" is not found"}') end
  if token ~= "right" then return refuse_token(given) end
  if send then return sender.send(sent, body, phone, nth, config) end
  local call = calls[verb .. " " .. method]
  if call then return call(args, sent) end
  if calls.methods[method] then return reply(405, '{"error":"Method not allowed"}') end
  reply(404, '{"error":"Unknown method \\"' .. method .. '\\""}')
end

local control = {}

function control.ping() return { pong = true } end

function control.count(args)
  local n = journal.counted(args.phone or "")
  if not n then return { error = "too many phones to count in memory: read the journal" }, 507 end
  return { count = n }
end

function control.journal(args)
  local part = args.phone and '"phone":"' .. args.phone .. '"' or args.part
  return journal.read(part)
end

function control.reset()
  state.reset()
  templates.reset()
  messages.reset()
  hooks.reset()
  journal.reset()
  return state.option
end

--- Options of state.DEFAULTS, and the channel's settings under their own names.
function control.set(args)
  for name, text in pairs(args) do
    text = text == true and "" or text
    if type(state.settings[name]) == "boolean" then
      state.settings[name] = text == "true" or text == "on" or text == "1"
    else
      local ok, why = state.set(name, text)
      if not ok then return { error = why }, 400 end
    end
  end
  return state.option
end

--- WhatsApp says something else of a template: name, language (else all), category, status, quality; hook=on: and posts it.
function control.template(args)
  local list, why = templates.say(args)
  if not list then return { error = why }, 400 end
  if args.hook == "on" then
    for _, body in ipairs(templates.hooks_of(list, config.channel)) do
      hooks.schedule(state.targets(), ngx.now(), cjson.encode(body), state.option.pace_ms / 1000)
    end
  end
  return { templates = list }
end

--- Messages that went out, and what the hook poster did.
function control.stats()
  local stats = hooks.stats()
  stats.messages = messages.made()
  return stats
end

--- A customer writes: from (phone, bsuid, or name@username), text, form (text, button, list, caption).
function control.say(args)
  local from, form = args.from or "", args.form or "text"
  local address = people.address { phone = from } or people.address { bsuid = from } or people.address { chatId = from }
  if not address or not people.FORMS[form] or type(args.text) ~= "string" then
    return { error = "say takes from, text and form: text, button, list or caption" }, 400
  end
  hooks.schedule(state.targets(), ngx.now(), sender.written(address, args.text, form, config.channel),
    state.option.pace_ms / 1000)
  return { urls = #state.targets() }
end

--- Post a text of the caller's to the registered URLs, as 1MSG would.
function control.hook()
  local body = read_body()
  hooks.schedule(state.targets(), ngx.now(), body, state.option.pace_ms / 1000)
  return { urls = #state.targets() }
end

--- The controls: /_fake/<name>, arguments in the query.
function M.control()
  local name = ngx.var.uri:match "^/_fake/(%a+)$"
  local act = control[name]
  if not act then return reply(404, '{"error":"no such control"}') end
  local answer, status = act(ngx.req.get_uri_args())
  reply(status or 200, type(answer) == "string" and answer or cjson.encode(answer))
end

return M
