--- onemsg.outbox.pause: what a person has paused: a channel, a template, a rule. For onemsg.outbox.
-- Who is due and paused is set aside by the next claim, before it looks: however a message came to be due, it can't leave.
-- It stays queued; its give_up_at goes on.
local amend = require "onemsg.outbox.amend"
local audit = require "onemsg.outbox.audit"
local gate = require "onemsg.outbox.gate"

local M = { methods = {} }
local Pause = M.methods

--- Due times of who is set aside; the second of those that let others to the same person pass, and stand behind them.
M.ASIDE, M.ASIDE_SHIFTED = 1e11, 1e11 + 1
local SHIFT = 86400 * 1e6 -- microseconds of a place

-- That a pause `p` is about a row of confirmation; %s is how that is called.
local ABOUT = "(p.kind = 'channel' AND p.name = %s.channel OR p.kind = 'template' AND p.name = %s.template "
  .. "OR p.kind = 'rule' AND p.name = %s.rule)"
local ABOUT_CONFIRMATION, ABOUT_C = ABOUT:gsub("%%s", "confirmation"), ABOUT:gsub("%%s", "c")

local SET_ASIDE = ([[
  UPDATE confirmation SET held = NULL, due_at = CASE WHEN p.kind = 'channel' THEN %.0f ELSE %.0f END,
    place = CASE WHEN p.kind = 'channel' THEN place ELSE place + %.0f END
  FROM pause p WHERE EXISTS (SELECT 1 FROM pause) AND confirmation.channel = $1 AND state = 'queued' AND due_at <= $2
    AND %s]]):format(M.ASIDE, M.ASIDE_SHIFTED, SHIFT, ABOUT_CONFIRMATION)

local SET_ASIDE_HELD = SET_ASIDE .. gate.in_hand "$1"

--- The statement by which a claim sets aside who is due and paused. held: with the gate in hand
function M.set_aside(channel, now, held) return { held and SET_ASIDE_HELD or SET_ASIDE, channel, now } end

local PUT = [[
  INSERT INTO pause(kind, name, reason, person, at) VALUES ($1, $2, $3, $4, $5)
  ON CONFLICT (kind, name) DO UPDATE SET reason = excluded.reason, person = excluded.person, at = excluded.at]]
local COUNT = [[
  SELECT COUNT(*) AS waiting, SUM(CASE WHEN give_up_at < $3 THEN 1 ELSE 0 END) AS expiring FROM confirmation
  WHERE state = 'queued' AND (CASE $1 WHEN 'channel' THEN channel WHEN 'template' THEN template ELSE rule END) = $2]]

local function counted(row) return { waiting = row.waiting, expiring = row.expiring or 0 } end

--- Pauses something.
-- @tparam string kind "channel", "template" or "rule"
-- @tparam ?string person who says so
-- @tparam number soon what ends before that is counted as expiring
-- @treturn ?table waiting, expiring
function Pause:pause(kind, name, reason, person, now, soon)
  local results, err, info = self.db:unit { { PUT, kind, name, reason, amend.or_null(person), now },
    { COUNT, kind, name, soon }, audit.line(self, now, person, "pause", kind .. " " .. name, nil, reason) }
  if not results then return nil, amend.refusal(err, info) end
  return counted(results[2][1])
end

local TAKE = "DELETE FROM pause WHERE ($1 = '' OR kind = $1) AND ($2 = '' OR name = $2) RETURNING kind, name"
-- Whoever is still paused by something else is set aside anew by the next claim.
local TAKE_UP = ([[
  UPDATE confirmation SET due_at = $1, place = CASE WHEN due_at = %.0f THEN place - %.0f ELSE place END
  WHERE state = 'queued' AND channel = $2 AND due_at IN (%.0f, %.0f)]]):format(M.ASIDE_SHIFTED, SHIFT, M.ASIDE, M.ASIDE_SHIFTED)

--- Ends pauses: those of a kind and name, of a kind ("": any name), or all.
-- @tparam ?string person who says so
-- @treturn ?table { { kind, name }, … }
function Pause:unpause(kind, name, channels, now, person)
  local about = kind == "" and "everything" or kind .. (name ~= "" and " " .. name or "")
  local unit = { { TAKE, kind, name }, audit.line(self, now, person, "resume", about) }
  for _, channel in ipairs(channels) do unit[#unit + 1] = { TAKE_UP, now, channel } end
  local results, err, info = self.db:unit(unit)
  if not results then return nil, amend.refusal(err, info) end
  results[1].changes = nil
  return results[1]
end

--- How many wait for what a pause names, and how many of them end before a time.
function Pause:count_paused(kind, name, soon)
  local results, err, info = self.db:read { { COUNT, kind, name, soon } }
  if not results then return nil, err, info end
  return counted(results[1][1])
end

M.ALL = "SELECT kind, name, reason, person, at FROM pause ORDER BY kind, name"
M.OF = "SELECT p.reason, p.person FROM pause p JOIN confirmation c ON " .. ABOUT_C
  .. " WHERE c.id = $1 AND c.state = 'queued' LIMIT 1"

return M
