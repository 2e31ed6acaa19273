--- onemsg.workflow.ways: other ways to reach a person, beside the loop that sends. For onemsg.workflow.worker.
--
-- A way is marked as handed over, on disk, and only then begun; it is begun once (again, if it says
-- itself that it could not be begun). How it runs is `spawn`'s to say: as a
-- light thread (nginx), as a program (the command), or, where there is none, at once, one function a turn of the loop, so
-- that messages leave between two. So many run at a time, each so long; what came of one is recorded when it ends, and
-- kept in memory until the store takes it.
local cjson = require "cjson"
local amend = require "onemsg.outbox.amend"
local manners = require "onemsg.workflow.manners"
local phones = require "onemsg.base.phone"
local plain = require "onemsg.base.utf8"
local witness -- at the first way: it needs followup, which needs this

local M = {}

M.TIMEOUT = 60 -- seconds that a way may take
M.WINDOW = 8   -- ways of one workflow that run at a time
local NONE = amend.NONE
local TRIES = 8 -- to record what came of one, while others change the row
local BEYOND = 15 -- seconds more until others may take its process for dead: for the store
local SAID = 300 -- bytes of what a way returned
local NOT_BEGUN = "not begun" -- what came of one that could not be begun
local FIRST_WAIT, MOST_WAIT = 30, 1800 -- seconds until one that could not be begun is tried again

--- What a worker knows of its ways.
function M.new()
  return { running = {}, count = 0, ready = {}, begun = 0, open = {}, broken = {} }
end

--- How many more may begin now.
local function room(worker)
  local ways = worker.ways
  if worker.flow.beside then return worker.flow.fallback_window - ways.count end
  return 1 - ways.begun
end

