--- onemsg.outbox.audit: who changed what by hand, and when. For onemsg.outbox.
-- A line stands in the unit of its change: there is none without the other. No line holds a phone or a text of a message.
local or_null = require "onemsg.outbox.amend".or_null

local M = { methods = {} }
local Audit = M.methods

local MOST = 1000
local LINE = [[
  INSERT INTO audit(id, at, place, who, what, about, was, became) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)]]

--- The statement that keeps who did something.
-- @tparam table box
-- @tparam ?string by who
-- @tparam string what the method: "pause", "settle", …
-- @tparam string about an id, or what else it was about
-- @tparam ?string was, became before and after
function M.line(box, now, by, what, about, was, became)
  return { LINE, box:next_owner(), now, box:next_place(now), by or "", what, about, or_null(was), or_null(became) }
end

local LIST = "SELECT id, at, place, who, what, about, was, became FROM audit%s ORDER BY place DESC, id DESC LIMIT $1"
local FIRST, MORE = LIST:format "", LIST:format " WHERE (place, id) < ($2, $3)"

--- The lines, the newest first.
-- @tparam ?table after the last of those that were read before
function Audit:audit(after)
  local results, err, info = self.db:read { after and { MORE, MOST, after.place, after.id } or { FIRST, MOST } }
  if not results then return nil, err, info end
  results[1].changes = nil
  return results[1]
end

return M
