-- What happens after acceptance, against the fake 1MSG: its hooks are posted to this process and handed to flow:hooks;
-- the workflow's clock is moved ahead where it would wait. Then kill -9, right after hooks returned and around a fallback.
local cjson = require "cjson"
local channels = require "support.channels"
local receivers = require "support.receiver"
local rules = require "onemsg.rules"
local server = require "support.server"
local simulation = require "support.simulation"
local socket = require "socket"
local sys = require "support.sys"
local workflow = require "onemsg.workflow"

local LEASE = 130 -- seconds: who comes after a kill has a clock that is so far ahead
local RULES = simulation.RULES:gsub('otherwise = { after = "10m"', 'otherwise = { after = "1h"')

describe("delivery with the fake 1MSG", function()
  local fake, receiver, flow, path, ahead, sms

  local function open(more)
    local channel = channels.new(fake)
    local options = { channel = channel, rules = assert(rules.load(RULES)), store = require("support.stores").at(path),
      rate = 1000,
      burst = 1000, now = function() return socket.gettime() + ahead end, fallback = { sms = function(notice)
        sms[#sms + 1] = notice.id
        return true
      end } }
    for name, value in pairs(more or {}) do options[name] = value end
    return assert(workflow.open(options)), channel
  end

  setup(function()
    fake = server.fake { set = { pace_ms = 0 } }
    receiver = receivers.new()
  end)
  teardown(function()
    receiver:close()
    fake:stop()
  end)
  before_each(function()
    fake:reset()
    fake:set { pace_ms = 0, ackNotificationsOn = true }
    path, ahead, sms = simulation.store_path(), 0, {}
    local channel
    flow, channel = open()
    assert(channel:setWebhook { receiver.url })
  end)
  after_each(function()
    flow:close()
    simulation.remove(path)
  end)

  local function submit(id, ending, kind)
    local phone = channels.phone(ending)
    assert(flow:submit { id = id, type = kind or "paid", phone = phone, name = "Maria" })
    return phone
  end

  --- Takes hooks until a test holds.
  local function listen(test)
    return server.eventually(function()
      for _, post in ipairs(receiver:take(50, 0.02)) do assert.is_number((flow:hooks(post.body))) end
      return test()
    end)
  end

  local function state(id)
    return flow:show(id).state
  end

  local function history(id) return simulation.history(flow, id) end

  it("hears every shape, twice, in reverse, at once, contradicting, early", function()
    local expected = { [0] = "read", [20] = "sent", [21] = "failed", [22] = "failed", [27] = "delivered", [28] = "failed",
      [31] = "read", [32] = "read", [33] = "delivered", [34] = "delivered", [35] = "delivered", [36] = "read",
      [37] = "read", [38] = "read", [39] = "read", [85] = "read" }
    for ending in pairs(expected) do submit("e" .. ending, ending) end
    flow:work { stop = function() -- hooks are taken in while the sends are under way
      for _, post in ipairs(receiver:take(50, 0.02)) do flow:hooks(post.body) end
      return flow:stats().states.queued == nil and flow.worker.count == 0
    end }
    for ending, word in pairs(expected) do
      listen(function() return state("e" .. ending) == word end)
      assert.equal(word, state("e" .. ending), ending .. "\n" .. history("e" .. ending))
    end
    assert.equal(130472, flow:show("e21").code)
    assert.equal(131026, flow:show("e22").code)
    listen(function() return flow:show("e34").contradiction end)
    assert.is_truthy(flow:show("e33").contradiction)
    assert.is_truthy(flow:show("e34").contradiction)
    for ending in pairs(expected) do assert.equal(1, fake:count(flow:show("e" .. ending).phone)) end
    assert.equal(0, #fake:journal { method = "hookInfo" })
  end)

  it("asks hookInfo when hooks are lost", function()
    submit("a", 89)
    flow:drain()
    assert.equal("accepted", state "a")
    ahead = 17
    flow:drain()
    assert.equal("read", state "a")
    assert.equal(1, #fake:journal { method = "hookInfo" })
  end)

  it("stops to ask where hookInfo is not offered", function()
    fake:set { hookinfo = "404" }
    submit("a", 89)
    flow:drain()
    for _, seconds in ipairs { 17, 70, 400, 2000, 12000 } do
      ahead = seconds
      flow:drain()
    end
    assert.equal("accepted", state "a")
    assert.equal(1, #fake:journal { method = "hookInfo" })
    assert.is_false(flow:stats().channels.main.hookinfo)
  end)

  it("uses the other way on a failure, and not when hookInfo belies the hook", function()
    submit("failed", 22, "else")
    submit("belied", 90, "else")
    submit("withheld", 92, "else")
    submit("fine", 0, "else")
    flow:drain()
    local function states()
      return table.concat({ state "failed", state "belied", state "withheld", state "fine" }, " ")
    end
    listen(function() return states() == "failed failed failed read" end)
    assert.equal("failed failed failed read", states(), cjson.encode(fake:stats()))
    flow:drain()
    table.sort(sms)
    assert.same({ "failed", "withheld" }, sms)
    assert.equal("delivered", state "belied")
    ahead = 7200
    flow:drain()
    assert.equal(2, #sms)
  end)

  it("sends a new message after a failure that passes, twice at most", function()
    local again, often = submit("again", 96), submit("often", 23)
    flow:drain()
    for round = 1, 5 do
      listen(function() return state "often" ~= "accepted" and state "often" ~= "sent" end, 1)
      ahead = round * 900
      flow:drain()
    end
    listen(function() return state "again" == "read" and state "often" == "failed" end)
    assert.equal("read", state "again", history "again")
    assert.equal("failed", state "often", history "often")
    assert.equal(2, fake:count(again))
    assert.equal(3, fake:count(often))
  end)

  it("finds in the history what left though the answer was lost", function()
    for _, ending in ipairs { 86, 87, 88, 51, 79 } do submit("d" .. ending, ending) end
    flow:drain()
    for _, ending in ipairs { 86, 87, 88, 51, 79 } do assert.equal("unknown", state("d" .. ending)) end
    server.eventually(function() return fake:stats().messages >= 3 end)
    ahead = 17
    flow:drain()
    for _, ending in ipairs { 86, 87, 88 } do
      assert.is_truthy(flow:show("d" .. ending).message_id, history("d" .. ending))
      assert.matches("evidence: the history shows a message to this recipient with the text", history("d" .. ending))
      listen(function() return state("d" .. ending) == "read" end)
      assert.equal("read", state("d" .. ending))
    end
    for _, ending in ipairs { 51, 79 } do assert.equal("unknown", state("d" .. ending)) end
    for _, ending in ipairs { 86, 87, 88, 51, 79 } do assert.equal(1, fake:count(flow:show("d" .. ending).phone)) end
  end)

  it("finds by hooks what left though the answer was lost and there is no history", function()
    fake:set { history = "off" }
    submit("a", 86)
    flow:drain()
    assert.equal("unknown", state "a")
    assert.is_truthy(listen(function()
      return flow.box.db:read { { "SELECT COUNT(*) AS n FROM echo" } }[1][1].n == 1
    end))
    flow:drain()
    assert.is_truthy(flow:show("a").message_id, history "a")
    assert.matches("evidence: a hook shows a message to this recipient with the text", history "a")
  end)

  it("leaves a person alone who answers STOP", function()
    local phone = submit("a", 91)
    flow:drain()
    assert.is_truthy(listen(function() return #flow:suppressed() == 1 end))
    assert.equal("delivered", state "a")
    assert.equal("skipped", assert(flow:submit { id = "b", type = "paid", phone = phone }).state)
    assert.equal(1, fake:count(phone))
  end)
end)

describe("kill -9", function()
  local fake, directory

  before_each(function()
    fake = server.fake { set = { pace_ms = 0 } }
    directory = server.directory()
  end)
  after_each(function()
    fake:stop()
    os.execute("rm -rf '" .. directory .. "'")
  end)

  local function open(more)
    local options = { channel = channels.new(fake), rules = assert(rules.load(RULES)), lease = LEASE,
                      store = require("support.stores").at(directory .. "/store.db"), rate = 10000, burst = 10000 }
    for name, value in pairs(more or {}) do options[name] = value end
    return assert(workflow.open(options))
  end

  local function child(job)
    local pid = assert(sys.fork())
    if pid > 0 then return pid end
    local ok, err = xpcall(job, debug.traceback)
    if not ok then io.stderr:write(tostring(err), "\n") end
    sys.exit_now(ok and 0 or 1)
  end

  local function append(name, text)
    local file = assert(io.open(directory .. "/" .. name, "a"))
    file:write(text, "\n")
    file:close()
  end

  local function lines(name)
    local list, file = {}, io.open(directory .. "/" .. name)
    if file then
      for line in file:lines() do list[#list + 1] = line end
      file:close()
    end
    return list
  end

  it("right after hooks returned loses nothing", function()
    local pid = child(function()
      local flow = open { fallback = { sms = print } }
      for n = 1, 1000 do
        local body = cjson.encode { ack = { { id = "wamid.early" .. n, status = "delivered" } } }
        assert(flow:hooks(body) == 1)
        append("told", tostring(n))
        if n == 25 then sys.kill(sys.getpid(), sys.KILL) end
      end
    end)
    assert.equal("killed", (sys.waitpid(pid)))
    local told = lines "told"
    assert.equal(25, #told)
    local flow = open { fallback = { sms = print } }
    assert.equal(25, flow:stats().held)
    for n = 1, 25 do
      local _, counts = flow:hooks(cjson.encode { ack = { { id = "wamid.early" .. n, status = "delivered" } } })
      assert.equal(1, counts.duplicates)
    end
    flow:close()
  end)

  it("of four workers around a fallback: at most one SMS each, and what is not known is shown", function()
    local COUNT = 40
    local function working(sleep)
      return function()
        open { fallback = { sms = function(notice)
          append("sms", notice.id)
          sys.sleep(sleep)
          return true
        end } }:work()
      end
    end
    sys.waitpid(child(function()
      local flow = open { fallback = { sms = print } }
      for n = 1, COUNT do
        assert(flow:submit { id = "f" .. n, type = "else", phone = channels.phone(22), name = "Maria" })
      end
      flow:drain()
      for n = 1, COUNT do
        local id = assert(flow:show("f" .. n).message_id)
        assert(flow:hooks(cjson.encode { ack = { { id = id, status = "failed", error = "Message undeliverable" } } }))
      end
    end))
    for _ = 1, 6 do
      local pids, before = {}, #lines "sms"
      for n = 1, 4 do pids[n] = child(working(0.03)) end
      server.eventually(function() return #lines "sms" >= math.min(COUNT, before + 3) end)
      for _, pid in ipairs(pids) do sys.kill(pid, sys.KILL) end
      for _, pid in ipairs(pids) do sys.waitpid(pid) end
    end
    local flow = open { now = function() return socket.gettime() + LEASE + 1 end, fallback = { sms = function(notice)
      append("sms", notice.id)
      return true
    end } }
    server.eventually(function()
      flow:drain()
      local open_ones = 0
      for n = 1, COUNT do
        local word = flow:show("f" .. n).fallback
        if word ~= "done" and word ~= "unknown" then open_ones = open_ones + 1 end
      end
      return open_ones == 0
    end)
    local times, unknown = {}, 0
    for _, id in ipairs(lines "sms") do times[id] = (times[id] or 0) + 1 end
    for n = 1, COUNT do
      local id = "f" .. n
      local word = flow:show(id).fallback
      if word == "unknown" then
        unknown = unknown + 1
        assert.is_true((times[id] or 0) <= 1)
      else
        assert.equal("done", word)
        assert.equal(1, times[id], id)
      end
    end
    assert.is_true(unknown >= 1 and unknown <= 24, unknown .. " unknown") -- at most one of each worker that was killed
    assert.equal(unknown, flow:stats().fallbacks_unknown)
    flow:close()
  end)
end)
