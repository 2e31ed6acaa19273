-- Pendings, and event loops that wait for them by a descriptor (pending.c).
local channels = require "support.channels"
local onemsg = require "onemsg"
local raw = require "support.raw"
local server = require "support.server"
local sys = require "support.sys"

describe("async", function()
  local fake, channel, slow

  setup(function()
    fake = server.fake { set = { pace_ms = 0 } }
    slow = raw.http "hang"
    -- the process takes the greatest max_connections it was ever given: one, here, so that sends queue
    channel = channels.new(fake, { max_connections = 1 })
  end)
  teardown(function()
    channel:close()
    slow:stop()
    fake:stop()
  end)
  before_each(function() onemsg.dispatch() end)

  local function send(ending, through)
    return assert((through or channel):async("send", channels.message(channels.phone(ending or 0))))
  end

  describe("pending", function()
    it("answers once it is ready, the same as often as it is asked", function()
      local pending = send()
      assert.is_truthy(server.eventually(function() return pending:ready() end))
      assert.are.equal("onemsg.pending (send, ready)", tostring(pending))
      local one, two = pending:wait(), pending:wait(0)
      assert.are.equal("accepted", one.outcome)
      assert.are.same(one, two)
      local failing = send(41)
      local _, err = failing:wait()
      local _, again, info = failing:wait(1)
      assert.is_truthy(err:find "^rejected: ")
      assert.are.equal(err, again)
      assert.are.equal("rejected", info.outcome)
    end)

    it("is counted once, however often it is asked", function()
      local before = channel:stats().rejected
      local pending = send(41)
      for _ = 1, 5 do pending:wait() end
      assert.are.equal(before + 1, channel:stats().rejected)
    end)

    it("waits so long as it is told, and answers later", function()
      fake:set { held = true }
      local pending = send()
      assert.is_false(pending:ready())
      assert.are.equal("onemsg.pending (send, under way)", tostring(pending))
      local before = sys.now()
      local none, err, info = pending:wait(0.05)
      assert.is_nil(none)
      assert.is_truthy(err:find "^timeout: ", err)
      assert.are.equal("pending", info.outcome)
      assert.is_true(sys.now() - before >= 0.05)
      assert.is_nil((pending:wait(0)))
      fake:set { held = false }
      assert.are.equal("accepted", pending:wait("60s").outcome)
    end)

    it("ends in the channel's time, also while it queues behind slower sends", function()
      local patient = channels.to(slow, { max_connections = 1 })
      local hasty = channels.to(slow, { timeout = 0.2, max_connections = 1 })
      local first = send(0, patient)
      assert.is_truthy(server.eventually(function() return slow:count() == 1 end))
      local list = {}
      for i = 1, 5 do list[i] = send(0, hasty) end
      for i = 1, 5 do
        local none, err, info = list[i]:wait()
        assert.is_nil(none)
        assert.are.equal("not_sent", info.outcome)
        assert.is_truthy(err:find("no answer from 127.0.0.1 within ", 1, true), err)
      end
      assert.is_true(first:cancel()) -- it was under way all the time
    end)

    it("can be cancelled: what had not left is not_sent, what had is unknown", function()
      local stuck = channels.to(slow, { max_connections = 1 })
      local count = slow:count()
      local leaving = send(0, stuck)
      assert.is_truthy(server.eventually(function() return slow:count() == count + 1 end))
      local waiting, instant = send(0, stuck), send(0, stuck)
      for _, case in ipairs { { instant, "not_sent" }, { waiting, "not_sent" }, { leaving, "unknown" } } do
        assert.is_true(case[1]:cancel())
        local none, err, info = case[1]:wait()
        assert.is_nil(none)
        assert.are.equal(case[2] .. ": cancelled", err:match "^[%a_]+: cancelled")
        assert.are.equal(case[2], info.outcome)
        assert.is_nil(info.status)
        assert.is_false(case[1]:cancel())
      end
      assert.are.equal(count + 1, slow:count())
      local done = send()
      done:wait()
      assert.is_false(done:cancel())
      assert.are.equal("accepted", done:wait().outcome)
      assert.are.equal(0, stuck:stats().in_flight)
    end)

    it("refuses a wrong time to wait", function()
      local pending = send()
      for _, time in ipairs { -1, 0 / 0, 1 / 0, "soon", {}, true, "1.2.3s", 1e300 } do
        assert.has_error(function() pending:wait(time) end)
      end
      assert.are.equal("accepted", pending:wait().outcome)
    end)

    it("is made for every operation, and not for others", function()
      assert.are.equal("connected", channel:async("status"):wait().status)
      assert.are.equal("connected", channel:async("request", "GET", "status"):wait().status)
      assert.is_table(channel:async("hookInfo", "wamid.x"):wait().hooks)
      assert.is_table(channel:async("webhook"):wait())
      local none, err = channel:async("send", channels.message "x")
      assert.is_nil(none)
      assert.is_truthy(err:find "^invalid: phone", err)
      for _, case in ipairs { { "sned", "did you mean 'send'" }, { "templates", "several requests" }, { 5, "name of" },
                              { "", "name of" }, { {}, "name of" } } do
        local ok, message = pcall(channel.async, channel, case[1])
        assert.is_false(ok)
        assert.is_truthy(message:find(case[2], 1, true), message)
      end
    end)

    it("may be waited for in any coroutine, in any order", function()
      local list, done = {}, 0
      for i = 1, 50 do list[i] = send(i % 20) end
      for i = 50, 1, -1 do
        coroutine.wrap(function()
          assert.are.equal("accepted", list[i]:wait().outcome)
          done = done + 1
        end)()
      end
      assert.are.equal(50, done)
      local begun = coroutine.wrap(function() coroutine.yield(send()) end)()
      collectgarbage()
      assert.are.equal("accepted", begun:wait().outcome)
    end)
  end)

  describe("dispatch", function()
    local function collect(count, wait)
      local seen, total = {}, 0
      while total < count do
        wait()
        for _, pending in ipairs(onemsg.dispatch()) do
          assert.is_nil(seen[pending])
          assert.is_true(pending:ready())
          seen[pending], total = true, total + 1
        end
      end
      return seen
    end

    it("returns each pending once, when its descriptor is readable", function()
      local fd = assert(onemsg.fd())
      assert.are.equal(fd, onemsg.fd())
      assert.is_false(sys.poll(fd, 0))
      assert.are.same({}, onemsg.dispatch())
      local list = {}
      for i = 1, 100 do list[i] = send(i % 20) end
      local seen = collect(100, function() assert.is_true(sys.poll(fd, 60)) end)
      for _, pending in ipairs(list) do assert.is_true(seen[pending]) end
      assert.is_false(sys.poll(fd, 0))
      assert.are.same({}, onemsg.dispatch())
    end)

    it("returns also what another call took home, and the descriptor tells of it", function()
      local fd = assert(onemsg.fd())
      local one, two, three = send(), send(), send()
      for _, pending in ipairs { one, two, three } do pending:wait() end
      assert.is_true(sys.poll(fd, 0))
      local seen = collect(3, function() end)
      assert.is_true(seen[one] and seen[two] and seen[three])
      local late = send()
      channel:status()
      assert.is_true(late:wait() ~= nil and sys.poll(fd, 0))
      assert.are.equal(late, onemsg.dispatch()[1])
      if sys.poll(fd, 0) then assert.are.same({}, onemsg.dispatch()) end -- woken once more for what a call has taken: no news
      assert.is_false(sys.poll(fd, 0))
    end)

    it("says nothing of blocking calls, nor of the sends of send_each", function()
      local fd = assert(onemsg.fd())
      channel:send(channels.message(channels.phone(0)))
      local mine = send()
      local messages = { channels.message(channels.phone(0)), channels.message(channels.phone(1)) }
      for _, receipt in channel:send_each(messages) do assert.are.equal("accepted", receipt.outcome) end
      mine:wait()
      assert.is_true(sys.poll(fd, 60))
      assert.are.same({ mine }, onemsg.dispatch())
    end)

    it("keeps what nobody else keeps until it ended, and lets go of it then", function()
      local fd = assert(onemsg.fd())
      local weak = setmetatable({}, { __mode = "v" })
      for i = 1, 20 do weak[i] = send() end
      collectgarbage() collectgarbage()
      local count = 0
      collect(20, function() sys.poll(fd, 60) count = count + 1 end)
      collectgarbage() collectgarbage()
      assert.is_nil(next(weak))
    end)

    it("works with luv", function()
      local uv = require "luv"
      local poll = uv.new_poll(assert(onemsg.fd()))
      local waiting, answered = {}, {}
      for i = 1, 30 do waiting[send(i % 20 == 5 and 41 or i % 20)] = i end
      poll:start("r", function()
        for _, pending in ipairs(onemsg.dispatch()) do
          local receipt, err = pending:wait()
          answered[waiting[pending]] = receipt and receipt.outcome or err
          waiting[pending] = nil
        end
        if not next(waiting) then poll:stop() poll:close() end
      end)
      local ticks = 0
      local timer = uv.new_timer()
      timer:start(0, 1, function()
        ticks = ticks + 1
        if poll:is_closing() then timer:close() end
      end)
      uv.run()
      assert.are.equal(30, #answered)
      assert.is_true(ticks > 0)
      for i = 1, 30 do
        assert.is_truthy(answered[i]:find(i % 20 == 5 and "^rejected: " or "^accepted$"), answered[i])
      end
    end)
  end)

  it("says not_sent when the queue is full, and goes on afterwards", function()
    local stuck = channels.to(slow, { timeout = 600, max_connections = 1 })
    local list, refused, arrived = {}, nil, slow:count()
    local message = channels.message "12020721300"
    for i = 1, 70000 do
      local pending, err, info = stuck:async("send", message)
      if not pending then
        refused = { err, info }
        break
      end
      list[i] = pending
    end
    assert.are.equal(65536, #list)
    assert.is_truthy(server.eventually(function() return slow:count() == arrived + 1 end)) -- there it stays
    assert.is_truthy(refused[1]:find "^not_sent: the queue is full", refused[1])
    assert.are.equal("not_sent", refused[2].outcome)
    assert.is_true(refused[2].retry)
    for i = #list, 1, -1 do list[i]:cancel() end -- the one that left is the last: no other can take its place
    local tally = { not_sent = 0, unknown = 0 }
    for _, pending in ipairs(list) do
      local _, _, info = pending:wait()
      tally[info.outcome] = tally[info.outcome] + 1
    end
    assert.are.same({ not_sent = 65535, unknown = 1 }, tally)
    assert.are.equal(arrived + 1, slow:count())
    assert.are.equal(0, stuck:stats().in_flight)
    assert.are.equal("accepted", assert(channel:send(channels.message(channels.phone(0)))).outcome)
    onemsg.dispatch()
  end)

  it("keeps nothing of what nobody ever asks for, where no event loop is", function()
    sys.states(([[ -- a Lua state of its own: this one has called onemsg.dispatch
      local onemsg = require "onemsg"
      local channel = assert(onemsg.new { base_url = %q, token = %q, max_connections = 1 })
      local function forget(count)
        for i = 1, count do
          assert(channel:async("status"))
          while channel:stats().in_flight > 400 do onemsg.sleep(0.001) end
        end
        collectgarbage() collectgarbage()
      end
      forget(4000)
      local kb = collectgarbage "count"
      forget(8000)
      local more = collectgarbage "count" - kb
      assert(more < 200, more .. " KB more")]]):format(fake.env.FAKE_HTTP_URL, fake.env.ONE_MSG_TOKEN), 0)
  end)

  it("survives a collector at full pressure, and pendings that nobody wants", function()
    local pause = collectgarbage("setpause", 0)
    local multiplier = collectgarbage("setstepmul", 1000)
    local fds = sys.fds()
    for round = 1, 200 do
      local pending = send(round % 20)
      send(41)
      collectgarbage("step")
      if round % 3 == 0 then pending:cancel() end
      if round % 5 == 0 then pending = nil end
      local one = channels.new(fake, { max_connections = 1 })
      local left = send(round % 20, one)
      one:close()
      collectgarbage("step")
      local receipt = pending and pending:wait()
      assert.is_true(receipt == nil or receipt.outcome == "accepted")
      if round % 2 == 0 then assert.are.equal("accepted", left:wait().outcome) end
      channel:check(channels.message "12020721300")
    end
    collectgarbage("setpause", pause)
    collectgarbage("setstepmul", multiplier)
    assert.is_truthy(server.eventually(function()
      onemsg.dispatch()
      return channel:stats().in_flight == 0
    end))
    collectgarbage() collectgarbage()
    assert.is_true(sys.fds() <= fds + 64)
  end)
end)
