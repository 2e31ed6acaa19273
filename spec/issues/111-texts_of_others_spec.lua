-- Half an emoji in a hook, an answer or the history refused the whole body, and its statuses were lost; a byte order mark
-- was "no JSON"; a compressed body, or a form, got no word of what to do. Whatever stands in a text, at every place where
-- one comes in: no crash, no 5xx, and what is JSON is read.
local cases = require "support.json_cases"
local channels = require "support.channels"
local cjson = require "cjson"
local commands = require "support.command"
local document = require "onemsg.base.document"
local hooks = require "onemsg.hooks"
local input = require "onemsg.cli.input"
local raw = require "support.raw"
local service = require "support.service"
local simulation = require "support.simulation"
local support = require "support.server"
local utf8 = require "onemsg.base.utf8"

local NOW = 1700000000
local EVENT = '{"id":"%s","type":"payment.succeeded","customer":{"phone":"12020721300","first_name":"Maria"},"v":%s}'
local HOOK = '{"ack":[{"id":"wamid.%d","status":"delivered","chatId":"12020721300@c.us","v":%s}],"w":%s}'

--- Can an event have this value? One with half a surrogate pair can't be told to people, nor one beyond all numbers.
local function is_taken(value)
  return not value:find '[^\\]\\u[dD][89a-fA-F]' or value:find '^"\\u[dD]83[dD]\\u[dD][eE]00"$' ~= nil
end

