--- What a send costs: onemsg beside bare libcurl loops, Lua-cURL and Node, in alternating rounds against the fake
-- 1MSG. Verified: a client that misses one acceptance ends the run.
--
--     lua5.4 spec/bench/send_bench.lua [--rounds N] [--only WORD] [--scale X]
--
-- WORD: the scenarios whose title contains it; X: that many times as many messages. LUACURL_CPATH ("/dir/?.so"): also
-- Lua-cURLv3 built for Lua 5.4. The fake runs on CPU 0 and every client on CPU 1 (BENCH_PIN=off: wherever they like):
-- a client's threads then share one core, as they would beside an application, and rates compare like CPU time does.
-- Every client warms up its connections first, but for the cold bursts, and measures itself from the first message to
-- the last answer; "us" is user and system time of the whole process per message. Columns are medians over the rounds;
-- a ratio is the median of the rounds' ratios, ours to theirs.

-- luacheck: std lua54
package.path = "lua/?.lua;spec/?.lua;" .. package.path
package.cpath = "build/5.4/?.so;" .. package.cpath

local fake_server = require "onemsg.fake.server"
local server = require "support.server"

local LATENCY_MS = 20
local JITTER_MS = 5 -- without it all answers come in step and all clients idle and burn together, as no API lets them

local options = { rounds = 3, only = "", scale = 1 }
do
  local i = 1
  while arg[i] do
    local name = arg[i]:match "^%-%-(%w+)$"
    if not (name and options[name] and arg[i + 1]) then
      io.stderr:write "usage: send_bench.lua [--rounds N] [--only WORD] [--scale X]\n"
      os.exit(1)
    end
    options[name] = tonumber(arg[i + 1]) or arg[i + 1]
    i = i + 2
  end
end

