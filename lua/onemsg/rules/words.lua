--- What a rules script sees: its words, and the collecting of what it declares.
--
-- A declaration is two calls, `confirm "Name"` and `{ … }`; the first notes the line. Nothing is judged here but the
-- form; rules/check judges the content when the whole script has been read. Pure.
local library = require "onemsg.rules.library"
local match = require "onemsg.rules.match"
local phrase = require "onemsg.rules.phrase"
local sandbox = require "onemsg.rules.sandbox"
local suggest = require "onemsg.base.suggest"
local text = require "onemsg.rules.text"
local cost = require "onemsg.rules.cost"
local utf8 = require "onemsg.base.utf8"

local M = {}

local format = string.format
local complain, line_here = sandbox.complain, sandbox.line_here

M.MAX_DECLARED = 1000 -- of each kind
local MAX_KNOWN = 1000 -- words that a mistyped one is compared with

local SAMPLE = {
  template = 'template "action_success" { body = { "name", "action", "next_step" } }',
  never = 'never "Staff" { when = { … } }',
  confirm = 'confirm "Subscription payment" { on = "payment.succeeded", … }',
  example = 'example "Maria pays" { event = { … }, expect = { … } }',
}

-- Parts of Lua that people try and that rules do not have.
local ABSENT = {}
for word in ([[_G _VERSION bit bit32 collectgarbage coroutine debug dofile ffi getfenv getmetatable io jit load loadfile
  loadstring module newproxy next ngx os package pcall print rawequal rawget rawlen rawset require select
  setfenv setmetatable unpack utf8 xpcall]]):gmatch("[%w_]+") do
  ABSENT[word] = true
end

-- Words of other languages, and what is written here.
local ABROAD = { True = "true", TRUE = "true", yes = "true", Yes = "true", False = "false", FALSE = "false", no = "false",
  None = "missing", null = "missing", NULL = "missing", Null = "missing", undefined = "missing", empty = "missing",
  AND = "a comma", OR = "one_of(…)", contains = "a function", more_than = "over(…)", greater = "over(…)", less = "under(…)",
  any_of = "one_of(…)" }

-- A word that takes a name and then a table.
local function named(word, list, state)
  local taken = {} -- name = line
  return function(name)
    local line = line_here()
    if state.frozen then complain(format("'%s' cannot be used inside a function", word), line) end
    if type(name) ~= "string" or not name:find("%S") or #name > 100 or not utf8.valid(name) then
      complain(format("'%s' needs a name first: %s", word, SAMPLE[word]), line)
    end
    if #list >= M.MAX_DECLARED then
      complain(format("there are more than %d '%s' in this script", M.MAX_DECLARED, word), line)
    end
    if taken[name] then
      complain(format("%s %s stands already in line %d", word, text.plain(name), taken[name]), line)
    end
    local declared = { word = word, name = name, line = line }
    list[#list + 1], taken[name] = declared, line
    return function(fields)
      if type(fields) ~= "table" or match.is_condition(fields) then
        complain(format("%s %s needs { … } behind its name", word, text.plain(name)), line)
      end
      if declared.fields then
        complain(format("%s %s has two { … }", word, text.plain(name)), line_here())
      end
      declared.fields = fields
    end
  end
end

--- The environment of one script.
-- @treturn table `globals` and `strings` for rules/sandbox; `declared`: lists template, never, confirm, example and the
--   defaults; `freeze()`, to be called when the script has run
function M.new()
  local state = { frozen = false }
  local declared = { template = {}, never = {}, confirm = {}, example = {} }
  local words, strings = library.new()
  for name, value in pairs(match.words) do words[name] = value end
  for name, value in pairs(phrase.new(function() return state.frozen end)) do words[name] = value end
  for word in pairs(SAMPLE) do words[word] = named(word, declared[word], state) end
  function words.defaults(fields)
    local line = line_here()
    if state.frozen then complain("'defaults' cannot be used inside a function", line) end
    if type(fields) ~= "table" or match.is_condition(fields) then
      complain('\'defaults\' needs { … }: defaults { phone = "{customer.phone}" }', line)
    end
    if declared.defaults then
      complain(format("'defaults' stands already in line %d", declared.defaults.line), line)
    end
    declared.defaults = { word = "defaults", line = line, fields = fields }
  end

  local own, named_here = {}, 0 -- what the script names itself, and how many
  local unknown = {} -- sentences for words that are none: a function may meet one at every event
  local globals = setmetatable({}, {
    __index = function(_, name)
      local value = words[name]
      if value == nil then value = own[name] end
      if value ~= nil then return value end
      local line = line_here()
      if ABSENT[name] then
        complain(format("'%s' is not available in rules: a rules script only declares", name), line)
      end
      if not unknown[name] then
        local known = {}
        for word in pairs(words) do known[word] = true end
        if named_here < MAX_KNOWN then
          for word in pairs(own) do known[word] = true end
        end
        unknown[name] = format("unknown word '%s'%s", name, ABROAD[name] and ": write " .. ABROAD[name]
          or suggest.phrase(name, known))
      end
      return complain(unknown[name], line)
    end,
    __newindex = function(_, name, value)
      if type(name) ~= "string" or words[name] ~= nil then
        complain(format("'%s' is a word of the rules and cannot be changed", tostring(name)), line_here())
      elseif state.frozen then
        complain(format("a function cannot set '%s': rules keep nothing from event to event", name), line_here())
      end
      if own[name] == nil and value ~= nil then named_here = named_here + 1 end
      cost.put(own, name, value)
    end,
    __metatable = false,
  })
  return {
    globals = globals, strings = strings, declared = declared, own = own,
    freeze = function() state.frozen = true end,
  }
end

--- The first declaration that lacks its { … }, or nil.
function M.unfinished(declared)
  for _, word in ipairs { "template", "never", "confirm", "example" } do
    for _, one in ipairs(declared[word]) do
      if not one.fields then return one end
    end
  end
end

return M
