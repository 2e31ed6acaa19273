-- `onemsg send` that is interrupted while its answer is under way said "interrupted!" and ended with 1, although the
-- message had been accepted: who believes that sends it again. It waits for the answer now, and says it.
local channels = require "support.channels"
local server = require "support.server"
local sys = require "support.sys"

local INT, TERM = 2, 15

describe("onemsg send", function()
  local fake

  setup(function() fake = server.fake { set = { pace_ms = 0 } } end)
  teardown(function() fake:stop() end)

  --- Runs the command with job control, so that SIGINT is not ignored from the start; answers its pid and its pipe.
  local function begin(arguments)
    local exports = {}
    for name, value in pairs(fake.env) do exports[#exports + 1] = name .. "='" .. value .. "'" end
    local lua = rawget(_G, "jit") and "luajit" or "lua5.4"
    local pipe = assert(io.popen(("set -m; %s %s -e 'os.exit(require(\"onemsg.cli\").main(arg), true)' /dev/null %s 2>&1 "
      .. "& echo $!; wait $!; echo \"exit $?\""):format(table.concat(exports, " "), lua, arguments)))
    return tonumber(pipe:read "*l"), pipe
  end

  for name, signal in pairs { SIGINT = INT, SIGTERM = TERM } do
    it("waits for the answer on " .. name, function()
      local phone = channels.phone(77) -- accepted after 2 s
      local pid, pipe = begin("send --phone " .. phone .. " --body a --body b --body c")
      assert.is_truthy(server.eventually(function() return fake:count(phone) == 1 end))
      assert(sys.kill(pid, signal))
      local output = pipe:read "*a"
      pipe:close()
      assert.matches("\naccepted +wamid%.%S+\nexit 0\n$", output)
      assert.equal(1, fake:count(phone))
    end)
  end

  it("says what cleaning changed", function()
    local _, pipe = begin("send --check --phone 12020721300 --body 'a\tb' --body b --body c")
    local output = pipe:read "*a"
    pipe:close()
    assert.matches("changed: .*line breaks or tabs became one blank\nexit 0\n$", output)
  end)
end)
