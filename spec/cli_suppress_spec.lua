-- onemsg suppress, unsuppress, suppressed: opt-outs by hand and from a list.
local cjson = require "cjson"
local commands = require "support.command"
local csv = require "onemsg.base.csv"
local server = require "support.server"

local RULES = [[
template "action_success" { language = "en", body = { "name", "action", "next_step" } }
confirm "Paid" { on = "paid", phone = "{phone}", name = "Maria", action = "payment", next_step = "Thanks." }
]]

describe("csv", function()
  local function all(text)
    local list = {}
    for row, line in csv.rows(text) do list[#list + 1] = line .. ":" .. table.concat(row, "|") end
    return table.concat(list, " ")
  end

  it("reads what spreadsheets write", function()
    for text, rows in pairs {
      [""] = "", ["\n\r\n"] = "", ["a"] = "1:a", ["a,b\nc,d\n"] = "1:a|b 2:c|d", ["a;b\r\nc;d,e"] = "1:a|b 2:c|d,e",
      ["a\tb"] = "1:a|b", ["\239\187\191a,b"] = "1:a|b", ['"a,b",c'] = "1:a,b|c", ['"say ""x""",c'] = '1:say "x"|c',
      ['"a\nb",c\nd'] = "1:a\nb|c 3:d", [' a , "b" ,c '] = "1:a|b|c", ["a,,c"] = "1:a||c", ["a,\n,b"] = "1:a| 2:|b",
      ['"open,c\nd'] = "1:open,c\nd", ["a\rb"] = "1:a 2:b", ['""'] = "", ["a,b,"] = "1:a|b|",
    } do
      assert.equal(rows, all(text))
    end
  end)

  it("writes what it reads, and no formulas", function()
    for _, row in ipairs { { "a", "b" }, { 'say "x"', "1,2", "a\nb" }, { "" }, { "-1.5", "7" } } do
      if row[1] ~= "" then assert.equal("1:" .. table.concat(row, "|"), all(csv.line(row))) end
    end
    assert.equal([['=1+1,'+49 30 1,'@x,-5]], csv.line { "=1+1", "+49 30 1", "@x", -5 })
  end)
end)

describe("onemsg suppress", function()
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

  local function submit(id, phone)
    return command:run("submit --json", { stdin = cjson.encode { id = id, type = "paid", phone = phone } }).json[1]
  end

  it("ends all sending to somebody, and unsuppress takes that back", function()
    assert.equal("queued", submit("a", "12020721300").state)
    local result = command:run '"suppress" "+1 (202) 072-1300" --reason "asked by telephone"'
    assert.same({ 0, "1 suppressed; 1 messages that waited are skipped\n" }, { result.code, result.out })
    assert.equal("suppressed: asked by telephone", command:run("show --json a").json[1].reason)
    assert.equal("skipped", submit("b", "12020721300").state)
    result = command:run "suppressed"
    assert.truthy(result.out:find("…1300", 1, true) and result.out:find("asked by telephone", 1, true), result.out)
    assert.is_nil(result.out:find("12020721300", 1, true))
    assert.equal("12020721300", command:run("suppressed --full --json").json[1].phone)
    result = command:run "unsuppress 12020721300"
    assert.same({ 0, "lifted: 1\n" }, { result.code, result.out })
    assert.equal("queued", command:run("show --json a").json[1].state)
    assert.equal(2, command:run("unsuppress 12020721300").code)
    assert.equal("nobody\n", command:run("suppressed").out)
  end)

  it("takes a list of opt-outs, says which lines it can't read, and gives the list back", function()
    submit("a", "12020721301")
    local list = command:write("opt-outs.csv", "name;Phone;reason\r\nMaria;+1 202 072 1301;\"asked; twice\"\r\nEve;nobody;x\r\n"
      .. "Ana;12020721302;\r\n")
    local result = command:run("suppress --json --file " .. list)
    assert.equal(1, result.code)
    assert.same({ 2, 1, 3 }, { result.json[1].suppressed, result.json[1].skipped, result.json[1].wrong[1].line })
    assert.truthy(result.err:find("line 3: phone ", 1, true), result.err)
    local out = command:run("suppressed --csv").out
    assert.truthy(out:find("12020721301,,", 1, true) and out:find('"asked; twice"', 1, true), out)
    assert.equal(0, command:run("suppress --file -", { stdin = out }).code) -- as it was written
    assert.equal(2, #command:run("suppressed --json").json)
  end)

  it("lists more than a thousand", function()
    local lines = {}
    for n = 1, 1207 do lines[n] = ("1202%07d"):format(n) end
    assert.equal(0, command:run("suppress --file -", { stdin = table.concat(lines, "\n") }).code)
    local seen = 0
    for phone in command:run("suppressed --csv").out:gmatch "\n(%d+)," do
      seen = seen + 1
      lines[phone] = (lines[phone] or 0) + 1
    end
    assert.equal(1207, seen)
    assert.equal(1, lines["12020000007"])
  end)

  it("says what is wrong", function()
    submit("a", "12020721301")
    for arguments, sentence in pairs {
      [""] = "give a phone, or --file", ["123 --file x"] = "give a phone, or --file", ["nobody"] = "invalid: phone ",
      ["--file /nowhere.csv"] = "the list can't be read: /nowhere.csv", ["--file /"] = "the list can't be read",
      ["12020721300 --channel x"] = "there is no channel 'x'; the store has main",
    } do
      local result = command:run("suppress " .. arguments)
      assert.equal(1, result.code, arguments)
      assert.truthy(result.err:find(sentence, 1, true), result.err)
    end
  end)
end)
