--- support.fuzz_steps: what happens in a round of the fuzz, step by step, drawn from a seed. See fuzz_spec.
local hooks = require "support.fuzz_hooks"
local models = require "support.fuzz_model"
local providers = require "support.fuzz_provider"
local worlds = require "support.fuzz_world"

local M = {}

local PROCESSES = 3
local DAY = 86400

local HEAD = [[
template "action_success" { language = "en", body = { "name", "action", "next_step" } }
template "other_template" { language = "en", body = { "name", "action", "next_step" } }
defaults { phone = "{phone}", name = "{name|there}", template = "action_success" }
never "Staff" { when = { email = ends_with "@ourcompany.example" } }
]]

local RULES = {
  [[confirm "Paid" { on = "paid", action = "payment of {sum|1}", next_step = "Thank you." }]],
  [[confirm "Once" { on = "once", action = "payment", next_step = "Thank you.", once_per = "{payment}" }]],
  [[confirm "Short" { on = "short", action = "payment", next_step = "Thank you.", give_up_after = "10m" }]],
  [[confirm "Other" { on = "other", action = "payment", next_step = "Thank you.", template = "other_template" }]],
  [[confirm "Brief" { on = "brief", action = "payment", next_step = "Thank you.", ttl = 600 }]],
  [[confirm "Else" { on = "else", action = "payment", next_step = "Thank you.",
      otherwise = { after = "10m", send = "sms", text = "Paid." } }]],
  [[confirm "Doubtful" { on = "doubt", action = "payment", next_step = "Thank you.",
      otherwise = { send = "sms", after = "5m", text = "Paid.", on_unknown = true } }]],
  [[confirm "First" { on = "both", also = true, action = "first", next_step = "Thank you." }
    confirm "Second" { on = "both", action = "second", next_step = "Thank you." }]],
}
local SECOND = [[confirm "There" { on = "there", channel = "second", action = "payment", next_step = "Thank you.",
  otherwise = { after = "1h", send = "sms", text = "Paid." } }]]
local TYPES = { "paid", "paid", "paid", "once", "short", "other", "brief", "else", "doubt", "both", "there", "nothing" }

