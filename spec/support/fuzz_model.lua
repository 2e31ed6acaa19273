--- support.fuzz_model: the judge of the fuzz: what must hold whatever happened. See fuzz_spec.
--
-- It knows what was acknowledged, what the provider really did and what it told, and what persons said. It knows none of
-- the code's own reasons: a message may follow another one only if the provider's own words prove that the one before
-- did not reach, or a person asked for it.
local cjson = require "cjson"
local provider_of = require "support.fuzz_provider"
local states = require "onemsg.policy.states"

local M = {}

local Model = {}
Model.__index = Model

--- @tparam table world
-- @tparam table options gap
function M.new(world, options)
  return setmetatable({ world = world, options = options, confs = {}, order = {}, events = {}, stopped = {}, proven = {},
                        steps = {}, jumped = false, hands = 0 }, Model)
end

--- What is known of a confirmation.
function Model:conf(id)
  local conf = self.confs[id]
  if not conf then
    conf = { id = id, calls = {}, claims = 0, sms = 0 }
    self.confs[id], self.order[#self.order + 1] = conf, conf
  end
  return conf
end

-- Sending -----------------------------------------------------------------------------------------------------------

--- What the provider's words, or a person's, say of an earlier call: may another message follow?
function Model:excused(conf, call)
  if call.excused then return true end
  local answer = call.answer
  local outcome = call.answered and answer ~= "raises" and not answer[1] and (answer[3] or {}).outcome
  if call.answered and (answer == "raises" or outcome == "not_sent" or outcome == "rejected" or outcome == "invalid") then
    return true
  end
  if call.message and self.provider.said_failed[call.message.id] then return true end
  if call.answered and answer ~= "raises" and answer[1] and self.provider.said_failed[answer[1].id or ""] then return true end
  return (conf.replayed or 0) >= call.n
end

local MAY_REPLAY = { skipped = true, rejected = true, failed = true, expired = true, cancelled = true }

local ON = [[SELECT reason FROM suppression WHERE phone = $1 AND channel IN ('', $2)
  AND lifted_at IS NULL AND (until_at IS NULL OR until_at > $3)]]
local DELIVERED = [[SELECT s.message_id FROM status s WHERE s.status IN ('delivered', 'read', 'viewed', 'played')
  AND s.received_at < $2 AND s.channel IN ('', $3) AND (s.message_id IN (SELECT message_id FROM earlier WHERE id = $1))]]

--- A message is to leave: it is marked, and nothing is sent yet.
function Model:claimed(proc, rows)
  local world = self.world
  for _, row in ipairs(rows) do
    local conf = self:conf(row.id)
    world:tell("claim", row.id, "by", proc.n)
    for _, call in ipairs(conf.calls) do
      if not self:excused(conf, call) then
        world:wrong("twice: %s is sent again, and call %s (%s) is not proven not to have left", row.id, call.n, call.kind)
      end
    end
    if conf.open_claim then
      world:wrong("twice: %s is claimed again, and what came of the claim before is open", row.id)
    end
    if conf.sms > 0 and (conf.replayed_at or -1) < conf.sms_at then
      world:wrong("twice: %s is sent although the other way was used", row.id)
    end
    local stop = self.stopped[row.channel .. " " .. row.phone]
    if stop then world:wrong("to whom it may not go: %s to %s, who wrote STOP", row.id, row.phone) end
    local on = not self.jumped and world:read(ON, row.phone, row.channel, world:now())[1] -- else: which time was it then?
    if on then world:wrong("to whom it may not go: %s, suppressed: %s", row.id, on.reason) end
    self:in_line(row)
    if row.give_up_at <= world:now() then world:wrong("%s is sent after its give_up_at", row.id) end
    conf.open_claim = { at = world:now(), mono = world.time, phone = row.phone, channel = row.channel }
    conf.last_claim = conf.open_claim
    proc.queue[#proc.queue + 1] = row
  end
end

--- One after the other to one recipient, with a gap.
function Model:in_line(row)
  for _, other in ipairs(self.order) do
    local claim = other.last_claim
    if claim and other.id ~= row.id and claim.phone == row.phone and claim.channel == row.channel then
      local call = other.calls[#other.calls]
      if other.open_claim == claim and not claim.lost or call and call.claim == claim and not call.answered
        and not claim.lost and self.world.time - claim.mono < 60 and not self.jumped then
        self.world:wrong("two at once to %s: %s and %s", row.phone, other.id, row.id)
      end
      local left = call and call.claim == claim and call.left
      if left and not self.jumped and self.world:now() - claim.at < self.options.gap - 1e-6 then
        self.world:wrong("too soon to %s: %s %.2f s after %s", row.phone, row.id, self.world:now() - claim.at, other.id)
      end
    end
  end
end

--- Confirmations to a person that are certainly under way: claimed within the lease by a process that lives, no answer yet.
local function in_flight(self, row)
  local found = {}
  for _, other in ipairs(self.order) do
    local claim, call = other.last_claim, other.calls[#other.calls]
    if claim and other.id ~= row.id and claim.phone == row.phone and not claim.lost and self.world.time - claim.mono < 50
      and (other.open_claim == claim or call and call.claim == claim and not call.answered) then found[other] = true end
  end
  return found
end

--- A process reads what may be evidence for a message in doubt; `read` does it.
function Model:weighing(row, read)
  local conf, before = self:conf(row.id), in_flight(self, row)
  local seen, err, info = read()
  conf.in_flight = nil
  for other in pairs(in_flight(self, row)) do
    if before[other] then conf.in_flight = other.id end
  end
  return seen, err, info
end

--- It decides by that whose message it is.
function Model:deciding(row, change)
  local conf = self:conf(row.id)
  if type(change.message_id) == "string" and conf.in_flight and not self.jumped then
    self.world:wrong("guessed: %s is taken for %s's while %s to the same person is under way", change.message_id, row.id,
      conf.in_flight)
  end
end

--- The bytes leave.
function Model:called(proc, call, sent)
  local row = table.remove(proc.queue, 1)
  if not row then self.world:wrong("a message to %s leaves that nobody claimed", call.phone) end
  local conf = self:conf(row.id)
  local message = cjson.decode(row.message)
  if message.phone ~= sent.phone or table.concat(message.body, "\0") ~= table.concat(sent.body, "\0")
    or row.channel ~= call.channel then
    self.world:wrong("%s leaves with other words than were stored", row.id)
  end
  call.conf, call.claim, conf.open_claim = conf, conf.open_claim, nil
  conf.calls[#conf.calls + 1] = call
end

--- A process died: what it had claimed and not sent has not left, but nobody knows.
function Model:killed(proc)
  for _, row in ipairs(proc.queue) do
    local conf = self:conf(row.id)
    local claim = conf.open_claim
    claim.lost, conf.open_claim = true, nil
    conf.calls[#conf.calls + 1] = { n = #self.provider.calls + 0.5, kind = "killed before", claim = claim, answer = {},
      proc = proc,
                                    conf = conf, phone = row.phone, channel = row.channel, at = self.world.time }
  end
  for _, call in ipairs(self.provider.calls) do
    if call.proc == proc and call.claim then call.claim.lost, call.dead = true, not call.answered end
  end
end

--- The other way to reach a person was used.
function Model:reached(proc, notice)
  local conf = self:conf(notice.id)
  self.world:tell("sms", notice.id, "by", proc.n)
  if conf.sms > 0 then self.world:wrong("twice: the other way of %s is used again", notice.id) end
  conf.sms, conf.sms_at = conf.sms + 1, self.hands
end

-- What persons and customers say ------------------------------------------------------------------------------------

--- A person asked for it to be sent again.
function Model:replaying(id)
  self.hands = self.hands + 1
  local conf = self:conf(id)
  conf.replayed, conf.replayed_at = #self.provider.calls + 0.5, self.hands
end

function Model:stop(phone, channel)
  self.stopped[channel .. " " .. phone] = true
end

function Model:start(phone)
  for key in pairs(self.stopped) do
    if provider_of.same(key:match " (.*)$", phone) then self.stopped[key] = nil end
  end
end

local FAULTS = { "fault of onemsg", "please report" }

function Model:alert(proc, alert)
  self.world:tell("  alert", proc.n, alert.alert, alert.reason)
  if alert.alert == "store" or alert.alert == "unrecorded" then
    self.world:wrong("alert %s, and the store is well: %s", alert.alert, tostring(alert.reason))
  end
end

--- An answer of a public call: a sentence is fine, a fault is not.
function Model:answered(what, ok, err)
  if ok then return end
  if type(err) ~= "string" or not err:find "^%l+: " and not err:find "^%l+_%l+: " then
    self.world:wrong("%s answers nil and %s", what, tostring(err))
  end
  for _, word in ipairs(FAULTS) do
    if err:find(word, 1, true) then self.world:wrong("%s answers %s", what, err) end
  end
  if err:find "^store:" then self.world:wrong("%s answers %s, and the store is well", what, err) end
end

-- Events ------------------------------------------------------------------------------------------------------------

local SKIPS = { "^suppressed: ", "^once_per: ", "^no rule ", "^never ", "Staff", "^no phone" }

--- An event was acknowledged.
function Model:ticket(event, ticket)
  local known = self.events[event.id]
  if not known then
    known = { text = cjson.encode(event), payment = event.type == "once" and event.payment or nil }
    self.events[event.id] = known
  end
  local parts = { ticket }
  for n, other in ipairs(ticket.also or {}) do parts[n + 1] = other end
  for _, part in ipairs(parts) do
    local conf = self:conf(part.id)
    conf.acknowledged = true
    if part.state == "skipped" then
      local fine = false
      for _, pattern in ipairs(SKIPS) do fine = fine or part.reason:find(pattern) end
      if not fine then self.world:wrong("%s is skipped: %s", part.id, part.reason) end
    end
  end
  if known.parts and known.parts ~= #parts then
    self.world:wrong("%s had %d parts and has %d", event.id, known.parts, #parts)
  end
  known.parts = #parts
end

local STORED = "SELECT COUNT(*) AS n FROM status WHERE message_id = $1 AND status = $2"

--- A hook was acknowledged: what it says is on disk.
function Model:kept(list)
  for _, one in ipairs(list) do
    if self.world:read(STORED, one.message.id, one.status:lower())[1].n == 0 then
      self.world:wrong("lost: the status %s of %s was acknowledged and is not stored", one.status, one.message.id)
    end
  end
end

-- Whose it is -------------------------------------------------------------------------------------------------------

--- Others whose message it may be as well: sent to the same person in the same words, and no id is known of them.
function Model:rival(conf, message, found_at)
  for _, call in ipairs(self.provider.calls) do
    if call.conf ~= conf and call.channel == message.channel and provider_of.same(call.phone, message.phone)
      and call.text == message.text and call.at >= message.at - 300 and call.at <= math.min(found_at, message.at + 20)
      and not self:told_id(call) and not (call.answered and self:excused(call.conf, call)) then
      return call
    end
  end
end

function Model:told_id(call) -- luacheck: no self
  local receipt = call.answered and call.answer ~= "raises" and call.answer[1]
  return receipt and receipt.id or call.found
end

--- The provider itself told of a message by another one's id: then nothing that follows from ids is anybody's guess.
function Model:named_otherwise()
  for _, call in ipairs(self.provider.calls) do
    if call.kind == "again" then return true end
  end
  return false
end

local FOUND_AT = "SELECT MAX(at) AS at FROM history WHERE id = $1 AND reason LIKE '%evidence: %'"

--- A message id stands with a confirmation that did not have it before: by an answer, or by its own words.
function Model:attributed(row)
  local world, conf, message = self.world, self:conf(row.id), self.provider.messages[row.message_id]
  world:tell("  its message", row.id, row.message_id, row.textless == 1 and "(no text)" or "")
  if not message then world:wrong("guessed: %s has the id %s, which nobody gave", row.id, row.message_id) end
  for _, call in ipairs(conf.calls) do
    local receipt = call.answered and call.answer ~= "raises" and call.answer[1]
    if receipt and receipt.id == row.message_id then return end
  end
  local found_at = world:read(FOUND_AT, row.id)[1].at or math.huge
  local rival = self:rival(conf, message, found_at - world.offset)
  if rival and not self:named_otherwise() then
    world:wrong("guessed: %s is taken for %s's, and call %s of %s may own it", message.id, row.id, rival.n, rival.conf.id)
  end
  if message.call and message.call.conf == conf then
    message.call.found = message.id
    return
  end
  if row.textless == 1 and not message.call then return end
  if self:named_otherwise() then return end
  if not message.call and message.text == conf.calls[#conf.calls].text then return end
  world:wrong("guessed: %s is taken for %s's, and is %s's", message.id, row.id,
    message.call and message.call.conf.id or "a stranger")
end

local TWO_OWNERS = [[
  SELECT message_id, MIN(id) AS one, MAX(id) AS other FROM (
    SELECT id, message_id, channel FROM confirmation WHERE message_id IS NOT NULL
    UNION SELECT id, message_id, channel FROM earlier)
  GROUP BY message_id, channel HAVING COUNT(DISTINCT id) > 1]]

--- After each step: nothing is gone, no id has two owners, each id is proven, every change was a legal one.
function Model:look()
  local world = self.world
  for _, row in ipairs(world:read "SELECT id, message_id, textless, state, step, was FROM confirmation") do
    local conf = self:conf(row.id)
    if conf.step and row.step < conf.step then world:wrong("%s goes back from step %d to %d", row.id, conf.step, row.step) end
    if row.message_id and conf.message_id ~= row.message_id then self:attributed(row) end
    conf.step, conf.state, conf.message_id, conf.stored = row.step, row.state, row.message_id, true
  end
  for _, conf in ipairs(self.order) do
    if conf.acknowledged and not conf.stored then world:wrong("lost: %s was acknowledged and is gone", conf.id) end
    conf.stored = nil
  end
  local two = world:read(TWO_OWNERS)[1]
  if two then world:wrong("one message id, %s, belongs to %s and %s", two.message_id, two.one, two.other) end
end

-- The end -----------------------------------------------------------------------------------------------------------

function Model:history()
  local before = {}
  for _, line in ipairs(self.world:read "SELECT id, step, state, reason FROM history ORDER BY id, step") do
    local last = before[line.id]
    if not last then
      if line.step ~= 1 then self.world:wrong("%s's history begins at step %d", line.id, line.step) end
      last = { step = 0, state = "new" }
    end
    if line.step ~= last.step + 1 then
      self.world:wrong("%s's history has a hole before step %d", line.id, line.step)
    elseif line.state ~= last.state and not states.may(last.state, line.state) then
      self.world:wrong("%s went from %s to %s", line.id, last.state, line.state)
    end
    before[line.id] = line
  end
  for _, row in ipairs(self.world:read "SELECT id, step, state FROM confirmation") do
    local last = before[row.id]
    if not last or last.step ~= row.step or last.state ~= row.state then
      self.world:wrong("%s is %s at step %d, and its history ends otherwise", row.id, row.state, row.step)
    end
  end
end

local ENDS = { delivered = true, read = true, cancelled = true, skipped = true, rejected = true, expired = true, failed = true,
               unknown = "settle", stalled = "settle" }

-- Who asked for silence is not reached by another way either.
local SILENT = "SELECT COUNT(*) AS n FROM history WHERE id = $1 AND reason LIKE '%: not used; suppressed: %'"

--- When a long calm is over nothing waits any more, but for persons; and what was told by an answer is known.
function Model:over()
  local world = self.world
  self:look()
  self:history()
  for _, row in ipairs(world:read "SELECT * FROM confirmation ORDER BY id") do
    local function stuck(why) world:wrong("stuck: %s is %s, %s", row.id, row.state, why) end
    if not ENDS[row.state] then stuck "and nobody wakes it" end
    for _, column in ipairs { "attend_at", "retry_at", "fallback_at", "fallback_lease", "lease_until" } do
      if row[column] then stuck(("%s %.0f s ago is still to come"):format(column, world:now() - row[column])) end
    end
    local silent = row.phone and (self.stopped[row.channel .. " " .. row.phone]
      or world:read(ON, row.phone, row.channel, world:now())[1] or world:read(SILENT, row.id)[1].n > 0)
    if row.otherwise and not silent and not row.fallback and (row.state == "rejected" or row.state == "expired"
      or row.state == "stalled" or row.state == "failed") then stuck "and the other way was not used" end
    self:remembered(row)
    self:looked_after(row)
    self:in_doubt(row)
    self:folded(row)
    if (row.state == "delivered" or row.state == "read") and row.settled ~= "arrived" then self:told(row) end
  end
  self:once()
end

-- Looking after -----------------------------------------------------------------------------------------------------

local ASKED = 10800 -- seconds after its acceptance in which hookInfo is asked time and again, and what is in doubt is looked for
local MUTED = "SELECT COUNT(*) AS n FROM channel WHERE name = $1 AND mute_until > $2"

--- What left in the calm was delivered, and hookInfo says so to whoever asks: somebody asked in time.
function Model:looked_after(row)
  local conf = self:conf(row.id)
  local call = conf.calls[#conf.calls]
  if not (call and call.message and call.kind == "accepted" and self.calm_from and call.at > self.calm_from)
    or row.state == "delivered" or row.state == "read" or row.settled or row.message_id ~= call.message.id
    or cjson.decode(row.message).ttl or self.jumped then return end
  if self.world:read(MUTED, row.channel, call.at)[1].n > 0 then return end -- by an answer from before the calm
  self.world:wrong("stuck: %s is %s, and %s was delivered long ago: nobody asked", row.id, row.state, call.message.id)
end

--- Whether another message could be taken for that of a call: to the same person, in the same words or in words that nobody
-- can read.
function Model:alone(call)
  for _, message in ipairs(self.provider.list) do
    if message ~= call.message and message.channel == call.channel and provider_of.same(message.phone, call.phone)
      and (message.text == call.text or message.unreadable) then return false end
  end
  for _, other in ipairs(self.provider.calls) do
    if other ~= call and other.channel == call.channel and provider_of.same(other.phone, call.phone)
      and other.text == call.text then return false end
  end
  return true
end

--- What is in doubt and stands in the history, readable, as the only one that it can be, is found when the history is at
-- hand while it is looked for.
function Model:in_doubt(row)
  local conf = self:conf(row.id)
  local call = conf.calls[#conf.calls]
  if row.state ~= "unknown" or row.settled or #conf.calls ~= 1 or not call.message or call.kind == "job" or self.jumped
    or not self.calm_from or call.at < self.calm_from - ASKED / 2 or call.message.unreadable or self:named_otherwise()
    or call.excused or not self:alone(call) then return end
  self.world:wrong("stuck: %s is in doubt, and the history shows its message, %s, and no other that it could be: nobody looked",
    row.id, call.message.id)
end

local SAID = [[SELECT status FROM status WHERE message_id = $1 AND channel IN ('', $2)
  AND status IN ('delivered', 'read', 'viewed', 'played') LIMIT 1]]

--- What was said of its message has its effect; and a message that was found without its text never failed.
function Model:folded(row)
  if not row.message_id then return end
  local said = self.world:read(SAID, row.message_id, row.channel)[1]
  if said and row.state ~= "delivered" and row.state ~= "read" then
    self.world:wrong("lost: %s was said of %s, and %s is %s", said.status, row.message_id, row.id, row.state)
  end
  if row.textless == 1 and row.state == "failed" and not row.settled then
    self.world:wrong("guessed: %s failed by what was said of %s, which may be another's", row.id, row.message_id)
  end
end

--- What is certain of a call: that it did not leave, or that it failed.
local function harmless(self, conf, call)
  return not call.left and call.answered or self:excused(conf, call) and (conf.replayed or 0) < call.n
end

--- Of the events that say the same once_per one at most may have reached the person.
function Model:once()
  local held = {}
  for id, event in pairs(self.events) do
    local conf = self.confs[id]
    if event.payment and conf then
      for _, call in ipairs(conf.calls) do
        local other = held[event.payment]
        if call.message and not harmless(self, conf, call) and other and other ~= conf then
          self.world:wrong("twice: %s and %s both left for %s, which is confirmed once", other.id, conf.id, event.payment)
        elseif call.message and not harmless(self, conf, call) then
          held[event.payment] = conf
        end
      end
    end
  end
end

-- What is known of ids ----------------------------------------------------------------------------------------------

local IDS = "SELECT message_id FROM confirmation WHERE id = $1 UNION SELECT message_id FROM earlier WHERE id = $1"

--- An id that an answer gave to a process that lived on is its confirmation's.
function Model:remembered(row)
  local known = {}
  for _, one in ipairs(self.world:read(IDS, row.id)) do known[one.message_id or ""] = true end
  for _, call in ipairs(self:conf(row.id).calls) do
    local receipt = call.answered and call.answer ~= "raises" and call.answer[1]
    if receipt and receipt.id and call.proc.alive and call.kind == "accepted" and not known[receipt.id]
      and not self:elsewhere(receipt.id) then
      self.world:wrong("lost: the answer to call %s of %s named %s, and nobody knows it", call.n, row.id, receipt.id)
    end
  end
end

--- Somebody else was told the same id before.
function Model:elsewhere(id)
  local n = 0
  for _, call in ipairs(self.provider.calls) do
    local receipt = call.answered and call.answer ~= "raises" and call.answer[1]
    if receipt and receipt.id == id then n = n + 1 end
  end
  return n > 1
end

local ARRIVED = [[SELECT COUNT(*) AS n FROM status s WHERE s.status IN ('delivered', 'read', 'viewed', 'played') AND (
  s.message_id = (SELECT message_id FROM confirmation WHERE id = $1)
  OR s.message_id IN (SELECT message_id FROM earlier WHERE id = $1))]]

--- That it arrived was said of one of its own messages.
function Model:told(row)
  if self.world:read(ARRIVED, row.id)[1].n == 0 then
    self.world:wrong("guessed: %s is %s, and nobody said that of a message of its own", row.id, row.state)
  end
end

M.MAY_REPLAY, M.DELIVERED = MAY_REPLAY, DELIVERED

return M
