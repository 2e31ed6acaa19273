-- A program that reaches a person another way (`--fallback`) was waited for, without a limit, in the loop that sends: 75 s of
-- nothing, leases that ran out, messages rejected.
-- Kind: what is not ours to hurry runs beside the loop, bounded in time and number; what came of it is recorded when it ends.
local cjson = require "cjson"
local commands = require "support.command"
local server = require "support.server"
local simulation = require "support.simulation"

local RULES = [[
template "action_success" { language = "en", body = { "name", "action", "next_step" } }
confirm "Any" { on = "*", phone = "{phone}", name = "there", action = "order {id}", next_step = "Thank you.",
  otherwise = { send = "sms", text = "x" } }
]]

describe("a program beside the loop", function()
  local fake, command, worker
  setup(function() fake = server.fake { set = { pace_ms = 0 } } end)
  teardown(function() fake:stop() end)
  before_each(function()
    fake:reset()
    command = commands.new(fake.env)
    command.env.ONE_MSG_STORE = "sqlite:" .. command.dir .. "/s.db"
    command.env.ONE_MSG_RULES = command:write("rules.lua", RULES)
    os.execute("mkfifo " .. command.dir .. "/gate") -- who opens it to read waits until the spec does, too
  end)
  after_each(function()
    if worker and not worker.ended() then
      os.execute("kill " .. worker.pid)
      server.eventually(worker.ended)
    end
    worker = nil
    command:remove()
  end)

  local function submit(id, n, ending)
    local event = cjson.encode { id = id, type = "paid", phone = ("1202%05d%02d"):format(n, ending or 1) }
    assert.equal(0, command:run("submit", { stdin = event }).code)
  end
  local function shown(id) return command:run("show --json " .. id).json[1] end
  local function is(id, field, value)
    return server.eventually(function() return shown(id)[field] == value end)
  end
  --- Whoever waits at the gate goes on. (To read and to write: that waits for nobody.)
  local function open_gate() os.execute((": <>%s/gate"):format(command.dir)) end
  local function lines(name)
    local file, n = io.open(command.dir .. "/" .. name), 0
    if not file then return 0 end
    for _ in file:lines() do n = n + 1 end
    file:close()
    return n
  end
  local function work(program, more)
    local path = command:write("sms", "#!/bin/sh\n" .. program .. "\n")
    os.execute("chmod +x " .. path)
    worker = command:start(("work --json --fallback sms=%s %s"):format(path, more or ""))
  end

  it("holds up nobody, gets its notice, and is recorded when it ends", function()
    work(("cat >>%s/notices; cat %s/gate >/dev/null"):format(command.dir, command.dir))
    submit("bad", 1, 48) -- refused
    assert.is_true(is("bad", "fallback", "handed_over"))
    for n = 1, 3 do submit("good" .. n, n + 1) end
    for n = 1, 3 do assert.is_true(is("good" .. n, "state", "accepted")) end
    assert.equal("handed_over", shown("bad").fallback)
    open_gate()
    assert.is_true(is("bad", "fallback", "done"))
    local file = io.open(command.dir .. "/notices")
    assert.same({ "bad", "x" }, { (function(notice) return notice.id, notice.text end)(cjson.decode(file:read "*a")) })
    file:close()
  end)

  it("is killed with what it began when its time is over, and nobody knows whether it reached the person", function()
    work(("cat %s/gate & echo $! >%s/child; wait"):format(command.dir, command.dir), "--fallback-timeout 1")
    submit("bad", 1, 48)
    assert.is_true(is("bad", "fallback", "unknown"))
    local history = shown("bad").history
    assert.matches("sms: unknown; it was not done within 1 s, and was ended", history[#history].reason)
    local file = io.open(command.dir .. "/child")
    local began = file and file:read "*n"
    if file then file:close() end
    assert.is_true(server.eventually(function() -- a zombie has no command line
      local line = began and io.open(("/proc/%d/cmdline"):format(began)) -- nil: it was too slow to begin anything
      local text = line and line:read "*a" or ""
      if line then line:close() end
      return text == ""
    end))
    submit("good", 2)
    assert.is_true(is("good", "state", "accepted"))
  end)

  it("is one of so many at a time", function()
    work(("echo >>%s/begun; cat %s/gate >/dev/null"):format(command.dir, command.dir), "--fallback-window 2")
    for n = 1, 5 do submit("bad" .. n, n, 48) end
    submit("good", 9)
    assert.is_true(is("good", "state", "accepted"))
    for n = 1, 5 do assert.is_true(is("bad" .. n, "state", "rejected")) end
    assert.is_true(server.eventually(function() return lines "begun" == 2 end))
    submit("later", 10)
    assert.is_true(is("later", "state", "accepted"))
    assert.equal(2, lines "begun")
    for n = 1, 5 do
      assert.is_true(server.eventually(function()
        open_gate()
        return shown("bad" .. n).fallback == "done"
      end))
    end
    assert.equal(5, lines "begun")
  end)

  for name, case in pairs {
    ["is not there"] = { "/nowhere/sms", "/nowhere/sms is not there" },
    ["is not there, and has arguments"] = { "/nowhere/sms --to +1", "/nowhere/sms is not there" },
    ["is not in PATH"] = { "no-such-program-at-all", "no%-such%-program%-at%-all is not in PATH" },
    ["is a directory"] = { "/tmp", "/tmp is a directory" },
    ["may not be run"] = { "%s/rules.lua", "rules.lua is not executable" },
    ["has an interpreter that is not there"] = { "%s/script", "script names /nowhere/sh in its first line" },
  } do
    it("that " .. name .. " refuses the start", function()
      os.execute("chmod +x " .. command:write("script", "#!/nowhere/sh -e\n"))
      local program = case[1]:gsub("%%s", command.dir)
      for _, option in ipairs { "--fallback 'sms=" .. program .. "'", "--alert '" .. program .. "'" } do
        local result = command:run("work --drain 0 " .. option)
        assert.equal(5, result.code)
        assert.matches("config: %-%-%l+[ sm]* can't be run: .*" .. case[2], result.err)
      end
    end)
  end

  it("that is gone meanwhile has reached nobody, and is not counted as used", function()
    work("exit 0")
    assert.is_true(server.eventually(function() return command:run("stats").code == 0 end))
    submit("good", 1)
    assert.is_true(is("good", "state", "accepted")) -- it is at work
    os.remove(command.dir .. "/sms")
    submit("bad", 2, 48)
    assert.is_true(server.eventually(function()
      local history = shown("bad").history
      return history[#history].reason:find("sms: not begun", 1, true) ~= nil
    end))
    local one = shown "bad"
    assert.is_nil(one.fallback)
    assert.is_number(one.fallback_at)
  end)

  for name, case in pairs {
    ["ends with 0"] = { "exit 0", "done", "sms: done" },
    ["ends with something else"] = { "exit 3", "failed", "ended with 3" },
    ["ends by a signal"] = { "kill -TERM $$", "failed", "ended with 143" },
    ["is not there"] = { "exec /nowhere/at/all", "failed", "ended with 12[67]" },
    ["does not read its notice"] = { "exec <&-; exit 0", "done", "sms: done" },
  } do
    it("that " .. name .. " is " .. case[2], function()
      submit("bad", 1, 48)
      local path = command:write("sms", "#!/bin/sh\n" .. case[1] .. "\n")
      os.execute("chmod +x " .. path)
      command:run("work --drain 0 --fallback sms=" .. path)
      local one = shown "bad"
      assert.equal(case[2], one.fallback)
      assert.matches(case[3], one.history[#one.history].reason)
    end)
  end
end)

describe("ways in a workflow", function()
  local sim
  after_each(function() sim:close() end)

  local function refuse() return nil, "rejected: 422 x", { outcome = "rejected", status = 422 } end
  local function submit(n)
    assert(sim.flow:submit { id = "m" .. n, type = "else", phone = tostring(12020721300 + n), name = "Maria" })
  end
  local function start(more)
    local options = { answer = refuse }
    for name, value in pairs(more) do options[name] = value end
    sim = simulation.new(options)
  end

  it("of plain functions run one a turn, so that messages leave in between", function()
    local order, good = {}, false
    start {
      answer = function(_, n)
        order[#order + 1] = "send"
        if good then return { outcome = "accepted", id = "w" .. n } end
        return refuse()
      end,
      fallback = { sms = function()
        order[#order + 1] = "sms"
        good = true
        if #order < 8 then submit(#order + 10) end -- comes in meanwhile
        return true
      end },
    }
    for n = 1, 3 do submit(n) end
    sim.flow:drain()
    assert.equal("send send send sms send sms send sms", table.concat(order, " "):sub(1, 38))
    assert.same({ rejected = 3, accepted = 2 }, sim.flow:stats().states)
  end)

  it("beside the loop are so many at a time, whatever is due", function()
    local runs = {}
    start { fallback = { sms = function() return true end }, fallback_window = 2, spawn = function(run)
      runs[#runs + 1] = run
      return { stop = function() return true end }
    end }
    for n = 1, 5 do submit(n) end
    sim.flow:drain { timeout = 5 }
    assert.equal(2, #runs)
    for n = 1, 5 do
      runs[n]()
      sim.flow:drain { timeout = 5 }
    end
    assert.equal(5, #runs)
    for n = 1, 5 do assert.equal("done", sim.flow:show("m" .. n).fallback) end
  end)

  for name, case in pairs {
    ["that can be ended is ended"] = { true, "and was ended", "unknown" },
    ["that can't be ended is left, and what it says late counts"] = { false, "and can't be ended", "done" },
  } do
    it(name .. " when its time is over", function()
      local late, stopped = nil, 0
      start { fallback = { sms = function() return true end }, fallback_timeout = 30, spawn = function(run)
        late = run
        return { stop = function() stopped = stopped + 1 return case[1] end }
      end }
      submit(1)
      sim.flow:drain { timeout = 29 }
      assert.equal("handed_over", sim.flow:show("m1").fallback)
      sim.flow:drain { timeout = 5 }
      assert.equal("unknown", sim.flow:show("m1").fallback)
      assert.matches(case[2], simulation.history(sim.flow, "m1"))
      assert.equal(1, stopped)
      assert.equal("fallback", sim.alerts[#sim.alerts].alert)
      late()
      assert.equal(case[3], sim.flow:show("m1").fallback)
      sim:advance(86400)
      assert.equal(1, sim.flow:stats().fallbacks)
    end)
  end

  it("that could not be begun reached nobody: they are begun again, ever later, and one alert tells of it", function()
    local there, calls, phones = false, 0, {}
    start { fallback = { sms = function(notice)
      calls = calls + 1
      if not there then return nil, "no such program", { not_begun = true } end
      phones[#phones + 1] = notice.phone
      return true
    end } }
    submit(1)
    submit(2)
    sim.flow:drain()
    assert.equal(2, calls)
    for n = 1, 2 do
      assert.is_nil(sim.flow:show("m" .. n).fallback)
      assert.matches("sms: not begun %(no such program%); it is tried again", simulation.history(sim.flow, "m" .. n))
    end
    sim.flow:drain { timeout = 200 }
    assert.is_true(calls > 2)
    local told = 0
    for _, alert in ipairs(sim.alerts) do told = told + (alert.alert == "fallback" and 1 or 0) end
    assert.equal(1, told)
    there = true
    sim.flow:drain { timeout = 7200 }
    for n = 1, 2 do assert.equal("done", sim.flow:show("m" .. n).fallback) end
    table.sort(phones)
    assert.same({ "12020721301", "12020721302" }, phones)
    assert.equal(0, sim.flow:stats().fallbacks_waiting.sms or 0)
  end)

  it("that raise, or can't be begun, failed", function()
    start { fallback = { sms = function() error("no gateway", 0) end } }
    submit(1)
    sim.flow:drain()
    assert.equal("failed", sim.flow:show("m1").fallback)
    sim:close()
    start { fallback = { sms = function() return true end }, spawn = function() error("no threads", 0) end }
    submit(1)
    sim.flow:drain()
    assert.equal("failed", sim.flow:show("m1").fallback)
    assert.matches("sms: failed %(no threads%)", simulation.history(sim.flow, "m1"))
  end)
end)
