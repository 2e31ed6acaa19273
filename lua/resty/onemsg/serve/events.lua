--- resty.onemsg.serve.events: POST /events. One event, an array of them, or JSON lines; each is on disk before 202 is said.
--
-- Signed after Standard Webhooks, an event without an id gets that of its message; then its first content wins.
-- 202 taken, 200 a repeat of what was taken before, 400 not understood, 401, 405, 409 the same id with other content,
-- 413 too large, 415 a form or no text in UTF-8, 503 not stored: repeat it. Several events get the status of the worst,
-- and `results` tells each one's.
local canonical = require "onemsg.base.canonical"
local counters = require "resty.onemsg.counters"
local document = require "onemsg.base.document"
local request = require "resty.onemsg.request"
local semaphore = require "ngx.semaphore"
local signature = require "onemsg.signature"
local slice = require "resty.onemsg.slice"
local worker = require "resty.onemsg.worker"

local M = {}

local WINDOW = 64 -- events of one request that are under way to the store together
local ROOM = 4 * WINDOW -- … and of a worker: together what one commit holds; the others wait, and fill no queue
local ROOM_S = 1  -- who waits for room looks again so often
local NEST = 2    -- levels around an event's own: the array, and one to be refused by name

local decode = document.reader(canonical.DEPTH + NEST, "event")

local function count(result, n)
  counters.add("onemsg_events_total", ('result="%s"'):format(result), n or 1)
end

--- What the message is called and how it is signed, in either spelling of the names.
local function signed_headers()
  local var = ngx.var
  if not (var.http_webhook_signature or var.http_svix_signature) then return nil end
  return { ["webhook-id"] = var.http_webhook_id, ["webhook-timestamp"] = var.http_webhook_timestamp,
           ["webhook-signature"] = var.http_webhook_signature, ["svix-id"] = var.http_svix_id,
           ["svix-timestamp"] = var.http_svix_timestamp, ["svix-signature"] = var.http_svix_signature }
end

--- Who may: true and, of a signed message, its id; or nil and why not. Bearer before anything is read, signatures with
-- the body.
local function authenticate(settings, body)
  local token = request.bearer()
  if token and #settings.event_tokens > 0 then
    if request.known(settings, settings.event_tokens, token) then return true end
    return nil, "the bearer token is not one of ours"
  end
  local headers = #settings.event_keys > 0 and signed_headers()
  if headers then
    if not body then return true end -- asked again when it is read
    local good, why = signature.verify(settings.event_keys, headers, body, ngx.time())
    return good, why or signature.id(headers)
  end
  if #settings.event_keys + #settings.event_tokens == 0 then
    request.say("events are refused: init has neither event_secrets (ONE_MSG_EVENT_SECRET) nor event_tokens "
      .. "(ONE_MSG_EVENT_TOKEN)")
  end
  return nil, "sign the request (webhook-id, webhook-timestamp, webhook-signature), or give Authorization: Bearer"
end

-- Reading ---------------------------------------------------------------------------------------------------------

