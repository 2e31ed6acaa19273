-- A key of once_per was taken at submit under the rule's name and never given back: the corrected event could never be sent,
-- and a rule whose name was corrected confirmed everything again. A reservation has a release, and a name is no identity.
local rules = require "onemsg.rules"
local simulation = require "support.simulation"

local PHONE, OTHER = "12020721300", "12020721301"

local function rejected() return nil, "rejected: 422 x", { outcome = "rejected", status = 422 } end
local function not_sent() return nil, "not_sent: refused", { outcome = "not_sent" } end
local function in_doubt() return nil, "unknown: timeout", { outcome = "unknown" } end
local function accepted(_, n) return { outcome = "accepted", id = "w" .. n } end
local function broken() return nil end

local RULES = simulation.RULES .. [[
confirm "Way" { on = "way", action = "payment", next_step = "Thank you.", once_per = "{payment}",
  otherwise = { send = "sms", text = "Paid." } }
]]

describe("a key of once_per", function()
  local sim, flow

  local function start(options)
    options.rules = options.rules or RULES
    sim = simulation.new(options)
    flow = sim.flow
  end

  local function submit(id, event)
    event = event or {}
    return assert(flow:submit { id = id, type = event.type or "once", payment = event.payment or "pay-1",
      phone = event.phone or PHONE, name = "Maria", order = event.order })
  end

  after_each(function() sim:close() end)

  -- What becomes of its holder, and what a second event of the same payment then is.
  local rows = {
    { "is free when its holder was cancelled", "queued", function() assert(flow:cancel "a") end },
    { "is free when its holder was rejected", "queued", function() sim:advance(60) end, answer = rejected },
    { "is free when its holder expired and never left", "queued", function() sim:advance(7 * 3600) end, answer = not_sent },
    { "is free when its holder was skipped for a suppression", "queued",
      function() flow:suppress(PHONE) end, phone = OTHER },
    { "is held by what waits", "skipped", function() end },
    { "is held by what was accepted", "skipped", function() sim:advance(60) end },
    { "is held by what is in doubt", "skipped", function() sim:advance(60) end, answer = in_doubt },
    { "is held by what a person called not arrived", "skipped",
      function() sim:advance(60) assert(flow:settle("a", "not_arrived")) end, answer = in_doubt },
    { "is held when another way ran", "skipped", function() sim:advance(60) end, answer = rejected, type = "way",
      fallback = { sms = function() return true end } },
    { "is held when another way ran in vain", "skipped", function() sim:advance(60) end, answer = rejected, type = "way",
      fallback = { sms = broken } },
    { "is held while another way is due", "skipped", function() sim:advance(60) end, answer = rejected, type = "way" },
    { "is held by what was accepted once and then expired", "skipped", function()
        sim:advance(60)
        local box = flow.box
        local row = box:row "a"
        assert(box:amended(box:amend(row, { state = "failed", reason = "x" }, sim.time)))
        assert(flow:replay "a")
        sim.answer = not_sent
        sim:advance(7 * 3600)
        assert.equal("expired", flow:show("a").state)
      end },
  }
  for _, row in ipairs(rows) do
    it(row[1], function()
      start { answer = row.answer, fallback = row.fallback }
      submit("a", { type = row.type })
      row[3]()
      sim.answer = accepted
      local ticket = submit("b", { type = row.type, phone = row.phone })
      assert.equal(row[2], ticket.state, ticket.reason)
      if row[2] == "skipped" then assert.equal("once_per: already confirmed by a", ticket.reason) end
    end)
  end

  it("goes on: the next event finds the one that took it, and who had it before comes too late", function()
    start { answer = rejected }
    submit "a"
    sim:advance(60)
    sim.answer = accepted
    assert.equal("queued", submit("b").state)
    assert.equal("once_per: already confirmed by b", submit("c").reason)
    assert.matches("^conflict: another confirmation holds its once_per key, pay%-1", select(2, flow:replay "a"))
    sim:advance(60)
    assert.equal("accepted", flow:show("b").state)
    assert.equal(2, #sim.sent)
  end)

  it("is said by explain as submit would decide", function()
    start { answer = rejected }
    local event = { id = "b", type = "once", payment = "pay-1", phone = PHONE, name = "Maria" }
    submit "a"
    assert.equal("once_per: already confirmed by a", flow:explain(event).reason)
    sim:advance(60)
    assert.equal("queued", flow:explain(event).state)
  end)

  local HEAD = [[
template "action_success" { language = "en", body = { "name", "action", "next_step" } }
defaults { phone = "{phone}", name = "{name|there}", next_step = "Thank you." }
]]
  local function rule(name, on, once, more)
    return ('confirm %q { on = %s, action = "x", once_per = %s, %s }\n'):format(name, on, once, more or "")
  end
  local BIG = rule("Big", '"paid"', '"{order}"', "when = { amount = over(1000) }")

  -- Rules at the first event, rules at the second (nil: the same), the second's type, and whether it is confirmed.
  local scopes = {
    { "a rule's corrected name", rule("Paid", '"paid"', '"{order}"'), rule("Paid well", '"paid"', '"{order}"'), "paid", false },
    { "another rule for the same event", BIG .. rule("Paid", '"paid"', '"{order}"'), nil, "paid", false },
    { "another type that the rule is for", rule("Paid", '{ "paid", "captured" }', '"{order}"'), nil, "captured", false },
    { "a rule for every type", rule("Paid", '"*"', '"{order}"'), nil, "captured", false },
    { "a rule that is for more types by now", rule("Paid", '"paid"', '"{order}"'),
      rule("Paid", '{ "paid", "captured" }', '"{order}"'), "captured", false },
    { "another event's rule with the same text", rule("Paid", '"paid"', '"{order}"')
      .. rule("Refund", '"refunded"', '"{order}"'), nil, "refunded", true },
    { "another text", rule("Paid", '"paid"', '"{order}"') .. rule("Refund", '"refunded"', '"x{order}"'), nil, "refunded", true },
    { "the same across", rule("Paid", '"paid"', '{ key = "{order}", across = "orders" }')
      .. rule("Shipped", '"shipped"', '{ key = "{order|none}", across = "orders" }'), nil, "shipped", false },
    { "another across", rule("Paid", '"paid"', '{ key = "{order}", across = "orders" }')
      .. rule("Shipped", '"shipped"', '{ key = "{order}", across = "parcels" }'), nil, "shipped", true },
  }
  for _, row in ipairs(scopes) do
    it(("%s by %s"):format(row[5] and "is another one" or "is the same one", row[1]), function()
      local at_work = assert(rules.load(HEAD .. row[2]))
      start { rules = { current = function() return at_work end } }
      assert.equal("queued", submit("a", { type = "paid", order = "o-1" }).state)
      sim:advance(60)
      if row[3] then at_work = assert(rules.load(HEAD .. row[3])) end
      local ticket = assert(flow:submit { id = "b", type = row[4], order = "o-1", phone = PHONE, amount = 2000 })
      assert.equal(row[5] and "queued" or "skipped", ticket.state, ticket.reason)
    end)
  end

  it("keeps no message of the same event back, unless the rules say across", function()
    start { rules = HEAD .. rule("Receipt", '"paid"', '"{order}"', "also = true") .. rule("Invoice", '"paid"', '"{order}"') }
    local ticket = submit("a", { type = "paid", order = "o-1" })
    assert.same({ "queued", "queued" }, { ticket.state, ticket.also[1].state })
    ticket = submit("b", { type = "paid", order = "o-1" })
    assert.same({ "skipped", "skipped" }, { ticket.state, ticket.also[1].state })
    sim:close()
    start { rules = HEAD .. rule("Receipt", '"paid"', '{ key = "{order}", across = "o" }', "also = true")
      .. rule("Invoice", '"paid"', '{ key = "{order}", across = "o" }') }
    ticket = submit("a", { type = "paid", order = "o-1" })
    assert.same({ "queued", "skipped" }, { ticket.state, ticket.also[1].state })
  end)

  it("is given back only when nothing of its whole event left", function()
    start { rules = HEAD .. rule("Receipt", '"paid"', '"{order}"', "also = true") .. rule("Invoice", '"paid"', '"{order}"'),
      answer = function(_, n)
        if n == 1 then return accepted(nil, n) end
        return rejected()
      end }
    submit("a", { type = "paid", order = "o-1" })
    sim:advance(60)
    assert.equal("rejected", flow:show("a~2").state)
    assert.equal("skipped", submit("b", { type = "paid", order = "o-1" }).state)
    assert.equal("queued", assert(flow:replay "a~2").state)
  end)

  local sentences = {
    { '"payment.id"', 'once_per is "payment.id" for every event, so that only one would ever be confirmed' },
    { "7", 'once_per is "7" for every event' },
    { '{ across = "orders" }', "once_per needs key" },
    { '{ key = "{order}" }', "once_per needs across, a name that several rules share" },
    { '{ key = "{order}", across = " " }', 'across is " ": write a short name' },
    { '{ key = "{order}", across = 7 }', "across must be a text" },
    { '{ key = "{order}", accros = "orders" }', "once_per: unknown field 'accros', did you mean 'across'?" },
    { '{ key = "order", across = "orders" }', 'once_per is "order" for every event' },
  }
  for _, row in ipairs(sentences) do
    it("is refused as " .. row[1], function()
      start {}
      local set, err = rules.load(HEAD .. rule("Paid", '"paid"', row[1]))
      assert.is_nil(set)
      assert.is_true(err:find(row[2], 1, true) ~= nil, err)
    end)
  end
end)
