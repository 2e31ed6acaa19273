-- channel:send_each: many sends with a window of them in flight (lua/onemsg/channel/send_each.lua).
local channels = require "support.channels"
local server = require "support.server"
local sys = require "support.sys"

describe("send_each", function()
  local fake, channel, finish

  setup(function() fake, channel, finish = channels.with_fake { set = { pace_ms = 0 } } end)
  teardown(function() finish() end)

  local function list(count, change)
    local messages = {}
    for i = 1, count do
      local message = channels.message(channels.phone(i % 20))
      messages[i] = change and change(i, message) or message
    end
    return messages
  end

  -- Every index exactly once; answers by index.
  local function run(messages, options, count)
    local answers, seen = {}, 0
    for index, receipt, err, info in channel:send_each(messages, options) do
      assert.is_nil(answers[index])
      answers[index] = { receipt = receipt, err = err, info = info }
      seen = seen + 1
    end
    assert.are.equal(count, seen)
    for i = 1, count do assert.is_table(answers[i]) end
    return answers
  end

  it("takes a list, an iterator, a coroutine", function()
    local messages = list(50)
    for _, source in ipairs {
      function() return messages end,
      function()
        local i = 0
        return function()
          i = i + 1
          return messages[i]
        end
      end,
      function() return coroutine.wrap(function() for _, message in ipairs(messages) do coroutine.yield(message) end end) end,
    } do
      fake:reset()
      fake:set { pace_ms = 0 }
      for i, answer in ipairs(run(source(), nil, 50)) do
        assert.are.equal("accepted", answer.receipt.outcome)
        assert.are.equal("Sent to " .. messages[i].phone .. "@c.us", answer.receipt.message)
        assert.are.equal(1, fake:count(messages[i].phone))
      end
    end
  end)

  it("takes nothing, and one", function()
    run({}, nil, 0)
    run(function() end, nil, 0)
    run(list(1), { window = 10000 }, 1)
  end)

  it("keeps no more than its window in flight, and no fewer", function()
    for _, window in ipairs { 1, 2, 7, 64, 200 } do
      local most, messages, taken, answers = 0, list(100), 0, 0
      for _, receipt in channel:send_each(function()
        taken = taken + 1
        local message = messages[window == 1 and taken > 10 and 1e9 or taken]
        if message then most = math.max(most, taken - answers) end
        return message
      end, { window = window }) do
        assert.are.equal("accepted", receipt.outcome)
        answers = answers + 1
      end
      local count = window == 1 and 10 or 100
      assert.are.equal(count, answers)
      assert.equal(math.min(window, count), most)
    end
  end)

  it("yields in the order in which they end: one slow send holds nobody up", function()
    local order = {}
    for index in channel:send_each(list(20, function(i, message)
      if i == 1 then message.phone = channels.phone(81) end -- its answer takes half a second
      return message
    end), { window = 4 }) do order[#order + 1] = index end
    assert.are.equal(20, #order)
    assert.are.equal(1, order[20])
  end)

  it("tells of an invalid message in its place, and goes on", function()
    local messages = list(40, function(i, message)
      if i % 7 == 0 then message.phone = "nobody" end
      if i % 11 == 0 then message.name = "" end
      if i == 25 then message.phone = channels.phone(41) end
      return message
    end)
    for i, answer in ipairs(run(messages, { window = 8 }, 40)) do
      if i % 7 == 0 or i % 11 == 0 then
        assert.is_nil(answer.receipt)
        assert.is_truthy(answer.err:find(i % 7 == 0 and "^invalid: phone" or "^invalid: name"), answer.err)
        assert.are.equal("invalid", answer.info.outcome)
      elseif i == 25 then
        assert.is_truthy(answer.err:find "^rejected: ")
      else
        assert.are.equal("accepted", answer.receipt.outcome)
      end
    end
  end)

  it("raises for a message of a wrong type when all that was begun has been told", function()
    for _, wrong in ipairs { false, 5, "text", { phone = "12020721300", name = {} }, { phne = "1" } } do
      local messages, seen = list(30), 0
      messages[20] = wrong
      local line = debug.getinfo(1, "l").currentline + 2
      local ok, message = pcall(function()
        for index, receipt in channel:send_each(messages, { window = 16 }) do
          assert.are.equal("accepted", receipt.outcome)
          assert.is_true(index < 20)
          seen = seen + 1
        end
      end)
      assert.is_false(ok)
      assert.is_truthy(message:find("send_each_spec.lua:" .. line .. ": ", 1, true), message)
      assert.are.equal(19, seen)
      for i = 1, 30 do assert.are.equal(i < 20 and 1 or 0, i == 20 and 0 or fake:count(messages[i].phone)) end
    end
  end)

  it("raises the error of the iterator, likewise", function()
    local problem, taken, seen = {}, 0, 0
    local ok, raised = pcall(function()
      for _ in channel:send_each(function()
        taken = taken + 1
        if taken == 10 then error(problem) end
        return channels.message(channels.phone(0))
      end) do seen = seen + 1 end
    end)
    assert.is_false(ok)
    assert.are.equal(problem, raised)
    assert.are.equal(9, seen)
  end)

  it("begins no further send once the loop is left; what is in flight ends by itself", function()
    local messages, seen = list(100), 0
    for _, receipt in channel:send_each(messages, { window = 10 }) do
      assert.are.equal("accepted", receipt.outcome)
      seen = seen + 1
      if seen == 5 then break end
    end
    assert.is_truthy(server.eventually(function() return channel:stats().in_flight == 0 end))
    local count = 0
    for _, message in ipairs(messages) do count = count + fake:count(message.phone) end
    assert.is_true(count >= 5 and count <= 15, count)
    assert.are.equal("accepted", assert(channel:send(channels.message(channels.phone(0)))).outcome)
    collectgarbage()
  end)

  it("can be nested, and mixed with other calls", function()
    local outer, inner = 0, 0
    for _, receipt in channel:send_each(list(10), { window = 3 }) do
      assert.are.equal("accepted", receipt.outcome)
      outer = outer + 1
      for _, other in channel:send_each(list(5), { window = 2 }) do
        assert.are.equal("accepted", other.outcome)
        inner = inner + 1
      end
      assert.are.equal("connected", channel:status().status)
    end
    assert.are.equal(10, outer)
    assert.are.equal(50, inner)
  end)

  it("says closed once the channel is", function()
    local one = channels.new(fake)
    local seen = {}
    for index, receipt, err in one:send_each(list(20), { window = 4 }) do
      seen[index] = receipt and receipt.outcome or err:match "^%a+"
      one:close()
    end
    assert.are.equal(20, #seen)
    assert.are.equal("accepted", seen[1])
    assert.are.equal("closed", seen[20])
  end)

  it("refuses wrong arguments at the caller's line", function()
    for _, case in ipairs {
      { {}, "list of messages" }, { { 5 }, "list of messages" }, { { "x" }, "list of messages" },
      { { {}, 5 }, "options" }, { { {}, "64" }, "options" }, { { {}, { windo = 5 } }, "did you mean 'window'" },
      { { {}, { 64 } }, "no option '1'" }, { { {}, { window = 0 } }, "whole number from 1" },
      { { {}, { window = 1.5 } }, "whole" }, { { {}, { window = 10001 } }, "whole" }, { { {}, { window = 0 / 0 } }, "whole" },
      { { {}, { window = "64" } }, "whole" }, { { {}, { window = 1 / 0 } }, "whole" },
    } do
      local line = debug.getinfo(1, "l").currentline + 1
      local ok, message = pcall(function() local _ = channel:send_each(case[1][1], case[1][2]) end)
      assert.is_false(ok)
      assert.is_truthy(message:find("send_each_spec.lua:" .. line .. ": ", 1, true), message)
      assert.is_truthy(message:find(case[2], 1, true), message)
    end
  end)

  it("sends thousands: flat memory, nothing left open", function()
    local total = tonumber(os.getenv "ONEMSG_MANY") or 10000
    local bare = server.fake { journal = false, set = { check = "off", pace_ms = 0 } }
    local one = channels.new(bare)
    local function send(count)
      local accepted, sent = 0, 0
      local message = channels.message "12020721300"
      for _, receipt in one:send_each(function()
        sent = sent + 1
        return sent <= count and message or nil
      end) do
        if receipt.outcome == "accepted" then accepted = accepted + 1 end
      end
      assert.are.equal(count, accepted)
      collectgarbage() collectgarbage()
    end
    send(2000)
    local kb, fds, threads, lua_kb = sys.rss_kb(), sys.fds(), sys.threads(), collectgarbage "count"
    send(total)
    if not os.getenv "SPEC_LUA" then -- sanitizers keep what was freed
      -- what the allocator holds back sways by 2 MB; half a KB lost at each send would be 5 at least
      assert.is_true(sys.rss_kb() - kb < 4096, ("%d KB more"):format(sys.rss_kb() - kb))
    end
    assert.is_true(collectgarbage "count" - lua_kb < 64)
    assert.is_true(sys.fds() <= fds + 64, "descriptors") -- nginx ends connections after 1,000 requests; others come
    assert.are.equal(threads, sys.threads())
    assert.are.equal(total + 2000, one:stats().accepted)
    assert.are.equal(0, one:stats().in_flight)
    one:close()
    bare:stop()
  end)
end)
