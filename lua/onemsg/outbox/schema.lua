--- onemsg.outbox.schema: the tables of the store, as numbered steps that only go forward. For onemsg.outbox.
-- Both SQLite (3.40 and later) and PostgreSQL (15 and later) understand every text here. Times are seconds since the
-- epoch as DOUBLE PRECISION; place is in microseconds, an order rather than a time.
local M = {}

local function confirmation(changes)
  return [[CREATE TABLE confirmation (
    id TEXT PRIMARY KEY,
    parts INTEGER NOT NULL,            -- confirmations that the event has led to; further ones are id~2, id~3 …
    event TEXT NOT NULL,               -- canonical JSON: what the same content is
    type TEXT NOT NULL,
    was TEXT NOT NULL,                 -- the state before this one
    state TEXT NOT NULL,
    step INTEGER NOT NULL,             -- counts the changes: the place of the newest in history
    reason TEXT NOT NULL,
    rule TEXT, version TEXT,           -- what decided it
    channel TEXT, template TEXT, language TEXT,
    phone TEXT,                        -- the address that it goes to: a phone, or another one (onemsg.base.phone)
    person TEXT,                       -- whose that is: see onemsg.outbox.person
    message TEXT,                      -- JSON: what channel:send gets
    place BIGINT NOT NULL,             -- order in the recipient's line
    due_at DOUBLE PRECISION,           -- not before
    held TEXT,                         -- why it waits, if for more than its turn
    give_up_at DOUBLE PRECISION,
    attempts INTEGER NOT NULL,
    departures INTEGER NOT NULL DEFAULT 0, -- times it was about to leave; never less: see onemsg.outbox.witness
    owner TEXT,                        -- the claim or submit that touched it last
    lease_until DOUBLE PRECISION,
    left_at DOUBLE PRECISION,          -- when it may last have left for the recipient
    faults INTEGER NOT NULL DEFAULT 0,  -- how often it met such a fault while others were accepted in between
    faulted_at DOUBLE PRECISION,       -- since when a fault of the whole channel is the answer to it
    message_id TEXT, job_id TEXT, code INTEGER,
    resolved TEXT,                     -- JSON: what resolve found of the event
    otherwise TEXT,                    -- JSON: the way to reach the person if this one fails
    way TEXT,                          -- its name: who has no such function leaves it to others
    otherwise_after DOUBLE PRECISION,  -- seconds of silence that count as failure
    otherwise_unknown INTEGER NOT NULL,
    fallback_at DOUBLE PRECISION,      -- when that way is due, unless delivery is known by then
    created_at DOUBLE PRECISION NOT NULL,
    changed_at DOUBLE PRECISION NOT NULL,
    accepted_at DOUBLE PRECISION,
    quiet TEXT,                        -- JSON: from, to, zone
    awake_until DOUBLE PRECISION,      -- no quiet hours before that; NULL: ask
    once TEXT,                         -- the key of once_per that it holds or held
    suppressed_at DOUBLE PRECISION,    -- since when it is skipped only because of a suppression
    rank INTEGER NOT NULL DEFAULT 0,   -- of the highest status folded in
    contradiction TEXT,
    settled TEXT,                      -- what a person said: arrived, not_arrived
    attend_at DOUBLE PRECISION,        -- when to look at it again
    attend_until DOUBLE PRECISION,     -- lease of the worker that looks at it
    stall_at DOUBLE PRECISION,         -- deadline of silence
    asks INTEGER NOT NULL DEFAULT 0,   -- of the schedule, used up
    textless INTEGER NOT NULL DEFAULT 0,  -- its message_id was found without its text
    hint TEXT,                         -- what was seen that may be its message, and is no proof
    checks INTEGER NOT NULL DEFAULT 0,    -- of a failed hook, in vain
    confirmed INTEGER NOT NULL DEFAULT 0, -- hookInfo says failed as well
    retry_at DOUBLE PRECISION,         -- a new message after a proven failure
    resends INTEGER NOT NULL DEFAULT 0,
    fallback TEXT,                     -- handed_over, done, failed, unknown
    fallback_lease DOUBLE PRECISION,   -- handed_over: its function ends before that
    forgotten_at DOUBLE PRECISION,     -- since when it is a tombstone: see onemsg.outbox.forget
    CHECK (' ]] .. changes .. [[ ' LIKE '% ' || was || '>' || state || ' %'), -- read anew at every change by PostgreSQL: one text
    CHECK (state <> 'sending' OR (owner IS NOT NULL AND lease_until IS NOT NULL AND left_at IS NOT NULL)),
    CHECK (state NOT IN ('queued', 'sending') OR (channel IS NOT NULL AND phone IS NOT NULL AND person IS NOT NULL
      AND message IS NOT NULL AND due_at IS NOT NULL AND give_up_at IS NOT NULL))
  )]]