--- The rules in some order.
local function rules_text(self)
  local parts, left = { HEAD }, {}
  for _, rule in ipairs(RULES) do left[#left + 1] = rule end
  if self.two then left[#left + 1] = SECOND end
  while #left > 0 do parts[#parts + 1] = table.remove(left, self.chance:int(#left)) end
  return table.concat(parts, "\n")
end

local Round = {}
Round.__index = Round

--- A call of a flow's method in a thread of control of its own. `ended(result, err, more)` when it returns.
function Round:call(name, ended, ...)
  local proc = self.world:someone()
  if not proc then return false end
  local given = { n = select("#", ...), ... }
  self.world:tell(name, tostring(given[1]), tostring(given[2]), "in", proc.n)
  self.world:spawn(proc, name, function()
    local result, err, more = proc.flow[name](proc.flow, given[1], given[2])
    self.model:answered(name, result ~= nil or err == nil, err)
    if ended then ended(result, err, more) end
  end)
  return true
end

local function any_id(self)
  local list = self.model.order
  return #list > 0 and self.chance:pick(list).id or nil
end

local steps = {}

function steps.submit(self)
  local chance = self.chance
  local event
  if #self.events > 0 and chance:yes(0.15) then
    event = chance:pick(self.events)
    if chance:yes(0.3) then
      local other = { name = "Someone else" }
      for key, value in pairs(event) do other[key] = other[key] or value end
      local known = self.model.events[event.id]
      self:call("submit", function(ticket) -- of other content: it is refused where the first was stored
        if ticket and known then self.world:wrong("%s has other content, and is taken", event.id) end
      end, other)
      return
    end
  else
    event = { id = "e" .. #self.events + 1, type = chance:pick(TYPES), phone = chance:pick(providers.PHONES),
              name = chance:pick { "Maria", "Maria", "João" }, payment = "p" .. chance:int(4) }
    if chance:yes(0.3) then event.sum = chance:int(3) end
    if chance:yes(0.03) then event.email = "x@ourcompany.example" end
    self.events[#self.events + 1] = event
  end
  self:call("submit", function(ticket)
    if ticket then self.model:ticket(event, ticket) end
  end, event)
end

function steps.turns(self) self.world:some(self.chance:int(60)) end

function steps.time(self)
  local list = { { 30, 0.3 }, { 30, 2 }, { 30, 7 }, { 20, 20 }, { 15, 65 }, { 10, 310 }, { 5, 3700 }, { 2, 6 * 3600 },
                 { 1, DAY } }
  local seconds = self.chance:weighed(list) * self.chance:between(0.8, 1.2)
  self.world:tell("time", seconds)
  self.world:advance(seconds)
end

local function post(self, body, kept)
  local text = type(body) == "string" and body or hooks.encode(body)
  for _ = 1, self.chance:yes(0.15) and 2 or 1 do
    self:call("hooks", function(n)
      if n and kept then self.model:kept(kept) end
    end, text)
  end
end

function steps.status(self)
  local provider, list = self.provider, {}
  if #provider.list == 0 then return end
  local first = self.chance:pick(provider.list)
  for _ = 1, self.chance:yes(0.2) and 3 or 1 do
    local message = #list == 0 and first or self.chance:pick(provider.list)
    if message.channel == first.channel then list[#list + 1] = hooks.any_status(provider, message) end
  end
  local body, kept = hooks.statuses(provider, list)
  post(self, body, kept)
end

function steps.echo(self)
  if #self.provider.list > 0 then post(self, hooks.echo(self.provider, self.chance:pick(self.provider.list))) end
end

--- Somebody else, who uses the same channel, writes to the same people; or the words of ours can't be read.
function steps.stranger(self)
  local chance = self.chance
  local message = self.provider:message { channel = self:channel(), phone = chance:pick(providers.PHONES),
    text = chance:pick { "Hello Maria, your parcel is here.", "Thank you.", "Maria, payment of 1 is late. Thank you." },
    category = chance:pick { "utility", "marketing", "service" }, type = chance:pick { "template", "chat", "image" } }
  message.unreadable = chance:yes(0.5)
  post(self, hooks.echo(self.provider, message))
  if chance:yes(0.5) then
    post(self, hooks.statuses(self.provider, { { message = message, status = "failed", code = 131026 } }))
  end
end

function steps.unreadable(self)
  if #self.provider.list > 0 then self.chance:pick(self.provider.list).unreadable = true end
end

function steps.inbound(self)
  local chance, model = self.chance, self.model
  local phone, channel = chance:pick(providers.PHONES), self:channel()
  local text = chance:pick { "STOP", "stop", "Stop!", "START", "start", "thanks", "the bus stop" }
  local body, foreign = hooks.inbound(self.provider, phone, channel, text)
  if foreign then return post(self, body) end
  if text:lower() == "start" then model:start(phone) end
  local named = body.instanceId or not self.two
  self:call("hooks", function(n, counts)
    local stopped = type(counts) == "table" and counts.stopped or 0
    if text:lower():find "^stop" and stopped > 0 and named then model:stop(phone, channel) end
    if n and text:lower():find "^stop" and stopped == 0 then self.world:wrong("%s of %s was not heard", text, phone) end
  end, hooks.encode(body))
end

function steps.word(self) post(self, hooks.word(self.provider)) end
function steps.rubbish(self) post(self, hooks.rubbish(self.chance)) end

function steps.settle(self)
  local id = any_id(self)
  if id then self:call("settle", nil, id, self.chance:pick { "arrived", "not_arrived" }) end
end

function steps.cancel(self)
  local id = any_id(self)
  if id then self:call("cancel", nil, id) end
end

function steps.replay(self)
  local id = any_id(self)
  local conf = id and self.model.confs[id]
  if not id or not (conf.state == "rejected" or conf.state == "failed" or conf.state == "expired" or conf.state == "cancelled"
    or conf.state == "skipped") then return end
  local before, at = conf.replayed, conf.replayed_at
  self.model:replaying(id)
  self:call("replay", function(row)
    if not row then conf.replayed, conf.replayed_at = before, at end
  end, id)
end

function steps.suppress(self)
  self:call("suppress", nil, self.chance:pick(providers.PHONES), { duration = self.chance:pick { 60, 3600, DAY } })
end

function steps.unsuppress(self)
  local phone = self.chance:pick(providers.PHONES)
  if self.world:someone() then
    self.model:start(phone)
    self:call("unsuppress", nil, phone)
  end
end

function steps.resume(self) self:call("resume", nil, {}) end

function steps.explain(self)
  if #self.events > 0 then self:call("explain", nil, self.chance:pick(self.events)) end
end

function steps.kill(self)
  local proc = #self.world.procs > 0 and self.chance:pick(self.world.procs)
  if not proc then return end
  self.model:killed(proc)
  self.world:kill(proc)
end

function steps.stop(self)
  local proc = #self.world.procs > 0 and self.chance:pick(self.world.procs)
  if proc then
    proc.stopped = self.world.time + self.chance:pick { 1, 10, 70, 400 }
    self.world:tell("stop", proc.n, proc.stopped - self.world.time)
  end
end

function steps.start(self)
  if #self.world.procs < PROCESSES then self:open() end
end

function steps.clock(self)
  if not self.clocks then return end
  self.model.jumped = true
  self.world.offset = self.chance:pick { 0, 0, 1, -1, 30, -30, 120, -120, 7200, -7200 }
  self.world:tell("clock", self.world.offset)
end

function steps.rules(self)
  local text = rules_text(self)
  if self.chance:yes(0.3) then text = text:gsub("}", "", 1) end
  self.world:tell("rules", #text)
  self.world:rule(text)
end

function steps.mood(self) self.provider.mood = self.chance:pick(providers.MOODS) end

local WEIGHTS = { { 26, "submit" }, { 20, "turns" }, { 26, "time" }, { 18, "status" }, { 7, "echo" }, { 4, "stranger" },
  { 3, "unreadable" }, { 3, "inbound" }, { 2, "word" }, { 1, "rubbish" }, { 4, "settle" }, { 2, "cancel" }, { 5, "replay" },
  { 1, "suppress" }, { 3, "unsuppress" }, { 2, "resume" }, { 1, "explain" }, { 5, "kill" }, { 3, "stop" }, { 8, "start" },
  { 1, "clock" }, { 2, "rules" }, { 4, "mood" } }

function Round:channel()
  return self.two and self.chance:yes(0.3) and "second" or "main"
end

function Round:open()
  local world = self.world
  return world:open(function(proc, name) return self.provider:channel(proc, name) end, self.model, function(proc)
    return { sms = function(notice)
      self.model:reached(proc, notice)
      if self.chance:yes(0.1) then error "no SMS today" end
      if self.chance:yes(0.1) then return nil, "no credit" end
      if self.chance:yes(0.2) then world:sleep_until(world.time + self.chance:pick { 1, 30 }, true) end
      return "sent"
    end }
  end)
end

-- A round -----------------------------------------------------------------------------------------------------------

local CALM = 45 * DAY -- longer than anything is remembered

--- Everybody does well from here on, and nobody does anything: what is still open comes to its end.
local function calm(self)
  local world = self.world
  self.provider.calm, world.calm = true, true
  for _, proc in ipairs(world.procs) do proc.stopped = nil end
  if #world.procs == 0 then self:open() end
  world:tell "calm"
  world:settle()
  self.model.calm_from = world.time
  world:advance(CALM)
  self.model:over()
end

--- A person ends what waits for one: settles it, and has it sent again.
local function by_hand(self)
  local world, flow = self.world, self.world:someone().flow
  for _, row in ipairs(world:read "SELECT id, state FROM confirmation ORDER BY id") do
    if row.state == "unknown" or row.state == "stalled" then
      local settled, err = flow:settle(row.id, self.chance:pick { "arrived", "not_arrived" })
      if not settled then world:wrong("nobody can settle %s: %s", row.id, err) end
    elseif models.MAY_REPLAY[row.state] and self.chance:yes(0.5) then
      self.model:replaying(row.id)
      local replayed, err = flow:replay(row.id)
      if not replayed and not err:find "^invalid:" and not err:find "once_per" then
        world:wrong("nobody can replay %s: %s", row.id, err)
      end
    end
  end
  world:advance(CALM)
  self.model:over()
end

local function play(self, most)
  self:open()
  if self.chance:yes(0.7) then self:open() end
  self.world:some(40)
  for n = 1, most do
    local name = self.chance:weighed(WEIGHTS)
    self.at = n
    self.world:tell("--", n, name)
    steps[name](self)
    self.world:some(self.chance:int(12) - 1)
    self.model:look()
  end
  calm(self)
  by_hand(self)
end

--- One round. -> true, what it did (sends, confirmations); or nil, what went wrong
-- @tparam number seed
-- @tparam number most steps
-- @tparam ?number lines of its story that are told when it goes wrong
function M.round(seed, most, lines)
  local chance = worlds.chance(seed)
  local self = setmetatable({ chance = chance, events = {}, two = chance:yes(0.3), clocks = chance:yes(0.15) }, Round)
  local ids = chance:yes(0.7)
  local options = { gap = 6, channels = { main = ids and "ODI1001" or false }, rules = nil }
  if self.two then options.channels.second = ids and "ODI1002" or false end
  options.rules = rules_text(self)
  self.world = worlds.new(chance, options)
  self.model = models.new(self.world, options)
  self.provider = providers.new(self.world, self.model)
  self.model.provider = self.provider
  local ok, trouble = xpcall(play, function(err)
    return type(err) == "table" and err or debug.traceback(tostring(err))
  end, self, most)
  self.world:close()
  if ok then
    return true, { sends = #self.provider.calls, confirmations = #self.model.order, turns = self.world.turns,
                   answers = self.provider.calls }, self
  end
  return nil, ("seed %d, step %s of %d: %s\n%s"):format(seed, tostring(self.at), most,
    type(trouble) == "table" and trouble.wrong or trouble, self.world:story(lines or 60)), self
end

return M
