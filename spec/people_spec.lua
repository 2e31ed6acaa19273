-- One person, several names: a phone, a bsuid, a username. What is stored by one of them counts for all, whichever came
-- first, and wherever they were told together.
local simulation = require "support.simulation"

local PHONE, BSUID, NAME = "573001239967", "CO.8801726691741", "ana.r"
local RULES = [[
template "t" { language = "en", body = { "name" } }
confirm "Paid" { on = "paid", phone = "{phone}", bsuid = "{bsuid}", username = "{username}", name = "Ana" }
]]

local ack = ('{"ack":[{"id":"wamid.other","phone":"%s","bsuid":"%s","userName":"%s","status":"delivered"}]}')
local function tie(phone, bsuid, name)
  return (ack:format(phone or "-", bsuid or "-", name or "-"):gsub('"%a+":"%-",', ""))
end
local function message(id, text, at, from)
  return ('{"messages":[{"id":"%s","body":"%s","fromMe":false,"time":%d,%s}]}'):format(id, text, at, from)
end
local FROM = {
  phone = ('"chatId":"%s@c.us"'):format(PHONE), bsuid = ('"chatId":"%s@lid","authorBsuid":"%s"'):format(BSUID, BSUID),
  username = ('"chatId":"%s@username"'):format(NAME),
}
local VALUE = { phone = PHONE, bsuid = BSUID, username = NAME }
local NAMES = { "phone", "bsuid", "username" }

describe("a person", function()
  local sim, flow, n
  before_each(function()
    sim = simulation.new { rules = RULES }
    flow, n = sim.flow, 0
  end)
  after_each(function() sim:close() end)

  local function submit(name, value)
    n = n + 1
    return flow:submit { id = "o-" .. n, type = "paid", [name] = value or VALUE[name] }
  end
  local function say(text, name)
    n = n + 1
    return select(2, flow:hooks(message("in-" .. n, text, sim.time, FROM[name])))
  end

  for _, said in ipairs(NAMES) do
    for _, to in ipairs(NAMES) do
      it(("who writes STOP by %s is not written to by %s; START by any name takes it back"):format(said, to), function()
        flow:hooks(tie(PHONE, BSUID, NAME))
        assert.equal(1, say("STOP", said).stopped)
        local ticket = assert(submit(to))
        assert.equal('skipped: suppressed: they wrote "stop"', ticket.state .. ": " .. ticket.reason)
        assert.equal(1, #flow:suppressed())
        sim:advance(10)
        assert.equal(1, say("Start", to).started)
        assert.equal("queued", assert(submit(to)).state)
        assert.same({}, flow:suppressed())
      end)
    end
  end

  for _, first in ipairs(NAMES) do
    for _, second in ipairs(NAMES) do
      if first ~= second then
        it(("told late: what came by %s and by %s is one line, one gap, one suppression"):format(first, second), function()
          assert.equal("queued", assert(submit(first)).state)
          sim:advance(0.1)
          assert.equal(1, #sim.sent)
          flow:hooks(tie(PHONE, BSUID, NAME))
          assert.equal("queued", assert(submit(second)).state)
          sim:advance(3)
          assert.equal(1, #sim.sent) -- the gap is the person's
          sim:advance(30)
          assert.equal(2, #sim.sent)
          assert.equal(2, #flow:list { [first] = VALUE[first] })
          assert.equal(2, #flow:list { [second] = VALUE[second] })
          assert.equal(0, flow:suppress(first == "username" and "@" .. NAME or VALUE[first]))
          assert.equal("skipped", assert(submit(second)).state)
        end)
      end
    end
  end

  it("keeps an order that two names began", function()
    submit "bsuid"
    submit "bsuid"
    submit "phone"
    flow:hooks(tie(PHONE, BSUID))
    sim:advance(60)
    local to = {}
    for i, sent in ipairs(sim.sent) do to[i] = sent.message.bsuid or sent.message.phone end
    assert.same({ BSUID, BSUID, PHONE }, to)
    assert.is_true(sim.sent[3].at - sim.sent[2].at >= 6)
  end)

  it("keeps an opt-out that was made before the names were one's", function()
    say("STOP", "bsuid")
    assert.equal("queued", submit("phone").state)
    flow:hooks(tie(PHONE, BSUID))
    sim:advance(60)
    assert.equal(0, #sim.sent)
    assert.equal("skipped", flow:show("o-2").state)
  end)

  it("whose bsuid moves to another phone: the newer fact counts, and STOP stays for both", function()
    flow:hooks(tie(PHONE, BSUID))
    say("STOP", "bsuid")
    flow:hooks(tie("573009999999", BSUID))
    assert.equal("skipped", submit("phone", "573009999999").state)
    assert.equal("skipped", submit("phone").state)
    assert.equal("skipped", submit("bsuid").state)
    assert.equal("573009999999", flow:show("o-4").phone)
  end)

  it("whose username was another's before does not inherit an opt-out", function()
    flow:hooks(tie(PHONE, nil, NAME))
    say("STOP", "username")
    flow:hooks(tie("573009999999", nil, NAME))
    assert.equal("queued", submit("username").state)
    assert.equal("skipped", submit("phone").state)
  end)

  it("is left alone by what is no opt-out: a group's STOP, a preference, our own words", function()
    flow:hooks(message("g", "STOP", sim.time, '"chatId":"12036304@g.us","author":"573001239967@c.us"'))
    flow:hooks(('{"entry":[{"changes":[{"field":"user_preferences","value":{"user_preferences":[{"wa_id":"%s",'
      .. '"category":"marketing_messages","value":"stop"}]}}]}]}'):format(PHONE))
    flow:hooks(('{"messages":[{"id":"e","body":"STOP","fromMe":true,"chatId":"%s@c.us"}]}'):format(PHONE))
    assert.equal("queued", submit("phone").state)
  end)

  it("keeps a suppression by hand when they write START", function()
    flow:suppress(PHONE)
    say("START", "phone")
    assert.equal("skipped", submit("phone").state)
  end)

  it("whose START is older than their STOP stays left alone", function()
    say("STOP", "phone")
    flow:hooks(message("late", "START", sim.time - 60, FROM.phone))
    assert.equal("skipped", submit("phone").state)
  end)

  it("has one in flight at most, also when two names turn out to be one's while both are being sent", function()
    submit "bsuid"
    submit "phone"
    submit "phone"
    local box = flow.box
    local gate = assert(box:look()).gates.main
    local rows = assert(box:claim(gate, 5, { from = sim.time, each = 0 }, sim.time, 35, 0))
    assert.equal(2, #rows)
    assert(box:join({ { phone = PHONE, bsuid = BSUID } }, sim.time))
    assert.equal(BSUID, box:row("o-1").person) -- still its own
    for i, row in ipairs(rows) do
      assert(box:recorded(assert(box:record(row, { state = "accepted", message_id = "w" .. i, reason = "" }, sim.time))))
    end
    assert(box:join_late({ { name = BSUID, person = PHONE } }, sim.time))
    assert.equal(PHONE, box:row("o-1").person)
    assert.same({}, assert(box.db:read { { "SELECT name FROM person WHERE late = 1" } })[1][1] or {})
  end)
end)
