-- onemsg.new: every option, from its table and from the environment, and what it refuses.
local onemsg = require "onemsg"
local channels = require "support.channels"
local server = require "support.server"
local sys = require "support.sys"
local uv = require "luv"

local VARIABLES = {
  base_url = "ONE_MSG_BASE_URL", channel = "ONE_MSG_INSTANCE_ID", token = "ONE_MSG_TOKEN",
  token_file = "ONE_MSG_TOKEN_FILE", template = "ONE_MSG_TEMPLATE", namespace = "ONE_MSG_TEMPLATE_NAMESPACE",
  language = "ONE_MSG_TEMPLATE_LANGUAGE", text = "ONE_MSG_TEXT", country = "ONE_MSG_COUNTRY",
  timeout = "ONE_MSG_TIMEOUT", connect_timeout = "ONE_MSG_CONNECT_TIMEOUT", http = "ONE_MSG_HTTP",
  max_connections = "ONE_MSG_MAX_CONNECTIONS", ca_file = "ONE_MSG_CA_FILE", proxy = "ONE_MSG_PROXY",
}

-- {"instanceId":…} as the payload of a JWT in form.
local function jwt(payload)
  local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
  local out, bits, held = {}, 0, 0
  for i = 1, #payload do
    bits, held = bits * 256 + payload:byte(i), held + 8
    while held >= 6 do
      local high = math.floor(bits / 2 ^ (held - 6))
      out[#out + 1] = alphabet:sub(high + 1, high + 1)
      bits, held = bits - high * 2 ^ (held - 6), held - 6
    end
  end
  if held > 0 then
    local last = bits * 2 ^ (6 - held) + 1
    out[#out + 1] = alphabet:sub(last, last)
  end
  return "eyJhbGciOiJIUzI1NiJ9." .. table.concat(out) .. ".c2ln"
end

local GOOD = { token = "link_0123456789abcdef", channel = "ODI371267300" }
local function with(more)
  local options = {}
  for _, source in ipairs { GOOD, more } do
    for name, value in pairs(source) do options[name] = value end
  end
  for name, value in pairs(options) do if value == "absent" then options[name] = nil end end
  return options
end

describe("onemsg.new", function()
  local fake

  setup(function() fake = server.fake {} end)
  teardown(function() fake:stop() end)

  local set = {}
  local function setenv(name, value)
    set[name] = true
    uv.os_setenv(name, value)
  end
  before_each(function() for _, variable in pairs(VARIABLES) do uv.os_unsetenv(variable) end end)
  after_each(function()
    for name in pairs(set) do uv.os_unsetenv(name) end
    set = {}
  end)

  local function base_of(options)
    return (tostring(assert(onemsg.new(options))):match "^onemsg%.channel %((.*)%)$")
  end

  local function refused(options, ...)
    local channel, err, info = onemsg.new(options)
    assert.is_nil(channel)
    assert.is_truthy(err:find "^config: ", err)
    assert.are.equal("invalid", info.outcome)
    assert.is_false(info.retry)
    for _, part in ipairs { ... } do assert.is_truthy(err:find(part, 1, true), err) end
    local token = options and options.token or GOOD.token
    assert.is_nil(#token > 12 and err:find(token, 1, true) or nil, err)
  end

  it("takes all from the environment", function()
    for name, value in pairs(fake.env) do
      if name:find "^ONE_MSG_" then setenv(name, value) end
    end
    for _, channel in ipairs { assert(onemsg.new()), assert(onemsg.new {}), assert(onemsg.new(nil)) } do
      assert.are.equal("accepted", assert(channel:send(channels.message(channels.phone(1)))).outcome)
      channel:close()
    end
    local entry = fake:journal()[1]
    assert.are.equal("https", entry.scheme)
    assert.are.equal("right", entry.token)
    assert.are.equal(fake.env.ONE_MSG_TEMPLATE, require "cjson".decode(entry.body).template)
  end)

  it("prefers the table to the environment", function()
    setenv("ONE_MSG_INSTANCE_ID", "ENV100")
    setenv("ONE_MSG_TOKEN", "link_environment")
    assert.are.equal("https://api.1msg.io/ENV100", base_of {})
    assert.are.equal("https://api.1msg.io/TAB200", base_of { channel = "TAB200" })
  end)

  it("says which field and which variable is missing, empty or a placeholder", function()
    refused({}, "token", "ONE_MSG_TOKEN", "missing")
    refused({ token = GOOD.token }, "channel", "ONE_MSG_INSTANCE_ID", "missing")
    for name, variable in pairs(VARIABLES) do
      if name ~= "timeout" and name ~= "connect_timeout" and name ~= "max_connections" then
        for _, value in ipairs { "", "___", "____" } do
          local token = name == "token_file" and "absent" or name == "token" and value or GOOD.token
          refused(with { token = token, [name] = value }, name .. " (", variable, "empty")
          setenv(variable, value)
          if name == "token" then token = "absent" end
          refused(with { token = token, [name] = "absent" }, name .. " (", variable, "empty")
          uv.os_unsetenv(variable)
        end
      end
    end
  end)

  it("cleans a pasted token", function()
    for _, pasted in ipairs {
      "%s", "Bearer %s", "bearer  %s", "BEARER\t%s", " %s ", "%s\n", "\r\n%s\r\n", "Basic %s", "Bearer Bearer %s",
      "  Bearer \n %s \n ",
    } do
      local channel = channels.new(fake, { token = pasted:format(fake.env.ONE_MSG_TOKEN) })
      assert.are.equal("connected", assert(channel:status()).status)
      channel:close()
    end
  end)

  it("refuses a token that no header may have", function()
    for _, token in ipairs {
      "a\nb", "a\r\nX-Evil: 1", "a b", "a\tb", "tok\127en", "tok\1en", "töken", "   ", "Bearer ", "Bearer ___",
      ("x"):rep(8193),
    } do
      refused(with { token = token }, "token (ONE_MSG_TOKEN)")
    end
    refused(with { token = "a\0b" }, "NUL")
    assert.is_truthy(onemsg.new(with { token = ("x"):rep(8192) }))
  end)

  it("reads a token from a file", function()
    local name = os.tmpname()
    local file = assert(io.open(name, "w"))
    file:write("Bearer " .. fake.env.ONE_MSG_TOKEN .. "\n")
    file:close()
    local options = channels.options(fake, { token_file = name })
    options.token = nil
    assert.are.equal("connected", assert(assert(onemsg.new(options)):status()).status)
    setenv("ONE_MSG_TOKEN", "link_environment") -- the table's file comes before it
    assert.are.equal("connected", assert(assert(onemsg.new(options)):status()).status)
    uv.os_unsetenv "ONE_MSG_TOKEN"
    setenv("ONE_MSG_TOKEN_FILE", name)
    options.token_file = nil
    assert.is_truthy(onemsg.new(options))
    os.remove(name)
    refused(options, "token_file (ONE_MSG_TOKEN_FILE)", name, "No such file")
    refused(with { token = "absent", token_file = "/" }, "token_file (ONE_MSG_TOKEN_FILE)")
    refused(with { token = "absent", token_file = "/dev/zero" }, "token_file (ONE_MSG_TOKEN_FILE)")
    refused(with { token = "absent", token_file = "/dev/null" }, "token_file (ONE_MSG_TOKEN_FILE)")
  end)

  it("takes the channel out of a JWT", function()
    for payload, id in pairs {
      ['{"instanceId":"instance371267300","token":"x"}'] = "371267300",
      ['{"instanceId":"ODI371267300"}'] = "ODI371267300",
      ['{"instanceId":371267300}'] = "371267300", ['{"instanceId":3712673001234}'] = "3712673001234",
      ['{"a":"ÿÿ>>??","instanceId":"ODI1"}'] = "ODI1",
    } do
      assert.are.equal("https://api.1msg.io/" .. id, base_of { token = jwt(payload) })
    end
    assert.are.equal("https://api.1msg.io/ODI371267300",
      base_of { token = jwt '{"instanceId":"instance371267300"}', channel = "ODI371267300" })
    assert.are.equal("https://api.1msg.io/371267300", base_of { token = GOOD.token, channel = "instance371267300" })
  end)

  it("refuses a JWT whose channel is no channel, or another one", function()
    for _, payload in ipairs {
      '{"instanceId":1e300}', '{"instanceId":1.5}', '{"instanceId":"a/b"}',
      '{"instanceId":"../x"}', '{"instanceId":"a\\u0000b"}', '{"instanceId":"' .. ("x"):rep(65) .. '"}',
    } do
      refused({ token = jwt(payload) }, "channel (ONE_MSG_INSTANCE_ID)")
    end
    for _, payload in ipairs { "[]", "{}", "null", "{", "", '{"instanceId":null}', '{"instanceId":{}}' } do
      refused({ token = jwt(payload) }, "channel (ONE_MSG_INSTANCE_ID) is missing")
    end
    for _, token in ipairs { "a.b", "a.b.c.d", "..", "a..b", "a.!!.c" } do
      refused({ token = token }, "channel (ONE_MSG_INSTANCE_ID) is missing")
      assert.is_truthy(onemsg.new { token = token, channel = "ODI1" })
    end
    refused({ token = jwt '{"instanceId":"ODI371267300"}', channel = "VAN388218473" }, "VAN388218473", "ODI371267300",
      "another number's")
    refused({ token = jwt '{"instanceId":"instance1"}', channel = "ODI12" }, "ODI12")
  end)

  it("refuses what is no channel id", function()
    for _, id in ipairs { "a/b", "a b", "../x", "a?b", "a%2fb", "ä", ("x"):rep(65), "a\nb", "a#" } do
      refused(with { channel = id }, "channel (ONE_MSG_INSTANCE_ID)")
    end
    assert.is_truthy(onemsg.new(with { channel = ("x"):rep(64) }))
    assert.is_truthy(onemsg.new(with { channel = "a-b_C9" }))
  end)

  it("understands a base URL as people write it", function()
    local plain = "https://api.1msg.io/ODI371267300"
    for given, base in pairs {
      ["https://api.1msg.io"] = plain, ["https://api.1msg.io/"] = plain, ["https://api.1msg.io///"] = plain,
      ["https://api.1msg.io/ODI371267300"] = plain, ["https://api.1msg.io/ODI371267300/"] = plain,
      ["api.1msg.io"] = plain, ["www.api.1msg.io"] = "https://www.api.1msg.io/ODI371267300",
      ["HTTPS://api.1msg.io"] = plain, ["https://api.1msg.io:443/x/"] = "https://api.1msg.io:443/x/ODI371267300",
      ["https://h/ODI3712673009"] = "https://h/ODI3712673009/ODI371267300",
      ["http://localhost:8080"] = "http://localhost:8080/ODI371267300",
      ["http://127.9.9.9"] = "http://127.9.9.9/ODI371267300",
      ["http://[::1]:8080/p"] = "http://[::1]:8080/p/ODI371267300",
    } do
      assert.are.equal(base, base_of(with { base_url = given }), given)
    end
  end)

  it("refuses a base URL that would show the token, or is none", function()
    for _, given in ipairs {
      "http://api.1msg.io", "http://127.0.0.1.evil.example", "http://localhost.evil.example", "http://1270.0.0.1",
      "http://[::2]", "http://0.0.0.0", "ftp://api.1msg.io", "file:///etc/passwd", "https://u:p@api.1msg.io",
      "https://u@h", "https://api.1msg.io?token=x", "https://api.1msg.io/#x", "https://", "https:// h", "h\nx", "h\\x",
      "https://h/\"", "://h", ("https://" .. ("h"):rep(2000)), "javascript:alert(1)", "http:/api.1msg.io",
      "https://h:99999", "https://bücher.example", "https://a\226\128\174b", "https://../x", "https://-h", "a\1b",
    } do
      refused(with { base_url = given }, "base_url (ONE_MSG_BASE_URL)")
    end
  end)

  it("checks template, namespace, language, text, country, http", function()
    for name, case in pairs {
      template = { good = { "a", "action_success", "a1_" }, bad = { "A", "a b", "a-b", ("a"):rep(513), "é", "a\n" } },
      namespace = { good = { "ca300906_cfbc_410b", "A-b_9" }, bad = { "a b", "a/b", ("a"):rep(257), "é" } },
      language = { good = { "en", "pt_BR", "fil", "prs_AF" },
                   bad = { "EN", "en-US", "en_us", "english", "e", "en_", "en_USA", "pt_BR " } },
      text = { good = { "clean", "strict", "raw" }, bad = { "Clean", "none", "raw " } },
      country = { good = { "1", "55", "380", "BR", "kz", 55, 7 },
                  bad = { "+55", "0", "055", "1234", "999", "XX", "BRA", "5 5" } },
      http = { good = { "auto", "1.1", "2" }, bad = { "1.0", "3", "h2", "1" } },
    } do
      for _, value in ipairs(case.good) do assert.is_truthy(onemsg.new(with { [name] = value }), name) end
      for _, value in ipairs(case.bad) do refused(with { [name] = value }, name .. " (" .. VARIABLES[name] .. ")") end
      for _, value in ipairs(case.good) do
        setenv(VARIABLES[name], tostring(value))
        assert.is_truthy(onemsg.new(GOOD))
      end
      setenv(VARIABLES[name], case.bad[1])
      refused(GOOD, name, VARIABLES[name])
      uv.os_unsetenv(VARIABLES[name])
    end
  end)

  it("reads seconds and connections, from numbers and from the environment's texts", function()
    for _, name in ipairs { "timeout", "connect_timeout" } do
      for _, value in ipairs { 0.01, 1, 20, 86400, "30s", "10m", "6h", "1d", "0.5s", "20", "0.25" } do
        assert.is_truthy(onemsg.new(with { [name] = value }), value)
        setenv(VARIABLES[name], tostring(value))
        assert.is_truthy(onemsg.new(GOOD))
        uv.os_unsetenv(VARIABLES[name])
      end
      for _, value in ipairs {
        0, -1, 86400.5, 1 / 0, -1 / 0, "25h", "2d", "", "soon", "10 m", "1.2.3", "0x10", "1e2", "5q", "-5", "10ms", " 5",
      } do
        refused(with { [name] = value }, name .. " (" .. VARIABLES[name] .. ")")
        setenv(VARIABLES[name], tostring(value))
        refused(GOOD, name, VARIABLES[name])
        uv.os_unsetenv(VARIABLES[name])
      end
    end
    for _, value in ipairs { 1, 64, 10000, "1", "10000" } do
      assert.is_truthy(onemsg.new(with { max_connections = value }))
    end
    for _, value in ipairs { "0", "10001", "-1", "1.5", "many", "99999999999999999999", "" } do
      refused(with { max_connections = value }, "max_connections (ONE_MSG_MAX_CONNECTIONS)")
    end
  end)

  it("checks that the CA file can be read, and that a proxy is one", function()
    refused(with { ca_file = "/no/such/file" }, "ca_file (ONE_MSG_CA_FILE)", "/no/such/file", "No such file")
    for _, proxy in ipairs { "http://proxy.example:3128", "proxy.example:3128", "socks5h://127.0.0.1:1080" } do
      assert.is_truthy(onemsg.new(with { proxy = proxy }))
    end
    for _, proxy in ipairs { "ftp://proxy.example", "http://a b", "http://", "a\nb", "file:///x" } do
      refused(with { proxy = proxy }, "proxy (ONE_MSG_PROXY)")
    end
  end)

  it("keeps what it was given: no later change of the table or of the environment reaches it", function()
    local options = channels.options(fake, { template = "action_" .. "success" })
    setenv("ONE_MSG_TEMPLATE_LANGUAGE", "pt_BR")
    local channel = assert(onemsg.new(options))
    for name in pairs(options) do options[name] = "x" end
    for _ = 1, 20 do collectgarbage() end
    local normal = assert(channel:check(channels.message "12020721369"))
    assert.are.equal("action_success", normal.template)
    assert.are.equal(fake.env.ONE_MSG_TEMPLATE_LANGUAGE, normal.language)
  end)

  it("opens nothing: no descriptor, no thread", function()
    collectgarbage()
    local fds, threads = sys.fds(), sys.threads()
    local list = {}
    for i = 1, 200 do list[i] = assert(onemsg.new(GOOD)) end
    assert.are.equal(fds, sys.fds())
    assert.are.equal(threads, sys.threads())
    for _, channel in ipairs(list) do channel:close() end
  end)
end)
