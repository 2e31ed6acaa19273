-- Who is forgotten, by whichever of their names: no table, no file and no log of the store holds a phone, a name or a text of
-- theirs, wherever it had come from; ids stay duplicates and conflicts, opt-outs hold, and nothing in flight is torn.
local files = require "support.files"
local simulation = require "support.simulation"
local store = require "support.store"
local sys = require "support.sys"

local POSTGRES = os.getenv "STORE" == "postgres"
local PHONE, BSUID, NAME = "573001239967", "CO.8801726691741", "zwx.qy"
local RULES = [[
template "t" { language = "en", body = { "name" } }
defaults { phone = "{phone|}", bsuid = "{bsuid|}", username = "{username|}", name = "{name}" }
confirm "Paid" { on = "paid", once_per = "{phone|}{id}" }
confirm "Both" { on = "both", also = true }
never "Not them" { on = "both", when = { skip = true } }
confirm "Else" { on = "else", otherwise = { after = "10m", send = "sms", text = "Dear {name}" } }
]]
local KEY = POSTGRES and "a key of the spec" or nil

local function event(id, kind, fields)
  local one = { id = id, type = kind, name = "Zwxyq Qwyxz", phone = PHONE }
  for name, value in pairs(fields or {}) do one[name] = value or nil end
  return one
end

