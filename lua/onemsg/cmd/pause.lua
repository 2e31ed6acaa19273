--- onemsg pause: a person stops the messages of a channel, a template or a rule.
local calls = require "onemsg.cli.call"
local environment = require "onemsg.channel.environment"
local suggest = require "onemsg.base.suggest"

local M = {
  summary = "Stop the messages of a channel, a template or a rule; they stay queued until `onemsg resume`",
  options = {
    calls.STORE, calls.RULES,
    { "channel", "NAME", "of this channel of the store" },
    { "template", "NAME", "of this template" },
    { "rule", "NAME", "of this rule" },
    { "reason", "TEXT", "why, for whoever asks" },
  },
  examples = { 'onemsg pause --rule "Big order" --reason "wrong price in the text"', "onemsg pause --channel main" },
}

local KINDS = { "channel", "template", "rule" }

--- What the rules at hand call so, as a set; nil: there are none at hand. The store itself knows its channels.
local function known(call, kind)
  local handle = kind ~= "channel" and require "onemsg.rules".open(call:rules_path())
  if not handle then return nil end
  local set = handle:current()
  local names = {}
  if kind == "rule" then
    for _, name in ipairs(set.rules) do names[name] = true end
  else
    for name in pairs(set.templates) do names[name] = true end
    names[environment.value(nil, "TEMPLATE") or next(names) or ""] = true
  end
  return names
end

--- A name that nobody has pauses nothing, and looks as if it did.
local function wrong_name(call, flow, kind, name)
  local names = known(call, kind)
  if not names or names[name] then return nil end
  local waits = flow.box:count_paused(kind, name, 0)
  if waits and waits.waiting > 0 then return nil end
  return ("config: there is no %s '%s' in %s, and no message of it waits%s"):format(kind, name, call:rules_path(),
    suggest.phrase(name, names))
end

function M.run(call)
  local options, kind = call.options, nil
  for _, one in ipairs(KINDS) do
    if options[one] and kind then return nil, ("pause: give --%s or --%s, one of them"):format(kind, one), calls.USAGE end
    kind = options[one] and one or kind
  end
  if not kind then return nil, "pause: say what: --channel, --template or --rule, with its name", calls.USAGE end
  local flow, err, info = call:desk()
  if not flow then return call:fail(err, info) end
  local result, wrong = nil, wrong_name(call, flow, kind, options[kind])
  if not wrong then
    result, err, info = flow:pause { [kind] = options[kind], reason = options.reason, by = calls.person() }
  end
  flow:close()
  if wrong then return call:fail(wrong, { outcome = "invalid" }) end
  if not result then return call:fail(err, info) end
  call.out:object(result)
  call.out:line("paused; %d waiting, %d of them end within an hour if they do not leave", result.waiting, result.expiring)
  return true
end

return M
