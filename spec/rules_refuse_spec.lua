local rules = require "onemsg.rules"

local BODY = 'name = "n", action = "a", next_step = "x"'
local C = 'confirm "R" { on = "t", name = "n", action = "a", next_step = "x" }'

local function load_rules(script) return assert(rules.load(script)) end

describe("rules: refusals", function()
  local cases = {
    -- the script, what is said after "config: rules.lua"
    { '\nconfrim "x" {\n}', ":2: unknown word 'confrim', did you mean 'confirm'?" },
    { 'confirm "x" {\n  on = "t",\n  acton = "a",\n}',
      ":3: confirm \"x\": unknown field 'acton', did you mean 'action'?" },
    { 'defaults {\n phon = "x" }', ":2: defaults: unknown field 'phon', did you mean 'phone'?" },
    { 'defaults { on = "x" }', ":1: defaults: 'on' belongs into each confirm" },
    { 'template "t" { lang = "en" }', ":1: template \"t\": unknown field 'lang', did you mean 'language'?" },
    { 'template "t" { bdy = {} }', ":1: template \"t\": unknown field 'bdy', did you mean 'body'?" },
    { 'never "n" { wen = 1 }', ":1: never \"n\": unknown field 'wen', did you mean 'when'?" },
    { 'never "n" { }', ":1: never \"n\": it says neither on nor when and would stop every message" },
    { 'confirm "c" { name = "n" }',
      ":1: confirm \"c\": it says neither on nor when; for every event write on = \"*\"" },
    { C .. "\n\n" .. C, ':3: confirm "R" stands already in line 1' },
    { 'confirm "x"', ':1: confirm "x" has no { … } behind its name' },
    { 'confirm { }',
      ':1: \'confirm\' needs a name first: confirm "Subscription payment" { on = "payment.succeeded", … }' },
    { 'confirm "x" "y"', ':1: confirm "x" needs { … } behind its name' },
    { 'defaults "y"', ":1: 'defaults' needs { … }: defaults { phone = \"{customer.phone}\" }" },
    { 'defaults {} defaults {}', ":1: 'defaults' stands already in line 1" },
    { 'confirm "x" { "y", on = "t" }', ':1: confirm "x": a value stands without a field name: write field = value' },
    { 'confirm "x" { on = "t", name = "n", action = "a" }',
      ':1: confirm "x": it has no next_step, which the message needs: write next_step = "…" here or in defaults' },
    { 'template "w" { body = { "who" } }\nconfirm "x" { on = "t" }',
      ':2: confirm "x": it has no who, which template "w" needs: write who = "…" here or in defaults' },
    { 'template "w" { body = { "phone" } }',
      ":1: template \"w\": a variable cannot be called 'phone', that is a field of confirm" },
    { 'template "w" { body = { "a", "a" } }', ':1: template "w": body has "a" twice' },
    { 'template "w" { body = { "a b" } }', ':1: template "w": body has "a b": write names of letters, digits and _' },
    { 'template "w" { language = "english" }',
      ':1: template "w": language is "english": write a code such as "en" or "pt_BR"' },
    { 'template "action_success" { }\nconfirm "x" { on = "t", template = "acton_success", name = "n", action = "a",\n'
      .. 'next_step = "x" }',
      ':2: confirm "x": template "acton_success" is not defined, did you mean \'action_success\'?' },
    { 'template "a" { }\ntemplate "b" { }\n' .. C,
      ':3: confirm "R": there are several templates: say which, with template = "…"' },
    { 'confirm "x" { on = "pay*" }',
      ':1: confirm "x": on has "pay*": \'*\' stands alone or behind a dot, as in "payment.*"' },
    { 'confirm "x" { on = 5 }',
      ':1: confirm "x": on has 5: write an event type such as "payment.succeeded", "payment.*", or "*"' },
    { 'confirm "x" { on = {} }', ':1: confirm "x": on is empty: write an event type' },
    { 'confirm "x" { when = {\n["a b"] = 1 } }',
      ':2: confirm "x": when: "a b" is no field: write names joined by dots, as in customer.first_name' },
    { 'confirm "x" { when = { a = { "p", "q" } } }', ':1: confirm "x": when: a has a list: write one_of("p", "q")' },
    { 'confirm "x" { when = { plan = { kind = 1 } } }',
      ':1: confirm "x": when: plan has a table: write ["plan.kind"] = …' },
    { 'confirm "x" { when = {} }', ':1: confirm "x": when is empty: leave it away, or write a condition' },
    { 'confirm "x" { when = over(1) }',
      ':1: confirm "x": when must be { field = condition } or a function, not a condition alone' },
    { 'confirm "x" { when = { over(1) } }',
      ':1: confirm "x": when has a value without a field: write when = { field = condition }' },
    { 'x = over("5")', ":1: over needs a number, as in over(0); it has a text" },
    { 'x = between(5, 1)', ":1: between: the first number is greater than the second" },
    { 'x = one_of()', ':1: one_of is empty; write one_of("a", "b")' },
    { 'x = starts_with(5)', ':1: starts_with holds a number; write starts_with("+55")' },
    { 'confirm "x" { on = "t", action = "{a b}" }',
      ':1: confirm "x": action: "a b" is no field: write names joined by dots, as in customer.first_name' },
    { 'confirm "x" { on = "t", action = "a {b" }', ":1: confirm \"x\": action: \"a {b\" has a '{' that is not closed" },
    { 'confirm "x" { on = "t", action = "a }" }',
      ":1: confirm \"x\": action: \"a }\" has a '}' without a '{'; for a brace as such write it twice: '}}'" },
    { 'confirm "x" { on = "t", action = "{}" }',
      ":1: confirm \"x\": action: '{}' names no field; for a brace as such write it twice: '{{'" },
    { 'confirm "x" { on = "t", action = " " }', ':1: confirm "x": action is empty' },
    { 'confirm "x" { on = "t", action = true }',
      ':1: confirm "x": action must be a text, a number or a function, not true or false' },
    { 'confirm "x" { on = "t", action = missing }',
      ':1: confirm "x": action must be a text, a number or a function, not a condition' },
    { 'confirm "x" { on = "t", give_up_after = "6 hours" }',
      ':1: confirm "x": give_up_after is "6 hours": write seconds, or a text such as "30s", "10m", "6h", "2d"' },
    { 'confirm "x" { on = "t", ttl = "5s" }', ':1: confirm "x": ttl must be whole seconds from 30s to 30d, or -1' },
    { 'confirm "x" { on = "t", text = "tidy" }', ':1: confirm "x": text is "tidy": write "clean", "strict" or "raw"' },
    { 'confirm "x" { on = "t", also = 1 }', ':1: confirm "x": also must be true or false, as in true; it is a number' },
    { 'confirm "x" { on = "t", consent = true }', ':1: confirm "x": consent must be a field that is true, as in '
      .. '"customer.whatsapp_ok", or a function: a field is named by a text, not true or false' },
    { 'confirm "x" { on = "t", otherwise = { send = "sms",\n aftr = 5 } }',
      ":2: confirm \"x\": otherwise: unknown field 'aftr', did you mean 'after'?" },
    { 'confirm "x" { on = "t", otherwise = { after = 5 } }',
      ':1: confirm "x": otherwise needs send, the name of another way to reach a person' },
    { 'confirm "x" { on = "t", quiet = { from = "25:00", to = "08:00", zone = "UTC" } }',
      ':1: confirm "x": quiet: from is "25:00": write a time of day such as "21:00"' },
    { 'confirm "x" { on = "t", quiet = { from = "21:00", to = "08:00" } }',
      ':1: confirm "x": quiet needs zone, such as "America/Sao_Paulo" or "{customer.zone|UTC}"' },
    { 'confirm "x" {\n on = "t"\n name = "n" }',
      ":3: '}' expected (to close '{' at line 1) near 'name': is a comma missing at the end of the line above?" },
    { 'never "n" { on = "t" }', ": it holds no confirm: nothing would ever be sent" },
    { "", ": it holds no confirm: nothing would ever be sent" },
    { "confirm = 1", ":1: 'confirm' is a word of the rules and cannot be changed" },
    { C .. ' example "e" { event = { type = "t" } }',
      ':1: example "e": it needs expect = { confirm = "a rule\'s name" } or { confirm = false }' },
    { C .. ' example "e" { event = { type = "t" }, expect = { nme = "x" } }',
      ":1: example \"e\": expect: unknown field 'nme', did you mean 'name'?" },
    { C .. '\nexample "e" {\n event = { type = "t" },\n expect = { confirm = "R",\n name = "m" } }',
      ':5: example "e": expected name "m", got "n"' },
    { C .. '\nexample "e" { event = { type = "u" }, expect = { confirm = "R" } }',
      ':2: example "e": expected confirm "R", got skipped: no rule is for "u"' },
    { C .. '\nexample "e" { event = { type = "t" }, expect = { confirm = false } }',
      ':2: example "e": expected that nothing is sent, but "R" confirms it' },
    { C .. '\nexample "e" { event = { type = "u" }, expect = { reason = "staff" } }',
      ':2: example "e": expected reason "staff", got "skipped: no rule is for \\"u\\""' },
  }
  for _, case in ipairs(cases) do
    it("refuses " .. case[1]:gsub("%s+", " "):sub(1, 70), function()
      local set, err = rules.load(case[1])
      assert.is_nil(set)
      assert.equal("config: rules.lua" .. case[2]:gsub('\\"', '"'), err)
    end)
  end

  it("gives hints for mistakes in the form", function()
    for script, hint in pairs {
      ['confirm "x" { on = "t }'] = "the closing quote is missing",
      ['confirm "x" {'] = "the script ends in the middle: is a bracket or a quote not closed?",
      ['confirm “x” {}'] = 'rules.lua:1: there is a “, as word processors write it: write a plain "',
      ['-- „x“\nconfirm "„x“" { on = ‘t’ }'] = "rules.lua:2: there is a ‘, as word processors write it: write a plain '",
      ['confirm "x" { on – "t" }'] = "there is a –, as word processors write it: write a plain -",
      ['confirm "x" {\n\194\160on = "t" }'] = "rules.lua:2: there is a blank here that only looks like one",
      ['confirm "x" { on = é }'] = 'there is a é outside of a text: texts stand in plain quotes, as in "é"',
      ['confirm "x" { on = 💳 }'] = 'there is a 💳 outside of a text',
    } do
      local _, err = rules.load(script)
      assert.truthy(err:find(hint, 1, true), err)
    end
  end)

  it("raises for a programmer's mistake", function()
    assert.has_error(function() rules.load(5) end, "rules.load: the source must be a text, not a number")
    assert.has_error(function() rules.load("", { nam = "x" }) end, "rules.load has no option 'nam', did you mean 'name'?")
    assert.has_error(function() rules.open() end, "rules.open: the path must be a text, not nothing")
    assert.has_error(function() load_rules(C):decide("x") end, "decide: the event must be a table, not a text")
    assert.has_error(function() load_rules(C):explain() end, "explain: the event must be a table, not nothing")
  end)
end)

