-- Messages that waited for a connection left milliseconds before their deadline, which no answer can meet: `unknown`, where
-- they could have been not sent. In a process of its own: how many connections there are, the widest channel says.
local channels = require "support.channels"
local raw = require "support.raw"
local server = require "support.server"
local sys = require "support.sys"

describe("a deadline", function()
  local talker

  after_each(function() talker:stop() end)

  it("that no answer can meet is one for not sending", function()
    talker = raw.talker "plain"
    local timeout = 3
    local channel = channels.to(talker, { timeout = timeout, http = "1.1", max_connections = 1 })
    talker:hold()
    local from = sys.now()
    local first = assert(channel:async("send", channels.message(channels.phone(0))))
    local phone = channels.phone(0)
    local second = assert(channel:async("send", channels.message(phone)))
    assert.is_truthy(server.eventually(function() return sys.now() - from > 0.6 * timeout end))
    talker:release()
    assert.are.equal("accepted", first:wait().outcome)
    local receipt, err, info = second:wait() -- has less time than the first one needed
    assert.is_nil(receipt)
    assert.are.equal("not_sent", info.outcome, err)
    assert.are.equal(0, talker:count(phone))
    assert(channel:send(channels.message(channels.phone(0)))) -- who has all his time is not kept from it
    channel:close()
  end)
end)
