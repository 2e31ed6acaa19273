-- Several channels by the environment, for the command and nginx: names in ONE_MSG_CHANNELS, variables with a name in them.
local commands = require "support.command"
local server = require "support.server"
local service = require "support.service"

local RULES = [[
template "action_success" { language = "en", body = { "name", "action", "next_step" } }
defaults { phone = "{phone}", name = "Maria", next_step = "Thank you." }
confirm "Latin America" { on = "paid", when = { region = "latam" }, channel = "latam", action = "x" }
confirm "Elsewhere" { on = "paid", action = "x" }
]]

describe("channels of the environment", function()
  local main, latam, command

  setup(function()
    main = server.fake { set = { pace_ms = 0 } }
    latam = server.fake { set = { pace_ms = 0 } }
  end)
  teardown(function()
    main:stop()
    latam:stop()
  end)
  before_each(function()
    command = commands.new(main.env)
    command.env.ONE_MSG_CHANNELS = "main, latam"
    command.env.ONE_MSG_LATAM_TOKEN = latam.env.ONE_MSG_TOKEN
    command.env.ONE_MSG_LATAM_INSTANCE_ID = latam.env.ONE_MSG_INSTANCE_ID
    command.env.ONE_MSG_LATAM_BASE_URL = latam.env.ONE_MSG_BASE_URL
    command.env.ONE_MSG_LATAM_CA_FILE = latam.env.ONE_MSG_CA_FILE
    command.env.ONE_MSG_STORE = "sqlite:" .. command.dir .. "/confirmations.db"
    command.env.ONE_MSG_RULES = command:write("rules.lua", RULES)
  end)
  after_each(function() command:remove() end)

  local next_phone = 12020710000
  local function phone() -- ends in 00: accepted by the fake
    next_phone = next_phone + 100
    return ("%d"):format(next_phone)
  end

  it("send each what is its own", function()
    for name, fake in pairs { main = main, latam = latam } do
      local to = phone()
      local done = command:run(("send --channel %s --phone %s --name A --action b --next-step c"):format(name, to))
      assert.equal(0, done.code, done.err)
      assert.same({ name == "main" and 1 or 0, name == "latam" and 1 or 0 }, { main:count(to), latam:count(to) })
      assert.equal(1, fake:count(to))
      assert.equal(0, command:run("templates --channel " .. name).code)
    end
    local to = phone()
    assert.equal(0, command:run(("send --phone %s --name A --action b --next-step c"):format(to)).code)
    assert.equal(1, main:count(to))
  end)

  it("are what rules choose from, and what work sends by", function()
    local here, there = phone(), phone()
    command:write("events.json", ('{"id":"a","type":"paid","region":"latam","phone":"%s"}\n{"id":"b","type":"paid","phone":"%s"}')
      :format(there, here))
    local done = command:run("submit " .. command.dir .. "/events.json")
    assert.equal(0, done.code, done.err)
    done = command:run "work --drain 0"
    assert.equal(0, done.code, done.err)
    assert.same({ 0, 1 }, { main:count(there), latam:count(there) })
    assert.same({ 1, 0 }, { main:count(here), latam:count(here) })
  end)

  local refused = { -- changed variables, what the sentence says
    { { ONE_MSG_CHANNELS = "main latam sur" }, "channel sur has no token: set ONE_MSG_SUR_TOKEN or ONE_MSG_SUR_TOKEN_FILE" },
    { { ONE_MSG_LATAM_INSTANCE_ID = "" }, "channel latam has no id of its own: set ONE_MSG_LATAM_INSTANCE_ID" },
    { { ONE_MSG_CHANNELS = "main lat/am" }, "ONE_MSG_CHANNELS has lat/am: names have letters" },
    { { ONE_MSG_CHANNELS = "a-b a.b" }, "ONE_MSG_CHANNELS has a%-b and a%.b, whose variables would be the same" },
    { { ONE_MSG_CHANNELS = " , " }, "ONE_MSG_CHANNELS names no channel" },
    { { ONE_MSG_LATAM_COUNTRY = "XQ" }, "channel latam: " },
  }
  for n, row in ipairs(refused) do
    it("are refused with what to write: " .. n, function()
      for name, value in pairs(row[1]) do command.env[name] = value end
      local done = command:run("submit " .. command:write("e.json", '{"id":"a","type":"paid","phone":"12020721300"}'))
      assert.equal(5, done.code, done.out)
      assert.matches(row[2], done.err)
    end)
  end

  it("are named when another is asked for", function()
    local done = command:run "templates --channel latan"
    assert.equal(5, done.code)
    assert.matches("has no channel latan, did you mean 'latam'", done.err)
    command.env.ONE_MSG_CHANNELS = nil
    done = command:run "templates --channel latam"
    assert.matches("there is one channel only", done.err)
  end)

  it("are taken by nginx where init says nothing of channels", function()
    local variables = {}
    for name, value in pairs(command.env) do
      if name:find "^ONE_MSG_" and name ~= "ONE_MSG_STORE" and name ~= "ONE_MSG_RULES" then
        variables[#variables + 1] = ("%s='%s'"):format(name, value)
      end
    end
    local here = service.start { fake = main, rules = RULES, channels = "environment",
      environment = table.concat(variables, " ") }
    local to = phone()
    assert.equal(202, (here:event { id = "n", type = "paid", region = "latam", phone = to }))
    assert(server.eventually(function() return latam:count(to) == 1 end))
    assert.equal(0, main:count(to))
    here:stop()
  end)
end)
