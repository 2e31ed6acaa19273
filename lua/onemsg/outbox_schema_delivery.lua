--- onemsg.outbox_schema_delivery: what the store keeps of the time after acceptance. Step 2 of onemsg.outbox_schema.
return {
  -- confirmation: quiet hours
  "ALTER TABLE confirmation ADD COLUMN quiet TEXT",                       -- JSON: from, to, zone
  "ALTER TABLE confirmation ADD COLUMN awake_until DOUBLE PRECISION",     -- no quiet hours before that; NULL: ask
  -- news
  "ALTER TABLE confirmation ADD COLUMN rank INTEGER NOT NULL DEFAULT 0",  -- of the highest status folded in
  "ALTER TABLE confirmation ADD COLUMN contradiction TEXT",
  "ALTER TABLE confirmation ADD COLUMN settled TEXT",                     -- what a person said: arrived, not_arrived
  -- attention: when to look at it again, who does, and how often it was asked about
  "ALTER TABLE confirmation ADD COLUMN attend_at DOUBLE PRECISION",
  "ALTER TABLE confirmation ADD COLUMN attend_until DOUBLE PRECISION",    -- lease of the worker that looks at it
  "ALTER TABLE confirmation ADD COLUMN stall_at DOUBLE PRECISION",        -- deadline of silence
  "ALTER TABLE confirmation ADD COLUMN asks INTEGER NOT NULL DEFAULT 0",  -- of the schedule, used up
  "ALTER TABLE confirmation ADD COLUMN checks INTEGER NOT NULL DEFAULT 0",     -- of a failed hook, in vain
  "ALTER TABLE confirmation ADD COLUMN confirmed INTEGER NOT NULL DEFAULT 0",  -- hookInfo says failed as well
  -- a new message after a proven failure; other ways to reach the person
  "ALTER TABLE confirmation ADD COLUMN retry_at DOUBLE PRECISION",
  "ALTER TABLE confirmation ADD COLUMN resends INTEGER NOT NULL DEFAULT 0",
  "ALTER TABLE confirmation ADD COLUMN fallback TEXT",                    -- handed_over, done, failed, unknown
  "ALTER TABLE confirmation ADD COLUMN fallback_lease DOUBLE PRECISION",  -- handed_over: its function ends before that
  "CREATE INDEX confirmation_attend ON confirmation(attend_at) WHERE attend_at IS NOT NULL",
  "CREATE INDEX confirmation_retry ON confirmation(retry_at) WHERE retry_at IS NOT NULL",
  "CREATE INDEX confirmation_handed ON confirmation(fallback_lease) WHERE fallback_lease IS NOT NULL",
  "CREATE INDEX confirmation_quiet ON confirmation(channel, due_at) WHERE state = 'queued' AND quiet IS NOT NULL",

  -- status: a row without id is held until a message with that message_id is known; channel '' fits every channel
  "ALTER TABLE status ADD COLUMN id TEXT",
  "ALTER TABLE status ADD COLUMN recipient TEXT",
  "ALTER TABLE status ADD COLUMN category TEXT",
  "CREATE INDEX status_message ON status(message_id)",
  "CREATE INDEX status_held ON status(received_at) WHERE id IS NULL",
  "CREATE INDEX status_at ON status(at) WHERE id IS NULL",

  -- Messages that were sent for a confirmation before its present one: late news of them still count.
  [[CREATE TABLE earlier (
      message_id TEXT NOT NULL, channel TEXT NOT NULL, id TEXT NOT NULL, at DOUBLE PRECISION NOT NULL,
      PRIMARY KEY (message_id, channel)
    )]],
  "CREATE INDEX earlier_id ON earlier(id)",
  -- Outgoing messages that hooks told of: evidence for what is in doubt, kept for a while.
  [[CREATE TABLE echo (
      message_id TEXT NOT NULL, channel TEXT NOT NULL, phone TEXT, text TEXT,
      at DOUBLE PRECISION NOT NULL, received_at DOUBLE PRECISION NOT NULL,
      PRIMARY KEY (message_id, channel)
    )]],
  "CREATE INDEX echo_at ON echo(at)",
  "CREATE INDEX echo_age ON echo(received_at)",
  -- What was not understood of the hooks: how often, and the latest of each kind.
  [[CREATE TABLE oddity (
      kind TEXT PRIMARY KEY, n INTEGER NOT NULL, at DOUBLE PRECISION NOT NULL, sample TEXT NOT NULL
    )]],

  "ALTER TABLE channel ADD COLUMN hooked_at DOUBLE PRECISION NOT NULL DEFAULT 0",  -- last hook on a message of ours
  "ALTER TABLE channel ADD COLUMN mute_until DOUBLE PRECISION NOT NULL DEFAULT 0", -- hookInfo is not offered
  "ALTER TABLE suppression ADD COLUMN lifted_at DOUBLE PRECISION",
  "CREATE INDEX suppression_until ON suppression(until_at)",
}
