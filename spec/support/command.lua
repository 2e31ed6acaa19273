--- The command `onemsg` as a process of its own, on the Lua that runs the spec.
local cjson = require "cjson"
local server = require "support.server"

local M = {}

M.INTERPRETER = rawget(_G, "jit") and "luajit" or "lua5.4"

local Command = {}
Command.__index = Command

local function quote(text) return "'" .. tostring(text):gsub("'", "'\\''") .. "'" end
M.quote = quote

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

--- A directory for the command's files, and its environment.
-- @tparam table env
function M.new(env)
  local self = setmetatable({ dir = server.directory(), env = {} }, Command)
  for name, value in pairs(env or {}) do self.env[name] = value end
  self:write("onemsg", ("#!/usr/bin/env %s\nos.exit(require('onemsg.cli').main(arg), true)\n"):format(M.INTERPRETER))
  assert(os.execute("chmod +x " .. quote(self.dir .. "/onemsg")))
  return self
end

function Command:write(name, text)
  local path = self.dir .. "/" .. name
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

--- The shell line's beginning: our onemsg first in PATH, the environment set, nothing of the spec's own.
function Command:prelude(env)
  local line = { "unset $(env | sed -n 's/^\\(ONE_MSG_[A-Z_]*\\)=.*/\\1/p'); export ONE_MSG_ENV_FILE=;" } -- not this machine's
  for _, list in ipairs { self.env, env or {} } do
    for name, value in pairs(list) do line[#line + 1] = ("export %s=%s;"):format(name, quote(value)) end
  end
  return table.concat(line, " ") .. " PATH=" .. quote(self.dir) .. ":$PATH;"
end

--- Runs a shell line.
-- @tparam string line
-- @tparam ?table options stdin = text, env = { … }
-- @treturn table code, out, err; json = what the lines of out say, or nil
function Command:shell(line, options)
  options = options or {}
  local input = options.stdin and quote(self:write("stdin", options.stdin)) or "/dev/null"
  local ok, _, code = os.execute(("{ %s %s\n} <%s >%s/out 2>%s/err"):format(self:prelude(options.env), line, input,
    quote(self.dir), quote(self.dir)))
  local result = { code = type(ok) == "number" and ok / 256 or code, out = read(self.dir .. "/out"),
                   err = read(self.dir .. "/err") }
  if result.out:find "^{" then
    result.json = {}
    for text in result.out:gmatch "[^\n]+" do result.json[#result.json + 1] = cjson.decode(text) end
  end
  return result
end

--- Runs onemsg with arguments as a shell writes them.
function Command:run(arguments, options) return self:shell("onemsg " .. arguments, options) end

--- Starts onemsg and goes on.
-- @tparam string arguments
-- @tparam ?table options stdin = path, env
-- @treturn table pid; ended() → exit code, or nil while it runs; out(), err() → what it wrote so far
function Command:start(arguments, options)
  options = options or {}
  self.started = (self.started or 0) + 1
  local base = ("%s/%d"):format(self.dir, self.started)
  for _, name in ipairs { ".out", ".err", ".pid" } do io.open(base .. name, "w"):close() end
  local shell = ("{ %s onemsg %s <%s >%s.out 2>%s.err & echo $! >%s.pid; wait $!; echo $? >%s.code; } >/dev/null 2>&1 &")
    :format(self:prelude(options.env), arguments, options.stdin or "/dev/null", base, base, base, base)
  os.execute(shell)
  local started = {}
  server.eventually(function() started.pid = tonumber(read(base .. ".pid")) return started.pid end)
  function started.out() return read(base .. ".out") end
  function started.err() return read(base .. ".err") end
  function started.ended()
    local file = io.open(base .. ".code")
    local code = file and file:read "*n"
    if file then file:close() end
    return code
  end
  return started
end

function Command:remove() os.execute("rm -rf " .. quote(self.dir)) end

return M
