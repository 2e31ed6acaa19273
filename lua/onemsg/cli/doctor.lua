--- onemsg.cli.doctor: the checks of `onemsg doctor`. Each takes the call and gives findings:
-- { check, state = "ok" | "fix" | "note", text, advice, code }; what a later check needs stays in call.doctor.
local calls = require "onemsg.cli.call"
local database = require "onemsg.cli.database"
local environment = require "onemsg.channel.environment"
local output = require "onemsg.cli.output"
local utf8 = require "onemsg.base.utf8"
local webhook = require "onemsg.webhook"

local M = {}

local ROOM_KIB = 16384 -- free where a SQLite store lies, below which somebody should know: its log alone may take 4 MiB
local LATE = 60      -- seconds that a due message may wait before somebody should ask whether anybody works
local POLLING = "meanwhile hookInfo is asked, 15 s, 1, 5, 30 min and 3 h after a message"

local function ok(check, text, ...) return { { check = check, state = "ok", text = text:format(...) } } end

local function note(check, text, advice) return { { check = check, state = "note", text = text, advice = advice } } end

local function fix(check, text, advice, code)
  return { { check = check, state = "fix", text = text, advice = advice, code = code or calls.CONFIG } }
end

--- An error of the library as a finding.
local function failed(check, err, info, advice)
  return fix(check, err, advice or type(info) == "table" and info.hint or nil, calls.code(err, info))
end

