local cjson = require "cjson"
local socket = require "socket"
local numbers = require "onemsg.fake.numbers"
local server = require "support.server"

local fake, env, call, get, message, send, phone, escape, statuses, id_of, curl

setup(function()
  fake = server.fake { set = { pace_ms = 0 } }
  env = fake.env
  local wire = require("support.wire").new(fake)
  call, get, message, send, phone = wire.call, wire.get, wire.message, wire.send, wire.phone
  escape, statuses, id_of, curl = wire.escape, wire.statuses, wire.id_of, wire.curl
end)
teardown(function()
  assert.equal("", fake:errors())
  fake:stop()
end)
before_each(function() fake:reset() end)

describe("the numbers", function()
  --- What an answer proves, in the fewest words: the table must say the same.
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
      local status, text = send(phone(ending), { timeout = row.act == "hang" and 3 or 60 })
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
    local function code(ending) return tonumber(curl(env.FAKE_HTTP_URL, ending, " %{exitcode}"):match "%d+$") end
    assert.equal(52, code(79))   -- empty reply
    assert.equal(56, code(80))   -- reset
    assert.equal(18, code(70))   -- a part of it
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

  it("takes the token in the header, the query or the body, one of them right, and echoes a wrong one", function()
    local status, text = send(phone(0), { token = "not-this-one" })
    assert.equal(401, status)
    assert.equal('{"error":"Wrong token \\"not-this-one\\" for channel \\"' .. env.ONE_MSG_INSTANCE_ID
      .. '\\". Provide the token as a GET parameter: ?token=not-this-one"}', text)
    local right = env.ONE_MSG_TOKEN
    -- status; the header's token ("": none), the query's, the body's
    for n, case in ipairs { { 401, "" }, { 200, "", right }, { 200, "", nil, right }, { 200, right, right },
      { 401, "", "stale" }, { 401, right, "stale" }, { 401, right, nil, "stale" }, { 401, "", "" } } do
      local path = "sendTemplate" .. (case[3] and "?token=" .. case[3] or "")
      local got = call("POST", path, message(phone(0), { token = case[4] }), { token = case[2] })
      assert.equal(case[1], got, "case " .. n)
    end
    assert.equal(200, (call("GET", "status?token=" .. right, nil, { token = "" })))
    assert.equal(3, fake:stats().messages)
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
