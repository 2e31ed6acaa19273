--- onemsg in nginx: every public function in every phase. What a phase cannot do is refused, and nothing leaves.
require "onemsg"
local core = require "onemsg.core"
local files = require "support.files"
local nginx = require "support.nginx"
local server_files = require "onemsg.fake.server"
local support = require "support.server"

--- Phases, and whether what waits may wait (W), only begin (B), or nothing leaves at all (-).
local PHASES = {
  { "init", "-" }, { "init_worker", "B" }, { "ssl_client_hello", "B" }, { "ssl_cert", "B" },
  { "ssl_session_store", "B" }, { "ssl_session_fetch", "B" }, { "server_rewrite", "W" }, { "set", "B" },
  { "rewrite", "W" }, { "access", "W" }, { "precontent", "W" }, { "content", "W" }, { "balancer", "B" }, { "header_filter", "B" },
  { "body_filter", "B" }, { "log", "B" }, { "timer", "W" }, { "exit_worker", "-" },
}

local ANYWHERE = { "new", "check", "stats", "dispatch" }
local BEGIN = { "async", "db:async", "db:async_read" }
local WAIT = { "sleep", "unit", "read" }
for _, name in ipairs(core.operations) do WAIT[#WAIT + 1] = name end
for name in pairs(core.several) do WAIT[#WAIT + 1] = name end

local function probe(phase)
  return ('require("support.phase_probe").run("%s", T)'):format(phase)
end

describe("nginx: every function in every phase", function()
  local fake, server, results, runs

  setup(function()
    fake = support.fake {}
    local numbers = {}
    for i, phase in ipairs(PHASES) do numbers[i] = ("%s = %d"):format(phase[1], i + 10) end
    server = nginx.start {
      fake = fake,
      -- precontent_by_lua is of a newer lua module than some have: a location's access phase goes by its name
      before = [[
        package.path = '$root/spec/?.lua;' .. package.path
        local get_phase = ngx.get_phase
        function ngx.get_phase()
          local phase = get_phase()
          return phase == "access" and ngx.var.uri == "/precontent" and "precontent" or phase
        end
      ]],
      init = [[
        channel_for = channel
        T = { channel = channel, onemsg = onemsg, text = text, options = OPTIONS, file = "$dir/results",
              db = assert(require("onemsg.sql").open "sqlite:$dir/store.db"),
              number = { ]] .. table.concat(numbers, ", ") .. [[ } }
        ]] .. probe "init",
      http = [[
        init_worker_by_lua_block { ]] .. probe "init_worker" .. [[ }
        exit_worker_by_lua_block { ]] .. probe "exit_worker" .. [[ }
        ssl_session_store_by_lua_block { ]] .. probe "ssl_session_store" .. [[ }
        ssl_session_fetch_by_lua_block { ]] .. probe "ssl_session_fetch" .. [[ }
        ssl_session_tickets off;
        ssl_protocols TLSv1.2;
        ssl_certificate $dir/server.pem;
        ssl_certificate_key $dir/server.key;
        upstream behind {
          server 127.0.0.1:1;
          balancer_by_lua_block {
            ]] .. probe "balancer" .. [[
            assert(require("ngx.balancer").set_current_peer("127.0.0.1", $port))
          }
        }
        server {
          listen unix:$dir/tls.sock ssl;
          ssl_client_hello_by_lua_block { ]] .. probe "ssl_client_hello" .. [[ }
          ssl_certificate_by_lua_block { ]] .. probe "ssl_cert" .. [[ }
          location / { return 200 "tls\n"; }
        }
        server {
          listen unix:$dir/early.sock;
          server_rewrite_by_lua_block { ]] .. probe "server_rewrite" .. [[ }
          location / { return 200 "early\n"; }
        }
      ]],
      prepare = function(dir) assert(server_files.certificates(dir)) end,
      locations = [[
        location = /phases {
          set_by_lua_block $nothing { ]] .. probe "set" .. [[ return "" }
          rewrite_by_lua_block { ]] .. probe "rewrite" .. [[ }
          access_by_lua_block { ]] .. probe "access" .. [[ }
          content_by_lua_block {
            ]] .. probe "content" .. [[
            ngx.say "content"
          }
          header_filter_by_lua_block { ]] .. probe "header_filter" .. [[ }
          body_filter_by_lua_block { if not ngx.arg[2] then ]] .. probe "body_filter" .. [[ end }
          log_by_lua_block { ]] .. probe "log" .. [[ }
        }
        location = /timer {
          content_by_lua_block { ngx.timer.at(0, function() ]] .. probe "timer" .. [[ end) ngx.say "timer" }
        }
        location = /precontent {
          access_by_lua_block { ]] .. probe "precontent" .. [[ }
          content_by_lua_block { ngx.say "precontent" }
        }
        location = /balanced { proxy_pass http://behind/ping; }
        location = /tls { proxy_pass https://unix:$dir/tls.sock:/; proxy_ssl_protocols TLSv1.2; }
        location = /early { proxy_pass http://unix:$dir/early.sock:/; }
      ]],
    }
    assert.equal("content\n", (server:get "/phases"))
    assert.equal("precontent\n", (server:get "/precontent"))
    assert.equal("timer\n", (server:get "/timer"))
    assert.equal("pong\n", (server:get "/balanced"))
    assert.equal("tls\n", (server:get "/tls"))
    assert.equal("tls\n", (server:get "/tls")) -- asks for the session of the first
    assert.equal("early\n", (server:get "/early"))
    assert(support.eventually(function()
      return files.content(server.dir .. "/results"):find("timer db:async_read", 1, true)
    end))
    assert.is_truthy(server:quit())
    results, runs = {}, {}
    for phase, name, result in files.content(server.dir .. "/results"):gmatch "(%S+) (%S+) ([^\n]*)\n" do
      results[phase] = results[phase] or {}
      if name == "new" then runs[phase] = (runs[phase] or 0) + 1 end
      results[phase][name] = results[phase][name] or result
    end
  end)
  teardown(function()
    local complaints = server:complaints()
    server:stop()
    fake:stop()
    assert.equal("", complaints)
  end)

  for _, entry in ipairs(PHASES) do
    local phase, may = entry[1], entry[2]
    it(phase, function()
      local got = assert(results[phase], "the phase never ran")
      for _, name in ipairs(ANYWHERE) do assert.equal("yes", got[name], name) end
      assert.equal("config", got.fd)
      for _, name in ipairs(BEGIN) do assert.equal(may == "-" and "invalid" or "yes", got[name], name) end
      for _, name in ipairs(WAIT) do assert.equal(may == "W" and "yes" or "invalid", got[name], name) end
      local pending = { ready = got.ready, wait = got.wait, ["wait(0)"] = got["wait(0)"], cancel = got.cancel }
      assert.same(may == "-" and {} or { ready = "yes", wait = may == "W" and "timeout" or "invalid",
                                         ["wait(0)"] = "timeout", cancel = "yes" }, pending)
    end)
  end

  it("lets nothing leave that it refused", function()
    local sent = {}
    for phone, count in pairs(fake:counts()) do
      assert.equal(1, count)
      local number = tonumber(phone:match "^1203(%d%d)") - 10
      sent[number] = (sent[number] or 0) + 1
    end
    for i, entry in ipairs(PHASES) do
      -- async, send, and two of send_each; what async began is cancelled, and may or may not have left
      local most = ({ W = 4, B = 1, ["-"] = 0 })[entry[2]] * runs[entry[1]]
      assert.is_true((sent[i] or 0) <= most, entry[1] .. " sent " .. (sent[i] or 0))
    end
  end)
end)
