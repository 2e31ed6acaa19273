-- Scripts and events that mean harm: each ends with a sentence, in bounded work and memory, and the host is unharmed.
local cost = require "onemsg.rules.cost"
local rules = require "onemsg.rules"
local source = require "onemsg.rules.source"

local GOOD = '\nconfirm "Good" { on = "*", name = "n", action = "a", next_step = "x" }'
local MEGABYTES = 140   -- by which the whole process may ever grow: a load's 64 MB of texts, and the garbage

local function peak() -- megabytes this process ever held
  local file = assert(io.open("/proc/self/status"))
  local kilobytes = file:read("*a"):match("VmHWM:%s*(%d+)")
  file:close()
  return tonumber(kilobytes) / 1024
end

local functions, string_index = {}, debug.getmetatable("").__index
for name, fn in pairs(string) do functions[name] = fn end

local function assert_unharmed()
  assert.is_nil((debug.gethook()))
  assert.equal(string_index, debug.getmetatable("").__index)
  for name, fn in pairs(functions) do assert.equal(fn, string[name]) end
  for name in pairs(string) do assert.truthy(functions[name]) end
  assert.equal("xxx", ("x"):rep(3))
end

-- Runs what a script must not do to us.
local function bounded(fn)
  collectgarbage()
  local before = peak()
  fn()
  assert.is_true(cost.spent <= cost.LOAD.steps, "it took " .. cost.spent .. " steps")
  assert.is_true(peak() - before < MEGABYTES, "it took " .. peak() - before .. " MB")
  assert_unharmed()
end

