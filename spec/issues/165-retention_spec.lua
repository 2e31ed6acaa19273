-- What ended long ago is a tombstone: its id and its once_per key keep their promise, and nothing else is left of it. What has
-- not ended stays, and an event's confirmations go together. Ids go after keep_ids, if that is given.
local simulation = require "support.simulation"

local POSTGRES = os.getenv "STORE" == "postgres"
local DAY = 86400
local RULES = [[
template "t" { language = "en", body = { "name" } }
defaults { phone = "{phone}", name = "{name}" }
confirm "Paid" { on = "paid" }
confirm "Once" { on = "once", once_per = "{order}" }
confirm "First" { on = "both", also = true }
confirm "Second" { on = "both", phone = "{second}" }
confirm "Else" { on = "else", otherwise = { after = "10m", send = "sms", text = "Dear {name}" } }
]]

local function event(id, kind, fields)
  local one = { id = id, type = kind or "paid", name = "Zwxyq", phone = "12020721369" }
  for name, value in pairs(fields or {}) do one[name] = value end
  return one
end

describe("retention", function()
  local sim, flow
  local function open(options)
    options.rules, options.fallback = RULES, { sms = function() return true end }
    options.hash_key = options.hash_key or POSTGRES and "a key of the spec" or nil
    sim = simulation.new(options)
    flow = sim.flow
  end
  local function arrive(id)
    local one = flow:show(id)
    assert(flow:hooks(('{"ack":[{"id":"%s","phone":"%s","status":"delivered"}]}'):format(one.message_id, one.phone)))
  end
  local function count(name)
    return assert(flow.box.db:read { { "SELECT COUNT(*) AS n FROM " .. name } })[1][1].n
  end
  --- Lets time pass, and after it sweeps to the end.
  local function later(seconds)
    sim:advance(seconds)
    flow.worker.keeping = { at = 0, step = 1 }
    repeat
      flow.worker.keeping.at = 0
      flow:drain()
    until flow.worker.keeping.step == 1 and not flow.worker.keeping.after
  end
  after_each(function()
    sim:close()
    os.remove(sim.path .. ".key")
  end)

  it("leaves of what ended its id, its state, its times and its key of once_per", function()
    open { keep = "90d" }
    assert(flow:submit(event("a", "once", { order = "4711" })))
    sim:advance(60)
    arrive "a"
    local ended = flow:show("a").changed_at
    later(89 * DAY)
    assert.equal("12020721369", flow:show("a").phone)
    later(2 * DAY)
    local one = flow:show "a"
    assert.same({ "delivered", "Once", ended }, { one.state, one.rule, one.changed_at })
    assert.is_nil(one.phone or one.message_id or one.body)
    assert.equal(0, count "status")
    for _, name in ipairs { "confirmation", "history", "once_key", "audit", "person", "forgotten" } do
      for _, row in ipairs(assert(flow.box.db:read { { "SELECT * FROM " .. name } })[1]) do
        for column, value in pairs(row) do
          assert.is_nil(tostring(value):match "Zwxyq" or tostring(value):match "0721369" or tostring(value):match "4711",
            name .. "." .. column)
        end
      end
    end
    assert.is_true(assert(flow:submit(event("a", "once", { order = "4711" }))).duplicate)
    assert.matches("^conflict:", select(2, flow:submit(event("a", "once", { order = "4712" }))))
    assert.same({ "skipped", "once_per: already confirmed by a" }, { flow:explain(event("b", "once", { order = "4711" })).state,
      flow:explain(event("b", "once", { order = "4711" })).reason })
    assert.same({ "skipped", "once_per: already confirmed by a" }, { flow:submit(event("b", "once", { order = "4711" })).state,
      flow:show("b").reason })
    assert.equal("queued", flow:submit(event("c", "once", { order = "4712" })).state)
    later(91 * DAY) -- b's key was named again, and goes with b
    assert.equal(0, assert(flow.box.db:read { { "SELECT COUNT(*) AS n FROM once_key WHERE value LIKE '%4711%'" } })[1][1].n)
    assert.equal("skipped", flow:submit(event("d", "once", { order = "4711" })).state)
    assert.equal(2, #sim.sent)
  end)

  it("leaves what has not ended, and an event's confirmations go together", function()
    local open_states = {}
    open { keep = "1d", stalled_after = "1h", answer = function(message, n)
      if message.phone == "12020721301" then return nil, "unknown: it timed out", { outcome = "unknown" } end
      return { outcome = "accepted", id = "wamid." .. n }
    end }
    assert(flow:submit(event("doubt", "paid", { phone = "12020721301" })))
    assert(flow:submit(event("both", "both", { second = "12020721302" })))
    assert(flow:submit(event("stalled", "paid", { phone = "12020721303" })))
    sim:advance(60)
    arrive "both" -- its second one stalls
    later(5 * DAY)
    for _, id in ipairs { "doubt", "both", "both~2", "stalled" } do
      open_states[#open_states + 1] = flow:show(id).state
      assert.is_truthy(flow:show(id).phone, id)
    end
    assert.same({ "unknown", "delivered", "stalled", "stalled" }, open_states)
    assert(flow:settle("both~2", "arrived", { by = "maria" }))
    assert(flow:settle("doubt", "arrived"))
    later(DAY / 2)
    assert.is_truthy(flow:show("both").phone)
    later(DAY)
    assert.is_nil(flow:show("both").phone or flow:show("both~2").phone or flow:show("doubt").phone)
    assert.is_truthy(flow:show("stalled").phone)
    assert.is_true(flow:submit(event("both", "both", { second = "12020721302" })).duplicate)
    assert.equal("maria", flow:audit()[2].by)
  end)

  it("keeps all, and ids, for ever when told so; else ids go, all of an event at once", function()
    open { keep = false, keep_ids = "1d" }
    assert(flow:submit(event "a"))
    later(1000 * DAY)
    assert.equal("12020721369", flow:show("a").phone)
    sim:close()
    open { keep = "1d", keep_ids = "40d" }
    assert(flow:submit(event("both", "both", { second = "12020721302" })))
    assert(flow:submit(event("x", "once", { order = "1" })))
    sim:advance(60)
    for _, id in ipairs { "both", "both~2", "x" } do arrive(id) end
    later(2 * DAY)
    assert.is_nil(flow:show("both").phone)
    later(37 * DAY)
    assert.same({ 3, 1 }, { count "confirmation", count "once_key" })
    later(3 * DAY)
    assert.same({ 0, 0, 0 }, { count "confirmation", count "history", count "once_key" })
    assert.is_false(flow:submit(event("both", "both", { second = "12020721302" })).duplicate)
    assert.equal("queued", flow:submit(event("y", "once", { order = "1" })).state)
  end)

  it("does not delete what a store that forgets is told by", function()
    open { keep = "1h", keep_ids = "1h" }
    assert(flow:submit(event "a"))
    sim:advance(60)
    arrive "a"
    later(29 * DAY)
    assert.same({ 1, nil }, { count "confirmation", flow:show("a").phone })
    later(2 * DAY)
    assert.equal(0, count "confirmation")
  end)

  it("is done in slices, and gives way; another process that came first is no trouble", function()
    open { keep = "1d" }
    for n = 1, 260 do assert(flow:submit(event("s" .. n, "nothing"))) end
    later(DAY + 3600)
    assert.equal(0, count "confirmation WHERE forgotten_at IS NULL")
    for n = 1, 260 do assert(flow:submit(event("t" .. n, "nothing"))) end
    local bury, slices = flow.box.bury, {}
    function flow.box.bury(box, rows, ...)
      slices[#slices + 1] = #rows
      if #slices == 2 then return nil, "conflict: somebody was faster" end
      return bury(box, rows, ...)
    end
    later(DAY + 3600)
    flow.box.bury = nil
    assert.equal(0, count "confirmation WHERE forgotten_at IS NULL")
    assert.same({ 50, 50, 50, 50, 50, 50, 10 }, slices)
    assert.same({}, sim.alerts)
    assert.equal(520, flow:stats().forgotten)
  end)

  it("is refused where it can't be meant, and needs a key outside of the store", function()
    for _, row in ipairs { { "keep", "0" }, { "keep", "long" }, { "keep_ids", "-1d" }, { "keep_ids", "" } } do
      local _, err = require "onemsg.workflow".open { channel = { check = function() end }, store = "sqlite::memory:",
        rules = require "onemsg.rules".load(RULES), [row[1]] = row[2] }
      assert.matches("^config: " .. row[1] .. " ", err)
    end
    assert.has_error(function()
      require "onemsg.workflow".open { channel = { check = function() end }, store = "sqlite::memory:",
        rules = require "onemsg.rules".load(RULES), keep = true }
    end)
    open {}
  end)
end)
