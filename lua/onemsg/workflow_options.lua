--- onemsg.workflow_options: what workflow.open takes, checked. A programmer's mistake raises at the caller's line; what
-- only the world can know (a file, a database) comes back as nil, "config: …".
local log = require "onemsg.workflow_log"
local news = require "onemsg.news"
local pace = require "onemsg.pace"
local people = require "onemsg.people"
local rules = require "onemsg.rules"
local suggest = require "onemsg.rules_suggest"
local zones = require "onemsg.zone"

local M = {}

local LEASE = 60   -- seconds; more than a send can take, so that only a dead process runs out of it
local WINDOW = 64  -- sends in flight

local GIVE_UP_AFTER = 6 * 3600 -- seconds, where the rule names none

local known = { channel = "table userdata", channels = "table", rules = "string table", store = "string table userdata",
  resolve = "function", fallback = "table", on_change = "function", on_alert = "function", log = "string function",
  now = "function", sleep = "function", random = "function", lease = "number", window = "number", rate = "number",
  burst = "number", gap = "number", give_up_after = "number string", stalled_after = "number string",
  stop_words = "table", spawn = "function" }

local units = { s = 1, m = 60, h = 3600, d = 86400 }

--- Seconds from a number or "30s", "10m", "6h", "2d"; nil when it is neither.
function M.seconds(value)
  if type(value) == "number" then return value end
  local number, unit = value:match("^(%d+%.?%d*)([smhd])$")
  return number and tonumber(number) * units[unit]
end

local function refuse(sentence, ...)
  error("workflow.open: " .. sentence:format(...), 5)
end

local function check(options)
  if type(options) ~= "table" then refuse("it takes a table of options, not a %s", type(options)) end
  for name, value in pairs(options) do
    local kinds = known[name]
    if not kinds then
      refuse("there is no option '%s'%s", tostring(name), suggest.phrase(tostring(name), known))
    elseif not (" " .. kinds .. " "):find(" " .. type(value) .. " ", 1, true) then
      refuse("%s must be a %s, not a %s", name, (kinds:gsub(" ", " or a ")), type(value))
    elseif type(value) == "number" and not (value > 0 and value < math.huge) then
      refuse("%s must be more than 0", name)
    end
  end
  if (options.channel == nil) == (options.channels == nil) then
    refuse("give channel = … or channels = { … }, one of them")
  end
  if options.rules == nil then refuse("rules is missing: the path of rules.lua") end
  if options.give_up_after and not M.seconds(options.give_up_after) then
    refuse("give_up_after is a number of seconds, or like \"6h\"")
  end
  if options.stalled_after and not M.seconds(options.stalled_after) then
    refuse("stalled_after is a number of seconds, or like \"1d\"")
  end
  for _, name in ipairs { "give_up_after", "stalled_after" } do
    if options[name] and M.seconds(options[name]) < 1 then refuse("%s must be a second or more", name) end
  end
  for name, run in pairs(options.fallback or {}) do
    if type(run) ~= "function" then refuse("fallback.%s must be a function, not a %s", tostring(name), type(run)) end
  end
  for _, word in pairs(options.stop_words or {}) do
    if type(word) ~= "string" then refuse("stop_words is a list of texts") end
  end
end

--- Name → channel, the names in order, and the one that rules without a channel use.
local function read_channels(options)
  local channels, names = options.channels or { main = options.channel }, {}
  for name in pairs(channels) do
    if type(name) ~= "string" then refuse("channels has names: { main = channel }") end
    names[#names + 1] = name
  end
  if #names == 0 then refuse("channels is empty") end
  table.sort(names)
  return channels, names, channels.main and "main" or names[1]
end

--- Channel id → name, for hooks that name the channel that they speak of.
local function read_instances(channels)
  local instances = {}
  for name, channel in pairs(channels) do
    local id = type(channel) == "table" and channel.id or tostring(channel):match("/([^/]+)%)$")
    if id then instances[id] = name end
  end
  return instances
end

--- The rules as something with :current(now).
local function read_rules(option)
  if type(option) == "string" then return rules.open(option) end
  if option.current then return option end
  return { current = function() return option end } -- a ruleset of rules.load
end

-- The rules that a workflow last found complete, by what gives them: a worker that begins anew beside a file that it
-- has to refuse goes on with the rules of the one before it.
local complete = setmetatable({}, { __mode = "k" })

--- What rules name and this workflow has not: said at the start, not at night.
local function missing(flow, set)
  local uses = set.uses or {}
  for name, place in pairs(uses.channels or {}) do
    if not flow.channels[name] then
      return ("config: %s names the channel %q, which is not given"):format(place, name)
    end
  end
  for name, place in pairs(uses.zones or {}) do
    local zone, why = zones.find(name)
    if not zone then return ("config: %s: quiet: %s"):format(place, why) end
  end
  for name, place in pairs(uses.fallbacks or {}) do
    if flow.fallback_given and not flow.fallback[name] then
      return ("config: %s names the fallback %q, which is not given"):format(place, name)
    end
  end
end

--- The rules to decide by now: the newest that are good and name nothing that this workflow has not. The start and
-- every reload come this way.
-- @treturn ?table ruleset; nil when there never was one
-- @treturn ?string why the newest are not at work
function M.ruleset(flow, now)
  local set, problem = flow.rules:current(now)
  if set == flow.judged then return flow.accepted, problem or flow.refusal end
  local refusal = missing(flow, set)
  flow.judged, flow.refusal = set, refusal
  if not refusal then
    flow.accepted, complete[flow.rules] = set, set
  elseif not flow.accepted then
    local before = complete[flow.rules]
    flow.accepted = before and not missing(flow, before) and before or nil
  end
  return flow.accepted, problem or refusal
end

--- The settings of a workflow.
-- @treturn ?table
-- @treturn string with nil: "config: …"
function M.read(options, core)
  check(options)
  local channels, names, default = read_channels(options)
  local flow = {
    channels = channels, names = names, default_channel = default,
    store = options.store or os.getenv("ONE_MSG_STORE"),
    resolve = options.resolve, fallback = options.fallback or {}, fallback_given = options.fallback ~= nil,
    on_change = options.on_change, on_alert = options.on_alert,
    now = options.now or core.now, sleep = options.sleep, random = options.random or math.random,
    limits = { rate = options.rate or pace.RATE, burst = math.max(1, math.floor(options.burst or pace.BURST)) },
    gap = options.gap or pace.PAIR_GAP, lease = options.lease or LEASE, window = options.window or WINDOW,
    give_up_after = M.seconds(options.give_up_after or GIVE_UP_AFTER),
    stalled_after = M.seconds(options.stalled_after or news.STALLED_AFTER),
    stop_word = people.matcher(options.stop_words or people.STOP_WORDS),
    spawn = options.spawn or function(run) run() end,
    instances = read_instances(channels), texts = {},
  }
  if not flow.store then
    return nil, "config: store (ONE_MSG_STORE) is missing: for example \"sqlite:confirmations.db\""
  end
  local err
  flow.rules, err = read_rules(options.rules)
  if not flow.rules then return nil, err end
  local set
  set, err = M.ruleset(flow, flow.now())
  if not set then return nil, err end
  flow.sink, err, flow.log_file = log.sink(options.log)
  if not flow.sink then return nil, err end
  return flow
end

return M
