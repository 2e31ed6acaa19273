-- rules check --store: what has really come, against what the rules say.
local cjson = require "cjson"
local commands = require "support.command"
local outbox = require "onemsg.outbox"
local rules = require "onemsg.rules"
local simulation = require "support.simulation"
local template = require "onemsg.template"

local SCRIPT = [[
template "action_success" { language = "en", ttl = "1d" }
defaults { phone = "{customer.phone}", name = "{customer.first_name|there}", action = "payment", next_step = "Thanks." }
never "Staff" { when = { ["customer.staf"] = true } }
confirm "Paid" { on = "payment.suceeded", action = "{order.numbr|x}" }
confirm "All refunds" { on = "refund.*", name = "{resolved.name|x}" }
]]

local function event(id, kind, more)
  local one = { id = id, type = kind, customer = { phone = "+12020721300", first_name = "Maria", staff = false },
    order = { number = "7" } }
  for name, value in pairs(more or {}) do one[name] = value end
  return one
end

describe("rules against a store", function()
  local sim
  before_each(function() sim = simulation.new { rules = SCRIPT } end)
  after_each(function() sim:close() end)

  local function against(options)
    local list, n = sim.flow:rules_against(assert(rules.load(SCRIPT)), options)
    local texts = {}
    for at, one in ipairs(assert(list, n)) do texts[at] = one.line .. ": " .. one.text end
    return texts, n
  end

  it("says nothing of fields and types while nothing has come", function()
    assert.same({ {}, 0 }, { against() })
  end)

  it("names fields and types that never came, with what was probably meant, and types that no rule is for", function()
    for n = 1, 3 do assert(sim.flow:submit(event("p" .. n, "payment.succeeded"))) end
    assert(sim.flow:submit(event("r", "refund.created")))
    assert.same({
      "1: 3 events of type \"payment.succeeded\" came, and no rule is for them; did you mean \"payment.suceeded\"?",
      "3: no event that came has the field customer.staf; did you mean \"customer.staff\"?",
      "4: \"Paid\": no event of type \"payment.suceeded\" has come; did you mean \"payment.succeeded\"?",
      "4: no event that came has the field order.numbr; did you mean \"order.number\"?",
    }, (against()))
    sim.time = sim.time + 86400
    assert.same({ {}, 0 }, { against { since = "1h" } })
  end)

  -- the category of the template, and whether a ttl of a day is said
  for category, wrong in pairs { UTILITY = true, AUTHENTICATION = true, MARKETING = false, OTHER = false } do
    it("holds the ttl against the category " .. category, function()
      assert(sim.flow.box:see_template({ channel = "main", name = "action_success", language = "en", category = category }, 1))
      local list = against()
      assert.equal(wrong and 2 or 0, #list)
      if wrong then assert.matches('^4: "Paid": ttl is 86400 seconds, and WhatsApp takes 30 to', list[1]) end
    end)
  end

  it("writes nothing", function()
    assert(sim.flow:submit(event("p", "payment.succeeded")))
    local before = cjson.encode(sim.flow:list {})
    against()
    assert.equal(before, cjson.encode(sim.flow:list {}))
  end)
end)

describe("template.check", function()
  for _, case in ipairs { { "UTILITY", 43200, true }, { "UTILITY", 43201, false }, { "UTILITY", -1, true },
      { "UTILITY", 29, false }, { "AUTHENTICATION", 901, false }, { "MARKETING", 43199, false },
      { "MARKETING", 2592000, true } } do
    it(("takes a ttl of %d for %s: %s"):format(case[2], case[1], tostring(case[3])), function()
      local tpl = template.normalize { templates = { { name = "a", language = "en", category = case[1], status = "APPROVED",
        components = { { type = "BODY", text = "Hello {{1}} there" } } } } }[1]
      local ok, err = template.check(tpl, { body = { "x" }, ttl = case[2] })
      assert.equal(case[3] or nil, ok)
      if not case[3] then assert.matches("^invalid: ttl is ", err) end
    end)
  end
end)

describe("onemsg rules check --store", function()
  it("warns, and with --strict fails", function()
    local command = commands.new {}
    local path = command:write("rules.lua", SCRIPT)
    local store = "sqlite:" .. command.dir .. "/confirmations.db"
    local box = assert(outbox.open(store, { "main" }))
    assert(box:see_template({ channel = "main", name = "action_success", language = "en", category = "UTILITY" }, 1))
    box:close()
    local result = command:run(("rules check %s --store %s"):format(path, store))
    assert.equal(0, result.code, result.err)
    assert.truthy(result.out:find('rules.lua:4: "Paid": ttl is 86400 seconds', 1, true), result.out)
    assert.equal(1, command:run(("rules check %s --store %s --strict"):format(path, store)).code)
    command:remove()
  end)
end)
