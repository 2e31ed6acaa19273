-- Whatever is wrong with a rules file, even what makes our own checking fail, is `config:` with file and line: nothing
-- is raised, and the last good rules stay at work.
local rules = require "onemsg.rules"

local GOOD = '\nconfirm "Good" { on = "t", name = "n", action = "a", next_step = "x" }\n'
local REST = 'name = "n", action = "a", next_step = "x" }'

-- A script, the line that is to blame, a part of the sentence.
local CASES = {
  { 'example "e" { event = { type = "t" }, expect = { confirm = {} } }', 3, "confirm names no rule" },
  { 'example "e" { event = { type = "u" }, expect = { confirm = {} } }', 3, "confirm names no rule" },
  { 'example "e" { event = { type = "t" }, expect = { confirm = 5 } }', 3, "a number where a rule's name must stand" },
  { 'example "e" { event = { type = "t" }, expect = { confirm = { {} } } }', 3, "a table where a rule's name" },
  { 'example "e" { event = { type = "t" }, expect = { confirm = missing } }', 3, "confirm" },
  { 'example "e" { event = { type = "t" }, expect = { body = missing } }', 3, "expected body" },
  { 'example "e" { event = string, expect = { confirm = true } }', 3, "the event has no type" },
  { 'example "e" { event = { type = "t" }, expect = math }', 3, "it needs expect" },
  { "error()", 3, "it raised an error that is not a text" },
  { "error({})", 3, "it raised an error that is not a text" },
  { "error(string)", 3, "it raised an error that is not a text" },
  { "error(missing)", 3, "it raised an error that is not a text" },
  { "error(function() end)", 3, "it raised an error that is not a text" },
  { "error(false)", 3, "it raised an error that is not a text" },
  { "error(0 / 0)", 3, "nan" },
  { 'error("", 0)', 3, "" },
  { 'error("rules.lua:99: x", 2)', 3, "rules.lua:99: x" },
  { 'error("\\255\\0\\27[31m")', 3, "?" },
  { "assert(false)", 3, "assertion failed!" },
  { "assert(nil, {})", 3, "it raised an error that is not a text" },
  { 'assert(false, "said")', 3, "said" },
  { "local t = { 3, {}, 1 } table.sort(t)", 3, "it compares" },
  { "local t = { 1, 2 } table.sort(t, function() error({}) end)", 3, "it raised an error that is not a text" },
  { "local t = nil t.x = 1", 3, "'t' is missing, and the script looks into it" },
  { "local t = 5 t.x.y = 1", 3, "'t' is a number, and the script looks into it" },
  { "local x = nil + 1", 3, "a value is missing, and the script calculates with it" },
  { 'local x = {} .. "a"', 3, "a value is a table, and the script joins it to a text" },
  { "local x = {} < {}", 3, "it compares a table with a table" },
  { "local x = #nil", 3, "a value is missing, and the script asks for its length" },
  { "local x = {} x[nil] = 1", 3, "a field is set whose name is missing" },
  { "local x = {} x[0 / 0] = 1", 3, "a field is set whose name is missing" },
  { "math.floor({})", 3, "math.floor: argument 1 must be a number, not a table" },
  { 'tonumber("1", 99)', 3, "a base is a whole number from 2 to 36" },
  { 'string.format("%d", 1e300)', 3, "needs a whole number" },
  { 'string.format("%s")', 3, "there is no value for the 1. %s" },
  { "local function f() return 1 + f() end f()", 3, "functions call each other without end" },
  { "local function f() f() end f()", 3, "functions call each other without end" },
  { 'local s = ("x"):rep(60000) local t = {} for i = 1, 1e6 do t[i] = s .. i end', 3, "it used too much memory" },
  { "while true do end", 3, "it ran too long" },
  { 'confirm "\\255" { on = "t", ' .. REST, 3, "'confirm' needs a name first" },
  { 'confirm "x" { ["\\255\\1"] = 1, ' .. REST, 3, "unknown field '? '" },
  { 'confirm "x" { [{}] = 1, on = "t", ' .. REST, 3, "a value stands without a field name" },
  { 'confirm "x" { [math] = 1, on = "t", ' .. REST, 3, "a value stands without a field name" },
  { 'confirm "x" { on = string, ' .. REST, 3, "on is empty" },
  { 'confirm "x" { on = "t", when = string, ' .. REST, 3, "when is empty" },
  { 'confirm "x" { on = "t", header = table, buttons = math, otherwise = string, ' .. REST, 3, "otherwise needs send" },
  { 'confirm "x" { on = "t", once_per = 0 / 0, ' .. REST, 3, "once_per is empty" },
  { 'local h = {} h.h = h confirm "x" { on = "t", header = h, ' .. REST, 3, "header is nested too deep" },
  { 'local h = {} for n = 1, 4 do local t = {} for i = 1, 300 do t[i] = h end h = t end\n'
    .. 'confirm "x" { on = "t", header = h, ' .. REST, 4, "header holds more than 500 values" },
  { 'confirm "x" { on = "t", language = "{a", ' .. REST, 3, "not closed" },
  { 'local x = "Ol\225"', 3, "this is not UTF-8" },                       -- Latin-1
  { '-- Ol\195\161 \237\160\128', 3, "this is not UTF-8" },               -- half of a surrogate pair
  { "\n\n-- \0", 5, "this is not a text: it holds zero bytes" },
  { "x = \n{", 4, "" },
  { "return ...", 3, "'...' is not available in rules" },
  { "_ENV.x = 1", 3, "'_ENV' is not available in rules" },
  { "local _ENV = {} x = 1", 3, "'_ENV' is not available in rules" },
  { "f = load", 3, "'load' is not available in rules" },
}
for _, value in ipairs { "0", '"0s"', "-1", '"0.5s"', '"40d"', "1e300", "0 / 0", "1 / 0", "{}", "true" } do
  CASES[#CASES + 1] = { ('confirm "x" { on = "t", give_up_after = %s, %s'):format(value, REST), 3, "give_up_after is " }
  CASES[#CASES + 1] = { ('confirm "x" { on = "t", otherwise = { send = "sms", after = %s }, %s'):format(value, REST), 3,
    "after is " }
end

describe("rules: any mistake of a file", function()
  for _, case in ipairs(CASES) do
    it("is config: with its line: " .. case[1]:gsub("[%c\128-\255]", "?"):sub(1, 90), function()
      local ok, set, err = pcall(rules.load, GOOD .. case[1])
      assert.is_true(ok, set)
      assert.is_nil(set)
      local start = "config: rules.lua:" .. case[2] .. ": "
      assert.equal(start, err:sub(1, #start), err)
      assert.truthy(err:find(case[3], 1, true), err)
      assert.is_true(require "onemsg.base.utf8".valid(err) and not err:find("%c"))
      assert.is_true(#err < 700, #err)
    end)
  end

  it("is config: also where the checking itself fails, whatever it raises", function()
    local check = require "onemsg.rules.check"
    local decide = require "onemsg.rules.decide"
    local trap = setmetatable({}, { __tostring = function() error("called") end, __metatable = false })
    local judge, decided = check.check, decide.decide
    finally(function() check.check, decide.decide = judge, decided end)
    local example = 'example "e" { event = { type = "t" }, expect = { confirm = true } }'
    for _, raised in ipairs { "a sentence", "x.lua:1: a sentence\nand more", 5, trap, {}, print, false, "\255\27" } do
      local function raise() error(raised, 0) end
      check.check, decide.decide = raise, decided
      local ok, set, err = pcall(rules.load, GOOD)
      assert.is_true(ok and set == nil, tostring(set))
      assert.truthy(err:find("^config: rules%.lua: it cannot be judged, which is a mistake of onemsg's"), err)
      check.check, decide.decide = judge, raise
      ok, set, err = pcall(rules.load, GOOD .. example)
      assert.is_true(ok and set == nil, tostring(set))
      assert.truthy(err:find("^config: rules%.lua:3: it cannot be judged, which is a mistake of onemsg's"), err)
    end
    check.check, decide.decide = judge, decided
    assert(rules.load(GOOD .. example))
  end)

  it("leaves the last good rules at work, through any row of bad files", function()
    local path = os.tmpname()
    finally(function() os.remove(path) end)
    local function write(text)
      local file = assert(io.open(path, "wb"))
      file:write(text)
      file:close()
    end
    write(GOOD)
    local now = 0
    local handle = assert(rules.open(path, now))
    local first = handle:current(now)
    for n, case in ipairs(CASES) do
      write(GOOD .. case[1])
      now = now + 10
      local set, problem = handle:current(now)
      assert.equal(first, set)
      assert.truthy(problem:find("^config: "), problem)
      if n % 10 == 0 then
        write(GOOD .. "-- " .. n)
        now = now + 10
        first, problem = handle:current(now)
        assert.is_nil(problem)
        assert.is_true(first:decide({ type = "t" })[1].confirm)
      end
    end
  end)

  it("is said of files of any name", function()
    local dir = os.tmpname()
    os.remove(dir)
    for _, name in ipairs { ("n"):rep(200) .. ".lua", "caf\233.lua", "a\nb.lua", "a b.lua", "x:7: y.lua" } do
      local path = dir .. name
      local file = assert(io.open(path, "wb"))
      file:write(GOOD .. "local x = nil + 1")
      file:close()
      local ok, handle, err = pcall(rules.open, path)
      os.remove(path)
      assert.is_true(ok, handle)
      assert.is_nil(handle)
      assert.truthy(err:find("^config: .*:3: a value is missing"), err)
      assert.is_true(require "onemsg.base.utf8".valid(err))
    end
  end)
end)
