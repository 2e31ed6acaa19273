--- onemsg audit: who changed what by hand, and when.
local calls = require "onemsg.cli.call"
local csv = require "onemsg.base.csv"
local output = require "onemsg.cli.output"

local M = {
  summary = "Who changed what by hand, and when, the newest first",
  options = { calls.STORE, { "csv", false, "as a CSV" } },
  examples = { "onemsg audit", "onemsg audit --csv" },
}

function M.run(call)
  local flow, err, info = call:desk()
  if not flow then return call:fail(err, info) end
  local options, rows = call.options, { { "AT", "WHO", "WHAT", "ABOUT", "BEFORE", "AFTER" } }
  local list, last
  if options.csv then call.out:raw(csv.line { "at", "who", "what", "about", "before", "after" }) end
  repeat
    list, err, info = flow:audit { after = last }
    if not list then break end
    for _, one in ipairs(list) do
      last = one
      local row = { (options.csv and output.iso or output.time)(one.at), one.by, one.what, one.about, one.before or "",
        one.after or "" }
      if options.csv then
        call.out:raw(csv.line(row))
      else
        call.out:object { at = one.at, by = one.by, what = one.what, about = one.about, before = one.before, after = one.after }
        rows[#rows + 1] = row
      end
    end
  until #list == 0
  flow:close()
  if not list then return call:fail(err, info) end
  if not options.csv then
    if last then call.out:columns(rows) else call.out:line "nothing" end
  end
  return true
end

return M
