--- The decision: one event against rules that rules/check made ready. Pure, fast, and the same for submit and explain.
local languages = require "onemsg.base.language"
local document = require "onemsg.base.document"
local letters = require "onemsg.base.utf8"
local match = require "onemsg.rules.match"
local text = require "onemsg.rules.text"
local complaint = require "onemsg.rules.complaint"
local cost = require "onemsg.rules.cost"

local M = {}

local type, rawget, next, ipairs, find, sub, format, concat =
  type, rawget, next, ipairs, string.find, string.sub, string.format, table.concat
local holds, explain, as_text = match.holds, match.explain, text.as_text

local MAX_TYPES = 256     -- event types whose list of rules is remembered
local MAX_TYPE_BYTES = 200
local MAX_ZONE = 60      -- letters of a time zone's name
local MAX_REASON = 1000   -- bytes of a reason; the trace has everything
local ANY = "\1"          -- stands for an event type that no rule names

M.MAX_CONFIRMED = 400     -- confirmations of one event: one unit of the store holds ten statements for each

-- True when a rule is for an event type.
local function is_for(on, event_type)
  if not on or on.exact[event_type] then return true end
  for at = 1, #on.prefixes do
    local prefix = on.prefixes[at]
    if sub(event_type, 1, #prefix) == prefix then return true end
  end
  return false
end

-- The rules for one event type, in order: every never, then every confirm.
local function rules_for(set, event_type)
  local list = set.by_type[event_type]
  if list then return list end
  list = { nevers = 0 }
  for _, rule in ipairs(set.never) do
    if is_for(rule.on, event_type) then list[#list + 1], list.nevers = rule, list.nevers + 1 end
  end
  for _, rule in ipairs(set.confirm) do
    if is_for(rule.on, event_type) then list[#list + 1] = rule end
  end
  if set.types >= MAX_TYPES then set.by_type, set.types = {}, 0 end
  set.by_type[event_type], set.types = list, set.types + 1
  return list
end

-- May be lacking: workflow's resolve may find a recipient. The first that the event has is taken, and "" is none.
local RECIPIENT = require "onemsg.base.phone".FIELDS
local IS_RECIPIENT = {}
for _, field in next, RECIPIENT do IS_RECIPIENT[field] = true end

local function title(rule) return "rule " .. rule.quoted end

-- Fills one slot: the text; or nil, why not, and true when the event merely lacks the field.
local function fill(slot, field, rule, context, values)
  if type(slot) == "string" then return slot end
  local filled, path, wrong
  if type(slot) == "function" then
    filled, path, wrong = slot(context.event, values)
    if filled then
      if find(filled, "%S") then return filled end
      return nil, format("%s of %s is empty", field, title(rule)), IS_RECIPIENT[field]
    elseif wrong == "absent" then
      return nil, format("the event has no %s, and %s has no default for it", path, title(rule)), true
    end
    return nil, format("%s %s (%s of %s)", path, wrong, field, title(rule))
  end
  local ok, result = match.call(context, slot.call)
  if not ok then return nil, format("%s failed: %s", title(rule), result) end
  filled, wrong = as_text(result)
  if filled then return filled end
  if wrong == "absent" then
    return nil, format("the function for %s of %s gives nothing", field, title(rule)), true
  end
  return nil, format("the result of the function for %s of %s %s", field, title(rule), wrong)
end

local function fill_deep(value, field, rule, context)
  if type(value) == "table" and value.fields then
    local filled = {}
    for key, inner in next, value.fields do
      local one, why = fill_deep(inner, field, rule, context)
      if one == nil then return nil, why end
      filled[key] = one
    end
    return filled
  elseif type(value) == "table" and value.constant ~= nil then
    return value.constant
  end
  return fill(value, field, rule, context)
end

local function may_send(consent, context, rule)
  local value
  if consent.call then
    local ok, result = match.call(context, consent.call)
    if not ok then return false, format("%s failed: %s", title(rule), result) end
    if result == true then return true end
    return false, format("no consent: the function for consent of %s gives %s", title(rule), text.plain(result))
  end
  value = consent.get(context.event)
  if value == true then return true end
  return false, format("no consent: %s is %s, and %s needs it to be true", consent.path,
    value == nil and "missing" or text.plain(value, text.is_secret(consent.path)), title(rule))
end

--- What chooses the recipient: the event without what its sender does not sign (onemsg.senders).
local function signed_part(context)
  local event = context.event
  if type(rawget(event, "unsigned")) ~= "table" or type(rawget(event, "sender")) ~= "string" then return context end
  local bare = document.copy(event)
  bare.unsigned = nil
  return { event = bare, scope = context.scope, pool = context.pool }
end

--- Fills a field that is a part of the recipient; what is missing may be found by resolve.
local function recipient(slot, field, rule, context, signed)
  local filled, why, lacking = fill(slot, field, rule, signed)
  if filled then return filled end
  if signed ~= context and fill(slot, field, rule, context) then
    return nil, format("%s of %s stands under unsigned, which %s does not sign: no recipient is taken from there; find it "
      .. "by resolve", field, title(rule), text.plain(rawget(context.event, "sender")))
  end
  return nil, not lacking and why or nil
end

local REQUIRED = { "channel", "namespace", "once_per" }

-- An odd value of what is optional costs the option, never the message; it is said.
local function note(decision, sentence)
  decision.reason = letters.cut(decision.reason .. "; " .. sentence, MAX_REASON)
end

-- The language of a confirmation: as the template is written, or the template's own where it can't be that.
local function speak(rule, context, decision)
  local said, why = fill(rule.slots.language, "language", rule, context)
  if not said and type(rule.slots.language) == "table" then return nil, why end -- a function of the script failed
  local code, known = said and languages.code(said), rule.languages
  if code and (not known or known.set[code]) then
    decision.language = code
    return true
  end
  decision.language = rule.language
  if not said then
    why = why or "it is missing"
  elseif not code then
    why = format("language is %s, which is no code", text.plain(said))
  else
    why = format("there is no %s of it, but %s", code, concat(known.list, ", "))
  end
  note(decision, format("in %s: %s", decision.language or "the channel's language", why))
  return true
end

-- Whom a confirmation is for; nil and why that can't be said. Nobody is for workflow's resolve.
local function address(rule, context, decision)
  local slots, signed = rule.slots, signed_part(context)
  local named
  for at = 1, #RECIPIENT do
    local field = RECIPIENT[at]
    if not named and slots[field] then
      local filled, why = recipient(slots[field], field, rule, context, signed)
      if why then return nil, why end
      decision[field], named = filled, filled
    end
  end
  if not named then decision.needs_phone = true end
  if slots.country then -- a channel may have one as well
    local filled, why = recipient(slots.country, "country", rule, context, signed)
    if why then return nil, why end
    decision.country = filled
  end
  return true
end

-- The quiet hours of a confirmation, where the event says a zone.
local function keep_quiet(quiet, rule, context, decision)
  local zone, why = fill(quiet.zone, "zone in quiet", rule, context)
  if zone then
    decision.quiet = { from = quiet.from, to = quiet.to, zone = letters.line(letters.repair(zone, MAX_ZONE)) }
  elseif type(quiet.zone) == "table" then -- a function of the script failed
    return nil, why
  else
    note(decision, "quiet hours are not kept: " .. why)
  end
  return true
end

-- Everything a confirmation needs, into `decision`; nil and why not.
local function render(rule, context, decision)
  local values, slots = {}, rule.slots
  for at = 1, #rule.variables do
    local name = rule.variables[at]
    local filled, why = fill(slots[name], name, rule, context)
    if not filled then return nil, why end
    values[name] = filled
  end
  local body = {}
  for at = 1, #rule.body do
    local name = rule.body[at]
    body[at] = rule.named and { name = name, text = values[name] } or values[name]
  end
  decision.body, decision.values = body, values
  decision.name, decision.action, decision.next_step = values.name, values.action, values.next_step
  local found, unfound = address(rule, context, decision)
  if not found then return nil, unfound end
  for at = 1, 3 do
    local field = REQUIRED[at]
    if slots[field] then
      local filled, why = fill(slots[field], field, rule, context)
      if not filled then return nil, why end
      decision[field] = filled
    end
  end
  if slots.language then
    local ok, why = speak(rule, context, decision)
    if not ok then return nil, why end
  end
  for _, field in next, rule.deep do
    local filled, why = fill_deep(slots[field], field, rule, context)
    if filled == nil then return nil, why end
    decision[field] = filled
  end
  decision.template, decision.ttl, decision.give_up_after, decision.text =
    rule.template, slots.ttl, slots.give_up_after, slots.text
  decision.after = slots.after or nil
  local otherwise, quiet = slots.otherwise, slots.quiet
  if otherwise then
    local said, why
    if otherwise.text then
      said, why = fill(otherwise.text, "text in otherwise", rule, context, values)
      if not said then return nil, why end
    end
    decision.otherwise = { after = otherwise.after, send = otherwise.send, text = said,
      on_unknown = otherwise.on_unknown, quiet = otherwise.quiet }
  end
  if quiet then
    local ok, why = keep_quiet(quiet, rule, context, decision)
    if not ok then return nil, why end
  end
  return decision
end

local function skipped(set, rule, why)
  return { confirm = false, rule = rule and rule.name, reason = "skipped: " .. why, version = set.version }
end

-- A rule that matched: its decision.
local function decide_one(set, rule, context)
  local event = context.event
  if rawget(event, "test") == true and type(rawget(event, "sender")) == "string" and not rule.slots.test then
    return skipped(set, rule, format("it is a test of %s's; %s would confirm it with test = true",
      text.plain(event.sender), title(rule)))
  end
  local consent = rule.slots.consent
  if consent then
    local ok, why = may_send(consent, context, rule)
    if not ok then return skipped(set, rule, why) end
  end
  local decision, why = render(rule, context,
    { confirm = true, rule = rule.name, reason = rule.matched, version = set.version })
  return decision or skipped(set, rule, why)
end

local function line_of(rule, verdict) return rule.label .. verdict end

-- Nothing matched: one decision that says for every rule why not. `verdicts`: rule = sentence, for rules of this type.
local function nothing(set, event_type, verdicts, failed)
  local trace, short = {}, {}
  if failed then short[1] = format("%s %s", title(failed), verdicts[failed]) end
  for at = 1, #set.ordered do
    local rule = set.ordered[at]
    local verdict = verdicts[rule]
    trace[at] = verdict and line_of(rule, verdict) or rule.elsewhere
    if verdict and rule.word == "confirm" and rule ~= failed then
      short[#short + 1] = rule.quoted .. ": " .. verdict
    end
  end
  local why
  if #short == 0 then
    why = "no rule is for " .. text.plain(event_type)
  else
    why = (failed and "" or "no rule matched " .. text.plain(event_type) .. ": ") .. concat(short, "; ")
  end
  why = letters.cut(why, MAX_REASON)
  local decision = skipped(set, failed, why)
  decision.trace = trace
  return decision
end

--- Is any rule for events of this type?
function M.concerns(set, event_type) return #rules_for(set, event_type) > 0 end

--- Decides about one event.
-- @tparam table set from rules/check, `prepare`d, with `version` and `scope`
-- @tparam table event
-- @tparam[opt] function tell called as tell(rule, sentence) for every rule that was judged
-- @tparam[opt] table pool what the functions may cost (rules.cost)
-- @treturn table list of decisions
function M.decide(set, event, tell, pool)
  local event_type = rawget(event, "type")
  if type(event_type) ~= "string" or event_type == "" or #event_type > MAX_TYPE_BYTES then
    return { skipped(set, nil, "the event has no type") }
  end
  local rules = rules_for(set, event_type)
  local context = { event = event, scope = set.scope, pool = pool }
  local decisions, failed, unmet, values
  for at = 1, #rules do
    local rule = rules[at]
    if context.wrote then context.view, context.wrote = nil, nil end -- no rule sees what another changed
    local yes, one, value = true, nil, nil
    if rule.when then yes, one, value = holds(rule.when, context) end
    if yes then
      if at <= rules.nevers then
        if tell then tell(rule, "yes, nothing is sent") end
        return { skipped(set, rule, rule.matched) }
      end
      local decision = decide_one(set, rule, context)
      if tell then tell(rule, decision.confirm and "yes" or decision.reason) end
      if decisions then decisions[#decisions + 1] = decision else decisions = { decision } end
      if not rule.also then return decisions end
    elseif yes == nil and at <= rules.nevers then -- it may be the one that had to stop this message
      if tell then tell(rule, "failed, so nothing is sent: " .. one) end
      return { skipped(set, rule, format("never %s failed, so nothing is sent: %s", rule.quoted, one)) }
    else
      if tell then tell(rule, yes == nil and "failed: " .. one or "no, " .. explain(one, value)) end
      unmet, values = unmet or {}, values or {}
      unmet[at], values[at] = one, value
      if yes == nil then failed = failed or rule end
    end
  end
  if decisions then return decisions end
  local verdicts = {}
  for at = 1, #rules do
    local one = unmet[at]
    verdicts[rules[at]] = type(one) == "string" and "failed: " .. one or explain(one, values[at])
  end
  return { nothing(set, event_type, verdicts, failed) }
end

--- What every rule says to an event, as lines, and the decisions.
function M.explain(set, event)
  local verdicts, lines = {}, {}
  local decisions = M.decide(set, event, function(rule, verdict) verdicts[rule] = verdict end)
  local event_type = rawget(event, "type")
  for at, rule in ipairs(set.ordered) do
    local verdict = verdicts[rule]
    if verdict then
      lines[at] = line_of(rule, verdict)
    elseif type(event_type) == "string" and is_for(rule.on, event_type) then
      lines[at] = line_of(rule, "not asked, an earlier rule decided")
    else
      lines[at] = rule.elsewhere
    end
  end
  for _, decision in ipairs(decisions) do
    lines[#lines + 1] = decision.confirm and "confirmed: " .. decision.reason or decision.reason
  end
  return lines, decisions
end

-- Refuses rules of which one event could meet too many: its confirmations are stored all or none, in one unit.
local function refuse_crowds(rules)
  local types, also = { ANY }, 0
  for _, rule in ipairs(rules) do
    if rule.also then also = also + 1 end
    for name in next, rule.on and rule.on.exact or {} do types[#types + 1] = name end
    for _, prefix in ipairs(rule.on and rule.on.prefixes or {}) do types[#types + 1] = prefix .. ANY end
  end
  if also < M.MAX_CONFIRMED then return end
  table.sort(types)
  for at, name in ipairs(types) do
    local count = 0
    for _, rule in ipairs(name ~= types[at - 1] and rules or {}) do
      cost.charge(1)
      if is_for(rule.on, name) then
        if count == M.MAX_CONFIRMED then
          complaint.complain(format("confirm %s: an event would be confirmed more than %d times, by this rule and those "
            .. "with also before it", rule.quoted, M.MAX_CONFIRMED), rule.line)
        end
        if rule.also then count = count + 1 elseif not rule.when then break end
      end
    end
  end
end

--- Prepares what `decide` looks up: to be called once on what rules_check made.
function M.prepare(set)
  set.by_type, set.types, set.ordered = {}, 0, {}
  for _, list in ipairs { set.never, set.confirm } do
    for _, rule in ipairs(list) do
      set.ordered[#set.ordered + 1] = rule
      rule.quoted = text.plain(rule.name)
      rule.label = rule.word .. " " .. rule.quoted .. ": "
      rule.matched = (rule.word == "never" and "never " or "matched rule ") .. rule.quoted
      rule.elsewhere = line_of(rule, "it is for " .. (rule.on and concat(rule.on.said, ", ") or "every event"))
      rule.deep = {}
      for _, field in ipairs { "header", "buttons" } do
        if rule.slots and rule.slots[field] then rule.deep[#rule.deep + 1] = field end
      end
    end
  end
  refuse_crowds(set.confirm)
  return set
end

return M
