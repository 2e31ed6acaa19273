--- A raw socket server for faults below what nginx can do: one process, one behaviour, many connections.
--
--     lua raw_server.lua BEHAVIOUR --dir DIR [--answer N] [--owner PID]
--
-- The first N (0) requests of every connection are answered properly; the next meets the behaviour. DIR/raw.port holds
-- the port once it listens, DIR/raw.jsonl one JSON line for every request whose body arrived whole.
-- It ends when the process OWNER is gone. luasocket only; started by raw.lua.

local mime = require "mime"
local socket = require "socket"
local cjson = require "cjson"

local MAX_REQUEST = 4 * 1024 * 1024

local options = { behaviour = arg[1], answer = 0 }
for i = 2, #arg, 2 do
  local name = arg[i]:match "^%-%-(%a+)$"
  options[name] = tonumber(arg[i + 1]) or arg[i + 1]
end
local journal = assert(io.open(options.dir .. "/raw.jsonl", "a"))
journal:setvbuf("full", MAX_REQUEST * 2)   -- flushed a line at a time: one write(2) each

-- Connections are coroutines; they yield "read", "write" or a number of seconds.

local Connection = {}
Connection.__index = Connection

--- Bytes into the buffer; false at the end of the stream.
function Connection:fill()
  coroutine.yield "read"
  local data, why, part = self.socket:receive(65536)
  data = data or part
  self.buffer = self.buffer .. data
  return #data > 0 or why == "timeout"
end

function Connection:send(text)
  local from = 1
  while from <= #text do
    coroutine.yield "write"
    local last, why, part = self.socket:send(text, from)
    if not last and why ~= "timeout" then return false end
    from = (last or part) + 1
  end
  return true
end

function Connection:close() self.socket:close() end

--- Close so that the other side gets a reset.
function Connection:reset()
  self.socket:setoption("linger", { on = true, timeout = 0 })
  self.socket:close()
end

--- Until the client leaves.
function Connection:hold()
  repeat until not self:fill() or #self.buffer > MAX_REQUEST
end

