-- Every function that a rules script can call is paid by its cost: what it goes through, not what it gives. Work is
-- counted in steps, by the budget itself; no clock is asked.
local cost = require "onemsg.rules.cost"
local library = require "onemsg.rules.library"
local rules = require "onemsg.rules"
local words = require "onemsg.rules.words"

local GOOD = '\nconfirm "Good" { on = "*", name = "n", action = "a", next_step = "x" }'
local BYTES = 64 -- that one step pays for

--- Steps of a script, without those of the script that does everything but the call.
local function steps(before, call)
  local function of(body)
    local set, err = rules.load(before .. "\n" .. body .. GOOD)
    if not set then return nil, err end
    return cost.script
  end
  local empty = assert(of(""))
  local whole, err = of(call)
  return whole and whole - empty, err
end

-- name = what stands before the call; the call; the least it may cost, of a size n
local TEXT = "local s = ('x'):rep(%d)"
local LIST = "local t = {} for i = 1, %d do t[i] = %d - i end"
local function bytes(n) return n / BYTES end
local function items(n) return n end
local PRICED = {
  ["string.len"] = { TEXT, "local x = s:len()" },
  ["string.sub"] = { TEXT, "local x = s:sub(2)", bytes },
  ["string.upper"] = { TEXT, "local x = s:upper()", bytes },
  ["string.lower"] = { TEXT, "local x = s:lower()", bytes },
  ["string.reverse"] = { TEXT, "local x = s:reverse()", bytes },
  ["string.char"] = { "", "local x = string.char(" .. ("65, "):rep(100) .. "65)", function() return 100 end },
  ["string.byte"] = { TEXT, "local x = { s:byte(1, 200) }", function() return 199 end },
  ["string.rep"] = { "local n = %d", "local x = ('x'):rep(n)", bytes },
  ["string.find"] = { TEXT, "local x = s:find(s:sub(1, 400) .. 'y', 1, true)", function(n) return (n - 400) * 400 / BYTES end },
  ["string.match"] = { TEXT, "local x = s:match('^x*y')", function(n) return n end },
  ["string.gmatch"] = { TEXT, "for x in s:gmatch('x') do end", function(n) return n end },
  ["string.gsub"] = { TEXT, "local x = s:gsub('x', 'yy')", function(n) return n * 4 end },
  ["string.format"] = { TEXT, "local x = string.format('%s', s)", bytes },
  ["table.insert"] = { LIST, "table.insert(t, 1, 0)", items },
  ["table.remove"] = { LIST, "table.remove(t, 1)", items },
  ["table.concat"] = { LIST, "local x = table.concat(t, ' ')", items },
  ["table.sort"] = { LIST, "table.sort(t)", function(n) return n * math.log(n) / math.log(2) end },
  pairs = { LIST, "for x in pairs(t) do end", function(n) return n * math.log(n) / math.log(2) end },
  ipairs = { LIST, "for x in ipairs(t) do end", items },
  tonumber = { TEXT, "local x = tonumber(s, 36)", items },
  tostring = { TEXT, "local x = tostring(s)" },
  type = { TEXT, "local x = type(s)" },
  assert = { TEXT, "local x = assert(s)" },
  error = { TEXT, "" }, -- ends the script; what it says is cut
  ["math.fmod"] = { "", "local x = math.fmod(1e300, 3)", function() return 8 end },
  ["math.max"] = { "", "local x = math.max(" .. ("1, "):rep(100) .. "1)", function() return 100 end },
  ["math.min"] = { "", "local x = math.min(" .. ("1, "):rep(100) .. "1)", function() return 100 end },
}
for name in ("abs ceil floor modf sqrt"):gmatch("%a+") do
  PRICED["math." .. name] = { "", "local x = math." .. name .. "(2.5)" }
