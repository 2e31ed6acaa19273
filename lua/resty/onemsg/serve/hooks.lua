--- resty.onemsg.serve.hooks: POST /hooks/<secret>, what 1MSG calls. Nothing is signed there (PLATFORM.md 3.4), so
-- the secret in the last part of the path says who it is; a wrong one gets 404 whatever the request is. 200 only when
-- stored; 503 when the store failed, so that it is sent again; never 500, which could end in the URL being disabled.
local counters = require "resty.onemsg.counters"
local request = require "resty.onemsg.request"
local worker = require "resty.onemsg.worker"

local M = {}

local function count(result)
  counters.add("onemsg_hook_requests_total", ('result="%s"'):format(result), 1)
end

local function answer(status, text)
  if status == 503 then ngx.header["Retry-After"] = request.RETRY_AFTER end
  return request.answer(status, "text/plain", text .. "\n")
end

--- The last part of the path.
local function segment()
  return ngx.var.uri:match "([^/]+)/?$"
end

--- Stores a body. The number of events it held and what they were, or nil, err.
local function store(body, channel)
  local flow, err = worker.flow()
  if not flow then return nil, err end
  local ok, events, counts = pcall(flow.hooks, flow, body, { channel = channel })
  if not ok then return nil, "store: " .. tostring(events) end
  return events, counts
end

local KINDS = { "new", "duplicates", "held", "messages", "stopped", "foreign", "ignored" }

local function count_all(counts)
  for _, kind in ipairs(KINDS) do
    if counts[kind] then counters.add("onemsg_hook_events_total", ('kind="%s"'):format(kind), counts[kind]) end
  end
end

--- Serves one request. For resty.onemsg.serve_hooks.
-- @tparam table settings
-- @tparam ?string channel
function M.serve(settings, channel)
  if not request.known(settings, settings.hook_secrets, segment()) then
    if #settings.hook_secrets == 0 then
      request.say "hooks are refused: init has no hook_secrets (ONE_MSG_HOOK_SECRET)"
    end
    count "unauthorized"
    return answer(404, "not found")
  end
  local method = ngx.req.get_method()
  if method == "GET" or method == "HEAD" then return answer(200, "ok") end
  if method ~= "POST" then
    ngx.header["Allow"] = "GET, HEAD, POST"
    count "wrong_method"
    return answer(405, "POST a hook")
  end
  local body, status, sentence = request.body(settings.hook_bytes)
  if not body then
    count(status == 413 and "too_large" or "failed")
    return answer(status, sentence)
  end
  local events, said = store(body, channel)
  if events then
    count "stored"
    count_all(said)
    return answer(200, "ok")
  elseif request.status_of(said) == 400 then
    count "invalid"
    return answer(request.unread(body, said))
  end
  count "failed"
  request.say("a hook was not stored: " .. said)
  return answer(503, "not stored, send it again")
end

return M
