-- A customer read "order 1.2345678901235e+17", "1e-05" and "19.9" for 19.90; two payments whose ids differ beyond 2^53 were
-- one for once_per. A number is what was written: its digits, as often as onemsg reads the text itself; where a Lua
-- table brought it, and it may have lost some, it is not used.
local canonical = require "onemsg.base.canonical"
local document = require "onemsg.base.document"
local numbers = require "onemsg.base.number"
local rules = require "onemsg.rules"
local simulation = require "support.simulation"

local read = document.reader(40, "event")

local RULES = [[
confirm "Plain" { on = "plain", phone = "{phone}", name = "{v}", action = "{list.2}", next_step = "{a.b.v}",
  once_per = "{v}" }
confirm "Money" { on = "money", phone = "{phone}", name = first_word("{name|there}"),
  action = "Paid: " .. money("{v}", "{c}"), next_step = "Thank you." }
confirm "Minor" { on = "minor", phone = "{phone}", name = first_word("{name|there}"), next_step = "Thank you.",
  action = money("{v}", "{c}", { minor = true, decimal = "," }) }
confirm "Function" { on = "function", phone = "{phone}", name = "x", next_step = "Thank you.",
  action = function(event) return money(event.v, event.c) .. " " .. first_word(event.name) end }
confirm "Over" { on = "over", when = { v = over(100) }, phone = "{phone}", name = "x", action = "y", next_step = "z" }
confirm "Same" { on = "same", when = { v = 19.9 }, phone = "{phone}", name = "x", action = "y", next_step = "z" }
confirm "Joined" { on = "joined", phone = "{phone}", name = "x", next_step = "z",
  action = function(event) return "order " .. event.v end }
]]

local function decided(kind, v, more)
  local set = assert(rules.load(RULES))
  return set:decide(assert(read(('{"id":"1","type":"%s","phone":"12020721300","v":%s,"list":[1,%s],"a":{"b":{"v":%s}}%s}')
    :format(kind, v, v, v, more or ""))))[1]
end

describe("a number", function()
  -- as it stands in JSON, as a person reads it
  for _, row in ipairs {
    { "990", "990" }, { "990.0", "990" }, { "-0", "0" }, { "-0.0", "0" }, { "19.90", "19.90" }, { "990.00", "990.00" },
    { "0.10", "0.10" }, { "1e-05", "0.00001" }, { "0.00001", "0.00001" }, { "1E3", "1000" }, { "1.50e+1", "15" },
    { "123456789012345678", "123456789012345678" }, { "-12345678901234567890", "-12345678901234567890" },
    { "9007199254740991", "9007199254740991" }, { "9007199254740993", "9007199254740993" },
    { "9007199254740993.0", "9007199254740993" }, { "1e21", "1000000000000000000000" },
    { "12345678901234.56", "12345678901234.56" }, { "0.1234567890123456789", "0.1234567890123456789" },
    { "1e400", "1e400" }, { '"00012"', "00012" },
  } do
    local written, said = row[1], row[2]
    it(("written %s is read as %s, in each place and as a key"):format(written, said), function()
      local decision = decided("plain", written)
      assert.same({ said, said, said, said }, { decision.body[1], decision.body[2], decision.body[3], decision.once_per })
    end)
    it(("written %s is the same again out of the store"):format(written), function()
      local event = assert(read(('{"v":%s,"l":[%s]}'):format(written, written)))
      local text = assert(canonical.text(event))
      local again = assert(document.reader(40, "stored")(text))
      assert.equal(text, canonical.text(again))
    end)
  end

  -- from a Lua table: a number, as a person reads it; nil: not at all
  for _, row in ipairs { { 990, "990" }, { 990.0, "990" }, { 12.5, "12.5" }, { 0.1 + 0.2, "0.3" }, { 1e-7, "0.0000001" },
                         { 1e15, "1000000000000000" }, { 12345678901234.56, "12345678901234.56" },
                         { 2 ^ 53 - 1, "9007199254740991" },
                         { 2 ^ 53 }, { -2 ^ 53 }, { 123456789012345678 }, { 1e300 }, { 1 / 0 }, { 0 / 0 } } do
    local value, said = row[1], row[2]
    it(("of a Lua table, %s"):format(tostring(value)), function()
      local decision = assert(rules.load(RULES)):decide { id = "1", type = "plain", phone = "12020721300", v = value,
        list = { 1, "b" }, a = { b = { v = "c" } } }[1]
      assert.equal(said ~= nil, decision.confirm)
      if said then assert.equal(said, decision.body[1]) else assert.matches("^skipped: v is ", decision.reason) end
      local joined = assert(rules.load(RULES)):decide { type = "joined", phone = "12020721300", v = value }[1]
      local finite = value == value and value - value == 0
      if said then assert.equal("order " .. said, joined.action) else assert.equal(not finite, joined.confirm) end
    end)
  end

  it("is a number for conditions, however it was written", function()
    for written, yes in pairs { ["990.00"] = true, ["1e3"] = true, ["123456789012345678901"] = true, ["99.90"] = false } do
      assert.equal(yes, decided("over", written).confirm)
    end
    assert.is_true(decided("same", "19.90").confirm)
    assert.is_true(decided("same", "1.99e1").confirm)
  end)

  it("that another took the place of is not read as it was written before", function()
    local event = read '{"v":19.90}'
    event.v = 5
    assert.equal('{"v":5}', canonical.text(event))
  end)

  it("is expanded to forty places, and no further", function()
    assert.equal("0." .. ("0"):rep(39) .. "1", numbers.expand "1e-40")
    assert.is_nil(numbers.expand "1e-41")
    assert.is_nil(numbers.expand "1e999999999999999999999")
  end)
end)

