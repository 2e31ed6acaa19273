--- onemsg.workflow.operator: what a person asks and decides: show, list, settle, replay, cancel, stats.
-- For onemsg.workflow, which calls these methods only while it is open.
local log = require "onemsg.workflow.log"
local manners = require "onemsg.workflow.manners"
local pause = require "onemsg.outbox.pause"
local pauses = require "onemsg.workflow.pauses"
local forgotten = require "onemsg.workflow.forget"
local states = require "onemsg.policy.states"
local planner = require "onemsg.workflow.plan"
local suggest = require "onemsg.base.suggest"
local words = require "onemsg.policy.why"
local check = require "onemsg.base.check"
local utf8 = require "onemsg.base.utf8"
local phones = require "onemsg.base.phone"
local recipients = require "onemsg.workflow.recipients"

local M = { methods = {} }
local Hand = M.methods

local names = {}
for n, state in ipairs(states.list) do names[n] = state.name end

local function check_id(id, what)
  if type(id) ~= "string" and type(id) ~= "number" then
    check.misuse(("%s takes the id of a confirmation, a text, not a %s"):format(what, type(id)))
  end
  return type(id) == "number" and ("%.0f"):format(id) or id
end

local function unknown_id(id)
  return nil, ("invalid: no confirmation has the id %s"):format(id), { outcome = "invalid" }
end

local function wrong_state(row, may)
  return nil, ("conflict: %s is %s; %s"):format(row.id, row.state, may), { outcome = "invalid" }
end

local SHOWS = { time = "function" }

