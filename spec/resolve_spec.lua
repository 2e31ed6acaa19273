-- resolve: who an event is about when it does not say: a function, a query, a program; and what was found is kept.
local commands = require "support.command"
local rules = require "onemsg.rules"
local server = require "support.server"
local sql = require "onemsg.sql"
local workflow = require "onemsg.workflow"

local SOURCE = [[
template "action_success" { language = "en", body = { "name", "action", "next_step" } }
defaults { name = "there", action = "a", next_step = "n" }
confirm "Named" { on = "paid", phone = "{phone}" }
]]
local SPEAKS = SOURCE:gsub('name = "there"', 'name = "{resolved.first_name|there}"')
  .. 'confirm "Gold" { on = "gold", when = { ["resolved.level"] = "gold" } }\n'

local function fake_channel(checked)
  return { check = function(_, message)
    checked[#checked + 1] = message
    return { phone = message.phone, body = message.body, template = message.template, changes = {} }
  end, id = "TEST" }
end

local directory, number = nil, 0
setup(function() directory = server.directory() end)
teardown(function() os.execute("rm -rf '" .. directory .. "'") end)

--- A workflow in a store of its own, and the messages that it checked.
local function open(resolve, source)
  number = number + 1
  local checked = {}
  return assert(workflow.open { channel = fake_channel(checked), rules = assert(rules.load(source or SOURCE)),
    store = ("sqlite:%s/%d.db"):format(directory, number), resolve = resolve }), checked
end

local function submit(flow, event)
  event.id, event.type = event.id or "e", event.type or "paid"
  return flow:submit(event)
end

describe("resolve", function()
  for _, case in ipairs {
    { "a text", "+12020746100", "+12020746100" }, { "a number", 12020746100, "12020746100" },
    { "a table", { phone = 12020746100, first_name = "Maria" }, "12020746100" },
  } do
    it("may give " .. case[1], function()
      local flow = open(function() return case[2] end)
      local ticket = assert(submit(flow, {}))
      assert.equal("queued", ticket.state)
      local shown = flow:show "e"
      assert.equal(case[3], shown.phone)
      assert.equal(case[3], shown.resolved.phone)
      assert.equal(type(case[2]) == "table" and "Maria" or nil, shown.resolved.first_name)
      flow:close()
    end)
  end

  it("that finds nobody skips, says why, and keeps nothing", function()
    for _, nothing in ipairs { false, "", { first_name = "Maria" } } do
      local flow = open(function() return nothing end)
      local ticket = submit(flow, {})
      assert.same({ "skipped", "no phone: neither the event nor resolve has one" }, { ticket.state, ticket.reason })
      flow:close()
    end
  end)

  it("that fails has the event not taken; what is no phone is a mistake of the set-up", function()
    local flow = open(function() error("no route", 0) end)
    local ticket, err = submit(flow, {})
    assert.is_nil(ticket)
    assert.matches("^store: resolve failed.*no route", err)
    assert.is_nil((flow:show "e"))
    flow:close()
    for _, odd in ipairs { true, { phone = {} }, { phone = true } } do
      flow = open(function() return odd end)
      assert.matches("^config: ", select(2, submit(flow, {})), tostring(odd))
      flow:close()
    end
  end)

  it("is asked once an event, and not for what has a phone or what no rule is for", function()
    local asked = 0
    local function resolve()
      asked = asked + 1
      return { phone = "12020746100", first_name = "Maria", level = "gold" }
    end
    local flow = open(resolve)
    submit(flow, { phone = "12020746101" })
    assert.equal(0, asked)
    flow:close()
    flow = open(resolve, (SPEAKS:gsub('on = "paid"', 'also = true, on = { "paid", "gold" }')))
    submit(flow, { id = "other", type = "other" })
    assert.equal(0, asked)
    local ticket = submit(flow, { type = "gold" })
    assert.equal(1, asked)
    assert.same({ "queued", "Named", "Gold" }, { ticket.state, ticket.rule, ticket.also[1].rule })
    assert.equal("Maria", flow:show("e").body[1])
    flow:close()
  end)

  it("speaks to conditions, and its words are no part of what a repeat is compared by", function()
    local level = "gold"
    local flow = open(function() return { phone = "12020746100", level = level } end, SPEAKS)
    assert.equal("queued", submit(flow, { type = "gold" }).state)
    level = "silver"
    local again = submit(flow, { type = "gold" })
    assert.same({ true, "queued" }, { again.duplicate, again.state })
    assert.equal("gold", flow:show("e").resolved.level)
    assert.matches('resolved.level is "silver"', submit(flow, { id = "f", type = "gold" }).reason)
    flow:close()
  end)

  it("may be a query, whose columns rules see", function()
    local target = "sqlite:" .. directory .. "/shop.db"
    local db = assert(sql.open(target))
    assert(db:unit { { "CREATE TABLE customer(id TEXT, phone TEXT, first_name TEXT)" },
      { "INSERT INTO customer VALUES ('c-1', '+12020746100', 'Maria'), ('c-2', NULL, 'Ida'), "
        .. "('c-3', '1', 'A'), ('c-3', '2', 'B')" } })
    local flow = open({ store = target, query = "SELECT phone, first_name FROM customer WHERE id = $1",
      by = "{customer.id}" }, SPEAKS)
    assert.equal("queued", submit(flow, { customer = { id = "c-1" } }).state)
    local shown = flow:show "e"
    assert.same({ "+12020746100", "Maria", "+12020746100" }, { shown.phone, shown.body[1], shown.resolved.phone })
    for id, reason in pairs { ["c-2"] = "no phone", ["c-3"] = "finds 2 rows", ["c-4"] = "no phone", [""] = "no phone",
      ["' OR 1=1 --"] = "no phone" } do
      local ticket = submit(flow, { id = id .. "x", customer = { id = id } })
      assert.equal("skipped", ticket.state)
      assert.truthy(ticket.reason:find(reason, 1, true), ticket.reason)
    end
    flow:close()
    flow = open({ store = target, query = "SELECT phone FROM nobody WHERE id = $1", by = "{customer.id}" })
    assert.matches("^store: resolve failed", select(2, submit(flow, { customer = { id = "c-1" } })))
    flow:close()
    db:close()
  end)

  it("raises at the caller's line when it is neither", function()
    for _, case in ipairs { { {}, "store is missing" }, { { store = "sqlite:x", query = "SELECT 1" }, "by is missing" },
      { { store = "sqlite:x", query = "DELETE FROM x", by = "{id}" }, "is a SELECT" }, { 5, "a function or a table" },
      { { store = "sqlite:x", query = "SELECT 1", by = "{id" }, "not closed" }, { { sql = "x" }, "no option 'sql'" } } do
      local ok, why = pcall(open, case[1])
      assert.is_false(ok)
      assert.truthy(why:find(case[2], 1, true), why)
    end
  end)
end)

describe("onemsg submit --resolve", function()
  local fake
  setup(function() fake = server.fake { set = { pace_ms = 0 } } end)
  teardown(function() fake:stop() end)

  it("asks a program, and replay goes by what it said", function()
    local command = commands.new(fake.env)
    command.env.ONE_MSG_STORE = "sqlite:" .. command.dir .. "/confirmations.db"
    command.env.ONE_MSG_RULES = command:write("rules.lua", SPEAKS)
    command:write("event.json", '{"id":"p-1","type":"paid","customer":{"id":"c-1"}}')
    local event = command.dir .. "/event.json"
    local answer = command:write("answer.sh", [[grep -q '"id":"c-1"' && echo '{"phone":"+1 202 074 6100","first_name":"Maria"}']])
    local done = command:run("submit --json --resolve 'sh " .. answer .. "' " .. event)
    assert.same({ 0, "queued" }, { done.code, done.json[1].state })
    done = command:run "show --json p-1"
    assert.same({ "Maria", "Maria" }, { done.json[1].body[1], done.json[1].resolved.first_name })
    assert.is_nil(done.out:find("202 074 6100", 1, true))
    assert.equal(0, command:run("cancel p-1").code)
    assert.equal(0, command:run("replay p-1").code)
    for program, code in pairs { ["exit 3"] = 3, ["echo no"] = 3, ["true"] = 7, ["echo null"] = 7 } do
      done = command:run(("submit --json --resolve '%s' %s"):format(program, command:write("other.json",
        ('{"id":"%s","type":"paid"}'):format(program))))
      assert.equal(code, done.code, program .. done.err)
    end
    command:remove()
  end)

  it("kills a program that does not end, with what it began, and does not take the event", function()
    local command = commands.new(fake.env)
    command.env.ONE_MSG_STORE = "sqlite:" .. command.dir .. "/confirmations.db"
    command.env.ONE_MSG_RULES = command:write("rules.lua", SPEAKS)
    local path = command:write("event.json", '{"id":"p-1","type":"paid"}')
    local slow = command:write("slow.sh", "sleep 600 & echo $! >$0.pid; wait")
    local done = command:run(("submit --resolve-timeout 1s --resolve 'sh %s' %s"):format(slow, path))
    assert.equal(3, done.code)
    assert.matches("was killed: it ran for 1 s", done.err)
    local pid = assert(io.open(slow .. ".pid")):read "*n"
    assert.is_true(server.eventually(function()
      local file = io.open(("/proc/%d/stat"):format(pid))
      local state = file and file:read("*a"):match "%) (%a)"
      if file then file:close() end
      return not state or state == "Z" or state == "X"
    end))
    assert.matches("p%-1", command:run("show p-1").err)
    command:remove()
  end)
end)
