--- examples/openresty/service.conf, as a user starts it, and what init refuses.
local http = require "socket.http"
local nginx = require "support.nginx"
local service = require "support.service"
local support = require "support.server"

local function output(command)
  local pipe = assert(io.popen(command .. " 2>&1"))
  local said = pipe:read "*a"
  return said, pipe:close()
end

describe("examples/openresty/run service", function()
  it("takes an event, sends it, hears that it was read, and shows it; what it says to try works", function()
    local dir = support.directory()
    local port, run, said, ok
    repeat
      port = nginx.free_port()
      run = ("cd %s && PORT=%d DIR=%s ONE_MSG_TOKEN= ONE_MSG_STORE= ONE_MSG_RULES= %s/examples/openresty/run ")
        :format(dir, port, dir, (output "pwd"):match "[^\n]+")
      said, ok = output(run .. "service")
    until ok or not said:find "Address already in use"
    assert(ok, said)
    local secrets, event, page = said:match "(%. %S+)\n%s*(curl [^\n]*/events)\n%s*(curl [^\n]*format=json')"
    assert.is_string(page, said)
    assert.matches('"state":"queued"', (output(secrets .. "; " .. event)))
    assert(support.eventually(function() return (output(secrets .. "; " .. page)):find('"state":"read"', 1, true) end),
      output(secrets .. "; " .. page))
    assert.matches("onemsg_confirmations{state=\"read\"} 1", (http.request(("http://127.0.0.1:%d/metrics"):format(port))))
    local log = io.open(dir .. "/error.log"):read "*a"
    assert.matches('"id":"order%-7".-"state":"accepted"', log)
    for line in io.lines(dir .. "/secrets") do
      assert.is_nil(log:find(line:match "=(.*)", 1, true), "a secret stands in the error log")
    end
    assert.is_nil(log:match "[^\n]*%[error%][^\n]*")
    said, ok = output(run .. "stop")
    os.execute("rm -rf " .. dir)
    assert(ok, said)
  end)
end)