end

-- The indexes are partial, so that what is over costs the work under way nothing: a million stored confirmations
-- stand in none of due, line, flying, lease and give_up. The latter two begin with the state although it is always the
-- same: without statistics a planner would otherwise prefer confirmation_state, which holds them all.
local INDEXES = {
  "CREATE INDEX confirmation_due ON confirmation(channel, due_at, place) WHERE state = 'queued'",
  "CREATE INDEX confirmation_line ON confirmation(channel, person, place, id) WHERE state IN ('queued', 'sending')",
  "CREATE UNIQUE INDEX confirmation_flying ON confirmation(channel, person) WHERE state = 'sending'",
  "CREATE INDEX confirmation_lease ON confirmation(state, lease_until) WHERE state = 'sending'",
  "CREATE INDEX confirmation_give_up ON confirmation(state, give_up_at) WHERE state = 'queued'",
  "CREATE INDEX confirmation_left ON confirmation(person, channel, left_at)",
  "CREATE INDEX confirmation_address ON confirmation(phone)",
  "CREATE INDEX confirmation_state ON confirmation(state, changed_at)",
  -- A message is one confirmation's.
  "CREATE UNIQUE INDEX confirmation_message ON confirmation(message_id, channel) WHERE message_id IS NOT NULL",
  "CREATE INDEX confirmation_fallback ON confirmation(fallback_at) WHERE fallback_at IS NOT NULL",
  "CREATE INDEX confirmation_attend ON confirmation(attend_at) WHERE attend_at IS NOT NULL",
  "CREATE INDEX confirmation_retry ON confirmation(retry_at) WHERE retry_at IS NOT NULL",
  "CREATE INDEX confirmation_handed ON confirmation(fallback_lease) WHERE fallback_lease IS NOT NULL",
  "CREATE INDEX confirmation_unclear ON confirmation(fallback) WHERE fallback = 'unknown'",
  "CREATE INDEX confirmation_once ON confirmation(once) WHERE once IS NOT NULL",
  "CREATE INDEX confirmation_suppressed ON confirmation(person) WHERE suppressed_at IS NOT NULL",
  "CREATE INDEX confirmation_age ON confirmation(created_at, id) WHERE forgotten_at IS NULL",
  "CREATE INDEX confirmation_forgotten ON confirmation(forgotten_at, id) WHERE forgotten_at IS NOT NULL",
  "CREATE INDEX confirmation_quiet ON confirmation(channel, due_at) WHERE state = 'queued' AND quiet IS NOT NULL",
}

