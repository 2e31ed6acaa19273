-- onemsg.webhook: the shared list of URLs of a channel (PLATFORM.md 1.6).
local webhook = require "onemsg.webhook"
local cjson = require "cjson.safe"
local channels = require "support.channels"

local CABINET = "https://app.1msg.io/service/service_core/whatsapp/webhook/1"
local OURS = "https://shop.example/hooks/3f9a1c77d2e84b10"

-- A channel that keeps its list as 1MSG does: setWebhook replaces it whole. `meddle` may change what happens.
local function stand_in(urls, meddle)
  local channel = { urls = urls, disabled = nil, writes = 0, reads = 0 }
  meddle = meddle or {}
  function channel.webhook()
    channel.reads = channel.reads + 1
    if meddle.read then
      local err, info = meddle.read(channel)
      if err then return nil, err, info end
    end
    local statuses = {}
    for i, url in ipairs(channel.urls) do
      statuses[i] = { webhookUrl = url, status = url == channel.disabled and "disabled" or "active" }
    end
    return webhook.parse { webhookUrl = channel.urls, webhookStatuses = statuses }
  end
  function channel.setWebhook(_, list)
    assert(#list <= 5)
    channel.writes = channel.writes + 1
    channel.urls = list
    if not meddle.stays_disabled then channel.disabled = nil end
    if meddle.write then
      local err, info = meddle.write(channel)
      if err then return nil, err, info end
    end
    return { set = true }
  end
  return channel
end

describe("webhook.parse", function()
  local lists = {
    { { webhookUrl = CABINET }, { CABINET } },
    { { webhookUrl = { CABINET, OURS } }, { CABINET, OURS } },
    { { webhookUrl = CABINET .. "," .. OURS }, { CABINET, OURS } },
    { { webhookUrl = " " .. CABINET .. " , " .. OURS .. "," }, { CABINET, OURS } },
    { { webhookUrl = "https://a.example/x,y,http://b.example/" }, { "https://a.example/x,y", "http://b.example/" } },
    { { webhookUrl = { CABINET .. "," .. OURS, OURS } }, { CABINET, OURS } },
    { { webhookUrl = { OURS, OURS .. "/", CABINET } }, { OURS, CABINET } },
    { { webhookUrl = { { url = OURS }, { webhookUrl = CABINET } } }, { OURS, CABINET } },
    { { webhookUrl = { OURS, "", cjson.null, 5, CABINET } }, { OURS, CABINET } },
    { { webhookUrl = "" }, {} }, { { webhookUrl = cjson.null }, {} }, { { webhookUrl = {} }, {} }, { {}, {} },
    { { webhookUrl = true }, {} }, { { webhookUrl = { {} } }, {} }, { { webhookUrl = { a = 1 } }, {} },
    { OURS, { OURS } }, { { OURS, CABINET }, { OURS, CABINET } }, { cjson.null, {} }, { 5, {} }, { true, {} },
    { { webhookUrl = OURS, webhookStatuses = "x" }, { OURS } }, { { webhookUrl = OURS, webhookStatuses = { 1, {} } },
      { OURS } },
  }
  for i, case in ipairs(lists) do
    it("reads list " .. i, function()
      assert.same(case[2], (webhook.parse(case[1])))
    end)
  end
  it("of nothing is empty", function()
    assert.same({}, (webhook.parse(nil)))
  end)

  for i, statuses in ipairs {
    { { webhookUrl = OURS, status = "Disabled" }, { webhookUrl = CABINET, status = "active" } },
    { { url = OURS .. "/", disabled = true }, { url = CABINET, enabled = true, status = "active" } },
    { { url = OURS, enabled = false }, { url = CABINET, state = "ACTIVE" } },
    { [OURS] = "disabled", [CABINET] = true }, { [OURS] = false, [CABINET] = "active" },
    { [OURS] = { active = false }, [CABINET] = { health = "active" } },
  } do
    it("reads health " .. i, function()
      local list, health = webhook.parse { webhookUrl = { CABINET, OURS }, webhookStatuses = statuses }
      assert.same({ [OURS] = "disabled", [CABINET] = "active" }, health)
      assert.is_true(webhook.disabled(health, OURS .. "/"))
      assert.is_false(webhook.disabled(health, CABINET))
      assert.equal(2, #list)
    end)
  end
  it("is not quick to call a URL disabled", function()
    assert.is_false(webhook.disabled(nil, OURS))
    assert.is_false(webhook.disabled({ [OURS] = "pending" }, OURS))
  end)
end)

describe("webhook.same", function()
  it("ignores one slash at the end and blanks around", function()
    assert.is_true(webhook.same(OURS, OURS .. "/"))
    assert.is_true(webhook.same(" " .. OURS, OURS))
    assert.is_false(webhook.same(OURS, OURS .. "//"))
    assert.is_false(webhook.same(OURS, OURS .. "x"))
    assert.is_false(webhook.same(OURS, OURS:upper()))
    assert.is_false(webhook.same(nil, nil))
  end)
end)

describe("webhook.check", function()
  for _, url in ipairs { OURS, "https://shop.example", "https://shop.example:8443/h?s=1&t=%2C", "HTTPS://Shop.example/",
                         "http://127.0.0.1:8080/h", "http://localhost/h", "http://[::1]:80/h",
                           "https://[2001:db8::1]/h" } do
    it("takes " .. url, function() assert.equal(url, webhook.check(url)) end)
  end
  it("trims", function() assert.equal(OURS, webhook.check(" " .. OURS .. "\n")) end)

  for url, why in pairs {
    ["http://shop.example/h"] = "https", ["http://127.0.0.1.evil.example/h"] = "https",
      ["http://localhost.evil/"] = "https",
    ["ftp://shop.example/"] = "https", ["shop.example/h"] = "https://", ["https://"] = "host", ["https:///h"] = "host",
    ["https://shop.example/a b"] = "blank", ["https://shop.example/a\nb"] = "blank",
      ["https://shop.example/\0"] = "blank",
    ["https://shop.example/é"] = "percent", ["https://shop.example/a,b"] = "comma",
      ["https://u:p@shop.example/"] = "user",
    ["https://shop.example/#x"] = "fragment", ["https://shop.example:port/"] = "port", ["https://:443/"] = "port",
    ['https://shop.example/"'] = "percent", [""] = "https://", ["https://shop.example/" .. ("x"):rep(2048)] = "longer",
  } do
    it("refuses " .. url:sub(1, 40):gsub("%c", "?"), function()
      local ok, err = webhook.check(url)
      assert.is_nil(ok)
      assert.truthy(err:find("^invalid: "))
      assert.truthy(err:find(why, 1, true), err)
    end)
  end
  it("refuses what is no text", function()
    for _, bad in ipairs { 5, true, {}, cjson.null } do assert.is_nil((webhook.check(bad))) end
    assert.is_nil((webhook.check(nil)))
  end)
end)

describe("webhook.mask", function()
  for url, masked in pairs {
    [OURS] = "https://shop.example/hooks/***", [CABINET] = CABINET,
      ["https://a.example/h?secret=abc"] = "https://a.example/h?secret=***",
    ["https://a.example/h?s=a&t=b#c"] = "https://a.example/h?s=***&t=***",
      ["https://a.example?abcdef"] = "https://a.example?***",
    ["https://u:p@a.example/"] = "https://***@a.example/",
      ["https://a.example/whatsapp-webhook"] = "https://a.example/whatsapp-webhook",
    ["https://a.example/correcthorsebatterystaple/x"] = "https://a.example/***/x", ["no url"] = "***", [""] = "***",
  } do
    it("of " .. url, function() assert.equal(masked, webhook.mask(url)) end)
  end
  it("of anything else", function()
    assert.equal("?", webhook.mask(nil))
    assert.equal("?", webhook.mask {})
  end)
end)

describe("webhook.add", function()
  it("adds ours behind the others, writes once, reads back", function()
    local channel = stand_in { CABINET, "https://crm.example/x" }
    local list, changed = webhook.add(channel, OURS)
    assert.same({ { CABINET, "https://crm.example/x", OURS }, true }, { list, changed })
    assert.same({ list, 1, 2 }, { channel.urls, channel.writes, channel.reads })
  end)

  it("does nothing the second time", function()
    local channel = stand_in { CABINET }
    assert(webhook.add(channel, OURS))
    for _, url in ipairs { OURS, OURS .. "/", " " .. OURS } do
      local list, changed = webhook.add(channel, url)
      assert.same({ { CABINET, OURS }, false }, { list, changed })
    end
    assert.equal(1, channel.writes)
  end)

  it("writes the whole list again where ours is disabled", function()
    local channel = stand_in { OURS, CABINET }
    channel.disabled = OURS
    local list, changed = webhook.add(channel, OURS)
    assert.same({ { OURS, CABINET }, true, 1 }, { list, changed, channel.writes })
    channel = stand_in({ OURS, CABINET }, { stays_disabled = true })
    channel.disabled = OURS
    local ok, err, info = webhook.add(channel, OURS)
    assert.is_nil(ok)
    assert.truthy(err:find("^rejected: .*disabled"))
    assert.is_nil(err:find("3f9a1c77d2e84b10", 1, true))
    assert.equal("rejected", info.outcome)
  end)

  it("revives ours also when five are there, and refuses a sixth", function()
    local five = { CABINET, "https://a.example/", "https://b.example/", "https://c.example/?s=topsecret", OURS }
    local channel = stand_in(five)
    channel.disabled = OURS
    assert.same(five, (webhook.add(channel, OURS)))
    local ok, err, info = webhook.add(channel, "https://sixth.example/")
    assert.is_nil(ok)
    assert.truthy(err:find("^invalid: the channel has 5 webhook URLs"))
    assert.is_nil(err:find("topsecret", 1, true))
    assert.same({ "invalid", 1, five }, { info.outcome, channel.writes, channel.urls })
  end)

  it("refuses a bad URL before it reads anything", function()
    local channel = stand_in { CABINET }
    local ok, err, info = webhook.add(channel, "http://shop.example/")
    assert.same({ "nil", "invalid", 0, 0 }, { type(ok), info.outcome, channel.reads, channel.writes })
    assert.truthy(err:find("^invalid: "))
  end)

  it("says conflict when another wrote in between", function()
    local channel = stand_in({ CABINET }, { write = function(c) c.urls = { CABINET, "https://crm.example/x" } end })
    local ok, err = webhook.add(channel, OURS)
    assert.is_nil(ok)
    assert.truthy(err:find("^conflict: https://shop.example/hooks/%*%*%* is not in the list"))
    channel = stand_in({ CABINET }, { write = function(c) c.urls = { OURS } end }) -- a foreign one was lost
    assert.truthy(select(2, webhook.add(channel, OURS)):find("^conflict: https://app.1msg.io/"))
  end)

  it("is content when another only added or reordered", function()
    local now = { OURS, "https://crm.example/x", CABINET }
    local channel = stand_in({ CABINET }, { write = function(c) c.urls = now end })
    assert.same(now, (webhook.add(channel, OURS)))
  end)

  it("hands on what went wrong, and settles a lost answer by reading", function()
    local lost = { outcome = "unknown" }
    local channel = stand_in({ CABINET }, { write = function() return "unknown: no answer", lost end })
    local list, changed = webhook.add(channel, OURS)
    assert.same({ { CABINET, OURS }, true }, { list, changed })
    channel = stand_in({ CABINET }, { write = function(c) c.urls = { CABINET } return "unknown: no answer", lost end })
    assert.truthy(select(2, webhook.add(channel, OURS)):find("^conflict: "))
    local info = { outcome = "rejected" }
    channel = stand_in({ CABINET }, { write = function() return "rejected: 401", info end })
    assert.same({ nil, "rejected: 401", info }, { webhook.add(channel, OURS) })
    assert.equal(1, channel.reads)
    channel = stand_in({ CABINET }, { read = function() return "not_sent: no network", info end })
    assert.same({ nil, "not_sent: no network", info }, { webhook.add(channel, OURS) })
    assert.equal(0, channel.writes)
    channel = stand_in({ CABINET }, { read = function(c) if c.reads == 2 then return "timeout: no answer",
      info end end })
    assert.same({ nil, "timeout: no answer", info }, { webhook.add(channel, OURS) })
  end)
end)

describe("webhook.remove", function()
  it("takes out ours and keeps the others in order", function()
    local channel = stand_in { CABINET, OURS, "https://crm.example/x" }
    local list, changed = webhook.remove(channel, OURS .. "/")
    assert.same({ { CABINET, "https://crm.example/x" }, true }, { list, changed })
    list, changed = webhook.remove(channel, OURS)
    assert.same({ { CABINET, "https://crm.example/x" }, false, 1 }, { list, changed, channel.writes })
  end)

  it("can take out the last one", function()
    local channel = stand_in { OURS }
    local list, changed = webhook.remove(channel, OURS)
    assert.same({ {}, true, {}, 1 }, { list, changed, channel.urls, channel.writes })
  end)

  it("can take out a URL that could not be added", function()
    local channel = stand_in { "http://old.example/a,b", CABINET }
    assert.same({ CABINET }, (webhook.remove(channel, "http://old.example/a,b")))
  end)

  it("says conflict when it comes back or a foreign one is lost", function()
    local channel = stand_in({ CABINET, OURS }, { write = function(c) c.urls = { CABINET, OURS } end })
    assert.truthy(select(2, webhook.remove(channel, OURS)):find("^conflict: .*again"))
    channel = stand_in({ CABINET, OURS, "https://x.example" },
      { write = function(c) c.urls = { "https://x.example" } end })
    assert.truthy(select(2, webhook.remove(channel, OURS)):find("^conflict: .*not in the list"))
  end)

  it("refuses what is no URL", function()
    local channel = stand_in { CABINET }
    for _, bad in ipairs { "", " " } do
      assert.truthy(select(2, webhook.remove(channel, bad)):find("^invalid: "))
    end
    for _, change in ipairs { webhook.add, webhook.remove } do
      for _, bad in ipairs { 5, {}, true } do
        assert.is_false(pcall(change, channel, bad))
      end
    end
    assert.equal(0, channel.reads)
  end)
end)

describe("channel:addWebhook and removeWebhook on a channel", function()
  local fake, channel, finish

  setup(function() fake, channel, finish = channels.with_fake() end)
  before_each(function() fake:reset() end)
  teardown(function() finish() end)

  for _, form in ipairs { "array", "string", "comma" } do
    it("keep 1MSG's own URL, in a list of the form " .. form, function()
      fake:set { webhook_form = form }
      assert.same({ { CABINET, OURS }, true }, { channel:addWebhook(OURS) })
      assert.same({ { CABINET, OURS }, false }, { channel:addWebhook(OURS .. "/") })
      fake:set { webhook_disabled = OURS }
      assert.is_true(webhook.disabled(select(2, channel:webhook()), OURS))
      assert.same({ { CABINET, OURS }, true }, { channel:addWebhook(OURS) })
      assert.is_false(webhook.disabled(select(2, channel:webhook()), OURS))
      assert.same({ { CABINET }, true }, { channel:removeWebhook(OURS) })
      assert.same({ { CABINET }, {} }, { channel:webhook() })
    end)
  end

  it("refuse a sixth, and take out the last", function()
    for i = 1, 4 do assert(channel:addWebhook("https://shop.example/" .. i)) end
    local list, err, info = channel:addWebhook(OURS)
    assert.is_nil(list)
    assert.truthy(err:find("^invalid: the channel has 5 webhook URLs"))
    assert.equal("invalid", info.outcome)
    for i = 1, 4 do assert(channel:removeWebhook("https://shop.example/" .. i)) end
    assert.same({ {}, true }, { channel:removeWebhook(CABINET) })
    assert.same({}, (channel:webhook()))
  end)
end)
