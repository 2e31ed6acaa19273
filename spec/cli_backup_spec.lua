-- onemsg backup: a copy of a store that others write into, whole and of one moment.
local cjson = require "cjson"
local commands = require "support.command"
local server = require "support.server"
local sql = require "onemsg.sql"
local sys = require "support.sys"

local RULES = [[
template "action_success" { language = "en", body = { "name", "action", "next_step" } }
confirm "Paid" { on = "paid", phone = "{phone}", name = "Maria", action = "payment", next_step = "Thanks." }
]]

describe("onemsg backup", function()
  local fake, command, copy

  setup(function() fake = server.fake { set = { pace_ms = 0 } } end)
  teardown(function() fake:stop() end)
  before_each(function()
    command = commands.new(fake.env)
    command.env.ONE_MSG_STORE = "sqlite:" .. command.dir .. "/confirmations.db"
    command.env.ONE_MSG_RULES = command:write("rules.lua", RULES)
    copy = command.dir .. "/copy.db"
  end)
  after_each(function() command:remove() end)

  local function submit(first, last)
    local events = {}
    for n = first, last do
      events[#events + 1] = cjson.encode { id = "e-" .. n, type = "paid", phone = ("1202%07d"):format(n) }
    end
    assert.equal(0, command:run("submit", { stdin = table.concat(events, "\n") }).code)
  end

  local function count_in(path)
    local db = assert(sql.open("sqlite:" .. path))
    local n = assert(db:read { { "SELECT COUNT(*) AS n FROM confirmation" } })[1][1].n
    db:close()
    return n
  end

  local function leftovers()
    local pipe = io.popen("ls " .. command.dir)
    local list = pipe:read "*a"
    pipe:close()
    return list:match "%S*%.part%S*"
  end

  it("is complete, private, and a store by itself", function()
    submit(1, 40)
    local result = command:run("backup --json " .. copy)
    assert.equal(0, result.code, result.err)
    assert.equal(copy, result.json[1].backup)
    assert.equal("-rw-------", io.popen("ls -l " .. copy):read "*l":sub(1, 10))
    assert.equal(40, count_in(copy))
    command.env.ONE_MSG_STORE = "sqlite:" .. copy
    assert.equal(40, command:run("stats --json").json[1].states.queued)
    assert.is_nil(leftovers())
  end)

  it("holds all that was acknowledged before it, while others write", function()
    submit(1, 50)
    local program = ([[
      local sql = require "onemsg.sql"
      local db = assert(sql.open("sqlite:%s/confirmations.db", { busy_timeout = 60 }))
      for n = 1, 1e9 do
        assert(db:unit { { "UPDATE confirmation SET reason = 'r' || $1", n } })
        if n == 3 then io.open("%s/begun", "w"):close() end
      end
    ]]):format(command.dir, command.dir)
    local pid = sys.fork()
    if pid == 0 then
      pcall(assert(loadstring or load)(program)) -- luacheck: ignore
      sys.exit_now(0)
    end
    assert(server.eventually(function() return io.open(command.dir .. "/begun") end))
    for n = 1, 5 do
      local result = command:run("backup " .. copy .. n)
      assert.equal(0, result.code, result.err)
    end
    sys.kill(pid, sys.KILL)
    sys.waitpid(pid)
    for n = 1, 5 do
      assert.equal(50, count_in(copy .. n))
      local db = assert(sql.open("sqlite:" .. copy .. n))
      assert.equal(1, #assert(db:read { { "SELECT DISTINCT reason FROM confirmation" } })[1]) -- one moment
      db:close()
    end
  end)

  it("replaces nothing, and says what is wrong", function()
    submit(1, 1)
    command:write("copy.db", "mine")
    for arguments, sentence in pairs {
      [copy] = "File exists", ["/nowhere/x.db"] = "/nowhere/x.db: No such file", [""] = "FILE is missing",
      ["--store sqlite:/nowhere.db x.db"] = "there is no store at /nowhere.db", ["--store postgres://x/y x.db"] = "pg_dump",
      ["--store sqlite:" .. copy .. " " .. copy .. "2"] = "not a database",
    } do
      local result = command:run("backup " .. arguments)
      assert.truthy(result.code > 0, arguments)
      assert.truthy(result.err:find(sentence, 1, true), result.err)
    end
    assert.equal("mine", io.open(copy):read "*a")
    assert.is_nil(leftovers())
  end)
end)
