local rules = require "onemsg.rules"

local TAIL = '\nconfirm "Any" { on = "any", name = "n", action = "a", next_step = "x" }\n'
local BODY = 'name = "n", action = "a", next_step = "x"'

local function load_rules(script) return assert(rules.load(script)) end

-- The one decision of a script with one rule whose fields are given.
local function decide(fields, event, more)
  event.type = event.type or "t"
  local action = fields:find("^action =") and "" or 'action = "a", '
  local script = ('confirm "R" { on = "t", name = "n", %snext_step = "x", %s }'):format(action, fields)
  local list = load_rules((more or "") .. "\n" .. script):decide(event)
  assert.equal(1, #list)
  return list[1]
end

local function holds(condition, value)
  return decide("when = { v = " .. condition .. " }", { v = value }).confirm
end

local DESIGN = [[
template "action_success" { language = "en", body = { "name", "action", "next_step" } }

defaults {
  phone         = "{customer.phone}",
  name          = "{customer.first_name|there}",        -- after | : used when the event has none
  give_up_after = "6h",
}

never "Staff" { when = { ["customer.email"] = ends_with "@ourcompany.example" } }

confirm "Subscription payment" {
  on        = "payment.succeeded",
  when      = { ["plan.kind"] = "subscription", amount = over(0) },
  action    = "subscription payment",
  next_step = "Access activated in your account.",
  once_per  = "{payment.id}",
  otherwise = { after = "10m", send = "sms", text = "Payment received. {next_step}" },
}

confirm "Big order" {
  on        = "order.paid",
  when      = function(e) return e.order.total > 100 end,      -- Lua where sentences do not reach
  action    = "order {order.number}",
  next_step = "We ship it on {order.ship_day|the next working day}.",
}

example "Maria pays" {
  event  = { type = "payment.succeeded", amount = 990, plan = { kind = "subscription" }, payment = { id = "p-1" },
             customer = { first_name = "Maria", phone = "+1 202 072 1369" } },
  expect = { confirm = "Subscription payment", name = "Maria", phone = "12020721369" },
}
]]

local function maria()
  return { type = "payment.succeeded", amount = 990, plan = { kind = "subscription" }, payment = { id = "p-1" },
    customer = { first_name = "Maria", phone = "+1 202 072 1369" } }
end

describe("rules: a whole script", function()
  local set = load_rules(DESIGN)

  it("confirms with everything a send needs", function()
    assert.same({ {
      confirm = true, rule = "Subscription payment", reason = 'matched rule "Subscription payment"',
      version = set.version, template = "action_success", language = "en", phone = "+1 202 072 1369",
      body = { "Maria", "subscription payment", "Access activated in your account." },
      values = { name = "Maria", action = "subscription payment", next_step = "Access activated in your account." },
      name = "Maria", action = "subscription payment", next_step = "Access activated in your account.",
      once_per = "p-1", give_up_after = 21600,
      otherwise = { after = 600, send = "sms", text = "Payment received. Access activated in your account.",
        on_unknown = false },
    } }, set:decide(maria()))
  end)

  it("puts every never before every confirm", function()
    local event = maria()
    event.customer.email = "maria@ourcompany.example"
    assert.same({ { confirm = false, rule = "Staff", reason = 'skipped: never "Staff"', version = set.version } },
      set:decide(event))
  end)

  it("says for every rule why nothing matched", function()
    local event = maria()
    event.amount, event.plan = 0, nil
    local list = set:decide(event)
    assert.same({ {
      confirm = false, version = set.version,
      reason = 'skipped: no rule matched "payment.succeeded": "Subscription payment": amount is 0, not over 0',
      trace = {
        'never "Staff": customer.email is missing, not a text that ends with "@ourcompany.example"',
        'confirm "Subscription payment": amount is 0, not over 0',
        'confirm "Big order": it is for order.paid',
      },
    } }, list)
    assert.equal('skipped: no rule is for "login"', set:decide({ type = "login" })[1].reason)
  end)

  it("uses a function where sentences do not reach, and a default for a lacking field", function()
    local decision = set:decide({ type = "order.paid", order = { total = 101, number = 7.0 } })[1]
    assert.same({ "there", "order 7", "We ship it on the next working day." }, decision.body)
    assert.is_true(decision.needs_phone)
    assert.is_false(set:decide({ type = "order.paid", order = { total = 100, number = 7 } })[1].confirm)
  end)

  it("names the rules, templates and what workflow must have ready", function()
    assert.same({ "Subscription payment", "Big order" }, set.rules)
    assert.same({ fallbacks = { sms = "rules.lua:11" }, channels = {} }, set.uses)
    assert.same({ "name", "action", "next_step" }, set.templates.action_success.body)
  end)

  it("has a version that depends on every byte and is the same on every Lua", function()
    assert.equal("6c3652f277e747e7", set.version)
    assert.equal(set.version, load_rules(DESIGN).version)
    assert.not_equal(set.version, load_rules(DESIGN .. "\n").version)
    assert.not_equal(load_rules(TAIL .. "-- a").version, load_rules(TAIL .. "-- b").version)
    local seen, count = {}, 0
    for n = 1, 20000 do -- one digit changed, or two swapped: no two alike
      local version = require("onemsg.rules.source").version("amount = over(" .. n .. ")")
      assert.is_nil(seen[version])
      seen[version], count = true, count + 1
    end
    assert.equal(20000, count)
  end)

  it("explains by the same checks", function()
    local lines, decisions = set:explain(maria())
    assert.same({
      'never "Staff": no, customer.email is missing, not a text that ends with "@ourcompany.example"',
      'confirm "Subscription payment": yes',
      'confirm "Big order": it is for order.paid',
      'confirmed: matched rule "Subscription payment"',
    }, lines)
    assert.same(set:decide(maria()), decisions)
    local event = { type = "order.paid", order = { total = 500, number = 1 } }
    event.customer = { email = "x@ourcompany.example", phone = "+12020721369" }
    assert.equal('confirm "Big order": not asked, an earlier rule decided', set:explain(event)[3])
  end)
end)

describe("rules: conditions", function()
  it("over, under and between take numbers and texts written like numbers", function()
    assert.is_true(holds("over(5)", 6)) assert.is_false(holds("over(5)", 5)) assert.is_true(holds("over(5)", "5.5"))
    assert.is_false(holds("over(5)", "six")) assert.is_false(holds("over(5)", "0x10")) assert.is_false(holds("over(5)"))
    assert.is_true(holds("under(5)", 4)) assert.is_false(holds("under(5)", 5)) assert.is_true(holds("under(5)", "-1"))
    assert.is_true(holds("between(2, 4)", 2)) assert.is_true(holds("between(2, 4)", 4))
    assert.is_false(holds("between(2, 4)", 4.5)) assert.is_false(holds("between(2, 4)", true))
    assert.is_false(holds("over(5)", 0 / 0)) assert.is_false(holds("over(5)", {}))
  end)

  it("one_of, starts_with and ends_with take one or several", function()
    assert.is_true(holds('one_of("a", "b")', "b")) assert.is_true(holds('one_of { "a", 3 }', 3))
    assert.is_false(holds('one_of("a", "b")', "c")) assert.is_false(holds("one_of(1, 2)", "1"))
    assert.is_true(holds('starts_with("+55", "+1")', "+1202")) assert.is_false(holds('starts_with "+55"', "55"))
    assert.is_true(holds('ends_with { "@a", "@b" }', "x@b")) assert.is_false(holds('ends_with "@a"', "x@A"))
    assert.is_false(holds('ends_with "a"', 5)) assert.is_true(holds('starts_with "%a"', "%a%a"))
  end)

  it("missing and present judge whether there is a value; null is none", function()
    local null = require("cjson").null
    assert.is_true(holds("missing")) assert.is_true(holds("missing", null)) assert.is_true(holds("missing()"))
    assert.is_false(holds("missing", false)) assert.is_false(holds("missing", ""))
    assert.is_true(holds("present", false)) assert.is_false(holds("present", null)) assert.is_false(holds("present"))
    assert.is_true(holds("present", {}))
  end)

  it("a plain value means equal, a function judges the value", function()
    assert.is_true(holds('"x"', "x")) assert.is_false(holds('"5"', 5)) assert.is_true(holds("5", 5.0))
    assert.is_true(holds("true", true)) assert.is_false(holds("true", "true")) assert.is_true(holds("false", false))
    assert.is_true(holds("function(v) return #v == 3 end", { 1, 2, 3 }))
    assert.is_false(holds("function(v) return v == 4 end", 5)) assert.is_true(holds("function(v) return v == nil end"))
  end)

  it("paths reach into tables and lists", function()
    local event = { items = { { name = "pen" } }, ["2"] = "two" }
    assert.is_true(decide('when = { ["items.1.name"] = "pen", ["2"] = "two" }', event).confirm)
    assert.is_false(decide('when = { ["items.1.name.more"] = present }', event).confirm)
    assert.is_false(decide('when = { ["items.2.name"] = present }', event).confirm)
  end)

  it("says what is instead, and of phones only the end", function()
    local function why(condition, value, field)
      return decide(("when = { %s = %s }"):format(field or "v", condition), { [field or "v"] = value }).reason
        :gsub('^skipped: no rule matched "t": "R": ', "")
    end
    assert.equal('v is "b", not "a"', (why('"a"', "b")))
    assert.equal("v is missing, not between 1 and 2", (why("between(1, 2)")))
    assert.equal("v is missing", (why("present")))
    assert.equal('v is "q", not missing', (why("missing", "q")))
    assert.equal("v is a table, not one of 1, \"b\"", (why('one_of(1, "b")', {})))
    assert.equal("v is 3, and its function says no", (why("function() return false end", 3)))
    assert.equal('phone is "…1369", not "x"', (why('"x"', "12020721369", "phone")))
    assert.equal('v is "…1369", not "x"', (why('"x"', "+12020721369")))
    assert.equal('v is "' .. ("y"):rep(57) .. '…", not "x"', (why('"x"', ("y"):rep(5000))))
    assert.equal('skipped: no rule matched "t": "R": its function says no',
      decide("when = function() end", {}).reason)
  end)

  it("event types match whole, by prefix or all", function()
    local set = load_rules([[
      confirm "P" { on = { "payment.*", "refund" }, ]] .. BODY .. [[ }
      confirm "All" { on = "*", ]] .. BODY .. [[ } ]])
    local function rule(event_type) return set:decide({ type = event_type })[1].rule end
    assert.equal("P", rule "payment.succeeded") assert.equal("P", rule "refund") assert.equal("All", rule "refund.x")
    assert.equal("All", rule "payment") assert.equal("All", rule "payments.x")
    for n = 1, 600 do assert.equal("All", rule("other" .. n)) end -- more types than are remembered
    assert.equal("P", rule "payment.x")
  end)

  it("skips an event without a type", function()
    for _, event_type in ipairs { "", 5, ("t"):rep(201), {} } do
      assert.equal("skipped: the event has no type", load_rules(TAIL):decide({ type = event_type })[1].reason)
    end
    assert.equal("skipped: the event has no type", load_rules(TAIL):decide({})[1].reason)
  end)
end)

describe("rules: texts", function()
  local function action(text, event) return decide(("action = %s"):format(text), event or {}).action end

  it("fills fields, defaults and braces", function()
    assert.equal("order 7 of Maria", action('"order {n} of {c.name}"', { n = 7, c = { name = "Maria" } }))
    assert.equal("there", action('"{name|there}"'))
    assert.equal("there", action('"{name|there}"', { name = "  " }))
    assert.equal("Ana", action('"{ name | there}"', { name = "Ana" }))
    assert.equal("{} of {a}", action('"{{}} of {{{x}}}"', { x = "a" }))
    assert.equal("first pen", action('"first {items.1.name}"', { items = { { name = "pen" } } }))
    assert.equal("a.", action('"a{b|}."'))
  end)

  it("writes numbers as people do", function()
    for _, pair in ipairs { { 990.0, "990" }, { 12.5, "12.5" }, { 0.1 + 0.2, "0.3" }, { -0.0, "0" },
      { 1e15, "1000000000000000" }, { 123456789012, "123456789012" }, { -3, "-3" } } do
      assert.equal(pair[2], action('"{n}"', { n = pair[1] }))
    end
    assert.equal("5", action("5.0"))
  end)

  it("skips rather than sends an empty or unreadable variable", function()
    local null = require("cjson").null
    local function why(text, event) return decide(("action = %s"):format(text), event or {}).reason end
    assert.equal('skipped: the event has no customer.first_name, and rule "R" has no default for it',
      why('"{customer.first_name}"'))
    assert.equal('skipped: the event has no n, and rule "R" has no default for it', why('"a {n}"', { n = null }))
    assert.equal('skipped: the event has no n, and rule "R" has no default for it', why('"a {n}"', { n = " \t" }))
    assert.equal('skipped: n is true, which is no text (action of rule "R")', why('"{n|x}"', { n = true }))
    assert.equal('skipped: n is a table, which is no text (action of rule "R")', why('"{n|x}"', { n = {} }))
    assert.equal('skipped: n is no number that can be written (action of rule "R")', why('"{n}"', { n = 1 / 0 }))
    assert.equal('skipped: n is a text of 20000 bytes (action of rule "R")', why('"{n}"', { n = ("x"):rep(20000) }))
    assert.equal('skipped: the text is longer than 16384 bytes (action of rule "R")',
      why('"{n}{n}"', { n = ("x"):rep(10000) }))
    assert.equal('skipped: action of rule "R" is empty', why('"{n| }"'))
    assert.equal('skipped: the function for action of rule "R" gives nothing', why("function() end"))
    assert.equal('skipped: the result of the function for action of rule "R" is a table, which is no text',
      why("function() return {} end"))
  end)

  it("takes a function's result as it is", function()
    assert.equal("3 items {x}", action('function(e) return #e.items .. " items {x}" end', { items = { 1, 2, 3 } }))
    assert.equal("990", action("function(e) return e.amount end", { amount = 990.0 }))
    assert.equal("total 990", action('function(e) return "total " .. e.amount end', { amount = 990.0 }))
  end)

  it("phone and chat_id may be lacking: resolve may know them", function()
    local decision = decide('phone = "{p}"', {})
    assert.is_true(decision.confirm) assert.is_nil(decision.phone) assert.is_true(decision.needs_phone)
    assert.equal("12020721369", decide('phone = "{p}"', { p = 12020721369 }).phone)
    assert.is_nil(decide('chat_id = "{p}"', { p = "1@c.us" }).needs_phone)
    assert.equal("5511", decide("phone = function(e) return e.p end", { p = "5511" }).phone)
    assert.is_true(decide("phone = function(e) return nil end", {}).needs_phone)
    assert.equal('skipped: p is a table, which is no text (phone of rule "R")',
      decide('phone = "{p}"', { p = {} }).reason)
  end)
end)

describe("rules: fields of a confirm", function()
  it("template, language, namespace, channel, ttl, text, header, buttons", function()
    local more = [[
      template "a" { language = "en", namespace = "ns_a" }
      template "b" { language = "es", body = { "who", "action" }, ttl = "12h", text = "strict",
                     header = { image = { link = "https://x/{pic}.png" } }, buttons = { { index = 0, text = "{id}" } } }
      defaults { template = "a" } ]]
    local event = { pic = "p", id = 7, lang = "pt_BR", region = "latam" }
    local one = decide('language = "{lang|en}", channel = "{region|main}"', event, more)
    assert.same({ "a", "pt_BR", "ns_a", "latam" }, { one.template, one.language, one.namespace, one.channel })
    local two = decide('template = "b", who = "Ana", ttl = 60', event, more)
    assert.same({ "Ana", "a" }, two.body)
    assert.same({ "b", "es", 60, "strict" }, { two.template, two.language, two.ttl, two.text })
    assert.same({ who = "Ana", action = "a", name = "n", next_step = "x" }, two.values)
    assert.same({ image = { link = "https://x/p.png" } }, two.header)
    assert.same({ { index = 0, text = "7" } }, two.buttons)
    assert.equal(43200, decide('template = "b", who = "Ana"', event, more).ttl)
    assert.equal('skipped: the event has no pic, and rule "R" has no default for it',
      decide('template = "b", who = "Ana"', { id = 7 }, more).reason)
    assert.equal(-1, decide("ttl = -1", {}).ttl)
  end)

  it("once_per lacks a field: skipped, for the promise could not be kept", function()
    assert.equal("p-1", decide('once_per = "{payment.id}"', { payment = { id = "p-1" } }).once_per)
    assert.equal('skipped: the event has no payment.id, and rule "R" has no default for it',
      decide('once_per = "{payment.id}"', {}).reason)
  end)

  it("consent is true, nothing else", function()
    assert.is_true(decide('consent = "c.ok"', { c = { ok = true } }).confirm)
    assert.is_true(decide('consent = "{c.ok}"', { c = { ok = true } }).confirm)
    assert.equal('skipped: no consent: c.ok is missing, and rule "R" needs it to be true',
      decide('consent = "c.ok"', {}).reason)
    for value, said in pairs { ["yes"] = '"yes"', [1] = "1", [false] = "false" } do
      assert.equal(('skipped: no consent: ok is %s, and rule "R" needs it to be true'):format(said),
        decide('consent = "ok"', { ok = value }).reason)
    end
    assert.is_true(decide("consent = function(e) return e.ok == 1 end", { ok = 1 }).confirm)
    assert.equal('skipped: no consent: the function for consent of rule "R" gives 1',
      decide("consent = function(e) return e.ok end", { ok = 1 }).reason)
    assert.is_false(decide("", {}, 'defaults { consent = "ok" }').confirm)
    assert.is_true(decide("consent = false", {}, 'defaults { consent = "ok" }').confirm)
  end)

  it("otherwise and quiet are parsed for those who act on them", function()
    assert.same({ send = "sms", text = "a: x, 5", after = 5400, on_unknown = true },
      decide('otherwise = { after = "1h30m", send = "sms", text = "{action}: {next_step}, {n}", on_unknown = true }',
        { n = 5, action = "of the event" }).otherwise)
    assert.same({ send = "sms", on_unknown = false }, decide('otherwise = { send = "sms" }', {}).otherwise)
    assert.is_nil(decide("otherwise = false", {}, 'defaults { otherwise = { send = "sms" } }').otherwise)
    local quiet = 'quiet = { from = "21:00", to = "08:05", zone = "{zone|America/Sao_Paulo}" }'
    assert.same({ from = 75600, to = 29100, zone = "America/Sao_Paulo" }, decide(quiet, {}).quiet)
    assert.equal("Asia/Tokyo", decide(quiet, { zone = "Asia/Tokyo" }).quiet.zone)
    local odd = decide(quiet, { zone = "../../etc" }) -- of what is optional; who keeps the hours says that there is none
    assert.is_true(odd.confirm)
    assert.equal("../../etc", odd.quiet.zone)
  end)

  it("also lets later rules match too", function()
    local set = load_rules([[
      confirm "A" { on = "t", also = true, ]] .. BODY .. [[ }
      confirm "B" { on = "t", also = true, consent = "ok", ]] .. BODY .. [[ }
      confirm "C" { on = "t", ]] .. BODY .. [[ }
      confirm "D" { on = "t", ]] .. BODY .. [[ } ]])
    local seen = {}
    for _, decision in ipairs(set:decide({ type = "t" })) do
      seen[#seen + 1] = decision.rule .. "=" .. tostring(decision.confirm)
    end
    assert.equal("A=true B=false C=true", table.concat(seen, " "))
  end)

  it("a failing function skips its rule and hurts no other", function()
    local script = [[
confirm "A" { on = "t", when = function(e) return e.a.b end, ]] .. BODY .. [[ }
never "N" { on = "n", when = function(e) error("stop") end }
confirm "B" { on = "t", when = { v = over(1) }, ]] .. BODY .. [[ }
confirm "C" { on = "u", next_step = function(e) return e.x + 1 end, name = "n", action = "a" } ]]
    local set = load_rules(script)
    assert.equal("B", set:decide({ type = "t", v = 2 })[1].rule)
    local decision = set:decide({ type = "t", v = 0 })[1]
    assert.equal("A", decision.rule)
    assert.equal('skipped: rule "A" failed: rules.lua:1: \'a\' is missing, and the script looks into it; '
      .. '"B": v is 0, not over 1', decision.reason)
    assert.equal('skipped: rule "C" failed: rules.lua:4: \'x\' is missing, and the script calculates with it',
      set:decide({ type = "u" })[1].reason)
  end)

  it("a never that fails lets nothing out, and says so", function()
    local set = load_rules([[
never "N" { on = "t", when = function(e) return e.a.b end }
confirm "A" { on = "t", ]] .. BODY .. [[ }]])
    local why = 'never "N" failed, so nothing is sent: rules.lua:1: \'a\' is missing, and the script looks into it'
    local decision = set:decide({ type = "t" })[1]
    assert.same({ confirm = false, rule = "N", reason = "skipped: " .. why, version = set.version }, decision)
    local lines = set:explain({ type = "t" })
    assert.equal('never "N": failed, so nothing is sent: rules.lua:1: \'a\' is missing, and the script looks into it',
      lines[1])
    assert.equal("skipped: " .. why, lines[3])
    assert.is_true(set:decide({ type = "t", a = {} })[1].confirm)
  end)
end)
