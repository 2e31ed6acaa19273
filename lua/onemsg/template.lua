--- onemsg.template: what templates a channel has, and whether a message fits one. PLATFORM.md 1.4, 1.7, 5.1 to 5.3.
-- Pure, but for fetch, which calls channel:request. Answers are read leniently (every form that channels were seen to
-- give), messages are checked strictly: what does not fit is told before a byte leaves.
local check = require "onemsg.base.check"
local plain = require "onemsg.base.utf8"
local codes = require "onemsg.codes"
local document = require "onemsg.base.document"
local fit = require "onemsg.template.fit"

local M = {}

M.PAGE = 100  -- templates asked for at once
M.PAGES = 20  -- pages read at most
local WORD_BYTES, TEXT_BYTES = 600, 64 * 1024

local MEDIA = { IMAGE = "image", VIDEO = "video", DOCUMENT = "document", LOCATION = "location" }
local NAMESPACE_KEYS = { "namespace", "message_template_namespace", "messageTemplateNamespace" }

local decode = document.reader(32, "told")

local function object(value)
  return type(value) == "table" and value or nil
end

local function word(value)
  value = type(value) == "string" and #value <= WORD_BYTES and plain.trim(value) or ""
  return value ~= "" and value or nil
end

local function text_of(value)
  return type(value) == "string" and #value <= TEXT_BYTES and value or nil
end

local function upper(value)
  value = word(value)
  return value and value:upper()
end

-- Reading the list ----------------------------------------------------------------------------------------------

local function components_of(value)
  if type(value) == "string" and #value <= TEXT_BYTES * 4 then value = decode(value) end
  return object(value) or {}
end

local function header_of(component)
  local format = upper(component.format) or "TEXT"
  local text = text_of(component.text)
  return { format = format, text = text, names = fit.placeholders(text), media = MEDIA[format] }
end

local function buttons_of(component)
  local list = {}
  for i, button in ipairs(object(component.buttons) or {}) do
    button = object(button) or {}
    local kind, url = upper(button.type) or "", text_of(button.url)
    local needs
    if kind == "URL" and url and url:find("{{", 1, true) then needs = "url"
    elseif kind == "COPY_CODE" then needs = "code" end
    list[i] = { index = i - 1, type = kind, text = text_of(button.text), url = url, needs = needs,
                takes = needs or kind == "QUICK_REPLY" and "payload" or kind == "FLOW" and "flow" or nil }
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
  t.names, named = fit.placeholders(t.body_text)
  t.body_count = #t.names
  t.parameter_format = upper(item.parameter_format) or (named and "NAMED" or "POSITIONAL")
  local quality = item.quality_score
  t.quality = upper(word(quality) or word(object(quality) and quality.score))
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
-- @return list of { name, language, category, status, quality (GREEN, YELLOW, RED; these three in upper case), namespace,
--   components, body_text, body_count (how many values), names (which), parameter_format ("POSITIONAL" | "NAMED"),
--   header = { format, text, names, media }, buttons = { { index, type, text, url, needs, takes } }, sendable,
--   rejected_reason, id }; a namespace that is absent is taken from the others when they all share one, as it belongs to
--   the WhatsApp account
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

local TAKES = { limit = { 1, 1000 }, pages = { 1, 1000 } }

--- Collects the pages of a channel's list, whoever asks for them.
-- Some channels ignore offset: a page that brings nothing new ends it; so do `total` and the 20th page.
-- @param opts nil, or { limit = 100 (templates a page), pages = 20 }
-- @return a function that gives the next request's path; and one that takes an answer and gives what normalize returns,
--   with truncated = true when there may be more; false: one more page is to be asked for; or nil, err, info
function M.pager(opts)
  opts = check.options("templates", opts, TAKES)
  local limit, pages = opts.limit or M.PAGE, opts.pages or M.PAGES
  local all, seen, offset, page = {}, {}, 0, 0

  local function path() return ("templates?limit=%d&offset=%d"):format(limit, offset) end

  local function take(answer)
    if type(answer) ~= "table" then
      return nil, "unknown: the answer is not a list of templates", { outcome = "unknown", status = 200, retry = false }
    end
    page = page + 1
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
    local over = news == 0 or type(answer.total) == "number" and offset >= answer.total
    if not over and page < pages then return false end
    local found = M.normalize { templates = all }
    found.truncated = not over or nil
    return found
  end
  return path, take
end

--- All templates of a channel, page by page. Calls channel:request, so it waits as that waits.
-- @param opts as of pager
-- @return what normalize returns, with truncated = true when there may be more; or nil, err, info
function M.fetch(channel, opts)
  local path, take = M.pager(opts)
  while true do
    local answer, err, info = channel:request("GET", path())
    if answer == nil then return nil, err, info end
    local list
    list, err, info = take(answer)
    if list ~= false then return list, err, info end
  end
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

--- template.fill(tpl, values), template.length(tpl, values), template.check(tpl, message): see onemsg.template.fit.
M.fill, M.length, M.check = fit.fill, fit.length, fit.check

--- Is this the form of a language code (en, pt_BR)? Codes are exact: en and en_US are two languages. PLATFORM.md 5.3.
-- @return the code; or nil, "invalid: …", with the likely spelling where there is one
function M.language(code)
  if type(code) == "string" then
    if code:find("^%l%l%l?$") or code:find("^%l%l%l?_%u%u$") then return code end
    local lang, region = code:match("^%s*(%a%a%a?)%s*$"), nil
    if not lang then lang, region = code:match("^%s*(%a%a%a?)[_%-%s](%a%a)%s*$") end
    if lang then
      local likely = lang:lower() .. (region and "_" .. region:upper() or "")
      return nil, ("invalid: language %q is not exact; did you mean %s?"):format(plain.cut(code, 40), likely)
    end
    return nil, ("invalid: %q is not a language code such as en or pt_BR"):format(plain.cut(code, 40))
  end
  return nil, "invalid: the language must be a code such as \"en\" or \"pt_BR\""
end

return M
