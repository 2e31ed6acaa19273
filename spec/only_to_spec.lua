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

describe("ONE_MSG_ONLY_TO", function()
  it("holds for `onemsg send` too, and doctor says that it is there", function()
    local fake = require "support.server".fake { set = { pace_ms = 0 } }
    local command = require "support.command".new(fake.env)
    command.env.ONE_MSG_ONLY_TO = "+1 202 072 1300, 12020724600"
    local words = " --name A --action b --next-step c"
    for who, code in pairs { ["--phone 12020721300"] = 0, ["--phone '+1 (202) 072-4600'"] = 0, ["--phone 12020721400"] = 1,
      ["--username maria"] = 1 } do
      for _, check in ipairs { " --check", "" } do
        local done = command:run("send " .. who .. words .. check)
        assert.equal(code, done.code, who .. done.err)
        if code == 1 then assert.matches("not in ONE_MSG_ONLY_TO", done.err) end
      end
    end
    assert.same({ 1, 0 }, { fake:count "12020721300", fake:count "12020721400" })
    assert.matches("only_to", command:run("doctor").out)
    command.env.ONE_MSG_ONLY_TO = "nobody"
    assert.equal(5, command:run("send --phone 12020721300" .. words).code)
    command:remove()
    fake:stop()
  end)
end)
