--- resty.onemsg.counters: what has been counted since nginx started. Each worker counts for itself and in the shared
-- dictionary `onemsg`, where there is one: then every worker can tell the sums of all, and they outlive a worker, however
-- it ends, and a reload. What a channel counts by itself, and what the dictionary had no room for, is added once a second.
-- Without it each worker tells its own.
local M = {}

local DICT = "onemsg"

--- Upper edges in seconds: from a fast answer to the hours of a person who was offline.
M.EDGES = { 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 21600, 86400 }

local counts, flushed = {}, {} -- "name|labels" → number since this worker began; of that, in the dictionary
local dict = ngx.shared[DICT]

--- Whether the sums of all workers are known.
function M.shared() return dict ~= nil end

--- @tparam string name of the metric
-- @tparam string labels such as 'state="read"', or ""
-- @tparam number n
function M.add(name, labels, n)
  local key = name .. "|" .. labels
  counts[key] = (counts[key] or 0) + n
  if dict and dict:incr(key, n, 0) then flushed[key] = (flushed[key] or 0) + n end
end

--- One observation of a histogram.
function M.observe(name, labels, seconds)
  local comma = labels == "" and "" or labels .. ","
  for _, edge in ipairs(M.EDGES) do
    M.add(name .. "_bucket", ("%sle=\"%s\""):format(comma, edge), seconds <= edge and 1 or 0)
  end
  M.add(name .. "_bucket", comma .. 'le="+Inf"', 1)
  M.add(name .. "_sum", labels, seconds)
  M.add(name .. "_count", labels, 1)
end

local function set(name, labels, value)
  counts[name .. "|" .. labels] = value
end

--- A confirmation changed its state: for on_change.
function M.change(confirmation)
  M.add("onemsg_changes_total", ('state="%s"'):format(confirmation.state), 1)
  if confirmation.state == "accepted" then
    M.observe("onemsg_acceptance_seconds", "", math.max(0, confirmation.changed_at - confirmation.created_at))
  elseif confirmation.state == "delivered" and confirmation.accepted_at then
    M.observe("onemsg_delivery_seconds", "", math.max(0, confirmation.changed_at - confirmation.accepted_at))
  end
end

local OUTCOMES = { "accepted", "queued", "rejected", "not_sent", "unknown", "invalid" }

--- Takes over the counts of this process's channels (channel:stats).
function M.channels(channels)
  for name, channel in pairs(channels) do
    local stats = channel:stats()
    if stats then
      for _, outcome in ipairs(OUTCOMES) do
        set("onemsg_sends_total", ('channel="%s",outcome="%s"'):format(name, outcome), stats[outcome])
      end
      local labels = ('channel="%s"'):format(name)
      set("onemsg_api_seconds_sum", labels, stats.latency.mean * stats.latency.count)
      set("onemsg_api_seconds_count", labels, stats.latency.count)
    end
  end
end

--- Adds what is new to the dictionary.
function M.flush()
  if not dict then return end
  for key, value in pairs(counts) do
    local news = value - (flushed[key] or 0)
    if (news ~= 0 or not flushed[key]) and dict:incr(key, news, 0) then flushed[key] = value end
  end
end

--- All counts.
-- @treturn table "name|labels" → number
function M.read()
  if not dict then return counts end
  M.flush()
  local all = {}
  for _, key in ipairs(dict:get_keys(0)) do
    if key:find("|", 1, true) then all[key] = dict:get(key) end
  end
  return all
end

return M
