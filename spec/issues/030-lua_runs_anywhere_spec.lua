-- Lua runs at every allocation (finalizers) and in every metamethod. One wire table, and lua-cjson's kept buffer, served
-- all messages of a Lua state: a finalizer that only checked a message to Bob sent Maria's to him. A channel or a store
-- that was closed there was used after it was freed.
local server = require "support.server"

-- Compiled traces of LuaJIT bear no finalizer that raises, with or without onemsg: it ends with a signal.
local LUA = os.getenv "SPEC_LUA" or rawget(_G, "jit") and "luajit -joff" or "lua5.4"
local SEEDS = tonumber(os.getenv "ONEMSG_FUZZ_SEEDS") or 6
local ONLY = tonumber(os.getenv "ONEMSG_FUZZ_SEED")
local STEPS = tonumber(os.getenv "ONEMSG_FUZZ_STEPS") or 150

describe("where Lua runs in the middle of a call", function()
  local fake, dir

  setup(function()
    fake = server.fake { set = { pace_ms = 0, check = "off" } }
    dir = server.directory()
  end)
  teardown(function()
    fake:stop()
    os.execute("rm -rf '" .. dir .. "'")
  end)

  for seed = ONLY or 1, ONLY or SEEDS do
    it(("each message and each row is what was asked for (seed %d)"):format(seed), function()
      local pipe = assert(io.popen(("timeout 300 %s spec/support/anywhere.lua %d %d %s %s %s %s/%d.db 2>&1; echo exit $?")
        :format(LUA, seed, STEPS, fake.env.FAKE_HTTP_URL, fake.env.ONE_MSG_TOKEN, fake.env.FAKE_JOURNAL, dir, seed)))
      local output = pipe:read "*a"
      pipe:close()
      assert.is_truthy(output:find "0 faults\nexit 0\n$", ("ONEMSG_FUZZ_SEED=%d repeats it:\n%s"):format(seed, output))
    end)
  end
end)
