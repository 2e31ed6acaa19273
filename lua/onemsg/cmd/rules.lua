--- onemsg rules check|try: the rules, before they go live.
local calls = require "onemsg.cli.call"
local input = require "onemsg.cli.input"
local output = require "onemsg.cli.output"
local phones = require "onemsg.base.phone"
local suggest = require "onemsg.base.suggest"

local M = { summary = "Check the rules, try them on an event or on all that is stored, and see earlier ones",
  verb_names = { "check", "try", "backtest", "log", "show" }, verbs = {} }

local FILE = { "FILE", "the rules; else ONE_MSG_RULES, else rules.lua", optional = true }

local function open(call)
  local handle, err = require "onemsg.rules".open(call.options[1] or call:rules_path())
  if not handle then return nil, err end
  return handle:current()
end

--- Texts by a workflow on the store: with `open` "flow", also the channel and the rules at work.
local function with(call, opener, act)
  local flow, err, info = call[opener](call)
  if not flow then return call:fail(err, info) end
  local found
  found, err, info = act(flow)
  flow:close()
  if not found then return call:fail(err, info) end
  return found
end

M.verbs.check = {
  summary = "Read the rules and run their examples",
  arguments = { FILE },
  options = { { "strict", false, "a warning is a failure: exit code 1" },
    { "store", "TARGET", "also against the events and templates of a store, such as sqlite:confirmations.db" },
    { "since", "TIME", "with --store: only events of this time, such as 7d", seconds = true } },
  examples = { "onemsg rules check examples/rules.lua", "onemsg rules check --strict",
    "onemsg rules check --store sqlite:confirmations.db" },
  run = function(call)
    local set, err = open(call)
    if not set then return call:fail(err) end
    local warnings = set:warnings()
    if call.options.store then
      local more, wrong, code = with(call, "desk", function(flow)
        return flow:rules_against(set, { since = call.options.since })
      end)
      if not more then return nil, wrong, code end
      for _, one in ipairs(more) do warnings[#warnings + 1] = one end
    end
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

local function said(list)
  local texts = {}
  for n, one in ipairs(list) do
    texts[n] = ("%s to %s: %s"):format(one.rule or "?", one.recipient, table.concat(one.body or {}, " | "))
  end
  return texts[1] and table.concat(texts, "; ") or "nothing"
end

M.verbs.backtest = {
  summary = "What edited rules would have made of the events in the store; writes nothing, sends nothing",
  arguments = { { "FILE", "the edited rules" } },
  options = { calls.STORE, calls.RULES, { "since", "TIME", "only events of this time, such as 7d", seconds = true },
    { "limit", "N", "at most so many events", number = 1 } },
  examples = { "onemsg rules backtest new.lua --since 7d" },
  run = function(call)
    local given = call.options
    local result, message, code = with(call, "flow", function(flow)
      return flow:backtest { rules = given[1], since = given.since, limit = given.limit }
    end)
    if not result then return nil, message, code end
    call.out:object(result)
    call.out:line("%d events: %d the same, %d newly confirmed, %d no longer, %d in other words, %d to others, %d failed",
      result.events, result.same, result.confirmed, result.dropped, result.reworded, result.readdressed, result.failed)
    local names = suggest.words(result.rules)
    local rows = { { "RULE", "BEFORE", "AFTER" } }
    for n, name in ipairs(names) do rows[n + 1] = { name, result.rules[name].before, result.rules[name].after } end
    call.out:columns(rows)
    for _, one in ipairs(result.samples) do
      call.out:line("%s %s (%s)%s\n  before: %s\n  after:  %s", one.kind, one.id, one.type,
        one.reason and ": " .. one.reason or "", said(one.before), said(one.after))
    end
    return true
  end,
}

M.verbs.log = {
  summary = "The rules that decided something: their versions, and when each first did",
  options = { calls.STORE },
  examples = { "onemsg rules log" },
  run = function(call)
    local list, message, code = with(call, "desk", function(flow) return flow:rules_log() end)
    if not list then return nil, message, code end
    local rows = { { "SINCE", "VERSION", "FILE", "BYTES" } }
    for _, one in ipairs(list) do
      call.out:object(one)
      rows[#rows + 1] = { output.time(one.at), one.version, one.name, one.bytes }
    end
    call.out:columns(rows)
    return true
  end,
}

M.verbs.show = {
  summary = "The text of rules that decided something",
  arguments = { { "VERSION", "as `rules log` and `show` say it, or its beginning" } },
  options = { calls.STORE },
  examples = { "onemsg rules show 3f2a" },
  run = function(call)
    if #call.options[1] < 4 then return nil, "rules show takes 4 letters of a version at least", calls.USAGE end
    local one, message, code = with(call, "desk", function(flow) return flow:rules_text(call.options[1]) end)
    if not one then return nil, message, code end
    call.out:object(one)
    if not call.options.json then call.out:raw(one.source) end
    return true
  end,
}

return M
