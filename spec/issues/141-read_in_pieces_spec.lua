-- JSON of a megabyte, read at once, kept nginx from everybody else for a third of a second. A long text is read in pieces:
-- what it says, and that it says nothing, must not depend on that; and between two pieces lies little work.
local canonical = require "onemsg.base.canonical"
local document = require "onemsg.base.document"
local hooks = require "onemsg.hooks"

local DEPTH = 32

describe("a long JSON text", function()
  local whole, times

  setup(function()
    local list = {}
    for i = 1, 500 do
      list[i] = ('{"id":"wamid.%d","n":19.%d0,"big":12345678901234567890,"e":[],"o":{},"x":null,"t":"a\\"],{\\\\"}'):format(i, i)
    end
    whole = table.concat(list, ",")
  end)
  before_each(function() times = 0 end)

  local function breathe() times = times + 1 end

  local function cases()
    return {
      { "a list", "[" .. whole .. "]" },
      { "a list in an object in a list", '[1, {"a" : [' .. whole .. "]} ,2]" },
      { "an object of lists, one name twice",
        '{"a":1.50,"b":[' .. whole .. '], "a" : [' .. whole .. '],"q\\"[":[' .. whole .. "]}" },
      { "numbers as they were written", "[" .. ("1.50,2,3e2,"):rep(9000) .. "1.0]" },
      { "a text", '["' .. ("\\u00e9"):rep(20000) .. '"]' },
      { "a long name", '{"' .. ("x"):rep(40000) .. '":[' .. whole .. "]}" },
      { "blanks", ("\n "):rep(20000) .. "[ " .. (" "):rep(40000) .. "]" .. (" "):rep(40000) },
      { "an empty object of blanks in an object", '{"a":{' .. (" "):rep(50000) .. "}}" },
      { "a byte order mark", "\239\187\191[" .. whole .. "]" },
      { "32 levels", ("["):rep(32) .. ("7,"):rep(40000) .. "7" .. ("]"):rep(32) },
      { "33 levels", ("["):rep(33) .. ("7,"):rep(40000) .. "7" .. ("]"):rep(33) },
      { "something behind it", "[" .. whole .. "] x" },
      { "another one behind it", "[" .. whole .. "][" .. whole .. "]" },
      { "no end", "[" .. whole },
      { "another bracket at its end", '{"a":[' .. whole .. "}}" },
      { "a comma too many at the end", "[" .. whole .. ",]" },
      { "a comma too many in the middle", "[" .. whole .. ",," .. whole .. "]" },
      { "a comma too many behind a long one", "[[" .. whole .. "],]" },
      { "a comma too many before a long one", "[,[" .. whole .. "]]" },
      { "an object with a comma too many", '{"a":[' .. whole .. "],}" },
      { "an object without names", "{[" .. whole .. "]}" },
      { "an object with a value and no name", "{[" .. whole .. '],"a":1}' },
      { "a name without an end", '{"a' .. ("x"):rep(40000) },
      { "a word that is none", "[" .. whole .. ',{"a":tru},' .. whole .. "]" },
      { "only a bracket, and blanks", "[" .. (" "):rep(40000) },
    }
  end

  for n, case in ipairs { "event", "told", "stored" } do
    it("says what it says at once, read as " .. case, function()
      local read = document.reader(DEPTH, case)
      for _, one in ipairs(cases()) do
        local title, text = one[1], one[2]
        local expected, wrong = read(text)
        local value, why = read(text, breathe)
        assert.equal(expected == nil, value == nil, title .. ": " .. tostring(wrong or why))
        assert.equal(type(wrong), type(why), title)
        if value ~= nil then assert.equal(canonical.text(expected), canonical.text(value), title) end
        local at = wrong and n == 1 and not wrong:find "nested" and wrong:match "at character (%d+)"
        if at and why:find "at character" then assert.equal(at, why:match "at character (%d+)", title) end
      end
      assert.is_true(times > 40)
    end)
  end

  it("is cut at random places to no other sense", function()
    local random = 7
    local function draw(most)
      random = (random * 16807) % 2147483647
      return random % most + 1
    end
    local read = document.reader(DEPTH, "event")
    local text = '{"a":1.50,"b":[' .. whole:sub(1, 40000):match "^(.*}),{" .. '],"c":{"d":[1,2,3.0]}}'
    for _ = 1, 60 do
      local at, how = draw(#text), draw(3)
      local broken = how == 1 and text:sub(1, at - 1) .. text:sub(at + 1)
        or how == 2 and text:sub(1, at) .. ("[]{},:\"x"):sub(draw(8)):sub(1, 1) .. text:sub(at + 1)
        or text:sub(1, at - 1) .. ("]}[{,"):sub(draw(5)):sub(1, 1) .. text:sub(at + 1)
      local expected, value = read(broken), read(broken, breathe)
      assert.equal(expected == nil, value == nil, at .. " " .. how)
      if value ~= nil then assert.equal(canonical.text(expected), canonical.text(value)) end
    end
  end)

  it("of a hook gives the same items, and others are served between them", function()
    local list = {}
    for i = 1, 4000 do list[i] = ('{"id":"m%d","body":"%s","fromMe":false,"author":"1202%07d@c.us","type":"chat"}'):format(i,
      ("x"):rep(200), i) end
    local body = '{"instanceId":"1","messages":[' .. table.concat(list, ",") .. "]}"
    local found = assert(hooks.parse(body, 1700000000, breathe))
    assert.same(assert(hooks.parse(body, 1700000000)), found)
    assert.is_true(times > 4000)
  end)

  it("is not gone through to its end where it is too long to be kept", function()
    local fields = {}
    for i = 1, 100000 do fields["k" .. i] = setmetatable({}, { __index = function() error "nobody reads this" end }) end
    local text, wrong, long = canonical.text({ fields = fields }, 65536)
    assert.is_nil(text)
    assert.is_string(wrong)
    assert.is_true(long)
    for size = 65530, 65540 do
      local value = { a = ("x"):rep(size - 60), b = { 1, "2", {}, { c = true } }, d = { "x", "y" } }
      local exact = canonical.text(value)
      assert.equal(exact, canonical.text(value, #exact))
      assert.is_nil(canonical.text(value, #exact - 1))
    end
  end)

  it("whose writing a finalizer interrupts is written to its end", function()
    local function inside()
      return canonical.text({ z = { { y = "inside" } } }, 1000)
    end
    local value = {}
    for i = 1, 300 do value["k" .. i] = { n = i, list = { i, { deep = "x" } } } end
    local expected = canonical.text(value)
    for _ = 1, 20 do
      local proxy = rawget(_G, "newproxy") -- LuaJIT, where tables have no finalizers
      if proxy then
        getmetatable(proxy(true)).__gc = inside
      else
        setmetatable({}, { __gc = inside })
      end
      collectgarbage "step"
      assert.equal(expected, canonical.text(value))
    end
  end)
end)
