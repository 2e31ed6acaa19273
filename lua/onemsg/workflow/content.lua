--- onemsg.workflow.content: is this event the one that was taken under its id, apart from fields in which repeats differ
-- (a count of attempts, a time of sending)? Pure.
local canonical = require "onemsg.base.canonical"
local check = require "onemsg.base.check"
local json = require "onemsg.base.json"
local paths = require "onemsg.rules.text"

local M = {}

--- A list of fields out of a variable: blanks or commas between.
function M.written(text)
  local list = {}
  for one in (text or ""):gmatch "[^%s,]+" do list[#list + 1] = one end
  return list
end

--- A list of fields, checked: "attempts", "meta.sent_at", "items.1.at".
-- @tparam string what as sentences begin
-- @tparam ?table list
-- @raise when one is no field
function M.fields(what, list)
  for _, path in pairs(list or {}) do
    local get, wrong = paths.path(path)
    if not get then check.misuse(what .. ": " .. wrong) end
  end
  return list or {}
end

--- Takes a field out of a decoded event, and what held nothing else with it.
local function drop(inner, path)
  if type(inner) ~= "table" then return end
  local name, rest = path:match "^([^.]+)%.?(.*)$"
  if inner[name] == nil then name = tonumber(name) or name end
  if rest ~= "" then
    drop(inner[name], rest)
    if type(inner[name]) ~= "table" or next(inner[name]) ~= nil then return end
  end
  -- of a list, what stands behind moves up, so that it stays one
  if type(name) == "number" and #inner > 0 then table.remove(inner, name) else inner[name] = nil end
end

local function without(text, ...)
  local event = json.decode(text)
  for _, list in ipairs { ... } do
    for _, path in ipairs(list) do drop(event, path) end
  end
  return canonical.text(event)
end

--- A canonical text as it is compared.
-- @tparam ?table ignored fields
function M.plain(text, ignored)
  return canonical.plain(ignored and #ignored > 0 and without(text, ignored) or text)
end

--- Are two canonical texts the same event?
-- @tparam string one
-- @tparam string other
-- @tparam ?table ignored fields
-- @tparam ?table more of them
function M.same(one, other, ignored, more)
  ignored, more = ignored or {}, more or {}
  if canonical.same(one, other) then return true end
  return #ignored + #more > 0 and canonical.same(without(one, ignored, more), without(other, ignored, more))
end

return M
