-- onemsg.policy.quiet and onemsg.base.zone: quiet hours by the recipient's wall clock, with the system's own zones.
local quiet = require "onemsg.policy.quiet"
local zone = require "onemsg.base.zone"

local HOUR, DAY = 3600, 86400

-- Seconds since the epoch of a UTC date and time.
local function utc(year, month, day, hour, minute)
  local y = month <= 2 and year - 1 or year
  local era = math.floor(y / 400)
  local of_era = y - era * 400
  local of_year = math.floor((153 * (month + (month > 2 and -3 or 9)) + 2) / 5) + day - 1
  local days = era * 146097 + of_era * 365 + math.floor(of_era / 4) - math.floor(of_era / 100) + of_year - 719468
  return days * DAY + hour * HOUR + (minute or 0) * 60
end

-- What the system's `date` says of a zone at many times, in one call: hours and minutes east of UTC.
local function by_date(name, times)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  for _, at in ipairs(times) do file:write("@", ("%d"):format(at), "\n") end
  file:close()
  local pipe = assert(io.popen(("TZ=%s date -f %s +%%::z"):format(name, path)))
  local offsets = {}
  for line in pipe:lines() do
    local sign, h, m, s = line:match("^([+-])(%d+):(%d+):(%d+)$")
    local seconds = h * 3600 + m * 60 + s
    offsets[#offsets + 1] = sign == "-" and -seconds or seconds
  end
  pipe:close()
  os.remove(path)
  return offsets
end

describe("zone", function()
  it("says what the system's date says, from 1900 to 2100", function()
    local times, seed = {}, 7
    for n = 1, 1500 do
      seed = (seed * 16807) % 2147483647
      times[n] = utc(1900, 1, 1, 0) + math.floor(seed / 2147483647 * (utc(2100, 1, 1, 0) - utc(1900, 1, 1, 0)))
    end
    -- Negative and half-hour offsets, a DST of half an hour (Lord Howe), rules that begin at -1 o'clock (Nuuk), a table
    -- without rule (Casablanca), winter as the exception (Dublin), the southern hemisphere, a skipped day (Apia).
    for _, name in ipairs { "UTC", "America/Sao_Paulo", "Europe/Berlin", "Europe/Dublin", "America/New_York",
                            "Australia/Lord_Howe", "Asia/Kathmandu", "America/Nuuk", "Africa/Casablanca",
                            "Pacific/Apia", "America/Santiago", "Asia/Kolkata", "Etc/GMT+5", "Asia/Jerusalem" } do
      local found = assert(zone.find(name))
      local expected = by_date(name, times)
      assert.equal(#times, #expected)
      for n, at in ipairs(times) do
        if found:offset(at) ~= expected[n] then
          error(("%s at %d: %d, date says %d"):format(name, at, found:offset(at), expected[n]))
        end
      end
    end
  end)

  it("is right to the second on both sides of a change, in the table and by the rule after it", function()
    local berlin = assert(zone.find "Europe/Berlin")
    for _, year in ipairs { 2026, 2030, 2090 } do
      local day = year == 2026 and 29 or year == 2030 and 31 or 26
      local at = utc(year, 3, day, 1)
      assert.equal(HOUR, berlin:offset(at - 1))
      assert.equal(2 * HOUR, berlin:offset(at))
    end
    assert.equal(2 * HOUR, berlin:offset(utc(2026, 10, 25, 1) - 1))
    assert.equal(HOUR, berlin:offset(utc(2026, 10, 25, 1)))
  end)

  it("refuses what is no zone, whatever it is", function()
    for _, name in ipairs { "Europe/Berln", "../../etc/passwd", "/etc/passwd", "Europe", "", "a//b", "x\0y",
                            ("x"):rep(100), "zone.tab", "tzdata.zi", "leapseconds" } do
      local found, why = zone.find(name)
      assert.is_nil(found)
      assert.matches("time zone", why)
    end
    assert.is_nil(zone.find(5))
    assert.is_nil(zone.find(nil))
  end)

  it("names the package that is missing", function()
    local before = zone.directories
    zone.directories = { "/nowhere" }
    local found, why = zone.find "Europe/Madrid"
    zone.directories = before
    assert.is_nil(found)
    assert.matches("install tzdata", why)
    assert.is_truthy(zone.find "Europe/Madrid")
  end)

  it("takes no file that is cut or damaged, and never raises", function()
    local file = assert(io.open("/usr/share/zoneinfo/Europe/Berlin", "rb"))
    local data = file:read("*a")
    file:close()
    assert.is_truthy(zone.parse(data))
    for length = 0, #data - 60, 13 do assert.is_nil(zone.parse(data:sub(1, length))) end
    local seed, parsed = 11, 0
    for _ = 1, 3000 do
      seed = (seed * 16807) % 2147483647
      local place = seed % #data + 1
      seed = (seed * 16807) % 2147483647
      local damaged = data:sub(1, place - 1) .. string.char(seed % 256) .. data:sub(place + 1)
      local found = zone.parse(damaged)
      if found then
        parsed = parsed + 1
        assert.is_number(found:offset(1.9e9))
      end
    end
    assert.is_true(parsed > 0)
  end)
end)

describe("quiet.hold", function()
  local FROM, TO = 21 * HOUR, 8 * HOUR

  -- The definition, minute by minute.
  local function expected(now, from, to, where)
    local function silent(at)
      local clock = (at + where:offset(at)) % DAY
      if from < to then return clock >= from and clock < to end
      return clock >= from or clock < to
    end
    local was = silent(now)
    local at = now
    repeat at = at + 60 until silent(at) ~= was
    return was, at
  end

  it("holds until the morning, across midnight", function()
    local where = assert(zone.find "America/Sao_Paulo") -- UTC-3, no summer time
    assert.equal(utc(2026, 11, 24, 11), (quiet.hold(utc(2026, 11, 24, 1), FROM, TO, where)))  -- 22:00
    assert.equal(utc(2026, 11, 24, 11), (quiet.hold(utc(2026, 11, 24, 3), FROM, TO, where)))  -- 00:00
    assert.equal(utc(2026, 11, 24, 11), (quiet.hold(utc(2026, 11, 24, 11) - 1, FROM, TO, where)))
    assert.is_nil((quiet.hold(utc(2026, 11, 24, 11), FROM, TO, where)))
    local now, begins = quiet.hold(utc(2026, 11, 24, 15), FROM, TO, where)
    assert.is_nil(now)
    assert.equal(utc(2026, 11, 25, 0), begins)
    assert.equal(utc(2026, 11, 25, 11), (quiet.hold(begins, FROM, TO, where)))
    assert.equal(utc(2026, 11, 24, 17), (quiet.hold(utc(2026, 11, 24, 15.5), 12 * HOUR, 14 * HOUR, where)))
  end)

  it("is right to the second when a time has fractions", function()
    local where = assert(zone.find "UTC")
    assert.equal(utc(2026, 11, 24, 8), (quiet.hold(utc(2026, 11, 24, 7) + 0.4999, FROM, TO, where)))
    assert.equal(utc(2026, 11, 24, 8), (quiet.hold(utc(2026, 11, 24, 8) - 1e-4, FROM, TO, where)))
  end)

  it("ends in spring at the change where its end is left out, and comes twice in autumn", function()
    local berlin = assert(zone.find "Europe/Berlin")
    local change = utc(2026, 3, 29, 1) -- 02:00 becomes 03:00
    assert.equal(change, (quiet.hold(change - 2 * HOUR, FROM, 2.5 * HOUR, berlin)))
    local back = utc(2026, 10, 25, 1)  -- 03:00 becomes 02:00
    assert.equal(back - HOUR / 2, (quiet.hold(back - 3 * HOUR, FROM, 2.5 * HOUR, berlin)))
    assert.equal(back + HOUR / 2, (quiet.hold(back + 60, FROM, 2.5 * HOUR, berlin)))
  end)

  it("is what a clock on the wall would say, minute by minute around both changes", function()
    local checked = 0
    for _, case in ipairs { { "Europe/Berlin", utc(2026, 3, 28, 18) }, { "Europe/Berlin", utc(2026, 10, 24, 18) },
                            { "America/New_York", utc(2026, 3, 7, 20) }, { "America/New_York", utc(2026, 10, 31, 20) },
                            { "Australia/Lord_Howe", utc(2026, 4, 4, 8) }, { "Pacific/Apia", utc(2011, 12, 29, 20) },
                            { "America/Sao_Paulo", utc(2018, 11, 3, 20) }, { "America/Nuuk", utc(2040, 3, 24, 18) } } do
      local where = assert(zone.find(case[1]))
      for _, hours in ipairs { { 21, 8 }, { 22, 2.5 }, { 1, 2 }, { 2, 3 }, { 0, 6 }, { 23.5, 0 } } do
        local from, to = hours[1] * HOUR, hours[2] * HOUR
        for now = case[2], case[2] + 40 * HOUR, 1740 do
          local was, at = expected(now, from, to, where)
          local held, begins = quiet.hold(now, from, to, where)
          checked = checked + 1
          if was and held ~= at or not was and (held or begins ~= at) then
            error(("%s %d, %g to %g: %s %s, expected %s %d"):format(case[1], now, hours[1], hours[2], tostring(held),
              tostring(begins), tostring(was), at))
          end
        end
      end
    end
    assert.is_true(checked > 3000)
  end)
end)
