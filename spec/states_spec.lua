-- The states: which may follow which, and that no state that is not an end is without a waker and a person's way out.
local hooks = require "onemsg.hooks"
local states = require "onemsg.policy.states"

describe("the states", function()
  it("are all in the table of legal changes, and nothing else is", function()
    local named = { new = true }
    for _, state in ipairs(states.list) do named[state.name] = true end
    for was, nexts in pairs(states.legal) do
      assert.truthy(named[was], was)
      for _, state in ipairs(nexts) do assert.truthy(named[state], was .. " > " .. state) end
    end
  end)

  it("can each be reached from new", function()
    local reached, edge = { new = true }, { "new" }
    while #edge > 0 do
      for _, state in ipairs(states.legal[table.remove(edge)] or {}) do
        if not reached[state] then reached[state], edge[#edge + 1] = true, state end
      end
    end
    for _, state in ipairs(states.list) do assert.truthy(reached[state.name], state.name) end
  end)

  it("have a waker and a person's way out where they are no end", function()
    local ends = { delivered = true, read = true, skipped = true, cancelled = true }
    for _, state in ipairs(states.list) do
      assert.truthy(state.means, state.name)
      if not ends[state.name] then
        assert.truthy(state.wakes, state.name .. ": who wakes it, by when at the latest?")
        assert.truthy(state.person, state.name .. ": what can a person do?")
      end
    end
  end)

  it("never lead from a doubt to a message by themselves", function()
    assert.truthy(states.doubtful.unknown)
    assert.falsy(states.replayable.unknown)
    assert.is_true(states.may("unknown", "queued")) -- by the late answer of who sent it alone, that it did not leave
    for _, was in ipairs { "stalled", "accepted", "sent", "delivered", "read" } do
      assert.is_false(states.may(was, "queued"), was)
      assert.is_false(states.may(was, "sending"), was)
      assert.is_false(states.may("unknown", "sending"))
    end
  end)

  it("rise with what is reported, from every state but while it is being sent", function()
    for _, state in ipairs(states.list) do
      for _, word in ipairs { "delivered", "read" } do
        local expected = state.name ~= "sending" and state.name ~= "read" and state.name ~= word
        assert.equal(expected, states.may(state.name, word), state.name .. " > " .. word)
      end
    end
    assert.truthy(hooks.rank "read" > hooks.rank "delivered")
  end)

  it("are what the store's CHECK is made of, sorted", function()
    local text = states.changes()
    assert.truthy(text:find("accepted>delivered accepted>failed", 1, true))
    local n = 0
    for _ in text:gmatch "%l+>%l+" do n = n + 1 end
    for _, nexts in pairs(states.legal) do n = n - #nexts end
    assert.equal(0, n)
  end)
end)
