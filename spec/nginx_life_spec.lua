--- onemsg in nginx: what reload, quit, terminate and kill do to sends under way.
-- ONEMSG_RELOADS=100 ONEMSG_EXITS=500 for the long run.
local files = require "support.files"
local nginx = require "support.nginx"
local support = require "support.server"
local sys = require "support.sys"

local RELOADS = tonumber(os.getenv "ONEMSG_RELOADS") or 10
local EXITS = tonumber(os.getenv "ONEMSG_EXITS") or 6
local LATENCY_MS = 400

local LOCATIONS = [[
  location = /send {
    content_by_lua_block {
      local receipt, err, info = channel:send(text(ngx.var.arg_phone))
      ngx.print(receipt and receipt.outcome or err)
    }
  }
  location = /forget {
    content_by_lua_block { ngx.print(assert(channel:async("send", text(ngx.var.arg_phone))) and "begun") }
  }
  location = /premature {
    content_by_lua_block {
      local path = "$dir/premature.txt"
      ngx.timer.at(3600, function(premature, phone)
        local receipt, err = channel:send(text(phone))
        local file = io.open(path, "a")
        file:write(tostring(premature), " ", receipt and receipt.outcome or err, "\n")
        file:close()
      end, ngx.var.arg_phone)
      ngx.print "armed"
    }
  }
]]

local phones, paths = nginx.phones, nginx.paths

