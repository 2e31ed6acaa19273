--- The calls of 1MSG over plain HTTP by luasocket: for the fake's own specs, where onemsg must not vouch for itself.
--
--     local wire = require("support.wire").new(fake)
--     status, text, headers = wire.call("POST", "sendTemplate", wire.message(phone))

local cjson = require "cjson"
local http = require "socket.http"
local ltn12 = require "ltn12"

local M = {}

--- A phone with an ending of its own.
-- @tparam number ending 0 to 99
-- @treturn string
function M.phone(ending) return ("120207213%02d"):format(ending) end

--- Percent-encode.
function M.escape(text)
  return (text:gsub("[^%w]", function(c) return ("%%%02X"):format(c:byte()) end))
end

--- The id in an answer.
function M.id_of(text) return cjson.decode(text).id end

--- The calls against one fake.
-- @tparam table fake out of support.server
-- @treturn table call, get, message, send, statuses, and the functions of this module
function M.new(fake)
  local env = fake.env
  local wire = setmetatable({}, { __index = M })

  --- One call.
  -- @tparam string verb
  -- @tparam string method with its query
  -- @tparam ?table|string body
  -- @tparam ?table options timeout (60 s), token ("": no header), channel, type
  -- @treturn ?number status; nil and why when no whole answer came
  -- @treturn string text
  -- @treturn table headers
  function wire.call(verb, method, body, options)
    options = options or {}
    local chunks = {}
    local text = type(body) == "table" and cjson.encode(body) or body
    http.TIMEOUT = options.timeout or 60
    local ok, status, headers = http.request {
      url = env.FAKE_HTTP_URL .. "/" .. (options.channel or env.ONE_MSG_INSTANCE_ID) .. "/" .. method,
      method = verb, redirect = false,
      sink = ltn12.sink.table(chunks), source = text and ltn12.source.string(text) or nil,
      headers = { authorization = options.token ~= "" and "Bearer " .. (options.token or env.ONE_MSG_TOKEN) or nil,
                  ["content-type"] = options.type or "application/json", ["content-length"] = text and #text or nil },
    }
    if not ok then return nil, status end
    local answer = table.concat(chunks)
    if status == 408 then return status, answer, {} end   -- luasocket reads no further
    if headers["content-length"] and tonumber(headers["content-length"]) ~= #answer then return nil, "cut" end
    return status, answer, headers
  end

  --- GET, decoded.
  -- @treturn table
  -- @treturn number status
  function wire.get(method)
    local status, text = wire.call("GET", method)
    return cjson.decode(text), status
  end

  --- The use case's body.
  -- @tparam string|number phone
  -- @tparam ?table changes fields to replace; "absent" takes one away
  -- @treturn table
  function wire.message(phone, changes)
    local sent = { phone = phone, template = env.ONE_MSG_TEMPLATE, namespace = env.ONE_MSG_TEMPLATE_NAMESPACE,
      language = { policy = "deterministic", code = "en" },
      params = { { type = "body", parameters = { { type = "text", text = "Maria" },
        { type = "text", text = "subscription payment" },
        { type = "text", text = "Access activated in your account." } } } } }
    for key, value in pairs(changes or {}) do sent[key] = value ~= "absent" and value or nil end
    return sent
  end

  --- Send it.
  function wire.send(phone, options) return wire.call("POST", "sendTemplate", wire.message(phone), options) end

  --- The request as bytes, without its body, for a socket.
  function wire.head(body)
    return ("POST /%s/sendTemplate HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
      .. "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n")
      :format(env.ONE_MSG_INSTANCE_ID, env.ONE_MSG_TOKEN, #body)
  end

  --- What hookInfo tells of an id: the statuses' names, blanks between.
  function wire.statuses(id)
    local names = {}
    for _, hook in ipairs(wire.get("hookInfo?messageId=" .. M.escape(id)).hooks) do names[#names + 1] = hook.status end
    return table.concat(names, " ")
  end

  --- The arguments of curl for a send over TLS, with its exit code or version printed by `format`.
  function wire.curl(url, ending, format)
    local pipe = io.popen(("curl -s -m 5 --cacert '%s' -w '%s' -H 'Authorization: Bearer %s' "
      .. "-H 'Content-Type: application/json' -d '%s' %s/%s/sendTemplate"):format(env.ONE_MSG_CA_FILE, format,
      env.ONE_MSG_TOKEN, cjson.encode(wire.message(M.phone(ending))), url, env.ONE_MSG_INSTANCE_ID))
    local text = pipe:read "*a"
    pipe:close()
    return text
  end

  return wire
end

return M
