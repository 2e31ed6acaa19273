--- support.mutations: decisions, each changed by one line into a fault, to see that the fuzz finds it. See `make mutations`.
--
--   lua spec/support/mutations.lua [NUMBER …]      all, or some; ONEMSG_FUZZ_ROUNDS seeds each (300), from 1 on
--
-- A mutation is made of the text of one module as it stands, in a process of its own; nothing is written. The seed that
-- killed it last is tried first, then the others: a change of the code may give every seed another story, which is fine, as
-- long as some seed tells it. It exits with 1 when a mutation lives, or when its text no longer stands in the module.
local M = {}

M.list = {
  -- Looking after what was sent.
  { what = "the first look at what was accepted is forgotten", module = "onemsg.workflow.followup", seed = 1,
    from = "change.attend_at = change.message_id and math.min(news.look_at(now, 1, flow.random), change.stall_at)\n      or",
    to = "change.attend_at =" },
  { what = "the first look at what is in doubt is forgotten", module = "onemsg.workflow.followup", seed = 1,
    from = 'if change.state == "unknown" then\n    change.attend_at = news.look_at(now, 1, flow.random)',
    to = 'if change.state == "unknown" then\n    change.attend_at = nil' },
  { what = "what a dead process was sending is never looked for", module = "onemsg.outbox.send", seed = 1,
    from = "BATCH, now + FIRST_LOOK,", to = "BATCH, amend.NONE," },
  { what = "silence has no deadline", module = "onemsg.policy.delivery", seed = 1,
    from = 'if reached(row.stall_at, now) then return "stall" end', to = "" },
  -- Whose it is.
  { what = "rivals in flight are not waited for", module = "onemsg.policy.evidence", seed = 1,
    from = 'if rival.state == "sending" then return nil, nil, true end', to = "" },
  { what = "rivals are not counted", module = "onemsg.policy.evidence", seed = 1,
    from = "if M.may_own(rival, message) then n = n + 1 end", to = "" },
  { what = "who was settled by hand is no rival", module = "onemsg.outbox.evidence", seed = 1,
    from = " OR c.settled IS NOT NULL))", to = "))" },
  { what = "who was found without its text is no rival", module = "onemsg.outbox.evidence", seed = 1,
    from = "(c.message_id IS NULL OR c.textless = 1) AND", to = "c.message_id IS NULL AND" },
  { what = "a failure found without a text counts", module = "onemsg.policy.delivery", seed = 1,
    from = "if row.textless == 1 and best == FAILED then word = nil end", to = "" },
  -- Never twice.
  { what = "what is in doubt is tried again", module = "onemsg.policy.outcome", seed = 1,
    from = 'if info.outcome == "not_sent" or', to = 'if info.outcome == "not_sent" or info.outcome == "unknown" or' },
  { what = "a new message needs no proof", module = "onemsg.policy.delivery", seed = 1,
    from = 'if row.confirmed == 1 then return "resend" end', to = 'do return "resend" end' },
  { what = "a way that failed to say what came of it is used again", module = "onemsg.workflow.ways", seed = 1,
    from = 'fallback = "unknown", fallback_lease = NONE, note = name', to = 'fallback = NONE, fallback_lease = NONE, fallback_at = now, note = name' },
  { what = "another way is used again", module = "onemsg.policy.delivery", seed = 1,
    from = "if not row.otherwise or row.fallback then return false end", to = "if not row.otherwise then return false end" },
  { what = "a lease that ran out means that it did not leave", module = "onemsg.outbox.send", seed = 1,
    from = "UPDATE confirmation SET was = state, state = 'unknown', step = step + 1, reason = $2, lease_until = NULL,\n"
      .. "    changed_at = $1, attend_at = $4,",
    to = "UPDATE confirmation SET was = state, state = 'queued', step = step + 1, reason = $2, lease_until = NULL,\n"
      .. "    changed_at = $1, attend_at = $4," },
  { what = "the key of once_per is free when its holder failed", module = "onemsg.outbox.once", seed = 1,
    from = "[[(%s.state IN ('skipped',", to = "[[(%s.state IN ('failed', 'unknown', 'accepted', 'skipped'," },
  -- To whom, and when.
  { what = "who is suppressed is addressed", module = "onemsg.outbox.recipient", seed = 1,
    from = [["AND NOT EXISTS (SELECT 1 FROM suppression s WHERE " .. ON:format("c.person", "c.channel", "$4") .. ")"]],
    to = [["AND (1 = 1 OR '' <> $4 || '')"]] },
  { what = "no gap between two messages to a person", module = "onemsg.outbox.send", seed = 1,
    from = "owner, now + lease, now, now - gap, n }", to = "owner, now + lease, now, now, n }" },
  { what = "nothing expires", module = "onemsg.outbox.send", seed = 1,
    from = "WHERE state = 'queued' AND give_up_at <= $1 ORDER", to = "WHERE state = 'queued' AND give_up_at <= $1 - 1e9 ORDER" },
  { what = "a person's word that it did not arrive lets it leave at once", module = "onemsg.policy.states", seed = 1,
    from = 'skipped   = { "queued", "delivered", "read" },', to = 'skipped   = { "queued", "delivered" },' },
  -- Nothing lost.
  { what = "what was left unfolded is not folded", module = "onemsg.workflow.fold", seed = 1,
    from = "if #ids > 0 then", to = "if false then" },
  { what = "an id that came late is dropped", module = "onemsg.outbox.send", seed = 1,
    from = "if not change.message_id or there.message_id == change.message_id then return there end", to = "do return there end" },
}

