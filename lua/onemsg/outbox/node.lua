--- onemsg.outbox.node: which processes work on the store, of which machines. For onemsg.outbox.
-- A process that sends writes from time to time that it is at work, and at its end that it has ended. Nothing is decided by
-- that: what a dead one had in flight is known by its leases.
local onemsg -- at the first sign: loading this loads no C

local M = { methods = {} }
local Node = M.methods

M.GONE = 90        -- seconds without a sign after which a process is not counted as at work
local KEPT = 86400 -- seconds that it is remembered for

local SIGN = [[
  INSERT INTO node(token, name, version, at, ended) VALUES ($1, $2, $3, $4, $5)
  ON CONFLICT (token) DO UPDATE SET at = excluded.at, ended = excluded.ended]]
local FORGET = "DELETE FROM node WHERE at < $1"

local function statement(box, name, now, ended)
  onemsg = onemsg or require "onemsg"
  return { SIGN, box.token, name, onemsg._VERSION, now, ended }
end

--- This process is at work.
-- @tparam string name of its machine
function Node:sign(name, now)
  local results, err, info = self.db:unit { statement(self, name, now, 0), { FORGET, now - KEPT } }
  return results and true, err, info
end

--- It has ended. Does not wait: a store that can't be written now keeps nobody from ending.
function Node:sign_off(name, now)
  self.db:async { statement(self, name, now, 1) }
end

--- For stats: a row for each machine, with the newest version; $1: whose last sign is newer may be at work.
M.ALL = [[
  SELECT n.name, MAX(n.at) AS at, SUM(CASE WHEN n.ended = 0 AND n.at >= $1 THEN 1 ELSE 0 END) AS processes,
    (SELECT l.version FROM node l WHERE l.name = n.name ORDER BY l.at DESC LIMIT 1) AS version
  FROM node n GROUP BY n.name ORDER BY n.name]]

--- Whose claim a confirmation was, while that is remembered.
M.OF = "SELECT n.name FROM confirmation c JOIN node n ON n.token = SUBSTR(c.owner, 1, 16) WHERE c.id = $1"

return M
