-- What people who are no programmers get wrong in rules.lua: each slip is refused, or warned of, with its line and with
-- what to write; none is taken for something else in silence.
local rules = require "onemsg.rules"

-- Three lines of head, then the slip: line 4 is its first.
local HEAD = [[
template "action_success" { language = "en", body = { "name", "action", "next_step" } }
defaults { phone = "{customer.phone}", name = "{customer.first_name|there}" }
example "Maria" { event = { type = "order.paid", amount = 5, order = { number = "7" }, customer = MARIA }, expect = { EXPECT } }
]]
HEAD = HEAD:gsub("EXPECT", 'confirm = "P"'):gsub("MARIA", '{ phone = "+12020721300", first_name = "M", whatsapp_ok = true }')
local TEXTS = 'action = "payment", next_step = "Thank you."'
local NBSP, ZERO, OPEN, SHUT = "\194\160", "\226\128\139", "\226\128\156", "\226\128\157"

-- A rule with fields of its own, in one line.
local function rule(fields) return ('confirm "P" { on = "order.paid", %s, %s }'):format(fields, TEXTS) end
local function when(condition) return rule("when = { " .. condition .. " }") end
local function action(text) return ('confirm "P" { on = "order.paid", action = "%s", next_step = "Thank you." }'):format(text) end

