--- resty.onemsg.request: what the endpoints share: bodies with a limit, credentials, answers, and a line in the error
-- log that does not carry the request, whose URL may hold a secret.
local document = require "onemsg.base.document"
local json = require "onemsg.base.json"
local onemsg = require "onemsg"
local core = require "onemsg.core"

local M = {}

M.RETRY_AFTER = 5 -- seconds until a sender should repeat what could not be stored

local SAY_EVERY = 1 -- seconds between two equal lines in the error log

local SAY_MOST = 100 -- different lines from one look of the long light thread to the next

local said, lines = {}, {}

--- One line for the error log, at most once a second for the same sentence. nginx adds the request to whatever a handler
-- logs, and the request line of a hook holds its secret: so the worker's long light thread writes it, within a second.
function M.say(line, level)
  local now = core.steady()
  if #lines >= SAY_MOST or said[line] and now - said[line] < SAY_EVERY then return end
  said[line] = now
  lines[#lines + 1] = { level or ngx.ERR, "onemsg: " .. line }
end

--- Writes what was said. Only out of the long light thread.
function M.write()
  if #lines == 0 then return end
  local written = lines
  lines = {} -- what is said meanwhile is for the next time
  for _, line in ipairs(written) do ngx.log(line[1], line[2]) end
  local now, count = core.steady(), 0
  for line, at in pairs(said) do -- bounded: sentences may hold ids
    count = count + 1
    if count > SAY_MOST or now - at >= SAY_EVERY then said[line] = nil end
  end
end

-- Bodies ----------------------------------------------------------------------------------------------------------

local function read_file(path, limit)
  local file, err = io.open(path, "rb")
  if not file then return nil, err end
  local content
  content, err = file:read(limit + 1)
  file:close()
  if not content and err then return nil, path .. ": " .. err end
  return content or ""
end

local function unread(why)
  return nil, 503, "store: the body could not be read here (" .. why .. "); send it again"
end

--- The request's body, also one that nginx put into a file. Whatever is longer is not even read where its length is
-- known beforehand; nginx's client_max_body_size bounds the rest.
-- @tparam number limit bytes
-- @treturn ?string body
-- @treturn number with nil: the status to answer: 413 when it is too long, 503 when this nginx could not get at it
-- @treturn string with nil: a sentence
function M.body(limit)
  local too_long = ("invalid: a body may have %d bytes"):format(limit)
  local length = tonumber(ngx.var.http_content_length)
  if length and length > limit then return nil, 413, too_long end
  local ok, err = pcall(ngx.req.read_body) -- raises for HTTP/2 without a length in some versions of nginx's Lua module
  if not ok then
    M.say("a body could not be read: " .. tostring(err))
    return unread(tostring(err))
  end
  local body, path = ngx.req.get_body_data(), ngx.req.get_body_file()
  if not body and path then
    body, err = read_file(path, limit)
    if not body then
      M.say("a body could not be read out of its file: " .. err)
      return unread((err:gsub("^.*: ", "")))
    end
  end
  body = body or ""
  if #body > limit then return nil, 413, too_long end
  return body
end

--- Runs an endpoint. A client that hangs up does not end it, for what was begun is to be recorded and told; and what
-- fails in it is our failure, not the sender's: 503.
function M.serve(endpoint, ...)
  pcall(ngx.on_abort, function() end) -- refused where client aborts are not looked for
  local ok, err = pcall(endpoint, ...)
  if ok then return end
  M.say("a request failed: " .. tostring(err))
  if not ngx.headers_sent then M.fail(503, "store: this request failed here; send it again") end
end

local drawn = 0

--- Bytes that nobody can guess, without a descriptor: by the key of this start, for this worker and this call.
-- @tparam number count 32 at most
function M.random(settings, count)
  drawn = drawn + 1
  return onemsg.hmac(settings.key, ("random %d %.3f %d"):format(ngx.worker.pid(), ngx.now(), drawn)):sub(1, count)
end

--- Why a body could not be read: the status and a sentence that says what to do. 415 where its form is at fault, which
-- no other content would mend.
-- @tparam string body
-- @tparam string wrong what is wrong with it as JSON
-- @treturn number
-- @treturn string
function M.unread(body, wrong)
  local encoding, kind = ngx.var.http_content_encoding, (ngx.var.http_content_type or ""):lower()
  local foreign = document.foreign(body)
  if foreign then return 415, "the body can't be read: " .. foreign end
  if encoding and encoding:lower() ~= "identity" then
    return 415, "the body can't be read: it is encoded, as Content-Encoding says: send it as it is"
  elseif kind:find "^%s*application/x%-www%-form%-urlencoded" or kind:find "^%s*multipart/" then
    return 415, "a form was posted: post JSON instead, with Content-Type: application/json"
  end
  return 400, wrong
end

-- Credentials -----------------------------------------------------------------------------------------------------

--- Is this text one of the secrets whose digests these are? Every one is compared, in constant time.
-- @tparam table settings
-- @tparam table digests of settings
-- @tparam ?string text
function M.known(settings, digests, text)
  local mine, found = onemsg.hmac(settings.key, text or ""), false
  for i = 1, #digests do
    if onemsg.equal(mine, digests[i]) then found = true end
  end
  return found and text ~= nil
end

--- Whose token this is, of settings.operators; nil: nobody's. Every one is compared, in constant time.
-- @tparam ?string text
function M.operator(settings, text)
  local sha256 = onemsg.sha256(text or ""):gsub(".", function(c) return ("%02x"):format(c:byte()) end)
  local mine, found = onemsg.hmac(settings.key, sha256), nil
  for _, one in ipairs(settings.operators) do
    if onemsg.equal(mine, one.digest) then found = one end
  end
  return text ~= nil and found or nil
end

--- The token of "Authorization: Bearer …", or nil.
function M.bearer()
  return (ngx.var.http_authorization or ""):match "^[Bb][Ee][Aa][Rr][Ee][Rr] +(%S+)%s*$"
end

local function basic()
  local coded = (ngx.var.http_authorization or ""):match "^[Bb][Aa][Ss][Ii][Cc] +(%S+)%s*$"
  return coded and ngx.decode_base64(coded) or ""
end

--- The password of "Authorization: Basic …", or nil.
function M.password() return basic():match "^[^:]*:(.*)$" end

--- The name beside it, as somebody gave it, or nil.
function M.user() return basic():match "^([%w._@-]+):" end

-- Answers ---------------------------------------------------------------------------------------------------------

--- Answers with a text.
function M.answer(status, content_type, text)
  ngx.status = status
  ngx.header.content_type = content_type
  ngx.header.content_length = #text
  if ngx.req.get_method() ~= "HEAD" then ngx.print(text) end
end

--- Answers with JSON.
function M.json(status, value)
  if status == 503 then ngx.header["Retry-After"] = M.RETRY_AFTER end
  M.answer(status, "application/json", json.encode(value) .. "\n")
end

--- Answers with a sentence as JSON: { "error": "…" }.
function M.fail(status, sentence)
  M.json(status, { error = sentence })
end

--- 405, with the methods that are served.
function M.wrong_method(allowed)
  ngx.header["Allow"] = allowed
  M.fail(405, "invalid: this location takes " .. allowed)
end

local statuses = { invalid = 400, conflict = 409 }

--- The HTTP status for an error of the workflow: 400 and 409 are the sender's to fix, with 503 it should repeat.
function M.status_of(err)
  return statuses[err:match "^(%l+):" or ""] or 503
end

return M
