--- The rules: which events are confirmed, to whom, in which words. The words are in rules.md.
--
--   local rules = require "onemsg.rules"
--   local set = assert(rules.load(source, { name = "rules.lua" }))
--   for _, decision in ipairs(set:decide(event)) do … end
--
-- Values in, values out: nothing here reads, writes or waits, except `open`, which reads its file. Any nginx context.
-- In rules/: sandbox (confinement) with meter and cost (the budget), library and pattern; words (what a script sees),
-- complaint (mistakes and their lines), kept (what functions share); source (lines, version); check with match and text
-- (mistakes, readiness); decide (the decision); example; file (following a file).
local check = require "onemsg.base.check"
local declared = require "onemsg.rules.check"
local decide = require "onemsg.rules.decide"
local example = require "onemsg.rules.example"
local file = require "onemsg.rules.file"
local sandbox = require "onemsg.rules.sandbox"
local scanner = require "onemsg.rules.source"
local text = require "onemsg.rules.text"
local warn = require "onemsg.rules.warn"
local words = require "onemsg.rules.words"
local complaint = require "onemsg.rules.complaint"
local cost = require "onemsg.rules.cost"
local kept = require "onemsg.rules.kept"
local utf8 = require "onemsg.base.utf8"

local M = {}

local format = string.format
local MAX_SENTENCE = 400 -- characters of what is said of a mistake

local Ruleset = {}
Ruleset.__index = Ruleset

function Ruleset:__tostring() return format("onemsg rules %s (%s)", self.name, self.version) end

-- What workflow has to have ready for these rules: names of fallbacks and channels, and where they stand.
local function used(set, name, source)
  -- wherever the word stands: who reads what was resolved in a function can't be told otherwise
  local uses = { fallbacks = {}, channels = {}, resolved = source:find("%f[%w_]resolved%f[^%w_]") and true or nil }
  for _, rule in ipairs(set.confirm) do
    local place = format("%s:%d", name, rule.line)
    local fallback = rule.slots.otherwise and rule.slots.otherwise.send
    local channel = rule.slots.channel
    if fallback then uses.fallbacks[fallback] = uses.fallbacks[fallback] or place end
    local zone = rule.slots.quiet and rule.slots.quiet.zone
    if type(zone) == "string" then
      uses.zones = uses.zones or {}
      uses.zones[zone] = uses.zones[zone] or place
    end
    if type(channel) == "string" then uses.channels[channel] = uses.channels[channel] or place end
  end
  return uses
end

-- What the text of a script shows before it runs: what Lua takes in silence, or says something else of.
local function slip(scan)
  if scan.slipped then return scan.slipped.sentence, scan.slipped.line end
  if scan.twice then
    return format("'%s' stands twice in one { … }, and already in line %d: write it once; two values of a field "
      .. "are one_of(…), two conditions between(…) or a function, two lists one list", text.name(scan.twice.word),
      scan.twice.first), scan.twice.line
  end
end

-- Everything after the script has run: what it declared is judged, and its examples are run.
local function build(scan, environment, version, scope)
  local unfinished = words.unfinished(environment.declared)
  if unfinished then
    complaint.complain(format("%s %s has no { … } behind its name", unfinished.word, text.plain(unfinished.name)),
      unfinished.line)
  end
  local set = decide.prepare(declared.check(environment.declared, scan))
  if #set.confirm == 0 then complaint.complain("it holds no confirm: nothing would ever be sent") end
  set.version, set.scope = version, scope
  example.run(set, environment.declared, scan)
  set.declared, set.scan = environment.declared, scan
  return set
end

-- A script from its text to what decides; nil, a sentence and a line for a mistake in it. May raise: a mistake of ours.
local function make(source, name)
  if #source > file.MAX_BYTES then return nil, "it is larger than 1 MiB" end
  local environment = words.new()
  local chunk, scope, line = sandbox.compile(source, name, environment)
  if not chunk then return nil, scope, line end
  local scan = scanner.scan(source)
  local slipped, at_line = slip(scan)
  if slipped then return nil, slipped, at_line end
  local pool = cost.pool(cost.LOAD)
  local ok, result, where = sandbox.run(chunk, nil, cost.LOAD, scope, pool)
  cost.script = cost.spent
  environment.freeze()
  if not ok then return nil, result, where end
  scope.kept = kept.of(scope.source, { environment.own, environment.declared })
  pool.limits = cost.EXAMPLES
  cost.begin(cost.EXAMPLES, pool)
  ok, result = pcall(build, scan, environment, scanner.version(source), scope)
  cost.finish(pool)
  if ok then return result end
  local sentence, at = complaint.complaint(result)
  if sentence then return nil, sentence, at end
  error(result, 0)
end

-- What is said of a mistake of ours that a script met: no script ends the process that loads it.
local function met(raised)
  local message = type(raised) == "string" and raised:match("^[^\r\n]*"):gsub("^%S-%.lua:%d+: ", "") or "an error"
  return "it cannot be judged, which is a mistake of onemsg's; what is written here leads to it: " .. message
