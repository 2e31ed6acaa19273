-- Between a program and the API may lie a proxy, or another version of IP. What ends in a proxy has not left; what went
-- through one is told by the API alone; a connection through one is used again, and checked before it is.
local channels = require "support.channels"
local raw = require "support.raw"
local server = require "support.server"
local socket = require "socket"

local NEVER_LEFT = { "closes", "resets", "garbage", "yes and closes", "yes and garbage", "refuses", "407", "407 without end",
  "502", "503", "an answer of its own" }
local SILENT = { "silent", "yes and silent" }

describe("a way to the API", function()
  local fake
  local next_phone = 12020700000 -- ends in 00: accepted by the fake

  setup(function() fake = server.fake { set = { pace_ms = 0 } } end)
  teardown(function() fake:stop() end)

  local function phone()
    next_phone = next_phone + 100
    return ("%d"):format(next_phone)
  end

  --- One message over a channel: its outcome, and how often the API has it; nil is at most once.
  local function expect(outcome, channel, arrived, match)
    local to = phone()
    local receipt, err, info = channel:send(channels.message(to))
    assert.are.equal(outcome, (receipt or info).outcome, tostring(err))
    local count = fake:count(to)
    assert.is_true(arrived and count == arrived or not arrived and count <= 1, ("arrived %d times"):format(count))
    if match then assert.matches(match, err) end
    if err then
      assert.is_nil(err:find(fake.env.ONE_MSG_TOKEN, 1, true))
      assert.is_nil(err:find("[%c\127]"), err)
    end
    return receipt, info
  end

  for _, api in ipairs { "FAKE_HTTPS_URL", "FAKE_H2_URL" } do
    for _, kind in ipairs { "http", "socks5" } do
      local what = ("%s, through a proxy that speaks %s, "):format(api == "FAKE_H2_URL" and "HTTP/2" or "HTTP/1.1", kind)
      describe(what, function()
        local proxy, channel

        -- a proxy of its own for each: a tunnel that stands would be used again
        before_each(function()
          proxy = raw.proxy(kind)
          channel = channels.new(fake, { base_url = fake.env[api], proxy = proxy.url })
        end)
        after_each(function()
          channel:close()
          proxy:stop()
        end)

        it("arrives, over one tunnel for what follows", function()
          for _ = 1, 5 do expect("accepted", channel, 1) end
          assert.are.equal(1, proxy:count())
          assert.matches(":" .. fake.env[api]:match ":(%d+)" .. "$", proxy:journal()[1].target)
        end)

        it("has its tunnel cut when it had left: unknown, and the next arrives", function()
          expect("accepted", channel, 1)
          proxy:mode "breaks before the answer"
          expect("unknown", channel, nil)
          proxy:mode "tunnel"
          expect("accepted", channel, 1)
        end)

        for _, mode in ipairs(NEVER_LEFT) do
          it("has not left where that says: " .. mode, function()
            proxy:mode(mode)
            local _, info = expect("not_sent", channel, 0)
            assert.is_true(info.retry)
            proxy:mode "tunnel"
            expect("accepted", channel, 1)
          end)
        end

        for _, mode in ipairs(SILENT) do
          it("has not left where that says: " .. mode, function()
            local hasty = channels.new(fake, { base_url = fake.env[api], proxy = proxy.url, timeout = 3, connect_timeout = 2 })
            proxy:mode(mode)
            expect("not_sent", hasty, 0)
            hasty:close()
            proxy:mode "tunnel"
            expect("accepted", channel, 1)
          end)
        end

        it("has not left where nobody listens", function()
          proxy:stop()
          assert(server.eventually(function() return not socket.connect("127.0.0.1", proxy.port) end))
          expect("not_sent", channel, 0)
        end)
      end)
    end
  end

  it("through a proxy at an IPv6 address", function()
    local proxy = raw.proxy("http", { host = "::1" })
    local channel = channels.new(fake, { base_url = fake.env.FAKE_HTTPS_URL, proxy = proxy.url })
    for _ = 1, 3 do expect("accepted", channel, 1) end
    assert.are.equal(1, proxy:count())
    channel:close()
    proxy:stop()
  end)

  for name, api in pairs { plain = "FAKE_HTTP_URL", ["HTTP/1.1 over TLS"] = "FAKE_HTTPS_URL", ["HTTP/2"] = "FAKE_H2_URL" } do
    it("at an IPv6 address, " .. name, function()
      local port = tonumber(fake.env[api]:match ":(%d+)")
      local relay = raw.proxy("relay", { host = "::1", to = port })
      local url = ("%s://[::1]:%d"):format(name == "plain" and "http" or "https", relay.port)
      local channel = channels.new(fake, { base_url = url })
      for _ = 1, 5 do expect("accepted", channel, 1) end
      assert.are.equal(1, relay:count())
      relay:mode "breaks before the answer"
      expect("unknown", channel, nil)
      relay:mode "tunnel"
      expect("accepted", channel, 1)
      channel:close()
      relay:stop()
    end)
  end
end)
