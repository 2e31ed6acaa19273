-- A claim whose commit nobody could confirm took messages that never left. The loop gives them back before it ends, or the
-- next one would have to call them unknown. Kind: whoever stops leaves nothing in doubt that is not.
local simulation = require "support.simulation"

describe("a worker that is stopped behind a claim that failed", function()
  for _, stored in ipairs { true, false } do
    it("queues what was taken up, when it was " .. (stored and "" or "not ") .. "stored", function()
      local sim = simulation.new {}
      local box, failed = sim.flow.box, 0
      local db = box.db
      assert(sim.flow:submit { id = "m", type = "short", phone = "12020741301", payment = "m" })
      box.db = setmetatable({ unit = function(_, unit)
        for _, statement in ipairs(unit) do
          if statement[1]:find("state = 'sending', step", 1, true) then
            if stored then assert(db:unit(unit)) end
            failed = failed + 1
            return nil, "store: the connection is gone; it may not have been stored", { outcome = "store", retry = true }
          end
        end
        return db:unit(unit)
      end }, { __index = function(_, name)
        return function(_, ...) return db[name](db, ...) end
      end })
      sim.flow:work { stop = function() return failed > 0 end }
      box.db = db
      local shown = sim.flow:show "m"
      assert.equal("queued", shown.state)
      assert.equal(0, shown.attempts)
      assert.equal(0, #sim.sent)
      assert.equal(stored and 3 or 1, #shown.history)
      sim:advance(60)
      assert.equal("accepted", sim.flow:show("m").state)
      assert.equal(1, #sim.sent)
      sim:close()
    end)
  end
end)
