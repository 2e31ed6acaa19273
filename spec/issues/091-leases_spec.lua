-- The lease was 60 s beside a timeout of up to a day: a living process was declared dead, its false reason stood in the
-- history, the SMS left as well, and a 429 that came after it was a final `rejected`.
-- Kind: a lease outlasts every send, no process takes what it has in flight for lost, nothing leaves after its lease, and
-- what is proven not to have left waits for its turn again, however late that is heard.
local channels = require "support.channels"
local core = require "onemsg" and require "onemsg.core"
local onemsg = require "onemsg"
local rules = require "onemsg.rules"
local server = require "support.server"
local simulation = require "support.simulation"
local workflow = require "onemsg.workflow"

describe("a lease", function()
  local function channel(timeout, connect_timeout)
    return assert(onemsg.new { channel = "X1", token = "link_made-up-0123456789", template = "t", namespace = "n",
      language = "en", base_url = "http://127.0.0.1:1", timeout = timeout, connect_timeout = connect_timeout })
  end

  for name, case in pairs {
    ["follows from the defaults"] = { { 20, 5 }, nil, 35 },
    ["follows from the channel"] = { { 6, 2 }, nil, 18 },
    ["may be longer"] = { { 6, 2 }, 60, 60 },
    ["may be exactly so long"] = { { 6, 2 }, 18, 18 },
    ["is refused when it is shorter"] = { { 6, 2 }, 17.5 },
    ["is refused beside a timeout of a day"] = { { 86400, 5 }, 60 },
    ["is refused for any of several channels"] = { { 1, 1 }, 20, nil, { 30, 5 } },
  } do
    it(name, function()
      local path = simulation.store_path()
      local given = { rules = assert(rules.load(simulation.RULES)), store = "sqlite:" .. path, lease = case[2] }
      if case[4] then
        given.channels = { main = channel(case[1][1], case[1][2]), slow = channel(case[4][1], case[4][2]) }
      else
        given.channel = channel(case[1][1], case[1][2])
      end
      local flow, err = workflow.open(given)
      if case[3] then
        assert(flow, err)
        assert.equal(case[3], flow.lease)
        flow:close()
      else
        assert.is_nil(flow)
        assert.matches("^config: lease is [%d.]+ s, and a send may take longer: .*write lease = %d+ or more", err)
      end
      simulation.remove(path)
    end)
  end
end)

describe("a fence", function()
  local fake
  setup(function() fake = server.fake {} end)
  teardown(function() fake:stop() end)

  local wall, steady = core.clocks()
  for name, fence in pairs {
    ["that is past by the wall clock"] = { -1, 3600 },
    ["that is past by the steady clock"] = { 3600, -1 },
    ["that is past by both"] = { -1, -1 },
  } do
    it(name .. " lets nothing leave", function()
      fake:reset()
      local one, group = channels.new(fake), { [0] = 0 }
      local pending = assert(core.send_in(one, group, wall + fence[1], steady + fence[2],
        { phone = "12020721301", name = "Maria", action = "payment", next_step = "Thank you." }))
      local receipt, err, info = pending:wait()
      assert.is_nil(receipt)
      assert.equal("not_sent: the lease ended before it could leave", err)
      assert.same({ "not_sent", true }, { info.outcome, info.retry })
      assert.equal(0, fake:count "12020721301")
      one:close()
    end)
  end

  it("that is ahead stops nothing", function()
    fake:reset()
    local one, group = channels.new(fake), { [0] = 0 }
    local pending = assert(core.send_in(one, group, wall + 3600, steady + 3600,
      { phone = "12020721301", name = "Maria", action = "payment", next_step = "Thank you." }))
    assert.equal("accepted", assert(pending:wait()).outcome)
    one:close()
  end)
end)

