-- Every Lua block of README.md runs, against the fake, in the order in which it is written.
local server = require "support.server"

local function blocks()
  local file = assert(io.open "README.md")
  local text = file:read "*a"
  file:close()
  local list = {}
  for code in text:gmatch "\n```lua\n(.-)\n```" do
    -- The blocks are one program: what an early one makes local, a later one uses.
    list[#list + 1] = code
  end
  return list
end

describe("README.md", function()
  it("runs, block by block", function()
    local fake = server.fake { set = { pace_ms = 0 } }
    finally(function() fake:stop() end)
    local script = os.tmpname()
    local file = assert(io.open(script, "w"))
    file:write(table.concat(blocks(), "\n"), "\n")
    file:close()
    local exports = {}
    for name, value in pairs(fake.env) do exports[#exports + 1] = name .. "='" .. value .. "'" end
    local lua = rawget(_G, "jit") and "luajit" or "lua5.4"
    local pipe = assert(io.popen(table.concat(exports, " ") .. " " .. lua .. " " .. script .. " 2>&1"))
    local output = pipe:read "*a"
    pipe:close()
    os.remove(script)
    assert.truthy(output:find("accepted\twamid%.%S+\n"), output)
    assert.truthy(output:find "read\n", output)
    assert.truthy(output:find "1000\n$", output)
    assert.equal("", fake:errors())
  end)
end)
