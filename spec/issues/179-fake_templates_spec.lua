-- WhatsApp's word of a template, from the stand-in to where people see it: the list, a hook, a send, the command, the page, the
-- metrics; and a message that is taken and held back.
local cjson = require "cjson"
local commands = require "support.command"
local hooks = require "onemsg.hooks"
local outbox = require "onemsg.outbox"
local receivers = require "support.receiver"
local server = require "support.server"
local service = require "support.service"
local simulation = require "support.simulation"

describe("the stand-in's templates", function()
  local fake, wire

  setup(function()
    fake = server.fake { set = { pace_ms = 0 } }
    wire = require("support.wire").new(fake)
  end)
  teardown(function()
    assert.equal("", fake:errors())
    fake:stop()
  end)
  before_each(function() fake:reset() end)

  local function listed(name, language)
    for _, one in ipairs(wire.get("templates?limit=100").templates) do
      if one.name == name and one.language == language then return one end
    end
  end

  it("change while it runs: the list says so, and reset takes it back", function()
    fake:control("template", { name = "action_success", language = "en", category = "marketing", quality = "red" })
    local one = listed("action_success", "en")
    assert.same({ "MARKETING", "APPROVED", "RED" }, { one.category, one.status, one.quality_score.score })
    assert.equal("UTILITY", listed("action_success", "es").category)
    fake:control("template", { name = "action_success", status = "DELETED" })
    assert.is_nil(listed("action_success", "en") or listed("action_success", "es"))
    fake:reset()
    one = listed("action_success", "en")
    assert.same({ "UTILITY", "APPROVED" }, { one.category, one.status })
    assert.is_nil(one.quality_score)
  end)

  for status, answer in pairs { PAUSED = "132015", DISABLED = "132016", PENDING = "132001", REJECTED = "132001",
      DELETED = "132001", FLAGGED = '"sent":true', IN_APPEAL = '"sent":true', APPROVED = '"sent":true' } do
    it("are sent or refused by their status: " .. status, function()
      fake:control("template", { name = "action_success", status = status })
      local _, text = wire.call("POST", "sendTemplate", wire.message "12020721300")
      assert.truthy(text:find(answer, 1, true), text)
    end)
  end

  it("tell of it by Meta's own hooks, if wanted, in words that are understood", function()
    local receiver = receivers.new()
    fake:set { ackNotificationsOn = true }
    wire.call("POST", "webhook", { webhookUrl = { receiver.url } })
    fake:control("template", { name = "action_success", language = "pt_BR", category = "MARKETING", status = "PAUSED",
      quality = "RED", hook = "on" })
    local words = {}
    for n, request in ipairs(receiver:take(3)) do
      local word = assert(hooks.parse(request.body, 1)).templates[1]
      words[n] = word.name .. " " .. word.language .. " " .. word.status
    end
    receiver:close()
    table.sort(words)
    assert.same({ "action_success pt_BR CATEGORY_MARKETING", "action_success pt_BR PAUSED",
      "action_success pt_BR QUALITY_RED" }, words)
  end)

  it("change by the command as well, which refuses what WhatsApp can't say", function()
    local command = commands.new(fake.env)
    local result = command:run "fake template action_success --language en --status paused --json"
    assert.same({ 0, "PAUSED", "APPROVED" }, { result.code, result.json[1].status, result.json[1].was.status })
    assert.equal("PAUSED", listed("action_success", "en").status)
    for arguments, why in pairs { ["nobody --status paused"] = "there is no such template",
        ["action_success --status wrong"] = "status cannot be wrong", ["action_success"] = "say what changed",
        ["action_success --category paused"] = "category cannot be paused" } do
      result = command:run("fake template " .. arguments)
      assert.equal(2, result.code)
      assert.truthy(result.err:find(why, 1, true), result.err)
    end
    command:remove()
  end)

  it("taken and held back: the receipt says so", function()
    local channel = assert(require "onemsg".new { base_url = fake.env.FAKE_HTTP_URL, channel = fake.env.ONE_MSG_INSTANCE_ID,
      token = fake.env.ONE_MSG_TOKEN, template = "action_success", namespace = fake.env.ONE_MSG_TEMPLATE_NAMESPACE,
      language = "en", timeout = 60 })
    local function send(phone)
      return assert(channel:send { phone = phone, name = "Maria", action = "payment", next_step = "Thank you." })
    end
    local held, plain = send "12020721398", send "12020721300"
    channel:close()
    assert.same({ "accepted", "held_for_quality_assessment" }, { held.outcome, held.held })
    assert.is_nil(plain.held)
  end)

  it("show on the page and in the metrics what is amiss with those in use", function()
    local directory = service.start { fake = fake }
    local path = directory.store
    local box = assert(outbox.open(path, { "main" }))
    assert(box:see_template({ channel = "main", name = "action_success", language = "en", category = "MARKETING",
      status = "PAUSED", quality = "RED" }, os.time()))
    assert(box:see_template({ channel = "main", name = "receipt", language = "en", category = "UTILITY",
      status = "APPROVED", quality = "GREEN" }, os.time()))
    box:close()
    local _, text
    assert(server.eventually(function()
      _, text = directory:get "/metrics"
      return text:find('onemsg_templates_amiss{channel="main",kind="marketing"} 1', 1, true)
    end), text)
    assert.truthy(text:find('onemsg_templates_amiss{channel="main",kind="status"} 1', 1, true))
    assert.truthy(text:find('onemsg_templates_amiss{channel="main",kind="quality"} 1', 1, true))
    _, text = directory:get("/onemsg/", { Authorization = "Bearer " .. service.OPERATOR })
    assert.truthy(text:find("Template <bdi>action_success</bdi> (en): WhatsApp rates it as of low quality", 1, true), text)
    assert.is_nil(text:find("receipt", 1, true))
    service.stop_all()
  end)
end)

describe("a message that WhatsApp takes and holds back", function()
  local sim, report
  before_each(function()
    report = {}
    sim = simulation.new {
      answer = function() return { outcome = "accepted", id = "wamid.1", held = "held_for_quality_assessment" } end,
      calls = { hookInfo = function(id) return { id = id, hooks = report, ignored = 0 } end } }
    assert(sim.flow:submit { id = "1", type = "paid", phone = "12020721300" })
    sim:advance(60)
  end)
  after_each(function() sim:close() end)

  it("is accepted, says so, and has days until it counts as stalled", function()
    local one = sim.flow:show "1"
    assert.equal("accepted", one.state)
    assert.matches("holds it back %(held_for_quality_assessment%)", one.held)
    assert.matches("holds it back", one.why.next)
    sim:advance(6 * 86400)
    assert.equal("accepted", sim.flow:show("1").state)
    sim:advance(2 * 86400)
    assert.equal("stalled", sim.flow:show("1").state)
    assert.equal(1, #sim.sent)
  end)

  it("is held no more when it left, and may fall silent in a day then", function()
    local status = { id = "wamid.1", status = "sent", timestamp = tostring(math.floor(sim.time)), recipient_id = "12020721300" }
    assert(sim.flow:hooks(cjson.encode { ack = { status } }))
    local one = sim.flow:show "1"
    assert.same({ "sent" }, { one.state, one.held })
    sim:advance(2 * 86400)
    assert.equal("stalled", sim.flow:show("1").state)
  end)
end)
