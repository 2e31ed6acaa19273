-- flow:pause and flow:resume: a person stops a channel, a template or a rule; nothing is lost, and nothing leaves meanwhile.
local commands = require "support.command"
local server = require "support.server"
local simulation = require "support.simulation"
local workflow = require "onemsg.workflow"

local RULES = [[
template "one" { language = "en", body = { "name" } }
template "two" { language = "en", body = { "name" } }
defaults { phone = "{phone}", name = "Maria" }
confirm "A" { on = "a", template = "one", channel = "main" }
confirm "B" { on = "b", template = "two", channel = "main" }
confirm "C" { on = "c", template = "one", channel = "other", give_up_after = "30m" }
]]

describe("pause", function()
  local sim, flow

  local function start(options)
    options = options or {}
    local function channel()
      return { check = function(_, m)
        return { phone = m.phone, body = m.body, template = m.template, language = m.language, namespace = "n" }
      end, async = function(_, _, m)
        sim.sent[#sim.sent + 1] = { at = sim.time, phone = m.phone, message = m }
        local answer = { sim.answer(m, #sim.sent) }
        return { ready = function() return true end, wait = function() return answer[1], answer[2], answer[3] end }
      end }
    end
    sim = simulation.new { rules = RULES, channels = { main = channel(), other = channel() }, answer = options.answer }
    flow = sim.flow
  end

  local serial = 0
  local function submit(kind, phone)
    serial = serial + 1
    assert.equal("queued", assert(flow:submit { id = kind .. serial, type = kind,
      phone = phone or ("1202%07d"):format(serial) }).state)
    return kind .. serial
  end

  local function sent()
    local list = {}
    for n, one in ipairs(sim.sent) do list[n] = one.message.template .. one.phone:sub(-2) end
    return table.concat(list, " ")
  end

  after_each(function() if sim then sim:close() end sim = nil end)

  for what, stays in pairs { channel = { { "main" }, "abab", "c" }, template = { { "one" }, "ac", "b" },
                             rule = { { "B" }, "b", "ac" } } do
    it("keeps what it names, also what comes afterwards, and lets the rest go; resume lets it go once", function()
      start()
      local before = { a = submit "a", b = submit "b", c = submit "c" }
      local counts = assert(flow:pause { [what] = stays[1][1], reason = "a test", by = "maria" })
      assert.equal(#stays[2] == 4 and 2 or #stays[2], counts.waiting)
      assert.equal(what == "template" and 1 or 0, counts.expiring)
      local after = { a = submit "a", b = submit "b", c = submit "c" }
      sim:advance(60)
      for kind, id in pairs(before) do
        local kept = stays[2]:find(kind) ~= nil
        for _, one in ipairs { id, after[kind] } do
          local shown = flow:show(one)
          assert.equal(kept and "queued" or "accepted", shown.state, one)
          if kept then
            assert.equal("paused by maria: a test", shown.held)
            local listed = assert(flow:list { state = "queued" })
            for _, other in ipairs(listed) do
              if other.id == one then assert.same({ shown.held, shown.due_at }, { other.held, other.due_at }) end
            end
            assert.truthy(shown.why.next:find("It is paused: by maria: a test.", 1, true))
          end
        end
      end
      assert.same({ { kind = what, name = stays[1][1], reason = "a test", person = "maria", at = simulation.EPOCH } },
        flow:stats().paused)
      local count = #sim.sent
      assert(flow:resume { [what] = stays[1][1], by = "maria" })
      sim:advance(60)
      assert.equal(6, #sim.sent)
      assert.is_true(count < 6)
      assert.same({}, flow:stats().paused)
      assert.is_nil(flow:show(before.a).held)
      assert.equal("paused", sim.alerts[1].alert)
      assert.equal("by maria: a test", sim.alerts[1].reason)
    end)
  end

  it("of a rule holds up nobody's other messages, and keeps the order of its own", function()
    start()
    local phone = "12020000001"
    flow:pause { rule = "A" }
    local first, other, second = submit("a", phone), submit("b", phone), submit("a", phone)
    sim:advance(60)
    assert.same({ "queued", "accepted", "queued" }, { flow:show(first).state, flow:show(other).state, flow:show(second).state })
    flow:resume { rule = "A" }
    sim:advance(60)
    assert.is_true(flow:show(first).accepted_at < flow:show(second).accepted_at)
  end)

  it("ends nothing: give_up_after goes on", function()
    start()
    flow:pause { channel = "other" }
    local id = submit "c"
    sim:advance(1801)
    assert.equal("expired", flow:show(id).state)
  end)

  it("holds for a retry, and for several pauses until the last ended", function()
    local down = true
    start { answer = function(_, n)
      if down then return nil, "not_sent: connection refused", { outcome = "not_sent" } end
      return { outcome = "accepted", id = "w" .. n }
    end }
    local id = submit "a"
    flow:drain()
    assert.equal("queued", flow:show(id).state)
    flow:pause { rule = "A" }
    flow:pause { template = "one" }
    flow:pause { channel = "main" }
    down = false
    local count = #sim.sent
    sim:advance(600)
    for _, what in ipairs { { channel = "main" }, { rule = "A" } } do
      assert(flow:resume(what))
      sim:advance(600)
      assert.equal(count, #sim.sent)
    end
    assert(flow:resume { template = "one" })
    sim:advance(600)
    assert.equal("accepted", flow:show(id).state)
    assert.equal(count + 1, #sim.sent)
  end)

  it("survives restarts, and holds for every workflow on the store; resume without a name ends all", function()
    start()
    flow:pause { rule = "A" }
    flow:pause { channel = "other" }
    local a, c = submit "a", submit "c"
    local second = assert(workflow.open { channels = flow.channels, rules = flow.rules, store = flow.store, now = flow.now })
    second:drain()
    assert.same({ "queued", "queued" }, { second:show(a).state, second:show(c).state })
    assert(second:resume())
    second:drain()
    assert.same({ "accepted", "accepted" }, { second:show(a).state, second:show(c).state })
    second:close()
    assert.equal("", sent():gsub("one%d%d", ""):gsub(" ", ""))
  end)

  it("can be cancelled in, and says what it does not know", function()
    start()
    flow:pause { rule = "A" }
    assert.equal("cancelled", flow:cancel(submit "a").state)
    for _, case in ipairs {
      { { rule = "AA" }, "config: there is no rule 'AA'" }, { { channel = "mian" }, "did you mean 'main'?" },
    } do
      local result, err = flow:pause(case[1])
      assert.is_nil(result)
      assert.truthy(err:find(case[2], 1, true), err)
    end
    for _, what in ipairs { {}, { rule = "A", channel = "main" }, { rul = "A" }, { rule = 5 } } do
      assert.has_error(function() flow:pause(what) end)
    end
    assert.truthy(select(2, flow:resume { channel = "x" }):find("the store has no channel 'x'; it has main, other", 1, true))
  end)
end)

describe("onemsg pause", function()
  it("stops a rule from a shell, and resume lets it go on", function()
    local fake = server.fake { set = { pace_ms = 0 } }
    local command = commands.new(fake.env)
    command.env.ONE_MSG_STORE = "sqlite:" .. command.dir .. "/confirmations.db"
    command.env.USER, command.env.SUDO_USER = "root", "maria"
    command.env.ONE_MSG_RULES = command:write("rules.lua", [[
      template "action_success" { language = "en", body = { "name", "action", "next_step" } }
      confirm "Paid" { on = "paid", phone = "{phone}", name = "Maria", action = "payment", next_step = "Thanks." } ]])
    command:run("submit", { stdin = '{"id":"a","type":"paid","phone":"12020721300"}' })
    local result = command:run 'pause --rule Paid --reason "wrong price"'
    assert.same({ 0, "paused; 1 waiting, 0 of them end within an hour if they do not leave\n" }, { result.code, result.out })
    command:run "work --drain 0"
    local shown = command:run("show a").out
    assert.truthy(shown:find("It is paused: by maria: wrong price.", 1, true), shown)
    assert.truthy(command:run("stats").out:find("rule Paid is paused since .* by maria: wrong price"))
    assert.equal(0, command:run("resume --rule Paid").code)
    command:run "work --drain 0"
    assert.equal("accepted", command:run("show a --json").json[1].state)
    result = command:run "pause"
    assert.same({ 1, "pause: say what: --channel, --template or --rule, with its name" },
      { result.code, result.err:match "onemsg: ([^\n]*)" })
    for line, sentence in pairs {
      ["pause --rule Piad"] = "there is no rule 'Piad' in .*, did you mean 'Paid'",
      ["pause --template action_sucess"] = "there is no template 'action_sucess' in .*, did you mean 'action_success'",
      ["pause --channel mian"] = "there is no channel 'mian', did you mean 'main'",
      ["resume --rule Paid"] = "no rule 'Paid' was paused",
    } do
      result = command:run(line)
      assert.equal(5, result.code, line)
      assert.matches(sentence, result.err)
    end
    assert.same({}, command:run("stats --json").json[1].paused)
    command.env.ONE_MSG_RULES = command.dir .. "/none.lua" -- elsewhere: the name can't be checked
    assert.equal(0, command:run("pause --rule Other").code)
    command:remove()
    fake:stop()
  end)
end)
