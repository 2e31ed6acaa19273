--- resty.onemsg.stats: what the store holds, for the metrics and the operator's page. Many may ask at once, and the store
-- is asked by one of them: it reads all its states for that, which takes long when there are a million confirmations.
local semaphore = require "ngx.semaphore"
local worker = require "resty.onemsg.worker"

local M = {}

local KEEP_S = 1      -- for so long an answer is used again: who asks often must not become a load
local PATIENCE_S = 10 -- whoever asks for the others may have been killed; then the next one asks

local last, last_at   -- the newest answer, { stats, err, info }, and when it was asked for
local flight          -- { answer =, waiting =, ended = semaphore }: somebody asks just now

local function ask()
  local flow, err, info = worker.flow()
  if not flow then return { nil, err, info } end
  local ok, stats
  ok, stats, err, info = pcall(flow.stats, flow)
  if not ok then return { nil, "store: " .. tostring(stats) } end
  return { stats, err, info }
end

--- flow:stats(), a moment old at most. Not to be changed. Only where a light thread may wait.
-- @treturn ?table stats
-- @treturn string with nil: "store: …", "config: …"
function M.read()
  local now = ngx.now()
  if last and now - last_at < KEEP_S and now >= last_at then return last[1], last[2], last[3] end
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

--- Somebody has just changed something, and wants to see it.
function M.forget() last = nil end

return M
