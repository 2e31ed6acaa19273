--- onemsg.outbox.operator: what a person changes: settle, cancel, replay. For onemsg.outbox.
local amend = require "onemsg.outbox.amend"
local audit = require "onemsg.outbox.audit"
local once = require "onemsg.outbox.once"
local person = require "onemsg.outbox.person"
local phones = require "onemsg.base.phone"
local recipient = require "onemsg.outbox.recipient"

local M = { methods = {} }
local Operator = M.methods

local LOG_ONE, or_null = amend.LOG_ONE, amend.or_null

local CHANGE = [[
  UPDATE confirmation SET was = state, state = $3, step = step + 1, reason = $4, held = NULL, changed_at = $5,
    settled = $6, retry_at = NULL,
    fallback_at = CASE WHEN otherwise IS NOT NULL AND $3 = 'failed' THEN CAST($5 AS DOUBLE PRECISION) END
  WHERE id = $1 AND state = $2 RETURNING *]]

--- A change by a person: settle and cancel.
-- @tparam table row as the person saw it
-- @tparam table hand what (the method), by, verdict (what settle was told)
-- @treturn ?table the changed row; nil, "conflict: …" when it is in another state by now
function Operator:change(row, state, reason, now, hand)
  local results, err, info = self.db:unit {
    { CHANGE, row.id, row.state, state, reason, now, or_null(hand.verdict), expect = 1 }, { LOG_ONE, row.id },
    audit.line(self, now, hand.by, hand.what, row.id, row.state, state) }
  if not results then return nil, amend.refusal(err, info) end
  return results[1][1]
end

local REPLAY = [[
  UPDATE confirmation SET was = state, state = 'queued', step = step + 1, reason = $3, held = NULL, changed_at = $4,
    rule = $5, version = $6, channel = $7, phone = $8,
    person = ]] .. person.of "$17" .. [[, template = $9, language = $10, message = $11, place = $12,
    due_at = $4, give_up_at = $13, attempts = 0, message_id = NULL, job_id = NULL, code = NULL, faulted_at = NULL, faults = 0,
    fallback_at = NULL, otherwise = $14, otherwise_after = $15, otherwise_unknown = $16,
    once = $18, way = $19, suppressed_at = NULL
  WHERE id = $1 AND state = $2 RETURNING *]]

--- Queues an ended confirmation again, as the rules decide it now.
-- @tparam table part of a plan (onemsg.workflow.plan)
-- @tparam ?function digest of what may have been forgotten (onemsg.workflow.forget)
-- @treturn ?table the changed row; nil, "conflict: …" when its state changed, or another one holds its once_per key
function Operator:replay(from, part, reason, now, by, digest)
  local otherwise = part.otherwise or {}
  local unit, before = {}, 0
  if part.once then
    once.named_again(unit, digest, part.once)
    before = #unit
  end
  for _, statement in ipairs {
    amend.statements.earlier(part.id, now), amend.statements.lost(part.id),
    { REPLAY, part.id, from, reason, now, part.rule, or_null(part.version), part.channel, part.phone, part.template,
      part.language, part.message, self:next_place(now), part.give_up_at, or_null(otherwise.json),
      or_null(otherwise.after), otherwise.on_unknown and 1 or 0, phones.key(part.phone),
      or_null(part.once and part.once.key), or_null(otherwise.send), expect = 1 },
    amend.statements.afresh(part.id), recipient.keep_quiet(part.id, part.quiet), { LOG_ONE, part.id },
    audit.line(self, now, by, "replay", part.id, from, "queued") } do
    unit[#unit + 1] = statement
  end
  if part.once then
    unit[#unit + 1], unit[#unit + 2] = once.take(part.once, part.id)
    unit[#unit + 1] = once.must_be_own(part.id)
  end
  local results, err, info = self.db:unit(unit)
  if results then return results[before + 3][1] end
  if info and info.statement == #unit and part.once then
    return nil, "conflict: another confirmation holds its once_per key, " .. part.once.value, info
  end
  return nil, amend.refusal(err, info)
end

return M
