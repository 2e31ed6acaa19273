-- A person who asked for silence and changes their number is told so again by nobody; and a negative number is no phone.
local cjson = require "cjson"
local phones = require "onemsg.base.phone"
local simulation = require "support.simulation"

local OLD, NEW = "12020721300", "12020721399"

describe("a customer's changed number", function()
  local sim

  before_each(function() sim = simulation.new {} end)
  after_each(function() sim:close() end)

  local function message(more)
    local one = { from = OLD, id = "wamid.IN", timestamp = tostring(math.floor(sim.time)), type = "text" }
    for name, value in pairs(more) do one[name] = value end
    return cjson.encode { entry = { { id = "1", changes = { { field = "messages", value = { messages = { one } } } } } } }
  end

  local function moves(more)
    local system = { body = "User A changed", type = "user_changed_number", wa_id = NEW }
    for name, value in pairs(more or {}) do system[name] = value end
    assert(sim.flow:hooks(message { id = "wamid.M", type = "system", system = system }))
  end

  local function submit(id, phone)
    return assert(sim.flow:submit { id = id, type = "else", phone = phone, name = "Ana", payment = id }).state
  end

  it("takes their STOP along, and leaves it where it was", function()
    assert.equal("queued", submit("waits", NEW))
    sim.flow:hooks(message { text = { body = "STOP" } })
    moves()
    assert.equal("skipped", submit("a", OLD))
    assert.equal("skipped", submit("b", NEW))
    assert.equal("skipped", sim.flow:show("waits").state)
    assert.truthy(sim.flow:show("b").reason:find("suppressed: they wrote", 1, true))
    sim:advance(3600)
    assert.equal(0, #sim.sent)
    assert.equal(1, sim.flow:unsuppress(NEW)) -- each by itself from then on
    assert.equal("queued", submit("c", NEW))
    assert.equal("skipped", submit("d", OLD))
  end)

  it("as the older type and field say it", function()
    sim.flow:hooks(message { text = { body = "STOP" } })
    moves { type = "customer_changed_number", wa_id = cjson.null, new_wa_id = NEW }
    assert.equal("skipped", submit("b", NEW))
  end)

  it("and nothing else: not a failure, not a START, not another kind of message", function()
    sim.flow:suppress(OLD, { duration = "1h", reason = "holidays" })
    moves { type = "customer_identity_changed" }
    assert.equal("queued", submit("a", NEW))
    moves { wa_id = "nonsense" }
    moves { wa_id = 5 }
    assert.equal("queued", submit("b", NEW))
    moves()
    assert.equal("skipped", submit("c", NEW))
    sim.time = sim.time + 3601
    assert.equal("queued", submit("d", NEW))
  end)
end)

describe("a negative number", function()
  it("is no phone; a dash elsewhere is only a dash", function()
    for _, text in ipairs { "-12020721300", " -12020721300" } do
      local address, why = phones.address(text)
      assert.is_nil(address)
      assert.truthy(why:find("negative", 1, true), why)
    end
    for _, text in ipairs { "1-202-072-1300", "+1-202-072-1300", "- +12020721300", "1 202 072-1300" } do
      assert.equal("12020721300", phones.address(text), text)
    end
  end)
end)
