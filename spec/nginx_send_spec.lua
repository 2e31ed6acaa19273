--- onemsg in nginx: a light thread that waits, and a worker that does not.
require "onemsg"
local core = require "onemsg.core"
local cjson = require "cjson"
local nginx = require "support.nginx"
local support = require "support.server"

local LOCATIONS = [[
  location = /send {
    content_by_lua_block {
      local receipt, err = channel:send(text(ngx.var.arg_phone))
      ngx.say(receipt and receipt.outcome or err)
    }
  }
  location = /all {
    content_by_lua_block {
      local cjson = require "cjson"
      local out = {}
      local function note(name, value, err) out[name] = type(value) == "table" and "table" or value or err end
      local receipt = channel:send(text "12020720100")
      note("send", receipt)
      note("hookInfo", channel:hookInfo(receipt.id))
      note("status", channel:status())
      note("settings", channel:settings())
      note("messages", channel:messages { limit = 1 })
      note("webhook", channel:webhook())
      note("setWebhook", channel:setWebhook { "https://a.example/1" })
      note("request", channel:request("GET", "templates?limit=1"))
      note("templates", channel:templates())
      note("addWebhook", channel:addWebhook "https://b.example/2")
      note("removeWebhook", channel:removeWebhook "https://b.example/2")
      local list, seen = {}, 0
      for i = 1, 20 do list[i] = text(("120207201%02d"):format(i - 1)) end
      for index, got in channel:send_each(list, { window = 4 }) do
        if got and got.outcome == "accepted" then seen = seen + index end
      end
      out.send_each = seen
      out.sleep = onemsg.sleep(0.01)
      ngx.print(cjson.encode(out))
    }
  }
  location = /timeout {
    content_by_lua_block {
      local pending = assert(channel:async("send", text "12020750001"))
      local _, err, info = pending:wait(0.05)
      ngx.say(err, "|", info.outcome)
      io.open("$dir/waited", "w"):close()
      local again = pending:wait("60s")
      ngx.say(again and again.outcome, "|", again.id == pending:wait().id, "|", tostring(pending:ready()))
    }
  }
  location = /two {
    content_by_lua_block {
      local pending = assert(channel:async("send", text "12020750002"))
      local function wait(seconds)
        return function()
          local receipt, err = pending:wait(seconds)
          return receipt and receipt.outcome or err:match "^%a+"
        end
      end
      local a, b, c = ngx.thread.spawn(wait()), ngx.thread.spawn(wait(0.05)), ngx.thread.spawn(wait())
      local _, y = ngx.thread.wait(b)
      io.open("$dir/waited", "w"):close()
      local _, x = ngx.thread.wait(a)
      local _, z = ngx.thread.wait(c)
      ngx.say(x, " ", y, " ", z)
    }
  }
  location = /callback {
    content_by_lua_block {
      local said
      local _ = ("x"):gsub("x", function() said = { channel:send(text "12020750003") } return "y" end)
      ngx.say(tostring(said[1]), "|", said[2], "|", said[3].outcome)
      local ok, why = pcall(function() return (channel.send(text "12020750003")) end)
      ngx.say(tostring(ok), "|", why)
      local ok, why = pcall(function() return channel:send { phone = 5, nmae = "x" } end)
      ngx.say(tostring(ok), "|", why)
    }
  }
  location = /coroutine {
    content_by_lua_block {
      local next = coroutine.wrap(function()
        local receipt = channel:send(text "12020750004")
        coroutine.yield(receipt.outcome)
        return pcall(function() return assert(channel:send(text "12020750004")).outcome end)
      end)
      ngx.say(next(), " ", tostring(next()))
    }
  }
  location = /store {
    content_by_lua_block {
      local results, err = db:unit { { "INSERT INTO t(a) VALUES($1)", ngx.var.arg_a } }
      ngx.print(results and results[1].changes or err)
    }
  }
  location = /stored {
    content_by_lua_block { ngx.print(assert(db:read { { "SELECT COUNT(*) AS n FROM t" } })[1][1].n) }
  }
  location = /misc {
    content_by_lua_block {
      local fd, err = onemsg.fd()
      ngx.say(tostring(fd), "|", err, "|", #onemsg.dispatch())
    }
  }
]]

describe("nginx: sending", function()
  local fake, server

  setup(function()
    fake = support.fake { latency = 200 }
    server = nginx.start { fake = fake, locations = LOCATIONS,
      init = [[db = assert(require("onemsg.sql").open("sqlite:$dir/store.db", { busy_timeout = 60 }))]],
      prepare = function(dir) assert(os.execute("sqlite3 " .. dir .. "/store.db 'CREATE TABLE t(a TEXT PRIMARY KEY)'")) end }
  end)
  teardown(function()
    local complaints = server:complaints()
    server:stop()
    fake:stop()
    assert.equal("", complaints)
  end)

  it("waits for every operation without a word of the event loop", function()
    local out = cjson.decode((server:get "/all"))
    assert.equal(true, out.sleep)
    for _, name in ipairs(core.operations) do assert.equal("table", out[name] == true and "table" or out[name], name) end
    for name in pairs(core.several) do
      assert.equal(name == "send_each" and 210 or "table", out[name], name)
    end
  end)

  it("serves others while 64 sends wait for a slow API", function()
    fake:set { held = true }
    local paths = {}
    for i = 1, 64 do paths[i] = ("/send?phone=1202073%02d%02d"):format(i, i % 20) end
    local burst = server:burst(paths)
    assert(support.eventually(function() -- all of them at once: none has an answer yet
      local arrived, counts = 0, fake:counts()
      for i = 1, 64 do arrived = arrived + (counts[("1202073%02d%02d"):format(i, i % 20)] or 0) end
      return arrived == 64
    end), "the sends went one after the other")
    for _ = 1, 20 do assert.equal("pong\n", (server:get "/ping")) end -- while all of them wait
    fake:set { held = false }
    local answers = burst:collect()
    for i = 1, 64 do assert.equal("accepted\n", answers[i] and answers[i].body) end
    for i = 1, 64 do assert.equal(1, fake:count(("1202073%02d%02d"):format(i, i % 20))) end
  end)

  it("serves others while 32 units wait for a store that another process holds", function()
    local release = require "support.store".lock(server.dir .. "/store.db")
    local paths = {}
    for i = 1, 32 do paths[i] = "/store?a=" .. i end
    local burst = server:burst(paths)
    for _ = 1, 20 do assert.equal("pong\n", (server:get "/ping")) end -- while nobody else has an answer
    release()
    local answers = burst:collect()
    for i = 1, 32 do assert.equal("1", answers[i] and answers[i].body, i) end
    assert.equal("32", (server:get "/stored"))
  end)

  --- The body of an answer whose location has waited in vain before the API answers.
  local function held_until_waited(path)
    os.remove(server.dir .. "/waited")
    fake:set { held = true }
    local burst = server:burst { path }
    assert(support.eventually(function()
      local file = io.open(server.dir .. "/waited")
      if file then file:close() end
      return file
    end))
    fake:set { held = false }
    return burst:collect()[1].body
  end

  it("keeps the answer of a wait that ran out of time", function()
    local body = held_until_waited "/timeout"
    assert.matches("^timeout: the send is still under way[^\n]*|pending\naccepted|true|true\n$", body)
    assert.equal(1, fake:count "12020750001")
  end)

  it("answers each of several light threads that wait for one pending", function()
    assert.equal("accepted timeout accepted\n", held_until_waited "/two")
  end)

  it("sends nothing where a C function stands between it and its light thread", function()
    local body = server:get "/callback"
    assert.matches("^nil|invalid: channel:send waits, and cannot within require[^\n]*|invalid\n", body)
    assert.matches("\nfalse|content_by_lua%S-:%d+: call it with a colon, like object:send%(…%)", body)
    assert.matches("\nfalse|content_by_lua%S-:%d+: a message has no field 'nmae', did you mean 'name'%?\n$", body)
    assert.equal(0, fake:count "12020750003")
  end)

  it("waits in a user's own coroutine", function()
    assert.equal("accepted true\n", (server:get "/coroutine"))
    assert.equal(2, fake:count "12020750004")
  end)

  it("says that there is no descriptor to watch", function()
    assert.matches("^nil|config: in nginx [^\n]*|0\n$", (server:get "/misc"))
  end)
end)
