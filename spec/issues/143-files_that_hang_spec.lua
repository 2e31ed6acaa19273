-- A FIFO in the place of the rules stopped an nginx worker for good: its next look at them waited for somebody to write.
local rules = require "onemsg.rules"
local service = require "support.service"
local support = require "support.server"

local ENDS = { { "a FIFO", "mkfifo %s.new && mv %s.new %s" }, { "a device", "ln -sfn /dev/zero %s.new && mv -T %s.new %s" },
               { "a directory", "rm %s && mkdir %s && : %s" } }

describe("rules in whose place lies", function()
  local path

  before_each(function()
    path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write(service.RULES)
    file:close()
  end)
  after_each(function() os.execute("rm -rf " .. path) end)

  for _, case in ipairs(ENDS) do
    it(case[1] .. ": the last good ones go on, and it is said", function()
      local handle = assert(rules.open(path, 0))
      local set = handle:current(0)
      assert(os.execute(case[2]:format(path, path, path)))
      local now, problem = handle:current(10)
      assert.equal(set, now)
      assert.matches("^config: ", problem)
      os.execute("rm -rf " .. path)
      local file = assert(io.open(path, "w"))
      file:write(service.RULES .. "-- newer\n")
      file:close()
      now, problem = handle:current(20)
      assert.is_nil(problem)
      assert.not_equal(set.version, now.version)
    end)
  end
end)

describe("nginx: a FIFO in the place of the rules", function()
  it("holds nobody: events are taken, it is said, and the worker can leave", function()
    local fake = support.fake {}
    finally(function()
      service.stop_all()
      fake:stop()
    end)
    local here = service.start { fake = fake }
    local rules_path = here.nginx.dir .. "/rules.lua"
    assert(os.execute(("mkfifo %s.new && mv %s.new %s"):format(rules_path, rules_path, rules_path)))
    support.eventually(function()
      local _, text = here:get "/metrics"
      return text:find "\nonemsg_rules_good 0" ~= nil
    end)
    assert.equal(202, (here:event(service.payment())))
    here:stop()
  end)
end)
