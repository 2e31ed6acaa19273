--- onemsg.workflow.health: what answers and hooks mean for a channel and its templates: the breaker, pauses, parks, probes;
-- and channels of the store that nobody serves. Methods of the worker. What follows from what stands in onemsg.pace and
-- onemsg.policy.measures.
local manners = require "onemsg.workflow.manners"
local pace = require "onemsg.pace"
local phones = require "onemsg.base.phone"

local M = { methods = {} }
local Worker = M.methods

local CLEARED_BY = 3       -- accepted messages that clear a channel of a fault that one message met
local STRANDED_EVERY = 30  -- seconds from one search for them to the next
local STRANDED_AFTER = 600 -- seconds overdue that a message of a channel which this workflow lacks may be others' work

-- The breaker -------------------------------------------------------------------------------------------------------

--- Changes a gate and tells who should know.
function Worker:change_gate(name, think, alert)
  local gate, news = self.flow.box:change_gate(name, think)
  if not gate then return self:trouble(news) end
  if news and alert then self.flow:alert(alert(gate)) end
  self.look_at = 0
end

local function resumed(name)
  return function() return { alert = "resumed", channel = name } end
end

function Worker:trip(name, why)
  self:change_gate(name, function(gate) return pace.trip(gate, self.flow.now(), why) end, function(gate)
    return { alert = "stopped", channel = name, reason = gate.reason }
  end)
end

--- News of messages that left: row → its state by now. May lift a fault that hooks told of.
function Worker:heard(row)
  if row.state ~= "sent" and row.state ~= "delivered" and row.state ~= "read" then return end
  local known = self.gates[row.channel] -- as the last look saw it, a quarter of a second ago at most
  if known and known.breaker == "closed" then return end
  self:change_gate(row.channel, function(gate)
    local fields = pace.heard(gate, self.flow.now(), row.left_at, row.state)
    return fields, fields and fields.breaker == "closed"
  end, resumed(row.channel))
end

local words = { connected = "well", connecting = "well", disconnected = "ill", uninitialized = "ill",
                unregistered = "ill", [""] = "ill" } -- PLATFORM.md 1.7

function Worker:probed(name, answer)
  local status, info = answer[1], answer[3]
  local verdict = type(status) == "table" and (words[status.status] or "open")
    or info and info.status and info.outcome ~= "unknown" and "open" or "ill"
  local lost
  self:change_gate(name, function(gate)
    if gate.breaker ~= "open" then return nil end
    local fields = pace.probed(gate, self.flow.now(), verdict)
    lost = gate.fault == "network" and fields.breaker == "closed"
    return fields, fields.breaker == "closed"
  end, resumed(name))
  if lost then
    local hurried, err = self.flow.box:hurry(name, self.flow.now(), self.flow.now() + pace.RETRY_AFTER_MOST)
    if not hurried then self:trouble(err) end
  end
end

--- Asks a stopped channel whether it is well, when that is due.
function Worker:probe(name, gate, now)
  local proven_at = pace.proven_at(gate)
  if proven_at and proven_at <= now then
    return self:change_gate(name, function(now_there)
      local at = pace.proven_at(now_there)
      return at and at <= now and pace.closed(now) or nil, at ~= nil and at <= now
    end, resumed(name))
  end
  self:due_at(proven_at)
  if gate.breaker ~= "open" or gate.next_at > now then return end
  local mine = false
  self:change_gate(name, function(now_there)
    mine = now_there.breaker == "open" and now_there.next_at <= now
    return mine and { next_at = now + self.flow.lease } or nil
  end)
  if mine then
    self:begin(self.flow.channels[name], "status", { land = function(flight) self:probed(name, flight.answer) end })
  end
end

-- Measures ----------------------------------------------------------------------------------------------------------

local function template_of(row)
  return row.channel .. "\0" .. tostring(row.template) .. "\0" .. tostring(row.language)
end

--- Since when so many messages of a channel were accepted as clear it of a fault (here, not in other processes).
function Worker:cleared_at(name)
  local last = self.passed[name]
  return last and #last == CLEARED_BY and last[1] or nil
