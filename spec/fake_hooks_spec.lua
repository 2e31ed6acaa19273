local cjson = require "cjson"
local socket = require "socket"
local server = require "support.server"
local receivers = require "support.receiver"

local fake, env, call, get, message, send, phone, id_of, head

setup(function()
  fake = server.fake { set = { pace_ms = 0 } }
  env = fake.env
  local wire = require("support.wire").new(fake)
  call, get, message, send = wire.call, wire.get, wire.message, wire.send
  phone, id_of, head = wire.phone, wire.id_of, wire.head
end)
teardown(function()
  assert.equal("", fake:errors())
  fake:stop()
end)
before_each(function() fake:reset() end)

describe("hooks", function()
  local receiver

  before_each(function()
    receiver = receivers.new()
    fake:set { ackNotificationsOn = true, pace_ms = 30 }
    call("POST", "webhook", { webhookUrl = { get "webhook".webhookUrl, receiver.url } })
  end)
  after_each(function() receiver:close() end)

  --- Send, take the posts, decoded.
  local function hooks_of(ending, count)
    local _, text = send(phone(ending))
    local bodies = {}
    for i, post in ipairs(receiver:take(count)) do bodies[i] = cjson.decode(post.body) end
    assert.equal(count, #bodies)
    assert.equal(0, #receiver:take(1, count == 0 and 0.2 or 0.1), "one hook too many")
    return bodies, text
  end
  local function acks(bodies)
    local names = {}
    for i, body in ipairs(bodies) do names[i] = body.ack[1].status end
    return table.concat(names, " ")
  end

  it("come as acks, without a time, with a sentence for a failure", function()
    local bodies, text = hooks_of(0, 3)
    assert.equal("sent delivered read", acks(bodies))
    assert.same({ id = id_of(text), chatId = phone(0) .. "@c.us", phone = phone(0), status = "sent",
                  category = "utility" }, bodies[1].ack[1])
    assert.equal(env.ONE_MSG_INSTANCE_ID, bodies[1].instanceId)
    bodies = hooks_of(22, 2)
    assert.equal("Message undeliverable", bodies[2].ack[1].error)
  end)

  it("come twice, reversed, contradictory, or not at all", function()
    local names = acks((hooks_of(31, 6)))
    for _, status in ipairs { "sent", "delivered", "read" } do
      assert.equal(2, select(2, names:gsub(status, "")))
    end
    assert.equal("read delivered sent", acks((hooks_of(32, 3))))
    assert.equal("sent failed delivered", acks((hooks_of(33, 3))))
    assert.equal("sent delivered failed", acks((hooks_of(34, 3))))
    assert.equal("sent failed", acks((hooks_of(90, 2))))
    hooks_of(26, 0)
    hooks_of(89, 0)
    hooks_of(40, 0)
  end)

  it("come in every shape", function()
    assert.equal("sent", hooks_of(36, 3)[1].ack.status)
    assert.equal("sent", hooks_of(37, 3)[1].hooks[1].status)
    local value = hooks_of(38, 3)[2].entry[1].changes[1].value
    assert.equal("delivered", value.statuses[1].status)
    assert.equal(phone(38), value.statuses[1].recipient_id)
    local both = hooks_of(39, 1)[1]
    assert.equal(3, #both.ack)
    assert.is_true(both.messages[1].fromMe)
    assert.truthy(both.messages[1].body:find "Maria")
    fake:set { hook_shape = "hooks" }
    assert.equal("failed", hooks_of(22, 2)[2].hooks[1].status)
    call("POST", "settings", { rawHooks = true })
    assert.equal(131026, hooks_of(22, 2)[2].entry[1].changes[1].value.statuses[1].errors[1].code)
  end)

  it("show what an answer kept back", function()
    for _, ending in ipairs { 86, 87, 88 } do
      local bodies = hooks_of(ending, 3)
      assert.equal("sent delivered read", acks(bodies))
      assert.equal(phone(ending) .. "@c.us", bodies[1].messages[1].chatId)
    end
    local stop = hooks_of(91, 3)[3].messages[1]
    assert.same({ "STOP", false }, { stop.body, stop.fromMe })
  end)

  it("come before the answer, or late", function()
    fake:set { pace_ms = 1000 }
    local connection = assert(socket.connect("127.0.0.1", (env.FAKE_HTTP_URL:match ":(%d+)$")))
    local body = cjson.encode(message(phone(35)))
    connection:send(head(body) .. body)
    local posts = receiver:take(2)
    connection:settimeout(0)
    local early, why = connection:receive(1)
    assert.is_nil(early)
    assert.equal("timeout", why)
    connection:settimeout(60)
    assert.equal("HTTP/1.1 200 OK", connection:receive "*l")
    connection:close()
    assert.equal(2, #posts)
    fake:set { pace_ms = 10 }
    local before = socket.gettime()
    assert.equal("sent delivered read", acks((hooks_of(30, 3))))
    assert.is_true(socket.gettime() - before >= 0.8)
  end)

  it("are repeated until they are taken", function()
    fake:set { pace_ms = 20 }
    send(phone(20))
    assert.equal(1, #receiver:take(1, 60, 500))
    assert.equal(1, #receiver:take(1, 60, 500))
    assert.equal(1, #receiver:take(1, 60, 200))
    assert.equal(0, #receiver:take(1, 0.5))
    local stats = server.eventually(function()
      local s = fake:stats()
      return s.posted == 1 and s
    end)
    assert.same({ 1, 2, 1 }, { stats.posted, stats.refused, stats.foreign })
  end)

  it("stay away while acknowledgements are off, or the URL is disabled", function()
    fake:set { webhook_disabled = receiver.url }
    hooks_of(0, 0)
    call("POST", "webhook", { webhookUrl = { receiver.url } })
    hooks_of(20, 1)
    call("POST", "settings", { ackNotificationsOn = false })
    hooks_of(0, 0)
  end)

  it("can be the spec's own", function()
    fake:hook '{"hooks":"nonsense"}'
    assert.equal('{"hooks":"nonsense"}', receiver:take(1)[1].body)
  end)
end)
