-- onemsg.codes: the table of PLATFORM.md 4, and the reading of answers (2.1, 2.2).
local codes = require "onemsg.codes"
local cjson = require "cjson.safe"

local function keys(set)
  local list = {}
  for key in pairs(set) do list[#list + 1] = key end
  table.sort(list)
  return list
end

-- code, class, action, retry: every row of PLATFORM.md 4.1
local TABLE = [[
0 auth stop no
1 platform backoff yes
2 platform backoff yes
3 auth stop no
4 rate pause yes
10 auth stop no
33 account stop no
100 request fix_request no
190 auth stop no
200 auth stop no
299 auth stop no
368 account stop no
470 request fix_request no
1013 recipient fallback no
80007 rate pause yes
130429 rate pace yes
130472 policy fallback no
130497 policy fallback no
131000 platform backoff yes
131005 auth stop no
131008 request fix_request no
131009 request fix_request no
131016 platform backoff yes
131021 recipient fix_request no
131026 recipient fallback no
131030 recipient fix_request no
131031 account stop no
131037 account stop no
131042 account stop no
131045 account stop no
131047 request fix_request no
131048 account pause no
131049 policy fallback no
131050 recipient suppress no
131051 request fix_request no
131052 request fix_request no
131053 request fix_request no
131056 rate pace yes
131057 platform backoff yes
131058 template fix_template no
131062 recipient fallback no
132000 request fix_request no
132001 template fix_template no
132005 request fix_request no
132007 template fix_template no
132012 request fix_request no
132015 template fix_template no
132016 template fix_template no
132018 request fix_request no
132068 template fix_template no
132069 template defer yes
133000 account stop no
133004 platform backoff yes
133005 account stop no
133006 account stop no
133008 account stop no
133009 account stop no
133010 account stop no
133015 account pause yes
133016 account stop no
134011 account stop no
135000 request fix_request no
138000 unclassified ignore no
138999 unclassified ignore no
2388012 unclassified ignore no
2494101 unclassified ignore no
]]

-- PLATFORM.md 4.3, in sentences as they come
local SENTENCES = {
  ["User's number is part of an experiment"] = 130472,
  ["Message Undeliverable."] = 131026,
  ["Recipient is not a valid WhatsApp user"] = 131026,
  ["Re-engagement message"] = 131047,
  ["Message failed because more than 24 hours have passed since the customer last replied"] = 131047,
  ["This message was not delivered to maintain healthy ecosystem engagement."] = 131049,
  ["Spam rate limit hit"] = 131048,
  ["(Business Account, Consumer Account) pair rate limit hit"] = 131056,
  ["Pair rate limit hit"] = 131056,
  ["Too many calls"] = 4,
  ["Rate limit hit"] = 130429,
  ["Rate limit issues"] = 80007,
  ["Number of parameters does not match the expected number of params"] = 132000,
  ["Template name does not exist in the translation"] = 132001,
  ["Template is not defined"] = 132001,
  ["Translated text: hydrated text too long"] = 132005,
  ["Template format character policy violated"] = 132007,
  ["Parameter format does not match format in the created template"] = 132012,
  ["Template is paused"] = 132015,
  ["Template is disabled"] = 132016,
  ["Param text cannot have new-line/tab characters or more than 4 consecutive spaces"] = 132018,
  ["Flow is blocked"] = 132068,
  ["Flow is throttled"] = 132069,
  ["Business eligibility payment issue"] = 131042,
  ["Business account has been locked"] = 131031,
  ["Display name approval needed"] = 131037,
  ["Recipient phone number not in allowed list"] = 131030,
  ["Recipient cannot be sender"] = 131021,
  ["User has stopped marketing messages from this business"] = 131050,
  ["Business account is restricted from messaging users in this country."] = 130497,
  ["Access denied"] = 131005,
  ["Something went wrong"] = 131000,
  ["Service unavailable"] = 131016,
  ["Account in maintenance mode"] = 131057,
  ["Phone number not registered"] = 133010,
  ["API: permission denied"] = 10,
  ["Your access token has expired"] = 190,
  ["Required parameter is missing"] = 131008,
  ["Parameter value is not valid"] = 131009,
  ["Media download error"] = 131052,
  ["Media upload error"] = 131053,
}

describe("codes.lookup", function()
  for line in TABLE:gmatch("[^\n]+") do
    local code, class, action, retry = line:match("^(%d+) (%S+) (%S+) (%S+)$")
    it("has " .. line, function()
      local e = codes.lookup(code)
      assert.equal(tonumber(code), e.code)
      assert.same({ class, action, retry == "yes" }, { e.class, e.action, e.retry })
      assert.is_true(#e.meaning > 3 and #e.hint > 3)
      assert.is_truthy(codes.classes[e.class] and codes.actions[e.action])
      assert.equal(e.retry, e.wait ~= nil and e.retry) -- whoever may send again knows when
    end)
  end

  it("takes a number or its digits, and nothing else", function()
    assert.equal(131026, codes.lookup("131026").code)
    assert.equal(131026, codes.lookup(131026.0).code)
    assert.equal("131026", tostring(codes.lookup(131026.0).code))
    for _, bad in ipairs { 131026.5, -1, 0 / 0, 1 / 0, "0x1F", "1e5", "", "131026x", true, {}, print, cjson.null,
                           ("9"):rep(400), 400, 404, 422, 500, 131063, 131064, 999999 } do
      assert.is_nil(codes.lookup(bad))
    end
    assert.is_nil(codes.lookup(nil))
  end)

  it("does not say of 131026 that the number is wrong", function()
    local e = codes.lookup(131026)
    local said = (e.meaning .. e.hint):lower()
    assert.is_nil(said:find("wrong", 1, true) or said:find("invalid number", 1, true))
    assert.truthy(said:find("does not say why", 1, true))
    assert.equal("recipient", e.scope)
    assert.equal(30 * 86400, e.suppress)
  end)

  it("says what a re-classified utility template looks like", function()
    for _, code in ipairs { 130472, 131049, 131050 } do
      assert.truthy(codes.lookup(code).hint:find("MARKETING", 1, true))
    end
  end)

  it("stops the channel for what concerns every message of it", function()
    for _, code in ipairs { 0, 3, 10, 33, 190, 200, 368, 131005, 131031, 131037, 131042, 131045, 133010 } do
      assert.same({ "stop", "channel" }, { codes.lookup(code).action, codes.lookup(code).scope })
    end
  end)
end)

describe("codes.find", function()
  for sentence, code in pairs(SENTENCES) do
    it("reads " .. sentence, function()
      assert.equal(code, (codes.find(nil, sentence)))
      assert.equal(code, (codes.find(nil, sentence:upper())))
      assert.equal(code, (codes.find { sent = false, error = { message = sentence } }))
    end)
  end

  local shapes = {
    { '{"code":131026}', 131026 },
    { '{"code":"131026"}', 131026 },
    { '{"error_code":131047}', 131047 },
    { '{"sent":false,"error":{"code":131047,"message":"Re-engagement message"}}', 131047 },
    { '{"sent":false,"error":{"error_code":131031,"message":"x"}}', 131031 },
    { '{"error":{"message":"(#132000) Number","type":"OAuthException","code":132000,"error_data":{"details":"d"}}}',
      132000 },
    { '{"error":{"message":"Invalid parameter","type":"OAuthException","code":100,"fbtrace_id":"A"}}', 100 },
    { '{"error":{"message":"x","type":"OAuthException","code":0}}', 0 },
    { '{"errors":[{"code":1013,"title":"User is not valid","details":"unknown"}]}', 1013 },
    { '{"errors":[{"code":131049,"title":"t","error_data":{"details":"d"}}]}', 131049 },
    { '{"meta":{"success":false,"httpCode":400,"developerMessage":"(#132012) Parameter format"}}', 132012 },
    { '{"meta":{"success":false,"http_code":400,"developer_message":"Template is paused"}}', 132015 },
    { '{"response":{"error":"Rate limit hit"}}', 130429 },
    { '{"message":"131026: Message undeliverable"}', 131026 },
    { '{"message":"{\\"error\\":{\\"code\\":131042,\\"message\\":\\"pay\\"}}"}', 131042 },
    { '{"error":"Error 131021 occurred"}', 131021 },
    { '{"error":{"code":131099,"message":"new one"}}', 131099 },
    -- a number beats a text, an outer number an inner one
    { '{"error":{"code":131016,"message":"Template is paused"}}', 131016 },
    -- an HTTP status, a flag and a count are no codes
    { '{"code":400,"message":"x"}', nil }, { '{"code":200}', nil }, { '{"code":0,"message":"x"}', nil },
    { '{"code":1}', nil }, { '{"error":{"code":404,"message":"no such thing"}}', nil },
    { '{"error":{"code":2,"message":"x"}}', nil }, { '{"statusCode":131026}', nil },
    { '{"meta":{"httpCode":400,"developerMessage":"bad"}}', nil }, { '{"errors":[{"code":400,"title":"Bad"}]}', nil },
    -- neither is what was sent and comes back, or a phone number
    { '{"params":[{"text":"Template is paused"}],"error":"no"}', nil },
    { '{"message":"12025550123 is not allowed"}', nil }, { '{"message":"(#999999999) x (#7) y"}', nil },
  }
  for _, shape in ipairs(shapes) do
    it("reads " .. shape[1], function()
      assert.equal(shape[2], (codes.find(assert(cjson.decode(shape[1])))))
    end)
  end

  it("gives 1MSG's own refusals an entry and no code", function()
    for sentence, class in pairs { ['Wrong token "x" for channel "y"'] = "auth", ["Username is not found"] = "request",
                                   ["BSUID routing is disabled"] = "request" } do
      local code, e = codes.find { error = sentence }
      assert.is_nil(code)
      assert.equal(class, e.class)
    end
  end)

  it("reads the text only when there is no object", function()
    assert.is_nil((codes.find({ sent = false }, "Template is paused")))
    assert.equal(132015, (codes.find(cjson.null, "Template is paused")))
    assert.equal(132015, (codes.find("Template is paused")))
  end)
end)

describe("codes on hostile answers", function()
  local deep = {}
  do
    local t = deep
    for _ = 1, 10000 do t.error = {}; t = t.error end
    t.code = 131026
  end
  local cycle = { message = 1 }
  cycle.error, cycle.errors, cycle[1] = cycle, cycle, cycle
  local wide = {}
  for i = 1, 10000 do wide[i] = { error = { message = "x" } } end
  local hostile = {
    deep, cycle, wide, {}, { error = cjson.null, errors = cjson.null, message = cjson.null, code = cjson.null },
    { error = true, code = {}, message = {}, errors = "x" }, { code = 0 / 0 }, { code = 1 / 0 }, { code = -131026 },
    { error = { error = { error = print } } }, { message = ("a"):rep(5e6) }, { message = ("(#1"):rep(1e5) },
    { message = ("code "):rep(1e5) }, { message = "\255\254\0\1" }, "\0", ("%"):rep(1e5), ("<"):rep(1e5), 1, true,
      print,
    cjson.null, { [1] = "x", [2] = cjson.null }, { details = { details = { details = 1 } } },
  }
  for i, value in ipairs(hostile) do
    it("number " .. i .. " ends in an entry and a short sentence", function()
      codes.find(value, value)
      for _, status in ipairs { 200, 400, 500, 0 } do
        local e, sentence = codes.explain(status, value, value)
        assert.truthy(codes.classes[e.class])
        assert.is_boolean(e.refusal)
        assert.is_string(sentence)
        assert.is_true(#sentence > 0 and #sentence <= 1200)
        assert.is_nil(sentence:find("%c"))
      end
    end)
  end

  it("is quick about them", function()
    local start = os.clock()
    for _ = 1, 100 do
      codes.explain(500, { message = ("code error (# "):rep(1e5) }, nil)
    end
    assert.is_true(os.clock() - start < 60) -- of processor time; with a search that is quadratic it takes hours
  end)
end)

describe("codes.text", function()
  local cases = {
    { '{"message":"namespace is missing"}', "namespace is missing" },
    { '{"error":"no"}', "no" }, { '{"error":{"message":"m"}}', "m" },
    { '{"error":{"message":"m","error_data":{"details":"d d"}}}', "m: d d" },
    { '{"errors":[{"code":1,"title":"t"}]}', "t" }, { '{"errors":["one","two"]}', "one" },
    { '{"meta":{"developerMessage":"dm"}}', "dm" }, { '{"response":{"error":"re"}}', "re" },
    { '{"message":"  two\\n lines\\t and \\u2028 more  "}', "two lines and more" },
    { '{"message":"","error":"second"}', "second" }, { '{"sent":false}', nil }, { '{"message":7}', nil },
    { '{"message":"line\\u0000 end\\u202e"}', "line end" },
  }
  for _, case in ipairs(cases) do
    it("of " .. case[1], function()
      assert.equal(case[2], codes.text(cjson.decode(case[1]), case[1]))
    end)
  end

  it("of what is not JSON: the text, or the title of a page", function()
    assert.equal("Trial ended", codes.text(nil, " Trial\r\nended "))
    assert.equal("502 Bad Gateway", codes.text(nil, "<html><head><title>502 Bad Gateway</title></head><body>x"))
    assert.is_nil(codes.text(nil, "<html><body>x</body>"))
    assert.is_nil(codes.text(nil, ' {"sent":true,"id":"wamid.HB'))
    assert.is_nil(codes.text(nil, "[[[["))
    assert.is_nil(codes.text(nil, ""))
    assert.is_nil(codes.text(nil, nil))
  end)

  it("is at most 300 characters, cut between characters", function()
    for _, char in ipairs { "a", "é", "€", "😀" } do
      local s = codes.text { message = char:rep(400) }
      assert.equal(char:rep(299) .. "…", s)
    end
    assert.equal(("é"):rep(300), codes.text { message = ("é"):rep(300) })
    assert.equal("a? b??", codes.text { message = "a\255 b\237\160" })
    assert.equal("??? ??? ?? ???? x", codes.text { message = "\237\160\128 \224\128\128 \192\128 \244\144\128\128 x" })
  end)

  it("masks tokens", function()
    local jwt = "eyJhbGciOiJIUzI1NiJ9.eyJpbnN0YW5jZUlkIjoieCJ9.abc-_1"
    for _, said in ipairs { 'Wrong token "SECRETsecret" for channel', "use ?token=SECRETsecret&x=1",
      "token: SECRET9secret!",
                            "Authorization: Bearer SECRETsecret", "Wrong token '" .. jwt .. "'",
                              "got " .. jwt .. " here" } do
      local s = codes.text { error = said }
      assert.truthy(s:find("***", 1, true))
      assert.is_nil(s:lower():find("secret", 1, true) or s:find("eyJ", 1, true))
    end
  end)
end)

describe("codes.explain", function()
  -- status, body, sentence, code, class, action, refusal, retry
  local answers = {
    { 200, '{"sent":false,"message":"Template is not defined"}', "Template is not defined", 132001, "template",
      "fix_template", true, false },
    { 200, '{"sent":"false","error":"Recipient is not a valid WhatsApp user"}',
      nil, 131026, "recipient", "fallback", true, false },
    { 200, '{"sent":false}', nil, nil, "unclassified", "fallback", true, false },
    { 200, '{"sent":false,"error":{"code":131000,"message":"Something went wrong"}}',
      nil, 131000, "platform", "backoff", true, true },
    { 200, '{"sent":false,"jobId":"j1","message":"queued"}', nil, nil, "platform", "settle", false, false },
    { 200, '{"response":{"error":"Rate limit hit"}}', nil, 130429, "rate", "pace", true, true },
    { 200, '', nil, nil, "platform", "settle", false, false },
    { 200, '<html>', "the answer is not what the API of 1MSG gives", nil, "platform", "settle", false, false },
    { 200, 'Hello', "the answer is not what the API of 1MSG gives: Hello", nil, "platform", "settle", false, false },
    { 302, '', nil, nil, "request", "stop", true, false },
    { 400, '{"error":"bad phone"}', "400 bad phone", nil, "request", "fix_request", true, false },
    { 401, '{"error":"Wrong token \\"abc\\" for channel"}', '401 Wrong token "***" for channel',
      nil, "auth", "stop", true, false },
    { 402, '', nil, nil, "account", "stop", true, false },
    { 403, 'Trial period is over', "403 Trial period is over", nil, "account", "stop", true, false },
    { 404, '', nil, nil, "request", "stop", true, false },
    { 405, '', nil, nil, "request", "stop", true, false },
    { 408, '', nil, nil, "platform", "settle", false, false },
    { 408, '{"message":"(#130429) Rate limit hit"}', nil, 130429, "rate", "settle", false, false },
    { 413, '', nil, nil, "request", "fix_request", true, false },
    { 415, '', nil, nil, "request", "fix_request", true, false },
    { 418, '', nil, nil, "request", "fix_request", true, false },
    { 422, '{"message":"namespace is missing"}', "422 namespace is missing",
      nil, "request", "fix_request", true, false },
    { 429, '', "429 too many requests", nil, "rate", "pace", true, true },
    { 429, '{"error":"(#131056) pair rate limit hit"}', nil, 131056, "rate", "pace", true, true },
    { 500, '{"message":"Param text cannot have new-line/tab characters or more than 4 consecutive spaces"}',
      nil, 132018,
      "request", "fix_request", true, false },
    { 500, '{"error":{"code":131042,"message":"pay"}}', "500 pay", 131042, "account", "stop", true, false },
    { 500, '{"error":{"code":131000,"message":"x"}}', nil, 131000, "platform", "settle", false, false },
    { 500, '{"error":{"code":131099,"message":"x"}}', nil, 131099, "unclassified", "settle", false, false },
    { 500, '{"message":"Internal server error"}', nil, nil, "platform", "settle", false, false },
    { 500, '{"sent":false,"message":"x"}', nil, nil, "platform", "settle", false, false },
    -- text of some gateway, and words too ordinary to prove anything, prove nothing
    { 500, 'Template is not defined', nil, 132001, "template", "settle", false, false },
    { 500, '{"message":"EACCES: permission denied, open log"}', nil, 10, "auth", "settle", false, false },
    { 503, '{"message":"(#130429) Rate limit hit"}', nil, 130429, "rate", "pace", true, true },
    { 501, '', nil, nil, "request", "fix_request", true, false },
    { 502, '<html><title>502 Bad Gateway</title>', "502 Bad Gateway", nil, "platform", "settle", false, false },
    { 503, 'Service Unavailable', nil, 131016, "platform", "settle", false, false },
    { 504, '', nil, nil, "platform", "settle", false, false },
    { 599, '', nil, nil, "platform", "settle", false, false },
    { 0, '', nil, nil, "platform", "settle", false, false },
  }
  for _, a in ipairs(answers) do
    it(a[1] .. " " .. a[2], function()
      local e, sentence = codes.explain(a[1], cjson.decode(a[2]), a[2])
      if a[3] then assert.equal(a[3], sentence) end
      assert.equal(a[4], e.code)
      assert.same({ a[5], a[6], a[7], a[8] }, { e.class, e.action, e.refusal, e.retry })
      assert.is_string(e.hint)
    end)
  end

  it("never allows a repeat where it does not prove a refusal", function()
    for status = 200, 599 do
      for sentence in pairs(SENTENCES) do
        local e = codes.explain(status, { message = sentence }, nil)
        assert.is_true(e.refusal or not e.retry)
      end
    end
  end)

  it("allows a repeat of what sends nothing", function()
    local e = codes.explain(502, nil, "<html>", true)
    assert.same({ false, true, "backoff", 5 }, { e.refusal, e.retry, e.action, e.wait })
    assert.is_nil(e.hint:find("message left", 1, true))
    e = codes.explain(401, nil, "", true)
    assert.same({ true, false, "stop" }, { e.refusal, e.retry, e.action })
  end)

  it("hands out entries that may be changed", function()
    local e = codes.explain(400, { code = 131026 })
    e.class, e.hint = "x", "y"
    assert.equal("recipient", (codes.explain(400, { code = 131026 })).class)
    assert.equal("recipient", codes.lookup(131026).class)
  end)
end)

describe("codes.add", function()
  local function fresh() -- the extensions of one test must not reach another
    package.loaded["onemsg.codes"], package.loaded["onemsg.codes.table"] = nil, nil
    local mine = require "onemsg.codes"
    package.loaded["onemsg.codes"], package.loaded["onemsg.codes.table"] = codes, nil
    return mine
  end

  it("adds a code and a fragment, which then come first", function()
    local mine = fresh()
    mine.add { code = 131063, class = "recipient", action = "fallback", fault = "recipient", meaning = "m" }
    mine.add_text("Blue Moon", 131063)
    mine.add_text("template is paused for ever", 132016)
    assert.equal(131063, (mine.find { error = "a blue moon" }))
    assert.equal(132016, (mine.find { error = "Template is paused for ever" }))
    assert.equal(132015, (mine.find { error = "Template is paused" }))
    local e = mine.explain(500, { code = 131063 })
    assert.same({ true, "recipient", "message" }, { e.refusal, e.class, e.scope })
    mine.add { code = 131000, class = "platform", action = "backoff", meaning = "m", retry = true, wait = 90 }
    assert.equal(90, mine.lookup(131000).wait)
    assert.is_nil(codes.lookup(131063))
  end)

  local good = { code = 131063, class = "recipient", action = "fallback", meaning = "m" }
  for _, case in ipairs {
    { "code", "abc", "number" }, { "code", 1.5, "whole number" }, { "code", -1, "whole number" },
    { "code", 0 / 0, "whole number" },
    { "code", 1e8, "9999999" }, { "class", "weird", "one of" }, { "action", "explode", "one of" },
    { "fault", "me", "one of" }, { "scope", "all", "one of" }, { "meaning", 7, "string" }, { "retry", "yes",
      "boolean" },
    { "retry", true, "needs wait" }, { "wait", -1, "must be seconds" },
    { "colour", "red", "no field" }, { "wait", "5", "number" },
    { "class", nil, "missing" }, { "action", nil, "missing" }, { "meaning", nil, "missing" }, { "code", nil, "whole" },
  } do
    it(("refuses %s = %s"):format(case[1], tostring(case[2])), function()
      local mine, row = fresh(), {}
      for _, key in ipairs(keys(good)) do row[key] = good[key] end
      row[case[1]] = case[2]
      local ok, why = pcall(mine.add, row)
      assert.is_false(ok)
      assert.truthy(why:find(case[3], 1, true), why)
      assert.is_nil(mine.lookup(131063))
    end)
  end

  it("refuses what is no table, short fragments and unknown codes", function()
    local mine = fresh()
    assert.has_error(function() mine.add(131063) end)
    assert.has_error(function() mine.add_text("ab", 131026) end)
    assert.has_error(function() mine.add_text(nil, 131026) end)
    assert.has_error(function() mine.add_text("long enough", 131063) end)
    local ok, why = pcall(function() mine.add_text("long enough", "x") end)
    assert.is_false(ok)
    assert.truthy(why:find("codes_spec.lua", 1, true)) -- at the caller's line
  end)
end)
