--- Judges what a script declared and makes it ready: unknown fields, wrong types, missing variables, patterns.
--
-- A mistake ends the check through sandbox.complain with a sentence and the line of the field. Pure.
local languages = require "onemsg.base.language"
local match = require "onemsg.rules.match"
local once = require "onemsg.rules.once"
local sandbox = require "onemsg.rules.sandbox"
local source = require "onemsg.rules.source"
local suggest = require "onemsg.base.suggest"
local text = require "onemsg.rules.text"
local duration = require "onemsg.base.duration"
local complaint = require "onemsg.rules.complaint"
local cost = require "onemsg.rules.cost"
local utf8 = require "onemsg.base.utf8"
local zones = require "onemsg.base.zone"

local M = {}

local format, find = string.format, string.find

-- What a confirm may hold beside the variables of its template. true: defaults may hold it too.
local FIELDS = {
  on = false, when = false, also = false,
  phone = true, bsuid = true, username = true, chat_id = true, country = true,
  name = true, action = true, next_step = true, template = true, language = true,
  namespace = true, channel = true, header = true, buttons = true, consent = true, once_per = true,
  otherwise = true, quiet = true, ttl = true, give_up_after = true, after = true, text = true, test = true,
}
local TEMPLATE_FIELDS = { language = true, languages = true, namespace = true, body = true, header = true,
  buttons = true, ttl = true, text = true, allow_marketing = true }
local NEVER_FIELDS = { on = true, when = true }
local OTHERWISE_FIELDS = { after = true, send = true, text = true, on_unknown = true, quiet = true }
local QUIET_FIELDS = { from = true, to = true, zone = true }
local MODES = { clean = true, strict = true, raw = true }
local STANDARD = { "name", "action", "next_step" }
local IS_STANDARD = { name = true, action = true, next_step = true }
local MAX_DEEP = 6 -- levels of a header or a list of buttons
local MAX_DEEP_VALUES = 500 -- values in one
local MAX_NAMES = 100 -- variables of a template, event types of a rule
local MAX_COMPARED = 100000 -- values that all conditions compare with: an event may meet them all
local LONGEST = 2592000 -- seconds: 30 days, as long as WhatsApp keeps a message (PLATFORM.md 1.4)