local NEWS = {
  [[CREATE TABLE history (
      id TEXT NOT NULL, step INTEGER NOT NULL, at DOUBLE PRECISION NOT NULL,
      state TEXT NOT NULL, reason TEXT NOT NULL, version TEXT,
      PRIMARY KEY (id, step)
    )]],
  -- A row without id is held until a message with that message_id is known; channel '' fits every channel.
  [[CREATE TABLE status (
      channel TEXT NOT NULL, message_id TEXT NOT NULL, status TEXT NOT NULL,
      at DOUBLE PRECISION NOT NULL, received_at DOUBLE PRECISION NOT NULL,
      source TEXT NOT NULL,              -- "hook" or "poll"
      code INTEGER, error TEXT,
      id TEXT, recipient TEXT, category TEXT,
      PRIMARY KEY (channel, message_id, status)
    )]],
  "CREATE INDEX status_message ON status(message_id)",
  "CREATE INDEX status_held ON status(received_at) WHERE id IS NULL",
  "CREATE INDEX status_at ON status(at) WHERE id IS NULL",
  -- Messages that were sent for a confirmation before its present one: late news of them still count.
  [[CREATE TABLE earlier (
      message_id TEXT NOT NULL, channel TEXT NOT NULL, id TEXT NOT NULL, at DOUBLE PRECISION NOT NULL,
      PRIMARY KEY (message_id, channel)
    )]],
  "CREATE INDEX earlier_id ON earlier(id)",
  -- Messages that may have left, whose id nobody learned before their confirmation went on to another one.
  [[CREATE TABLE lost (
      id TEXT NOT NULL, channel TEXT NOT NULL, phone TEXT NOT NULL, person TEXT NOT NULL, message TEXT NOT NULL,
      job_id TEXT,
      began DOUBLE PRECISION, left_at DOUBLE PRECISION NOT NULL,
      PRIMARY KEY (id, left_at)
    )]],
  "CREATE INDEX lost_person ON lost(person, left_at)",
  "CREATE INDEX lost_phone ON lost(phone)",
  "CREATE INDEX lost_age ON lost(left_at)",
  -- Outgoing messages that hooks told of: evidence for what is in doubt, kept for a while.
  [[CREATE TABLE echo (
      message_id TEXT NOT NULL, channel TEXT NOT NULL, phone TEXT,
      texts TEXT,                        -- JSON: a list, of every place where there was one
      type TEXT,
      at DOUBLE PRECISION NOT NULL, received_at DOUBLE PRECISION NOT NULL,
      PRIMARY KEY (message_id, channel)
    )]],
  "CREATE INDEX echo_at ON echo(at)",
  "CREATE INDEX echo_age ON echo(received_at)",
  -- What the platform said of a template (subject: its name) or of the account (subject ''), until it was acted upon.
  [[CREATE TABLE word (
      channel TEXT NOT NULL, subject TEXT NOT NULL, language TEXT NOT NULL, word TEXT NOT NULL,
      at DOUBLE PRECISION NOT NULL, received_at DOUBLE PRECISION NOT NULL, code INTEGER, error TEXT,
      acted_at DOUBLE PRECISION,
      PRIMARY KEY (channel, subject, language, word, at)
    )]],
  "CREATE INDEX word_open ON word(received_at) WHERE acted_at IS NULL",
  "CREATE INDEX word_age ON word(received_at)",
  -- The texts of rules that decided something.
  [[CREATE TABLE ruleset (
      version TEXT PRIMARY KEY, name TEXT NOT NULL, source TEXT NOT NULL, at DOUBLE PRECISION NOT NULL
    )]],
  -- What was not understood of the hooks: how often, and the latest of each kind.
  [[CREATE TABLE oddity (
      kind TEXT PRIMARY KEY, n INTEGER NOT NULL, at DOUBLE PRECISION NOT NULL, sample TEXT NOT NULL
    )]],
}

