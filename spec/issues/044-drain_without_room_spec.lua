-- On a full disk `work --drain` ended with 0 while messages were due, or did not end; what had come of sends that could
-- not be recorded was forgotten without a word; and `work` that found the disk full at its start ended.
local command = require "support.command"
local server = require "support.server"
local store = require "support.store"

local FLOW = [[
  local faults, simulation = require "support.faults", require "support.simulation"
  local ENOSPC = 28
  local function full() faults.disk("write", 1, ENOSPC) end
  local function free() faults.disk("write", 0) end

  local function told(sim, kind)
    local list = {}
    for _, alert in ipairs(sim.alerts) do
      if alert.alert == kind then list[#list + 1] = alert end
    end
    return list
  end

  local function with(options, work)
    local sim = simulation.new(options)
    for n = 1, 3 do
      assert(sim.flow:submit { id = "e" .. n, type = "paid", phone = "1202555010" .. n, name = "M" })
    end
    work(sim)
    free()
    sim:close()
  end

  local function refused(sim, count, err, info)
    assert(count == nil and err:find "^store: no space left" and info.retry == true, tostring(err))
    assert(#told(sim, "store") == 1, #told(sim, "store") .. " alerts")
  end

  -- Nothing can be taken up: said once, in the time given, or in 5 s where none is. Then all of it goes on.
  for timeout, most in pairs { [2] = 2.5, [0] = 6.5, [30] = 30.5 } do
    with({}, function(sim)
      local from = sim.time
      full()
      refused(sim, sim.flow:drain { timeout = timeout })
      assert(sim.time - from >= math.min(timeout, 5) and sim.time - from <= most, sim.time - from)
      assert(#sim.sent == 0)
      free()
      assert(sim.flow:drain { timeout = 60 } == 3)
      assert(#sim.sent == 3)
    end)
  end

  -- There is room again before the time is over.
  with({ answer = function(message, n) return { outcome = "accepted", id = "wamid." .. n } end }, function(sim)
    faults.disk("write", 1, ENOSPC, 4)
    assert(sim.flow:drain { timeout = 60 } == 3)
    assert(#sim.sent == 3 and sim.flow:stats().states.accepted == 3)
  end)

  -- The disk fills up while they are under way: what came of each is told, and recorded when there is room.
  with({ answer = function(message, n)
    full()
    if n == 2 then return nil, "rejected: no such number 12025550102", { outcome = "rejected", status = 400, code = 100 } end
    return { outcome = "accepted", id = "wamid." .. n }
  end }, function(sim)
    local from = sim.time
    refused(sim, sim.flow:drain { timeout = 2 })
    refused(sim, sim.flow:work { stop = function() return true end })
    assert(sim.time - from <= 9, sim.time - from)
    local list = told(sim, "unrecorded")
    assert(#list == 3, #list .. " told")
    for _, alert in ipairs(list) do
      local n = tonumber(alert.id:sub(2))
      assert(alert.state == (n == 2 and "rejected" or "accepted"))
      assert(n == 2 or alert.message_id == "wamid." .. n and alert.reason:find("wamid." .. n, 1, true))
      assert(not alert.reason:find "12025550" and not alert.phone:find "12025550")
    end
    assert(sim.flow:stats().states.sending == 3)
    free()
    sim.answer = function() error "sent again" end
    assert(sim.flow:drain { timeout = 10 } == 3)
    assert(#sim.sent == 3)
    local states = sim.flow:stats().states
    assert(states.accepted == 2 and states.rejected == 1)
    assert(sim.flow:show "e1".message_id == "wamid.1")
  end)
]]

local COMMAND = [[
  local faults, cli = require "support.faults", require "onemsg.cli"
  local function onemsg(...)
    local code = cli.main { ... }
    print("ended with " .. code)
  end
  faults.disk("write", 1, 28)
  onemsg("work", "--drain", "1s")
  faults.disk("write", 1, 28, 5) -- room comes while it waits
  onemsg("work", "--drain", "60s")
]]

describe("a full disk", function()
  if not store.can_fault then
    pending("not beside a sanitizer's own malloc: the faults are preloaded")
    return
  end

  local function run(program)
    local directory = store.directory()
    finally(function() store.remove(directory) end)
    return store.run_with_faults(directory, program)
  end

  it("ends a drain in time, and says what could not be recorded", function()
    assert.equal("exit 0", run(FLOW))
  end)

  it("ends the command with 3, or is waited for", function()
    local fake = server.fake { set = { pace_ms = 0 } }
    finally(function() fake:stop() end)
    local shell = command.new(fake.env)
    finally(function() shell:remove() fake:stop() end)
    shell.env.ONE_MSG_STORE = "sqlite:" .. shell.dir .. "/s.db"
    shell.env.ONE_MSG_RULES = shell:write("rules.lua", [[
      template "action_success" { language = "en", body = { "name", "action", "next_step" } }
      confirm "Any" { on = "*", phone = "{phone}", name = "a", action = "b", next_step = "c" } ]])
    local events = {}
    for n = 1, 3 do events[n] = ('{"id":"e%d","type":"x","phone":"12025550%d00"}'):format(n, n) end
    assert.equal(0, shell:run("submit", { stdin = table.concat(events, "\n") }).code)
    local shim = shell:write("program.lua", COMMAND)
    local here = store.output "pwd"
    local build = (os.getenv "B" or "build") .. "/" .. (rawget(_G, "jit") and "luajit" or "5.4")
    local result = shell:shell(("LD_PRELOAD='%s/%s/support/faults.so' %s %s"):format(here, build, command.INTERPRETER, shim))
    assert.matches("^ended with 3\n.*ended with 0\n$", result.out)
    assert.equal(2, select(2, result.err:gsub("ATTENTION store: ", ""))) -- one each
    assert.matches("onemsg: store: no space left", result.err)
    assert.matches("done: 3 answers recorded\n$", result.err)
    for n = 1, 3 do assert.equal(1, fake:count("12025550" .. n .. "00")) end
  end)
end)
