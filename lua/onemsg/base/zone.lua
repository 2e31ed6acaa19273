--- onemsg.base.zone: how far a time zone's clocks are from UTC, now and in any year, out of the system's own data (TZif,
-- RFC 9636; Debian: tzdata). The process's own zone (TZ, os.date) is neither asked nor changed.
-- Loading does no I/O; find() reads a zone's file once and keeps it; parse() and a zone's offset() are pure.
local utf8 = require "onemsg.base.utf8"

local M = {}

--- Where the files are looked for, in this order.
M.directories = { "/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo" }

local FILE_BYTES = 65536 -- the largest zone has 4 kB
local DAY = 86400

-- The footer: a POSIX rule such as CET-1CEST,M3.5.0,M10.5.0/3, for the years after the table ------------------------

--- Days from 1970-01-01 to the 1st of January of a year.
local function days_before(year)
  local y = year - 1
  return y * 365 + math.floor(y / 4) - math.floor(y / 100) + math.floor(y / 400) - 719162
end

local function leap(year)
  return year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
end

local function year_of(seconds)
  local year = 1970 + math.floor(seconds / (365.2425 * DAY))
  while days_before(year + 1) * DAY <= seconds do year = year + 1 end
  while days_before(year) * DAY > seconds do year = year - 1 end
  return year
end

local lengths = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

--- The day (0 = 1 January) that a date rule names in a year.
local function day_in(rule, year)
  if rule.kind == "J" then return rule.day - 1 + ((leap(year) and rule.day >= 60) and 1 or 0) end
  if rule.kind == "n" then return rule.day end
  local first = 0
  for month = 1, rule.month - 1 do first = first + lengths[month] + ((month == 2 and leap(year)) and 1 or 0) end
  local weekday = (days_before(year) + first + 4) % 7 -- of the month's first day; 1970-01-01 was a Thursday
  local day = (rule.weekday - weekday) % 7 + (rule.week - 1) * 7
  local length = lengths[rule.month] + ((rule.month == 2 and leap(year)) and 1 or 0)
  while day >= length do day = day - 7 end
  return first + day
end

--- Reads [+-]hh[:mm[:ss]]; seconds and the rest of the text.
local function take_time(text)
  local sign, hours, rest = text:match("^([+-]?)(%d+)(.*)$")
  if not sign then return nil end
  local seconds, unit = tonumber(hours) * 3600, 60
  for _ = 1, 2 do
    local digits, more = rest:match("^:(%d%d)(.*)$")
    if not digits then break end
    seconds, rest, unit = seconds + tonumber(digits) * unit, more, 1
  end
  return sign == "-" and -seconds or seconds, rest
end

local function take_name(text)
  return text:match("^<[%w+-]+>(.*)$") or text:match("^%a%a%a+(.*)$")
end

local function take_date(text)
  local rule
  local month, week, weekday, rest = text:match("^,M(%d+)%.(%d)%.(%d)(.*)$")
  if month then
    rule = { kind = "M", month = tonumber(month), week = tonumber(week), weekday = tonumber(weekday) }
    if rule.month < 1 or rule.month > 12 or rule.week < 1 or rule.week > 5 or rule.weekday > 6 then return nil end
  else
    local kind, day
    kind, day, rest = text:match("^,(J?)(%d+)(.*)$")
    if not kind then return nil end
    rule = { kind = kind == "J" and "J" or "n", day = tonumber(day) }
    if rule.day > 365 or (kind == "J" and rule.day < 1) then return nil end
  end
  rule.time = 2 * 3600
  if rest:sub(1, 1) == "/" then
    rule.time, rest = take_time(rest:sub(2))
    if not rule.time then return nil end
  end
  return rule, rest
end

--- Reads a POSIX rule.
-- @treturn ?table std, dst (seconds east of UTC), from, to (date rules); no dst: none is kept
local function read_rule(text)
  local west
  local rest = take_name(text)
  if not rest then return nil end
  west, rest = take_time(rest)
  if not west then return nil end
  local rule = { std = -west }
  if rest == "" then return rule end
  rest = take_name(rest)
  if not rest then return nil end
  rule.dst = rule.std + 3600
  if rest:sub(1, 1) ~= "," then
    west, rest = take_time(rest)
    if not west then return nil end
    rule.dst = -west
  end
  rule.from, rest = take_date(rest)
  if not rule.from then return nil end
  rule.to, rest = take_date(rest)
  return rule.to and rest == "" and rule or nil
end

local function offset_by_rule(rule, at)
  if not rule.dst then return rule.std end
  local year = year_of(at + rule.std)
  local base = days_before(year)
  local from = (base + day_in(rule.from, year)) * DAY + rule.from.time - rule.std
  local to = (base + day_in(rule.to, year)) * DAY + rule.to.time - rule.dst
  local summer
  if from < to then summer = at >= from and at < to else summer = at >= from or at < to end
  return summer and rule.dst or rule.std
end

-- The file --------------------------------------------------------------------------------------------------------

local function unsigned(data, place)
  local a, b, c, d = data:byte(place, place + 3)
  return ((a * 256 + b) * 256 + c) * 256 + d
end

local function signed(data, place)
  local value = unsigned(data, place)
  return value >= 2 ^ 31 and value - 2 ^ 32 or value
end

--- 64 bits as a double: exact for every time that a zone's table names.
local function signed_long(data, place)
  return signed(data, place) * 2 ^ 32 + unsigned(data, place + 4)
end

