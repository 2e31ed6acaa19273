-- The channel's operations against the fake: the wire of the use case's sample program, field for field, what a message
-- may change of it, and the reading calls (PLATFORM.md 1.4 to 1.7).
local cjson = require "cjson"
local onemsg = require "onemsg"
local channels = require "support.channels"
local server = require "support.server"
local sys = require "support.sys"

local null = cjson.null

describe("channel", function()
  local fake, channel, finish

  setup(function() fake, channel, finish = channels.with_fake { set = { pace_ms = 0 } } end)
  teardown(function() finish() end)

  local function last(phone)
    local list = fake:journal { phone = phone }
    assert.are.equal(1, #list)
    return list[1], cjson.decode(list[1].body)
  end

  local function sent(message, through)
    local receipt, err = (through or channel):send(message)
    assert.is_nil(err)
    assert.are.equal("accepted", receipt.outcome)
    return receipt, last((message.phone or message.chat_id):match "%d+")
  end

  local function texts(...)
    local list = {}
    for i, text in ipairs { ... } do list[i] = { type = "text", text = text } end
    return list
  end

  describe("send", function()
    it("writes what the sample program writes, field for field", function()
      for _, url in ipairs { fake.env.FAKE_HTTP_URL, fake.env.FAKE_HTTPS_URL, fake.env.FAKE_H2_URL } do
        local phone = channels.phone(69)
        local one = channels.new(fake, { base_url = url })
        local receipt, entry, body = sent(channels.message("+" .. phone), one)
        assert.are.same({
          phone = phone, template = "action_success", namespace = fake.env.ONE_MSG_TEMPLATE_NAMESPACE,
          language = { policy = "deterministic", code = "en" },
          params = { { type = "body", parameters = texts("Maria", "subscription payment",
                                                         "Access activated in your account.") } },
        }, body)
        assert.are.equal("POST", entry.verb)
        assert.are.equal("/" .. require "onemsg.fake.server".CHANNEL .. "/sendTemplate", entry.path)
        assert.are.equal("application/json", entry.headers["content-type"])
        assert.are.equal("application/json", entry.headers.accept)
        assert.are.equal("onemsg/" .. onemsg._VERSION, entry.headers["user-agent"])
        assert.are.equal("right", entry.token)
        assert.is_nil(entry.headers.expect)
        assert.is_nil(entry.headers["transfer-encoding"])
        assert.are.equal(#entry.body, tonumber(entry.headers["content-length"]))
        assert.are.equal(url == fake.env.FAKE_H2_URL and "HTTP/2.0" or "HTTP/1.1", entry.protocol)
        assert.are.same({ outcome = "accepted", id = receipt.id, message = "Sent to " .. phone .. "@c.us",
                          description = "Message has been sent to the provider" }, receipt)
        one:close()
      end
    end)

    it("speaks the HTTP that was asked for", function()
      for _, case in ipairs { { "auto", "HTTP/2.0" }, { "2", "HTTP/2.0" }, { "1.1", "HTTP/1.1" } } do
        local one = channels.new(fake, { base_url = fake.env.FAKE_H2_URL, http = case[1] })
        local _, entry = sent(channels.message(channels.phone(0)), one)
        assert.are.equal(case[2], entry.protocol)
        one:close()
      end
    end)

    it("takes body, in texts, numbers and named parameters", function()
      local phone = channels.phone(0)
      local _, _, body = sent { phone = phone, body = { "Maria", 42, 19.5 } }
      assert.are.same(texts("Maria", "42", "19.5"), body.params[1].parameters)
      phone = channels.phone(0)
      _, _, body = sent { phone = phone, template = "named",
                          body = { { name = "first_name", text = "Maria" }, { name = "thing", text = "car" } } }
      assert.are.same({ { type = "body", parameters = {
        { type = "text", text = "Maria", parameter_name = "first_name" },
        { type = "text", text = "car", parameter_name = "thing" },
      } } }, body.params)
      _, _, body = sent { phone = channels.phone(0), template = "greeting", body = {} }
      assert.is_nil(body.params)
    end)

    it("takes a header and buttons", function()
      local _, _, body = sent { phone = channels.phone(0), template = "titled", header = "Maria", body = { "Maria" } }
      assert.are.same({ { type = "header", parameters = texts "Maria" },
                        { type = "body", parameters = texts "Maria" } }, body.params)
      _, _, body = sent { phone = channels.phone(0), template = "receipt", body = { "Maria" },
                          header = { document = "https://example.com/r.pdf", filename = "receipt.pdf" } }
      assert.are.same({ type = "header", parameters = { { type = "document",
        document = { link = "https://example.com/r.pdf", filename = "receipt.pdf" } } } }, body.params[1])
      _, _, body = sent { phone = channels.phone(0), template = "order_shipped", body = { "A-1" },
                          header = { image = "https://example.com/i.png" }, buttons = { { url = "A-1" } } }
      assert.are.same({
        { type = "header", parameters = { { type = "image", image = { link = "https://example.com/i.png" } } } },
        { type = "body", parameters = texts "A-1" },
        { type = "button", sub_type = "url", index = 0, parameters = texts "A-1" },
      }, body.params)
      _, _, body = sent { phone = channels.phone(0), template = "order_shipped", body = { "A-1" },
                          header = { type = "image", image = { id = "123" } },
                          buttons = { { sub_type = "url", index = 0, parameters = texts "x" } } }
      assert.are.same({ type = "image", image = { id = "123" } }, body.params[1].parameters[1])
      _, _, body = sent { phone = channels.phone(0), template = "order_shipped", body = { "A-1" },
                          header = { image = { id = "123" } }, buttons = { { url = "x" } } }
      assert.are.same({ type = "image", image = { id = "123" } }, body.params[1].parameters[1])
    end)

    it("takes texts in the API's own form, by the same rules", function()
      local _, _, body = sent { phone = channels.phone(0), template = "named",
        body = { { type = "text", parameter_name = "first_name", text = "Maria" }, { name = "thing", text = "A-1" } } }
      assert.are.same({ { type = "text", parameter_name = "first_name", text = "Maria" },
                        { type = "text", parameter_name = "thing", text = "A-1" } }, body.params[1].parameters)
      for _, header in ipairs { "Ma\nria", { text = "Ma\nria" }, { type = "text", text = "Ma\nria" } } do
        _, _, body = sent { phone = channels.phone(0), template = "titled", header = header, body = { "Maria" } }
        assert.are.same(texts "Ma ria", body.params[1].parameters)
      end
      local none, err = channel:check { phone = "12020721300", header = { type = "text", text = " " }, body = { "x" } }
      assert.is_nil(none)
      assert.is_truthy(err:find "^invalid: header is empty", err)
    end)

    it("lets no misspelt part of a header, of buttons or of a named value pass", function()
      for _, case in ipairs {
        { { header = { imgae = "https://example.com/i.png" } }, "header has no field 'imgae', did you mean 'image'?" },
        { { header = { document = "https://example.com/r.pdf", filenam = "r" } }, "did you mean 'filename'?" },
        { { buttons = { url = "x" } }, "buttons must be a list" },
        { { buttons = { [2] = { url = "x" } } }, "buttons must be a list" },
        { { buttons = { { ulr = "x" } } }, "buttons[1] has no field 'ulr', did you mean 'url'?" },
        { { body = { { nam = "first_name", text = "x" } } }, "body[1] has no field 'nam', did you mean 'name'?" },
      } do
        local message = case[1]
        message.phone, message.body = "12020721300", message.body or { "x" }
        local ok, sentence = pcall(function() local _ = channel:send(message) end)
        assert.is_false(ok)
        assert.is_truthy(sentence:find(case[2], 1, true), sentence)
      end
    end)

    it("takes another template, namespace, language, a ttl and a chat id", function()
      local phone = channels.phone(0)
      local _, _, body = sent(channels.message(phone, { language = "pt_BR", ttl = "10m" }))
      assert.are.equal("pt_BR", body.language.code)
      assert.are.equal(600, body.messageSendTtlSeconds)
      phone = channels.phone(0)
      _, _, body = sent { chat_id = phone .. "@c.us", name = "Maria", action = "x", next_step = "y" }
      assert.are.equal(phone .. "@c.us", body.chatId)
      assert.is_nil(body.phone)
      for _, ttl in ipairs { 30, 2592000, -1, "1h", "30s" } do
        assert.is_truthy(channel:check(channels.message(phone, { ttl = ttl })))
      end
      for _, other in ipairs { { namespace = "not_this_one" }, { template = "no_such" }, { language = "fr" } } do
        phone = channels.phone(0)
        local receipt, err, info = channel:send(channels.message(phone, other))
        assert.is_nil(receipt)
        assert.are.equal("rejected: 400 template is not defined", err)
        assert.are.equal(132001, info.code)
        for name, value in pairs(other) do
          local _, wire = last(phone)
          assert.are.equal(value, name == "language" and wire.language.code or wire[name])
        end
      end
    end)

    it("takes null, as JSON brings it, for absent", function()
      local phone = channels.phone(0)
      local _, _, body = sent(channels.message(phone, { chat_id = null, header = null, buttons = null, ttl = null,
        template = null, namespace = null, language = null, body = null }))
      assert.are.equal("action_success", body.template)
      assert.are.equal(1, #body.params)
    end)

    it("cleans texts, and tells what it changed", function()
      local phone = channels.phone(0)
      local receipt, _, body = sent(channels.message(phone, {
        name = " Maria\n", next_step = "a\tb\n\nc" .. (" "):rep(9) .. "d",
      }))
      assert.are.same(texts("Maria", "subscription payment", "a b c d"), body.params[1].parameters)
      assert.is_string(receipt.changes.name[1])
      assert.is_nil(receipt.changes.action)
      assert.are.equal(2, #receipt.changes.next_step)
      local _, _, long = sent(channels.message(channels.phone(0), { action = ("é"):rep(2000) }))
      assert.is_truthy(long.params[1].parameters[2].text:find "…$")
      local other, err, info = channel:send(channels.message(channels.phone(0), { text = "strict", name = "a\nb" }))
      assert.is_nil(other)
      assert.is_truthy(err:find "^invalid: name has a line break", err)
      assert.are.equal("invalid", info.outcome)
      phone = channels.phone(0)
      receipt, err = channel:send(channels.message(phone, { text = "raw", name = "a\nb" }))
      assert.is_nil(receipt) -- the API refuses what raw lets through
      assert.is_truthy(err:find "^rejected: ", err)
      assert.are.equal(1, fake:count(phone))
    end)

    it("sends all 64 bits of a whole number, and no rounded one", function()
      local exact = tonumber "9223372036854775807"
      if exact + 1 == exact then exact = 2 ^ 53 end -- LuaJIT has doubles only
      local _, _, body = sent(channels.message(channels.phone(0), { action = exact }))
      assert.are.equal(("%d"):format(exact), body.params[1].parameters[2].text)
      assert.has_error(function() channel:send(channels.message("12020721300", { action = 2 ^ 60 + 0.0 })) end)
    end)

    it("numbers phones as people write them", function()
      local phone = channels.phone(0)
      for _, written in ipairs { "+%s", "00%s", " %s ", "%s", "+%s\226\128\139" } do
        assert.are.equal(phone, assert(channel:check(channels.message(written:format(phone)))).phone)
      end
      assert.are.equal(phone, channel:check(channels.message(tonumber(phone))).phone)
      local national = channels.new(fake, { country = "55" })
      assert.are.equal("5511912345678", national:check(channels.message "(011) 91234-5678").phone)
      local none, err = channel:check(channels.message "(011) 91234-5678")
      assert.is_nil(none)
      assert.is_truthy(err:find("country", 1, true))
    end)
  end)

  it("check says what send will do, and sends nothing", function()
    local message = channels.message(channels.phone(0), { name = "Maria\n", ttl = 60, language = "es" })
    local normal = assert(channel:check(message))
    assert.are.equal(0, fake:count(message.phone))
    local receipt, _, body = sent(message)
    assert.are.same({
      phone = body.phone, template = body.template, namespace = body.namespace, language = body.language.code,
      ttl = body.messageSendTtlSeconds, changes = receipt.changes,
      body = { "Maria", message.action, message.next_step },
    }, normal)
    for _, wrong in ipairs { { name = "" }, { phone = "abc" }, { name = "\255" }, { language = "xx-YY" } } do
      local bad = channels.message("12020721300", wrong)
      local _, said = channel:check(bad)
      local _, told = channel:send(bad)
      assert.are.equal(said, told)
    end
  end)

  it("hookInfo follows a message, whose id may need escapes", function()
    local receipt = assert(channel:send(channels.message(channels.phone(1))))
    local report = assert(server.eventually(function()
      local now = assert(channel:hookInfo(receipt.id))
      return now.status == "read" and now
    end))
    assert.are.equal(receipt.id, report.id)
    assert.are.equal(3, #report.hooks)
    for i, status in ipairs { "sent", "delivered", "read" } do
      assert.are.equal(status, report.hooks[i].status)
      assert.is_number(report.hooks[i].at)
    end
    assert.is_truthy(fake:journal { method = "hookInfo" }[1].path:find("messageId=wamid.", 1, true))
    assert.are.same({ id = "wamid.no+such/one=&?#", hooks = {}, ignored = 0 }, channel:hookInfo "wamid.no+such/one=&?#")
    for _, id in ipairs { "", "a\0b", ("x"):rep(513) } do
      local none, err = channel:hookInfo(id)
      assert.is_nil(none)
      assert.is_truthy(err:find "^invalid: ")
    end
    fake:set { hookinfo = "404" }
    local none, err, info = channel:hookInfo(receipt.id)
    fake:set { hookinfo = "on" }
    assert.is_nil(none)
    assert.is_truthy(err:find "^rejected: 404", err)
    assert.are.equal(404, info.status)
  end)

  it("reads status, settings, messages, templates", function()
    assert.are.equal("connected", assert(channel:status()).status)
    assert.are.equal(false, assert(channel:settings()).ackNotificationsOn)
    assert(channel:settings { ackNotificationsOn = true })
    assert.are.equal(true, assert(channel:settings()).ackNotificationsOn)
    assert(channel:settings { ackNotificationsOn = false })
    local phone = channels.phone(2)
    sent(channels.message(phone))
    local found = assert(channel:messages { chatId = phone .. "@c.us", limit = 1, min_time = os.time() - 60 })
    assert.are.equal(1, #found.messages)
    assert.is_truthy(found.messages[1].body:find("Hello, Maria!", 1, true))
    assert.is_true(#assert(channel:messages()).messages > 1)
    local list = assert(channel:templates())
    local names = {}
    for _, template in ipairs(list) do names[template.name .. " " .. template.language] = template end
    assert.is_truthy(names["action_success en"] and names["action_success pt_BR"])
  end)

  it("keeps the webhook list: reads, replaces, adds beside the others, removes", function()
    local before = assert(channel:webhook())
    assert.is_true(#before >= 1)
    local now = assert(channel:addWebhook "https://example.com/hooks/1")
    assert.are.equal(#before + 1, #now)
    assert.are.equal(before[1], now[1])
    assert.are.same(now, assert(channel:webhook()))
    now = assert(channel:removeWebhook "https://example.com/hooks/1")
    assert.are.same(before, now)
    assert(channel:setWebhook { "https://example.com/a", before[1] })
    assert.are.same({ "https://example.com/a", before[1] }, assert(channel:webhook()))
    assert(channel:setWebhook {})
    assert.are.same({}, assert(channel:webhook()))
    assert(channel:setWebhook(before))
    for _, bad in ipairs { { "ftp://x" }, { "https://a b" }, { "https://a,b" }, { "x" }, { "" },
                           { "https://1", "https://2", "https://3", "https://4", "https://5", "https://6" } } do
      local none, err = channel:setWebhook(bad)
      assert.is_nil(none)
      assert.is_truthy(err:find "^invalid: ", err)
    end
    assert.are.same(before, assert(channel:webhook()))
  end)

  it("request reaches the rest of the API, on this channel only", function()
    local answer, info = channel:request("GET", "/status")
    assert.are.equal("connected", answer.status)
    assert.are.equal(200, info.status)
    local none, err, told = channel:request("GET", "noSuchMethod")
    assert.is_nil(none)
    assert.is_truthy(err:find "^rejected: 404")
    assert.are.equal(404, told.status)
    for _, path in ipairs {
      "../OTHER/status", "a/../../b", "%2e%2e/OTHER/status", "%2E%2e/x", "//evil.example/x", "a b", "", "/",
      "status?token=x", "status#x", "a\0b", "a\r\nHost: x", "é", ("x"):rep(2049),
      "status?x=" .. fake.env.ONE_MSG_TOKEN,
    } do
      none, err = channel:request("GET", path)
      assert.is_nil(none, path)
      assert.is_truthy(err:find "^invalid: the path ", err)
      assert.is_nil(err:find(fake.env.ONE_MSG_TOKEN, 1, true))
    end
  end)

  it("closes once and for all, and tells", function()
    local one = channels.new(fake)
    local base = fake.env.FAKE_HTTP_URL .. "/" .. require "onemsg.fake.server".CHANNEL
    assert.are.equal("onemsg.channel (" .. base .. ")", tostring(one))
    local pending = assert(one:async("send", channels.message(channels.phone(0))))
    one:close()
    one:close()
    assert.are.equal("onemsg.channel (closed)", tostring(one))
    assert.are.equal("accepted", assert(pending:wait()).outcome)
    for _, call in ipairs {
      function() return one:send(channels.message "12020721300") end, function() return one:hookInfo "x" end,
      function() return one:async("send", {}) end, function() return one:status() end,
      function() return one:stats() end,
      function() return one:templates() end, function() return one:addWebhook "https://example.com/" end,
      function() return one:check(channels.message "12020721300") end,
      function() return one:request("GET", "status") end,
    } do
      local none, err, info = call()
      assert.is_nil(none)
      assert.is_truthy(err:find "^closed: ", err)
      assert.is_table(info)
    end
    if _VERSION == "Lua 5.4" then
      local escaped = assert(load [[local make = ... local kept do local c <close> = make() kept = c end return kept]])(
        function() return channels.new(fake) end)
      assert.are.equal("onemsg.channel (closed)", tostring(escaped))
    end
  end)

  it("raises for a wrong type at the caller's line, in the operations that are several requests too", function()
    local here = debug.getinfo(1, "S").short_src
    for _, case in ipairs {
      { function() local _ = channel:addWebhook(5) end, "addWebhook takes a URL, and got a number" },
      { function() local _ = channel:removeWebhook() end, "removeWebhook takes a URL, and got a nil" },
      { function() local _ = channel:setWebhook { url = "https://a.example" } end, "setWebhook takes a list of URLs" },
      { function() local _ = channel:setWebhook { [2] = "https://a.example" } end, "setWebhook takes a list of URLs" },
      { function() local _ = channel:templates(5) end, "templates takes a table of options" },
      { function() local _ = channel:templates { limt = 5 } end, "templates has no option 'limt'" },
      { function() local _ = channel:templates { limit = "5" } end, "templates: limit must be a whole number" },
    } do
      local line = debug.getinfo(case[1], "S").linedefined
      local ok, message = pcall(case[1])
      assert.is_false(ok)
      assert.are.equal(1, message:find(("%s:%d: %s"):format(here, line, case[2]), 1, true), message)
    end
  end)

  it("knows the caller's file in a tree that lies in a folder lua/onemsg", function()
    local call = assert(load("local channel = ...\nlocal _ = channel:addWebhook(5)",
      "@/home/maria/lua/onemsg/examples/mine.lua"))
    local ok, message = pcall(call, channel)
    assert.is_false(ok)
    assert.are.equal(1, message:find("/home/maria/lua/onemsg/examples/mine.lua:2: ", 1, true), message)
  end)

  it("takes a number as phone only when its digits are the phone", function()
    assert.are.equal("12020721369", assert(channel:check(channels.message(12020721369))).phone)
    for _, phone in ipairs { 12020721369.5, -12020721369, 1e18, 0 / 0, 0.5 } do
      local none, err = channel:check(channels.message(phone))
      assert.is_nil(none)
      assert.are.equal(1, err:find "^invalid: phone is ", err)
    end
  end)

  it("leaves no descriptor and no memory behind when it is collected", function()
    for _ = 1, 10 do channels.new(fake) end
    collectgarbage() collectgarbage()
    local fds = sys.fds()
    for _ = 1, 500 do channels.new(fake) end
    collectgarbage() collectgarbage()
    assert.are.equal(fds, sys.fds())
  end)

  it("counts, and measures", function()
    local one = channels.new(fake)
    for i = 1, 20 do one:send(channels.message(channels.phone(i % 20))) end
    one:send(channels.message "nobody")
    one:status()
    local stats = one:stats()
    assert.are.equal(20, stats.accepted)
    assert.are.equal(1, stats.invalid)
    assert.are.equal(1, stats.reads)
    local latency = stats.latency
    assert.are.equal(21, latency.count)
    assert.is_true(0 < latency.p50 and latency.p50 <= latency.p95 and latency.p95 <= latency.p99)
    assert.is_true(latency.p99 <= latency.max and latency.mean <= latency.max)
    one:close()
  end)
end)
