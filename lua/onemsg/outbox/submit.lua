--- onemsg.outbox.submit: an event's confirmations go into the store, whole, or not at all when its id is known. For
-- onemsg.outbox.
local amend = require "onemsg.outbox.amend"
local forget = require "onemsg.outbox.forget"
local gate = require "onemsg.outbox.gate"
local once = require "onemsg.outbox.once"
local read = require "onemsg.outbox.read"
local person = require "onemsg.outbox.person"
local phones = require "onemsg.base.phone"
local recipient = require "onemsg.outbox.recipient"
local rules = require "onemsg.outbox.rules"

local M = { methods = {} }
local Submit = M.methods

local LOG_ONE, or_null = amend.LOG_ONE, amend.or_null

M.PERSON = person.of "$22" -- of a new confirmation

-- When a new message may leave: now, or when its rule says, but after the one before it in the recipient's line, and 6 s
-- after the last.
local TURN = [[
  (SELECT MAX(t) FROM (
    SELECT CAST($25 AS DOUBLE PRECISION) AS t
    UNION ALL SELECT due_at + $15 FROM (
      SELECT due_at FROM confirmation
      WHERE channel = $8 AND person = ]] .. M.PERSON .. [[ AND state IN ('queued', 'sending') AND place <= $13
      ORDER BY place DESC, id DESC LIMIT 1) AS line
    UNION ALL SELECT MAX(left_at) + $15 FROM confirmation
      WHERE person = ]] .. M.PERSON .. [[ AND channel = $8 AND left_at IS NOT NULL) AS times)]]

local INSERT = [[
  INSERT INTO confirmation(id, event, type, was, state, step, reason, rule, version, channel, phone, person, template, language,
    message, place, due_at, give_up_at, attempts, owner, otherwise, otherwise_after, otherwise_unknown, created_at,
    changed_at, parts, once, way)
  VALUES ($1, $2, $3, 'new', $4, 1, $5, $6, $7, $8, $9, ]] .. M.PERSON .. [[, $10, $11,
    $12, $13, ]] .. TURN .. [[, $16, 0, $17, $18, $19, $20, $14, $14, $21, $23, $24)
  ON CONFLICT (id) DO NOTHING RETURNING id]]

local SET_ASIDE = [[
  UPDATE confirmation SET due_at = park.until_at, held = park.reason, place = place + $2
  FROM park WHERE confirmation.id = $1 AND confirmation.state = 'queued' AND park.channel = confirmation.channel
    AND park.template = confirmation.template AND park.language = confirmation.language AND park.until_at > $3]]

local RESOLVED = "UPDATE confirmation SET resolved = $2 WHERE id = $1"

-- Who leaves later stands in the recipient's line where its time is: nobody waits behind it until then.
local function insertion(box, plan, part, parts, now, gap, owner)
  local otherwise, after = part.otherwise or {}, part.after or 0
  return { INSERT, part.id, plan.text, plan.type, part.state, part.reason, or_null(part.rule), or_null(part.version),
    or_null(part.channel), or_null(part.phone), or_null(part.template), or_null(part.language), or_null(part.message),
    box:next_place(now) + math.floor(after * 1e6), now, gap, or_null(part.give_up_at), owner,
    or_null(otherwise.json), or_null(otherwise.after),
    otherwise.on_unknown and 1 or 0, parts, or_null(part.phone and phones.key(part.phone)),
    or_null(part.once and part.once.key), or_null(otherwise.send), now + after, expect = 1 }
end

--- The unit that stores an event's confirmations, whole or, when the id is known already, not at all.
local function submission(box, plan, now, gap, digest)
  local owner, unit, tickets = box:next_owner(), {}, {}
  local first = {} -- key → the confirmation that takes it for all of this event's that have the same
  for n, part in ipairs(plan.parts) do
    if part.phone then forget.named_again(unit, digest, part.phone, phones.key(part.phone)) end
    if part.once then once.named_again(unit, digest, part.once) end
    unit[#unit + 1] = insertion(box, plan, part, n == 1 and #plan.parts or 1, now, gap, owner)
    if plan.resolved then unit[#unit + 1] = { RESOLVED, part.id, plan.resolved } end
    if part.once and part.state == "queued" then
      local own = not part.once.across and first[part.once.key] or part.id
      if own == part.id then
        first[part.once.key] = own
        unit[#unit + 1], unit[#unit + 2] = once.take(part.once, own)
      end
      unit[#unit + 1] = once.skip_taken(part.once, part.id, own)
    end
    if part.state == "queued" then
      unit[#unit + 1] = { SET_ASIDE, part.id, gate.PARK_SHIFT, now }
      unit[#unit + 1] = recipient.skip_new(part.id, now)
    end
    if part.quiet then unit[#unit + 1] = recipient.keep_quiet(part.id, part.quiet) end
    unit[#unit + 1] = { LOG_ONE, part.id }
    unit[#unit + 1] = { read.TICKET, part.id }
    tickets[n] = #unit
  end
  unit[#unit + 1] = rules.keep(box, plan.ruleset, now) -- the text that decided, with what it decided
  return unit, tickets
end

--- Begins to store a plan (onemsg.workflow.plan).
-- @tparam table plan id, text, type, parts = { { id, state, reason, rule, … }, … }
-- @tparam number gap seconds between two messages to one recipient
-- @tparam ?function digest of who may have been forgotten (onemsg.workflow.forget)
-- @treturn table a pending: submitted(pending) waits for it
function Submit:submit(plan, now, gap, digest)
  local unit, tickets = submission(self, plan, now, gap, digest)
  local pending, err, info = self.db:async(unit)
  if not pending then return nil, err, info end
  return { pending = pending, tickets = tickets, plan = plan }
end

--- Waits until the plan is on disk.
-- @treturn ?table the stored rows, one a part, with first_state and first_reason
-- @treturn boolean|string true: they had been stored before; nothing was changed
function Submit:submitted(begun, seconds)
  local results, err, info = begun.pending:wait(seconds)
  if results then
    local rows = {}
    for n, at in ipairs(begun.tickets) do rows[n] = results[at][1] end
    self.kept_rules = begun.plan.ruleset and begun.plan.ruleset.version
    return rows, false
  end
  err, info = amend.refusal(err, info)
  if not err:find("^conflict:") then return nil, err, info end
  local rows, read_err, read_info = self:tickets(begun.plan.id)
  if not rows then return nil, read_err, read_info end
  if not rows[1] then return nil, "store: " .. err, info end
  return rows, true
end

return M
