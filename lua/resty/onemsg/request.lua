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
  local file = path and io.open(path, "rb")
  if not file then return "" end
  local content = file:read(limit + 1)
  file:close()
  return content or ""
end

--- The request's body, also one that nginx put into a file. Whatever is longer is not even read where its length is
-- known beforehand; nginx's client_max_body_size bounds the rest.
-- @tparam number limit bytes
-- @treturn ?string body; nil when it is too long
function M.body(limit)
  local length = tonumber(ngx.var.http_content_length)
  if length and length > limit then return nil end
  ngx.req.read_body()
  local body = ngx.req.get_body_data() or read_file(ngx.req.get_body_file(), limit)
  if #body > limit then return nil end
  return body
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

--- The token of "Authorization: Bearer …", or nil.
function M.bearer()
  return (ngx.var.http_authorization or ""):match "^[Bb][Ee][Aa][Rr][Ee][Rr] +(%S+)%s*$"
end

--- The password of "Authorization: Basic …", or nil.
function M.password()
  local coded = (ngx.var.http_authorization or ""):match "^[Bb][Aa][Ss][Ii][Cc] +(%S+)%s*$"
  local pair = coded and ngx.decode_base64(coded)
  return pair and pair:match "^[^:]*:(.*)$"
end

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
