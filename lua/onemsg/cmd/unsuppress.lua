--- onemsg unsuppress: somebody wants messages again.
local calls = require "onemsg.cli.call"

local M = {
  summary = "Send to somebody again; what was skipped for that alone is due now",
  arguments = { { "PHONE", "as people write numbers, a bsuid, or @username" } },
  options = { calls.STORE, { "country", "CODE", "of a national number, such as BR or 55; else the channel's" } },
  examples = { 'onemsg unsuppress "+1 202 072 1369"' },
}

function M.run(call)
  local flow, err, info = call:desk()
  if not flow then return call:fail(err, info) end
  local ok, count
  ok, count, err, info = pcall(flow.unsuppress, flow, call.options[1], { country = call.options.country,
    by = calls.person() })
  flow:close()
  if not ok then return nil, (tostring(count):gsub("^.*unsuppress: ", "unsuppress: ")), calls.USAGE end
  if not count then return call:fail(err, info) end
  call.out:object { lifted = count }
  if count == 0 then
    call.out:line "they were not suppressed"
    return true, nil, calls.REFUSED
  end
  call.out:line("lifted: %d", count)
  return true
end

return M
