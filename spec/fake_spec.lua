local cjson = require "cjson"
local http = require "socket.http"
local ltn12 = require "ltn12"
local socket = require "socket"
local numbers = require "resty.onemsg.fake_numbers"
local server = require "support.server"
local receivers = require "support.receiver"

local fake, env

--- One call over plain HTTP. status, text, headers; nil and why when no whole answer came.
local function call(verb, method, body, options)
  options = options or {}
  local chunks = {}
  local text = type(body) == "table" and cjson.encode(body) or body
  http.TIMEOUT = options.timeout or 5
  local ok, status, headers = http.request {
    url = env.FAKE_HTTP_URL .. "/" .. (options.channel or env.ONE_MSG_INSTANCE_ID) .. "/" .. method, method = verb,
    redirect = false, sink = ltn12.sink.table(chunks), source = text and ltn12.source.string(text) or nil,
    headers = { authorization = "Bearer " .. (options.token or env.ONE_MSG_TOKEN), ["content-type"] = options.type
                or "application/json", ["content-length"] = text and #text or nil },
  }
  if not ok then return nil, status end
  local answer = table.concat(chunks)
  if status == 408 then return status, answer, {} end   -- luasocket reads no further
  if headers["content-length"] and tonumber(headers["content-length"]) ~= #answer then return nil, "cut" end
  return status, answer, headers
end

local function get(method, options)
  local status, text = call("GET", method, nil, options)
  return cjson.decode(text), status
end

--- The use case's body.
local function message(phone, changes)
  local sent = { phone = phone, template = env.ONE_MSG_TEMPLATE, namespace = env.ONE_MSG_TEMPLATE_NAMESPACE,
    language = { policy = "deterministic", code = "en" },
    params = { { type = "body", parameters = { { type = "text", text = "Maria" },
      { type = "text", text = "subscription payment" },
      { type = "text", text = "Access activated in your account." } } } } }
  for key, value in pairs(changes or {}) do sent[key] = value ~= "absent" and value or nil end
  return sent
end

local function send(phone, options) return call("POST", "sendTemplate", message(phone), options) end

local function phone(ending) return ("120207213%02d"):format(ending) end

local function escape(id) return (id:gsub("[^%w]", function(c) return ("%%%02X"):format(c:byte()) end)) end

local function statuses(id)
  local names = {}
  for _, hook in ipairs(get("hookInfo?messageId=" .. escape(id)).hooks) do names[#names + 1] = hook.status end
  return table.concat(names, " ")
end

local function id_of(text) return cjson.decode(text).id end

setup(function()
  fake = server.fake { set = { pace_ms = 0 } }
  env = fake.env
end)
teardown(function()
  assert.equal("", fake:errors())
  fake:stop()
end)
before_each(function() fake:reset() end)

describe("the numbers", function()
  --- What DESIGN.md section 4 makes of an answer, in the fewest words: the table must say the same.
  local function judge(status, text)
    if not status then return "unknown" end
    if status == 429 then return "not_sent" end
    if status == 408 then return "unknown" end
    if status == 501 or status >= 300 and status < 500 then return "rejected" end
    if status >= 500 then
      return (text:find "new%-line/tab" or text:find "#132012") and "rejected" or "unknown"
    end
    local ok, answer = pcall(cjson.decode, text)
    if #text > 1024 * 1024 or not ok or type(answer) ~= "table" then return "unknown" end
    if answer.sent == true or answer.sent == "true" then return "accepted" end
    if answer.jobId then return "queued" end
    if answer.sent == false or answer.sent == "false" then return "rejected" end
    return "unknown"
  end

  for ending = 0, 99 do
    local row = numbers.row(phone(ending))
    it(("%02d: %s"):format(ending, row.say or "plain"), function()
      local before = socket.gettime()
      local status, text = send(phone(ending), { timeout = row.act == "hang" and 0.5 or 5 })
      if row.act == "slow" then assert.is_true(socket.gettime() - before >= 1.9) end
      assert.equal(row.outcome, judge(status, text))
      assert.equal(1, fake:count(phone(ending)))
      assert.equal((row.outcome == "accepted" or row.goes_out) and 1 or 0, fake:stats().messages)
      if row.first then
        local again
        for _ = 1, row.first do again, text = send(phone(ending)) end
        assert.equal("accepted", judge(again, text))
      end
    end)
  end

  it("keep 00 to 19, and the endings of the examples, plain", function()
    for ending = 0, 19 do assert.is_true(numbers.is_plain(phone(ending))) end
    assert.is_true(numbers.is_plain "12020721369")
    assert.is_true(numbers.is_plain "5511912345678")
    assert.is_false(numbers.is_plain(phone(20)))
  end)

  it("are all in the Markdown table", function()
    local rows = select(2, numbers.markdown():gsub("\n| %d%d |", ""))
    local listed = 0
    for _ in pairs(numbers.list) do listed = listed + 1 end
    assert.equal(listed, rows)
  end)

  it("say when to come back", function()
    local headers = select(3, send(phone(62)))
    assert.equal("2", headers["retry-after"])
    headers = select(3, send(phone(63)))
    assert.truthy(headers["retry-after"]:find "^%a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d GMT$")
    headers = select(3, send(phone(64)))
    assert.is_nil(headers["retry-after"])
  end)

  it("echo the token where they say so", function()
    for _, ending in ipairs { 57, 60 } do
      local text = select(2, send(phone(ending)))
      assert.truthy(text:find(env.ONE_MSG_TOKEN, 1, true))
    end
  end)

  it("close, or reset", function()
    local function curl(ending)
      local pipe = io.popen(("curl -s -o /dev/null -w '%%{exitcode}' -H 'Authorization: Bearer %s' -H 'Content-Type: "
        .. "application/json' -d '%s' %s/%s/sendTemplate"):format(env.ONE_MSG_TOKEN,
        cjson.encode(message(phone(ending))), env.FAKE_HTTP_URL, env.ONE_MSG_INSTANCE_ID))
      local code = pipe:read "*n"
      pipe:close()
      return code
    end
    assert.equal(52, curl(79))   -- empty reply
    assert.equal(56, curl(80))   -- reset
    assert.equal(18, curl(70))   -- a part of it
  end)
end)

describe("hookInfo", function()
  local function story(ending)
    return statuses(id_of(select(2, send(phone(ending)))))
  end

  it("tells what becomes of a message, newest first", function()
    assert.equal("read delivered sent", story(0))
    assert.equal("sent", story(20))
    assert.equal("failed sent", story(22))
    assert.equal("", story(26))
    assert.equal("undelivered sent", story(28))
    assert.equal("delivered failed sent", story(33))
    assert.equal("read delivered sent", story(85))
    assert.equal("delivered sent", story(90))
  end)

  it("carries codes, or a sentence only", function()
    local id = id_of(select(2, send(phone(22))))
    local hook = get("hookInfo?messageId=" .. escape(id)).hooks[1]
    assert.equal(131026, hook.errors[1].code)
    assert.equal(phone(22), hook.recipient_id)
    assert.truthy(hook.timestamp:find "^%d+$")
    id = id_of(select(2, send(phone(21))))
    hook = get("hookInfo?messageId=" .. escape(id)).hooks[1]
    assert.truthy(hook.error:find "part of an experiment")
    assert.is_nil(hook.errors)
  end)

  it("goes by the pace", function()
    fake:set { pace_ms = 3600000 }
    local id = id_of(select(2, send(phone(0))))
    assert.equal("", statuses(id))
    fake:set { pace_ms = 0 }
    assert.equal("read delivered sent", statuses(id))
  end)

  it("lets a second message of a number that fails once arrive", function()
    assert.equal("failed sent", story(96))
    assert.equal("read delivered sent", story(96))
  end)

  it("knows nothing of other ids, nor of one that was not percent-encoded", function()
    local id = id_of(select(2, send(phone(0))))
    assert.truthy(id:find("+/+/", 1, true))
    assert.same({}, get("hookInfo?messageId=" .. id).hooks)
    assert.same({}, get("hookInfo?messageId=wamid.unknown").hooks)
    assert.same({}, get("hookInfo?messageId=" .. ("A"):rep(5000)).hooks)
    assert.equal(400, select(2, get "hookInfo"))
  end)

  it("can be absent", function()
    fake:set { hookinfo = "404" }
    assert.equal(404, select(2, get "hookInfo?messageId=x"))
  end)
end)

describe("sendTemplate", function()
  local function refused(changes)
    local status, text = call("POST", "sendTemplate", message(phone(0), changes))
    assert.equal(0, fake:stats().messages)
    return status, text
  end
  local function with(...)
    local parameters = {}
    for i, text in ipairs { ... } do parameters[i] = { type = "text", text = text } end
    return { { type = "body", parameters = parameters } }
  end

  it("takes what it should", function()
    for _, changes in ipairs {
      {}, { phone = 12020721300 }, { phone = "absent", chatId = "12020721300@c.us" }, { messageSendTtlSeconds = 3600 },
      { language = { policy = "deterministic", code = "pt_BR" } }, { template = "greeting", params = "absent" },
      { template = "order_shipped", params = {
        { type = "header", parameters = { { type = "image", image = { link = "https://example.com/a.png" } } } },
        { type = "body", parameters = { { type = "text", text = "7" } } },
        { type = "button", sub_type = "url", index = 0, parameters = { { type = "text", text = "abc" } } } } },
    } do
      local status, text = call("POST", "sendTemplate", message(phone(0), changes))
      assert.equal(200, status, text)
      assert.truthy(text:find '"sent":true')
    end
    local empty = cjson.encode(message(phone(0), { template = "greeting", params = "PARAMS" })):gsub('"PARAMS"', "[]")
    assert.equal(200, (call("POST", "sendTemplate", empty)))
  end)

  it("refuses what 1MSG refuses", function()
    assert.equal(422, (refused { namespace = "absent" }))
    assert.equal(422, (refused { namespace = "" }))
    assert.equal(422, (refused { template = "absent" }))
    assert.equal(422, (refused { language = "en" }))
    assert.equal(422, (refused { language = { code = "en" } }))
    assert.equal(422, (refused { params = with("a", "b") }))
    assert.equal(422, (refused { params = "absent" }))
    assert.equal(400, (refused { namespace = "another" }))
    assert.equal(400, (refused { template = "unheard_of" }))
    assert.equal(400, (refused { language = { policy = "deterministic", code = "en_US" } }))
    assert.truthy(select(2, refused { template = "old_offer", params = with "a" }):find "132015")
    assert.truthy(select(2, refused { template = "unloved", params = with "a" }):find "132001")
  end)

  it("refuses new-line, tab and five blanks with 500, takes four", function()
    for _, text in ipairs { "a\nb", "a\rb", "a\tb", "a     b" } do
      local status, body = refused { params = with("Maria", text, "c") }
      assert.equal(500, status)
      assert.truthy(body:find "new%-line/tab")
    end
    assert.equal(200, (call("POST", "sendTemplate", message(phone(0), { params = with("a", "a    b", "c") }))))
  end)

  it("refuses a client's mistakes", function()
    for _, changes in ipairs {
      { phone = "+12020721300" }, { phone = "1 202 072 1300" }, { phone = "00491234567" }, { phone = "absent" },
      { phone = 1.5 }, { phone = true }, { phone = cjson.null }, { chatId = "12020721300@c.us" }, { surprise = 1 },
      { params = cjson.null }, { params = {} }, { params = { "a", "b", "c" } }, { params = with("", "b", "c") },
      { params = with("a", " ", "c") }, { params = with("a", "b", ("x"):rep(1000)) },
      { params = { { type = "body", parameters = { 1, 2, 3 } } } },
      { params = { { type = "body", parameters = { { type = "text", text = 5 }, { type = "text", text = "b" },
                                                   { type = "text", text = "c" } } } } },
      { params = { with("a", "b", "c")[1], with("a", "b", "c")[1] } },
      { params = { with("a", "b", "c")[1], { type = "header", parameters = { { type = "text", text = "x" } } } } },
      { params = { with("a", "b", "c")[1], { type = "button", sub_type = "url", index = 0,
                                             parameters = { { type = "text", text = "x" } } } } },
      { params = { with("a", "b", "c")[1], { type = "button", sub_type = "url", index = 0, parameters = {} } } },
      { messageSendTtlSeconds = 10 }, { messageSendTtlSeconds = "60" },
      { template = "order_shipped", params = with "7" }, { template = "named", params = with("a", "b") },
    } do
      local status, text = refused(changes)
      assert.equal(400, status, cjson.encode(changes) .. " " .. text)
    end
    assert.equal(415, (call("POST", "sendTemplate", message(phone(0)), { type = "text/plain" })))
    for _, body in ipairs { "", "{", "[1", '"x"', "null" } do
      assert.equal(400, (call("POST", "sendTemplate", body)), body)
    end
  end)

  it("wants the token in the header, and echoes a wrong one", function()
    local status, text = send(phone(0), { token = "not-this-one" })
    assert.equal(401, status)
    assert.equal('{"error":"Wrong token \\"not-this-one\\" for channel \\"' .. env.ONE_MSG_INSTANCE_ID
      .. '\\". Provide the token as a GET parameter: ?token=not-this-one"}', text)
    assert.equal(401, (call("POST", "sendTemplate?token=" .. env.ONE_MSG_TOKEN, message(phone(0)))))
    assert.equal(401, (call("POST", "sendTemplate", message(phone(0), { token = env.ONE_MSG_TOKEN }))))
    assert.equal(0, fake:stats().messages)
    for _, entry in ipairs(fake:journal()) do
      assert.is_nil(cjson.encode(entry):find(env.ONE_MSG_TOKEN, 1, true))
    end
  end)

  it("knows no other channel, method or verb", function()
    assert.equal(404, (send(phone(0), { channel = "VID000000001" })))
    assert.equal(404, (call("POST", "sendEverything", {})))
    assert.equal(405, (call("GET", "sendTemplate")))
  end)
end)

describe("the journal", function()
  it("has each whole request once, and the connection it came by", function()
    local connection = assert(socket.connect("127.0.0.1", (env.FAKE_HTTP_URL:match ":(%d+)$")))
    local body = cjson.encode(message(phone(1)))
    local request = ("POST /%s/sendTemplate HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: "
      .. "application/json\r\nContent-Length: %d\r\n\r\n"):format(env.ONE_MSG_INSTANCE_ID, env.ONE_MSG_TOKEN, #body)
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
  local function curl(url, ending)
    local pipe = io.popen(("curl -s -m 5 --cacert '%s' -w ' %%{http_version} %%{exitcode}' -H 'Authorization: Bearer "
      .. "%s' -H 'Content-Type: application/json' -d '%s' %s/%s/sendTemplate"):format(env.ONE_MSG_CA_FILE,
      env.ONE_MSG_TOKEN, cjson.encode(message(phone(ending))), url, env.ONE_MSG_INSTANCE_ID))
    local text = pipe:read "*a"
    pipe:close()
    return text
  end

  it("answers HTTP/1.1 on one port and HTTP/2 on the other", function()
    assert.truthy(curl(env.FAKE_HTTPS_URL, 0):find '"sent":true.* 1%.1 0$')
    assert.truthy(curl(env.FAKE_H2_URL, 0):find '"sent":true.* 2 0$')
    assert.equal("HTTP/2.0", fake:journal()[2].protocol)
    assert.equal(env.FAKE_HTTPS_URL, env.ONE_MSG_BASE_URL)
  end)

  it("cuts, closes and resets there too", function()
    for _, url in ipairs { env.FAKE_HTTPS_URL, env.FAKE_H2_URL } do
      for _, ending in ipairs { 70, 79, 80 } do
        assert.is_nil(curl(url, ending):find " 0$", ending .. " " .. url)
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
    local cabinet = webhook()[1]
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
    fake:set { latency_ms = 100 }
    local before = socket.gettime()
    send(phone(0))
    assert.is_true(socket.gettime() - before >= 0.1)
  end)

  it("refuses options that it does not know", function()
    assert.has_error(function() fake:set { latency = 5 } end)
    assert.has_error(function() fake:set { latency_ms = "soon" } end)
    assert.has_error(function() fake:set { hook_shape = "round" } end)
  end)
end)

describe("hooks", function()
  local receiver

  before_each(function()
    receiver = receivers.new()
    fake:set { ackNotificationsOn = true, pace_ms = 30 }
    call("POST", "webhook", { webhookUrl = { get "webhook".webhookUrl[1], receiver.url } })
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
    fake:set { pace_ms = 100 }
    local connection = assert(socket.connect("127.0.0.1", (env.FAKE_HTTP_URL:match ":(%d+)$")))
    local body = cjson.encode(message(phone(35)))
    connection:send(("POST /%s/sendTemplate HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: "
      .. "application/json\r\nContent-Length: %d\r\n\r\n"):format(env.ONE_MSG_INSTANCE_ID, env.ONE_MSG_TOKEN, #body))
    connection:send(body)
    local posts = receiver:take(2)
    connection:settimeout(0)
    local early, why = connection:receive(1)
    assert.is_nil(early)
    assert.equal("timeout", why)
    connection:settimeout(5)
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
    assert.equal(1, #receiver:take(1, 5, 500))
    assert.equal(1, #receiver:take(1, 5, 500))
    assert.equal(1, #receiver:take(1, 5, 200))
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

describe("starting and stopping", function()
  local fake_server = require "resty.onemsg.fake_server"
  local lua = io.popen("readlink /proc/" .. fake_server.own_pid() .. "/exe"):read "*l"

  local function read(path)
    local file = assert(io.open(path))
    local text = file:read "*a"
    file:close()
    return text
  end
  local function alive(pid) return (os.execute("test -e /proc/" .. pid)) end
  local function gone(pid)
    return server.eventually(function()
      local file = io.open("/proc/" .. pid .. "/stat")
      local state = file and file:read("*a"):match "%) (%a)"
      if file then file:close() end
      return not state or state == "Z"
    end)
  end
  local function script(words)
    local pipe = io.popen(lua .. " lua/resty/onemsg/fake_server.lua " .. words .. " 2>&1; echo $?")
    local text = pipe:read "*a"
    pipe:close()
    return text
  end

  it("is a script, whose output a shell can take", function()
    local dir = server.directory() .. "/a place"
    local text = script("start --dir '" .. dir .. "' --latency 5 --no-journal --set pace_ms=7")
    assert.truthy(text:find "ONE_MSG_TOKEN='eyJ[^\n]*\n0\n$")
    assert.equal(read(dir .. "/fake.env") .. "0\n", text)
    local pipe = io.popen(". '" .. dir .. "/fake.env'; curl -s --cacert \"$ONE_MSG_CA_FILE\" "
      .. "-H \"Authorization: Bearer $ONE_MSG_TOKEN\" $ONE_MSG_BASE_URL/$ONE_MSG_INSTANCE_ID/status; "
      .. "curl -s $FAKE_HTTP_URL/_fake/set")
    local answer = pipe:read "*a"
    pipe:close()
    assert.truthy(answer:find '"status":"connected"')
    assert.truthy(answer:find '"latency_ms":5')
    assert.truthy(answer:find '"pace_ms":7')
    assert.truthy(answer:find '"journal":false')
    local master, worker = read(dir .. "/nginx.pid"):match "%d+", read(dir .. "/worker.pid"):match "%d+"
    assert.equal("0\n", script("stop --dir '" .. dir .. "'"))
    assert.truthy(gone(master))
    assert.truthy(gone(worker))
    assert.equal("0\n", script("stop --dir '" .. dir .. "'"))
    os.execute("rm -rf '" .. dir .. "'")
  end)

  it("has a token whose payload names the channel", function()
    local mime = require "mime"
    local payload = fake_server.TOKEN:match "^[%w_-]+%.([%w_-]+)%.[%w_-]+$"
    local text = mime.unb64(payload:gsub("-", "+"):gsub("_", "/") .. ("="):rep(-#payload % 4))
    assert.equal(fake_server.CHANNEL, cjson.decode(text).instanceId)
  end)

  it("takes the ports that it is given, and says when they are taken", function()
    local taken = assert(socket.bind("127.0.0.1", 0))
    local port = tonumber((select(2, taken:getsockname())))
    local dir = server.directory()
    local none, why = fake_server.start { dir = dir, http = port }
    assert.is_nil(none)
    assert.equal(("port %d is taken"):format(port), why)
    taken:close()
    local given = assert(fake_server.start { dir = dir, http = port, owner = fake_server.own_pid() })
    assert.equal("http://127.0.0.1:" .. ("%d"):format(port), given.FAKE_HTTP_URL)
    local certificate = read(given.ONE_MSG_CA_FILE)
    given = assert(fake_server.start { dir = dir, owner = fake_server.own_pid() })   -- the first is stopped
    assert.equal(certificate, read(given.ONE_MSG_CA_FILE))
    fake_server.stop { dir = dir }
    os.execute("rm -rf '" .. dir .. "'")
  end)

  it("ends when its owner is gone", function()
    local dir = server.directory()
    local owner = io.popen("sleep 60 >/dev/null & echo $!"):read "*n"
    assert(fake_server.start { dir = dir, owner = owner })
    local master = read(dir .. "/nginx.pid"):match "%d+"
    assert.is_true(alive(master) == true or alive(master) == 0)
    os.execute("kill -9 " .. ("%d"):format(owner))
    assert.truthy(gone(master))
    os.execute("rm -rf '" .. dir .. "'")
  end)

  it("explains itself", function()
    for _, words in ipairs { "", "dance", "start", "start --dir", "start --dir x --port 1", "start --dir x --http one",
                             "stop", "start --dir x --set y" } do
      local text = script(words)
      assert.truthy(text:find "usage: ", words)
      assert.truthy(text:find "\n1\n$", words)
    end
    assert.truthy(script "start --dir /proc/nowhere":find "cannot make the directory /proc/nowhere")
    assert.equal(numbers.markdown() .. "0\n", script "table")
  end)
end)
