-- Every Lua block of README.md runs, against the fake, in the order in which it is written: they are one program, and
-- a block that begins with `template` is its rules.lua.
local server = require "support.server"

local function read_blocks()
  local file = assert(io.open "README.md")
  local text = file:read "*a"
  file:close()
  local program, rules = {}, {}
  for code in text:gmatch "\n```lua\n(.-)\n```" do
    local list = code:find "^template " and rules or program
    list[#list + 1] = code
  end
  return program, rules
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text, "\n")
  file:close()
end

describe("README.md", function()
  it("runs, block by block", function()
    local fake = server.fake { set = { pace_ms = 0 } }
    local dir = server.directory()
    finally(function()
      fake:stop()
      os.execute("rm -rf '" .. dir .. "'")
    end)
    local program, rules = read_blocks()
    assert.equal(1, #rules)
    write(dir .. "/rules.lua", rules[1])
    write(dir .. "/program.lua", table.concat(program, "\n"))
    local exports = {}
    for name, value in pairs(fake.env) do exports[#exports + 1] = name .. "='" .. value .. "'" end
    local lua = rawget(_G, "jit") and "luajit" or "lua5.4"
    local pipe = assert(io.popen(("cd '%s' && %s %s program.lua 2>&1"):format(dir, table.concat(exports, " "), lua)))
    local output = pipe:read "*a"
    pipe:close()
    local at = 1
    for _, expected in ipairs { "accepted\twamid%.%S+\n", "read\n", "1000\n", "recipient\n", "true\n", "queued\taccepted\n",
                                "2\t1\n", "1\tpaid\n$" } do
      local _, last = output:find(expected, at)
      assert.truthy(last, "README.md did not print " .. expected .. " here:\n" .. output:sub(at))
      at = last + 1
    end
    assert.equal("", fake:errors())
  end)
end)
