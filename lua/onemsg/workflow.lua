--- onemsg.workflow: an event in, one confirmation out: decided by rules, on disk before it is acknowledged, sent once.
-- In workflow/: plan (event to confirmations), worker (the loop that sends), followup and reconcile
-- (after acceptance, and in doubt), log (the log, the callbacks). What an answer leads to: policy/outcome; the store:
-- onemsg.outbox.
--
-- Calls answer a value, or nil, err, info; err begins with "invalid:", "conflict:", "config:", "store:" or "closed:".
-- In nginx: submit, explain, show, list, settle, replay, cancel, stats wherever a light thread may wait (rewrite,
-- access, content, timer); submit { wait = false } in every phase; work and drain in a timer.
local flow_options = require "onemsg.workflow.options"
local hooks = require "onemsg.workflow.hooks"
local log = require "onemsg.workflow.log"
local manners = require "onemsg.workflow.manners"
local operator = require "onemsg.workflow.operator"
local outbox = require "onemsg.outbox"
local pauses = require "onemsg.workflow.pauses"
local forgotten = require "onemsg.workflow.forget"
local phones = require "onemsg.base.phone"
local planner = require "onemsg.workflow.plan"
local recipients = require "onemsg.workflow.recipients"
local witness = require "onemsg.workflow.witness"
local worker = require "onemsg.workflow.worker"
local backtest = require "onemsg.workflow.backtest"
local check = require "onemsg.base.check"
local content = require "onemsg.workflow.content"

local core -- at the first open: loading this loads no C
local M = {}

local Flow = {}
Flow.__index = Flow
Flow.__name = "onemsg.workflow"

function Flow:__tostring()
  return ("onemsg.workflow (%s)"):format(self.closed and "closed" or "open")
end

