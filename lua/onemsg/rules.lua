--- The rules: which events are confirmed, to whom, in which words. DESIGN.md section 6; the words are in README.md.
--
--   local rules = require "onemsg.rules"
--   local set = assert(rules.load(source, { name = "rules.lua" }))
--   for _, decision in ipairs(set:decide(event)) do … end
--
-- Values in, values out: nothing here reads, writes or waits, except `open`, which reads its file. Any nginx context.
-- Rooms: rules_load (confinement) with rules.meter, rules.cost (the budget), rules_library and rules_pattern;
-- rules_words (what a script sees), rules.complaint (mistakes and their lines), rules.kept (what functions share);
-- rules_source (lines, version); rules_check with rules_match, rules_text, rules_suggest (mistakes, readiness);
-- rules_decide (the decision); rules_example; rules_file (following a file).
local check_room = require "onemsg.rules_check"
local complaint = require "onemsg.rules.complaint"
local cost = require "onemsg.rules.cost"
local decide_room = require "onemsg.rules_decide"
local example_room = require "onemsg.rules_example"
local file_room = require "onemsg.rules_file"
local kept = require "onemsg.rules.kept"
local load_room = require "onemsg.rules_load"
local plain = require "onemsg.plain"
local source_room = require "onemsg.rules_source"
local text = require "onemsg.rules_text"
local words_room = require "onemsg.rules_words"

local M = {}

local format = string.format
local MAX_SENTENCE = 400 -- characters of what is said of a mistake

local Ruleset = {}
Ruleset.__index = Ruleset

function Ruleset:__tostring() return format("onemsg rules %s (%s)", self.name, self.version) end

-- What workflow has to have ready for these rules: names of fallbacks and channels, and where they stand.
local function used(set, name)
  local uses = { fallbacks = {}, channels = {} }
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

-- Everything after the script has run: what it declared is judged, and its examples are run.
local function build(scan, environment, version, scope)
  local unfinished = words_room.unfinished(environment.declared)
  if unfinished then
    complaint.complain(format("%s %s has no { … } behind its name", unfinished.word, text.plain(unfinished.name)),
      unfinished.line)
  end
  local set = decide_room.prepare(check_room.check(environment.declared, scan))
  if #set.confirm == 0 then complaint.complain("it holds no confirm: nothing would ever be sent") end
  set.version, set.scope = version, scope
  example_room.run(set, environment.declared, scan)
  return set
end

-- A script from its text to what decides; nil, a sentence and a line for a mistake in it. May raise: a mistake of ours.
local function make(source, name)
  if #source > file_room.MAX_BYTES then return nil, "it is larger than 1 MiB" end
  local environment = words_room.new()
  local chunk, scope, line = load_room.compile(source, name, environment)
  if not chunk then return nil, scope, line end
  local pool = cost.pool(cost.LOAD)
  local ok, result, where = load_room.run(chunk, nil, cost.LOAD, scope, pool)
  environment.freeze()
  if not ok then return nil, result, where end
  scope.kept = kept.of(scope.source, { environment.own, environment.declared })
  cost.begin(cost.EXAMPLES, pool)
  ok, result = pcall(build, source_room.scan(source), environment, source_room.version(source), scope)
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
--   "rules.lua:12" }, channels = { … } }), `rules` (their names in order), `templates` (name = { body = {…}, … }),
--   and the methods `decide` and `explain`
-- @treturn[2] nil
-- @treturn[2] string "config: rules.lua:12: …", a sentence for the person who edits the script
-- @raise when an argument has a wrong type or an option is unknown
function M.load(source, options)
  if type(source) ~= "string" then
    error("rules.load: the source must be a text, not " .. text.kind(source), 2)
  end
  for option in pairs(options or {}) do
    if option ~= "name" then error(format("rules.load: unknown option '%s', there is name", tostring(option)), 2) end
  end
  local name = options and options.name or "rules.lua"
  if type(name) ~= "string" or #name > 50 or name:find("%c") then
    error("rules.load: name must be a text of 50 characters at most", 2)
  end
  local judged = complaint.judge(nil)
  local ok, result, sentence, line = pcall(make, source, name)
  if not ok then result, sentence, line = nil, met(result), complaint.judge(nil) end
  complaint.judge(judged)
  if not result then
    sentence = plain.repair(sentence:sub(1, 4 * MAX_SENTENCE):gsub("%c", " "), MAX_SENTENCE)
    return nil, line and format("config: %s:%d: %s", name, line, sentence) or format("config: %s: %s", name, sentence)
  end

  local names = {}
  for at, rule in ipairs(result.confirm) do names[at] = rule.name end
  return setmetatable({
    version = result.version, name = name, rules = names, templates = result.templates,
    uses = used(result, name), set = result,
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
  return file_room.open(path, M.load, now)
end

--- Decides about one event. The event is only read.
-- @tparam table event as decoded from JSON; `type` picks the rules, null counts as absent
-- @treturn table a list of decisions, one unless rules say `also`. Each has `confirm` (boolean), `rule` (name or nil),
--   `reason` and `version`. With confirm = true: `body` (texts in the template's order), `values` (the same by name),
--   `name`, `action`, `next_step`, `phone` and `chat_id` as the script gives them (with neither, `needs_phone` is
--   true), and where the rules say so `template`, `language`, `namespace`, `channel`, `header`, `buttons`, `once_per`,
--   `ttl` and `give_up_after` (seconds), `text` ("clean" …), `otherwise` ({ after = seconds or nil, send, text,
--   on_unknown }) and `quiet` ({ from, to = seconds after midnight, zone }). With confirm = false `reason` begins
--   with "skipped: "; when no rule matched, `trace` has one line for every rule.
-- @raise when the event is no table
function Ruleset:decide(event)
  if type(event) ~= "table" then error("decide: the event must be a table, not " .. text.kind(event), 2) end
  return decide_room.decide(self.set, event)
end

--- Explains, by the very checks of `decide`, what each rule says to an event.
-- @tparam table event
-- @treturn table lines of text: one for every rule, then one for every decision
-- @treturn table what `decide` returns for this event
function Ruleset:explain(event)
  if type(event) ~= "table" then error("explain: the event must be a table, not " .. text.kind(event), 2) end
  return decide_room.explain(self.set, event)
end

return M
