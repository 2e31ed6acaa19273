--- support.fuzz_provider: the other side of the fuzz: 1MSG with what it really did, whatever it says of it. See fuzz_spec.
--
-- It keeps the truth: every request (`calls`), every message of the channel (`messages`, of ours and of strangers), and
-- what has become of each by now. It answers with any outcome and any code, early, late or never; what it tells by hook
-- may be said by anybody, early, twice, or be false. What it answers to hookInfo of a failure is true.
local cjson = require "cjson"
local codes = require "onemsg.codes.table"
local hooks = require "onemsg.hooks"

local M = {}

local Provider = {}
Provider.__index = Provider

M.TEMPLATES = {
  action_success = "Hello {{1}}, your {{2}} was successful. {{3}}",
  other_template = "Dear {{1}}: {{2}}. What comes next: {{3}}",
}

local numbers = {}
for code in pairs(codes.by_code) do numbers[#numbers + 1] = code end
table.sort(numbers)

local statuses = {}
for status in pairs(codes.by_status) do statuses[#statuses + 1] = status end
table.sort(statuses)

-- What it says to a send, and how often by mood.
local MOODS = {
  good = { { 90, "accepted" }, { 3, "unknown" }, { 2, "not_sent" } },
  doubtful = { { 30, "accepted" }, { 50, "unknown" }, { 8, "job" }, { 5, "nameless" }, { 5, "not_sent" } },
  refusing = { { 20, "accepted" }, { 60, "rejected" }, { 10, "limited" }, { 5, "unknown" } },
  mixed = { { 40, "accepted" }, { 15, "unknown" }, { 15, "rejected" }, { 10, "not_sent" }, { 5, "limited" }, { 4, "job" },
    { 3, "nameless" }, { 2, "closed" }, { 2, "invalid" }, { 2, "raises" }, { 1, "again" } },
  down = { { 60, "not_sent" }, { 20, "unknown" }, { 10, "limited" }, { 10, "closed" } },
}
M.MOODS = { "good", "doubtful", "refusing", "mixed", "down" }

--- @tparam table world support.fuzz_world
-- @tparam table model is told of every call and answer
function M.new(world, model)
  return setmetatable({ world = world, chance = world.chance, model = model, mood = "mixed", calls = {}, messages = {},
    list = {}, ids = 0, said_failed = {}, well = true }, Provider)
end

-- Messages ----------------------------------------------------------------------------------------------------------

function M.fill(template, values)
  local text = M.TEMPLATES[template] or "{{1}} {{2}} {{3}}"
  return (text:gsub("{{(%d)}}", function(n) return values[tonumber(n)] or "" end))
end

--- What becomes of a message: { { at, status, code }, … }, the truth.
local function fate(self)
  local chance, now = self.chance, self.world.time
  local kind = chance:weighed { { 45, "delivered" }, { 10, "read" }, { 20, "failed" }, { 10, "sent" }, { 12, "silent" },
                                { 3, "after all" } }
  if self.calm then kind = chance:pick { "delivered", "read" } end
  local list, at = {}, now + chance:between(0, 2)
  if kind == "silent" then return list end
  list[1] = { at = at, status = "sent" }
  if kind == "sent" then return list end
  at = at + chance:pick { 0.1, 1, 5, 30, 300, 4000 } * chance.next()
  if kind == "failed" or kind == "after all" then
    list[2] = { at = at, status = "failed", code = chance:yes(0.8) and chance:pick(numbers) or nil }
    if kind == "failed" then return list end
    at = at + 400
  end
  list[#list + 1] = { at = at, status = "delivered" }
  if kind == "read" then list[#list + 1] = { at = at + 60, status = "read" } end
  return list
end

--- A message that is on its way: of a call, or (call nil) of a stranger who uses the same channel.
function Provider:message(about)
  self.ids = self.ids + 1
  local message = { id = ("wamid.%d"):format(self.ids), channel = about.channel, phone = about.phone, text = about.text,
    call = about.call, at = self.world.time, category = about.category or "utility", type = about.type or "template" }
  message.fate = fate(self)
  self.messages[message.id], self.list[#self.list + 1] = message, message
  return message
end

--- What is true of a message by now.
local function so_far(self, message)
  local list = {}
  for _, one in ipairs(message.fate) do
    if one.at <= self.world.time then list[#list + 1] = one end
  end
  return list
end
Provider.so_far = so_far

-- Sends -------------------------------------------------------------------------------------------------------------

local answers = {}

function answers.accepted(_, call)
  return { { outcome = "accepted", id = call.message.id } }, true
end

function answers.again(self, call) -- an id that it gave before
  local other = self.chance:pick(self.list)
  return { { outcome = "accepted", id = (other or call.message).id } }, true
end

function answers.nameless() return { { outcome = "accepted" } }, true end

function answers.job(self) return { { outcome = "queued", job_id = "job-" .. #self.calls } }, self.chance:yes(0.7) end

function answers.unknown(self)
  return { nil, "unknown: the answer was lost", { outcome = "unknown", class = "network", retry = false } }, self.chance:yes(0.6)
end

function answers.not_sent()
  return { nil, "not_sent: connection refused", { outcome = "not_sent", class = "network", retry = true } }, false
end

function answers.limited(self)
  return { nil, "not_sent: 429 too many requests", { outcome = "not_sent", status = 429, retry = true,
    code = self.chance:pick { 130429, 131056, 80007 }, retry_after = self.chance:pick { 1, 5, 60, 900, 90000 } } }, false
end

function answers.rejected(self)
  local chance = self.chance
  local info = { outcome = "rejected", status = chance:pick { 200, 400, 403, 500 } }
  if chance:yes(0.8) then
    info.code = chance:pick(numbers)
  elseif chance:yes(0.5) then
    info.status = chance:pick(statuses)
  else
    info.body = cjson.encode { error = chance:pick(codes.texts)[1] }
  end
  if chance:yes(0.1) then info.retry_after = chance:pick { 1, 30, 600 } end
  return { nil, "rejected: " .. (info.code or info.status), info }, false
end

function answers.closed() return { nil, "closed: the channel was closed", { outcome = "invalid" } }, false end
function answers.invalid() return { nil, "invalid: it does not fit", { outcome = "invalid" } }, false end
function answers.raises() return "raises", false end

-- How long an answer takes: at once, some seconds, more than any lease.
local DELAYS = { { 60, 0 }, { 15, 0.5 }, { 10, 5 }, { 8, 19 }, { 4, 58 }, { 3, 100 } }

--- A request to send was written.
function Provider:send(proc, channel, sent)
  local chance, world = self.chance, self.world
  local call = { n = #self.calls + 1, proc = proc, channel = channel, phone = sent.phone, at = world.time,
    values = sent.body, template = sent.template, text = M.fill(sent.template, sent.body) }
  self.calls[call.n] = call
  self.model:called(proc, call, sent)
  call.kind = self.calm and "accepted" or chance:weighed(MOODS[self.mood])
  if call.kind == "again" and #self.list == 0 then call.kind = "accepted" end
  call.answer, call.left = answers[call.kind](self, call.kind == "accepted" and self:named(call) or call)
  if call.left and not call.message then self:named(call) end
  call.answer_at = world.time + (self.calm and 0 or chance:weighed(DELAYS))
  world:tell("send", "call " .. call.n, call.conf and call.conf.id, "to", call.phone, call.kind,
    call.left and call.message.id or "never left",
    ("answered in %.1f"):format(call.answer_at - world.time))
  if call.answer == "raises" then
    call.answered = true
    error "the channel raises"
  end
  return { ready = function() return true end, wait = function()
    world:sleep_until(call.answer_at, true)
    world:pause()
    call.answered = true
    return call.answer[1], call.answer[2], call.answer[3]
  end }
end

function Provider:named(call)
  call.message = self:message { call = call, channel = call.channel, phone = call.phone, text = call.text }
  return call
end

-- Questions ---------------------------------------------------------------------------------------------------------

local questions = {}

local LOST = { nil, "unknown: the answer was lost", { outcome = "unknown", class = "network" } }
local NOT_OFFERED = { nil, "rejected: 404", { outcome = "rejected", status = 404 } }

function questions.hookInfo(self, _, id)
  local message, what = self.messages[id], self.calm and "truth" or self.chance:weighed { { 70, "truth" }, { 10, "nothing" },
    { 12, "lost" }, { 4, "not offered" }, { 4, "strangers" } }
  if what == "lost" then return LOST elseif what == "not offered" then return NOT_OFFERED end
  local items = {}
  for n, one in ipairs(what == "truth" and message and so_far(self, message) or {}) do
    items[n] = { id = id, status = one.status, timestamp = one.at, errors = one.code and { { code = one.code } } or nil }
    if one.status == "failed" then self.said_failed[id] = true end
  end
  if what == "strangers" then items[1] = { id = "wamid.another", status = "failed" } end
  return { hooks.report(id, { hooks = items }) }
end

--- A message of the business as GET messages and echoes show it; without a text where nobody wrote it down.
function Provider:shown(message)
  local item = { id = message.id, fromMe = true, chatId = self:chat(message.phone), type = message.type,
                 time = math.floor(message.at) }
  if message.text and not message.unreadable then
    local place = self.chance:int(3)
    if place == 1 then item.body = message.text
    elseif place == 2 then item.caption, item.body = message.text, "https://files.example/1.png"
    else item.text = { body = message.text } end
  elseif self.chance:yes(0.5) then
    item.body = cjson.null
  end
  return item
end

function questions.messages(self, channel, about)
  local what = self.calm and "truth" or self.chance:weighed { { 70, "truth" }, { 20, "lost" }, { 10, "not offered" } }
  if what == "lost" then return LOST elseif what == "not offered" then return NOT_OFFERED end
  local list = {}
  for _, message in ipairs(self.list) do
    if message.channel == channel and message.at >= about.min_time
      and self:chat(message.phone, true) == about.chatId then list[#list + 1] = self:shown(message) end
  end
  return { { messages = list } }
end

function questions.request(self)
  if not self.calm and self.chance:yes(0.2) then return LOST end
  local list = {}
  for n, name in ipairs { "action_success", "other_template" } do
    list[n] = { name = name, language = "en", category = "UTILITY", status = "APPROVED",
                components = { { type = "BODY", text = M.TEMPLATES[name] } } }
  end
  return { { templates = list } }
end

function questions.status(self)
  if self.calm then return { { status = "connected" } } end
  return { { status = self.chance:pick { "connected", "connected", "disconnected", "something new" } } }
end

--- A channel of a process.
function Provider:channel(proc, name)
  local world, channel = self.world, {}
  function channel.check(_, message)
    if not tostring(message.phone):find "^%d+$" then return nil, "invalid: phone has a letter", { outcome = "invalid" } end
    return { phone = message.phone, body = message.body, template = message.template or "action_success",
             namespace = "ns", language = message.language or "en", ttl = message.ttl }
  end
  function channel.async(_, operation, about)
    world:pause()
    if operation == "send" then return self:send(proc, name, about) end
    if type(about) == "string" and operation == "request" then about = nil end
    local wait = self.chance:weighed { { 80, 0 }, { 15, 1 }, { 5, 30 } }
    local at = world.time + (self.calm and 0 or wait)
    return { ready = function() return true end, wait = function()
      world:sleep_until(at, true)
      world:pause()
      local answer = questions[operation](self, name, about)
      return answer[1], answer[2], answer[3]
    end }
  end
  return channel
end

-- Numbers -----------------------------------------------------------------------------------------------------------

-- The other form in which WhatsApp may write it.
local OTHER_FORM = { ["5511987654321"] = "551187654321", ["5215512345678"] = "525512345678" }
M.PHONES = { "12020721300", "12020721301", "5511987654321", "5215512345678", "447911123456" }

--- A number as a hook has it.
function Provider:form(phone)
  return self.chance:yes(0.3) and OTHER_FORM[phone] or phone
end

--- Its chat id.
function Provider:chat(phone, exact)
  return (exact and phone or self:form(phone)) .. "@c.us"
end

function M.same(a, b)
  return a == b or OTHER_FORM[a] == b or OTHER_FORM[b] == a
end

return M
