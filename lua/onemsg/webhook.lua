--- onemsg.webhook: the list of URLs to which a channel posts its hooks. PLATFORM.md 1.6.
-- The list is shared: 1MSG's own inbox is normally in it, and a write replaces it whole. So add and remove read,
-- merge, write and read back; 1MSG has no compare-and-swap, so what another wrote in between is noticed and told.
-- Pure, but for add and remove, which call channel:webhook and channel:setWebhook and wait as those do.
local misuse = require "onemsg.base.check".misuse
local plain = require "onemsg.base.utf8"

local M = {}

M.MAX = 5 -- URLs that a channel can have
local URL_BYTES = 2048
local LIST_ITEMS = 100 -- a list longer than this is not one of 1MSG's

-- URLs ----------------------------------------------------------------------------------------------------------

--- A URL for printing: values of its query, user names and secret-looking path segments are replaced by ***.
function M.mask(url)
  if type(url) ~= "string" then return "?" end
  local head, path, query = url:match("^(%a[%w+.-]*://[^/?#]*)([^?#]*)(.*)$")
  if not head then return "***" end
  head = head:gsub("://[^/]*@", "://***@")
  path = path:gsub("([^/]+)(/?)", function(segment, slash)
    local harmless = #segment < 12 or #segment < 24 and segment:find("^[%l_-]+$")
    return (harmless and segment or "***") .. slash
  end)
  query = query:gsub("=[^&#]*", "=***"):gsub("#.*", "")
  if query:find("^%?[^=]+$") then query = "?***" end
  return plain.cut((head .. path .. query):gsub("[%c]", "?"), 200)
end

local function loopback(host)
  return host == "localhost" or host:find("^127%.%d+%.%d+%.%d+$") ~= nil or host == "[::1]"
end

