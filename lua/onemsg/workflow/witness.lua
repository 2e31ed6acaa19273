--- onemsg.workflow.witness: asks the witness of what has left (onemsg.outbox.witness) before something leaves. For
-- onemsg.workflow.worker.
--
-- It is opened with the first look of a loop, and read backwards until the store knows what it remembers: what the store has
-- forgotten, and calls queued, is in doubt from then on. Later, each claim asks. While the witness can't be written, nothing
-- leaves.
local followup = require "onemsg.workflow.followup"
local outcome = require "onemsg.policy.outcome"
local witness = require "onemsg.outbox.witness"

local M = {}

M.SUFFIX = "-witness" -- of the file beside a SQLite store

--- The first directory that systemd made for a service's state.
local function state_directory(core)
  local list = core.getenv "STATE_DIRECTORY"
  return list and list:match "^[^:]+"
end

--- Where it is.
-- @tparam table flow witness: the option; box
-- @treturn ?string|boolean path; false: there is none; nil: there has to be one, and nobody said where
function M.place(flow, core)
  if flow.witness ~= nil then return flow.witness end
  local db = flow.box.db
  if type(db) ~= "userdata" then return false end -- a view of a store: a spec's
  local file = core.database_file(db)
  if file then return file .. M.SUFFIX end
  local directory = state_directory(core)
  return directory and directory .. "/witness"
end

--- Why nothing can be sent.
M.MISSING = "config: witness (ONE_MSG_WITNESS) is missing: a path on this machine's own disk, where it is noted what leaves; "
  .. "false goes without, and then a standby that lacks the last commits sends twice what they said"

local function say(worker, count)
  worker.flow:alert { alert = "forgotten", count = count, reason = ("the store is older than what left from here: a backup, or a "
    .. "standby without the last commits. %d confirmations that had left are not known as such; none of them is sent again, and "
    .. "those that were queued are in doubt"):format(count) }
end

--- Puts in doubt what is queued although it has left.
local function doubt(worker, departures, now)
  local flow = worker.flow
  for _, departure in ipairs(departures) do
    local row, err = flow.box:row(departure.id)
    if err then return nil, err end
    if row and row.state == "queued" and row.departures < departure.n then
      local change = outcome.forgotten(row, departure, now)
      followup.first_look(flow, row, change, now)
      local written = worker:write(row, change)
      if worker.ill then return nil, worker.ill end
      if written then flow:announce(written) end
    end
  end
  return true
end

--- Goes back through what left, until the store knows all of a page.
local function compare(worker, now)
  local total, before = 0, nil
  repeat
    local list, err = worker.witness:page(before)
    if not list then return nil, err end
    local count, queued = worker.flow.box:forgotten(list)
    if not count then return nil, queued end
    local ok
    ok, err = doubt(worker, queued, now)
    if not ok then return nil, err end
    total, before = total + count, list[1] and list[#list].place
  until count == 0
  if total > 0 then say(worker, total) end
  return true
end

local function open(worker, now)
  local flow = worker.flow
  local name, err = flow.box:identity()
  if name then worker.witness, err = witness.open(flow.witness, name) end
  if not worker.witness then return nil, err end
  local ok
  ok, err = compare(worker, now)
  return ok, err
end

function M.close(worker)
  if worker.witness then worker.witness:close() end
  worker.witness = nil
end

local function failed(worker, err)
  M.close(worker) -- it is opened anew with the next look
  worker:trouble(err:find(worker.flow.witness, 1, true) and err
    or ("%s (the witness, %s)"):format(err, worker.flow.witness))
  return false
end

--- May something leave? Part of a look; when not, that is told.
function M.is_ready(worker, now)
  if worker.witness or not worker.flow.witness then return true end
  local ok, err = open(worker, now)
  return ok or failed(worker, err)
end

--- Notes that claimed rows are about to leave.
-- @treturn table those that may; what the store has forgotten is `answered`, as unknown
function M.departing(worker, rows, gate, now)
  local flow = worker.flow
  if not worker.witness or #rows == 0 then return rows end
  local left, err = worker.witness:note(rows, false, now)
  if not left then
    flow.box:give_back(rows[1].owner)
    failed(worker, err)
    return {}
  end
  if not next(left) then return rows end
  local go, count = {}, 0
  for _, row in ipairs(rows) do
    local departure = left[row.id]
    if departure then
      count = count + 1
      local change = outcome.forgotten(row, departure, now)
      followup.first_look(flow, row, change, now)
      worker.answered[#worker.answered + 1] = { row = row, gate = gate, at = now, change = change, measures = {} }
    else
      go[#go + 1] = row
    end
  end
  say(worker, count)
  return go
end

--- Notes that another way is about to begin for a row.
-- @treturn ?table the departure that the store has forgotten; false: it may begin; nil: it may not now, which was told
function M.handing_over(worker, row, now)
  if not worker.witness then return false end
  local left, err = worker.witness:note({ row }, true, now)
  if not left then
    failed(worker, err)
    return nil
  end
  if left[row.id] then say(worker, 1) end
  return left[row.id] or false
end

return M
