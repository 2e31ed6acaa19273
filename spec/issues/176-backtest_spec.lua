-- Stored events through edited rules: the counts are those that a recount by hand gives, nothing is written and nothing
-- leaves; and the texts of the rules that decided something are kept.
local commands = require "support.command"
local rules = require "onemsg.rules"
local simulation = require "support.simulation"

local OLD = [[
template "action_success" { language = "en", body = { "name", "action", "next_step" } }
defaults { phone = "{phone}", name = "{name|there}", next_step = "Thank you." }
never "Staff" { when = { staff = true } }
confirm "Paid" { on = "paid", action = "payment of {amount}" }
confirm "Twice" { on = "both", also = true, action = "first" }
confirm "Again" { on = "both", action = "second" }
confirm "Once" { on = "once", action = "payment", once_per = "{key}" }
]]

-- What the edited rules do otherwise: small sums are left out, refunds confirmed, words changed, some sent elsewhere, and
-- a function that fails where the event has no list.
local NEW = [[
template "action_success" { language = "en", body = { "name", "action", "next_step" } }
defaults { phone = "{phone}", name = "{name|there}", next_step = "Thank you." }
confirm "Broken" { on = "paid", when = function(event) return event.list and event.kind.no.such end, action = "x" }
confirm "To the office" { on = "paid", when = { office = present }, phone = "{office}", action = "payment of {amount}" }
confirm "Big" { on = "paid", when = { amount = over(1000) }, action = "large payment" }
confirm "Paid" { on = "paid", when = { amount = over(10) }, action = "payment of {amount}" }
confirm "Refund" { on = "refunded", action = "refund" }
confirm "Twice" { on = "both", also = true, action = "first" }
confirm "Again" { on = "both", action = "second" }
confirm "Once" { on = "once", action = "payment", once_per = "{key}" }
]]

--- What the difference is, by hand: the rules above said once more, in other words.
local function by_hand(event)
  local kind, amount = event.type, event.amount
  if kind == "paid" then
    if not event.office and amount <= 10 and event.list then return "failed" end -- no other rule is for it
    if event.staff then return (event.office or amount > 10) and "confirmed" or "same" end
    if event.office then return "readdressed" end
    if amount > 1000 then return "reworded" end
    return amount > 10 and "same" or "dropped"
  elseif kind == "refunded" then
    return "confirmed"
  end
  return event.staff and (kind == "both" or kind == "once") and "confirmed" or "same"
end

local function phone(n) return ("1202072%04d"):format(n % 9000 + 100) end

local function events(count)
  local random, list = simulation.random(18), {}
  local function below(n) return math.floor(random() * n) end
  for n = 1, count do
    local event = { id = "e-" .. n, type = ({ "paid", "paid", "paid", "refunded", "both", "once", "unheard" })[below(7) + 1],
      amount = below(4) == 0 and 5 or below(4) == 0 and 4000 or 100, phone = phone(n), key = "k" .. below(20) }
    if below(6) == 0 then event.staff = true end
    if below(8) == 0 then event.office = phone(8000 + n % 7) end
    if below(9) == 0 then event.list, event.kind = { 1 }, "x" end
    list[n] = event
  end
  return list
end

