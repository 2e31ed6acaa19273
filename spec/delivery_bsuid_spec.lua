-- Customers whose phone nobody knows, against the fake 1MSG: from the event to delivered, STOP, START, and the phone that is
-- learned later. Then two workers and kill -9 while people are written to by two names.
local channels = require "support.channels"
local cjson = require "cjson"
local receivers = require "support.receiver"
local rules = require "onemsg.rules"
local server = require "support.server"
local simulation = require "support.simulation"
local socket = require "socket"
local sql = require "onemsg.sql"
local sys = require "support.sys"
local workflow = require "onemsg.workflow"

local RULES = [[
template "action_success" { language = "en", body = { "name", "action", "next_step" } }
confirm "Paid" { on = "paid", phone = "{phone}", bsuid = "{bsuid}", name = "Maria", action = "payment",
  next_step = "Thank you." }
]]
local GAP = 0.2
local ENDED = { accepted = true, sent = true, delivered = true, read = true, unknown = true }

describe("people without phones, with the fake 1MSG", function()
  local fake, path

  local function open(more)
    local options = { channel = channels.new(fake), rules = assert(rules.load(RULES)), rate = 10000, burst = 10000, gap = GAP,
      store = assert(sql.open("sqlite:" .. path, { busy_timeout = 60 })), lease = 130 }
    for name, value in pairs(more or {}) do options[name] = value end
    return assert(workflow.open(options)), options.channel
  end

  before_each(function()
    fake = server.fake { set = { pace_ms = 0 } }
    path = simulation.store_path()
  end)
  after_each(function()
    fake:stop()
    simulation.remove(path)
  end)

  it("are confirmed, followed, left alone, written to again, and recognised when their phone is learned", function()
    local PHONE, BSUID = "12020721300", "US.12020721300"
    local receiver = receivers.new()
    local flow, channel = open()
    fake:set { ackNotificationsOn = true, names = "bsuid" }
    assert(channel:setWebhook { receiver.url })

    local function listen(test)
      return server.eventually(function()
        for _, post in ipairs(receiver:take(50, 0.02)) do assert.is_number((flow:hooks(post.body))) end
        return test()
      end)
    end
    local function is_read(id)
      listen(function() return flow:show(id).state == "read" end)
      assert.equal("read", flow:show(id).state, simulation.history(flow, id))
    end
    local function suppressed(n)
      listen(function() return #flow:suppressed() == n end)
      assert.equal(n, #flow:suppressed())
    end
    local function submit(id, field, value)
      local ticket = assert(flow:submit { id = id, type = "paid", [field] = value })
      server.eventually(function()
        flow:drain()
        return flow:show(id).state ~= "queued" -- the gap may be in the way
      end)
      return ticket.state
    end

    assert.equal("queued", submit("o-1", "bsuid", BSUID))
    is_read "o-1"
    local shown = flow:show "o-1"
    assert.same({ BSUID, BSUID }, { shown.bsuid, shown.recipient })
    assert.is_nil(shown.phone)
    assert.equal(BSUID, cjson.decode(fake:journal({ method = "sendTemplate" })[1].body).bsuid)

    fake:control("say", { from = BSUID, text = "STOP", form = "button" })
    suppressed(1)
    assert.equal("skipped", submit("o-2", "bsuid", BSUID))
    fake:control("say", { from = BSUID, text = "start", form = "text" })
    suppressed(0)
    assert.equal("queued", submit("o-3", "bsuid", BSUID))
    is_read "o-3"

    fake:set { names = "all" }
    assert.equal("queued", submit("o-4", "bsuid", BSUID))
    is_read "o-4"
    assert.equal(PHONE, flow:show("o-1").phone)
    assert.equal("queued", submit("o-5", "phone", "+" .. PHONE))
    assert.equal(5, #flow:list { phone = "+" .. PHONE })
    assert.equal(5, #flow:list { bsuid = BSUID })
    assert.equal(0, flow:suppress("+" .. PHONE))
    assert.equal("skipped", submit("o-6", "bsuid", BSUID))
    flow:close()
    channel:close()
    receiver:close()
  end)

  it("with two workers and kill -9: nothing lost, nothing twice, one at a time and never within the gap", function()
    local PEOPLE, ROUNDS = 6, 4
    local function phone_of(n) return ("1202072%02d%02d"):format(n, n) end
    local function child(job)
      local pid = assert(sys.fork())
      if pid > 0 then return pid end
      pcall(job)
      sys.exit_now(0)
    end
    local function submitter(round)
      local flow = open()
      local done = assert(io.open(path .. ".acknowledged", "a"))
      for n = 1, 8 * PEOPLE do
        local person = n % PEOPLE
        local event = { id = ("%d.%d"):format(round, n), type = "paid" }
        if n % 4 < 2 then event.phone = "+" .. phone_of(person) else event.bsuid = "US." .. phone_of(person) end
        if n > 3 * PEOPLE then -- by and by it turns out who is who
          flow:hooks(('{"ack":[{"id":"other","phone":"%s","bsuid":"US.%s","status":"sent"}]}'):format(phone_of(person),
            phone_of(person)))
        end
        assert(flow:submit(event))
        done:write(event.id, "\n")
        done:flush()
        socket.sleep(GAP / PEOPLE)
      end
    end
    for round = 1, ROUNDS do
      local pids = { child(function() submitter(round) end) }
      for _ = 1, 2 do pids[#pids + 1] = child(function() open():work() end) end
      local before = fake:stats().messages
      server.eventually(function() return fake:stats().messages > before + 5 * PEOPLE end)
      for _, pid in ipairs(pids) do sys.kill(pid, 9) end
      for _, pid in ipairs(pids) do sys.waitpid(pid) end
    end
    local flow = open()
    repeat until #assert(flow.box:recover(require "onemsg.core".now() + 200)) == 0
    server.eventually(function()
      flow:drain()
      local states = flow:stats().states
      return not states.queued and not states.sending
    end)
    assert(flow.box:join({}, 0))
    for id in io.lines(path .. ".acknowledged") do
      local state = assert(flow:show(id), id).state
      assert.truthy(ENDED[state], id .. " is " .. state)
    end
    local sent = assert(flow.box.db:read { { [[
      SELECT c.person, h.id, h.at FROM history h JOIN confirmation c ON c.id = h.id
      WHERE h.state = 'sending' AND c.person NOT LIKE 'US.%' ORDER BY c.person, h.at]] } })[1]
    local joined = assert(flow.box.db:read { { "SELECT person, MIN(at) AS at FROM person GROUP BY person" } })[1]
    local since = {}
    for _, row in ipairs(joined) do since[row.person] = row.at end
    assert.equal(PEOPLE, #joined)
    local ids, counted = {}, 0
    for n, one in ipairs(sent) do
      assert.is_nil(ids[one.id], "sent twice: " .. one.id)
      ids[one.id] = true
      local last = sent[n - 1]
      if last and last.person == one.person and last.at > since[one.person] then
        assert.is_true(one.at - last.at >= GAP, ("%s after %s: %.3f s"):format(one.id, last.id, one.at - last.at))
        counted = counted + 1
      end
    end
    assert.is_true(counted > PEOPLE)
    os.remove(path .. ".acknowledged")
    flow:close()
  end)
end)
