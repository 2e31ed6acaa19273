--- resty.onemsg.serve.metrics: GET /metrics in Prometheus' text format (0.0.4).
--
-- Gauges tell what the store holds, the same whichever worker answers. Counters tell what the workers of this nginx did
-- since it started: their sum where there is a lua_shared_dict `onemsg`, else those of the worker that answered, with a
-- label `worker`. Labels are bounded: states, outcomes, results, and the names of channels and nodes.
local counters = require "resty.onemsg.counters"
local request = require "resty.onemsg.request"
local stats = require "resty.onemsg.stats"
local templates = require "onemsg.workflow.templates"

local M = {}

local TYPE = "text/plain; version=0.0.4; charset=utf-8"

--- name, type, help; in this order.
local METRICS = {
  { "onemsg_store_up", "gauge", "1 when the store answered this scrape." },
  { "onemsg_rules_good", "gauge", "1 when the rules file as it is now is at work, 0 when an older one is." },
  { "onemsg_confirmations", "gauge", "Confirmations in the store, by state." },
  { "onemsg_due", "gauge", "Confirmations that could leave now and have not left." },
  { "onemsg_oldest_due_seconds", "gauge", "For how long the oldest of them has been due." },
  { "onemsg_clock_jump_seconds", "gauge", "By how much the wall clock jumped, while that is not believed; 0: it did not." },
  { "onemsg_parked_templates", "gauge", "Templates whose messages are set aside." },
  { "onemsg_templates_amiss", "gauge",
    "Templates in use that are marketing, not approved (status), of low quality, as last heard." },
  { "onemsg_channel_breaker", "gauge", "1 for the state in which the breaker of a channel is." },
  { "onemsg_channel_paused_seconds", "gauge", "For how long a channel still pauses." },
  { "onemsg_hook_age_seconds", "gauge", "For how long no webhook spoke of a channel's messages; absent: never yet." },
  { "onemsg_held_statuses", "gauge", "Statuses of messages that are not known (yet)." },
  { "onemsg_fallbacks_unknown", "gauge", "Fallbacks of which it is open whether they were carried out." },
  { "onemsg_node_processes", "gauge", "Processes that send, by node, as far as they have given a sign of life of late." },
  { "onemsg_node_seen_seconds", "gauge", "For how long a node has given no sign of life; absent: not for a day, or never." },
  { "onemsg_events_total", "counter", "Events that came by HTTP, by result." },
  { "onemsg_hook_requests_total", "counter", "Webhook requests, by result." },
  { "onemsg_hook_events_total", "counter", "What the webhook bodies that were stored held, by kind." },
  { "onemsg_sends_total", "counter", "Messages that were tried, by what the answer proves." },
  { "onemsg_api_seconds", "summary", "Time until the API answered." },
  { "onemsg_changes_total", "counter", "Changes of state, by the new state." },
  { "onemsg_acceptance_seconds", "histogram", "From the event until 1MSG accepted its message." },
  { "onemsg_delivery_seconds", "histogram", "From acceptance until the news that it was delivered." },
  { "onemsg_work_restarts_total", "counter", "How often the work failed and was begun again." },
}

local BREAKERS = { "closed", "open", "trial" }
local SUFFIXES = { summary = { "_sum", "_count" }, histogram = { "_bucket", "_sum", "_count" } }

--- Numbers as Prometheus reads them.
local function number(n)
  if n == math.floor(n) and math.abs(n) < 2 ^ 53 then return ("%d"):format(n) end
  return ("%.9g"):format(n)
end

--- What the store holds; nil when it does not answer.
local function read_stats()
  local read, err = stats.read()
  if not read then request.say("the metrics lack what the store knows: " .. tostring(err)) end
  return read
end