--- The counts of a header at `place`, and the length of the block behind it.
local function header(data, place, width)
  if #data < place + 43 or data:sub(place, place + 3) ~= "TZif" then return nil end
  local h = {}
  for n, name in ipairs { "utc", "std", "leap", "times", "types", "chars" } do
    h[name] = unsigned(data, place + 16 + n * 4)
  end
  h.first = place + 44
  h.behind = h.first + h.times * (width + 1) + h.types * 6 + h.chars + h.leap * (width + 4) + h.std + h.utc
  if h.types < 1 or h.types > 256 or h.times > 5000 or h.behind > #data + 1 then return nil end
  return h
end

local Zone = {}
Zone.__index = Zone

--- Seconds east of UTC at a time.
-- @tparam number at seconds since the epoch
-- @treturn number
function Zone:offset(at)
  local times = self.times
  local count = #times
  if self.rule and (count == 0 or at >= times[count]) then return offset_by_rule(self.rule, at) end
  if count == 0 or at < times[1] then return self.before end
  local low, high = 1, count
  while low < high do
    local middle = math.ceil((low + high) / 2)
    if times[middle] <= at then low = middle else high = middle - 1 end
  end
  return self.offsets[low]
end

--- Makes a zone out of a TZif file's bytes. Pure.
-- @tparam string data
-- @treturn ?table a zone, with offset(at); nil when it is no TZif file
function M.parse(data)
  local h, width, time = header(data, 1, 4), 4, signed
  if not h then return nil end
  local footer = ""
  if data:byte(5) >= 0x32 then -- version 2 and later: a second block with long times, then the footer
    h, width, time = header(data, h.behind, 8), 8, signed_long
    if not h then return nil end
    footer = data:match("^\n([^\n]*)\n", h.behind) or ""
  end
  local zone = setmetatable({ times = {}, offsets = {} }, Zone)
  local kinds = h.first + h.times * width
  local types = kinds + h.times
  zone.before = signed(data, types)
  for n = 1, h.times do
    zone.times[n] = time(data, h.first + (n - 1) * width)
    local kind = data:byte(kinds + n - 1)
    if kind >= h.types then return nil end
    zone.offsets[n] = signed(data, types + kind * 6)
  end
  if footer ~= "" then
    zone.rule = read_rule(footer)
    if not zone.rule then return nil end
  end
  return zone
end

--- A name as sentences show it.
local function shown(name)
  return (name:gsub("[^%w_+/%-:(). ]", "?"))
end

local links -- at the first name that no file has

--- The seconds east of UTC that a text says: "-03:00", "+0530", "UTC-3", "GMT+01:00", "Z"; nil: it is none.
local function offset_of(name)
  local rest = name:gsub("^[Uu][Tt][Cc]%s*", ""):gsub("^[Gg][Mm][Tt]%s*", "")
  if rest == "" or rest:lower() == "z" then return name ~= "" and 0 or nil end
  local sign, hours, minutes = rest:match "^([+-])(%d%d?):?(%d?%d?)$"
  if not sign and rest:find "^\226\136\146" then -- the minus of typographers
    sign, hours, minutes = "-", rest:match "^\226\136\146(%d%d?):?(%d?%d?)$"
  end
  if not hours or #minutes == 1 then return nil end
  hours, minutes = tonumber(hours), tonumber(minutes ~= "" and minutes or "0")
  if hours > 14 or minutes > 59 then return nil end
  local seconds = hours * 3600 + minutes * 60
  return sign == "-" and -seconds or seconds
end

--- Can this be a zone's name, or say how far its clocks are from UTC? Pure.
function M.is_name(text)
  return offset_of((text:gsub("[%s_]", ""))) ~= nil or text:find("^%s*%a[%w_+/ -]*$") ~= nil and #text <= 60
end

local known = {}

--- The zone of a name; read from disk at the first call of a process, then kept.
-- @tparam string name of the IANA list, such as "America/Sao_Paulo", "UTC", old ones such as "Asia/Calcutta" as well; or
--   how far a clock is from UTC: "-03:00", "UTC+5:30", "Z"
-- @treturn ?table a zone, with offset(at)
-- @treturn string with nil: a sentence
function M.find(name)
  if known[name] then return known[name] end
  if type(name) ~= "string" or #name > 60 then return nil, "a time zone is named as America/Sao_Paulo is" end
  local given = name
  name = utf8.trim(name):gsub(" ", "_")
  if known[name] then return known[name] end
  local offset = offset_of((name:gsub("_", "")))
  if offset then
    known[name] = setmetatable({ times = {}, offsets = {}, before = offset }, Zone)
    return known[name]
  elseif not name:find("^%a[%w_+/-]*$") or name:find("//", 1, true) then
    return nil, ("%q is no time zone: one is named as America/Sao_Paulo is"):format(shown(given))
  end
  local seen = false
  for _, directory in ipairs(M.directories) do
    local file = io.open(directory .. "/" .. name, "rb")
    local data = file and file:read(FILE_BYTES)
    if file then file:close() end
    local zone = data and M.parse(data)
    if zone then
      known[name] = zone
      return zone
    end
    if not seen then
      file = io.open(directory .. "/UTC", "rb")
      seen = file ~= nil
      if file then file:close() end
    end
  end
  if not seen then return nil, "this machine has no time zones: install tzdata" end
  links = links or require "onemsg.base.zone_links".zone_of
  local linked = links[name] and not links[links[name]] and M.find(links[name])
  if linked then return linked end
  return nil, ("there is no time zone %q"):format(given)
end

return M
