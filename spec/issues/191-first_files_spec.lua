-- What `onemsg init` writes works as it is, and it writes over nothing.
local commands = require "support.command"
local server = require "support.server"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

local function mode(path)
  local pipe = assert(io.popen("stat -c %a '" .. path .. "'"))
  local text = pipe:read "*l"
  pipe:close()
  return text
end

describe("onemsg init", function()
  local command, fake
  setup(function()
    fake = server.fake { set = { pace_ms = 0 } }
    command = commands.new()
  end)
  teardown(function()
    fake:stop()
    command:remove()
  end)

  it("writes rules, settings and a piece of nginx that hold; a second time nothing", function()
    local dir = command.dir .. "/site"
    assert(os.execute("mkdir '" .. dir .. "'"))
    local result = command:run("init --json " .. dir)
    assert.equal(0, result.code)
    for n, name in ipairs { "rules.lua", "env", "onemsg.conf" } do
      assert.same({ file = dir .. "/" .. name, result = "written" }, result.json[n])
    end
    assert.equal("600", mode(dir .. "/env"))
    assert.equal(0, command:run("rules check --strict " .. dir .. "/rules.lua").code)

    local env = read(dir .. "/env")
    local event, hook = env:match "ONE_MSG_EVENT_SECRET=whsec_(%S+)", env:match "ONE_MSG_HOOK_SECRET=(%x+)"
    assert.equal(44, #event)
    assert.equal(48, #hook)
    command:write("site/env", env .. "\nONE_MSG_RULES=mine\n")
    result = command:run("init --json " .. dir)
    for n = 1, 3 do assert.equal("kept", result.json[n].result) end
    assert.truthy(read(dir .. "/env"):find("ONE_MSG_RULES=mine", 1, true))

    local other = command.dir .. "/other"
    assert(os.execute("mkdir '" .. other .. "'"))
    command:run("init " .. other)
    assert.not_equal(hook, read(other .. "/env"):match "ONE_MSG_HOOK_SECRET=(%x+)")

    -- And with a token it confirms.
    local settings = { ONE_MSG_ENV_FILE = other .. "/env" }
    local token = "\n"
    for _, name in ipairs { "ONE_MSG_TOKEN", "ONE_MSG_BASE_URL", "ONE_MSG_CA_FILE", "ONE_MSG_TEMPLATE_NAMESPACE" } do
      token = token .. name .. "='" .. fake.env[name] .. "'\n"
    end
    local file = assert(io.open(other .. "/env", "a"))
    file:write(token)
    file:close()
    local event_text = '{"id":"p-1","type":"payment.succeeded","amount":9,'
      .. '"customer":{"first_name":"Ana","phone":"+12020721300"}}'
    assert.equal(0, command:run("submit", { stdin = event_text, env = settings }).code)
    assert.equal(0, command:run("work --drain 0", { env = settings }).code)
    assert.equal(1, fake:count "12020721300")

    -- nginx takes the piece, with the settings that stand beside it.
    command:write("other/nginx.conf", require "support.nginx".load_modules()
      .. "pid nginx.pid;\nerror_log error.log;\nevents {}\nhttp {\n  client_body_temp_path t1; proxy_temp_path t2;\n"
      .. "  fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;\n  include onemsg.conf;\n}\n")
    local tried = command:shell(("set -a; . %s/env; set +a; nginx -t -q -e %s/start.log -p %s/ -c nginx.conf")
      :format(other, other, other))
    assert.equal(0, tried.code, tried.err)
  end)

  it("says which folders it can't take", function()
    for folder, words in pairs { ["/nowhere/at/all"] = "there is no folder",
                                 ["'" .. command.dir .. "/a b'"] = "without blanks" } do
      os.execute("mkdir -p '" .. command.dir .. "/a b'")
      local result = command:run("init " .. folder)
      assert.equal(5, result.code)
      assert.truthy(result.err:find(words, 1, true), result.err)
    end
  end)
end)
