--- onemsg.senders.read: what a request of a sender holds, as events: one reader for all rows (onemsg.senders.table). Pure.
local canonical = require "onemsg.base.canonical"
local document = require "onemsg.base.document"

local M = {}

local NEST = 3 -- levels around an event's own: the body, a list in it, and what each is wrapped into
local ITEMS = 1000

local read = document.reader(canonical.DEPTH + NEST, "event")

-- Names that are the row's to set, or onemsg's: what a body has under them stands under `original`.
local OURS = { "id", "type", "sender", "test", "unsigned", "resolved", "original" }

local function decode(text)
  local value, why = read(text)
  if value ~= nil then return value end
  return nil, "the body is no JSON that can be taken: " .. why
end

local function unescape(text)
  return (text:gsub("+", " "):gsub("%%(%x%x)", function(pair) return string.char(tonumber(pair, 16)) end))
end

--- The fields of a form, each a text. A name that comes twice keeps its first value.
local function form(body)
  local fields = {}
  for pair in body:gmatch "[^&]+" do
    local name, value = pair:match "^([^=]*)=?(.*)$"
    name = unescape(name)
    if name ~= "" and fields[name] == nil then fields[name] = unescape(value) end
  end
  return fields
end

local function lines(body)
  local list = {}
  for line in body:gmatch "[^\r\n]+" do
    if line:find "%S" then
      local value, wrong = decode(line)
      if value == nil then return nil, wrong end
      list[#list + 1] = value
    end
  end
  return list
end

local function content_type(request)
  local given = request.headers["content-type"]
  return type(given) == "string" and given:lower():match "^%s*([^;%s]+)" or ""
end

--- An event whose own fields stand in headers, and whose data is the body (CloudEvents' binary form).
local function out_of_headers(row, request)
  local event = {}
  for name, value in pairs(request.headers) do
    if name:sub(1, #row.headers) == row.headers and type(value) == "string" then
      event[name:sub(#row.headers + 1)] = unescape((value:gsub("+", "%%2B")))
    end
  end
  if event.id == nil then return nil end
  if request.body ~= "" then
    local value = decode(request.body)
    event.data = value == nil and request.body or value
  end
  return event
end

--- The whole body as a Lua value.
local function whole_of(row, request)
  local body = document.bare(request.body)
  if row.headers then
    local event = out_of_headers(row, request)
    if event then return event end
  end
  if row.form and content_type(request) == "application/x-www-form-urlencoded" then return form(body) end
  if not body:find "%S" then
    if row.signed then return {} end -- what is signed stands outside of it
    return nil, "the body is empty"
  end
  local value, wrong = decode(body)
  if value == nil and row.lines then return lines(body) end
  return value, wrong
end

--- What stands at a path of names.
local function inner(value, path)
  for name in path:gmatch "[^.]+" do
    if type(value) ~= "table" then return nil end
    value = value[name]
  end
  return value
end

--- The objects of a body, one an event.
function M.items(row, request)
  local whole, wrong = whole_of(row, request)
  if whole == nil then return nil, wrong end
  if type(whole) ~= "table" then return nil, "the body is neither an object nor a list of them" end
  request.document = whole
  local list = row.each and inner(whole, row.each)
  if type(list) ~= "table" then
    local empty = next(whole) == nil and request.body:find "^[^%[{]*%["
    list = (whole[1] ~= nil or empty) and whole or { whole }
  end
  local items = {}
  for n, item in ipairs(list) do
    if n > ITEMS then return nil, ("the body holds more than %d events"):format(ITEMS) end
    item = row.inside and type(item) == "table" and item[row.inside] or item
    if type(item) ~= "table" or item[1] ~= nil then return nil, ("event %d of the body is no object"):format(n) end
    items[n] = item
  end
  return items
end

-- One event ---------------------------------------------------------------------------------------------------------

--- Parts an object into what its sender signs, and the rest.
local function part(row, item)
  if not row.signed then return item end
  local event, rest = {}, {}
  for name, value in pairs(item) do
    local to = row.signed[name] and event or rest
    to[name] = value
  end
  return event, next(rest) ~= nil and rest or nil
end

local function put(event, path, value)
  local head, last = path:match "^(.-)%.?([^.]+)$"
  for name in head:gmatch "[^.]+" do
    if type(event[name]) ~= "table" then event[name] = {} end
    event = event[name]
  end
  event[last] = value
end

local function is_test(row, request, item)
  if not row.test then return nil end
  local text = row.test.fill(request, item)
  return text ~= nil and row.test[text] or nil
end

--- The event that rules see.
-- @tparam string name of the sender
-- @tparam table row ready
-- @tparam boolean all what is signed is all (the request as a whole was)
-- @treturn ?table
-- @treturn string with nil: which part is missing
function M.event(name, row, request, item, all)
  local id, lacking = row.id(request, item)
  if not id then return nil, ("%s: {%s} is missing, of which the id is made"):format(name, lacking) end
  local kind
  kind, lacking = row.type(request, item)
  if not kind then return nil, ("%s: {%s} is missing, of which the type is made"):format(name, lacking) end
  local event, unsigned = part(all and {} or row, item)
  local set = { id = name .. ":" .. id, type = kind, sender = name, test = is_test(row, request, item),
                unsigned = unsigned }
  local original = {}
  for _, one in ipairs(OURS) do
    local own = event[one]
    if own ~= nil and own ~= set[one] then original[one] = own end
    event[one] = set[one]
  end
  for path, fill in pairs(not all and row.set or {}) do put(event, path, fill(request, item)) end
  event.original = next(original) ~= nil and original or nil
  return event
end

return M
