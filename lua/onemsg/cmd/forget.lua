--- onemsg forget: a person is forgotten.
local calls = require "onemsg.cli.call"

local M = {
  summary = "Forget a person: events, texts, names and phones; ids and opt-outs stay as keyed digests",
  arguments = { { "PHONE", "as people write numbers, a bsuid, or @username", optional = true } },
  options = {
    calls.STORE,
    { "id", "ID", "instead: whom this confirmation is about" },
    { "country", "CODE", "of a national number, such as BR or 55; else the channel's" },
  },
  examples = { 'onemsg forget "+1 202 072 1369"', "onemsg forget --id order-4711" },
}

function M.run(call)
  local options = call.options
  if (options[1] == nil) == (options.id == nil) then return nil, "forget: give a phone, or --id", calls.USAGE end
  local flow, err, info = call:desk()
  if not flow then return call:fail(err, info) end
  local ok, result
  ok, result, err, info = pcall(flow.forget, flow, { phone = options[1], id = options.id, country = options.country,
    by = calls.person() })
  flow:close()
  if not ok then return nil, (tostring(result):gsub("^.*forget: ", "forget: ")), calls.USAGE end
  if not result then return call:fail(err, info) end
  call.out:object(result)
  call.out:line("forgotten: %d confirmations (%d were queued, and are cancelled), %d names; opt-outs that stay: %d",
    result.confirmations, result.cancelled, result.names, result.suppressions)
  if result.log == false then
    call.out:note(result.left)
    return true, nil, calls.SERVER
  end
  return true
end

return M
