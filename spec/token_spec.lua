-- The token stands in one header and nowhere else: in no URL, error, info, statistic, name or printed value
-- whatever an answer echoes. endpoint_test.c has the forms in which it may hide.
local channels = require "support.channels"
local numbers = require "onemsg.fake.numbers"
local raw = require "support.raw"
local server = require "support.server"

describe("the token", function()
  local fake, token

  setup(function()
    fake = server.fake { set = { pace_ms = 0 } }
    token = fake.env.ONE_MSG_TOKEN
  end)
  teardown(function() fake:stop() end)

  -- Fails when the value, or anything in it, shows the token or so much of it that one knows it by.
  local function check(value, seen)
    seen = seen or {}
    if type(value) == "table" and not seen[value] then
      seen[value] = true
      for key, item in pairs(value) do
        check(key, seen)
        check(item, seen)
      end
    elseif type(value) ~= "table" then
      local text = tostring(value)
      for _, part in ipairs { token, token:sub(1, 24), token:sub(30, 60), token:sub(-24), (token:gsub("%.", "%%2E")) } do
        assert.is_nil(text:find(part, 1, true), text:sub(1, 400):gsub(part:gsub("%p", "%%%0"), "<TOKEN>"))
      end
    end
  end

  it("is in no answer, of any row of the fake's table", function()
    local channel = channels.new(fake)
    for ending in pairs(numbers.list) do
      if ending ~= 76 then check { channel:send(channels.message(channels.phone(ending))) } end
    end
    local _, _, info = channel:send(channels.message(channels.phone(60)))
    local _, replaced = info.body:gsub("%[token%]", "")
    assert.are.equal(2, replaced) -- the fake echoes it twice: the spec sees what it looks for
    check { channel:stats(), tostring(channel), tostring(channel:async("status")) }
    channel:close()
  end)

  it("is in no answer of the calls that read, refused as they are", function()
    for _, down in ipairs { "401", "403", "429", "502", "503", "close" } do
      fake:set { down = down }
      local channel = channels.new(fake)
      for _, call in ipairs {
        function() return channel:status() end, function() return channel:settings() end,
        function() return channel:messages() end, function() return channel:hookInfo "wamid.x" end,
        function() return channel:webhook() end, function() return channel:templates() end,
        function() return channel:setWebhook { "https://example.com/" } end,
        function() return channel:addWebhook "https://example.com/" end,
        function() return channel:removeWebhook "https://example.com/" end,
        function() return channel:request("GET", "status") end,
        function() return channel:request("POST", "settings", { a = 1 }) end,
        function() return channel:send(channels.message "12020721300") end,
      } do
        local none, err, info = call()
        check { err, info }
        -- removeWebhook needs nothing but the list; all others say what is wrong
        assert.is_true(none == nil and type(err) == "string", tostring(err))
      end
      check(channel:stats())
      channel:close()
      fake:set { down = "" }
    end
  end)

  it("is not sent to where a redirect points", function()
    local channel = channels.new(fake)
    local before = #fake:journal()
    local none, err, info = channel:send(channels.message(channels.phone(58)))
    assert.is_nil(none)
    assert.are.equal("rejected", info.outcome)
    assert.are.equal(301, info.status)
    check { err, info }
    assert.are.equal(before + 1, #fake:journal())
    channel:close()
  end)

  it("travels in the header only", function()
    local channel = channels.new(fake)
    channel:send(channels.message(channels.phone(0)))
    channel:hookInfo "wamid.x"
    channel:request("POST", "settings", { ackNotificationsOn = false })
    for _, entry in ipairs(fake:journal()) do
      check { entry.path, entry.body, entry.headers, entry.phone }
      assert.are.equal("right", entry.token)
    end
    channel:close()
  end)

  it("is in no error of the network", function()
    for _, behaviour in ipairs { "close", "garbage", "endless_head", "half_body", "never_accepts" } do
      local s = raw.http(behaviour)
      local channel = channels.to(s, { token = token, channel = require "onemsg.fake.server".CHANNEL, timeout = 0.3 })
      check { channel:send(channels.message "12020721300") }
      channel:close()
      s:stop()
    end
    for _, more in ipairs {
      { base_url = "https://no-such-host.invalid" }, { base_url = "http://127.0.0.1:9" },
      { base_url = fake.env.FAKE_HTTPS_URL, ca_file = "/etc/ssl/certs/ca-certificates.crt" },
      { base_url = fake.env.FAKE_HTTPS_URL, proxy = "http://user:" .. token .. "@127.0.0.1:9" },
    } do
      local channel = channels.new(fake, more)
      check { channel:send(channels.message "12020721300") }
      channel:close()
    end
  end)

  it("is in no refusal of onemsg.new", function()
    local onemsg = require "onemsg"
    for _, more in ipairs {
      { token = token .. "\n" .. token }, { token = "x " .. token }, { base_url = "https://h/?token=" .. token },
      { base_url = "http://api.1msg.io/" .. token }, { channel = "OTHER1" }, { ca_file = "/none" }, { proxy = "ftp://" .. token },
      { http = token }, { text = token }, { timeout = token }, { template = token }, { country = token },
    } do
      local none, err, info = onemsg.new(channels.options(fake, more))
      assert.is_nil(none)
      check { err, info }
    end
  end)
end)
