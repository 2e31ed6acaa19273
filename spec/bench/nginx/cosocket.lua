--- The same send over nginx's own sockets: lua-resty-http where the bench found one, else the smallest honest client:
-- a pooled cosocket, one write, the status line, the headers, the body by its length. For nginx_bench.lua only.

-- luacheck: std ngx_lua
local cjson = require "cjson.safe"
local found = package.searchpath("resty.http", package.path) ~= nil
local http = found and require "resty.http"

local M = { name = found and "lua-resty-http" or "cosocket" }

local POOL, IDLE_MS, TIMEOUT_MS = 512, 60000, 20000

local function body_of(o, message)
  return cjson.encode {
    phone = message.phone, template = o.template, namespace = o.namespace,
    language = { policy = "deterministic", code = o.language },
    params = { { type = "body", parameters = {
      { type = "text", text = message.name }, { type = "text", text = message.action },
      { type = "text", text = message.next_step },
    } } },
  }
end

--- With lua-resty-http, as its README does it.
local function by_library(o, body)
  local client = http.new()
  client:set_timeout(TIMEOUT_MS)
  local answer, err = client:request_uri(o.uri, { method = "POST", body = body, headers = o.headers, ssl_verify = false,
    keepalive_timeout = IDLE_MS, keepalive_pool = POOL })
  if not answer then return nil, err end
  return answer.status, answer.body
end

--- Without it.
local function by_hand(o, body)
  local socket = ngx.socket.tcp()
  socket:settimeout(TIMEOUT_MS)
  local ok, err = socket:connect(o.host, o.port, { pool_size = POOL })
  if ok and o.scheme == "https" and socket:getreusedtimes() == 0 then
    ok, err = socket:sslhandshake(nil, o.host, false)
  end
  if not ok then return nil, err end
  ok, err = socket:send { o.head, #body, "\r\n\r\n", body }
  if not ok then return nil, err end
  local line
  line, err = socket:receive "*l"
  if not line then return nil, err end
  local status, length = tonumber(line:match "^HTTP/1%.1 (%d+)"), nil
  repeat
    line, err = socket:receive "*l"
    if not line then return nil, err end
    length = length or line:match "^[Cc]ontent%-[Ll]ength: (%d+)"
  until line == ""
  local text
  text, err = socket:receive(tonumber(length))
  if not text then return nil, err end
  socket:setkeepalive(IDLE_MS, POOL)
  return status, text
end

--- What both need of a channel's options.
function M.prepare(options)
  local scheme, host, port = options.base_url:match "^(https?)://([^:]+):(%d+)$"
  local path = "/" .. options.channel .. "/sendTemplate"
  local o = { scheme = scheme, host = host, port = tonumber(port), path = path, template = options.template,
              namespace = options.namespace, language = options.language }
  o.headers = { ["Content-Type"] = "application/json", Authorization = "Bearer " .. options.token, Host = host }
  o.uri = options.base_url .. path
  o.head = ("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\n"
    .. "Content-Length: "):format(path, host, options.token)
  return o
end

--- One send. true when it was accepted; nil, why.
function M.send(o, message)
  local status, text = (found and by_library or by_hand)(o, body_of(o, message))
  if not status then return nil, text end
  local answer = cjson.decode(text)
  if status == 200 and answer and answer.sent == true and answer.id then return answer.id end
  return nil, text
end

return M