--- What keeps a URL from being registered, or nil: it is https, or http on this machine, and has no blanks, commas, user
-- names or fragments.
local function fault_of(url)
  if #url > URL_BYTES then return ("is longer than %d bytes"):format(URL_BYTES) end
  if url:find("[%z\1-\32\127-\255\"<>\\^`{|}]") then
    return "has a blank or a character that must be percent-encoded"
  end
  if url:find(",", 1, true) then return "has a comma; 1MSG lists are split at commas" end
  if url:find("#", 1, true) then return "has a fragment (#…); leave it out" end
  local scheme, authority = url:match("^(%a+)://([^/?]+)")
  if not scheme then return "must begin with https:// and a host" end
  if authority:find("@", 1, true) then return "has a user name; put the secret in its path" end
  local host = authority:match("^(%[[%x:.]+%])") or authority:match("^([^:]+)")
  local port = authority:sub(#(host or "") + 1)
  if not host or not (port == "" or port:find("^:%d+$")) then return "has a host or port that is malformed" end
  scheme = scheme:lower()
  if scheme == "https" or scheme == "http" and loopback(host:lower()) then return nil end
  return "must be https (http only on this machine)"
end

--- Is this a URL that can be registered: https, or http on this machine; no blanks, commas, user names, fragments?
-- @return the URL, trimmed; or nil, "invalid: …"
function M.check(url)
  if type(url) ~= "string" then return nil, "invalid: the webhook URL must be a text" end
  url = plain.trim(url)
  local fault = fault_of(url)
  if fault then return nil, "invalid: the webhook URL " .. fault end
  return url
end

--- Do two URLs mean the same entry? One slash at the end makes no difference (as in 1MSG's own tools).
function M.same(a, b)
  if type(a) ~= "string" or type(b) ~= "string" then return false end
  return plain.trim(a):gsub("/$", "") == plain.trim(b):gsub("/$", "")
end

local function position(list, url)
  for i, one in ipairs(list) do
    if M.same(one, url) then return i end
  end
  return nil
end

-- Reading -------------------------------------------------------------------------------------------------------

--- Adds what may be a URL, several in one text, or an object around a URL.
local function append(list, value)
  if type(value) == "table" then value = value.url or value.webhookUrl end
  if type(value) ~= "string" then return end
  -- old lists are one text with commas; a comma inside a URL is not followed by a scheme
  for url in value:gsub(",%s*(%a+://)", "\n%1"):gmatch("[^\n]+") do
    url = plain.trim(url):match("^.*[^,%s]") or ""
    if url ~= "" and #list < LIST_ITEMS and not position(list, url) then list[#list + 1] = url end
  end
end

local function health_word(value)
  if type(value) == "table" then
    if value.disabled == true or value.enabled == false or value.active == false then return "disabled" end
    value = value.status or value.state or value.health
  end
  if value == false then return "disabled" end
  if value == true then return "active" end
  return type(value) == "string" and #value <= 64 and value:lower() or nil
end

--- The URLs in an answer of GET webhook, in its order, without doubles, and what it says of their health.
-- @param answer { webhookUrl = text | list | texts with commas, webhookStatuses = … }; anything else is an empty list
-- @return list of URLs, map of URL to a word ("active", "disabled", …) where the answer tells one
function M.parse(answer)
  local list, health = {}, {}
  if type(answer) == "string" then answer = { webhookUrl = answer } end
  if type(answer) ~= "table" then return list, health end
  local urls = answer.webhookUrl
  if urls == nil then urls = answer[1] ~= nil and answer or answer.webhookUrls end
  if type(urls) == "table" and (urls[1] ~= nil or next(urls) == nil) then
    for _, value in ipairs(urls) do append(list, value) end
  else
    append(list, urls)
  end
  for key, value in pairs(type(answer.webhookStatuses) == "table" and answer.webhookStatuses or {}) do
    local url = type(key) == "string" and key or type(value) == "table" and (value.url or value.webhookUrl)
    local at = url and position(list, url)
    if at then health[list[at]] = health_word(value) end
  end
  return list, health
end

-- Writing -------------------------------------------------------------------------------------------------------

--- How many entries a list has; what is no list is misuse.
local function length(list)
  if type(list) ~= "table" then misuse("setWebhook takes a list of URLs, and got a " .. type(list)) end
  for key in pairs(list) do
    if type(key) ~= "number" or key < 1 or key > #list or key % 1 ~= 0 then -- { url = … } is no empty list
      misuse 'setWebhook takes a list of URLs: { "https://…", … }'
    end
  end
  return #list
end

--- What channel:setWebhook posts. Every rule of a list stands here.
-- @param list URLs, or one URL
-- @param before nil, or the list as it was read: its entries may be others', and are written back as they are
-- @return the body, the path under the channel; or nil and what is wrong
function M.written(list, before)
  if type(list) == "string" then list = { list } end
  if before ~= nil and type(before) ~= "table" then
    misuse("setWebhook takes the list as it was read second, and got a " .. type(before))
  end
  local count, urls = length(list), {}
  if count > M.MAX then return nil, ("%d webhook URLs; 1MSG keeps %d"):format(count, M.MAX) end
  for i, url in ipairs(list) do
    if type(url) ~= "string" then
      misuse(("setWebhook takes a list of URLs, and its entry %d is a %s"):format(i, type(url)))
    end
    urls[i] = plain.trim(url)
    local fault = not position(before or {}, url) and fault_of(urls[i])
    if fault then return nil, ("webhook URL %d %s"):format(i, fault) end
  end
  -- lua-cjson can't tell an empty list from an empty object; clearing by settings is the documented way
  if count == 0 then return { webhookUrl = "" }, "settings" end
  return { webhookUrl = count == 1 and urls[1] or urls }, "webhook" -- PLATFORM.md 9
end

local sick = { disabled = true, inactive = true, failed = true, failing = true, off = true, blocked = true }

--- Is hook delivery to this URL known to be switched off?
function M.disabled(health, url)
  for one, state in pairs(type(health) == "table" and health or {}) do
    if M.same(one, url) and sick[state] then return true end
  end
  return false
end

-- Changing ------------------------------------------------------------------------------------------------------

local function invalid(err)
  return nil, err, { outcome = "invalid", retry = false }
end

local function check_text(method, url)
  if type(url) ~= "string" then misuse(method .. " takes a URL, and got a " .. type(url)) end
end

local function masked(list)
  local out = {}
  for i, url in ipairs(list) do out[i] = M.mask(url) end
  return #out > 0 and table.concat(out, ", ") or "none"
end

--- The first URL of `wanted` that `list` lacks.
local function missing(wanted, list)
  for _, url in ipairs(wanted) do
    if not position(list, url) then return url end
  end
  return nil
end

--- Writes a list and reads it back. Writing a list twice does no harm, so a lost answer is settled by the reading.
-- @return the list as read, its health; or nil, err, info
local function write(channel, wanted, before)
  local done, err, info = channel:setWebhook(wanted, before)
  if done == nil and not (type(info) == "table" and info.outcome == "unknown") then return nil, err, info end
  local list, health, read_info = channel:webhook()
  if list == nil then return nil, health, read_info end
  return list, health
end

local function conflict(what, list)
  return nil, ("conflict: %s; somebody else may be writing the list. It is now: %s"):format(what, masked(list)),
    { outcome = "unknown", retry = true }
end

--- Registers a URL beside the others, keeping them and their order. Writes nothing when it is there and healthy; where
-- 1MSG reports it as disabled, the complete list is written again, which revives it.
-- @return the list as it is now, true when it was written; or nil, err, info
function M.add(channel, url)
  check_text("addWebhook", url)
  local ours, err = M.check(url)
  if not ours then return invalid(err) end
  local list, health, info = channel:webhook()
  if list == nil then return nil, health, info end
  local at = position(list, ours)
  if at and not M.disabled(health, ours) then return list, false end
  if not at and #list >= M.MAX then
    return invalid(("invalid: the channel has %d webhook URLs, 1MSG allows %d; remove one first: %s"):format(
      #list, M.MAX, masked(list)))
  end
  local wanted = {}
  for i, one in ipairs(list) do wanted[i] = one end
  if not at then wanted[#wanted + 1] = ours end
  local now
  now, health, info = write(channel, wanted, list)
  if now == nil then return nil, health, info end
  local lost = missing(wanted, now)
  if lost then return conflict(M.mask(lost) .. " is not in the list after it was written", now) end
  if M.disabled(health, ours) then
    return nil, ("rejected: 1MSG still reports %s as disabled after the list was written again; see that the address "
      .. "answers, then repeat"):format(M.mask(ours)), { outcome = "rejected", retry = true, retry_after = 60 }
  end
  return now, true
end

--- Takes a URL out of the list, keeping the others and their order. Writes nothing when it is not there.
-- @return the list as it is now, true when it was written; or nil, err, info
function M.remove(channel, url)
  check_text("removeWebhook", url)
  if plain.trim(url) == "" then return invalid("invalid: the webhook URL is empty") end
  local list, health, info = channel:webhook()
  if list == nil then return nil, health, info end
  if not position(list, url) then return list, false end
  local wanted = {}
  for _, one in ipairs(list) do
    if not M.same(one, url) then wanted[#wanted + 1] = one end
  end
  local now
  now, health, info = write(channel, wanted, list)
  if now == nil then return nil, health, info end
  if position(now, url) then return conflict(M.mask(url) .. " is in the list again after it was taken out", now) end
  local lost = missing(wanted, now)
  if lost then return conflict(M.mask(lost) .. " is not in the list after it was written", now) end
  return now, true
end

return M