end

--- Loads a rules script.
-- @tparam string source the text of the script, up to 1 MiB
-- @tparam[opt] table options `name`: how messages call it (default "rules.lua")
-- @treturn[1] table ruleset: `version` (16 hex digits of the content), `name`, `uses` ({ fallbacks = { sms =
--   "rules.lua:12" }, channels = { … }, resolved }), `rules` (their names in order), `templates` (name = { body = {…}, … }),
--   and the methods `decide` and `explain`
-- @treturn[2] nil
-- @treturn[2] string "config: rules.lua:12: …", a sentence for the person who edits the script
-- @raise when an argument has a wrong type or an option is unknown
function M.load(source, options)
  if type(source) ~= "string" then
    check.misuse("rules.load: the source must be a text, not " .. text.kind(source))
  end
  local name = check.options("rules.load", options, { name = "string" }).name or "rules.lua"
  if #name > 50 or name:find("%c") then check.misuse("rules.load: name must be a text of 50 characters at most") end
  local judged = complaint.judge(nil)
  local ok, result, sentence, line = pcall(make, source, name)
  if not ok then result, sentence, line = nil, met(result), complaint.judge(nil) end
  complaint.judge(judged)
  if not result then
    sentence = utf8.repair(sentence:sub(1, 4 * MAX_SENTENCE):gsub("%c", " "), MAX_SENTENCE)
    return nil, line and format("config: %s:%d: %s", name, line, sentence) or format("config: %s: %s", name, sentence)
  end

  local names = {}
  for at, rule in ipairs(result.confirm) do names[at] = rule.name end
  return setmetatable({
    version = result.version, name = name, rules = names, templates = result.templates,
    source = source, uses = used(result, name, source), set = result,
  }, Ruleset)
end

--- Opens a rules file and follows it: `handle:current(now)` gives the newest good ruleset and looks at the file at
-- most once a second; `handle.problem` says why the file as it stands is not at work.
-- @tparam string path
-- @tparam[opt] number now seconds, the clock that `current` will be asked with; default os.time()
-- @treturn[1] table handle
-- @treturn[2] nil
-- @treturn[2] string "config: …": the file cannot be read or is bad, and there is no earlier one
function M.open(path, now)
  if type(path) ~= "string" then error("rules.open: the path must be a text, not " .. text.kind(path), 2) end
  return file.open(path, M.load, now)
end

--- Decides about one event. The event is only read.
-- @tparam table event as decoded from JSON; `type` picks the rules, null counts as absent
-- @treturn table a list of decisions, one unless rules say `also`. Each has `confirm` (boolean), `rule` (name or nil),
--   `reason` and `version`. With confirm = true: `body` (texts in the template's order; of a template with
--   named variables { name, text } each), `values` (the same by name),
--   `name`, `action`, `next_step`, `phone` and `chat_id` as the script gives them (with neither, `needs_phone` is
--   true), `country`, and where the rules say so `template`, `language`, `namespace`, `channel`, `header`, `buttons`, `once_per`,
--   `ttl`, `give_up_after` and `after` (seconds), `text` ("clean" …), `otherwise` ({ after = seconds or nil, send, text,
--   on_unknown, quiet }) and `quiet` ({ from, to = seconds after midnight, zone }). With confirm = false `reason` begins
--   with "skipped: "; when no rule matched, `trace` has one line for every rule.
-- @raise when the event is no table
function Ruleset:decide(event)
  if type(event) ~= "table" then error("decide: the event must be a table, not " .. text.kind(event), 2) end
  return decide.decide(self.set, event)
end

--- What a script says that is allowed, and perhaps not what was meant.
-- @treturn table list of { line, text }, a sentence each, in the order of their lines
function Ruleset:warnings() return warn.of(self.set) end

--- Is any rule, never or confirm, for events of this type?
function Ruleset:concerns(event_type) return decide.concerns(self.set, event_type) end

--- Whose key the once_per of a rule makes: for who keeps them.
-- @tparam string name of a rule
-- @treturn ?table across (all rules that say the same share it), or said (those with the same text do) and on (the
--   event types that count; nil: all)
function Ruleset:once(name)
  for _, rule in ipairs(self.set.confirm) do
    if rule.name == name and rule.once then
      local across = rule.once.across
      return { across = across, said = rule.once.said, on = not across and rule.on or nil }
    end
  end
end

--- Explains, by the very checks of `decide`, what each rule says to an event.
-- @tparam table event
-- @treturn table lines of text: one for every rule, then one for every decision
-- @treturn table what `decide` returns for this event
function Ruleset:explain(event)
  if type(event) ~= "table" then error("explain: the event must be a table, not " .. text.kind(event), 2) end
  return decide.explain(self.set, event)
end

return M
