-- A hundred hostile values for every field of onemsg.new, of a message, and for the arguments of the other calls. Each
-- raises at the caller's line, or returns a sentence that a person can act on; none reaches the network unless it is,
-- after all, a text that may be sent; and the process lives on.
local cjson = require "cjson"
local onemsg = require "onemsg"
local channels = require "support.channels"
local server = require "support.server"

local HERE = "spec/hostile_spec.lua:"

local function cyclic()
  local t = {}
  t[1], t.self, t.text = t, t, t
  return t
end
local function raising() error("an error of a metamethod", 0) end
local closed = io.tmpfile()
closed:close()

-- { value } pairs, so that nil and false can stand in the list.
local VALUES = {
  -- wrong types
  true, false, 0, 1, -1, 1.5, 5e-324, 1e300, -1e300, 2 ^ 31, 2 ^ 32, 2 ^ 53, 2 ^ 63, -2 ^ 63, 0 / 0, 1 / 0, -1 / 0, -0.0,
  print, function() end, raising, coroutine.create(print), coroutine.wrap(print), io.stdout, closed, cjson.null, {}, { {} },
  { 1 }, { "a", nil, "c" }, { [2] = "b" }, { [0] = "z" }, { [1.5] = "x" }, { a = 1 }, { [{}] = 1 }, { [print] = print },
  cyclic(), { { { { { {} } } } } }, { ("x"):rep(10) }, { true }, { cjson.null }, { print }, { type = 5 }, { type = "text" },
  { type = "image", image = print }, { type = "text", text = {} }, { text = "a", name = {} }, { url = {} }, { url = print },
  { { url = {} } }, { { payload = 0 / 0 } }, { { sub_type = "url", parameters = print } }, { { sub_type = {}, index = 99 } },
  { { url = "x", index = 1.5 } }, { image = {} }, { image = "" }, { document = print, filename = {} },
  setmetatable({}, { __index = raising }), setmetatable({}, { __index = function() return "x" end }),
  setmetatable({}, { __len = raising }), setmetatable({}, { __tostring = raising }),
  setmetatable({}, { __pairs = raising, __ipairs = raising }), setmetatable({ "a" }, { __newindex = raising }),
  setmetatable({}, { __call = print }), setmetatable({}, { __metatable = "locked" }), setmetatable({}, { __gc = true }),
  setmetatable({}, { __name = "onemsg.channel" }), _G, string, package.loaded,
  -- texts
  "", " ", "\t", "\n", "\r\n", "\0", "a\0b", "\0\0\0\0", "\1\2\3", "\27[2J", "\127", "\194\133", "\226\128\168", "\226\128\174x",
  "\239\187\191x", "\226\128\139", "\204\129", "\255", "\254\255", "\192\128", "\237\160\128", "\237\191\191",
  "\244\144\128\128", "\240\159\146", "a\255b", "a\r\nX-Evil: 1", "a\nb", "___", "_", "nil", "null", "undefined", "NaN",
  "inf", "-1", "0", "00000000", "1e9", "0x10", "%s%s%s%n", "%p%d%99999d", "${jndi:x}", "'; DROP TABLE x; --", "\"\\", "\\",
  "<script>", "../../etc/passwd", "/dev/zero", "http://", "https://", "://", "file:///etc/passwd", "http://evil.example",
  "https://u:p@evil.example/?token=x#y", "-", "--help", "@", "@c.us", "x@", "+", "++1", "+0", "0000", "(0)", "12020721369;ext=5",
  "\217\161\217\162\217\163\217\164\217\165\217\166\217\167\217\168", "1 202 072 1369 / 1 202 072 1370", ("x"):rep(2000),
  ("x"):rep(1000000), ("\0"):rep(100000), ("\255"):rep(100000), ("9"):rep(100000), (" "):rep(100000), ("é"):rep(100000),
  ("\226\128\174"):rep(10000), ("a\n"):rep(50000), ("_"):rep(100000),
}
local COUNT = #VALUES

