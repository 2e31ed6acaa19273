-- The command takes the settings of its machine from a file, unless the environment says otherwise: a secret that others
-- could read or change is not used, and half of one system is never mixed with half of another.
local commands = require "support.command"
local settings = require "onemsg.cli.settings"

describe("a file of settings", function()
  it("is read as systemd reads it", function()
    local cases = {
      { "ONE_MSG_A=1\n# no\n; no\n\n  ONE_MSG_B = 2", wrong = "line 5 is not NAME=value" },
      { "ONE_MSG_A=1\r\nONE_MSG_B=a b=c\r\n", { "ONE_MSG_A", "1" }, { "ONE_MSG_B", "a b=c" } },
      { "ONE_MSG_A='x y'\nONE_MSG_B=\"#z\"", { "ONE_MSG_A", "x y" }, { "ONE_MSG_B", "#z" } },
      { "PATH=/evil\nLD_PRELOAD=x\nTZ=UTC", { "TZ", "UTC" } },
      { "ONE_MSG_A='x", wrong = "line 1: the quote of ONE_MSG_A does not end" },
      { "ONE_MSG_A=a\0b", wrong = "line 1: ONE_MSG_A holds a zero byte" },
      { "secret-without-name", wrong = "line 1 is not NAME=value" },
      { "" },
    }
    for _, case in ipairs(cases) do
      local list, wrong = settings.parse(case[1])
      assert.equal(case.wrong, wrong)
      if list then
        table.remove(case, 1)
        assert.same(case, list)
      end
    end
  end)

  describe("for the command", function()
    local command, path
    setup(function() command = commands.new() end)
    teardown(function() command:remove() end)
    before_each(function()
      path = command:write("env", "ONE_MSG_TOKEN=of-the-file\nONE_MSG_STORE=sqlite:" .. command.dir .. "/file.db\n"
        .. "ONE_MSG_BASE_URL=http://127.0.0.1:1\n")
      assert(os.execute("chmod 640 '" .. path .. "'"))
    end)

    local function stats(env, mode)
      if mode then assert(os.execute("chmod " .. mode .. " '" .. path .. "'")) end
      env.ONE_MSG_ENV_FILE = path
      return command:run("stats", { env = env })
    end

    it("is used where the environment says nothing", function()
      local result = stats {}
      assert.equal(5, result.code)
      assert.truthy(result.err:find("there is no store at " .. command.dir .. "/file.db", 1, true), result.err)
    end)

    it("gives way to the environment", function()
      local result = stats { ONE_MSG_STORE = "sqlite:/nowhere/mine.db" }
      assert.truthy(result.err:find("there is no store at /nowhere/mine.db", 1, true), result.err)
      result = command:run("doctor", { env = { ONE_MSG_ENV_FILE = path, ONE_MSG_STORE = "sqlite:/nowhere/mine.db" } })
      assert.is_nil((result.out .. result.err):find("token is missing", 1, true))
    end)

    it("is left out whole by a shell that names a channel of its own", function()
      for _, name in ipairs { "ONE_MSG_TOKEN", "ONE_MSG_TOKEN_FILE", "ONE_MSG_INSTANCE_ID", "ONE_MSG_BASE_URL",
                             "ONE_MSG_CHANNELS" } do
        local result = stats { [name] = "mine" }
        assert.equal(5, result.code)
        assert.truthy(result.err:find("store is missing", 1, true), name .. ": " .. result.err)
      end
    end)

    it("is refused when others can read or change it, and nothing of it is told", function()
      for mode, fine in pairs { ["600"] = true, ["640"] = true, ["400"] = true,
                                ["644"] = false, ["660"] = false, ["602"] = false } do
        local result = stats({}, mode)
        assert.equal(5, result.code)
        assert.equal(not fine, result.err:find("others can read or change it; chmod 640", 1, true) ~= nil, mode .. result.err)
        assert.is_nil((result.out .. result.err):find("of-the-file", 1, true))
      end
      for _, arguments in ipairs { "help", "--version", "fake table" } do
        assert.equal(0, command:run(arguments, { env = { ONE_MSG_ENV_FILE = path } }).code, arguments)
      end
    end)

    it("is a regular file", function()
      for _, other in ipairs { command.dir, "/dev/null" } do
        local result = command:run("stats", { env = { ONE_MSG_ENV_FILE = other } })
        assert.truthy(result.err:find("it is no regular file", 1, true), result.err)
      end
      assert.truthy(command:run("stats", { env = { ONE_MSG_ENV_FILE = command.dir .. "/none" } }).err:find "store is missing")
    end)
  end)
end)
