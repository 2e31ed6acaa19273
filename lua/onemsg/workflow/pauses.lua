--- onemsg.workflow.pauses: what a person stops and takes up again: flow:pause, flow:resume. For onemsg.workflow.
local check = require "onemsg.base.check"
local pace = require "onemsg.pace"
local suggest = require "onemsg.base.suggest"
local utf8 = require "onemsg.base.utf8"

local M = { methods = {} }
local Pauses = M.methods

local KINDS = { "channel", "template", "rule" }
local PAUSES = { channel = "string", template = "string", rule = "string", reason = "string", by = "string" }
local RESUMES = { channel = "string", template = "string", language = "string", rule = "string", by = "string" }
local SOON = 3600 -- seconds: what ends within them is said to be expiring

--- "by maria: prices are wrong", from the row of a pause.
function M.sentence(row)
  return (row.person and "by " .. row.person or "by hand") .. (row.reason ~= "" and ": " .. row.reason or "")
end

local function line(text, chars) return text and utf8.line(utf8.repair(text, chars)) end

-- The channels of the store and of this workflow, as a set.
local function channels_of(flow)
  local names, err, info = flow.box:channel_names()
  if not names then return nil, err, info end
  local known = {}
  for _, one in ipairs(names) do known[one] = true end
  for _, one in ipairs(flow.names) do known[one] = true end
  return known
end

-- The kind and the name of what is to be paused. A name that nobody knows would pause nothing, and look as if it did.
local function target(flow, what)
  local kind
  for _, one in ipairs(KINDS) do
    if what[one] then
      if kind then check.misuse(("pause: give %s or %s, one of them"):format(kind, one)) end
      kind = one
    end
  end
  if not kind then check.misuse "pause takes a channel, a template or a rule" end
  local name, known = what[kind], nil
  if kind == "channel" then
    local err, info
    known, err, info = channels_of(flow)
    if not known then return nil, err, info end
  elseif kind == "rule" then
    local set = flow:ruleset(flow.now())
    for _, one in ipairs(set and set.rules or {}) do
      known = known or {}
      known[one] = true
    end
  end
  if known and not known[name] then
    return nil, ("config: there is no %s '%s'%s"):format(kind, name, suggest.phrase(name, known)), { outcome = "invalid" }
  end
  return kind, name
end

--- A person stops the messages of a channel, a template or a rule. They stay queued, and events go on being taken; their
-- give_up_after goes on as well. What is being sent right now is not stopped.
-- @tparam table what channel, template or rule = name; reason = a sentence; by = who
-- @treturn ?table waiting (messages that wait for its end), expiring (of them, those whose give_up_after ends within an hour)
-- @treturn string with nil: "store: …", "config: …" (there is no such channel, or rule)
function Pauses:pause(what)
  what = check.options("pause", what, PAUSES)
  local kind, name, info = target(self, what)
  if not kind then return nil, name, info end
  local now, row = self.now(), { reason = line(what.reason, 200) or "", person = line(what.by, 60) }
  local counts, err, more = self.box:pause(kind, name, row.reason, row.person, now, now + SOON)
  if not counts then return nil, err, more end
  self:alert { alert = "paused", [kind] = name, reason = M.sentence(row) }
  return counts
end

-- Ends pauses, and says so.
-- @treturn ?table as a set: kind = true
local function unpause(flow, kind, name, channels, by, now)
  local ended, err, info = flow.box:unpause(kind, name, channels, now, by)
  if not ended then return nil, err, info end
  for _, one in ipairs(ended) do
    flow:alert { alert = "resumed", [one.kind] = one.name, reason = by and "by " .. by or "by hand" }
  end
  return ended
end

local function resume_channel(flow, name, what, now)
  local parks, err, info = flow.box:resume_templates(name, what.template, what.language, now)
  if not parks then return nil, err, info end
  for _, park in ipairs(parks) do
    flow:alert { alert = "resumed", channel = name, template = park.template, reason = "by hand" }
  end
  if not what.template then
    flow.worker:change_gate(name, function(gate)
      if gate.breaker == "closed" and gate.pause_until <= now then return nil end
      local fields = pace.closed(now)
      fields.pause_until = 0
      return fields, gate.breaker ~= "closed"
    end, function() return { alert = "resumed", channel = name, reason = "by hand" } end)
    local hurried, why, about = flow.box:hurry(name, now, now + pace.RETRY_AFTER_MOST)
    if not hurried then return nil, why, about end
  end
  return flow.box:waiting(name, now + SOON)
end

--- A person says that a channel, a template or a rule is well again: what was paused goes on, the breaker is closed, waits and
-- parks are lifted, and what waited for them is due now.
-- @tparam ?table what channel = name of the store (default: everything); template = name (and language), or rule = name: only
--   that, and the channel is left as it is; by = who
-- @treturn ?table waiting (messages queued there), expiring (of them, those whose give_up_after ends within an hour)
-- @treturn number pauses that ended; string with nil: "store: …", "config: …" (the store has no such channel)
function Pauses:resume(what)
  what = check.options("resume", what or {}, RESUMES)
  local now, by = self.now(), line(what.by, 60)
  local known, err, info = channels_of(self)
  if not known then return nil, err, info end
  local channels = suggest.words(known)
  if what.channel and not known[what.channel] then
    return nil, ("config: the store has no channel '%s'; it has %s"):format(what.channel, table.concat(channels, ", ")),
      { outcome = "invalid" }
  end
  local kind = what.rule and "rule" or what.template and "template" or what.channel and "channel" or ""
  local ended
  ended, err, info = unpause(self, kind, what[kind] or "", channels, by, now)
  if not ended then return nil, err, info end
  local total = { waiting = 0, expiring = 0 }
  local function add(counts)
    if not counts then return false end
    total.waiting, total.expiring = total.waiting + counts.waiting, total.expiring + counts.expiring
    return true
  end
  if kind == "rule" then
    local counts
    counts, err, info = self.box:count_paused(kind, what.rule, now + SOON)
    if not add(counts) then return nil, err, info end
  else
    for _, name in ipairs(channels) do
      if not what.channel or what.channel == name then
        local counts
        counts, err, info = resume_channel(self, name, what, now)
        if not add(counts) then return nil, err, info end
      end
    end
  end
  self.worker:wake()
  return total, #ended
end

return M
