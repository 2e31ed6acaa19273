-- Base64 was written four times: twice in the library, twice in the fake. C's is the one; nginx's own serves where only
-- nginx is.
local mime = require "mime"
local onemsg = require "onemsg"
local core = require "onemsg.core"
local signature = require "onemsg.signature"

--- A JWT in form, the payload in the alphabet for URLs, with so much padding.
local function jwt(payload, padding)
  return "eyJhbGciOiJIUzI1NiJ9." .. mime.b64(payload):gsub("+", "-"):gsub("/", "_"):gsub("=", "") .. padding .. ".c2ln"
end

describe("base64", function()
  it("is that of others, for every length and byte", function()
    local bytes = ""
    for n = 0, 300 do
      local text = core.base64(bytes)
      assert.equal(mime.b64(bytes) or "", text)
      assert.equal(bytes, core.unbase64(text))
      assert.equal(bytes, core.unbase64((text:gsub("=", ""))))
      bytes = bytes .. string.char((n * 167 + 31) % 256)
    end
  end)

  it("is refused when it is none", function()
    for _, bad in ipairs { "A", "AAAAA", "A===", "AA A", "AA\nA", "AA-_", "AA=A", "====", "AAA\0", "AAé=" } do
      assert.is_nil(core.unbase64(bad), bad)
    end
  end)

  it("reads the key of a signature, with and without padding", function()
    for length = 1, 50 do
      local key = ("\255k"):rep(25):sub(1, length)
      assert.equal(key, signature.key("whsec_" .. core.base64(key)))
      assert.equal(key, signature.key((core.base64(key):gsub("=", ""))))
    end
    assert.is_nil((signature.key "whsec_AA-_"))
  end)

  it("reads whose a token is, in the alphabet for URLs", function()
    for n = 0, 20 do
      local payload = ('{"x":"%s\195\191\195\190","instanceId":"ODI%d"}'):format(("?>~"):rep(n), n)
      for _, padding in ipairs { "", ("="):rep(-#payload % 3) } do
        local channel = assert(onemsg.new { token = jwt(payload, padding), base_url = "http://127.0.0.1:1" })
        assert.equal("ODI" .. n, core.channel_id(channel))
        channel:close()
      end
    end
    local none, err = onemsg.new { token = jwt('{"instanceId":"ODI1"}', "*"), base_url = "http://127.0.0.1:1" }
    assert.is_nil(none)
    assert.matches("the token does not name it", err)
  end)
end)
