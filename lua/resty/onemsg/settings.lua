--- resty.onemsg.settings: what init takes, checked and filled in from the environment, before nginx forks.
-- Opens no connection and starts no thread. What is wrong becomes one sentence, raised by init.
local check = require "onemsg.base.check"
local onemsg = require "onemsg"
local core = require "onemsg.core"
local environment = require "onemsg.channel.environment"
local flow_options = require "onemsg.workflow.options"
local roles = require "onemsg.policy.roles"
local rules = require "onemsg.rules"
local rules_file = require "onemsg.rules.file"
local senders = require "onemsg.senders"
local signature = require "onemsg.signature"
local sql = require "onemsg.sql"
local utf8 = require "onemsg.base.utf8"

local M = {}

local SECRET_BYTES = 16    -- of a token or a path's secret: with random letters and digits, beyond guessing
local KEY_BYTES = 16       -- of a signing key; Standard Webhooks wants 24
local EVENT_BYTES = 1048576
local EVENT_ITEMS = 1000
local HOOK_BYTES = 3145728 -- what Meta itself may post (PLATFORM.md 3.3)

local MOST = 2 ^ 31

--- Our own: kinds of value, as onemsg.base.check reads them.
local OWN = {
  rules = "string table", store = "string", channels = "table", event_secrets = "string table",
  event_tokens = "string table",
  sender_secrets = "table", hook_secrets = "string table", operator_token = "string table", operators = "table string",
  open = "boolean",
  event_bytes = { 1, MOST }, event_items = { 1, MOST }, hook_bytes = { 1, MOST },
}
local OF_CHANNEL = "string number userdata" -- onemsg.new knows better

--- All that init takes: ours, and what onemsg.new and workflow.open take.
local function takes()
  local all, channel = {}, {}
  for name, kinds in pairs(flow_options.TAKES) do all[name] = kinds end
  for _, name in ipairs(core.options) do all[name], channel[name] = OF_CHANNEL, true end
  for name, kinds in pairs(OWN) do all[name] = kinds end
  return all, channel
end

local function refuse(sentence, ...)
  error("resty.onemsg.init: " .. sentence:format(...), 0)
end

--- A sentence without the place in our files at which it was raised; a place in the rules stays.
local function plain(err)
  return (tostring(err):gsub("^[^:\n]*%.lua:%d+: ", ""):gsub("^workflow%.open: ", ""):gsub("^config: ", ""))
end

