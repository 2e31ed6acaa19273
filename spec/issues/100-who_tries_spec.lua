-- A template that was set aside is tried by one of its messages. That fell to the first that was due, also where that one
-- waited behind another of its recipient's line, who waited for the trial: nobody left, until all had expired.
-- Kind: whoever others wait for must be able to go.
local simulation = require "support.simulation"

local function paused()
  return nil, "rejected: 132015 the template is paused", { outcome = "rejected", status = 400, code = 132015 }
end
local function later() return nil, "not_sent: 429", { outcome = "not_sent", status = 429, retry = true, retry_after = 900 } end
local function refused() return nil, "not_sent: connection refused", { outcome = "not_sent" } end
local function taken(message, n) return { outcome = "accepted", id = ("wamid.%d.%s"):format(n, message.phone:sub(-2)) } end

describe("the trial of a template", function()
  for name, answers in pairs {
    ["whose message has to be tried again"] = { paused, refused },
    ["whose message has to be tried again and again"] = { paused, refused, refused, refused },
    ["whose message is told to come much later"] = { paused, later },
    ["which succeeds"] = { paused },
  } do
    it("ends for all who wait for it: " .. name, function()
      local sim = simulation.new { answer = function(message, n) return (answers[n] or taken)(message, n) end }
      local function submit(id, phone) assert(sim.flow:submit { id = id, type = "paid", phone = phone, name = "Maria" }) end
      submit("first", "12020741000")
      sim:advance(10)
      for n = 1, 3 do submit("behind " .. n, "12020741001") end
      submit("beside", "12020741002")
      sim:advance(5 * 3600)
      for _, id in ipairs { "behind 1", "behind 2", "behind 3", "beside" } do
        local state = sim.flow:show(id).state
        assert.equal("accepted", state, id)
      end
      sim:close()
    end)
  end
end)