describe("an answer after the lease", function()
  local first, second, sms
  before_each(function()
    sms = 0
    local fallback = { sms = function() sms = sms + 1 return true end }
    local source = simulation.RULES .. [[confirm "Doubtful" { on = "doubtful", action = "payment", next_step = "Thank you.",
      otherwise = { send = "sms", text = "Paid.", on_unknown = true } }]]
    first = simulation.new { rules = source, fallback = fallback }
    second = simulation.new { rules = source, fallback = fallback, path = first.path }
  end)
  after_each(function()
    second.flow:close()
    first:close()
  end)

  --- The first process sends, and somebody declares it dead, as after a SIGSTOP.
  local function lost(kind)
    assert(first.flow:submit { id = "a", type = kind or "paid", phone = "12020721301", name = "Maria" })
    local box = first.flow.box
    local row = box:claim(box:look().gates.main, 1, { from = first.time, each = 0 }, first.time, 35, 6)[1]
    second.time = first.time + 36
    second.flow:drain()
    assert.equal("unknown", second.flow:show("a").state)
    return function(change)
      change.reason = change.reason or ""
      return assert(box:recorded(assert(box:record(row, change, second.time))))
    end
  end
  local REFUSED = { state = "queued", reason = "not_sent: 429 too many; again in 2 s" }

  it("that proves that it did not leave queues it again, and it is sent", function()
    local record = lost()
    assert.equal("queued", record { state = "queued", reason = REFUSED.reason, due_at = second.time + 2 }.state)
    assert.matches("unknown: .*\nqueued: it did not leave, which was heard after its lease: not_sent: 429 too many",
      simulation.history(second.flow, "a"))
    second:advance(10)
    assert.equal("accepted", second.flow:show("a").state)
    assert.equal(1, #second.sent)
  end)

  it("does so hours later", function()
    local record = lost()
    second:advance(5 * 3600)
    assert.equal("queued", record { state = "queued", reason = REFUSED.reason, due_at = second.time + 2 }.state)
    second:advance(10)
    assert.equal("accepted", second.flow:show("a").state)
  end)

  it("does not send what another way has told already", function()
    local record = lost "doubtful"
    second:advance(60)
    assert.equal(1, sms)
    local row = record { state = "queued", reason = REFUSED.reason, due_at = second.time + 2 }
    assert.equal("rejected", row.state)
    assert.matches("after another way had been used: replay it", row.reason)
    second:advance(3600)
    assert.same({ 1, 0 }, { sms, #second.sent })
  end)

  it("that accepts or refuses it counts as ever", function()
    assert.equal("accepted", lost() { state = "accepted", message_id = "w" }.state)
  end)

  it("brings the id of a message that a person settled meanwhile: what is reported of it belongs there", function()
    local record = lost()
    assert(second.flow:settle("a", "arrived"))
    assert.equal("delivered", record { state = "accepted", message_id = "w-late" }.state)
    assert.equal("w-late", second.flow:show("a").message_id)
    assert(second.flow:hooks '{"ack":[{"id":"w-late","status":"read"}]}')
    assert.equal("read", second.flow:show("a").state)
  end)

  it("brings the id of an earlier message when it was replayed meanwhile, and takes nobody else's", function()
    local record = lost()
    assert(second.flow:settle("a", "not_arrived"))
    assert(second.flow:replay "a")
    assert.equal("queued", record { state = "accepted", message_id = "w-late" }.state)
    assert(second.flow:hooks '{"ack":[{"id":"w-late","status":"delivered"}]}')
    assert.equal("delivered", second.flow:show("a").state) -- nothing more is sent
    second:advance(3600)
    assert.equal(0, #second.sent)
  end)

  it("changes nothing that a person settled meanwhile", function()
    local record = lost()
    assert(second.flow:settle("a", "arrived"))
    assert.not_equal("queued", record { state = "queued", reason = REFUSED.reason, due_at = second.time + 2 }.state)
  end)
end)

describe("a process", function()
  it("never takes what it has in flight for lost, and others' it does", function()
    local waiting, answers = {}, {}
    local function slow() -- an API that answers when the spec says so
      return { check = function(_, message)
        return { phone = message.phone, body = message.body, template = "action_success", namespace = "ns", language = "en" }
      end, async = function()
        local pending = {}
        function pending.ready() return answers[pending] ~= nil end
        function pending.wait() return (table.unpack or unpack)(answers[pending], 1, 3) end -- luacheck: ignore
        waiting[#waiting + 1] = pending
        return pending
      end }
    end
    local sim = simulation.new {}
    sim.flow.channels.main = slow()
    local worker = sim.flow.worker
    local begin = worker.begin
    function worker.begin(self, channel, operation, flight, ...) -- in flight until it is answered
      begin(self, channel, operation, flight, ...)
      self.done[0] = 0
    end
    assert(sim.flow:submit { id = "a", type = "paid", phone = "12020721301", name = "Maria" })
    worker:turn(true)
    assert.equal("sending", sim.flow:show("a").state)
    sim.time = sim.time + 3600
    local turns = 0
    sim.flow:work { stop = function() turns = turns + 1 return turns > 20 end } -- its lease is long over
    assert.equal("sending", sim.flow:show("a").state)
    local other = simulation.new { path = sim.path }
    other.time = sim.time
    other.flow:drain()
    assert.equal("unknown", other.flow:show("a").state)
    other.flow:close()
    sim:close()
  end)
end)