--- How many more confirmations that are due may be taken up.
function M.room(worker)
  return math.max(0, room(worker) - #worker.ways.ready)
end

--- Is anything under way that will end, or ready to begin?
function M.is_busy(worker)
  return #worker.ways.ready > 0 or M.is_running(worker)
end

function M.is_running(worker)
  for _, way in pairs(worker.ways.running) do -- what can't be ended is not waited for
    if way.word or type(way.handle) == "table" and not way.loose then return true end
  end
  return false
end

--- Can one begin without anything else happening?
function M.is_ready(worker)
  return #worker.ways.ready > 0 and (not worker.flow.beside or room(worker) > 0)
end

-- What came of it ---------------------------------------------------------------------------------------------------

local function forget(worker, way)
  if worker.ways.running[way.id] == way then
    worker.ways.running[way.id], worker.ways.count = nil, worker.ways.count - 1
    worker.look_at = 0 -- another one may begin
  end
end

--- What is stored of a way that has ended. One that was not begun reached nobody: it is due again.
local function change_of(worker, way)
  if way.word ~= NOT_BEGUN then return { fallback = way.word, fallback_lease = NONE, note = way.said } end
  return { fallback = NONE, fallback_lease = NONE, fallback_at = worker.flow.now() + way.wait, note = way.said }
end

--- Records what came of a way; what the store does not take is kept for the next turn.
local function note(worker, way)
  if way.noting or not way.word then return end
  way.noting = true
  local box, word = worker.flow.box, way.word
  for _ = 1, TRIES do
    local row, err = box:row(way.id)
    if not row then
      if not err then way.word = nil break end -- the confirmation is gone
      worker:trouble(err)
      break
    end
    if worker:write(row, change_of(worker, way)) then
      if way.word == word then way.word = nil end
      break
    end
    if worker.ill then break end
  end
  way.noting = false
  if not way.word and not way.loose then forget(worker, way) end
end

--- A way says that it could not be begun, so nobody was reached. That is said once, until it can be.
local function not_begun(worker, way, why)
  local broken = worker.ways.broken
  broken[way.name] = (broken[way.name] or 0) + 1
  way.wait = math.min(MOST_WAIT, FIRST_WAIT * 2 ^ math.min(broken[way.name] - 1, 10))
  way.word, way.loose = NOT_BEGUN, nil
  why = plain.repair(plain.line(tostring(why)), SAID)
  way.said = ("%s: not begun (%s); it is tried again"):format(way.name, why)
  if broken[way.name] == 1 then
    worker.flow:alert { alert = "fallback", id = way.id, way = way.name, reason =
      ('the other way "%s" can\'t be begun: %s. Whoever needs it waits until it can'):format(way.name, why) }
  end
  note(worker, way)
end

local function ended(worker, way, ok, result, why, info)
  if way.stopping then return end -- by us: what is known of it stands already
  if ok and not result and type(info) == "table" and info.not_begun == true then return not_begun(worker, way, why) end
  worker.ways.broken[way.name] = nil
  local good = ok and (result or result == nil and why == nil)
  local detail = good and result ~= true and result or not good and (ok and why or result) or nil
  way.word, way.loose = good and "done" or "failed", nil
  way.said = ("%s: %s%s"):format(way.name, way.word,
    detail ~= nil and " (" .. plain.repair(plain.line(tostring(detail)), SAID) .. ")" or "")
  note(worker, way)
end

--- A way took longer than it may. Perhaps it reached the person, so nobody knows.
local function overdue(worker, way)
  local stop = type(way.handle) == "table" and way.handle.stop
  way.over, way.stopping = true, true
  way.stopping = stop and stop() and true or false
  way.word = "unknown"
  way.said = ("%s: unknown; it was not done within %g s%s"):format(way.name, worker.flow.fallback_timeout,
    way.stopping and ", and was ended" or ", and can't be ended")
  way.loose = not way.stopping or nil
  worker.flow:alert { alert = "fallback", id = way.id, reason = way.said .. ". It is not called again" }
  note(worker, way)
end

-- Beginning ---------------------------------------------------------------------------------------------------------

local function notice_of(row, otherwise)
  local message = cjson.decode(row.message)
  return phones.tell({ id = row.id, type = row.type, rule = row.rule, version = row.version, channel = row.channel,
    body = message.body, state = row.state, reason = row.reason, code = row.code,
    message_id = row.message_id, send = otherwise.send, text = otherwise.text, event = cjson.decode(row.event) },
    row.phone, row.person)
end

--- Notes that it is about to begin, and asks whether it had begun already, which the store may have forgotten.
local function may_begin(worker, row, name, lease)
  witness = witness or require "onemsg.workflow.witness"
  local departure = witness.handing_over(worker, row, worker.flow.now())
  if departure == false then return true end
  if not departure then
    worker.ways.open[row.id] = lease -- it was not begun: due again
  else
    worker:write(row, { fallback = "unknown", fallback_lease = NONE, departures = departure.n, note = name
      .. ": unknown; it had left before, one way or another, which the store forgot. It is not called again" })
  end
  return false
end

--- Marks it as handed over, on disk; then begins it. Unless they are not to be reached now.
local function begin(worker, row)
  local flow, ways = worker.flow, worker.ways
  local otherwise = cjson.decode(row.otherwise)
  local change, err = manners.before(flow, row, otherwise, flow.now())
  if err then return worker:trouble(err) end
  if change then return worker:write(row, change) end
  local call, lease = flow.fallback[otherwise.send], flow.now() + flow.fallback_timeout + BEYOND
  local notice = notice_of(row, otherwise)
  ways.begun = ways.begun + 1
  local marked = worker:write(row, { fallback = "handed_over", fallback_lease = lease, fallback_at = NONE,
    retry_at = NONE, departures = row.departures + 1, guard = amend.UNDELIVERED,
    note = ("%s: handed over"):format(otherwise.send) })
  if not marked then
    ways.open[row.id] = worker.ill and lease -- it may be marked all the same, by a commit that failed
    return
  end
  if not may_begin(worker, marked, otherwise.send, lease) then return end
  flow.counted.fallbacks = flow.counted.fallbacks + 1
  local way = { id = row.id, name = otherwise.send, over_at = flow.steady() + flow.fallback_timeout }
  ways.running[row.id], ways.count = way, ways.count + 1
  local good, handle = pcall(flow.spawn, function() ended(worker, way, pcall(call, notice)) end)
  if good then
    way.handle = handle
  elseif ways.running[way.id] == way then -- it could not be begun
    ended(worker, way, false, handle)
  else
    error(handle, 0)
  end
end

--- Uses the rule's other way, now or when there is room.
function M.fall_back(worker, row)
  local flow, ways = worker.flow, worker.ways
  if worker.ending then return worker:write(row, {}) end -- due, for whoever comes next
  if #ways.ready == 0 and room(worker) > 0 then return begin(worker, row) end
  ways.ready[#ways.ready + 1] = { row = row, till = flow.steady() + flow.lease / 2 } -- its attend_until is a lease away
end

--- A turn of the loop: goes on with those that run, and begins what is ready.
function M.turn(worker)
  local flow, ways = worker.flow, worker.ways
  ways.begun = 0
  local list = {}
  for _, way in pairs(ways.running) do list[#list + 1] = way end
  for _, way in ipairs(list) do
    local go_on = type(way.handle) == "table" and way.handle.turn
    if go_on and not way.word and not way.over then go_on() end
    if way.word then
      note(worker, way)
    elseif not way.over and flow.steady() >= way.over_at then
      overdue(worker, way)
    end
  end
  while #ways.ready > 0 and room(worker) > 0 and not worker.ill do
    local one = table.remove(ways.ready, 1)
    if flow.steady() < one.till then begin(worker, one.row) end -- else whoever finds it due takes it up
  end
end

-- Of others ---------------------------------------------------------------------------------------------------------

--- Hand-overs whose mark may have been stored though the store said no: nothing was called, so they are due again.
function M.take_back(worker)
  local box, now = worker.flow.box, worker.flow.now()
  for id, lease in pairs(worker.ways.open) do
    local row, err = box:row(id)
    if err then return worker:trouble(err) end
    if row and row.fallback == "handed_over" and row.fallback_lease == lease then
      worker:write(row, { fallback = NONE, fallback_lease = NONE, fallback_at = now,
        note = ("%s: not called; the store failed just then"):format(cjson.decode(row.otherwise).send) })
      if worker.ill then return end
    end
    worker.ways.open[id] = nil
  end
end

--- Hand-overs of processes that died.
function M.find_lost(worker, now)
  local rows, err = worker.flow.box:lost(now)
  if not rows then return worker:trouble(err) end
  for _, row in ipairs(rows) do
    if not worker.ways.running[row.id] then
      local name = cjson.decode(row.otherwise).send
      worker:write(row, { fallback = "unknown", fallback_lease = NONE, note = name
        .. ": unknown; the process that called it ended before it said what came of it. It is not called again" })
    end
  end
end

return M
