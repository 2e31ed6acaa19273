-- The command onemsg with a store: submit, explain, work, show, list, settle, replay, cancel, stats.
local cjson = require "cjson"
local commands = require "support.command"
local server = require "support.server"
local sys = require "support.sys"

local RULES = [[
template "action_success" { language = "en", body = { "name", "action", "next_step" } }
defaults { phone = "{phone}", name = "{name|there}" }
never "Staff" { when = { staff = true } }
confirm "Paid" { on = "paid", action = "payment", next_step = "Thanks." }
confirm "Copy" { on = "copied", action = "copy", next_step = "Thanks.", also = true }
confirm "Copy too" { on = "copied", action = "second copy", next_step = "Thanks." }
]]

local fake, command

setup(function() fake = server.fake { set = { pace_ms = 0 } } end)
teardown(function()
  local errors = fake:errors()
  fake:stop()
  assert.equal("", errors)
end)
before_each(function()
  fake:reset()
  command = commands.new(fake.env)
  command.env.ONE_MSG_STORE = "sqlite:" .. command.dir .. "/confirmations.db"
  command.env.ONE_MSG_RULES = command:write("rules.lua", RULES)
end)
after_each(function() command:remove() end)

local function phone(n, ending) return ("1202%05d%02d"):format(n, ending or n % 20) end

local function event(id, n, ending, more)
  local one = { id = id, type = "paid", phone = phone(n, ending), name = "Maria" }
  for name, value in pairs(more or {}) do one[name] = value end
  return cjson.encode(one)
end

local function submit(stdin, more) return command:run("submit " .. (more or ""), { stdin = stdin }) end
local function show(id) return command:run("show --json " .. id).json[1] end
local function work(more) return command:run("work --drain 0 " .. (more or "")) end

