--- onemsg.workflow.worker: the loop that sends what is due. For onemsg.workflow.
--
-- A turn: take in what was answered and record it; look what there is to do; recover, expire, probe; claim what may
-- leave now, and send all of it. Between turns it waits for an answer, for the next due time, or a quarter of a second
-- (several machines: less).
-- An answer stays in memory until the store has it: a full disk delays the record, and loses it only when the loop must
-- end before there is room; then what came of each such send is told.
-- Deadlines in memory (look_at, next_due …) are by flow.steady(); `now` is the store's time (onemsg.workflow.clock).
local cjson = require "cjson"
local attempt = require "onemsg.base.check".attempt
local followup = require "onemsg.workflow.followup"
local core
local fold = require "onemsg.workflow.fold"
local outcome = require "onemsg.policy.outcome"
local health = require "onemsg.workflow.health"
local pace = require "onemsg.pace"
local quiet = require "onemsg.workflow.quiet"
local planner = require "onemsg.workflow.plan"
local templates = require "onemsg.workflow.templates"
local ways = require "onemsg.workflow.ways"
local witness = require "onemsg.workflow.witness"
local log = require "onemsg.workflow.log"
local only_to = require "onemsg.workflow.only_to"
local NONE = require "onemsg.outbox.amend".NONE
local retention = require "onemsg.workflow.retention"
local phones = require "onemsg.base.phone"

local M = {}

local Worker = {}
Worker.__index = Worker
for name, method in pairs(health.methods) do Worker[name] = method end

local IDLE = 0.25   -- seconds between two looks at a store where nothing is due
-- The same for a store that other machines submit to, which can't wake us: after a look that found work, and at most.
local AFTER_WORK, AT_MOST = 0.05, 0.1
local NEXT = 0.02   -- seconds, at most, until a gate is asked again that another machine had in hand
local TROUBLE = 1   -- seconds until a store that failed is asked again
local PATIENCE = 5  -- seconds that a store which refuses everything is waited for at the end

--- @tparam table flow see onemsg.workflow
function M.new(flow)
  core = core or require "onemsg.core"
  flow.witness = witness.place(flow, core)
  return setmetatable({
    flow = flow,
    done = { [0] = 0 },     -- the group of pendings that ended (see send_each), read up to `taken`
    taken = 0,
    flying = {}, count = 0, -- pending → { row, gate }, or { land = function(flight) }
    answered = {},          -- { row, gate, answer }: to be recorded
    doubts = {}, lost = {}, gates = {}, parked = {}, stranded = {}, stranded_at = 0, waiting_ways = {},
    passed = {}, -- see onemsg.workflow.health
    look_at = 0,
    next_due = math.huge, beliefs = flow.clock.beliefs,
    recorded = 0, troubles = 0, keeping = { at = 0, step = 1 }, -- see onemsg.workflow.retention
    ill = nil, ill_since = nil, told = {}, -- what a store says that fails, from when on, and what was told of it
    channels = {}, ways = ways.new(), upkeep_at = 0, asking = 0, asked = 0, asked_since = 0, -- see onemsg.workflow.followup
  }, Worker)
end

--- Something became due through this very process: look at once. In nginx the waiting light thread is woken as well.
function Worker:wake()
  self.look_at = 0
  if self.on_wake then self.on_wake() end
end

function Worker:trouble(err)
  local at = self.flow.steady()
  self.troubles = self.troubles + 1
  self.look_at = at + TROUBLE
  self.ill, self.ill_since = err, self.ill_since or at
  if self.told[err] then return end
  self.told[err] = true
  self.flow:alert { alert = "store", reason = err }
end

--- Writes a change of a row and tells of it.
-- @treturn ?table the row as it is now; nil: it was changed by somebody else, or the store failed (which is told)
function Worker:write(row, change, more)
  local flow = self.flow
  local now = flow.now()
  change.attend_until = change.attend_until or NONE
  local changed, err = flow.box:amended(flow.box:amend(row, change, now, more))
  if changed then
    log.amended(flow, changed, change, now)
  elseif not err:find("^conflict:") then
    self:trouble(err)
  end
  return changed
end

--- Send ------------------------------------------------------------------------------------------------------------

