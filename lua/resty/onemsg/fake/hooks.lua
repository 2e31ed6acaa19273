--- The hooks of the fake 1MSG: what is posted to the registered URLs, in which shape and when (PLATFORM.md 3).
-- One long timer with a few light threads, whatever the load: a timer an event would be refused or lost.
-- Only loopback is ever written to: other URLs may stand in the list, as a customer's cabinet does, and get nothing.
-- nginx only, but `body` is pure.

local semaphore = require "ngx.semaphore"
local cjson = require "cjson"
local messages = require "onemsg.fake.messages"
local people = require "onemsg.fake.people"

local M = {}

local POSTERS = 16           -- posts under way at once
local MAX_WAITING = 200000   -- posts; more are dropped and counted
local REPEATS = { 5, 10, 20, 40, 80 }   -- units of the pace after which a refused post is repeated
local TIMEOUT_MS = 5000
local LIFE_S = 60            -- of one timer; nginx frees a light thread's memory only when its timer ends

local heap, size, waker, stats, generation

--- Drop what is waiting.
function M.reset()
  heap, size = {}, 0
  generation = (generation or 0) + 1
  stats = { posted = 0, refused = 0, given_up = 0, dropped = 0, foreign = 0 }
end
M.reset()

-- a binary heap by due time

local function push(item)
  if size >= MAX_WAITING then
    stats.dropped = stats.dropped + 1
    return
  end
  size = size + 1
  local i = size
  while i > 1 do
    local parent = (i - i % 2) / 2
    if heap[parent].due <= item.due then break end
    heap[i] = heap[parent]
    i = parent
  end
  heap[i] = item
  if i == 1 and waker then waker:post(1) end
end

local function pop()
  local top, item = heap[1], heap[size]
  heap[size] = nil
  size = size - 1
  if size > 0 then
    local i = 1
    while 2 * i <= size do
      local child = 2 * i
      if child < size and heap[child + 1].due < heap[child].due then child = child + 1 end
      if heap[child].due >= item.due then break end
      heap[i] = heap[child]
      i = child
    end
    heap[i] = item
  end
  return top
end

local function ack(channel, statuses, names, as_object)
  local list = {}
  for i, s in ipairs(statuses) do
    list[i] = { id = s.id, chatId = names.chat, phone = names.phone, bsuid = names.bsuid, userName = names.username,
                status = s.status, category = "utility", error = s.error or s.errors and s.errors[1].title }
  end
  return { instanceId = channel, ack = as_object and list[1] or list }
end

local function raw(channel, statuses, names)
  for _, s in ipairs(statuses) do
    s.type = nil
    if s.error then s.errors, s.error = { { code = 130472, title = s.error } }, nil end
  end
  local value = { messaging_product = "whatsapp", statuses = statuses,
                  contacts = names.bsuid and { { wa_id = names.phone, user_id = names.bsuid,
                    profile = { username = names.username } } } or nil,
                  metadata = { display_phone_number = "100200300", phone_number_id = channel } }
  return { object = "whatsapp_business_account",
           entry = { { id = "0", changes = { { field = "messages", value = value } } } } }
end

--- The shapes a hook may have.
M.SHAPES = {
  ack = ack,
  ack_object = function(channel, statuses, names) return ack(channel, statuses, names, true) end,
  hooks = function(channel, statuses) return { instanceId = channel, hooks = statuses } end,
  raw = raw,
  both = function(channel, statuses, names, message)
    local body = ack(channel, statuses, names)
    if message then message.fromMe = message.fromMe == 1 end
    body.messages = { message }
    return body
  end,
}

--- The body of a hook.
-- @tparam string shape a key of SHAPES
-- @tparam string channel
-- @tparam table statuses list, as fake/messages.status makes them
-- @tparam table names of the recipient (fake/people.lua)
-- @tparam ?table message the message itself, for the shape that echoes it
-- @treturn string JSON
function M.body(shape, channel, statuses, names, message)
  return cjson.encode(M.SHAPES[shape](channel, statuses, names, message))
end

--- Post a body to each URL.
-- @tparam table urls list
-- @tparam number due seconds
-- @tparam string|function body a function is called when it is due
-- @tparam number pace seconds
function M.schedule(urls, due, body, pace)
  for _, url in ipairs(urls) do push { url = url, due = due, body = body, pace = pace, tries = 0 } end
end

