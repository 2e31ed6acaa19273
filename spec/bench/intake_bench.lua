--- What the endpoints take in: signed events with a durable 202, hooks with a durable 200, one nginx worker, beside the
-- same nginx that reads the same bodies and answers a constant; and what an unrelated location waits meanwhile.
--
--     lua5.4 spec/bench/intake_bench.lua [--rounds N] [--seconds S] [--clients N]
--
-- Alternating rounds; medians, min and max; a ratio is the median of the rounds' ratios. Verified: no answer but 2xx, every
-- event and status that was acknowledged is in the store. wrk sends requests that were made (and signed) beforehand,
-- each once. A pinger asks 100 times a second for a constant; its latency counts from the moment it was due.
-- luacheck: std lua54
package.path = "lua/?.lua;spec/?.lua;" .. package.path
package.cpath = "build/5.4/?.so;" .. package.cpath

local cjson = require "cjson"
local onemsg = require "onemsg"
local core = require "onemsg.core"
local onemsg_sql = require "onemsg.sql"
local service = require "support.service"
local socket = require "socket"
local support = require "support.server"
local sys = require "support.sys"

local PING_EVERY_S = 0.01
local EVENTS_A_S, HOOKS_A_S, BATCH = 16000, 16000, 50 -- requests made beforehand for each second of a run
local SEED_A_S = 1500 -- accepted messages of which hooks tell, three times each, for each second of a run

local options = { rounds = 3, seconds = 3, clients = 64 }
for i = 1, #arg, 2 do
  local name = arg[i]:match "^%-%-(%w+)$"
  if not (name and options[name] and tonumber(arg[i + 1])) then
    io.stderr:write "usage: intake_bench.lua [--rounds N] [--seconds S] [--clients N]\n"
    os.exit(1)
  end
  options[name] = tonumber(arg[i + 1])
end