--- Everything about a confirmation.
-- @tparam string id
-- @treturn ?table id, type, state, reason, rule, version, channel, phone, body, template, language, message_id, job_id,
--   code, attempts, due_at, held (why it waits, or that WhatsApp holds it back), give_up_at, created_at, changed_at, accepted_at,
--   forgotten_at;
--   statuses = { { message_id, earlier (true: of a message before the present one), status, at, received_at, source,
--   code, error }, … }, all that its state is made of;
--   way (the rule's other way), fallback, fallback_at, way_missing (a sentence: it is overdue, and nobody used it);
--   history = { { step, at, state, reason, version }, … }.
--   why = in words: happened, evidence (how that is known), next (what comes by itself, or nil), can_do (what somebody can
--   do, or nil).
--   nil for an unknown id; nil, err, info when the store failed
-- @tparam ?table options time(seconds) → how `why` writes a time (default: UTC)
function Hand:show(id, options)
  options = check.options("show", options, SHOWS)
  local row, history, statuses, waits = self.box:story(check_id(id, "show"))
  if not row then return nil, history, statuses end -- err, info; both nil for an unknown id
  local view, now = log.view(row, history, statuses), self.now()
  view.way_missing = manners.overdue(row, now)
  local paused = waits.pause and pauses.sentence(waits.pause)
  if paused then view.held, view.due_at = "paused " .. paused, nil end
  view.node = waits.node
  view.why = words.tell(view, { now = now, behind = waits.behind, channel = waits.gate, paused = paused }, options.time)
  return view
end

local FILTERS = { state = "string", rule = "string", phone = "string number", bsuid = "string",
                  username = "string", chat_id = "string", type = "string", channel = "string",
                  since = "time", before = "time", find = "string", after = "table", limit = "number",
                  country = "string number" }

--- Confirmations, the newest change first, as show() gives them, without history and statuses.
-- @tparam ?table by state, rule, type, channel: equal; phone (as people write it, or any other name), bsuid, username,
--   chat_id: all to that person, by whichever name; since, before: seconds;
--   find: a text anywhere in it: an order number, a name, the last digits of a phone;
--   after: the last one that was listed before: those that follow; limit: 100, at most 1000; country: of a national phone
function Hand:list(by)
  by = check.options("list", by, FILTERS, "filter")
  if by.state and not states.by_name[by.state] then
    check.misuse(("list: there is no state '%s'%s"):format(by.state, suggest.phrase(by.state, states.by_name)))
  end
  local address = recipients.named(self, "list", by)
  if address then
    local persons, err, info = self.box:persons { phones.key(address) }
    if not persons then return nil, err, info end
    by.person = persons[1]
  end
  by.country = nil
  local rows, err, info = self.box:list(by, names)
  if not rows then return nil, err, info end
  local waits
  for n, row in ipairs(rows) do
    rows[n] = log.view(row)
    waits = waits or row.state == "queued"
  end
  if not waits then return rows end
  local paused
  paused, err, info = self.box.db:read { { pause.ALL } }
  if not paused then return nil, err, info end
  for _, one in ipairs(rows) do
    for _, by_whom in ipairs(one.state == "queued" and paused[1] or {}) do
      if one[by_whom.kind] == by_whom.name then
        one.held, one.due_at = "paused " .. pauses.sentence(by_whom), nil
        break
      end
    end
  end
  return rows
end

--- Who it is, of a method's options.
function M.by(what, options)
  local by = check.options(what, options or {}, { by = "string" }).by
  return by and utf8.line(utf8.repair(by, 100)) or nil
end

--- A change by hand: done, told, shown.
-- @tparam string what the method
-- @tparam ?string by who
local function change(flow, row, what, by, state, reason, verdict)
  if by then reason = reason:gsub("by hand", function() return "by " .. by end, 1) end
  local changed, err, info = flow.box:change(row, state, reason, flow.now(), { what = what, by = by, verdict = verdict })
  if not changed then return nil, err, info end
  flow:announce(changed)
  return log.view(changed)
end

local verdicts = { arrived = { "delivered", "settled by hand: it arrived" },
                   not_arrived = { "failed", "settled by hand: it did not arrive" } }

--- A person says what became of a message in doubt (unknown or stalled).
-- @tparam string id
-- @tparam string verdict "arrived" → delivered; "not_arrived" → failed, which may be replayed
-- @tparam ?table options by = who says so: it stands in the history and in audit
-- @treturn ?table the confirmation
-- @treturn string with nil: "conflict: …" when it is in another state
function Hand:settle(id, verdict, options)
  id = check_id(id, "settle")
  if not verdicts[verdict] then
    check.misuse(('settle takes "arrived" or "not_arrived" second, not %s'):format(tostring(verdict)))
  end
  local by = M.by("settle", options)
  local row, err, info = self.box:row(id)
  if not row then
    if err then return nil, err, info end
    return unknown_id(id)
  end
  if not states.doubtful[row.state] then return wrong_state(row, "only what is unknown or stalled can be settled") end
  return change(self, row, "settle", by, verdicts[verdict][1], verdicts[verdict][2], verdict)
end

--- Takes back what has not been sent yet.
-- @tparam string id
-- @tparam ?table options by = who
-- @treturn ?table the confirmation
-- @treturn string with nil: "conflict: …" when it is no longer queued
function Hand:cancel(id, options)
  id = check_id(id, "cancel")
  local by = M.by("cancel", options)
  local row, err, info = self.box:row(id)
  if not row then
    if err then return nil, err, info end
    return unknown_id(id)
  end
  if row.state ~= "queued" then return wrong_state(row, "only what is queued can be cancelled") end
  return change(self, row, "cancel", by, "cancelled", "cancelled by hand")
end

--- How many confirmations the event of this one led to.
local function parts_of(flow, row)
  local head = row.id:match("^(.*)~%d+$")
  if not head then return row.parts end
  local first, err, info = flow.box:row(head)
  if err then return nil, err, info end
  return first and first.parts or math.huge
end

--- The part of a fresh plan that is this confirmation: the one of the same rule, or the only one there was and is. What
-- another rule says now may have been sent already, by another confirmation of the event.
-- @treturn ?table
-- @treturn string with nil: why there is none
local function part_for(row, parts, plan)
  local only = #plan.parts == 1 and plan.parts[1]
  local found = only and (parts == 1 or only.state == "skipped") and only or nil
  for _, part in ipairs(plan.parts) do
    if part.rule ~= nil and part.rule == row.rule then found = part end
  end
  if found then
    found.id = row.id
    return found
  end
  local rules = {}
  for n, part in ipairs(plan.parts) do rules[n] = part.rule and '"' .. part.rule .. '"' or "no rule" end
  return nil, ('%s was decided by the rule "%s", and now the event leads to %s: which of them it is, is open; submit what is '
    .. "missing as an event with an id of its own"):format(row.id, row.rule or "?", table.concat(rules, ", "))
end

local REPLAYS = { state = "string", rule = "string", type = "string", channel = "string", since = "time", before = "time",
                  find = "string", by = "string" }

--- Replays all that a filter finds, the newest change first.
local function replay_all(flow, by)
  by = check.options("replay", by, REPLAYS, "filter")
  if not states.replayable[by.state or ""] then
    check.misuse(("replay: state is one of %s"):format(table.concat(suggest.words(states.replayable), ", ")))
  end
  local result = { replayed = 0, refused = {} }
  local who = { by = by.by }
  by.by = nil
  by.before = by.before or flow.now() -- what ends anew meanwhile is not meant
  repeat
    local list, err, info = flow:list(by)
    if not list then return nil, err, info end
    for _, one in ipairs(list) do
      flow.breathe()
      local done, why, more = flow:replay(one.id, who)
      if done then
        result.replayed = result.replayed + 1
      elseif why:find "^store:" then
        return nil, why, more
      else
        result.refused[#result.refused + 1] = { id = one.id, error = why }
      end
    end
    by.after = list[#list]
  until #list == 0
  return result
end

--- Queues an ended confirmation again, as the rules decide it now: for what was rejected and then fixed. Also ends the
-- waiting of its template and asks a stopped channel at once.
-- @param id of one; or { state = …, rule, type, channel = …, since, before = seconds, find = text, by = who }: all that are found
-- @tparam ?table options by = who
-- @treturn ?table the confirmation; of several { replayed = n, refused = { { id, error }, … } }
-- @treturn string with nil: "conflict: …" (state; another confirmation holds its once_per key; the rules
--   changed so that it is open which of several it is), "invalid: …" (the rules
--   still skip it, and why)
function Hand:replay(id, options)
  if type(id) == "table" then return replay_all(self, id) end
  id = check_id(id, "replay")
  local by = M.by("replay", options)
  local row, err, info = self.box:row(id)
  if not row then
    if err then return nil, err, info end
    return unknown_id(id)
  end
  if forgotten.is_forgotten(row) then return wrong_state(row, "whom it was for is forgotten") end
  if not states.replayable[row.state] then
    return wrong_state(row, row.state == "unknown" and "settle it first: it may have arrived"
      or "only what is skipped, rejected, failed, expired or cancelled can be replayed")
  end
  if row.channel and not self.channels[row.channel] then
    return nil, ("config: %s belongs to the channel %s, which this workflow does not have: replay it where that is open")
      :format(id, row.channel), { outcome = "invalid" }
  end
  local now = self.now()
  local plan, no_plan, why = planner.plan(self, planner.stored(row.event), now,
    row.resolved and planner.stored(row.resolved))
  if not plan then return nil, no_plan, why end
  local parts
  parts, err, info = parts_of(self, row)
  if not parts then return nil, err, info end
  local part, none = part_for(row, parts, plan)
  if not part then return nil, "conflict: " .. none, { outcome = "invalid" } end
  if part.state ~= "queued" then
    return nil, ("invalid: the rules skip it: %s"):format(part.reason), { outcome = "invalid" }
  end
  local changed
  changed, err, info = self.box:keep_rules(plan.ruleset, now)
  if not changed then return nil, err, info end
  changed, err, info = self.box:replay(row.state, part, ("replayed by %s: %s"):format(by or "hand", part.reason), now, by,
    forgotten.digest(self))
  if not changed then return nil, err, info end
  self.box:unpark_for_a_time(changed, now)
  self.box:change_gate(changed.channel, function(gate)
    return gate.breaker == "open" and { next_at = now } or nil
  end)
  self:announce(changed)
  self.worker:wake()
  return log.view(changed)
end

--- Who changed what by hand, the newest first, at most 1,000.
-- @tparam ?table options after = the last of those that were read before: those that follow
-- @treturn ?table { { at, by ('': not said), what ("settle", "cancel", "replay", "suppress", "unsuppress", "pause", "resume"),
--   about (an id; of a person the last four digits; what was paused), before, after }, … }
function Hand:audit(options)
  local lines, err, info = self.box:audit(check.options("audit", options or {}, { after = "table" }).after)
  if not lines then return nil, err, info end
  for n, one in ipairs(lines) do
    lines[n] = { at = one.at, by = one.who, what = one.what, about = one.about, before = one.was, after = one.became,
                 id = one.id, place = one.place }
  end
  return lines
end

local COUNTS = { by = "string", since = "time" }
local BY = { reason = true, rule = true, hour = true }

--- How many confirmations last changed since a time, by state and reason, rule or hour.
-- @tparam table options by = "reason", "rule" or "hour"; since = seconds (default: ever)
-- @treturn ?table { { state, count, reason and code | rule | hour (seconds: its begin) }, … }: hours in their order, the others
--   by their counts. Of a reason, its code counts, or what it begins with
-- @treturn string with nil: "store: …"
function Hand:counts(options)
  options = check.options("counts", options, COUNTS)
  if not BY[options.by] then check.misuse 'counts: by is "reason", "rule" or "hour"' end
  local rows, err, info = self.box:grouped(options.by, options.since or 0, names)
  if not rows then return nil, err, info end
  for n, row in ipairs(rows) do
    local one = { state = row.state, count = row.n, code = options.by == "reason" and row.code or nil }
    if options.by == "hour" then
      one.hour = row.named * 3600
    elseif options.by == "reason" then
      one.reason = row.code and row.reason or row.named
    elseif row.named ~= "" then
      one.rule = row.named
    end
    rows[n] = one
  end
  table.sort(rows, function(a, b)
    if a.hour ~= b.hour then return a.hour < b.hour end
    if a.count ~= b.count then return a.count > b.count end
    return a.state .. (a.reason or a.rule or "") < b.state .. (b.reason or b.rule or "")
  end)
  return rows
end

--- Counts.
-- @treturn ?table states = { queued = n, … } of the store; due, oldest_due; channels = { name = { breaker, reason,
--   next_at, pause_until, hooked_at (last hook on a message of ours), hookinfo (false: not offered) } }; parked = {
--   { channel, template, language, until_at, reason }, … }; paused = { { kind, name, reason, person, at }, … };
--   templates = { { channel, name, language, category, status, quality, at }, … } (those in use, as the platform told of
--   them last); rules = { version, problem (of the file as it stands) };
--   clock = { jumped (seconds by which the wall clock jumped, while that is not believed) };
--   held (statuses of unknown messages); oddities = { kind = n } (not understood); fallbacks_unknown; fallbacks_waiting =
--   { way = n } (due for minutes, and nobody used it); and of this
--   workflow since it was opened: submitted, duplicates, differs (repeats with other content, of which the first
--   won), skipped, attempts, recorded, in_flight, unrecorded, asks
--   (hookInfo), fallbacks, forgotten (by retention), hooks, hooks_invalid, hook_new, hook_duplicates, hook_foreign, hook_ignored
function Hand:stats()
  local counts, err, info = self.box:counts(self.now())
  if not counts then return nil, err, info end
  local channels = {}
  for _, gate in ipairs(counts.channels) do
    channels[gate.name] = { breaker = gate.breaker, reason = gate.reason ~= "" and gate.reason or nil,
      next_at = gate.breaker ~= "closed" and gate.next_at or nil, pause_until = gate.pause_until,
      hooked_at = gate.hooked_at > 0 and gate.hooked_at or nil,
      hookinfo = gate.mute_until <= self.now() }
  end
  counts.channels = channels
  counts.clock = { jumped = self.clock:jumped() }
  counts.rules = { version = self:ruleset(self.now()).version, problem = self.rules_problem }
  local more
  more, err, info = self.box:delivery_counts()
  if not more then return nil, err, info end
  for name, value in pairs(more) do counts[name] = value end
  counts.fallbacks_waiting, err, info = self.box:waiting_ways(self.now() - manners.WAITED, true)
  if not counts.fallbacks_waiting then return nil, err, info end
  for name, n in pairs(self.counted) do counts[name] = n end
  counts.recorded, counts.in_flight, counts.unrecorded = self.worker.recorded, self.worker.count, #self.worker.answered
  return counts
end

return M