--- Everything that stands in the store, as one text.
local function contents(flow)
  local text = {}
  for _, name in ipairs { "confirmation", "history", "once_key", "ruleset", "status", "channel" } do
    local rows = assert(flow.box.db:read { { "SELECT * FROM " .. name .. " ORDER BY 1, 2" } })[1]
    for _, row in ipairs(rows) do
      local columns = {}
      for column, value in pairs(row) do columns[#columns + 1] = column .. "=" .. tostring(value) end
      table.sort(columns)
      text[#text + 1] = name .. ": " .. table.concat(columns, " ")
    end
  end
  return table.concat(text, "\n")
end

describe("rules over time", function()
  it("counts what a recount by hand counts; writes nothing, sends nothing", function()
    local sim = simulation.new { rules = OLD }
    local list = events(700)
    for _, event in ipairs(list) do assert(sim.flow:submit(event)) end
    sim:advance(60)
    local expected, kinds = { same = 0, confirmed = 0, dropped = 0, reworded = 0, readdressed = 0, failed = 0 }, {}
    for _, event in ipairs(list) do
      local kind = by_hand(event)
      expected[kind], kinds[event.id] = expected[kind] + 1, kind
    end
    for kind, n in pairs(expected) do assert.is_true(n > 3, kind .. ": the story has too few of them") end
    local before, sent = contents(sim.flow), #sim.sent
    local told = {}
    local result = assert(sim.flow:backtest { rules = assert(rules.load(NEW)), each = function(one) told[one.id] = one.kind end })
    assert.equal(#list, result.events)
    for kind, n in pairs(expected) do assert.equal(n, result[kind], kind) end
    for id, kind in pairs(kinds) do assert.equal(kind ~= "same" and kind or nil, told[id], id) end
    local paid = { before = 0, after = 0 }
    for _, event in ipairs(list) do
      if event.type == "paid" then
        if not event.staff then paid.before = paid.before + 1 end
        if not event.office and event.amount > 10 and event.amount <= 1000 then paid.after = paid.after + 1 end
      end
    end
    assert.same(paid, result.rules.Paid)
    assert.equal(before, contents(sim.flow))
    assert.equal(sent, #sim.sent)
    local seen = {}
    for _, one in ipairs(result.samples) do
      seen[one.kind] = (seen[one.kind] or 0) + 1
      assert.equal(kinds[one.id], one.kind)
      for _, side in ipairs { one.before, one.after } do
        for _, message in ipairs(side) do assert.matches("^…%d%d%d%d$", message.recipient) end
      end
    end
    for _, kind in ipairs { "confirmed", "dropped", "reworded", "readdressed", "failed" } do
      assert.is_true(seen[kind] >= 1 and seen[kind] <= 5, kind)
    end
    sim:close()
  end)

  it("finds nothing where nothing changed, and takes since and limit", function()
    local sim = simulation.new { rules = OLD }
    for n = 1, 10 do assert(sim.flow:submit { id = "a" .. n, type = "both", phone = phone(n) }) end
    sim:advance(86400)
    for n = 1, 5 do assert(sim.flow:submit { id = "b" .. n, type = "paid", amount = 1, phone = phone(n) }) end
    local old = assert(rules.load(OLD))
    local whole = assert(sim.flow:backtest { rules = old })
    assert.same({ 15, 15 }, { whole.events, whole.same })
    assert.same({ before = 10, after = 10 }, whole.rules.Twice)
    assert.equal(5, assert(sim.flow:backtest { rules = old, since = "1h" }).events)
    assert.equal(3, assert(sim.flow:backtest { rules = old, limit = 3 }).events)
    local none, err = sim.flow:backtest { rules = "/nowhere/rules.lua" }
    assert.is_nil(none)
    assert.matches("^config: ", err)
    sim:close()
  end)

  it("keeps each text that decided something, once", function()
    local set = assert(rules.load(OLD))
    local handle = { current = function() return set end }
    local sim = simulation.new { rules = handle }
    assert.same({}, sim.flow:rules_log())
    assert(sim.flow:submit { id = "1", type = "paid", amount = 1, phone = phone(1) })
    local first = set.version
    sim.time = sim.time + 100
    set = assert(rules.load(NEW, { name = "new.lua" }))
    for n = 2, 4 do assert(sim.flow:submit { id = tostring(n), type = "refunded", phone = phone(n) }) end
    local log = sim.flow:rules_log()
    assert.same({ first, set.version }, { log[1].version, log[2].version })
    assert.same({ 2, "rules.lua", "new.lua", #NEW }, { #log, log[1].name, log[2].name, log[2].bytes })
    assert.equal(OLD, sim.flow:rules_text(first).source)
    assert.equal(NEW, sim.flow:rules_text(sim.flow:show("2").version:sub(1, 6)).source)
    local none, err = sim.flow:rules_text "ffff0000"
    assert.is_nil(none)
    assert.matches("^invalid: no rules of version ffff0000", err)
    sim:close()
  end)

  it("is the commands rules backtest, rules log, rules show", function()
    local command = commands.new { ONE_MSG_INSTANCE_ID = "ODI1", ONE_MSG_TOKEN = "t",
      ONE_MSG_BASE_URL = "http://127.0.0.1:1",
      ONE_MSG_TEMPLATE_NAMESPACE = "ns" }
    command.env.ONE_MSG_STORE = "sqlite:" .. command.dir .. "/store.db"
    command.env.ONE_MSG_RULES = command:write("rules.lua", OLD)
    local line = '{"id":"%s","type":"%s","amount":4000,"phone":"12020721300"}\n'
    assert.equal(0, command:run("submit", { stdin = line:format("1", "paid") .. line:format("2", "refunded") }).code)
    local new = command:write("new.lua", NEW)
    local result = command:run("rules backtest " .. new)
    assert.equal(0, result.code, result.err)
    assert.matches("^2 events: 0 the same, 1 newly confirmed, 0 no longer, 1 in other words, 0 to others, 0 failed\n", result.out)
    assert.truthy(result.out:find("before: Paid to …1300: there | payment of 4000 | Thank you.", 1, true), result.out)
    local json = command:run("rules backtest --json --since 1d " .. new).json[1]
    assert.same({ 2, 1, 1, 2 }, { json.events, json.confirmed, json.reworded, #json.samples })
    assert.same({ before = 0, after = 1 }, json.rules.Refund)
    local log = command:run("rules log --json").json
    assert.equal(1, #log)
    assert.equal(OLD .. "\n", command:run("rules show " .. log[1].version:sub(1, 5)).out)
    assert.equal(5, command:run("rules backtest /nowhere.lua").code)
    assert.equal(1, command:run("rules show ffff0").code)
    command:remove()
  end)
end)
