-- support.sys: the specs' system calls do what the specs believe.
local sys = require "support.sys"

describe("support.sys", function()
  local function child(work)
    local pid = assert(sys.fork())
    if pid == 0 then
      local ok, code = pcall(work)
      sys.exit_now(ok and code or 99)
    end
    return pid
  end

  it("tells how a child ended", function()
    local how, code = sys.waitpid(child(function() return 7 end))
    assert.are.equal("exited", how)
    assert.are.equal(7, code)
    local pid = child(function() sys.sleep(60) return 0 end)
    assert.are.equal("running", sys.waitpid(pid, true))
    assert.is_true(sys.kill(pid, sys.KILL))
    how, code = sys.waitpid(pid)
    assert.are.equal("killed", how)
    assert.are.equal(sys.KILL, code)
    local gone, message, number = sys.waitpid(pid)
    assert.is_nil(gone)
    assert.are.equal("string", type(message))
    assert.are.equal("number", type(number))
  end)

  it("knows the child's own pid", function()
    local parent = sys.getpid()
    local _, code = sys.waitpid(child(function() return sys.getpid() ~= parent and 1 or 2 end))
    assert.are.equal(1, code)
  end)

  it("counts descriptors, threads and memory, of this process and of another", function()
    local before = sys.fds()
    local file = assert(io.open("/dev/null"))
    assert.are.equal(before + 1, sys.fds())
    assert.are.equal(before + 1, sys.fds(sys.getpid()))
    local pid = child(function() sys.sleep(60) return 0 end)
    assert.are.equal(before + 1, sys.fds(pid))
    assert.are.equal(1, sys.threads(pid))
    assert.is_true(sys.rss_kb(pid) > 100)
    sys.kill(pid, sys.KILL)
    sys.waitpid(pid)
    assert.is_nil(sys.fds(pid))
    assert.is_nil(sys.rss_kb(pid))
    file:close()
    assert.are.equal(before, sys.fds())
    assert.is_true(sys.threads() >= 1)
    local small = sys.rss_kb()
    local big = string.rep("x", 32 * 1024 * 1024)
    assert.is_true(sys.rss_kb() - small > 30 * 1024, "the string counts: " .. #big)
  end)

  it("limits, and tells the limit before", function()
    local _, code = sys.waitpid(child(function()
      local before = sys.limit("nofile", 0)
      local refused = io.open("/dev/null") == nil
      sys.limit("nofile", before)
      local allowed = io.open("/dev/null") ~= nil
      return refused and allowed and 0 or 1
    end))
    assert.are.equal(0, code)
    local name = os.tmpname()
    local function write()
      sys.limit("fsize", 0)
      local file = io.open(name, "w")
      return file:write("x") and file:flush() and 1 or 0
    end
    local how, number = sys.waitpid(child(write))
    assert.are.equal("killed", how)
    assert.are.equal(sys.XFSZ, number)
    _, code = sys.waitpid(child(function()
      sys.ignore(sys.XFSZ)
      return write()
    end))
    os.remove(name)
    assert.are.equal(0, code)
  end)

  it("measures time and waits for a descriptor", function()
    local before = sys.now()
    sys.sleep(0.02)
    assert.is_true(sys.now() - before >= 0.02)
    local reader, writer = assert(sys.pipe())
    before = sys.now()
    assert.is_false(sys.poll(reader, 0.02))
    assert.is_true(sys.now() - before >= 0.02)
    local pid = child(function() return sys.write(writer, "here") end)
    assert.is_true(sys.poll(reader, 10))
    assert.are.equal("here", sys.read(reader))
    local _, code = sys.waitpid(pid)
    assert.are.equal(4, code)
    assert.is_true(sys.close(writer))
    assert.is_true(sys.poll(reader, 10)) -- hung up
    assert.are.equal("", sys.read(reader))
    assert.is_true(sys.close(reader))
    assert.is_nil(sys.close(reader))
    assert.is_nil(sys.poll(reader, 0))
    assert.is_nil(sys.read(reader))
    assert.is_nil(sys.write(reader, "x"))
  end)

  it("refuses wrong arguments", function()
    for _, call in ipairs {
      { "kill", -1, 9 }, { "kill", 0, 9 }, { "kill", 1.5, 9 }, { "kill", 1, 65 }, { "kill", 0 / 0, 9 },
      { "waitpid", -1 }, { "waitpid" }, { "fds", "me" }, { "threads", 0 }, { "rss_kb", {} },
      { "limit", "cpu", 1 }, { "limit", "nofile", -1 }, { "limit", "nofile", 0 / 0 }, { "sleep", -1 },
      { "sleep", 0 / 0 }, { "sleep", "soon" }, { "poll", -1, 0 }, { "poll", 0, 1e9 }, { "ignore", 0 },
      { "read", -1 }, { "write", 1 }, { "close", 0.5 },
      { "exit_now", 256 }, { "exit_now" },
    } do
      local ok, message = pcall(sys[call[1]], call[2], call[3])
      assert.is_false(ok)
      assert.is_truthy(message:find("bad argument", 1, true), message)
    end
  end)
end)
