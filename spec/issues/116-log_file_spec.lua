-- The log was made with mode 0644, and went on into the file that logrotate had moved away, until the process ended.
-- And a log that was a pipe whose reader stood still kept the worker in its write, signals to end included.
local cjson = require "cjson"
local commands = require "support.command"
local log = require "onemsg.workflow.log"
local nginx = require "support.nginx"
local server = require "support.server"
local service = require "support.service"
local simulation = require "support.simulation"
local sys = require "support.sys"

local function shell(line)
  local pipe = assert(io.popen(line))
  local said = pipe:read "*a"
  pipe:close()
  return (said:gsub("%s+$", ""))
end

describe("the log as a file", function()
  local directory, path, sim

  before_each(function()
    directory = shell "mktemp -d"
    path = directory .. "/delivery.log"
  end)
  after_each(function()
    if sim then sim:close() end
    sim = nil
    os.execute("rm -rf " .. directory)
  end)

  local function submit(id)
    assert(sim.flow:submit { id = id, type = "paid", phone = "12020721300" })
  end
  local function ids(file) return shell(("grep -o '\"id\":\"[^\"]*' %s 2>/dev/null | sort -u | tr -d '\\n'"):format(file)) end

  it("is for its owner and its group, and an older one keeps its mode", function()
    sim = simulation.new { log = path }
    assert.equal("640", shell("stat -c %a " .. path))
    sim:close()
    os.execute("chmod 600 " .. path)
    sim = simulation.new { log = path }
    submit "a"
    assert.equal("600", shell("stat -c %a " .. path))
  end)

  it("is opened anew where it was moved away, removed, or another one put there; no line is lost", function()
    sim = simulation.new { log = path }
    submit "a"
    os.execute(("mv %s %s.1"):format(path, path))
    submit "b"
    assert.equal("640", shell("stat -c %a " .. path))
    os.execute(("mv %s %s.2; umask 077; touch %s"):format(path, path, path))
    submit "c"
    os.execute("rm " .. path)
    submit "d"
    assert.same({ '"id":"a', '"id":"b', '"id":"d' }, { ids(path .. ".1"), ids(path .. ".2"), ids(path) })
  end)

  it("goes on into the old one while there can be no new one", function()
    sim = simulation.new { log = path }
    submit "a"
    os.execute(("mv %s %s/kept; mkdir %s"):format(path, directory, path))
    submit "b"
    assert.equal('"id":"a"id":"b', ids(directory .. "/kept"))
    os.execute("rmdir " .. path)
    submit "c"
    assert.equal('"id":"c', ids(path))
  end)

  it("may be emptied in place", function()
    sim = simulation.new { log = path }
    submit "a"
    os.execute(": > " .. path)
    submit "b"
    assert.equal('"id":"b', ids(path))
    assert.matches("^{", shell("head -c 1 " .. path))
  end)

  it("is refused where it is none that can be written to", function()
    os.execute(("mkfifo %s/pipe"):format(directory))
    for _, other in ipairs { directory, directory .. "/none/log", directory .. "/pipe" } do
      local ok, why = pcall(simulation.new, { log = other })
      assert.is_false(ok)
      assert.matches("the log can't be opened: " .. other, tostring(why), 1, true)
    end
  end)
end)

