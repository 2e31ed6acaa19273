-- onemsg.senders, pure: requests that the senders' own libraries signed (support/sender_vectors.js), and what is refused.
local cjson = require "cjson"
local senders = require "onemsg.senders"
local files = require "support.files"

local VECTORS = cjson.decode(files.content "spec/support/sender_vectors.json")

local function lower(headers)
  local out = {}
  for name, value in pairs(headers) do out[name:lower()] = value end
  return out
end

local function request(vector, change)
  local made = { method = vector.method, url = vector.url, headers = lower(vector.headers), query = {},
                 body = vector.body }
  for name, value in pairs(vector.query or {}) do made.query[name] = value end
  if change then change(made) end
  return made
end

local function take(vector, secrets, change, now)
  return senders.take(vector.sender, secrets or vector.secret, request(vector, change), now or vector.now)
end

local function refused(status, ...)
  local taken, why, got = take(...)
  assert.is_nil(taken)
  assert.equal(status, got, why)
  assert.matches("^invalid: ", why)
  return why
end

local function other_of(vector) -- a secret of the same form
  if vector.sender == "adyen" then return (vector.secret:gsub("^44", "45")) end
  if vector.secret:find "^whsec_Mf" then return (vector.secret:gsub("^whsec_Mf", "whsec_Mg")) end
  return vector.secret .. "x"
end

local function change_body(vector)
  return function(made)
    if vector.bend == "query" then
      made.query["data.id"] = "999008"
    elseif vector.bend then
      made.body = made.body:gsub(vector.bend[1], vector.bend[2])
    else
      made.body = made.body:gsub("%d", function(digit) return digit == "7" and "8" or "7" end, 1)
    end
  end
end

