-- libcurl's handles are reused: what one says of its last transfer must not be told of the next, which had no answer.
local channels = require "support.channels"
local raw = require "support.raw"
local server = require "support.server"

describe("what had no answer", function()
  local tells, hangs, forbids, channel

  setup(function() tells, hangs, forbids = raw.http "tell", raw.http "hang", raw.http "forbids" end)
  teardown(function()
    tells:stop()
    hangs:stop()
    forbids:stop()
  end)
  before_each(function() -- a handle that remembers
    channel = channels.to(tells, { timeout = 30 })
    local ask = raw.ask("429 Too Many Requests", '{"error":"x"}', "Retry-After: 77\r\n")
    local _, _, info = channel:send(channels.message(channels.phone(0), { action = ask }))
    assert.are.same({ 429, 77 }, { info.status, info.retry_after })
  end)
  after_each(function() channel:close() end)

  local function check(outcome, _, err, info)
    assert.are.equal(outcome, info.outcome, err)
    assert.is_nil(info.status)
    assert.is_nil(info.retry_after)
    assert.is_nil(info.body)
  end

  local function through(it_is, options)
    local other = channels.to(it_is, options)
    return other, assert(other:async("send", channels.message(channels.phone(0))))
  end

  it("has no status: nobody listens", function()
    local other, pending = through({ url = "http://127.0.0.1:9" })
    check("not_sent", pending:wait())
    other:close()
  end)

  it("has no status: it hangs, it waits behind one that does, it is cancelled", function()
    local count = hangs:count()
    local other, first = through(hangs, { timeout = 1, max_connections = 1 })
    assert.is_truthy(server.eventually(function() return hangs:count() > count end))
    local second = assert(other:async("send", channels.message(channels.phone(0))))
    local third = assert(other:async("send", channels.message(channels.phone(0))))
    third:cancel()
    check("unknown", first:wait())
    check("not_sent", third:wait())
    local _, err, info = second:wait() -- it may just have been begun
    check(info.outcome, nil, err, info)
    other:close()
  end)

  it("has no status: the proxy refuses", function()
    local other, pending = through({ url = "https://127.0.0.1:1" }, { proxy = forbids.url, timeout = 30 })
    check("not_sent", pending:wait())
    other:close()
  end)

  it("and what had one has its own", function()
    local ask = raw.ask("500 Oops", '{"error":"y"}')
    local _, _, info = channel:send(channels.message(channels.phone(0), { action = ask }))
    assert.are.equal(500, info.status)
    assert.is_nil(info.retry_after)
  end)
end)