local function unpacked(list) return (table.unpack or _G["unpack"])(list, 1, list.n or #list) end -- luacheck: ignore

describe("hostile values", function()
  local fake, channel, token

  setup(function()
    fake = server.fake { set = { pace_ms = 0 } }
    channel = channels.new(fake)
    token = fake.env.ONE_MSG_TOKEN
  end)
  teardown(function()
    channel:close()
    fake:stop()
  end)

  local function check_sentence(text, what)
    assert.is_string(text, what)
    assert.is_true(#text > 10 and #text < 1000, what .. ": " .. #text)
    for _, leak in ipairs { "nil value", "(null)", "luaL_", "stack overflow", "src/", token, ("x"):rep(100) } do
      assert.is_nil(text:find(leak, 1, true), what .. ": " .. text)
    end
    assert.is_nil(text:find "[%z\1-\31\127]", what .. ": " .. text)
  end

  -- Calls with a hostile value; true when it was taken.
  local function try(what, field, call)
    local results = { pcall(call) } -- the caller's line is within `call`
    if not results[1] then
      local message = results[2]
      if message == "an error of a metamethod" then return false end -- the caller's own
      assert.is_string(message, what)
      assert.is_truthy(message:find(HERE, 1, true), what .. " blames " .. tostring(message))
      check_sentence(message, what)
      assert.is_truthy(message:lower():find(field, 1, true), what .. ": " .. message)
      return false
    end
    if results[2] ~= nil then return true, results[2] end
    local err, info = results[3], results[4]
    check_sentence(err, what)
    assert.is_truthy(err:find "^%a+_?%a*: ", what)
    assert.is_table(info, what)
    assert.is_string(info.outcome, what)
    return false, err, info
  end

  local function each(fields, act)
    for _, field in ipairs(fields) do
      for i = 1, COUNT do act(field, VALUES[i], ("%s = value %d"):format(field, i)) end
    end
  end

  it("are a hundred at least", function() assert.is_true(COUNT >= 100, COUNT) end)

  it("for each option of new", function()
    local fields = { "base_url", "channel", "token", "token_file", "template", "namespace", "language", "text", "country",
                     "timeout", "connect_timeout", "max_connections", "http", "ca_file", "proxy" }
    local taken = {}
    each(fields, function(field, value, what)
      local options = channels.options(fake, { [field] = value })
      if field == "token_file" then options.token = nil end
      local ok, made, info = try(what, field, function() return onemsg.new(options) end)
      if ok then
        taken[field] = (taken[field] or 0) + 1
        check_sentence(tostring(made), what)
        made:close()
      elseif made then
        assert.is_truthy(made:find "^config: ", what .. ": " .. made)
        assert.is_truthy(made:find(field, 1, true) or made:find("channel", 1, true), what .. ": " .. made)
        assert.are.equal("invalid", info.outcome)
      end
    end)
    -- nothing but what may be: numbers, names, and "nil" for a host's name
    assert.is_nil(taken.token_file or taken.text or taken.http)
    for field, most in pairs { timeout = 2, connect_timeout = 2, max_connections = 1, country = 1, ca_file = 1, template = 9,
                               channel = 13, base_url = 10, proxy = 13, namespace = 13,
                               language = 2 } do
      assert.is_true((taken[field] or 0) <= most, field .. " " .. (taken[field] or 0))
    end
  end)

  it("for onemsg.new itself", function()
    for i = 1, COUNT do try("new value " .. i, "", function() return onemsg.new(VALUES[i]) end) end
  end)

  it("for each field of a message: what send refuses check refuses, and the network sees nothing of it", function()
    local fields = { "phone", "bsuid", "username", "chat_id", "name", "action", "next_step", "body", "header", "buttons",
                     "template", "namespace", "language", "ttl", "text" }
    local recipient = { phone = true, bsuid = true, username = true, chat_id = true }
    local before, good = #fake:journal(), 0
    each(fields, function(field, value, what)
      local message = channels.message(nil, { [field] = value })
      if not recipient[field] then message.phone = "12020721300" end
      if field == "body" then message.name, message.action, message.next_step = nil, nil, nil end
      local fits, refusal = try(what, field == "body" and "body" or field, function() return channel:check(message) end)
      if not fits then
        if refusal then assert.is_truthy(refusal:find "^invalid: " or refusal:find "^config: ", refusal) end
        local sent = try(what, field, function() return channel:send(message) end)
        assert.is_false(sent, what)
        sent = try(what, field, function() return channel:async("send", message) end)
        assert.is_false(sent, what)
      else
        good = good + 1
      end
    end)
    assert.are.equal(before, #fake:journal())
    assert.is_true(good > 50 and good < COUNT * #fields / 3, good)
  end)

  it("that fit are sent once, and answered whatever they are", function()
    local sends = 0
    each({ "name", "header", "buttons", "body" }, function(field, value, what)
      local message = channels.message("12020721300", { [field] = value })
      if field == "body" then message.name, message.action, message.next_step = nil, nil, nil end
      local ok, fits = pcall(channel.check, channel, message)
      if ok and fits then
        local before = fake:count "12020721300"
        local taken, err, info = try(what, field, function() return channel:send(message) end)
        if not taken and info then
          assert.is_truthy(info.outcome == "rejected" or info.outcome == "invalid", what .. ": " .. err)
        end
        local count = fake:count "12020721300" - before
        assert.are.equal((taken or info and info.outcome == "rejected") and 1 or 0, count, what)
        sends = sends + count
      end
    end)
    assert.is_true(sends > 20)
  end)

  it("for the arguments of the other calls", function()
    local before = #fake:journal { verb = "POST" }
    for i = 1, COUNT do
      local value = VALUES[i]
      for name, call in pairs {
        send = function() return channel:send(value) end,
        check = function() return channel:check(value) end,
        async = function() return channel:async(value, {}) end,
        hookinfo = function() return channel:async("hookInfo", value) end,
        settings = function() return value ~= nil and type(value) ~= "table" and channel:settings(value) or false end,
        messages = function() return channel:async("messages", value) end,
        setwebhook = function() return type(value) ~= "string" and channel:setWebhook({ value }) or false end,
        addwebhook = function() return channel:addWebhook(value) end,
        removewebhook = function() return type(value) ~= "string" and channel:removeWebhook(value) or false end,
        request = function() return channel:request(value, "status") end,
        path = function() return channel:async("request", "GET", value) end,
        table = function() return type(value) ~= "table" and channel:request("POST", "settings", value) or false end,
        wait = function() return channel:async("status"):wait(value) and true or false end,
      } do
        try(name .. " value " .. i, "", call)
      end
      for _, method in ipairs { "send", "status", "close", "stats", "async" } do
        local ok, message = pcall(function() return channel[method](value) end)
        assert.is_false(ok)
        check_sentence(message, method)
      end
    end
    assert.are.equal(before, #fake:journal { verb = "POST" })
  end)

  it("for unknown names suggest the known one", function()
    for _, case in ipairs {
      { { tokn = 1 }, "'token'" }, { { Phone = 1 }, "'phone'" }, { { nextstep = 1 }, "'next_step'" },
      { { chatId = 1 }, "'chat_id'" }, { { button = 1 }, "'buttons'" }, { { lang = 1 }, "'language'" },
      { { to = 1 }, "; it has phone, bsuid, username, chat_id," },
      { { [("x"):rep(5000)] = 1 }, "xxxx" }, { { [1] = 1 }, "number" }, { { [{}] = 1 }, "table" }, { { [true] = 1 }, "boolean" },
    } do
      local call = case[1].tokn and onemsg.new or function(message) return channel:send(message) end
      local ok, message = pcall(function() local _ = call(case[1]) end)
      assert.is_false(ok)
      assert.is_truthy(message:find(case[2], 1, true), message)
      assert.is_true(#message < 300)
    end
  end)

  it("leave a process that sends", function()
    collectgarbage() collectgarbage()
    local phone = channels.phone(0)
    assert.are.equal("accepted", assert(channel:send(channels.message(phone))).outcome)
    assert.are.equal(1, fake:count(phone))
    -- what the cases above began and nobody waited for may still be under way
    assert.is_truthy(server.eventually(function() return channel:stats().in_flight == 0 end))
  end)
end)
