--- onemsg.channel.environment: the channels that the environment describes: one by ONE_MSG_TOKEN and its fellows, or those
-- that ONE_MSG_CHANNELS names, each by variables with its name in them: latam's token is ONE_MSG_LATAM_TOKEN. What a channel
-- lacks it takes from the variable for all, except its token and its id: those are nobody else's. For the command and nginx.
local suggest = require "onemsg.base.suggest"
local utf8 = require "onemsg.base.utf8"

local M = {}

-- The options of onemsg.new that a channel may have of its own.
local SHARED = { base_url = "BASE_URL", template = "TEMPLATE", namespace = "TEMPLATE_NAMESPACE", language = "TEMPLATE_LANGUAGE",
  text = "TEXT", country = "COUNTRY", ca_file = "CA_FILE", proxy = "PROXY" }
local OWN = { token = "TOKEN", token_file = "TOKEN_FILE", channel = "INSTANCE_ID" }
local FIRST = "main"

local function variable(name)
  local value = require "onemsg" and require "onemsg.core".getenv(name)
  value = value and utf8.unquoted(value)
  return value ~= "" and value or nil
end

local function prefix(name) return "ONE_MSG_" .. name:upper():gsub("[^%w]", "_") .. "_" end

--- The names in ONE_MSG_CHANNELS, in their order.
-- @treturn ?table nil: there is one channel, without such a list
-- @treturn ?string "config: …", with nil
function M.names()
  local text = variable "ONE_MSG_CHANNELS"
  if not text then return nil end
  local list, seen = {}, {}
  for name in text:gmatch "[^%s,]+" do
    if not name:find "^%a[%w_.-]*$" then
      return nil, ("config: ONE_MSG_CHANNELS has %s: names have letters, digits and _ . -, as in: main latam"):format(name)
    elseif seen[prefix(name)] then
      return nil, ("config: ONE_MSG_CHANNELS has %s and %s, whose variables would be the same"):format(seen[prefix(name)], name)
    end
    seen[prefix(name)] = name
    list[#list + 1] = name
  end
  if #list == 0 then return nil, "config: ONE_MSG_CHANNELS names no channel; write their names, as in: main latam" end
  return list
end

--- A setting of a channel: its own, or that of all.
-- @tparam ?string name nil: the only one
-- @tparam string suffix such as "TEMPLATE"
function M.value(name, suffix)
  local own = name and variable(prefix(name) .. suffix)
  return own or variable("ONE_MSG_" .. suffix)
end

--- Options of onemsg.new.
local function options(name)
  local made, own = {}, prefix(name)
  for option, suffix in pairs(SHARED) do made[option] = variable(own .. suffix) end
  for option, suffix in pairs(OWN) do made[option] = variable(own .. suffix) end
  if made.token or made.token_file then
    if not made.channel and variable "ONE_MSG_INSTANCE_ID" then
      return nil, ("config: channel %s has no id of its own: set %sINSTANCE_ID (ONE_MSG_INSTANCE_ID is another's)"):format(
        name, own)
    end
  elseif name ~= FIRST then
    return nil, ("config: channel %s has no token: set %sTOKEN or %sTOKEN_FILE, or take it out of ONE_MSG_CHANNELS"):format(
      name, own, own)
  end
  return made
end

--- Which channel is meant: the one asked for, else main, else the first; nil where there is but one, without a name.
-- @tparam ?string wanted
-- @treturn ?string
-- @treturn ?string "config: …", with nil
function M.choose(wanted)
  local names, err = M.names()
  if err then return nil, err end
  if not names then
    if wanted and wanted ~= FIRST then return nil, "config: there is one channel only: ONE_MSG_CHANNELS names no others" end
    return nil
  end
  local set = {}
  for _, name in ipairs(names) do set[name] = true end
  if not wanted then return set[FIRST] and FIRST or names[1] end
  if not set[wanted] then
    return nil, ("config: ONE_MSG_CHANNELS has no channel %s%s"):format(wanted, suggest.phrase(wanted, set))
  end
  return wanted
end

--- Makes one.
-- @tparam ?string name as choose gives it
-- @treturn ?userdata as onemsg.new
-- @treturn ?string "config: …"
function M.open(name)
  if not name then return require "onemsg".new {} end
  local given, err = options(name)
  if not given then return nil, err end
  local channel, why, info = require "onemsg".new(given)
  if not channel then return nil, (why:gsub("^config: ", ("config: channel %s: "):format(name))), info end
  return channel
end

--- Makes all, by name: { main = channel } where there is but one.
-- @treturn ?table
-- @treturn ?string "config: …"
function M.all()
  local names, err = M.names()
  if err then return nil, err end
  local channels = {}
  for _, name in ipairs(names or { FIRST }) do
    local channel, why, info = M.open(names and name)
    if not channel then return nil, why, info end
    channels[name] = channel
  end
  return channels
end

return M
