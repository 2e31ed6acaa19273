-- What people edit is no identity: replay took the rule that stood at a confirmation's place by now, and sent another rule's
-- message a second time. And an other way that the rules name and nobody has was never used and never told of.
local rules = require "onemsg.rules"
local simulation = require "support.simulation"

local PHONE = "12020721300"
local HEAD = [[
template "action_success" { language = "en", body = { "name", "action", "next_step" } }
defaults { phone = "{phone}", name = "{name|there}", next_step = "Thank you." }
]]
local function rule(name, more) return ('confirm %q { on = "paid", action = %q, %s }\n'):format(name, name, more or "") end

describe("rules that were edited", function()
  local sim, flow, at_work

  local function start(source, options)
    options = options or {}
    at_work = assert(rules.load(HEAD .. source))
    options.rules = { current = function() return at_work end }
    sim = simulation.new(options)
    flow = sim.flow
  end

  after_each(function() sim:close() end)

  local ALSO = "also = true"
  -- The rules at submit and at replay, which confirmation, and the rule that it is sent by (or why not).
  local rows = {
    { "the same rule, moved", rule("A", ALSO) .. rule("B"), rule("B", ALSO) .. rule("A"), "e~2", "B" },
    { "a rule that goes on under another name, among several", rule("A", ALSO) .. rule("B"),
      rule("C", ALSO) .. rule("A"), "e~2", nil,
      '^conflict: e~2 was decided by the rule "B", and now the event leads to "C", "A"' },
    { "the first of them as well", rule("A", ALSO) .. rule("B"), rule("B", ALSO) .. rule("C"), "e", nil,
      "^conflict: e was decided" },
    { "the only one there was, and of several now", rule("A"), rule("B", ALSO) .. rule("C"), "e", nil,
      "^conflict: e was decided" },
    { "one of several, and there is one now", rule("A", ALSO) .. rule("B"), rule("C"), "e~2", nil, "^conflict: e~2 was decided" },
    { "the only one there was and is", rule("A"), rule("B"), "e", "B" },
    { "what no rule confirms any more", rule("A", ALSO) .. rule("B"), rule("C", "when = { x = 1 }"), "e~2", nil,
      "^invalid: the rules skip it: no rule matched" },
  }
  for _, row in ipairs(rows) do
    it("replay " .. row[1], function()
      start(row[2])
      assert(flow:submit { id = "e", type = "paid", phone = PHONE })
      assert(flow:cancel(row[4]))
      at_work = assert(rules.load(HEAD .. row[3]))
      local again, err = flow:replay(row[4])
      if row[5] then
        assert.equal(row[5], again and again.rule, err)
      else
        assert.is_nil(again)
        assert.matches(row[6], err)
        assert.equal("cancelled", flow:show(row[4]).state)
      end
    end)
  end

  local WAY = 'otherwise = { send = "sms", text = "Paid." }'

  it("name a way that is missing: said at the start, and by everything that shows it", function()
    start(rule("A", WAY), { answer = function() return nil, "rejected: 422 x", { outcome = "rejected", status = 422 } end })
    local other = assert(require "onemsg.workflow".open { rules = at_work, store = "sqlite:" .. sim.path,
      channel = flow.channels.main, now = flow.now })
    other:close()
    local _, missing = require "onemsg.workflow".open { rules = at_work, store = "sqlite:" .. sim.path,
      channel = flow.channels.main, now = flow.now }
    assert.equal('the rules name another way that is not given here: "sms" (rules.lua:3); what needs it waits for a worker '
      .. "that has it", missing)
    assert(flow:submit { id = "e", type = "paid", phone = PHONE })
    sim:advance(1)
    assert.is_nil(flow:show("e").way_missing)
    assert.equal(0, #sim.alerts)
    for _ = 1, 40 do
      sim.time = sim.time + 60
      flow:drain()
    end
    assert.equal('the other way "sms" is overdue for 40 min: no worker has it', flow:show("e").way_missing)
    assert.same({ sms = 1 }, flow:stats().fallbacks_waiting)
    assert.equal(1, #sim.alerts)
    assert.equal('1 confirmations wait for the other way "sms", which this workflow does not have and nobody else used',
      sim.alerts[1].reason)
    assert.equal(3, #flow:show("e").history)
  end)

  it("name a way that another process has: that one uses it, whoever looks first", function()
    start(rule("A", WAY), { answer = function() return nil, "rejected: 422 x", { outcome = "rejected", status = 422 } end })
    local told = 0
    local other = assert(require "onemsg.workflow".open { rules = at_work, store = "sqlite:" .. sim.path, now = flow.now,
      channel = flow.channels.main, sleep = flow.sleep, fallback = { sms = function() told = told + 1 return true end } })
    assert(flow:submit { id = "e", type = "paid", phone = PHONE })
    for _ = 1, 3 do flow:drain() end
    assert.equal(0, told)
    other:drain()
    assert.equal(1, told)
    assert.equal("done", flow:show("e").fallback)
    assert.same({}, flow:stats().fallbacks_waiting)
    other:close()
  end)

  it("are told with what is missing when they come to work", function()
    start(rule("A"))
    flow:drain()
    at_work = assert(rules.load(HEAD .. rule("A", WAY)))
    sim.time = sim.time + 2
    flow:drain()
    assert.equal("new rules are at work", sim.alerts[1].reason)
    assert.truthy(sim.alerts[1].missing:find('"sms" (rules.lua:3)', 1, true))
  end)
end)
