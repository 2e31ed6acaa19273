--- A workflow in simulated time: its clock moves only when it waits, and its channel answers what the spec says.
--
--     local sim = simulation.new { rules = source,
--       answer = function(message, n, at) return receipt | nil, err, info end }
--     sim.flow:submit { … }
--     sim:advance(6 * 3600)      -- everything that becomes due on the way is done
--     sim.calls.hookInfo = function(id, at) return report end  -- also messages, request; sim.asked lists the questions
--     sim.sent                   -- { { at =, phone =, message = }, … }
--     sim:close()
-- A spec that sets sim.time sets both clocks: that time passed. In a turn that it makes by hand (sim.flow.worker:turn) only
-- the wall clock was set, and the steady one stood still.
-- Every other option of workflow.open may be given too. The store is a real one, in a file of its own.

local rules = require "onemsg.rules"
local phones = require "onemsg.base.phone"
local workflow = require "onemsg.workflow"

local M = {}

local Simulation = {}
Simulation.__index = Simulation

M.EPOCH = 1800000000

--- A file name that nobody uses.
function M.store_path()
  local name = os.tmpname()
  os.remove(name)
  return name .. ".db"
end

--- Removes a store's files.
function M.remove(path)
  for _, suffix in ipairs { "", "-wal", "-shm", "-witness", "-witness-wal", "-witness-shm" } do os.remove(path .. suffix) end
end

--- A random source that gives the same numbers on every Lua.
function M.random(seed)
  local state = seed or 1
  return function()
    state = (state * 16807) % 2147483647
    return state / 2147483647
  end
end

M.RULES = [[
template "action_success" { language = "en", body = { "name", "action", "next_step" } }
defaults { phone = "{phone}", name = "{name|there}", template = "action_success" }
never "Staff" { when = { email = ends_with "@ourcompany.example" } }
confirm "Paid" { on = "paid", action = "payment", next_step = "Thank you.", once_per = "{payment|}{id}" }
confirm "Once" { on = "once", action = "payment", next_step = "Thank you.", once_per = "{payment}" }
confirm "Short" { on = "short", action = "payment", next_step = "Thank you.", give_up_after = "10m" }
confirm "Other" { on = "other", action = "payment", next_step = "Thank you.", template = "other_template" }
confirm "Else" { on = "else", action = "payment", next_step = "Thank you.",
  otherwise = { after = "10m", send = "sms", text = "Paid. {next_step}" } }
confirm "First" { on = "both", also = true, action = "first", next_step = "Thank you." }
confirm "Second" { on = "both", action = "second", next_step = "Thank you." }
template "other_template" { language = "en", body = { "name", "action", "next_step" } }
]]

local function accepted(message, n)
  return { outcome = "accepted", id = ("wamid.%d.%s"):format(n, (message.phone or phones.of_message(message)):sub(-2)) }
end

