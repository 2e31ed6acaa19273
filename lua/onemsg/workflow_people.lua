--- onemsg.workflow_people: whom not to address: flow:suppress, flow:unsuppress, flow:suppressed. For onemsg.workflow.
local duration = require "onemsg.base.duration"
local plain = require "onemsg.plain"
local suggest = require "onemsg.rules_suggest"

local M = { methods = {} }
local People = M.methods

local known = { channel = "string", duration = "number string", reason = "string" }

--- Digits, or a chat id.
local function address(phone, what)
  if type(phone) == "number" then phone = ("%.0f"):format(phone) end
  if type(phone) ~= "string" then
    error(("%s takes a phone, not a %s"):format(what, type(phone)), 4)
  end
  if phone:find("@", 1, true) then return phone end
  local digits = phone:gsub("[%s%-%.%(%)/+]", "")
  if not digits:find("^[1-9]%d+$") or #digits < 7 or #digits > 15 then
    error(("%s: '%s' is no phone in international form"):format(what, phone), 4)
  end
  return digits
end

--- Suppresses a recipient: nothing is sent to them, and what waits for them is skipped.
-- @tparam string phone international, or a chat id
-- @tparam ?table options channel = name (default: all channels), duration = seconds or "30d" (default: for good),
--   reason = a sentence ("by hand")
-- @treturn ?number how many waiting confirmations were skipped
-- @treturn string with nil: "store: …"
function People:suppress(phone, options)
  phone = address(phone, "suppress")
  for name, value in pairs(options or {}) do
    if not known[name] then
      error(("suppress has no option '%s'%s"):format(tostring(name), suggest.phrase(tostring(name), known)), 3)
    elseif not known[name]:find(type(value), 1, true) then
      error(("suppress: %s must be a %s"):format(name, (known[name]:gsub(" ", " or a "))), 3)
    end
  end
  options = options or {}
  local seconds = options.duration and duration.seconds(options.duration)
  if options.duration and not (seconds and seconds > 0) then
    error('suppress: duration is a number of seconds, or like "30d"', 3)
  elseif options.channel and not self.channels[options.channel] then
    error(("suppress: there is no channel '%s'"):format(options.channel), 3)
  end
  local now = self.now()
  local rows, err, info = self.box:suppress({ channel = options.channel or "", phone = phone, by_hand = true,
    reason = plain.line(plain.repair(options.reason or "by hand", 200)),
    until_at = seconds and now + seconds }, now)
  if not rows then return nil, err, info end
  for _, row in ipairs(rows) do self:announce(row) end
  return #rows
end

--- Ends every suppression of a recipient, on all channels. What was skipped meanwhile stays so; replay it.
-- @treturn ?number how many there were
function People:unsuppress(phone)
  return self.box:unsuppress(address(phone, "unsuppress"), self.now())
end

--- Who is suppressed, the newest first, at most 1,000.
-- @treturn ?table { { phone, channel ('' = all), reason, code, until_at (nil: for good), created_at }, … }
function People:suppressed()
  return self.box:suppressed(self.now())
end

return M
