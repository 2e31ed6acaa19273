-- Plain http is for loopback only, and stays there: with a proxy set it left the machine, token and all.
local channels = require "support.channels"
local raw = require "support.raw"
local uv = require "luv"

describe("plain http to loopback, with a proxy", function()
  local proxy, api

  setup(function() proxy, api = raw.http "accept", raw.http "accept" end)
  teardown(function()
    proxy:stop()
    api:stop()
  end)

  for name, how in pairs {
    ["the option"] = function(url) return { proxy = url } end,
    ONE_MSG_PROXY = function(url) uv.os_setenv("ONE_MSG_PROXY", url) end,
    all_proxy = function(url) uv.os_setenv("all_proxy", url) end,
    http_proxy = function(url) uv.os_setenv("http_proxy", url) end,
  } do
    for _, host in ipairs { "127.0.0.1", "localhost", "127.1.2.3" } do
      it(("set by %s, to %s"):format(name, host), function()
        local options = how(proxy.url) or {}
        options.base_url, options.timeout = ("http://%s:%d"):format(host, api.port), 5
        local channel = channels.to(api, options)
        channel:send(channels.message "12020721300")
        channel:close()
        for _, variable in ipairs { "ONE_MSG_PROXY", "all_proxy", "http_proxy" } do uv.os_unsetenv(variable) end
        assert.are.equal(0, proxy:count())
      end)
    end
  end

  it("is answered by whom it was meant for", function()
    local before = api:count()
    local channel = channels.to(api, { proxy = proxy.url })
    assert.are.equal("accepted", assert(channel:send(channels.message "12020721300")).outcome)
    channel:close()
    assert.are.equal(before + 1, api:count())
  end)

  it("is not what https does: that goes through, and shows the proxy no token", function()
    local forbids = raw.http "forbids"
    local channel = channels.to({ url = "https://127.0.0.1:1" }, { proxy = forbids.url, timeout = 30 })
    local _, _, info = channel:send(channels.message "12020721300")
    assert.are.equal("not_sent", info.outcome)
    assert.are.equal(1, forbids:count())
    assert.is_nil(forbids:journal()[1].body:find(channels.TOKEN, 1, true))
    channel:close()
    forbids:stop()
  end)
end)