-- What decides whether a message may leave.
local GATES = {
  [[CREATE TABLE person (
      name TEXT PRIMARY KEY,             -- a further name of a person: bsuid, username
      person TEXT NOT NULL, at DOUBLE PRECISION NOT NULL,
      late INTEGER NOT NULL              -- 1: something to that name was being sent when it was joined
    )]],
  "CREATE INDEX person_of ON person(person, name)",
  "CREATE INDEX person_late ON person(name) WHERE late = 1",
  [[CREATE TABLE once_key (
      value TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL,
      PRIMARY KEY (value, type)
    )]],
  [[CREATE TABLE suppression (
      channel TEXT NOT NULL, person TEXT NOT NULL,
      phone TEXT NOT NULL,               -- the name by which it was made
      reason TEXT NOT NULL, code INTEGER,
      until_at DOUBLE PRECISION, created_at DOUBLE PRECISION NOT NULL,
      lifted_at DOUBLE PRECISION,
      source TEXT NOT NULL,              -- stop (they wrote so), hand, failure
      PRIMARY KEY (channel, person)
    )]],
  "CREATE INDEX suppression_person ON suppression(person)",
  "CREATE INDEX suppression_until ON suppression(until_at)",
  [[CREATE TABLE park (
      channel TEXT NOT NULL, template TEXT NOT NULL, language TEXT NOT NULL,
      until_at DOUBLE PRECISION NOT NULL, reason TEXT NOT NULL,
      PRIMARY KEY (channel, template, language)
    )]],
  -- What the platform said last of the templates in use; allowed: 1 where the rules let it be marketing.
  [[CREATE TABLE template_seen (
      channel TEXT NOT NULL, name TEXT NOT NULL, language TEXT NOT NULL,
      category TEXT, status TEXT, quality TEXT, allowed INTEGER NOT NULL, at DOUBLE PRECISION NOT NULL,
      PRIMARY KEY (channel, name, language)
    )]],
  -- When the templates of a channel are looked at next, by whichever process comes first.
  "CREATE TABLE template_look (channel TEXT PRIMARY KEY, next_at DOUBLE PRECISION NOT NULL)",
  -- kind: channel, template, rule; person: who paused it
  [[CREATE TABLE pause (
      kind TEXT NOT NULL, name TEXT NOT NULL, reason TEXT NOT NULL, person TEXT, at DOUBLE PRECISION NOT NULL,
      PRIMARY KEY (kind, name)
    )]],
  -- Digests of what must be known of people who were forgotten: that they wanted nothing more (source as in suppression;
  -- channel '' fits every one), and which messages were theirs (source message).
  [[CREATE TABLE forgotten (
      digest TEXT NOT NULL, channel TEXT NOT NULL, source TEXT NOT NULL, at DOUBLE PRECISION NOT NULL,
      PRIMARY KEY (digest, channel)
    )]],
  -- What was changed by hand.
  [[CREATE TABLE audit (
      id TEXT PRIMARY KEY, at DOUBLE PRECISION NOT NULL, place BIGINT NOT NULL,
      who TEXT NOT NULL, what TEXT NOT NULL, about TEXT NOT NULL, was TEXT, became TEXT
    )]],
  "CREATE INDEX audit_place ON audit(place, id)",
  -- The processes that send: see onemsg.outbox.node.
  [[CREATE TABLE node (
      token TEXT PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL, at DOUBLE PRECISION NOT NULL, ended INTEGER NOT NULL
    )]],
  "CREATE INDEX node_name ON node(name, at)",
  -- A gate: see onemsg.pace. revision guards every change against one that somebody else made meanwhile.
  [[CREATE TABLE channel (
      name TEXT PRIMARY KEY,
      revision INTEGER NOT NULL,
      tat DOUBLE PRECISION NOT NULL,
      pause_until DOUBLE PRECISION NOT NULL,
      breaker TEXT NOT NULL CHECK (breaker IN ('closed', 'open', 'trial')),
      fault TEXT NOT NULL, reason TEXT NOT NULL, tries INTEGER NOT NULL,
      next_at DOUBLE PRECISION NOT NULL, closed_at DOUBLE PRECISION NOT NULL,
      told TEXT NOT NULL DEFAULT 'answer',            -- what told of the fault, and so what lifts it: answer, hook
      opened_at DOUBLE PRECISION NOT NULL DEFAULT 0,  -- when it last opened; what left before proves nothing
      sent_at DOUBLE PRECISION NOT NULL DEFAULT 0,    -- a message that left since was reported as sent; 0: none
      hooked_at DOUBLE PRECISION NOT NULL DEFAULT 0,  -- last hook on a message of ours
      mute_until DOUBLE PRECISION NOT NULL DEFAULT 0  -- hookInfo is not offered
    )]],
}

