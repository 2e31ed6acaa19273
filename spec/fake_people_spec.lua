-- The fake's people: a phone, a business-scoped user id and a username each, and which of them its hooks tell.
local cjson = require "cjson"
local hooks = require "onemsg.hooks"
local receivers = require "support.receiver"
local server = require "support.server"

describe("the fake's people", function()
  local fake, wire, receiver
  setup(function()
    fake = server.fake { set = { pace_ms = 0 } }
    wire = require("support.wire").new(fake)
  end)
  teardown(function()
    assert.equal("", fake:errors())
    fake:stop()
  end)
  before_each(function()
    fake:reset()
    receiver = receivers.new()
    fake:set { ackNotificationsOn = true, pace_ms = 10 }
    wire.call("POST", "webhook", { webhookUrl = { receiver.url } })
  end)
  after_each(function() receiver:close() end)

  local function to(name, value)
    local message = wire.message "12020721300"
    message.phone = nil
    message[name] = value
    return message
  end

  -- The name that a message is sent by, what is told, and the names in its acks.
  for _, case in ipairs {
    { "phone", "12020721320", "sent", { phone = "12020721320", chatId = "12020721320@c.us" } },
    { "bsuid", "US.12020721320", "sent", { bsuid = "US.12020721320", chatId = "US.12020721320@lid" } },
    { "username", "Maria20", "sent", { userName = "maria20", chatId = "maria20@username" } },
    { "chatId", "@maria20", "sent", { userName = "maria20", chatId = "maria20@username" } },
    { "phone", "12020721320", "all", { phone = "12020721320", bsuid = "US.12020721320", userName = "u12020721320",
      chatId = "12020721320@c.us" } },
    { "bsuid", "US.12020721320", "all", { phone = "12020721320", bsuid = "US.12020721320", userName = "u12020721320",
      chatId = "12020721320@c.us" } },
    { "phone", "12020721320", "bsuid", { bsuid = "US.12020721320", userName = "u12020721320", chatId = "US.12020721320@lid" } },
  } do
    local name, value, tell, expected = case[1], case[2], case[3], case[4]
    it(("a message to the %s, with %s names told"):format(name, tell), function()
      fake:set { names = tell }
      local status, text = wire.call("POST", "sendTemplate", to(name, value))
      assert.equal(200, status)
      local ack = cjson.decode(receiver:take(1)[1].body).ack[1]
      assert.equal("sent", ack.status)
      for _, field in ipairs { "phone", "bsuid", "userName", "chatId" } do assert.equal(expected[field], ack[field], field) end
      local report = wire.get("hookInfo?messageId=" .. wire.escape(wire.id_of(text))).hooks[1]
      assert.same({ expected.phone, expected.bsuid }, { report.recipient_id, report.recipient_user_id })
      local found = wire.get("messages?chatId=" .. wire.escape(expected.chatId)).messages
      assert.equal(wire.id_of(text), found[1].id)
    end)
  end

  it("a chat id that ends in @lid, and two names, are refused", function()
    assert.equal(400, (wire.call("POST", "sendTemplate", to("chatId", "US.12020721320@lid"))))
    local both = to("bsuid", "US.12020721320")
    both.username = "maria"
    assert.equal(400, (wire.call("POST", "sendTemplate", both)))
  end)

  for _, form in ipairs { "text", "button", "list", "caption" } do
    it("write, by " .. form, function()
      fake:set { names = "bsuid" }
      fake:control("say", { from = "US.12020721300", text = "STOP", form = form })
      local message = hooks.parse(receiver:take(1)[1].body, 1800000000).messages[1]
      assert.same({ "STOP", "US.12020721300", false }, { message.text, message.bsuid, message.from_me })
      assert.is_nil(message.phone)
    end)
  end
end)