-- What it is about, the script behind the head, its line, a part of the sentence.
local REFUSED = {
  -- signs that were pasted
  { "curly quotes around a name",
    'confirm ' .. OPEN .. 'P' .. SHUT .. ' { on = "order.paid", ' .. TEXTS .. ' }', 4, "as word processors write it" },
  { "curly quotes around a value",
    'confirm "P" { on = ' .. OPEN .. 'order.paid' .. SHUT .. ', ' .. TEXTS .. ' }', 4, "as word processors write it" },
  { "low German quotes", 'confirm "P" { on = \226\128\158order.paid\226\128\156 }', 4, "as word processors write it" },
  { "French quotes", 'confirm "P" { on = \194\171order.paid\194\187 }', 4, "as word processors write it" },
  { "single angled quotes", 'confirm "P" { on = \226\128\185order.paid\226\128\186 }', 4, "as word processors write it" },
  { "a straight quote, closed by a curly one",
    'confirm "P" {\n  on = "order.paid' .. SHUT .. ',\n' .. TEXTS .. ' }', 5, "as word processors write it" },
  { "an accent for a quote", "confirm \194\180P\194\180 { }", 4, "write a plain '" },
  { "a backtick for a quote", "confirm `P` { }", 4, "write a plain '" },
  { "a no-break space between words",
    'confirm' .. NBSP .. '"P" { on = "order.paid", ' .. TEXTS .. ' }', 4, "only looks like one" },
  { "a no-break space as indentation",
    'confirm "P" {\n' .. NBSP .. 'on = "order.paid", ' .. TEXTS .. ' }', 5, "only looks like one" },
  { "a narrow space", 'confirm "P" {\226\128\175on = "order.paid", ' .. TEXTS .. ' }', 4, "only looks like one" },
  { "a wide space", 'confirm "P" {\227\128\128on = "order.paid", ' .. TEXTS .. ' }', 4, "only looks like one" },
  { "a zero width space in the script",
    'confirm "P" { ' .. ZERO .. 'on = "order.paid", ' .. TEXTS .. ' }', 4, "only looks like one" },
  { "a mark of another editor in the middle", '\239\187\191' .. rule "test = true", 4, "only looks like one" },
  { "a soft hyphen", 'con\194\173firm "P" { }', 4, "only looks like one" },
  { "a long dash for a comment", '\226\128\148 our orders\n' .. rule "test = true", 4, "write a plain -" },
  { "a minus sign of typographers", when "amount = over(\226\136\1465)", 4, "write a plain -" },
  { "a wide comma", 'confirm "P" { on = "order.paid"\239\188\140 ' .. TEXTS .. ' }', 4, "write a plain ," },
  { "a letter with an accent as a field",
    'confirm "P" { on = "order.paid", pr\195\169nom = "x", ' .. TEXTS .. ' }', 4, "outside of a text" },
  { "Latin-1", '-- caf\233\n' .. rule "test = true", 4, "save the file as UTF-8" },
  { "UTF-16", "c\0o\0n\0f\0", 4, "save the file as UTF-8" },
  -- types with what is not seen
  { "a no-break space behind the type",
    'confirm "P" { on = "order.paid' .. NBSP .. '", ' .. TEXTS .. ' }', 4, "type it anew" },
  { "a zero width space in the type",
    'confirm "P" { on = "' .. ZERO .. 'order.paid", ' .. TEXTS .. ' }', 4, "type it anew" },
  { "a blank behind the type", 'confirm "P" { on = "order.paid ", ' .. TEXTS .. ' }', 4, "type it anew" },
  { "a star in the middle of a type", 'confirm "P" { on = "order.*.eu", ' .. TEXTS .. ' }', 4, "write an event type" },
  { "a star behind a word", 'confirm "P" { on = "order*", ' .. TEXTS .. ' }', 4, "stands alone or behind a dot" },
  -- braces of texts
  { "a brace that is not closed", action "order {order.number", 4, "that is not closed" },
  { "a brace that is not opened", action "order order.number}", 4, "without a '{'" },
  { "doubled braces", action "order {{order.number}}", 4, "write {order.number}" },
  { "doubled braces with blanks", action "order {{ order.number }}", 4, "write {order.number}" },
  { "the number of a variable", action "{{1}}", 4, "what {{1}} stands for is said by body" },
  { "a shell's braces", action "order ${order.number}", 4, "write {order.number}" },
  { "a percent before the brace", action "order %{order.number}", 4, "write {order.number}" },
  { "empty braces", action "order {}", 4, "names no field" },
  { "a blank in a field", action "order {order number}", 4, "write names joined by dots" },
  { "brackets in a field", action "order {items[1].name}", 4, "write names joined by dots" },
  { "a slash in a field", action "order {order/number}", 4, "write names joined by dots" },
  { "two dots in a field", action "order {order..number}", 4, "write names joined by dots" },
  { "or in a field", action "order {order.number or 7}", 4, "write names joined by dots" },
  { "braces in braces", action "order {a|{b}}", 4, "without a '{'" },
  { "an empty text", action "", 4, "is empty" },
  -- numbers
  { "a decimal comma in over", when "amount = over(19,90)", 4, "written with a point" },
  { "a decimal comma in under", when "amount = under(19,90)", 4, "written with a point" },
  { "a decimal comma in between", when "amount = between(9,50, 19,90)", 4, "written with a point" },
  { "a number in quotes", when 'amount = over("100")', 4, "over needs a number" },
  { "a thousand with two points", when "amount = over(1.000.000)", 4, "malformed number" },
  { "a currency behind a number", when "amount = over(100 EUR)", 4, "')' expected" },
  { "between the wrong way round", when "amount = between(10, 1)", 4, "the first number is greater" },
  { "over without a number", when "amount = over()", 4, "over needs a number" },
  { "over as a word", when "amount = over 100", 4, "expected" },
  -- fields
  { "a condition twice", when "amount = over(10), amount = under(100)", 4, "'amount' stands twice" },
  { "a type twice", 'confirm "P" {\n on = "a",\n on = "b", ' .. TEXTS .. ' }', 6, "already in line 5" },
  { "a field in brackets and without", when '["amount"] = 1, amount = 2', 4, "'amount' stands twice" },
  { "a field twice in defaults", 'never "N" { on = "x", on = "y" }\n' .. rule "test = true", 4, "'on' stands twice" },
  { "two rules of one name", rule "test = true" .. "\n" .. rule "test = true", 5, "stands already in line 4" },
  { "defaults twice", rule "test = true" .. '\ndefaults { phone = "{phone}" }', 5, "stands already in line 2" },
  { "== for =", 'confirm "P" { on == "order.paid", ' .. TEXTS .. ' }', 4, "is a comparison" },
  { "== in a condition", when 'plan == "x"', 4, "is a comparison" },
  { "> in a condition", when "amount > 10", 4, "amount = over(…)" },
  { "<= in a condition", when "amount <= 10", 4, "amount = between(…, …)" },
  { "~= in a condition", when 'plan ~= "x"', 4, "is a comparison" },
  { "!= in a condition", when 'plan != "x"', 4, "'!'" },
  { "or between values", when 'plan = "a" or "b"', 4, 'one_of("a", "b")' },
  { "or between types", 'confirm "P" { on = "a" or "b", ' .. TEXTS .. ' }', 4, 'one_of("a", "b")' },
  { "and between conditions", when 'plan = "a" and amount = 5', 4, "a comma" },
  { "nil for missing", when "amount = over(1), plan = nil", 4, "write missing" },
  { "None for missing", when "plan = None", 4, "unknown word 'None': write missing" },
  { "null for missing", when "plan = null", 4, "unknown word 'null': write missing" },
  { "True for true", when "plan = True", 4, "unknown word 'True': write true" },
  { "a text without quotes", 'confirm "P" { on = order, ' .. TEXTS .. ' }', 4, "unknown word 'order'" },
  { "a dotted field without brackets", when 'plan.kind = "x"', 4, '["plan.kind"]' },
  { "a list for one_of", when 'plan = { "a", "b" }', 4, 'write one_of("a", "b")' },
  { "a table in a condition", when 'plan = { kind = "a" }', 4, '["plan.kind"]' },
  { "a colon for =", 'confirm "P" { on: "order.paid" }', 4, "a value is set with =" },
  { "an arrow for =", 'confirm "P" { on => "order.paid" }', 4, "'>'" },
  { "no comma", 'confirm "P" { on = "order.paid" action = "x", next_step = "y" }', 4, "is a comma missing" },
  { "no comma at the end of a line",
    'confirm "P" {\n on = "order.paid",\n action = "x"\n next_step = "y" }', 7, "is a comma missing" },
  { "a text over two lines", action "a\nb", 4, "the closing quote is missing" },
  { "no closing brace", 'confirm "P" { on = "order.paid", ' .. TEXTS, 4, "not closed" },
  { "one closing brace too many", rule "test = true" .. " }", 4, "is there a } too many?" },
  { "round brackets for braces", 'confirm "P" ( on = "order.paid" )', 4, "not ( )" },
  { "no name", 'confirm { on = "order.paid", ' .. TEXTS .. ' }', 4, "needs a name first" },
  { "no braces", 'confirm "P"', 4, "has no { … } behind its name" },
  { "a word mistyped", 'confrim "P" { }', 4, "did you mean 'confirm'" },
  { "a word with a capital", 'Confirm "P" { }', 4, "did you mean 'confirm'" },
  { "a field mistyped", 'confirm "P" { on = "order.paid", acton = "x", ' .. TEXTS .. ' }', 4, "did you mean 'action'" },
  { "when in defaults", 'never "N" { wen = { a = 1 } }', 4, "did you mean 'when'" },
  { "a variable that is missing", 'confirm "P" { on = "order.paid", action = "x" }', 4, "it has no next_step" },
  { "a rule in a rule", rule 'also = confirm "Q" { on = "x" }', 4, "it has no action" },
  -- values
  { "a duration in words", rule 'give_up_after = "6 hours"', 4, '"6h"' },
  { "a duration of zero", rule "give_up_after = 0", 4, "from 1s to 30d" },
  { "yes for true", rule 'also = "yes"', 4, "also must be true or false" },
  { "a fixed key", rule 'once_per = "payment.id"', 4, '"{payment.id}"' },
  { "an hour as a number", rule 'quiet = { from = 21, to = 8, zone = "UTC" }', 4, "a time of day" },
  { "an hour of another clock", rule 'quiet = { from = "9pm", to = "8am", zone = "UTC" }', 4, "a time of day" },
  { "quiet hours without zone", rule 'quiet = { from = "21:00", to = "08:00" }', 4, "quiet needs zone" },
  { "a language in words", rule 'language = "english"', 4, 'write a code such as "en"' },
  { "a template mistyped", rule 'template = "acton_success"', 4, "did you mean 'action_success'" },
  { "consent as a constant", rule "consent = true", 4, "consent must be a field" },
  { "another way without its name", rule 'otherwise = { after = "10m" }', 4, "otherwise needs send" },
  { "a condition as a text", rule "phone = missing", 4, "not a condition" },
}

