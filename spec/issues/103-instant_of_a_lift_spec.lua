-- Somebody wrote STOP, and it was heard at the very instant at which their suppression was lifted by hand: it was counted as
-- heard, and changed nothing: the next message left.
-- Kind: where two words of different meaning bear one time, who wants nothing gets nothing.
local cjson = require "cjson"
local simulation = require "support.simulation"

local PHONE = "12020721300"

describe("STOP beside a lift", function()
  local sim, flow
  before_each(function()
    sim = simulation.new {}
    flow = sim.flow
  end)
  after_each(function() sim:close() end)

  local function wrote(word, at)
    assert(flow:hooks(cjson.encode { messages = { { id = "in." .. at, fromMe = false, chatId = PHONE .. "@c.us",
      body = word, type = "chat", time = at } } }))
  end

  local second = simulation.EPOCH + 100
  local cases = { -- lifted; heard; written; the state of what is due then
    { second + 0.7, second + 5, second + 1, "skipped" },
    { second + 0.7, second + 0.7, second, "skipped" }, -- at the same instant
    { second, second, second - 1, "skipped" },
    { second + 0.7, second + 5, second, "skipped" },   -- in the same second: nobody knows
    { second + 0.7, second + 5, second - 1, "accepted" }, -- before it: it was lifted for that
  }
  for _, case in ipairs(cases) do
    it(("written %+.1f s and heard %.1f s after the lift: %s"):format(case[3] - case[1], case[2] - case[1], case[4]), function()
      wrote("STOP", simulation.EPOCH)
      sim.time = case[1]
      assert(flow:unsuppress(PHONE))
      sim.time = case[2]
      wrote("STOP", case[3])
      assert(flow:submit { id = "a", type = "paid", phone = PHONE, name = "Maria" })
      flow:drain()
      assert.equal(case[4], flow:show("a").state, flow:show("a").reason)
    end)
  end

  it("is no failure of before, which stays older", function()
    sim.time = second + 0.7
    local about = { channel = "", phone = PHONE, reason = "x", code = 131026, until_at = second + 1e6, source = "failure" }
    about.at = second - 10
    assert(flow.box:suppress(about, sim.time))
    assert(flow:unsuppress(PHONE))
    about.at = second + 0.6
    assert(flow.box:suppress(about, sim.time))
    assert(flow:submit { id = "a", type = "paid", phone = PHONE, name = "Maria" })
    flow:drain()
    assert.equal("accepted", flow:show("a").state)
  end)
end)