--- JSON lines: each line an event of its own, or a reason.
local function lines(body)
  local list = {}
  for line in body:gmatch "[^\r\n]+" do
    if line:find "%S" then
      slice.breathe()
      local event, wrong = decode(line, slice.breathe)
      list[#list + 1] = event ~= nil and { event = event }
        or { wrong = "the line is no JSON that can be taken: " .. wrong }
    end
  end
  return list
end

--- What a body holds.
-- @treturn ?table list of { event = value } or { wrong = sentence }
-- @treturn boolean|string whether it is one single event; with nil: what is wrong
local function parse(body)
  body = document.bare(body)
  local first = body:match "^%s*(%S)"
  if not first then return nil, "the body is empty" end
  local value, wrong = decode(body, slice.breathe)
  if value == nil then
    local line, behind = body:match "^%s*([^\r\n]*)()"
    if first == "{" and body:find("%S", behind) and decode(line, slice.breathe) then return lines(body), false end
    return nil, "the body is no JSON that can be taken: " .. wrong
  elseif type(value) ~= "table" then
    return nil, "the body is not an event: give { \"id\": …, \"type\": …, … }"
  elseif first ~= "[" then
    return { { event = value } }, true
  end
  local list = {}
  for i = 1, #value do list[i] = { event = value[i] } end
  if #list == 0 then return nil, "the body holds no event" end
  return list, false
end
M.parse = parse

-- Taking ----------------------------------------------------------------------------------------------------------

local function begin(flow, item)
  if item.wrong then
    item.err = "invalid: " .. item.wrong
    return
  elseif type(item.event) ~= "table" then
    item.err = "invalid: an event is an object with id, type and what happened"
    return
  end
  local ok, landing, err = pcall(flow.submit, flow, item.event,
    { wait = false, first = item.first, ignore = item.ignore })
  if not ok then landing, err = nil, "store: " .. tostring(landing) end
  item.landing, item.err = landing, err
end

--- Counts what became of an event. Hangs on its answer, not on this request, which may be killed before that.
local function tally(ticket, err)
  if ticket then
    if ticket.differs then
      request.say(("event %s came again with other content; the first is kept"):format(ticket.id), ngx.NOTICE)
    end
    return count(ticket.differs and "differs" or ticket.duplicate and "duplicate" or ticket.state)
  end
  local status = request.status_of(err)
  count(status == 400 and "invalid" or status == 409 and "conflict" or "failed")
  if status == 503 then request.say("an event was not stored: " .. err) end
end

local function finish(item)
  if item.landing then
    local ok, ticket, err = pcall(item.landing.wait, item.landing)
    if not ok then ticket, err = nil, "store: " .. tostring(ticket) end
    item.ticket, item.err = ticket, err
  else
    tally(nil, item.err)
  end
  item.status = not item.ticket and request.status_of(item.err) or item.ticket.duplicate and 200 or 202
end

local under_way, room = 0, semaphore.new(0) -- events of several in one request; for who waits until there are fewer

local function landed(ticket, err)
  under_way = under_way - 1
  if room:count() < 0 and under_way + WINDOW <= ROOM then room:post() end
  tally(ticket, err)
end

--- Waits until a window more may be under way. The room is counted by the events that have no answer yet: who is
-- killed here holds none of it.
local function wait_for_room()
  local others = room:count() < 0 -- who came before, and goes before
  while under_way > 0 and (others or under_way + WINDOW > ROOM) do
    others = false
    room:wait(ROOM_S)
  end
end

--- Submits events, in turn with other requests of the worker.
-- @tparam table flow
-- @tparam table list of { event, first, ignore } or { wrong = sentence part }; each gets ticket or err, and status
function M.take(flow, list)
  if #list == 1 then
    begin(flow, list[1])
    if list[1].landing then list[1].landing.on_answer = tally end
    return finish(list[1])
  end
  for first = 1, #list, WINDOW do
    local last = math.min(first + WINDOW - 1, #list)
    wait_for_room()
    for i = first, last do
      slice.breathe()
      begin(flow, list[i])
      if list[i].landing then
        under_way, list[i].landing.on_answer = under_way + 1, landed
      end
    end
    for i = first, last do
      slice.breathe()
      finish(list[i])
    end
  end
  slice.breathe()
end

--- Counts what became of a request or of events. For serve/.
M.count = count

--- What is told of an event; an id that is no text (and so was refused) is not repeated.
function M.result_of(item)
  local out = item.ticket or { error = item.err, id = type(item.event) == "table" and item.event.id or nil }
  if type(out.id) ~= "string" and type(out.id) ~= "number" then out.id = nil end
  return out
end

local GRAVITY = { [200] = 1, [202] = 2, [409] = 3, [400] = 4, [503] = 5 }

--- One status for all: the worst.
function M.answer_all(list)
  local worst, results = 200, {}
  for i, item in ipairs(list) do
    slice.breathe()
    results[i] = M.result_of(item)
    results[i].status = item.status
    if GRAVITY[item.status] > GRAVITY[worst] then worst = item.status end
  end
  request.json(worst, { results = results })
end

--- A signed message's id is the event's, where that has none: the sender's own name for it, the same at each repeat.
local function name(item, message_id)
  local event = item.event
  if type(event) == "table" and event.id == nil then event.id, item.first = message_id, true end
end

--- Serves one request. For resty.onemsg.serve_events.
-- @tparam table settings
function M.serve(settings)
  if ngx.req.get_method() ~= "POST" then
    count "wrong_method"
    return request.wrong_method "POST"
  end
  local may, about = authenticate(settings)
  local body
  if may then
    local status, sentence
    body, status, sentence = request.body(settings.event_bytes)
    if not body then
      count(status == 413 and "too_large" or "failed")
      return request.fail(status, sentence)
    end
    may, about = authenticate(settings, body)
  end
  if not may then
    count "unauthorized"
    ngx.header["WWW-Authenticate"] = "Bearer"
    return request.fail(401, "invalid: " .. about)
  end
  local list, single = parse(body)
  if not list then
    count "invalid"
    local status, sentence = request.unread(body, single)
    return request.fail(status, "invalid: " .. sentence)
  elseif #list > settings.event_items then
    count "too_large"
    return request.fail(413, ("invalid: %d events in one request; at most %d are taken"):format(#list,
      settings.event_items))
  end
  local flow, err = worker.flow()
  if not flow then
    count("failed", #list)
    request.say("events were not stored: " .. err)
    return request.fail(503, err)
  end
  if single and about then name(list[1], about) end
  M.take(flow, list)
  if not single then return M.answer_all(list) end
  return request.json(list[1].status, M.result_of(list[1]))
end

return M