describe("the log as a pipe", function()
  local LINE, CAPACITY = ("x"):rep(999), 1048576 + 65536 -- bytes that are kept, and of a pipe
  local directory, path, sim, reader

  before_each(function()
    directory = shell "mktemp -d"
    path = directory .. "/pipe"
    os.execute(("chmod 755 %s; mkfifo -m 666 %s"):format(directory, path))
  end)
  after_each(function()
    if sim then sim:close() end
    if reader then reader:close() end
    sim, reader = nil, nil
    os.execute("rm -rf " .. directory)
  end)

  local function open() reader = assert(io.open(path, "r+")) end -- r+: waits for no writer

  --- Fills the pipe until it takes no more lines.
  local function fill()
    local filler = assert(log.file(path))
    repeat filler:line(LINE, { at = "then" }) until filler.last > 0
    filler:close()
  end

  it("keeps lines while the reader stands still, and counts what it drops, once", function()
    open()
    local file = assert(log.file(path))
    local sent = math.ceil(2 * CAPACITY / (#LINE + 1))
    for i = 1, sent do file:line(("%04d"):format(i) .. LINE:sub(5), { at = tostring(i) }) end
    assert.is_true(file.bytes <= 1048576)
    local read, said = 0, nil
    repeat
      local line = reader:read "*l"
      if line:find "^{" then
        said = cjson.decode(line)
      else
        read = read + 1
        assert.equal(("%04d"):format(read) .. LINE:sub(5), line)
      end
      log.flush()
    until said
    assert.same({ "log", sent - read, tostring(sent) }, { said.alert, said.dropped, said.at })
    assert.is_true(read * (#LINE + 1) > 1048576)
    assert.equal(0, log.flush())
    file:line("more", { at = "now" })
    assert.equal("more", reader:read "*l")
    assert.equal(0, file:close())
  end)

  it("waits for a reader that went, and for the next one, and no signal comes of it", function()
    open()
    local file = assert(log.file(path))
    reader:close()
    file:line("a", { at = "then" })
    assert.equal(1, log.flush())
    open()
    assert.equal(0, log.flush())
    file:line(("b"):rep(10000), { at = "then" })
    assert.same({ "a", ("b"):rep(10000) }, { reader:read "*l", reader:read "*l" })
    file:close()
  end)

  it("holds up no workflow; what is lost at the end is said", function()
    open()
    fill()
    local alerts = {}
    sim = simulation.new { log = path, on_alert = function(alert) alerts[#alerts + 1] = alert end }
    assert(sim.flow:submit { id = "a", type = "paid", phone = "12020721300" })
    sim:advance(10)
    assert.equal("accepted", sim.flow:show("a").state)
    sim:close()
    assert.equal("log", alerts[#alerts].alert)
    assert.is_true(alerts[#alerts].dropped >= 3)
  end)

  it("as standard error holds up nothing either", function()
    open()
    fill()
    local command = commands.new {}
    local line = "local log = require 'onemsg.workflow.log'; local sink, _, file = log.sink 'stderr'; "
      .. "sink('a', { at = 'then' }); print(file:close())"
    local result = command:shell(('%s -e "%s" 2>%s'):format(commands.INTERPRETER, line, path))
    assert.equal("1\n", result.out, result.err)
    command:remove()
  end)

  describe("of a process of its own", function()
    local fake
    setup(function() fake = server.fake { set = { pace_ms = 0 } } end)
    teardown(function() fake:stop() end)

    it("onemsg work: is refused where nobody reads it; ends at SIGTERM while the reader stands still", function()
      local command = commands.new(fake.env)
      command.env.ONE_MSG_STORE = "sqlite:" .. command.dir .. "/confirmations.db"
      command.env.ONE_MSG_RULES = command:write("rules.lua", simulation.RULES)
      local result = command:run("work --drain 0 --log " .. path)
      assert.equal(5, result.code)
      assert.matches("the log can't be opened: " .. path, result.err, 1, true)
      open()
      fill()
      local started = command:start("work --json --log " .. path)
      command:run("submit", { stdin = cjson.encode { id = "a", type = "paid", phone = "12020721300" } })
      assert.truthy(server.eventually(function() return started.out():find('"state":"accepted"', 1, true) end))
      sys.kill(started.pid, sys.TERM)
      assert.equal(0, server.eventually(started.ended))
      assert.matches("ATTENTION log: %d+ lines of the delivery log could not be written", started.err())
      command:remove()
    end)

    it("nginx: takes events and serves others meanwhile, and its worker leaves at QUIT", function()
      open()
      fill()
      local here = service.start { fake = fake, workers = 1, init = ("log = %q,"):format(path) }
      local event = service.payment()
      assert.equal(202, (here:event(event)))
      assert.equal("accepted", (here:state(event.id, "accepted")))
      assert.is_true(nginx.gone(here.nginx:reload()))
      assert.equal(202, (here:event(service.payment())))
      assert.is_true(here.nginx:quit())
      assert.matches("lines of the delivery log could not be written", here.nginx:log(), 1, true)
      here:stop()
    end)
  end)
end)
