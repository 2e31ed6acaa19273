--- onemsg.template.fit: whether a message fits a template, and the text it makes. PLATFORM.md 1.4, 5.1, 5.2.
-- Pure. A template is an item of onemsg.template's lists, a message is what channel:send takes; channel:send checks the
-- form of the values themselves (text.c), here they are checked against the template.
local plain = require "onemsg.base.utf8"

local M = {}

M.BODY_CHARS = 1024   -- a filled-in body, in code points
M.HEADER_CHARS = 60   -- a filled-in text header
M.URL_CHARS = 2000    -- the variable part of a URL button

local PLACEHOLDER = "{{%s*([%w_]+)%s*}}"

local function object(value)
  return type(value) == "table" and value or nil
end

--- "1" for "01": numbers are compared as numbers.
local function plain_name(name)
  return name:find("^%d+$") and name:gsub("^0+(%d)", "%1") or name
end

--- The distinct placeholders of a text: numbers in numerical order, then names in order of appearance. Values are taken
-- by position in this list, so {{1}} {{3}} needs two values, not three.
-- @return list of names, true when a name is no number
function M.placeholders(text)
  local numbers, names, seen = {}, {}, {}
  for name in (text or ""):gmatch(PLACEHOLDER) do
    name = plain_name(name)
    if not seen[name] then
      seen[name] = true
      local list = name:find("^%d+$") and numbers or names
      list[#list + 1] = name
    end
  end
  table.sort(numbers, function(a, b) return tonumber(a) < tonumber(b) end)
  local count = #numbers
  for i, name in ipairs(names) do numbers[count + i] = name end
  return numbers, #names > 0
end

--- A value as text: a string, a number, { text = … }, or the fallback of a currency or a date; else nil.
local function value_text(value)
  if type(value) == "table" then
    local special = object(value.currency) or object(value.date_time)
    value = value.text or special and special.fallback_value
  end
  if type(value) == "number" then
    return value == math.floor(value) and math.abs(value) < 2 ^ 53 and ("%.0f"):format(value) or tostring(value)
  end
  return type(value) == "string" and value or nil
end

--- Values in the order of names: { name = "thing", text = … } and thing = … by name, the others by position.
local function in_order(names, values)
  local list, by_name = {}, {}
  for key, value in pairs(values) do
    if type(value) == "table" and type(value.name) == "string" then by_name[value.name] = value
    elseif type(key) == "string" then by_name[key] = value end
  end
  for i, name in ipairs(names) do
    local value = by_name[name]
    if value == nil then value = values[i] end
    list[i] = value
  end
  return list
end

local function fill(text, names, values)
  local by_name = {}
  for i, value in pairs(in_order(names, values)) do by_name[names[i]] = value_text(value) end
  return (text:gsub(PLACEHOLDER, function(name)
    return by_name[plain_name(name)]
  end))
end

--- The body with the values in it; a placeholder without a value stays as it is.
-- @param values what channel:send takes as body, or { first_name = "Maria" }
function M.fill(tpl, values)
  return fill(tpl.body_text or "", tpl.names or {}, values or {})
end

--- Length of the filled-in body in code points. PLATFORM.md 5.1: at most 1024.
function M.length(tpl, values)
  return plain.length(M.fill(tpl, values))
end

local function blank(value)
  local s = value_text(value)
  return not s or not s:find("%S")
end

local function plural(n, what)
  return ("%d %s%s"):format(n, what, n == 1 and "" or "s")
end

local function is_list(values)
  local count = 0
  for key in pairs(values) do
    if type(key) ~= "number" then return false end
    count = count + 1
  end
  return count == #values
end

--- One value of the body against its place in the template; `taken` collects the names already filled.
local function check_value(tpl, i, value, taken)
  local label = "{{" .. tpl.names[i] .. "}}"
  local given = type(value) == "table" and value.name or nil
  if tpl.parameter_format == "NAMED" then
    local known = false
    for _, name in ipairs(tpl.names) do known = known or name == given end
    if not known or taken[given] then
      return nil, ("invalid: template %s has named variables (%s): write each once, as { name = %q, text = … }"):format(
        tpl.name, table.concat(tpl.names, ", "), tpl.names[i])
    end
    taken[given] = true
    label = "{{" .. given .. "}}"
  elseif given ~= nil then
    return nil, ("invalid: template %s has numbered variables: write a text without name"):format(tpl.name)
  end
  local special = type(value) == "table" and type(value.type) == "string" and value.type ~= "text"
  if not special and blank(value) then
    return nil, ("invalid: template %s: the value of %s is empty"):format(tpl.name, label)
  end
  return true
end

local function check_body(tpl, body)
  if type(body) ~= "table" or not is_list(body) then
    return nil, ("invalid: the body of template %s must be a list of values, one for each variable"):format(tpl.name)
  elseif #body ~= #tpl.names then
    return nil, ("invalid: template %s takes %s, the message has %d"):format(tpl.name, plural(#tpl.names, "value"),
      #body)
  end
  local taken = {}
  for i, value in ipairs(body) do
    local ok, err = check_value(tpl, i, value, taken)
    if not ok then return nil, err end
  end
  local length = M.length(tpl, body)
  if length > M.BODY_CHARS then
    return nil, ("invalid: the text is %d characters long once filled in, %d are allowed"):format(length, M.BODY_CHARS)
  end
  return true
end

local function check_header(tpl, header)
  local h = tpl.header
  local wants = h and (h.media or #h.names > 0 and "text") or nil
  if header == nil then
    if not wants then return true end
    return nil, ("invalid: template %s needs a header (%s)"):format(tpl.name, wants)
  elseif not wants then
    return nil, ("invalid: template %s takes no header value"):format(tpl.name)
  elseif wants == "text" then
    if blank(header) then return nil, ("invalid: the header of template %s needs a text"):format(tpl.name) end
    local length = plain.length(fill(h.text, h.names, { header }))
    if length > M.HEADER_CHARS then
      return nil, ("invalid: the header has %d characters, %d are allowed"):format(length, M.HEADER_CHARS)
    end
  elseif type(header) ~= "table" or header[wants] == nil and header.type ~= wants then
    return nil, ("invalid: the header of template %s needs { %s = … }"):format(tpl.name, wants)
  end
  return true
end

local SUB_TYPES = { url = "url", quick_reply = "payload", copy_code = "code", flow = "flow" }

--- The button that an item of message.buttons is for, and which kind of value it brings.
local function read_button(tpl, i, item)
  local index = type(item) == "table" and item.index or i - 1
  local button = type(index) == "number" and tpl.buttons[index + 1]
  if type(item) ~= "table" then
    return nil, ("invalid: buttons[%d] must be a table like { url = \"suffix\" }"):format(i)
  elseif not button then
    return nil, ("invalid: template %s has no button with index %s; it has %s"):format(tpl.name, tostring(index),
      plural(#tpl.buttons, "button"))
  elseif not button.takes then
    return nil, ("invalid: button %d of template %s is fixed (%s): leave it out"):format(index, tpl.name, button.type)
  end
  local brings = SUB_TYPES[item.sub_type or ""]
  for _, field in ipairs { "url", "payload", "code" } do
    if item[field] ~= nil then brings = field end
  end
  if brings ~= button.takes then
    return nil, ("invalid: button %d of template %s takes %s"):format(index, tpl.name, button.takes)
  end
  if item.sub_type == nil and blank(item[brings]) then
    return nil, ("invalid: the %s of button %d is empty"):format(brings, index)
  elseif brings == "url" and plain.length(value_text(item.url) or "") > M.URL_CHARS then
    return nil, ("invalid: the url of button %d is longer than %d characters"):format(index, M.URL_CHARS)
  end
  return button
end

local function check_buttons(tpl, buttons)
  if buttons ~= nil and (type(buttons) ~= "table" or not is_list(buttons)) then
    return nil, "invalid: buttons must be a list of tables"
  end
  local given = {}
  for i, item in ipairs(buttons or {}) do
    local button, err = read_button(tpl, i, item)
    if not button then return nil, err end
    if given[button] then return nil, ("invalid: button %d is there twice"):format(button.index) end
    given[button] = true
  end
  for _, button in ipairs(tpl.buttons) do
    if button.needs and not given[button] then
      return nil, ("invalid: button %d of template %s needs { %s = … }"):format(button.index, tpl.name, button.needs)
    end
  end
  return true
end

local TTL = { UTILITY = { 30, 43200 }, AUTHENTICATION = { 30, 900 }, MARKETING = { 43200, 2592000 } } -- PLATFORM.md 9

--- Whether a category allows WhatsApp to try for so long.
-- @tparam ?number ttl seconds, or -1
-- @tparam ?string category in upper case
-- @treturn ?string what is wrong; nil: nothing, or nothing is known
function M.wrong_ttl(ttl, category)
  local range = TTL[category]
  if type(ttl) ~= "number" or ttl == -1 or not range or ttl >= range[1] and ttl <= range[2] then return nil end
  return ("ttl is %d seconds, and WhatsApp takes %d to %d for a template of the category %s: each message would be refused")
    :format(ttl, range[1], range[2], category)
end

--- Does a message, in the form that channel:send takes, fit this template?
-- @param tpl an item of normalize's list
-- @param message { body = list of values, or name, action, next_step; header = text or { image = … }; buttons = list of
--   { url = suffix | payload = … | code = … [, index = from 0] } }
-- @return true; or nil, "invalid: …" that says what does not fit
function M.check(tpl, message)
  if not tpl.sendable then
    return nil, ("invalid: template %s (%s) is not approved: %s"):format(tpl.name, tpl.language,
      tpl.status or "its status is unknown")
  end
  local body = message.body
  if body == nil then
    body = {}
    for i, field in ipairs { "name", "action", "next_step" } do
      if message[field] == nil then return nil, ("invalid: %s is missing"):format(field) end
      body[i] = message[field]
    end
  end
  local ok, err = check_body(tpl, body)
  if not ok then return nil, err end
  ok, err = check_header(tpl, message.header)
  if not ok then return nil, err end
  local wrong = M.wrong_ttl(message.ttl, tpl.category)
  if wrong then return nil, "invalid: " .. wrong end
  return check_buttons(tpl, message.buttons)
end

return M