local function source_of(module)
  local path = assert(package.searchpath and package.searchpath(module, package.path)
    or "lua/" .. module:gsub("%.", "/") .. ".lua")
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text, path
end

--- The text of a module with a mutation in it, or nil and why it can't be made.
function M.mutated(one)
  local text, path = source_of(one.module)
  local at, till = text:find(one.from, 1, true)
  if not at then return nil, one.module .. " has no such text any more: " .. one.from end
  if text:find(one.from, till + 1, true) then return nil, one.module .. " has this text twice: " .. one.from end
  return text:sub(1, at - 1) .. one.to .. text:sub(till + 1), path
end

local STEPS = 60

--- Tries one mutation, in this process, which is spoilt then. -> the seed that kills it and what it said; nil: it lives
function M.try(one, rounds)
  local text, path = M.mutated(one)
  if not text then error(path, 0) end
  package.preload[one.module] = assert((loadstring or load)(text, "=" .. path))
  local fuzz = require "support.fuzz_steps"
  for n = 0, rounds do
    local seed = n == 0 and one.seed or n
    if n == 0 or seed ~= one.seed then
      local ok, what = fuzz.round(seed, STEPS, 1)
      if not ok then return seed, what:match "^[^\n]*" end
    end
  end
  return nil
end

-- The command -------------------------------------------------------------------------------------------------------

local function run(first, ...)
  local rounds = tonumber(os.getenv "ONEMSG_FUZZ_ROUNDS") or 300
  if first == "--one" then
    local one = M.list[tonumber((...))]
    local ok, seed, what = pcall(M.try, one, rounds)
    if not ok then seed, what = nil, seed end
    print(("%-7s %s%s"):format(seed and "killed" or "LIVES", one.what, what and ": " .. what or ""))
    os.exit(seed and 0 or 1)
  end
  local lua, numbers, lived = arg[-1], { first, ... }, 0
  for n = 1, #numbers > 0 and #numbers or #M.list do
    local code = os.execute(("%s %s --one %d"):format(lua, arg[0], numbers[n] or n))
    if code ~= 0 and code ~= true then lived = lived + 1 end
  end
  print(lived == 0 and "all were killed" or lived .. " live")
  os.exit(lived == 0 and 0 or 1)
end

if arg and arg[0] and arg[0]:find "mutations%.lua$" then run(...) end

return M
