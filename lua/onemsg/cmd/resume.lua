--- onemsg resume: a person says that a channel that stopped or was paused, a template, a rule is well again.
local calls = require "onemsg.cli.call"

local M = {
  summary = "What was paused, a stopped channel, or a template that was set aside, goes on: what waited is due now",
  options = {
    calls.STORE,
    { "channel", "NAME", "only this channel of the store; else all" },
    { "template", "NAME", "only this template" },
    { "language", "CODE", "only this language of it" },
    { "rule", "NAME", "only what was paused of this rule" },
  },
  examples = { "onemsg resume", "onemsg resume --template action_success" },
}

function M.run(call)
  local flow, err, info = call:desk()
  if not flow then return call:fail(err, info) end
  local options = call.options
  local result
  result, err, info = flow:resume { channel = options.channel, template = options.template, language = options.language,
    rule = options.rule, by = calls.person() }
  flow:close()
  if not result then return call:fail(err, info) end
  if options.rule and err == 0 then
    return call:fail(("config: no rule '%s' was paused; `onemsg stats` lists what is"):format(options.rule),
      { outcome = "invalid" })
  end
  call.out:object(result)
  call.out:line("resumed; %d waiting, %d of them end within an hour if they do not leave", result.waiting, result.expiring)
  return true
end

return M
