-- kill -9 in the middle of retention, of a forget and of a bulk replay: a confirmation is whole or a tombstone, replayed with
-- its history line and its audit line or untouched, a person has all names or none, and the command run again ends it.
--   ONEMSG_KILLS=N   so many rounds instead of 12
local files = require "support.files"
local simulation = require "support.simulation"
local store = require "support.store"
local stores = require "support.stores"
local sys = require "support.sys"

local POSTGRES = os.getenv "STORE" == "postgres"
local ROUNDS = tonumber(os.getenv "ONEMSG_KILLS") or 12
local PHONE, DAY = "12020721369", 86400
local SENT, CANCELLED = 70, 60 -- more than one unit of each
local RULES = [[
template "t" { language = "en", body = { "name" } }
defaults { phone = "{phone}", name = "{name}" }
confirm "Paid" { on = "paid" }
]]

local function open(path, time)
  local sim = simulation.new { rules = RULES, path = path, keep = "90d", hash_key = POSTGRES and "a key of the spec" or nil }
  sim.time = time
  return sim
end

local function rows_of(flow, text)
  return assert(flow.box.db:read { { text } })[1]
end

local OF = {}

OF.forget = { after = 2000, run = function(sim)
  local receipt = assert(sim.flow:forget(sim.by_id and { id = "s9", by = "maria" } or { phone = PHONE, by = "maria" }))
  assert(receipt.log ~= false, receipt.left)
end }
OF.replay = { after = 2000, run = function(sim)
  local result = assert(sim.flow:replay { state = "cancelled", by = "maria" })
  assert(#result.refused == 0)
end }
OF.retention = { after = 100 * DAY, run = function(sim)
  local worker = sim.flow.worker
  worker.keeping = { at = 0, step = 1 }
  repeat
    worker.keeping.at = 0
    sim.flow:drain()
  until worker.keeping.step == 1 and not worker.keeping.after
end }

--- Every confirmation is one or the other. -> how many were changed
local function changed(flow, what)
  local count, history, audit, statuses = 0, {}, {}, {}
  for _, line in ipairs(rows_of(flow, "SELECT * FROM history ORDER BY id, step")) do
    history[line.id] = history[line.id] or {}
    table.insert(history[line.id], line)
  end
  for _, line in ipairs(rows_of(flow, "SELECT * FROM audit WHERE what = 'replay'")) do
    audit[line.about] = (audit[line.about] or 0) + 1
  end
  for _, line in ipairs(rows_of(flow, "SELECT * FROM status")) do statuses[line.message_id] = true end
  for _, row in ipairs(rows_of(flow, "SELECT * FROM confirmation")) do
    local lines = history[row.id]
    local last = lines[#lines]
    assert.same({ row.step, row.state }, { last.step, last.state }, row.id)
    local sent = row.id:find "^s" ~= nil
    if row.forgotten_at then
      count = count + 1
      assert.not_equal("replay", what)
      assert.matches("^forgotten %x+$", row.event)
      assert.is_nil(row.phone or row.person or row.message or row.message_id)
      for n, line in ipairs(lines) do assert.equal(n == #lines and "forgotten" or "", line.reason) end
    else
      assert.matches("Zwxyq", row.event)
      assert.is_truthy(row.phone and row.person)
      for n, line in ipairs(lines) do assert.is_true(line.reason ~= "forgotten" and (n > 1 or line.reason ~= "")) end
      assert.same({ sent, sent or nil }, { row.message_id ~= nil, statuses[row.message_id or ""] }, row.id)
    end
    local replayed = row.state == "queued"
    if replayed then
      count = count + 1
      assert.equal("replay", what)
      assert.matches("^replayed by maria: ", last.reason)
      assert.equal("cancelled", lines[#lines - 1].state)
    elseif not row.forgotten_at then
      assert.equal(sent and "delivered" or "cancelled", row.state)
    end
    assert.equal(replayed and 1 or nil, audit[row.id])
  end
  local all = count == SENT + CANCELLED
  if what == "forget" then
    assert.same({ all, all }, { #rows_of(flow, "SELECT name FROM person") == 0,
      #rows_of(flow, "SELECT about FROM audit WHERE what = 'forget'") > 0 })
  end
  return count
end

describe("a kill", function()
  local base, span = nil, {}

  local function name_of(path) return "at" .. path:gsub("[^%w]", "_"):lower() end

  local function copy()
    local path = simulation.store_path()
    for _, suffix in ipairs { "", "-wal", "-witness", "-witness-wal", ".key" } do
      local text = files.read(base .. suffix)
      if text then store.write(path .. suffix, text) end
    end
    if POSTGRES then
      local said = stores.server.psql(("CREATE DATABASE %s TEMPLATE %s"):format(name_of(path), name_of(base)))
      assert(said == "", said)
    end
    return path
  end

  local function drop(path)
    simulation.remove(path)
    os.remove(path .. ".key")
    if POSTGRES then stores.server.psql(("DROP DATABASE %s WITH (FORCE)"):format(name_of(path))) end
  end

  setup(function()
    local sim = open(simulation.store_path(), simulation.EPOCH)
    base = sim.path
    local acks = {}
    for n = 1, SENT do assert(sim.flow:submit { id = "s" .. n, type = "paid", name = "Zwxyq", phone = PHONE }) end
    sim:advance(900)
    for n = 1, SENT do
      acks[n] = ('{"id":"%s","phone":"%s","bsuid":"CO.8801726691741","status":"delivered"}'):format(
        sim.flow:show("s" .. n).message_id, PHONE)
    end
    assert(sim.flow:hooks(('{"ack":[%s]}'):format(table.concat(acks, ","))))
    for n = 1, CANCELLED do
      assert(sim.flow:submit { id = "c" .. n, type = "paid", name = "Zwxyq", phone = PHONE })
      assert(sim.flow:cancel("c" .. n))
    end
    sim.flow:close()
  end)
  teardown(function() drop(base) end)

  --- Runs a command in a process of its own, which is killed after so many seconds (nil: it ends). -> how long it took
  local function run(path, what, by_id, seconds)
    local reads, writes = sys.pipe()
    local pid = store.child(function()
      local sim = open(path, simulation.EPOCH + OF[what].after)
      sim.by_id = by_id
      sys.write(writes, "x")
      OF[what].run(sim)
      return 0
    end)
    sys.close(writes)
    assert.equal("x", sys.read(reads))
    local began = sys.now()
    if seconds then
      sys.sleep(seconds)
      sys.kill(pid, sys.KILL)
    end
    local how, code = sys.waitpid(pid)
    assert.is_true(how == "killed" and code == sys.KILL or how == "exited" and code == 0, how .. " " .. code)
    sys.close(reads)
    return sys.now() - began
  end

  --- What the killed one had sent to a PostgreSQL is done, or undone, when its session is gone.
  local function is_quiet(path)
    return not POSTGRES or stores.server.psql(("SELECT COUNT(*) FROM pg_stat_activity WHERE datname = '%s'")
      :format(name_of(path))):find "^0" ~= nil
  end

  local function round(what, by_id, share)
    for _ = span[what] and 3 or 1, 2 do
      local whole = copy()
      span[what] = math.min(span[what] or math.huge, run(whole, what))
      drop(whole)
    end
    local path = copy()
    run(path, what, by_id, span[what] * share)
    store.until_true(function() return is_quiet(path) end, "the end of the killed one's session")
    local sim = open(path, simulation.EPOCH + OF[what].after)
    sim.by_id = by_id
    changed(sim.flow, what)
    OF[what].run(sim)
    assert.equal(what == "replay" and CANCELLED or SENT + CANCELLED, changed(sim.flow, what))
    sim.flow:close()
    if what ~= "replay" and not POSTGRES then
      assert.is_nil((files.read(path) .. (files.read(path .. "-wal") or "")):match(what == "forget" and PHONE or "no such text"))
    end
    drop(path)
  end

  for n, what in ipairs { "forget", "replay", "retention" } do
    it("in the middle leaves nothing half done: " .. what, function()
      local seed = os.time() + sys.getpid() * 7 + n
      local random = simulation.random(seed % 1000003 + 1)
      for at = n, ROUNDS, 3 do
        local share = random() * 1.1
        local ok, err = pcall(round, what, at % 2 == 0, share)
        assert(ok, ("killed after %.4f of its time: %s"):format(share, tostring(type(err) == "table" and err.message or err)))
      end
    end)
  end
end)
