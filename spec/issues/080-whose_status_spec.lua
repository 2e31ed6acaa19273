-- A status, an echo or an exclusion was taken for proof, and ours was called delivered, or sent again. What a message is
-- given to is decided by id or by text; a message is one confirmation's; what was found without its text is accepted, and
-- nothing else follows.
local cjson = require "cjson"
local simulation = require "support.simulation"

local PHONE = "12020721300"
local TEXT = 'Hello, Maria! Action "payment" completed successfully. Thank you. Thank you for using our service.'
local TEMPLATES = { templates = { { name = "action_success", language = "en", status = "APPROVED", category = "UTILITY",
  components = { { type = "BODY", text =
    'Hello, {{1}}! Action "{{2}}" completed successfully. {{3}} Thank you for using our service.' } } } } }

describe("whose is it", function()
  local sim, flow

  local function lost() return nil, "unknown: timeout", { outcome = "unknown" } end

  local function in_doubt(options)
    options = options or {}
    options.answer = options.answer or lost
    options.calls = options.calls or {}
    options.calls.request = function() return TEMPLATES end
    sim = simulation.new(options)
    flow = sim.flow
    assert(flow:submit { id = "a", type = "else", phone = PHONE, name = "Maria" })
    flow:drain()
    assert.equal("unknown", flow:show("a").state)
  end

  local function say(status, more)
    local item = { id = "wamid.x", status = status, phone = PHONE, category = "utility" }
    for name, value in pairs(more or {}) do item[name] = value end
    assert(flow:hooks(cjson.encode { ack = { item } }))
  end

  local function echo(more)
    local item = { id = "wamid.x", type = "chat", fromMe = true, time = sim.time, chatId = PHONE .. "@c.us" }
    for name, value in pairs(more or {}) do item[name] = value end
    assert(flow:hooks(cjson.encode { messages = { item } }))
  end

  after_each(function() sim:close() end)

  for _, status in ipairs { "sent", "delivered", "read", "failed" } do
    for _, first in ipairs { false, true } do
      it(("%s of a message whose text nobody saw%s"):format(status, first and ", of a job" or ""), function()
        in_doubt { answer = first and function() return { outcome = "queued", job_id = "J" } end or nil }
        say(status, { error = "(#131000) Something went wrong" })
        sim:advance(7200)
        assert.equal("unknown", flow:show("a").state)
        assert.equal(1, #sim.sent)
        assert.same({}, flow:suppressed())
      end)
    end
  end

  local CODES = { 131000, 131026, 131031, 132015, 130429, 368 }
  for _, code in ipairs(CODES) do
    it(("a failure %d of what was found without its text leads to nothing"):format(code), function()
      in_doubt { calls = { hookInfo = function(id)
        return { id = id, status = "failed", code = code, hooks = { { status = "failed", at = sim.time, code = code } } }
      end } }
      echo()
      flow:drain()
      local shown = flow:show "a"
      assert.same({ "accepted", "wamid.x" }, { shown.state, shown.message_id })
      assert.matches("found without its text", shown.reason)
      say("failed", { error = ("(#%d) Something"):format(code) })
      sim:advance(400)
      shown = flow:show "a"
      assert.equal("accepted", shown.state)
      assert.matches("nothing follows", shown.contradiction)
      assert.equal(1, #sim.sent)
      local stats = flow:stats()
      assert.same({ "closed", 0, 0 }, { stats.channels.main.breaker, #stats.parked, #flow:suppressed() })
      assert.is_true(stats.channels.main.pause_until <= sim.time)
    end)
  end

  it("gives nothing while something is being sent to that person, and goes on when it ended", function()
    in_doubt()
    sim.time = sim.time + 60
    assert(flow:submit { id = "b", type = "paid", phone = PHONE, name = "Maria" })
    local look = assert(flow.box:look())
    local row = assert(flow.box:claim(look.gates.main, 1, { from = sim.time, each = 0 }, sim.time, 60, 6))[1]
    assert.equal("b", row.id)
    echo { id = "wamid.b", body = TEXT }
    flow:drain()
    assert.equal("unknown", flow:show("a").state)
    local begun = assert(flow.box:record(row, { state = "accepted", reason = "", message_id = "wamid.b",
      stall_at = sim.time + 86400, attend_at = sim.time + 30 }, sim.time))
    assert(flow.box:recorded(begun))
    echo { body = TEXT, time = sim.time - 55 }
    sim:advance(30)
    assert.equal("wamid.b", flow:show("b").message_id)
    assert.same({ "accepted", "wamid.x" }, { flow:show("a").state, flow:show("a").message_id })
  end)

  it("counts who was replayed since: the message that was lost may still turn up", function()
    in_doubt()
    assert(flow:settle("a", "not_arrived"))
    sim.answer = function() return { outcome = "accepted", id = "wamid.again" } end
    assert(flow:replay "a")
    sim:advance(10)
    assert.equal("wamid.again", flow:show("a").message_id)
    sim.answer = lost
    assert(flow:submit { id = "b", type = "paid", phone = PHONE, name = "Maria" })
    sim:advance(10)
    assert.equal("unknown", flow:show("b").state)
    echo { body = TEXT, time = sim.time - 15 }
    sim:advance(60)
    assert.equal("unknown", flow:show("b").state)
  end)

  it("never gives one's own earlier message to the new one", function()
    local n = 0
    sim = simulation.new { calls = { request = function() return TEMPLATES end, hookInfo = function(id)
      return { id = id, status = "failed", code = 131000, hooks = { { status = "failed", at = sim.time, code = 131000 } } }
    end }, answer = function()
      n = n + 1
      if n == 1 then return { outcome = "accepted", id = "wamid.x" } end
      return lost()
    end }
    flow = sim.flow
    assert(flow:submit { id = "a", type = "paid", phone = PHONE, name = "Maria" })
    flow:drain()
    say("failed", { error = "(#131000) Something went wrong" })
    sim:advance(90)
    assert.same({ "unknown", 2 }, { flow:show("a").state, n })
    echo { body = TEXT }
    sim:advance(60)
    assert.equal("unknown", flow:show("a").state)
  end)

  it("is one confirmation's: the store refuses a second one, and the answer is recorded without it", function()
    sim = simulation.new { answer = function() return { outcome = "accepted", id = "wamid.same" } end }
    flow = sim.flow
    for n = 1, 2 do assert(flow:submit { id = "p" .. n, type = "paid", phone = "1202072130" .. n }) end
    sim:advance(1)
    local ids, reasons = {}, ""
    for n = 1, 2 do
      local shown = flow:show("p" .. n)
      assert.equal("accepted", shown.state)
      ids[#ids + 1] = shown.message_id
      reasons = reasons .. shown.reason
    end
    assert.same({ "wamid.same" }, ids)
    assert.matches("which another confirmation has", reasons)
    local _, _, info = flow.box.db:unit { { "UPDATE confirmation SET message_id = 'wamid.same'" } }
    assert.equal("constraint", info.class)
  end)

  it("keeps what a later hook tells more of an echo", function()
    in_doubt()
    echo { body = cjson.null }
    echo { type = "image", body = "https://files.example/a.png", caption = TEXT }
    flow:drain()
    local shown = flow:show "a"
    assert.equal("wamid.x", shown.message_id)
    assert.not_matches("without its text", shown.reason)
  end)
end)

describe("a text", function()
  local hooks = require "onemsg.hooks"
  local PLACES = {
    body = '"body":"STOP"', caption = '"type":"image","body":"https://x.example/a.jpg","caption":"STOP"',
    ["caption without a body"] = '"type":"image","body":null,"caption":"STOP"',
    ["caption with a file's name"] = '"type":"document","body":"a.pdf","caption":"STOP"',
    ["text.body"] = '"text":{"body":"STOP"}', ["image.caption"] = '"image":{"caption":"STOP"}',
    ["video.caption"] = '"video":{"caption":"STOP"}', ["document.caption"] = '"document":{"caption":"STOP"}',
    ["button.text"] = '"button":{"text":"STOP"}',
    ["button_reply"] = '"interactive":{"button_reply":{"title":"STOP"}}',
    ["list_reply"] = '"interactive":{"list_reply":{"title":"STOP"}}',
  }
  for name, place in pairs(PLACES) do
    it("is read in " .. name, function()
      local found = assert(hooks.parse('{"messages":[{"id":"1","chatId":"12020721300@c.us",' .. place .. "}]}", 1800000000))
      assert.equal("STOP", found.messages[1].text)
      local sim = simulation.new {}
      sim.flow:hooks('{"messages":[{"id":"1","chatId":"12020721300@c.us",' .. place .. "}]}")
      assert.equal("skipped", sim.flow:submit({ id = "x", type = "paid", phone = PHONE }).state)
      sim:close()
    end)
  end
end)