local WARNED = {
  { "braces forgotten around the phone", rule 'phone = "customer.phone"', 4, 'as in "{customer.phone}"' },
  { "a fixed phone", rule 'phone = "+12020721300"', 4, "everything would go there" },
  { "braces forgotten around a field", action "order.number", 4, 'write "{order.number}"' },
  { "brackets for braces", action "order [order.number]", 4, "a field is written {order.number}" },
  { "angles for braces", action "order <order.number>", 4, "a field is written {order.number}" },
  { "percents for braces", action "order %order.number%", 4, "a field is written {order.number}" },
  { "a dollar for braces", action "order $order.number", 4, "a field is written {order.number}" },
  { "%s for a field", action "order %s", 4, "has %s in it" },
  { "a blank behind the bar", action "order {order.number| ours}", 4, "begins with a blank" },
  { "a field mistyped that has a default", action "order {order.nubmer|x}", 4, "did you mean order.number?" },
  { "a name mistyped that has a default",
    rule 'name = "{customer.frist_name|there}"', 4, "did you mean customer.first_name?" },
  { "consent mistyped", rule 'consent = "customer.whatsap_ok"', 4, "did you mean customer.whatsapp_ok?" },
  { "a condition's field mistyped", when "amuont = missing", 4, "did you mean amount?" },
  { "a type mistyped", 'confirm "Q" { on = "order.piad", ' .. TEXTS .. ' }', 4, 'did you mean "order.paid"?' },
  { "two types in one text",
    'confirm "Q" { on = "order.paid, order.sent", ' .. TEXTS .. ' }', 4, 'several are written { "a", "b" }' },
  { "a number as a text", when 'amount = "990"', 4, "write it without quotes" },
  { "a decimal comma in a text", when 'amount = "19,90"', 4, "with a point" },
  { "numbers as texts in one_of", when 'amount = one_of("10", "20")', 4, "write it without quotes" },
  { "a comparison in a text", when 'amount = "> 100"', 4, "write over(100)" },
  { "true as a text", when 'plan = "true"', 4, "write it without quotes" },
  { "null as a text", when 'plan = "null"', 4, "write missing" },
  { "an empty text as a condition", when 'plan = ""', 4, "write missing" },
  { "a star in a condition", when 'plan = "pro*"', 4, "write starts_with" },
  { "a field in a condition", when 'plan = "{customer.plan}"', 4, "a function can" },
  { "a blank behind a value", when 'plan = "pro "', 4, "a blank at an end" },
  { "a no-break space in a value", when('plan = "pro' .. NBSP .. '"'), 4, "an invisible sign" },
  { "a bare number as a duration", rule "give_up_after = 6", 4, '"6h"' },
  { "a bare number for another way", rule 'otherwise = { send = "sms", after = 10 }', 4, '"10m"' },
  { "a default zone that is none",
    rule 'quiet = { from = "21:00", to = "08:00", zone = "{zone|America/SaoPaulo}" }', 4, "is not known here" },
  { "quiet for most of the day", rule 'quiet = { from = "06:00", to = "21:00", zone = "UTC" }', 4, "most of the day" },
  { "a rule that an earlier one hides",
    rule "test = true" .. '\nconfirm "Big" { on = "order.paid", when = { amount = over(1000) }, ' .. TEXTS .. ' }',
    5, "it can never decide" },
  { "a narrower one behind a wide one",
    when "amount = over(10)" .. '\nconfirm "Big" { on = "order.paid", when = { amount = over(1000) }, ' .. TEXTS .. ' }',
    5, 'confirm "P" in line 4' },
  { "one of a list behind the list",
    when 'plan = one_of("a", "b")' .. '\nconfirm "B" { on = "order.paid", when = { plan = "b" }, ' .. TEXTS .. ' }',
    5, "it can never decide" },
  { "a rule behind one for every type",
    'confirm "P" { on = "*", ' .. TEXTS .. ' }\nconfirm "Big" { on = "order.paid", ' .. TEXTS .. ' }',
    5, "it can never decide" },
  { "a rule that never stops",
    'never "N" { on = "order.sent" }\nconfirm "Q" { on = "order.sent", ' .. TEXTS .. ' }', 5, "narrow that one" },
  { "a rule without an example",
    'confirm "Q" { on = "order.sent", ' .. TEXTS .. ' }', 4, "no example shows it at work" },
  { "a template that nobody uses",
    'template "other" { language = "en" }\n' .. rule 'template = "action_success"', 4, "no confirm uses it" },
}

