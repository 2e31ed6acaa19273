--- onemsg.workflow.resolve: what an event does not say of its person, found elsewhere: by the user's function, or by a query
-- in a database that is only read. For onemsg.workflow.plan.
local check = require "onemsg.base.check"
local document = require "onemsg.base.document"
local texts = require "onemsg.rules.text"

local M = {}

local QUERY = { store = "string userdata", query = "string", by = "string table" }

local function refuse(sentence, ...)
  check.misuse("workflow.open: resolve" .. sentence:format(...))
end

--- The fields of an event, as parameters: function(event) → list; nil where one is missing.
local function parameters(by)
  local fills = {}
  for n, source in ipairs(type(by) == "table" and by or { by }) do
    if type(source) ~= "string" then refuse(".by: number %d is a %s, not a text", n, type(source)) end
    local fill, wrong = texts.compile(source)
    if not fill then refuse(".by: %s", wrong) end
    fills[n] = fill
  end
  return function(event)
    local list = {}
    for n, fill in ipairs(fills) do
      local text = type(fill) == "string" and fill or type(fill) == "function" and fill(event)
      if not text then return nil end
      list[n] = text
    end
    return list
  end
end

--- A query as a function: the row it finds; nil for none; false and why for several, of which none is certain. It raises
-- what keeps the database from answering.
local function query(option)
  option = check.options("workflow.open: resolve", option, QUERY)
  for _, name in ipairs { "store", "query", "by" } do
    if option[name] == nil then
      refuse(' is a function, or { store = "sqlite:…", query = "SELECT … WHERE id = $1", by = "{customer.id}" }: '
        .. "%s is missing", name)
    end
  end
  if not option.query:upper():find "^%s*SELECT%s" and not option.query:upper():find "^%s*WITH%s" then
    refuse ".query is a SELECT"
  end
  local read_parameters, db = parameters(option.by), nil
  return function(event)
    local list = read_parameters(event)
    if not list then return nil end
    if not db then
      local err
      db, err = option.store, nil
      if type(db) == "string" then db, err = require "onemsg.sql".open(db) end
      if not db then error(err, 0) end
    end
    table.insert(list, 1, option.query)
    local results, err = db:read { list }
    if not results then error(err, 0) end
    if #results[1] > 1 then return false, ("the query of resolve finds %d rows"):format(#results[1]) end
    return results[1][1]
  end
end

--- The option `resolve` of workflow.open as a function of an event.
-- @treturn ?function → a phone, a table, nil or false; as the option says
function M.ready(option)
  if type(option) == "table" then return query(option) end
  return option
end

local function phone_text(phone)
  if type(phone) == "number" and phone % 1 == 0 then return ("%.0f"):format(phone) end
  if phone ~= nil and phone ~= false and type(phone) ~= "string" then
    return nil, "config: resolve must return a phone as text, or nil, and returned a " .. type(phone)
  end
  return phone or ""
end

--- Asks.
-- @tparam table flow
-- @tparam table event
-- @tparam ?table kept what was found when the event came, where nobody can be asked now
-- @treturn ?table what was found, with `phone`; false: nothing. nil: it failed, so nothing may be decided yet
-- @treturn ?string with false: why, a sentence part; with nil: "store: …", "config: …"
-- @treturn ?table info, with nil
function M.ask(flow, event, kept)
  if not flow.resolve then return kept or false end
  local ok, found, why = pcall(flow.resolve, event)
  if not ok then
    return nil, "store: resolve failed, submit the event again: " .. tostring(found), { outcome = "not_sent" }
  end
  if found == nil or found == false or found == "" then return false, type(why) == "string" and why or nil end
  if type(found) ~= "table" then found = { phone = found } end
  local copy = document.copy(found)
  local phone, wrong = phone_text(copy.phone)
  if not phone then return nil, wrong, { outcome = "invalid" } end
  copy.phone = phone ~= "" and phone or nil
  return copy
end

--- The event as rules see it, with what was found of it.
function M.with(event, found)
  if not found then return event end
  local seen = document.copy(event)
  seen.resolved = found
  return seen
end

return M
