--- onemsg.outbox: the store of confirmations, and with what is in outbox/ the only place with SQL.
-- Policy stands elsewhere (onemsg.workflow, onemsg.pace): here is what is true after a call returned.
--
-- Every change of a confirmation is one UPDATE that names the state it comes from, plus a line in the table history,
-- in one unit. Calls answer a value, or nil, "store: …" | "conflict: …" | "config: …", info.
-- Time comes from the caller: `now`, seconds since the epoch.
local amend = require "onemsg.outbox.amend"
local attention = require "onemsg.outbox.attention"
local audit = require "onemsg.outbox.audit"
local clock = require "onemsg.outbox.clock"
local evidence = require "onemsg.outbox.evidence"
local forget = require "onemsg.outbox.forget"
local gate = require "onemsg.outbox.gate"
local node = require "onemsg.outbox.node"
local once = require "onemsg.outbox.once"
local operator = require "onemsg.outbox.operator"
local pause = require "onemsg.outbox.pause"
local person = require "onemsg.outbox.person"
local read = require "onemsg.outbox.read"
local recipient = require "onemsg.outbox.recipient"
local retention = require "onemsg.outbox.retention"
local rules = require "onemsg.outbox.rules"
local schema = require "onemsg.outbox.schema"
local send = require "onemsg.outbox.send"
local sql = require "onemsg.sql"
local states = require "onemsg.policy.states"
local statuses = require "onemsg.outbox.statuses"
local submit = require "onemsg.outbox.submit"
local templates = require "onemsg.outbox.templates"
local witness = require "onemsg.outbox.witness"

local M = {}

local Outbox = {}
Outbox.__index = Outbox

-- For whom tells states by the store: see onemsg.policy.states.
M.legal, M.doubtful, M.replayable, M.ONCE = states.legal, states.doubtful, states.replayable, once.ONCE

--- Eight random bytes in hex: tells the claims of one opened store from those of all others.
local function token()
  local file = io.open("/dev/urandom", "rb")
  local bytes = file and file:read(8) or tostring({}) .. os.time()
  if file then file:close() end
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

--- Opens a store and brings it to the newest schema.
-- @tparam string|table store "sqlite:path", or a handle of onemsg.sql
-- @tparam table names of the channels that are used here
-- @tparam ?boolean named somebody gave them these names: the store knows them from now on. A channel that got none is
--   "main", and known once something is sent: who only looks at a store must not bring another "main" into it
-- @tparam ?table ways names of the other ways to reach a person that this process has
-- @treturn ?table an outbox
function M.open(store, names, named, ways)
  local db = store
  if type(store) == "string" then
    local opened, err, info = sql.open(store)
    if not opened then return nil, err, info end
    db = opened
  end
  local box = setmetatable({ db = db, owned = db ~= store, names = names, ways = ways or {}, token = token(),
    breathe = function() end, claims = 0, place = 0, open_claims = {}, ties = {}, tied_to = {}, tied = 0 }, Outbox)
  box.several = db:engine() == "postgres" -- machines may share it
  local ok, err, info = schema.migrate(db, schema.steps(states.changes()), box.token)
  box.named = named -- see outbox.gate
  if ok and named then ok, err, info = box:look() end
  if not ok then
    box:close()
    return nil, err, info
  end
  return box
end

--- Closes the database if open() opened it.
function Outbox:close()
  if self.owned then self.db:close() end
  self.owned = false
end

for _, part in ipairs { amend, attention, audit, clock, evidence, forget, gate, node, once, operator, pause, person, read,
                        recipient, retention, rules, send, statuses, submit, templates, witness } do
  for name, method in pairs(part.methods) do Outbox[name] = method end
end

--- A new position behind all that this process gave, in microseconds.
function Outbox:next_place(now)
  self.place = math.max(math.floor(now * 1e6), self.place + 1)
  return self.place
end

function Outbox:next_owner()
  self.claims = self.claims + 1
  return self.token .. "." .. self.claims
end

--- The pattern of owners who live: of all that next_owner gave, when something that was claimed here is in flight here.
function Outbox:alive(in_flight)
  return in_flight and self.token .. ".%" or ""
end

return M
