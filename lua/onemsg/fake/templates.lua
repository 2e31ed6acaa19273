--- The templates of the fake 1MSG, the forms in which channels are known to list them (PLATFORM.md 1.7), and the
-- check of a sendTemplate body against them (PLATFORM.md 1.4, 2.1, 5.1). Pure: tables in, tables out.
-- Stricter than the real thing where a lenient server would hide a client's mistake: unknown fields are refused.

local plain = require "onemsg.base.utf8"

local people = require "onemsg.fake.people"

local M = {}

M.NAMESPACE = "fa4e1a5e_0000_4fa4_9a4e_0123456789ab"

local function template(name, language, body, more)
  local t = { name = name, language = language, category = "UTILITY", status = "APPROVED", namespace = M.NAMESPACE,
              components = { { type = "BODY", text = body } } }
  for key, value in pairs(more or {}) do
    if key == "header" then table.insert(t.components, 1, value)
    elseif key == "buttons" then t.components[#t.components + 1] = { type = "BUTTONS", buttons = value }
    else t[key] = value end
  end
  return t
end

--- What the platform may say of a template.
M.CATEGORIES = { UTILITY = true, MARKETING = true, AUTHENTICATION = true }
M.QUALITIES = { GREEN = true, YELLOW = true, RED = true, UNKNOWN = true }
M.STATUSES = { APPROVED = true, PAUSED = true, DISABLED = true, REJECTED = true, PENDING = true, PENDING_DELETION = true,
               DELETED = true, IN_APPEAL = true, FLAGGED = true, LOCKED = true, ARCHIVED = true, LIMIT_EXCEEDED = true }

local function site(text) return { { type = "URL", text = text, url = "https://example.com" } } end

--- What the channel has. The first is the use case's own.
M.list = {
  template("action_success", "en",
    'Hello, {{1}}! Action "{{2}}" completed successfully. {{3}} Thank you for using our service.',
    { buttons = site "Open website" }),
  template("action_success", "es",
    '¡Hola, {{1}}! La acción "{{2}}" se completó correctamente. {{3}} Gracias por usar nuestro servicio.',
    { buttons = site "Abrir el sitio" }),
  template("action_success", "pt_BR",
    'Olá, {{1}}! A ação "{{2}}" foi concluída com sucesso. {{3}} Obrigado por usar nosso serviço.',
    { buttons = site "Abrir o site" }),
  template("order_shipped", "en", "Your order {{1}} is on its way.",
    { header = { type = "HEADER", format = "IMAGE" },
      buttons = { { type = "URL", text = "Track", url = "https://example.com/t/{{1}}" } } }),
  template("receipt", "en", "Your receipt, {{1}}, is attached.",
    { header = { type = "HEADER", format = "DOCUMENT" } }),
  template("greeting", "en", "Your account is ready. Nothing else is needed."),
  template("named", "en", "Hello {{first_name}}, your {{thing}} is ready now.", { parameter_format = "NAMED" }),
  template("titled", "en", "Hello {{1}}, it is done.",
    { header = { type = "HEADER", format = "TEXT", text = "For {{1}}" } }),
  template("old_offer", "en", "Hello {{1}}, see you.", { category = "MARKETING", status = "PAUSED" }),
  template("unloved", "en", "Hello {{1}}, buy now.", { category = "MARKETING", status = "REJECTED" }),
}

local by_key = {}
for _, t in ipairs(M.list) do by_key[t.name .. "\0" .. t.language] = t end

local said = {} -- template → category and status as they were in the beginning

--- The platform says something else of a template from now on.
-- @tparam table word name; language (else of all); category, status, quality (any case)
-- @treturn ?table { name, language, category, status, quality } of each, and of what it was: was = { … }
-- @treturn string with nil: why not
function M.say(word)
  local new = {}
  for field, words in pairs { category = M.CATEGORIES, status = M.STATUSES, quality = M.QUALITIES } do
    local value = type(word[field]) == "string" and word[field]:upper():gsub("[%- ]", "_") or nil
    if word[field] ~= nil and not words[value or ""] then return nil, field .. " cannot be " .. tostring(word[field]) end
    new[field] = value
  end
  if not next(new) then return nil, "say what changed: category, status or quality" end
  local list = {}
  for _, t in ipairs(M.list) do
    if t.name == word.name and (word.language == nil or word.language == t.language) then
      local was = { category = t.category, status = t.status, quality = t.quality }
      said[t] = said[t] or was
      for field, value in pairs(new) do t[field] = value end
      list[#list + 1] = { name = t.name, language = t.language, category = t.category, status = t.status, quality = t.quality,
                          was = was }
    end
  end
  if not list[1] then return nil, "there is no such template" end
  return list
end

--- Everything is as in the beginning.
function M.reset()
  for t, was in pairs(said) do t.category, t.status, t.quality = was.category, was.status, was.quality end
  said = {}
end

--- The hooks that Meta posts of changes, in its own envelope (PLATFORM.md 9).
-- @tparam table list what say returned
-- @tparam string channel
-- @treturn table list of bodies
function M.hooks_of(list, channel)
  local bodies = {}
  local function add(one, field, value)
    value.message_template_name, value.message_template_language = one.name, one.language
    bodies[#bodies + 1] = { instanceId = channel, object = "whatsapp_business_account",
                            entry = { { id = "0", changes = { { field = field, value = value } } } } }
  end
  for _, one in ipairs(list) do
    local was = one.was
    if one.category ~= was.category then
      add(one, "template_category_update", { previous_category = was.category, new_category = one.category })
    end
    if one.status ~= was.status then
      add(one, "message_template_status_update", { event = one.status, reason = "NONE" })
    end
    if one.quality ~= was.quality then
      add(one, "message_template_quality_update", { previous_quality_score = was.quality, new_quality_score = one.quality })
    end
  end
  return bodies
end

local function component(t, type)
  for _, c in ipairs(t.components) do if c.type == type then return c end end
end

--- How many different placeholders a text has.
-- @tparam string text
-- @treturn number
function M.placeholders(text)
  local seen, count = {}, 0
  for name in text:gmatch("{{%s*([%w_]+)%s*}}") do
    if not seen[name] then seen[name], count = true, count + 1 end
  end
  return count
end

for _, t in ipairs(M.list) do
  local header = component(t, "HEADER")
  local buttons = component(t, "BUTTONS")
  local body = component(t, "BODY").text
  t.needs = { body = M.placeholders(body), fixed = #body, named = t.parameter_format == "NAMED", url = {} }
  if header then
    t.needs.header = header.format ~= "TEXT" and header.format:lower() or header.text:find("{{", 1, true) and "text"
  end
  for i, button in ipairs(buttons and buttons.buttons or {}) do
    if button.type == "URL" and button.url:find("{{", 1, true) then t.needs.url[i - 1] = true end
  end
end

--- A text as the customer reads it.
-- @tparam table sent the decoded body of a sendTemplate that `check` has passed
-- @treturn string
function M.filled(sent)
  local t = by_key[sent.template .. "\0" .. sent.language.code]
  local values, nth, named = {}, 0, {}
  for _, c in ipairs(sent.params or {}) do
    if c.type == "body" then
      for i, p in ipairs(c.parameters) do
        values[i] = p.text or ""
        if p.parameter_name then named[p.parameter_name] = p.text end
      end
    end
  end
  return (component(t, "BODY").text:gsub("{{%s*([%w_]+)%s*}}", function(name)
    nth = nth + 1
    return named[name] or values[tonumber(name) or nth]
  end))
end

local function refuse(status, text) return status, '{"error":"' .. text:gsub('[\\"]', "\\%0") .. '"}' end

local function graph(code, text, status)
  return status or 400, ('{"error":{"message":"(#%d) %s","type":"OAuthException","code":%d,"fbtrace_id":"Afake"}}')
    :format(code, text, code)
end

local KNOWN = { template = true, namespace = true, language = true, params = true, phone = true, chatId = true,
  bsuid = true, username = true, quotedMsgId = true, messageSendTtlSeconds = true, useMMlite = true,
  messageActivitySharing = true }

local MEDIA = { image = true, video = true, document = true }

local function only(object, allowed, where)
  for key in pairs(object) do
    if not allowed[key] then return ("unknown field %q in %s"):format(tostring(key), where) end
  end
end

local TEXT_KEYS = { type = true, text = true, parameter_name = true }
local COMPONENT_KEYS = { type = true, parameters = true, sub_type = true, index = true }

--- One text parameter: nil, or status and body of the refusal.
local function check_text(p, where)
  local stray = only(p, TEXT_KEYS, where)
  if stray then return refuse(400, stray) end
  if type(p.text) ~= "string" then return graph(131009, "Parameter value is not valid: " .. where) end
  if not p.text:find("%S") then return graph(131008, "Required parameter is missing: " .. where) end
  if p.text:find("[\n\r\t]") or p.text:find("     ", 1, true) then
    return 500, '{"message":"Param text cannot have new-line/tab characters or more than 4 consecutive spaces"}'
  end
end

local function check_header(parameters, wants)
  if not wants then return graph(132018, "Template has no header parameter") end
  local p = parameters[1]
  if #parameters ~= 1 or p.type ~= wants then
    return graph(132012, "Parameter format does not match format in the created template: header, expected " .. wants)
  end
  if wants == "text" then return check_text(p, "header") end
  local media = MEDIA[wants] and p[wants]
  if type(media) ~= "table" or not (media.link or media.id) or media.link and media.id then
    return graph(131009, "Parameter value is not valid: header " .. wants .. " needs a link or an id")
  end
end

local function check_button(c, needs)
  local index = tonumber(c.index)
  if type(c.sub_type) ~= "string" or not index then return graph(131008, "Required parameter is missing: button") end
  if c.sub_type == "url" then
    if not needs.url[index] then return graph(132018, "Button at index " .. index .. " takes no parameter") end
    if #c.parameters ~= 1 or c.parameters[1].type ~= "text" then
      return graph(132012, "Parameter format does not match format in the created template: button")
    end
    return check_text(c.parameters[1], "button")
  end
end


local function check_body(parameters, t)
  if #parameters ~= t.needs.body then
    return refuse(422, ("Template variable count mismatch: expected %d, got %d"):format(t.needs.body, #parameters))
  end
  local length = t.needs.fixed
  for i, p in ipairs(parameters) do
    if p.type == "text" then
      local status, body = check_text(p, "body parameter " .. i)
      if status then return status, body end
      if t.needs.named and type(p.parameter_name) ~= "string" then
        return graph(131008, "Required parameter is missing: parameter_name of body parameter " .. i)
      end
      length = length + plain.length(p.text) - 5
    elseif p.type ~= "currency" and p.type ~= "date_time" then
      return graph(131009, "Parameter value is not valid: type of body parameter " .. i)
    end
  end
  if length > 1024 then return graph(132005, "Translated text too long: hydrated text too long") end
end

local function check_params(params, t)
  local given = {}
  for _, c in ipairs(params) do
    if type(c) ~= "table" then return refuse(400, "params must be an array of component objects") end
    if c.type == "carousel" then return graph(132018, "Template has no carousel") end
    local stray = only(c, COMPONENT_KEYS, "component " .. tostring(c.type))
    if stray then return refuse(400, stray) end
    if type(c.parameters) ~= "table" or #c.parameters == 0 then
      return graph(131008, "Required parameter is missing: parameters of component " .. tostring(c.type))
    end
    for _, p in ipairs(c.parameters) do
      if type(p) ~= "table" then return refuse(400, "parameters must be objects") end
    end
    local status, body
    if c.type == "body" then status, body = check_body(c.parameters, t)
    elseif c.type == "header" then status, body = check_header(c.parameters, t.needs.header)
    elseif c.type == "button" then status, body = check_button(c, t.needs)
    else return graph(100, "Invalid parameter: component type") end
    if status then return status, body end
    if c.type == "button" then given["url" .. c.index] = true
    elseif given[c.type] then return graph(100, "Invalid parameter: two components " .. c.type)
    else given[c.type] = true end
  end
  if t.needs.body > 0 and not given.body then return check_body({}, t) end
  if t.needs.header and not given.header then
    return graph(132012, "Parameter format does not match format in the created template: header missing")
  end
  for index in pairs(t.needs.url) do
    if not given["url" .. index] then return graph(131008, "Required parameter is missing: button " .. index) end
  end
end

local SENDABLE = { APPROVED = true, FLAGGED = true, IN_APPEAL = true }
local TTL = { UTILITY = { 30, 43200 }, AUTHENTICATION = { 30, 900 }, MARKETING = { 43200, 2592000 } }

--- The recipient of a send.
-- @tparam table sent decoded body
-- @treturn ?string digits (or the other kind of address); nil when there is not exactly one, or it is malformed
function M.recipient(sent)
  local count = 0
  for _, key in ipairs { "phone", "chatId", "bsuid", "username" } do
    if sent[key] ~= nil then count = count + 1 end
  end
  if count ~= 1 then return nil end
  local phone = sent.phone
  if phone == nil then return people.address(sent) end
  if type(phone) == "number" then phone = phone % 1 == 0 and ("%.0f"):format(phone) or nil end
  return type(phone) == "string" and #phone >= 6 and #phone <= 15 and people.address { phone = phone } or nil
end

--- Is this body what 1MSG takes?
-- @tparam table sent decoded JSON
-- @tparam string raw the JSON as it came; an empty object and an empty array look alike once decoded
-- @treturn ?number status of the refusal, nil when the body is right
-- @treturn ?string body of the refusal
function M.check(sent, raw)
  local stray = only(sent, KNOWN, "the body")
  if stray then return refuse(400, stray) end
  if not M.recipient(sent) then
    return refuse(400, "the destination is wrong: exactly one of phone (digits), bsuid, username, chatId (not @lid)")
  end
  if type(sent.template) ~= "string" or sent.template == "" then return refuse(422, "template is missing") end
  if type(sent.namespace) ~= "string" or sent.namespace == "" then return refuse(422, "namespace is missing") end
  local language = sent.language
  if type(language) ~= "table" or language.policy ~= "deterministic" or type(language.code) ~= "string" then
    return refuse(422, "language must be an object with policy deterministic and a code")
  end
  stray = only(language, { policy = true, code = true }, "language")
  if stray then return refuse(400, stray) end
  if sent.params ~= nil and type(sent.params) ~= "table" or raw:find('"param%a*"%s*:%s*{') then
    return refuse(400, "params must be an array of component objects")
  end
  local t = by_key[sent.template .. "\0" .. language.code]
  if not t or sent.namespace ~= t.namespace then return refuse(400, "template is not defined") end
  if t.status == "PAUSED" then return graph(132015, "Template is paused") end
  if t.status == "DISABLED" then return graph(132016, "Template is disabled") end
  if not SENDABLE[t.status] then return graph(132001, "Template name does not exist in the translation", 404) end
  local ttl, range = sent.messageSendTtlSeconds, TTL[t.category]
  if ttl ~= nil and (type(ttl) ~= "number" or ttl % 1 ~= 0 or ttl ~= -1 and (ttl < range[1] or ttl > range[2])) then
    return graph(131009, "Parameter value is not valid: messageSendTtlSeconds")
  end
  return check_params(sent.params or {}, t)
end

--- The forms in which a channel may list its templates; several may be on at once.
M.FORMS = { bare = true, no_namespace = true, other_namespace_key = true, string_components = true,
  language_object = true, lower_status = true, ignores_offset = true, error_key = true }

--- One page of the list, as GET templates answers it.
-- @tparam table forms set of names out of FORMS
-- @tparam number limit
-- @tparam number offset
-- @tparam number extra how many generated templates follow the real ones (for paging)
-- @tparam function encode JSON encoder
-- @treturn table the page, a list
-- @treturn number how many there are in all
function M.page(forms, limit, offset, extra, encode)
  local there, page = {}, {}
  for _, t in ipairs(M.list) do
    if t.status ~= "DELETED" then there[#there + 1] = t end
  end
  local total = #there + extra
  if forms.ignores_offset then offset = 0 end
  if forms.error_key then return page, 0 end
  for i = offset + 1, math.min(total, offset + limit) do
    local t = there[i] or template(("filler_%04d"):format(i - #there), "en", "Nothing to say.")
    local row = { name = t.name, language = t.language, category = t.category, status = t.status,
                  components = t.components, namespace = t.namespace, rejected_reason = "NONE",
                  parameter_format = t.parameter_format,
                  quality_score = t.quality and { score = t.quality } or nil }
    if forms.no_namespace and i % 2 == 0 then row.namespace = nil end
    if forms.other_namespace_key then row.namespace, row.message_template_namespace = nil, row.namespace end
    if forms.string_components then row.components = encode(row.components) end
    if forms.language_object then row.language = { code = row.language } end
    if forms.lower_status then row.status = row.status:lower() end
    page[#page + 1] = row
  end
  return page, total
end

return M
