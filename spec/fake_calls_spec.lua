local cjson = require "cjson"
local socket = require "socket"
local server = require "support.server"
local sys = require "support.sys"

local fake, env, call, get, message, send, phone, statuses, id_of, head, curl

setup(function()
  fake = server.fake { set = { pace_ms = 0 } }
  env = fake.env
  local wire = require("support.wire").new(fake)
  call, get, message, send, phone = wire.call, wire.get, wire.message, wire.send, wire.phone
  statuses, id_of, head, curl = wire.statuses, wire.id_of, wire.head, wire.curl
end)
teardown(function()
  assert.equal("", fake:errors())
  fake:stop()
end)
before_each(function() fake:reset() end)

describe("the journal", function()
  it("has each whole request once, and the connection it came by", function()
    local connection = assert(socket.connect("127.0.0.1", (env.FAKE_HTTP_URL:match ":(%d+)$")))
    local body = cjson.encode(message(phone(1)))
    local request = head(body)
    for _ = 1, 2 do
      connection:send(request .. body)
      local length, line
      repeat
        line = assert(connection:receive "*l")
        length = length or tonumber(line:match "^Content%-Length: (%d+)")
      until line == ""
      assert(connection:receive(length))
    end
    connection:send(request .. body:sub(1, -2))
    connection:close()
    send(phone(1))
    local list = fake:journal { phone = phone(1) }
    assert.equal(3, #list)
    assert.equal(3, fake:count(phone(1)))
    assert.same({ [phone(1)] = 3 }, fake:counts())
    assert.equal(list[1].connection, list[2].connection)
    assert.not_equal(list[1].connection, list[3].connection)
    assert.same({ 1, 2, 1 }, { list[1].request, list[2].request, list[3].request })
    assert.equal("right", list[1].token)
    assert.equal(body, list[1].body)
    assert.equal("HTTP/1.1", list[1].protocol)
    assert.is_nil(list[1].headers.authorization)
    assert.equal(0, fake:count(phone(2)))
  end)

  it("keeps a body that nginx put into a file", function()
    local big = message(phone(1), { params = { { type = "body", parameters = {
      { type = "text", text = ("x"):rep(200000) }, { type = "text", text = "b" }, { type = "text", text = "c" } } } } })
    assert.equal(400, (call("POST", "sendTemplate", big)))
    assert.equal(cjson.encode(big):len(), #fake:journal()[1].body)
  end)

  it("can be off", function()
    fake:set { journal = "off" }
    assert.equal(200, (send(phone(1))))
    assert.same({}, fake:journal())
    fake:set { check = "off" }
    local id = id_of(select(2, send(phone(1))))
    assert.equal("read delivered sent", statuses(id))
  end)
end)

describe("over TLS", function()
  local SHORT = " %{http_version} %{exitcode}"

  it("answers HTTP/1.1 on one port and HTTP/2 on the other", function()
    assert.truthy(curl(env.FAKE_HTTPS_URL, 0, SHORT):find '"sent":true.* 1%.1 0$')
    assert.truthy(curl(env.FAKE_H2_URL, 0, SHORT):find '"sent":true.* 2 0$')
    assert.equal("HTTP/2.0", fake:journal()[2].protocol)
    assert.equal(env.FAKE_HTTPS_URL, env.ONE_MSG_BASE_URL)
  end)

  it("cuts, closes and resets there too", function()
    for _, url in ipairs { env.FAKE_HTTPS_URL, env.FAKE_H2_URL } do
      for _, ending in ipairs { 70, 79, 80 } do
        assert.is_nil(curl(url, ending, SHORT):find " 0$", ending .. " " .. url)
      end
    end
    for _, ending in ipairs { 70, 79, 80 } do assert.equal(2, fake:count(phone(ending))) end
  end)
end)

describe("the channel", function()
  local function webhook() return get "webhook".webhookUrl end

  it("lists templates by pages, and in every form", function()
    fake:set { templates_extra = 20 }
    local page = get "templates?limit=7&offset=21"
    assert.equal(30, page.total)
    assert.equal(7, #page.templates)
    assert.equal("filler_0012", page.templates[1].name)
    assert.same({}, get "templates?limit=7&offset=30".templates)
    fake:set { templates_form = "bare,string_components,language_object,lower_status,no_namespace" }
    local list = get "templates"
    assert.equal(30, #list)
    assert.equal("string", type(list[1].components))
    assert.same({ code = "en" }, list[1].language)
    assert.equal("approved", list[1].status)
    assert.equal(env.ONE_MSG_TEMPLATE_NAMESPACE, list[1].namespace)
    assert.is_nil(list[2].namespace)
    fake:set { templates_form = "ignores_offset,other_namespace_key" }
    page = get "templates?limit=2&offset=2"
    assert.equal("en", page.templates[1].language)
    assert.equal(env.ONE_MSG_TEMPLATE_NAMESPACE, page.templates[1].message_template_namespace)
    fake:set { templates_form = "error_key" }
    assert.truthy(get "templates".error)
  end)

  it("replaces the whole list of webhooks, five at most", function()
    local cabinet = webhook()
    assert.truthy(cabinet:find "^https://app%.1msg%.io/")
    local urls = { cabinet, "http://127.0.0.1:1/a", "http://127.0.0.1:1/b" }
    assert.equal(200, (call("POST", "webhook", { webhookUrl = urls })))
    assert.same(urls, webhook())
    fake:set { webhook_form = "comma" }
    assert.equal(table.concat(urls, ","), webhook())
    local six = { "http://a/1", "http://a/2", "http://a/3", "http://a/4", "http://a/5", "http://a/6" }
    assert.equal(400, (call("POST", "webhook", { webhookUrl = six })))
    assert.equal(400, (call("POST", "webhook", { webhookUrl = "nonsense" })))
    assert.equal(table.concat(urls, ","), webhook())
    fake:set { webhook_form = "string" }
    local _, text = call("POST", "webhook", { webhookUrl = "http://127.0.0.1:1/a" })
    assert.is_true(cjson.decode(text).set)
    assert.equal("http://127.0.0.1:1/a", webhook())
    _, text = call("POST", "webhook", { webhookUrl = "http://127.0.0.1:1/a" })
    assert.is_false(cjson.decode(text).set)
    fake:set { webhook_disabled = "http://127.0.0.1:1/a" }
    assert.equal("disabled", get "webhook".webhookStatuses[1].status)
    call("POST", "settings", { webhookUrl = "" })
    assert.equal("", webhook())
  end)

  it("has settings and a status", function()
    assert.is_false(get "settings".ackNotificationsOn)
    local status, text = call("POST", "settings", { ackNotificationsOn = true })
    assert.equal(200, status)
    assert.same({ ackNotificationsOn = true }, cjson.decode(text).update)
    assert.is_true(get "settings".ackNotificationsOn)
    assert.equal(400, (call("POST", "settings", { ackNotificationOn = true })))
    assert.equal(400, (call("POST", "settings", { ackNotificationsOn = "yes" })))
    assert.equal("connected", get "status".status)
  end)

  it("remembers messages, also those whose answer was lost", function()
    local before = math.floor(socket.gettime())
    for _, ending in ipairs { 0, 0, 79, 86, 87, 88 } do send(phone(ending)) end
    local function found(query) return #get("messages?" .. query).messages end
    assert.equal(5, found "limit=0")
    assert.equal(2, found("chatId=" .. phone(0) .. "@c.us&min_time=" .. before))
    assert.equal(1, found("chatId=" .. phone(0) .. "@c.us&limit=1"))
    assert.equal(0, found("chatId=" .. phone(79) .. "@c.us"))
    assert.equal(0, found("max_time=" .. before - 1))
    local lost = get("messages?chatId=" .. phone(86) .. "@c.us").messages[1]
    assert.equal('Hello, Maria! Action "subscription payment" completed successfully. Access activated in your '
      .. "account. Thank you for using our service.", lost.body)
    assert.equal(1, lost.fromMe)
    fake:set { history = "off" }
    assert.truthy(get "messages".notice)
  end)

  it("can be down", function()
    for _, status in ipairs { 401, 403, 429, 503 } do
      fake:set { down = status }
      assert.equal(status, (send(phone(0))))
    end
    fake:set { down = "close" }
    assert.same({ nil, "closed" }, { send(phone(0)) })
    assert.equal(0, fake:stats().messages)
    fake:set { down = "" }
    assert.equal(200, (send(phone(0))))
  end)

  it("takes its time", function()
    fake:set { latency_ms = 500 }
    local before = sys.now()
    send(phone(0))
    assert.is_true(sys.now() - before >= 0.25) -- nginx counts from the time that it last looked at
  end)

  it("holds its answers back until it is told", function()
    fake:set { held = true }
    local connection = assert(socket.connect("127.0.0.1", (env.FAKE_HTTP_URL:match ":(%d+)$")))
    local body = cjson.encode(message(phone(2)))
    connection:send(head(body) .. body)
    assert.truthy(server.eventually(function() return fake:count(phone(2)) == 1 end))
    connection:settimeout(0.1)
    assert.equal("timeout", select(2, connection:receive(1)))
    fake:set { held = false }
    connection:settimeout(60)
    assert.equal("HTTP/1.1 200 OK", connection:receive "*l")
    connection:close()
  end)

  it("refuses options that it does not know", function()
    assert.has_error(function() fake:set { latency = 5 } end)
    assert.has_error(function() fake:set { latency_ms = "soon" } end)
    assert.has_error(function() fake:set { hook_shape = "round" } end)
  end)
end)