--- A list of secrets: the option (a text or a list), else the environment (texts with blanks or commas between).
local function secrets(options, name, variable, fault_of)
  local given = options[name]
  if type(given) == "string" then given = { given } end
  local source = name
  if not given then
    given, source = {}, name .. " (" .. variable .. ")"
    local list = utf8.unquoted(core.getenv(variable) or ""):gsub("v1,%s*", "") -- of a signature, pasted with the secret
    for one in list:gmatch "[^%s,]+" do given[#given + 1] = utf8.unquoted(one) end
  end
  for i, one in ipairs(given) do
    if type(one) ~= "string" then refuse("%s: number %d is a %s, not a text", source, i, type(one)) end
    local wrong = fault_of(one)
    if wrong then refuse("%s: number %d %s", source, i, wrong) end
  end
  if next(given) ~= nil and #given == 0 then refuse("%s must be a text or a list of texts", name) end
  return given
end

local WEAK_BYTES = 16 -- a secret below is told of once: it is the sender's to choose

--- The keys of the senders that have a secret: from the options, else from ONE_MSG_<NAME>_SECRET, blanks between several.
local function sender_keys(given)
  local keys = {}
  for name in pairs(given) do
    local row, wrong = senders.get(name)
    if not row then refuse("sender_secrets: %s", plain(wrong):gsub("^invalid: ", "")) end
  end
  for _, name in ipairs(senders.names()) do
    local list = given[name] or senders.written(core.getenv(senders.variable(name)))
    if list then
      local made, wrong = senders.keys(name, list)
      if not made then refuse("sender_secrets: %s", plain(wrong)) end
      for _, one in ipairs(made) do
        if #one.text < WEAK_BYTES then
          ngx.log(ngx.WARN, ("onemsg: the secret of %s has %d bytes: choose one of %d or more there"):format(name,
            #one.text, WEAK_BYTES))
        end
      end
      keys[name] = made
    end
  end
  return keys
end

local function check_token(text)
  if text:find "[%c%s]" then return "has blanks or control characters" end
  if #text < SECRET_BYTES then
    return ("is shorter than %d characters; make one with: openssl rand -hex 24"):format(SECRET_BYTES)
  end
end

local function check_segment(text)
  if text:find "[^%w_~.-]" then return "may hold letters, digits and _ ~ . - only: it is a part of a URL" end
  return check_token(text)
end

local function check_key(text)
  local key, err = signature.key(text)
  if not key then return "is no signing secret: " .. err:gsub("^config: ", "") end
  if #key < KEY_BYTES then
    return ("has %d bytes, and at least %d are needed; make one with: openssl rand -base64 32"):format(#key, KEY_BYTES)
  end
end

--- What is compared instead of a secret, so that the time of a comparison tells nothing, not even a length.
local function digests(key, list)
  local out = {}
  for i, one in ipairs(list) do out[i] = onemsg.hmac(key, one) end
  return out
end

local function hex(text)
  return (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

--- Operators with names: the option, else the file ONE_MSG_OPERATORS.
-- @treturn table { { name, may, sha256 }, … }
local function operators(given)
  local list, path = {}, core.getenv "ONE_MSG_OPERATORS"
  if type(given) == "string" then given, path = nil, given end
  for name, one in pairs(given or {}) do
    if type(one) ~= "table" or type(one.token) ~= "string" then
      refuse("operators.%s is { token = …, may = … }", tostring(name))
    end
    local wrong = roles.fault(name, one.may)
    if wrong then refuse("operators: %s", wrong) end
    wrong = check_token(one.token)
    if wrong then refuse("operators.%s: its token %s", name, wrong) end
    list[#list + 1] = { name = name, may = one.may, sha256 = hex(onemsg.sha256(one.token)) }
  end
  if given or not path or path == "" then return list end
  local file, why = io.open(path, "rb")
  if not file then refuse("operators (ONE_MSG_OPERATORS): %s", why) end
  local text = file:read "*a"
  file:close()
  local read, wrong = roles.parse(text)
  if not read then refuse("operators (ONE_MSG_OPERATORS): %s: %s", path, wrong) end
  return read
end

--- All who may use the page: name (nil: whoever they say), may, and what a token is compared by.
local function all_operators(settings, options)
  local all = operators(options.operators)
  for _, token in ipairs(secrets(options, "operator_token", "ONE_MSG_OPERATOR_TOKEN", check_token)) do
    all[#all + 1] = { may = "operate", sha256 = hex(onemsg.sha256(token)) }
  end
  for _, one in ipairs(all) do one.digest = onemsg.hmac(settings.key, one.sha256) end
  return all
end

local function random(count)
  local file = assert(io.open("/dev/urandom", "rb"))
  local bytes = file:read(count)
  file:close()
  return bytes
end

local function new_channel(options, where)
  local ok, channel, err = pcall(onemsg.new, options)
  if not ok then refuse("%s%s", where, plain(channel)) end
  if not channel then refuse("%s%s", where, plain(err)) end
  return channel
end

local function read_channels(options, given)
  if options.channels then
    local name = next(given)
    if name then refuse("channels = { … } and %s together: put it into the channel it belongs to", name) end
    local channels = {}
    for key, one in pairs(options.channels) do
      if type(key) ~= "string" or not key:find "^[%w_.-]+$" then
        refuse 'channels has names of letters and digits: { main = { token = … } }'
      end
      channels[key] = type(one) == "table" and new_channel(one, "channel " .. key .. ": ") or one
      if type(channels[key]) ~= "userdata" then
        refuse("channel %s must be a table of options or what onemsg.new returned", key)
      end
    end
    return channels
  end
  if type(given.channel) == "userdata" then return { main = given.channel } end
  if next(given) == nil then
    local ok, channels, err = pcall(environment.all)
    if not ok then refuse("%s", plain(channels)) end
    if not channels then refuse("%s", plain(err)) end
    return channels
  end
  return { main = new_channel(given, "") }
end

--- What the workflow takes beyond channels, rules and store; checked by the workflow's own check.
local function check_workflow(settings, more)
  local options = { channels = settings.channels, rules = settings.rules, store = settings.store }
  for name, value in pairs(more) do options[name] = value end
  local ok, read, err = pcall(flow_options.read, options, core)
  if not ok then refuse("%s", plain(read)) end
  if not read then refuse("%s", plain(err)) end
  options.log = read.sink -- opened here, with the master's rights
  return options
end

--- What is off, and how it is switched on: a sentence for the start's log; nil: nothing is.
-- @tparam table settings of read()
-- @tparam table options of init
function M.off(settings, options)
  local off = {}
  if #settings.event_keys == 0 and #settings.event_tokens == 0 and next(settings.sender_keys) == nil then
    off[#off + 1] = "events by HTTP (ONE_MSG_EVENT_SECRET, ONE_MSG_EVENT_TOKEN, or a sender's)"
  end
  if #settings.hook_secrets == 0 then off[#off + 1] = "hooks (ONE_MSG_HOOK_SECRET)" end
  if #settings.operators == 0 and not settings.open then
    off[#off + 1] = "the operator's page (ONE_MSG_OPERATOR_TOKEN)"
  end
  if not options.log then off[#off + 1] = 'the delivery log (log = "/var/log/onemsg/delivery.log")' end
  if not options.fallback then off[#off + 1] = "other ways to reach a person (fallback = { sms = function(notice) … end })" end
  if #off == 0 then return nil end
  return "off, and in brackets what switches it on: " .. table.concat(off, "; ")
end

--- Reads and checks everything. Only in init_by_lua.
-- @tparam table options see resty.onemsg.init
-- @treturn table settings: workflow (options for workflow.open), channels, event_keys (signing secrets), event_tokens,
--   sender_keys (name = keys of onemsg.senders), hook_secrets, operators (name, may, digest), key (random, of this start),
--   open, event_bytes, event_items, hook_bytes
function M.read(options)
  local all, of_channel = takes()
  local given, why = check.read("resty.onemsg.init", options, all)
  if not given then error(why, 0) end
  local settings, for_channel, for_workflow = { key = random(32) }, {}, {}
  for name, value in pairs(given) do
    if of_channel[name] then
      for_channel[name] = value
    elseif not OWN[name] then
      for_workflow[name] = value
    end
  end
  settings.store = options.store or core.getenv "ONE_MSG_STORE"
  if not settings.store then
    refuse 'store (ONE_MSG_STORE) is missing: for example "sqlite:/var/lib/onemsg/confirmations.db"'
  end
  local store, err = sql.open(settings.store) -- only looks at the target; the file is opened by a worker
  if not store then refuse("store: %s", (plain(err):gsub("^store: ", ""))) end
  store:close()
  settings.rules = options.rules or core.getenv "ONE_MSG_RULES"
  if not settings.rules then refuse "rules (ONE_MSG_RULES) is missing: the path of rules.lua" end
  if type(settings.rules) == "string" then
    if rules_file.may_hang(settings.rules) then refuse("rules: %s is no plain file", settings.rules) end
    settings.rules, err = rules.open(settings.rules)
    if not settings.rules then refuse("%s", plain(err)) end
  end
  settings.channels = read_channels(options, for_channel)
  settings.workflow = check_workflow(settings, for_workflow)
  settings.event_keys = secrets(options, "event_secrets", "ONE_MSG_EVENT_SECRET", check_key)
  settings.sender_keys = sender_keys(options.sender_secrets or {})
  settings.event_tokens = digests(settings.key, secrets(options, "event_tokens", "ONE_MSG_EVENT_TOKEN", check_token))
  settings.hook_secrets = digests(settings.key, secrets(options, "hook_secrets", "ONE_MSG_HOOK_SECRET", check_segment))
  settings.operators = all_operators(settings, options)
  settings.open = options.open == true
  settings.event_bytes = options.event_bytes or EVENT_BYTES
  settings.event_items = options.event_items or EVENT_ITEMS
  settings.hook_bytes = options.hook_bytes or HOOK_BYTES
  return settings
end

return M
