--- onemsg.signature: signs and verifies events after Standard Webhooks 1.0 (webhook-id, webhook-timestamp,
-- webhook-signature; Svix writes svix- for webhook-): HMAC-SHA256 over "id.timestamp.body", several secrets and several
-- signatures at once, so that a secret can be changed without a gap. Pure: the time is an argument. 1MSG itself signs
-- nothing (PLATFORM.md 3.4); this is for the events that your own systems send.
local utf8 = require "onemsg.base.utf8"

local M = {}

M.TOLERANCE = 300 -- seconds that sender's and receiver's clocks may differ, either way
local PREFIX = "whsec_"
local HEADER_BYTES = 4096
local SIGNATURES = 16 -- signatures looked at in one header

--- The C module, at the first use: loading this loads no C.
local function load_core()
  return require "onemsg" and require "onemsg.core"
end

-- Signatures ----------------------------------------------------------------------------------------------------

--- A secret as it was meant: without blanks and quotes around it, and without the "v1," that stands before signatures.
local function pasted(secret)
  return (utf8.unquoted(secret):gsub("^v1,%s*", ""))
end

--- The key in a secret: base64, with or without "whsec_" before it; blanks, quotes and "v1," around it are left out. Digits
-- that somebody made with `openssl rand -hex` are refused: as base64 they would be another key than the sender's.
-- @return bytes; or nil and a sentence, which does not contain the secret
function M.key(secret)
  if type(secret) ~= "string" then return nil, "config: a signing secret must be a text such as whsec_…" end
  local text = pasted(secret)
  if text:sub(1, #PREFIX) == PREFIX then
    text = text:sub(#PREFIX + 1)
  elseif #text >= 16 and not text:find "[^%x]" and not (text:find "%l" and text:find "%u") then
    return nil, "config: a signing secret of hexadecimal digits only is no base64, though it can be read as such; "
      .. "write whsec_ before the base64 of its bytes, and give the sender the same"
  end
  local key = load_core().unbase64(text)
  if not key or key == "" then
    return nil, "config: a signing secret must be whsec_ and base64; make one with: openssl rand -base64 32"
  end
  return key
end

local function signed(key, id, timestamp, body)
  return load_core().base64(require "onemsg".hmac(key, id .. "." .. timestamp .. "." .. body))
end

--- The value of the header webhook-signature. Raises when an argument is wrong.
-- @param secret "whsec_…"
-- @param id value of webhook-id: the event's own id, the same at each repeat
-- @param timestamp value of webhook-timestamp: Unix seconds, a whole number
-- @param body the bytes of the request body
-- @return "v1,<base64>"
function M.sign(secret, id, timestamp, body)
  local key, err = M.key(secret)
  if not key then error("signature.sign: " .. err, 2) end
  if type(id) ~= "string" or id == "" or id:find("[%c%s]") then
    error("signature.sign: id must be a text without blanks", 2)
  end
  if type(timestamp) ~= "number" or timestamp ~= math.floor(timestamp) or timestamp < 0 or timestamp > 1e11 then
    error("signature.sign: timestamp must be whole Unix seconds", 2)
  end
  if type(body) ~= "string" then error("signature.sign: body must be a string", 2) end
  return "v1," .. signed(key, id, ("%d"):format(timestamp), body)
end

--- A header's value, whatever the case of its name; nil where it is absent, or present more than once.
local function header(headers, name)
  local value = headers[name]
  if value == nil then
    for key, one in pairs(headers) do
      if type(key) == "string" and key:lower() == name then value = one end
    end
  end
  return type(value) == "string" and #value <= HEADER_BYTES and value ~= "" and value or nil
end

--- The id that a message has in its headers: the sender's name for it, the same at each repeat.
-- @param headers as for verify
-- @return the id or nil; how the names of its headers begin
function M.id(headers)
  local svix = not header(headers, "webhook-signature") and header(headers, "svix-signature")
  local family = svix and "svix-" or "webhook-"
  return header(headers, family .. "id"), family
end

--- Is this request signed with one of our secrets, and recent? Compares in constant time. A replay inside the
-- tolerance is for the caller to notice, by the event's id. Raises on a wrong secret: that is a fault of the set-up.
-- @param secrets "whsec_…" or a list of them (the old and the new one while a secret is changed)
-- @param headers table of the request's headers, names in any case
-- @param body the bytes as they came, before any parsing
-- @param now Unix seconds
-- @return true; or nil and the reason (no secret, no signature in it)
function M.verify(secrets, headers, body, now)
  if type(secrets) == "string" then secrets = { secrets } end
  if type(secrets) ~= "table" or #secrets == 0 then error("signature.verify: there is no secret to verify with", 2) end
  if type(headers) ~= "table" then error("signature.verify: headers must be a table", 2) end
  if type(body) ~= "string" then error("signature.verify: body must be a string", 2) end
  if type(now) ~= "number" then error("signature.verify: now is the time in seconds, for example os.time()", 2) end
  local id, family = M.id(headers)
  local timestamp, given = header(headers, family .. "timestamp"), header(headers, family .. "signature")
  if not id then return nil, family .. "id is missing" end
  if not timestamp then return nil, family .. "timestamp is missing" end
  if not given then return nil, family .. "signature is missing" end
  local seconds = #timestamp <= 12 and timestamp:find("^%d+$") and tonumber(timestamp)
  if not seconds then return nil, family .. "timestamp is not a number of seconds" end
  if seconds < now - M.TOLERANCE then return nil, family .. "timestamp is too old" end
  if seconds > now + M.TOLERANCE then return nil, family .. "timestamp is in the future" end
  local equal, expected, matched, count = require "onemsg".equal, {}, false, 0
  for i, secret in ipairs(secrets) do
    local key, err = M.key(secret)
    if not key then error("signature.verify: " .. err, 2) end
    expected[i] = signed(key, id, timestamp, body)
  end
  for one in given:gmatch("%S+") do
    local mac = one:match("^v1,(.*)$")
    count = count + 1
    for i = 1, mac and count <= SIGNATURES and #expected or 0 do
      if equal(mac, expected[i]) then matched = true end
    end
  end
  if matched then return true end
  return nil, "no signature matches: another secret, or the body was changed on its way"
end

return M
