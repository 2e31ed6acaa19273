-- Several machines on one store are told apart: each has a name, and stats lists them with what they run and when they last gave
-- a sign of life. Kind: what works on a store can be seen; and whoever shares one with other machines, which can't wake it,
-- looks often.
local command_of = require "support.command"
local postgres = require "support.postgres"
local rules = require "onemsg.rules"
local simulation = require "support.simulation"
local sql = require "onemsg.sql"
local workflow = require "onemsg.workflow"

local VERSION = require "onemsg"._VERSION

local function open(target, more)
  local options = { channel = { check = function(_, m) return m end },
    rules = assert(rules.load(simulation.RULES)), store = target, witness = false }
  for name, value in pairs(more or {}) do options[name] = value end
  return workflow.open(options)
end

--- Works for so many waits. -> the seconds that it would have waited
local function work(target, turns, more)
  local waits = {}
  local options = { sleep = function(seconds) waits[#waits + 1] = seconds end }
  for name, value in pairs(more or {}) do options[name] = value end
  local flow = assert(open(target, options))
  assert(flow:work { stop = function() return #waits >= turns end })
  flow:close()
  return waits
end

for _, engine in ipairs { "sqlite", "postgres" } do
  describe("nodes on " .. engine, function()
    local store, target, path

    setup(function()
      if engine == "postgres" then store = postgres.start() end
    end)
    teardown(function()
      if store then store.stop() end
    end)
    before_each(function()
      path = simulation.store_path()
      target = "sqlite:" .. path
      if store then
        store.psql("DROP DATABASE IF EXISTS onemsg WITH (FORCE)", "postgres")
        store.psql("CREATE DATABASE onemsg", "postgres")
        target = store.target
      end
    end)
    after_each(function() os.execute(("rm -f %s %s-*"):format(path, path)) end)

    it("are listed with their version, and whether they are at work", function()
      work(target, 1, { node = "frankfurt" })
      local one, other = assert(open(target, { node = "berlin" })), assert(open(target, { node = "berlin" }))
      for _, flow in ipairs { one, other } do assert(flow:drain()) end
      local seen = assert(one:stats()).nodes
      assert.equal(2, #seen)
      for n, expected in ipairs { { "berlin", 2 }, { "frankfurt", 0 } } do
        assert.equal(expected[1], seen[n].name)
        assert.equal(expected[2], seen[n].processes)
        assert.equal(VERSION, seen[n].version)
        assert.is_true(math.abs(seen[n].at - one.now()) < 600)
      end
      local db = assert(sql.open(target))
      assert(db:unit { { "UPDATE node SET at = at - 100" } }) -- as of processes that were killed
      assert.equal(0, assert(one:stats()).nodes[1].processes)
      assert(db:unit { { "UPDATE node SET at = at - 100000" } })
      work(target, 1, { node = "frankfurt" })
      assert.equal(1, #assert(one:stats()).nodes)
      for _, flow in ipairs { one, other, db } do flow:close() end
    end)

    it("stand beside what they claimed", function()
      local flow = assert(open(target, { node = "berlin" }))
      assert(flow:drain())
      assert(flow:submit { id = "m", type = "short", phone = "12020741301", payment = "m" })
      assert(flow.box:claim(assert(flow.box:look()).gates.main, 1, { from = flow.now(), each = 0 }, flow.now() + 1, 30, 6))
      assert.equal("berlin", flow:show("m").node)
      flow:close()
    end)

    it("look " .. (store and "often" or "four times a second") .. " for what others submitted", function()
      local most = engine == "postgres" and 0.1 or 0.25
      local waits = work(target, 20)
      for _, seconds in ipairs(waits) do assert.is_true(seconds <= most, tostring(seconds)) end
    end)
  end)
end

describe("the name of a node", function()
  it("is one line", function()
    for _, name in ipairs { "", "a\nb", ("x"):rep(65), "\255" } do
      local flow, err = open("sqlite:" .. simulation.store_path(), { node = name })
      assert.is_nil(flow)
      assert.matches("^config: node", err)
    end
  end)

  it("is shown by onemsg stats, from ONE_MSG_NODE", function()
    local command = command_of.new()
    local path = command.dir .. "/store.db"
    command.env.ONE_MSG_STORE, command.env.ONE_MSG_NODE = "sqlite:" .. path, "paris"
    command:write("rules.lua", simulation.RULES)
    local flow = assert(open("sqlite:" .. path))
    flow:close()
    command.env.ONE_MSG_TOKEN, command.env.ONE_MSG_INSTANCE_ID = "x", "1"
    command.env.ONE_MSG_BASE_URL = "http://127.0.0.1:9/"
    local result = command:run("work --drain 0 --rules " .. command.dir .. "/rules.lua")
    assert.equal(0, result.code, result.err)
    result = command:run "stats"
    assert.truthy(result.out:find("node paris: none at work, onemsg " .. VERSION, 1, true), result.out .. result.err)
    command:remove()
  end)
end)
