-- A channel or a store that is closed, or a pending that is collected, by what runs in the middle of a call on it: by a
-- metamethod of an argument, or by a finalizer. It was used all the same: SIGSEGV, or what was freed was read.
local channels = require "support.channels"
local onemsg = require "onemsg"
local raw = require "support.raw"
local server = require "support.server"
local sql = require "onemsg.sql"

local FINALIZERS = 300

describe("closed in the middle of a call", function()
  local api, dir

  setup(function()
    api = raw.http "accept"
    dir = server.directory()
  end)
  teardown(function()
    api:stop()
    os.execute("rm -rf '" .. dir .. "'")
  end)

  --- Runs f when it is collected.
  local function when_collected(f)
    if rawget(_G, "jit") then
      getmetatable(newproxy(true)).__gc = f -- luacheck: ignore newproxy
    else
      setmetatable({}, { __gc = f })
    end
  end

  local phone = "12020721369"
  local BY_METAMETHOD = {
    { "send, a value", function(c, it) return c:send { phone = phone, body = { it { text = "x" } } } end },
    { "send, a named value", function(c, it) return c:send { phone = phone, body = { it { text = "x", name = "n" } } } end },
    { "send, a ready value", function(c, it)
      return c:send { phone = phone, body = { "x", it { type = "currency" }, it { text = "y" } } }
    end },
    { "send, the header", function(c, it)
      return c:send { phone = phone, body = { "x" }, header = it { image = "https://x" } }
    end },
    { "send, a button", function(c, it)
      return c:send { phone = phone, body = { "x" }, buttons = { it { url = "x" } } }
    end },
    { "async", function(c, it) return c:async("send", { phone = phone, body = { it { text = "x" } } }) end },
    { "check", function(c, it) return c:check { phone = phone, body = { it { text = "x" } } } end, "invalid" },
    { "messages", function(c, it) return c:messages(it { limit = 1 }) end },
    { "send, and the message is invalid as well", function(c, it) return c:send { phone = phone, body = { it {} } } end,
      "invalid", "^invalid: body%[1%] has no text" },
  }
  for _, row in ipairs(BY_METAMETHOD) do
    it(row[1] .. " says so, and nothing leaves", function()
      local channel = channels.to(api)
      local left = api:count()
      local value, err, info = row[2](channel, function(t)
        return setmetatable(t, { __index = function() channel:close() end })
      end)
      assert.is_nil(value)
      assert.matches(row[4] or "^closed: ", err)
      assert.equal(row[3] or "not_sent", info.outcome)
      assert.equal(left, api:count())
    end)
  end

  it("onemsg.new reads options that close channels", function()
    local channel = channels.to(api)
    local fresh = assert(onemsg.new(setmetatable({ base_url = api.url, token = channels.TOKEN, channel = "RAW1" },
      { __index = function() channel:close() end })))
    assert.matches("closed", tostring(channel))
    fresh:close()
  end)

  -- Each is asked until its owner's finalizer has closed it: a value, or "closed: …", and nothing else.
  local BY_FINALIZER = {
    { "channel:async", function() return channels.to(api) end, function(c)
      local pending, err = c:async("send", { phone = 12020721369, name = 1, action = 2.5, next_step = 3 })
      if pending then pending:cancel() end
      return pending, err
    end },
    { "channel:check", function() return channels.to(api) end,
      function(c) return c:check { phone = 12020721369, name = 1, action = 2.5, next_step = 3 } end },
    { "channel:stats", function() return channels.to(api) end, function(c) return c:stats() end },
    { "tostring(channel)", function() return channels.to(api) end, function(c)
      local word = tostring(c)
      if word == "onemsg.channel (closed)" then return nil, "closed: " end
      return word == "onemsg.channel (" .. api.url .. "/RAW1)", word
    end },
    { "store:unit", function() return assert(sql.open("sqlite:" .. dir .. "/a.db")) end,
      function(db) return db:unit { { "SELECT $1 AS a", "x" } } end },
    { "store:stats", function() return assert(sql.open("sqlite:" .. dir .. "/a.db")) end,
      function(db) return db:stats() end },
    { "tostring(store)", function() return assert(sql.open("sqlite:" .. dir .. "/a.db")) end, function(db)
      local word = tostring(db)
      if word == "onemsg.sql (closed)" then return nil, "closed: " end
      return word == "onemsg.sql (" .. dir .. "/a.db)", word
    end },
  }
  for _, row in ipairs(BY_FINALIZER) do
    it(row[1] .. " while a finalizer closes it", function()
      for _ = 1, FINALIZERS do
        local it = row[2]()
        when_collected(function() it:close() end)
        local value, err
        for _ = 1, 40 do
          value, err = row[3](it)
          if not value then break end
        end
        if not value then assert.matches("^closed: ", err) end
        it:close()
      end
    end)
  end

  it("a pending whose answer is gone does not claim that nothing left", function()
    local channel = channels.to(api)
    local pending = assert(channel:async("send", channels.message(phone)))
    getmetatable(pending).__gc(pending) -- what a finalizer sees that runs after the pending's own
    local receipt, err, info = pending:wait()
    assert.is_nil(receipt)
    assert.matches("^closed: this pending was collected", err)
    assert.equal("unknown", info.outcome)
    assert.is_false(pending:cancel())
    channel:close()
  end)

  it("dispatch in a finalizer takes nothing from the dispatch it interrupts", function()
    local channel = channels.to(api)
    local seen = {}
    local function dispatch()
      for _, pending in ipairs(onemsg.dispatch()) do seen[pending] = (seen[pending] or 0) + 1 end
    end
    onemsg.dispatch()
    local pendings = {}
    for i = 1, FINALIZERS do
      pendings[i] = assert(channel:async("status"))
      when_collected(function() pendings[i]:ready() dispatch() end)
      dispatch()
    end
    for _, pending in ipairs(pendings) do pending:wait() end
    collectgarbage()
    dispatch()
    for _, pending in ipairs(pendings) do assert.equal(1, seen[pending]) end
    channel:close()
  end)
end)
