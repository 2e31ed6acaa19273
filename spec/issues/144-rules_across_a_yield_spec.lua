-- Where a load of rules serves others between its pieces, they judge, load and decide: neither may notice the other.
local rules = require "onemsg.rules"

local function script(rule, when)
  local out = { [[template "t" { language = "en", body = { "name", "action", "next_step" } }
    defaults { phone = "{phone}", name = "there" }]] }
  for i = 1, 12 do
    out[#out + 1] = ([[confirm "%s %d" { on = "t%d", when = function(e) %s end, action = "a {id}", next_step = "b" }
      example "e%d" { event = { id = "x", type = "t%d", phone = "+12020721300" }, expect = { confirm = "%s %d" } }]])
      :format(rule, i, i, when, i, i, rule, i)
  end
  return table.concat(out, "\n")
end

local GOOD = script("Good", "local s = 0 for i = 1, 200 do s = s + i end return s > 0")
local BAD = script("Bad", "return nothing.there")
local DEAR = script("Dear", "while true do end")
local EVENT = { id = "x", type = "t7", phone = "+12020721300" }

describe("rules that are loaded in pieces", function()
  it("are those that are loaded at once, and hinder nobody in between", function()
    local known = assert(rules.load(GOOD))
    local expected = known:decide(EVENT)
    local _, wrong = rules.load(BAD)
    local _, dear = rules.load(DEAR)
    local times = 0
    local function breathe()
      times = times + 1
      assert.same(expected, known:decide(EVENT))
      if times % 5 == 0 then assert.same({ nil, wrong }, { rules.load(BAD) }) end
      if times % 20 == 0 then assert.same({ nil, dear }, { rules.load(DEAR) }) end
    end
    local set = assert(rules.load(GOOD, { breathe = breathe }))
    assert.is_true(times > 24)
    assert.equal(known.version, set.version)
    assert.same(expected, set:decide(EVENT))
    assert.same({ nil, wrong }, { rules.load(BAD, { breathe = breathe }) })
    assert.same({ nil, dear }, { rules.load(DEAR, { breathe = breathe }) })
  end)

  it("may be left in the middle for good", function()
    local left = coroutine.wrap(function() rules.load(GOOD, { breathe = coroutine.yield }) end)
    for _ = 1, 20 do left() end
    assert(rules.load(GOOD))
    local _, wrong = rules.load(BAD)
    assert.matches("^config: rules.lua:%d+: ", wrong)
  end)
end)
