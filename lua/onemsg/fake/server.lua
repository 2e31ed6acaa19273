--- Starts and stops the fake 1MSG (fake.lua) in an nginx of its own. Plain Lua 5.4 or LuaJIT, POSIX shell, openssl.
--
--     lua5.4 lua/onemsg/fake/server.lua start --dir DIR [--http PORT] [--https PORT] [--h2 PORT]
--                                         [--latency MS] [--no-journal] [--owner PID] [--set name=value]
--     lua5.4 lua/onemsg/fake/server.lua stop --dir DIR
--     lua5.4 lua/onemsg/fake/server.lua table            # the magic numbers as Markdown
--
-- Everything it writes is in DIR: nginx.conf, ca.pem (a CA made once, whose key is thrown away), server.pem,
-- error.log, journal.jsonl, and fake.env, which a shell can source and which `start` returns as a table.

local SOURCE = debug.getinfo(1, "S").source
local HERE = SOURCE:match "^@(.*)server%.lua$"
local SCRIPT = arg and SOURCE == "@" .. tostring(arg[0])
if SCRIPT then package.path = HERE .. "../../?.lua;" .. package.path end

local places = require "onemsg.base.nginx"
local conf = require "onemsg.fake.conf"
local NAMESPACE = require "onemsg.fake.templates".NAMESPACE

local M = {}

--- The channel and its token: a JWT in form, whose payload carries instanceId as 1MSG's do. Signed by nobody.
M.CHANNEL = "FAK100200300"
M.TOKEN = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."                          -- {"alg":"HS256","typ":"JWT"}
  -- {"instanceId":"FAK100200300","token":"made-up-for-the-fake"}
  .. "eyJpbnN0YW5jZUlkIjoiRkFLMTAwMjAwMzAwIiwidG9rZW4iOiJtYWRlLXVwLWZvci10aGUtZmFrZSJ9"
  .. ".bm90LWEtc2lnbmF0dXJlLWp1c3QtYS1mYWtl"

local PORT_LOW, PORT_HIGH = 20000, 32000   -- under Linux's own range for outgoing connections
local START_TRIES = 5
local WAIT_TRIES = 250                     -- of 20 ms, for its end
local UP_TRIES = 3000                      -- for its beginning: on a slow machine that takes its time

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

--- Run a shell command. true when it ended with 0.
local function run(command)
  local ok, _, code = os.execute(command)
  return ok == 0 or ok == true and (code or 0) == 0
end

