-- A host that hangs holds up no other one: it got all that libcurl carries, and libcurl woke its waiting sends before
-- those of hosts that were well. Each host has a queue, a libcurl and a share of its own now.
local channels = require "support.channels"
local onemsg = require "onemsg"
local raw = require "support.raw"
local server = require "support.server"

local WELL = 100       -- sends to the host that is well
local QUEUE = 65536    -- calls under way in a process
local SHARE = 1024     -- … and in a channel, in any case

describe("a host that hangs", function()
  -- protocol, the sends to it, of how many connections each
  for _, row in ipairs {
    { "http", 400, 16 }, { "http", 4500, 64 }, { "http", 6000, 5000 }, { "h2", 400, 4 }, { "h2", 4500, 64 },
  } do
    local kind, count, connections = row[1], row[2], row[3]
    it(("with %d sends over %s and %d connections each"):format(count, kind, connections), function()
      local hanging, well = raw[kind] "hang", raw[kind] "accept"
      local stuck = channels.to(hanging, { timeout = 300, max_connections = connections })
      local fine = channels.to(well, { timeout = 60, max_connections = connections })
      local list, good = {}, {}
      for i = 1, count do list[i] = assert(stuck:async("send", channels.message "12020721300")) end
      assert.is_truthy(server.eventually(function() return hanging:count() > 0 end))
      for i = 1, WELL do good[i] = assert(fine:async("send", channels.message(channels.phone(0)))) end
      for i = 1, WELL do assert.are.equal("accepted", assert(good[i]:wait()).outcome) end
      assert.are.equal(WELL, well:count())
      assert.are.equal(count, stuck:stats().in_flight)
      for i = count, 1, -1 do list[i]:cancel() end
      for i = 1, count do list[i]:wait() end
      stuck:close()
      fine:close()
      hanging:stop()
      well:stop()
    end)
  end

  it("with as many sends as a process may have under way", function()
    local hanging, well = raw.http "hang", raw.http "accept"
    local stuck = channels.to(hanging, { timeout = 300, max_connections = 1 })
    local other = channels.to(hanging, { timeout = 300, max_connections = 1 })
    local fine = channels.to(well, { timeout = 60 })
    local list, message = {}, channels.message "12020721300"
    for i = 1, QUEUE do list[i] = assert(stuck:async("send", message)) end
    local none, err = stuck:async("send", message)
    assert.is_nil(none)
    assert.matches("^not_sent: the queue is full", err)
    for _ = 1, 3 do assert.are.equal("accepted", assert(fine:send(message)).outcome) end
    for _ = 1, SHARE do list[#list + 1] = assert(other:async("send", message)) end
    none, err = other:async("send", message)
    assert.is_nil(none)
    assert.matches("^not_sent: the queue is full", err)
    for i = #list, 1, -1 do list[i]:cancel() end
    for i = 1, #list do list[i]:wait() end
    assert.are.equal(0, stuck:stats().in_flight)
    for _, channel in ipairs { stuck, other, fine } do channel:close() end
    hanging:stop()
    well:stop()
  end)

  it("is one of many, of which some are forgotten", function()
    local servers, hosts = {}, {}
    for i = 1, 20 do servers[i] = raw.http "accept" end
    for round = 1, 3 do
      for i = 1, 20 do
        hosts[i] = hosts[i] or channels.to(servers[i], { timeout = 60 })
        assert.are.equal("accepted", assert(hosts[i]:send(channels.message "12020721300")).outcome)
        assert.are.equal(round, servers[i]:count())
      end
    end
    for i = 1, 20 do
      hosts[i]:close()
      servers[i]:stop()
    end
    assert.is_table(onemsg.dispatch())
  end)
end)
