-- Finalizers that use what is being closed: while lua_close collects everything, in either order, with messages in flight. Each
-- call gives its value or says what is closed; nothing crashes, waits for ever, or leaves twice.
local raw = require "support.raw"
local server = require "support.server"

local LUA = os.getenv "SPEC_LUA" or rawget(_G, "jit") and "luajit" or "lua5.4"
local CALLS = 19
-- What a call may say; the rest is a value. "raised" is for what was misused, and none is.
local WORDS = { value = true, closed = true, not_sent = true, unknown = true, store = true, config = true, timeout = true }

describe("a finalizer that runs at lua_close", function()
  local api, dir

  setup(function() api, dir = raw.http "accept", server.directory() end)
  teardown(function()
    api:stop()
    os.execute("rm -rf '" .. dir .. "'")
  end)

  for _, when in ipairs { "oldest", "youngest", "both" } do
    for _, how in ipairs { "fall", "close" } do
      it(("%s, the process ends by %s"):format(when, how), function()
        for _ = 1, 5 do
          local pipe = assert(io.popen(("timeout -s KILL 100 %s spec/support/last_child.lua %s %s %s %s 2>&1; echo exit $?")
            :format(LUA, when, how, api.url, dir)))
          local text = pipe:read "*a"
          pipe:close()
          local lines = 0
          for call, word in text:gmatch "%w+ | ([^\n|]+) | ([^\n]+)\n" do
            lines = lines + 1
            assert.is_true(WORDS[word], call .. ": " .. word)
          end
          assert.equal(when == "both" and 2 * CALLS or CALLS, lines, text)
          assert.matches("exit 0\n$", text)
        end
      end)
    end
  end
end)
