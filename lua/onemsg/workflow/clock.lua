--- onemsg.workflow.clock: what time it is. For onemsg.workflow.
--
-- Deadlines in memory are by the steady clock, which only rises. What the store compares, due times, leases, silence, is
-- `now`: the steady clock plus the difference to the wall clock, which is constant until somebody sets the wall clock
-- (slewing moves both). A difference that changed is a jump: it is said, and believed when it has held for HOLD seconds;
-- until then time goes on as before. So a clock that is a day ahead for a moment expires nothing, and one that is set
-- back makes nothing stand still.
-- The difference that is believed, and the one in doubt, stand in the store, for the processes of one start of one
-- machine: one that begins after a jump does not believe it either, and all of them come to believe it at one time.
-- A store for several machines has a clock of its own. There `now` is that one's: a machine's wall clock decides nothing, and
-- a jump of the store's is believed as a wall clock's is.
local M = {}

local Clock = {}
Clock.__index = Clock

M.TOLERANCE = 1  -- seconds; a smaller step changes nothing that anybody would notice
M.HOLD = 60      -- seconds
M.YOUNG = 600    -- seconds since the machine started in which its clock may not have been set yet
local EVERY = 1  -- seconds between two comparisons of the clocks
local TOGETHER = 0.5 -- seconds; a store that took longer to say what time it is has said nothing

local BOOT = "/proc/sys/kernel/random/boot_id"

--- Tells one start of a machine from all others; nil where the system has no such thing.
local function boot_id()
  local file = io.open(BOOT)
  local id = file and file:read "*l"
  if file then file:close() end
  return id and id:match "^[%x-]+$"
end

local function close_to(a, b)
  return math.abs(a - b) <= M.TOLERANCE
end

--- @tparam table options now and steady of workflow.open. `now` alone is both clocks: a simulation's, which never jumps
-- @tparam table core
-- @treturn table clock: now(), steady(), both to be called without self; read() → wall, steady
function M.new(options, core)
  local self = setmetatable({ news = {}, beliefs = 0, moved = 0, unsure_until = -math.huge }, Clock)
  local steady = options.steady or options.now or core.steady
  self.steady = steady
  if options.now and not options.steady then
    self.now = options.now
    self.read = function() return options.now(), options.now() end
    return self
  end
  self.jumps, self.real = true, not options.now
  self.boot = not options.now and boot_id() or nil
  self.read = options.now and function() return options.now(), steady() end or core.clocks
  local wall
  wall, self.looked = self.read()
  self.offset = wall - self.looked
  self.now = function()
    local at = steady()
    if at - self.looked >= EVERY then self:watch() end
    return at + self.offset
  end
  return self
end

-- Jumps -------------------------------------------------------------------------------------------------------------

local function span(seconds)
  seconds = math.abs(seconds)
  return seconds < 5400 and ("%.0f s"):format(seconds) or ("%.1f h"):format(seconds / 3600)
end

function Clock:name() return self.theirs and "the store's clock" or "the wall clock" end