-- What is right: nothing is said of it.
local RIGHT = {
  { "as it should be", rule "test = true" },
  { "an apostrophe of typographers in a text", action "Maria\226\128\153s order" },
  { "umlauts and dashes in a text", action "Zahlung f\195\188r {order.number} \226\128\147 danke" },
  { "semicolons", 'confirm "P" { on = "order.paid"; action = "a"; next_step = "x"; }' },
  { "lines that end as on Windows", (rule "test = true"):gsub(", ", ",\r\n") },
  { "braces as such", action "a {{ b c }} {{}}" },
  { "a field in braces as such", action "{{{order.number}}}" },
  { "a hash before a field", action "order #{order.number}" },
  { "assignments in a function", 'confirm "P" { on = "order.paid", when = function(e) local a, b = 1, nil a = 2 b = a a = b '
    .. 'return a == b or a ~= nil end, ' .. TEXTS .. ' }' },
  { "one field in two tables", when 'amount = 5' .. '\nnever "N" { when = { amount = 7 } }' },
  { "a rule that a narrower one stands before", when "amount = 5" .. '\nconfirm "Q" { on = "order.paid", ' .. TEXTS .. ' }\n'
    .. 'example "Q" { event = { type = "order.paid", amount = 7, phone = "+12020721300" },'
    .. 'expect = { confirm = "Q" } }' },
}

-- Warnings are of rules that load: whatever the example's event leads to is as it should be then.
local function load(case, whatever)
  local head = whatever and HEAD:gsub('confirm = "P"', 'reason = ""') or HEAD
  return rules.load(head .. case[2])
end

describe("slips in rules", function()
  for _, case in ipairs(REFUSED) do
    it("is refused: " .. case[1], function()
      local set, err = load(case)
      assert.is_nil(set, "it was taken")
      assert.truthy(err:find("^config: rules%.lua:" .. case[3] .. ": "), err)
      assert.truthy(err:find(case[4], 1, true), err)
    end)
  end

  for _, case in ipairs(WARNED) do
    it("is warned of: " .. case[1], function()
      local set, err = load(case, true)
      local said = {}
      for _, one in ipairs(assert(set, err):warnings()) do
        if one.line == case[3] then said[#said + 1] = one.text end
      end
      assert.truthy(table.concat(said, "\n"):find(case[4], 1, true), "said: " .. table.concat(said, "\n"))
    end)
  end

  for _, case in ipairs(RIGHT) do
    it("is left alone: " .. case[1], function()
      local set, err = load(case)
      for _, one in ipairs(assert(set, err):warnings()) do error(one.line .. ": " .. one.text) end
    end)
  end
end)
