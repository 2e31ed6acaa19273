-- make demo, second part: events by signed HTTP, hooks back, an SMS instead, a doubt settled by hand.
local server = require "support.server"

describe("examples/demo_service.lua", function()
  it("tells the story", function()
    local dir = server.directory()
    finally(function() os.execute("rm -rf '" .. dir .. "' '" .. dir .. "-service'") end)
    local pipe = assert(io.popen(("FAKE_DIR='%s' lua5.4 examples/demo_service.lua 2>&1"):format(dir)))
    local text = pipe:read "*a"
    pipe:close()
    for _, part in ipairs { '"id":"pay%-5"', "read     pay%-1", "read     pay%-2", "read     pay%-3", "failed   pay%-4",
      "unknown  pay%-5", "sms: done", "an SMS would say: Payment received", "pay%-5 is failed: settled by %w+" } do
      assert.truthy(text:find(part), part .. "\n" .. text)
    end
    local sent = {}
    for line in io.lines(dir .. "-service/fake/journal.jsonl") do
      local phone = line:match '"phone":"(%d+)"'
      if phone then sent[phone:sub(-2)] = (sent[phone:sub(-2)] or 0) + 1 end
    end
    assert.same({ ["30"] = 1, ["31"] = 1, ["32"] = 1, ["22"] = 1, ["79"] = 1 }, sent)
  end)
end)
