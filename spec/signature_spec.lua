-- onemsg.signature: Standard Webhooks 1.0. The vector is the one that the reference libraries of
-- github.com/standard-webhooks/standard-webhooks test themselves with (libraries/javascript/src/webhook.test.ts,
-- "sign function works"); so are the cases of refused headers.
local signature = require "onemsg.signature"

local SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
local ID, TIME, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, '{"test": 2432232314}'
local SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
local WRONG = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="
local OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

local function headers(more)
  local h = { ["webhook-id"] = ID, ["webhook-timestamp"] = tostring(TIME), ["webhook-signature"] = SIGNATURE }
  for key, value in pairs(more or {}) do
    if value == "-" then h[key] = nil else h[key] = value end
  end
  return h
end

local function verify(h, body, now, secrets)
  return signature.verify(secrets or SECRET, h or headers(), body or BODY, now or TIME)
end

describe("signature.sign", function()
  it("gives the published signature", function()
    assert.equal(SIGNATURE, signature.sign(SECRET, ID, TIME, BODY))
    assert.equal(SIGNATURE, signature.sign(SECRET:sub(7), ID, TIME, BODY))
    assert.equal(SIGNATURE, signature.sign(" " .. SECRET .. "\n", ID, TIME + 0.0, BODY))
  end)

  it("raises on wrong arguments at the caller's line, without the secret", function()
    for _, args in ipairs { { "", ID, TIME, BODY }, { "whsec_", ID, TIME, BODY }, { "whsec_not base64", ID, TIME,
      BODY },
                            { 5, ID, TIME, BODY }, { "whsec_abcde", ID, TIME, BODY }, { SECRET, "", TIME, BODY },
                            { SECRET, "a b", TIME, BODY }, { SECRET, 7, TIME, BODY }, { SECRET, ID, TIME + 0.5, BODY },
                            { SECRET, ID, "5", BODY }, { SECRET, ID, -1, BODY }, { SECRET, ID, TIME, {} } } do
      local ok, why = pcall(function()
        local value = signature.sign(args[1], args[2], args[3], args[4])
        return value
      end)
      assert.is_false(ok)
      assert.truthy(why:find("signature_spec.lua", 1, true))
      assert.is_nil(why:find("not base64", 1, true))
    end
  end)
end)

describe("signature.key", function()
  it("is base64, of any length, padded or not", function()
    for text, bytes in pairs { ["YQ=="] = "a", ["YQ"] = "a", ["YWI="] = "ab", ["YWI"] = "ab", ["YWJj"] = "abc",
                               ["AP8Q"] = "\0\255\16", ["+/+/"] = "\251\255\191", ["YWJjZA=="] = "abcd" } do
      assert.equal(bytes, signature.key("whsec_" .. text))
    end
    for _, bad in ipairs { "whsec_", "", "whsec_a", "whsec_YW=I", "whsec_YWJj=YWJj", "whsec_YW-_", "whsec_\255" } do
      local key, err = signature.key(bad)
      assert.is_nil(key)
      assert.truthy(err:find("^config: "))
    end
  end)
end)

