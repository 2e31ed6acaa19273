-- workflow.open { only_to = { … } }: a system that is tried out writes to these people alone, whatever its store holds.
local simulation = require "support.simulation"
local onemsg_workflow = require "onemsg.workflow"

local RULES = simulation.RULES .. [[
confirm "With SMS" { on = "sms", action = "payment", next_step = "Thank you.",
  otherwise = { after = "1s", send = "sms", text = "Paid." } }
]]
local OURS, OTHERS = "12020721300", "12020721301"

describe("only_to", function()
  local sim, told

  local function start(only_to, path)
    told = {}
    sim = simulation.new { rules = RULES, only_to = only_to, path = path,
      fallback = { sms = function(notice) told[#told + 1] = notice.id return true end } }
    return sim.flow
  end

  local function submit(id, kind, who)
    local event = { id = id, type = kind, name = "Maria", payment = "p" }
    for name, value in pairs(type(who) == "table" and who or { phone = who }) do event[name] = value end
    return assert(sim.flow:submit(event))
  end

  after_each(function() sim:close() end)

  it("lets them be written to, in every spelling, and skips everybody else", function()
    for n, case in ipairs {
      { { "+1 (202) 072-1300" }, OURS, "queued" }, { { OURS }, OTHERS, "skipped" },
      { { OTHERS, OURS }, OURS, "queued" }, { {}, OURS, "skipped" }, { { 12020721300 }, OURS, "queued" },
      { { "+52 1 55 1234 5678" }, "525512345678", "queued" },
      { { "12020721300@c.us" }, OURS, "queued" },
    } do
      start(case[1])
      local ticket = submit("a", "else", case[2])
      assert.equal(case[3], ticket.state, n)
      if case[3] == "skipped" then
        assert.equal("not in only_to", ticket.reason)
        assert.equal("not in only_to", sim.flow:show("a").reason)
      end
      sim:advance(60)
      assert.equal(case[3] == "queued" and 1 or 0, #sim.sent, n)
      sim:close()
    end
    start { OURS }
  end)

  it("holds for what another workflow queued, and for other ways", function()
    start(nil)
    submit("ours", "sms", OURS)
    submit("theirs", "sms", OTHERS)
    local path = sim.path
    sim.flow:close()
    start({ OURS }, path)
    sim:advance(60)
    assert.equal(1, #sim.sent)
    assert.equal(OURS, sim.sent[1].phone)
    local theirs = sim.flow:show "theirs"
    assert.same({ "rejected", "invalid: not in only_to" }, { theirs.state, theirs.reason })
    assert.same({ "ours" }, told)
    assert.truthy(theirs.history[#theirs.history].reason:find("sms: not used; not in only_to", 1, true))
  end)

  it("is refused when it names what is no phone, and when it is no list", function()
    start { OURS }
    local options = { channel = sim.flow.channels.main, rules = sim.flow.rules, store = sim.flow.store }
    options.only_to = { "no phone" }
    local flow, err = onemsg_workflow.open(options)
    assert.is_nil(flow)
    assert.truthy(err:find "^config: only_to: phone ", err)
    options.only_to = { {} }
    assert.has_error(function() onemsg_workflow.open(options) end)
  end)
end)
