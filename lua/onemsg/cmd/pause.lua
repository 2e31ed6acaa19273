--- onemsg pause: a person stops the messages of a channel, a template or a rule.
local calls = require "onemsg.cli.call"

local M = {
  summary = "Stop the messages of a channel, a template or a rule; they stay queued until `onemsg resume`",
  options = {
    calls.STORE,
    { "channel", "NAME", "of this channel of the store" },
    { "template", "NAME", "of this template" },
    { "rule", "NAME", "of this rule" },
    { "reason", "TEXT", "why, for whoever asks" },
  },
  examples = { 'onemsg pause --rule "Big order" --reason "wrong price in the text"', "onemsg pause --channel main" },
}

function M.run(call)
  local options = call.options
  local flow, err, info = call:desk()
  if not flow then return call:fail(err, info) end
  local ok, result
  ok, result, err, info = pcall(flow.pause, flow, { channel = options.channel, template = options.template,
    rule = options.rule, reason = options.reason, by = calls.person() })
  flow:close()
  if not ok then return nil, (tostring(result):gsub("^.*pause: ", "pause: "):gsub("pause takes", "pause: give")), calls.USAGE end
  if not result then return call:fail(err, info) end
  call.out:object(result)
  call.out:line("paused; %d waiting, %d of them end within an hour if they do not leave", result.waiting, result.expiring)
  return true
end

return M
