-- The log was made with mode 0644, and went on into the file that logrotate had moved away, until the process ended.
local simulation = require "support.simulation"

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