--- Begins an operation; its end appends to `done`. A channel that is a plain table (a simulation) is ready at once.
function Worker:begin(channel, operation, flight, ...)
  local ok, pending, err, info
  if flight.fence and type(channel) == "userdata" then
    ok, pending, err, info = attempt(core.send_in, channel, self.done, flight.fence.wall, flight.fence.steady, ...)
  elseif type(channel) == "userdata" then
    ok, pending, err, info = attempt(core.async_in, channel, self.done, operation, ...)
  else
    ok, pending, err, info = pcall(channel.async, channel, operation, ...)
    if ok and pending then
      self.done[0] = self.done[0] + 1
      self.done[self.done[0]] = pending
    end
  end
  if ok and pending then
    self.flying[pending], self.count = flight, self.count + 1
    return
  end
  if not ok then pending, err, info = nil, "invalid: " .. tostring(pending), { outcome = "invalid" } end
  flight.answer = { pending, err, info }
  self.answered[#self.answered + 1] = flight
end

local function message_of(row)
  return planner.to_send(cjson.decode(row.message))
end

--- What was claimed leaves now, all of it, or not at all once the lease is over; only then the world is told.
function Worker:send(rows, gate, trying)
  for _, row in ipairs(rows) do
    local flight = { row = row, gate = gate, fence = self.fence }
    for _, park in ipairs(trying) do
      if park.template == row.template and park.language == row.language then flight.tries = true end
    end
    local message = message_of(row)
    local wrong = not only_to.allows(self.flow, row.phone, row.person) and only_to.WHY -- taken by who may write to more people
      or templates.wrong_ttl(self.flow, row.channel, message)
    if not wrong then
      self:begin(self.flow.channels[row.channel], "send", flight, message)
    else
      flight.answer = { nil, "invalid: " .. wrong, { outcome = "invalid" } }
      self.answered[#self.answered + 1] = flight
    end
  end
  self.flow.counted.attempts = self.flow.counted.attempts + #rows
  for _, row in ipairs(rows) do self.flow:announce(row) end
end

--- Moves what ended from `done` to `answered`.
function Worker:collect()
  while self.taken < self.done[0] do
    self.taken = self.taken + 1
    local pending = self.done[self.taken]
    self.done[self.taken] = nil
    local flight = self.flying[pending]
    self.flying[pending], self.count = nil, self.count - 1
    flight.answer = { pending:wait() }
    self.answered[#self.answered + 1] = flight
  end
  self.done[0], self.taken = 0, 0
end

--- Record ----------------------------------------------------------------------------------------------------------

--- Puts all answers into the store, in units that share a commit. What the store refuses stays for the next turn.
function Worker:record()
  local flow, begun, left, joined = self.flow, {}, {}, {}
  local answered = self.answered
  self.answered = {}
  for _, flight in ipairs(answered) do
    if flight.land then
      flight:land()
      self.look_at = 0
    else
      if not flight.change then
        flight.at = flow.now()
        if flight.answer[2] then flight.answer[2] = phones.redact(flight.answer[2], flight.row.phone) end
        flight.change, flight.measures =
          outcome.verdict(flight.row, flight.answer, flight.at, flow.random,
            { parked = self:is_parked(flight.row), cleared_at = self:cleared_at(flight.row.channel) })
        followup.first_look(flow, flight.row, flight.change, flight.at)
        self:foresee(flight.row, flight.measures)
      end
      local record, err = flow.box:record(flight.row, flight.change, flight.at)
      flight.record = record
      begun[#begun + 1] = flight
      if not record then self:trouble(err) end
    end
  end
  for _, flight in ipairs(begun) do
    local row, mine
    if flight.record then row, mine = flow.box:recorded(flight.record) end
    if row then
      self.recorded = self.recorded + 1
      if mine then flow:announce(row) end
      self:measure(row, flight.gate, flight.measures, flight.tries)
      joined[#joined + 1] = row
    else
      left[#left + 1] = flight
      if mine then self:trouble(mine) end -- an error, then
    end
  end
  for _, flight in ipairs(self.answered) do left[#left + 1] = flight end -- begun, and ended at once, by a landing
  self.answered = left
  fold.join(flow, joined) -- what hooks said of them before; a failure is made up for by the upkeep
end

--- Look ------------------------------------------------------------------------------------------------------------

--- Something is due at a time of the store.
function Worker:due_at(time)
  if not time then return end
  local at = self.flow.steady() + (time - self.flow.now())
  if at < self.next_due then self.next_due = at end
end

--- What the clock has to say, and what follows from it.
local function mind_clock(self)
  local flow, clock = self.flow, self.flow.clock
  clock:watch()
  local ok, err = clock:share(flow.box)
  if not ok then return self:trouble(err) end
  flow:tell_clock()
  if clock.beliefs == self.beliefs then return end
  self.beliefs = clock.beliefs
  self.parked, self.passed = {}, {} -- by the time before
  self.upkeep_at = 0
end

--- Housekeeping that is due at a time: when that has come, runs until there are no more rows.
function Worker:sweep(time, now, method, in_flight)
  if not time then return end
  if time > now then return self:due_at(time) end
  repeat
    local rows, err = self.flow.box[method](self.flow.box, now, in_flight)
    if not rows then return self:trouble(err) end
    for _, row in ipairs(rows) do self.flow:announce(row) end
  until #rows == 0
  self:due_at(now) -- others' time may come next
end

--- Seconds until the store is asked again although nothing is known to become due.
local function idle(self)
  if not self.flow.box.several then return IDLE end
  return self.found and AFTER_WORK or AT_MOST * (1 + self.flow.random()) / 2
end

--- Claims and sends what may leave through one gate.
-- @treturn ?number when to look at this gate again; nil: when something changes
function Worker:serve(gate, now)
  if not gate.due_at then return nil end
  if gate.due_at > now then return gate.due_at end
  local free = self.flow.window - self.count - #self.answered
  if free <= 0 then return nil end
  local room, again = pace.room(gate, now, self.flow.limits)
  if room == 0 then return again end
  local wanted = math.min(room, free)
  local awake, trouble = quiet.ask(self.flow, gate.name, now)
  if not awake then
    self:trouble(trouble)
    return now + TROUBLE
  end
  local rows, err, trying = self.flow.box:claim(gate, wanted, pace.cost(gate, now, self.flow.limits), now, self.flow.lease,
    self.flow.gap)
  if not rows then
    if err:find("^conflict:") then -- somebody was faster
      return self.flow.box.several and now + NEXT * self.flow.random() or now
    end
    self:trouble(err)
    return now + TROUBLE
  end
  for _, row in ipairs(err) do self.flow:announce(row) end -- skipped
  self.found = self.found or #rows > 0
  self:send(witness.departing(self, rows, gate, now), gate, trying)
  return #rows == wanted and now or now + idle(self) -- fewer: the rest waits for its turn behind the same recipient
end

--- Queues what a claim of ours took that did not leave.
-- @treturn ?boolean true; nil: the store failed, which was told
local function take_back(self)
  local back, err = self.flow.box:take_back(self.flow.now())
  if not back then return self:trouble(err) end
  for _, row in ipairs(back) do self.flow:announce(row) end
  return true
end

--- Asks the store what is due, and does it. Sets look_at and, for drain, next_due.
function Worker:look()
  local flow = self.flow
  self.look_at, self.ill, self.found = flow.steady() + idle(self), nil, false
  mind_clock(self)
  local now, wall, steady = flow.now(), flow.clock.read()
  self.fence = { wall = wall + flow.lease, steady = steady + flow.lease } -- as a claim's lease, of now
  flow:ruleset(now) -- a process that only works says it too
  if not take_back(self) then return end
  if not witness.is_ready(self, now) then return end
  local in_flight = self.count > 0 or #self.answered > 0
  local agenda, err = flow.box:look(in_flight)
  if not agenda then return self:trouble(err) end
  self.gates = agenda.gates
  self.next_due = math.huge
  self:find_stranded(now) -- before they expire
  local sure = flow.clock:is_sure()
  if flow.clock:ends_leases(flow.lease) then self:sweep(agenda.lease_at, now, "recover", in_flight) end
  if sure and not self.ill then self:sweep(agenda.give_up_at, now, "expire") end
  for _, name in ipairs(flow.names) do
    if self.ill then break end -- each call may take as long as the store waits for a lock
    self:probe(name, agenda.gates[name], now)
    self:due_at(self:serve(agenda.gates[name], now))
  end
  if sure and not self.ill then followup.look(self, agenda.attention, now) end
  if sure and not self.ill then retention.turn(self, now) end
  if self.ill then return end
  self.ill_since, self.told = nil, {}
  self.look_at = math.min(self.look_at, math.max(flow.steady(), self.next_due))
end

--- Waits for an answer or a time.
function Worker:wait(seconds)
  if ways.is_ready(self) then seconds = 0 end
  if self.done[0] > self.taken or seconds <= 0 and self.count == 0 then return end
  if self.flow.sleep then return self.flow.sleep(math.max(0, seconds)) end
  core.wait_group(self.done, math.max(0, seconds))
end

--- Takes in the submits that nobody waited for.
function Worker:land()
  local ready = {}
  for landing in pairs(self.flow.landing) do
    if landing:ready() then ready[#ready + 1] = landing end
  end
  for _, landing in ipairs(ready) do
    self.flow.breathe()
    landing:wait()
  end
end

function Worker:turn(may_claim)
  log.flush()
  self:land()
  self:collect()
  ways.turn(self)
  if #self.answered > 0 then
    local before = self.recorded
    self:record()
    if self.recorded > before then self.look_at = 0 end -- space in the window, and somebody's turn may have come
  end
  if not may_claim then
    take_back(self)
  elseif self.flow.steady() >= self.look_at then
    self:look()
  end
end

--- Run -------------------------------------------------------------------------------------------------------------

--- What could not be recorded: somebody should know what came of it, and it goes on from here if the loop does.
-- @treturn ?string what the store said
local function unrecorded(self)
  local count = 0
  for _, flight in ipairs(self.answered) do
    if flight.change then
      local row, change = flight.row, flight.change
      count = count + 1
      self.flow:alert { alert = "unrecorded", id = row.id, channel = row.channel, phone = phones.mask(row.phone),
        state = change.state, message_id = change.message_id, job_id = change.job_id, code = change.code,
        reason = ("what came of sending %s could not be recorded: %s%s"):format(row.id, change.state,
          change.message_id and " as " .. change.message_id or change.reason ~= "" and ", " .. change.reason or "") }
    end
  end
  if count == 0 then return nil end
  return ("%s; what came of %d sends is not recorded"):format(self.ill or "store: it did not answer", count)
end

--- Waits for what is in flight, at most the lease, for other ways that run, as long as they may, and then for a store that
-- refuses to record it, or to take back what did not leave: else that would be in doubt.
local function finish(self)
  local flow = self.flow
  local deadline, patience = flow.steady() + math.max(flow.lease, flow.fallback_timeout + PATIENCE), nil
  self.ending, self.ways.ready = true, {} -- no more other ways: whoever finds them due takes them up
  local function is_open() return #self.answered > 0 or #flow.box.open_claims > 0 end
  while self.count > 0 or is_open() or ways.is_running(self) do
    local now = flow.steady()
    patience = self.count == 0 and is_open() and (patience or now + PATIENCE) or nil
    if now >= deadline or patience and now >= patience then break end
    self:wait(IDLE)
    self:turn(false)
  end
  self.ending = false
  return unrecorded(self)
end

local function run(self, stop)
  self.endless = true
  while not stop() do
    self:turn(true)
    local full = self.count >= self.flow.window
    self:wait(full and IDLE or math.min(IDLE, self.look_at - self.flow.steady()))
  end
  local trouble = finish(self)
  self.flow.box:sign_off(self.flow.node, self.flow.now())
  return trouble
end

local function drain(self, timeout, stop)
  local flow = self.flow
  local deadline = flow.steady() + timeout
  self.look_at, self.endless = 0, false
  while not (stop and stop()) do
    self:turn(true)
    local now = flow.steady()
    local busy = self.count > 0 or #self.answered > 0 or ways.is_busy(self)
    local due = self.ill or self.next_due <= math.max(now, deadline) -- ill: nobody knows
    if not busy and not due and self.look_at > now then return nil end
    if timeout > 0 and now >= deadline then return self.ill end
    if timeout == 0 and self.ill and now - self.ill_since >= PATIENCE then return self.ill end
    self:wait(math.min(IDLE, self.look_at - now, timeout > 0 and deadline - now or IDLE))
  end
  return nil
end

--- One loop at a time: a second one, out of a callback or another light thread, would take the answers of the first.
local function alone(self, loop, ...)
  if self.running then
    return nil, "conflict: this workflow is at work already; open another for more", { outcome = "invalid" }
  end
  if self.flow.witness == nil then return nil, witness.MISSING, { outcome = "invalid" } end
  local before = self.recorded
  self.running = true
  local ok, trouble = pcall(loop, self, ...)
  self.running = false
  if not ok then error(trouble, 0) end
  if trouble then return nil, trouble, { outcome = "store", retry = true, recorded = self.recorded - before } end
  return self.recorded - before
end

--- flow:work and flow:drain.
function Worker:run(stop) return alone(self, run, stop) end
function Worker:drain(timeout, stop) return alone(self, drain, timeout, stop) end

return M
