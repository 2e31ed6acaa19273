-- In nginx every call that waits has to be replaced by one that yields. The list of them stood in three places, so that a
-- new operation of the C module, forgotten in one of them, would have blocked the worker with every spec green. C names
-- them now, and a method that nobody knows stops nginx at its start.
require "onemsg"
local core = require "onemsg.core"

describe("what waits", function()
  --- resty.onemsg.yield as nginx loads it, on a core of our own.
  local function in_nginx(run)
    local loaded, ngx = package.loaded, rawget(_G, "ngx")
    local wait, yield = loaded["resty.onemsg.wait"], loaded["resty.onemsg.yield"]
    loaded["resty.onemsg.wait"], loaded["resty.onemsg.yield"] = { init = function() end }, nil
    rawset(_G, "ngx", { get_phase = function() return "log" end })
    local ok, err = pcall(function() run(require "resty.onemsg.yield") end)
    loaded["resty.onemsg.wait"], loaded["resty.onemsg.yield"] = wait, yield
    rawset(_G, "ngx", ngx)
    if not ok then error(err, 0) end
  end

  local function copy(from)
    local to = {}
    for key, value in pairs(from) do to[key] = value end
    return to
  end

  --- The real core, its tables ours to change.
  local function a_core()
    require "onemsg.sql"
    local one = copy(core)
    for _, kind in ipairs { "channel", "pending", "database", "module", "operations", "several" } do
      one[kind] = copy(core[kind])
    end
    one.yieldable = function() return true end
    return one
  end

  local function fresh() end

  local CASES = {
    { "an operation", true, function(one) one.operations[#one.operations + 1], one.channel.fresh = "fresh", fresh end },
    { "several requests", true, function(one) one.several.fresh, one.channel.fresh = { "a", "b" }, fresh end },
    { "a method of the channel", false, function(one) one.channel.fresh = fresh end },
    { "a method of pendings", false, function(one) one.pending.fresh = fresh end },
    { "a method of databases", false, function(one) one.database.fresh = fresh end },
  }

  for _, case in ipairs(CASES) do
    local what, replaced, add = case[1], case[2], case[3]
    it(("yields or is refused: %s that is new"):format(what), function()
      in_nginx(function(yield)
        local one = a_core()
        add(one)
        local ok, err = pcall(function()
          yield.channel(one)
          yield.database(one)
        end)
        assert.equal(replaced, ok, err)
        if replaced then
          local self = assert(io.tmpfile()) -- a userdata
          local answer, why = one.channel.fresh(self)
          self:close()
          assert.is_nil(answer)
          assert.matches("^invalid: channel:fresh waits, and log_by_lua cannot", why)
        else
          assert.matches("^resty%.onemsg%.yield: %a+:fresh may wait", err)
        end
      end)
    end)
  end

  it("is all replaced as things are", function()
    in_nginx(function(yield)
      local one = a_core()
      yield.channel(one)
      yield.database(one)
      for _, name in ipairs(core.operations) do assert.not_equal(core.channel[name], one.channel[name], name) end
      for name in pairs(core.several) do assert.not_equal(core.channel[name], one.channel[name], name) end
    end)
  end)

  it("is what async takes", function()
    local channel = assert(require "onemsg".new { channel = "ODI1", token = "t", base_url = "http://127.0.0.1:1" })
    for name in pairs(core.several) do
      assert.error_matches(function() channel:async(name) end, name .. " is several requests; call it as a method")
    end
    for _, name in ipairs(core.operations) do
      local _, err = pcall(channel.async, channel, name)
      assert.is_nil(tostring(err):find("async takes the name", 1, true))
    end
    channel:close()
  end)
end)
