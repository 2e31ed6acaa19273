-- A template that WhatsApp turns from utility to marketing between two sends: the second does not leave, one alert tells of
-- it, and `allow_marketing` lets it. Whatever else is said of the template meanwhile takes nothing of that back.
local rules = require "onemsg.rules"
local simulation = require "support.simulation"

local SCRIPT = [[
template "action_success" { language = "en", %s }
template "other_template" { language = "en" }
defaults { phone = "{phone}", name = "n", action = "payment", next_step = "Thank you.", give_up_after = "10d" }
confirm "Paid" { on = "paid", template = "action_success" }
confirm "Other" { on = "other", template = "other_template" }
]]

--- A hook as Meta writes it; at: seconds, so that two are not one.
local function hook(sim, field, value)
  value.message_template_name = value.message_template_name or "action_success"
  value.message_template_language = value.message_template_language or "en"
  local json = require "cjson".encode { entry = { { changes = { { field = field, value = value } } } } }
  local ok, err = sim.flow:hooks(json)
  assert(ok, err)
  sim.time = sim.time + 1
end

local function turned(sim, category)
  hook(sim, "template_category_update", { previous_category = "UTILITY", new_category = category })
end

local function alerts(sim, kind)
  local list = {}
  for _, one in ipairs(sim.alerts) do
    if one.alert == kind then list[#list + 1] = one end
  end
  return list
end

describe("a template that has become marketing", function()
  local sim, set

  local function start(more)
    set = assert(rules.load(SCRIPT:format(more or "")))
    sim = simulation.new { rules = { current = function() return set end } }
  end

  local function submit(id, kind) assert(sim.flow:submit { id = id, type = kind or "paid", phone = "1202072" .. 1000 + #id }) end

  after_each(function() sim:close() end)

  it("waits: the second message does not leave, one alert, the others go on", function()
    start()
    submit "1"
    sim:advance(10)
    assert.equal(1, #sim.sent)
    submit "22" -- queued before the word, by the same rule
    turned(sim, "MARKETING")
    turned(sim, "MARKETING")
    submit "333"
    submit("4444", "other")
    sim:advance(5 * 86400)
    assert.equal(2, #sim.sent)
    assert.equal("other_template", sim.sent[2].message.template)
    for _, id in ipairs { "22", "333" } do
      local one = sim.flow:show(id)
      assert.equal("queued", one.state)
      assert.matches("counts it as marketing now", one.held)
      assert.matches("^It waits: the template is set aside: WhatsApp counts it as marketing now", one.why.next)
    end
    assert.equal(1, #alerts(sim, "parked"))
    assert.equal("action_success", sim.flow:stats().parked[1].template)
  end)

  for name, field in pairs { paused = { event = "PAUSED" }, approved = { event = "APPROVED" },
      ["reinstated"] = { event = "REINSTATED" } } do
    it("still waits when it is " .. name .. " meanwhile", function()
      start()
      turned(sim, "MARKETING")
      hook(sim, "message_template_status_update", field)
      submit "1"
      sim:advance(5 * 86400)
      assert.equal(0, #sim.sent)
    end)
  end

  for name, due in pairs {
    ["paused and taken up again"] = function()
      assert(sim.flow:pause { rule = "Paid" })
      sim:advance(60)
      assert(sim.flow:resume { rule = "Paid" })
    end,
    ["cancelled and replayed"] = function()
      assert(sim.flow:cancel "1")
      assert(sim.flow:replay "1")
    end,
  } do
    it("still waits when its message is " .. name, function()
      start()
      turned(sim, "MARKETING")
      submit "1"
      sim:advance(3600)
      due()
      sim:advance(3600)
      assert.equal(0, #sim.sent)
      assert.matches("counts it as marketing now", sim.flow:show("1").held)
    end)
  end

  it("leaves when the rules allow it, and all that waited leaves", function()
    start()
    turned(sim, "MARKETING")
    submit "1"
    submit "22"
    sim:advance(3600)
    assert.equal(0, #sim.sent)
    set = assert(rules.load(SCRIPT:format "allow_marketing = true"))
    sim:advance(120)
    assert.equal(2, #sim.sent)
    assert.equal(1, #alerts(sim, "resumed"))
    turned(sim, "MARKETING")
    submit "333"
    sim:advance(60)
    assert.equal(3, #sim.sent)
    assert.equal(1, #alerts(sim, "parked"))
  end)

  it("leaves when WhatsApp takes its word back, or a person says so", function()
    for _, lift in ipairs { function() turned(sim, "UTILITY") end,
        function() assert(sim.flow:resume { template = "action_success" }) end } do
      start()
      turned(sim, "MARKETING")
      submit "1"
      sim:advance(3600)
      assert.equal(0, #sim.sent)
      lift()
      sim:advance(60)
      assert.equal(1, #sim.sent)
      sim:close()
    end
    start()
  end)

  it("is told from one of low quality, which alerts, and goes on", function()
    start()
    hook(sim, "message_template_quality_update", { previous_quality_score = "GREEN", new_quality_score = "RED" })
    hook(sim, "message_template_quality_update", { previous_quality_score = "RED", new_quality_score = "GREEN" })
    submit "1"
    sim:advance(60)
    assert.equal(1, #sim.sent)
    assert.equal(1, #alerts(sim, "quality"))
  end)

  it("is nobody else's: another language, another template", function()
    start()
    hook(sim, "template_category_update", { new_category = "MARKETING", message_template_language = "es" })
    hook(sim, "template_category_update", { new_category = "MARKETING", message_template_name = "third" })
    submit "1"
    submit("22", "other")
    sim:advance(60)
    assert.equal(2, #sim.sent)
  end)
end)
