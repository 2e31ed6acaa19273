--- onemsg.cli.settings: the settings that a machine keeps in /etc/onemsg/env (or the file that ONE_MSG_ENV_FILE names), for
-- the command; a service gets them from systemd, which reads the same file.
--
-- NAME=value, a line each; # and ; begin comments; a value may stand in quotes. What the environment has wins. A shell that
-- names a channel of its own (a stand-in, another token) takes nothing from the file: half of one system's settings and
-- half of another's would send the messages of one store over the channel of another.
local utf8 = require "onemsg.base.utf8"

local M = {}

M.PATH = "/etc/onemsg/env"

-- Whoever sets one of these means another system than the file's.
local CHANNEL = { "ONE_MSG_TOKEN", "ONE_MSG_TOKEN_FILE", "ONE_MSG_INSTANCE_ID", "ONE_MSG_BASE_URL", "ONE_MSG_CHANNELS" }

-- Besides ONE_MSG_…: what libcurl and the clock read. Nothing else: PATH or LD_PRELOAD are not a settings file's to say.
local OTHERS = { CURL_CA_BUNDLE = true, SSL_CERT_FILE = true, http_proxy = true, https_proxy = true, no_proxy = true,
                 HTTPS_PROXY = true, NO_PROXY = true, ALL_PROXY = true, TZ = true }

--- The settings of a text. Pure.
-- @tparam string text
-- @treturn ?table list of { name, value }
-- @treturn string with nil: what is wrong, with its line; never the value, which may be a secret
function M.parse(text)
  local list, n = {}, 0
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    n = n + 1
    line = utf8.trim((line:gsub("\r$", "")))
    if line ~= "" and not line:find "^[#;]" then
      local name, value = line:match "^([%a_][%w_]*)=(.*)$"
      if not name then return nil, ("line %d is not NAME=value"):format(n) end
      local quote, inside = value:match "^([\"'])(.*)%1$"
      if not quote and value:find "^[\"']" then return nil, ("line %d: the quote of %s does not end"):format(n, name) end
      if (inside or value):find "%z" then return nil, ("line %d: %s holds a zero byte"):format(n, name) end
      if name:find "^ONE_MSG_" or OTHERS[name] then list[#list + 1] = { name, inside or value } end
    end
  end
  return list
end

local function own_channel()
  for _, name in ipairs(CHANNEL) do
    if os.getenv(name) then return name end
  end
end

--- Sets what the file says and the environment does not.
-- @treturn ?boolean true
-- @treturn string what stood against it: with nil an error ("config: …"); with true nil, or why the file was left out
function M.read()
  local path = os.getenv "ONE_MSG_ENV_FILE" or M.PATH
  local own = own_channel()
  if path == "" or own then return true end
  require "onemsg"
  local core = require "onemsg.core"
  local text, why = core.settings_file(path)
  if why == "missing" then return true end
  if why == "denied" then return true, ("%s is not for you to read; its group may, or use sudo"):format(path) end
  local list
  if text then list, why = M.parse(text) end
  if not list then return nil, ("config: %s is not used: %s"):format(path, why) end
  for _, setting in ipairs(list) do core.setenv(setting[1], setting[2]) end
  return true
end

return M