--- The head of the next request, its body's length; nil at the end of the stream.
function Connection:read_head()
  local head
  repeat
    head = self.buffer:match "^(.-\r\n\r\n)"
    if not head and not self:fill() then return nil end
  until head
  self.buffer = self.buffer:sub(#head + 1)
  local lower = head:lower()
  if lower:find "\r\nexpect: 100%-continue\r\n" then self:send "HTTP/1.1 100 Continue\r\n\r\n" end
  return head, tonumber(lower:match "\r\ncontent%-length: *(%d+)") or 0
end

--- A number of body bytes.
function Connection:read_body(length)
  while #self.buffer < length do
    if not self:fill() then return nil end
  end
  local body = self.buffer:sub(1, length)
  self.buffer = self.buffer:sub(length + 1)
  return body
end

function Connection:note(head, body)
  self.requests = self.requests + 1
  local ok, sent = pcall(cjson.decode, body)
  local line = cjson.encode { connection = self.serial, request = self.requests, body = body,
    path = head:match "^%u+ (%S+)", verb = head:match "^%u+",
    phone = ok and type(sent) == "table" and sent.phone or nil }
  journal:write(line, "\n")
  journal:flush()
end

local function whole(connection)
  local head, length = connection:read_head()
  if not head then return nil end
  local body = connection:read_body(length)
  if not body then return nil end
  connection:note(head, body)
  return { path = head:match "^%u+ (%S+)", body = body }
end

local BODY = '{"sent":true,"id":"wamid.UkFX","message":"Sent","description":"Message has been sent to the provider"}'

local function answer(body, extra, length)
  return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " .. (length or #body) .. "\r\n"
    .. (extra or "") .. "\r\n" .. body
end

local function pieces(connection, text, seconds)
  for i = 1, #text do
    if not connection:send(text:sub(i, i)) then return false end
    if seconds then coroutine.yield(seconds) end
  end
  return true
end

--- Read the whole request, then do something; false when the client left.
local function after_whole(act)
  return function(connection)
    if whole(connection) then act(connection) end
  end
end

--- Read the whole request, send a text, close.
local function says(text)
  return after_whole(function(connection)
    connection:send(text)
    connection:close()
  end)
end

--- Read the whole request, send a text, keep the connection.
local function says_and_stays(text)
  return after_whole(function(connection)
    connection:send(text)
    connection:hold()
  end)
end

--- Read the head and a part of the body, then act.
local function after_part(part, act)
  return function(connection)
    local head, length = connection:read_head()
    if head and connection:read_body(math.floor(length * part)) then act(connection) end
  end
end

--- Answers what each request asks for (raw.ask), on the connection it came on.
local function tell(connection)
  repeat
    local request = whole(connection)
    if not request then return end
    local asked = (request.path .. " " .. request.body):gsub("%%(%x%x)", function(hex)
      return string.char(tonumber(hex, 16))
    end):match "say=([%w_-]*)" or ""
    connection:send((mime.unb64((asked:gsub("-", "+"):gsub("_", "/")) .. ("="):rep(-#asked % 4))))
  until false
end

--- Read the whole request, send a beginning, then the same text for as long as the client takes it.
local function endless(beginning, text)
  return after_whole(function(connection)
    if not connection:send(beginning) then return end
    repeat until not connection:send(text)
  end)
end

local CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

--- What can be asked for.
local BEHAVIOURS = {
  tell            = tell,
  forbids         = says_and_stays "HTTP/1.1 403 Forbidden\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n",
  endless_line    = endless("HTTP/1.1 200 OK\r\nX: ", ("x"):rep(65536)),
  endless_lines   = endless("HTTP/1.1 200 OK\r\n", ("X: y\r\n"):rep(4096)),
  endless_100     = endless("", ("HTTP/1.1 100 Continue\r\nX: y\r\n\r\n"):rep(500)),
  endless_chunk   = endless(CHUNKED .. "1;", ("x"):rep(65536)),
  endless_trailer = endless(CHUNKED .. "0\r\n", ("T: " .. ("y"):rep(60) .. "\r\n"):rep(1000)),
  accept          = after_whole(function(c) c:send(answer(BODY)) end),
  close           = after_whole(Connection.close),
  reset           = after_whole(Connection.reset),
  hang            = after_whole(Connection.hold),
  head_close      = after_part(0, Connection.close),
  head_reset      = after_part(0, Connection.reset),
  half_close      = after_part(0.5, Connection.close),
  half_reset      = after_part(0.5, Connection.reset),
  never_reads     = function() coroutine.yield(3600) end,
  half_status     = says "HTTP/1.1 20",
  half_head       = says "HTTP/1.1 200 OK\r\nContent-Ty",
  half_body       = says(answer(BODY:sub(1, 20), nil, #BODY)),
  bytewise        = after_whole(function(c) pieces(c, answer(BODY)) end),
  trickle         = after_whole(function(c) pieces(c, answer(BODY), 0.5) end),
  long_length     = says(answer(BODY, nil, #BODY + 50)),
  short_length    = says_and_stays(answer(BODY, nil, #BODY - 10)),
  bad_length      = says(answer(BODY, nil, "12abc")),
  negative_length = says(answer(BODY, nil, "-5")),
  no_length       = says("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" .. BODY),
  bad_chunk       = says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" .. BODY .. "\r\n0\r\n\r\n"),
  cut_chunk       = says(("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n"):format(#BODY, BODY)),
  chunked         = says_and_stays(("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n")
                      :format(#BODY, BODY)),
  continue_first  = after_whole(function(c) c:send("HTTP/1.1 100 Continue\r\n\r\n" .. answer(BODY)) end),
  continue_only   = says(("HTTP/1.1 100 Continue\r\n\r\n"):rep(50)),
  two_answers     = after_whole(function(c) c:send(answer(BODY) .. answer '{"sent":false,"message":"second"}') end),
  garbage         = says(("\0\1\2 not HTTP \255\254"):rep(20)),
  endless_head    = after_whole(function(c)
                      local line = "X-Padding: " .. ("x"):rep(8000) .. "\r\n"
                      if not c:send "HTTP/1.1 200 OK\r\n" then return end
                      for _ = 1, 2000 do if not c:send(line) then return end end
                    end),
  endless_body    = after_whole(function(c)
                      local block = ("x"):rep(65536)
                      if not c:send(answer('{"sent":true,"id":"', nil, 1e12)) then return end
                      for _ = 1, 2000 do if not c:send(block) then return end end
                    end),
  early_413       = after_part(0, function(c)
                      c:send "HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                      c:close()
                    end),
  answers_closes  = says(answer(BODY)),   -- without saying that it will: the next request must not meet a dead one
  never_accepts   = false,                -- the queue of the listener is full: connects hang
}

local behaviour = BEHAVIOURS[options.behaviour]
if behaviour == nil then error("no behaviour " .. tostring(options.behaviour)) end

local serial = 0
local function serve(connection)
  for _ = 1, options.answer do
    if not whole(connection) or not connection:send(answer(BODY)) then return connection:close() end
  end
  behaviour(connection)
  if options.behaviour == "accept" or options.behaviour == "two_answers" or options.behaviour == "bytewise"
     or options.behaviour == "continue_first" then
    repeat until not whole(connection) or not connection:send(answer(BODY))
  end
  connection:close()
end

local function owner_gone()
  local file = io.open("/proc/" .. options.owner .. "/stat")
  if not file then return true end
  local state = file:read("*a"):match "%) (%a)"
  file:close()
  return state == "Z" or state == "X"
end

local listener = assert(socket.bind("127.0.0.1", 0, behaviour and 1024 or 0))
local _, port = listener:getsockname()
local fill = {}
if not behaviour then
  for i = 1, 4 do
    fill[i] = socket.tcp()
    fill[i]:settimeout(0)
    fill[i]:connect("127.0.0.1", port)
  end
end
local announced = assert(io.open(options.dir .. "/raw.port", "w"))
announced:write(port, "\n")
announced:close()

local waiting = {}   -- coroutine to { socket =, wants =, due = }
listener:settimeout(0)

local function resume(thread)
  local entry = waiting[thread]
  local ok, wants = coroutine.resume(thread, entry.connection)
  if not ok then io.stderr:write(debug.traceback(thread, wants), "\n") end
  if coroutine.status(thread) == "dead" then
    entry.connection.socket:close()
    waiting[thread] = nil
  else
    entry.wants = wants
    entry.due = type(wants) == "number" and socket.gettime() + wants or nil
  end
end

while not (options.owner and owner_gone()) do
  local readers, writers, threads, now = { behaviour and listener or nil }, {}, {}, socket.gettime()
  local pause = 1
  for thread, entry in pairs(waiting) do
    if entry.due then pause = math.max(math.min(pause, entry.due - now), 0)
    else
      local list = entry.wants == "read" and readers or writers
      list[#list + 1] = entry.connection.socket
    end
    threads[entry.connection.socket] = thread
  end
  local readable, writable = socket.select(readers, writers, pause)
  for _, list in ipairs { readable, writable } do
    for _, ready in ipairs(list) do
      if ready == listener then
        local client = listener:accept()
        if client then
          client:settimeout(0)
          client:setoption("tcp-nodelay", true)
          serial = serial + 1
          local thread = coroutine.create(serve)
          waiting[thread] = { connection = setmetatable({ socket = client, buffer = "", serial = serial, requests = 0 },
                                                        Connection) }
          resume(thread)
        end
      elseif waiting[threads[ready]] then resume(threads[ready]) end
    end
  end
  now = socket.gettime()
  local due = {}
  for thread, entry in pairs(waiting) do
    if entry.due and entry.due <= now then due[#due + 1] = thread end
  end
  for _, thread in ipairs(due) do resume(thread) end
end
