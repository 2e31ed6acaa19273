-- Beginnings and ends: forks, exits with sends in flight, signals, several Lua states in one process.
local channels = require "support.channels"
local onemsg = require "onemsg"
local raw = require "support.raw"
local server = require "support.server"
local sys = require "support.sys"

local EXITS = tonumber(os.getenv "ONEMSG_EXITS") or 12 -- for each of the four ways to end
local WAYS = { exit = 0, close = 0, fall = 0, raise = 1 }
local SLOW = os.getenv "SPEC_LUA" and 5 or 1 -- how much slower everything is, under a sanitizer
local LUA = os.getenv "SPEC_LUA" or rawget(_G, "jit") and "luajit" or "lua5.4"

describe("life", function()
  local fake

  setup(function() fake = server.fake { latency = 10, set = { pace_ms = 0 } } end)
  teardown(function() fake:stop() end)

  -- Runs life_child.lua once for each time: exit codes. Who waits for an answer that does not come is killed first.
  local function children(how, times, url)
    local script = "for after in %s; do timeout -s KILL 50 %s spec/support/life_child.lua %s $after %s %s %s 2>/dev/null; "
      .. "echo $?; done"
    if how == "fork" then -- what a thread of the parent held for itself (OpenSSL's errors) is nobody's in a child
      script = "ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0; export ASAN_OPTIONS; " .. script
    end
    local pipe = assert(io.popen(script:format(table.concat(times, " "), LUA, how, url,
      fake.env.ONE_MSG_CA_FILE, fake.env.ONE_MSG_TOKEN)))
    local list = {}
    for line in pipe:lines() do list[#list + 1] = tonumber(line) end
    pipe:close()
    return list
  end

  local function child(work)
    local pid = assert(sys.fork())
    if pid == 0 then
      local ok, code = pcall(work)
      sys.exit_now(ok and (code or 0) or 99)
    end
    return pid
  end

  for how, code in pairs(WAYS) do
    it(("ends by %s without a crash, and waits for no answer, with TLS sends in flight, %d times"):format(how, EXITS), function()
      local times = {}
      for i = 1, EXITS do times[i] = math.floor((i - 1) * 60000 * SLOW / EXITS) end -- from the handshake to the answers
      for i, url in ipairs { fake.env.FAKE_HTTPS_URL, fake.env.FAKE_H2_URL } do
        local half = {}
        for j = i, EXITS, 2 do half[#half + 1] = times[j] end
        for _, held in ipairs { false, true } do
          fake:set { held = held }
          local codes = children(how, half, url)
          fake:set { held = false }
          assert.are.equal(#half, #codes)
          for j, ended in ipairs(codes) do assert.are.equal(code, ended, "after " .. half[j] .. " us") end
        end
      end
    end)
  end

  it("a fork in the middle harms neither parent nor child", function()
    if LUA:find "tsan" then return pending "TSan gives up on a thread that a forked child starts (dup thread)" end
    local times = { 0, 2000, 8000, 20000, 50000 }
    for _, url in ipairs { fake.env.FAKE_HTTPS_URL, fake.env.FAKE_H2_URL, fake.env.FAKE_HTTP_URL } do
      for i, ended in ipairs(children("fork", times, url)) do
        assert.are.equal(0, ended, "after " .. times[i] .. " us")
      end
    end
  end)

  it("a channel that was used says closed in a forked child; one that was not works there", function()
    local used, unused = channels.new(fake), channels.new(fake)
    local pending = assert(used:async("send", channels.message(channels.phone(0))))
    assert(used:send(channels.message(channels.phone(0))))
    local phone = channels.phone(0)
    local pid = child(function()
      local none, err, info = used:send(channels.message(channels.phone(0)))
      if none or not err:find "^closed: .*fork" or info.outcome ~= "not_sent" then return 1 end
      none, err = used:async("send", channels.message(channels.phone(0)))
      if none or not err:find "^closed: " then return 2 end
      none, err, info = pending:wait()
      if not none and (not err:find "^closed: " or info.outcome ~= "unknown") then return 3 end
      if not none and pending:cancel() then return 4 end
      if onemsg.dispatch()[1] then return 5 end
      if not used:check(channels.message "12020721369") or not used:stats() then return 6 end
      used:close()
      local receipt = unused:send(channels.message(phone))
      if not receipt or receipt.outcome ~= "accepted" then return 7 end
      local fresh = channels.new(fake)
      receipt = fresh:async("send", channels.message(channels.phone(0))):wait()
      if not receipt then return 8 end
      local seen = 0
      for _, one in fresh:send_each { channels.message(phone), channels.message(phone) } do
        seen = seen + (one and 1 or 0)
      end
      if seen ~= 2 then return 9 end
      pending, used = nil, nil
      collectgarbage() collectgarbage()
      return 0
    end)
    local how, code = sys.waitpid(pid)
    assert.are.equal("exited", how)
    assert.are.equal(0, code)
    assert.are.equal("accepted", assert(pending:wait()).outcome)
    assert.are.equal("accepted", assert(used:send(channels.message(channels.phone(0)))).outcome)
    assert.are.equal("accepted", assert(unused:send(channels.message(channels.phone(0)))).outcome)
    assert.are.equal(3, fake:count(phone))
  end)

  it("send_each over a fork says so in the child, and goes on in the parent", function()
    local channel, messages = channels.new(fake), {}
    for i = 1, 30 do messages[i] = channels.message(channels.phone(0)) end
    local seen, pid = 0, nil
    for _, receipt, err in channel:send_each(messages, { window = 10 }) do
      if pid == 0 then sys.exit_now(receipt and 1 or err:find "^closed: " and 0 or 2) end
      assert.is_nil(err)
      assert.are.equal("accepted", receipt.outcome)
      seen = seen + 1
      if seen == 3 then pid = assert(sys.fork()) end
    end
    local how, code = sys.waitpid(pid)
    assert.are.equal("exited", how)
    assert.are.equal(0, code)
    assert.are.equal(30, seen)
    for _, message in ipairs(messages) do assert.are.equal(1, fake:count(message.phone)) end
  end)

  it("children of children work, each with a thread of its own", function()
    local function generation(depth)
      return child(function()
        local channel = channels.new(fake)
        if not channel:send(channels.message(channels.phone(depth))) then return 1 end
        if depth == 0 then return 0 end
        local how, code = sys.waitpid(generation(depth - 1))
        if how ~= "exited" then return 2 end
        if not channel:send(channels.message(channels.phone(depth))) then return 3 end
        return code
      end)
    end
    local how, code = sys.waitpid(generation(4))
    assert.are.equal("exited", how)
    assert.are.equal(0, code)
  end)

  it("takes no signal on its threads, and none stops a send", function()
    local channel = channels.new(fake)
    assert(channel:send(channels.message(channels.phone(0))))
    local found = 0
    for task in io.popen("ls /proc/" .. sys.getpid() .. "/task"):lines() do
      local base = "/proc/" .. sys.getpid() .. "/task/" .. task
      local name = io.open(base .. "/comm"):read "*l"
      if name:find "^onemsg" then
        found = found + 1
        local blocked = io.open(base .. "/status"):read("*a"):match "SigBlk:%s*(%x+)"
        -- all but SIGKILL, SIGSTOP and the two that the C library keeps for itself
        assert.are.equal("fffffffe7ffbfeff", blocked)
      end
    end
    assert.is_true(found >= 1)
    local uv = require "luv"
    local hits = 0
    local handlers = {}
    for _, name in ipairs { "sigusr1", "sigchld", "sigpipe" } do
      local handler = uv.new_signal()
      handler:start(name, function() hits = hits + 1 end)
      handlers[#handlers + 1] = handler
    end
    local pendings = {}
    for i = 1, 50 do
      pendings[i] = assert(channel:async("send", channels.message(channels.phone(i % 20))))
      sys.kill(sys.getpid(), i % 2 == 0 and sys.USR1 or sys.CHLD)
      uv.run "nowait"
    end
    for i = 1, 50 do
      sys.kill(sys.getpid(), sys.USR1)
      assert.are.equal("accepted", assert(pendings[i]:wait()).outcome)
    end
    uv.run "nowait"
    assert.is_true(hits > 0)
    for _, handler in ipairs(handlers) do handler:close() end
    uv.run "nowait"
  end)

  it("a peer that goes away raises no SIGPIPE", function()
    local away = raw.http "head_reset"
    local pid = child(function()
      local channel = channels.to(away)
      for _ = 1, 5 do
        local answer, _, info = channel:request("POST", "x", { filler = ("x"):rep(4 * 1024 * 1024) })
        if answer or info.outcome ~= "not_sent" and info.outcome ~= "unknown" then return 1 end
      end
      return 0
    end)
    local how, code = sys.waitpid(pid)
    away:stop()
    assert.are.equal("exited", how)
    assert.are.equal(0, code)
  end)

  it("starts one thread a process, at the first use, and leaves no descriptor but its own", function()
    local pid = child(function()
      local fds, threads = sys.fds(), sys.threads()
      local channel = channels.new(fake, { base_url = fake.env.FAKE_H2_URL })
      if sys.fds() ~= fds or sys.threads() ~= threads then return 1 end
      for _ = 1, 20 do
        for i = 1, 10 do channel:async("send", channels.message(channels.phone(i))) end
        local other = channels.new(fake)
        if not other:send(channels.message(channels.phone(0))) then return 2 end
        other:close()
      end
      server.eventually(function()
        channel:status()
        return channel:stats().in_flight == 0
      end)
      if sys.threads() ~= threads + 1 then return 3 end
      -- an epoll, a wake-up, kept connections: one per send of a burst at most
      return sys.fds() <= fds + 2 + 16 and 0 or 4
    end)
    local how, code = sys.waitpid(pid)
    assert.are.equal("exited", how)
    assert.are.equal(0, code)
  end)

  it("serves several Lua states in one process, which close in any order with sends in flight", function()
    local code = ([[
      local onemsg = require "onemsg"
      local channel = assert(onemsg.new { base_url = %q, http = "auto", ca_file = %q, token = %q, template = "action_success",
        namespace = %q, language = "en" })
      local message = { phone = "12020721300", name = "Maria", action = "payment", next_step = "Thank you." }
      for round = 1, 5 do
        local list = {}
        for i = 1, 8 do list[i] = assert(channel:async("send", message)) end
        local seen = 0
        for _, receipt, err, info in channel:send_each({ message, message, message }) do
          assert(receipt or info.outcome == "not_sent", err) -- nginx ends an HTTP/2 connection after 1,000 requests
          seen = seen + 1
        end
        assert(seen == 3)
        for i = 1, round %% 2 == 0 and 8 or 0 do
          local receipt, err, info = list[i]:wait()
          assert(receipt or info.outcome == "not_sent", err)
        end
      end
      onemsg.fd()
      for i = 1, 20 do channel:async("send", message) end]]):format(fake.env.FAKE_H2_URL, fake.env.ONE_MSG_CA_FILE,
      fake.env.ONE_MSG_TOKEN, fake.env.ONE_MSG_TEMPLATE_NAMESPACE)
    local channel = channels.new(fake)
    assert(channel:send(channels.message(channels.phone(0))))
    for _ = 1, 3 do sys.states(code, 0) end
    local fds = sys.fds()
    for _ = 1, 3 do sys.states(code, 4) end
    assert.is_true(sys.fds() <= fds + 64)
    assert(channel:send(channels.message(channels.phone(0))))
    assert.is_truthy(server.eventually(function() return sys.threads() <= 8 end))
  end)
end)
