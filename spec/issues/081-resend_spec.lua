-- A new message left where hookInfo was not offered, with a delivery on disk, and after another way had been used. It needs
-- hookInfo's own word that the one before failed, and the statement that queues it sees that nothing arrived meanwhile.
local cjson = require "cjson"
local simulation = require "support.simulation"
local statuses = require "onemsg.outbox.statuses"

local PHONE = "12020721300"

local function says(status)
  return function(id, at) return { id = id, status = status, hooks = { { status = status, at = at, code = 131000 } } } end
end

local function refuses(status)
  return function() return nil, "rejected: " .. status, { outcome = "rejected", status = status } end
end

describe("a new message after a failure", function()
  local sim, flow, sms

  local function start(answer, kind)
    sms = 0
    sim = simulation.new { calls = { hookInfo = answer }, fallback = { sms = function() sms = sms + 1 return true end } }
    flow = sim.flow
    assert(flow:submit { id = "a", type = kind or "else", phone = PHONE, name = "Maria" })
    flow:drain()
    local id = flow:show("a").message_id
    assert(flow:hooks(cjson.encode { ack = { { id = id, status = "failed", error = "(#131000) Something went wrong" } } }))
    return id
  end

  after_each(function() sim:close() end)

  local cases = { -- what hookInfo says; messages, SMS after an hour
    { "failed", says "failed", 2, 0 },
    { "sent", says "sent", 1, 1 },
    { "nothing", function(id) return { id = id, hooks = {} } end, 1, 1 },
    { "404", refuses(404), 1, 1 }, { "405", refuses(405), 1, 1 }, { "501", refuses(501), 1, 1 },
    { "500", refuses(500), 1, 1 },
    { "no answer", function() return nil, "unknown: timeout", { outcome = "unknown" } end, 1, 1 },
  }
  for _, case in ipairs(cases) do
    it(("where hookInfo says: %s"):format(case[1]), function()
      start(case[2])
      sim:advance(500) -- less than what silence of the new one would need
      assert.same({ case[3], case[4] }, { #sim.sent, sms })
    end)
  end

  it("leaves not where a channel is known not to offer hookInfo", function()
    start(refuses(404), "paid")
    sim:advance(900)
    assert(flow:submit { id = "b", type = "paid", phone = "12020721301" })
    flow:drain()
    assert(flow:hooks(cjson.encode { ack = { { id = flow:show("b").message_id, status = "failed", error = "(#131000) x" } } }))
    sim:advance(900)
    assert.equal(2, #sim.sent)
    assert.matches("did not confirm", flow:show("b").history[5].reason)
  end)

  for _, word in ipairs { "delivered", "read", "viewed", "played" } do
    it("leaves not when " .. word .. " is on disk and not folded", function()
      local first
      first = start(function(id, at)
        -- between the answer and the statement that queues the new one, another process stores this
        assert(flow.box:keep { statuses.statements.status({ id = first, status = word }, "main", "hook", at) })
        return says "failed"(id, at)
      end)
      local with_statuses = flow.box.with_statuses -- and nobody folds it before
      flow.box.with_statuses = function(box, rows)
        local list, err, info = with_statuses(box, rows)
        for _, one in ipairs(list or {}) do
          for n = #one.statuses, 1, -1 do
            if sim.blind and one.statuses[n].status == word then table.remove(one.statuses, n) end
          end
        end
        return list, err, info
      end
      sim.blind = true
      sim:advance(65)
      assert.equal(1, #sim.sent)
      sim.blind = false
      sim:advance(700)
      assert.same({ 1, 0 }, { #sim.sent, sms })
    end)
  end

  it("leaves not after another way was used", function()
    sms = 0
    sim = simulation.new { calls = { hookInfo = function(id) return { id = id, hooks = {} } end },
                           fallback = { sms = function() sms = sms + 1 return true end } }
    flow = sim.flow
    assert(flow:submit { id = "a", type = "else", phone = PHONE, name = "Maria" })
    sim:advance(700)
    assert.equal(1, sms)
    sim.calls.hookInfo = says "failed"
    flow:hooks(cjson.encode { ack = { { id = flow:show("a").message_id, status = "failed", error = "(#131000) x" } } })
    sim:advance(3600)
    assert.same({ 1, 1 }, { #sim.sent, sms })
  end)
end)
