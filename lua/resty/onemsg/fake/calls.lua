--- The calls of the fake 1MSG other than sendTemplate: hookInfo, templates, status, settings, webhook, messages
-- (PLATFORM.md 1.5 to 1.7). nginx only for the reply. Each is M[verb .. " " .. method](args, sent).

local cjson = require "cjson"
local messages = require "onemsg.fake.messages"
local reply = require "resty.onemsg.fake.send".reply
local state = require "resty.onemsg.fake.state"
local templates = require "onemsg.fake.templates"

local M = {}

local function array(list) return #list == 0 and "[]" or cjson.encode(list) end

M["GET hookInfo"] = function(args)
  local mode = state.option.hookinfo
  if mode ~= "on" then return reply(tonumber(mode) or 500, '{"error":"Unknown method \\"hookInfo\\""}') end
  if type(args.messageId) ~= "string" then return reply(400, '{"error":"messageId is required"}') end
  local list = messages.hook_info(args.messageId, ngx.now(), state.option.pace_ms / 1000, state.option.names)
  reply(200, '{"hooks":' .. array(list) .. "}")
end

M["GET templates"] = function(args)
  local forms = {}
  for name in state.option.templates_form:gmatch "[%w_]+" do forms[name] = true end
  local limit, offset = tonumber(args.limit) or 100, tonumber(args.offset) or 0
  local page, total = templates.page(forms, limit, offset, state.option.templates_extra, cjson.encode)
  if forms.bare then return reply(200, array(page)) end
  local trouble = forms.error_key and '"error":"Templates are not available now",' or ""
  reply(200, ('{%s"total":%d,"templates":%s}'):format(trouble, total, array(page)))
end

M["GET status"] = function()
  reply(200, cjson.encode { status = state.option.status, accountStatus = "active", mm_lite_available = false })
end

M["GET messages"] = function(args)
  if state.option.history == "off" then
    return reply(200, '{"messages":[],"notice":"Message history is disabled for this channel"}')
  end
  reply(200, '{"messages":' .. array(messages.find(args, state.option.names)) .. "}")
end

local function listed()
  local urls, form = state.webhooks, state.option.webhook_form
  if #urls == 0 then return '""' end
  if form == "comma" then return cjson.encode(table.concat(urls, ",")) end
  if form == "string" and #urls == 1 then return cjson.encode(urls[1]) end
  return cjson.encode(urls)
end

--- Take over a list of URLs: nil and a sentence, or whether anything changed.
local function take(value)
  if value == "" then value = {} elseif type(value) == "string" then value = { value } end
  if type(value) ~= "table" then return nil, "webhookUrl must be a string or an array" end
  local seen = 0
  for key, url in pairs(value) do
    if type(key) ~= "number" then return nil, "webhookUrl must be a string or an array" end
    if type(url) ~= "string" or not url:find "^[Hh][Tt][Tt][Pp][Ss]?://[%w.%-%[:]+[^%s,]*$" then
      return nil, "webhookUrl is not a valid URL"
    end
    seen = seen + 1
  end
  if seen > state.MAX_WEBHOOKS then return nil, "Maximum " .. state.MAX_WEBHOOKS .. " webhook URLs" end
  local changed = table.concat(value, ",") ~= table.concat(state.webhooks, ",")
  state.webhooks = value
  return changed
end

M["GET webhook"] = function()
  local disabled, health = state.option.webhook_disabled, ""
  if disabled ~= "" then
    local list = {}
    for i, url in ipairs(state.webhooks) do
      list[i] = { webhookUrl = url, status = url == disabled and "disabled" or "active" }
    end
    health = ',"webhookStatuses":' .. array(list)
  end
  reply(200, '{"webhookUrl":' .. listed() .. health .. "}")
end

M["POST webhook"] = function(_, sent)
  if not sent or sent.webhookUrl == nil then return reply(400, '{"error":"webhookUrl is required"}') end
  local changed, why = take(sent.webhookUrl)
  if changed == nil then return reply(400, cjson.encode { error = why }) end
  state.option.webhook_disabled = ""
  reply(200, ('{"set":%s,"webhookUrl":%s}'):format(tostring(changed), listed()))
end

M["GET settings"] = function()
  local head = cjson.encode(state.settings):sub(1, -2)
  reply(200, head .. ',"webhookUrl":' .. listed() .. "}")
end

M["POST settings"] = function(_, sent)
  if not sent then return reply(400, '{"error":"Request body is not valid JSON"}') end
  for name, value in pairs(sent) do
    if name ~= "webhookUrl" and type(state.settings[name]) ~= type(value) then
      return reply(400, cjson.encode { error = "Setting " .. name .. " is unknown or has a wrong type" })
    end
  end
  if sent.webhookUrl ~= nil then
    local changed, why = take(sent.webhookUrl)
    if changed == nil then return reply(400, cjson.encode { error = why }) end
  end
  for name, value in pairs(sent) do
    if name ~= "webhookUrl" then state.settings[name] = value end
  end
  reply(200, '{"update":' .. (next(sent) and cjson.encode(sent) or "{}") .. "}")
end

--- The methods there are, whatever the verb.
M.methods = {}
for call in pairs(M) do
  local method = call:match "^%u+ (%a+)$"
  if method then M.methods[method] = true end
end
M.methods.sendTemplate = true

return M
