--- onemsg.template: what templates a channel has, and whether a message fits one. PLATFORM.md 1.4, 1.7, 5.1 to 5.3.
-- Pure, but for fetch, which calls channel:request. Answers are read leniently (every form that channels were seen to
-- give), messages are checked strictly: what does not fit is told before a byte leaves.
local cjson = require "cjson.safe"
local codes = require "onemsg.codes"

local M = {}

M.BODY_CHARS = 1024   -- a filled-in body, in code points
M.HEADER_CHARS = 60   -- a filled-in text header
M.URL_CHARS = 2000    -- the variable part of a URL button
M.PAGE = 100          -- templates asked for at once
M.PAGES = 20          -- pages read at most
local WORD_BYTES, TEXT_BYTES = 600, 64 * 1024

local MEDIA = { IMAGE = "image", VIDEO = "video", DOCUMENT = "document", LOCATION = "location" }
local NAMESPACE_KEYS = { "namespace", "message_template_namespace", "messageTemplateNamespace" }

local json = cjson.new()
json.decode_max_depth(32)

local function object(value)
  return type(value) == "table" and value or nil
end

local function word(value)
  return type(value) == "string" and #value <= WORD_BYTES and value:match("^%s*(%S.-)%s*$") or nil
end

local function text_of(value)
  return type(value) == "string" and #value <= TEXT_BYTES and value or nil
end

local function upper(value)
  value = word(value)
  return value and value:upper()
end

--- Length in code points.
local function chars(s)
  local _, continuation = s:gsub("[\128-\191]", "")
  return #s - continuation
end

-- Placeholders --------------------------------------------------------------------------------------------------

local PLACEHOLDER = "{{%s*([%w_]+)%s*}}"

--- The distinct placeholders of a text: numbers in numerical order, then names in order of appearance. Values are taken
-- by position in this list, so {{1}} {{3}} needs two values, not three.
local function placeholders(text)
  local numbers, names, seen = {}, {}, {}
  for name in (text or ""):gmatch(PLACEHOLDER) do
    if name:find("^%d+$") then name = name:gsub("^0+(%d)", "%1") end
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

-- Reading the list ----------------------------------------------------------------------------------------------

local function components_of(value)
  if type(value) == "string" and #value <= TEXT_BYTES * 4 then value = json.decode(value) end
  return object(value) or {}
end

local function header_of(component)
  local format = upper(component.format) or "TEXT"
  local text = text_of(component.text)
  return { format = format, text = text, names = placeholders(text), media = MEDIA[format] }
end

local function buttons_of(component)
  local list = {}
  for i, button in ipairs(object(component.buttons) or {}) do
    button = object(button) or {}
    local kind, url = upper(button.type) or "", text_of(button.url)
    local needs
    if kind == "URL" and url and url:find("{{", 1, true) then needs = "text"
    elseif kind == "COPY_CODE" then needs = "coupon_code" end
    list[i] = { index = i - 1, type = kind, text = text_of(button.text), url = url, needs = needs,
                takes = needs or kind == "QUICK_REPLY" and "payload" or kind == "FLOW" and "action" or nil }
  end
  return list
end

local function template_of(item)
  local name = word(item.name)
  local language = word(item.language) or word(object(item.language) and item.language.code)
  if not name or not language then return nil end
  local t = { name = name, language = language, category = upper(item.category), status = upper(item.status),
              id = word(item.id), components = components_of(item.components), buttons = {} }
  for _, key in ipairs(NAMESPACE_KEYS) do t.namespace = t.namespace or word(item[key]) end
  local reason = word(item.rejected_reason)
  if reason and reason:upper() ~= "NONE" then t.rejected_reason = reason end
  for _, component in ipairs(t.components) do
    component = object(component) or {}
    local kind = upper(component.type)
    if kind == "BODY" then t.body_text = text_of(component.text)
    elseif kind == "HEADER" then t.header = header_of(component)
    elseif kind == "BUTTONS" then t.buttons = buttons_of(component) end
  end
  local named
  t.names, named = placeholders(t.body_text)
  t.body_count = #t.names
  t.parameter_format = upper(item.parameter_format) or (named and "NAMED" or "POSITIONAL")
  t.sendable = t.status ~= nil and (t.status == "APPROVED" or t.status:find("^ACTIVE") ~= nil)
  return t
end

--- The items of an answer: { templates = [...] }, a bare array, or nothing; and the text of an error beside it.
local function items_of(answer)
  answer = object(answer) or {}
  local list = answer[1] ~= nil and answer or object(answer.templates) or object(answer.waba_templates) or {}
  local why = answer[1] == nil and answer.error ~= nil and codes.text({ error = answer.error }) or nil
  return list, why
end

