-- Over HTTP/2 one connection carries everything, and its troubles were everybody's: one that went silent made each later
-- message `unknown`, and so did a server that asked for HTTP/1.1, and a GOAWAY or a refused stream, which prove the contrary.
local channels = require "support.channels"
local raw = require "support.raw"
local server = require "support.server"

describe("an HTTP/2 connection", function()
  local it_is, channel, fake

  after_each(function()
    if channel then channel:close() end
    if it_is then it_is:stop() end
    if fake then fake:stop() end
    channel, it_is, fake = nil, nil, nil
  end)

  it("that went silent is left after one message", function()
    it_is = raw.h2("black", { answer = 2 })
    channel = channels.to(it_is, { timeout = 0.5 })
    local told = {}
    for i = 1, 6 do
      local receipt, _, info = channel:send(channels.message(channels.phone(0)))
      told[i] = receipt and receipt.outcome or info.outcome
    end
    assert.are.same({ "accepted", "accepted", "unknown", "accepted", "accepted", "accepted" }, told)
    assert.is_table(channel:status())
  end)

  it("on which others are answered stays, though one message was not", function()
    it_is = raw.h2("hang_one", { answer = 1 })
    channel = channels.to(it_is, { timeout = 4 })
    assert(channel:send(channels.message(channels.phone(0))))
    local hanging = assert(channel:async("send", channels.message(channels.phone(0))))
    assert.is_truthy(server.eventually(function() return it_is:count() == 2 end))
    repeat
      assert(channel:send(channels.message(channels.phone(0))))
      hanging:wait(0.02) -- node ends a connection after some thousand streams
    until hanging:ready()
    local receipt, _, info = hanging:wait()
    assert.is_nil(receipt)
    assert.are.equal("unknown", info.outcome)
    assert(channel:send(channels.message(channels.phone(0))))
    for _, entry in ipairs(it_is:journal()) do assert.are.equal(1, entry.connection) end
  end)

  it("is given up for HTTP/1.1 where the server asks for that", function()
    it_is = raw.h2("http11", { answer = 0 })
    channel = channels.to(it_is, { timeout = 5 })
    local phones, pendings = {}, {}
    for i = 1, 8 do
      phones[i] = channels.phone(0)
      pendings[i] = assert(channel:async("send", channels.message(phones[i])))
    end
    for _, pending in ipairs(pendings) do assert(pending:wait()) end
    phones[9] = channels.phone(0)
    assert(channel:send(channels.message(phones[9])))
    for _, phone in ipairs(phones) do assert.are.equal(1, it_is:count(phone)) end
    for _, entry in ipairs(it_is:journal()) do assert.are.equal("1.1", entry.http) end
  end)

  it("that nginx ends after a thousand requests makes no message unknown", function()
    fake = server.fake { set = { pace_ms = 0, latency_ms = 5 } }
    for url, http in pairs { [fake.env.FAKE_H2_URL] = "auto", [fake.env.FAKE_HTTPS_URL] = "1.1" } do
      channel = channels.new(fake, { base_url = url, http = http, max_connections = 64,
                                       timeout = 60, connect_timeout = 60 })
      local messages, turned_away, answered = {}, {}, 0
      for i = 1, 2500 do messages[i] = channels.message(channels.phone(0)) end
      for index, receipt, err, info in channel:send_each(messages, { window = 64 }) do
        answered = answered + 1
        if not receipt then
          assert.are.equal("not_sent", info.outcome, err)
          turned_away[messages[index].phone] = true
        end
      end
      assert.are.equal(2500, answered)
      local seen = {}
      for _, entry in ipairs(fake:journal()) do seen[entry.phone] = (seen[entry.phone] or 0) + 1 end
      for _, message in ipairs(messages) do
        assert.are.equal(turned_away[message.phone] and 0 or 1, seen[message.phone] or 0)
      end
      assert.is_true(http == "auto" or next(turned_away) == nil)
      channel:close()
    end
  end)

  it("is not what a channel asks for by itself", function()
    fake = server.fake()
    local options = channels.options(fake, { base_url = fake.env.FAKE_H2_URL })
    options.http = nil
    channel = assert(require "onemsg".new(options))
    local phone = channels.phone(0)
    assert(channel:send(channels.message(phone)))
    assert.are.equal("HTTP/1.1", fake:journal()[1].protocol)
  end)
end)