--- Opens a workflow. Several processes, and several workflows, may use one store at once.
-- @tparam table options
--   channel | channels = { name = channel }   of onemsg.new
--   rules         path of the script, or what rules.open or rules.load returned
--   store         "sqlite:confirmations.db", or a handle of onemsg.sql; default ONE_MSG_STORE
--   resolve(event) → phone, or { phone = …, first_name = … } (in rules {resolved.first_name}), or nil; asked when the
--                 event has no phone, or the rules speak of `resolved`. If it raises, the event is not taken (store:).
--                 Or a query: { store = "sqlite:shop.db", query = "SELECT phone, first_name FROM customer WHERE id = $1",
--                 by = "{customer.id}" }. What was found is stored with the event
--   fallback      { name = function(notice) … end }: other ways to reach a person; notice has id, type, rule, phone,
--                 body, text (of the rule), state, reason, code, message_id, event. Called once for a confirmation; what
--                 it returns, or raises, stands in the history (nil, why: it failed; nil, why, { not_begun = true }: nobody was
--                 reached for certain, and it is called again, half a minute to half an hour later)
--   fallback_timeout = "1m", fallback_window = 8   how long one may run, and how many at a time
--   stalled_after = "1d"   silence after which a message without ttl is `stalled`
--   stop_words    list of texts that, as a whole message, end all sending to their writer (default: in some twenty languages)
--   start_words   the same for texts that take that back
--   spawn(run)    how a fallback is run; default: at once, in the worker's own turn, one a turn. In nginx in a light thread.
--                 May return { stop = function() → true when it was ended, turn = function() called until it is done }
--   on_change(confirmation) after every state change; on_alert(alert) when a channel stops or goes on
--   log           function(line, entry), a path, or "stderr": the delivery log as JSON lines
--   only_to = { "+1 202 072 1300", … }   whoever else is `skipped`, and reached on no other way: for systems that are tried
--                 out; default ONE_MSG_ONLY_TO, commas between
--   hash_key      key of the digests that forget leaves; default ONE_MSG_HASH_KEY, or a file STORE.key beside a SQLite store
--   keep = "90d"  what ended longer ago loses event, texts, names, phones and statuses; its id stays known. ONE_MSG_KEEP
--   keep_ids = false   how long it does after that: a duration, or false: for ever. ONE_MSG_KEEP_IDS
--   rate = 20, burst = 20   messages a second and channel, over all processes of the store; gap = 6 s per recipient
--   event_ignore = { "attempts", "meta.sent_at" }   fields in which a repeat of an event may differ from the first
--   window = 64   sends in flight of this workflow; lease = what a send may take (the channel's timeout +
--                 connect_timeout + 10 s), and not less; give_up_after = "6h" where the rule names none
--   witness       path of a file of this machine that remembers what left, for a store that forgets: a restored backup, a
--                 standby without the last commits; default: beside the SQLite file; with PostgreSQL $STATE_DIRECTORY/witness
--                 (ONE_MSG_WITNESS). Needed only to work and drain. false: none
--   node          name of this machine among those that share the store; default: ONE_MSG_NODE, or its host name
--   now, steady, sleep, random   wall clock, a clock that only rises (default: now is both), wait and random source, for
--                 simulations
-- @treturn ?table workflow
-- @treturn ?string with a workflow: which other ways the rules name that it does not have; who sends should say so
-- @treturn string with nil: "config: …", "store: …"
-- @raise on an unknown option or a wrong type
function M.open(options)
  core = core or require "onemsg" and require "onemsg.core"
  local flow, err = flow_options.read(options, core)
  if not flow then return nil, err, { outcome = "invalid" } end
  setmetatable(flow, Flow)
  flow.breathe = function() end -- called between the pieces of long work: in nginx others are served there
  flow.counted, flow.landing = { submitted = 0, duplicates = 0, differs = 0, skipped = 0, attempts = 0, hooks = 0,
    hook_new = 0, hook_duplicates = 0, hook_foreign = 0, hook_ignored = 0, hooks_invalid = 0, asks = 0, fallbacks = 0,
    forgotten = 0 }, {}
  local info
  flow.box, err, info = outbox.open(flow.store, flow.names, options.channels ~= nil, flow.ways)
  if not flow.box then
    flow:close()
    return nil, err, info
  end
  flow.box.breathe = function() flow.breathe() end
  flow.worker = worker.new(flow)
  local told
  told, err, info = flow.clock:open(flow.box)
  if not told then
    flow:close()
    return nil, err, info
  end
  flow:tell_clock()
  local set = flow_options.ruleset(flow, flow.now())
  flow.rules_version = set.version
  return flow, manners.missing(flow, set)
end

local function closed()
  return nil, "closed: this workflow was closed; open another", { outcome = "invalid" }
end

-- With a misspelt `stop`, work would never end.
local TAKES = { submit = { wait = "boolean", first = "boolean", ignore = "table" }, work = { stop = "function" },
                drain = { timeout = "delay", stop = "function" } }

--- A row changed and that is on disk: the log line, and the user's function.
function Flow:announce(row)
  log.change(self.sink, row)
  if self.on_change then pcall(self.on_change, log.view(row)) end
end

--- Something that an operator should know, once: a channel stopped, goes on, a template is set aside.
function Flow:alert(alert)
  log.write(self.sink, alert, self.now())
  if self.on_alert then pcall(self.on_alert, alert) end
end

--- What the clock has to say.
function Flow:tell_clock()
  local news = self.clock.news
  if #news == 0 then return end
  self.clock.news = {}
  for _, alert in ipairs(news) do self:alert(alert) end
end

--- The rules to decide by now. A file that changed, or that is bad and leaves the last good rules at work, is told once.
function Flow:ruleset(now)
  local set, problem = flow_options.ruleset(self, now)
  if problem ~= self.rules_problem or set.version ~= self.rules_version then
    local reason = problem or self.rules_problem and "the rules file is good again" or "new rules are at work"
    self.rules_problem, self.rules_version = problem, set.version
    self:alert { alert = "rules", reason = reason, version = set.version,
      missing = not problem and manners.missing(self, set) or nil }
  end
  return set
end

--- Submit ----------------------------------------------------------------------------------------------------------