--- Templates out of an answer of GET templates, in its order; entries without name and language are left out.
-- @return list of { name, language, category, status (upper case), namespace, components, body_text, body_count (how
--   many values), names (which), parameter_format ("POSITIONAL" | "NAMED"), header = { format, text, names, media },
--   buttons = { { index, type, text, url, needs, takes } }, sendable, rejected_reason, id }; a namespace that is absent
--   is taken from the others when they all share one, as it belongs to the WhatsApp account
function M.normalize(answer)
  local list, shared = {}, nil
  for _, item in ipairs(items_of(answer)) do
    local t = object(item) and template_of(item)
    if t then
      list[#list + 1] = t
      if t.namespace and shared == nil then shared = t.namespace
      elseif t.namespace and shared ~= t.namespace then shared = false end
    end
  end
  for _, t in ipairs(list) do t.namespace = t.namespace or shared or nil end
  return list
end

local function count_option(opts, name, default)
  local value = opts and opts[name]
  if value == nil then return default end
  if type(value) ~= "number" or value < 1 or value > 1000 or value ~= math.floor(value) then
    error(("templates: %s must be a whole number from 1 to 1000"):format(name), 3)
  end
  return value
end

--- All templates of a channel, page by page. Calls channel:request, so it waits as that waits.
-- Some channels ignore offset: a page that brings nothing new ends it; so do `total` and the 20th page.
-- @param opts nil, or { limit = 100 (templates a page), pages = 20 }
-- @return what normalize returns, with truncated = true when there may be more; or nil, err, info
function M.fetch(channel, opts)
  local limit, pages = count_option(opts, "limit", M.PAGE), count_option(opts, "pages", M.PAGES)
  local all, seen, offset = {}, {}, 0
  for page = 1, pages do
    local answer, err, info = channel:request("GET", ("templates?limit=%d&offset=%d"):format(limit, offset))
    if answer == nil then return nil, err, info end
    if type(answer) ~= "table" then
      return nil, "unknown: the answer is not a list of templates", { outcome = "unknown", status = 200, retry = false }
    end
    local list, why = items_of(answer)
    if why and #list == 0 and page == 1 then
      local entry = codes.explain(200, { sent = false, error = answer.error })
      return nil, "rejected: " .. why, { outcome = "rejected", status = 200, code = entry.code, class = entry.class,
                                         retry = entry.retry, retry_after = entry.wait, hint = entry.hint }
    end
    local news = 0
    for _, item in ipairs(list) do
      local t = object(item) and template_of(item)
      local key = t and t.name .. "\0" .. t.language
      if key and not seen[key] then
        seen[key], news = true, news + 1
        all[#all + 1] = item
      end
    end
    offset = offset + #list
    if news == 0 or type(answer.total) == "number" and offset >= answer.total then
      return M.normalize { templates = all }
    end
  end
  local list = M.normalize { templates = all }
  list.truncated = true
  return list
end

--- The template of this name and language in a list.
-- @return the template; or nil and a sentence that names what there is instead
function M.find(list, name, language)
  local languages, names = {}, {}
  for _, t in ipairs(list) do
    if t.name == name and t.language == language then return t end
    if t.name == name then languages[#languages + 1] = t.language end
    if t.name:lower() == tostring(name):lower():gsub("[%s%-]", "_") then names[1] = t.name end
  end
  if #languages > 0 then
    table.sort(languages)
    return nil, ("invalid: template %s has no language %s; it has %s"):format(name, tostring(language),
      table.concat(languages, ", "))
  end
  local hint = names[1] and ("; did you mean %s?"):format(names[1]) or ""
  return nil, ("invalid: the channel has no template %s (%s)%s"):format(tostring(name), tostring(language), hint)
end

-- Does a message fit? -------------------------------------------------------------------------------------------

--- A value as text: a string, a number, or { text = … }; else nil.
local function value_text(value)
  if type(value) == "table" then value = value.text end
  if type(value) == "number" then
    return value == math.floor(value) and math.abs(value) < 2 ^ 53 and ("%.0f"):format(value) or tostring(value)
  end
  return type(value) == "string" and value or nil
end

--- Values in the order of names: by position, or by name where the caller gave names.
local function in_order(names, values)
  local list = {}
  for i, name in ipairs(names) do
    local value = values[i]
    if value == nil then value = values[name] end
    list[i] = value
  end
  return list
end

local function fill(text, names, values)
  local by_name = {}
  for i, value in pairs(in_order(names, values)) do by_name[names[i]] = value_text(value) end
  return (text:gsub(PLACEHOLDER, function(name)
    if name:find("^%d+$") then name = name:gsub("^0+(%d)", "%1") end
    return by_name[name]
  end))
end

--- The body with the values in it; a placeholder without a value stays as it is. values: { "Maria", … } in order, or by
-- name { first_name = "Maria" }.
function M.fill(tpl, values)
  return fill(tpl.body_text or "", tpl.names or {}, values or {})
end

--- Length of the filled-in body in code points. PLATFORM.md 5.1: at most 1024.
function M.length(tpl, values)
  return chars(M.fill(tpl, values))
end

local function blank(value)
  local s = value_text(value)
  return not s or not s:find("%S")
end

local function plural(n, what)
  return ("%d %s%s"):format(n, what, n == 1 and "" or "s")
end

local function check_values(where, names, values)
  if type(values) ~= "table" then return nil, ("invalid: %s must be a list of values"):format(where) end
  local given, known = 0, {}
  for i, name in ipairs(names) do known[i], known[name] = true, true end
  for key in pairs(values) do
    given = given + 1
    if type(key) == "string" and not known[key] then
      return nil, ("invalid: %s has no variable {{%s}}; it has %s"):format(where, key,
        #names > 0 and "{{" .. table.concat(names, "}}, {{") .. "}}" or "none")
    end
  end
  if given ~= #names then
    return nil, ("invalid: %s takes %s, the message has %d"):format(where, plural(#names, "value"), given)
  end
  for i, value in pairs(in_order(names, values)) do
    if blank(value) then return nil, ("invalid: %s: the value of {{%s}} is empty"):format(where, names[i]) end
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
    local length = chars(fill(h.text, h.names, { header }))
    if length > M.HEADER_CHARS then
      return nil, ("invalid: the header has %d characters, %d are allowed"):format(length, M.HEADER_CHARS)
    end
  elseif type(header) ~= "table" or header[wants] == nil and header.type ~= wants then
    return nil, ("invalid: the header of template %s needs { %s = … }"):format(tpl.name, wants)
  end
  return true
end

--- Which button a key of message.buttons means: its place counted from 1, or index counted from 0 in a table.
local function button_at(tpl, key, value)
  if type(value) == "table" and value.index ~= nil then key = (tonumber(value.index) or -1) + 1 end
  return tpl.buttons[key], key
end

local function check_buttons(tpl, buttons)
  if buttons ~= nil and type(buttons) ~= "table" then return nil, "invalid: buttons must be a table" end
  local given = {}
  for key, value in pairs(buttons or {}) do
    local button, at = button_at(tpl, key, value)
    if not button then
      return nil, ("invalid: template %s has no button %s; it has %d"):format(tpl.name, tostring(at), #tpl.buttons)
    elseif not button.takes then
      return nil, ("invalid: button %d of template %s is fixed (%s): leave it out"):format(at, tpl.name, button.type)
    end
    given[at] = value
  end
  for at, button in ipairs(tpl.buttons) do
    local value = given[at]
    if button.needs and value == nil then
      return nil, ("invalid: button %d of template %s needs a value (%s)"):format(at, tpl.name,
        button.needs == "text" and "the variable part of its URL" or "the code")
    elseif button.needs == "text" then
      if blank(value) then return nil, ("invalid: the value of button %d is empty"):format(at) end
      if chars(value_text(value)) > M.URL_CHARS then
        return nil, ("invalid: the value of button %d is longer than %d characters"):format(at, M.URL_CHARS)
      end
    end
  end
  return true
end

--- Does a message, in the form that channel:send takes, fit this template?
-- @param tpl an item of normalize's list
-- @param message { body = list or map of values, or name, action, next_step; header = text or { image = … };
--   buttons = { value, … } }
-- @return true; or nil, "invalid: …" that says what does not fit
function M.check(tpl, message)
  if not tpl.sendable then
    return nil, ("invalid: template %s (%s) is not approved: %s"):format(tpl.name, tpl.language,
      tpl.status or "its status is unknown")
  end
  local body = message.body
  if body == nil then body = { message.name, message.action, message.next_step } end
  local ok, err = check_values("template " .. tpl.name, tpl.names, body)
  if not ok then return nil, err end
  local length = M.length(tpl, body)
  if length > M.BODY_CHARS then
    return nil, ("invalid: the text is %d characters long once filled in, %d are allowed"):format(length, M.BODY_CHARS)
  end
  ok, err = check_header(tpl, message.header)
  if not ok then return nil, err end
  return check_buttons(tpl, message.buttons)
end

--- Is this the form of a language code (en, pt_BR)? Codes are exact: en and en_US are two languages. PLATFORM.md 5.3.
-- @return the code; or nil, "invalid: …", with the likely spelling where there is one
function M.language(code)
  if type(code) == "string" then
    if code:find("^%l%l%l?$") or code:find("^%l%l%l?_%u%u$") then return code end
    local lang, region = code:match("^%s*(%a%a%a?)%s*$"), nil
    if not lang then lang, region = code:match("^%s*(%a%a%a?)[_%-%s](%a%a)%s*$") end
    if lang then
      local likely = lang:lower() .. (region and "_" .. region:upper() or "")
      return nil, ("invalid: language %q is not exact; did you mean %s?"):format(code:sub(1, 40), likely)
    end
    return nil, ("invalid: %q is not a language code such as en or pt_BR"):format(code:sub(1, 40))
  end
  return nil, "invalid: the language must be a code such as \"en\" or \"pt_BR\""
end

return M