local function output(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "*a"
  pipe:close()
  return (text:gsub("%s+$", ""))
end

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "*a"
  file:close()
  return text
end

local function write(path, text)
  local file, why = io.open(path, "wb")
  if not file then return nil, why end
  file:write(text)
  return file:close()
end

--- Ports on which something listens, by Linux's own list; elsewhere nginx finds out.
local function taken_ports()
  local taken = {}
  for _, path in ipairs { "/proc/net/tcp", "/proc/net/tcp6" } do
    for port in (read(path) or ""):gmatch ":(%x%x%x%x) %x+:%x%x%x%x 0A" do taken[tonumber(port, 16)] = true end
  end
  return taken
end

local function seed()
  local source = io.open("/dev/urandom", "rb")
  local a, b, c = (source and source:read(3) or "abc"):byte(1, 3)
  if source then source:close() end
  return a * 65536 + b * 256 + c + os.time()
end

--- The ports that the fake of this directory had before: who has sourced its fake.env goes on finding it.
local function former_ports(dir)
  local text, ports = read(dir .. "/fake.env") or "", {}
  for name, variable in pairs { http = "HTTP", https = "HTTPS", h2 = "H2" } do
    ports[name] = tonumber(text:match("FAKE_" .. variable .. "_URL='[^']*:(%d+)'"))
  end
  return ports
end

--- Three free ports, those that the caller fixed included; nil and why not.
-- @tparam ?table former taken where they are free
local function choose_ports(options, former)
  local taken, ports, state = taken_ports(), {}, seed()
  for _, name in ipairs { "http", "https", "h2" } do
    ports[name] = options[name]
    if ports[name] and taken[ports[name]] then return nil, ("port %d is taken"):format(ports[name]) end
    local before = former and former[name]
    if not ports[name] and before and not taken[before] then ports[name], taken[before] = before, true end
    while not ports[name] do
      state = (state * 16807) % 2147483647
      local port = PORT_LOW + state % (PORT_HIGH - PORT_LOW)
      if not taken[port] then ports[name], taken[port] = port, true end
    end
  end
  return ports
end

local CERTIFICATES = [[
set -e; umask 077; cd %s
test -s ca.pem && test -s server.pem && test -s server.key && exit 0
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.new -days 3650 \
  -subj "/CN=onemsg fake CA" -addext keyUsage=critical,keyCertSign
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key -out server.csr \
  -subj "/CN=localhost"
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n' > ext.cnf
openssl x509 -req -in server.csr -CA ca.new -CAkey ca.key -set_serial 1 -days 3650 -extfile ext.cnf -out server.pem
rm -f ca.key server.csr ext.cnf; mv ca.new ca.pem
]]

local function alive(pid)
  local state = pid and (read("/proc/" .. pid .. "/stat") or ""):match "%) (%a)"
  if state then return state ~= "Z" and state ~= "X" end   -- dead, but not yet collected by its parent
  return pid and run("kill -0 " .. pid .. " 2>/dev/null")
end

--- The pid in a file of ours, if that process is still the one.
local function pid_of(dir, file)
  local pid = (read(dir .. "/" .. file) or ""):match "^(%d+)"
  if not alive(pid) then return nil end
  local command = read("/proc/" .. pid .. "/cmdline")
  if command and not command:find("nginx", 1, true) then return nil end
  return pid
end

local function wait_until(test, tries)
  for _ = 1, tries or WAIT_TRIES do
    local value = test()
    if value then return value end
    run "sleep 0.02"
  end
end

--- The pid of this Lua process; nil where there is no /proc.
-- @treturn ?number
function M.own_pid()
  return tonumber((read "/proc/self/stat" or ""):match "^(%d+)")
end

--- Stop the fake of a directory, surely: asked first, killed after five seconds.
-- @tparam table options dir
-- @treturn boolean true, also when none ran
function M.stop(options)
  local dir = options.dir
  local master, worker = pid_of(dir, "nginx.pid"), pid_of(dir, "worker.pid")
  if master then run("kill -TERM " .. master) end
  local function gone() return not alive(master) and not alive(worker) end
  if not wait_until(gone) then
    for _, pid in ipairs { master or "", worker or "" } do run("kill -KILL " .. pid .. " 2>/dev/null") end
    wait_until(gone)
  end
  os.remove(dir .. "/nginx.pid")
  os.remove(dir .. "/worker.pid")
  return true
end

--- Make ca.pem, server.pem and server.key (for localhost and 127.0.0.1) unless they are there.
-- @tparam string dir
-- @treturn ?boolean true
-- @treturn ?string why not
function M.certificates(dir)
  local log = quote(dir .. "/openssl.log")
  if run(("(%s) >%s 2>&1"):format(CERTIFICATES:format(quote(dir)), log)) then return true end
  return nil, "openssl could not make the certificate: see " .. dir .. "/openssl.log"
end

local function environment(dir, ports)
  local base = "https://127.0.0.1:" .. ports.https
  return {
    ONE_MSG_BASE_URL = base, ONE_MSG_CA_FILE = dir .. "/ca.pem",
    ONE_MSG_TOKEN = M.TOKEN, ONE_MSG_INSTANCE_ID = M.CHANNEL,
    ONE_MSG_TEMPLATE = "action_success", ONE_MSG_TEMPLATE_NAMESPACE = NAMESPACE, ONE_MSG_TEMPLATE_LANGUAGE = "en",
    FAKE_HTTP_URL = "http://127.0.0.1:" .. ports.http, FAKE_HTTPS_URL = base,
    FAKE_H2_URL = "https://127.0.0.1:" .. ports.h2,
    FAKE_JOURNAL = dir .. "/journal.jsonl", FAKE_DIR = dir,
  }
end

local function launch(dir, ports, options, modules)
  local settings = { dir = dir, token = M.TOKEN, channel = M.CHANNEL }
  local text = "return {\n"
  for name, value in pairs(settings) do text = text .. ("  %s = %q,\n"):format(name, value) end
  text = text .. ("  owner = %d,\n  options = {\n"):format(options.owner or 0)
  for name, value in pairs(options.set or {}) do text = text .. ("    %s = %q,\n"):format(name, tostring(value)) end
  assert(write(dir .. "/settings.lua", text .. "  },\n}\n"))
  assert(write(dir .. "/nginx.conf", conf.text {
    dir = dir, lua = output("cd " .. quote(HERE .. "../..") .. " && pwd"), modules = modules,
    user = output "id -u" == "0" and "user root;" or "", settings = ("%q"):format(dir .. "/settings.lua"),
    http = ports.http, https = ports.https, h2 = ports.h2,
    connections = math.min(16384, tonumber(output "ulimit -Hn") or 16384),
  }))
  local nginx = run "command -v nginx >/dev/null 2>&1" and "nginx" or "/usr/sbin/nginx"
  -- the paths of another Lua (`luarocks path`) would hide what nginx's own needs
  return run(("cd %s && ulimit -n \"$(ulimit -Hn)\"; unset LUA_PATH LUA_CPATH; "
    .. "%s -c \"$PWD/nginx.conf\" -e \"$PWD/error.log\" 2>start.log")
    :format(quote(dir), nginx))
end

--- Start a fake, and return when it answers.
-- @tparam table options
--   dir      directory, made if absent
--   http, https, h2  ports; chosen when absent
--   latency  milliseconds before every answer (0)
--   journal  false: none is written
--   owner    pid of a process after whose end the fake ends too
--   set      further options of fake/state.lua
-- @treturn ?table what is in fake.env: ONE_MSG_BASE_URL, ONE_MSG_CA_FILE, ONE_MSG_TOKEN, ONE_MSG_INSTANCE_ID,
--   ONE_MSG_TEMPLATE, ONE_MSG_TEMPLATE_NAMESPACE, ONE_MSG_TEMPLATE_LANGUAGE, FAKE_HTTP_URL, FAKE_HTTPS_URL,
--   FAKE_H2_URL, FAKE_JOURNAL, FAKE_DIR
-- @treturn ?string why not
function M.start(options)
  if not run("umask 077; mkdir -p " .. quote(options.dir .. "/tmp")) then
    return nil, "cannot make the directory " .. options.dir
  end
  local dir = output("cd " .. quote(options.dir) .. " && pwd")
  if dir:find '["$\\\n]' then return nil, "the directory's name has a quote, a backslash or a $: " .. dir end
  local modules = places.modules()
  if not modules then return nil, "nginx's Lua module is missing: apt-get install libnginx-mod-http-lua" end
  M.stop { dir = dir }
  local certified, why = M.certificates(dir)
  if not certified then return nil, why end
  options.set = options.set or {}
  options.set.latency_ms = options.latency or options.set.latency_ms
  if options.journal == false then options.set.journal = "off" end
  write(dir .. "/journal.jsonl", "")
  for n = 1, START_TRIES do
    local ports, taken = choose_ports(options, n == 1 and former_ports(dir) or nil)
    if not ports then return nil, taken end
    if launch(dir, ports, options, modules) then
      if not wait_until(function() return pid_of(dir, "nginx.pid") and pid_of(dir, "worker.pid") end, UP_TRIES) then break end
      local env, lines = environment(dir, ports), {}
      for name, value in pairs(env) do lines[#lines + 1] = "export " .. name .. "=" .. quote(value) .. "\n" end
      table.sort(lines)
      assert(write(dir .. "/fake.env", table.concat(lines)))
      return env
    end
    if not (read(dir .. "/start.log") or ""):find("Address already in use", 1, true) then break end
  end
  M.stop { dir = dir }
  local said = (read(dir .. "/start.log") or ""):match "%S[^\n]*"
  return nil, "nginx did not start: " .. (said or "see " .. dir .. "/error.log")
end

local USAGE = "usage: fake/server.lua start --dir DIR [--http PORT] [--https PORT] [--h2 PORT] [--latency MS] "
  .. "[--no-journal] [--owner PID] [--set name=value]\n       fake/server.lua stop --dir DIR\n"
  .. "       fake/server.lua table\n"

local function usage(why)
  io.stderr:write(why, "\n", USAGE)
  return 1
end

--- The command.
-- @tparam table args
-- @treturn number exit code
function M.main(args)
  local verb, options = args[1], { set = {} }
  if verb == "table" then
    io.stdout:write(require "onemsg.fake.numbers".markdown())
    return 0
  end
  if verb ~= "start" and verb ~= "stop" then return usage "start, stop or table?" end
  local i = 2
  while args[i] do
    local name, value = args[i]:match "^%-%-([%w-]+)$", args[i + 1]
    if name == "no-journal" then
      options.journal = false
      i = i + 1
    else
      if not name or not value then return usage("what is " .. args[i] .. "?") end
      if name == "dir" then options.dir = value
      elseif name == "set" then
        local key, text = value:match "^([%w_]+)=(.*)$"
        if not key then return usage "--set takes name=value" end
        options.set[key] = text
      elseif name == "http" or name == "https" or name == "h2" or name == "latency" or name == "owner" then
        options[name] = tonumber(value)
        if not options[name] then return usage("--" .. name .. " takes a number") end
      else return usage("what is " .. args[i] .. "?") end
      i = i + 2
    end
  end
  if not options.dir then return usage "--dir is missing" end
  if verb == "stop" then return M.stop(options) and 0 or 1 end
  local env, why = M.start(options)
  if not env then
    io.stderr:write(why, "\n")
    return 1
  end
  io.stdout:write(read(env.FAKE_DIR .. "/fake.env"), "# to point onemsg at it: . ", env.FAKE_DIR, "/fake.env\n")
  return 0
end

if SCRIPT then os.exit(M.main(arg)) end

return M
