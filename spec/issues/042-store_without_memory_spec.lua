-- One failed malloc while a store opened was a SIGSEGV. Every allocation of the store's thread fails here in turn: it is
-- said, whoever is not concerned is not hurt, what was acknowledged is there, and the store goes on.
local store = require "support.store"

local PROGRAM = [[
  local faults, sql, sys = require "support.faults", require "onemsg.sql", require "support.sys"
  local DIRECTORY = ...
  local function refused(err, info)
    assert(err:find "^store: out of memory" or err:find "^store: .*may not have been stored", err)
    assert(info.retry == true or info.class == "moved", info.class)
  end

  -- All a store does in its life; number: which allocation fails. -> whether it got that far, how many were refused
  local function life(number)
    local path = DIRECTORY .. "/" .. number .. ".db"
    local db = assert(sql.open("sqlite:" .. path))
    local stored, maybe, count = {}, {}, 0
    local function did(key, ok, err, info)
      if ok then
        if key then stored[key] = true end
      else
        count = count + 1
        refused(err, info)
        if key and err:find "may not" then maybe[key] = true end
      end
    end
    local function insert(key, bytes) return { "INSERT INTO t(a, b) VALUES($1, $2)", key, ("x"):rep(bytes) } end
    faults.memory(number)
    did(nil, db:unit { { "CREATE TABLE IF NOT EXISTS t(a TEXT PRIMARY KEY, b TEXT)" } })
    did(nil, db:unit { { "CREATE TABLE IF NOT EXISTS t(a TEXT PRIMARY KEY, b TEXT)" } })
    for n, bytes in ipairs { 10, 100000, 10 } do did("k" .. n, db:unit { insert("k" .. n, bytes) }) end
    local pendings = {}
    for n = 1, 4 do pendings[n] = { assert(db:async { insert("p" .. n, 3000) }), "p" .. n } end
    pendings[5] = { assert(db:async { insert("twice", 1), insert("twice", 1) }) }
    for _, one in ipairs(pendings) do
      local ok, err, info = one[1]:wait()
      if one[2] then did(one[2], ok, err, info)
      else assert(not ok and (err:find "^conflict: " or err:find "^store: "), err) end
    end
    did(nil, db:read { { "SELECT a, LENGTH(b) AS n FROM t" } })
    did(nil, db:read { { "SELECT a, b FROM t WHERE a = $1", "k2" } })
    local _, failed = faults.seen()
    db:close()
    faults.memory(0)
    db = assert(sql.open("sqlite:" .. path))
    for _, row in ipairs(assert(db:read { { "SELECT a FROM t" } })[1]) do
      assert(stored[row.a] or maybe[row.a], row.a .. " is there and was refused")
      stored[row.a] = nil
    end
    assert(next(stored) == nil, "lost " .. tostring(next(stored)))
    assert(db:unit { insert("last", 1) })
    db:close()
    os.execute("rm " .. path .. "*")
    return failed, count
  end

  local number, refusals, failed = 0, 0
  repeat
    number = number + 1
    local ok, hit, count = pcall(life, number)
    if not ok then print("allocation " .. number .. ": " .. hit) os.exit(1) end
    failed, refusals = hit, refusals + count
  until not failed
  print(("%d allocations, %d units refused"):format(number - 1, refusals))
]]

describe("onemsg.sql", function()
  if not store.can_fault then
    pending("every allocation of its thread fails in turn: not beside a sanitizer's own malloc")
    return
  end

  it("says when memory is out, at every allocation of its thread, and goes on", function()
    local directory = store.directory()
    finally(function() store.remove(directory) end)
    local output = store.run_with_faults(directory, ("local function main(...) %s end main(%q)"):format(PROGRAM, directory))
    local allocations, refused = output:match "^(%d+) allocations, (%d+) units refused\nexit 0$"
    assert.is_truthy(allocations, output)
    assert.is_true(tonumber(allocations) > 300 and tonumber(refused) > 100, output)
  end)
end)
