--- What a rules script says that is allowed, and perhaps not what was meant: for who edits it, before it goes live.
-- Reads what was declared and what became of it; asks the machine whether a zone is there. For onemsg.rules.
local match = require "onemsg.rules.match"
local phones = require "onemsg.base.phone"
local source = require "onemsg.rules.source"
local suggest = require "onemsg.base.suggest"
local text = require "onemsg.rules.text"
local zones = require "onemsg.base.zone"

local M = {}

local format, find = string.format, string.find

local MOST = 200     -- warnings of one script
local COMPARED = 300 -- rules that are held against each other

local Look = {}
Look.__index = Look

--- One more, at the line of a field of a declaration.
function Look:say(declared, field, sentence, ...)
  if #self.list >= MOST then return end
  local title = declared.name and declared.word .. " " .. text.plain(declared.name) or declared.word
  self.list[#self.list + 1] = { line = field and source.line_of(self.set.scan, declared.line, field) or declared.line,
    text = title .. ": " .. sentence:format(...) }
end

-- Texts -------------------------------------------------------------------------------------------------------------

local IS_ADDRESS = {}
for _, field in ipairs(phones.FIELDS) do IS_ADDRESS[field] = true end

-- Fields whose texts people read, beside the variables; in all others a text is a word of ours, of the platform, of a file.
local QUIET = { on = true, when = true, template = true, language = true, namespace = true, channel = true, header = true,
  buttons = true, give_up_after = true, after = true, ttl = true, consent = true, text = true, country = true, once_per = true,
  quiet = true, otherwise = true }
local OTHER_MARKS = { { "%[%[?([%a_][%w_]*%.?[%w_%.]*)%]", "[%s]" }, { "<([%a_][%w_]*%.?[%w_%.]*)>", "<%s>" },
  { "%%([%a_][%w_]*%.?[%w_%.]*)%%", "%%%s%%" }, { "%$([%a_][%w_]+%.?[%w_%.]*)", "$%s" } }

-- A text without fields that looks like the name of one.
local function is_name(value)
  return find(value, "^[%a_][%w_]*%.[%a_][%w_%.]*$") ~= nil and not find(value, "%.$")
    or find(value, "^%l+_%l[%l_]*$") ~= nil
end

function Look:text(declared, field, value)
  if not find(value, "[{}]") then
    if IS_ADDRESS[field] then
      return self:say(declared, field, '%s is %s for every event: everything would go there; write a field in braces, as in '
        .. '"{customer.phone}"', field, text.plain(value))
    elseif is_name(value) and not find(value, "^www%.") then
      return self:say(declared, field, "%s is the text %s itself, for every event: if a field is meant, write \"{%s}\"",
        field, text.plain(value), value)
    end
  end
  for _, mark in ipairs(OTHER_MARKS) do
    local name = value:match(mark[1])
    if name then
      return self:say(declared, field, "%s has " .. mark[2] .. " in it, which is sent as it stands: a field is written {%s}",
        field, name, name)
    end
  end
  if find(value, "%%[sd]") then
    return self:say(declared, field, "%s has %%s in it, which is sent as it stands: a field is written {customer.name}", field)
  end
  local default = value:match("{[^{}|]*|(%s[^{}]*)}")
  if default then
    self:say(declared, field, "in %s what stands behind | begins with a blank, which is sent as well: write |%s", field,
      text.name(default:match("^%s*(%S?[^%s]*)")))
  end
end

-- Every text of a declaration, and every field that one names.
function Look:texts(declared, field, value, depth)
  if type(value) == "string" then
    if not QUIET[field] then self:text(declared, field, value) end
    for name in value:gsub("[\1\2]", { ["\1"] = "{", ["\2"] = "}" }):gmatch("{([%a_][%w_%-%.]*)[^{}]*}") do
      self:named(declared, field, name)
    end
  elseif type(value) == "table" and not match.is_condition(value) and field ~= "on" and field ~= "when" and depth < 8 then
    for key, inner in pairs(value) do
      self:texts(declared, field == "otherwise" and key == "text" and "said" or field, inner, depth + 1)
    end
  end
end

--- A field of events is named here.
function Look:named(declared, field, path)
  local known = self.paths[path]
  if known then known.n = known.n + 1 else self.paths[path] = { n = 1, declared = declared, field = field } end
end

