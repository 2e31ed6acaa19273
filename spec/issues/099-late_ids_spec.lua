-- The answer to a send came after its lease, and after a person had settled it: the id in it was dropped, so what hooks said
-- of the message was nobody's.
-- Kind: an id that 1MSG gave is kept, whatever became of the confirmation meanwhile, and changes nothing that was decided.
local cjson = require "cjson"
local simulation = require "support.simulation"

local PHONE = "12020721300"
local ID = "wamid.late"

describe("the id of an answer that came late", function()
  local sim, flow

  after_each(function() sim:close() end)

  -- What happens between the send and the moment when its answer is recorded.
  local function answered_after(between)
    local first = true
    sim = simulation.new { answer = function(_, n)
      if not first then return { outcome = "accepted", id = "wamid.next." .. n } end
      first = false
      local agenda = assert(flow.box:look())
      sim.time = agenda.lease_at and agenda.lease_at + 1 or sim.time + flow.lease + 1
      assert(flow.box:recover(sim.time))
      assert.equal("unknown", flow:show("a").state)
      between()
      return { outcome = "accepted", id = ID }
    end }
    flow = sim.flow
    assert(flow:submit { id = "a", type = "paid", phone = PHONE, name = "Maria" })
    flow:drain()
  end

  local function told(status)
    local why = status == "failed" and "(#131026) x" or nil
    assert(flow:hooks(cjson.encode { ack = { { id = ID, status = status, error = why } } }))
    flow:drain()
    assert.equal(0, assert(flow:stats()).held)
    return flow:show "a"
  end

  local cases = { -- what a person said; the state that stays; what is told of the message then, and the state after it
    { "arrived", "delivered", "delivered", "delivered" },
    { "arrived", "delivered", "read", "read" },
    { "arrived", "delivered", "failed", "delivered" },
    { "not_arrived", "failed", "failed", "failed" },
    { "not_arrived", "failed", "delivered", "delivered" },
  }
  for _, case in ipairs(cases) do
    it(("is kept where it was settled as %s, and %s is told of it"):format(case[1], case[3]), function()
      answered_after(function() assert(flow:settle("a", case[1])) end)
      assert.same({ case[2], ID }, { flow:show("a").state, flow:show("a").message_id })
      assert.equal(case[4], told(case[3]).state)
      assert.equal(1, #sim.sent)
    end)
  end

  it("is an earlier message's where it was settled and replayed", function()
    answered_after(function()
      assert(flow:settle("a", "not_arrived"))
      assert(flow:replay "a")
    end)
    sim:advance(60)
    assert.equal(2, #sim.sent)
    local row = told "delivered"
    assert.matches("^wamid.next", row.message_id)
    assert.equal("delivered", row.state)
  end)
end)