for _, daemon in ipairs { true, false } do
  describe("nginx: life of a worker, daemon " .. (daemon and "on" or "off"), function()
    local fake, server

    setup(function() fake = support.fake { latency = LATENCY_MS } end)
    teardown(function() fake:stop() end)
    before_each(function() server = nginx.start { fake = fake, daemon = daemon, locations = LOCATIONS } end)
    local expected
    after_each(function()
      local complaints = server:complaints(expected)
      expected = nil
      server:stop()
      assert.equal("", complaints)
    end)

    --- All sends are with the fake, not yet answered.
    local function wait_for_arrival(list)
      assert(support.eventually(function()
        local counts = fake:counts()
        for _, phone in ipairs(list) do
          if not counts[phone] then return false end
        end
        return true
      end), "the sends did not arrive")
    end

    local function assert_each_once(list)
      local counts = fake:counts()
      for _, phone in ipairs(list) do assert.equal(1, counts[phone], phone) end
    end

    local function assert_all_accepted(answers, count)
      local last = 0
      for i = 1, count do
        assert.is_truthy(answers[i], "no answer to request " .. i)
        assert.equal("accepted", answers[i].body)
        last = math.max(last, answers[i].at)
      end
      return last
    end

    it("reloads with 32 sends in flight: none is lost, the old worker leaves behind them", function()
      local list = phones(32)
      fake:set { held = true }
      local burst = server:burst(paths(list))
      wait_for_arrival(list)
      local old = server:reload()
      fake:set { held = false }
      assert_all_accepted(burst:collect(), 32)
      assert.is_truthy(nginx.gone(old), "the old worker stayed")
      assert_each_once(list)
      assert.equal("accepted", (server:get(paths(phones(1))[1])))
      assert.equal(1, #server:workers())
    end)

    it("quits with 32 sends in flight: none is lost, and then all is over", function()
      local list = phones(32)
      fake:set { held = true }
      local burst = server:burst(paths(list))
      wait_for_arrival(list)
      local all = server:workers()
      all[2] = server.master
      server:signal "QUIT"
      fake:set { held = false }
      assert_all_accepted(burst:collect(), 32)
      assert.is_truthy(nginx.gone(all), "nginx stayed")
      assert_each_once(list)
      assert.is_nil(server:log():find("under way", 1, true))
    end)

    it("quits when nothing is in flight, however short ago it sent", function()
      server:get(paths(phones(1))[1])
      assert.is_truthy(server:quit())
    end)

    it("quits only when what nobody waits for has left, too", function()
      local list = phones(8)
      server:burst(paths(list, "/forget")):collect()
      assert.is_truthy(server:quit())
      assert_each_once(list)
      assert.is_nil(server:log():find("under way", 1, true))
    end)

    it("ends at TERM at once, and says how many sends it took with it", function()
      local list = phones(16)
      fake:set { held = true }
      local burst = server:burst(paths(list))
      wait_for_arrival(list)
      assert.is_truthy(server:quit "TERM", "TERM waited for answers")
      fake:set { held = false }
      assert.is_nil(next(burst:collect()))
      assert.matches("the worker ends with 16 calls under way; the outcome of each that left is unknown", server:log())
      assert_each_once(list)
    end)

    it("reloads " .. RELOADS .. " times under load", function()
      fake:set { latency_ms = 20 }
      local sent, before = {}, nil
      local fds = sys.fds(server.master)
      for _ = 1, RELOADS do
        local list = phones(8)
        local burst = server:burst(paths(list))
        server:signal "HUP"
        if before then assert_all_accepted(before.burst:collect(), 8) end
        before = { burst = burst }
        for _, phone in ipairs(list) do sent[#sent + 1] = phone end
      end
      assert_all_accepted(before.burst:collect(), 8)
      fake:set { latency_ms = LATENCY_MS }
      assert_each_once(sent)
      assert(support.eventually(function() return #server:workers() == 1 end), "old workers stayed")
      assert(support.eventually(function() return sys.fds(server.master) <= fds end), "the master lost descriptors")
    end)

    it("gets over a worker killed with -9", function()
      local list = phones(8)
      fake:set { held = true }
      local burst = server:burst(paths(list))
      wait_for_arrival(list)
      local killed = server:workers()
      expected = "exited on signal 9"
      server:signal("KILL", killed[1])
      burst:collect()
      fake:set { held = false }
      assert(support.eventually(function()
        local now = server:workers()
        return #now == 1 and now[1] ~= killed[1]
      end), "no new worker")
      local after = phones(4)
      assert_all_accepted(server:burst(paths(after)):collect(), 4)
      assert_each_once(list)
      assert_each_once(after)
    end)

    it("sends from a timer that nginx fires early, at a reload and at the end", function()
      local list = phones(4)
      for i = 1, 2 do assert.equal("armed", (server:get("/premature?phone=" .. list[i]))) end
      local old = server:reload()
      assert.is_truthy(nginx.gone(old), "the old worker stayed")
      assert.equal(("true accepted\n"):rep(2), files.content(server.dir .. "/premature.txt"))
      for i = 3, 4 do assert.equal("armed", (server:get("/premature?phone=" .. list[i]))) end
      assert.is_truthy(server:quit())
      assert.equal(("true accepted\n"):rep(4), files.content(server.dir .. "/premature.txt"))
      assert_each_once(list)
    end)
  end)
end

describe("nginx: the end of a worker, with TLS", function()
  it("comes " .. EXITS .. " times with 32 sends in flight, by QUIT and by TERM in turn, without a crash", function()
    local fake = support.fake {}
    for round = 1, EXITS do
      local server = nginx.start { fake = fake, locations = LOCATIONS,
        options = { base_url = fake.env.FAKE_HTTPS_URL, ca_file = fake.env.ONE_MSG_CA_FILE } }
      local list = phones(32)
      fake:set { held = true }
      local burst = server:burst(paths(list))
      assert(support.eventually(function() -- else QUIT would meet requests that nginx has not yet accepted
        local arrived, counts = 0, fake:counts()
        for _, phone in ipairs(list) do arrived = arrived + (counts[phone] or 0) end
        return arrived == 32
      end))
      local quits, all = round % 2 == 0, server:workers()
      all[#all + 1] = server.master
      server:signal(quits and "QUIT" or "TERM")
      if quits then fake:set { held = false } end
      local ended = nginx.gone(all)
      fake:set { held = false }
      local accepted = 0
      for _, answer in pairs(burst:collect()) do accepted = accepted + (answer.body == "accepted" and 1 or 0) end
      local log, complaints = server:log(), server:complaints()
      server:stop()
      assert.is_truthy(ended, "round " .. round .. " did not end")
      assert.is_nil(log:find("exited on signal", 1, true))
      assert.equal("", complaints)
      assert.equal(quits and 32 or 0, accepted)
    end
    fake:stop()
  end)
end)
