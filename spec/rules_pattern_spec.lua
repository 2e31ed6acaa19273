-- The bounded matcher means what string.find means.
local pattern = require "onemsg.rules.pattern"
local rules = require "onemsg.rules"

local unpack = rawget(_G, "unpack") or rawget(table, "unpack")

local function ours(subject, what, init)
  local result = { pcall(pattern.search, subject, what, init or 1, 100000) }
  if not result[1] then return nil, result[2] end
  local _, _, start, stop, captures = unpack(result)
  if not start then return {} end
  return { start, stop, unpack(captures) }
end

local function theirs(subject, what, init)
  local result = { pcall(string.find, subject, what, init or 1) }
  if not table.remove(result, 1) then return nil, result[1] end
  return result
end

describe("rules: patterns", function()
  it("find what string.find finds", function()
    for _, case in ipairs {
      { "hello world", "o w" }, { "hello", "l+" }, { "hello", "^h(.-)o$" }, { "key = value", "^(%w+)%s*=%s*(%w+)$" },
      { "a.b", "%." }, { "x[1]", "%[(%d)%]" }, { "THE (quick) fox", "%((%a+)%)" }, { "f(a(b)c)d", "%b()" },
      { "hello", "()ll()" }, { "abcabc", "(abc)%1" }, { "THE fox", "%f[%a]%a+%f[%A]" }, { "a-b", "[%-]" },
      { "a]b", "[]]" }, { "a^b", "[a^]+" }, { "a^b", "[^a]+" }, { "äö", "[\128-\255]+" }, { "x", "y?x" }, { "", "" },
      { "", "^$" }, { "abc", "b-c" }, { "aaa", "a-$" }, { "2026-11-23", "^(%d+)%-(%d+)%-(%d+)$" }, { "a$", "a$" },
      { "a$b", "a$b" }, { "maria@x.example", "^[%w%.]+@([%w%.]+)$" }, { "((x))", "(%((%((x)%))%))" },
      { "ab", "(a)(b)(c?)" },
      { "a\0b", "a%zb" }, { "x^", "x^" }, { "*", "*" }, { "a", "(a*(.)%w(%s*))" }, { "abc", "", 4 }, { "abc", "b", 3 },
      { "xAy", "%u" }, { "x\ty", "%c" }, { "a,b", "%p" }, { "f00", "%x+" },
    } do
      assert.same(theirs(case[1], case[2], case[3]), ours(case[1], case[2], case[3]), case[2])
    end
  end)

  it("agree with string.find on 20,000 at random", function()
    local seed = 7
    local function pick(text)
      seed = (seed * 16807) % 2147483647
      local at = seed % #text + 1
      return text:sub(at, at)
    end
    local compared = 0
    for _ = 1, 20000 do
      local what, subject = {}, {}
      for n = 1, 6 do what[n], subject[n] = pick("ab%.()[]^$*+-?1ab..%wb"), pick("aab%]b1") end
      what, subject = table.concat(what), table.concat(subject)
      local expected = theirs(subject, what)
      local got = ours(subject, what)
      if expected and got then -- string.find finds a malformed pattern only when it comes that far
        assert.same(expected, got, what .. " on " .. subject)
        compared = compared + 1
      elseif got then
        error("only string.find refuses " .. what .. " on " .. subject)
      end
    end
    assert.is_true(compared > 3000, compared)
  end)

  it("work in a script: find, match, gmatch, gsub", function()
    assert(rules.load([[
      local function list(s, p) local t = {} for a, b in s:gmatch(p) do t[#t + 1] = a .. (b or "") end
        return table.concat(t, "|") end
      assert(list("one two", "%a+") == "one|two" and list("a=1,b=2", "(%w)=(%w)") == "a1|b2" and list("ab", "") == "||")
      assert(list("abc", "%a*") == "abc")
      local s, n = ("hello world"):gsub("o", "0") assert(s == "hell0 w0rld" and n == 2)
      assert(("hello"):gsub("l", { l = "L" }) == "heLLo" and ("hello"):gsub("l", { l = false }) == "hello")
      assert(("hello"):gsub("(h)(e)", "%2%1%0%%") == "ehhe%llo" and ("abc"):gsub("%w", "%1%1", 2) == "aabbc")
      assert(("abc"):gsub("", "-") == "-a-b-c-" and ("abc def"):gsub("%w*", "x") == "x x")
      assert(("abc"):gsub("^a", "x") == "xbc" and ("aaa"):gsub("^a", "x") == "xaa")
      assert(("2 3"):gsub("%d", function(d) return d * 2 end) == "4 6")
      assert(("x"):find("x", 5) == nil and ("abc"):find("c", -1) == 3 and ("a.b"):find(".", 2, true) == 2)
      assert(("abc"):match("()b()") == 2 and ("k=v"):match("(k)=(v)") == "k" and ("abc"):match("x") == nil)
      assert(string.find(123, "2") == 2)
      confirm "Good" { on = "*", name = "n", action = "a", next_step = "x" } ]]))
  end)

  it("name what is malformed, with the line of the script", function()
    for what, said in pairs {
      ["["] = "malformed pattern (missing ']')", ["%"] = "malformed pattern (ends with '%')",
      ["("] = "unfinished capture", [")"] = "invalid pattern capture", ["%b"] = "missing arguments to '%b'",
      ["%f"] = "missing '[' after '%f' in pattern", ["%1"] = "invalid capture index %1",
    } do
      local _, err = rules.load(('\nlocal x = ("abc"):find("%s")'):format(what))
      assert.equal("config: rules.lua:2: " .. said, err)
    end
    local _, err = rules.load('local x = ("abc"):gsub("a", "%5")')
    assert.equal("config: rules.lua:1: string.gsub: no capture %5 in the pattern", err)
  end)
end)
