--- onemsg list: confirmations, the newest change first.
local calls = require "onemsg.cli.call"
local output = require "onemsg.cli.output"
local phones = require "onemsg.base.phone"

local M = {
  summary = "Confirmations, the newest change first",
  options = {
    calls.STORE,
    { "state", "STATE", "queued, sending, accepted, delivered, read, skipped, rejected, unknown, failed …" },
    { "rule", "NAME", "of this rule" },
    { "type", "TYPE", "of this event type" },
    { "phone", "NUMBER", "to this person; the number as people write numbers" },
    { "bsuid", "ID", "the same, by their business-scoped user id" },
    { "username", "NAME", "the same, by their username" },
    { "country", "CODE", "of a national number, such as BR or 55; else the channel's" },
    { "since", "TIME", "changed within this time, such as 2h", seconds = true },
    { "limit", "N", "at most so many (100; 1000 at most)", number = 1 },
  },
  examples = { "onemsg list --state unknown", "onemsg list --phone 12020721300 --since 1d --json" },
}

function M.run(call)
  local flow, err, info = call:desk()
  if not flow then return call:fail(err, info) end
  local options = call.options
  local by = { state = options.state, rule = options.rule, type = options.type, limit = options.limit,
    phone = options.phone, bsuid = options.bsuid, username = options.username, country = options.country,
    since = options.since and flow.now() - options.since or nil }
  local ok, list
  ok, list, err, info = pcall(flow.list, flow, by)
  flow:close()
  if not ok then return nil, (tostring(list):gsub("^.*list: ", "list: ")), calls.USAGE end
  if not list then return call:fail(err, info) end
  local rows = { { "CHANGED", "STATE", "ID", "PHONE", "RULE", "REASON" } }
  for _, one in ipairs(list) do
    phones.hide(one)
    call.out:object(one)
    rows[#rows + 1] = { output.time(one.changed_at), one.state, one.id, one.recipient or "", one.rule or "",
                        output.reason(one.state, one.reason) }
  end
  if list[1] then call.out:columns(rows) else call.out:line("nothing") end
  return true
end

return M
