-- examples/fleet/run, as a stranger runs it, with fewer events: what it tells is true of its own table. On one Lua:
-- spec/issues/151 has the same story on both.
local commands = require "support.command"

local EVENTS = 60

if commands.INTERPRETER ~= "luajit" or os.getenv "LUAS" == "luajit" then
  describe("examples/fleet/run", function()
    it("loses nothing and sends nothing twice", function()
      local command = commands.new { EVENTS = EVENTS }
      finally(function() command:remove() end)
      local result = command:shell(("ONEMSG=%s/onemsg examples/fleet/run"):format(commands.quote(command.dir)))
      local all = result.out .. result.err
      assert.equal(0, result.code, all)
      local table_of = {}
      for _, name in ipairs { "acknowledged", "delivered", "lost", "twice", "in doubt" } do
        table_of[name] = tonumber(result.out:match("\n" .. name .. " +(%d+)"))
        assert.truthy(table_of[name], name .. " in\n" .. all)
      end
      assert.equal(EVENTS + 1, table_of.acknowledged, all)
      assert.equal(table_of.acknowledged, table_of.delivered + table_of["in doubt"], all)
      assert.equal(0, table_of.lost + table_of.twice, all)
      for _, node in ipairs { "frankfurt", "berlin", "paris" } do assert.matches("\nnode " .. node .. ": ", all) end
    end)
  end)
end
