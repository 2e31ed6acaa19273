--- onemsg.workflow.options: what workflow.open takes, checked. A programmer's mistake raises at the caller's line; what
-- only the world can know (a file, a database) comes back as nil, "config: …".
local content = require "onemsg.workflow.content"
local log = require "onemsg.workflow.log"
local node = require "onemsg.workflow.node"
local news = require "onemsg.policy.delivery"
local only_to = require "onemsg.workflow.only_to"
local optout = require "onemsg.policy.optout"
local check = require "onemsg.base.check"
local clock = require "onemsg.workflow.clock"
local pace = require "onemsg.pace"
local resolve = require "onemsg.workflow.resolve"
local retention = require "onemsg.workflow.retention"
local rules = require "onemsg.rules"
local ways = require "onemsg.workflow.ways"
local zones = require "onemsg.base.zone"

local M = {}

-- A lease is longer than a send may take, so that only a dead process runs out of it: what the channel may take, and
-- seconds for the commit before it and the one after it.
local LEASE_BEYOND = 10
local TIMEOUT, CONNECT_TIMEOUT = 20, 5 -- of a channel that is a plain table and names none
local WINDOW = 64  -- sends in flight

local GIVE_UP_AFTER = 6 * 3600 -- seconds, where the rule names none

M.TAKES = { channel = "table userdata", channels = "table", rules = "string table", store = "string table userdata",
  resolve = "function table", fallback = "table", on_change = "function", on_alert = "function", log = "string function",
  now = "function", steady = "function", sleep = "function", random = "function", lease = "duration", window = "number",
  rate = "number", burst = "number", gap = "duration", give_up_after = "duration", stalled_after = "duration",
  stop_words = "table", start_words = "table", event_ignore = "table", only_to = "table", spawn = "function",
  fallback_timeout = "duration", fallback_window = "number", witness = "string boolean", node = "string", hash_key = "string",
  keep = "string number boolean", keep_ids = "string number boolean" }

local function refuse(sentence, ...)
  check.misuse("workflow.open: " .. sentence:format(...))
end

local function checked(options)
  if options == nil then refuse("it takes a table of options") end
  options = check.options("workflow.open", options, M.TAKES)
  if (options.channel == nil) == (options.channels == nil) then
    refuse("give channel = … or channels = { … }, one of them")
  end
  if options.rules == nil then refuse("rules is missing: the path of rules.lua") end
  for _, name in ipairs { "give_up_after", "stalled_after", "fallback_timeout" } do
    if options[name] and options[name] < 1 then refuse("%s must be a second or more", name) end
  end
  if options.fallback_window and options.fallback_window < 1 then refuse("fallback_window must be 1 or more") end
  for _, name in ipairs { "keep", "keep_ids" } do
    if options[name] == true then refuse("%s is a duration, or false: for ever", name) end
  end
  if options.witness == true or options.witness == "" then refuse("witness is a path, or false: no witness") end
  for name, run in pairs(options.fallback or {}) do
    if type(run) ~= "function" then refuse("fallback.%s must be a function, not a %s", tostring(name), type(run)) end
  end
  for _, name in ipairs { "stop_words", "start_words" } do
    for _, word in pairs(options[name] or {}) do
      if type(word) ~= "string" then refuse(name .. " is a list of texts") end
    end
  end
  return options
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

--- Name → channel id, for hooks that name the channel that they speak of; name → country, for national numbers.
local function read_identities(channels, core)
  local instances, countries = {}, {}
  for name, channel in pairs(channels) do
    local real = type(channel) == "userdata"
    local id = real and core.channel_id(channel) or not real and channel.id
    if id then instances[name] = id end
    countries[name] = real and core.channel_country(channel) or not real and channel.country or nil
  end
  return instances, countries
end

--- The lease, which no channel's send may outlast.
-- @treturn ?number
-- @treturn string with nil: "config: …"
local function read_lease(option, channels, names, core)
  local least, sentence = 0, nil
  for _, name in ipairs(names) do
    local channel = channels[name]
    local timeout, connect = channel.timeout or TIMEOUT, channel.connect_timeout or CONNECT_TIMEOUT
    if type(channel) == "userdata" then timeout, connect = core.channel_patience(channel) end
    local needs = math.ceil(timeout + connect + LEASE_BEYOND)
    if needs > least then
      least = needs
      sentence = ("timeout %g s, connect_timeout %g s, and %d s for the store: write lease = %d or more, or leave it out, or "
        .. "give the channel %s a shorter timeout"):format(timeout, connect, LEASE_BEYOND, needs, name)
    end
  end
  if option and option < least then
    return nil, ("config: lease is %g s, and a send may take longer: %s"):format(option, sentence)
  end
  return option or least
end

--- The path of the witness; false: none; nil: nobody said, so it is where the store says.
local function read_witness(option, core)
  if option ~= nil then return option end
  local variable = core.getenv "ONE_MSG_WITNESS"
  if variable == "false" then return false end
  return variable
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
  options = checked(options)
  local channels, names, default = read_channels(options)
  local flow = {
    channels = channels, names = names, default_channel = default,
    store = options.store or core.getenv "ONE_MSG_STORE",
    resolve = resolve.ready(options.resolve), fallback = options.fallback or {}, fallback_given = options.fallback ~= nil,
    on_change = options.on_change, on_alert = options.on_alert,
    clock = clock.new(options, core), sleep = options.sleep, random = options.random or math.random,
    limits = { rate = options.rate or pace.RATE, burst = math.max(1, math.floor(options.burst or pace.BURST)) },
    gap = options.gap or pace.PAIR_GAP, window = options.window or WINDOW,
    give_up_after = options.give_up_after or GIVE_UP_AFTER,
    stalled_after = options.stalled_after or news.STALLED_AFTER,
    stop_word = optout.matcher(options.stop_words or optout.STOP_WORDS),
    start_word = optout.matcher(options.start_words or optout.START_WORDS),
    spawn = options.spawn or function(run) run() end, beside = options.spawn ~= nil,
    fallback_timeout = options.fallback_timeout or ways.TIMEOUT, fallback_window = options.fallback_window or ways.WINDOW,
    hash_key = options.hash_key, texts = {}, event_ignore = content.fields("workflow.open: event_ignore",
      options.event_ignore or content.written(core.getenv "ONE_MSG_EVENT_IGNORE")),
  }
  flow.witness = read_witness(options.witness, core)
  flow.now, flow.steady = flow.clock.now, flow.clock.steady
  flow.ways = {}
  for name in pairs(flow.fallback) do flow.ways[#flow.ways + 1] = name end
  table.sort(flow.ways)
  flow.instances, flow.countries = read_identities(channels, core)
  if not flow.store then
    return nil, "config: store (ONE_MSG_STORE) is missing: for example \"sqlite:confirmations.db\""
  end
  local err
  flow.node, err = node.name(options.node, core)
  if not flow.node then return nil, err end
  flow.only_to, err = only_to.read(flow, options.only_to)
  if err then return nil, err end
  flow.keep, flow.keep_ids = retention.read(options, core)
  if flow.keep == nil then return nil, flow.keep_ids end
  flow.lease, err = read_lease(options.lease, channels, names, core)
  if not flow.lease then return nil, err end
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
