--- What a send costs inside nginx: onemsg beside cosockets and a blocking call, one worker, in alternating rounds
-- against the fake 1MSG. Verified: an answer that is no acceptance is a 500, and one of them ends the run.
--
--     lua5.4 spec/bench/nginx_bench.lua [--rounds N] [--seconds S] [--only WORD] [--memory SENDS]
--
-- RESTY_HTTP ("/dir/?.lua"): lua-resty-http; without it the cosocket client of nginx/cosocket.lua. WORD: the cells
-- whose title contains it. --memory: instead, so many sends through one worker, and what it weighs on the way.
--
-- wrk asks one nginx worker over so many kept-alive connections; each request is one send. Meanwhile a pinger asks for
-- /ping 100 times a second, whether or not the last one was answered: a ping's latency counts from the moment at which
-- it was due. "loop" is CPU time of the worker's main thread, "all" that of all its threads
-- (/proc/PID/task/*/schedstat), in microseconds per send; both hold the request itself, too ("nothing": a constant
-- answer instead of a send).
-- Columns are medians over the rounds; a ratio is the median of the rounds' ratios.

-- luacheck: std lua54
package.path = "lua/?.lua;spec/?.lua;" .. package.path
package.cpath = "build/5.4/?.so;" .. package.cpath

local socket = require "socket"
local files = require "support.files"
local nginx = require "support.nginx"
local support = require "support.server"
local sys = require "support.sys"

local PING_EVERY_S = 0.01
local WARM_S = 0.5

local options = { rounds = 3, seconds = 3, only = "", memory = 0 }
do
  local i = 1
  while arg[i] do
    local name = arg[i]:match "^%-%-(%w+)$"
    if not (name and options[name] and arg[i + 1]) then
      io.stderr:write "usage: nginx_bench.lua [--rounds N] [--seconds S] [--only WORD] [--memory SENDS]\n"
      os.exit(1)
    end
    options[name] = tonumber(arg[i + 1]) or arg[i + 1]
    i = i + 2
  end
end

local LOCATIONS = [[
  location = /nothing { content_by_lua_block { ngx.req.get_uri_args() ngx.print "x" } }
  location = /ours {
    content_by_lua_block {
      if channel:send(text "12020720100") then ngx.print "x" else ngx.exit(500) end
    }
  }
  location = /cosocket {
    content_by_lua_block {
      if COSOCKET.send(TARGET, text "12020720100") then ngx.print "x" else ngx.exit(500) end
    }
  }
]]

--- The same module in an nginx in which it does not notice nginx: every send blocks the worker.
local BLIND = "thread, ngx.thread = ngx.thread, nil"
local SEES = "ngx.thread = thread COSOCKET = require 'cosocket' TARGET = COSOCKET.prepare(OPTIONS)"

local fake = support.fake { journal = false, set = { check = "off" } }

local function launch(blind)
  local resty_http = os.getenv "RESTY_HTTP"
  return nginx.start {
    fake = fake, level = "warn", options = { max_connections = 512, channel = fake.env.ONE_MSG_INSTANCE_ID },
    http = "lua_socket_log_errors off;", locations = LOCATIONS,
    before = ("package.path = '$root/spec/bench/nginx/?.lua;%s' .. package.path %s")
      :format(resty_http and resty_http .. ";" or "", blind and BLIND or "thread = ngx.thread"),
    init = SEES,
  }
end

--- Nanoseconds of CPU: of the main thread, of all threads.
local function cpu(worker)
  local main, all = 0, 0
  for task in io.popen("ls /proc/" .. worker .. "/task"):lines() do
    local ns = tonumber(files.content(("/proc/%d/task/%s/schedstat"):format(worker, task)):match "^%d+") or 0
    all = all + ns
    if tonumber(task) == worker then main = ns end
  end
  return main, all
end

--- Asks for /ping at fixed moments until `done` says so. Sorted latencies in ms.
local function ping_until(server, ending)
  local client = assert(socket.connect("127.0.0.1", server.port))
  client:setoption("tcp-nodelay", true)
  client:settimeout(30)
  local due, latencies = sys.now(), {}
  while due < ending do
    local ahead = due - sys.now()
    if ahead > 0 then sys.sleep(ahead) end
    assert(client:send "GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
    local length
    repeat
      local line = assert(client:receive "*l")
      length = length or tonumber(line:match "^Content%-Length: (%d+)")
      local chunked = line:match "^Transfer%-Encoding: chunked"
      if chunked then length = -1 end
    until line == ""
    if length == -1 then
      repeat until assert(client:receive "*l") == "0"
      client:receive "*l"
    else
      client:receive(length)
    end
    latencies[#latencies + 1] = (sys.now() - due) * 1000
    due = due + PING_EVERY_S
  end
  client:close()
  table.sort(latencies)
  return latencies
end

local function at(sorted, share) return sorted[math.max(1, math.ceil(#sorted * share))] end

local UNITS = { us = 0.001, ms = 1, s = 1000, m = 60000 }
local function ms(text)
  local number, unit = (text or ""):match "^([%d.]+)(%a+)$"
  assert(number and UNITS[unit], ("not a time: %q %q"):format(text or "nil", unit or "nil"))
  return tonumber(number) * UNITS[unit]
end

--- A worker that blocks still works on what wrk has left behind.
local function settle(server)
  local quick = 0
  while quick < 5 do
    local from = sys.now()
    server:get "/ping"
    quick = sys.now() - from < 0.01 and quick + 1 or 0
  end
end

--- One run of one way. A table of numbers.
local function run(server, path, clients, ping)
  local worker = server:workers()[1]
  local wrk = "wrk -t1 -c%d -d%gs --latency --timeout 60s http://127.0.0.1:%d/%s 2>&1"
  io.popen(wrk:format(clients, WARM_S, server.port, path)):read "*a"
  settle(server)
  local main, all = cpu(worker)
  local pipe = io.popen(wrk:format(clients, options.seconds, server.port, path))
  local pings = ping and ping_until(server, sys.now() + options.seconds)
  local said = pipe:read "*a"
  pipe:close()
  local main_after, all_after = cpu(worker)
  if said:find("Non-2xx", 1, true) or said:find("Socket errors", 1, true) then
    error(("%s with %d clients: %s\n%s"):format(path, clients, said, server:log():sub(-2000)), 0)
  end
  local count = tonumber(said:match "(%d+) requests in")
  assert(count > 0, said)
  return {
    rate = tonumber(said:match "Requests/sec:%s+([%d.]+)"), p50 = ms(said:match "\n%s+50%%%s+(%S+)"),
    p99 = ms(said:match "\n%s+99%%%s+(%S+)"), loop = (main_after - main) / 1000 / count,
    all = (all_after - all) / 1000 / count,
    ping50 = pings and at(pings, 0.5), ping99 = pings and at(pings, 0.99), pingmax = pings and pings[#pings],
  }
end

local function median(list)
  local sorted = { table.unpack(list) }
  table.sort(sorted)
  local middle = #sorted // 2
  return #sorted % 2 == 1 and sorted[middle + 1] or (sorted[middle] + sorted[middle + 1]) / 2
end

local function column(runs, field)
  local list = {}
  for i, result in ipairs(runs) do list[i] = result[field] end
  return list
end

local function ratio(ours, theirs, field)
  local list = {}
  for i = 1, #ours do list[i] = ours[i][field] / theirs[i][field] end
  return median(list)
end

local function judge(text, value, relation, bound)
  local met = relation == ">=" and value >= bound or relation == "<=" and value <= bound
  print(("  target: %-46s %s %.2f: %.3f  %s"):format(text, relation, bound, value, met and "ok" or "MISSED"))
end

local WAYS = { { "ours", "/ours" }, { "cosocket", "/cosocket" }, { "blocking", "/ours" }, { "nothing", "/nothing" } }

local function cell(servers, name, latency, clients)
  local title = ("%d ms API, %d client%s"):format(latency, clients, clients == 1 and "" or "s")
  if not title:find(options.only, 1, true) then return end
  fake:set { latency_ms = latency }
  local results = {}
  for round = 1, options.rounds do
    for _, way in ipairs(WAYS) do
      results[way[1]] = results[way[1]] or {}
      results[way[1]][round] = run(servers[way[1]] or servers.ours, way[2]:sub(2), clients, true)
    end
  end
  print(("\n%s (%d rounds of %g s)"):format(title, options.rounds, options.seconds))
  print "  way               req/s       min       max   p50 ms   p99 ms  loop us   all us  ping p50    p99     max"
  for _, way in ipairs(WAYS) do
    local runs = results[way[1]]
    local m = {}
    for field in pairs(runs[1]) do m[field] = median(column(runs, field)) end
    print(("  %-14s %8.0f  %8.0f  %8.0f %8.2f %8.2f %8.1f %8.1f  %8.2f %6.2f %7.2f"):format(
      way[1] == "cosocket" and name or way[1], m.rate, math.min(table.unpack(column(runs, "rate"))),
      math.max(table.unpack(column(runs, "rate"))), m.p50, m.p99, m.loop, m.all, m.ping50, m.ping99, m.pingmax))
  end
  print(("  ours/%s: rate %.3f, loop CPU %.3f, all CPU %.3f, ping p99 %.3f; ours/blocking: rate %.1f"):format(name,
    ratio(results.ours, results.cosocket, "rate"), ratio(results.ours, results.cosocket, "loop"),
    ratio(results.ours, results.cosocket, "all"), ratio(results.ours, results.cosocket, "ping99"),
    ratio(results.ours, results.blocking, "rate")))
  if latency == 20 and clients == 256 then
    judge("requests/s, ours to " .. name, ratio(results.ours, results.cosocket, "rate"), ">=", 0.95)
    judge("event-loop CPU, ours to " .. name, ratio(results.ours, results.cosocket, "loop"), "<=", 0.5)
    judge("p99 of an unrelated location, ours to " .. name, ratio(results.ours, results.cosocket, "ping99"), "<=", 1)
  end
  return results, title
end

--- The API alone, asked by wrk with the very body.
local function api_alone(latency)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(([[
    wrk.method, wrk.path = "POST", "/%s/sendTemplate"
    wrk.body = '{"phone":"12020720100","template":"action_success"}'
    wrk.headers["Authorization"] = "Bearer %s"
  ]]):format(fake.env.ONE_MSG_INSTANCE_ID, fake.env.ONE_MSG_TOKEN))
  file:close()
  fake:set { latency_ms = latency }
  local said = io.popen(("wrk -t1 -c1 -d%gs --latency -s %s %s"):format(options.seconds, path, fake.env.FAKE_HTTP_URL))
    :read "*a"
  os.remove(path)
  return ms(said:match "\n%s+50%%%s+(%S+)")
end

local function rss_mb(pid) return (tonumber(files.content("/proc/" .. pid .. "/status"):match "VmRSS:%s+(%d+)") or 0) / 1024 end

--- So many sends through one worker; resident memory after each tenth.
local function memory(sends)
  local server = launch(false)
  local worker = server:workers()[1]
  fake:set { latency_ms = 0 }
  print(("%d sends, 64 clients, 0 ms API, one worker\n     sends  RSS MiB  descriptors  threads"):format(sends))
  local done, first, last = 0, nil, nil
  for tenth = 1, 10 do
    while done < sends * tenth / 10 do
      local said = io.popen(("wrk -t1 -c64 -d%gs http://127.0.0.1:%d/ours 2>&1"):format(options.seconds, server.port))
        :read "*a"
      assert(not said:find "Non%-2xx" and not said:find "Socket errors", said)
      done = done + tonumber(said:match "(%d+) requests in")
    end
    last = rss_mb(worker)
    first = first or last
    print(("  %8d  %7.1f  %11d  %7d"):format(done, last, sys.fds(worker), sys.threads(worker)))
  end
  judge("memory after all sends, to that after a tenth", last / first, "<=", 1.1)
  local complaints = server:complaints()
  server:stop()
  assert(complaints == "", complaints)
end

local function main()
  if options.memory > 0 then return memory(options.memory) end
  local servers = { ours = launch(false), blocking = launch(true) }
  local name = os.getenv "RESTY_HTTP" and "lua-resty-http" or "cosocket"
  print(("nginx_bench: one worker, %d rounds of %g s, %s"):format(options.rounds, options.seconds,
    name == "cosocket" and "a cosocket client of our own (RESTY_HTTP is not set)" or name))
  local ok, err = xpcall(function()
    for _, latency in ipairs { 20, 0 } do
      for _, clients in ipairs { 1, 64, 256, 512 } do
        local results = cell(servers, name, latency, clients)
        if results and clients == 1 then
          local alone = api_alone(latency)
          print(("  the API alone: p50 %.2f ms"):format(alone))
          judge("added to the median, ms", median(column(results.ours, "p50")) - alone, "<=", 0.5)
        end
        io.stdout:flush()
      end
    end
  end, debug.traceback)
  for _, server in pairs(servers) do server:stop() end
  assert(ok, err)
end

local ok, err = xpcall(main, function(why) return type(why) == "string" and why or debug.traceback(why) end)
fake:stop()
if not ok then
  io.stderr:write("nginx_bench: ", tostring(err), "\n")
  os.exit(1)
end
