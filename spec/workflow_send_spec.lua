-- onemsg.workflow against the fake 1MSG, in real time: a real channel, a real store, a rules file.
local channels = require "support.channels"
local server = require "support.server"
local simulation = require "support.simulation"
local workflow = require "onemsg.workflow"

local now = function() return require "onemsg.core".now() end

describe("workflow with the fake 1MSG", function()
  local fake, rules_path, path, flow

  setup(function()
    fake = server.fake { set = { pace_ms = 0 } }
    rules_path = os.tmpname()
    local file = assert(io.open(rules_path, "w"))
    file:write(simulation.RULES)
    file:close()
  end)
  teardown(function()
    fake:stop()
    os.remove(rules_path)
  end)

  local function open(more)
    local options = { channel = channels.new(fake), rules = rules_path, store = require("support.stores").at(path),
                      rate = 1000, burst = 1000 }
    for name, value in pairs(more or {}) do options[name] = value end
    return assert(workflow.open(options))
  end

  before_each(function()
    fake:reset()
    path = simulation.store_path()
    flow = open()
  end)
  after_each(function()
    flow:close()
    simulation.remove(path)
  end)

  local function submit(id, ending)
    local phone = channels.phone(ending)
    assert(flow:submit { id = id, type = "paid", phone = phone, name = "Maria" })
    return phone
  end

  it("drains: sends what is due and returns at once when nothing more is", function()
    local phones = {}
    for n = 1, 30 do phones[n] = submit("m" .. n, n % 20) end
    assert.equal(30, flow:drain { timeout = 60 }) -- though it could wait for a minute, it does not wait for ever
    assert.equal(30, server.accepted(flow:stats().states))
    for n, phone in ipairs(phones) do
      assert.equal(1, fake:count(phone))
      assert.matches("^wamid%.", flow:show("m" .. n).message_id)
    end
    local body = fake:journal { phone = phones[1] }[1].body
    assert.matches('"text":"Maria"', body, 1, true)
    assert.equal(0, flow:drain())
  end)

  it("tries again within the timeout: 429 with Retry-After, twice, then accepted", function()
    local phone = submit("m", 67)
    flow:drain { timeout = 60 }
    local shown = flow:show("m")
    assert.same({ "accepted", 3 }, { shown.state, shown.attempts })
    assert.equal(3, fake:count(phone))
  end)

  it("leaves what is in doubt to a person, with one request", function()
    local phone = submit("m", 79)
    flow:drain()
    assert.equal("unknown", flow:show("m").state)
    assert.matches("^unknown: ", flow:show("m").reason)
    assert.equal(1, fake:count(phone))
  end)

  it("tries again when nobody listens, and says why", function()
    flow:close()
    flow = open { channel = channels.new(fake, { base_url = "http://127.0.0.1:1" }) }
    submit("m", 0)
    flow:drain()
    local shown = flow:show("m")
    assert.equal("queued", shown.state)
    assert.matches("^not_sent: .*; again in %d+ s$", shown.reason)
    assert.is_true(shown.due_at - shown.changed_at > 1)
    assert.equal(0, #fake:journal())
  end)

  it("ends in time although an answer does not come, and takes it up again", function()
    fake:set { held = true }
    local phone = submit("m", 0)
    assert.equal(0, flow:drain { timeout = 0.3 })
    assert.equal("sending", flow:show("m").state)
    assert.equal(1, flow:stats().in_flight)
    fake:set { held = false }
    assert.equal(1, flow:drain())
    assert.equal("accepted", flow:show("m").state)
    assert.equal(0, flow:stats().in_flight)
    assert.equal(1, fake:count(phone))
  end)

  it("works until it is told to stop, wakes for its own submits, and finishes what is in flight", function()
    local phone, slow
    local handled = flow:work { stop = function()
      if not phone then
        phone = submit("first", 0)
        assert.equal(0, flow.worker.look_at) -- woken
      elseif not slow and flow:show("first").state == "accepted" then
        fake:set { held = true }
        slow = submit("slow", 1)
      elseif slow and flow:show("slow").state == "sending" then
        fake:set { held = false }
        return true
      end
    end }
    assert.equal(2, handled)
    assert.equal("accepted", flow:show("slow").state)
    assert.equal(1, fake:count(phone))
    assert.equal(1, fake:count(slow))
  end)

  it("asks an idle store at most four times a second, a shared one twenty times, and what time it is", function()
    local most = flow.box.several and 40 or 4
    flow:drain() -- what others left is looked for once, at the start
    local before = flow.box.db:stats()
    local from = now()
    flow:work { stop = function() return now() - from > 1.5 end }
    local took, after = now() - from, flow.box.db:stats()
    assert.is_true(after.reads - before.reads <= took * most + 2, after.reads - before.reads .. " reads in " .. took .. " s")
    assert.equal(before.units or 0, after.units or 0)
  end)

  it("shares a store with others: each message once, one pace", function()
    local other = open { rate = 50, burst = 10 }
    flow:close()
    flow = open { rate = 50, burst = 10 }
    for n = 1, 100 do submit("m" .. n, n % 20) end
    local from, turns = now(), 0
    repeat
      flow:drain()
      other:drain()
      turns = turns + 1
    until server.accepted(flow:stats().states) == 100 or now() - from > 120
    local took = now() - from
    other:close()
    assert.equal(100, server.accepted(flow:stats().states))
    assert.is_true(took >= 1.7, "90 after the burst at 50 a second take 1.8 s, and took " .. took)
    for _, n in pairs(fake:counts()) do assert.equal(1, n) end
  end)
end)