--- The first of a list, with the rest as its `also`.
local function with_others(list)
  local first = list[1]
  for n = 2, #list do
    first.also = first.also or {}
    first.also[n - 1] = list[n]
  end
  return first
end

local function ticket_of(rows, duplicate)
  local tickets = {}
  for n, row in ipairs(rows) do
    tickets[n] = { id = row.id, state = row.first_state, rule = row.rule, reason = row.first_reason,
                   version = row.version, duplicate = duplicate, now = duplicate and row.state or nil }
  end
  return with_others(tickets)
end

local function conflict(id)
  return nil, ("conflict: event.id %s was submitted before with other content; nothing was changed"):format(id),
    { outcome = "invalid" }
end

--- The ticket of an event that was submitted before.
-- @tparam table options of submit
local function repeated(flow, rows, text, id, options)
  local same = forgotten.same(flow, rows[1].event, text, options.ignore)
  if same == nil then same = content.same(rows[1].event, text, flow.event_ignore, options.ignore) end
  if not same and not options.first then return conflict(id) end
  local ticket = ticket_of(rows, true)
  ticket.differs = not same or nil
  return ticket
end

--- What a submit has come to: its answer, a list, and the rows that are news.
local function judge(flow, begun, rows, known, info)
  if not rows then return { nil, known, info }, {} end
  local counted = flow.counted
  if known then
    local answer = { repeated(flow, rows, begun.plan.text, begun.plan.id, begun.options) }
    if answer[1] then
      counted.duplicates = counted.duplicates + 1
      if answer[1].differs then counted.differs = counted.differs + 1 end
    end
    return answer, {}
  end
  for _, row in ipairs(rows) do
    local what = row.state == "skipped" and "skipped" or "submitted"
    counted[what] = counted[what] + 1
  end
  return { ticket_of(rows, false) }, rows
end

-- A submit under way. It lies in flow.landing until it has an answer, and the loop that works takes in what nobody waits
-- for: in nginx whoever waits may be killed, and somebody else may wait as well. Whoever comes first after the wait gives
-- it its answer and tells of it; nothing in between yields.
local Landing = {}
Landing.__index = Landing

--- True when wait would return at once.
function Landing:ready() return self.answer ~= nil or self.begun.pending:ready() end

--- The ticket, or nil, err, info; also nil, "timeout: …".
function Landing:wait(timeout)
  if not self.answer then
    local flow = self.flow
    local rows, known, info = flow.box:submitted(self.begun, timeout)
    if not self.answer then
      if not rows and known:find("^timeout:") then return nil, known, info end
      local news
      self.answer, news = judge(flow, self.begun, rows, known, info)
      flow.landing[self] = nil
      if self.on_answer then self.on_answer(self.answer[1], self.answer[2]) end
      for _, row in ipairs(news) do flow:announce(row) end
      if news[1] then flow.worker:wake() end
    end
  end
  return self.answer[1], self.answer[2], self.answer[3]
end

--- Takes an event: decides, and stores the decision. On disk when it returns a ticket.
-- @tparam table event id and type are required; the same id with the same content is a repeat and changes nothing
-- @tparam ?table options wait = false: return a pending (ready, wait) instead of the ticket; for nginx phases that
--   can't wait. What it stores is acknowledged only by its wait.
--   first = true: of one id the first content wins; other content is a repeat, too, and its ticket has differs = true.
--   ignore = { "data.sent_at", … }: fields that are left out of the comparison, besides those of event_ignore
-- @treturn ?table ticket: id, state = "queued" | "skipped", rule, reason, version, duplicate, now (with a duplicate:
--   the state by now), also (tickets of further rules)
-- @treturn string with nil: "invalid: …", "conflict: …" (same id, other content), "config: …", "store: …"
function Flow:submit(event, options)
  if self.closed then return closed() end
  options = check.options("submit", options, TAKES.submit)
  local now = self.now()
  self:tell_clock()
  local plan, err, info = planner.plan(self, event, now)
  if not plan then return nil, err, info end
  local begun
  begun, err, info = self.box:submit(plan, now, self.gap, forgotten.digest(self))
  if not begun then return nil, err, info end
  begun.options = options
  local landing = setmetatable({ flow = self, begun = begun }, Landing)
  self.landing[landing] = true
  if self.on_begun then self.on_begun() end
  if options.wait ~= false then return landing:wait() end
  return landing
