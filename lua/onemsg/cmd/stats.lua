--- onemsg stats: counts of the store, and what keeps messages from leaving.
local calls = require "onemsg.cli.call"
local output = require "onemsg.cli.output"
local pauses = require "onemsg.workflow.pauses"
local templates = require "onemsg.workflow.templates"

local M = {
  summary = "Counts by state, what is due, and what keeps messages from leaving",
  options = {
    calls.STORE,
    { "by", "reason|rule|hour", "instead: what last changed, by state and reason, rule or hour" },
    { "since", "TIME", "within this time, such as 24h, or since a day: 2026-11-26 (with --by)", past = true },
  },
  examples = { "onemsg stats", "onemsg stats --json", "onemsg stats --by reason --since 24h" },
}

--- Counts by reason, rule or hour.
local function counts(call)
  local options = call.options
  local flow, err, info = call:desk()
  if not flow then return call:fail(err, info) end
  local ok, list
  ok, list, err, info = pcall(flow.counts, flow, { by = options.by or "reason",
    since = options.since and flow.now() - options.since or nil })
  flow:close()
  if not ok then return nil, (tostring(list):gsub("^.*counts: by", "stats: --by")), calls.USAGE end
  if not list then return call:fail(err, info) end
  local rows = { { "COUNT", "STATE", ((options.by or "reason"):upper()) } }
  for _, one in ipairs(list) do
    call.out:object(one)
    rows[#rows + 1] = { one.count, one.state, one.hour and output.time(one.hour) or one.rule
      or output.reason(one.state, one.reason) }
  end
  if list[1] then call.out:columns(rows) else call.out:line("nothing") end
  return true
end

function M.run(call)
  if call.options.by or call.options.since then return counts(call) end
  local flow, err, info = call:desk()
  if not flow then return call:fail(err, info) end
  local stats
  stats, err, info = flow:stats()
  local now = flow.now()
  flow:close()
  if not stats then return call:fail(err, info) end
  -- what this very process did says nothing about the service
  local shown = { states = stats.states, due = stats.due, oldest_due = stats.oldest_due, channels = stats.channels,
    parked = stats.parked, paused = stats.paused, templates = stats.templates, nodes = stats.nodes, held = stats.held,
    oddities = stats.oddities }
  call.out:object(shown)
  local rows, names = { { "STATE", "CONFIRMATIONS" } }, {}
  for state in pairs(stats.states) do names[#names + 1] = state end
  table.sort(names)
  for _, state in ipairs(names) do rows[#rows + 1] = { state, stats.states[state] } end
  call.out:columns(rows)
  call.out:line("due now: %d%s", stats.due, stats.oldest_due and stats.due > 0
    and (", the oldest for %.0f s"):format(now - stats.oldest_due) or "")
  for name, channel in pairs(stats.channels) do
    call.out:line("channel %s: %s%s", name, channel.breaker == "closed" and "at work" or "stopped",
      channel.reason and ": " .. channel.reason or "")
    if channel.hooked_at then call.out:line("  last hook %s", output.time(channel.hooked_at)) end
    if channel.pause_until and channel.pause_until > now then
      call.out:line("  pauses until %s", output.time(channel.pause_until))
    end
  end
  for _, node in ipairs(stats.nodes) do
    call.out:line("node %s: %s, onemsg %s, last sign of life %s", node.name, node.processes > 0
      and ("%d at work"):format(node.processes) or "none at work", node.version, output.time(node.at))
  end
  for _, pause in ipairs(stats.paused) do
    call.out:line("%s %s is paused since %s %s", pause.kind, pause.name, output.time(pause.at), pauses.sentence(pause))
  end
  for _, park in ipairs(stats.parked or {}) do
    call.out:line("template %s in %s is set aside%s: %s", park.template, park.language,
      park.until_at < 1e10 and " until " .. output.time(park.until_at) or "", park.reason)
  end
  for _, one in ipairs(stats.templates) do
    for _, what in ipairs(templates.amiss(one)) do
      call.out:line("template %s in %s: %s", one.name, one.language, what.text)
    end
  end
  return true
end

return M
