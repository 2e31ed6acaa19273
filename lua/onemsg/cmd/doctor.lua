--- onemsg doctor: each thing that confirming needs: ok, or what to do about it. The checks are in onemsg.cli.doctor.
local calls = require "onemsg.cli.call"
local doctor = require "onemsg.cli.doctor"

local M = {
  summary = "Check everything that confirming needs, and say what to do",
  options = {
    calls.STORE, calls.RULES, calls.CHANNEL,
    { "url", "URL", "our webhook; else ONE_MSG_WEBHOOK_URL" },
    { "fix", false, "set what can be set: our webhook, and that statuses are posted" },
  },
  examples = { "onemsg doctor", "onemsg doctor --fix --url https://shop.example/hooks/Jq8vT2" },
}

local marks = { ok = "ok  ", fix = "FIX ", note = "note" }

function M.run(call)
  local code
  for _, check in ipairs(doctor.checks) do
    for _, finding in ipairs(check(call) or {}) do
      call.out:object { check = finding.check, state = finding.state, text = finding.text, advice = finding.advice,
                        exit = finding.code }
      call.out:line("%s  %-9s %s", marks[finding.state], finding.check, finding.text)
      if finding.advice then call.out:line("                %s", finding.advice) end
      code = code or finding.code
    end
  end
  if code then return nil, nil, code end
  return true
end

return M
