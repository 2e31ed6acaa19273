--- Servers for faults that nginx can't do; see raw_server.lua (HTTP/1.1, plain) and h2_server.js (HTTP/2, TLS) for the
-- behaviours, talker.js for what one may say out of turn, proxy.js for proxies.
--
--     local raw = require "support.raw"
--     local s = raw.http("close", { answer = 1 })     -- the first request of a connection is answered, then this
--     local s = raw.h2("goaway_older", { answer = 1 })
--     local s = raw.talker("tls")                     -- plain, tls or h2
--     s:say("408")    s:said()    s:hold()    s:release()
--     local p = raw.proxy("http", { host = "::1" })   -- http, socks5, or relay with to = PORT
--     p:mode("407")                                   -- a key of MODES in proxy.js; "tunnel" at first
--     s.url, s.ca_file    s:count(phone)    s:journal()    s:stop()
--
-- A server ends by itself within a second or two after this process.

local cjson = require "cjson"
local mime = require "mime"
local fake_server = require "onemsg.fake.server"
local files = require "support.files"
local server = require "support.server"

local M = {}

local HERE = debug.getinfo(1, "S").source:match "^@(.*)raw%.lua$"

local Raw = {}
Raw.__index = Raw

--- The whole lines of the journal; the server may be writing one more.
local function lines_of(raw)
  return files.content(raw.dir .. "/raw.jsonl"):gmatch "([^\n]*)\n"
end

--- Requests whose body arrived whole, oldest first.
-- @treturn table list of { connection, request, verb, path, phone, body }
function Raw:journal()
  local list = {}
  for line in lines_of(self) do
    local entry = cjson.decode(line)
    if not entry.said then list[#list + 1] = entry end
  end
  return list
end

--- How often a talker has spoken out of turn.
-- @treturn number
function Raw:said()
  local n = 0
  for line in lines_of(self) do
    if line:find('^{"said"') then n = n + 1 end
  end
  return n
end

--- How many whole requests there were, for a phone or in all.
-- @tparam ?string phone
-- @treturn number
function Raw:count(phone)
  local n = 0
  for _, entry in ipairs(self:journal()) do
    if not phone or entry.phone == phone then n = n + 1 end
  end
  return n
end

--- End the server and remove its directory.
function Raw:stop()
  os.execute("kill " .. self.pid .. " 2>/dev/null; rm -rf '" .. self.dir .. "'")
end

--- Whole or not at all: the server reads it at any time.
local function write(path, text)
  local file = assert(io.open(path .. ".new", "w"))
  file:write(text)
  file:close()
  assert(os.rename(path .. ".new", path))
end

local function start(program, behaviour, options, dir)
  local own = fake_server.own_pid()
  local command = ("%s %s --dir '%s' --answer %d --owner %d >'%s/raw.log' 2>&1 & echo $!")
    :format(program, behaviour, dir, options and options.answer or 0, own, dir)
  local pid = files.output(command)
  local function read(name) return files.content(dir .. name) end
  local port = server.eventually(function()
    return tonumber(read "/raw.port") or read "/raw.log" ~= "" and "none"
  end)
  if type(port) ~= "number" then
    local log = read "/raw.log"
    os.execute("rm -rf '" .. dir .. "'")
    error("the raw server did not start: " .. log)
  end
  io.open(dir .. "/raw.jsonl", "a"):close()
  return setmetatable({ dir = dir, pid = pid, port = port }, Raw)
end

--- A plain HTTP/1.1 server.
-- @tparam string behaviour a key of BEHAVIOURS in raw_server.lua
-- @tparam ?table options answer: how many requests of each connection are answered properly first (0)
-- @treturn table
function M.http(behaviour, options)
  local lua = rawget(_G, "jit") and "luajit" or "lua5.4"
  local it = start(lua .. " '" .. HERE .. "raw_server.lua'", behaviour, options, server.directory())
  it.url = ("http://127.0.0.1:%d"):format(it.port)
  return it
end

--- A text that makes the server of raw.http "tell" answer so, wherever in a path or a body it stands.
-- @tparam string status "429 Too Many Requests"
-- @tparam string body
-- @tparam ?string head more lines of the head, each with its line end
-- @treturn string
function M.ask(status, body, head)
  local text = ("HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s")
    :format(status, #body, head or "", body)
  return "say=" .. mime.b64(text):gsub("[\r\n=]", ""):gsub("+", "-"):gsub("/", "_")
end

--- A TLS server that speaks HTTP/2 only. Needs node.
-- @tparam string behaviour a key of behaviours in h2_server.js
-- @tparam ?table options answer
-- @treturn table
function M.h2(behaviour, options)
  local dir = server.directory()
  assert(fake_server.certificates(dir))
  local it = start("node '" .. HERE .. "h2_server.js'", behaviour, options, dir)
  it.url, it.ca_file = ("https://127.0.0.1:%d"):format(it.port), dir .. "/ca.pem"
  return it
end

--- A server that answers, and then says something that nobody asked for. Needs node.
-- @tparam string over "plain", "tls" or "h2"
-- @treturn table with say(kind), a key of KINDS in talker.js ("nothing"), hold() and release()
function M.talker(over)
  local dir = server.directory()
  local secure = over ~= "plain"
  if secure then assert(fake_server.certificates(dir)) end
  write(dir .. "/kind", "nothing")
  local it = start("node '" .. HERE .. "talker.js'", "--over " .. over, nil, dir)
  it.url = ("%s://127.0.0.1:%d"):format(secure and "https" or "http", it.port)
  it.ca_file = secure and dir .. "/ca.pem" or nil
  function it.say(_, kind) write(dir .. "/kind", kind) end
  function it.hold() write(dir .. "/held", "") end
  function it.release() os.remove(dir .. "/held") end
  return it
end

--- A proxy, or a relay to a port of 127.0.0.1. Needs node.
-- @tparam string kind "http", "socks5" or "relay"
-- @tparam ?table options host: the address it listens at (127.0.0.1); to: where a relay leads
-- @treturn table with url and mode(name); journal() has { target, mode } a connection
function M.proxy(kind, options)
  local dir, host = server.directory(), options and options.host or "127.0.0.1"
  write(dir .. "/mode", "tunnel")
  local more = (" --host '%s'"):format(host) .. (options and options.to and (" --to %d"):format(options.to) or "")
  local it = start("node '" .. HERE .. "proxy.js'", kind .. more, nil, dir)
  it.url = ("%s://%s:%d"):format(kind == "relay" and "http" or kind, host:find ":" and "[" .. host .. "]" or host, it.port)
  function it.mode(_, name) write(dir .. "/mode", name) end
  return it
end

return M
