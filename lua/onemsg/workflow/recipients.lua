--- onemsg.workflow.recipients: whom not to address: flow:suppress, flow:unsuppress, flow:suppressed. For onemsg.workflow.
local utf8 = require "onemsg.base.utf8"
local check = require "onemsg.base.check"
local phones = require "onemsg.base.phone"

local M = { methods = {} }
local People = M.methods

local TAKES = { channel = "string", duration = "duration", reason = "string", country = "string number",
                by = "string" }
local LIFTS = { country = "string number", by = "string" }

local function core() return require "onemsg" and require "onemsg.core" end

-- What can be no number of that country is what show and list say: digits with the calling code.
local function find_in(given, country)
  local address, why = phones.address(given, country)
  return address or phones.address(given), why
end

--- The address of whom people mean, as a message to them has it.
-- @tparam table flow
-- @param given a phone, or a chat id
-- @tparam ?string channel name; its country counts. Without one, those of all channels, if they agree
-- @tparam ?string country counts before that of a channel
-- @treturn ?string
-- @treturn ?string with nil: what is wrong, which reads on after "phone"
function M.find(flow, given, channel, country)
  if channel or country then return find_in(given, country or flow.countries[channel]) end
  local found
  for _, name in ipairs(flow.names) do
    local address, why = find_in(given, flow.countries[name])
    if not address then return nil, why end
    if found and found ~= address then
      return nil, "is another one in the country of each channel: give the international form"
    end
    found = address
  end
  return found
end

--- The same; what is no phone is misuse.
function M.address(flow, call, given, channel, country)
  if country and not core().country(country) then
    check.misuse(("%s: country is an ISO code such as BR or a calling code such as 55, not %s"):format(call, country))
  end
  local address, why = M.find(flow, given, channel, country)
  if not address then check.misuse(("%s: phone %s"):format(call, why)) end
  return address
end

--- The address that options name, by any of the fields of a message; nil: they name none.
-- @tparam table by phone, bsuid, username, chat_id; channel, country. The former are taken out
function M.named(flow, call, by)
  local given
  for _, field in ipairs(phones.FIELDS) do
    local value = by[field]
    if value ~= nil and given ~= nil then check.misuse(call .. " takes one name of a person") end
    if value ~= nil then given = field == "username" and "@" .. value:gsub("^@", "") or value end
    by[field] = nil
  end
  local channel, country = by.channel, by.country
  by.country = nil
  return given ~= nil and M.address(flow, call, given, channel, country) or nil
end

--- Suppresses a recipient: nothing is sent to them, and what waits for them is skipped.
-- @param phone as people write it, as for channel:send, a bsuid, "@username" or a chat id: whoever has it is meant, by
--   all their names
-- @tparam ?table options channel = name (default: all channels), duration = seconds or "30d" (default: for good),
--   reason = a sentence ("by hand"), country = of a national number (default: the channel's), by = who
-- @treturn ?number how many waiting confirmations were skipped
-- @treturn string with nil: "store: …"
function People:suppress(phone, options)
  options = check.options("suppress", options, TAKES)
  if options.channel and not self.channels[options.channel] then
    local names, err, info = self.box:channel_names()
    if not names then return nil, err, info end
    local known = {}
    for _, name in ipairs(names) do known[name] = true end
    if not known[options.channel] then
      check.misuse(("suppress: there is no channel '%s'; the store has %s"):format(options.channel,
        names[1] and table.concat(names, ", ") or "no messages of any"))
    end
  end
  local address, now = M.address(self, "suppress", phone, options.channel, options.country), self.now()
  local rows, err, info = self.box:suppress({ channel = options.channel or "", phone = address, source = "hand",
    reason = utf8.line(utf8.repair(options.reason or "by hand", 200)),
    until_at = options.duration and now + options.duration, by = options.by }, now)
  if not rows then return nil, err, info end
  for _, row in ipairs(rows) do self:announce(row) end
  return #rows
end

--- Ends every suppression of a recipient, on all channels. What they had skipped is queued again, within its
-- give_up_after, unless another way was used or another confirmation took its once_per key.
-- @param phone as for suppress
-- @tparam ?table options country = as for suppress, by = who
-- @treturn ?number how many there were
function People:unsuppress(phone, options)
  options = check.options("unsuppress", options, LIFTS)
  local address = M.address(self, "unsuppress", phone, nil, options.country)
  local ended, back, info = self.box:unsuppress(address, self.now(), options.by,
    require "onemsg.workflow.forget".digest(self))
  if not ended then return nil, back, info end
  for _, row in ipairs(back) do self:announce(row) end
  self.worker:wake()
  return ended
end

--- Who is suppressed, the newest first, at most 1,000.
-- @tparam ?table options after = the last of those that were read before: those that follow
-- @treturn ?table { { phone (or another name), channel ('' = all), reason, code, until_at (nil: for good), created_at, source
--   ("stop": they wrote so; "hand", "failure") }, … }
function People:suppressed(options)
  return self.box:suppressed(self.now(), check.options("suppressed", options, { after = "table" }).after)
end

return M
