--- A receiver of hooks inside the spec's own process: it accepts only while `take` runs, so a spec decides when and
-- with which status a hook is answered.

local socket = require "socket"

local M = {}

local Receiver = {}
Receiver.__index = Receiver

--- Listen on a port that the kernel chooses.
-- @treturn table with url
function M.new()
  local listener = assert(socket.bind("127.0.0.1", 0, 1024))
  local _, port = listener:getsockname()
  return setmetatable({ listener = listener, url = "http://127.0.0.1:" .. port .. "/hooks" }, Receiver)
end

local function receive(client)
  client:settimeout(60)
  local line = client:receive "*l"
  if not line then return nil end
  local post = { verb = line:match "^%u+", path = line:match "^%u+ (%S+)", headers = {}, at = socket.gettime() }
  repeat
    line = client:receive "*l"
    local name, value = (line or ""):match "^([^:]+):%s*(.-)%s*$"
    if name then post.headers[name:lower()] = value end
  until not line or line == ""
  post.body = client:receive(tonumber(post.headers["content-length"]) or 0)
  return post.body and post
end

--- Take posts, each answered at once.
-- @tparam number count at most so many
-- @tparam ?number seconds at most so long (60)
-- @tparam ?number status of the answers (200)
-- @treturn table list of { verb, path, headers, body, at }
function Receiver:take(count, seconds, status)
  local posts, ending = {}, socket.gettime() + (seconds or 60)
  while #posts < count do
    self.listener:settimeout(math.max(ending - socket.gettime(), 0))
    local client = self.listener:accept()
    if not client then break end
    posts[#posts + 1] = receive(client)
    client:send(("HTTP/1.1 %d Answer\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"):format(status or 200))
    client:close()
  end
  return posts
end

--- Stop listening.
function Receiver:close() self.listener:close() end

return M
