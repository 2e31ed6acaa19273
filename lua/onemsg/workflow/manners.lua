--- onemsg.workflow.manners: what holds for every way to reach a person, asked right before another way is used: that they
-- may want silence, and that they sleep. And ways that the rules name and nobody has. For onemsg.workflow.
local amend = require "onemsg.outbox.amend"
local json = require "onemsg.base.json"
local only_to = require "onemsg.workflow.only_to"
local quiet = require "onemsg.workflow.quiet"

local M = {}

M.WAITED = 60 -- seconds overdue after which another way is shown as missing …
local OTHERS = 600 -- … and after which one that this workflow lacks is no longer others' work

--- What is done instead of using another way now.
-- @tparam table otherwise of the row, decoded: send, quiet (false: at any hour)
-- @treturn ?table a change for the row; nil: it may be used
-- @treturn string with nil: "store: …"
function M.before(flow, row, otherwise, now)
  local why, err = flow.box:silence(row, now)
  if err then return nil, err end
  why = why and "suppressed: " .. why or not only_to.allows(flow, row.phone, row.person) and only_to.WHY
  if why then return { fallback_at = amend.NONE, note = ("%s: not used; %s"):format(otherwise.send, why) } end
  if otherwise.quiet == false or not row.quiet then return nil end
  local until_at, text = quiet.hold_until(json.decode(row.quiet), now)
  return until_at and { fallback_at = until_at, note = ("%s: held, %s"):format(otherwise.send, text) }
end

--- Which other ways rules name that this workflow does not have, as a sentence; nil: none.
function M.missing(flow, set)
  local names = {}
  for name, place in pairs((set.uses or {}).fallbacks or {}) do
    if not flow.fallback[name] then names[#names + 1] = ('"%s" (%s)'):format(name, place) end
  end
  if #names == 0 then return nil end
  table.sort(names)
  return ("the rules name another way that is not given here: %s; what needs it waits for a worker that has it"):format(
    table.concat(names, ", "))
end

--- That another way of a confirmation was due for minutes, and nobody used it; nil: it was not.
function M.overdue(row, now)
  if not row.fallback_at or row.fallback or row.fallback_at > now - M.WAITED then return nil end
  return ('the other way "%s" is overdue for %.0f min: no worker has it'):format(row.way, (now - row.fallback_at) / 60)
end

--- Says, once, that people wait for another way which nobody used although it was due.
function M.tell_waiting(worker, now)
  local found, err = worker.flow.box:waiting_ways(now - OTHERS)
  if not found then return worker:trouble(err) end
  for name, n in pairs(found) do
    if not worker.waiting_ways[name] then
      worker.flow:alert { alert = "no_way", way = name, reason =
        ('%d confirmations wait for the other way "%s", which this workflow does not have and nobody else used'):format(
          n, name) }
    end
  end
  worker.waiting_ways = found
end

return M
