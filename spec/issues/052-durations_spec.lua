-- "1h30m" was good in rules.lua, and refused by workflow.open, by the options of onemsg.new and on the command line: four
-- parsers. One reads them all now; what it takes is taken everywhere, what it refuses nowhere.
local args = require "onemsg.cli.args"
local duration = require "onemsg.base.duration"
local onemsg = require "onemsg"
local rules = require "onemsg.rules"
local simulation = require "support.simulation"

local GOOD = {
  { "30s", 30 }, { "10m", 600 }, { "6h", 21600 }, { "0.5d", 43200 }, { "1h30m", 5400 }, { "1.5h", 5400 }, { "1m30.5s", 90.5 },
  { "0.1h", 360 }, { "90", 90, bare = true }, { "1.25", 1.25, bare = true }, { 45, 45 }, { 2.5, 2.5 },
}
local BAD = { "", "s", "soon", "6 hours", "1h 30m", "1h30", "-1h", "+1h", "1e3s", "0x10s", "1,5h", "1..5h", "1.5.5s", "1w", "1H",
  "inf", "nan", " 30s", "30s ", "30s\0", ("1"):rep(40) .. "s", 0 / 0, 1 / 0, -1, true, {}, print }

--- Every place that takes one: what it makes of the value in seconds; nil when it refuses; false: not asked there.
local PLACES = {
  { "base.duration", function(value) return duration.seconds(value) end },
  { "rules, give_up_after", function(value)
    local source = ([[template "t" { body = { "name" } }
      confirm "x" { on = "x", phone = "+12020721300", template = "t", name = "Maria", give_up_after = %s }]])
      :format(type(value) == "string" and ("%q"):format(value) or tostring(value))
    if type(value) ~= "string" and not (type(value) == "number" and value == value and value < 1 / 0) then return false end
    local set = rules.load(source)
    return set and set:decide({ id = "1", type = "x" })[1].give_up_after
  end },
  { "onemsg.new, timeout", function(value)
    local ok, channel = pcall(onemsg.new, { channel = "ODI1", token = "t", timeout = value })
    return ok and channel and "taken" or nil
  end, bare = true },
  { "pending:wait", function(value)
    local channel = assert(onemsg.new { channel = "ODI1", token = "t", base_url = "http://127.0.0.1:1" })
    local pending = assert(channel:async "status")
    assert(pending:wait(20) == nil)
    local ok = pcall(pending.wait, pending, value)
    channel:close()
    return ok and "taken" or nil
  end },
  { "workflow.open, give_up_after", function(value)
    local ok, sim = pcall(simulation.new, { give_up_after = value })
    if not ok then return nil end
    local seconds = sim.flow.give_up_after
    sim:close()
    return seconds
  end },
  { "flow:drain, timeout", function(value)
    local sim = simulation.new {}
    local before, ok = sim.time, pcall(sim.flow.drain, sim.flow, { timeout = value, stop = function() return true end })
    sim:close()
    return ok and before and "taken" or nil
  end },
  { "flow:suppress, duration", function(value)
    local sim = simulation.new {}
    local ok = pcall(sim.flow.suppress, sim.flow, "+12020721300", { duration = value })
    local seconds = ok and sim.flow:suppressed()[1].until_at - sim.time or nil
    sim:close()
    return seconds
  end },
  { "the command, --since", function(value)
    if type(value) ~= "string" then return false end
    local command = { summary = "", examples = {}, options = { { "since", "TIME", "", seconds = true } } }
    local got = args.parse(command, { "--since", value })
    return got and got.since
  end, bare = true },
}

describe("a duration", function()
  for _, place in ipairs(PLACES) do
    it("reads alike: " .. place[1], function()
      for _, case in ipairs(GOOD) do
        local value, seconds = case[1], case[2]
        if not case.bare or place.bare then
          local got = place[2](value)
          if got ~= false then assert.is_true(got == "taken" or got == seconds, tostring(value) .. ": " .. tostring(got)) end
        else
          assert.is_nil(place[2](value), value)
        end
      end
      for _, value in ipairs(BAD) do assert.is_falsy(place[2](value), tostring(value)) end
    end)
  end

  it("has a point, whatever the locale's is", function()
    local before = os.setlocale(nil)
    for _, name in ipairs { "de_DE.UTF-8", "fr_FR.UTF-8", "C" } do
      if os.setlocale(name) then assert.equal(5400, duration.seconds "1.5h") end
    end
    os.setlocale(before)
  end)
end)