end

--- What submit would do with an event, by the very same checks; stores and sends nothing.
-- @treturn ?table as a ticket, with phone, body, template, language, channel, changes (what cleaning changed) and
--   trace: a line for every rule, and for every decision
-- @treturn string with nil: as submit
function Flow:explain(event)
  if self.closed then return closed() end
  local plan, err, info = planner.plan(self, event, self.now())
  if not plan then return nil, err, info end
  local rows
  rows, err, info = self.box:tickets(plan.id)
  if not rows then return nil, err, info end
  if rows[1] then
    return repeated(self, rows, plan.text, plan.id, {})
  end
  local shown = {}
  for n, part in ipairs(plan.parts) do
    local holder
    if part.once and part.state == "queued" then
      holder, err, info = self.box:holder(part.once, forgotten.digest(self))
      if err then return nil, err, info end
    end
    local why = holder and outbox.ONCE .. holder
    if part.state == "queued" and not why then
      local suppressed
      suppressed, err, info = self.box:suppression(part.phone, part.channel, self.now(), forgotten.digest(self))
      if err then return nil, err, info end
      why = suppressed and "suppressed: " .. suppressed.reason
    end
    shown[n] = phones.tell({ id = part.id, state = why and "skipped" or part.state, rule = part.rule, version = part.version,
      reason = why or part.reason, duplicate = false, body = part.body,
      template = part.template, language = part.language, channel = part.channel, changes = part.changes }, part.phone)
  end
  shown[1].trace = plan.ruleset:explain(plan.seen)
  return with_others(shown)
end

--- Work ------------------------------------------------------------------------------------------------------------

--- Sends, retries, recovers and expires until told to stop; then waits for the sends in flight, at most the lease, and for
-- fallbacks that run, as long as they may.
-- @tparam ?table options stop() → true to end; asked at least four times a second
-- @treturn ?number messages whose answer was recorded
-- @treturn string with nil: "store: …", when it ended with answers that the store had refused for 5 s. An alert
--   "unrecorded" for each says what came of it; the next work or drain of this workflow tries again
-- @raise on an unknown option or a wrong type; so do submit and drain
function Flow:work(options)
  if self.closed then return closed() end
  options = check.options("work", options, TAKES.work)
  return self.worker:run(options.stop or function() return false end)
end

--- Works until nothing is in flight and nothing more becomes due.
-- @tparam ?table options timeout in seconds (default 0): what becomes due within it is waited for; when it is over,
--   what is still in flight stays so, and the next work or drain takes it up; stop() → true to end, as for work
-- @treturn ?number messages whose answer was recorded
-- @treturn string with nil: "store: …", when the time (at least 5 s where none was given) ended with a store that failed
function Flow:drain(options)
  if self.closed then return closed() end
  options = check.options("drain", options, TAKES.drain)
  return self.worker:drain(options.timeout or 0, options.stop)
end

--- Closes the store and the log. Sends in flight end by themselves; they become `unknown` when their lease ends.
function Flow:close()
  if self.closed then return end
  self.closed = true
  if self.worker then witness.close(self.worker) end
  if self.box then self.box:close() end
  local lost = self.log_file and self.log_file:close() or 0
  if lost > 0 and self.on_alert then pcall(self.on_alert, log.lost(lost, self.now())) end
end
Flow.__close = Flow.close

for _, part in ipairs { operator, backtest, forgotten, hooks, pauses, recipients } do
  for name, method in pairs(part.methods) do
    Flow[name] = function(self, ...)
      if self.closed then return closed() end
      return method(self, ...)
    end
  end
end

return M
