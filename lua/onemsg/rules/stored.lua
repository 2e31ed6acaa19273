--- A rules script held against what has really come: the events of a store, and what the platform says of the templates. For
-- `onemsg rules check --store`, with what onemsg.rules.warn says without a store.
local fit = require "onemsg.template.fit"
local suggest = require "onemsg.base.suggest"
local text = require "onemsg.rules.text"

local M = {}

local PATHS = 20000 -- different fields of all events that are remembered
local DEPTH = 16

local function paths_of(value, path, seen, depth)
  if type(value) ~= "table" or depth > DEPTH then return end
  for key, inner in pairs(value) do
    local name = path and path .. "." .. tostring(key) or tostring(key)
    if not seen.paths[name] and seen.n < PATHS then seen.paths[name], seen.n = true, seen.n + 1 end
    paths_of(inner, name, seen, depth + 1)
  end
end

--- Begins to look at events.
-- @treturn table for see() and of()
function M.new() return { paths = {}, n = 0, types = {}, of_type = {}, events = 0 } end

--- One stored event, as the rules see it.
function M.see(seen, event)
  seen.events = seen.events + 1
  local kind = tostring(event.type)
  seen.types[kind] = (seen.types[kind] or 0) + 1
  paths_of(event, nil, seen, 1)
end

local function nearest(name, known)
  local near = suggest.nearest(name, known)
  return near and ("; did you mean %s?"):format(text.plain(near)) or ""
end

local function types(set, seen, say)
  local named = {}
  for _, list in ipairs { set.set.never, set.set.confirm } do
    for _, rule in ipairs(list) do
      local missing = {}
      for name in pairs(rule.on and rule.on.exact or {}) do
        named[name] = true
        if not seen.types[name] then missing[#missing + 1] = name end
      end
      table.sort(missing)
      for _, name in ipairs(missing) do
        say(rule.line, "%s: no event of type %s has come%s", rule.quoted or text.plain(rule.name), text.plain(name),
          nearest(name, seen.types))
      end
    end
  end
  for _, name in ipairs(suggest.words(seen.types)) do
    if not set:confirms(name) then
      say(1, "%d events of type %s came, and no rule is for them%s", seen.types[name], text.plain(name), nearest(name, named))
    end
  end
end

--- Fields that the rules name and no event had. What `resolve` found stands under resolved where it was stored.
local function fields(set, seen, say)
  if seen.events == 0 or seen.n >= PATHS then return end
  local named = set:named()
  for _, path in ipairs(suggest.words(named)) do
    if not seen.paths[path] and not path:find "^resolved%." then
      say(named[path].line, "no event that came has the field %s%s", text.name(path), nearest(path, seen.paths))
    end
  end
end

--- How long WhatsApp tries, against what the template's category allows.
local function times(set, known, say)
  local category = {}
  for _, one in ipairs(known) do category[one.name] = one.category or category[one.name] end
  for _, rule in ipairs(set.set.confirm) do
    local wrong = category[rule.template] and fit.wrong_ttl(rule.slots.ttl, category[rule.template])
    if wrong then say(rule.line, "%s: %s", rule.quoted or text.plain(rule.name), wrong) end
  end
end

--- What the store says against a script.
-- @tparam table set a ruleset
-- @tparam table seen of new(), after all events were seen
-- @tparam table known templates: { { name, language, category }, … }
-- @treturn table list of { line, text }, in the order of their lines
function M.of(set, seen, known)
  local list = {}
  local function say(line, sentence, ...) list[#list + 1] = { line = line, text = sentence:format(...) } end
  if seen.events > 0 then
    types(set, seen, say)
    fields(set, seen, say)
  end
  times(set, known, say)
  table.sort(list, function(a, b)
    if a.line ~= b.line then return a.line < b.line end
    return a.text < b.text
  end)
  return list
end

return M
