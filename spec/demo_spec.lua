-- make demo, as a stranger sees it: each part of the story is told, and is true of the requests that were made.
local commands = require "support.command"
local server = require "support.server"

describe("examples/demo.lua", function()
  it("tells the story", function()
    local dir = server.directory()
    finally(function() os.execute("rm -rf " .. commands.quote(dir)) end)
    local pipe = assert(io.popen(("FAKE_DIR=%s %s examples/demo.lua 2>&1"):format(commands.quote(dir),
      commands.INTERPRETER)))
    local text = pipe:read "*a"
    pipe:close()
    for _, part in ipairs { "queued    pay%-1 ", "known     pay%-1 ", "skipped   pay%-2 ", "pay%-1  ACCEPTED",
      "Maria | subscription payment | Access activated in your account%.", 'pay%-2  SKIPPED: never "Staff"',
      "order%-3  REJECTED: Message undeliverable", "order%-4  ACCEPTED", "attempts   2", "\n  .-  delivered" } do
      assert.truthy(text:find(part), part .. "\n" .. text)
    end
    assert.is_nil(text:find("2020721", 1, true))
    local sent = {}
    for line in io.lines(dir .. "/journal.jsonl") do
      local phone = line:match '"phone":"(%d+)"'
      if phone then sent[phone:sub(-2)] = (sent[phone:sub(-2)] or 0) + 1 end
    end
    assert.same({ ["69"] = 1, ["40"] = 1, ["68"] = 2, ["00"] = 1 }, sent)
    assert.is_nil(io.open(dir .. "/nginx.pid"))
  end)
end)