describe("onemsg submit", function()
  it("takes one event: 0 queued, 7 skipped, 2 conflict, 1 no event", function()
    local result = submit(event("p-1", 1))
    assert.equal(0, result.code, result.err)
    assert.truthy(result.out:find '^queued    p%-1  Paid: matched rule "Paid"\n$', result.out)
    result = submit(event("p-1", 1), "--json")
    assert.same({ 0, true, "queued", "queued" }, { result.code, result.json[1].duplicate, result.json[1].state,
      result.json[1].now })
    assert.truthy(submit(event("p-1", 1)).out:find "^known     p%-1  Paid: was queued, is queued\n$")
    result = submit(event("p-1", 1, 0, { name = "Eve" }))
    assert.equal(2, result.code)
    assert.truthy(result.err:find "^onemsg: line 1 %(p%-1%): conflict: event.id p%-1 was submitted before")
    result = submit(event("p-2", 2, 0, { staff = true }), "--json")
    assert.same({ 7, "skipped", 'never "Staff"' }, { result.code, result.json[1].state, result.json[1].reason })
    for _, stdin in ipairs { "", "\n", "nonsense", "7", "[]", '{"type":"paid"}', '{"id":"x"}', event("x", 1):sub(1, -2) } do
      assert.equal(1, submit(stdin).code, stdin)
    end
    assert.equal(2, #command:run("list --json").json)
  end)

  it("takes lines, an array, and a document over many lines", function()
    local lines = {}
    for n = 1, 700 do lines[n] = event("l-" .. n, n) end
    lines[11] = "{ broken"
    lines[12] = event("l-1", 1, 0, { name = "Eve" })
    lines[13] = ""
    local result = submit(table.concat(lines, "\r\n") .. "\n", "--json")
    assert.equal(1, result.code)
    assert.equal(699, #result.json)
    assert.same({ 11, 1 }, { result.json[11].line, result.json[11].exit })
    assert.same({ 12, 2, "l-1" }, { result.json[12].line, result.json[12].exit, result.json[12].id })
    assert.equal("l-700", result.json[699].id)
    result = submit("[\n" .. event("a-1", 801) .. ",\n" .. event("a-2", 802) .. "\n]", "--json")
    assert.same({ "a-1", "a-2" }, { result.json[1].id, result.json[2].id })
    result = submit((event("d-1", 803):gsub(",", ",\n")), "--json")
    assert.same({ 0, "d-1" }, { result.code, result.json[1].id })
    result = submit('{ "id": \n{"a":1}\n' .. event("d-2", 804), "--json") -- no document after all
    assert.equal(1, result.code)
    assert.equal("d-2", result.json[3].id)
    local file = command:write("events.jsonl", event("f-1", 805) .. "\n" .. event("f-2", 806))
    assert.equal(2, #command:run("submit --json " .. file).json)
    result = submit(event("c-1", 807, 0, { type = "copied" }), "--json")
    assert.same({ "c-1", "c-1~2" }, { result.json[1].id, result.json[2].id })
    assert.equal(697 + 2 + 1 + 1 + 2 + 2, command:run("stats --json").json[1].states.queued)
  end)

  it("takes a slow sender's event at once", function()
    assert(os.execute("mkfifo " .. command.dir .. "/pipe"))
    local started = command:start("submit --json", { stdin = command.dir .. "/pipe" })
    local pipe = assert(io.open(command.dir .. "/pipe", "w"))
    for n = 1, 3 do
      pipe:write(event("s-" .. n, n), "\n")
      pipe:flush()
      assert.truthy(server.eventually(function() return started.out():find(('"id":"s-%d"'):format(n), 1, true) end))
    end
    pipe:close()
    assert.equal(0, server.eventually(started.ended))
  end)

  it("killed in the middle and run again: everything is taken once and sent once", function()
    local lines, total = {}, 300
    for n = 1, total do lines[n] = event("r-" .. n, n) .. "\n" end
    assert(os.execute("mkfifo " .. command.dir .. "/pipe"))
    local started = command:start("submit --json", { stdin = command.dir .. "/pipe" })
    local pipe = assert(io.open(command.dir .. "/pipe", "w"))
    pipe:write(table.concat(lines, "", 1, 150))
    pipe:flush()
    assert.truthy(server.eventually(function() return started.out():find('"id":"r-150"', 1, true) end))
    pipe:write(table.concat(lines, "", 151, 200))
    pipe:flush()
    sys.kill(started.pid, sys.KILL)
    pipe:close()
    assert.equal(137, server.eventually(started.ended))
    local result = submit(table.concat(lines), "--json")
    assert.equal(0, result.code, result.err)
    local known = 0
    for n, ticket in ipairs(result.json) do
      assert.equal("r-" .. n, ticket.id)
      if ticket.duplicate then known = known + 1 end
    end
    assert.is_true(known >= 150 and known <= 200, known)
    assert.equal(0, work("--rate 5000").code)
    local counts, phones = fake:counts(), 0
    for _, count in pairs(counts) do
      assert.equal(1, count)
      phones = phones + 1
    end
    assert.equal(total, phones)
    assert.equal(total, server.accepted(command:run("stats --json").json[1].states))
  end)

  it("goes on when its reader has left", function()
    local lines = {}
    for n = 1, 700 do lines[n] = event("b-" .. n, n) end
    command:write("events.jsonl", table.concat(lines, "\n"))
    local result = command:shell("onemsg submit " .. command.dir .. "/events.jsonl | head -1")
    assert.truthy(result.out:find "^queued    b%-1 [^\n]*\n$")
    assert.equal("", result.err)
    assert.equal(700, command:run("stats --json").json[1].states.queued)
    result = command:shell "onemsg list --limit 500 | head -1"
    assert.truthy(result.out:find "^CHANGED[^\n]*\n$")
    assert.equal("", result.err)
  end)

  it("shows progress on a terminal", function()
    if command:shell("script -qec true /dev/null").code ~= 0 then
      return pending "there is no terminal to be had here: /dev/pts is missing"
    end
    local lines = {}
    for n = 1, 600 do lines[n] = event("t-" .. n, n) end
    command:write("events.jsonl", table.concat(lines, "\n"))
    local result = command:shell(("script -qec 'onemsg submit %s/events.jsonl >/dev/null' /dev/null"):format(command.dir))
    assert.truthy(result.out:find("\r500 events: 500 queued", 1, true), result.out)
    assert.truthy(result.out:find("\r600 events: 600 queued, 0 skipped, 0 known before, 0 refused", 1, true), result.out)
  end)

  it("stops aloud when the store or the settings fail", function()
    command.env.ONE_MSG_STORE = "sqlite:/nowhere/at/all.db"
    assert.equal(5, submit(event("p-1", 1)).code)
    command.env.ONE_MSG_STORE = "sqlite:" .. command:write("garbage.db", ("no database "):rep(1000))
    local result = submit(event("p-1", 1))
    assert.equal(3, result.code)
    assert.truthy(result.err:find "^onemsg: store: ", result.err)
    assert.equal(5, command:run("submit --store '' --rules nowhere.lua").code)
    command.env.ONE_MSG_STORE = nil
    result = submit(event("p-1", 1))
    assert.equal(5, result.code)
    assert.truthy(result.err:find("ONE_MSG_STORE", 1, true))
  end)
end)

describe("onemsg explain", function()
  it("says what submit then does, and stores nothing", function()
    for id, more in pairs { queued = {}, skipped = { staff = true }, unmatched = { type = "other" },
      copied = { type = "copied" } } do
      local text = event(id, #id, 0, more)
      local explained = command:run("explain --json", { stdin = text })
      assert.equal(2, command:run("show " .. id).code)
      local submitted = submit(text, "--json")
      assert.equal(submitted.code, explained.code)
      assert.equal(#submitted.json, #explained.json)
      for n, ticket in ipairs(submitted.json) do
        for name, value in pairs(ticket) do assert.equal(value, explained.json[n][name], name) end
      end
    end
    local known = command:run("explain", { stdin = event("queued", 6, 0) })
    assert.truthy(known.out:find "^known before: it was queued", known.out)
    local text = command:run("explain", { stdin = event("new", 9) }).out
    assert.truthy(text:find('confirm "Paid": yes', 1, true))
    assert.truthy(text:find("would be sent to …0909: template action_success in en, Maria | payment", 1, true), text)
    assert.truthy(command:run("explain --full", { stdin = event("new", 9) }).out:find(phone(9), 1, true))
    assert.equal(1, command:run("explain", { stdin = "" }).code)
  end)
end)

describe("onemsg work, and what people ask and decide", function()
  it("sends, and show and list tell of it with four digits of the phone", function()
    submit(table.concat({ event("ok", 1, 0), event("no", 2, 48), event("lost", 3, 79), event("staff", 4, 0, { staff = true }),
      event("later", 5, 64) }, "\n"))
    local result = work "--json"
    assert.equal(0, result.code)
    local ends = {}
    for _, line in ipairs(result.json) do ends[line.id or "?"] = line.state end
    assert.same({ ok = "accepted", no = "rejected", lost = "unknown", later = "queued" }, ends)
    assert.is_nil((result.out .. result.err):find("1202000", 1, true))
    local one = show "ok"
    assert.same({ "accepted", "…0100", "Paid", 1 }, { one.state, one.phone, one.rule, one.attempts })
    assert.truthy(one.message_id:find "^wamid")
    assert.same({ "queued", "sending", "accepted" }, { one.history[1].state, one.history[2].state, one.history[3].state })
    assert.same({ "Maria", "payment", "Thanks." }, one.body)
    local text = command:run("show no").out
    for _, part in ipairs { "no  REJECTED: 422", "phone      …0248", "texts      Maria | payment", "history" } do
      assert.truthy(text:find(part, 1, true), text)
    end
    assert.truthy(command:run("show --full no").out:find(phone(2, 48), 1, true))
    result = command:run "list"
    assert.is_nil(result.out:find("1202000", 1, true))
    assert.equal(6, select(2, result.out:gsub("\n", "")))
    assert.equal("lost", command:run("list --state unknown --json").json[1].id)
    assert.equal("ok", command:run("list --phone " .. phone(1, 0) .. " --since 1h --json").json[1].id)
    assert.equal(2, #command:run("list --limit 2 --json").json)
    assert.equal("nothing\n", command:run("list --rule other").out)
    assert.equal(0, command:run('pause --rule Paid --reason "wrong price"').code)
    assert.truthy(command:run("list --state queued").out:find "Paid +paused: by [^\n]*: wrong price\n")
    assert.is_nil(command:run("list --state accepted").out:find "paused")
    assert.equal(0, command:run("resume --rule Paid").code)
    assert.is_nil(command:run("list").out:find "paused")
    result = command:run "list --state accepter"
    assert.equal(1, result.code)
    assert.truthy(result.err:find("there is no state 'accepter', did you mean 'accepted'?", 1, true), result.err)
    local stats = command:run("stats --json").json[1]
    assert.same({ accepted = 1, rejected = 1, unknown = 1, skipped = 1, queued = 1 }, stats.states)
    assert.truthy(command:run("stats").out:find "\naccepted +1\n.*channel main: at work")
  end)

  it("settles, replays and cancels; 2 when the state does not allow it", function()
    submit(table.concat({ event("lost", 1, 79), event("no", 2, 48), event("skipped", 3, 0, { staff = true }) }, "\n"))
    work()
    submit(event("new", 4))
    for arguments, expected in pairs { ["settle no arrived"] = 2, ["cancel no"] = 2, ["replay lost"] = 2, ["replay skipped"] = 7,
      ["settle nobody arrived"] = 2, ["cancel nobody"] = 2, ["replay nobody"] = 2, ["show nobody"] = 2 } do
      local result = command:run(arguments)
      assert.equal(expected, result.code, arguments)
      assert.truthy(result.err:find "^onemsg: %l", arguments)
      assert.equal(expected, command:run(arguments .. " --json").json[1].exit, arguments)
    end
    assert.truthy(command:run("settle lost not-arrived").out:find "^lost is failed: settled by %w+")
    assert.equal("queued", command:run("replay lost --json").json[1].state)
    assert.equal("cancelled", command:run("cancel lost --json").json[1].state)
    assert.equal("…0404", command:run("cancel new --json").json[1].phone)
    assert.equal(1, fake:count(phone(1, 79)))
  end)

  it("looks at a store without a channel, and makes none by looking", function()
    command.env.ONE_MSG_TOKEN = nil
    for _, arguments in ipairs { "list", "stats", "show x", "settle x arrived", "cancel x" } do
      local result = command:run(arguments)
      assert.equal(5, result.code, arguments)
      assert.truthy(result.err:find("there is no store", 1, true))
    end
    assert.is_nil(io.open(command.dir .. "/confirmations.db"))
    command.env.ONE_MSG_TOKEN = fake.env.ONE_MSG_TOKEN
    submit(event("a", 1))
    command.env.ONE_MSG_TOKEN = nil
    assert.equal(1, #command:run("list --json").json)
    assert.equal(0, command:run("cancel a").code)
    assert.equal(5, command:run("work --drain 0").code)
  end)

  it("runs a program as another way to the person, and says how it ended", function()
    command:write("rules.lua", (RULES:gsub('"Thanks%." }', '"Thanks.", otherwise = { send = "sms" } }', 1)))
    submit(event("no", 1, 40) .. "\n" .. event("yes", 2, 0))
    local result = work("--json --fallback 'sms=cat >>" .. command.dir .. "/sms'")
    assert.equal(0, result.code, result.err)
    local file = assert(io.open(command.dir .. "/sms"))
    local notice = cjson.decode(file:read "*a") -- one, or it were no JSON
    file:close()
    assert.same({ "no", phone(1, 40), "rejected", "sms" }, { notice.id, notice.phone, notice.state, notice.send })
    assert.truthy(command:run("show no").out:find("sms: done", 1, true))
    submit(event("bad", 3, 40))
    work("--fallback sms=false")
    assert.truthy(command:run("show bad").out:find("sms: failed (false ended with ", 1, true))
    assert.equal(5, work("--fallback smm=true").code)
    assert.equal(1, work("--fallback sms").code)
  end)

  it("says aloud when the channel is stopped", function()
    fake:set { down = "401" }
    submit(event("a", 1))
    local result = work "--quiet"
    assert.equal("", result.out)
    assert.truthy(result.err:find "ATTENTION stopped main: rejected: 401", result.err)
    submit(event("b", 2))
    assert.truthy(work().err:find("1 are still due: `onemsg stats` says what keeps them", 1, true)
      or work().err:find("2 are still due", 1, true))
    assert.truthy(command:run("stats").out:find("channel main: stopped: rejected: 401", 1, true))
  end)

  it("says what a drain leaves: what waits for a later time, and what a worker had that died", function()
    command.env.ONE_MSG_BASE_URL = "http://127.0.0.1:1" -- nobody listens there
    submit(event("a", 1))
    local result = work "--quiet"
    local text = "1 wait for a later time, the first until %d+%-%d+%-%d+ %d+:%d+:%d+, in %d+ s: not_sent"
    assert.truthy(result.err:find(text) or result.err:find "1 are still due", result.err) -- the latter on a slow machine
    command.env.ONE_MSG_BASE_URL = fake.env.ONE_MSG_BASE_URL
    command.env.ONE_MSG_STORE = "sqlite:" .. command.dir .. "/left.db"
    fake:set { down = "hang" }
    submit(event("b", 2) .. "\n" .. event("b2", 2, nil, { name = "Rosa" }))
    local worker = command:start "work"
    assert.is_true(server.eventually(function() return show("b").state == "sending" end))
    os.execute("kill -9 " .. worker.pid)
    assert.truthy(server.eventually(worker.ended))
    fake:set { down = "" }
    result = work "--quiet"
    assert.matches("1 are being sent by another worker; if that one has died, they are taken up from .*, in %d+ s", result.err)
    assert.matches("1 wait for ", result.err) -- the other to this person: their turn, or its time after the first
  end)

  it("tells a program of every alert, one at a time, before it ends", function()
    fake:set { down = "401" }
    submit(event("a", 1))
    local file = command.dir .. "/alerts"
    local result = work("--quiet --alert 'cat >>" .. file .. "'")
    assert.equal("", result.out)
    local heard = cjson.decode(assert(io.open(file)):read "*a") -- one, or it were no JSON
    assert.same({ "stopped", "main" }, { heard.alert, heard.channel })
    submit(event("b", 2))
    assert.equal(0, command:run("resume").code)
    result = work "--quiet --alert false"
    assert.truthy(result.err:find("--alert: false ended with ", 1, true), result.err)
  end)

  it("writes to those in ONE_MSG_ONLY_TO alone, and says so", function()
    command.env.ONE_MSG_ONLY_TO = "+1 202 000 0101, " .. phone(5, 0)
    assert.equal(0, submit(event("ours", 1, 1)).code)
    local result = submit(event("theirs", 2, 1))
    assert.equal(7, result.code)
    assert.truthy(result.out:find("skipped   theirs", 1, true), result.out)
    result = work()
    assert.truthy(result.err:find("only_to: messages go to the people named there alone", 1, true), result.err)
    assert.equal("not in only_to", show("theirs").reason)
    assert.equal(1, fake:count(phone(1, 1)))
    command.env.ONE_MSG_ONLY_TO = "nobody"
    result = work()
    assert.equal(5, result.code)
    assert.truthy(result.err:find("config: ONE_MSG_ONLY_TO: phone ", 1, true), result.err)
  end)

  it("stops at SIGTERM, after the answers in flight, with 0", function()
    local log = command.dir .. "/delivery.log"
    local started = command:start("work --json --log " .. log)
    submit(event("quick", 1))
    assert.truthy(server.eventually(function() return started.out():find('"state":"accepted"', 1, true) end))
    fake:set { held = true }
    submit(event("slow", 2))
    assert.truthy(server.eventually(function() return started.out():find('"id":"slow".*"state":"sending"') end))
    sys.kill(started.pid, sys.TERM)
    assert.is_nil(started.ended())
    fake:set { held = false }
    assert.equal(0, server.eventually(started.ended))
    assert.equal("accepted", show("slow").state)
    assert.truthy(started.err():find("stopped: 2 answers recorded", 1, true))
    assert.equal(started.out(), (assert(io.open(log)):read "*a"))
    local idle = command:start "work"
    assert.truthy(server.eventually(function() return idle.err() ~= "" end))
    sys.kill(idle.pid, sys.TERM)
    assert.equal(0, server.eventually(idle.ended))
  end)
end)
