--- onemsg rules check|try: the rules, before they go live.
local calls = require "onemsg.cli.call"
local input = require "onemsg.cli.input"
local phones = require "onemsg.base.phone"

local M = { summary = "Check the rules, or try them on an event", verb_names = { "check", "try" }, verbs = {} }

local FILE = { "FILE", "the rules; else ONE_MSG_RULES, else rules.lua", optional = true }

local function open(call)
  local handle, err = require "onemsg.rules".open(call.options[1] or call:rules_path())
  if not handle then return nil, err end
  return handle:current()
end

M.verbs.check = {
  summary = "Read the rules and run their examples",
  arguments = { FILE },
  options = { { "strict", false, "a warning is a failure: exit code 1" } },
  examples = { "onemsg rules check examples/rules.lua", "onemsg rules check --strict" },
  run = function(call)
    local set, err = open(call)
    if not set then return call:fail(err) end
    local warnings = set:warnings()
    call.out:object { name = set.name, version = set.version, rules = set.rules, warnings = warnings }
    call.out:line("ok  %s, version %s: %d rules, their examples hold", set.name, set.version, #set.rules)
    for _, name in ipairs(set.rules) do call.out:line("    %s", name) end
    for _, one in ipairs(warnings) do call.out:line("warning: %s:%d: %s", set.name, one.line, one.text) end
    if call.options.strict and warnings[1] then
      return nil, ("%d warnings in %s"):format(#warnings, set.name), calls.USAGE
    end
    return true
  end,
}

M.verbs.try = {
  summary = "What the rules make of an event (JSON on standard input); needs no store, sends nothing",
  arguments = { FILE },
  options = { { "event", "FILE", "the event; else standard input" } },
  examples = { [[echo '{"type":"order.paid","order":{"number":"7","total":50},]]
    .. [["customer":{"phone":"+12020721300","whatsapp_ok":true}}' | onemsg rules try examples/rules.lua]] },
  run = function(call)
    local set, err = open(call)
    if not set then return call:fail(err) end
    local source
    source, err = input.open(call.options.event)
    if not source then return call:fail(err) end
    local confirmed
    for item in input.each(source) do
      if type(item.event) ~= "table" then
        return call:fail(item.error or ("invalid: line %d is no event, which is a JSON object"):format(item.line))
      end
      local lines, decisions = set:explain(item.event)
      for _, decision in ipairs(decisions) do
        confirmed = confirmed or decision.confirm
        decision.trace = lines
        phones.hide(decision)
        call.out:object(decision)
      end
      for _, line in ipairs(lines) do call.out:line("%s", line) end
    end
    if confirmed == nil then return call:fail("invalid: there is no event on standard input") end
    return true, nil, not confirmed and calls.SKIPPED or nil
  end,
}

return M