describe("rules: examples in the script", function()
  it("compare phones by digits, durations by seconds, several confirmations by list", function()
    load_rules([[
      confirm "A" { on = "t", also = true, phone = "+1 (202) 072-1369", give_up_after = "6h", ]] .. BODY .. [[ }
      confirm "B" { on = "t", ]] .. BODY .. [[ }
      example "one" { event = { type = "t" }, expect = { confirm = "A", phone = "12020721369", give_up_after = "360m",
                      body = { "n", "a", "x" }, reason = "matched" } }
      example "two" { event = { type = "t" }, expect = { confirm = { "A", "B" } } }
      example "either" { event = { type = "t" }, expect = { confirm = "B" } }
      example "any" { event = { type = "t" }, expect = { confirm = true, rule = "A" } }
      example "none" { event = { type = "u" }, expect = { confirm = false, reason = "no rule is for" } } ]])
  end)

  it("the script in examples/ loads clean and has four confirms", function()
    local file = assert(io.open("examples/rules.lua", "rb"))
    local set = assert(rules.load(file:read("*a")))
    file:close()
    assert.same({ "Subscription payment", "Big order", "Order", "Profile update" }, set.rules)
    assert.equal("Order", set:decide({ type = "order.paid", order = { total = 5, number = "A-1" },
      customer = { whatsapp_ok = true } })[1].rule)
  end)
end)
