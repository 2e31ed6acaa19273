--- onemsg.workflow.quiet: holds what is due in its recipient's quiet hours until they end. For onemsg.workflow.worker,
-- which asks right before it sends; without an answer from here the store lets no message with quiet hours leave.
local cjson = require "cjson"
local amend = require "onemsg.outbox.amend"
local log = require "onemsg.workflow.log"
local quiet = require "onemsg.policy.quiet"
local zones = require "onemsg.base.zone"

local M = {}

local ASK_AGAIN = 86400 -- seconds until a zone that is not known is looked for again

local function clock(seconds)
  return ("%02d:%02d"):format(math.floor(seconds / 3600), math.floor(seconds % 3600 / 60))
end

--- Why the quiet hours of a zone can't be kept, or nil.
function M.trouble(hours)
  local zone, why = zones.find(hours.zone)
  return not zone and "quiet hours are not kept: " .. why or nil
end

--- Until when the quiet hours of a recipient hold, and in words; nil: they don't, or can't be kept.
-- @tparam table hours from, to, zone
function M.hold_until(hours, now)
  local zone = zones.find(hours.zone)
  local until_at = zone and quiet.hold(now, hours.from, hours.to, zone)
  if until_at then return until_at, ("quiet hours until %s in %s"):format(clock(hours.to), hours.zone) end
end

--- What is to be done about one message that is due.
local function decide(row, now)
  local hours = cjson.decode(row.quiet)
  local zone, why = zones.find(hours.zone)
  if not zone then -- a confirmation is better late at night than never; at submit it was said
    return { awake_until = now + ASK_AGAIN, note = "quiet hours are not kept: " .. why }
  end
  local until_at, begins = quiet.hold(now, hours.from, hours.to, zone)
  if not until_at then return { awake_until = begins } end
  local text = ("quiet hours until %s in %s"):format(clock(hours.to), hours.zone)
  return { due_at = until_at, held = text, note = text, awake_until = amend.NONE,
    place = row.place + math.floor((until_at - now) * 1e6), -- it holds up nobody in the recipient's line
    give_up_at = row.give_up_at + (until_at - now) }        -- held is not dropped
end

--- Asks for every message that is due on a channel and has quiet hours whether it may leave.
-- @treturn ?boolean true; nil, err when the store failed
function M.ask(flow, channel, now)
  repeat
    local rows, err = flow.box:due_in_quiet_hours(channel, now)
    if not rows then return nil, err end
    local begun = {}
    for n, row in ipairs(rows) do begun[n] = flow.box:amend(row, decide(row, now), now) end
    for _, one in ipairs(begun) do
      local row
      row, err = flow.box:amended(one)
      if row then
        log.amended(flow, row, one.change, now)
      elseif not err:find("^conflict:") then
        return nil, err
      end
    end
  until #rows == 0
  return true
end

return M