local LONG, LARGE = "it ran too long", "it used too much memory"
local JOINED = "..: the text would be longer than 65536 bytes"
local EITHER = { [LONG] = true, [LARGE] = true }
local DEEP = { [LONG] = true, [LARGE] = true, ["functions call each other without end"] = true }
local GONE = "is not available in rules: a rules script only declares"
local cases = {
  -- a script, and a part of what is said; where several limits are met, which comes first is the Lua's affair
  { "while true do end", LONG },
  { "goto again ::again:: goto again", LONG },
  { "repeat local x = 1 until false", LONG },
  { "for i = 1, 1e15 do end", LONG },
  { "local function f() return f() end f()", LONG },
  { "local function f() return 1 + f() end f()", DEEP },
  { "local function f(n) local a, b, c, d, e = n, n, n, n, n f(n + 1) return a + b + c + d end f(1)", DEEP },
  { 'local s = "xxxxxxxxxxxxxxxx" while true do s = s .. s end', JOINED },
  { 'local s = ("x"):rep(60000) while true do s = s .. s .. s .. s .. s .. s .. s .. s .. s end', JOINED },
  { 'local s = ("x"):rep(30000) while true do local t = s .. s end', LARGE },
  { "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end", LARGE },
  { "local t = {} while true do t = { t } end", EITHER },
  { 'local s = ("x"):rep(65536) while true do local t = s:upper() end', EITHER },
  { 'local s = ("x"):rep(1e9)', "string.rep: the text would be longer than 65536 bytes" },
  { 'local s = string.rep("", 1e9, ("x"):rep(100))', "the text would be longer than 65536 bytes" },
  { 'local s = string.format("%s%s", ("x"):rep(40000), ("x"):rep(40000))', "string.format: the text would be longer" },
  { 'local s = string.format("%99999d", 1)', 'string.format: "%99999d" is malformed' },
  { 'local s = string.format("%p", {})', "string.format: %p is not available" },
  { 'local s = ("x"):rep(60000):gsub("^x", ("y"):rep(6000))', "string.gsub: the text would be longer" },
  { 'local s = table.concat({ ("x"):rep(60000), ("x"):rep(60000) })', "table.concat: the text would be longer" },
  { "table.insert({}, -2000000000, 1)", "table.insert: the position must be from 1 to 1" },
  { "table.remove({ 1 }, -2000000000)", "table.remove: the position must be from 1 to 1" },
  { 'local x = string.byte(("x"):rep(9999), 1, -1)', "string.byte: ask for 256 bytes at most" },
  { 'local x = ("a"):rep(60000):find(".-.-.-.-.-.-x")', LONG },
  { 'local x = ("a"):rep(40):match("(a*)(a*)(a*)(a*)(a*)(a*)(a*)(a*)(a*)(a*)b")', LONG },
  { 'local x = ("a"):rep(60000):gsub("a-b", "")', LONG },
  { 'for x in ("a"):rep(60000):gmatch("a*b") do end', LONG },
  { 'local x = ("("):rep(60000):find("%b()")', LONG },
  { 'local x = ("a"):find(("a?"):rep(200) .. ("a"):rep(200))', "a pattern may have 256 bytes at most" },
  { 'while true do ("a"):rep(100):find("^(a-)(a-)$") end', LONG },
  { "table.sort({ 3, 2, 1 }, function() while true do end end)", LONG },
  { '("x"):gsub("x", function() while true do end end)', LONG },
  { "x = " .. ("("):rep(100000), ": brackets are nested too deep" },
  { "x = " .. ("{"):rep(100000) .. ("}"):rep(100000), ": brackets are nested too deep" },
  { "x = 1" .. (" .. 1"):rep(50), "more than 50 texts are joined by '..' in one place" },
  { 'x = ("a" .. 1)' .. (" .. (2 .. 3)"):rep(50), "more than 50 texts are joined by '..' in one place" },
  { "x = f(1, 2)" .. (" .. f(1, 2)"):rep(50), "more than 50 texts are joined by '..' in one place" },
  { "x = 1" .. (" .. --[[ = ; , ]] 1"):rep(50), "more than 50 texts are joined by '..' in one place" },
  { "x = [==[ = ]]]==]" .. (" .. [[ ]=] ; ]]"):rep(50), "more than 50 texts are joined by '..' in one place" },
  { "x = 'a'" .. (" .. '\\'=\\\\\\z \n,'"):rep(50), "more than 50 texts are joined by '..' in one place" },
  { "local function f(...) return f(1, ...) end f()", "'...' is not available in rules" },
  { "while true do pcall(error) end", "'pcall' " .. GONE },
  { "string.rep = nil", ":1: string.rep cannot be changed: a rules script only declares" },
  { "string = nil", "'string' is a word of the rules and cannot be changed" },
  { "over = nil", "'over' is a word of the rules and cannot be changed" },
  { '("").rep = nil', "a text has no fields to set" },
  { "missing.x = 1", "a condition cannot be changed" },
  { "error({})", "it raised an error that is not a text" },
  { "error(nil)", "it raised an error that is not a text" },
  { 'error(("x"):rep(60000))', ("x"):rep(100) },
  { ('confirm("x" .. #"") '):rep(2), 'confirm "x0" stands already in line 1' },
  { "for i = 1, 1e6 do never(tostring(i)) end", "there are more than 1000 'never' in this script" },
  { "\27LuaQ", "this is compiled bytecode, not a text; rules are written as text" },
  { "\27LJ\2", "this is compiled bytecode, not a text; rules are written as text" },
  { "\239\187\191\27LJ\2", "this is compiled bytecode, not a text" },
  { "x = '\0'", "this is not a text: it holds zero bytes" },
  { ("-"):rep(1048577), "it is larger than 1 MiB" },
}
for name in ([[_G coroutine debug dofile getfenv getmetatable io jit load loadfile loadstring os package print rawget
  rawset require select setfenv setmetatable unpack xpcall collectgarbage ngx newproxy]]):gmatch("[%w_]+") do
  cases[#cases + 1] = { "local x = " .. name, "'" .. name .. "' " .. GONE }
end

local function assert_says(sentence, parts)
  local found = false
  for part in pairs(type(parts) == "table" and parts or { [parts] = true }) do
    found = found or sentence:find(part, 1, true) ~= nil
  end
  assert.is_true(found, sentence)
end

describe("rules: a hostile script", function()
  for _, case in ipairs(cases) do
    it("is stopped: " .. case[1]:gsub("%c", "?"):sub(1, 60), function()
      local set, err
      bounded(function() set, err = rules.load(case[1] .. GOOD) end)
      assert.is_nil(set)
      assert.truthy(err:find("^config: rules%.lua"), err)
      assert_says(err, case[2])
      assert.is_true(#err < 500)
    end)
  end

  it("may use what is harmless", function()
    assert(rules.load([[
      local s = ("a,b,c"):rep(3, ";")
      VIP = { "Ana", "Rui" }
      function is_vip(name) for _, vip in ipairs(VIP) do if vip == name then return true end end return false end
      assert(#s == 17 and s:find("b", 1, true) == 3 and math.floor(2.5) == 2 and type(tonumber("7")) == "number")
      assert(("x"):byte() == 120 and ("abc"):byte(1, -1) == 97 and tostring({}) == "table" and tostring(5.0) == "5")
      local list = { 3, 1, 2 } table.sort(list) table.insert(list, 4) table.insert(list, 1, 0)
      assert(table.concat(list, "") == "01234" and table.remove(list) == 4 and table.remove(list, 1) == 0)
      local order = {} for key in pairs { b = 1, a = 2, [2] = 3, [1] = 4 } do order[#order + 1] = key end
      assert(table.concat(order) == "12ab")
      assert(string.format("%05.1f|%s|%d|%%|%x", 2.5, true, 7.0, 255) == "002.5|true|7|%|ff")
    ]] .. GOOD))
  end)
end)

describe("rules: a hostile function", function()
  local HOSTILE = {
    { "while true do end", LONG },
    { "while true do local s = ('x'):rep(1000) end", EITHER },
    { "local s = e.type while true do s = s .. s end", JOINED },
    { "local function f() return 1 + f() end return f()", DEEP },
    { "return ('a'):rep(5000):find('.-.-.-.-x')", LONG },
    { "local s = ('x'):rep(65536) while true do local t = s:lower() end", EITHER },
    { "counter = 1", "a function cannot set 'counter': rules keep nothing from event to event" },
    { "confirm 'Late' { }", "'confirm' cannot be used inside a function" },
    { "defaults { }", "'defaults' cannot be used inside a function" },
    { "string.find = nil", "string.find cannot be changed" },
    { "os.exit()", "'os' " .. GONE },
    { "error({})", "it raised an error that is not a text" },
    { "return nofunction()", "unknown word 'nofunction'" },
  }
  for _, case in ipairs(HOSTILE) do
    it("skips its rule only: " .. case[1], function()
      local set = assert(rules.load(('confirm "Bad" { on = "t", when = function(e) %s end, name = "n", action = "a", '
        .. 'next_step = "x" }'):format(case[1]) .. GOOD))
      local list, lines
      bounded(function() list, lines = set:decide({ type = "t" }), set:explain({ type = "t" }) end)
      assert.equal("Good", list[1].rule)
      assert.truthy(lines[1]:find('confirm "Bad": failed: ', 1, true), lines[1])
      assert_says(lines[1], case[2])
    end)
  end

  it("is stopped also after it ran often enough to be compiled", function()
    local set = assert(rules.load([[
      local function spin(e) while e.loop do local x = 1 end return true end
      confirm "Bad" { on = "t", when = function(e) for i = 1, 20 do spin { loop = false } end return spin(e) end,
        name = "n", action = "a", next_step = "x" }]] .. GOOD))
    for _ = 1, 3000 do assert.equal("Bad", set:decide({ type = "t" })[1].rule) end
    bounded(function() assert.equal("Good", set:decide({ type = "t", loop = true })[1].rule) end)
  end)

  it("sees a copy of the event: no rule and no caller sees its changes", function()
    local set = assert(rules.load([[
      confirm "Bad" { on = "t", when = function(e) e.list[1] = "changed" e.type = nil return false end,
        name = "n", action = "a", next_step = "x" }
      confirm "Next" { on = "t", when = function(e) return e.list[1] == "kept" and e.type == "t" end,
        name = "n", action = function(e) e.list[1] = "late" return e.list[1] end, next_step = "{list.1}" }]]))
    local event = { type = "t", list = { "kept" } }
    local decision = set:decide(event)[1]
    assert.equal("Next", decision.rule)
    assert.equal("kept", decision.next_step)
    assert.same({ type = "t", list = { "kept" } }, event)
  end)

  it("cannot reach the host's strings, and the host has its own again after errors", function()
    local set = assert(rules.load([[
      confirm "A" { on = "t", name = "n", next_step = "x",
        action = function(e) return tostring(("").dump) .. tostring(("").pack) .. type(("").rep) end }
      confirm "B" { on = "u", when = function(e) return e.x.y end, name = "n", action = "a", next_step = "x" }]]))
    assert.equal("nilnilfunction", set:decide({ type = "t" })[1].action)
    set:decide({ type = "u" })
    assert_unharmed()
  end)

  it("leaves a hook of the host as it was, also in a coroutine", function()
    local set = assert(rules.load([[
      confirm "A" { on = "t", when = function(e) return e.x.y end, name = "n", action = "a", next_step = "x" }]]))
    local calls = 0
    local function hook() calls = calls + 1 end
    local function check()
      debug.sethook(hook, "c", 0)
      set:decide({ type = "t" })
      local now, mask, count = debug.gethook()
      debug.sethook()
      assert.equal(hook, now) assert.equal("c", mask) assert.equal(0, count)
    end
    check()
    assert(coroutine.resume(coroutine.create(check)))
    assert.is_true(calls > 0)
  end)
end)

describe("rules: a hostile event", function()
  local SCRIPT = [[
    confirm "Words" { on = "t", when = { ["a.b"] = "x", s = starts_with("y") }, name = "{n}", action = "a",
      next_step = "x" }
    confirm "Function" { on = "t", when = function(e) return e.s == "f" end, name = "n", action = "a",
      next_step = "x" }]]
  local set = assert(rules.load(SCRIPT))

  local function reason(event)
    rawset(event, "type", "t")
    local list
    bounded(function() list = set:decide(event) end)
    assert.equal(1, #list)
    assert.is_true(#list[1].reason < 1100)
    return list[1].reason
  end

  it("may be deep, wide or long", function()
    local deep = {}
    local inner = deep
    for _ = 1, 20000 do inner.a = {} inner = inner.a end
    assert.truthy(reason(deep):find("nested deeper than 64 levels", 1, true))
    local wide = {}
    for n = 1, 50000 do wide[n] = n end
    assert.truthy(reason({ wide = wide }):find("has more than 20000 values", 1, true))
    assert.truthy(reason({ s = ("y"):rep(4000000) }):find("has a text of 4000000 bytes", 1, true))
    assert.truthy(reason({ s = "y", a = { b = "x" }, n = ("z"):rep(4000000) }):find("n is a text of 4000000", 1, true))
    local loop = {}
    loop.a = loop
    assert.truthy(reason(loop):find("nested deeper", 1, true))
  end)

  it("is not executed", function()
    local trap = function() error("called") end
    local armed = setmetatable({}, { __index = trap, __len = trap, __eq = trap, __lt = trap, __call = trap,
      __tostring = trap, __concat = trap, __newindex = trap })
    assert.truthy(reason(setmetatable({ a = armed, s = armed, n = armed }, getmetatable(armed))))
    assert.truthy(reason({ a = { b = "x" }, s = trap, n = trap }):find("s is missing", 1, true))
    assert.truthy(reason({ a = { b = "x" }, s = "y", n = armed }):find("n is a table", 1, true))
    assert.truthy(reason({ a = { b = "{n}%s%1\0\27" }, s = "\255\254" }))
  end)

  it("1,000 at random: decided alike twice, explained alike, unchanged, and the same on every Lua", function()
    local file = assert(io.open("examples/rules.lua", "rb"))
    local example = assert(rules.load(file:read("*a")))
    file:close()
    local seed = 42
    local function pick(list)
      seed = (seed * 16807) % 2147483647
      return list[seed % #list + 1]
    end
    local NONE = {}
    local function maybe(list) local value = pick(list) if value ~= NONE then return value end end
    local function copy(value)
      if type(value) ~= "table" then return value end
      local twin = {}
      for key, inner in pairs(value) do twin[key] = copy(inner) end
      return twin
    end
    local verdicts, confirmed = {}, {}
    for n = 1, 1000 do
      local event = {
        type = maybe { "payment.succeeded", "order.paid", "profile.updated", "password.changed", "login", NONE, 5 },
        amount = maybe { 0, 990, 12.5, "5", "x", -1, true, NONE },
        plan = maybe { { kind = "subscription" }, { kind = "trial" }, "plan", NONE },
        payment = maybe { { id = "p-" .. n }, { id = n }, NONE },
        order = maybe { { total = 5000.0, number = n }, { total = 5, number = "A" }, { total = "x" }, 5, NONE },
        changed = maybe { { by = "admin" }, NONE, {} },
        customer = maybe { NONE, { first_name = "Ana", phone = "+55 11 91234-5678", whatsapp_ok = true },
          { phone = 12020721369, whatsapp_ok = true, email = "a@ourcompany.example" }, { whatsapp_ok = true },
          { whatsapp_ok = "yes", email = {} }, { first_name = " ", whatsapp_ok = true, language = "pt_BR" } },
      }
      local before = copy(event)
      local decisions = example:decide(event)
      assert.same(decisions, example:decide(event))
      local _, explained = example:explain(event)
      assert.same(decisions, explained)
      assert.same(before, event)
      local one = decisions[1]
      assert.is_true(one.confirm or one.reason:find("^skipped: ") ~= nil)
      verdicts[n] = tostring(one.rule) .. table.concat(one.body or {}, "|") .. tostring(one.phone)
      confirmed[one.confirm and one.rule or "none"] = true
    end
    for _, name in ipairs(example.rules) do assert.is_true(confirmed[name], name .. " never came up") end
    assert.equal("742f0a2c2814de62", source.version(table.concat(verdicts, "\n")))
  end)
end)
