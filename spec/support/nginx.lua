--- What specs use to run onemsg inside a real nginx. Driven from outside by plain Lua 5.4 and luasocket.
--
--     local nginx = require "support.nginx"
--     local server = nginx.start { fake = fake, locations = [[ location = /send { content_by_lua_block { … } } ]] }
--     server:get "/send"                    body, status
--     local burst = server:burst(list of paths)   requests on connections of their own, all under way
--     burst:collect([seconds])              list of { status =, body =, at = } in the order of the paths; nil: cut off
--     server:signal "HUP"; server.master; server:workers(); server:stop(); server:quit()
--     server:complaints()                   what stands in the error log at [error] and above
--
-- Handlers find the globals onemsg (module) and channel, made in init_by_lua, and text(phone): a message.

local socket = require "socket"
local places = require "onemsg.base.nginx"
local files = require "support.files"
local sys = require "support.sys"
local support = require "support.server"

local M = {}
local Server = {}
Server.__index = Server
local read, output = files.content, files.output

local Burst = {}
Burst.__index = Burst

local PORT_LOW, PORT_HIGH = 32001, 32700
local ANSWER_S = 60

local CONF = [[
load_module $modules/ndk_http_module.so;
load_module $modules/ngx_http_lua_module.so;
$user
daemon $daemon;
worker_processes $workers;
pid $dir/nginx.pid;
error_log $dir/error.log $level;
$main
events { worker_connections 4096; }
http {
  access_log off;
  default_type text/plain;
  client_body_temp_path $dir/tmp;
  proxy_temp_path $dir/tmp;
  fastcgi_temp_path $dir/tmp;
  uwsgi_temp_path $dir/tmp;
  scgi_temp_path $dir/tmp;
  lua_package_path "$root/lua/?.lua;$dir/?.lua;;";
  lua_package_cpath "$root/$build/luajit/?.so;;";
  lua_code_cache $cache;
  $http
  init_by_lua_block {
    OPTIONS = { $options }
    function text(phone)
      return { phone = phone, name = "Maria", action = "subscription payment", next_step = "Access activated." }
    end
    $before
    onemsg = require "onemsg"
    channel = assert(onemsg.new(OPTIONS))
    $init
  }
  server {
    listen 127.0.0.1:$port backlog=4096;
    $server
    location = /ping { content_by_lua_block { ngx.say "pong" } }
    location = /pid { content_by_lua_block { ngx.print(ngx.worker.pid()) } }
    $locations
  }
}
]]

local serial = 0

--- How many descriptors a process has open besides its connections to a port: those come and go by themselves, as many as
-- were needed at once.
function M.descriptors(pid, port)
  local sockets, count = {}, 0
  for inode in output(("awk '$3 ~ /:%04X$/ { print $10 }' /proc/%d/net/tcp"):format(port, pid)):gmatch "%d+" do
    sockets[inode] = true
  end
  for name in output(("ls -l /proc/%d/fd | sed -n 's/.* -> //p'"):format(pid)):gmatch "[^\n]+" do
    if not sockets[name:match "^socket:%[(%d+)%]$" or ""] then count = count + 1 end
  end
  return count
end

--- Phones that nobody used before, in this process, in turn with all the plain endings.
function M.phones(count)
  local list = {}
  for i = 1, count do
    serial = serial + 1
    list[i] = ("1202%05d%02d"):format(serial, serial % 20)
  end
  return list
end

--- A path for each phone: "/send?phone=…".
function M.paths(list, location)
  local out = {}
  for i, phone in ipairs(list) do out[i] = (location or "/send") .. "?phone=" .. phone end
  return out
end

local function modules_directory()
  return assert(places.modules(), "nginx's Lua module is missing: apt-get install libnginx-mod-http-lua")
end

--- The lines of a configuration by which Debian's nginx has Lua.
function M.load_modules()
  local dir = modules_directory()
  return ("load_module %s/ndk_http_module.so;\nload_module %s/ngx_http_lua_module.so;\n"):format(dir, dir)
end

--- Whether a process is there and not a zombie.
function M.alive(pid)
  local state = read("/proc/" .. pid .. "/stat"):match "%) (%a)"
  return state ~= nil and state ~= "Z" and state ~= "X"
end

math.randomseed(sys.getpid() + os.time()) -- else every LuaJIT tries the same ports

