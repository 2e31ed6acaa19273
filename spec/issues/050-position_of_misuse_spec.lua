-- A programmer's mistake was raised at a line of the library itself once its files stood elsewhere than in the tree, and
-- the library's path was stored as the reason of a confirmation. The position is the caller's, wherever the files are:
-- what is the library's is told by the folder that onemsg.codes was loaded from. What is stored has none.
local command = require "support.command"
local server = require "support.server"

local quote = command.quote

local CALLS = { -- each on a line of its own, which the message must begin with
  'onemsg.new { token = "a.b.c", colour = 1 }', 'channel:send(5)', 'channel:check { phone = {} }',
  'for _ in channel:send_each { 5 } do end', 'channel:send_each({}, { window = 0 })', 'channel:templates(5)',
  'channel:addWebhook(5)', 'channel:removeWebhook {}', 'channel:settings(5)', 'channel:async("send", 5)',
  'sql.open(5)', 'onemsg.sleep "soon"',
  'require "onemsg.workflow".open { rules = 5 }', 'require "onemsg.rules".load(5)',
  'require "onemsg.codes".add(5)',
}

local STORED = { -- what only the channel's check refuses of a confirm
  'header = { colour = "x" }', 'buttons = { "x" }', 'header = { text = { "x" } }',
}

-- Where the tree's `lua` folder is, in a directory of the spec's own, and how LUA_PATH names it.
local PLACES = {
  { "share/lua/5.4", "%s/share/lua/5.4/?.lua" }, { "site/lualib", "%s/site/lualib/?.lua" },
  { "lib/lua/onemsg/lua", "%s/lib/lua/onemsg/lua/?.lua" }, { "here", "./here/?.lua" }, { "other", "other/?.lua" },
  { ".", "?.lua" }, { "share/lua/onemsg/resty/onemsg", "%s/share/lua/onemsg/resty/onemsg/?.lua" },
}

describe("the position of a mistake", function()
  local dir

  setup(function() dir = server.directory() end)
  teardown(function() os.execute("rm -rf " .. quote(dir)) end)

  local function write(name, text)
    local file = assert(io.open(dir .. "/" .. name, "w"))
    file:write(text)
    file:close()
  end

  --- What a script prints, with the library at a place.
  local function run(place, script)
    local at = quote(dir .. "/" .. place[1])
    assert(os.execute(("mkdir -p %s && cp -r lua/. %s"):format(at, at)))
    local folder = place[1] == "." and "" or place[1] .. "/"
    write(folder .. "app.lua", script) -- beside the library's folders, where files of its user may be
    local pipe = io.popen(("cd %s && LUA_PATH=%s %s %sapp.lua 2>&1"):format(quote(dir),
      quote(place[2]:format(dir) .. ";;"), command.INTERPRETER, folder))
    local text = pipe:read "*a"
    pipe:close()
    return text, folder .. "app.lua"
  end

  for number, place in ipairs(PLACES) do
    it("is the caller's with the library in " .. place[1], function()
      local script = { 'local onemsg, sql = require "onemsg", require "onemsg.sql"',
        'local channel = onemsg.new { token = "a.b.c", channel = "1", base_url = "http://127.0.0.1:9" }',
        'local function try(f) print(select(2, pcall(f)) or "raised nothing") end' }
      local before = #script
      for _, call in ipairs(CALLS) do script[#script + 1] = ("try(function() %s end)"):format(call) end
      local text, name = run(place, table.concat(script, "\n"))
      local n = 0
      for line in text:gmatch "[^\n]+" do
        n = n + 1
        assert.equal(("%s:%d: "):format(name, before + n), line:match "^[^:]*:%d+: ", line)
      end
      assert.equal(#CALLS, n, text)
    end)

    it("is in nothing that is stored with the library in " .. place[1], function()
      local rules = { 'defaults { phone = "{phone}", name = "a", action = "b", next_step = "c" }' }
      for n, fields in ipairs(STORED) do
        rules[#rules + 1] = ('confirm "r%d" { on = "e%d", %s }'):format(n, n, fields)
      end
      write("rules.lua", table.concat(rules, "\n"))
      local text = run(place, ([[
        local onemsg, workflow = require "onemsg", require "onemsg.workflow"
        local flow = assert(workflow.open { rules = %q, store = %q,
          channel = onemsg.new { token = "a.b.c", channel = "1", base_url = "http://127.0.0.1:9",
            template = "t", namespace = "n", language = "en" } })
        for n = 1, %d do
          print(flow:submit { id = "i" .. n, type = "e" .. n, phone = "+12020721300" }.state)
          print(flow:show("i" .. n).reason)
        end]]):format(dir .. "/rules.lua", ("sqlite:%s/%d.db"):format(dir, number), #STORED))
      local n = 0
      for state, reason in text:gmatch "([^\n]+)\n([^\n]+)\n" do
        n = n + 1
        assert.equal("skipped", state, text)
        assert.matches("^invalid: %a[%w%[%]]* ", reason)
        assert.is_nil(reason:find ":%d+: ", reason)
      end
      assert.equal(#STORED, n, text)
    end)
  end
end)