function Clock:say(sentence, ...)
  self.news[#self.news + 1] = { alert = "clock", reason = sentence:format(...) }
end

function Clock:suspect(offset, since)
  self.doubt = { offset = offset, since = since }
  self:say("%s jumped %s %s; that is believed when it has held for %.0f s, and until then time goes on as before",
    self:name(), span(offset - self.offset), offset > self.offset and "ahead" or "back", M.HOLD)
end

function Clock:believe(offset, at)
  local by = offset - self.offset
  self.offset, self.doubt = offset, nil
  self.beliefs, self.moved = self.beliefs + 1, by
  if by > 0 then self.ahead_at = at end
  self:say("%s, which jumped %s %s, is believed", self:name(), span(by), by > 0 and "ahead" or "back")
end

--- Compares the clocks.
function Clock:watch()
  if not self.jumps or self.theirs then return end
  local wall, at = self.read()
  self.looked = at
  self:compare(wall - at, at)
end

--- A clock is ahead of the steady one by so much now.
function Clock:compare(offset, at)
  local doubt = self.doubt
  if close_to(offset, self.offset) then
    self.offset = offset
    if doubt then
      self.doubt = nil
      self:say("%s is back; nothing was done by what it said in between", self:name())
    end
  elseif not doubt or not close_to(offset, doubt.offset) then
    self:suspect(offset, at)
  elseif at - doubt.since >= M.HOLD then
    self:believe(offset, at)
  end
end

--- By how many seconds the wall clock jumped, while that is not believed; nil: it did not.
function Clock:jumped()
  return self.doubt and self.doubt.offset - self.offset
end

--- May what is over by this clock be acted upon? Not just after a machine started: its clock may be about to be set.
function Clock:is_sure()
  return self.steady() >= self.unsure_until
end

--- May a lease be taken as ended? Those that were written before a jump ahead was believed seem to have ended, and their
-- owners live.
-- @tparam number lease the longest
function Clock:ends_leases(lease)
  return self:is_sure() and not (self.ahead_at and self.steady() < self.ahead_at + lease)
end

-- Shared with others ------------------------------------------------------------------------------------------------

local FORM = "^(%S+) (%S+) (%S+) (%S+)$"

local function parse(text)
  local boot, offset, doubt, since = (text or ""):match(FORM)
  if not boot then return nil end
  if not tonumber(offset) then return nil end
  return { boot = boot, offset = tonumber(offset), doubt = tonumber(doubt), since = tonumber(since) }
end

--- Asks the store what time it is.
-- @tparam ?boolean first it is believed at once
function Clock:ask(box, first)
  local before = self.steady()
  if not first and before - self.looked < EVERY then return true end
  local time, err, info = box:time()
  if not time then return nil, err, info end
  local after = self.steady()
  if first then
    self.offset = time - (before + after) / 2
  elseif after - before <= TOGETHER then
    self:compare(time - (before + after) / 2, after)
  end
  self.looked = after
  return true
end

--- When a workflow is opened: what others believe counts.
-- @treturn ?boolean true; nil, err, info when the store failed
function Clock:open(box)
  if self.real and box.several then
    self.theirs, self.boot = true, nil
    local ok, err, info = self:ask(box, true)
    if ok then ok, err, info = self:ask(box, true) end -- the first one also made the connection
    return ok, err, info
  end
  if not self.boot then return true end
  local text, err, info = box:read_clock()
  if err then return nil, err, info end
  local theirs, wall, at = parse(text), self.read()
  if not theirs or theirs.boot ~= self.boot then
    if theirs and at < M.YOUNG then self.unsure_until = at + M.HOLD end
    return self:share(box)
  end
  self.shared = self:state()
  if not close_to(theirs.offset, wall - at) then
    self.offset = theirs.offset
    local same = theirs.doubt and close_to(theirs.doubt, wall - at)
    self:suspect(wall - at, same and theirs.since or at)
  end
  return true
end

--- What others are to know, as a text that differs when it does.
function Clock:state()
  local doubt = self.doubt
  return self.beliefs .. (doubt and (" %.6f %.6f"):format(doubt.offset, doubt.since) or "")
end

--- Tells others what is believed and what is in doubt, and learns it from them. Part of a look of the worker.
function Clock:share(box)
  if self.theirs then return self:ask(box) end
  if not self.boot then return true end
  local doubt = self.doubt
  if doubt then
    local text, err, info = box:read_clock()
    if err then return nil, err, info end
    local theirs = parse(text)
    if theirs and theirs.boot == self.boot then
      if close_to(theirs.offset, doubt.offset) then
        self:believe(doubt.offset, self.steady())
      elseif theirs.doubt and close_to(theirs.doubt, doubt.offset) then
        doubt.since = math.min(doubt.since, theirs.since)
      end
    end
    doubt = self.doubt
  end
  local state = self:state()
  if state == self.shared then return true end
  local ok, err, info = box:write_clock(("%s %.6f %s"):format(self.boot, self.offset,
    doubt and ("%.6f %.6f"):format(doubt.offset, doubt.since) or "- -"))
  if not ok then return nil, err, info end
  self.shared = state
  return true
end

return M
