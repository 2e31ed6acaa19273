-- 1MSG named, in the answer to one message, an id that had been another confirmation's, which had gone on to a new message
-- since: both then had it, and what was said of it changed both.
-- Kind: one message id is one confirmation's for ever, its present messages and those before, by whatever way it is heard.
local cjson = require "cjson"
local simulation = require "support.simulation"

local ID = "wamid.first"

describe("the id of a message that another confirmation had", function()
  local sim, flow

  after_each(function() sim:close() end)

  --- "a" had ID, which failed, and has a new message. `between` happens while "b" is sent; its answer names ID again.
  local function given_again(between)
    sim = simulation.new { answer = function(message, n)
      if n == 1 then return { outcome = "accepted", id = ID } end
      if message.phone == "12020721300" then return { outcome = "accepted", id = "wamid.second" } end
      if between then between() end
      return { outcome = "accepted", id = ID }
    end }
    flow = sim.flow
    assert(flow:submit { id = "a", type = "paid", phone = "12020721300", name = "Maria" })
    sim:advance(1)
    assert(flow:hooks(cjson.encode { ack = { { id = ID, status = "failed", error = "(#131026) x" } } }))
    assert(flow:unsuppress "12020721300")
    assert(flow:replay "a")
    sim:advance(60)
    assert.equal("wamid.second", flow:show("a").message_id)
    assert(flow:submit { id = "b", type = "paid", phone = "12020721301", name = "Maria" })
    sim:advance(1)
  end

  local function lease_ends()
    local agenda = assert(flow.box:look())
    sim.time = agenda.lease_at + 1
    assert(flow.box:recover(sim.time))
    assert.equal("unknown", flow:show("b").state)
  end

  local ways = { -- how the answer is heard; the state of b then
    { "at once", "accepted" },
    { "after its lease", "accepted", lease_ends },
    { "after a person settled it", "delivered", function()
      lease_ends()
      assert(flow:settle("b", "arrived"))
    end },
  }
  for _, way in ipairs(ways) do
    it("stays that one's when it is heard " .. way[1], function()
      given_again(way[3])
      local row = flow:show "b"
      assert.same({ way[2], nil }, { row.state, row.message_id })
      assert(flow:hooks(cjson.encode { ack = { { id = ID, status = "delivered" } } }))
      sim:advance(1)
      assert.equal("delivered", flow:show("a").state)
      assert.same({ way[2], nil }, { flow:show("b").state, flow:show("b").message_id })
    end)
  end

  it("is not taken by evidence that was read before", function()
    given_again()
    local row = flow.box:row "b"
    local changed, err = flow.box:amended(flow.box:amend(row, { message_id = ID, note = "x" }, sim.time))
    assert.is_nil(changed)
    assert.matches("^conflict:", err)
    assert(flow.box:amended(flow.box:amend(row, { message_id = "wamid.third", note = "x" }, sim.time)))
  end)
end)
