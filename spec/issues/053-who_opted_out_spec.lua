-- `suppress "+44 (0)20 7946 0958"` suppressed 4402079460958, while the message left to 442079460958: who had opted out was
-- written to. Suppressing, lifting, listing and the examples of rules took numbers apart in their own ways; they ask the
-- normaliser now that messages go through.
local channels = require "support.channels"
local core = require "onemsg.core"
local onemsg = require "onemsg"
local rules = require "onemsg.rules"
local simulation = require "support.simulation"
local workflow = require "onemsg.workflow"

local RULES = [[
template "action_success" { language = "en", body = { "name", "action", "next_step" } }
confirm "Paid" { on = "paid", phone = "{phone}", name = "Maria", action = "payment", next_step = "Thank you." }
confirm "Chat" { on = "chat", chat_id = "{chat}", name = "Maria", action = "payment", next_step = "Thank you." }
]]

--- Country, how a person writes the number for suppress, how the event has it.
local CASES = {
  { nil, "+44 (0)20 7946 0958", "+442079460958" }, { nil, "0044 20 7946 0958", "+44 (0) 20 79460958" },
  { nil, "+12020721300", "(+1) 202-072-1300" }, { nil, 12020721300, "+1 202 072 1300" }, { nil, "12020721300", "12020721300" },
  { "44", "020 7946 0958", "+44 20 7946 0958" }, { "44", "+44 20 7946 0958", "(020) 7946 0958" },
  { "39", "06 1234 5678", "+39 06 12345678" }, { nil, "442079460958@c.us", "+44 20 7946 0958" },
  { nil, "5511912345678", "+55 11 91234 5678" }, { nil, "551112345678", "+55 11 91234 5678" },
  { nil, "+52 55 1234 5678", "+5215512345678" },
}

describe("who opted out", function()
  local function open(country)
    local path = simulation.store_path()
    local channel = assert(onemsg.new { channel = "ODI7", token = channels.TOKEN, template = "action_success",
      namespace = "ns", language = "en", base_url = "http://127.0.0.1:1", country = country })
    local flow = assert(workflow.open { channel = channel, rules = assert(rules.load(RULES)),
      store = require("support.stores").at(path) })
    return flow, function()
      flow:close()
      channel:close()
      simulation.remove(path)
    end
  end

  for _, case in ipairs(CASES) do
    local country, written, event = case[1], case[2], case[3]
    it(("is not written to: %s for %s, country %s"):format(tostring(written), event, tostring(country)), function()
      local flow, close = open(country)
      assert.equal(0, flow:suppress(written))
      local ticket = assert(flow:submit { id = "a", type = "paid", phone = event })
      assert.equal("skipped: suppressed: by hand", ticket.state .. ": " .. ticket.reason)
      assert.equal("a", flow:list { phone = event }[1].id)
      assert.equal(1, #flow:suppressed())
      assert.equal(1, flow:unsuppress(written))
      assert.equal("cancelled", assert(flow:cancel "a").state) -- it had come back
      assert.equal("queued", flow:submit({ id = "b", type = "paid", phone = event }).state)
      assert.equal(0, flow:suppress(event, { channel = "main", reason = "asked" }) - 1) -- what waits is skipped
      assert.equal("skipped", flow:show("b").state)
      assert.equal(1, flow:unsuppress(event))
      close()
    end)
  end

  it("is found by the number that a message has, also in list", function()
    local flow, close = open "44"
    assert(flow:submit { id = "a", type = "paid", phone = "020 7946 0958" })
    for _, form in ipairs { "+44 (0)20 7946 0958", "020 7946 0958", 442079460958, "442079460958@c.us" } do
      assert.equal("a", flow:list({ phone = form })[1].id)
    end
    close()
  end)

  it("is one address, by phone or by chat", function()
    local flow, close = open()
    assert(flow:suppress "+44 20 7946 0958")
    assert.equal("skipped", flow:submit({ id = "a", type = "chat", chat = "442079460958@c.us" }).state)
    close()
  end)

  it("is no guess: what is no number for certain is refused, and the number is not in the sentence", function()
    local flow, close = open()
    for _, wrong in ipairs { "020 7946 0958", "maria", "", "12", ("1"):rep(20), "+12020721300, +12020721301", 1.5, -5 } do
      for _, call in ipairs { "suppress", "unsuppress" } do
        local ok, why = pcall(flow[call], flow, wrong)
        assert.is_false(ok, tostring(wrong))
        assert.matches("spec%.lua:%d+: " .. call .. ": phone ", "spec.lua:1: " .. why:gsub("^[^\n]-%.lua:%d+: ", ""))
        assert.is_nil(why:find("7946", 1, true))
      end
      assert.is_false(pcall(flow.list, flow, { phone = wrong }))
    end
    close()
  end)

  it("is asked for in the international form where the channels' countries differ", function()
    local path = simulation.store_path()
    local function a_channel(id, country)
      return assert(onemsg.new { channel = id, token = channels.TOKEN, country = country })
    end
    local both = { uk = a_channel("A1", "44"), it = a_channel("A2", "39") }
    local flow = assert(workflow.open { channels = both, rules = assert(rules.load(RULES)),
      store = require("support.stores").at(path) })
    assert.error_matches(function() flow:suppress "020 7946 0958" end, "give the international form")
    assert.equal(0, flow:suppress("020 7946 0958", { channel = "uk" }))
    assert.equal(0, flow:suppress "+44 20 7946 0958")
    assert.same({ "442079460958", "442079460958" }, { flow:suppressed()[1].phone, flow:suppressed()[2].phone })
    flow:close()
    simulation.remove(path)
  end)

  it("is compared by its one form in the examples of rules", function()
    local source = RULES .. [[example "e" { event = { id = "1", type = "paid", phone = "+44 (0)20 7946 0958" },
      expect = { phone = %q } }]]
    assert(rules.load(source:format "+442079460958"))
    assert.is_nil((rules.load(source:format "+442079460959")))
  end)
end)

describe("a channel", function()
  it("says its id and its country, whatever its address ends in", function()
    for _, case in ipairs { { "ODI371267300", nil, "https://api.1msg.io" }, { "instance371267300", "55", "http://127.0.0.1:1/a" },
      { "371267300", 44, "http://[::1]:80/x/y/" } } do
      local channel = assert(onemsg.new { channel = case[1], country = case[2], token = channels.TOKEN, base_url = case[3] })
      assert.equal((case[1]:gsub("^instance", "")), core.channel_id(channel))
      assert.equal(case[2] and tostring(case[2]), core.channel_country(channel))
      channel:close()
      assert.equal((case[1]:gsub("^instance", "")), core.channel_id(channel))
    end
    assert.is_false(pcall(core.channel_id, {}))
  end)
end)