--- Tell the story of a message.
-- @tparam table row out of fake/numbers.lua
-- @tparam table story
-- @tparam table message { id =, phone =, at = seconds, place = in the history, text = or the decoded body }
-- @tparam table to { urls =, channel =, shape =, pace =, tell = which names of the recipient it tells }
function M.tell(row, story, message, to)
  local how, id, phone = row.hooks, message.id, message.phone
  if how.lost or #to.urls == 0 then return end
  local shape = how.shape or to.shape
  local posts = {}
  for i, event in ipairs(story) do posts[i] = { at = message.at + event.at * to.pace, event } end
  if how.reversed then
    for i = 1, math.floor(#posts / 2) do
      local j = #posts + 1 - i
      posts[i][1], posts[j][1] = posts[j][1], posts[i][1]
    end
  end
  if how.bundle and #story > 0 then
    local all = { at = posts[#posts].at }
    for i, event in ipairs(story) do all[i] = event end
    posts = { all }
  end
  for _, post in ipairs(posts) do
    -- Made when it is due: many long strings that wait would be slow (see fake/messages.new_id).
    local function body()
      local statuses, names = {}, people.names(phone, to.tell)
      for i, event in ipairs(post) do
        statuses[i] = messages.status(id, names, event, message.at + event.at * to.pace)
      end
      local echo = shape == "both"
        and messages.shown({ message.place, id, phone, message.text, message.at, false }, to.tell) or nil
      return M.body(shape, to.channel, statuses, names, echo)
    end
    for _ = 1, how.twice and 2 or 1 do M.schedule(to.urls, post.at, body, to.pace) end
  end
end

local LOOPBACK = { ["127.0.0.1"] = true, localhost = true }

local function post(url, body)
  local scheme, host, port, path = url:match "^(https?)://([%w.-]+):?(%d*)(.*)$"
  if not scheme or not LOOPBACK[host] then return nil, "foreign" end
  port = tonumber(port) or (scheme == "https" and 443 or 80)
  local socket = ngx.socket.tcp()
  socket:settimeout(TIMEOUT_MS)
  local ok, err = socket:connect("127.0.0.1", port, { pool = scheme .. host .. port, pool_size = POSTERS })
  if not ok then return nil, err end
  if scheme == "https" and socket:getreusedtimes() == 0 then
    ok, err = socket:sslhandshake(nil, host, false)
    if not ok then return nil, err end
  end
  if path:sub(1, 1) ~= "/" then path = "/" .. path end
  ok, err = socket:send { "POST ", path, " HTTP/1.1\r\nHost: ", host, ":", port,
    "\r\nContent-Type: application/json\r\nUser-Agent: fake-1msg\r\nContent-Length: ", #body, "\r\n\r\n", body }
  if not ok then return nil, err end
  local line = socket:receive "*l"
  local status = line and tonumber(line:match "^HTTP/1%.%d (%d%d%d)")
  local length, closes
  while line and line ~= "" do
    line = socket:receive "*l"
    local lower = line and line:lower() or ""
    length = length or tonumber(lower:match "^content%-length:%s*(%d+)")
    closes = closes or lower:find "^connection:%s*close"
  end
  if status and not closes and length and (length == 0 or socket:receive(length)) then
    socket:setkeepalive(10000, POSTERS)
  else
    socket:close()
  end
  return status or nil, "no answer"
end

local function deliver(item)
  local era = generation
  local body = item.body
  local status, err = post(item.url, type(body) == "function" and body() or body)
  if era ~= generation then return end
  if status and status >= 200 and status < 300 then
    stats.posted = stats.posted + 1
  elseif err == "foreign" then
    stats.foreign = stats.foreign + 1
  else
    stats.refused = stats.refused + 1
    item.tries = item.tries + 1
    local wait = REPEATS[item.tries]
    if wait then
      ngx.update_time()
      item.due = ngx.now() + wait * item.pace
      push(item)
    else
      stats.given_up = stats.given_up + 1
    end
  end
end

--- Work for LIFE_S seconds, then anew: the body of the one timer. `tick` is called about once a second.
local function run(premature, tick)
  if premature then return end
  local ending = ngx.now() + LIFE_S
  local work, ready, done = semaphore.new(), {}, false
  local function poster()
    while true do
      local item = work:wait(1) and table.remove(ready, 1)
      if item then deliver(item) elseif done then return end
    end
  end
  local threads = {}
  for i = 1, POSTERS do threads[i] = ngx.thread.spawn(poster) end
  local ticked = 0
  while ngx.now() < ending and not ngx.worker.exiting() do
    ngx.update_time()
    local now = ngx.now()
    while size > 0 and heap[1].due <= now and #ready < POSTERS do
      ready[#ready + 1] = pop()
      work:post(1)
    end
    if now - ticked >= 1 then
      ticked = now
      tick()
    end
    local pause = size > 0 and math.max(heap[1].due - now, 0.001) or 1
    waker:wait(math.min(pause, 1))
  end
  done = true
  for _, thread in ipairs(threads) do ngx.thread.wait(thread) end
  if not ngx.worker.exiting() then assert(ngx.timer.at(0, run, tick)) end
end

--- Start the poster; once in a worker, in init_worker.
-- @tparam function tick called about once a second
function M.start(tick)
  waker = semaphore.new()
  assert(ngx.timer.at(0, run, tick))
end

--- What the poster did: posted, refused, given_up, dropped, foreign, waiting.
function M.stats()
  stats.waiting = size
  return stats
end

return M