-- Fields in the order of the alphabet: the same script always gives the same sentence first.
local function rising(fields)
  local names, at = {}, 0
  for field in pairs(fields) do
    cost.charge(4)
    names[#names + 1] = field
  end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  return function()
    at = at + 1
    return names[at], fields[names[at]]
  end
end

-- The things under judgement: one declaration and how to blame its fields.
local Case = {}
Case.__index = Case

function Case:title()
  return self.declared.name and self.declared.word .. " " .. text.plain(self.declared.name) or self.declared.word
end

function Case:fail(field, sentence)
  sandbox.complain(format("%s: %s", self:title(), sentence),
    source.line_of(self.scan, self.declared.line, field))
end

-- Refuses fields that are not known, with the nearest that is.
function Case:known(fields, known, where)
  for field in rising(fields) do
    if type(field) ~= "string" then
      self:fail(nil, format("%sa value stands without a field name: write field = value", where or ""))
    elseif not known[field] then
      self:fail(field, format("%sunknown field '%s'%s", where or "", field, suggest.phrase(field, known)))
    end
  end
end

function Case:want(field, value, kind, sample)
  if type(value) ~= kind then
    self:fail(field, format("%s must be %s, as in %s; it is %s", field, text.kind(kind == "string" and "" or
      kind == "table" and {} or kind == "boolean" and true), sample, text.kind(value)))
  end
  return value
end

-- A text with fields, a number, or a function that gives a text: a string, a filler, or { call = function }.
function Case:slot(field, value)
  if type(value) == "function" then return { call = value } end
  if match.is_condition(value) or type(value) ~= "string" and type(value) ~= "number" then
    self:fail(field, format("%s must be a text, a number or a function, not %s", field,
      match.is_condition(value) and "a condition" or text.kind(value)))
  end
  local ready, problem = text.compile(value)
  if not ready then self:fail(field, format("%s: %s", field, problem)) end
  if type(ready) == "string" and not find(ready, "%S") then
    self:fail(field, format("%s is empty", field))
  end
  return ready
end

-- A header or buttons: texts with fields at any depth, everything else as it stands.
function Case:deep(field, value, depth)
  local kind = type(value)
  self.values = depth and self.values + 1 or 1
  if self.values > MAX_DEEP_VALUES then
    self:fail(field, format("%s holds more than %d values", field, MAX_DEEP_VALUES))
  end
  if kind == "table" and not match.is_condition(value) then
    if (depth or 1) > MAX_DEEP then self:fail(field, field .. " is nested too deep") end
    local copy = {}
    for key, inner in pairs(value) do copy[key] = self:deep(field, inner, (depth or 1) + 1) end
    return { fields = copy }
  elseif kind == "boolean" then
    return { constant = value }
  elseif kind == "number" and depth then
    return { constant = value }
  end
  return self:slot(field, value)
end

function Case:duration(field, value, sample)
  local seconds = duration.seconds(value)
  if not seconds then
    self:fail(field, format("%s is %s: write seconds, or a text such as %s", field, text.plain(value),
      sample or '"30s", "10m", "6h", "2d"'))
  elseif seconds < 1 or seconds > LONGEST then
    self:fail(field, format("%s is %s: it must be from 1s to 30d%s", field, text.plain(value),
      seconds < 1 and "; for what holds without it, leave it away" or ""))
  end
  return seconds
end

function Case:ttl(value)
  local seconds = value == -1 and -1 or self:duration("ttl", value)
  -- PLATFORM.md 1.4: 30 s is the least of any category, 30 days the most, -1 stands for 30 days
  if seconds ~= -1 and (seconds < 30 or seconds % 1 ~= 0) then
    self:fail("ttl", "ttl must be whole seconds from 30s to 30d, or -1")
  end
  return seconds
end

function Case:language(value)
  local slot = self:slot("language", value)
  local code = type(slot) ~= "string" and slot or languages.code(slot)
  if not code then
    self:fail("language", format("language is %s: write a code such as \"en\" or \"pt_BR\"", text.plain(slot)))
  end
  return code
end

-- The languages that a template exists in: a set, and the list of them.
function Case:languages(value)
  local set, list = {}, {}
  for at, one in ipairs(self:want("languages", value, "table", '{ "en", "pt_BR" }')) do
    local code = at <= MAX_NAMES and languages.code(one)
    if not code then
      self:fail("languages", format("languages has %s: write codes such as \"en\" and \"pt_BR\", %d at most",
        text.plain(one), MAX_NAMES))
    end
    set[code], list[at] = true, code
  end
  if #list == 0 then self:fail("languages", 'languages is empty: write { "en", "pt_BR" }') end
  return { set = set, list = list }
end

function Case:country(value)
  local slot = self:slot("country", value)
  if type(slot) == "string" and not find(slot, "^%a%a$") and not find(slot, "^[1-9]%d?%d?$") then
    self:fail("country", format("country is %s: write an ISO code such as \"BR\", or a calling code such as \"55\"",
      text.plain(slot)))
  end
  return slot
end

function Case:mode(value)
  if not MODES[value] then
    self:fail("text", format('text is %s: write "clean", "strict" or "raw"', text.plain(value)))
  end
  return value
end

function Case:on(value)
  local list = type(value) == "table" and not match.is_condition(value) and value or { value }
  local on = { exact = {}, prefixes = {}, said = {} }
  for at, name in ipairs(list) do
    if at > MAX_NAMES then self:fail("on", format("on has more than %d event types", MAX_NAMES)) end
    if type(name) ~= "string" or not find(name, "^[^%c%*]*%*?$") or not find(name, "%S") then
      self:fail("on", format('on has %s: write an event type such as "payment.succeeded", "payment.*", or "*"',
        text.plain(name)))
    end
    if name ~= utf8.trim(name) or find(name, "\194\160") or find(name, "\226\128[\139-\143\168-\175]") then
      self:fail("on", format("on has %s, with a blank or an invisible sign that no event type has: type it anew",
        text.plain(name)))
    end
    if name == "*" then
      on.prefixes[#on.prefixes + 1] = ""
    elseif name:sub(-2) == ".*" then
      on.prefixes[#on.prefixes + 1] = name:sub(1, -2)
    elseif name:sub(-1) == "*" then
      self:fail("on", format("on has %s: '*' stands alone or behind a dot, as in \"payment.*\"", text.plain(name)))
    else
      on.exact[name] = true
    end
    on.said[#on.said + 1] = name
  end
  if #on.said == 0 then self:fail("on", "on is empty: write an event type") end
  return on
end

function Case:when(value)
  local conditions, problem, field = match.compile(value)
  if not conditions then self:fail(field or "when", field and "when: " .. problem or problem) end
  for _, one in ipairs(conditions) do self.made.compared = self.made.compared + (one.price or 1) end
  if self.made.compared > MAX_COMPARED then
    self:fail("when", format("the conditions of this script compare with more than %d values", MAX_COMPARED))
  end
  return conditions
end

function Case:consent(value)
  if type(value) == "function" then return { call = value } end
  local path = type(value) == "string" and (value:match("^{%s*(.-)%s*}$") or value) or value
  local get, problem = text.path(path)
  if not get then
    self:fail("consent", "consent must be a field that is true, as in \"customer.whatsapp_ok\", or a function: "
      .. problem)
  end
  return { path = path, get = get }
end

function Case:otherwise(value)
  self:want("otherwise", value, "table", '{ after = "10m", send = "sms", text = "…" }')
  self:known(value, OTHERWISE_FIELDS, "otherwise: ")
  if value.send == nil then
    self:fail("otherwise", "otherwise needs send, the name of another way to reach a person")
  end
  self:want("send", value.send, "string", '"sms"')
  if not find(value.send, "^[%w_%-]+$") then
    self:fail("send", format("send is %s: write a plain name such as \"sms\"", text.plain(value.send)))
  end
  for _, field in ipairs { "on_unknown", "quiet" } do
    if value[field] ~= nil then self:want(field, value[field], "boolean", "false") end
  end
  return {
    after = value.after ~= nil and self:duration("after", value.after) or nil,
    send = value.send,
    text = value.text ~= nil and self:slot("text", value.text) or nil,
    on_unknown = value.on_unknown or false, quiet = value.quiet,
  }
end

function Case:quiet(value)
  self:want("quiet", value, "table", '{ from = "21:00", to = "08:00", zone = "America/Sao_Paulo" }')
  self:known(value, QUIET_FIELDS, "quiet: ")
  local quiet = {}
  for _, field in ipairs { "from", "to" } do
    quiet[field] = text.clock(value[field])
    if not quiet[field] then
      self:fail(field, format('quiet: %s is %s: write a time of day such as "21:00"', field, text.plain(value[field])))
    end
  end
  if quiet.from == quiet.to then self:fail("from", "quiet: from and to are the same time") end
  if value.zone == nil then
    self:fail("quiet", 'quiet needs zone, such as "America/Sao_Paulo" or "{customer.zone|UTC}"')
  end
  quiet.zone = self:slot("zone", value.zone)
  if type(quiet.zone) == "string" and not zones.is_name(quiet.zone) then
    self:fail("zone", format('zone is %s: write a name such as "America/Sao_Paulo"', text.plain(quiet.zone)))
  end
  return quiet
end

-- Field by field: how a value is made ready. Everything else is a slot.
local READY = {
  when = Case.when, on = Case.on, consent = Case.consent, otherwise = Case.otherwise, quiet = Case.quiet,
  once_per = once.read, ttl = Case.ttl, text = Case.mode, language = Case.language, languages = Case.languages,
  country = Case.country,
  give_up_after = function(self, value) return self:duration("give_up_after", value) end,
  after = function(self, value) return self:duration("after", value) end,
  header = function(self, value) return self:deep("header", value) end,
  buttons = function(self, value) return self:deep("buttons", self:want("buttons", value, "table", "{ … }")) end,
  allow_marketing = function(self, value) return self:want("allow_marketing", value, "boolean", "true") end,
  test = function(self, value) return self:want("test", value, "boolean", "true") end,
  also = function(self, value) return self:want("also", value, "boolean", "true") end,
  template = function(self, value) return self:want("template", value, "string", '"action_success"') end,
}
-- These a rule may switch off with false when the defaults have them.
local OPTIONAL = { consent = true, country = true, after = true,
  once_per = true, otherwise = true, quiet = true, header = true, buttons = true }

function Case:ready(field, value)
  if value == false and OPTIONAL[field] then return false end
  local make = READY[field]
  if make then return make(self, value) end
  return self:slot(field, value)
end

local function template(case, fields)
  case:known(fields, TEMPLATE_FIELDS)
  local made = { name = case.declared.name, line = case.declared.line, body = {} }
  local names = case:want("body", fields.body == nil and STANDARD or fields.body, "table",
    '{ "name", "action", "next_step" }')
  if names.named ~= nil then
    case:known(names, { named = true }, "body: ")
    made.named = true
    names = case:want("named", names.named, "table", '{ "first_name", "order_id" }')
  end
  local seen = {}
  for at, name in ipairs(names) do
    if at > MAX_NAMES then case:fail("body", format("body has more than %d names", MAX_NAMES)) end
    if type(name) ~= "string" or not find(name, "^[%a_][%w_]*$") then
      case:fail("body", format("body has %s: write names of letters, digits and _", text.plain(name)))
    elseif FIELDS[name] ~= nil and not IS_STANDARD[name] then
      case:fail("body", format("a variable cannot be called '%s', that is a field of confirm", name))
    elseif seen[name] then
      case:fail("body", format("body has %s twice", text.plain(name)))
    end
    made.body[at], seen[name] = name, true
  end
  for field, value in rising(fields) do
    if field ~= "body" then made[field] = case:ready(field, value) end
  end
  if made.languages and type(made.language) == "string" then made.languages.set[made.language] = true end
  return made
end

-- The template that a rule uses, from its own word or the only one there is.
local function template_of(case, name, made)
  if name == nil then
    if made.only then return made.only end
    if not next(made.templates) then return { body = STANDARD } end
    case:fail(nil, "there are several templates: say which, with template = \"…\"")
  end
  if not made.templates[name] then
    case:fail("template", format("template %s is not defined%s", text.plain(name),
      suggest.phrase(name, made.templates)))
  end
  return made.templates[name]
end

local INHERITED = { "language", "namespace", "header", "buttons", "ttl", "text" }

-- The variables to fill: those of the template, and what the rule itself gives beside them for otherwise's text.
local function variables(case, form, slots, given)
  local names, in_body = {}, {}
  for _, name in ipairs(form.body) do
    in_body[name] = true
    if slots[name] == nil then
      case:fail(nil, format("it has no %s, which %s needs: write %s = \"…\" here or in defaults", name,
        form.name and "template " .. text.plain(form.name) or "the message", name))
    end
    names[#names + 1] = name
  end
  for _, name in ipairs(STANDARD) do
    if given[name] ~= nil and not in_body[name] then names[#names + 1] = name end
  end
  return names
end

-- A rule: what is its own, and in `slots` everything that a confirmation takes from it, by field.
local function confirm(case, fields, made)
  local known = {}
  for field in pairs(FIELDS) do known[field] = true end
  local named = made.templates[fields.template] or made.templates[made.defaults.template] or made.only
  for _, name in ipairs(named and named.body or {}) do known[name] = true end
  case:known(fields, known)
  if fields.on == nil and fields.when == nil then
    case:fail(nil, 'it says neither on nor when; for every event write on = "*"')
  end
  local slots = {}
  for field, value in rising(fields) do slots[field] = case:ready(field, value) end
  for field, value in pairs(made.defaults) do
    if slots[field] == nil then slots[field] = value end
  end
  local key = slots.once_per or nil
  slots.once_per = key and key.slot
  local form = template_of(case, slots.template, made)
  for _, field in ipairs(INHERITED) do
    if slots[field] == nil then slots[field] = form[field] end
  end
  local spoken = slots.language
  if form.languages and type(spoken) == "string" and not form.languages.set[spoken] then
    case:fail("language", format("template %s has no language %s; its languages are %s", text.plain(form.name),
      text.plain(spoken), table.concat(form.languages.list, ", ")))
  end
  return {
    word = "confirm", name = case.declared.name, line = case.declared.line,
    on = slots.on, when = slots.when, also = slots.also, once = key, template = form.name, body = form.body,
    named = form.named, languages = form.languages,
    language = type(form.language) == "string" and form.language or nil,
    variables = variables(case, form, slots, fields), slots = slots,
  }
end

local function never(case, fields)
  case:known(fields, NEVER_FIELDS)
  if fields.on == nil and fields.when == nil then
    case:fail(nil, "it says neither on nor when and would stop every message")
  end
  local rule = { word = "never", name = case.declared.name, line = case.declared.line }
  for field, value in rising(fields) do rule[field] = case:ready(field, value) end -- on and when: no clash
  return rule
end

--- Makes a script's declarations ready.
-- @tparam table declared from rules/words
-- @tparam table scan from rules/source
-- @treturn table `templates` by name, `never` and `confirm`: lists of rules
-- @raise a complaint of rules/sandbox
function M.check(declared, scan)
  local made = { templates = {}, defaults = {}, never = {}, confirm = {}, compared = 0 }
  local function case_of(one)
    complaint.judge(one.line)
    return setmetatable({ declared = one, scan = scan, made = made }, Case)
  end
  for _, one in ipairs(declared.template) do
    made.templates[one.name] = template(case_of(one), one.fields)
    made.only = #declared.template == 1 and made.templates[one.name] or nil
  end
  if declared.defaults then
    local case, known = case_of(declared.defaults), {}
    for field, allowed in pairs(FIELDS) do known[field] = allowed or nil end
    for _, form in pairs(made.templates) do
      for _, name in ipairs(form.body) do known[name] = true end
    end
    local fields = declared.defaults.fields
    for _, field in ipairs { "on", "when", "also" } do
      if fields[field] ~= nil then case:fail(field, format("'%s' belongs into each confirm", field)) end
    end
    case:known(fields, known)
    for field, value in rising(fields) do made.defaults[field] = case:ready(field, value) end
    if made.defaults.template then template_of(case, made.defaults.template, made) end
  end
  for _, one in ipairs(declared.never) do made.never[#made.never + 1] = never(case_of(one), one.fields) end
  for _, one in ipairs(declared.confirm) do
    made.confirm[#made.confirm + 1] = confirm(case_of(one), one.fields, made)
  end
  return made
end

return M