--- Templates that are not well, by channel and kind.
local function amiss(read)
  local counts, list = {}, {}
  for name in pairs(read.channels) do
    for _, kind in ipairs { "marketing", "status", "quality" } do counts[('channel="%s",kind="%s"'):format(name, kind)] = 0 end
  end
  for _, one in ipairs(read.templates) do
    for _, what in ipairs(templates.amiss(one)) do
      local labels = ('channel="%s",kind="%s"'):format(one.channel, what.kind)
      counts[labels] = (counts[labels] or 0) + 1
    end
  end
  for labels, n in pairs(counts) do list[#list + 1] = { labels, n } end
  return list
end

--- name → list of { labels, value } out of the store.
local function gauges()
  local now = ngx.now()
  local read = read_stats()
  local out = {
    onemsg_store_up = { { "", read and 1 or 0 } },
  }
  if not read then return out end
  local states, breakers, pauses, ages = {}, {}, {}, {}
  for state, n in pairs(read.states) do states[#states + 1] = { ('state="%s"'):format(state), n } end
  for name, channel in pairs(read.channels) do
    for _, breaker in ipairs(BREAKERS) do
      breakers[#breakers + 1] =
        { ('channel="%s",breaker="%s"'):format(name, breaker), channel.breaker == breaker and 1 or 0 }
    end
    local labels = ('channel="%s"'):format(name)
    pauses[#pauses + 1] = { labels, math.max(0, (channel.pause_until or 0) - now) }
    if channel.hooked_at then ages[#ages + 1] = { labels, math.max(0, now - channel.hooked_at) } end
  end
  local processes, seen = {}, {}
  for n, node in ipairs(read.nodes) do
    local labels = ('node="%s"'):format(node.name:gsub('[\\"]', "\\%0"))
    processes[n], seen[n] = { labels, node.processes }, { labels, math.max(0, now - node.at) }
  end
  if read.nodes[1] then out.onemsg_node_processes, out.onemsg_node_seen_seconds = processes, seen end
  out.onemsg_confirmations, out.onemsg_channel_breaker, out.onemsg_channel_paused_seconds = states, breakers, pauses
  out.onemsg_hook_age_seconds = #ages > 0 and ages or nil
  out.onemsg_held_statuses, out.onemsg_fallbacks_unknown = { { "", read.held } }, { { "", read.fallbacks_unknown } }
  out.onemsg_rules_good = { { "", read.rules.problem and 0 or 1 } }
  out.onemsg_clock_jump_seconds = { { "", read.clock.jumped or 0 } }
  out.onemsg_due = { { "", read.due } }
  out.onemsg_oldest_due_seconds = { { "", read.oldest_due and math.max(0, now - read.oldest_due) or 0 } }
  out.onemsg_parked_templates, out.onemsg_templates_amiss = { { "", #read.parked } }, amiss(read)
  return out
end

local function edge_of(labels)
  local edge = labels:match 'le="([^"]*)"'
  return edge and (tonumber(edge) or math.huge) or 0
end

local function in_order(a, b)
  local one, other = edge_of(a[1]), edge_of(b[1])
  if one ~= other then return one < other end
  return a[1] < b[1]
end

local function write(out, name, values)
  table.sort(values, in_order)
  for _, one in ipairs(values) do
    out[#out + 1] = ("%s%s %s"):format(name, one[1] ~= "" and "{" .. one[1] .. "}" or "", number(one[2]))
  end
end

--- Counters by name; with the worker's number where each knows only its own.
local function counted()
  local out, mine = {}, not counters.shared() and ('worker="%s"'):format(ngx.worker.id() or 0)
  for key, value in pairs(counters.read()) do
    local name, labels = key:match "^([^|]*)|(.*)$"
    if mine then labels = labels == "" and mine or mine .. "," .. labels end
    out[name] = out[name] or {}
    table.insert(out[name], { labels, value })
  end
  return out
end

--- The whole text.
function M.text(settings)
  counters.channels(settings.channels)
  local out, values = {}, counted()
  for name, list in pairs(gauges()) do values[name] = list end
  for _, metric in ipairs(METRICS) do
    local name, kind, help = metric[1], metric[2], metric[3]
    local names = SUFFIXES[kind] or { "" }
    if values[name .. names[#names]] then
      out[#out + 1] = ("# HELP %s %s\n# TYPE %s %s"):format(name, help, name, kind)
      for _, suffix in ipairs(names) do write(out, name .. suffix, values[name .. suffix]) end
    end
  end
  return table.concat(out, "\n") .. "\n"
end

--- Serves one request. For resty.onemsg.serve_metrics.
function M.serve(settings)
  local method = ngx.req.get_method()
  if method ~= "GET" and method ~= "HEAD" then return request.wrong_method "GET, HEAD" end
  return request.answer(200, TYPE, M.text(settings))
end

return M
