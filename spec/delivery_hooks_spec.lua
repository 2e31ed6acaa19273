-- flow:hooks: what webhooks tell ends in the store and in the confirmations, in whatever order and how often it comes.
-- A real store, a scripted channel, simulated time.
local cjson = require "cjson"
local simulation = require "support.simulation"
local sql = require "onemsg.sql"
local permute = require "support.orders".permute

local PHONE = "12020721300"
local HOUR = 3600

local function ack(id, status, more)
  local item = { id = id, status = status, phone = PHONE }
  for name, value in pairs(more or {}) do item[name] = value end
  return cjson.encode { ack = { item } }
end

local function copy(list)
  local new = {}
  for n, item in ipairs(list) do new[n] = item end
  return new
end

describe("flow:hooks", function()
  local sim, flow

  local function start(options)
    sim = simulation.new(options or {})
    flow = sim.flow
  end

  -- A message that was accepted; its id.
  local serial = 0
  local function accepted(id, kind)
    serial = serial + 1
    assert(flow:submit { id = id, type = kind or "paid", phone = tostring(12020730000 + serial), name = "Maria" })
    flow:drain()
    return assert(flow:show(id).message_id)
  end

  local function history(id) return simulation.history(flow, id) end

  after_each(function()
    if sim then sim:close() end
    sim = nil
  end)

  it("comes to the same end in every order of sent, delivered, read and failed, with duplicates", function()
    start()
    local sets = {
      { words = { "sent", "delivered", "read" }, state = "read" },
      { words = { "sent", "sent", "delivered", "delivered" }, state = "delivered" },
      { words = { "sent", "failed", "failed" }, state = "failed" },
      { words = { "sent", "delivered", "failed" }, state = "delivered", contradiction = true },
      { words = { "sent", "delivered", "read", "failed" }, state = "read", contradiction = true },
      { words = { "accepted", "undelivered", "sent", "viewed" }, state = "read", contradiction = true },
    }
    local n = 0
    for _, set in ipairs(sets) do
      permute(set.words, function(order)
        n = n + 1
        local id = "p" .. n
        local message_id = accepted(id)
        for _, word in ipairs(copy(order)) do
          assert.equal(1, (flow:hooks(ack(message_id, word, { error = word == "failed" and "Message undeliverable" or nil }))))
        end
        local shown = flow:show(id)
        local about = table.concat(order, " ") .. "\n" .. history(id)
        assert.equal(set.state, shown.state, about)
        assert.equal(set.contradiction or false, shown.contradiction ~= nil, about)
        local seen = {}
        for _, status in ipairs(shown.statuses) do
          assert.is_nil(seen[status.status], about)
          seen[status.status] = true
        end
        for _, word in ipairs(order) do assert.is_true(seen[word], about) end
      end)
    end
    assert.equal(6 + 24 + 6 + 6 + 24 + 24, n)
  end)

  it("takes all of a body at once, in every order, early or late", function()
    start()
    local n = 0
    permute({ "sent", "delivered", "failed", "read" }, function(order)
      n = n + 1
      local message_id = "early." .. n
      local items = {}
      for place, word in ipairs(order) do items[place] = { id = message_id, status = word } end
      assert.equal(4, (flow:hooks { hooks = items }))
      sim.answer = function() return { outcome = "accepted", id = message_id } end
      accepted("e" .. n)
      assert.equal("read", flow:show("e" .. n).state)
      assert.is_truthy(flow:show("e" .. n).contradiction)
    end)
    assert.equal(24, n)
    assert.equal(0, flow:stats().held)
  end)

  it("says how many events a body held, and what became of them", function()
    start()
    local message_id = accepted("a")
    local body = { ack = { { id = message_id, status = "sent" }, { id = message_id, status = "delivered" },
                           { id = "wamid.stranger", status = "sent" } },
                   messages = { { id = "m1", body = "hello", chatId = PHONE .. "@c.us", fromMe = false } } }
    local events, counts = flow:hooks(cjson.encode(body))
    assert.equal(4, events)
    assert.same({ new = 3, duplicates = 0, held = 1, messages = 1, stopped = 0, foreign = 0, ignored = 0 }, counts)
    events, counts = flow:hooks(body)
    assert.equal(4, events)
    assert.same({ new = 0, duplicates = 3, held = 0, messages = 1, stopped = 0, foreign = 0, ignored = 0 }, counts)
    assert.equal("delivered", flow:show("a").state)
    assert.equal(1, flow:stats().held)
    assert.equal(3, flow:stats().hook_new)
    assert.equal(3, flow:stats().hook_duplicates)
  end)

  it("refuses what is no JSON, and keeps and counts what it does not understand", function()
    start()
    for _, body in ipairs { "", "{", "[1,", "nonsense", ("["):rep(10000), ("x"):rep(4e6) } do
      local events, err, info = flow:hooks(body)
      assert.is_nil(events)
      assert.matches("^invalid: ", err)
      assert.equal("invalid", info.outcome)
    end
    assert.equal(0, (flow:hooks '{"type":"calls","instanceId":"x"}'))
    assert.equal(0, (flow:hooks '{"request_welcome":1}'))
    assert.equal(0, (flow:hooks "[]"))
    local stats = flow:stats()
    assert.equal(6, stats.hooks_invalid)
    assert.equal(1, stats.oddities.calls)
    local rows = assert(flow.box.db:read { { "SELECT kind, n, sample FROM oddity WHERE kind = 'calls'" } })[1]
    assert.equal('{"type":"calls","instanceId":"x"}', rows[1].sample)
    for n = 1, 300 do flow:hooks(cjson.encode { type = "kind" .. n }) end
    rows = assert(flow.box.db:read { { "SELECT COUNT(*) AS n, SUM(n) AS total FROM oddity" } })[1]
    assert.is_true(rows[1].n <= 201)
    assert.is_true(rows[1].total >= 302)
    -- a word that is not known changes no state and is kept
    local message_id = accepted "a"
    flow:hooks(ack(message_id, "levitating"))
    assert.equal("accepted", flow:show("a").state)
    assert.equal("levitating", flow:show("a").statuses[1].status)
  end)

  it("raises on misuse", function()
    start()
    assert.error_matches(function() flow:hooks(nil) end, "takes the body of a webhook")
    assert.error_matches(function() flow:hooks("{}", { chanel = "main" }) end, "did you mean 'channel'")
    assert.error_matches(function() flow:hooks("{}", { channel = "other" }) end, "no channel 'other'")
  end)

  it("leaves hooks of other channels alone", function()
    start { channels = { main = { id = "MAIN1" }, latam = { id = "LATAM2" } } }
    local message_id = accepted "a"                     -- rules without a channel use main
    local function from(instance)
      return cjson.encode { instanceId = instance, ack = { { id = message_id, status = "delivered" } } }
    end
    local _, counts = flow:hooks(from "STRANGER9")
    assert.equal(1, counts.foreign)
    assert.equal("accepted", flow:show("a").state)
    _, counts = flow:hooks(from "LATAM2")               -- ours, and yet none of its messages
    assert.equal(1, counts.held)
    _, counts = flow:hooks(from "instanceMAIN1")
    assert.equal(0, counts.foreign)
    assert.equal("delivered", flow:show("a").state)
    _, counts = flow:hooks(from "MAIN1")
    assert.equal(1, counts.duplicates)
    message_id = accepted "b"
    _, counts = flow:hooks(from("MAIN1"), { channel = "latam" })
    assert.equal(1, counts.foreign)
    flow:hooks(cjson.encode { ack = { { id = message_id, status = "read" } } }) -- names no channel: fits whichever has it
    local shown = flow:show "b"
    assert.equal("read", shown.state)
    assert.same({ 1, "read" }, { #shown.statuses, shown.statuses[1].status })
  end)

  it("knows after a restart what it was told before", function()
    start()
    local message_id = accepted "a"
    flow:hooks(ack("wamid.later", "delivered"))
    flow:hooks(ack(message_id, "sent"))
    local path = sim.path
    flow:close()
    start { path = path, answer = function() return { outcome = "accepted", id = "wamid.later" } end }
    local _, counts = flow:hooks(ack(message_id, "sent"))
    assert.equal(1, counts.duplicates)
    assert.equal("sent", flow:show("a").state)
    accepted "b"
    assert.equal("delivered", flow:show("b").state)
  end)

  it("folds what a process stored and did not live to fold", function()
    start()
    local message_id = accepted "a"
    local real = flow.box.owners
    flow.box.owners = function() return nil, "store: gone", {} end -- died here
    assert.equal(1, (flow:hooks(ack(message_id, "delivered"))))
    flow.box.owners = real
    assert.equal("accepted", flow:show("a").state)
    sim:advance(31)
    assert.equal("delivered", flow:show("a").state)
  end)

  it("says store: when nothing could be stored, and takes the same body later", function()
    start()
    local message_id = accepted "a"
    local real = flow.box.db
    flow.box.db = setmetatable({ async = function() return nil, "store: the disk is full", {} end }, { __index = real })
    local events, err = flow:hooks(ack(message_id, "delivered"))
    assert.is_nil(events)
    assert.matches("^store: ", err)
    flow.box.db = real
    assert.equal("accepted", flow:show("a").state)
    assert.equal(1, (flow:hooks(ack(message_id, "delivered"))))
    assert.equal("delivered", flow:show("a").state)
  end)

  it("drops held statuses after a day, and holds no more than a bound", function()
    start()
    flow:hooks(ack("wamid.stranger", "sent"))
    sim:advance(23 * HOUR)
    assert.equal(1, flow:stats().held)
    sim:advance(HOUR + 60)
    flow:drain()
    assert.equal(0, flow:stats().held)
    local statuses = require "onemsg.outbox.statuses"
    local most = statuses.HELD_MOST
    statuses.HELD_MOST = 10
    for n = 1, 25 do
      sim.time = sim.time + 1
      flow:hooks(ack("wamid.flood" .. n, "sent"))
    end
    sim:advance(31)
    flow:drain()
    statuses.HELD_MOST = most
    assert.equal(10, flow:stats().held)
  end)

  describe("a failure", function()
    local function fail(message_id, code, text)
      return flow:hooks(cjson.encode { hooks = { { id = message_id, status = "failed", timestamp = tostring(sim.time),
        errors = { { code = code, title = text or "x" } } } } })
    end

    it("that a new message can fix leads to one, twice at most, a minute apart or more", function()
      local failing = true
      start { calls = { hookInfo = function(id)
        if not failing then return { id = id, hooks = {} } end
        return { id = id, status = "failed", hooks = { { status = "failed", at = sim.time, code = 131000, error = "x" } } }
      end } }
      accepted "a"
      for round = 1, 3 do
        local shown = flow:show "a"
        assert.equal("accepted", shown.state)
        fail(shown.message_id, 131000, "Something went wrong")
        shown = flow:show "a"
        assert.equal("failed", shown.state)
        assert.equal(131000, shown.code)
        if round < 3 then
          assert.is_true(shown.retry_at >= sim.time + 60)
          assert.matches("a new message may follow", shown.reason)
        else
          assert.is_nil(shown.retry_at)
          assert.matches("2 new messages failed as well", shown.reason)
        end
        sim:advance(300)
      end
      assert.equal(3, #sim.sent)
      assert.is_true(sim.sent[2].at - sim.sent[1].at >= 60)
      assert.is_true(sim.sent[3].at - sim.sent[2].at >= 60)
      sim:advance(30 * HOUR)
      assert.equal(3, #sim.sent)
      assert.equal("failed", flow:show("a").state)
      assert.equal("queued sending accepted failed queued sending accepted failed queued sending accepted failed",
        sim:states "a")
      failing = false
    end)

    it("leads to no new message when hookInfo does not say so", function()
      start { calls = { hookInfo = function(id)
        return { id = id, status = "sent", hooks = { { status = "sent", at = sim.time } } }
      end } }
      local message_id = accepted "a"
      fail(message_id, 131000) -- forged
      sim:advance(12 * HOUR)
      assert.equal(1, #sim.sent)
      assert.matches("hookInfo did not confirm", history "a")
    end)

    it("leads to no new message when the first arrived after all, early or late", function()
      start { calls = { hookInfo = function(id)
        return { id = id, status = "failed", hooks = { { status = "failed", at = sim.time, code = 131000 } } }
      end } }
      local first = accepted "a"
      fail(first, 131000)
      flow:hooks(ack(first, "delivered"))
      assert.equal("delivered", flow:show("a").state)
      assert.is_truthy(flow:show("a").contradiction)
      sim:advance(HOUR)
      assert.equal(1, #sim.sent)

      local second = accepted "b" -- late: the new message is queued already
      fail(second, 131000)
      sim.answer = function() return nil, "not_sent: refused", { outcome = "not_sent" } end
      sim:advance(200)
      assert.equal("queued", flow:show("b").state)
      flow:hooks(ack(second, "delivered"))
      assert.equal("delivered", flow:show("b").state)
      assert.matches("an earlier message of this confirmation arrived", history "b")
      local sent = #sim.sent
      sim:advance(12 * HOUR)
      assert.equal(sent, #sim.sent)
    end)

    it("stops the channel, slows it, sets the template aside, by its code", function()
      start()
      local message_id = accepted "a"
      fail(message_id, 131042, "Business eligibility payment issue")
      assert.equal("open", flow:stats().channels.main.breaker)
      sim:close()
      start()
      message_id = accepted "a"
      fail(message_id, 130429, "Rate limit hit")
      assert.is_true(flow:stats().channels.main.pause_until > sim.time)
      sim:close()
      start()
      message_id = accepted("a", "other")
      fail(message_id, 132015, "Template is paused")
      assert.equal("other_template", flow:stats().parked[1].template)
      assert.equal(3 * HOUR, flow:stats().parked[1].until_at - sim.time)
      assert(flow:submit { id = "b", type = "other", phone = PHONE, name = "M" })
      sim:advance(HOUR)
      assert.equal("queued", flow:show("b").state)
      assert.equal(1, #sim.alerts)
    end)

    it("maps a sentence without a code", function()
      start()
      flow:hooks(ack(accepted "a", "failed", { error = "User's number is part of an experiment" }))
      assert.equal(130472, flow:show("a").code)
    end)

    it("of a template, told by the platform, sets it aside until it is approved again", function()
      start()
      local function word(event)
        return { entry = { { changes = { { field = "message_template_status_update", value = { event = event,
          message_template_name = "other_template", message_template_language = "en", reason = "NONE" } } } } } }
      end
      assert.equal(1, (flow:hooks(word "PAUSED")))
      assert.equal("other_template", flow:stats().parked[1].template)
      flow:hooks(word "APPROVED")
      assert.equal(0, #flow:stats().parked)
    end)
  end)

  it("puts statements to the store that walk through nothing", function()
    if os.getenv "STORE" == "postgres" then return pending "SQLite's way of explaining; PostgreSQL's plans have no case yet" end
    start()
    local path = sim.path
    local real, own = assert(sql.open(require("support.stores").at(path))), flow.box.db
    local asked, proxy = {}, {}
    for _, name in ipairs { "unit", "read", "async" } do
      proxy[name] = function(_, statements)
        for _, statement in ipairs(statements) do asked[statement[1]] = statement end
        return real[name](real, statements)
      end
    end
    local message_id = accepted("a", "else")
    finally(function()
      flow.box.db = own
      real:close()
    end)
    flow.box.db = proxy
    flow:hooks { ack = { { id = message_id, status = "sent", phone = PHONE } },
                 messages = { { id = "m", fromMe = true, chatId = PHONE .. "@c.us", body = "x" },
                              { id = "n", chatId = PHONE .. "@c.us", body = "stop" } } }
    flow:hooks { type = "odd" }
    sim:advance(2 * HOUR)
    local row = flow.box:row "a"
    flow.box:evidence(row, 0, 1e10)
    flow.box:began(row)
    flow.box:taken({ "x" }, row)
    flow.box:due_in_quiet_hours("main", sim.time)
    flow.box:lost(sim.time)
    local plans = 0
    for text, statement in pairs(asked) do
      if text:find "confirmation" or text:find "FROM status" or text:find "FROM echo" then
        statement[1], statement.expect = "EXPLAIN QUERY PLAN " .. text, nil
        for _, line in ipairs(assert(real:unit { statement })[1]) do
          plans = plans + 1
          local about = line.detail .. " in " .. text
          local scan = line.detail:find "^SCAN"
          if scan and not text:find "COUNT%(%*%)" then
            -- a scan of an index that holds only what is under way, or of a sub-select's few rows
            assert.is_true(line.detail:find "USING.*INDEX confirmation_[arfh]" ~= nil or line.detail:find "by_" ~= nil
              or line.detail:find "CONSTANT ROW" ~= nil or line.detail:find "status_held" ~= nil
              or line.detail:find "echo_age" ~= nil or line.detail:find "_open" ~= nil or line.detail:find "channel" ~= nil
              or line.detail:find "SCAN line" ~= nil or line.detail:find "SCAN times" ~= nil, about)
          end
        end
      end
    end
    assert.is_true(plans > 40)
  end)
end)
