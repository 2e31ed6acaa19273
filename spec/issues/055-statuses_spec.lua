-- After a new message, show() left out the statuses of the one before, by which the state is decided all the same: a
-- contradiction, or a delivery, was shown without its evidence. What is shown and what is folded come of one statement.
local cjson = require "cjson"
local simulation = require "support.simulation"

local PHONE = "12020721300"

describe("show().statuses", function()
  local sim, flow

  after_each(function() sim:close() end)

  local function hook(id, status, more)
    local item = { id = id, status = status, phone = PHONE }
    for name, value in pairs(more or {}) do item[name] = value end
    assert(flow:hooks(cjson.encode { ack = { item } }))
  end

  --- Sent, failed, and sent anew: the ids of both messages.
  local WAYS = {
    { "retried", function()
      sim = simulation.new { calls = { hookInfo = function(id)
        if not id:find "^wamid%.1%." then return { id = id, hooks = {} } end
        return { id = id, status = "failed", hooks = { { status = "failed", at = sim.time, code = 131000 } } }
      end } }
      flow = sim.flow
      assert(flow:submit { id = "a", type = "paid", phone = PHONE })
      flow:drain()
      local first = flow:show("a").message_id
      hook(first, "failed", { code = 131000, error = "Something went wrong" })
      sim:advance(600)
      return first, flow:show("a").message_id
    end },
    { "replayed by hand", function()
      sim = simulation.new {}
      flow = sim.flow
      assert(flow:submit { id = "a", type = "paid", phone = PHONE })
      flow:drain()
      local first = flow:show("a").message_id
      hook(first, "failed", { code = 131026 })
      sim:advance(60)
      flow:unsuppress(PHONE)
      assert(flow:replay "a")
      flow:drain()
      return first, flow:show("a").message_id
    end },
  }

  for _, way in ipairs(WAYS) do
    it("are those of all its messages, as the fold has them: " .. way[1], function()
      local first, second = way[2]()
      assert.not_equal(first, second)
      hook(second, "sent")
      hook(first, "delivered")
      local shown = flow:show "a"
      assert.equal("delivered", shown.state)
      assert.is_truthy(shown.contradiction)
      local words, folded = {}, {}
      for n, status in ipairs(shown.statuses) do
        words[n] = status.message_id .. " " .. status.status
        assert.equal(status.message_id == first or nil, status.earlier)
        for _, private in ipairs { "recipient", "channel", "id" } do assert.is_nil(status[private]) end
      end
      for n, status in ipairs(assert(flow.box:with_statuses { { id = "a" } })[1].statuses) do
        folded[n] = status.message_id .. " " .. status.status
      end
      assert.same(folded, words)
      table.sort(words)
      local wanted = { first .. " delivered", first .. " failed", second .. " sent" }
      table.sort(wanted)
      assert.same(wanted, words)
    end)
  end
end)
