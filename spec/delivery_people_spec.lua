-- Whom not to address, and when not to: suppression, stop words, quiet hours. A real store, a scripted channel,
-- simulated time.
local cjson = require "cjson"
local optout = require "onemsg.policy.optout"
local phones = require "onemsg.base.phone"
local rules = require "onemsg.rules"
local simulation = require "support.simulation"
local workflow = require "onemsg.workflow"

local HOUR, DAY = 3600, 86400
local PHONE = "12020721300"

local RULES = simulation.RULES .. [[
confirm "Quiet" { on = "quiet", action = "payment", next_step = "Thank you.",
  quiet = { from = "21:00", to = "08:00", zone = "{zone|America/Sao_Paulo}" } }
]]

describe("people", function()
  local sim, flow
  local serial = 0

  local function start(options)
    options = options or {}
    options.rules = options.rules or RULES
    sim = simulation.new(options)
    flow = sim.flow
  end

  local function submit(id, kind, phone, more)
    local event = { id = id, type = kind or "paid", phone = phone or PHONE, name = "Maria" }
    for name, value in pairs(more or {}) do event[name] = value end
    return assert(flow:submit(event))
  end

  local function history(id) return simulation.history(flow, id) end

  local function writes(text, more)
    serial = serial + 1
    local message = { id = "in." .. serial, body = text, fromMe = false, chatId = PHONE .. "@c.us" }
    for name, value in pairs(more or {}) do message[name] = value end
    local events, counts = flow:hooks(cjson.encode { messages = { message } })
    assert.equal(1, events)
    return counts.stopped
  end

  after_each(function()
    if sim then sim:close() end
    sim = nil
  end)

  describe("suppressed", function()
    it("by hand are not addressed, from submit on, and explain says so", function()
      start()
      assert.equal(0, flow:suppress("+1 (202) 072-1300", { reason = "asked by phone" }))
      local explained = flow:explain { id = "a", type = "paid", phone = PHONE, name = "Maria" }
      local ticket = submit "a"
      assert.equal("skipped", ticket.state)
      assert.equal("suppressed: asked by phone", ticket.reason)
      assert.equal(ticket.state, explained.state)
      assert.equal(ticket.reason, explained.reason)
      submit("b", nil, "12020721301")
      sim:advance(60)
      assert.equal(1, #sim.sent)
      local list = flow:suppressed()
      assert.equal(1, #list)
      assert.equal(PHONE, list[1].phone)
      assert.is_nil(list[1].until_at)
      assert.equal(1, flow:unsuppress(PHONE))
      assert.equal(0, flow:unsuppress(PHONE))
      assert.equal(0, #flow:suppressed())
      assert.equal("queued", submit("c").state)
      assert.equal("queued", flow:show("a").state) -- it came back
      sim:advance(60)
      assert.equal(3, #sim.sent)
    end)

    it("are checked again at the moment of sending", function()
      start()
      submit "a"
      assert.equal(1, flow:suppress(PHONE)) -- what waits is skipped
      assert.equal("skipped", flow:show("a").state)
      assert.equal("suppressed: by hand", flow:show("a").reason)
      flow:unsuppress(PHONE)
      submit "b"
      -- somebody else's process, between two statements: the row is there, and nobody skipped what waits
      assert(flow.box.db:unit { { "INSERT INTO suppression(channel, phone, person, reason, created_at, source) "
        .. "VALUES ('main', $1, $1, 'x', 0, 'hand') ON CONFLICT (channel, person) DO UPDATE SET until_at = NULL", PHONE } })
      sim:advance(60)
      assert.equal(0, #sim.sent)
      assert.equal("skipped", flow:show("b").state)
      assert.matches("skipped: suppressed: x", history "b")
    end)

    it("for a time, on one channel", function()
      start { channels = { main = {}, other = {} } }
      flow:suppress(PHONE, { duration = "1h", channel = "other" })
      assert.equal("queued", submit("a").state)
      flow:suppress(PHONE, { duration = "1h", channel = "main" })
      assert.equal("skipped", submit("b").state)
      sim.time = sim.time + HOUR + 1
      assert.equal("queued", submit("c").state)
      assert.equal(0, #flow:suppressed())
    end)

    it("by 131026 for thirty days, told by a hook or by the API, and no longer when it arrived after all", function()
      start()
      submit "a"
      flow:drain()
      local id = flow:show("a").message_id
      flow:hooks(cjson.encode { ack = { { id = id, status = "failed", error = "Message undeliverable" } } })
      assert.equal(131026, flow:suppressed()[1].code)
      assert.equal(30 * DAY, flow:suppressed()[1].until_at - sim.time)
      assert.equal("skipped", submit("b").state)
      flow:hooks(cjson.encode { ack = { { id = id, status = "delivered" } } })
      assert.equal(0, #flow:suppressed())
      assert.equal("queued", submit("c").state)
      sim:advance(20) -- b came back, and leaves before it
      assert.equal("accepted", flow:show("b").state)
      sim.answer = function() return nil, "rejected: 131026 x", { outcome = "rejected", status = 200, code = 131026 } end
      submit("d", nil, "12020721301")
      sim:advance(10)
      assert.equal("12020721301", flow:suppressed()[1].phone)
      sim.time = sim.time + 30 * DAY
      assert.equal("queued", submit("e", nil, "12020721301").state)
    end)

    it("refuses misuse", function()
      start()
      assert.error_matches(function() flow:suppress(nil) end, "suppress: phone must be a text, and is a nil")
      assert.error_matches(function() flow:suppress("maria") end, "suppress: phone has a letter")
      assert.error_matches(function() flow:suppress(PHONE, { til = 5 }) end, "no option 'til'")
      assert.error_matches(function() flow:suppress(PHONE, { duration = "soon" }) end,
        "suppress: duration must be seconds as a number, or like \"30s\"")
      assert.error_matches(function() flow:suppress(PHONE, { channel = "x" }) end, "no channel 'x'")
      assert.error_matches(function() flow:unsuppress({}) end, "unsuppress: phone must be a text, and is a table")
    end)
  end)

  describe("who write a stop word", function()
    it("are left alone at once and for good", function()
      start()
      submit "a"
      submit("b", nil, "12020721301")
      assert.equal(1, writes "Stop!")
      assert.equal("skipped", flow:show("a").state)
      assert.matches('they wrote "stop"', flow:show("a").reason)
      sim:advance(365 * DAY)
      assert.equal("skipped", submit("c").state)
      assert.equal(1, #sim.sent)
    end)

    it("in several languages, as the whole message only", function()
      for _, text in ipairs { "STOP", " stop ", "Stop.", "«Стоп»", "ОТПИСАТЬСЯ", "PARAR", "Arrêt", "ARRÊT", "Sair!",
                              "UNSUBSCRIBE", "opt-out", "ABMELDEN", "停止", "Stop 🙏", "STOP 🛑", "*STOP* ✋️",
                              "QUIT", "Cancel", "end", "Stop promotions", "Não quero receber" } do
        local match = optout.matcher(optout.STOP_WORDS)
        assert.is_truthy(match(text), text)
      end
      local match = optout.matcher(optout.STOP_WORDS)
      for _, text in ipairs { "", "🛑", "Não", "stopping by", "please stop", "the bus stop", "non stop", "stop it now",
                              "!!!", "st op", ("stop "):rep(50) } do
        assert.is_nil(match(text), text)
      end
      assert.is_nil(match(nil))
      assert.is_nil(match(5))
    end)

    it("by the words of the option", function()
      start { stop_words = { "Basta" } }
      assert.equal(0, writes "stop")
      assert.equal(1, writes "BASTA!!")
    end)

    it("only if they wrote it, not we", function()
      start()
      assert.equal(0, writes("stop", { fromMe = true }))
      assert.equal("queued", submit("a").state)
    end)

    it("in the form in which WhatsApp writes their number", function()
      start()
      submit("a", nil, "5511912345678")
      assert.equal(1, writes("pare", { chatId = "551112345678@c.us" }))
      assert.equal("skipped", flow:show("a").state)
      assert.same({ "5215512345678", "525512345678" }, phones.variants "5215512345678")
      assert.same({ "5491112345678", "541112345678" }, phones.variants "5491112345678")
      assert.same({ "12025550123" }, phones.variants "12025550123")
    end)

    it("once: a hook that is repeated does not bring back what a person lifted", function()
      start()
      local at = sim.time
      assert.equal(1, writes("stop", { time = at }))
      sim.time = sim.time + HOUR
      flow:unsuppress(PHONE)
      sim.time = sim.time + HOUR
      writes("stop", { time = at })
      assert.equal("queued", submit("a").state)
      writes("stop", { time = sim.time })
      assert.equal("skipped", submit("b").state)
    end)

    it("stay so when a shorter suppression comes", function()
      start()
      writes "stop"
      submit("x", nil, "12020721301")
      flow:drain()
      assert.equal(1, #flow:suppressed())
      flow.worker:apply({ channel = "main", phone = PHONE }, { suppress = { for_s = 60, reason = "131026" } })
      assert.is_nil(flow:suppressed()[1].until_at)
    end)
  end)

  describe("quiet hours", function()
    local MIDNIGHT = 1800000000 - 1800000000 % DAY -- UTC; 21:00 in São Paulo

    it("hold a message until the morning where the recipient lives, and drop nothing", function()
      start()
      sim.time = MIDNIGHT + HOUR -- 22:00 there
      submit("a", "quiet")
      submit("b", "quiet", "12020721301", { zone = "Asia/Tokyo" }) -- 10:00 there
      sim:advance(60)
      assert.equal(1, #sim.sent)
      assert.equal("12020721301", sim.sent[1].phone)
      local shown = flow:show "a"
      assert.equal("queued", shown.state)
      assert.equal(MIDNIGHT + 11 * HOUR, shown.due_at)
      assert.equal("quiet hours until 08:00 in America/Sao_Paulo", shown.held)
      assert.matches("queued: quiet hours until 08:00", history "a")
      sim:advance(12 * HOUR)
      assert.equal(2, #sim.sent)
      assert.is_true(sim.sent[2].at >= MIDNIGHT + 11 * HOUR and sim.sent[2].at < MIDNIGHT + 11 * HOUR + 5)
      assert.equal("accepted", flow:show("a").state)
    end)

    it("hold up nobody who has none", function()
      start()
      sim.time = MIDNIGHT + HOUR
      submit("a", "quiet")
      flow:drain()
      submit "b"
      sim:advance(10)
      assert.equal("accepted", flow:show("b").state)
      assert.equal("queued", flow:show("a").state)
    end)

    it("are kept at the moment of sending: also for a retry that falls into them", function()
      local fails = true
      start { answer = function(_, n)
        if fails then return nil, "not_sent: refused", { outcome = "not_sent" } end
        return { outcome = "accepted", id = "w" .. n }
      end }
      sim.time = MIDNIGHT - 600 -- 20:50
      submit("a", "quiet")
      sim:advance(3 * HOUR)
      for _, sent in ipairs(sim.sent) do assert.is_true(sent.at < MIDNIGHT) end
      assert.is_true(#sim.sent > 2)
      local before = #sim.sent
      fails = false
      sim:advance(12 * HOUR)
      assert.equal(before + 1, #sim.sent)
      assert.is_true(sim.sent[#sim.sent].at >= MIDNIGHT + 11 * HOUR)
    end)

    it("in a zone that is not known are not kept, which is said at submit; a constant one refuses the start", function()
      start()
      sim.time = MIDNIGHT + HOUR
      local ticket = submit("a", "quiet", nil, { zone = "Europe/Berln" })
      assert.matches('quiet hours are not kept: there is no time zone "Europe/Berln"', ticket.reason)
      sim:advance(10)
      assert.equal(1, #sim.sent)
      local set = assert(rules.load(simulation.RULES .. [[
        confirm "Q" { on = "q", action = "a", next_step = "b", quiet = { from = "21:00", to = "08:00", zone = "Europe/Berln" } }
      ]]))
      local opened, err = workflow.open { channel = {}, rules = set, store = require("support.stores").at(sim.path),
                                          fallback = { sms = print } }
      assert.is_nil(opened)
      assert.matches('^config: rules.lua:%d+: quiet: there is no time zone "Europe/Berln"', err)
    end)
  end)
end)
