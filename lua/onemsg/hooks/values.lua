--- onemsg.hooks.values: single values of a body that a stranger wrote, each of any type; what is no such value is nil. Pure.
local phones = require "onemsg.base.phone"
local utf8 = require "onemsg.base.utf8"

local M = {}

M.NAME_BYTES = 200 -- longest name or id of a person, a chat, an instance
M.WORD_BYTES = 64  -- longest status, type, category

--- A short text, valid UTF-8 without control bytes, or nil. A whole number counts as its digits.
function M.word(value, bytes)
  if type(value) == "number" and value == math.floor(value) and math.abs(value) < 2 ^ 53 then
    value = ("%.0f"):format(value)
  end
  if type(value) ~= "string" or #value > bytes then return nil end
  value = utf8.trim(value)
  return value ~= "" and not value:find("%c") and utf8.valid(value) and value or nil
end

--- Digits of "12025550123", 12025550123, "+12025550123", "12025550123@c.us", or nil.
function M.digits(value)
  local s = M.word(value, 64)
  s = s and (s:match("^%+?(%d+)$") or s:match("^%+?(%d+)@[cs][%w%.]+$"))
  return s and #s >= 5 and #s <= 20 and s or nil
end

--- The first business-scoped user id among some values, each of which may be anything.
function M.bsuid_of(...)
  for n = 1, select("#", ...) do
    local id = M.word((select(n, ...)), M.NAME_BYTES)
    id = id and (id:match("^(.*)@lid$") or id)
    if id and phones.is_bsuid(id) then return id end
  end
  return nil
end

--- A username without its @, in small letters, or that of a chat id "maria@username".
function M.username_of(name, chat_id)
  local text = M.word(name, M.NAME_BYTES) or chat_id and chat_id:match("^(.*)@username$")
  local plain = text and text:match("^@?([%w._]+)$")
  return plain and plain:lower()
end

--- Unix seconds from a number or a string of digits, in s, ms or µs; nil where it is no time of this epoch.
function M.seconds(value)
  if type(value) == "string" then
    value = #value <= 24 and value:match("^%s*%d+%.?%d*%s*$") and tonumber(value)
  end
  if type(value) ~= "number" or value ~= value then return nil end
  if value > 1e14 then value = value / 1e6 elseif value > 1e11 then value = value / 1e3 end
  if value < 1e9 or value > 1e10 then return nil end
  return value == math.floor(value) and math.floor(value) or value
end

function M.time_of(item)
  return M.seconds(item.timestamp) or M.seconds(item.time)
end

function M.object(value)
  return type(value) == "table" and value or nil
end

--- The items of an array, of an object that stands where an array belongs, or none.
function M.items(value)
  if type(value) ~= "table" then return {} end
  if value[1] == nil and next(value) ~= nil then return { value } end
  return value
end

function M.instance_of(body)
  local name = M.word(body.instanceId, M.NAME_BYTES) or M.word(body.instance_id, M.NAME_BYTES)
  return name and name:gsub("^instance", "") or nil
end

return M
