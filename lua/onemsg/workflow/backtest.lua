--- onemsg.workflow.backtest: stored events through edited rules: what would have been different. Writes nothing, sends
-- nothing. Also the texts of rules that decided something. For onemsg.workflow.
local check = require "onemsg.base.check"
local codec = require "onemsg.base.json"
local phones = require "onemsg.base.phone"
local planner = require "onemsg.workflow.plan"
local resolve = require "onemsg.workflow.resolve"
local rules = require "onemsg.rules"
local stored = require "onemsg.rules.stored"

local M = { methods = {} }
local Back = M.methods

local PAGE = 200    -- events read at once
local SAMPLES = 5   -- of each kind of difference

local KINDS = { "confirmed", "dropped", "reworded", "readdressed", "failed" }

-- What a confirmation says, whatever rule says it.
local function words_of(message)
  local said = {}
  for _, name in ipairs { "template", "language", "namespace", "header", "buttons", "body", "named" } do
    said[name] = message[name]
  end
  return codec.encode(said.header) .. codec.encode(said.buttons) .. codec.encode(said.named) .. "\0"
    .. table.concat(said.body or {}, "\0") .. "\0" .. tostring(said.template) .. "\0" .. tostring(said.language) .. "\0"
    .. tostring(said.namespace)
end

