--- onemsg in nginx: the traps that prototypes fell into, each shown to be closed.
local nginx = require "support.nginx"
local support = require "support.server"
local sys = require "support.sys"

local SEND = [[
  location = /send {
    content_by_lua_block {
      local receipt, err = channel:send(text(ngx.var.arg_phone))
      ngx.print(receipt and receipt.outcome or err)
    }
  }
  location = /state {
    content_by_lua_block {
      -- spec only: what the waiting part holds
      local wait, waiters, reader = require "resty.onemsg.wait", 0, "none"
      local function look(f, seen)
        for i = 1, 60 do
          local name, value = debug.getupvalue(f, i)
          if not name then break end
          if name == "waiters" then waiters = 0 for _ in pairs(value) do waiters = waiters + 1 end end
          if name == "reader" then reader = not value and "none" or value.up and "up" or "starting" end
          if type(value) == "function" and not seen[value] then seen[value] = true look(value, seen) end
        end
      end
      look(wait.pending, {}) look(wait.pump, {})
      ngx.print(require("onemsg.core").under_way(), " ", waiters, " ", reader)
    }
  }
]]

local phones, paths = nginx.phones, nginx.paths

describe("nginx: traps:", function()
  local fake, server, expected

  setup(function() fake = support.fake { latency = 100 } end)
  teardown(function() fake:stop() end)
  after_each(function()
    local complaints = server:complaints(expected)
    expected = nil
    server:stop()
    assert.equal("", complaints)
  end)

  local function start(o)
    o.fake = fake
    o.locations = SEND .. (o.locations or "")
    server = nginx.start(o)
    return server
  end

  --- What the worker has open, besides its connections to the API.
  local function descriptors(worker)
    return nginx.descriptors(worker, tonumber(fake.env.ONE_MSG_BASE_URL:match ":(%d+)"))
  end

  local function assert_accepted(list, location)
    local answers = server:burst(paths(list, location)):collect()
    local counts = fake:counts()
    for i, phone in ipairs(list) do
      assert.equal("accepted", answers[i] and answers[i].body, phone)
      assert.equal(1, counts[phone], phone)
    end
  end

  --- Nothing under way, nobody waits, and the reader has left.
  local function assert_idle()
    local state
    assert(support.eventually(function()
      state = server:get "/state"
      return state == "0 0 none"
    end), state)
  end

  it("a client that hangs up while its send waits leaves no waiter, and its message is sent once", function()
    start { locations = [[
      location = /abort {
        lua_check_client_abort on;
        content_by_lua_block { channel:send(text(ngx.var.arg_phone)) ngx.print "late" }
      }]] }
    fake:set { held = true }
    local list = phones(20)
    local burst = server:burst(paths(list, "/abort"))
    assert(support.eventually(function() return (server:get "/state"):match "^20 20 " end))
    burst:abort()
    assert(support.eventually(function() return select(2, server:log():gsub("prematurely closed", "")) == 20 end))
    fake:set { held = false }
    assert_accepted(phones(4))
    assert_idle()
    local counts = fake:counts()
    for _, phone in ipairs(list) do assert.equal(1, counts[phone]) end
  end)

  it("a light thread that is killed while it waits leaves no waiter", function()
    start { locations = [[
      location = /kill {
        content_by_lua_block {
          local thread = ngx.thread.spawn(function() channel:send(text(ngx.var.arg_phone)) end)
          ngx.sleep(0.02)
          assert(ngx.thread.kill(thread))
          ngx.print "accepted"
        }
      }]] }
    fake:set { held = true }
    server:burst(paths(phones(10), "/kill")):collect()
    fake:set { held = false }
    assert_accepted(phones(4))
    assert_idle()
  end)

  it("sends that nobody waits for are taken home, and leave nothing behind", function()
    start { locations = [[
      location = /forget {
        content_by_lua_block { ngx.print "ok" }
        log_by_lua_block { assert(channel:async("send", text(ngx.var.arg_phone))) }
      }
      location = /stats { content_by_lua_block { ngx.print(channel:stats().accepted) } }
      ]] }
    local list = phones(64)
    server:burst(paths(list, "/forget")):collect()
    assert_idle()
    assert.equal("64", (server:get "/stats"))
    local counts = fake:counts()
    for _, phone in ipairs(list) do assert.equal(1, counts[phone]) end
  end)

  it("no timer can be made: each waiter looks for itself, and a reload is not held up", function()
    start {
      http = "lua_max_pending_timers 1;",
      locations = [[
        location = /fill { content_by_lua_block { ngx.print(ngx.timer.at(3600, function() end) and "filled") } }
      ]],
    }
    assert.equal("filled", (server:get "/fill"))
    assert_accepted(phones(16))
    assert.equal("0 0 none", (server:get "/state"))
    local burst = server:burst(paths(phones(8)))
    local old = server:reload()
    for i, answer in pairs(burst:collect()) do assert.equal("accepted", answer.body, i) end
    assert.is_truthy(nginx.gone(old), "the old worker stayed")
  end)

  it("a timer that nginx drops without a word: each waiter looks for itself", function()
    expected = "lua_max_running_timers are not enough"
    start {
      http = "lua_max_running_timers 1;",
      locations = [[
        location = /fill {
          content_by_lua_block {
            ngx.timer.at(0, function() while not ngx.worker.exiting() do ngx.sleep(0.05) end end)
            ngx.print "filled"
          }
        }]],
    }
    assert.equal("filled", (server:get "/fill"))
    assert_accepted(phones(16))
    assert.is_truthy(server:log():find(expected, 1, true))
    assert.is_truthy(server:quit())
  end)

  it("no socket can be made: one shared poller", function()
    start { init = [[require("onemsg.core").listen = function() return nil, "config: none" end]] }
    assert_accepted(phones(64))
    assert_idle()
    local burst = server:burst(paths(phones(32)))
    local old = server:reload()
    local answers = burst:collect()
    for i = 1, 32 do assert.equal("accepted", answers[i] and answers[i].body) end
    assert.is_truthy(nginx.gone(old), "the old worker stayed")
  end)

  it("a reader that dies is replaced, and no answer is lost", function()
    start { locations = [[
      location = /cut { content_by_lua_block { require("onemsg.core").hangup() ngx.print "cut" } }
    ]] }
    fake:set { held = true }
    local list = phones(16)
    local burst = server:burst(paths(list))
    assert(support.eventually(function() return server:get "/state" == "16 16 up" end))
    assert.equal("cut", (server:get "/cut"))
    fake:set { held = false }
    local answers = burst:collect()
    for i = 1, 16 do assert.equal("accepted", answers[i] and answers[i].body) end
    assert.matches("the reader of completions ended %(closed%); another takes over", server:log())
    assert_idle()
    assert_accepted(phones(4))
  end)

  it("waits of less than a millisecond, one after the other: the worker serves others, and its clock moves on", function()
    start { locations = [[
      location = /short { content_by_lua_block {
        local core, from, rounds = require "onemsg.core", ngx.now(), 0
        repeat
          core.wait_group({ [0] = 0 }, 0.0004)
          rounds = rounds + 1
        until ngx.now() > from or rounds == 1000
        ngx.print(rounds < 1000)
      } }
    ]] }
    assert.equal("true", (server:get "/short"))
  end)

  it("a reader comes and goes without leaking descriptors or threads", function()
    start { options = { max_connections = 8 }, main = "env TMPDIR=$dir/sockets;",
      prepare = function(dir) assert(os.execute("mkdir -m 777 " .. dir .. "/sockets")) end }
    local worker = server:workers()[1]
    assert_accepted(phones(32))
    assert_idle()
    local fds, threads = descriptors(worker), sys.threads(worker)
    for _ = 1, 3 do
      assert_accepted(phones(32))
      assert_idle()
    end
    assert.equal(threads, sys.threads(worker))
    assert(support.eventually(function() return descriptors(worker) <= fds end),
      descriptors(worker) .. " descriptors, not " .. fds)
    assert.equal("", (io.popen("ls -d " .. server.dir .. "/sockets/*/port 2>/dev/null"):read "*a"), "socket paths were left")
  end)

  it("lua_code_cache off: a Lua state a request, one engine, nothing left", function()
    expected = "lua_code_cache is off"
    start { cache = "off", options = { max_connections = 4 }, locations = [[
      location = /forget { content_by_lua_block { ngx.print(channel:async("send", text(ngx.var.arg_phone)) and "ok") } }
    ]] }
    local worker = server:workers()[1]
    assert_accepted(phones(24))
    -- The least that was ever seen without a request: what these requests had open is closed, as soon as the worker comes to it.
    local fds, threads = descriptors(worker), sys.threads(worker)
    support.eventually(function()
      local now = descriptors(worker)
      local fell = now < fds
      fds = math.min(fds, now)
      return not fell and server:get "/state" and descriptors(worker) == fds
    end)
    for _ = 1, 4 do
      local forgotten = phones(8)
      local burst = server:burst(paths(forgotten, "/forget"))
      assert_accepted(phones(8))
      burst:collect()
      local counts
      assert(support.eventually(function()
        counts = fake:counts()
        for _, phone in ipairs(forgotten) do if not counts[phone] then return false end end
        return true
      end), "not all were sent")
      for _, phone in ipairs(forgotten) do assert.equal(1, counts[phone]) end
    end
    assert(support.eventually(function() return descriptors(worker) <= fds end),
      descriptors(worker) .. " descriptors instead of " .. fds)
    assert.equal(threads, sys.threads(worker))
    assert.is_truthy(server:quit())
  end)

  it("ngx.run_worker_thread: the plain way, which may block there, and only there", function()
    start {
      main = "thread_pool senders threads=4;",
      files = { ["in_thread.lua"] = [[
        local M, channel = {}, nil
        function M.send(options, message)
          local onemsg = require "onemsg"
          channel = channel or assert(onemsg.new(options))
          local receipt, err = channel:send(message)
          return receipt and receipt.outcome or err
        end
        return M]] },
      locations = [[
        location = /thread {
          content_by_lua_block {
            local ok, outcome = ngx.run_worker_thread("senders", "in_thread", "send", OPTIONS, text(ngx.var.arg_phone))
            ngx.print(outcome)
          }
        }]],
    }
    assert_accepted(phones(12), "/thread")
    fake:set { held = true }
    local list = phones(4)
    local burst = server:burst(paths(list, "/thread"))
    assert(support.eventually(function() return fake:count(list[4]) == 1 end))
    assert.equal("pong\n", (server:get "/ping")) -- the threads have their answers only afterwards
    fake:set { held = false }
    for _, answer in pairs(burst:collect()) do assert.equal("accepted", answer.body) end
    assert_accepted(phones(2))
  end)

  it("required and configured before the fork, used by every worker, which has no environment and no rights", function()
    start {
      workers = 3, user = "nobody nogroup", environment = "ONE_MSG_TOKEN=" .. fake.env.ONE_MSG_TOKEN,
      init = [[
        OPTIONS.token = nil
        channel = assert(onemsg.new(OPTIONS))
        require "onemsg.channel.send_each"
      ]],
      locations = [[
        location = /who {
          content_by_lua_block {
            local receipt, err = channel:send(text(ngx.var.arg_phone))
            local outcome = receipt and receipt.outcome or err
            ngx.print(outcome, " ", ngx.worker.pid(), " ", os.getenv "ONE_MSG_TOKEN" or "nil")
          }
        }]],
    }
    local seen, workers = {}, 0
    assert(support.eventually(function()
      local answers = server:burst(paths(phones(24), "/who")):collect()
      for i = 1, 24 do
        local pid = answers[i].body:match "^accepted (%d+) nil$"
        assert(pid, answers[i].body)
        if not seen[pid] then seen[pid], workers = true, workers + 1 end
      end
      return workers == 3
    end), workers .. " of 3 workers")
  end)

  it("a pending from before the fork is refused, and a channel of it too", function()
    start {
      init = [[ begun = { channel:async("send", text "12022990001") } ]],
      locations = [[ location = /begun { content_by_lua_block { ngx.print(tostring(begun[1]), " ", begun[2]) } } ]],
    }
    assert.matches("^nil invalid: channel:async in init_by_lua: nginx has not forked yet", (server:get "/begun"))
    assert.equal(0, fake:count "12022990001")
    assert_accepted(phones(2))
  end)

  it("without its Lua part it says so in one sentence, and does not block", function()
    start {
      before = [[
        package.preload["resty.onemsg.yield"] = function() error "no file" end
        local ok, why = pcall(require, "onemsg")
        SAID = tostring(ok) .. " " .. tostring(why)
        package.preload["resty.onemsg.yield"], package.loaded["resty.onemsg.yield"] = nil, nil
        package.loaded.onemsg = nil
      ]],
      locations = [[ location = /said { content_by_lua_block { ngx.print(SAID) } } ]],
    }
    assert.matches("^false .*onemsg: this is nginx, and without lua/resty/onemsg/yield.lua on lua_package_path its "
      .. "calls would block the worker", (server:get "/said"))
  end)
end)
