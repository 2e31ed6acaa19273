-- A secret pasted with its quotes (docker --env-file keeps them), with blanks, or as "v1,whsec_…" led to 401 at each
-- event, without a word at the start. What people paste is read as it was meant, or refused at the start.
local onemsg = require "onemsg"
local signature = require "onemsg.signature"
local commands = require "support.command"

local SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
local BODY = "{}"

describe("a signing secret", function()
  for _, pasted in ipairs { SECRET, SECRET:sub(7), " " .. SECRET .. "\n", '"' .. SECRET .. '"', "'" .. SECRET .. "'",
    "v1," .. SECRET,
    "“" .. SECRET .. "”", '" ' .. SECRET .. ' "', '"v1,' .. SECRET .. '"', "\tv1, " .. SECRET } do
    it(("pasted as %q is the same"):format(pasted), function()
      local headers = { ["webhook-id"] = "m", ["webhook-timestamp"] = "1700000000",
        ["webhook-signature"] = signature.sign(SECRET, "m", 1700000000, BODY) }
      assert.is_true(signature.verify(pasted, headers, BODY, 1700000000))
      assert.equal(signature.key(SECRET), signature.key(pasted))
    end)
  end
  for _, pasted in ipairs { "", " ", '""', "v1,", "whsec_", '"whsec_', "whsec_-_-_", "v2," .. SECRET, "not base64!",
    ("0123456789abcdef"):rep(3), ("0123456789ABCDEF"):rep(2), '"' .. ("0f"):rep(32) .. '"' } do
    it(("%q is refused, and not shown"):format(pasted), function()
      local key, why = signature.key(pasted)
      assert.is_nil(key)
      assert.matches("^config: ", why)
      assert.is_nil(why:find(SECRET, 1, true))
      assert.is_nil(why:find("0123456789", 1, true))
    end)
  end
end)

describe("a variable", function()
  it("is read without the quotes around it", function()
    local command = commands.new {}
    for name, value in pairs { CHANNEL = "x", TOKEN = '"a-token-that-is-never-used"', TEMPLATE = "'action_success'",
      TEMPLATE_NAMESPACE = '"n"', TEMPLATE_LANGUAGE = '"en"', INSTANCE_ID = "'FAKE1'", BASE_URL = '"http://127.0.0.1:9"' } do
      command.env["ONE_MSG_" .. name] = value
    end
    local result = command:run "send --check --json --phone 12020721300 --name a --action b --next-step c"
    assert.equal("action_success", result.json and result.json[1].template, result.out .. result.err)
    command.env.ONE_MSG_TOKEN = '""'
    result = command:run "send --check --json --phone 12020721300 --name a --action b --next-step c"
    assert.matches("token", result.err)
    command:remove()
  end)
  it("keeps a quote that has no fellow", function()
    local command = commands.new {}
    command.env.ONE_MSG_TEMPLATE = '"action_success'
    local result = command:run("send --check --phone 12020721300 --name a --action b --next-step c",
      { env = { ONE_MSG_TOKEN = "a-token-that-is-never-used", ONE_MSG_INSTANCE_ID = "FAKE1", ONE_MSG_TEMPLATE_NAMESPACE = "n",
        ONE_MSG_TEMPLATE_LANGUAGE = "en" } })
    assert.matches("template", result.err)
    assert.not_equal(0, result.code)
    command:remove()
  end)
  it("alone is unquoted: an option is taken as it stands", function()
    local channel, err = onemsg.new { token = "a-token-that-is-never-used", channel = "FAKE1", namespace = "n", language = "en",
      template = '"t"', base_url = "http://127.0.0.1:9" }
    assert.is_nil(channel)
    assert.matches("template", err)
  end)
end)
