-- "It can't be" (the event's fault, for good) and "we can't now" (ours, for a while) shared a return: a namespace that was
-- missing after a deploy acknowledged every event as `skipped`, and an answer that says nothing of whether the message left
-- was taken for a proof that it did not.
local onemsg = require "onemsg"
local outcome = require "onemsg.policy.outcome"
local rules = require "onemsg.rules"
local simulation = require "support.simulation"
local workflow = require "onemsg.workflow"

local PHONE = "12020721300"

describe("what can't be done now", function()
  -- What the channel's check says, and what submit does with it.
  local checks = {
    { "invalid: phone has a letter", "skipped" },
    { "config: namespace is missing; set it", "refused" },
    { "closed: this channel was closed", "refused" },
    { "store: no room", "refused" },
  }
  for _, row in ipairs(checks) do
    it(("at submit: %s is %s"):format(row[1], row[2]), function()
      local sim = simulation.new {}
      local check = sim.flow.channels.main.check
      sim.flow.channels.main.check = function() return nil, row[1], { outcome = "invalid" } end
      local event = { id = "a", type = "paid", phone = PHONE, name = "Maria" }
      local ticket, err = sim.flow:submit(event)
      local explained, why = sim.flow:explain(event)
      if row[2] == "skipped" then
        assert.equal("skipped: " .. row[1], ticket.state .. ": " .. ticket.reason)
        assert.equal(ticket.reason, explained.reason)
      else
        assert.is_nil(ticket)
        assert.equal(row[1], err)
        assert.equal(row[1], why)
        sim.flow.channels.main.check = check -- put right: the event comes again, as new
        assert.equal("queued", assert(sim.flow:submit(event)).state)
      end
      sim:close()
    end)
  end

  it("is refused and not kept when a deploy lost the namespace", function()
    local path = simulation.store_path()
    local function open(namespace)
      local channel = assert(onemsg.new { channel = "X1", token = "link_made-up-0123456789", namespace = namespace,
        language = "en", base_url = "http://127.0.0.1:9" })
      return assert(workflow.open { channel = channel, store = "sqlite:" .. path, rules = assert(rules.load(simulation.RULES)) })
    end
    local flow = open(nil)
    local event = { id = "a", type = "paid", phone = PHONE, name = "Maria" }
    assert.matches("^config: namespace is missing", select(2, flow:submit(event)))
    assert.is_nil(flow:show "a")
    flow:close()
    flow = open "ns"
    assert.equal("queued", assert(flow:submit(event)).state)
    flow:close()
    simulation.remove(path)
  end)

  local resolves = {
    { "raises", function() error "no database" end, "^store: resolve failed, submit the event again" },
    { "returns no text", function() return true end, "^config: resolve must return a phone" },
  }
  for _, row in ipairs(resolves) do
    it("is refused when resolve " .. row[1], function()
      local sim = simulation.new { resolve = row[2] }
      local ticket, err = sim.flow:submit { id = "a", type = "paid", name = "Maria" }
      assert.is_nil(ticket)
      assert.matches(row[3], err)
      assert.is_nil(sim.flow:show "a")
      sim:close()
    end)
  end

  -- What a send ends with, and what becomes of the message.
  local answers = {
    { "config: the token's file can't be read", "invalid", "queued", true },
    { "invalid: body has 7 texts", "invalid", "rejected" },
    { "closed: cancelled before it began", "not_sent", "queued" },
    { "closed: this channel was closed", nil, "queued" },
    { "closed: this send belongs to the process that began it", "unknown", "unknown" },
    { "config: an answer that leaves it open", "unknown", "unknown" },
  }
  for _, row in ipairs(answers) do
    it(("at a send: %s, %s, is %s"):format(row[1], tostring(row[2]), row[3]), function()
      local change, told = outcome.verdict({ attempts = 1, faults = 0 }, { nil, row[1], { outcome = row[2] } }, 1e9,
        function() return 0 end)
      assert.equal(row[3], change.state)
      assert.equal(row[4] == true, told.trip ~= nil)
    end)
  end

  it("waits with a reason and an alert, and leaves when that is put right", function()
    local fault = true
    local sim = simulation.new { answer = function(_, n)
        if fault then return nil, "config: the token's file can't be read", { outcome = "invalid" } end
        return { outcome = "accepted", id = "w" .. n }
      end, status = function() return fault and "disconnected" or "connected" end }
    assert(sim.flow:submit { id = "a", type = "paid", phone = PHONE, name = "Maria" })
    sim:advance(600)
    assert.equal("queued", sim.flow:show("a").state)
    assert.equal("the channel is stopped: config: the token's file can't be read", sim.flow:show("a").held)
    assert.equal("stopped", sim.alerts[1].alert)
    fault = false
    sim:advance(3600)
    assert.equal("accepted", sim.flow:show("a").state)
    sim:close()
  end)
end)