--- A port that was free a moment ago, below those that the kernel gives away by itself.
function M.free_port()
  for _ = 1, 100 do
    local port = math.random(PORT_LOW, PORT_HIGH)
    local probe = socket.tcp()
    probe:setoption("reuseaddr", true)
    local free = probe:bind("127.0.0.1", port)
    probe:close()
    if free then return port end
  end
  error "no free port"
end

local function options_text(fake, more)
  local options = {
    base_url = fake.env.FAKE_HTTP_URL, token = fake.env.ONE_MSG_TOKEN, template = fake.env.ONE_MSG_TEMPLATE,
    namespace = fake.env.ONE_MSG_TEMPLATE_NAMESPACE, language = "en", max_connections = 256,
    timeout = 60, connect_timeout = 60,
  }
  for name, value in pairs(more or {}) do options[name] = value end
  local parts = {}
  for name, value in pairs(options) do parts[#parts + 1] = ("%s = %q"):format(name, value) end
  return table.concat(parts, ", ")
end

local TAKEN = "taken"

--- Writes the configuration and starts it: true when its workers are there, TAKEN when somebody was faster at the port.
local function launch(self, values, o)
  local dir = self.dir
  local conf = assert(io.open(dir .. "/nginx.conf", "wb"))
  local text = CONF
  for _ = 1, 2 do -- what was filled in may name $dir and $port itself
    text = text:gsub("%$(%l+)%f[^%w_]", function(name) return values[name] and tostring(values[name]) end)
  end
  conf:write(text)
  conf:close()
  local binary = output "command -v nginx || echo /usr/sbin/nginx"
  self.master = tonumber(output(("%s %s -c %s/nginx.conf -e %s/error.log >%s/start.log 2>&1 & echo $!")
    :format(o.environment or "", binary, dir, dir, dir)))
  return support.eventually(function()
    local pid = tonumber(read(dir .. "/nginx.pid"):match "%d+")
    if pid then
      self.master = pid
      return #self:workers() == (o.workers or 1)
    elseif read(dir .. "/start.log"):find("still could not bind", 1, true) then
      assert(io.open(dir .. "/error.log", "w")):close()
      return TAKEN
    end
  end)
end

--- Start an nginx of our own, and return when its workers are there.
-- @tparam table o fake; and, all optional: daemon (true), workers (1), cache ("on"), level ("info"), user (the one we
--   are), options (of the channel, beside the fake's), before and init (Lua in init_by_lua, before and after the
--   require), main, http, server, locations (configuration), files { name = content } in the configuration's directory,
--   prepare (a function of that directory), environment ("NAME=value …")
function M.start(o)
  local dir = support.directory()
  local self = setmetatable({ dir = dir }, Server)
  assert(os.execute("chmod 755 " .. dir .. " && mkdir -p " .. dir .. "/tmp && touch " .. dir .. "/error.log"))
  for name, content in pairs(o.files or {}) do
    local file = assert(io.open(dir .. "/" .. name, "wb"))
    file:write(content)
    file:close()
  end
  if o.prepare then o.prepare(dir) end
  self.daemon = o.daemon ~= false
  local values = {
    dir = dir, port = self.port, modules = modules_directory(), root = output "pwd", build = os.getenv "B" or "build",
    daemon = self.daemon and "on" or "off", workers = o.workers or 1, level = o.level or "info",
    cache = o.cache or "on", options = options_text(o.fake, o.options),
    user = output "id -u" == "0" and "user " .. (o.user or "root") .. ";" or "",
    main = o.main or "", http = o.http or "", server = o.server or "", locations = o.locations or "",
    before = o.before or "", init = o.init or "",
  }
  repeat
    self.port = M.free_port()
    values.port = self.port
    local up = launch(self, values, o)
    assert(up, read(dir .. "/start.log") .. read(dir .. "/error.log"))
  until up ~= TAKEN
  return self
end

--- The pids of the workers that run, those of an older configuration that still work included.
function Server:workers()
  local list = {}
  for pid in read(("/proc/%d/task/%d/children"):format(self.master, self.master)):gmatch "%d+" do
    if M.alive(pid) then list[#list + 1] = tonumber(pid) end
  end
  return list
end

function Server:signal(name, pid)
  assert(sys.kill(pid or self.master, sys[name]))
end

--- Reload, and wait until the new workers serve. Returns the pids of the old ones.
function Server:reload()
  local old = self:workers()
  local was = {}
  for _, pid in ipairs(old) do was[pid] = true end
  self:signal "HUP"
  assert(support.eventually(function()
    local new = 0
    for _, pid in ipairs(self:workers()) do new = new + (was[pid] and 0 or 1) end
    return new >= 1
  end), "no new worker after HUP")
  return old
end

--- Wait until processes are gone: true, or nil when they stay.
function M.gone(pids)
  return support.eventually(function()
    for _, pid in ipairs(pids) do
      if M.alive(pid) then return false end
    end
    return true
  end)
end

--- QUIT, or another signal, and the end of the last process: true, or nil when one stays.
function Server:quit(name)
  local all = self:workers()
  all[#all + 1] = self.master
  self:signal(name or "QUIT")
  return M.gone(all)
end

--- Stop it, surely, and remove its directory.
function Server:stop()
  local all = self:workers()
  all[#all + 1] = self.master
  if M.alive(self.master) then self:signal "TERM" end
  if not M.gone(all) then
    for _, pid in ipairs(all) do os.execute(("kill -KILL %d 2>/dev/null"):format(pid)) end
    M.gone(all)
  end
  os.execute("rm -rf " .. self.dir)
end

function Server:log()
  return read(self.dir .. "/error.log")
end

--- Lines at [error] and above, less those with a text that the spec expects.
function Server:complaints(expected)
  local lines = {}
  for line in self:log():gmatch "[^\n]+" do
    -- a port that somebody else had for a moment: nginx tries again by itself, and has it, or it would not have started
    local had = line:find("bind() to .* failed %(98: Address already in use%)")
    if not had and (line:find("[error]", 1, true) or line:find("[crit]", 1, true) or line:find("[alert]", 1, true)
        or line:find("[emerg]", 1, true)) and not (expected and line:find(expected, 1, true)) then
      lines[#lines + 1] = line
    end
  end
  return table.concat(lines, "\n")
end

local function connect(self, path)
  local client = assert(socket.connect("127.0.0.1", self.port))
  assert(client:send(("GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"):format(path)))
  return client
end

local function parse(answer)
  local status, rest = answer:match "^HTTP/1%.1 (%d+)[^\n]*\n(.*)$"
  local head, body = (rest or ""):match "^(.-)\r\n\r\n(.*)$"
  if not head then return nil end
  if head:lower():find("transfer-encoding: chunked", 1, true) then
    if not body:find "\r?\n?0\r\n\r\n$" then return nil end
    local whole = {}
    local at = 1
    while true do
      local size, from = body:match("^(%x+)\r\n()", at)
      size = tonumber(size, 16)
      if not size or size == 0 then break end
      whole[#whole + 1] = body:sub(from, from + size - 1)
      at = from + size + 2
    end
    body = table.concat(whole)
  end
  return { status = tonumber(status), body = body }
end

--- One request.
function Server:get(path)
  local answers = self:burst { path }:collect()
  assert(answers[1], "no answer for " .. path)
  return answers[1].body, answers[1].status
end

--- Begin requests, each on its own connection.
function Server:burst(paths)
  local clients = {}
  for i, path in ipairs(paths) do
    clients[i] = connect(self, path)
    clients[i]:settimeout(0)
  end
  return setmetatable({ clients = clients }, Burst)
end

--- Hang up on all.
function Burst:abort()
  for _, client in ipairs(self.clients) do client:close() end
end

--- Wait for all answers.
-- @treturn table by index { status =, body =, at = sys.now() }; absent: the connection ended without a whole answer
function Burst:collect()
  local until_, answers, texts, index, open = sys.now() + ANSWER_S, {}, {}, {}, {}
  for i, client in ipairs(self.clients) do
    texts[i], index[client], open[#open + 1] = {}, i, client
  end
  while #open > 0 and sys.now() < until_ do
    local ready = socket.select(open, nil, 0.2)
    for _, client in ipairs(ready) do
      local i = index[client]
      local data, err, part = client:receive(65536)
      table.insert(texts[i], data or part)
      if err and err ~= "timeout" then
        answers[i] = parse(table.concat(texts[i]))
        if answers[i] then answers[i].at = sys.now() end
        client:close()
        for k, c in ipairs(open) do
          if c == client then table.remove(open, k) break end
        end
      end
    end
  end
  for _, client in ipairs(open) do client:close() end
  return answers
end

return M
