-- A failed fsync was told as "nothing was stored", and all of it was in the file. What fails at a commit may have been
-- stored, and is told so; what fails before was not. Who repeats what was refused has it once, and what the loop had
-- taken up just then is neither lost nor called unknown nor sent twice.
local store = require "support.store"

-- Runs work(number, op, errno, times) with the first, second … disk call failing, until there are no more.
local SWEEP = [[
  local unpack = table.unpack or unpack -- luacheck: ignore
  local DIRECTORY = ...
  local EIO, ENOSPC, EDQUOT = 5, 28, 122
  local faults = require "support.faults"
  local function sweep(work, op, errno, times, step)
    local number = 1
    while true do
      faults.disk(op, number, errno, times)
      local ok, why = pcall(work, ("%s/%s-%d.db"):format(DIRECTORY, op, number))
      local _, _, failed = faults.seen()
      faults.disk(op, 0)
      if not ok then print(("%s %d, %d times: %s"):format(op, number, times or 0, tostring(why))) os.exit(1) end
      if failed == 0 then break end
      number = number + step
    end
    print(("%s: up to %d"):format(op, number - 1))
  end
]]

local UNITS = SWEEP .. [[
  local sql = require "onemsg.sql"
  local function work(path)
    local db = assert(sql.open("sqlite:" .. path))
    local said = {}
    for n = 1, 12 do
      local ok, err, info = db:unit { { "CREATE TABLE IF NOT EXISTS t(a TEXT)" },
        { "INSERT INTO t(a) VALUES($1)", n .. ("x"):rep(n % 4 == 0 and 9000 or 10) } }
      if not ok then assert(info.retry and (info.class == "io" or info.class == "full"), err) end
      said[n] = ok and "stored" or err:find "it may not have been stored" and "open" or
        err:find "nothing was stored" and "no" or err
    end
    db:close()
    faults.disk("write", 0) faults.disk("sync", 0) faults.disk("index", 0)
    db = assert(sql.open("sqlite:" .. path))
    local there = {}
    assert(db:unit { { "CREATE TABLE IF NOT EXISTS t(a TEXT)" } })
    for _, row in ipairs(assert(db:read { { "SELECT a FROM t" } })[1]) do
      local n = tonumber(row.a:match "^%d+")
      there[n] = (there[n] or 0) + 1
    end
    db:close()
    for n = 1, 12 do
      local count = there[n] or 0
      local right = said[n] == "stored" and count == 1 or said[n] == "no" and count == 0 or said[n] == "open" and count <= 1
      assert(right, ("unit %d: %s, and %d times there"):format(n, said[n], count))
    end
    os.execute("rm " .. path .. "*")
  end
  -- op, errno, and how many calls are passed over from one try to the next
  for _, case in ipairs { { "sync", EIO, 1 }, { "sync", ENOSPC, 2 }, { "write", ENOSPC, 1 }, { "write", EIO, 3 },
                          { "write", EDQUOT, 5 }, { "index", ENOSPC, 1 } } do
    sweep(work, case[1], case[2], 1, case[3])
    sweep(work, case[1], case[2], nil, case[3] + 2) -- from then on all of them, until the process lets go
  end
]]

local WORKFLOW = SWEEP .. [[
  local simulation = require "support.simulation"
  local texts = 0
  local function insistently(call)
    for _ = 1, 40 do
      local value, err, info = call()
      if value then return value end
      assert(err:find "^store: " and info.retry, err)
    end
    error "refused all the time"
  end
  local function work(path)
    texts = 0
    local sim = insistently(function()
      local ok, sim = pcall(simulation.new, { path = path, fallback = { sms = function() texts = texts + 1 end } })
      if ok then return sim end
      return nil, "store: " .. tostring(sim), { retry = true }
    end)
    for n = 1, 4 do
      insistently(function()
        return sim.flow:submit { id = "e" .. n, type = n == 4 and "else" or "paid", phone = "1202555010" .. n, name = "M" }
      end)
    end
    insistently(function()
      local ok, why = pcall(sim.advance, sim, 700)
      return ok, "store: " .. tostring(why), { retry = true }
    end)
    local count, calls = 0, {}
    for _, sent in ipairs(sim.sent) do
      count = count + 1
      assert(not calls[sent.phone], "sent twice")
      calls[sent.phone] = true
    end
    assert(count == 4, count .. " messages left")
    local states = sim.flow:stats().states
    assert(states.accepted == 4, "not accepted: " .. require "cjson".encode(states))
    assert(texts == 1, texts .. " texts by the other way")
    sim:close()
  end
  for _, case in ipairs { { "sync", EIO, 1, 1 }, { "sync", EIO, 3, 2 }, { "write", ENOSPC, 1, 19 },
                          { "write", ENOSPC, 3, 29 } } do
    sweep(work, unpack(case))
  end
]]

describe("a disk that fails", function()
  if not store.can_fault then
    pending("not beside a sanitizer's own malloc: the faults are preloaded")
    return
  end

  local function run(program)
    local directory = store.directory()
    finally(function() store.remove(directory) end)
    local output = store.run_with_faults(directory, ("local function main(...) %s end main(%q)"):format(program, directory))
    assert.matches("\nexit 0$", output)
  end

  it("is told truly, at every call: what was stored, what was not, and what is open", function()
    run(UNITS)
  end)

  it("loses no message, sends none twice, and makes none unknown", function()
    run(WORKFLOW)
  end)
end)
