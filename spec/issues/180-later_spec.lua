-- `after` in a confirm: the message leaves so long after its event. Nobody waits behind it until then, and what holds for a
-- message that is due holds for it when it is.
local rules = require "onemsg.rules"
local simulation = require "support.simulation"

local SCRIPT = [[
template "action_success" { language = "en" }
defaults { phone = "{phone}", name = "n", action = "payment", next_step = "Thank you.", give_up_after = "1h", %s }
confirm "Now" { on = "now", after = false }
confirm "Later" { on = "later", after = "2h" }
confirm "Default" { on = "default" }
example "Later" { event = { type = "later", phone = "12020721300" }, expect = { confirm = "Later", after = "2h" } }
]]

describe("after", function()
  local sim
  local function start(defaults) sim = simulation.new { rules = SCRIPT:format(defaults or ""), gap = 6 } end
  local function submit(id, kind, phone) assert(sim.flow:submit { id = id, type = kind, phone = phone or "12020721300" }) end
  local function left()
    local texts = {}
    for n, one in ipairs(sim.sent) do texts[n] = ("%s %.0f"):format(one.phone:sub(-2), one.at - simulation.EPOCH) end
    return table.concat(texts, ", ")
  end
  after_each(function() if sim then sim:close() end; sim = nil end)

  it("holds a message so long, and nobody else to the same person", function()
    start()
    submit("1", "later")
    submit("2", "now")
    assert.equal(sim.time + 7200, sim.flow:show("1").due_at)
    assert.equal(1, sim.flow:stats().due)
    sim:advance(60)
    assert.matches("^It leaves at ", sim.flow:show("1").why.next)
    submit("3", "now")
    sim:advance(7100)
    assert.equal("00 0, 00 60", left())
    sim:advance(100)
    assert.equal("00 0, 00 60, 00 7200", left())
  end)

  it("keeps the gap to what left just before, and stands before what came after it was due", function()
    start()
    submit("1", "later")
    sim:advance(7198)
    submit("2", "now")
    sim:advance(100)
    assert.equal("00 7198, 00 7204", left())
    sim:close()
    start()
    submit("1", "later")
    submit("2", "later")
    sim:advance(8000)
    assert.equal("00 7200, 00 7206", left())
  end)

  it("counts give_up_after from then", function()
    start()
    submit("1", "later")
    assert.equal(sim.time + 7200 + 3600, sim.flow:show("1").give_up_at)
  end)

  it("can be cancelled, is suppressed, and comes from the defaults as well", function()
    start 'after = "10m"'
    submit("1", "later")
    submit("2", "later", "12020721301")
    submit("3", "default", "12020721302")
    submit("4", "now", "12020721303")
    assert(sim.flow:cancel "1")
    assert(sim.flow:suppress("12020721301", { reason = "asked" }))
    sim:advance(3 * 3600)
    assert.equal("03 0, 02 600", left())
    assert.equal("skipped", sim.flow:show("2").state)
  end)

  for text, why in pairs { ['after = "soon"'] = "after is \"soon\"", ["after = 0"] = "it must be from 1s to 30d",
      ['after = "31d"'] = "it must be from 1s to 30d", ["after = true"] = "after is true" } do
    it("refuses " .. text, function()
      local set, err = rules.load(SCRIPT:format(text))
      assert.is_nil(set)
      assert.truthy(err:find("config: rules.lua:2: defaults: " .. why, 1, true) or err:find(why, 1, true), err)
    end)
  end
end)
