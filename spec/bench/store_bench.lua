-- What a million stored confirmations cost: start, memory, submit and claim, beside ten thousand, in one run.
--   eval "$(make -s env LUA=5.4)"; lua5.4 spec/bench/store_bench.lua [directory]
-- To reach: process under 100 MB, start under 1 s, claim and submit within 1.2 x. Rounds alternate;
-- medians, min and max; the stored rows are spread over 14 months and a third as many recipients, with three lines of history.
package.path = "lua/?.lua;spec/?.lua;" .. package.path
local now = require "onemsg" and require "onemsg.core".now
local outbox = require "onemsg.outbox"
local simulation = require "support.simulation"
local sql = require "onemsg.sql"
local workflow = require "onemsg.workflow"

local directory = arg[1] or os.getenv "TMPDIR" or "/tmp"
local ROUNDS, PER_ROUND, WINDOW = 9, 2000, 64
local SIZES = { 10000, 1000000 }

local FILL = [[
  WITH RECURSIVE n(i) AS (SELECT $1 UNION ALL SELECT i + 1 FROM n WHERE i < $2)
  INSERT INTO confirmation(id, parts, event, type, was, state, step, reason, rule, version, channel, phone, template,
    language, message, place, due_at, give_up_at, attempts, owner, left_at, message_id, otherwise_unknown, created_at,
    changed_at, accepted_at)
  SELECT 'old-' || i, 1, '{"amount":990,"customer":{"email":"maria@example.com","first_name":"Maria","phone":"+12025550'
      || (i % 333331) || '"},"id":"old-' || i || '","payment":{"id":"p-' || i || '"},"type":"payment.succeeded"}',
    'payment.succeeded', CASE WHEN i % 10 = 0 THEN 'new' ELSE 'sending' END,
    CASE WHEN i % 10 = 0 THEN 'skipped' WHEN i % 997 = 0 THEN 'unknown' ELSE 'accepted' END, 3, '', 'Paid',
    '70871c7e1bd2d905', 'main', '1202' || (5550000 + i % 333331), 'action_success', 'en',
    '{"body":["Maria","subscription payment","Access activated in your account."],"phone":"1202'
      || (5550000 + i % 333331) || '","template":"action_success","namespace":"ns","language":"en"}',
    i, 1700000000 + i * 36.0, 1700021600 + i * 36.0, 1, 'o', 1700000001 + i * 36.0, 'wamid.HBgLMTIwMjU1NTAwMDAw' || i,
    0, 1700000000 + i * 36.0, 1700000001 + i * 36.0, 1700000001 + i * 36.0 FROM n]]
local HISTORY = [[
  INSERT INTO history(id, step, at, state, reason, version)
  SELECT id, $1, created_at, $2, '', version FROM confirmation WHERE place >= $3 AND place <= $4 AND id LIKE 'old-%']]

local function fill(path, size)
  assert(outbox.open("sqlite:" .. path, { "main" })):close()
  local db = assert(sql.open("sqlite:" .. path))
  local CHUNK = 50000
  for from = 1, size, CHUNK do
    local to = math.min(size, from + CHUNK - 1)
    assert(db:unit { { FILL, from, to } })
    for step, state in ipairs { "queued", "sending", "accepted" } do
      assert(db:unit { { HISTORY, step, state, from, to } })
    end
  end
  db:close()
end

local function rss_kb()
  for line in io.lines "/proc/self/status" do
    local kb = line:match "^VmRSS:%s+(%d+)"
    if kb then return tonumber(kb) end
  end
end

--- Opens the store in a process of its own: seconds to start, and its memory after some work.
local function start_of(path)
  local interpreter = arg[-1] or "lua"
  local pipe = assert(io.popen(("%s %s --start %s"):format(interpreter, arg[0], path)))
  local seconds, kb = pipe:read "*a":match "([%d.]+)%s+(%d+)"
  pipe:close()
  return tonumber(seconds), tonumber(kb)
end

local function open(path)
  local answered = {}
  answered.__index = answered
  function answered.ready() return true end
  function answered.wait() return { outcome = "accepted", id = "w" } end
  local channel = {
    check = function(_, m) return { phone = m.phone, body = m.body, template = "action_success", language = "en" } end,
    async = function() return setmetatable({}, answered) end,
  }
  return assert(workflow.open { channel = channel, rules = require "onemsg.rules".load(simulation.RULES),
    store = "sqlite:" .. path, rate = 1e6, burst = 1e6, window = WINDOW })
end

local serial = 0
local function submit_round(flow)
  local from, landings = now(), {}
  for n = 1, PER_ROUND do
    serial = serial + 1
    landings[#landings + 1] = assert(flow:submit({ id = "new-" .. serial, type = "paid",
      phone = ("1303%07d"):format(serial), name = "Maria" }, { wait = false }))
    if #landings == WINDOW or n == PER_ROUND then
      for _, landing in ipairs(landings) do assert(landing:wait()) end
      landings = {}
    end
  end
  return (now() - from) / PER_ROUND
end

local function drain_round(flow)
  local from = now()
  assert(flow:drain { timeout = 600 } == PER_ROUND)
  return (now() - from) / PER_ROUND
end

if arg[1] == "--start" then
  local from = now()
  local flow = open(arg[2])
  assert(flow:explain { id = "new", type = "paid", phone = "12020721300" })
  assert(flow.box:look())
  local took = now() - from
  assert(flow:list { state = "unknown" })
  assert(flow:show "old-1")
  flow:drain()
  print(took, rss_kb())
  os.exit(0)
end

local function median(list)
  table.sort(list)
  return list[math.floor(#list / 2) + 1], list[1], list[#list]
end

local stores = {}
for n, size in ipairs(SIZES) do
  local path = ("%s/onemsg-store-bench-%d.db"):format(directory, size)
  simulation.remove(path)
  local from = now()
  fill(path, size)
  stores[n] = { size = size, path = path, submit = {}, drain = {}, start = {}, kb = {} }
  print(("%9d stored, filled in %.1f s"):format(size, now() - from))
end
for round = 0, ROUNDS do -- round 0 warms up
  for n = 1, #stores do
    local store = stores[round % 2 == 0 and n or #stores + 1 - n]
    local start, kb = start_of(store.path)
    local flow = open(store.path)
    local submit = submit_round(flow)
    local drain = drain_round(flow)
    flow:close()
    if round > 0 then
      store.submit[round], store.drain[round], store.start[round], store.kb[round] = submit, drain, start, kb
    end
  end
end
for _, row in ipairs {
  { "submit", 1e6, "us" }, { "drain", 1e6, "us" }, { "start", 1e3, "ms" }, { "kb", 1 / 1024, "MB" },
} do
  local name, scale, unit = row[1], row[2], row[3]
  local medians = {}
  for n, store in ipairs(stores) do
    local middle, least, most = median(store[name])
    medians[n] = middle
    print(("%-7s %9d stored: %8.1f %s  (%.1f to %.1f)"):format(name, store.size, middle * scale, unit, least * scale,
      most * scale))
  end
  print(("%-7s ratio %.2f"):format(name, medians[2] / medians[1]))
end
for _, store in ipairs(stores) do simulation.remove(store.path) end
