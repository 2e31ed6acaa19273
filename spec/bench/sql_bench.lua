-- Durable units per second with 1, 16, 64 and 256 callers, and how long one waits, beside what SQLite does by itself
-- with as many rows a commit and neither Lua, threads nor callers (group_commit.c). Alternating rounds on one disk.
-- The figure to reach is half of that rate with 64 callers.
--
--   lua5.4 spec/bench/sql_bench.lua [rounds [directory]]      build/bench/group_commit has to be there
package.path = "lua/?.lua;spec/?.lua;" .. package.path
package.cpath = "build/" .. (rawget(_G, "jit") and "luajit" or "5.4") .. "/?.so;" .. package.cpath
local sql = require "onemsg.sql"
local sys = require "support.sys"

local ROUNDS = tonumber(arg[1]) or 7
local DIRECTORY = arg[2] or "build/bench"
local CALLERS = { 1, 16, 64, 256 }
local SECONDS = 0.5 -- a round, about
local path = DIRECTORY .. "/sql_bench.db"
local body = ("b"):rep(300)

local function clean()
  for _, suffix in ipairs { "", "-wal", "-shm" } do os.remove(path .. suffix) end
end

local function bare(callers, rows)
  clean()
  local pipe = assert(io.popen(("build/bench/group_commit %s %d %d"):format(path, callers, rows)))
  local rate = tonumber(pipe:read "*l")
  pipe:close()
  return assert(rate, "group_commit failed")
end

--- -> rate, list of waiting times in ms, unsorted, units a commit
local function ours(callers, rows)
  clean()
  local db = assert(sql.open("sqlite:" .. path))
  assert(db:unit { { "CREATE TABLE t(id TEXT PRIMARY KEY, body TEXT, due_at BIGINT)" } })
  local units, began, waited = {}, {}, {}
  local start = sys.now()
  for row = 0, rows + callers - 1 do -- every place is a caller, who waits for its unit before it hands in another
    local place = row % callers
    if units[place] then
      assert(assert(units[place]:wait())[1].changes == 1)
      waited[#waited + 1] = (sys.now() - began[place]) * 1000
    end
    if row < rows then
      began[place] = sys.now()
      units[place] = assert(db:async {
        { "INSERT INTO t(id, body, due_at) VALUES($1, $2, $3)", ("payment-%010d"):format(row), body, 1.7e12 + row },
      })
    end
  end
  local rate, commits = rows / (sys.now() - start), db:stats().commits
  assert(db:read { { "SELECT COUNT(*) AS n FROM t" } }[1][1].n == rows)
  db:close()
  return rate, waited, rows / commits
end

local function part(list, share)
  return list[math.max(1, math.ceil(#list * share))]
end

print((rawget(_G, "jit") and rawget(_G, "jit").version or _VERSION) .. ", " .. ROUNDS .. " rounds, in " .. DIRECTORY)
print("callers   SQLite rows/s   (min     max)   onemsg units/s   (min     max)   ratio  a commit   p50 ms"
  .. "    p99    max")
for _, callers in ipairs(CALLERS) do
  local base, rates, ratios, all, group = {}, {}, {}, {}, {}
  local rows = math.ceil(bare(callers, 20000) * SECONDS)
  for round = 1, ROUNDS do
    local waited
    base[round] = bare(callers, rows)
    rates[round], waited, group[round] = ours(callers, rows)
    ratios[round] = rates[round] / base[round]
    for _, ms in ipairs(waited) do all[#all + 1] = ms end
  end
  for _, list in ipairs { base, rates, ratios, all, group } do table.sort(list) end
  print(("%7d %15.0f (%6.0f %7.0f) %15.0f (%6.0f %7.0f) %7.2f %9.0f %8.2f %6.2f %6.2f"):format(callers, part(base, 0.5),
    base[1], base[ROUNDS], part(rates, 0.5), rates[1], rates[ROUNDS], part(ratios, 0.5), part(group, 0.5),
    part(all, 0.5), part(all, 0.99), all[#all]))
end
clean()