local function output(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

local pin = os.getenv "BENCH_PIN" ~= "off" and tonumber(output "nproc") >= 2
if pin then os.execute("taskset -cp 0 " .. fake_server.own_pid() .. " >/dev/null") end

-- How each is started, and what share of a scenario's messages it gets so that its runs last about as long.
local LUA54 = "LUA_PATH='lua/?.lua;spec/?.lua;;' LUA_CPATH='build/5.4/?.so;;' lua5.4 spec/bench/send/"
local lua_curl = os.getenv "LUACURL_CPATH"
local clients = {
  ours = { run = LUA54 .. "ours.lua", share = 1 },
  ours_luajit = { share = 1, run = "LUA_PATH='lua/?.lua;spec/?.lua;;' LUA_CPATH='build/luajit/?.so;;' luajit "
    .. "spec/bench/send/ours.lua" },
  multi_poll = { run = "build/bench/multi_poll", share = 1 },
  multi_socket = { run = "build/bench/multi_socket", share = 1 },
  lua_curl = lua_curl and { share = 1,
    run = LUA54:gsub("LUA_CPATH='", function(at) return at .. lua_curl .. ";" end) .. "lua_curl.lua" },
  node_agent = { run = "node spec/bench/send/node.js agent", share = 0.5 },
  node_fetch = { run = "node spec/bench/send/node.js fetch", share = 0.125 },
  ours_http1 = { run = LUA54 .. "ours.lua", share = 1, http = "1.1" },
}
local ALL = { "ours", "ours_luajit", "multi_poll", "multi_socket", "lua_curl", "node_agent", "node_fetch" }

local scenarios = {
  { title = "plain, 0 ms API, 64 in flight", url = "FAKE_HTTP_URL", http = "1.1", window = 64, count = 38400,
    who = ALL, targets = { { "multi_poll", "rate", ">=", 0.8 }, { "lua_curl", "rate", ">=", 1.15 },
                           { "node_fetch", "rate", ">=", 15 } } },
  { title = "plain, 20 ms API, 256 in flight", url = "FAKE_HTTP_URL", http = "1.1", window = 256, count = 20480,
    latency = LATENCY_MS, who = ALL, targets = { { "ideal", "rate", ">=", 0.93 }, { "lua_curl", "cpu", "<=", 0.65 },
                                                 { "node_fetch", "cpu", "<=", 0.13 } } },
  { title = "TLS, HTTP/1.1, 20 ms API, 256 in flight", url = "FAKE_HTTPS_URL", http = "1.1", window = 256,
    count = 20480, latency = LATENCY_MS, who = { "ours", "multi_poll", "lua_curl", "node_agent", "node_fetch" },
    targets = { { "ideal", "rate", ">=", 0.93 }, { "lua_curl", "cpu", "<=", 0.65 },
                { "node_fetch", "cpu", "<=", 0.13 } } },
  { title = "TLS, what is negotiated (HTTP/2), 20 ms API, 256 in flight", url = "FAKE_H2_URL", http = "auto",
    window = 256, count = 20480, latency = LATENCY_MS, who = { "ours", "multi_poll", "lua_curl" },
    targets = { { "ideal", "rate", ">=", 0.93 }, { "lua_curl", "cpu", "<=", 0.65 } } },
  { title = "plain, 0 ms API, one at a time", url = "FAKE_HTTP_URL", http = "1.1", window = 1, count = 8000,
    who = ALL, targets = { { "lua_curl", "rate", ">=", 0.9 }, { "node_fetch", "rate", ">=", 5 } } },
  { title = "cold burst of 64, TLS, 0 ms API", url = "FAKE_H2_URL", http = "auto", window = 64, count = 64,
    cold = true, rounds = 9, who = { "ours", "ours_http1" }, targets = { { "ours_http1", "rate", ">=", 1.8 } } },
  { title = "cold burst of 64, TLS, 20 ms API", url = "FAKE_H2_URL", http = "auto", window = 64, count = 64,
    cold = true, rounds = 9, latency = LATENCY_MS, who = { "ours", "ours_http1" } },
}

local fake = server.fake { journal = false, set = { check = "off" } }

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

--- One run of one client. Returns messages a second and microseconds of CPU per message.
local function run(scenario, name, env)
  local client = clients[name]
  local count = scenario.count
  if not scenario.cold then -- whole windows, so that the ideal has no tail
    count = math.ceil(count * client.share * options.scale / scenario.window) * scenario.window
  end
  local all = {
    BENCH_WINDOW = scenario.window, BENCH_COUNT = count,
    BENCH_WARM = scenario.cold and 0 or math.max(scenario.window * 2, 64),
    BENCH_HTTP = client.http or scenario.http, ONE_MSG_BASE_URL = env[scenario.url],
    NODE_EXTRA_CA_CERTS = env.ONE_MSG_CA_FILE,
  }
  for _, key in ipairs { "CA_FILE", "TOKEN", "INSTANCE_ID", "TEMPLATE", "TEMPLATE_NAMESPACE", "TEMPLATE_LANGUAGE" } do
    all["ONE_MSG_" .. key] = env["ONE_MSG_" .. key]
  end
  local words = {}
  for key, value in pairs(all) do words[#words + 1] = key .. "=" .. quote(tostring(value)) end
  local line = output(table.concat(words, " ") .. " " .. client.run)
  local accepted, seconds, cpu = line:match "accepted=(%d+) seconds=([%d.]+) cpu=([%d.]+)"
  if tonumber(accepted) ~= count then
    error(("%s: %s of %d messages were accepted (%s)"):format(name, accepted or "none", count, scenario.title), 0)
  end
  return count / tonumber(seconds), tonumber(cpu) / count * 1e6
end

local function median(list)
  local sorted = { table.unpack(list) }
  table.sort(sorted)
  local middle = #sorted // 2
  return #sorted % 2 == 1 and sorted[middle + 1] or (sorted[middle] + sorted[middle + 1]) / 2
end

local function ratio(ours, theirs)
  local list = {}
  for i = 1, #ours do list[i] = ours[i] / theirs[i] end
  return median(list)
end

local function judge(target, rates, cpus)
  local name, kind, relation, bound = table.unpack(target)
  local theirs = (kind == "rate" and rates or cpus)[name]
  if not theirs then
    print(("  target: %-4s %s %.2f x %-12s not measured: it is not there"):format(kind, relation, bound, name))
    return
  end
  local value = ratio((kind == "rate" and rates or cpus).ours, theirs)
  local met = relation == ">=" and value >= bound or relation == "<=" and value <= bound
  print(("  target: %-4s %s %.2f x %-12s %.3f  %s"):format(kind, relation, bound, name, value,
    met and "ok" or "MISSED"))
end

local function measure(scenario)
  local rates, cpus, who = {}, {}, {}
  fake:set { latency_ms = scenario.latency or 0, jitter_ms = scenario.latency and JITTER_MS or 0 }
  for _, name in ipairs(scenario.who) do
    if clients[name] then
      who[#who + 1] = name
      rates[name], cpus[name] = {}, {}
    end
  end
  local rounds = scenario.rounds or options.rounds
  for round = 1, rounds do
    for _, name in ipairs(who) do rates[name][round], cpus[name][round] = run(scenario, name, fake.env) end
  end
  print(("\n%s (%d rounds)"):format(scenario.title, rounds))
  print(("  %-14s %9s %9s %9s %8s %12s %11s"):format("client", "msg/s", "min", "max", "us/msg", "ours/it rate",
    "ours/it us"))
  for _, name in ipairs(who) do
    print(("  %-14s %9.0f %9.0f %9.0f %8.1f %12.3f %11.3f"):format(name, median(rates[name]),
      math.min(table.unpack(rates[name])), math.max(table.unpack(rates[name])), median(cpus[name]),
      ratio(rates.ours, rates[name]), ratio(cpus.ours, cpus[name])))
  end
  if scenario.latency and not scenario.cold then
    local ideal = scenario.window / (scenario.latency / 1000)
    print(("  %-14s %9.0f   in flight / latency"):format("ideal", ideal))
    rates.ideal = {}
    for round = 1, rounds do rates.ideal[round] = ideal end
  end
  for _, target in ipairs(scenario.targets or {}) do judge(target, rates, cpus) end
  io.stdout:flush()
end

--- How many connections a cold burst opens over HTTP/2: by the journal of a fake that keeps one.
local function connections(burst)
  local keeper = server.fake {}
  local scenario = { title = "burst", url = "FAKE_H2_URL", http = "auto", window = burst, count = burst, cold = true }
  local ok, err = pcall(run, scenario, "ours", keeper.env)
  local seen, opened, requests = {}, 0, 0
  for _, entry in ipairs(keeper:journal()) do
    requests = requests + 1
    if not seen[entry.connection] then
      seen[entry.connection], opened = true, opened + 1
    end
  end
  keeper:stop()
  assert(ok, err)
  assert(requests == burst, ("%d requests for %d messages"):format(requests, burst))
  print(("\ncold burst of %d, TLS with HTTP/2: %d connections opened\n  target: connections <= 4 %s"):format(burst,
    opened, opened <= 4 and "ok" or "MISSED"))
end

local function main()
  print(("send_bench: %d rounds; %s; %s"):format(options.rounds,
    pin and "the API on CPU 0, clients on CPU 1" or "not pinned",
    lua_curl and "Lua-cURL from LUACURL_CPATH" or "no Lua-cURL (LUACURL_CPATH is not set)"))
  for _, scenario in ipairs(scenarios) do
    if scenario.title:find(options.only, 1, true) then measure(scenario) end
  end
  if ("cold burst of 256"):find(options.only, 1, true) then connections(256) end
end

if pin then
  for _, client in pairs(clients) do
    client.run = "taskset -c 1 env " .. client.run
  end
end
local ok, err = xpcall(main, debug.traceback)
fake:stop()
if not ok then
  io.stderr:write("send_bench: ", err, "\n")
  os.exit(1)
end
