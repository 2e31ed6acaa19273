--- onemsg webhook list|add|remove: where 1MSG posts what becomes of messages. The list is shared with 1MSG's own inbox, so
-- others' URLs stay as they are. A URL is printed without its secret parts.
local calls = require "onemsg.cli.call"
local webhook = require "onemsg.webhook"

local M = {
  summary = "Where 1MSG posts what becomes of messages",
  verb_names = { "list", "add", "remove" }, verbs = {},
}

local FULL = { "full", false, "with secret parts of the URLs" }
local ACKS = { "acks", false, "also switch on ackNotificationsOn, without which no statuses are posted" }

local function show(call, list, health, more)
  local rows = { { "URL", "STATE" } }
  local webhooks = {}
  for n, url in ipairs(list) do
    local shown = call.options.full and url or webhook.mask(url)
    webhooks[n] = { url = shown, state = health and health[url] }
    rows[n + 1] = { shown, health and health[url] or "" }
  end
  more = more or {}
  more.webhooks = webhooks
  call.out:object(more)
  call.out:columns(rows)
end

M.verbs.list = {
  summary = "The list, at most five; what 1MSG says of each, and whether statuses are posted at all",
  options = { FULL, calls.CHANNEL },
  examples = { "onemsg webhook list" },
  run = function(call)
    local channel, err, info = call:channel()
    if not channel then return call:fail(err, info) end
    local list, health
    list, health, info = channel:webhook()
    if not list then return call:fail(health, info) end
    local settings
    settings, err, info = channel:settings()
    if not settings then return call:fail(err, info) end
    show(call, list, health, { ackNotificationsOn = settings.ackNotificationsOn == true })
    if settings.ackNotificationsOn ~= true then
      call.out:line("ackNotificationsOn is off: no statuses are posted; `onemsg webhook add URL --acks` switches it on")
    end
    return true
  end,
}

local function change(call, method, url)
  local channel, err, info = call:channel()
  if not channel then return call:fail(err, info) end
  local list, changed
  list, changed, info = channel[method](channel, url)
  if not list then return call:fail(changed, info, true) end
  local more = { changed = changed }
  if call.options.acks then
    local settings
    settings, err, info = channel:settings { ackNotificationsOn = true }
    if not settings then return call:fail(err, info, true) end
    more.ackNotificationsOn = true
  end
  show(call, list, nil, more)
  call.out:line(changed and "the list was written" or "nothing had to be changed")
  if call.options.acks then call.out:line("ackNotificationsOn is on") end
  return true
end

M.verbs.add = {
  summary = "Add a URL beside the others; revives one that 1MSG disabled",
  arguments = { { "URL", "https, with a secret in its path" } },
  options = { ACKS, FULL, calls.CHANNEL },
  examples = { "onemsg webhook add https://shop.example/hooks/Jq8vT2 --acks" },
  run = function(call) return change(call, "addWebhook", call.options[1]) end,
}

M.verbs.remove = {
  summary = "Take a URL out of the list; the others stay",
  arguments = { { "URL", "as it was added" } },
  options = { FULL, calls.CHANNEL },
  examples = { "onemsg webhook remove https://shop.example/hooks/Jq8vT2" },
  run = function(call) return change(call, "removeWebhook", call.options[1]) end,
}

return M
