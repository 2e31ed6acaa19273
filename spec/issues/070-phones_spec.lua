--- Whose number it is: a national number never leaves as a stranger's. With `country`, what stands without + or an exit
-- code is national; what may be two numbers, or none, is refused with what to write.
local cjson = require "cjson"
local core = require "onemsg" and require "onemsg.core"
local onemsg = require "onemsg"
local oracle = require "support.phone_oracle"
local rules = require "onemsg.rules"
local store = require "support.simulation"
local workflow = require "onemsg.workflow"

local function channel_of(options)
  local channel = assert(onemsg.new { token = "a-token-that-is-never-used", channel = "FAKE1", namespace = "n",
    base_url = "http://127.0.0.1:9", template = "t", language = "en", country = options.country })
  finally(function() channel:close() end)
  return channel
end

local function check(channel, phone, country)
  return channel:check { phone = phone, country = country, name = "Ana", action = "payment", next_step = "Done." }
end

describe("a phone", function()
  it("leaves with the digits that libphonenumber reads, or not at all", function()
    local sample = assert(io.open "spec/support/phone_sample.tsv")
    local counts, others = oracle.compare(sample:lines())
    sample:close()
    assert.are.same({}, others)
    assert.is_true(counts.total.equal > 1200, counts.total.equal)
    assert.is_true(counts.total.refused < counts.total.equal / 50, counts.total.refused)
  end)

  -- country of the channel, of the message, phone, digits or part of the sentence
  for _, case in ipairs {
    { nil, nil, "020 7946 0958", "or set country" },
    { nil, "GB", "020 7946 0958", "442079460958" },
    { nil, 44, "020 7946 0958", "442079460958" },
    { "55", "GB", "020 7946 0958", "442079460958" },
    { "55", nil, "(11) 98765-4321", "5511987654321" },
    { "BR", "", "(11) 98765-4321", "5511987654321" },
    { "BR", cjson.null, "(11) 98765-4321", "5511987654321" },
    { "BR", "XX", "(11) 98765-4321", "needs a country, and the one given is none" },
    { "BR", "55\0", "(11) 98765-4321", "needs a country, and the one given is none" },
    { "BR", "XX", "+44 20 7946 0958", "442079460958" },
    { "BR", false, "5511987654321", "5511987654321" },
    { "BR", nil, "5511987654321", "in international form with +" },
    { "7", nil, "8 (912) 345-67-89", "79123456789" },
    { "1", nil, "(202) 072-1369", "12020721369" },
    { "1", nil, 2020721369, "12020721369" },
    { nil, nil, "+1 202 555 0123/0124", "one number" },
    { nil, nil, "+999 1234567", "no country's calling code" },
    { nil, nil, "+49 170 1234567 / 8", "two numbers" },
    { nil, nil, "\239\188\139\239\188\145\239\188\146\239\188\144", "another script" },
  } do
    it(("%s, country %s and %s"):format(case[3], tostring(case[1]), tostring(case[2])), function()
      local channel = channel_of { country = case[1] }
      local checked, err, info = check(channel, case[3], case[2])
      if case[4]:find "^%d+$" then return assert.are.equal(case[4], checked and checked.phone or err) end
      assert.is_nil(checked)
      assert.is_truthy(err:find("invalid: phone ", 1, true) and err:find(case[4], 1, true), err)
      assert.are.equal("invalid", info.outcome)
    end)
  end

  it("has a country that is a text or a number", function()
    local channel = channel_of {}
    for _, wrong in ipairs { {}, true, 5.5 } do
      local ok, checked = pcall(check, channel, "+12020721369", wrong)
      assert.is_true(not ok or wrong == 5.5 and checked.phone == "12020721369", tostring(checked))
    end
  end)
end)

describe("a rule's country", function()
  local SOURCE = [[
    template "action_success" { language = "en", body = { "name", "action", "next_step" } }
    defaults { phone = "{phone}", country = "{country}", name = "Ana", action = "payment", next_step = "Done." }
    confirm "Paid" { on = "paid" }
    confirm "Here" { on = "here", country = "GB" }
    confirm "Whole" { on = "whole", country = false }]]

  local function open(options)
    local path = store.store_path()
    local flow = assert(workflow.open { store = require("support.stores").at(path), channel = channel_of(options),
      rules = assert(rules.load(SOURCE)), log = function() end, sleep = function() end, resolve = options.resolve })
    finally(function()
      flow:close()
      store.remove(path)
    end)
    return flow
  end

  for _, case in ipairs {
    { { id = "1", type = "paid", phone = "(11) 98765-4321", country = "BR" }, "5511987654321" },
    { { id = "1", type = "paid", phone = "(11) 98765-4321", country = 55 }, "5511987654321" },
    { { id = "1", type = "paid", phone = "020 7946 0958" }, "is skipped" }, -- a London number in Belgium, the channel's country
    { { id = "1", type = "paid", phone = "02 123 45 67" }, "3221234567" },
    { { id = "1", type = "here", phone = "020 7946 0958", country = "BR" }, "442079460958" },
    { { id = "1", type = "whole", phone = "02 123 45 67", country = "BR" }, "3221234567" },
    { { id = "1", type = "paid", phone = "(11) 98765-4321", country = "Brazil" }, "is skipped" },
    { { id = "1", type = "paid", phone = "+55 11 98765-4321", country = "Brazil" }, "5511987654321" },
    { { id = "1", type = "paid", country = "BR" }, "5511987654321", "011 98765-4321" }, -- of resolve
  } do
    it(("counts in explain and submit: %s, %s of %s"):format(case[1].type, case[1].phone, case[1].country), function()
      local flow = open { country = "BE", resolve = function() return case[3] end }
      local plan = assert(flow:explain(case[1]))
      local ticket = assert(flow:submit(case[1]))
      if case[2]:find "skipped" then
        assert.are.equal("skipped", plan.state)
        assert.are.equal("skipped", ticket.state)
        return assert.is_truthy(ticket.reason:find("phone", 1, true), ticket.reason)
      end
      assert.are.equal(case[2], plan.phone)
      assert.are.equal(case[2], flow:show("1").phone)
      -- what is stored is not read again as a national number
      local taken = assert(flow.box.db:read { { "SELECT message FROM confirmation WHERE id = $1", "1" } })
      local again = assert(flow.channels.main:check(cjson.decode(taken[1][1].message)))
      assert.are.equal(case[2], again.phone)
    end)
  end

  it("is refused where it can be none", function()
    local set, err = rules.load((SOURCE:gsub('country = "GB"', 'country = "Britain"')))
    assert.is_nil(set)
    assert.is_truthy(err:find("ISO code", 1, true), err)
  end)
end)

describe("the spellings of one person", function()
  for _, case in ipairs {
    { "525512345678", "5215512345678" }, { "541112345678", "5491112345678" }, { "551187654321", "5511987654321" },
    { "22507654321", "2250707654321" }, { "22997123456", "2290197123456" }, { "12020721369" }, { "@maria" },
    { "442079460958" },
  } do
    it(case[1], function()
      assert.are.same(case, { core.spellings(case[1]) })
      assert.are.same(case, { core.spellings(case[2] or case[1]) })
    end)
  end

  it("are told from chat ids and with trunk prefixes", function()
    assert.are.same({ "525512345678", "5215512345678" }, { core.spellings "5215512345678@c.us" })
    assert.are.same({ "584121234567" }, { core.spellings "5804121234567" })
    assert.are.same({ "120363@g.us" }, { core.spellings "120363@g.us" })
    assert.are_not.equal((core.spellings "12125550123"), (core.spellings "12015550123"))
  end)
end)
