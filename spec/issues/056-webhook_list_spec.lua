-- setWebhook took http:// hosts that addWebhook refuses, so that hooks, which hold customers' texts and numbers, went over the
-- net in the clear; the limit of a list stood twice. One owner says what may stand in a list; what others put into it stays.
local channels = require "support.channels"
local server = require "support.server"
local webhook = require "onemsg.webhook"

local BAD = {
  "http://shop.example/h", "http://127.0.0.1.evil.example/", "ftp://shop.example/", "shop.example", "", "https://",
  "https://u:p@shop.example/", "https://shop.example/a b", "https://shop.example/a,b", "https://shop.example/#x",
  "https://shop.example/\0", "https://shop.example:port/", "https://shop.example/" .. ("x"):rep(2048),
}
local GOOD = { "https://shop.example/h", "HTTPS://Shop.example/", "http://127.0.0.1:8080/h", "http://localhost/", "http://[::1]/",
  " https://shop.example/trimmed " }

describe("the list of webhooks", function()
  local fake, channel

  setup(function()
    fake = server.fake {}
    channel = channels.new(fake)
  end)
  teardown(function()
    channel:close()
    fake:stop()
  end)

  --- Writes it by each way; nil and why where it is refused.
  local WAYS = {
    { "setWebhook, a list", function(url) return channel:setWebhook { url } end },
    { "setWebhook, a text", function(url) return channel:setWebhook(url) end },
    { "async", function(url) return channel:async("setWebhook", { url }):wait() end },
    { "addWebhook", function(url)
      assert(channel:setWebhook {})
      return channel:addWebhook(url)
    end },
  }

  for _, way in ipairs(WAYS) do
    it("takes and refuses alike: " .. way[1], function()
      for _, url in ipairs(GOOD) do
        assert(way[2](url))
        assert.same({ (url:match "^%s*(.-)%s*$") }, (channel:webhook()))
      end
      assert(channel:setWebhook { "https://shop.example/before" })
      for _, url in ipairs(BAD) do
        local ok, done, err, info = pcall(way[2], url)
        if ok then -- async refuses without a pending
          assert.is_nil(done)
          assert.matches("^invalid: ", err)
          assert.equal("invalid", info.outcome)
        else
          assert.matches("nil value", done)
        end
        assert.is_nil((webhook.check(url)))
      end
    end)
  end

  it("has at most five, whoever writes it", function()
    local five, six = {}, {}
    for i = 1, 6 do
      six[i] = "https://shop.example/" .. i
      five[i] = i <= 5 and six[i] or nil
    end
    assert(channel:setWebhook(five))
    local none, err = channel:setWebhook(six)
    assert.is_nil(none)
    assert.matches("^invalid: 6 webhook URLs; 1MSG keeps 5", err)
    none, err = channel:addWebhook(six[6])
    assert.is_nil(none)
    assert.matches("^invalid: the channel has 5 webhook URLs", err)
    assert.same(five, (channel:webhook()))
  end)

  it("keeps what others put into it, whatever it is", function()
    local theirs = { "http://old.example/hook", "https://app.1msg.io/service/service_core/whatsapp/webhook/1" }
    assert(channel:request("POST", "webhook", { webhookUrl = theirs }))
    local now = assert(channel:addWebhook "https://shop.example/ours")
    assert.same({ theirs[1], theirs[2], "https://shop.example/ours" }, now)
    assert.same(theirs, assert(channel:removeWebhook "https://shop.example/ours"))
    assert.is_nil((channel:setWebhook(theirs)))
    assert(channel:setWebhook({ theirs[1] }, theirs))
    assert.is_nil((channel:setWebhook({ theirs[1], "http://new.example/" }, theirs)))
    assert.same({ theirs[1] }, (channel:webhook()))
  end)

  it("is written in the form that every version of the API takes", function()
    for _, case in ipairs { { {}, "settings", "" }, { { "https://a.example/" }, "webhook", "https://a.example/" },
      { "https://a.example/", "webhook", "https://a.example/" },
      { { "https://a.example/", "https://b.example/" }, "webhook", { "https://a.example/", "https://b.example/" } } } do
      local body, path = webhook.written(case[1])
      assert.same({ case[2], case[3] }, { path, body.webhookUrl })
    end
  end)

  it("is a list of texts", function()
    for _, case in ipairs { { { url = "https://a.example" } }, { { [2] = "https://a.example" } }, { { 5 } }, { 5 }, { nil },
      { { "https://a.example" }, "https://a.example" } } do
      local ok, why = pcall(channel.setWebhook, channel, case[1], case[2])
      assert.is_false(ok)
      assert.matches("setWebhook takes", why)
    end
  end)
end)
