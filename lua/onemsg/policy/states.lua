--- onemsg.policy.states: the states of a confirmation, and from which to which it may go. Pure.
--
--     new ─► queued ─► sending ─► accepted ─► sent ─► delivered ─► read
--      │       │ ▲        │           └─────────┴──► failed, stalled
--      │       │ └────────┼─► queued        proven not to have left, or refused in a way that a retry helps
--      │       │          ├─► rejected      refused
--      │       │          └─► unknown       nobody knows: evidence or a person ends it
--      │       └─► expired, cancelled, skipped, or unknown: the store forgot that it left
--      └─► skipped
--
-- The store's CHECK is made of this table: the database refuses every other change.
local M = {}

--- From which state to which. The schema's CHECK is made of this table: the database refuses any other change.
-- `unknown` becomes `queued` by one proof only: the answer of who sent it, late, that it did not leave. Else evidence or a
-- person ends it, and what a person ended may be replayed.
M.legal = {
  new       = { "queued", "skipped" },
  queued    = { "sending", "skipped", "expired", "cancelled", "unknown", -- the store forgot that it left
                "delivered", "read" }, -- an earlier message arrived
  sending   = { "accepted", "unknown", "rejected", "queued" },
  accepted  = { "sent", "delivered", "read", "failed", "stalled" },
  sent      = { "delivered", "read", "failed", "stalled" },
  delivered = { "read" },
  failed    = { "delivered", "read", "queued" },
  stalled   = { "sent", "delivered", "read", "failed" },
  unknown   = { "accepted", "sent", "delivered", "read", "failed", "rejected", "queued" },
  skipped   = { "queued", "delivered", "read" },
  rejected  = { "queued", "delivered", "read" },
  expired   = { "queued", "delivered", "read" },
  cancelled = { "queued", "delivered", "read" },
}

--- The states in the order of a life. `means`: for people; `wakes`: what changes it next, by when at the latest (nil: it is
-- an end); `person`: what somebody can do about it.
M.list = {
  { name = "queued", means = "waiting to be sent",
    wakes = "the worker at due_at; what holds it ends at due_at too; at give_up_at it is expired", person = "cancel" },
  { name = "sending", means = "being sent right now",
    wakes = "the answer; at lease_until, by any worker, it is unknown", person = "wait for the lease" },
  { name = "accepted", means = "1MSG took it; not yet delivered",
    wakes = "hooks, and hookInfo at attend_at; at stall_at it is stalled", person = "wait; a hook or hookInfo tells" },
  { name = "sent", means = "on its way; not yet delivered",
    wakes = "hooks, and hookInfo at attend_at; at stall_at it is stalled", person = "wait; a hook or hookInfo tells" },
  { name = "delivered", means = "arrived on the phone" },
  { name = "read", means = "read" },
  { name = "unknown", means = "it is open whether it left; look for evidence, then settle it",
    wakes = "evidence, looked for at attend_at and with every hook to this person; another way at fallback_at",
    person = "settle" },
  { name = "stalled", means = "1MSG took it, and no news came by the deadline",
    wakes = "late hooks; another way at fallback_at", person = "settle" },
  { name = "failed", means = "it did not arrive",
    wakes = "a new message at retry_at, another way at fallback_at, where there are any", person = "replay" },
  { name = "rejected", means = "1MSG or WhatsApp refused it; correct the cause, then replay it",
    wakes = "another way at fallback_at, where there is one", person = "replay" },
  { name = "expired", means = "not sent in time",
    wakes = "another way at fallback_at, where there is one", person = "replay" },
  { name = "skipped", means = "the rules decided that nothing is sent, or its recipient is suppressed",
    wakes = "where its recipient is suppressed: another way at fallback_at, and the end of that", person = "replay" },
  { name = "cancelled", means = "taken back by hand", person = "replay" },
}
M.by_name = {}
for _, state in ipairs(M.list) do M.by_name[state.name] = state end

--- States that a person may settle, and states that a person may send again from.
M.doubtful, M.replayable = {}, {}
for _, state in ipairs(M.list) do
  if state.person == "settle" then M.doubtful[state.name] = true end
  if state.person == "replay" then M.replayable[state.name] = true end
end

--- May a confirmation go from one state to another?
function M.may(was, state)
  for _, follower in ipairs(M.legal[was] or {}) do
    if follower == state then return true end
  end
  return false
end

--- The legal changes in one text: new>queued queued>sending …, sorted.
function M.changes()
  local list = {}
  for was, nexts in pairs(M.legal) do
    for _, state in ipairs(nexts) do list[#list + 1] = was .. ">" .. state end
  end
  table.sort(list)
  return table.concat(list, " ")
end

return M
