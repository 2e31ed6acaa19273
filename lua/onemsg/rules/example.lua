--- `example` blocks: tests that a script carries, run whenever it is loaded. Pure.
local decide = require "onemsg.rules.decide"
local match = require "onemsg.rules.match"
local sandbox = require "onemsg.rules.sandbox"
local source = require "onemsg.rules.source"
local suggest = require "onemsg.base.suggest"
local text = require "onemsg.rules.text"
local duration = require "onemsg.base.duration"
local phones = require "onemsg.base.phone"
local complaint = require "onemsg.rules.complaint"
local cost = require "onemsg.rules.cost"

local M = {}

local format = string.format

local FIELDS = { event = true, expect = true }
local EXPECTED = { confirm = true, rule = true, reason = true, body = true, phone = true, bsuid = true, username = true,
  chat_id = true, country = true,
  name = true, action = true, next_step = true, template = true, language = true, namespace = true, channel = true,
  once_per = true, ttl = true, give_up_after = true, after = true, text = true }
local SECONDS = { ttl = true, give_up_after = true, after = true }

local function list_of(value) return type(value) == "table" and value or { value } end

local function said(list)
  local words = {}
  for at, value in ipairs(list) do
    cost.charge(1)
    words[at] = text.plain(type(value) == "table" and value.text or value) -- named variables: { name, text }
  end
  return #words > 0 and table.concat(words, ", ") or "nothing"
end

-- What a decision has under a name that `expect` uses.
local function got(decision, field)
  if decision[field] ~= nil then return decision[field] end
  return decision.values and decision.values[field]
end

local function same(field, expected, actual, country)
  if actual == nil then return false end
  if field == "phone" then
    local one, other = phones.address(expected, country), phones.address(actual, country)
    return (one or tostring(expected):gsub("%D", "")) == (other or tostring(actual):gsub("%D", ""))
  elseif field == "reason" then
    return type(expected) == "string" and actual:find(expected, 1, true) ~= nil
  elseif SECONDS[field] then
    return (expected == -1 and -1 or duration.seconds(expected)) == actual
  elseif type(expected) == "number" then
    return text.number(expected) == actual
  end
  return expected == actual
end

-- The names of the rules that must confirm; complains of anything else.
local function wanted_rules(confirm, fail)
  local list = list_of(confirm)
  for _, name in ipairs(list) do
    cost.charge(1)
    if type(name) ~= "string" then
      fail("confirm", format("expect: confirm has %s where a rule's name must stand", text.kind(name)))
    end
  end
  if #list == 0 then fail("confirm", "expect: confirm names no rule; when nothing may be sent write confirm = false") end
  return list
end

-- Which decision the example speaks of; complains when the verdict is another than expected.
local function chosen(decisions, expect, fail)
  local confirmed = {}
  for _, decision in ipairs(decisions) do
    if decision.confirm then confirmed[#confirmed + 1] = decision.rule end
  end
  local first = decisions[1]
  if expect.confirm == nil then return first end
  if expect.confirm == false then
    if #confirmed > 0 then
      fail("confirm", format("expected that nothing is sent, but %s confirms it", said(confirmed)))
    end
    return first
  elseif expect.confirm == true then
    if #confirmed == 0 then fail("confirm", "expected a confirmation, got: " .. first.reason) end
    return first
  end
  local wanted = wanted_rules(expect.confirm, fail)
  local fits = said(wanted) == said(confirmed)
  if type(expect.confirm) == "string" then -- one of several is enough when it is named alone
    for _, name in ipairs(confirmed) do fits = fits or name == expect.confirm end
  end
  if not fits then
    fail("confirm", format("expected confirm %s, got %s", said(wanted),
      #confirmed > 0 and said(confirmed) or first.reason))
  end
  for _, decision in ipairs(decisions) do
    if decision.rule == wanted[1] then return decision end
  end
end

local function run_one(set, declared, scan, names)
  complaint.judge(declared.line)
  local function fail(field, sentence)
    sandbox.complain(format("example %s: %s", text.plain(declared.name), sentence),
      source.line_of(scan, declared.line, field))
  end
  local fields = declared.fields
  for field in pairs(fields) do
    if not FIELDS[field] then
      fail(field, format("unknown field '%s'%s", tostring(field), suggest.phrase(field, FIELDS)))
    end
  end
  local event, expect = fields.event, fields.expect
  if type(event) ~= "table" or match.is_condition(event) then
    fail("event", "it needs event = { type = \"…\" }")
  end
  if type(expect) ~= "table" or match.is_condition(expect) or next(expect) == nil then
    fail("expect", "it needs expect = { confirm = \"a rule's name\" } or { confirm = false }")
  end
  local order = {}
  for field in pairs(expect) do
    cost.charge(1)
    order[#order + 1] = field
  end
  table.sort(order, function(a, b) return tostring(a) < tostring(b) end)
  for _, field in ipairs(order) do
    if not EXPECTED[field] and not names[field] then
      local known = {}
      for _, set_of in ipairs { EXPECTED, names } do
        for name in pairs(set_of) do known[name] = true end
      end
      fail(field, format("expect: unknown field '%s'%s", tostring(field), suggest.phrase(field, known)))
    end
  end

  local pool = cost.share(cost.EVENT, cost.EXAMPLES)
  local decisions = decide.decide(set, event, nil, pool)
  cost.settle(pool)
  cost.charge(#set.ordered)
  for _, one in ipairs(decisions) do
    if one.rule then set.shown[one.rule] = true end
  end
  local decision = chosen(decisions, expect, fail)
  for _, field in ipairs(order) do
    local expected, actual = expect[field], got(decision, field)
    if field == "body" then
      expected, actual = said(list_of(expected)), said(actual or {})
      if expected ~= actual then fail(field, format("expected body %s, got %s", expected, actual)) end
    elseif field ~= "confirm" and not same(field, expected, actual, decision.country) then
      local why = not decision.confirm and field ~= "reason" and " (" .. decision.reason .. ")" or ""
      fail(field, format("expected %s %s, got %s%s", field, text.plain(expected), text.plain(actual), why))
    end
  end
end

--- Runs every example; the first that fails complains through rules/sandbox.
-- @tparam table set prepared rules
-- @tparam table declared from rules/words
-- @tparam table scan from rules/source
function M.run(set, declared, scan)
  local names = {}
  for _, form in pairs(set.templates) do
    for _, name in ipairs(form.body) do names[name] = true end
  end
  set.shown = {} -- names of rules that an example shows at work
  for _, one in ipairs(declared.example) do run_one(set, one, scan, names) end
end

return M