describe("who is forgotten", function()
  local sim, flow, answer
  local function open(path)
    return simulation.new { rules = RULES, path = path, hash_key = KEY, fallback = { sms = function() return true end },
      answer = function(message, n)
        if answer then return answer(message, n) end
        return { outcome = "accepted", id = "wamid." .. n .. "." .. (message.phone or "x") }
      end }
  end
  before_each(function()
    answer = nil
    sim = open()
    flow = sim.flow
  end)
  after_each(function()
    sim:close()
    os.remove(sim.path .. ".key")
  end)

  local TRACES = { PHONE, PHONE:sub(3), BSUID, NAME, "Zwxyq", "Qwyxz", "123-9967" }

  --- Where a trace is: in the store's files, or in all rows of all tables.
  local function traces()
    local found = {}
    local function look(where, text)
      for _, trace in ipairs(TRACES) do
        if text:find(trace, 1, true) then found[#found + 1] = where .. ": " .. trace end
      end
    end
    for _, suffix in ipairs(POSTGRES and {} or { "", "-wal", "-shm" }) do
      look("file" .. suffix, files.read(sim.path .. suffix) or "")
    end
    for _, name in ipairs { "confirmation", "history", "status", "earlier", "lost", "echo", "word", "oddity", "person",
                            "once_key", "suppression", "audit", "forgotten" } do
      for _, row in ipairs(assert(flow.box.db:read { { "SELECT * FROM " .. name } })[1]) do
        for column, value in pairs(row) do look(name .. "." .. column, tostring(value)) end
      end
    end
    table.sort(found)
    return found
  end

  --- A person with something in every table.
  local function live()
    flow:hooks(('{"ack":[{"id":"wamid.other","phone":"%s","bsuid":"%s","userName":"%s","status":"delivered"}]}'):format(
      PHONE, BSUID, NAME))
    answer = function() return nil, "unknown: " .. PHONE .. " timed out", { outcome = "unknown" } end
    assert(flow:submit(event("doubt", "paid")))
    sim:advance(1)
    answer = nil
    sim:advance(60)
    assert(flow:submit(event("first", "paid", { phone = false, bsuid = BSUID })))
    assert(flow:submit(event("both", "both", { skip = true, phone = "(300) 123-9967" })))
    assert(flow:submit(event("else", "else", { phone = false, username = NAME })))
    sim:advance(120)
    local id = flow:show("first").message_id
    flow:hooks(('{"ack":[{"id":"%s","phone":"%s","status":"delivered"}]}'):format(id, PHONE))
    flow:hooks(('{"messages":[{"id":"out","body":"Dear Zwxyq","fromMe":true,"time":%d,"chatId":"%s@c.us"}]}'):format(sim.time,
      PHONE))
    flow:hooks(('{"strange":[{"phone":"%s"}]}'):format(PHONE))
    flow:hooks(('{"messages":[{"id":"in","body":"STOP","fromMe":false,"time":%d,"chatId":"%s@c.us"}]}'):format(sim.time, PHONE))
    assert(flow:submit(event("late", "paid")))
    return id
  end

  for _, by in ipairs { { phone = "+57 300 1239967" }, { bsuid = BSUID }, { username = NAME }, { id = "first" } } do
    it("leaves no trace: by " .. next(by), function()
      local id = live()
      assert.is_true(#traces() > 10)
      by.by = "maria"
      local receipt = assert(flow:forget(by))
      assert.same({ 5, 3, 1 }, { receipt.confirmations, receipt.names, receipt.suppressions })
      assert.is_nil(receipt.left)
      assert.same({}, traces())
      local line = flow:audit()[1]
      assert.same({ "maria", "forget" }, { line.by, line.what })
      -- ids keep their promise
      local ticket = assert(flow:submit(event("first", "paid", { phone = false, bsuid = BSUID })))
      assert.same({ true, "delivered" }, { ticket.duplicate, ticket.now })
      assert.matches("^conflict: event.id first", select(2, flow:submit(event("first", "paid", { name = "Other" }))))
      assert.is_true(assert(flow:submit(event("both", "both", { skip = true, phone = "(300) 123-9967" }))).duplicate)
      -- late news is dropped
      local _, counts = assert(flow:hooks(('{"ack":[{"id":"%s","phone":"%s","bsuid":"%s","status":"read"}]}'):format(id, PHONE,
        BSUID)))
      assert.same({ 1, 0 }, { counts.forgotten, counts.new })
      assert.same({}, traces())
      assert.matches("^conflict:.*forgotten", select(2, flow:replay "late"))
      for _, one in ipairs(flow:list()) do assert.is_nil(one.phone or one.body or one.message_id) end
      sim:advance(2 * 86400)
      assert.same({ "delivered", "delivered: forgotten" }, { flow:show("first").state,
        simulation.history(flow, "first"):match "[^\n]*$" })
      -- and so does the opt-out, by every name
      for n, name in ipairs { { phone = PHONE }, { phone = false, bsuid = BSUID }, { phone = false, username = NAME } } do
        assert.equal("skipped", flow:explain(event("x" .. n, "paid", name)).state)
        local again = assert(flow:submit(event("again-" .. n, "paid", name)))
        assert.same({ "skipped", "suppressed: they wanted nothing more, before they were forgotten" }, { again.state,
          again.reason })
      end
    end)
  end

  it("may want messages again: by hand, or by their own word", function()
    for n, lift in ipairs { function() return flow:unsuppress(PHONE) end, function()
      return select(2, flow:hooks(('{"messages":[{"id":"s","body":"START","fromMe":false,"time":%d,"chatId":"%s@c.us"}]}'):format(
        sim.time, PHONE))).started
    end } do
      flow:hooks(('{"messages":[{"id":"in%d","body":"STOP","fromMe":false,"time":%d,"chatId":"%s@c.us"}]}'):format(n,
        sim.time, PHONE))
      assert.equal(1, assert(flow:forget { phone = PHONE }).suppressions)
      sim:advance(10)
      assert.equal(1, lift())
      assert.equal("queued", assert(flow:submit(event("after-" .. n, "paid"))).state)
      sim:advance(60)
      assert(flow:forget { phone = PHONE })
    end
  end)

  it("is not while something is being sent to them; what waits is cancelled; what is unknown here is said", function()
    assert(flow:submit(event("o", "paid")))
    local agenda = assert(flow.box:look())
    local rows = assert(flow.box:claim(agenda.gates.main, 1, { from = sim.time, each = 0 }, sim.time, 60, 6))
    assert.equal(1, #rows)
    assert(flow:submit(event("p", "paid")))
    assert.matches("^conflict: o is being sent", select(2, flow:forget { phone = PHONE }))
    assert.equal("queued", flow:show("p").state)
    sim:advance(300)
    assert(flow:submit(event("q", "paid")))
    local receipt = assert(flow:forget { phone = PHONE })
    assert.same({ 3, 1 }, { receipt.confirmations, receipt.cancelled })
    assert.equal("cancelled", flow:show("q").state)
    assert.same({}, traces())
    assert.same({ 0, 1 }, { flow:forget({ phone = PHONE }).confirmations, #sim.sent })
    assert.matches("^invalid: no confirmation", select(2, flow:forget { id = "nobody" }))
    assert.has_error(function() flow:forget {} end)
  end)

  it("is forgotten whole, however much there is, and whenever it was interrupted", function()
    for n = 1, 260 do
      local theirs = n % 2 == 0
      assert(flow:submit(event("o" .. n, "paid", theirs and { note = ("Zwxyq "):rep(n % 40) }
        or { name = "Somebody " .. ("x"):rep(n), phone = "12020721305" })))
    end
    local real = flow.box.db
    for _, units in ipairs { 0, 1, 1, 0 } do -- it ends before its first unit, or after one
      local done = 0
      flow.box.db = setmetatable({}, { __index = function(_, name)
        return function(_, ...)
          if name == "unit" then
            if done == units then return nil, "store: killed", { outcome = "store" } end
            done = done + 1
          end
          return real[name](real, ...)
        end
      end })
      local receipt, err = flow:forget { id = "o2" }
      flow.box.db = real
      assert.same({ nil, "store: killed" }, { receipt, err })
      for _, row in ipairs(assert(real:read { { "SELECT * FROM confirmation WHERE event LIKE 'forgotten %'" } })[1]) do
        assert.same({ "cancelled", nil, nil }, { row.state, row.phone, row.message })
      end
    end
    assert.same({ 30, 1 }, { assert(flow:forget { id = "o2" }).confirmations, #flow:audit() })
    assert.same({ 0, 0 }, { assert(flow:forget { id = "o2" }).confirmations, flow:forget({ id = "o2" }).names })
    assert.same({}, traces())
    assert.equal(130, flow:stats().states.queued)
    assert.matches("Somebody x+", assert(real:read { { "SELECT event FROM confirmation WHERE id = 'o1'" } })[1][1].event)
  end)

  it("is forgotten in another process, and by everybody", function()
    local id = live()
    local other = open(sim.path)
    other.time = sim.time
    assert(other.flow:forget { phone = PHONE })
    assert.same({}, traces())
    assert.is_true(assert(flow:submit(event("first", "paid", { phone = false, bsuid = BSUID }))).duplicate)
    flow:hooks(('{"ack":[{"id":"%s","phone":"%s","status":"read"}]}'):format(id, PHONE))
    assert.same({}, traces())
    other.flow:close()
  end)

  local function sqlite(first)
    local flag = store.directory()
    local shell = assert(io.popen("exec sqlite3 -bail " .. sim.path .. " >/dev/null 2>&1", "w"))
    shell:write(first, "\n.shell touch ", flag, "/ready\n")
    shell:flush()
    store.until_true(function() return files.read(flag .. "/ready") end, "sqlite3")
    store.remove(flag)
    return shell
  end

  -- SQLite does not wait for who makes a checkpoint already, as every store does after a while: nothing was emptied then
  it("leaves no trace while others read, and make a checkpoint", function()
    if POSTGRES then return end
    assert(flow:submit(event("o", "paid")))
    local reader = sqlite "BEGIN; SELECT id FROM confirmation;"
    local core, other = require "onemsg.core", nil
    local real, waited, second = core.sqlite_empty_log, nil, nil
    core.sqlite_empty_log = function(path)
      other = sqlite ".timeout 60000"
      other:write(("PRAGMA wal_checkpoint(TRUNCATE);\n"):rep(99))
      other:flush()
      store.until_true(function()
        return files.output("sqlite3 " .. sim.path .. " 'PRAGMA wal_checkpoint(PASSIVE)'"):find "^1"
      end, "the checkpoint")
      local now = sys.now()
      local done, why = real(path, 150)
      waited = sys.now() - now
      reader:write ".shell sleep 0.2\nROLLBACK;\n" -- it ends while we wait, or before
      reader:flush()
      second = real(path)
      return done, why
    end
    local ok, receipt, err = pcall(flow.forget, flow, { phone = PHONE })
    core.sqlite_empty_log = real
    assert(ok, receipt)
    assert(receipt, err)
    assert.is_true(waited >= 0.14) -- milliseconds are whole there
    assert.is_true(second)
    assert.same({ 1, false }, { receipt.confirmations, receipt.log })
    assert.equal(("the store has forgotten them, but its files %s and %s-wal may still hold bytes of before, as somebody "
      .. "reads an old state of it, or writes to it, without an end; repeat it"):format(sim.path, sim.path), receipt.left)
    reader:close()
    other:close()
    receipt = assert(flow:forget { phone = PHONE })
    assert.same({ 0, true }, { receipt.confirmations, receipt.log })
    assert.same({}, traces())
  end)

  it("keeps nobody from writing while it waits for who reads", function()
    if POSTGRES then return end
    assert(flow:submit(event("o", "paid")))
    local reader = sqlite "BEGIN; SELECT id FROM confirmation;"
    local directory = store.directory()
    store.write(directory .. "/program.lua", ([[require "onemsg"
      local file = io.open("%s/began", "w")
      file:close()
      print(require "onemsg.core".sqlite_empty_log("%s", 60000))]]):format(directory, sim.path))
    local waits = assert(io.popen(("%s %s/program.lua 2>&1"):format(store.LUA, directory)))
    store.until_true(function() return files.read(directory .. "/began") end, "the other process")
    local till = sys.now() + 0.3
    local n = 0
    repeat
      n = n + 1
      assert(flow:submit(event("o" .. n, "paid")))
    until sys.now() > till
    reader:write "ROLLBACK;\n"
    reader:close()
    assert.equal("true\n", waits:read "*a")
    waits:close()
    store.remove(directory)
  end)
end)
