--- onemsg.workflow.retention: what ended longer ago than `keep` becomes a tombstone, and a tombstone older than `keep_ids` goes.
-- For onemsg.workflow.worker: a slice at a time, each a unit, when nothing is under way; where something always is, one a
-- second. Several processes may do so at once: who comes second finds it done.
local content = require "onemsg.workflow.content"
local duration = require "onemsg.base.duration"
local forget = require "onemsg.workflow.forget"

local M = {}

M.KEEP = 90 * 86400   -- seconds
local REST = 600      -- seconds from the end of one sweep to the next
local AMID = 1        -- seconds between two slices while there is something else to do
local UNABLE = 3600   -- seconds until a key that is missing is looked for again
local STEPS = { "over", "drop" }

local function read(name, option, variable, default, core)
  local given = option
  if given == nil then given = core.getenv(variable) end
  if given == nil then return default end
  if given == false or given == "false" then return false end
  local seconds = duration.seconds(given, true)
  if not seconds or seconds < 1 then
    return nil, ('config: %s (%s) must be a second or more, like "90d", or false: for ever'):format(name, variable)
  end
  return seconds
end

--- keep and keep_ids: seconds, or false.
-- @treturn ?number|boolean nil: "config: …"
function M.read(options, core)
  local keep, err = read("keep", options.keep, "ONE_MSG_KEEP", M.KEEP, core)
  if keep == nil then return nil, err end
  local ids
  ids, err = read("keep_ids", options.keep_ids, "ONE_MSG_KEEP_IDS", false, core)
  if ids == nil then return nil, err end
  return keep, ids
end

local Step = {}

function Step.over(flow, now, after)
  if not flow.keep then return 0 end
  local rows, last, info = flow.box:over(now - flow.keep, after)
  if not rows then return nil, last, info end
  if #rows == 0 then return 0, last end
  local digest, why = forget.digest(flow, true)
  if not digest then return nil, why end
  local done, err
  done, err, info = flow.box:bury(rows, digest, function(row)
    flow.breathe()
    return content.plain(row.event, flow.event_ignore)
  end, now, true)
  if not done then return nil, err, info end
  return #rows, last
end

function Step.drop(flow, now, after)
  if not flow.keep_ids then return 0 end
  return flow.box:drop(now - flow.keep_ids, after, now)
end

--- The next slice, if it is time for one.
function M.turn(worker, now)
  local flow, state, at = worker.flow, worker.keeping, worker.flow.steady()
  if at < state.at then return end
  local done, last = Step[STEPS[state.step]](flow, now, state.after)
  if not done and last:find "^config:" then
    if not state.told then flow:alert { alert = "retention", reason = last } end
    state.told, state.at = true, at + UNABLE
    return
  elseif not done and not last:find "^conflict:" then
    return worker:trouble(last)
  end
  if not done then last = state.after end -- somebody changed one of them: the same page once more
  flow.counted.forgotten = flow.counted.forgotten + (done or 0)
  local quiet = worker.count == 0 and worker.next_due > at
  state.at, state.after = at + (quiet and 0 or AMID), last
  if done and not last then
    state.step = state.step % #STEPS + 1
    if state.step == 1 then state.at = at + REST end
  end
  if quiet and worker.endless and state.at <= at then worker.look_at = 0 end
end

return M