describe("signature.verify", function()
  it("takes the published signature", function()
    assert.is_true(verify())
    assert.is_true(verify(nil, nil, nil, SECRET:sub(7)))
  end)

  it("takes what sign makes, over every length and every byte", function()
    local all = {}
    for i = 0, 255 do all[#all + 1] = string.char(i) end
    all = table.concat(all)
    for length = 0, 70 do
      local body = all:sub(1, length) .. all:sub(-length)
      local h = headers { ["webhook-signature"] = signature.sign(OTHER, ID, TIME, body) }
      assert.is_true(verify(h, body, nil, OTHER))
      assert.is_nil((verify(h, body .. "x", nil, OTHER)))
      assert.is_nil((verify(h, body, nil, SECRET)))
    end
  end)

  it("takes several secrets and several signatures", function()
    assert.is_true(verify(nil, nil, nil, { OTHER, SECRET }))
    assert.is_true(verify(headers { ["webhook-signature"] = table.concat({ WRONG, "v2," .. SIGNATURE:sub(4), SIGNATURE,
                                                                           WRONG }, " ") }))
    assert.is_nil((verify(nil, nil, nil, { OTHER })))
    assert.is_nil((verify(headers { ["webhook-signature"] = (WRONG .. " "):rep(16) .. SIGNATURE })))
  end)

  it("takes header names in any case", function()
    assert.is_true(verify { ["Webhook-Id"] = ID, ["WEBHOOK-TIMESTAMP"] = tostring(TIME),
      ["Webhook-Signature"] = SIGNATURE })
  end)

  it("allows five minutes either way", function()
    assert.is_true(verify(nil, nil, TIME + 300))
    assert.is_true(verify(nil, nil, TIME - 300))
    assert.equal("webhook-timestamp is too old", select(2, verify(nil, nil, TIME + 301)))
    assert.equal("webhook-timestamp is in the future", select(2, verify(nil, nil, TIME - 301)))
  end)

  for i, case in ipairs {
    { { ["webhook-id"] = "-" }, "webhook-id is missing" }, { { ["webhook-id"] = "" }, "webhook-id is missing" },
    { { ["webhook-id"] = { ID, ID } }, "webhook-id is missing" }, { { ["webhook-id"] = "other" },
      "no signature matches" },
    { { ["webhook-timestamp"] = "-" }, "webhook-timestamp is missing" },
    { { ["webhook-timestamp"] = "hello" }, "webhook-timestamp is not a number" },
    { { ["webhook-timestamp"] = "1614265330.0" }, "webhook-timestamp is not a number" },
    { { ["webhook-timestamp"] = "0x60381772" }, "webhook-timestamp is not a number" },
    { { ["webhook-timestamp"] = ("1"):rep(400) }, "webhook-timestamp is not a number" },
    { { ["webhook-timestamp"] = "nan" }, "webhook-timestamp is not a number" },
    { { ["webhook-timestamp"] = tostring(TIME + 1) }, "no signature matches" },
    { { ["webhook-signature"] = "-" }, "webhook-signature is missing" },
    { { ["webhook-signature"] = ("v1,x "):rep(2000) }, "webhook-signature is missing" },
    { { ["webhook-signature"] = "v1,dawfeoifkpqwoekfpqoekf" }, "no signature matches" },
    { { ["webhook-signature"] = SIGNATURE:sub(1, 8) }, "no signature matches" },
    { { ["webhook-signature"] = "v1," }, "no signature matches" },
    { { ["webhook-signature"] = SIGNATURE:sub(4) }, "no signature matches" },
    { { ["webhook-signature"] = "v1a," .. SIGNATURE:sub(4) }, "no signature matches" },
    { { ["webhook-signature"] = SIGNATURE:lower() }, "no signature matches" },
    { { ["webhook-signature"] = SIGNATURE .. "=" }, "no signature matches" },
    { { ["webhook-signature"] = " " }, "no signature matches" },
  } do
    it("refuses header " .. i .. ": " .. case[2], function()
      local ok, why = verify(headers(case[1]))
      assert.is_nil(ok)
      assert.truthy(why:find(case[2], 1, true), why)
    end)
  end

  it("refuses a changed body", function()
    for i = 1, #BODY do
      local changed = BODY:sub(1, i - 1) .. string.char((BODY:byte(i) + 1) % 256) .. BODY:sub(i + 1)
      assert.is_nil((verify(nil, changed)))
    end
    assert.is_nil((verify(nil, "")))
  end)

  it("raises where the set-up is wrong", function()
    for _, args in ipairs { { {}, headers(), BODY, TIME }, { { "" }, headers(), BODY, TIME }, { 5, headers(), BODY,
      TIME },
                            { SECRET, "x", BODY, TIME }, { SECRET, headers(), {}, TIME }, { SECRET, headers(), BODY,
                              "1" } } do
      local ok, why = pcall(function()
        local value = signature.verify(args[1], args[2], args[3], args[4])
        return value
      end)
      assert.is_false(ok)
      assert.truthy(why:find("signature_spec.lua", 1, true))
    end
  end)
end)