end
-- What is no function and may be dear all the same.
local OPERATORS = {
  ["a .. b"] = { TEXT, "local x = s .. s", function(n) return 2 * n / BYTES end },
  ["a .. b .. c"] = { TEXT, "local x = s .. 1 .. s", function(n) return 2 * n / BYTES end },
  ["a < b"] = { TEXT .. " local r = s .. 'y'", "local x = s < r", bytes },
  ["a == b"] = { TEXT .. " local r = s .. 'y' local q = s .. 'z'", "local x = r == q", bytes },
  ["t[a]"] = { TEXT .. " local t = { [s] = 1 }", "local x = t[s .. '']", function(n) return 2 * n / BYTES end },
  ["t[a] = b"] = { TEXT .. " local t = {}", "t[s] = 1", bytes },
  ["{ [a] = b }"] = { TEXT, "local x = { [s] = 1 }", bytes },
  ["one_of"] = { LIST, "local x = one_of(t)", items },
  ["starts_with"] = { "local t = {} for i = 1, %d do t[i] = 'x' end", "local x = starts_with(t)", items },
  ["goto"] = { "local n, i = %d, 0", "::a:: i = i + 1 if i < n then goto a end", function(n) return 20 * n end },
  ["while"] = { "local n, i = %d, 0", "while i < n do i = i + 1 end", items },
  ["repeat"] = { "local n, i = %d, 0", "repeat i = i + 1 until i >= n", items },
  ["for"] = { "local n = %d", "for i = 1, n do end", items },
  ["f()"] = { "local n = %d local function f(i) if i < n then return f(i + 1) end end", "f(1)", items },
  -- a name given up and another taken: the table may be gone through for room
  ["t[a] = nil"] = { LIST, "for i = 1, 100 do t[i] = nil t[i + 0.5] = 1 end", function(n) return 100 * n end },
  -- numbers of one's own choosing as names: they may all share one place
  ["t[i * k]"] = { "local t, n = {}, %d for i = 1, n do t[i * 4095] = 1 end", "for i = 1, 1000 do local x = t[i * 4095] end",
    function(n) return 1000 * n / 16 end },
  ["#t"] = { "local t, n = {}, %d for i = 1, n do t[i * 4095] = 1 end", "local x = #t", function(n) return n / 4 end },
}

