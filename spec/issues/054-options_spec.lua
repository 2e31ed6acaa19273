-- Eight places held options against what a call takes, and two said what was meant by a misspelt one: "lang" was "language"
-- for C and nothing for rules, "Phone" was "phone" for rules and nothing for C. One reader of options, one judge of words.
require "onemsg"
local check = require "onemsg.base.check"
local core = require "onemsg.core"
local onemsg = require "onemsg"
local rules = require "onemsg.rules"
local simulation = require "support.simulation"
local suggest = require "onemsg.base.suggest"

describe("what was meant", function()
  for _, case in ipairs {
    { "lang", "language" }, { "langauge", "language" }, { "LANGUAGE", "language" }, { "Template", "template" },
    { "tmeplate", "template" }, { "templates", "template" }, { "txet", "text" }, { "tex", "text" }, { "nmespace", "namespace" },
    { "name", nil }, { "x", nil }, { "", nil }, { "completely other", nil }, { ("language"):rep(6), nil },
  } do
    local word, meant = case[1], case[2]
    it(("is %s for %q, whoever is asked"):format(tostring(meant), word), function()
      local names = { text = true, template = true, language = true }
      if meant == "namespace" then names.namespace = true end
      assert.equal(meant, suggest.nearest(word, names))
      assert.equal(meant, core.nearest(word, suggest.words(names)))
      if meant then
        local pattern = "did you mean '" .. meant .. "'?"
        local _, of_new = pcall(onemsg.new, { [word] = "x" })
        assert.truthy(of_new:find(pattern, 1, true), of_new)
        local _, of_rules = rules.load(('confirm "x" { %s = "x" }'):format(word))
        assert.truthy(of_rules:find(pattern, 1, true), of_rules)
      end
    end)
  end

  it("is the least mistyped, then the one most alike in length, then the first", function()
    for _, case in ipairs {
      { "rat", { "burst", "rate_limit", "rate" }, "rate" }, { "tim", { "timeout", "time" }, "time" },
      { "wiat", { "want", "wait" }, "wait" }, { "ab", { "ac", "ad" }, "ac" }, { "stpo", { "step", "stop" }, "stop" },
    } do
      assert.equal(case[3], core.nearest(case[1], case[2]))
    end
  end)
end)

describe("options", function()
  local TAKES = { stop = "function", name = "string number", after = "duration", wait = "delay", at = "time",
                  window = { 1, 64 }, rate = "number" }

  it("are read", function()
    local function stop() end
    local given = { stop = stop, name = "x", after = "1h30m", wait = 0, at = 0, window = 64, rate = 0.5 }
    assert.same({ stop = stop, name = "x", after = 5400, wait = 0, at = 0, window = 64, rate = 0.5 },
      check.options("call", given, TAKES))
    assert.equal("1h30m", given.after)
    assert.same({}, check.options("call", nil, TAKES))
  end)

  for _, case in ipairs {
    { 5, "call takes a table of options, not a number" }, { { stpo = print }, "call has no option 'stpo', did you mean 'stop'?" },
    { { other = 1 }, "call has no option 'other'; it has after, at, name, rate, stop, wait, window" },
    { { "x" }, "call has no option '1'; it has after, at, name, rate, stop, wait, window" },
    { { [("x"):rep(50)] = 1 },
      "call has no option '" .. ("x"):rep(37) .. "…'; it has after, at, name, rate, stop, wait, window" },
    { { stop = true }, "call: stop must be a function, not a boolean" },
    { { name = {} }, "call: name must be a string or a number, not a table" },
    { { after = 0 }, "call: after must be more than 0" }, { { rate = 0 }, "call: rate must be more than 0" },
    { { rate = 0 / 0 }, "call: rate must be more than 0" }, { { rate = 1 / 0 }, "call: rate must be more than 0" },
    { { wait = "soon" }, 'call: wait must be seconds as a number, or like "30s", "10m", "1h30m"' },
    { { wait = -1 }, 'call: wait must be seconds as a number, or like "30s", "10m", "1h30m"' },
    { { at = 1 / 0 }, "call: at must be seconds since 1970, a number" },
    { { window = 65 }, "call: window must be a whole number from 1 to 64" },
    { { window = 1.5 }, "call: window must be a whole number from 1 to 64" },
    { { window = "5" }, "call: window must be a whole number from 1 to 64" },
  } do
    it("are refused: " .. case[2], function()
      local got, why = check.read("call", case[1], TAKES)
      assert.is_nil(got)
      assert.equal(case[2], why)
      assert.error_matches(function() check.options("call", case[1], TAKES) end, case[2], 1, true)
    end)
  end

  it("are refused alike by every call that takes some, at the caller's line", function()
    local sim = simulation.new {}
    local flow = sim.flow
    local channel = assert(onemsg.new { channel = "A1", token = "t", base_url = "http://127.0.0.1:1" })
    local before = debug.getinfo(1, "l").currentline
    local calls = {
      function() flow:submit({ id = "1" }, { wrong_one = 1 }) end,
      function() flow:work { wrong_one = 1 } end,
      function() flow:drain { wrong_one = 1 } end,
      function() flow:suppress("+12020721300", { wrong_one = 1 }) end,
      function() flow:list { wrong_one = 1 } end,
      function() flow:hooks("{}", { wrong_one = 1 }) end,
      function() require "onemsg.workflow".open { wrong_one = 1 } end,
      function() rules.load("", { wrong_one = 1 }) end,
      function() require "onemsg.codes".add { wrong_one = 1 } end,
      function() channel:templates { wrong_one = 1 } end,
      function() channel:send_each({}, { wrong_one = 1 }) end,
      function() onemsg.new { wrong_one = 1 } end,
    }
    for n, call in ipairs(calls) do
      local ok, why = pcall(call)
      assert.is_false(ok, n)
      assert.matches("054%-options_spec%.lua:" .. before + 1 + n .. ": .* has no %l+ 'wrong_one'", why)
    end
    channel:close()
    sim:close()
  end)
end)
