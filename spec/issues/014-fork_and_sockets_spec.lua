-- After a fork the child kept the sockets of the parent's connections. In the parent their end was not the end then: the
-- server waited for it, and epoll went on to report what nobody could take out any more; the thread span.
local channels = require "support.channels"
local raw = require "support.raw"
local server = require "support.server"
local sys = require "support.sys"

--- The inodes of the TCP sockets of this process, by descriptor.
local function sockets(pid)
  local tcp, list = {}, {}
  for line in io.lines "/proc/net/tcp" do
    local inode = line:match "^ *%d+: %S+ %S+ %S+ %S+ %S+ %S+ +%d+ +%d+ (%d+)"
    if inode then tcp[inode] = true end
  end
  local pipe = assert(io.popen("ls -l /proc/" .. pid .. "/fd 2>/dev/null"))
  for line in pipe:lines() do
    local inode = line:match "socket:%[(%d+)%]"
    if inode and tcp[inode] then list[#list + 1] = inode end
  end
  pipe:close()
  return list
end

describe("a fork", function()
  local talker, channel

  before_each(function()
    talker = raw.talker "tls"
    channel = channels.to(talker, { timeout = 5, http = "1.1" })
  end)
  after_each(function()
    channel:close()
    talker:stop()
  end)

  --- A child that does nothing until it is killed.
  local function fork()
    local pid = assert(sys.fork())
    if pid == 0 then
      sys.sleep(60)
      sys.exit_now(0)
    end
    return pid
  end

  it("leaves the child no socket of the parent's, and the parent's alone", function()
    assert(channel:send(channels.message(channels.phone(0))))
    assert.is_truthy(server.eventually(function() return talker:said() == 1 end))
    local before = #sockets(sys.getpid())
    assert.is_true(before >= 1)
    local pid = fork()
    local held = #sockets(pid)
    assert(channel:send(channels.message(channels.phone(0))))
    assert(sys.kill(pid, sys.KILL))
    sys.waitpid(pid)
    assert.are.equal(0, held)
    for _, entry in ipairs(talker:journal()) do assert.are.equal(1, entry.connection) end
  end)

  for _, what in ipairs { "an idle connection", "one under way" } do
    it("does not make the parent's thread spin when " .. what .. " ends", function()
      talker:say "408 and close"
      local pending
      if what == "one under way" then
        talker:hold()
        pending = assert(channel:async("send", channels.message(channels.phone(0))))
        assert.is_truthy(server.eventually(function() return talker:count() == 1 end))
      end
      local pid = fork()
      talker:release()
      assert(pending and pending:wait() or channel:send(channels.message(channels.phone(0))))
      assert.is_truthy(server.eventually(function() return talker:said() == 1 end))
      assert.is_truthy(server.eventually(function() return #sockets(sys.getpid()) == 0 end))
      local from = os.clock() -- of the whole process: a thread that spins takes all it can get
      sys.sleep(1)
      local burnt = os.clock() - from
      assert(sys.kill(pid, sys.KILL))
      sys.waitpid(pid)
      assert.is_true(burnt < 0.1, burnt)
    end)
  end

  it("lets the child send by itself", function()
    assert(channel:send(channels.message(channels.phone(0))))
    local phone = channels.phone(0)
    local pid = assert(sys.fork())
    if pid == 0 then
      local receipt = channels.to(talker, { timeout = 5, http = "1.1" }):send(channels.message(phone))
      sys.exit_now(receipt and receipt.id == "wamid." .. phone and 0 or 1)
    end
    local _, status = sys.waitpid(pid)
    assert.are.equal(0, status)
    assert(channel:send(channels.message(channels.phone(0))))
    assert.are.equal(1, talker:count(phone))
    assert.are.equal(3, talker:count())
  end)
end)