local function join(...)
  local all = {}
  for _, list in ipairs { ... } do
    for _, finding in ipairs(list) do all[#all + 1] = finding end
  end
  return all
end

--- Settings and token ------------------------------------------------------------------------------------------------

local function raw_token(name)
  local token, path = environment.value(name, "TOKEN"), environment.value(name, "TOKEN_FILE")
  local file = not token and path and io.open(path)
  if file then
    token = file:read(16384)
    file:close()
  end
  return utf8.trim(((token or ""):gsub("^%s*[Bb]earer%s+", "")))
end

local function config(call)
  call.doctor = {}
  local channel, err, info = call:channel()
  if not channel then return failed("config", err, info, call.left_out) end
  local name = err
  call.doctor.channel, call.doctor.name = channel, name
  local jwt = raw_token(name):find "^[%w_-]+%.[%w_-]+%.[%w_-]*$"
  local id = require "onemsg.core".channel_id(channel)
  return join(ok("config", "%s", (tostring(channel):gsub("^onemsg.channel ", ""):gsub("[()]", ""))),
    os.getenv "ONE_MSG_ONLY_TO" and note("only_to", "ONE_MSG_ONLY_TO is set: everybody else is skipped",
      "That is for systems that are tried out: take it away where customers are to be reached.") or {},
    jwt and ok("token", "in the form of a channel's key; channel %s", id)
      or note("token", "not in the form of a channel's key (a JWT), which 1MSG asks for since 2025",
        "If 1MSG answers 401, copy a new key from the cabinet. Sandbox tokens look different, too."))
end

local channel_states = {
  connected = false, connecting = false,
  disconnected = "Connect the number again in the 1MSG cabinet.",
  uninitialized = "It is being set up; try again in some minutes.",
  unregistered = "WhatsApp has blocked or removed the number; ask 1MSG's support.",
}

local function reach(call)
  local channel = call.doctor.channel
  if not channel then return nil end
  local status, err, info = channel:status()
  if not status then
    call.doctor.channel = nil
    return failed("api", err, info, info and info.class == "network"
      and "Look at ONE_MSG_BASE_URL, the network, a firewall, a proxy (ONE_MSG_PROXY)." or nil)
  end
  local word = tostring(type(status) == "table" and status.status or "?")
  if channel_states[word] == false then return ok("api", "reached; the channel is %s", word) end
  return fix("api", "reached, but the channel is " .. word, channel_states[word] or "Look at it in the 1MSG cabinet.",
    calls.REFUSED)
end

--- Rules and templates -------------------------------------------------------------------------------------------------

local function rules(call)
  local path = call:rules_path()
  local handle, err = require "onemsg.rules".open(path)
  if not handle then
    return fix("rules", err, "`onemsg rules check` says the same; examples/rules.lua is one to begin with.")
  end
  call.doctor.rules = handle:current()
  local ways = {}
  for name, place in pairs(call.doctor.rules.uses.fallbacks) do ways[#ways + 1] = ("%s (%s)"):format(name, place) end
  table.sort(ways)
  return join(ok("rules", "%s, version %s: %d rules, their examples hold", path, call.doctor.rules.version,
    #call.doctor.rules.rules), ways[1] and note("ways", "the rules use other ways: " .. table.concat(ways, ", "),
    "Who sends needs each of them: `onemsg work --fallback NAME=PROGRAM`, or fallback = { NAME = function } in nginx.") or {})
end

--- Name → language, number of variables, namespace of every template that would be sent.
local function wanted_templates(call)
  local wanted, language = {}, environment.value(call.doctor.name, "TEMPLATE_LANGUAGE")
  local namespace = environment.value(call.doctor.name, "TEMPLATE_NAMESPACE")
  local name = environment.value(call.doctor.name, "TEMPLATE")
  if name then wanted[name] = { language = language, count = 3, namespace = namespace } end
  for one, form in pairs(call.doctor.rules and call.doctor.rules.templates or {}) do
    wanted[one] = { language = type(form.language) == "string" and not form.language:find "{" and form.language
      or language, count = #form.body, namespace = form.namespace or namespace }
  end
  for _, rule in ipairs(call.doctor.rules and call.doctor.rules.set.confirm or {}) do
    local want = wanted[rule.template]
    if want and type(rule.slots.ttl) == "number" then want.ttl = rule.slots.ttl end
  end
  return wanted
end

local function check_template(list, name, want)
  local template = require "onemsg.template"
  local found, err = template.find(list, name, want.language)
  if not found then
    return fix("template", err, "Its name and language are in the 1MSG cabinet; `onemsg templates` lists them.")
  end
  if not found.sendable then
    return fix("template", ("%s in %s is %s%s"):format(name, found.language, found.status or "?",
      found.rejected_reason and ": " .. tostring(found.rejected_reason) or ""),
      "Only an approved template can be sent; see it in the cabinet.", calls.REFUSED)
  end
  local count = found.body_count or 0
  if want.count and count ~= want.count then
    return fix("template", ("%s in %s has %d variables, and %d are sent"):format(name, found.language, count, want.count),
      "Correct `body` of the template in the rules, or choose another template.")
  end
  local namespace = want.namespace
  if found.namespace and namespace ~= found.namespace then
    return fix("template", ("the namespace of %s is %s, and %s is set"):format(name, found.namespace,
      namespace or "none"), "Set ONE_MSG_TEMPLATE_NAMESPACE to it.")
  end
  local text = ("%s in %s is approved, %d variables, namespace as set"):format(name, found.language, count)
  if found.category == "MARKETING" then
    return note("template", text, "Meta counts it as MARKETING: dearer, and people can switch it off.")
  end
  return ok("template", "%s", text)
end

local function templates(call)
  local channel = call.doctor.channel
  if not channel then return nil end
  local list, err, info = channel:templates()
  if not list then return failed("template", err, info) end
  local findings, names, wanted = {}, {}, wanted_templates(call)
  for name in pairs(wanted) do names[#names + 1] = name end
  table.sort(names)
  for n, name in ipairs(names) do findings[n] = check_template(list, name, wanted[name]) end
  if not names[1] then return fix("template", "none is set", "Set ONE_MSG_TEMPLATE, or name one in the rules.") end
  return join((table.unpack or unpack)(findings)) -- luacheck: ignore
end

--- Store -----------------------------------------------------------------------------------------------------------------

local function new_store(path)
  local probe = path .. ".probe"
  local file, why = io.open(probe, "w")
  if not file then
    return fix("store", "it is not there, and can't be made: " .. why, "Make the directory, writable for this user.",
      calls.SERVER)
  end
  file:close()
  os.remove(probe)
  return ok("store", "%s will be made by the first submit or work", path)
end

local function doubts(stats, now)
  local findings, unknown = {}, (stats.states.unknown or 0) + (stats.states.stalled or 0)
  for name, channel in pairs(stats.channels) do
    if channel.breaker ~= "closed" then
      findings[#findings + 1] = fix("sending", ("channel %s is stopped: %s"):format(name, channel.reason or "?"),
        "It is tried again by itself; `onemsg work` goes on when that is fixed.", calls.REFUSED)[1]
    end
  end
  if stats.clock.jumped then
    findings[#findings + 1] = fix("clock", ("it jumped by %.0f s, which is not believed yet"):format(stats.clock.jumped),
      "Set the clock (NTP). What it says is believed when it has held for a minute.", calls.SERVER)[1]
  end
  if stats.due > 0 and now - (stats.oldest_due or now) > LATE then
    findings[#findings + 1] = fix("sending", ("%d are due, the oldest for %.0f s"):format(stats.due,
      now - stats.oldest_due), "Is `onemsg work`, or nginx with resty.onemsg, running?", calls.SERVER)[1]
  end
  for name, n in pairs(stats.fallbacks_waiting) do
    findings[#findings + 1] = fix("ways", ('%d wait for the other way "%s", and no worker has it'):format(n, name),
      ("`onemsg work --fallback %s=PROGRAM`, or fallback = { %s = function } in nginx."):format(name, name),
      calls.SERVER)[1]
  end
  if unknown > 0 then
    findings[#findings + 1] = note("doubt", ("%d are unknown or stalled"):format(unknown),
      "`onemsg list --state unknown`, then `onemsg settle ID arrived|not_arrived`.")[1]
  end
  return findings
end

--- What only a PostgreSQL can have wrong.
local function server(flow, target)
  local facts, err, info = require "onemsg.outbox.survey".read(flow.box.db)
  if not facts then return failed("database", err, info) end
  facts.drift, facts.dialed = require "onemsg.core".now() - facts.at, database.port(target)
  local findings = {}
  for n, one in ipairs(database.judge(facts)) do
    findings[n] = (one.state == "fix" and fix or note)("database", one.text, one.advice, calls.SERVER)[1]
  end
  if findings[1] then return findings end
  return ok("database", "PostgreSQL %d, UTF8, durable", math.floor(facts.version / 10000))
end

--- Where it is noted what leaves.
local function witness(flow)
  if flow.witness == false then
    return note("witness", "there is none: a store that forgets, by a restored backup, sends again",
      "Leave ONE_MSG_WITNESS=false out.")
  elseif not flow.witness then
    return fix("witness", "it is not said where it is, so `onemsg work` sends nothing",
      "Set ONE_MSG_WITNESS to a path on this machine's own disk.")
  end
  return ok("witness", "%s", flow.witness)
end

--- Is there room where the store lies? What is there can be read when nothing can be written any more.
local function room(path)
  local dir = (path:match "^(.*)/[^/]*$" or "."):gsub("^$", "/")
  local pipe = io.popen(("df -Pk -- '%s' 2>/dev/null"):format(dir:gsub("'", "'\\''")))
  local text = pipe and pipe:read "*a" or ""
  if pipe then pipe:close() end
  local free = tonumber(text:match "\n%S+%s+%d+%s+%d+%s+(%d+)%s")
  if not free or free >= ROOM_KIB then return {} end
  return fix("store", ("%d KiB are free where it lies: nothing more can be written soon, or now"):format(free),
    "Free some space on that disk; senders are told 503 and repeat, and it goes on by itself.", calls.SERVER)
end

local function store(call)
  local name, err = call:store()
  if not name then return failed("store", err) end
  local path, amiss = calls.store_file(name)
  if amiss == "missing" then return new_store(path) end
  if amiss then return failed("store", amiss) end
  local flow, info
  flow, err, info = call:desk()
  if not flow then
    return failed("store", err, info, path and "Is the file, and its directory, writable for this user?" or nil)
  end
  local stats
  stats, err, info = flow:stats()
  local now = flow.now()
  local more = stats and join(flow.box.several and server(flow, name) or {}, witness(flow))
  flow:close()
  if not stats then return failed("store", err, info) end
  call.doctor.stats = stats
  local count = 0
  for _, n in pairs(stats.states) do count = count + n end
  return join(ok("store", "%s is writable and has the newest schema; %d confirmations", path or "it", count),
    path and room(path) or {}, more, doubts(stats, now))
end

--- Webhook -------------------------------------------------------------------------------------------------------------

local function our_url(call)
  return call.options.url or os.getenv "ONE_MSG_WEBHOOK_URL"
end

--- Since when nothing is heard.
local function blind(call)
  local last
  for _, channel in pairs(call.doctor.stats and call.doctor.stats.channels or {}) do
    if channel.hooked_at and channel.hooked_at > (last or 0) then last = channel.hooked_at end
  end
  if not last then return "no hook has come so far: blind since the beginning; " .. POLLING end
  return ("blind since the last hook, %s; %s"):format(output.time(last), POLLING)
end

local function check_url(call, channel, url, list, health)
  local there = false
  for _, one in ipairs(list) do there = there or webhook.same(one, url) end
  if there and not webhook.disabled(health, url) then return ok("webhook", "%s is registered", webhook.mask(url)) end
  local what = there and "1MSG has disabled it" or "it is not in the list: never added, or somebody replaced the list"
  if call.options.fix then
    local added, err, info = channel:addWebhook(url)
    if not added then return failed("webhook", err, info) end
    return ok("webhook", "%s is registered again (%s)", webhook.mask(url), what)
  end
  return fix("webhook", ("%s: %s; %s"):format(webhook.mask(url), what, blind(call)),
    "`onemsg doctor --fix`, or `onemsg webhook add URL --acks`.")
end

local function webhooks(call)
  local channel = call.doctor.channel
  if not channel then return nil end
  local list, health, info = channel:webhook()
  if not list then return failed("webhook", health, info) end
  local url = our_url(call)
  local findings = url and check_url(call, channel, url, list, health)
    or note("webhook", ("%d registered; which is ours is not known"):format(#list),
      "Give --url or ONE_MSG_WEBHOOK_URL, to have it looked after. Without hooks, hookInfo is asked.")
  for _, one in ipairs(list) do
    if webhook.disabled(health, one) and not (url and webhook.same(one, url)) then
      findings = join(findings, note("webhook", webhook.mask(one) .. " is disabled by 1MSG; it is not ours"))
    end
  end
  return findings
end

local function acks(call)
  local channel = call.doctor.channel
  if not channel then return nil end
  local settings, err, info = channel:settings()
  if not settings then return failed("acks", err, info) end
  if settings.ackNotificationsOn == true then return ok("acks", "1MSG posts statuses (ackNotificationsOn)") end
  if call.options.fix then
    settings, err, info = channel:settings { ackNotificationsOn = true }
    if not settings then return failed("acks", err, info) end
    return ok("acks", "1MSG posts statuses now (ackNotificationsOn)")
  end
  local text, advice = "ackNotificationsOn is off: 1MSG posts no statuses; " .. blind(call), "`onemsg doctor --fix`"
  return our_url(call) and fix("acks", text, advice) or note("acks", text, advice)
end

--- nginx ---------------------------------------------------------------------------------------------------------------

local function exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

local function nginx()
  local binary, module, lua
  for dir in ((os.getenv "PATH" or "") .. ":/usr/sbin:/usr/local/openresty/nginx/sbin"):gmatch "[^:]+" do
    binary = binary or exists(dir .. "/nginx") and dir .. "/nginx" or exists(dir .. "/openresty") and dir .. "/openresty"
  end
  module = require "onemsg.base.nginx".modules() or binary and binary:find("openresty", 1, true)
  for template in package.path:gmatch "[^;]+" do
    lua = lua or exists((template:gsub("%?", "resty/onemsg/yield")))
  end
  local missing = not lua and "lua/resty/onemsg" or not binary and "nginx" or not module and "its Lua module"
  if missing then
    return note("nginx", missing .. " is missing", "Only the HTTP endpoints and `onemsg fake` need it: "
      .. "apt-get install nginx-light libnginx-mod-http-lua")
  end
  return ok("nginx", "%s, its Lua module and resty.onemsg are there", binary)
end

M.checks = { config, reach, rules, templates, store, webhooks, acks, nginx }

return M
