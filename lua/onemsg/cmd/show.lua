--- onemsg show: did Maria get it, and if not, why.
local calls = require "onemsg.cli.call"
local output = require "onemsg.cli.output"
local phones = require "onemsg.base.phone"

local M = {
  summary = "Everything about one confirmation: what was sent, what became of it, step by step",
  arguments = { { "ID", "the event's id" } },
  options = { calls.STORE, { "full", false, "with the whole phone number" } },
  examples = { "onemsg show p-1" },
}

local function field(out, name, value)
  if value ~= nil and value ~= "" then out:line("  %-10s %s", name, tostring(value)) end
end

local SAID = { happened = "what", evidence = "known by", next = "next", can_do = "you can" }

local function print_story(out, one)
  local reason = output.reason(one.state, one.reason)
  out:line("%s  %s%s", one.id, one.state:upper(), reason ~= "" and ": " .. reason or "")
  for _, name in ipairs { "happened", "evidence", "next", "can_do" } do
    if one.why[name] then out:line("  %-10s %s", SAID[name], one.why[name]) end
  end
  field(out, "event", one.type)
  field(out, "rule", one.rule and ("%s (rules version %s)"):format(one.rule, one.version))
  for _, name in ipairs(phones.FIELDS) do field(out, name, one[name]) end
  field(out, "template", one.template and one.template ~= "" and one.template .. " in " .. one.language or nil)
  field(out, "texts", one.body and table.concat(one.body, " | "))
  field(out, "message", one.message_id)
  field(out, "job", one.job_id)
  field(out, "attempts", one.attempts)
  field(out, "due", one.due_at and output.time(one.due_at) .. (one.held and ", because " .. one.held or ""))
  field(out, "other way", one.way_missing or one.fallback and one.way .. ": " .. one.fallback
    or one.fallback_at and ("%s, due %s"):format(one.way, output.time(one.fallback_at)))
  field(out, "given up", one.give_up_at and output.time(one.give_up_at))
  out:line("  history")
  for _, step in ipairs(one.history or {}) do
    out:line("    %s  %-9s  %s", output.time(step.at), step.state, output.reason(step.state, step.reason))
  end
  if one.statuses and one.statuses[1] then out:line("  1MSG says") end
  for _, status in ipairs(one.statuses or {}) do
    out:line("    %s  %-9s  %s%s%s", output.time(status.at), status.status, status.source,
      status.earlier and ", of an earlier message" or "",
      status.error and ": " .. status.error or "")
  end
end

function M.run(call)
  local flow, err, info = call:desk()
  if not flow then return call:fail(err, info) end
  local one
  one, err, info = flow:show(call.options[1], { time = output.time })
  flow:close()
  if not one and err then return call:fail(err, info) end
  if not one then
    err = ("no confirmation has the id %s"):format(call.options[1])
    call.out:object { error = err, exit = calls.REFUSED }
    return nil, err, calls.REFUSED
  end
  if not call.options.full then
    phones.hide(one)
    if one.resolved then phones.hide(one.resolved) end
  end
  call.out:object(one)
  print_story(call.out, one)
  return true
end

return M
