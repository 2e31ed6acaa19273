--- support.fuzz_world: machines on which several onemsg work on one store, in time that the fuzz moves. See fuzz_spec.
--
-- What would be a process is a flow with its own view of one real store; what would be a thread of control (the loop, a
-- submit, a hook, a person) is a coroutine that stops before everything that others can see: a unit of the store, a
-- request, a wait. Who goes on is drawn, so that everything happens between everything. A kill is a coroutine that nobody
-- resumes: what it had handed to the store is there, the rest never happens. A stop is one that is resumed much later.
--
--   time    what really passes, in seconds from simulation.EPOCH on; the platform's own clock
--   offset  how much the machine's wall clock is wrong
local rules = require "onemsg.rules"
local simulation = require "support.simulation"
local sql = require "onemsg.sql"
local workflow = require "onemsg.workflow"

local M = {}

-- Chance ------------------------------------------------------------------------------------------------------------

local Chance = {}
Chance.__index = Chance

--- The same numbers for the same seed, on every Lua.
function M.chance(seed)
  local next_one = simulation.random(seed * 48271 % 2147483646 + 1)
  for _ = 1, 5 do next_one() end
  return setmetatable({ next = next_one }, Chance)
end

--- 1 to n.
function Chance:int(n) return math.min(n, math.floor(self.next() * n) + 1) end
function Chance:pick(list) return list[self:int(#list)] end
function Chance:yes(share) return self.next() < share end
function Chance:between(low, high) return low + (high - low) * self.next() end

--- One of { { weight, value }, … }.
function Chance:weighed(list)
  local sum = 0
  for _, one in ipairs(list) do sum = sum + one[1] end
  local at = self.next() * sum
  for _, one in ipairs(list) do
    at = at - one[1]
    if at < 0 then return one[2] end
  end
  return list[#list][2]
end

-- The world ---------------------------------------------------------------------------------------------------------

local World = {}
World.__index = World

local SHARED = "/dev/shm/" -- no disk under it, where there is one

local function store_path()
  local name = simulation.store_path()
  local here = SHARED .. name:match "[^/]+$"
  local file = io.open(here, "w")
  if not file then return name end
  file:close()
  os.remove(here)
  return here
end

--- @tparam table chance
-- @tparam table options channels = { name → channel id or false }, gap, rules (text)
function M.new(chance, options)
  local path = store_path()
  local world = setmetatable({ chance = chance, options = options, time = simulation.EPOCH, offset = 0, path = path,
    db = assert(sql.open("sqlite:" .. path)), tasks = {}, procs = {}, opened = 0, said = {}, turns = 0,
    sms = {} }, World)
  assert(world:rule(options.rules))
  return world
end

function World:close()
  self.db:close()
  simulation.remove(self.path)
end

--- What happens is told when something turns out to be wrong.
function World:tell(...)
  self.said[#self.said + 1] = { self.time - simulation.EPOCH, ... }
end

function World:story(most)
  local lines = {}
  for n = math.max(1, #self.said - most + 1), #self.said do
    local line = self.said[n]
    for k = 1, #line do line[k] = tostring(line[k]) end
    line[1] = ("%10.2f"):format(line[1])
    lines[#lines + 1] = table.concat(line, " ")
  end
  return table.concat(lines, "\n")
end

--- Something is wrong.
function World.wrong(_, sentence, ...)
  error({ wrong = sentence:format(...) }, 0)
end

function World:now() return self.time + self.offset end

--- One read of the store, past all processes.
function World:read(text, ...)
  return assert(self.db:read { { text, ... } })[1]
end

-- Threads of control ------------------------------------------------------------------------------------------------

--- Others may go on here.
function World:pause()
  if self.current then coroutine.yield "go on" end
end

--- Nothing happens here until a time; `exactly`: nor may the fuzz pass over that time.
function World:sleep_until(at, exactly)
  while self.current and self.time < at do coroutine.yield("sleep", at, exactly) end
end

function World:spawn(proc, name, work)
  local task = { proc = proc, name = name, co = coroutine.create(work) }
  self.tasks[#self.tasks + 1] = task
  return task
end

local function remove(list, value)
  for n, one in ipairs(list) do
    if one == value then return table.remove(list, n) end
  end
end

function World:resume(task)
  self.current, task.wake, task.exact = task, nil, nil
  self.turns = self.turns + 1
  local ok, what, at, exactly = coroutine.resume(task.co)
  self.current = nil
  if not ok then
    if type(what) == "table" then error(what, 0) end
    self:wrong("%s raised: %s", task.name, debug.traceback(task.co, tostring(what)))
  elseif coroutine.status(task.co) == "dead" then
    remove(self.tasks, task)
  elseif what == "sleep" then
    task.wake, task.exact = at, exactly
  end
end

local function awake(self)
  local list = {}
  for _, task in ipairs(self.tasks) do
    if not (task.proc.stopped and task.proc.stopped > self.time) and (not task.wake or task.wake <= self.time) then
      list[#list + 1] = task
    end
  end
  return list
end

--- So many turns of whoever may go on.
function World:some(turns)
  for _ = 1, turns do
    local list = awake(self)
    if #list == 0 then return end
    self:resume(self.chance:pick(list))
  end
end

local MOST = 20000 -- turns without any time in between: somebody turns in circles

--- Until all wait for time.
function World:settle()
  for _ = 1, MOST do
    local list = awake(self)
    if #list == 0 then return end
    self:resume(self.chance:pick(list))
  end
  self:wrong("%d turns and no time passes", MOST)
end

-- Time --------------------------------------------------------------------------------------------------------------

local TIMES = {}
for n, part in ipairs {
  "due_at FROM confirmation WHERE state = 'queued'", "give_up_at FROM confirmation WHERE state = 'queued'",
  "lease_until FROM confirmation WHERE state = 'sending'", "attend_at FROM confirmation", "retry_at FROM confirmation",
  "fallback_at FROM confirmation", "fallback_lease FROM confirmation", "attend_until FROM confirmation",
  "next_at FROM channel WHERE breaker <> 'closed'", "pause_until FROM channel", "until_at FROM park",
  "until_at FROM suppression",
} do
  local column, rest = part:match "^(%S+) (.*)$"
  TIMES[n] = ("SELECT MIN(CASE WHEN %s > $1 THEN %s END) AS ahead, MIN(%s) AS first %s"):format(column, column, column, rest)
end
TIMES = table.concat(TIMES, " UNION ALL ")

--- When something is to be done next, by what the tables say: the soonest time ahead, and whether any has come.
local function next_time(self)
  local ahead, come = math.huge, false
  for n, row in ipairs(self:read(TIMES, self:now())) do
    if row.ahead then ahead = math.min(ahead, row.ahead - self.offset) end
    if n <= 7 and row.first and row.first <= self:now() then come = true end
  end
  for _, task in ipairs(self.tasks) do
    if task.exact and task.wake > self.time then ahead = math.min(ahead, task.wake) end
  end
  for _, proc in ipairs(self.procs) do
    if proc.stopped and proc.stopped > self.time then ahead = math.min(ahead, proc.stopped) end
  end
  return ahead, come
end

-- Another number when something was done.
local MOVED = "SELECT TOTAL(step) + TOTAL(asks) + TOTAL(checks) + TOTAL(due_at) + TOTAL(attend_at) AS n FROM confirmation"
local WAKEUPS = 400 -- in one stretch of time; more is a store that is never at rest

--- Lets time pass. Loops that sleep look again at each time at which the store says that something is due, and while
-- something is overdue (held up by the line, the pace, a breaker) in ever longer steps.
function World:advance(seconds)
  local till, idle, wakeups, before = self.time + seconds, 0, 0, nil
  while true do
    self:settle()
    local ahead, come = next_time(self)
    local moved = self:read(MOVED)[1].n
    idle, before = moved == before and idle + 1 or 0, moved
    local at = math.max(come and math.min(ahead, self.time + 0.25 * 2 ^ math.min(idle, 14)) or ahead, self.time + 0.05)
    if at > till then break end
    wakeups = wakeups + 1
    if wakeups > WAKEUPS and seconds > 86400 then
      local open = self:read("SELECT id, state, reason FROM confirmation WHERE attend_at IS NOT NULL "
        .. "OR state IN ('queued', 'sending') LIMIT 1")
      self:wrong("%d times woken, and %.0f s of %.0f s are left; open is %s", wakeups, till - self.time, seconds,
        open[1] and open[1].id .. ", " .. open[1].state or "nothing")
    end
    self.time = at
    for _, task in ipairs(self.tasks) do
      if task.wake and not task.exact then task.wake = at end
    end
  end
  self.time = math.max(self.time, till)
  for _, task in ipairs(self.tasks) do
    if task.wake and not task.exact then task.wake = self.time end
  end
  self:settle()
end

-- Rules -------------------------------------------------------------------------------------------------------------

local loaded = {} -- text → what rules.load made of it

--- The rules file has another content. Every process takes it up within a second or two, or goes on with the last good.
function World:rule(text)
  if not loaded[text] then loaded[text] = { rules.load(text) } end
  local set, problem = loaded[text][1], loaded[text][2]
  self.rule_set, self.rule_problem = set or self.rule_set, problem
  return set, problem
end

local function follow(self)
  local handle = { set = self.rule_set, problem = self.rule_problem, looked = self:now() }
  function handle.current(_, now)
    if now - handle.looked >= 1 or now < handle.looked then
      handle.looked, handle.set, handle.problem = now, self.rule_set, self.rule_problem
    end
    return handle.set, handle.problem
  end
  return handle
end

-- Processes ---------------------------------------------------------------------------------------------------------

--- The store as one process sees it: others may go on before each of its calls, and while it waits. What it hands in is
-- done at once, or when somebody waits for it, one after the other; what is not done when the process is killed never is.
local function view(self)
  local db, seen, line = self.db, {}, {}
  local function catch_up(till)
    while #line > 0 do
      local first = table.remove(line, 1)
      first.result = { db:unit(first.statements) }
      if first == till then return end
    end
  end
  function seen.read(_, statements)
    self:pause()
    return db:read(statements)
  end
  function seen.unit(_, statements)
    self:pause()
    catch_up()
    return db:unit(statements)
  end
  function seen.async(_, statements)
    self:pause()
    local one = { statements = statements }
    line[#line + 1] = one
    if self.chance:yes(0.5) then catch_up() end
    return { ready = function() return one.result ~= nil end, wait = function()
      self:pause()
      if not one.result then catch_up(one) end
      return one.result[1], one.result[2], one.result[3]
    end }
  end
  seen.async_read = db.async_read and function(_, statements)
    self:pause()
    local result = { db:read(statements) }
    return { ready = function() return true end, wait = function() return result[1], result[2], result[3] end }
  end
  function seen.engine() return db:engine() end
  function seen.close() return true end
  return seen
end

--- Opens another process. `make_channel(proc, name)`, `model` (claimed, alert), `fallback` (functions).
function World:open(make_channel, model, fallback)
  self.opened = self.opened + 1
  local proc = { n = self.opened, queue = {}, alive = true }
  local channels = {}
  for name, id in pairs(self.options.channels) do
    channels[name] = make_channel(proc, name)
    channels[name].id = id or nil
  end
  proc.task = self:spawn(proc, "process " .. proc.n, function()
    local flow = assert(workflow.open {
      channels = channels, rules = follow(self), store = view(self), gap = self.options.gap, rate = 1000, burst = 1000,
      now = function() return self:now() end, steady = function() return self.time end, lease = 60,
      random = self.chance.next, fallback = fallback(proc),
      sleep = function(seconds) self:sleep_until(self.time + math.max(seconds, 0.001)) end,
      on_alert = function(alert) model:alert(proc, alert) end,
      log = function(_, entry) if entry.id then self:tell("  log", entry.id, entry.was, ">", entry.state, entry.reason) end end,
    })
    local claim = flow.box.claim
    function flow.box.claim(...)
      local rows, err, more = claim(...)
      if rows then model:claimed(proc, rows) end
      return rows, err, more
    end
    local evidence, amend = flow.box.evidence, flow.box.amend
    function flow.box.evidence(box, row, ...)
      local given = { ... }
      return model:weighing(row, function() return evidence(box, row, given[1], given[2]) end)
    end
    function flow.box.amend(box, row, change, ...)
      model:deciding(row, change)
      return amend(box, row, change, ...)
    end
    proc.flow = flow
    assert(flow:work { stop = function() return false end })
  end)
  self.procs[#self.procs + 1] = proc
  self:tell("open", proc.n)
  return proc
end

--- kill -9.
function World:kill(proc)
  self:tell("kill", proc.n)
  proc.alive = false
  remove(self.procs, proc)
  for n = #self.tasks, 1, -1 do
    if self.tasks[n].proc == proc then table.remove(self.tasks, n) end
  end
end

--- A process that can be spoken to, or nil.
function World:someone()
  local ready = {}
  for _, proc in ipairs(self.procs) do
    if proc.flow and not (proc.stopped and proc.stopped > self.time) then ready[#ready + 1] = proc end
  end
  return #ready > 0 and self.chance:pick(ready) or nil
end

return M