--- A channel that is a plain table: ready at once.
local function channel_of(sim)
  local channel = {}
  function channel.check(_, message)
    local other = not message.phone and (message.bsuid or message.username or message.chat_id)
    if not other and not tostring(message.phone):find("^%d+$") then
      return nil, "invalid: phone has a letter", { outcome = "invalid" }
    end
    return { phone = message.phone, bsuid = message.bsuid, username = message.username, chat_id = message.chat_id,
             body = message.body, template = message.template or "action_success",
             namespace = "ns", language = message.language or "en", ttl = message.ttl }
  end
  function channel.async(_, operation, message)
    local answer
    if operation == "send" then
      sim.sent[#sim.sent + 1] = { at = sim.time, phone = message.phone, message = message }
      answer = { sim.answer(message, #sim.sent, sim.time) }
    elseif sim.calls[operation] then
      sim.asked[#sim.asked + 1] = { at = sim.time, call = operation, about = message }
      answer = { sim.calls[operation](message, sim.time) }
    else
      sim.probes[#sim.probes + 1] = sim.time
      answer = { { status = sim.status(sim.time) } }
    end
    return { ready = function() return true end, wait = function() return answer[1], answer[2], answer[3] end }
  end
  return channel
end

local function steady_of(sim)
  sim.lived, sim.seen = sim.time, sim.time
  return function()
    if not sim.by_hand then
      sim.lived, sim.seen = sim.lived + (sim.time - sim.seen), sim.time
    end
    return sim.lived
  end
end

local function watch_turns(sim)
  local worker = sim.flow.worker
  local turn = worker.turn
  function worker.turn(self, ...)
    local before = sim.by_hand
    sim.by_hand = not self.running
    turn(self, ...)
    sim.by_hand = before
  end
end

--- @tparam table options answer, status, rules (source text), path (of the store), and those of workflow.open
function M.new(options)
  local sim = setmetatable({ time = M.EPOCH, sent = {}, probes = {}, changes = {}, alerts = {}, lines = {},
                             answer = options.answer or accepted, path = options.path or M.store_path(),
                             status = options.status or function() return "connected" end }, Simulation)
  local given = { rate = 1000, burst = 1000 }
  sim.asked, sim.calls = {}, {
    hookInfo = function(id) return { id = id, hooks = {}, ignored = 0 } end,
    messages = function() return { messages = {} } end,
    request = function() return { templates = {} } end,
  }
  for name, call in pairs(options.calls or {}) do sim.calls[name] = call end
  for name, value in pairs(options) do
    if name ~= "answer" and name ~= "status" and name ~= "path" and name ~= "calls" then given[name] = value end
  end
  given.channel = not given.channels and channel_of(sim) or nil
  for name, channel in pairs(given.channels or {}) do
    given.channels[name] = channel_of(sim)
    given.channels[name].id = channel.id
  end
  given.rules = type(options.rules) == "table" and options.rules or assert(rules.load(options.rules or M.RULES))
  given.store = require("support.stores").at(sim.path)
  if given.witness == nil and given.store:find "^postgres:" then given.witness = sim.path .. "-witness" end
  given.now, given.steady = function() return sim.time end, steady_of(sim)
  given.sleep = function(seconds) sim.time = sim.time + math.max(seconds, 0.001) end
  given.random = given.random or M.random(7)
  given.on_change = given.on_change or function(change) sim.changes[#sim.changes + 1] = change end
  given.on_alert = given.on_alert or function(alert) sim.alerts[#sim.alerts + 1] = alert end
  given.log = given.log or function(line) sim.lines[#sim.lines + 1] = line end
  sim.flow = assert(workflow.open(given))
  watch_turns(sim)
  return sim
end

--- When something is to be done next, by the store: a send, a lease, an end, a probe.
local function next_time(sim)
  local agenda = assert(sim.flow.box:look())
  local soonest = math.huge
  local function at(time)
    if time and time < soonest then soonest = time end
  end
  at(agenda.lease_at)
  at(agenda.give_up_at)
  local attention = agenda.attention
  at(attention.questions)
  at(attention.actions)
  at(attention.lost)
  for _, gate in pairs(agenda.gates) do
    if gate.breaker == "open" then at(gate.next_at) end
    if gate.due_at then at(math.max(gate.due_at, gate.pause_until, gate.breaker ~= "closed" and gate.next_at or 0)) end
  end
  return soonest
end

--- Lets time pass, and does what becomes due on the way.
function Simulation:advance(seconds)
  local till = self.time + seconds
  while true do
    self.flow:drain()
    local soonest = math.max(next_time(self), self.time + 0.05)
    if soonest > till then break end
    self.time = soonest
  end
  self.time = math.max(self.time, till)
end

--- The times of the sends to a phone.
function Simulation:times(phone)
  local times = {}
  for _, sent in ipairs(self.sent) do
    if sent.phone == phone then times[#times + 1] = sent.at end
  end
  return times
end

--- The states that a confirmation went through.
function Simulation:states(id)
  local states = {}
  for n, line in ipairs(self.flow:show(id).history) do states[n] = line.state end
  return table.concat(states, " ")
end

--- "state: reason" of each step of a confirmation, a line each.
function M.history(flow, id)
  local lines = {}
  for n, line in ipairs(flow:show(id).history) do lines[n] = line.state .. ": " .. line.reason end
  return table.concat(lines, "\n")
end

function Simulation:close()
  self.flow:close()
  M.remove(self.path)
end

return M
