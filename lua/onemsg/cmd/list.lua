--- onemsg list: confirmations, the newest change first.
local calls = require "onemsg.cli.call"
local csv = require "onemsg.base.csv"
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
    { "find", "TEXT", "with this text anywhere: an order number, a name, the last digits of a phone" },
    { "since", "TIME", "changed within this time, such as 2h, or since a day: 2026-11-26", past = true },
    { "limit", "N", "at most so many (100; with --csv all)", number = 1 },
    { "csv", false, "for a spreadsheet" },
    { "full", false, "whole phones" },
  },
  examples = { "onemsg list --state unknown", "onemsg list --phone 12020721300 --since 1d --json",
    "onemsg list --find order-4711", "onemsg list --since 2026-11-01 --csv" },
}

local PAGE = 1000
local COLUMNS = { "changed_at", "state", "id", "type", "rule", "recipient", "channel", "template", "language", "message_id",
  "code", "attempts", "reason" }

--- What is found, a page at a time.
-- @tparam function act called with each
-- @treturn ?number how many there were
local function each(flow, by, limit, act)
  local count = 0
  repeat
    by.limit = math.min(PAGE, limit - count)
    local list, err, info = flow:list(by)
    if not list then return nil, err, info end
    for _, one in ipairs(list) do act(one) end
    count, by.after = count + #list, list[#list]
  until #list < by.limit or count >= limit
  return count
end

--- How one that was found is printed, and what is printed at the end.
local function printer(call)
  local options, out = call.options, call.out
  if options.csv then
    out:raw(csv.line(COLUMNS))
    return function(one)
      local row = {}
      for n, name in ipairs(COLUMNS) do row[n] = name == "changed_at" and output.iso(one[name]) or one[name] or "" end
      out:raw(csv.line(row))
    end, function() end
  end
  local rows = { { "CHANGED", "STATE", "ID", "PHONE", "RULE", "REASON" } }
  return function(one)
    out:object(one)
    rows[#rows + 1] = { output.time(one.changed_at), one.state, one.id, one.recipient or "", one.rule or "",
                        output.reason(one.state, one.reason) }
  end, function()
    if rows[2] then out:columns(rows) else out:line("nothing") end
  end
end

function M.run(call)
  local flow, err, info = call:desk()
  if not flow then return call:fail(err, info) end
  local options = call.options
  local by = { state = options.state, rule = options.rule, type = options.type, find = options.find,
    phone = options.phone, bsuid = options.bsuid, username = options.username, country = options.country,
    since = options.since and flow.now() - options.since or nil }
  local tell, finish = printer(call)
  local ok, count
  ok, count, err, info = pcall(each, flow, by, options.limit or options.csv and math.huge or 100, function(one)
    tell(options.full and one or phones.hide(one))
  end)
  flow:close()
  if not ok then return nil, (tostring(count):gsub("^.*list: ", "list: ")), calls.USAGE end
  if not count then return call:fail(err, info) end
  finish()
  return true
end

return M