describe("texts of others", function()
  describe("in hooks", function()
    for n, value in ipairs(cases.values) do
      it("keep their statuses beside " .. value:sub(1, 40), function()
        local found = assert(hooks.parse(HOOK:format(n, value, value), NOW))
        assert.same({ 1, "wamid." .. n, "delivered" }, { #found.events, found.events[1].id, found.events[1].status })
        found = assert(hooks.parse("\239\187\191" .. HOOK:format(n, value, value), NOW))
        assert.equal(1, #found.events)
      end)
    end
    it("have U+FFFD for half a surrogate pair", function()
      local found = assert(hooks.parse('{"messages":[{"id":"m","body":"Hi \\ud83d","chatId":"12020721300@c.us"}],'
        .. '"ack":[{"id":"w\\udc00","status":"failed","error":"\\ud83d undeliverable"}]}', NOW))
      assert.equal("Hi \239\191\189", found.messages[1].text)
      assert.equal("w\239\191\189", found.events[1].id)
      assert.equal(131026, found.events[1].code)
    end)
    it("are refused in words where they are none", function()
      for _, text in ipairs(cases.broken) do
        local found, why = hooks.parse(text, NOW)
        if not found then assert.matches("^invalid: ", why) end
      end
      assert.matches("gzip", select(2, hooks.parse("\31\139\8\0", NOW)))
      assert.matches("UTF%-16", select(2, hooks.parse("\255\254{\0", NOW)))
    end)
  end)

  describe("in answers", function()
    local server, channel
    setup(function()
      server = raw.http "tell"
      channel = channels.to(server, { timeout = 30 })
    end)
    teardown(function()
      channel:close()
      server:stop()
    end)

    it("leave the answer an answer, and a report a report", function()
      for n, value in ipairs(cases.values) do
        if #value < 300 then -- it travels in the question
          local ask = raw.ask("200 OK", ('{"sent":true,"id":"wamid.%d","v":%s}'):format(n, value))
          local receipt = assert(channel:send(channels.message(channels.phone(0), { action = ask })))
          assert.same({ "accepted", "wamid." .. n }, { receipt.outcome, receipt.id })
          local report = assert(channel:hookInfo(raw.ask("200 OK", ('{"hooks":[{"status":"read","v":%s}]}'):format(value))))
          assert.equal("read", report.status)
          local history = assert(channel:request("GET", "messages?" .. raw.ask("200 OK", ('{"messages":[%s]}'):format(value))))
          assert.equal("table", type(history.messages))
        end
      end
    end)
    it("are no acceptance where they are no JSON", function()
      for _, text in ipairs(cases.broken) do
        if #text < 300 and not text:find "[%z\r]" then
          local receipt, _, info = channel:send(channels.message(channels.phone(0), { action = raw.ask("200 OK", text) }))
          assert.is_nil(receipt)
          assert.equal("unknown", info.outcome)
        end
      end
    end)
  end)

  --- What a reader of lines makes of a text: events, errors.
  local function lines_of(text)
    local events, errors = {}, {}
    for item in input.each(function()
      local piece = text
      text = nil
      return piece
    end) do
      if item.error then errors[#errors + 1] = item.error else events[#events + 1] = item.event end
    end
    return events, errors
  end

  describe("in events of the command", function()
    it("are read, byte order mark or not, in lines or as a document", function()
      local sim = simulation.new { rules = service.RULES }
      for n, value in ipairs(cases.values) do
        local spread = "\239\187\191[" .. EVENT:gsub(",", ",\n") .. "]\n"
        for form, text in ipairs { EVENT, "\239\187\191" .. EVENT, spread, EVENT .. "\n" } do
          local events, errors = lines_of(text:format(("%d-%d"):format(n, form), value))
          assert.same({}, errors)
          assert.equal(1, #events)
          local ticket, err = sim.flow:submit(events[1])
          assert.equal(is_taken(value), ticket ~= nil, value:sub(1, 50))
          if err then assert.matches("^invalid: the event can't be stored: .*event%.v has half a surrogate pair", err) end
        end
      end
      sim:close()
    end)
    it("end in a sentence where they are none", function()
      for _, text in ipairs(cases.broken) do
        local events, errors = lines_of(text)
        assert.is_true(#events + #errors > 0 or not text:gsub("^\239\187\191", ""):find "%S")
        for _, err in ipairs(errors) do assert.matches("^invalid: ", err) end
      end
      for text, word in pairs { ["\31\139\8\0\n\n\n"] = "gzip", ["\255\254{\0\10\0"] = "UTF%-16" } do
        local events, errors = lines_of(text)
        assert.same({ 0, 1 }, { #events, #errors })
        assert.matches(word, errors[1])
      end
    end)
    it("are named by the field that was cut", function()
      local command = commands.new {}
      command.env.ONE_MSG_RULES = command:write("rules.lua", service.RULES)
      command.env.ONE_MSG_STORE = "sqlite:" .. command.dir .. "/store.db"
      for name, value in pairs { CHANNEL = "FAKE1", TOKEN = "a-token-that-is-never-used", TEMPLATE = "action_success",
        TEMPLATE_NAMESPACE = "n", TEMPLATE_LANGUAGE = "en" } do command.env["ONE_MSG_" .. name] = value end
      command.env.ONE_MSG_INSTANCE_ID = "FAKE1"
      local result = command:run("submit", { stdin = EVENT:format("a", '{"w":["x","\\ud83d"]}') .. "\n" })
      assert.matches("event%.v%.w%[2%] has half a surrogate pair", result.out .. result.err)
      command:remove()
    end)
  end)

  describe("in nginx", function()
    local fake, here
    setup(function()
      fake = support.fake {}
      here = service.start { fake = fake, workers = 1 }
    end)
    teardown(function()
      local complaints = here.nginx:complaints()
      here:stop()
      fake:stop()
      assert.equal("", complaints)
    end)
    local function post(body, more)
      local headers = service.sign(body)
      for name, value in pairs(more or {}) do headers[name] = value end
      local status, answer = here:post("/events", body, headers)
      return status, cjson.decode(answer)
    end

    it("are events, or refused by the field", function()
      for n, value in ipairs(cases.values) do
        local status, answer = post(EVENT:format("n-" .. n, value))
        assert.equal(is_taken(value) and 202 or 400, status, value:sub(1, 50))
        if status == 400 then assert.matches("event%.v.* has half a surrogate pair", answer.error) end
      end
      assert.equal(202, (post("\239\187\191" .. EVENT:format("bom", "1"))))
      assert.equal(202, (post("\239\187\191[" .. EVENT:format("bom-1", "1") .. "]")))
      assert.equal(202, (post("\239\187\191" .. EVENT:format("bom-2", "1") .. "\n" .. EVENT:format("bom-3", "[]") .. "\n")))
      assert.equal(202, (post(EVENT:format("curl", "1"), { ["Content-Type"] = "application/x-www-form-urlencoded" })))
    end)
    it("are hooks, whose statuses are stored", function()
      for n, value in ipairs(cases.values) do
        local status = here:post("/hooks/" .. service.HOOK, HOOK:format(n, value, value), {})
        assert.equal(200, status)
      end
    end)
    it("get 400 or 415, and words, where they are none", function()
      for _, text in ipairs(cases.broken) do
        local status, answer = post(text)
        assert.is_true(status == 400 or status == 415, text:sub(1, 30) .. " " .. status)
        assert.is_truthy(answer.error or answer.results)
        status = here:post("/hooks/" .. service.HOOK, text, {})
        assert.is_true(status == 400 or status == 415 or status == 200, text:sub(1, 30) .. " " .. status)
      end
    end)
    -- body, headers, a word of the answer
    for name, row in pairs {
      ["gzip"] = { "\31\139\8\0abc", { ["Content-Encoding"] = "gzip" }, "gzip" },
      ["gzip that nobody told of"] = { "\31\139\8\0abc", {}, "gzip" },
      ["brotli"] = { "\27\3\0abc", { ["Content-Encoding"] = "br" }, "Content%-Encoding" },
      ["UTF-16"] = { "\255\254{\0}\0", {}, "UTF%-16" },
      ["a form"] = { "id=1&type=paid", { ["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8" }, "form" },
      ["a form with parts"] = { "--x\r\n", { ["Content-Type"] = "multipart/form-data; boundary=x" }, "form" },
    } do
      it("get 415 as " .. name, function()
        local status, answer = post(row[1], row[2])
        assert.equal(415, status)
        assert.matches(row[3], answer.error)
        status, answer = here:post("/hooks/" .. service.HOOK, row[1], row[2])
        assert.equal(415, status)
        assert.matches(row[3], answer)
      end)
    end
  end)
end)

describe("a reader", function()
  it("ends at its depth, whatever the text", function()
    for kind in pairs { event = true, told = true, stored = true } do
      local read = document.reader(5, kind)
      assert.is_table(read "[[[[[1.10]]]]]")
      assert.is_nil((read "[[[[[[1]]]]]]"))
      for _, text in ipairs(cases.broken) do read(text) end
    end
  end)
  it("takes a text that is but a list, or a number", function()
    local read = document.reader(5, "event")
    assert.same({}, read " [ ] ")
    assert.is_true(document.is_list(read "[]"))
    assert.equal(19.9, read "19.90")
    assert.equal("123456789012345678", read "123456789012345678")
  end)
  it("takes no mark of a stranger's for its own", function()
    local read = document.reader(5, "event")
    local event = assert(read '{"a":"\25519.90","b":"\255[]","c":1.50,"\2551":1}')
    assert.equal("string", type(event.a))
    assert.equal("string", type(event.b))
    assert.equal(1.5, event.c)
    assert.is_false(utf8.valid(event.a))
  end)
end)
