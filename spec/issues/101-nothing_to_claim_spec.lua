-- A message was held (a backoff after 131056), another to the same person was due behind it: every look claimed, found nothing,
-- and wrote the gate all the same, 218 times a minute. Kind: who can claim nothing writes nothing.
local simulation = require "support.simulation"
local PHONE = "12020721300"

describe("a worker that can claim nothing", function()
  local function writes_of(options, seconds)
    local sim = simulation.new(options)
    for n = 1, 3 do
      sim.flow:submit { id = "o-" .. n, type = "else", phone = PHONE, name = "Maria", payment = "p" .. n }
      sim.time = sim.time + 10
    end
    sim:advance(1) -- the first is tried, and held
    local before = assert(sim.flow.box.db:read { { "SELECT revision FROM channel" } })[1][1].revision
    local till = sim.time + seconds
    while sim.time < till do -- as a worker that looks four times a second
      sim.flow:drain()
      sim.time = sim.time + 0.25
    end
    local after = assert(sim.flow.box.db:read { { "SELECT revision FROM channel" } })[1][1].revision
    local sent = #sim.sent
    sim:close()
    return after - before, sent
  end

  for name, answer in pairs {
    ["behind one that was too early"] = { nil, "rejected: 400 (#131056) pair rate limit hit",
      { outcome = "rejected", status = 400, code = 131056, retry = true, retry_after = 60 } },
    ["behind one that did not leave"] = { nil, "not_sent: 429 too many; again in 60 s",
      { outcome = "not_sent", status = 429, retry_after = 60 } },
  } do
    it("writes nothing " .. name, function()
      local writes, sent = writes_of({ answer = function(_, n)
        if n == 1 then return answer[1], answer[2], answer[3] end
        return { outcome = "accepted", id = "w" .. n }
      end }, 20)
      assert.equal(1, sent)
      assert.is_true(writes <= 2, writes .. " writes")
    end)
  end
end)