for n, vector in ipairs(VECTORS) do
  describe(("senders: %s (%s, %d)"):format(vector.sender, vector.by, n), function()
    local row = senders.get(vector.sender)
    local schemes = row.sign[1] and row.sign or { row.sign }

    it("is taken, with its id and type", function()
      local taken, why = take(vector)
      assert.truthy(taken, why)
      local event = taken.items[1].event
      assert.same({ vector.sender .. ":" .. vector.id, vector.type, vector.sender }, { event.id, event.type, event.sender })
      for i, id in ipairs(vector.more or {}) do
        assert.equal(vector.sender .. ":" .. id, taken.items[i + 1].event.id)
      end
      assert.equal(1 + #(vector.more or {}), #taken.items)
      assert.is_nil(event.test)
      assert.is_true(taken.submit.first)
      assert.is_true(senders.verify(vector.sender, vector.secret, request(vector), vector.now))
      assert.same(taken.items, senders.read(vector.sender, request(vector)))
    end)

    it("is taken with one of two secrets", function()
      assert.truthy(take(vector, { other_of(vector), vector.secret }))
      assert.truthy(take(vector, { vector.secret, other_of(vector) }))
      assert.truthy(take(vector, assert(senders.keys(vector.sender, { other_of(vector), " " .. vector.secret .. "\n" }))))
    end)

    it("is refused with another secret", function()
      local why = refused(401, vector, other_of(vector))
      assert.is_nil(why:find(vector.secret, 1, true))
      refused(401, vector, { other_of(vector), other_of(vector) .. "00" })
    end)

    it("is refused without what it is signed with", function()
      for _, scheme in ipairs(schemes) do
        for _, name in ipairs(type(scheme.header) == "table" and scheme.header or { scheme.header or "authorization" }) do
          if not vector.no_header and request(vector).headers[name] then
            refused(401, vector, nil, function(made) made.headers[name] = nil end)
            refused(401, vector, nil, function(made) made.headers[name] = "" end)
          end
        end
      end
      if vector.query and vector.query.access_token then
        refused(401, vector, nil, function(made) made.query.access_token = nil end)
      end
    end)

    it("is refused with a byte changed, where it is signed", function()
      if vector.unsigned then return assert.truthy(take(vector, nil, change_body(vector))) end
      refused(401, vector, nil, change_body(vector))
      if vector.url then refused(401, vector, nil, function(made) made.url = made.url .. "/" end) end
    end)

    it("is refused when it is too old, or from the future, where the time is signed", function()
      local timed = false
      for _, scheme in ipairs(schemes) do timed = timed or scheme.time ~= nil end
      for _, aside in ipairs { -301, 301 } do
        if timed then refused(401, vector, nil, nil, vector.now + aside) else take(vector, nil, nil, vector.now + aside) end
      end
      assert.truthy(take(vector, nil, nil, vector.now + 299))
      assert.truthy(take(vector, nil, nil, vector.now - 299))
    end)
  end)
end

describe("senders", function()
  it("have a vector each", function()
    local seen = {}
    for _, vector in ipairs(VECTORS) do seen[vector.sender] = true end
    for _, name in ipairs(senders.names()) do assert.is_true(seen[name], name) end
  end)

  it("have a row each that says what to register where", function()
    for _, name in ipairs(senders.names()) do
      local row = senders.get(name)
      assert.truthy(row.title and row.where and row.choose and row.about, name)
      assert.matches("^ONE_MSG_[%u%d_]+_SECRET$", senders.variable(name))
    end
    assert.matches("did you mean 'stripe'", select(2, senders.get "strip"))
  end)

  local function read(name, body, headers, query)
    local list, why = senders.read(name, { headers = headers or {}, query = query or {}, body = body })
    return list and list[1].event, list and list[1].wrong or why
  end

  local shown = { -- sender, body, headers, what the event says
    { "stripe", '{"id":"e","type":"t","livemode":false,"sender":"x","test":5}', nil,
      { id = "stripe:e", type = "t", sender = "stripe", test = true, livemode = false,
        original = { id = "e", sender = "x", test = 5 } } },
    { "stripe", '{"id":"e","type":"t","livemode":true,"resolved":{"phone":"1"},"unsigned":1,"original":2}', nil,
      { id = "stripe:e", type = "t", sender = "stripe", livemode = true,
        original = { id = "e", resolved = { phone = "1" }, unsigned = 1, original = 2 } } },
    { "stripe", '{"id":9007199254740993,"type":"t"}', nil,
      { id = "stripe:9007199254740993", type = "t", sender = "stripe", original = { id = "9007199254740993" } } },
    { "shopify", '{"test":true,"phone":null}', { ["x-shopify-event-id"] = "e", ["x-shopify-topic"] = "orders/paid" },
      { id = "shopify:orders/paid:e", type = "orders/paid", sender = "shopify", test = true, phone = cjson.null } },
    { "lemonsqueezy", '{"meta":{"event_name":"n","test_mode":true},"data":{"id":1,"attributes":{"updated_at":"u"}}}', nil,
      { id = "lemonsqueezy:n:1:u", type = "n", sender = "lemonsqueezy", test = true,
        meta = { event_name = "n", test_mode = true }, data = { id = 1, attributes = { updated_at = "u" } } } },
    { "mercadopago", '{"type":"payment","id":7,"phone":"+12020746199","live_mode":false}', nil,
      { id = "mercadopago:payment:5:payment", type = "payment", sender = "mercadopago", test = true, data = { id = "5" },
        unsigned = { type = "payment", id = 7, phone = "+12020746199", live_mode = false } }, { ["data.id"] = "5" } },
    { "adyen", '{"live":"false","notificationItems":[{"NotificationRequestItem":{"pspReference":"p","eventCode":"A",'
        .. '"success":"true","additionalData":{"phone":"1"}}}]}', nil,
      { id = "adyen:A:p:true", type = "A", sender = "adyen", test = true, pspReference = "p", eventCode = "A",
        success = "true", unsigned = { additionalData = { phone = "1" } } } },
    { "woocommerce", '{"id":5,"date_modified_gmt":"d"}', { ["x-wc-webhook-topic"] = "customer.updated" },
      { id = "woocommerce:customer.updated:5:d", type = "customer.updated", sender = "woocommerce", date_modified_gmt = "d",
        original = { id = 5 } } },
    { "plain", "id=1&type=a&a%20b=%C3%A9+x&empty=&id=2",
      { ["content-type"] = "application/x-www-form-urlencoded; charset=utf-8" },
      { id = "plain:1", type = "a", sender = "plain", ["a b"] = "é x", empty = "", original = { id = "1" } } },
    { "cloudevents", "plain text", { ["ce-id"] = "1", ["ce-source"] = "a+b%20c", ["ce-type"] = "t" },
      { id = "cloudevents:a+b c:1", type = "t", sender = "cloudevents", source = "a+b c", data = "plain text",
        original = { id = "1" } } },
  }
  for n, case in ipairs(shown) do
    it(("become events: %s %d"):format(case[1], n), function()
      local event, why = read(case[1], case[2], case[3], case[5])
      assert.same(case[4], event, why)
    end)
  end


  it("have secrets in a variable as files of variables keep them", function()
    for text, list in pairs { ["a1"] = { "a1" }, [" a1  b2 "] = { "a1", "b2" }, ['"a1"'] = { "a1" },
      ["'a1' 'b2'"] = { "a1", "b2" }, ['"a1 b2"'] = { "a1", "b2" }, ["“a1”"] = { "a1" }, ['a"1'] = { 'a"1' },
      ['"a1'] = { '"a1' } } do
      assert.same(list, senders.written(text), text)
    end
    for _, text in ipairs { "", " ", '""', "''" } do assert.is_nil(senders.written(text), text) end
    assert.is_nil(senders.written(nil))
  end)

  it("give no event whose id or type lacks a part", function()
    for _, case in ipairs { { "stripe", '{"type":"t"}', "id" }, { "stripe", "{}", "id" },
      { "stripe", '{"id":"","type":"t"}', "id" },
      { "stripe", '{"id":"e"}', "type" }, { "stripe", '{"id":null,"type":"t"}', "id" },
        { "stripe", '{"id":{},"type":"t"}', "id" },
      { "razorpay", '{"event":"e"}', "header.x%-razorpay" },
      { "woocommerce", '{"id":5,"status":"s"}', "header" },
        { "hubspot", '[{"eventId":5,"subscriptionType":"t"}]', "subscriptionId" },
      { "adyen", '{"notificationItems":[{"NotificationRequestItem":{"pspReference":"p","eventCode":"A"}}]}', "success" },
      { "mercadopago", '{"type":"payment"}', "query" }, { "cloudevents", '{"id":"1","type":"t"}', "source" },
      { "paystack", '{"event":"e","data":[]}', "data%.id" } } do
      local event, why = read(case[1], case[2])
      assert.is_nil(event, case[1])
      assert.matches(case[3], why)
      assert.matches("is missing", why)
    end
  end)

  it("give nothing of a body that holds none", function()
    for _, body in ipairs { "", " ", "{", "5", '"x"', "null", "[5]", "[[]]", ("["):rep(100) .. ("]"):rep(100), "{}\0" } do
      local list, why = senders.read("stripe", { headers = {}, body = body })
      assert.is_nil(list and list[1] and list[1].event, body)
      assert.truthy(list or why:find "^invalid: ", body)
    end
  end)

  it("answer handshakes and pings without a secret", function()
    local function answer(name, method, headers, body)
      local taken, _, status = senders.take(name, "some-secret-0123456",
        { method = method, headers = headers, body = body or "" }, 0)
      return taken and taken.answer or status
    end
    assert.same({ status = 200, headers = { ["WebHook-Allowed-Origin"] = "eventemitter.example.com",
      ["WebHook-Allowed-Rate"] = "*", Allow = "POST, OPTIONS" } },
      answer("cloudevents", "OPTIONS", { ["WebHook-Request-Origin"] = "eventemitter.example.com" }))
    assert.same({ status = 200, headers = {}, json = { verification = "abc" } },
      answer("okta", "GET", { ["X-Okta-Verification-Challenge"] = "abc" }))
    assert.same({ status = 200, headers = {} }, answer("woocommerce", "POST", {}, "webhook_id=12"))
    assert.equal(401, answer("woocommerce", "POST", {}, "webhook_id=12&id=5"))
    assert.equal(401, answer("woocommerce", "POST", { ["X-WC-Webhook-Topic"] = "order.updated" }, "webhook_id=12"))
    assert.equal(405, answer("okta", "GET", {}))
    assert.equal(405, answer("stripe", "OPTIONS", { ["WebHook-Request-Origin"] = "x" }))
    assert.equal(405, answer("stripe", "GET", {}))
  end)

  it("refuse secrets that are none, without repeating them", function()
    for _, case in ipairs { { "adyen", "no-hex!" }, { "standard", "whsec_!!!" }, { "stripe", "" }, { "stripe", {} },
      { "stripe", { 5 } }, { "stripe", "  " } } do
      local keys, why = senders.keys(case[1], case[2])
      assert.is_nil(keys)
      assert.matches("^config: " .. case[1], why)
      assert.is_nil(why:find("no-hex", 1, true))
    end
    assert.truthy(senders.keys("stripe", "x"))
  end)

  it("look at 16 signatures, not at thousands", function()
    local stripe = VECTORS[1]
    local good = stripe.headers["Stripe-Signature"]:match "v1=%x+"
    local function with(before)
      return function(made)
        made.headers["stripe-signature"] = "t=" .. stripe.now .. "," .. ("v1=00,"):rep(before) .. good .. ",v0=11"
      end
    end
    assert.truthy(take(stripe, nil, with(15)))
    refused(401, stripe, nil, with(16))
    refused(401, stripe, nil, with(5000))
    refused(401, stripe, nil, function(made) -- v0 is a test's, and no signature
      made.headers["stripe-signature"] = made.headers["stripe-signature"]:gsub("v1", "v0")
    end)
    refused(401, stripe, nil, function(made)
      made.headers["stripe-signature"] = { made.headers["stripe-signature"], made.headers["stripe-signature"] }
    end)
  end)
end)

describe("senders.add", function()
  it("adds a row", function()
    senders.add("shop", { sign = { header = "X-Shop-Sign", mac = "sha512", text = "base64", over = "{method} {query.a}.{body}" },
      id = { "{order.nr}", "{x:lower}" }, type = "{kind|type}" })
    local body, onemsg = '{"x":"ABC","type":"paid"}', require "onemsg"
    local made = { method = "POST", query = { a = "1" }, body = body, headers = {
      ["x-shop-sign"] = require "onemsg.core".base64(onemsg.hmac("k", "POST 1." .. body, "sha512")) } }
    local taken = assert(senders.take("shop", "k", made, 0))
    assert.same({ "shop:abc", "paid" }, { taken.items[1].event.id, taken.items[1].event.type })
  end)

  it("raises at the caller's line when a row is wrong", function()
    local good = { sign = { header = "x" }, id = "{id}", type = "{type}" }
    local function with(change)
      local row = {}
      for name, value in pairs(good) do row[name] = value end
      for name, value in pairs(change) do row[name] = value end
      return row
    end
    for _, case in ipairs { { "Bad", good, "a name" }, { "a-b", good, "a name" }, { "a", nil, "a row is a table" },
      { "a", { id = "{id}" }, "sign" }, { "a", with { id = "{id" }, "not closed" }, { "a", with { id = "{a..b}" }, "no field" },
      { "a", with { idd = "x" }, "did you mean 'id'" }, { "a", with { id = {} }, "empty" },
        { "a", with { type = false }, "type must be" },
      { "a", with { sign = { headr = "x" } }, "did you mean 'header'" },
        { "a", with { sign = { header = "x", mac = "md5" } }, "sha256" },
      { "a", with { sign = { header = "x", key = "odd" } }, "key must be" },
        { "a", with { sign = { text = "hex" } }, "header is missing" },
      { "a", with { sign = { header = "x", over = "{body:up}" } }, "no :up" },
        { "a", with { sign = { equal = "odd" } }, "equal must" } } do
      local ok, why = pcall(function() senders.add(case[1], case[2]) end)
      assert.is_false(ok)
      assert.truthy(why:find("senders_spec.lua", 1, true), why)
      assert.truthy(why:find(case[3], 1, true), why)
    end
  end)
end)