describe("money", function()
  -- kind, amount, currency, what a person reads; a fourth that is a pattern behind "!": why there is no message
  for _, row in ipairs {
    { "money", "19.90", "BRL", "Paid: 19.90 BRL" }, { "money", "19.9", "brl", "Paid: 19.90 BRL" },
    { "money", "990", "EUR", "Paid: 990.00 EUR" }, { "money", "5000.00", "JPY", "Paid: 5000 JPY" },
    { "money", "1.5", "KWD", "Paid: 1.500 KWD" }, { "money", "12.345", "EUR", "Paid: 12.345 EUR" },
    { "money", "12.5", "USDT", "Paid: 12.5 USDT" }, { "money", "-7", "EUR", "Paid: -7.00 EUR" },
    { "money", '"19,90"', "EUR", "Paid: 19.90 EUR" }, { "money", '"1.234,50"', "EUR", "Paid: 1234.50 EUR" },
    { "money", '"1,234.50"', "USD", "Paid: 1234.50 USD" }, { "money", '"1.234.567"', "EUR", "Paid: 1234567.00 EUR" },
    { "money", [["1 234,50"]], "EUR", "Paid: 1234.50 EUR" }, { "money", '"1\194\160234,50"', "EUR", "Paid: 1234.50 EUR" },
    { "money", "12345678901234567890", "CLP", "Paid: 12345678901234567890 CLP" },
    { "money", '"1,234"', "USD", "!no amount that can be read in one way" },
    { "money", '"12,34,56"', "USD", "!no amount that can be read in one way" },
    { "money", '"ten"', "USD", "!no amount" }, { "money", "true", "USD", "!v is true" }, { "money", "null", "USD", "!has no v" },
    { "money", "1", "$", "!no code of a currency" }, { "money", "1", "EU", "!no code of a currency" },
    { "minor", "1250", "eur", "12,50 EUR" }, { "minor", "5", "KWD", "0,005 KWD" }, { "minor", "5000", "JPY", "5000 JPY" },
    { "minor", "1250.0", "EUR", "12,50 EUR" }, { "minor", "-5", "EUR", "-0,05 EUR" },
    { "minor", "12.5", "EUR", "!no whole number of minor units" }, { "minor", "1", "USDT", "!no currency of ISO 4217" },
    { "function", "12.5", "EUR", "12.50 EUR Maria" }, { "function", '"x"', "EUR", "!no amount" },
  } do
    it(("%s of %s %s"):format(row[1], row[2], row[3]), function()
      local decision = decided(row[1], row[2], (',"c":"%s","name":"Maria da Silva"'):format(row[3]))
      local why = row[4]:match "^!(.*)"
      assert.equal(not why, decision.confirm, decision.reason)
      if why then assert.matches(why, decision.reason, 1, true) else assert.equal(row[4], decision.action) end
    end)
  end

  it("may stand in every text of a rule", function()
    local set = assert(rules.load [[
confirm "R" { on = "r", phone = "{phone}", name = first_word("{n|there}"), action = "a", next_step = "b", also = true,
  header = { text = money("{v}", "EUR") }, buttons = { { url = first_word("{n|x}") } }, once_per = money("{v}", "EUR"),
  otherwise = { send = "sms", text = "{name}: " .. money("{v}", "EUR", { minor = 3 }) } }]])
    local decision = set:decide { type = "r", phone = "1", v = 5, n = "  Silva, Ana" }[1]
    assert.same({ "Silva", "5.00 EUR", "Silva", "5.00 EUR", "Silva: 0.005 EUR" }, { decision.name, decision.header.text,
      decision.buttons[1].url, decision.once_per, decision.otherwise.text })
  end)

  for source, sentence in pairs {
    ['money("{v}")'] = "argument 2", ["money({}, 'EUR')"] = "argument 1",
    ['money("1", "EUR", 5)'] = "minor = true",
    ['money("1", "EUR", { cents = true })'] = "it has minor and decimal",
    ['money("1", "EUR", { minor = -1 })'] = "minor is true",
    ['money("1", "EUR", { decimal = ";" })'] = "decimal is", ["first_word(5, 5) .. nil"] = "", ["first_word({})"] = "argument 1",
    ['money("{v} {", "EUR")'] = "not closed", ['string.upper(money("{v}", "EUR"))'] = "not changed",
  } do
    it("refuses " .. source, function()
      local set, why = rules.load(('confirm "R" { on = "r", phone = "1", name = %s, action = "a", next_step = "b" }')
        :format(source))
      assert.is_nil(set)
      assert.matches(sentence, why, 1, true)
    end)
  end
end)

