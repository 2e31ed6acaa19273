-- What an operator finds, counts, takes along and queues again: list --find, --csv, --since a day; stats --by; replay of many.
local cjson = require "cjson"
local commands = require "support.command"
local csv = require "onemsg.base.csv"
local server = require "support.server"

local RULES = [[
template "action_success" { language = "en", body = { "name", "action", "next_step" } }
defaults { phone = "{phone}", name = "{name|there}" }
never "Staff" { when = { staff = true } }
confirm "Paid" { on = "paid", action = "payment {order}", next_step = "Thanks." }
]]

describe("an operator", function()
  local fake, command

  setup(function() fake = server.fake { set = { pace_ms = 0 } } end)
  teardown(function() fake:stop() end)
  before_each(function()
    fake:reset()
    command = commands.new(fake.env)
    command.env.ONE_MSG_STORE = "sqlite:" .. command.dir .. "/confirmations.db"
    command.env.ONE_MSG_RULES = command:write("rules.lua", RULES)
  end)
  after_each(function() command:remove() end)

  local function event(n, more)
    local one = { id = "e-" .. n, type = "paid", phone = ("1202%05d00"):format(n), name = "Maria", order = "4711-" .. n }
    for name, value in pairs(more or {}) do one[name] = value end
    return cjson.encode(one)
  end

  local function submit(...)
    assert.equal(0, command:run("submit", { stdin = table.concat({ ... }, "\n") }).code)
  end

  local function ids(arguments)
    local list = {}
    for n, one in ipairs(command:run("list --json " .. arguments).json or {}) do list[n] = one.id end
    table.sort(list)
    return table.concat(list, " ")
  end

  it("finds a text anywhere", function()
    submit(event(1), event(2, { name = "José Ávila" }), event(3, { note = 'a "quoted" 50%/year' }), event(4, { staff = true }))
    for text, found in pairs {
      ["4711-2"] = "e-2", ["josé"] = "e-2", ["MARIA"] = "e-1 e-3 e-4", ["00300"] = "e-3", ["E-4"] = "e-4", ['"quoted"'] = "e-3",
      ["50%/y"] = "e-3", ["50_/y"] = "", ["%"] = "e-3", ["12020000100"] = "e-1", ["nobody"] = "", ["payment 4711-1"] = "e-1",
    } do
      assert.equal(found, ids("--find '" .. text .. "'"), text)
    end
    assert.equal("e-4", ids "--find maria --state skipped")
  end)

  it("lists more than a page, and all of it as CSV", function()
    local events = {}
    for n = 1, 1103 do events[n] = event(n, { staff = true }) end
    submit(table.concat(events, "\n"), event(2000, { name = "=HYPERLINK(1)" }))
    assert.equal(1104, #command:run("list --json --limit 5000").json)
    assert.equal(100, #command:run("list --json").json)
    local rows, seen = 0, {}
    for row in csv.rows(command:run("list --csv").out) do
      rows = rows + 1
      seen[row[3]] = (seen[row[3]] or 0) + 1
    end
    assert.same({ 1105, 1, 1 }, { rows, seen["e-1"], seen["e-1103"] })
    local masked, whole = command:run("list --csv --find e-2000").out, command:run("list --csv --full --find e-2000").out
    assert.is_nil(masked:find("12020200000", 1, true))
    assert.truthy(whole:find(",12020200000,main,action_success,en,", 1, true), whole)
  end)

  it("says a day as well as how long ago", function()
    submit(event(1))
    for since, found in pairs {
      [os.date("%Y-%m-%d", os.time() - 86400)] = "e-1", [os.date("'%Y-%m-%d %H:%M'", os.time() - 120)] = "e-1",
      [os.date("%Y-%m-%d", os.time() + 2 * 86400)] = "", ["1h"] = "e-1",
    } do
      assert.equal(found, ids("--since " .. since), since)
    end
    for _, since in ipairs { "2026-13-01", "2026-02-30", "yesterday", "2026-11-26T25" } do
      local result = command:run("list --since " .. since)
      assert.equal(1, result.code, since)
      assert.truthy(result.err:find("or a day such as 2026-11-26", 1, true), result.err)
    end
  end)

  it("counts by reason, rule and hour", function()
    submit(event(1), event(2), event(3, { staff = true }), event(4, { phone = "1202000 0440" }), event(5, { phone = 5 }))
    command:run "work --drain 0"
    local function counted(arguments, name)
      local list = {}
      for n, one in ipairs(command:run("stats --json " .. arguments).json) do
        list[n] = ("%d %s %s"):format(one.count, one.state, one[name] or "-")
      end
      return table.concat(list, "\n")
    end
    assert.truthy(counted("--by rule", "rule"):find("^2 accepted Paid\n1 "), counted("--by rule", "rule"))
    local reasons = counted("--by reason --since 1h", "reason")
    assert.truthy(reasons:find('1 skipped never "Staff"', 1, true) and reasons:find("1 skipped invalid: phone", 1, true), reasons)
    local total = 0
    for _, one in ipairs(command:run("stats --json --by hour").json) do
      assert.equal(0, one.hour % 3600)
      total = total + one.count
    end
    assert.equal(5, total)
    assert.equal("nothing\n", command:run("stats --by rule --since 2100-01-01").out)
    assert.truthy(command:run("stats --by day").err:find('stats: --by is "reason", "rule" or "hour"', 1, true))
  end)

  it("queues again all that a filter finds, once", function()
    submit(event(1, { staff = true }), event(2, { staff = true }), event(3, { staff = true, order = "other" }), event(4))
    command:write("rules.lua", (RULES:gsub("never.-\n", "")))
    local result = command:run "replay --state skipped --find 4711- --json"
    assert.equal(0, result.code, result.err)
    assert.same({ replayed = 2 }, { replayed = result.json[1].replayed })
    assert.equal("e-1 e-2 e-4", ids "--state queued")
    assert.equal(0, command:run("replay --state skipped --json").code)
    assert.equal("e-1 e-2 e-3 e-4", ids "--state queued")
    command:write("rules.lua", RULES)
    assert.equal(0, command:run("cancel e-1").code)
    result = command:run "replay --state cancelled"
    assert.truthy(result.out:find('e-1 stays: invalid: the rules skip it: never "Staff"', 1, true), result.out)
    assert.truthy(result.out:find("0 replayed; 1 stay as they are", 1, true))
    assert.equal(1, command:run("replay").code)
    assert.truthy(command:run("replay --state delivered").err:find("replay: state is one of cancelled, expired, failed", 1, true))
  end)
end)