-- Is one name the other with a letter more, less, another, or two that changed places?
local function is_slip(one, other)
  local first, last = 0, 0
  while first < #one and one:byte(first + 1) == other:byte(first + 1) do first = first + 1 end
  while last < math.min(#one, #other) - first and one:byte(#one - last) == other:byte(#other - last) do last = last + 1 end
  local a, b = one:sub(first + 1, #one - last), other:sub(first + 1, #other - last)
  return #a <= 1 and #b <= 1 or #a == 2 and a == b:reverse()
end

-- Names that stand once, no example's event has, and that are nearly another one.
function Look:mistyped()
  local names = {}
  for path in pairs(self.paths) do names[#names + 1] = path end
  table.sort(names)
  if #names > 2000 then return end
  for _, path in ipairs(names) do
    local one = self.paths[path]
    if one.n == 1 and not self.seen[path] and one.declared then
      local others = {}
      for _, other in ipairs(names) do
        if other ~= path and not find(other, "%d") and (self.seen[other] or self.paths[other].n > 1) then others[other] = true end
      end
      for other in pairs(self.seen) do
        if other ~= path then others[other] = true end
      end
      local near = suggest.nearest(path, others)
      if near and is_slip(path, near) then
        self:say(one.declared, one.field, "the field %s stands only here, and no example has it: did you mean %s?",
          text.name(path), text.name(near))
      end
    end
  end
end

-- Conditions --------------------------------------------------------------------------------------------------------

local function odd(value)
  if find(value, "^%s") or find(value, "%s$") or find(value, "\194\160") or find(value, "\226\128[\139-\143\168-\175]") then
    return "has a blank at an end, or an invisible sign: only such a text meets it"
  elseif value == "" or value == "null" or value == "nil" then
    return "is met by that text only: for a field that is not there write missing"
  elseif value == "true" or value == "false" then
    return format("is a text: for JSON's %s write it without quotes", value)
  elseif find(value, "^[<>=!]=?%s*%-?[%d]") then
    return "is compared as it stands: write over(100), under(100) or between(1, 10)"
  elseif find(value, "^%-?%d+[%.,]?%d*$") and not find(value, "^0%d") then
    return "is a text, which no number equals: where events have numbers, write it without quotes"
      .. (find(value, ",") and " and with a point" or "")
  elseif find(value, "^%*") or find(value, "%*$") then
    return "is compared as it stands, with its *: write starts_with or ends_with"
  elseif find(value, "{[%w_%.]+}") then
    return "is compared as it stands, with its braces: a condition can't look into another field, a function can"
  end
end

function Look:conditions(declared, when)
  if type(when) ~= "table" or match.is_condition(when) then return end
  for path in pairs(when) do self:named(declared, path, path) end
  for _, rule in ipairs(self.rules) do
    if rule.name == declared.name and rule.word == declared.word then
      for _, one in ipairs(rule.when or {}) do
        for _, value in ipairs(one.meant and one.meant.values or {}) do
          local wrong = type(value) == "string" and odd(value)
          if wrong then self:say(declared, one.path, "%s = %s %s", one.path, text.plain(value), wrong) end
        end
      end
    end
  end
end

-- Rules against each other --------------------------------------------------------------------------------------------

-- Is every event type of one rule one of the other's?
local function covers_types(wide, narrow)
  if not wide then return true end
  if not narrow then
    for _, prefix in ipairs(wide.prefixes) do
      if prefix == "" then return true end
    end
    return false
  end
  local function has(name, exact)
    if exact and wide.exact[name] then return true end
    for _, prefix in ipairs(wide.prefixes) do
      if name:sub(1, #prefix) == prefix then return true end
    end
    return false
  end
  for name in pairs(narrow.exact) do
    if not has(name, true) then return false end
  end
  for _, prefix in ipairs(narrow.prefixes) do
    if not has(prefix) then return false end
  end
  return true
end

function Look:shadows()
  local set = self.set
  local count = math.min(#set.confirm, COMPARED)
  for at = 1, count do
    local rule, hidden = set.confirm[at], nil
    for _, never in ipairs(set.never) do
      if not hidden and covers_types(never.on, rule.on) and match.covers(never.when, rule.when) then hidden = never end
    end
    for before = 1, at - 1 do
      local other = set.confirm[before]
      if not hidden and not other.also and covers_types(other.on, rule.on) and match.covers(other.when, rule.when) then
        hidden = other
      end
    end
    if hidden then
      self:say(rule, nil, "it can never decide: %s %s in line %d takes every event that it is for; %s", hidden.word,
        hidden.quoted, hidden.line, hidden.word == "never" and "narrow that one"
          or "move this one above it, or write also = true there")
    elseif not set.shown[rule.name] then
      self:say(rule, nil, "no example shows it at work: add example \"…\" { event = { … }, expect = { confirm = %s } }",
        rule.quoted)
    end
  end
end

-- Event types -------------------------------------------------------------------------------------------------------

function Look:types()
  local uses, of_examples = {}, {}
  for _, one in ipairs(self.set.declared.example) do
    local kind = one.fields.event.type
    if type(kind) == "string" then of_examples[kind] = one end
  end
  for _, rule in ipairs(self.rules) do
    for _, name in ipairs(rule.on and rule.on.said or {}) do
      uses[name] = (uses[name] or 0) + 1
      if find(name, "[,;|]") then
        self:say(rule, "on", 'on has %s, which is one event type with such a sign in it: several are written { "a", "b" }',
          text.plain(name))
      end
    end
  end
  for _, rule in ipairs(self.rules) do
    for name in pairs(rule.on and rule.on.exact or {}) do
      local near = not of_examples[name] and uses[name] == 1 and suggest.nearest(name, of_examples)
      if near and is_slip(name, near) then
        self:say(rule, "on", "on has %s, which no example has: did you mean %s?", text.plain(name), text.plain(near))
      end
    end
  end
end

-- Durations, zones, templates ---------------------------------------------------------------------------------------

local function written(seconds)
  for _, unit in ipairs { { 86400, "d" }, { 3600, "h" }, { 60, "m" } } do
    if seconds % unit[1] == 0 and seconds >= unit[1] then return format("%d%s", seconds / unit[1], unit[2]) end
  end
  return format("%gs", seconds)
end

function Look:times(declared, fields)
  local otherwise, quiet = fields.otherwise, fields.quiet
  for _, one in ipairs { { "give_up_after", fields.give_up_after }, { "after", fields.after },
                         { "after", type(otherwise) == "table" and otherwise.after or nil } } do
    local value = one[2]
    if type(value) == "number" then
      self:say(declared, one[1], '%s is %g seconds: write "%s", or the unit that is meant, such as "%gm" or "%gh"', one[1],
        value, written(value), value, value)
    end
  end
  if type(quiet) ~= "table" then return end
  local from, to = text.clock(quiet.from), text.clock(quiet.to)
  if from and to and (to - from) % 86400 > 14 * 3600 then
    self:say(declared, "quiet", "quiet hours from %s to %s are most of the day: from is when they begin, in the evening",
      quiet.from, quiet.to)
  end
  local zone = type(quiet.zone) == "string" and (quiet.zone:match("^{[^|]*|(.*)}$") or not find(quiet.zone, "{") and quiet.zone)
  if zone then
    local found, why = zones.find(zone)
    if not found then self:say(declared, "zone", "quiet: the zone %s is not known here: %s", text.plain(zone), why) end
  end
end

function Look:templates()
  local used = {}
  for _, rule in ipairs(self.set.confirm) do used[rule.template or ""] = true end
  for _, one in ipairs(self.set.declared.template) do
    if not used[one.name] then self:say(one, nil, "no confirm uses it") end
  end
end

-- All paths of an example's event.
local function paths_of(value, path, seen, depth)
  if type(value) ~= "table" or depth > 16 then return end
  for key, inner in pairs(value) do
    local name = path and path .. "." .. tostring(key) or tostring(key)
    seen[name] = true
    paths_of(inner, name, seen, depth + 1)
  end
end

--- @tparam table set prepared rules, with declared, scan and shown
-- @treturn table list of { line, text }
function M.of(set)
  local look = setmetatable({ set = set, list = {}, paths = {}, seen = {}, rules = set.ordered }, Look)
  local declared = set.declared
  for _, one in ipairs(declared.example) do paths_of(one.fields.event, nil, look.seen, 1) end
  local all = { declared.defaults }
  for _, word in ipairs { "template", "never", "confirm" } do
    for _, one in ipairs(declared[word]) do all[#all + 1] = one end
  end
  for _, one in ipairs(all) do
    look:times(one, one.fields)
    look:conditions(one, one.fields.when)
    local names = suggest.words(one.fields)
    for _, field in ipairs(names) do
      if field ~= "body" and field ~= "languages" then look:texts(one, field, one.fields[field], 1) end
    end
    local consent = one.fields.consent
    if type(consent) == "string" then look:named(one, "consent", (consent:gsub("[{}%s]", ""))) end
  end
  look:mistyped()
  look:shadows()
  look:types()
  look:templates()
  table.sort(look.list, function(a, b)
    if a.line ~= b.line then return a.line < b.line end
    return a.text < b.text
  end)
  return look.list
end

return M
