-- The newer fact counts, also where a process has just learned the older one: a name that moves and moves back within
-- the time for which a process believes what it stored.
local simulation = require "support.simulation"

local RULES = [[
template "t" { language = "en", body = { "name" } }
confirm "Paid" { on = "paid", phone = "{phone}", bsuid = "{bsuid}", username = "{username}", name = "Ana" }
]]
local ONE, OTHER, BSUID, NAME = "573001239967", "573009999999", "CO.88017", "ana.r"

describe("a name that moves back", function()
  for what, case in pairs {
    ["a bsuid"] = { field = "bsuid", value = BSUID, tell = '"bsuid":"' .. BSUID .. '"' },
    ["a username"] = { field = "username", value = NAME, tell = '"userName":"' .. NAME .. '"' },
  } do
    it("is " .. what .. " of whom it was told of last", function()
      local sim = simulation.new { rules = RULES }
      local flow, told = sim.flow, {}
      for n, phone in ipairs { ONE, OTHER, ONE, OTHER, OTHER, ONE } do
        flow:hooks(('{"ack":[{"id":"wamid.x","phone":"%s",%s,"status":"delivered"}]}'):format(phone, case.tell))
        local id = "o-" .. n
        assert(flow:submit { id = id, type = "paid", [case.field] = case.value })
        told[n] = flow:show(id).phone
      end
      sim:close()
      assert.same({ ONE, OTHER, ONE, OTHER, OTHER, ONE }, told)
    end)
  end
end)
