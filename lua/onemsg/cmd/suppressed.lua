--- onemsg suppressed: to whom nothing is sent, and why.
local calls = require "onemsg.cli.call"
local csv = require "onemsg.base.csv"
local output = require "onemsg.cli.output"
local phones = require "onemsg.base.phone"

local M = {
  summary = "To whom nothing is sent, and why, the newest first",
  options = {
    calls.STORE,
    { "full", false, "whole phones" },
    { "csv", false, "as a CSV, with whole phones, as `onemsg suppress --file` reads it" },
  },
  examples = { "onemsg suppressed", "onemsg suppressed --csv" },
}

function M.run(call)
  local flow, err, info = call:desk()
  if not flow then return call:fail(err, info) end
  local options, rows, count = call.options, { { "SINCE", "PHONE", "CHANNEL", "UNTIL", "BY", "REASON" } }, 0
  if options.csv then call.out:raw(csv.line { "phone", "channel", "since", "until", "by", "reason" }) end
  local list, last
  repeat
    list, err, info = flow:suppressed { after = last }
    if not list then break end
    for _, one in ipairs(list) do
      local phone = one.phone
      last, count = one, count + 1
      if options.csv then
        call.out:raw(csv.line { phone, one.channel, output.iso(one.created_at), output.iso(one.until_at), one.source,
          one.reason })
      else
        local shown = {}
        for name, value in pairs(one) do shown[name] = value end
        shown.phone = options.full and phone or phones.mask(phone)
        call.out:object(shown)
        rows[#rows + 1] = { output.time(one.created_at), shown.phone, one.channel == "" and "all" or one.channel,
          one.until_at and output.time(one.until_at) or "for good", one.source, one.reason }
      end
    end
  until #list == 0
  flow:close()
  if not list then return call:fail(err, info) end
  if not options.csv then
    if count > 0 then call.out:columns(rows) else call.out:line "nobody" end
  end
  return true
end

return M
