-- The watch over templates: once an hour a channel's list is held against what was known of it. What turned into marketing, is
-- not approved any more or is gone is set aside, and tells it once; what is well again goes on by itself.
local rules = require "onemsg.rules"
local simulation = require "support.simulation"

local HOUR = 3600

local SCRIPT = [[
template "action_success" { language = "en", %s }
template "other_template" { language = "en" }
defaults { phone = "{phone}", name = "n", action = "payment", next_step = "Thank you.", give_up_after = "20d" }
confirm "Paid" { on = "paid", template = "action_success" }
confirm "Other" { on = "other", template = "other_template" }
]]

describe("the watch over templates", function()
  local sim, set, asked, listed, total

  local function entry(name, more)
    local one = { name = name, language = "en", category = "UTILITY", status = "APPROVED", namespace = "ns",
                  components = { { type = "BODY", text = "{{1}} {{2}} {{3}}" } } }
    for key, value in pairs(more or {}) do one[key] = value end
    return one
  end

  local function start(more, options)
    set = assert(rules.load(SCRIPT:format(more or "")))
    listed, asked, total = { entry "action_success", entry "other_template", entry "of_others" }, {}, nil
    options = options or {}
    options.rules = { current = function() return set end }
    options.calls = { request = function(verb, at)
      asked[#asked + 1] = { verb = verb, at = at }
      if not listed then return nil, "unknown: no answer", { outcome = "unknown" } end
      return { templates = listed, total = total }
    end }
    sim = simulation.new(options)
  end

  local function submit(id, kind) assert(sim.flow:submit { id = id, type = kind or "paid", phone = "1202072" .. 1000 + #id }) end

  local function alerts(kind)
    local list = {}
    for _, one in ipairs(sim.alerts) do
      if not kind or one.alert == kind then list[#list + 1] = one end
    end
    return list
  end

  --- Lets time pass for a service that looks every minute, whether or not something is due.
  local function pass(seconds)
    local step = seconds > HOUR and 300 or 60
    for _ = 1, math.ceil(seconds / step) do sim:advance(math.min(seconds, step)) end
    sim.flow:drain()
  end

  --- What the list says of the first template from now on, and the look that sees it.
  local function say(more)
    listed[1] = entry("action_success", more)
    pass(HOUR + 60)
  end

  after_each(function() sim:close() end)

  it("asks once an hour for each channel, whether or not there is something to send", function()
    start()
    pass(59)
    assert.equal(0, #asked)
    pass(24 * HOUR)
    assert.is_true(#asked >= 24 * 2 - 2 and #asked <= 25 * 2, #asked .. " requests, two pages each time")
    assert.same({}, alerts())
  end)

  it("is one process's for each channel, whoever comes first", function()
    start()
    local box = sim.flow.box
    assert.is_false(box:take_template_look("x", 1000, 60, HOUR))
    assert.is_false(box:take_template_look("x", 1059, 60, HOUR))
    assert.is_true(box:take_template_look("x", 1060, 60, HOUR))
    assert.is_false(box:take_template_look("x", 1060, 60, HOUR))
    assert.is_true(box:take_template_look("y", 1060, 60, HOUR) == false)
    assert.is_true(box:take_template_look("x", 1060 + HOUR, 60, HOUR))
    assert.is_true(box:take_template_look("x", 1060 - 3 * HOUR, 60, HOUR), "a clock that was ahead holds nobody up")
  end)

  it("says in stats what is known of the templates in use, and of no others", function()
    start()
    listed[1].quality_score = { score = "GREEN", date = 1 }
    pass(120)
    local known = sim.flow:stats().templates
    assert.equal(2, #known)
    assert.same({ "action_success", "en", "UTILITY", "APPROVED", "GREEN" },
      { known[1].name, known[1].language, known[1].category, known[1].status, known[1].quality })
    assert.equal("other_template", known[2].name)
  end)

  -- what the list says; does the second message leave; what alerts
  for name, case in pairs {
    ["is marketing now"] = { { category = "MARKETING" }, held = "counts it as marketing now" },
    ["is paused"] = { { status = "PAUSED" }, held = "calls it paused" },
    ["is disabled"] = { { status = "DISABLED" }, held = "calls it disabled" },
    ["is rejected, in small letters"] = { { status = "rejected" }, held = "calls it rejected" },
    ["is looked at anew"] = { { status = "PENDING" }, held = "calls it pending" },
    ["is of low quality"] = { { quality_score = "RED" }, alert = "quality" },
    ["is of middling quality"] = { { quality_score = { score = "YELLOW" } } },
    ["is flagged"] = { { status = "FLAGGED" } },
    ["is active, quality pending"] = { { status = "Active - Quality pending" } },
    ["says no status and no category"] = { { status = false, category = false } },
  } do
    it("acts when a template " .. name, function()
      start()
      submit "1"
      pass(120)
      assert.equal(1, #sim.sent)
      say(case[1])
      pass(5 * HOUR)
      submit "22"
      submit("333", "other")
      pass(60)
      assert.equal(case.held and 2 or 3, #sim.sent)
      local one = sim.flow:show "22"
      assert.equal(case.held and "queued" or "accepted", one.state)
      if case.held then assert.matches(case.held, one.held) end
      assert.equal((case.held or case.alert) and 1 or 0, #alerts())
      if case.held or case.alert then assert.equal(case.alert or "parked", alerts()[1].alert) end
    end)
  end

  it("holds what is marketing at the first look as well, until the rules allow it", function()
    start()
    listed[1].category = "MARKETING"
    pass(120)
    submit "1"
    pass(10 * HOUR)
    assert.equal(0, #sim.sent)
    assert.equal(1, #alerts())
    set = assert(rules.load(SCRIPT:format "allow_marketing = true"))
    pass(2 * HOUR)
    assert.equal(1, #sim.sent)
    set = assert(rules.load(SCRIPT:format ""))
    pass(2 * HOUR)
    submit "22"
    pass(2 * HOUR)
    assert.equal(1, #sim.sent, "allowed no longer")
    assert.equal(2, #alerts "parked")
  end)

  it("does not take back what a person said: taken up by hand, it goes on", function()
    start()
    say { category = "MARKETING" }
    submit "1"
    assert(sim.flow:resume { template = "action_success" })
    pass(5 * HOUR)
    assert.equal(1, #sim.sent)
    assert.equal(1, #alerts "parked")
    say { category = "UTILITY" }
    say { category = "MARKETING" }
    submit "22"
    pass(5 * HOUR)
    assert.equal(1, #sim.sent, "it turned once more, and that is news")
    assert.equal(2, #alerts "parked")
  end)

  it("does not take back that either: a paused one that a person lets go on is not held for the same word", function()
    start()
    say { status = "PAUSED" }
    submit "1"
    assert(sim.flow:resume { template = "action_success" })
    pass(5 * HOUR)
    assert.equal(1, #sim.sent)
    assert.equal(1, #alerts "parked")
  end)

  it("goes on when the list says that a template is well", function()
    for bad, good in pairs { PAUSED = "APPROVED", REJECTED = "approved" } do
      start()
      say { status = bad }
      submit "1"
      pass(60)
      assert.equal(0, #sim.sent)
      say { status = good }
      assert.equal(1, #sim.sent, bad)
      sim:close()
    end
    start()
    say { category = "MARKETING" }
    submit "1"
    say { category = "UTILITY" }
    assert.equal(1, #sim.sent)
    assert.equal(1, #alerts "resumed")
  end)

  it("lifts no word of the other kind: approved, and marketing still", function()
    start()
    say { category = "MARKETING" }
    say { category = "MARKETING", status = "PAUSED" }
    say { category = "MARKETING", status = "APPROVED" }
    submit "1"
    pass(5 * HOUR)
    assert.equal(0, #sim.sent)
  end)

  it("tells of one trouble once, whether a hook or the list says it first", function()
    for _, first in ipairs { "hook", "list" } do
      start()
      pass(120)
      local function hook(field, value)
        value.message_template_name, value.message_template_language = "action_success", "en"
        assert(sim.flow:hooks(require "cjson".encode { entry = { { changes = { { field = field, value = value } } } } }))
      end
      local function hooks()
        hook("template_category_update", { new_category = "MARKETING" })
        hook("message_template_quality_update", { new_quality_score = "RED" })
      end
      if first == "hook" then hooks() end
      say { category = "MARKETING", quality_score = "RED" }
      hooks()
      pass(3 * HOUR)
      assert.equal(1, #alerts "parked", first)
      assert.equal(1, #alerts "quality", first)
      if first == "hook" then sim:close() end
    end
  end)

  it("takes a template that a whole list lacks as deleted; an empty one, or a part, says nothing", function()
    start()
    pass(120)
    local all = listed
    listed = {}
    pass(2 * HOUR)
    listed = nil
    pass(2 * HOUR)
    assert.same({}, alerts())
    listed = { all[2] }
    pass(2 * HOUR)
    submit "1"
    pass(60)
    assert.equal(0, #sim.sent)
    assert.matches("calls it deleted", sim.flow:show("1").held)
    assert.equal(1, #alerts())
  end)

  it("asks again within minutes when the channel gave no list", function()
    start()
    listed = nil
    pass(HOUR)
    assert.is_true(#asked >= 5, #asked .. " requests")
  end)

  it("leaves other languages and the templates of others alone", function()
    start()
    listed[3].category = "MARKETING"
    listed[4] = entry("action_success", { language = "es", status = "PAUSED" })
    pass(2 * HOUR)
    submit "1"
    pass(60)
    assert.equal(1, #sim.sent)
    assert.equal(1, #sim.flow:stats().parked)
    assert.equal("es", sim.flow:stats().parked[1].language)
  end)

  it("outlives the process: what was known is known to the next", function()
    start()
    local path = sim.path
    say { category = "MARKETING" }
    local all = listed
    sim.flow:close()
    start("", { path = path })
    listed = all
    pass(3 * HOUR)
    assert.same({}, alerts())
    submit "1"
    pass(HOUR)
    assert.equal(0, #sim.sent)
  end)
end)