describe("rules: what a script calls", function()
  local function check(name, case)
    it("is paid by its cost: " .. name, function()
      local before
      for _, n in ipairs { 600, 6000 } do
        local spent = assert(steps(case[1]:format(n, n), case[2]))
        if case[3] then
          assert.is_true(spent >= case[3](n), name .. " of " .. n .. " took " .. spent .. " steps")
          -- and no dearer than it must be: a script that means well has room
          assert.is_true(spent <= 30 * case[3](n) + 4000, name .. " of " .. n .. " took " .. spent .. " steps")
        else
          assert.is_true(spent < 60 and (not before or before == spent), name .. " took " .. spent .. " steps")
        end
        before = spent
      end
    end)
  end
  for name, case in pairs(PRICED) do check(name, case) end
  for name, case in pairs(OPERATORS) do check(name, case) end

  it("has a price, every function of it", function()
    local globals, found = words.new().globals, 0
    local function see(name, value)
      if type(value) == "function" then
        assert.is_string(library.PRICES[name], name .. " has no price")
        assert.truthy(PRICED[name], name .. " is not tried here")
        found = found + 1
      end
    end
    for name in pairs(library.PRICES) do
      local room, inner = name:match("^(%a+)%.(%a+)$")
      see(name, room and globals[room][inner] or globals[name])
    end
    local count = 0
    for _ in pairs(PRICED) do count = count + 1 end
    assert.equal(found, count)
    -- and there is nothing else to call: neither a word nor a field of a library
    for _, room in ipairs { string, table, math } do
      for name, value in pairs(room) do
        for word in pairs { string = 1, table = 1, math = 1 } do
          local ours = globals[word][name]
          if type(ours) == "function" then
            assert.is_string(library.PRICES[word .. "." .. name])
            assert.is_true(ours ~= value, word .. "." .. name .. " is the host's own")
          end
        end
      end
    end
  end)

  it("ends where it would hang: forged lengths, hidden repetitions, spoiled orders", function()
    local border = {}
    for power = 4, 62 do border[#border + 1] = ("[%.0f]=1"):format(2 ^ power) end
    local jit_border = {}
    for power = 0, 21 do jit_border[#jit_border + 1] = ("[%d]=1"):format(9 * 2 ^ power) end
    local forged54 = "local t = {1,1,1,1,1,1,1,1," .. table.concat(border, ",") .. ",[9]=1}"
    local forgedjit = "local t = {1,1,1,1,1,1,1,1," .. table.concat(jit_border, ",") .. "}"
    local calls = {}
    for _, forged in ipairs { forged54, forgedjit } do
      for _, call in ipairs { "table.insert(t, 1, 'x')", "table.insert(t, #t, 'x')", "table.remove(t, 1)", "table.sort(t)",
        "table.sort(t, function(a, b) return true end)", "table.concat(t)", "for i = 1, #t do end", "table.remove(t)",
        "for _ in ipairs(t) do end", "for _ in pairs(t) do end", "local x = one_of(t)" } do
        calls[#calls + 1] = forged .. " " .. call
      end
    end
    for _, call in ipairs {
      'local x = string.rep("", 1e15)', 'local x = string.rep("", 1e15, "")', 'local x = ("x"):rep(1e15)',
      'local x = ("x"):rep(-1e300)', 'local x = ("x"):rep(1 / 0)', 'local x = ("x"):rep(0 / 0)',
      "table.concat({}, '', 1, 1e15)", "table.concat({ 1 }, '', -1e15, 1)", "table.concat({}, '', 0 / 0)",
      "local t = {} for i = 1, 60000 do t[i] = 60000 - i end table.sort(t, function(a, b) return true end)",
      'string.format("%" .. ("0"):rep(60000))', 'string.format(("%"):rep(60001), 1)', 'string.format("%.99999f", 1)',
      'string.format(("%99s"):rep(1000), "x")', 'string.format(("%s"):rep(60), ("x"):rep(60000))',
      'local s = ("a"):rep(60000) for i = 1, 1e6 do local x = s:find(s:sub(1, 30000) .. "b", 1, true) end',
      'local s = (" "):rep(60000) .. "1" for i = 1, 1e6 do local x = s + 1 end',
      'local s = ("1"):rep(60000) for i = 1, 1e6 do local x = -s end',
      'local s = ("1"):rep(60000) for i = 1, s do end', 'local s = ("1"):rep(60000) local x = math.floor(s)',
      'local s = ("1"):rep(60000) for i = 1, 1e6 do local x = tonumber(s) end',
      'local s, r = ("1"):rep(60000), ("1"):rep(60000) for i = 1, 1e6 do local x = s < r, s == r, s ~= r, s <= r end',
      'local s = ("a"):rep(60000) local t = {} for i = 1, 1e6 do t[s .. i] = i end',
      'local t = {} for i = 1, 1e6 do t[i * 65535] = i end', 'local t = {} for i = 1e6, 1, -1 do t[i] = i end',
      'local t = {} for i = 1, 32768 do t["k" .. i] = 1 end for i = 1, 1e6 do t["k" .. i] = nil t["l" .. i] = 1 end',
      'local t = {} for i = 1, 60000 do t[i] = 1 end for i = 1, 1e6 do for _ in pairs(t) do break end end',
      'for i = 1, 1e6 do local x = one_of { ' .. ("1, "):rep(1000) .. '} end',
      'for i = 1, 1e6 do local x = { ' .. ("1, "):rep(5000) .. '} end',
      'for i = 1, 1e6 do local x = { ' .. ("{}, "):rep(5000) .. '} end',
      'local f = function(a) return a end for i = 1, 1e6 do f(function() return i end) end',
      'local s = ("a"):rep(60000) for i = 1, 1e6 do s:match("a" .. i .. "[" .. i .. "]") end',
      'for i = 1, 1e6 do local x = ("x"):match(("[a-z]"):rep(50)) end',
      'local s = ("ab"):rep(30000) for i = 1, 1e6 do s:gsub("()", "%1%1%1") end',
      'local s = ("a"):rep(60000) for a in s:gmatch("()") do for b in s:gmatch("()") do end end',
      'x = 1 for i = 1, 1e6 do x = nil x = 1 end',
    } do calls[#calls + 1] = call end
    local watched = 0
    for _, call in ipairs(calls) do
      local ok, set, err = pcall(rules.load, call .. GOOD)
      assert.is_true(ok, set)
      assert.is_true(set ~= nil or err:find("^config: rules%.lua:1: ") ~= nil, call .. ": " .. tostring(err))
      assert.is_true(cost.script <= cost.LOAD.steps, call)
      watched = watched + 1
    end
    assert.equal(#calls, watched)
  end)
end)

describe("rules: totals", function()
  local LOOP = "function(e) local n = 0 for i = 1, %d do n = n + i end return \"x\" .. n end"

  local function set_of(count, turns)
    local parts = { 'template "t" { language = "en", body = { "x" } }' }
    for n = 1, count do
      parts[n + 1] = ('confirm "r%d" { on = "*", also = true, x = %s }'):format(n, LOOP:format(turns))
    end
    return assert(rules.load(table.concat(parts, "\n")))
  end

  it("an event has one for all rules' functions: 200 rules with also", function()
    local set = set_of(200, 10)
    for _, decision in ipairs(set:decide { type = "x" }) do assert.is_true(decision.confirm, decision.reason) end
    set = set_of(200, 15000)
    local first
    for _ = 1, 3 do
      local decisions, confirmed = set:decide { type = "x" }, 0
      assert.equal(200, #decisions)
      for n, decision in ipairs(decisions) do
        if decision.confirm then confirmed = confirmed + 1 else
          assert.truthy(decision.reason:find("all rules' functions together ran too long, more than 1000000 steps", 1, true))
          assert.is_true(n > confirmed)
        end
      end
      first = first or confirmed
      assert.equal(first, confirmed)
      assert.is_true(confirmed > 3 and confirmed < 20, confirmed)
    end
  end)

  it("a load has one: script, checks and every example", function()
    local parts = { 'template "t" { language = "en", body = { "x" } }',
      'confirm "P" { on = "*", x = ' .. LOOP:format(2000) .. " }" }
    for n = 1, 100 do
      parts[n + 2] = ('example "e%d" { event = { type = "x" }, expect = { confirm = true } }'):format(n)
    end
    assert(rules.load(table.concat(parts, "\n")))
    for n = 101, 1000 do
      parts[n + 2] = ('example "e%d" { event = { type = "x" }, expect = { confirm = true } }'):format(n)
    end
    local set, err = rules.load(table.concat(parts, "\n"))
    assert.is_nil(set)
    assert.truthy(err:find("^config: rules%.lua:%d+: the script with all its examples ran too long, more than 4000000 steps"),
      err)
  end)

  it("copies of an event are paid for, and made only where one may have been changed", function()
    local event = { type = "x", list = {} }
    for n = 1, 15000 do event.list[n] = n end
    local parts = {}
    for n = 1, 300 do
      parts[n] = ('confirm "r%d" { on = "x", when = function(e) %s return false end, name = "n", action = "a", '
        .. 'next_step = "x" }'):format(n, "%s")
    end
    local reads = assert(rules.load((table.concat(parts, "\n"):gsub("%%s", "local x = e.list[1]"))))
    assert.truthy(reads:decide(event)[1].reason:find('no rule matched "x"', 1, true))
    local writes = assert(rules.load((table.concat(parts, "\n"):gsub("%%s", "e.list[1] = 0"))))
    assert.truthy(writes:decide(event)[1].reason:find("all rules' functions together ran too long", 1, true))
  end)

  it("conditions and lists of a script have limits of their own", function()
    local BODY = ', name = "n", action = "a", next_step = "x" }'
    for said, script in pairs {
      ["compare with more than 100000 values"] = 'local t = {} for i = 1, 20000 do t[i] = "x" .. i end '
        .. 'local c = starts_with(t) confirm "A" { when = { a = c, b = c, c = c, d = c, e = c, f = c }' .. BODY,
      ["on has more than 100 event types"] = 'local t = {} for i = 1, 101 do t[i] = "x" .. i end confirm "A" { on = t' .. BODY,
      ["body has more than 100 names"] = 'local t = {} for i = 1, 101 do t[i] = "x" .. i end template "A" { body = t }',
      ["would be confirmed more than 400 times"] = 'for i = 1, 401 do confirm("r" .. i) { on = "a.*", also = true' .. BODY
        .. " end confirm \"z\" { on = \"a.b\"" .. BODY,
    } do
      local set, err = rules.load(script)
      assert.is_nil(set)
      assert.truthy(err:find(said, 1, true), err)
    end
    assert(rules.load('for i = 1, 900 do confirm("r" .. i) { on = "t" .. i, also = true' .. BODY .. " end"))
  end)
end)
