-- Whatever a person changes by hand says who, in its history and in audit, in the unit of the change: no change without its
-- line, no line without its change, and no phone in any.
local simulation = require "support.simulation"

describe("a change by hand", function()
  local sim, flow
  before_each(function()
    sim = simulation.new {}
    flow = sim.flow
  end)
  after_each(function() sim:close() end)

  local function lines()
    local list = {}
    for n, one in ipairs(assert(flow:audit())) do
      list[n] = table.concat({ one.by, one.what, one.about, one.before or "-", one.after or "-" }, " ")
    end
    return list
  end

  it("says who", function()
    local by = { by = "maria" }
    assert(flow:submit { id = "o", type = "paid", phone = "12020721305" })
    assert(flow:cancel("o", by))
    assert(flow:replay("o", by))
    assert(flow:suppress("12020721305", by))
    assert(flow:unsuppress("12020721305", by))
    assert(flow:pause { channel = "main", reason = "wrong text", by = "josé" })
    assert(flow:resume { by = "josé" })
    assert.same({ "josé resume everything - -", "josé pause channel main - wrong text", "maria unsuppress …1305 - -",
      "maria suppress …1305 - -", "maria replay o cancelled queued", "maria cancel o queued cancelled" }, lines())
    local history = simulation.history(flow, "o")
    assert.matches("cancelled: cancelled by maria\n", history)
    assert.matches("queued: replayed by maria: ", history)
    assert.equal(sim.time, flow:audit()[1].at)
    assert.same({ 4 }, { #flow:audit { after = flow:audit()[2] } })
  end)

  it("that is refused leaves no line", function()
    assert(flow:submit { id = "o", type = "paid", phone = "12020721305" })
    sim:advance(1)
    assert.matches("^conflict:", select(2, flow:cancel("o", { by = "maria" })))
    assert.matches("^conflict:", select(2, flow:replay("o", { by = "maria" })))
    assert.is_nil(flow.box:change({ id = "o", state = "queued" }, "cancelled", "x", sim.time, { what = "cancel" }))
    assert.same({}, lines())
    for _, call in ipairs { "cancel", "replay" } do
      assert.has_error(function() flow[call](flow, "o", { bye = "maria" }) end)
    end
  end)

  it("by a bulk replay has a line each", function()
    for n = 1, 3 do
      assert(flow:submit { id = "o" .. n, type = "paid", phone = "1202072130" .. n })
      assert(flow:cancel("o" .. n))
    end
    sim.time = sim.time + 1
    assert.equal(3, flow:replay({ state = "cancelled", by = "maria" }).replayed)
    assert.same({ "maria replay o3 cancelled queued", "maria replay o2 cancelled queued", "maria replay o1 cancelled queued" },
      { lines()[3], lines()[2], lines()[1] })
    assert.equal(" cancel o1 queued cancelled", lines()[6])
  end)

  it("may be told by anybody, in a line of 100 letters", function()
    assert(flow:submit { id = "o", type = "paid", phone = "12020721305" })
    assert(flow:cancel("o", { by = "%1\n" .. ("x"):rep(1000) }))
    local line = lines()[1]
    assert.is_true(#line < 200 and not line:find "\n")
    assert.matches("cancelled by %%1 x+", simulation.history(flow, "o"))
  end)
end)
