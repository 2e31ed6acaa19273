--- resty.onemsg.stats: what the store holds, for the metrics and the operator's page. Many may ask at once, and the store
-- is asked by one of them: it reads all its states for that, which takes long when there are a million confirmations.
local semaphore = require "ngx.semaphore"
local worker = require "resty.onemsg.worker"

local M = {}

local PATIENCE_S = 10 -- whoever asks for the others may have been killed; then the next one asks

--- A question whose answer is used again for a while: who asks often must not become a load.
-- @tparam number keep seconds
-- @tparam function question(flow) → value, or nil, err, info
local function shared(keep, question)
  local last, last_at   -- the newest answer, { value, err, info }, and when it was asked for
  local flight          -- { answer =, waiting =, ended = semaphore }: somebody asks just now

  local function ask()
    local flow, err, info = worker.flow()
    if not flow then return { nil, err, info } end
    local ok, value
    ok, value, err, info = pcall(question, flow)
    if not ok then return { nil, "store: " .. tostring(value) } end
    return { value, err, info }
  end

  local function read()
    local now = ngx.now()
    if last and now - last_at < keep and now >= last_at then return last[1], last[2], last[3] end
    local mine = flight
    if mine then
      mine.waiting = mine.waiting + 1
      mine.ended:wait(PATIENCE_S)
      if mine.answer then return mine.answer[1], mine.answer[2], mine.answer[3] end
    end
    mine = { waiting = 0, ended = semaphore.new(0) }
    flight = mine
    mine.answer = ask()
    if flight == mine then flight = nil end
    if mine.answer[1] then last, last_at = mine.answer, now end
    if mine.waiting > 0 then mine.ended:post(mine.waiting) end
    return mine.answer[1], mine.answer[2], mine.answer[3]
  end

  return read, function() last = nil end
end

--- flow:stats(), a moment old at most. Not to be changed. Only where a light thread may wait.
-- @treturn ?table stats
-- @treturn string with nil: "store: …", "config: …"
--- forget(): somebody has just changed something, and wants to see it.
M.read, M.forget = shared(1, function(flow) return flow:stats() end)

local WEEK = 7 * 86400
local SAMPLE = 500

--- What the last days brought, half a minute old at most; as read().
-- @treturn ?table since; hours, reasons (flow:counts of them); accepted, delivered: confirmations of late, for how long it took
M.week = shared(30, function(flow)
  local since = flow.now() - WEEK
  local week = { since = since }
  for name, question in pairs {
    hours = function() return flow:counts { by = "hour", since = since } end,
    reasons = function() return flow:counts { by = "reason", since = since } end,
    accepted = function() return flow:list { state = "accepted", since = since, limit = SAMPLE } end,
    delivered = function() return flow:list { state = "delivered", since = since, limit = SAMPLE } end,
  } do
    local answer, err, info = question()
    if not answer then return nil, err, info end
    week[name] = answer
  end
  return week
end)

return M
