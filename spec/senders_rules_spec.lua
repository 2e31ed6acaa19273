-- examples/rules: a file a sender, each with examples that hold, and of use with what the sender really posts.
local cjson = require "cjson"
local files = require "support.files"
local rules = require "onemsg.rules"
local senders = require "onemsg.senders"

local VECTORS = cjson.decode(files.content "spec/support/sender_vectors.json")

local function load_rules(name)
  return assert(rules.load(files.content("examples/rules/" .. name .. ".lua"), { name = name .. ".lua" }))
end

local function event_of(name)
  for _, vector in ipairs(VECTORS) do
    if vector.sender == name then
      local headers = {}
      for header, value in pairs(vector.headers) do headers[header:lower()] = value end
      return assert(senders.read(name, { headers = headers, body = vector.body }))[1].event
    end
  end
end

describe("examples/rules", function()
  local EXPECTED = {
    github = { "Sponsorship", "+12020746100", "maria", "sponsorship, $5 a month" },
    razorpay = { "Order paid", "+919876543210", "there", "payment of 500.00 INR" },
    shopify = { "Order paid", "+12020746105", "Maria", "order #1001 of 409.94 USD" },
    stripe = { "Checkout", "+12020746100", "María", "payment of 12.50 EUR" },
    woocommerce = { "Order paid", "0151 23456789", "Maria", "order 727 of 12.50 EUR" },
  }
  for name, expected in pairs(EXPECTED) do
    it("confirm what " .. name .. " posts, and no test of it", function()
      local set, event = load_rules(name), event_of(name)
      local decision = set:decide(event)[1]
      assert.same(expected, { decision.rule, decision.phone, decision.name, decision.action }, decision.reason)
      event.test = true
      decision = set:decide(event)[1]
      assert.is_false(decision.confirm)
      assert.matches("it is a test", decision.reason)
    end)

    it("name what is to be chosen there: " .. name, function()
      local text = files.content("examples/rules/" .. name .. ".lua")
      assert.truthy(text:find(('from = "%s"'):format(name), 1, true))
      assert.truthy(text:gsub("\n%-%-", ""):find("onemsg senders " .. name, 1, true))
    end)
  end

  it("are the ones that are there", function()
    for path in assert(io.popen "ls examples/rules"):lines() do assert.truthy(EXPECTED[path:match "^(.*)%.lua$"], path) end
  end)
end)

describe("rules and senders", function()
  local SOURCE = [[
    template "action_success" { body = { "name", "action", "next_step" } }
    defaults { name = "there", action = "a", next_step = "n" }
    confirm "From nowhere" { on = "a", phone = "{unsigned.phone}" }
    confirm "By function" { on = "b", phone = function(e) return e.unsigned and e.unsigned.phone end }
    confirm "Country" { on = "c", phone = "{phone}", country = "{unsigned.country}" }
    confirm "Signed first" { on = "d", phone = "{phone|1}" }
    confirm "Words" { on = "e", phone = "{phone}", action = "{unsigned.what}" }
    confirm "Tests too" { on = "t", phone = "{phone}", test = true }
    confirm "Nobody" { on = "f", phone = "{data.phone}" }
  ]]
  local function decide(event)
    return assert(rules.load(SOURCE)):decide(event)[1]
  end
  local UNSIGNED = { phone = "12020746100", country = "DE", what = "w" }

  for _, kind in ipairs { "a", "b", "c" } do
    it("take no part of the recipient from what is not signed: " .. kind, function()
      local event = { type = kind, sender = "adyen", phone = "1", unsigned = UNSIGNED }
      local decision = decide(event)
      assert.is_false(decision.confirm)
      assert.matches('stands under unsigned, which "adyen" does not sign', decision.reason)
      event.sender = nil -- an event of one's own may have a field of that name
      assert.is_true(decide(event).confirm)
    end)
  end

  it("take the rest from there, and what is signed beside it", function()
    assert.equal("1", decide { type = "d", sender = "adyen", phone = "1", unsigned = UNSIGNED }.phone)
    assert.equal("w", decide { type = "e", sender = "adyen", phone = "1", unsigned = UNSIGNED }.action)
    assert.is_true(decide { type = "f", sender = "adyen", unsigned = UNSIGNED }.needs_phone)
  end)

  it("skip tests of senders, unless they say test = true", function()
    assert.is_false(decide { type = "e", sender = "stripe", test = true, phone = "1", unsigned = UNSIGNED }.confirm)
    assert.is_true(decide { type = "t", sender = "stripe", test = true, phone = "1" }.confirm)
    assert.is_true(decide { type = "e", test = true, phone = "1", unsigned = UNSIGNED }.confirm)
    local set, why = rules.load((SOURCE:gsub("test = true", "test = 5")))
    assert.is_nil(set)
    assert.matches("test must be true or false", why)
  end)
end)