-- Each wrk thread of its own would repeat the requests: one thread, which takes them from a file.
local WRK = [[
local requests, at = {}, 0
local file = assert(io.open(%q, "rb"))
while true do
  local length = file:read "*l"
  if not length then break end
  requests[#requests + 1] = file:read(tonumber(length))
end
file:close()
function request() at = at + 1 return requests[at] or requests[#requests] end
function done(summary) io.write("COUNT ", summary.requests, "\n") end
]]

local function hex(bytes) return (bytes:gsub(".", function(char) return ("%02x"):format(char:byte()) end)) end

-- How five senders sign the same events; each has an endpoint of its own.
local SECRET = "made-up-secret-of-a-sender"
local SENDERS = {
  { "stripe", function(body)
    local now = ("%d"):format(os.time())
    return { ["stripe-signature"] = ("t=%s,v1=%s"):format(now, hex(onemsg.hmac(SECRET, now .. "." .. body))) }
  end },
  { "shopify", function(body, n)
    return { ["x-shopify-topic"] = "orders/paid", ["x-shopify-event-id"] = "event-" .. n,
      ["x-shopify-hmac-sha256"] = core.base64(onemsg.hmac(SECRET, body)) }
  end },
  { "woocommerce", function(body)
    return { ["x-wc-webhook-topic"] = "order.updated", ["x-wc-webhook-signature"] = core.base64(onemsg.hmac(SECRET, body)) }
  end },
  { "github", function(body, n)
    return { ["x-github-event"] = "push", ["x-github-delivery"] = "delivery-" .. n,
      ["x-hub-signature-256"] = "sha256=" .. hex(onemsg.hmac(SECRET, body)) }
  end },
  { "standard", function(body, n) return service.sign(body, "msg_" .. n) end },
}
local sender_secrets, sender_locations = {}, {}
for n, sender in ipairs(SENDERS) do
  sender_secrets[n] = ("%s = %q"):format(sender[1], sender[1] == "standard" and service.SECRET or SECRET)
  sender_locations[n] = ('location = /events/%s { content_by_lua_block { require("resty.onemsg").serve_events { from = %q } } }')
    :format(sender[1], sender[1])
end

local fake = support.fake { journal = false, set = { check = "off" } }
local here = service.start { fake = fake, dict = true,
  init = "rate = 1e6, burst = 1e6, gap = 0.001, window = 256, sender_secrets = { "
    .. table.concat(sender_secrets, ", ") .. " },",
  locations = [[
    location = /constant { content_by_lua_block {
      ngx.req.read_body() ngx.req.get_body_data() ngx.status = 202
      ngx.header.content_length = 2 ngx.print "ok"
    } }
    location = /pong { return 200 "pong\n"; }
  ]] .. table.concat(sender_locations, "\n") }

local function raw(path, body, headers)
  local head = { ("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d"):format(path, #body) }
  for name, value in pairs(headers or {}) do head[#head + 1] = name .. ": " .. value end
  return table.concat(head, "\r\n") .. "\r\n\r\n" .. body
end

--- Writes requests and the wrk script for them.
local function write(name, requests)
  local path = here.nginx.dir .. "/" .. name
  local file = assert(io.open(path, "wb"))
  for _, request in ipairs(requests) do file:write(#request, "\n", request) end
  file:close()
  local script = assert(io.open(path .. ".lua", "w"))
  script:write(WRK:format(path))
  script:close()
  return path .. ".lua"
end

local number = 0
local function event()
  number = number + 1
  local name = ("Maria Anna Elisabeth von Habsburg"):sub(1, math.random(3, 30))
  return { id = ("pay_%x"):format(math.random(1, 2 ^ 50)) .. number, type = "nothing", amount = math.random(1, 100000),
           created = 1795000000 + number, plan = { kind = "subscription" },
           customer = { first_name = name, email = ("%x@example.com"):format(math.random(1, 2 ^ 40)),
                        phone = ("1202%07d"):format(math.random(2000000, 9999999)) } }
end

local function events(count, batch)
  local list = {}
  for i = 1, count do
    local body = event()
    if batch then
      body = { body }
      for n = 2, batch do body[n] = event() end
    end
    body = cjson.encode(body)
    list[i] = { body, service.sign(body, "msg_" .. i) }
  end
  return function(path)
    local requests = {}
    for i, one in ipairs(list) do requests[i] = raw(path, one[1], one[2]) end
    return requests
  end
end

local function events_of_senders(count)
  local list = {}
  for i = 1, count do
    local name, sign = table.unpack(SENDERS[i % #SENDERS + 1])
    local body = event()
    body.livemode, body.status, body.date_modified = true, "processing", body.id
    body = cjson.encode(body)
    list[i] = { name, body, sign(body, number) }
  end
  return function(path)
    local requests = {}
    for i, one in ipairs(list) do
      requests[i] = raw(path == "/constant" and path or path .. one[1], one[2], one[3])
    end
    return requests
  end
end

local function ping_until(ending)
  local client = assert(socket.connect("127.0.0.1", here.nginx.port))
  client:setoption("tcp-nodelay", true)
  client:settimeout(30)
  local due, latencies = sys.now(), {}
  while due < ending do
    local ahead = due - sys.now()
    if ahead > 0 then sys.sleep(ahead) end
    assert(client:send "GET /pong HTTP/1.1\r\nHost: localhost\r\n\r\n")
    repeat until assert(client:receive "*l") == "pong"
    latencies[#latencies + 1] = (sys.now() - due) * 1000
    due = due + PING_EVERY_S
  end
  client:close()
  table.sort(latencies)
  return latencies
end

local function at(sorted, share) return sorted[math.max(1, math.ceil(#sorted * share))] end

local function run(script, each)
  local pipe = assert(io.popen(("wrk -t1 -c%d -d%gs --latency --timeout 30s -s %s http://127.0.0.1:%d/ 2>&1"):format(
    options.clients, options.seconds, script, here.nginx.port)))
  local pings = ping_until(sys.now() + options.seconds)
  local said = pipe:read "*a"
  pipe:close()
  if said:find("Non-2xx", 1, true) or said:find("Socket errors", 1, true) then error(said .. here.nginx:complaints(), 0) end
  local count = tonumber(said:match "COUNT (%d+)")
  local seconds = tonumber(said:match "requests in ([%d.]+)s")
  return { rate = count * each / seconds, count = count, p50 = said:match "\n%s+50%%%s+(%S+)",
           p99 = said:match "\n%s+99%%%s+(%S+)", ping50 = at(pings, 0.5), ping99 = at(pings, 0.99), pingmax = pings[#pings] }
end

local function sorted(list, field)
  local out = {}
  for i, one in ipairs(list) do out[i] = field and one[field] or one end
  table.sort(out)
  return out
end

local function median(list, field) return at(sorted(list, field), 0.5) end

local function show(name, runs)
  local rates = sorted(runs, "rate")
  local middle = runs[1]
  for _, one in ipairs(runs) do if one.rate == median(runs, "rate") then middle = one end end
  print(("  %-26s %8.0f %8.0f %8.0f  %8s %8s   %6.2f %6.2f %6.1f"):format(name, median(runs, "rate"), rates[1],
    rates[#rates], middle.p50, middle.p99, median(runs, "ping50"), median(runs, "ping99"), median(runs, "pingmax")))
end

local db = assert(onemsg_sql.open(here.store))
local function stored(query) return assert(db:read { { query } })[1][1].n end
local function wal_settles() socket.sleep(0.3) end

--- One way against the constant, in alternating rounds. make() gives fresh requests for a path; count() what is stored. Or
-- beside = { title, path, make }: against another way that stores.
local function compare(title, path, make, each, count, beside)
  local ours, constant, ratios = {}, {}, {}
  for round = 1, options.rounds do
    local requests = make()
    local before = count()
    local mine = run(write("ours", requests(path)), each)
    wal_settles()
    assert(mine.count <= #requests(path), "too few requests were made: raise …_A_S")
    assert(count() - before >= mine.count * each, "acknowledged, and not stored")
    local other = run(write("other", beside and beside[3]()(beside[2]) or requests "/constant"), each)
    wal_settles()
    ours[round], constant[round], ratios[round] = mine, other, mine.rate / other.rate
  end
  show(title, ours)
  show("  " .. (beside and beside[1] or "a constant"), constant)
  print(("  %-26s %8.3f"):format("  ratio", median(ratios)))
end

print(("one worker, %d connections, %d rounds of %g s; store: SQLite, durable\n"):format(options.clients, options.rounds,
  options.seconds))
print "                                  /s      min      max       p50      p99   ping p50    p99    max (ms)"
local EVENTS = "SELECT COUNT(*) AS n FROM confirmation"
compare("events, one a request", "/events", function() return events(EVENTS_A_S * options.seconds) end, 1,
  function() return stored(EVENTS) end)
compare("events, " .. BATCH .. " a request", "/events",
  function() return events(EVENTS_A_S * options.seconds // 10, BATCH) end, BATCH, function() return stored(EVENTS) end)
compare("events of five senders", "/events/", function() return events_of_senders(EVENTS_A_S * options.seconds) end, 1,
  function() return stored(EVENTS) end,
  { "Standard Webhooks", "/events", function() return events(EVENTS_A_S * options.seconds) end })

-- Hooks tell of messages that were accepted.
local ids, next_id, next_foreign = {}, 0, 0
local PER_ROUND = SEED_A_S * options.seconds
do
  local SEED = PER_ROUND * options.rounds
  local list = {}
  for i = 1, SEED do
    list[i] = { id = "seed-" .. i, type = "payment.succeeded", customer = { phone = ("1202%05d00"):format(i) } }
  end
  for from = 1, SEED, 1000 do
    local status, answer = here:event { table.unpack(list, from, math.min(from + 999, SEED)) }
    assert(status == 202, cjson.encode(answer))
  end
  assert(support.eventually(function()
    return stored "SELECT COUNT(*) AS n FROM confirmation WHERE state = 'accepted'" == SEED
  end, 300), "the seed was not sent")
  for i, row in ipairs(assert(db:read { { "SELECT message_id FROM confirmation WHERE state = 'accepted'" } })[1]) do
    ids[i] = row.message_id
  end
end
local STATUSES = { "sent", "delivered", "read" }

--- Hooks, of our messages (all sent, then all delivered, then all read), or of others.
local function hooks(count, foreign)
  local list = {}
  for i = 1, count do
    local id, status = ids[next_id + (i - 1) % PER_ROUND + 1], STATUSES[(i - 1) // PER_ROUND + 1]
    if foreign then
      next_foreign = next_foreign + 1
      id, status = ("wamid.%xA%d"):format(math.random(1, 2 ^ 40), next_foreign), "sent"
    end
    list[i] = cjson.encode { instanceId = fake.env.ONE_MSG_INSTANCE_ID, ack = { { id = id, status = status,
      phone = "12020720100", chatId = "12020720100@c.us", category = "utility" } } }
  end
  if not foreign then next_id = next_id + PER_ROUND end
  return function(path)
    local requests = {}
    for i, body in ipairs(list) do requests[i] = raw(path, body) end
    return requests
  end
end
local STATUS = "SELECT COUNT(*) AS n FROM status"
compare("hooks of our messages", "/hooks/" .. service.HOOK, function() return hooks(3 * PER_ROUND) end, 1,
  function() return stored(STATUS) end)
compare("hooks of unknown messages", "/hooks/" .. service.HOOK, function() return hooks(HOOKS_A_S * options.seconds, true) end,
  1, function() return stored(STATUS) end)
db:close()
here:stop()
fake:stop()
