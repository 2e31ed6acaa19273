-- A failure that suppressed a person (131026) made every later message `skipped` for 30 days, without the other way that
-- exists for just these people; what a lifted suppression had skipped was lost; and the other way knew neither quiet hours
-- nor that somebody wants silence.
local cjson = require "cjson"
local simulation = require "support.simulation"

local PHONE, OTHER = "12020721300", "12020721301"
local NOON = simulation.EPOCH + 4 * 3600 -- 12:00 UTC
local RULES = simulation.RULES .. [[
confirm "Quiet" { on = "quiet", action = "payment", next_step = "Thank you.",
  quiet = { from = "21:00", to = "08:00", zone = "UTC" }, otherwise = { after = "10m", send = "sms", text = "Paid." } }
confirm "Loud" { on = "loud", action = "payment", next_step = "Thank you.",
  quiet = { from = "21:00", to = "08:00", zone = "UTC" },
  otherwise = { after = "10m", send = "sms", text = "Paid.", quiet = false } }
]]

local function clock(at) return os.date("!%H:%M", math.floor(at)) end

describe("a suppressed recipient", function()
  local sim, flow, told

  local function start(options)
    options = options or {}
    told = {}
    options.rules = options.rules or RULES
    if options.fallback == false then
      options.fallback = nil
    else
      options.fallback = { sms = function(notice) told[#told + 1] = { id = notice.id, at = sim.time } return true end }
    end
    sim = simulation.new(options)
    flow = sim.flow
    sim.time = NOON
  end

  local function submit(id, kind, phone)
    return assert(flow:submit { id = id, type = kind or "else", phone = phone or PHONE, name = "Maria", payment = "p" })
  end

  local function hook(id, word, error_text)
    assert(flow:hooks(cjson.encode { ack = { { id = flow:show(id).message_id, status = word, error = error_text } } }))
  end

  local function hook_of(body)
    return cjson.encode { messages = {
      { id = body, body = body, fromMe = false, chatId = PHONE .. "@c.us", time = sim.time } } }
  end

  local function fails(message, n)
    if message.phone ~= PHONE then return { outcome = "accepted", id = "w" .. n } end
    return nil, "rejected: 400 (#131026) Message undeliverable", { outcome = "rejected", status = 400, code = 131026 }
  end

  local function ids()
    local list = {}
    for n, one in ipairs(told) do list[n] = one.id end
    return table.concat(list, " ")
  end

  after_each(function() sim:close() end)

  it("is reached the other way at once, once for each confirmation, and comes back to nothing", function()
    start { answer = fails }
    submit "a"
    sim:advance(60)
    assert.equal("a", ids())
    submit "b"
    assert.equal("skipped", flow:show("b").state)
    sim:advance(1)
    assert.equal("a b", ids())
    submit("c", "paid") -- its rule has no other way
    sim:advance(86400)
    assert.equal("a b", ids())
    assert.equal("done", flow:show("b").fallback)
    flow:unsuppress(PHONE)
    sim:advance(3600)
    assert.equal("skipped skipped", flow:show("b").state .. " " .. flow:show("c").state)
    assert.equal("a b", ids())
  end)

  it("is reached the other way for what waited when the suppression began", function()
    start()
    submit("a", "paid")
    sim:advance(1)
    submit "b" -- waits behind a
    hook("a", "failed", "Message undeliverable")
    assert.equal("skipped", flow:show("b").state)
    sim:advance(1)
    assert.equal("b", ids())
  end)

  it("gets what was skipped when a delivery proves that they can be reached", function()
    start { fallback = false }
    submit "a"
    sim:advance(1)
    for _, kind in ipairs { "paid", "else", "short" } do submit(kind, kind) end
    submit("gone", "paid")
    assert(flow:cancel "gone")
    hook("a", "failed", "Message undeliverable")
    for _, id in ipairs { "paid", "else", "short" } do assert.equal("skipped", flow:show(id).state) end
    sim.time = sim.time + 900 -- longer than the give_up_after of "short"
    hook("a", "delivered")
    assert.equal("queued queued skipped cancelled", ("%s %s %s %s"):format(flow:show("paid").state, flow:show("else").state,
      flow:show("short").state, flow:show("gone").state))
    assert.equal("it is no longer suppressed: a message arrived", flow:show("paid").reason)
    assert.equal("queued skipped queued", sim:states("paid"))
    sim:advance(120)
    assert.equal("accepted accepted", flow:show("paid").state .. " " .. flow:show("else").state)
    hook("a", "delivered")
    sim:advance(3600)
    assert.equal(3, #sim.sent)
  end)

  local lifts = {
    { "by hand, once", function() flow:suppress(PHONE) end, "queued" },
    { "by themselves", function() return "START" end, "queued" },
    { "of one channel, while that of all channels goes on", function()
        flow:suppress(PHONE, { channel = "main" })
        flow:suppress(PHONE)
        local box = flow.box
        assert(box.db:unit { { "UPDATE suppression SET source = 'failure', code = 131026, until_at = $1 "
          .. "WHERE channel = 'main'", sim.time + 1e6 } })
        return "delivery"
      end, "skipped" },
  }
  for _, row in ipairs(lifts) do
    it("comes back when a suppression is lifted " .. row[1], function()
      start()
      submit("x", "paid", OTHER)
      sim:advance(1)
      local how = row[2]()
      submit("a", "once")
      assert.equal(how == "START" and "queued" or "skipped", flow:show("a").state)
      if how == "START" then
        flow:hooks(hook_of "STOP")
        assert.equal("skipped", flow:show("a").state)
        flow:hooks(hook_of "START")
      elseif how == "delivery" then
        assert(flow.box.db:unit { { "UPDATE confirmation SET phone = $1, person = $1 WHERE id = 'x'", PHONE } })
        hook("x", "delivered")
      else
        flow:unsuppress(PHONE)
        flow:unsuppress(PHONE)
      end
      assert.equal(row[3], flow:show("a").state)
      sim:advance(60)
      assert.equal(row[3] == "queued" and 2 or 1, #sim.sent)
    end)
  end

  it("gets one message for a once_per key, whoever of those that were skipped holds it", function()
    start()
    flow:suppress(PHONE)
    submit("a", "once")
    submit("b", "once")
    flow:unsuppress(PHONE)
    sim:advance(60)
    assert.equal("skipped accepted", flow:show("a").state .. " " .. flow:show("b").state)
    assert.equal(1, #sim.sent)
  end)

  local silences = {
    { "wrote STOP", function()
        flow:hooks(hook_of "STOP")
      end },
    { "was suppressed by hand", function() flow:suppress(PHONE) end },
    { "was suppressed by hand for a while", function() flow:suppress(PHONE, { duration = "1d" }) end },
  }
  for _, row in ipairs(silences) do
    it("who " .. row[1] .. " gets no other way either", function()
      start()
      submit "before"
      sim:advance(1)
      submit "waiting"
      row[2]()
      submit "after"
      submit("of another", "else", OTHER)
      sim:advance(3600)
      assert.equal("of another", ids())
      assert.equal("accepted skipped skipped", ("%s %s %s"):format(flow:show("before").state, flow:show("waiting").state,
        flow:show("after").state))
      assert.truthy(simulation.history(flow, "before"):find("sms: not used; suppressed: ", 1, true))
    end)
  end

  local nights = {
    { "silence", "quiet", function() end },
    { "a failure", "quiet", function() hook("a", "failed", "Message undeliverable") end },
    { "a suppression", "quiet", function()
        assert(flow.box:suppress({ channel = "main", phone = PHONE, code = 131026, reason = "x", source = "failure",
          until_at = sim.time + 1e6 }, sim.time))
        submit("b", "quiet")
      end, "b" },
    { "silence, and quiet = false", "loud", function() end, "a", "21:05" },
  }
  for _, row in ipairs(nights) do
    it("the other way after " .. row[1] .. " keeps quiet hours as the rule says", function()
      start { calls = { hookInfo = function(id)
        return { id = id, status = "failed", hooks = { { status = "failed", code = 131026, at = sim.time } } }
      end } }
      sim.calls.hookInfo = row[1] == "a failure" and sim.calls.hookInfo
        or function(id) return { id = id, hooks = {}, ignored = 0 } end
      sim.time = NOON + 9 * 3600 - 300 -- 20:55
      submit("a", row[2])
      sim:advance(1)
      if row[2] == "quiet" then sim.time = NOON + 9 * 3600 + 60 end
      row[3]()
      sim:advance(12 * 3600)
      assert.equal(row[4] == "b" and 2 or 1, #told, ids())
      for _, one in ipairs(told) do assert.equal(row[5] or "08:00", clock(one.at)) end
      if not row[5] then
        assert.truthy(simulation.history(flow, row[4] or "a"):find("sms: held, quiet hours until 08:00 in UTC", 1, true))
      end
    end)
  end
end)