--- What an event led to: confirmations as { rule, address, words, message }.
local function confirmations(list)
  local confirmed = {}
  for _, one in ipairs(list) do
    if one.message then
      local message = codec.decode(one.message)
      confirmed[#confirmed + 1] = { rule = one.rule, address = one.phone or "", words = words_of(message), message = message }
    end
  end
  return confirmed
end

local function joined(list, field)
  local values = {}
  for n, one in ipairs(list) do values[n] = field == "words" and one.address .. "\0" .. one.words or one.address end
  table.sort(values)
  return table.concat(values, "\1")
end

--- same, confirmed, dropped, reworded or readdressed.
local function compare(before, after)
  if #before == 0 and #after == 0 then return "same" end
  if #before == 0 then return "confirmed" end
  if #after == 0 then return "dropped" end
  if joined(before, "words") == joined(after, "words") then return "same" end
  return joined(before, "address") == joined(after, "address") and "reworded" or "readdressed"
end

--- A function of the rules that failed at an event is no decision.
local function failure(parts)
  for _, part in ipairs(parts) do
    if part.state == "skipped" and (part.reason:find('^rule ".*" failed: ') or part.reason:find('^never ".*" failed, ')) then
      return part.reason
    end
  end
end

local function shown(list)
  local texts = {}
  for n, one in ipairs(list) do
    texts[n] = { rule = one.rule, recipient = phones.mask(one.address), template = one.message.template,
      language = one.message.language, body = one.message.body }
  end
  return texts
end

--- The rules to try: a path, or what rules.load and rules.open return.
local function read_rules(given)
  if type(given) ~= "string" then return given.current and given:current() or given end
  local handle, err = rules.open(given)
  if not handle then return nil, err, { outcome = "invalid" } end
  return handle:current()
end

local function tally(result, before, after)
  for when, list in pairs { before = before, after = after } do
    for _, one in ipairs(list) do
      local name = one.rule or "?"
      local count = result.rules[name] or { before = 0, after = 0 }
      count[when], result.rules[name] = count[when] + 1, count
    end
  end
end

local function note(self, row, kind, before, after, why)
  local difference = { id = row.id, type = row.type, at = row.created_at, kind = kind, before = shown(before),
    after = shown(after), reason = why }
  if self.count[kind] < SAMPLES then
    self.count[kind] = self.count[kind] + 1
    self.result.samples[#self.result.samples + 1] = difference
  end
  if self.each then self.each(difference) end
end

--- One event through the edited rules.
-- @treturn ?boolean true; nil, err, info when the store failed
local function try(self, row)
  local list = { row }
  if row.parts > 1 then
    local further, err, info = self.flow.box:further(row.id, row.parts)
    if not further then return nil, err, info end
    for n, one in ipairs(further) do list[n + 1] = one end
  end
  local before = confirmations(list)
  local plan, wrong = planner.plan(self.view, planner.stored(row.event), row.created_at,
    row.resolved and planner.stored(row.resolved))
  local result = self.result
  result.events = result.events + 1
  local why = not plan and wrong or plan and failure(plan.parts)
  local after = not why and confirmations(plan.parts) or {}
  local kind = why and "failed" or compare(before, after)
  tally(result, before, after)
  result[kind] = result[kind] + 1
  if kind ~= "same" then note(self, row, kind, before, after, why or kind == "dropped" and plan.parts[1].reason or nil) end
  return true
end

local TAKES = { rules = "string table", since = "duration", limit = "number", each = "function" }

--- The stored events through edited rules, each at the time when it came, with what was resolved then. Writes nothing,
-- sends nothing.
-- @tparam table options rules = path, or a ruleset; since = "7d" (default: all that is stored); limit: events at most, in
--   the order of their ids; each(difference) is called for every event that would be another
-- @treturn ?table events = same (also those confirmed by neither) + confirmed (newly) + dropped (no longer) + reworded +
--   readdressed (to others, whatever the words) + failed (a function of the rules failed, or a channel is not here);
--   rules = { name = { before, after } }: confirmations by each rule;
--   samples: up to 5 differences of each kind: { id, type, at, kind, before, after = { { rule, recipient (masked), template,
--   language, body }, … }, reason }; version of the edited rules
-- @treturn string with nil: "config: …" (the rules are bad), "store: …"
-- In nginx: wherever a light thread may wait; others are served in between.
function Back:backtest(options)
  options = check.options("backtest", options, TAKES)
  if options.rules == nil then check.misuse("backtest: rules is missing: the path of the edited rules") end
  local set, err, info = read_rules(options.rules)
  if not set then return nil, err, info end
  local result = { events = 0, same = 0, rules = {}, samples = {}, version = set.version }
  local run = { flow = self, result = result, count = {}, each = options.each,
    view = setmetatable({ resolve = false, ruleset = function() return set end }, { __index = self }) }
  for _, kind in ipairs(KINDS) do result[kind], run.count[kind] = 0, 0 end
  local since = options.since and self.now() - options.since or -math.huge
  local last, limit = "", options.limit or math.huge
  while result.events < limit do
    local rows
    rows, err, info = self.box:decided(last, since == -math.huge and -1e300 or since, PAGE)
    if not rows then return nil, err, info end
    for _, row in ipairs(rows) do
      last = row.id
      if row.event and not row.id:find "~%d+$" and result.events < limit then
        local ok
        ok, err, info = try(run, row)
        if not ok then return nil, err, info end
        self.breathe()
      end
    end
    if #rows < PAGE then break end
  end
  return result
end

--- What the stored events and templates say against rules: fields and types that never came, types that no rule is for, a
-- ttl that the template's category does not take.
-- @tparam table set a ruleset, as rules.load returns it
-- @tparam ?table options since = "7d" (default: all that is stored)
-- @treturn ?table list of { line, text }
-- @treturn number|string how many events were looked at; with nil "store: …"
function Back:rules_against(set, options)
  options = check.options("rules_against", options, { since = "duration" })
  local since = options.since and self.now() - options.since or -1e300
  local seen, last = stored.new(), ""
  while true do
    local rows, err, info = self.box:decided(last, since, PAGE)
    if not rows then return nil, err, info end
    for _, row in ipairs(rows) do
      last = row.id
      if row.event and not row.id:find "~%d+$" then
        stored.see(seen, resolve.with(planner.stored(row.event), row.resolved and planner.stored(row.resolved)))
        self.breathe()
      end
    end
    if #rows < PAGE then break end
  end
  local known, err, info = self.box:counts(self.now())
  if not known then return nil, err, info end
  return stored.of(set, seen, known.templates), seen.events
end

--- The texts of rules that decided something.
-- @treturn ?table list of { version, name, at (when it first did), bytes }, the oldest first
function Back:rules_log() return self.box:rules_log() end

--- One of them.
-- @tparam string version all of it, or its first letters
-- @treturn ?table version, name, at, source
-- @treturn string with nil: "invalid: …", "store: …"
function Back:rules_text(version)
  if type(version) ~= "string" or #version < 4 then check.misuse "rules_text takes a version: 4 of its 16 letters at least" end
  local list, err, info = self.box:rules_log()
  if not list then return nil, err, info end
  local found
  for _, one in ipairs(list) do
    if one.version:sub(1, #version) == version then
      if found then
        return nil, ("invalid: %s and %s begin with %s: give more of it"):format(found, one.version, version),
          { outcome = "invalid" }
      end
      found = one.version
    end
  end
  if not found then
    return nil, ("invalid: no rules of version %s decided anything here"):format(version), { outcome = "invalid" }
  end
  return self.box:rules_text(found)
end

return M
