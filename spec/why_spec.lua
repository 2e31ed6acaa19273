-- show(id).why: what happened, how that is known, what comes next, what somebody can do; for every state, in words.
local cjson = require "cjson"
local simulation = require "support.simulation"
local states = require "onemsg.policy.states"
local why = require "onemsg.policy.why"

local NOW = 1795694400 -- 2026-11-26 12:00:00 UTC

local function one(more)
  local view = { id = "a", state = "queued", reason = "", attempts = 0, channel = "main", due_at = NOW, give_up_at = NOW + 3600,
                 statuses = {}, rule = "Paid" }
  for name, value in pairs(more) do view[name] = value end
  return view
end

describe("why, of a queued one", function()
  local T = "2026-11-26 12:10:00 UTC"
  for name, case in pairs {
    ["that is due"] = { {}, {}, "It has been due since 2026-11-26 12:00:00 UTC" },
    ["that leaves later"] = { { due_at = NOW + 600 }, {}, "It leaves at " .. T },
    ["behind another"] = { {}, { behind = "order-7" }, "It waits behind order-7, to the same person." },
    ["that is held"] = { { held = "quiet hours", due_at = NOW + 600 }, {}, "It waits until " .. T .. ": quiet hours." },
    ["on a stopped channel"] = { {}, { channel = { breaker = "open", reason = "rejected: 401", next_at = NOW + 600 } },
      "The channel main is stopped: rejected: 401; it is asked again at " .. T .. "." },
    ["on a channel that pauses"] = { {}, { channel = { breaker = "closed", pause_until = NOW + 600 } },
      "The channel main pauses until " .. T .. "." },
    ["that is paused by hand"] = { {}, { paused = "maria: prices are wrong" }, "It is paused: maria: prices are wrong." },
  } do
    it(name, function()
      local know = { now = NOW }
      for key, value in pairs(case[2]) do know[key] = value end
      local told = why.tell(one(case[1]), know)
      assert.equal(case[3], told.next:sub(1, #case[3]))
      assert.truthy(told.next:find("Given up at 2026-11-26 13:00:00 UTC.", 1, true))
      assert.equal("It waits to be sent.", told.happened)
      assert.equal("Nothing has left for this confirmation.", told.evidence)
      assert.truthy(told.can_do:find("ancel it", 1, true))
    end)
  end
end)

describe("why", function()
  it("has words for every state, and what a person can do where the states say so", function()
    for _, state in ipairs(states.list) do
      local told = why.tell(one { state = state.name, reason = state.name .. ": because." }, { now = NOW })
      for _, field in ipairs { "happened", "evidence" } do
        assert.truthy(told[field]:find "^[%u1].*%.$", state.name .. ": " .. told[field])
        assert.is_nil(told[field]:find("..", 1, true), told[field])
      end
      assert.equal(state.person ~= nil and (state.person == "replay" or state.person == "settle" or state.person == "cancel"),
        told.can_do ~= nil, state.name)
    end
  end)

  local function said(status, after, more)
    local made = { message_id = "w", status = status, at = NOW + after, source = "poll" }
    for name, value in pairs(more or {}) do made[name] = value end
    return made
  end
  for name, case in pairs {
    ["failed, of sent and failed in one second"] = { { state = "failed", statuses = { said("failed", 0), said("sent", 0) } },
      '1MSG, when it was asked said "failed" at 2026-11-26 12:00:00 UTC' },
    ["delivered, though a failure came later"] = { { state = "delivered",
      statuses = { said("sent", 0), said("delivered", 1), said("failed", 2) } }, 'said "delivered" at 2026-11-26 12:00:01' },
    ["read, by played"] = { { state = "read", statuses = { said("delivered", 0), said("played", 3) } }, 'said "played"' },
    ["delivered twice: the first"] = { { state = "delivered",
      statuses = { said("delivered", 5), said("delivered", 1) } }, "12:00:01" },
    ["of the present message"] = { { state = "failed",
      statuses = { said("failed", 0, { earlier = true }), said("failed", 9) } }, "12:00:09" },
    ["stalled: the last there is"] = { { state = "stalled",
      statuses = { said("sent", 1), said("warning", 2) } }, 'said "warning"' },
    ["forgotten"] = { { state = "read", forgotten_at = NOW, statuses = {} }, "forgotten with it" },
    ["suppressed"] = { { state = "skipped", reason = 'skipped: suppressed: they wrote "stop"' }, "They are suppressed" },
    ["replayed after a refusal"] = { { was = "rejected" }, "What left before was refused." },
    ["replayed after a failure"] = { { was = "failed" }, "What left before did not arrive." },
    ["tried again: nothing left"] = { { was = "sending", attempts = 2 }, "Nothing has left for this confirmation." },
  } do
    it("knows it by what proves it: " .. name, function()
      local told = why.tell(one(case[1]), { now = NOW })
      assert.truthy(told.evidence:find(case[2], 1, true), told.evidence)
    end)
  end

  local STATUS = { message_id = "w", status = "failed", at = NOW, source = "hook", error = "(#131026) undeliverable" }
  for name, case in pairs {
    ["a code: its meaning and what to do"] = { { state = "failed", code = 131026, reason = "failed: (#131026) x", attempts = 1 },
      "happened", "It did not arrive: (#131026) x (code 131026: " },
    ["what a code asks for"] = { { state = "rejected", code = 132001, reason = "rejected: 404", attempts = 1 }, "can_do",
      "Replay it once its cause is fixed." },
    ["a webhook"] = { { state = "failed", statuses = { STATUS } }, "evidence",
      'A webhook of 1MSG said "failed" at 2026-11-26 12:00:00 UTC: (#131026) undeliverable.' },
    ["an earlier message's status is no evidence"] = { { state = "accepted", message_id = "w2",
      statuses = { { message_id = "w", status = "sent", at = NOW, source = "hook", earlier = true } } }, "evidence",
      "1MSG answered with the message id w2." },
    ["a person's word"] = { { state = "delivered", settled = "arrived" }, "evidence", "Somebody said so by hand: it arrived." },
    ["an answer"] = { { state = "accepted", message_id = "wamid.1" }, "evidence",
      "1MSG answered with the message id wamid.1." },
    ["doubt"] = { { state = "unknown", reason = "unknown: no answer", attempts = 1 }, "happened",
      "It may or may not have left: no answer." },
    ["tries"] = { { attempts = 3, reason = "not_sent: connection refused" }, "happened",
      "It was tried 3 times and did not leave: not_sent: connection refused." },
    ["a suppression"] = { { state = "skipped", reason = "suppressed: they wrote STOP" }, "can_do", "Unsuppress them" },
    ["another way"] = { { state = "unknown", way = "sms", fallback_at = NOW + 600 }, "next",
      'never sent again by itself. The other way "sms" is used at 2026-11-26 12:10:00 UTC, unless it arrived by then.' },
    ["another way that was used"] = { { state = "failed", way = "sms", fallback = "done" }, "next",
      'The other way "sms" was used.' },
    ["a new message"] = { { state = "failed", retry_at = NOW + 600 }, "next",
      "A new message leaves at 2026-11-26 12:10:00 UTC." },
  } do
    it("says " .. name, function()
      local told = why.tell(one(case[1]), { now = NOW })
      assert.truthy((told[case[2]] or ""):find(case[3], 1, true), told[case[2]])
    end)
  end

  it("writes times as it is asked to", function()
    local told = why.tell(one { due_at = NOW + 600 }, { now = NOW }, function(at) return "T" .. at - NOW end)
    assert.equal("It leaves at T600. Given up at T3600.", told.next)
  end)
end)

describe("why, in a workflow", function()
  it("names who is in front, and who waits in turn is no backlog", function()
    local answers = {}
    local sim = simulation.new { answer = function(_, n) return answers[n] or { outcome = "accepted", id = "w" .. n } end }
    for n = 1, 3 do
      sim.flow:submit { id = "o-" .. n, type = "else", phone = "12020721300", name = "Maria", payment = "p" .. n }
    end
    assert.equal("o-1", sim.flow:show("o-2").why.next:match "behind (%S+),")
    assert.equal("o-2", sim.flow:show("o-3").why.next:match "behind (%S+),")
    assert.is_nil(sim.flow:show("o-1").why.next:find "behind")
    sim.time = sim.time + 900
    local stats = sim.flow:stats()
    assert.equal(1, stats.due)
    sim:advance(60)
    assert.equal("1MSG answered with the message id w1.", sim.flow:show("o-1").why.evidence)
    assert.equal(0, sim.flow:stats().due)
    assert(sim.flow:hooks(cjson.encode { ack = { { id = "w1", status = "delivered" } } }))
    assert.truthy(sim.flow:show("o-1").why.evidence:find('^A webhook of 1MSG said "delivered" at '))
    sim:close()
  end)
end)
