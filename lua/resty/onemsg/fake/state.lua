--- What the fake 1MSG can be told, and what a channel remembers: options, settings, webhook URLs. Pure.

local M = {}

--- Options with their defaults; `/_fake/set?name=value` changes them, the type is that of the default.
M.DEFAULTS = {
  latency_ms        = 0,        -- before every answer of the API
  held              = false,    -- on: every answer of the API is kept back until it is off again
  jitter_ms         = 0,        -- the latency is that much more or less, evenly spread
  pace_ms           = 200,      -- one unit of a story: sent after 1, delivered after 2, read after 4
  journal           = true,     -- off for benchmarks
  check             = true,     -- off, with the journal off: accepts all unseen, for benchmarks
  down              = "",       -- a status (401, 403, 429, 502, 503 …), "close" or "hang", for every call of the API
  webhook_form      = "string", -- how webhookUrl is told: string (when there is one; else an array), array, comma
  webhook_disabled  = "",       -- a URL that is listed as disabled and gets nothing until the list is written again
  hook_shape        = "ack",    -- ack, ack_object, hooks, raw, both
  names             = "sent",   -- which names of a customer hooks and history tell: sent, all, bsuid (fake/people.lua)
  templates_form    = "",       -- names out of fake/templates.FORMS, comma between
  templates_extra   = 0,        -- generated templates behind the real ones, for paging
  hookinfo          = "on",     -- on; or the status it answers instead, such as 404, 500
  history           = "on",     -- off: GET messages answers an empty list and a notice
  status            = "connected",
}

--- Words that an option accepts.
local WORDS = {
  webhook_form = { array = true, string = true, comma = true },
  names        = require "onemsg.fake.people".TELL,
  hook_shape   = { ack = true, ack_object = true, hooks = true, raw = true, both = true },
  history      = { on = true, off = true },
}

--- 1MSG's own inbox, which stands in every customer's list.
M.CABINET = "https://app.1msg.io/service/service_core/whatsapp/webhook/1"
M.MAX_WEBHOOKS = 5

local TRUE = { ["true"] = true, on = true, ["1"] = true }
local FALSE = { ["false"] = true, off = true, ["0"] = true, [""] = true }

--- Back to the beginning.
function M.reset()
  M.option = {}
  for name, value in pairs(M.DEFAULTS) do M.option[name] = value end
  for name, value in pairs(M.start or {}) do M.option[name] = value end
  M.settings = { guaranteedHooks = false, ackNotificationsOn = false, rawHooks = false,
                 template_analytics_enabled = false, cta_url_link_tracking_opted_out = false }
  M.webhooks = { M.CABINET }
end
M.reset()

--- Change one option.
-- @tparam string name
-- @tparam string text
-- @treturn ?boolean true; or nil and a sentence
function M.set(name, text)
  local default = M.DEFAULTS[name]
  local value = text
  if default == nil then return nil, "unknown option " .. name end
  if type(default) == "number" then
    value = tonumber(text)
    if not value or value < 0 then return nil, name .. " must be a number, 0 or more" end
  elseif type(default) == "boolean" then
    if not TRUE[text] and not FALSE[text] then return nil, name .. " must be on or off" end
    value = TRUE[text] or false
  elseif WORDS[name] and not WORDS[name][text] then
    return nil, name .. " cannot be " .. text
  end
  M.option[name] = value
  return true
end

--- The URLs that get hooks now: none unless acknowledgements are on.
function M.targets()
  if not M.settings.ackNotificationsOn then return {} end
  local disabled = M.option.webhook_disabled
  if disabled == "" then return M.webhooks end
  local urls = {}
  for _, url in ipairs(M.webhooks) do
    if url ~= disabled then urls[#urls + 1] = url end
  end
  return urls
end

return M
