--- onemsg init: a first rules.lua, env and onemsg.conf for nginx; what is there stays as it is.
local calls = require "onemsg.cli.call"
local first = require "onemsg.cli.first"

local M = {
  summary = "Write a first rules.lua, env (with new secrets) and onemsg.conf for nginx; what is there stays as it is",
  arguments = { { "DIR", "where to; else this folder", optional = true } },
  options = { { "data", "DIR", "where the store is to lie; else the same folder" } },
  examples = { "onemsg init", "onemsg init /etc/onemsg --data /var/lib/onemsg" }, alone = true,
}

--- The folder as an absolute path; nil and why not.
local function absolute(folder)
  local pipe = assert(io.popen(("cd -- '%s' 2>/dev/null && pwd -P"):format((folder:gsub("'", "'\\''")))))
  local path = pipe:read "*l"
  pipe:close()
  if not path then return nil, ("config: there is no folder %s"):format(folder) end
  if path:find '[%c"\'\\$%s;{}]' then
    return nil, ("config: %s would need quotes in env and nginx; take a folder without blanks and quotes"):format(path)
  end
  return path
end

local function random(bytes)
  local file = assert(io.open("/dev/urandom", "rb"))
  file:setvbuf "no"
  local text = file:read(bytes)
  file:close()
  return text
end

local function hex(text) return (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end

local function there(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

--- Where LuaJIT finds our Lua files and our module, as far as it does not look there by itself.
local function places()
  local own = debug.getinfo(1, "S").source:match "^@(.*)/onemsg/cmd/init%.lua$"
  local root = own and absolute(own)
  if not root or root:find "^/usr/share/" then return nil end
  local lua = root:gsub("(/share/lua)/[%d.]+$", "%1/5.1")
  local c = root:find "/share/lua/" and root:gsub("/share/lua/[%d.]+$", "/lib/lua/5.1") or root:gsub("/lua$", "/build/luajit")
  return there(lua .. "/onemsg/cli.lua") and lua or root, there(c .. "/onemsg.so") and c or nil
end

--- Writes one file, unless it is there.
-- @treturn ?string "written" or "kept"; nil and why not
local function write(core, path, text, shared)
  local done, why = core.private_file(path, text, shared)
  if done then return "written" end
  if why == "exists" then return "kept" end
  return nil, ("store: %s can't be written: %s"):format(path, why)
end

function M.run(call)
  local folder, err = absolute(call.options[1] or ".")
  if not folder then return call:fail(err) end
  local data
  data, err = absolute(call.options.data or folder)
  if not data then return call:fail(err) end
  require "onemsg"
  local core = require "onemsg.core"
  local secrets = { event = "whsec_" .. core.base64(random(32)), hook = hex(random(24)), operator = hex(random(24)) }
  local files = {
    { "rules.lua", first.RULES, "what is confirmed, to whom, in which words", true },
    { "env", first.env(folder, data, secrets), "settings: put ONE_MSG_TOKEN and the template there" },
    { "onemsg.conf", first.nginx(folder, places()), "for nginx, to be included in http { }", true },
  }
  for _, file in ipairs(files) do
    local path = folder .. "/" .. file[1]
    local what, why = write(core, path, file[2], file[4])
    if not what then return call:fail(why) end
    call.out:object { file = path, result = what }
    call.out:line("%-8s %s  (%s)", what, path, file[3])
  end
  call.out:line("then: set -a; . %s/env; set +a; onemsg doctor", folder)
  return true, nil, calls.OK
end

return M
