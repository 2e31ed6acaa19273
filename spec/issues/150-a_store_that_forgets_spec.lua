-- A store that forgets, by a restored backup or a standby without the last commits, does not make anything leave again that
-- had left, neither as a message nor on another way. What it has forgotten is in doubt, and a person may send it again.
local cjson = require "cjson"
local simulation = require "support.simulation"
local sql = require "onemsg.sql"
local files = require "support.files"

local TABLES = { "confirmation", "history", "channel", "earlier", "lost", "status", "park", "once_key" }

describe("a store that forgets", function()
  local sim, db, path, options, called, down

  local function open()
    sim = simulation.new(options)
    return sim
  end

  local function unit(text, ...) return assert(db:unit { { text, ... } }) end

  before_each(function()
    path, called, down = simulation.store_path(), 0, true
    options = { path = path, fallback = { sms = function()
      called = called + 1
      return true
    end }, answer = function(message, n)
      if down then return nil, "not_sent: refused", { outcome = "not_sent" } end
      return { outcome = "accepted", id = ("wamid.%d.%s"):format(n, message.phone) }
    end }
    open()
    db = assert(sql.open(require("support.stores").at(path)))
  end)
  after_each(function()
    db:close()
    sim:close()
  end)

  local function keep()
    for _, name in ipairs(TABLES) do unit(("CREATE TABLE kept_%s AS SELECT * FROM %s"):format(name, name)) end
  end

  local function forget()
    for _, name in ipairs(TABLES) do
      unit("DELETE FROM " .. name)
      unit(("INSERT INTO %s SELECT * FROM kept_%s"):format(name, name))
    end
  end

  --- As after a restored backup: the processes begin anew.
  local function restart()
    local time = sim.time
    sim.flow:close()
    open()
    sim.time = time
  end

  local function submit(id, type)
    return assert(sim.flow:submit { id = id, type = type or "short", phone = "12020741301", payment = id })
  end

  local function accepted(message, n) return { outcome = "accepted", id = ("wamid.%d.%s"):format(n, message.phone) } end

  local function state(id) return sim.flow:show(id).state end

  local function alerts()
    local count = 0
    for _, alert in ipairs(sim.alerts) do count = count + (alert.alert == "forgotten" and alert.count or 0) end
    return count
  end

  -- before: what happens until the copy is made; left: what happens then, and is forgotten; again: what happens afterwards.
  local CASES = {
    { "a queued message, and the processes begin anew", restart = true },
    { "a queued message, under processes at work" },
    { "a queued message that others make further steps with", again = function()
      unit "UPDATE confirmation SET step = step + 7"
    end },
    { "what was tried in vain before", before = function() sim.flow:drain() end },
    { "what was tried several times since", left = function()
      for _ = 1, 3 do sim:advance(60) end
    end },
    { "a whole confirmation, and its event comes again", first = function() submit "m" end,
      again = function()
      assert.is_false(submit("m").duplicate)
    end },
  }

  for _, case in ipairs(CASES) do
    it("does not send " .. case[1], function()
      if not case.first then submit "m" end
      if case.before then case.before() end
      keep()
      if case.first then case.first() end
      if case.left then case.left() end
      local before = #sim.sent
      sim.answer, down = accepted, false
      sim:advance(300)
      assert.equal("accepted", state "m")
      assert.equal(before + 1, #sim.sent)
      forget()
      if case.restart then restart() end
      if case.again then case.again() end
      local known = #sim.sent
      sim.answer = accepted
      sim:advance(300)
      assert.equal("unknown", state "m")
      assert.equal(known, #sim.sent)
      assert.truthy(alerts() > 0)
      -- … and a person may send it again, once
      assert(sim.flow:settle("m", "not_arrived"))
      assert(sim.flow:replay "m")
      sim:advance(300)
      assert.equal("accepted", state "m")
      assert.equal(known + 1, #sim.sent)
    end)
  end

  it("does not send a new message after a failure that had been sent", function()
    sim.answer = accepted
    submit("m", "paid")
    sim:advance(10)
    local failed = sim.flow:show("m").message_id
    sim.calls.hookInfo = function(id, at)
      return { id = id, status = "failed", hooks = id == failed and { { status = "failed", at = at, code = 131000 } } or {} }
    end
    assert(sim.flow:hooks(cjson.encode { ack = {
      { id = failed, status = "failed", error = "(#131000) Something went wrong" } } }))
    keep()
    sim:advance(600)
    assert.equal(2, #sim.sent)
    forget()
    sim:advance(600)
    assert.equal(2, #sim.sent)
    assert.equal("unknown", state "m")
  end)

  it("does not go another way again, nor after it is in doubt whether the message left", function()
    for _, moment in ipairs { "due", "queued" } do
      local id = "way-" .. moment
      sim.answer = accepted
      submit(id, "else")
      if moment == "due" then sim:advance(10) end
      keep()
      called = 0
      sim:advance(3600)
      assert.equal(1, called, moment)
      local sent = #sim.sent
      forget()
      sim:advance(3600)
      assert.equal(1, called, moment)
      assert.equal(sent, #sim.sent)
      assert.equal("unknown", sim.flow:show(id).fallback)
      for _, name in ipairs(TABLES) do unit("DROP TABLE kept_" .. name) end
    end
  end)

  it("is told from another one that stands in its place: what that one has is new", function()
    sim.answer = accepted
    submit "m"
    sim:advance(10)
    unit("UPDATE meta SET value = 'another' WHERE name = 'identity'")
    for _, name in ipairs(TABLES) do unit("DELETE FROM " .. name) end
    restart()
    sim.answer = accepted
    submit "m"
    sim:advance(10)
    assert.equal("accepted", state "m")
    assert.equal(1, #sim.sent)
  end)

  it("sends again without a witness, as it was asked for", function()
    options.witness = false
    restart()
    sim.answer = accepted
    submit "m"
    keep()
    sim:advance(10)
    forget()
    sim:advance(10)
    assert.equal(2, #sim.sent)
  end)

  it("and a witness that can't be written let nothing leave, and say so, until it can", function()
    local directory = path .. ".d"
    options.witness = directory .. "/witness"
    restart()
    sim.answer = accepted
    submit "m"
    local recorded, err = sim.flow:drain()
    assert.is_nil(recorded)
    assert.truthy(err:find(directory, 1, true), err)
    assert.equal(0, #sim.sent)
    assert.equal("queued", state "m")
    assert.equal(1, #sim.flow:show("m").history)
    files.output("mkdir " .. directory)
    sim:advance(10)
    assert.equal(1, #sim.sent)
    -- … also when it is lost while it is in use
    files.output("rm -f " .. directory .. "/*")
    assert(sim.flow:submit { id = "n", type = "short", phone = "12020741302" })
    sim.flow:drain()
    sim:advance(10)
    assert.equal(2, #sim.sent)
    assert.equal("accepted", state "n")
    files.output("rm -r " .. directory)
  end)

  it("on PostgreSQL nothing is sent before somebody has said where the witness is", function()
    sim.flow.witness = nil
    local recorded, err, info = sim.flow:drain()
    assert.is_nil(recorded)
    assert.truthy(err:find("^config: witness"), err)
    assert.equal("invalid", info.outcome)
  end)
end)