describe("first_word", function()
  for said, first in pairs { ["Maria da Silva"] = "Maria", ["  Maria"] = "Maria", ["Silva, Maria"] = "Silva",
    ["Ana\194\160Lima"] = "Ana", ["José"] = "José", ["O'Neil x"] = "O'Neil", [",,"] = ",,", ["محمد علي"] = "محمد" } do
    it("of " .. said, function()
      assert.equal(first, assert(rules.load(RULES)):decide { type = "money", phone = "1", name = said, v = 1, c = "EUR" }[1].name)
    end)
  end
end)

describe("an event", function()
  it("is the same with 19.90 and 19.9, not with [] and {}", function()
    local sim = simulation.new {}
    local function submit(more)
      return sim.flow:submit(assert(read(('{"id":"e-1","type":"paid","phone":"12020721300",%s}'):format(more))))
    end
    assert.is_false(assert(submit '"v":19.90,"list":[],"map":{}').duplicate)
    assert.is_true(assert(submit '"v":19.9,"list":[],"map":{}').duplicate)
    assert.is_true(assert(submit '"v":1.99e1,"list":[ ],"map":{ }').duplicate)
    for _, other in ipairs { '"v":19.91,"list":[],"map":{}', '"v":19.90,"list":{},"map":{}', '"v":19.90,"list":[],"map":[]',
                             '"v":"19.90","list":[],"map":{}' } do
      local ticket, err = submit(other)
      assert.is_nil(ticket)
      assert.matches("^conflict:", err)
    end
    sim:close()
  end)

  it("is decided by a replay as it was at first", function()
    local function ruleset(when)
      return assert(rules.load(([[
template "t" { body = { "name", "action", "next_step" } }
confirm "R" { on = "r", phone = "{phone}", name = "{v}", action = "{o}", next_step = "{list.1} {small}", when = { go = %s } }]])
        :format(when)))
    end
    local set = ruleset "true"
    local sim = simulation.new { rules = { current = function() return set end } }
    local event = '{"id":"e-1","type":"r","phone":"12020721300","v":19.90,"o":12345678901234567890,"list":[0.1],"small":1e-05}'
    assert.equal("skipped", assert(sim.flow:submit(assert(read(event)))).state)
    set = ruleset "missing"
    local view = assert(sim.flow:replay "e-1")
    assert.same({ "19.90", "12345678901234567890", "0.1 0.00001" }, view.body)
    sim:close()
  end)
end)
