-- What a CHECK of the schema refused was taken for "somebody was faster", and swallowed. A step that was not as it had been
-- read, and a key that is there, are conflicts; every other constraint is a fault of ours, and is said. A store whose tables
-- are other ones is refused at the start.
local cjson = require "cjson"
local outbox = require "onemsg.outbox"
local simulation = require "support.simulation"

describe("a change that the schema refuses", function()
  local sim
  before_each(function() sim = simulation.new {} end)
  after_each(function() sim:close() end)

  it("is said, and is no conflict", function()
    local flow = sim.flow
    assert(flow:submit { id = "a", type = "paid", phone = "12020721300" })
    flow:drain()
    local row = flow.box:row "a"
    local changed, err, info = flow.box:amended(flow.box:amend(row, { state = "expired", reason = "x" }, sim.time))
    assert.is_nil(changed)
    assert.matches("^store: a change was refused, which is a fault of onemsg", err)
    assert.equal("constraint", info.class)
    changed, err = flow.box:change({ id = "a", state = "accepted" }, "cancelled", "x", sim.time, { what = "cancel" })
    assert.is_nil(changed)
    assert.matches("^store: a change was refused", err)
  end)

  it("raises an alert when it is met at work", function()
    local flow = sim.flow
    assert(flow:submit { id = "a", type = "paid", phone = "12020721300" })
    flow:drain()
    local legal = require "onemsg.policy.states".may
    local states = require "onemsg.policy.states"
    states.may = function() return true end
    local delivery = require "onemsg.policy.delivery"
    local fold = delivery.fold
    delivery.fold = function() return { state = "expired", rank = 9, reason = "x" } end
    local rows = { flow.box:row "a" }
    local done, err = require "onemsg.workflow.fold".fold(flow, rows)
    delivery.fold, states.may = fold, legal
    assert.is_nil(done)
    assert.matches("^store: a change was refused", err)
  end)

  it("is told from a step that somebody else made", function()
    local flow = sim.flow
    assert(flow:submit { id = "a", type = "paid", phone = "12020721300" })
    flow:drain()
    local row = flow.box:row "a"
    assert(flow.box:amended(flow.box:amend(row, { note = "x" }, sim.time)))
    local _, err, info = flow.box:amended(flow.box:amend(row, { note = "y" }, sim.time))
    assert.matches("^conflict:", err)
    assert.equal("expect", info.class)
  end)
end)

describe("a store with other tables", function()
  local changes = {
    ["another CHECK"] = "UPDATE meta SET value = '00000000' WHERE name = 'schema 1'",
    ["no mark"] = "DELETE FROM meta WHERE name = 'schema 1'",
  }
  for name, change in pairs(changes) do
    it("is refused: " .. name, function()
      local path = simulation.store_path()
      local box = assert(outbox.open(require("support.stores").at(path), { "main" }))
      assert(box.db:unit { { change } })
      box:close()
      local again, err = outbox.open(require("support.stores").at(path), { "main" })
      assert.is_nil(again)
      assert.matches("^config: the store's schema 1 is not the one", err)
      simulation.remove(path)
    end)
  end
end)

describe("what a hook says of the platform", function()
  local WORDS = {
    template = cjson.encode { entry = { { changes = { { field = "message_template_status_update", value = {
      event = "PAUSED", message_template_name = "action_success", message_template_language = "en" } } } } } },
    account = cjson.encode { entry = { { changes = { { field = "messages", value = {
      errors = { { code = 131031, title = "Account locked" } } } } } } } },
  }
  for name, body in pairs(WORDS) do
    it("is on disk before it is acknowledged, and done when the store lets us: " .. name, function()
      local sim = simulation.new {}
      local flow = sim.flow
      local park, change_gate = flow.box.park, flow.box.change_gate
      flow.box.park = function() return nil, "store: disk full", {} end
      flow.box.change_gate = flow.box.park
      assert(flow:hooks(body))
      assert.equal(1, #flow.box:open_words())
      local path = sim.path
      flow:close() -- the process dies
      sim = simulation.new { path = path, status = function() return "disconnected" end }
      flow = sim.flow
      assert.is_true(park == flow.box.park and change_gate == flow.box.change_gate)
      flow:drain()
      assert.equal(0, #flow.box:open_words())
      local stats = flow:stats()
      assert.same({ name == "template" and 1 or 0, name == "account" and "open" or "closed" },
        { #stats.parked, (stats.channels.main or { breaker = "closed" }).breaker })
      local alerts = #sim.alerts
      sim:advance(60)
      assert.equal(alerts, #sim.alerts) -- done once
      sim:close()
    end)
  end

  it("of another channel is left alone", function()
    local sim = simulation.new { channels = { main = { id = "ODI1" }, latam = { id = "VID2" } } }
    sim.flow:hooks((WORDS.template:gsub("^{", '{"instanceId":"HEI9",')))
    assert.equal(0, #sim.flow:stats().parked)
    sim.flow:hooks((WORDS.template:gsub("^{", '{"instanceId":"instance2",')))
    local parked = sim.flow:stats().parked
    assert.same({ 1, "latam" }, { #parked, parked[1].channel })
    sim:close()
  end)
end)

describe("a channel's id", function()
  local cases = { -- ours, the hook's, one channel only, several
    { "ODI371267300", "ODI371267300", true, true }, { "ODI371267300", "371267300", true, true },
    { "ODI371267300", "instance371267300", true, true }, { "371267300", "ODI371267300", true, true },
    { "371267300", "instance371267300", true, true }, { "ODI371267300", 371267300, true, true },
    { "ODI371267300", "VID371267300", false, false }, { "ODI371267300", "ODI371267301", false, false },
    { "ODI371267300", "371267301", false, false }, { "ODI371267300", "main-number", true, false },
    { "shop", "shop", true, true }, { "ODI371267300", nil, true, true },
  }
  for _, case in ipairs(cases) do
    for _, several in ipairs { false, true } do
      local ours = case[several and 4 or 3]
      it(("%s, and a hook of %s%s: %s"):format(case[1], tostring(case[2]), several and ", of two" or "",
        ours and "ours" or "a stranger's"), function()
        local channels = { main = { id = case[1] } }
        if several then channels.latam = { id = "HEI129502266" } end
        local sim = simulation.new { channels = channels }
        local _, counts = sim.flow:hooks(cjson.encode { instanceId = case[2], ack = { { id = "w", status = "sent" } } })
        assert.equal(ours and 0 or 1, counts.foreign)
        sim:close()
      end)
    end
  end
end)

describe("who only looks at a store", function()
  it("brings no channel into it", function()
    local path = simulation.store_path()
    local sim = simulation.new { path = path, channels = { sales = { id = "ODI1" } } }
    sim.flow:close()
    local other = simulation.new { path = path }
    for _, look in ipairs { "stats", "list", "suppressed" } do assert(other.flow[look](other.flow)) end
    local names = {}
    for name in pairs(other.flow:stats().channels) do names[#names + 1] = name end
    assert.same({ "sales" }, names)
    assert(other.flow:submit { id = "a", type = "paid", phone = "12020721300" })
    other:advance(1)
    assert.is_truthy(other.flow:stats().channels.main)
    other:close()
  end)
end)
