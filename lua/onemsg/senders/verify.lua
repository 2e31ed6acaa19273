--- onemsg.senders.verify: did the sender send this? One verifier for all rows (onemsg.senders.table): HMACs in a header or
-- in the event, and secrets that are sent as they are. Every comparison takes the same time wherever texts differ. Pure.
local template = require "onemsg.senders.template"
local utf8 = require "onemsg.base.utf8"

local M = {}

local TOLERANCE = 300     -- seconds that the sender's clock and ours may differ, either way
local MILLISECONDS = 1e11 -- a time above is in thousandths: as seconds it would be the year 5138
local HEADER_BYTES = 4096
local SIGNATURES = 16     -- looked at in one request
local COMPARE_KEY = "onemsg.senders" -- of digests that hide how long a secret is; itself no secret

local function core() return require "onemsg" and require "onemsg.core" end

local HEX = {}
for byte = 0, 255 do HEX[string.char(byte)] = ("%02x"):format(byte) end

local function hex(bytes) return (bytes:gsub(".", HEX)) end

local function unhex(text)
  if #text == 0 or #text % 2 == 1 or text:find "%X" then return nil end
  return (text:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
end

local ENTITIES = { amp = "&", lt = "<", gt = ">", quot = '"', ["#039"] = "'", ["#39"] = "'" }

--- How the text of a secret becomes the key.
M.KEYS = {
  raw = function(text) return text end,
  html = function(text) return (text:gsub("&(#?%w+);", ENTITIES)) end,
  hex = unhex,
  base64 = function(text) return core().unbase64((text:gsub("^v1,", ""):gsub("^whsec_", ""))) end,
}
M.TEXTS = { hex = true, base64 = true }
M.MACS = { sha256 = true, sha512 = true }
M.EQUAL = { text = true, bearer = true, basic = true }

--- Keys out of secrets.
-- @tparam table row ready
-- @tparam string|table secrets a text or a list: the old and the new one
-- @treturn ?table
-- @treturn string with nil: a sentence that does not hold the secret
function M.keys(row, secrets)
  if type(secrets) == "string" then secrets = { secrets } end
  if type(secrets) ~= "table" then return nil, "the secret must be a text or a list of texts" end
  local keys = { row = row }
  for n, secret in ipairs(secrets) do
    local text = type(secret) == "string" and utf8.trim(secret) or ""
    if text == "" then return nil, ("secret %d is no text"):format(n) end
    keys[n] = { text = text }
    local form
    for at, scheme in ipairs(row.schemes) do
      local key = M.KEYS[scheme.key or "raw"](text)
      if key and key ~= "" then keys[n][at], form = key, "good" end
      form = form or scheme.key
    end
    if form ~= "good" then return nil, ("secret %d is not %s"):format(n, form) end
  end
  if #keys == 0 then return nil, "there is no secret" end
  return keys
end

-- Reading what was given --------------------------------------------------------------------------------------------

--- Adds the signatures in a text.
local function found(list, text, pattern)
  if #text > HEADER_BYTES then return end
  if not pattern then
    list[#list + 1] = utf8.trim(text)
  elseif pattern:sub(1, 1) == "^" then -- gmatch does not anchor
    list[#list + 1] = text:match(pattern)
  else
    for one in text:gmatch(pattern) do
      if #list >= SIGNATURES then return end
      list[#list + 1] = one
    end
  end
end

--- The value of the scheme's header: a text, or, where it may come several times, a list; nil: absent.
local function given_header(scheme, request)
  for _, name in ipairs(scheme.headers) do
    local value = request.headers[name]
    if type(value) == "string" and value ~= "" or type(value) == "table" and value[1] then return value, name end
  end
  return nil, scheme.headers[1]
end

--- Is this scheme's mark on the request at all?
function M.present(scheme, request)
  if scheme.from then return true end
  if given_header(scheme, request) then return true end
  return (scheme.query and request.query[scheme.query] or scheme.path and request.path_secret) ~= nil
end

--- The time that was signed, as it was written; nil and why it is not taken.
local function signed_time(scheme, request, header, now)
  local of = scheme.time:match "^header%.(.+)$"
  local text = of and request.headers[of]
  if not of and type(header) == "string" then text = header:match(scheme.time) end
  if type(text) ~= "string" or #text > 16 or not text:find "^%d+$" then
    return nil, (of or scheme.headers[1]) .. " has no time"
  end
  local seconds = tonumber(text)
  if seconds > MILLISECONDS then seconds = seconds / 1000 end
  local tolerance = scheme.tolerance or TOLERANCE
  if seconds < now - tolerance then return nil, "the signature is too old" end
  if seconds > now + tolerance then return nil, "the signature is from the future" end
  return text
end

-- Comparing ---------------------------------------------------------------------------------------------------------

local NO_MATCH = "no signature matches: another secret, or the body was changed on its way"

local function macs(scheme, at, keys, request, event)
  local hmac, encode, out = require "onemsg".hmac, scheme.text == "base64" and core().base64 or hex, {}
  for _, fill in ipairs(scheme.fills) do
    local text, lacking = fill(request, event, scheme.loose)
    if not text then return nil, ("{%s} is missing, and is signed"):format(lacking) end
    for _, key in ipairs(keys) do
      if key[at] then out[#out + 1] = encode(hmac(key[at], text, scheme.mac or "sha256")) end
    end
  end
  return out
end

local function any_equal(given, expected)
  local equal, matched = require "onemsg".equal, false
  for _, one in ipairs(given) do
    for _, other in ipairs(expected) do
      if equal(one, other) then matched = true end
    end
  end
  return matched
end

local function hidden(list)
  local hmac, out = require "onemsg".hmac, {}
  for n, text in ipairs(list) do out[n] = hmac(COMPARE_KEY, text) end
  return out
end

--- A secret that is sent as it is, in a header, in the query or in the path.
local function verify_equal(scheme, keys, request)
  local given, name = given_header(scheme, request)
  if type(given) ~= "string" then given = nil end
  if given and scheme.equal == "basic" then
    given = given:match "^[Bb][Aa][Ss][Ii][Cc] +(%S+)%s*$"
    given = given and core().unbase64(given)
  elseif given and scheme.equal == "bearer" then
    given = utf8.trim(given:match "^[Bb][Ee][Aa][Rr][Ee][Rr] +(.*)$" or given)
  end
  given = given or scheme.query and request.query[scheme.query] or scheme.path and request.path_secret
  if type(given) ~= "string" or given == "" then return nil, name .. " is missing" end
  local secrets = {}
  for n, key in ipairs(keys) do secrets[n] = key.text end
  if any_equal(hidden { given }, hidden(secrets)) then return true end
  return nil, name .. " is not the secret"
end

--- Verifies by one scheme.
-- @tparam table scheme ready
-- @tparam number at its place in the row
-- @tparam table keys
-- @tparam table request
-- @tparam ?table event where the signature stands in the event
-- @tparam number now
-- @treturn ?boolean
-- @treturn string with nil: a sentence part
function M.scheme(scheme, at, keys, request, event, now)
  if scheme.equal then return verify_equal(scheme, keys, request) end
  local given, value, name = {}
  if scheme.from then
    value, name = scheme.from(request, event)
  else
    value, name = given_header(scheme, request)
  end
  if value == nil then return nil, name .. " is missing" end
  if scheme.time then
    local wrong
    request.time, wrong = signed_time(scheme, request, value, now)
    if not request.time then return nil, wrong end
  end
  for _, one in ipairs(type(value) == "table" and value or { value }) do found(given, one, scheme.find) end
  if scheme.text ~= "base64" then
    for n, one in ipairs(given) do given[n] = one:lower() end
  end
  local expected, wrong = macs(scheme, at, keys, request, event)
  if not expected then return nil, wrong end
  if any_equal(given, expected) then return true end
  return nil, NO_MATCH
end

-- Rows --------------------------------------------------------------------------------------------------------------

local function ready_one(scheme)
  local made, wrong = {}
  for name, value in pairs(scheme) do made[name] = value end
  local headers = type(scheme.header) == "table" and scheme.header or { scheme.header }
  made.headers = {}
  for n, name in ipairs(headers) do made.headers[n] = name:lower() end
  if scheme.from then
    made.from, wrong = template.compile(scheme.from)
    if not made.from then return nil, "from: " .. wrong end
  end
  if scheme.equal then
    if not M.EQUAL[scheme.equal] then return nil, "equal must be text, bearer or basic" end
    if not made.headers[1] then made.headers[1] = "authorization" end
    return made
  end
  if not (made.from or made.headers[1]) then return nil, "header is missing" end
  if not M.TEXTS[scheme.text or "hex"] then return nil, "text must be hex or base64" end
  if not M.MACS[scheme.mac or "sha256"] then return nil, "mac must be sha256 or sha512" end
  if not M.KEYS[scheme.key or "raw"] then return nil, "key must be raw, html, hex or base64" end
  made.fills = {}
  for n, source in ipairs(type(scheme.over) == "table" and scheme.over or { scheme.over or "{body}" }) do
    made.fills[n], wrong = template.compile(source)
    if not made.fills[n] then return nil, "over: " .. wrong end
  end
  return made
end

--- The schemes of a row, ready.
-- @tparam ?table sign one, or a list of them: the first whose header is there is asked
function M.ready(sign)
  local list = {}
  for n, scheme in ipairs(sign[1] and sign or { sign }) do
    local made, wrong = ready_one(scheme)
    if not made then return nil, "sign: " .. wrong end
    list[n] = made
  end
  return list
end

return M
