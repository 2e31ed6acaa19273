--- resty.onemsg.serve.senders: POST of a sender's own webhooks (onemsg.senders): verified and read by its row, decided, and
-- on disk before 200 is said.
--
-- 200 taken, and also a repeat, a repeat with other content (the first is kept) and what no rule names: most senders
-- switch a webhook off that answers otherwise. 400 not understood, 401 not theirs, 405, 413, 503 not stored: repeat it.
local check = require "onemsg.base.check"
local events = require "resty.onemsg.serve.events"
local request = require "resty.onemsg.request"
local senders = require "onemsg.senders"
local worker = require "resty.onemsg.worker"

local M = {}

local TAKES = { from = "string", url = "string", header = "string" }
local MOST_HEADERS = 0 -- all of them; nginx bounds their bytes

--- The request as onemsg.senders takes it.
local function read_request(options, body)
  local var = ngx.var
  local headers = ngx.req.get_headers(MOST_HEADERS, true)
  local made = {}
  for name, value in pairs(headers) do made[name:lower()] = value end
  return { method = ngx.req.get_method(), headers = made, query = ngx.req.get_uri_args(), body = body,
           url = options.url or "https://" .. (var.http_host or "") .. var.request_uri,
           path_secret = var.uri:match "/([^/]+)$" }
end

--- With a header of one's own, the secret is asked for there and nowhere else.
local function in_header(options, made)
  local name = options.header:lower()
  made.headers.authorization = made.headers[name]
  made.path_secret = nil
end

local function fail(status, sentence)
  local words = { [401] = "unauthorized", [405] = "wrong_method", [413] = "too_large", [400] = "invalid" }
  events.count(words[status] or "failed")
  if status == 405 then ngx.header["Allow"] = "POST" end
  return request.fail(status, sentence)
end

local function answer_handshake(answer)
  events.count "handshake"
  for name, value in pairs(answer.headers or {}) do ngx.header[name] = value end
  if answer.json then return request.json(answer.status, answer.json) end
  return request.answer(answer.status, "text/plain", "")
end

--- What a sender hears: 200 instead of 202.
local function answer(list)
  for _, item in ipairs(list) do
    if item.status == 202 then item.status = 200 end
  end
  if #list == 1 then return request.json(list[1].status, events.result_of(list[1])) end
  return events.answer_all(list)
end

--- Submits what a request held.
local function take(settings, taken)
  local list = taken.items
  if #list > settings.event_items then
    return fail(413, ("invalid: %d events in one request; at most %d are taken"):format(#list, settings.event_items))
  elseif #list == 0 then
    events.count "invalid"
    return request.json(200, { results = {} })
  end
  local flow, err = worker.flow()
  if not flow then
    events.count("failed", #list)
    request.say("events were not stored: " .. err)
    return request.fail(503, err)
  end
  for _, item in ipairs(list) do item.first, item.ignore = taken.submit.first, taken.submit.ignore end
  events.take(flow, list)
  return answer(list)
end

--- Checks the options of resty.onemsg.serve_events; raises where they are wrong.
function M.options(options)
  options = check.options("serve_events", options, TAKES)
  local name = options.from
  if not name then check.misuse 'serve_events: from is missing: give a sender, such as "stripe"' end
  if not senders.has(name) then
    check.misuse("serve_events: from: " .. select(2, senders.get(name)):gsub("^invalid: ", ""))
  end
  return options
end

--- Serves one request. For resty.onemsg.serve_events.
-- @tparam table settings
-- @tparam table options from, url, header
function M.serve(settings, options)
  local name = options.from
  local body, refused, sentence = request.body(settings.event_bytes)
  if not body then return fail(refused, sentence) end
  local made = read_request(options, body)
  if options.header then in_header(options, made) end
  local keys = settings.sender_keys[name]
  if not keys then
    request.say(("events of %s are refused: init has neither sender_secrets.%s nor %s"):format(name, name,
      senders.variable(name)))
  end
  local taken, why, status = senders.take(name, keys or {}, made, ngx.time())
  if not taken then return fail(status, why) end
  if taken.answer then return answer_handshake(taken.answer) end
  return take(settings, taken)
end

return M