end

--- Is it known here that the message's template is refused?
function Worker:is_parked(row)
  local until_at = self.parked[template_of(row)]
  return until_at ~= nil and until_at > self.flow.now()
end

--- The first of several answers that refuse a template tells of it; the others find it known.
function Worker:foresee(row, measures)
  if measures.park then self.parked[template_of(row)] = measures.park.until_at end
end

local function park(self, row, measure)
  local flow = self.flow
  self:foresee(row, { park = measure })
  local first, err = flow.box:park(row, measure.until_at, measure.reason, flow.now())
  if first == nil then return self:trouble(err) end
  if first then
    flow:alert { alert = "parked", channel = row.channel, template = row.template, reason = measure.reason }
  end
end

--- What a failure, told at once or by a hook, means for others: the channel, the template, the recipient.
function Worker:apply(row, measures)
  local flow, name = self.flow, row.channel
  if measures.trip then
    measures.trip.left_at = row.left_at
    self:trip(name, measures.trip)
  end
  if measures.pause_until then
    self:change_gate(name, function(now_there)
      return now_there.pause_until < measures.pause_until and { pause_until = measures.pause_until } or nil
    end)
  end
  if measures.park then park(self, row, measures.park) end
  if measures.suppress then
    local now, why = flow.now(), measures.suppress
    local skipped, err = flow.box:suppress({ channel = name, phone = row.phone, source = "failure", code = why.code, at = now,
      reason = phones.redact(why.reason, row.phone), until_at = now + why.for_s }, now)
    if not skipped then return self:trouble(err) end
    for _, one in ipairs(skipped) do flow:announce(one) end
  end
end

--- What an answer means for its channel and its template.
-- @tparam boolean tries it was the one that tried its template
function Worker:measure(row, gate, measures, tries)
  local flow, name = self.flow, row.channel
  local now = flow.now()
  self.doubts[name] = measures.doubt and (self.doubts[name] or 0) + 1 or 0
  if self.doubts[name] >= pace.DOUBTS then
    self.doubts[name] = 0
    self:trip(name, { fault = "doubt", reason = pace.DOUBTS .. " answers in a row left open whether the message left" })
  end
  if not measures.lost then
    self.lost[name] = nil
  elseif pace.is_lost(self.lost, name, flow.steady()) then
    self:trip(name, { fault = "network", reason = "1MSG can't be reached: " .. phones.redact(measures.lost, row.phone) })
  end
  self:apply(row, measures)
  if row.state == "accepted" then
    local last = self.passed[name] or {}
    last[#last + 1] = now
    if #last > CLEARED_BY then table.remove(last, 1) end
    self.passed[name] = last
  end
  if tries and row.state == "accepted" then
    self.parked[template_of(row)] = nil
    local lifted, err = flow.box:unpark(row, now)
    if lifted == nil then self:trouble(err) end
    self.look_at = 0
  end
  if gate.breaker == "trial" then
    self:change_gate(name, function(now_there)
      local fields = pace.tried(now_there, now, measures.passed == true)
      return fields, fields and fields.breaker == "closed"
    end, resumed(name))
  end
end

-- Channels that nobody serves ---------------------------------------------------------------------------------------

--- Says, once, that messages wait for a channel that this workflow does not have and nobody else serves.
function Worker:find_stranded(now)
  local at = self.flow.steady()
  if at < self.stranded_at then return end
  self.stranded_at = at + STRANDED_EVERY
  local found, err = self.flow.box:stranded(now - STRANDED_AFTER)
  if not found then return self:trouble(err) end
  for name, n in pairs(found) do
    if not self.stranded[name] then
      self.flow:alert { alert = "stranded", channel = name, reason =
        ("%d confirmations wait for the channel %s, which this workflow does not have; open it with that name among "
        .. "its channels, or cancel them"):format(n, name) }
    end
  end
  self.stranded = found
  manners.tell_waiting(self, now)
end

return M
