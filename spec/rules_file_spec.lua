-- A rules file that changes while it is followed. Time is an argument; nothing sleeps.
local rules = require "onemsg.rules"

local function script(action)
  return ('confirm "R" { on = "t", name = "n", action = "%s", next_step = "x" }\n'):format(action)
end

describe("rules: a file that is followed", function()
  local path

  local function write(content)
    local file = assert(io.open(path, "wb"))
    assert(file:write(content))
    file:close()
  end

  local function action(handle, now) return (handle:current(now)):decide({ type = "t" })[1].action end

  before_each(function()
    path = os.tmpname()
    write(script("one"))
  end)
  after_each(function() os.remove(path) end)

  it("takes up a change within two seconds, and looks once a second at most", function()
    local opened, handle = 0, assert(rules.open(path, 100))
    local open = io.open
    io.open = function(...) opened = opened + 1 return open(...) end -- luacheck: ignore
    finally(function() io.open = open end) -- luacheck: ignore
    assert.equal("one", action(handle, 100))
    write(script("two"))
    opened = 0
    assert.equal("one", action(handle, 100.5))
    assert.equal(0, opened)
    for _ = 1, 100 do assert.equal("two", action(handle, 101.5)) end
    assert.equal(1, opened)
    assert.is_nil(handle.problem)
  end)

  it("gives the same set while nothing changes, and a new version when something did", function()
    local handle = assert(rules.open(path, 0))
    local first = handle:current(10)
    assert.equal(first, handle:current(20))
    write(script("two"))
    assert.not_equal(first.version, handle:current(30).version)
    write(script("one"))
    assert.equal(first.version, handle:current(40).version)
  end)

  it("keeps the last good rules on a bad file, says so, and recovers", function()
    local handle = assert(rules.open(path, 0))
    local name = path:match("[^/]+$")
    write('confrim "x" { }')
    local set, problem = handle:current(10)
    assert.equal("one", set:decide({ type = "t" })[1].action)
    assert.equal("config: " .. name .. ":1: unknown word 'confrim', did you mean 'confirm'?", problem)
    assert.equal(problem, handle.problem)
    local _, again = handle:current(20) -- still bad, still said
    assert.equal(problem, again)
    write(script("one")) -- back to what it was
    set, problem = handle:current(30)
    assert.equal("one", set:decide({ type = "t" })[1].action)
    assert.is_nil(problem)
    assert.is_nil(handle.problem)
  end)

  it("takes no part of a file that is cut off, at whatever byte", function()
    local file = assert(io.open("examples/rules.lua", "rb"))
    local whole = file:read("*a")
    file:close()
    local handle = assert(rules.open(path, 0))
    local refused = 0
    local last = whole:find('confirm "Subscription payment"', 1, true)
    for size = 0, last + 200, 7 do -- up to the middle of its first confirm
      write(whole:sub(1, size))
      assert.equal("one", action(handle, (size + 1) * 10))
      assert.is_string(handle.problem)
      refused = refused + 1
    end
    assert.is_true(refused > 150)
  end)

  it("keeps the last good rules when the file is gone, a directory, or too large", function()
    local handle = assert(rules.open(path, 0))
    os.remove(path)
    assert.equal("one", action(handle, 10))
    assert.truthy(handle.problem:find("it cannot be opened", 1, true))
    write(script("big") .. ("-"):rep(1048577))
    assert.equal("one", action(handle, 20))
    assert.truthy(handle.problem:find("it is larger than 1 MiB", 1, true))
    write(script("back"))
    assert.equal("back", action(handle, 30))
    assert.is_nil(handle.problem)
    handle.path = "/"
    assert.equal("back", action(handle, 40))
    assert.truthy(handle.problem:find("it cannot be read", 1, true))
  end)

  it("an example that fails refuses the new file", function()
    local handle = assert(rules.open(path, 0))
    write(script("two") .. 'example "e" { event = { type = "t" }, expect = { action = "three" } }')
    assert.equal("one", action(handle, 10))
    assert.truthy(handle.problem:find('example "e": expected action "three", got "two"', 1, true))
  end)

  it("looks again when the clock was set back", function()
    local handle = assert(rules.open(path, 1000))
    write(script("two"))
    assert.equal("two", action(handle, 500))
  end)

  it("says why it cannot begin", function()
    write("confirm")
    local handle, err = rules.open(path)
    assert.is_nil(handle)
    assert.truthy(err:find("^config: lua_"), err)
    os.remove(path)
    handle, err = rules.open(path)
    assert.is_nil(handle)
    assert.truthy(err:find("^config: .*it cannot be opened: .*No such file"), err)
  end)
end)
