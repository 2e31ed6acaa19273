--- The private socket on which nginx waits (port.c), driven from plain Lua: who may connect, and what stays behind.
local core = (function() require "onemsg" return require "onemsg.core" end)()
local socket = require "socket"
local sys = require "support.sys"
local unix = require "socket.unix"

local function exists(path) return os.rename(path, path) and true or false end

local function connect(path)
  local client = (unix.stream or unix)()
  assert(client:connect(path))
  client:settimeout(0)
  return client
end

describe("the completion socket", function()
  local before
  before_each(function() before = sys.fds() end)
  after_each(function()
    core.hangup()
    collectgarbage()
    collectgarbage()
    assert.equal(before, sys.fds())
  end)

  it("is in a directory of its own that nobody else can enter, and its path is gone once it is in use", function()
    local path = assert(core.listen())
    local directory = path:match "^(.*)/[^/]+$"
    assert.is_true(#path < 108)
    local pipe = io.popen("stat -c %a " .. directory)
    assert.equal("700", pipe:read "*l")
    pipe:close()
    assert.is_false(core.accept())
    local client = connect(path)
    assert.is_true(core.accept())
    assert.is_false(exists(path))
    assert.is_false(exists(directory))
    core.ring()
    core.ring()
    socket.select({ client }, nil, 1)
    assert.equal("!!", client:receive(2))
    client:close()
  end)

  it("sends another process away, and goes on waiting for its own", function()
    local path = assert(core.listen())
    local pid = assert(sys.fork())
    if pid == 0 then
      local client = connect(path)
      client:settimeout(60)
      local _, err = client:receive(1)
      sys.exit_now(err == "closed" and 0 or 1)
    end
    local accepted, err
    repeat
      accepted, err = core.accept()
      sys.sleep(0.01)
    until accepted ~= false
    assert.is_nil(accepted)
    assert.matches("^config: ", err)
    assert.same({ "exited", 0 }, { sys.waitpid(pid) })
    local client = connect(path)
    assert.is_true(core.accept())
    client:close()
  end)

  it("leaves nothing behind when it is given up", function()
    local path = assert(core.listen())
    core.hangup()
    assert.is_false(exists(path))
    assert.is_false(exists(path:match "^(.*)/[^/]+$"))
    core.hangup()
    assert.is_nil((core.accept()))
    local again = assert(core.listen())
    assert.not_equal(path, again)
  end)

  it("survives a peer that is gone", function()
    local path = assert(core.listen())
    local client = connect(path)
    assert.is_true(core.accept())
    client:close()
    for _ = 1, 3 do core.ring() end
  end)
end)