describe("nginx: init", function()
  local dir

  setup(function()
    dir = support.directory()
    local rules = assert(io.open(dir .. "/rules.lua", "w"))
    rules:write(service.RULES)
    rules:close()
  end)
  teardown(function() os.execute("rm -rf " .. dir) end)

  --- What nginx says when it is to start with these options.
  local function try(options, environment)
    local modules = assert(require "onemsg.base.nginx".modules())
    local file = assert(io.open(dir .. "/nginx.conf", "w"))
    local root = (output "pwd"):match "[^\n]+"
    file:write(([[
      load_module %s/ndk_http_module.so; load_module %s/ngx_http_lua_module.so;
      pid %s/nginx.pid; error_log %s/error.log warn; events {} http { access_log off;
        client_body_temp_path %s/t; proxy_temp_path %s/t; fastcgi_temp_path %s/t; uwsgi_temp_path %s/t; scgi_temp_path %s/t;
        lua_package_path "%s/lua/?.lua;;"; lua_package_cpath "%s/%s/luajit/?.so;;";
        init_by_lua_block { require("resty.onemsg").init { %s } }
      }]]):format(modules, modules, dir, dir, dir, dir, dir, dir, dir, root, root, os.getenv "B" or "build", options))
    file:close()
    local said, ok = output(("env -i %s PATH=$PATH:/usr/sbin nginx -c %s/nginx.conf -e stderr"):format(
      environment or "", dir))
    if ok then
      assert(support.eventually(function() return (output("cat " .. dir .. "/nginx.pid")):match "^%d+" end))
      assert(support.eventually(function() -- again: a master that only just began to wait may have missed the first
        output("kill -TERM $(cat " .. dir .. "/nginx.pid) 2>/dev/null")
        return not io.open(dir .. "/nginx.pid")
      end))
    end
    return said, ok
  end

  local function good(more)
    return ([[rules = "%s/rules.lua", store = "sqlite:%s/store.db", token = "x", channel = "ABC123", template = "action_success",
      namespace = "n", language = "en", %s]]):format(dir, dir, more or "")
  end

  it("opens no store and takes everything from the environment", function()
    local said, ok = try("", ("ONE_MSG_RULES=%s/rules.lua ONE_MSG_STORE=sqlite:%s/store.db ONE_MSG_TOKEN=x "
      .. "ONE_MSG_INSTANCE_ID=ABC123 ONE_MSG_EVENT_SECRET='%s %s' ONE_MSG_HOOK_SECRET=%s,%s ONE_MSG_OPERATOR_TOKEN=%s")
      :format(dir, dir, service.SECRET, service.OLD_SECRET, service.HOOK, service.OLD_HOOK, service.OPERATOR))
    assert(ok, said)
    said, ok = try(good())
    assert(ok, said)
    for _, words in ipairs { "off, and in brackets what switches it on: events by HTTP (ONE_MSG_EVENT_SECRET",
                             "hooks (ONE_MSG_HOOK_SECRET)", "the operator's page (ONE_MSG_OPERATOR_TOKEN)",
                             "the delivery log" } do
      assert.is_truthy(said:find(words, 1, true), said)
    end
    assert.is_nil(io.open(dir .. "/store.db"))
  end)

  local refused = {
    { "rulez = 1", "has no option 'rulez', did you mean 'rules'" },
    { "hook_secret = 'x'", "has no option 'hook_secret', did you mean 'hook_secrets'" },
    { "rat = 5", "has no option 'rat', did you mean 'rate'" },
    { "rate = 'fast'", "rate must be a number" },
    { "event_secrets = 'whsec_???'", "event_secrets: number 1 is no signing secret" },
    { "event_secrets = { 'whsec_AAAA' }", "event_secrets: number 1 has 3 bytes, and at least 16 are needed" },
    { "event_secrets = {}, hook_secrets = { a = 1 }", "hook_secrets must be a text or a list of texts" },
    { "hook_secrets = 'short'", "hook_secrets: number 1 is shorter than 16" },
    { "hook_secrets = { 'good-and-long-enough-1', 'with/slash-and-long' }", "hook_secrets: number 2 may hold letters" },
    { "operator_token = 'with blank and long'", "operator_token: number 1 has blanks" },
    { "event_tokens = 5", "event_tokens must be a string or a table, not a number" },
    { "event_tokens = { 5 }", "event_tokens: number 1 is a number, not a text" },
    { "open = 'yes'", "open must be a boolean" },
    { "event_items = 0", "event_items must be a whole number from 1 to 2147483648" },
    { "timeout = 'soon'", "timeout" },
    { "template = 5", "template" },
    { "channels = { main = { token = 'x', channel = 'A1' } }", "channels = { … } and .- together" },
  }
  for _, case in ipairs(refused) do
    it("refuses " .. case[1] .. " in one sentence", function()
      local said, ok = try(good(case[1]))
      assert.is_falsy(ok)
      assert.matches("resty%.onemsg%.init:? [^\n]*" .. case[2], said)
      assert.is_nil(said:find("good-and-long-enough", 1, true), "a secret is in the message")
    end)
  end

  it("refuses bad rules, stores, channels and tokens in one sentence", function()
    local bad = assert(io.open(dir .. "/bad.lua", "w"))
    bad:write 'confirm "x" {\n  on = "paid"\n  action = "x" }\n'
    bad:close()
    for options, sentence in pairs {
      ["rules = '" .. dir .. "/bad.lua', store = 'sqlite:x.db'"] = "bad.lua:3: .*is a comma missing at the end of the line above",
      ["rules = '/nowhere/rules.lua', store = 'sqlite:x.db'"] = "rules.lua: it cannot be opened",
      ["store = 'sqlite:x.db'"] = "rules %(ONE_MSG_RULES%) is missing",
      ["rules = '" .. dir .. "/rules.lua'"] = "store %(ONE_MSG_STORE%) is missing",
      ["rules = '" .. dir .. "/rules.lua', store = 'mysql://x'"] = "store: the store must be given as",
      ["rules = '" .. dir .. "/rules.lua', store = 'sqlite:x.db'"] = "token",
      ["rules = '" .. dir .. "/rules.lua', store = 'sqlite:x.db', channels = { ['a b'] = { token = 'x' } }"] = "names of letters",
      ["rules = '" .. dir .. "/rules.lua', store = 'sqlite:x.db', channels = { main = {} }"] = "channel main: .*token",
    } do
      local said, ok = try(options)
      assert.is_falsy(ok)
      assert.matches("resty%.onemsg%.init: [^\n]*" .. sentence, said)
    end
  end)
end)

describe("nginx: settings of the environment", function()
  it("are there with lua_code_cache off, where workers read them, who have none", function()
    local server = require "support.server"
    local fake = server.fake { set = { pace_ms = 0 } }
    local here = nginx.start { fake = fake, cache = "off", environment = "ONE_MSG_TOKEN=" .. fake.env.ONE_MSG_TOKEN,
      before = "OPTIONS.token = nil", locations = [[
        location = /send { content_by_lua_block { ngx.say(os.getenv "ONE_MSG_TOKEN" or "none")
          local receipt, err = channel:send(text(ngx.var.arg_phone)) ngx.print(receipt and receipt.outcome or err) } }
      ]] }
    local body = http.request(("http://127.0.0.1:%d/send?phone=12020721300"):format(here.port))
    here:stop()
    fake:stop()
    assert.equal("none\naccepted", body)
  end)
end)