--- The steps, oldest first; a step's number is its position.
-- @tparam string changes the legal state changes, a blank between them: new>queued queued>sending …
function M.steps(changes)
  local first = { confirmation(changes) }
  for _, list in ipairs { INDEXES, NEWS, GATES } do
    for _, text in ipairs(list) do first[#first + 1] = text end
  end
  return { first }
end

--- What a step is: a store says which ones made it, so that a changed one is told from its namesake. (Adler-32)
local function mark(step)
  local a, b, text = 1, 0, table.concat(step, ";\n"):gsub("%-%-[^\n]*", ""):gsub("%s+", " ")
  for n = 1, #text do
    a = (a + text:byte(n)) % 65521
    b = (b + a) % 65521
  end
  return ("%04x%04x"):format(b, a)
end

--- A step's text for an engine. PostgreSQL's texts are to be compared byte by byte, as SQLite's are, whatever the system's
-- locale and its next version say; and its INTEGER is too small for what a stranger may send.
local function translated(text, engine)
  if engine ~= "postgres" then return text end
  return (text:gsub("%-%-[^\n]*", ""):gsub("%f[%w]TEXT%f[%W]", 'TEXT COLLATE "C"'):gsub("%f[%w]INTEGER%f[%W]", "BIGINT"))
end

--- Brings a database to the newest step. Safe when several processes do so at once: each step is one unit that only
-- one of them can do, by the step's number in the table meta.
-- @tparam string identity of the store, if it is made now: copies of it have it too
-- @tparam ?boolean filling by whoever copies a store into it
-- @treturn ?boolean true
-- @treturn string with nil: "config: …" (made by a newer onemsg, or with other tables) or "store: …"
function M.migrate(db, steps, identity, filling)
  local ok, err, info = db:unit {
    { "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)" },
    { "INSERT INTO meta(name, value) VALUES ('schema', '0') ON CONFLICT (name) DO NOTHING" },
    { "INSERT INTO meta(name, value) VALUES ('identity', $1) ON CONFLICT (name) DO NOTHING", identity },
  }
  if not ok then return nil, err, info end
  while true do
    local rows
    rows, err, info = db:unit { { "SELECT name, value FROM meta WHERE name LIKE 'schema%' OR name IN ('copying', 'moved')" } }
    if not rows then return nil, err, info end
    local at, marks = 0, {}
    for _, row in ipairs(rows[1]) do
      local n = tonumber(row.name:match("^schema (%d+)$"))
      if n then marks[n] = row.value elseif row.name == "schema" then at = tonumber(row.value) end
      if row.name == "moved" then
        return nil, "config: all that this store held was copied to " .. row.value .. ": use that one", { outcome = "invalid" }
      elseif row.name == "copying" and not filling then
        return nil, "config: a copy into this store was not finished: run `onemsg copy` again", { outcome = "invalid" }
      end
    end
    for n = 1, math.min(at, #steps) do
      if marks[n] ~= mark(steps[n]) then
        return nil, ("config: the store's schema %d is not the one that this onemsg makes: an unreleased onemsg made it; "
          .. "begin a new store, and read the old one with the onemsg that made it"):format(n), { outcome = "invalid" }
      end
    end
    if at == #steps then return true end
    if at > #steps then
      err = ("config: the store has schema %d, this onemsg knows %d: install the newer onemsg"):format(at, #steps)
      return nil, err, { outcome = "invalid" }
    end
    local unit = { { "UPDATE meta SET value = $1 WHERE name = 'schema' AND value = $2",
                     tostring(at + 1), tostring(at), expect = 1 },
                   { "INSERT INTO meta(name, value) VALUES ($1, $2)", "schema " .. at + 1, mark(steps[at + 1]) } }
    for _, text in ipairs(steps[at + 1]) do unit[#unit + 1] = { translated(text, db:engine()) } end
    ok, err, info = db:unit(unit)
    if not ok and not (err:find("^conflict:") and info and info.statement == 1) then return nil, err, info end
  end
end

return M
