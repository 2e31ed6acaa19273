-- "pt-BR" as language, "-03:00" as zone, an invisible name: the whole confirmation was skipped. A hook about a template with
-- en-US had no effect, LOCKED was unknown, "Order Completed" was taken as a type and no rule could name it. An odd
-- spelling is read; an odd value of what is optional costs the option, and is said.
local cjson = require "cjson"
local hooks = require "onemsg.hooks"
local languages = require "onemsg.base.language"
local links = require "onemsg.base.zone_links"
local rules = require "onemsg.rules"
local simulation = require "support.simulation"
local zone = require "onemsg.base.zone"

local function decide(source, event)
  event.type, event.phone = event.type or "paid", "12020721300"
  return assert(rules.load(source)):decide(event)[1]
end

describe("a language", function()
  for given, code in pairs {
    ["pt_BR"] = "pt_BR", ["pt-BR"] = "pt_BR", ["PT_br"] = "pt_BR", ["en_us"] = "en_US", ["EN"] = "en", [" en "] = "en",
    ["fil"] = "fil", ["zh-Hant-TW"] = "zh_TW", ["de_DE_formal"] = "de_DE", ["en_US.UTF-8"] = "en_US",
    ["sr_RS@latin"] = "sr_RS",
    ["pt-BR,pt;q=0.9,en;q=0.8"] = "pt_BR", ["en-US-x-private"] = "en_US",
    ["English"] = false, ["português"] = false, [""] = false, ["es-419"] = false, ["zh-Hant"] = false, ["e"] = false,
    ["1"] = false,
    ["e\0n"] = false, ["-"] = false,
  } do
    it(("%s is %s"):format(given, tostring(code)), function()
      assert.equal(code or nil, languages.code(given))
      local decision = decide([[
template "t" { language = "en-us", body = { "name", "action", "next_step" } }
confirm "R" { on = "paid", phone = "{phone}", language = "{l}", name = "a", action = "b", next_step = "c" }]], { l = given })
      assert.is_true(decision.confirm)
      assert.equal(code or "en_US", decision.language)
      if code then assert.equal('matched rule "R"', decision.reason) else assert.matches("; in en_US: ",
        decision.reason, 1, true) end
    end)
  end

  it("that the template does not have becomes the template's, with a note", function()
    local source = [[
template "t" { language = "en", languages = { "pt-BR", "de" }, body = { "name", "action", "next_step" } }
confirm "R" { on = "paid", phone = "{phone}", language = "{l}", name = "a", action = "b", next_step = "c" }]]
    for given, said in pairs { ["de"] = "de", ["pt_br"] = "pt_BR", ["EN"] = "en", ["fr"] = "en", ["pt"] = "en" } do
      local decision = decide(source, { l = given })
      assert.equal(said, decision.language)
      assert.equal(given == "fr" or given == "pt", decision.reason:find "; in en: there is no " ~= nil)
    end
    assert.matches("; in en: the event has no l", decide(source, {}).reason, 1, true)
    assert.is_false(decide(source:gsub('"{l}"', "function() error 'no' end"), {}).confirm)
  end)

  for fields, sentence in pairs {
    ['languages = {}'] = "empty", ['languages = "en"'] = "languages must be a table",
    ['languages = { "English" }'] = "languages has",
    ['languages = { "de" }, language = "en" } confirm "X" { on = "x", language = "fr", phone = "1", name = "a", action = "b", '
      .. 'next_step = "c"'] = "has no language",
  } do
    it("refuses " .. fields:sub(1, 40), function()
      local set, why = rules.load('template "t" { ' .. fields .. " }")
      assert.is_nil(set)
      assert.matches(sentence, why, 1, true)
    end)
  end
end)

describe("a time zone", function()
  for given, hours in pairs { ["-03:00"] = -3, ["+0530"] = 5.5, ["UTC-3"] = -3, ["GMT+01:00"] = 1, ["utc +2"] = 2,
    ["Z"] = 0, ["UTC"] = 0,
    ["Asia/Calcutta"] = 5.5, ["Asia/Kolkata"] = 5.5, [" America/Sao_Paulo "] = -3, ["America/Sao Paulo"] = -3,
    ["America/Buenos_Aires"] = -3, ["−03:00"] = -3 } do
    it(("%s is %s h"):format(given, hours), function()
      assert.is_true(zone.is_name(given))
      assert.equal(hours * 3600, assert(zone.find(given)):offset(1700000000))
    end)
  end
  for _, given in ipairs { "+15:00", "-3:7", "Mars/Base", "E. South America Standard Time", "../../etc/passwd",
    "(GMT+01:00) Berlin",
                           "", " ", "\0", ("x"):rep(80) } do
    it(("%q costs the quiet hours, not the message"):format(given), function()
      assert.is_nil((zone.find(given)))
      local sim = simulation.new { rules = [[
template "t" { body = { "name", "action", "next_step" } }
confirm "R" { on = "paid", phone = "{phone}", name = "a", action = "b", next_step = "c",
  quiet = { from = "21:00", to = "08:00", zone = "{zone}" } }]] }
      local ticket = assert(sim.flow:submit { id = "1", type = "paid", phone = "12020721300", zone = given })
      assert.equal("queued", ticket.state)
      assert.matches("quiet hours are not kept: ", ticket.reason, 1, true)
      sim:close()
    end)
  end

  it("has its old names on a machine without their files", function()
    local before = zone.directories
    zone.directories = { os.tmpname() }
    local directory = zone.directories[1]
    os.execute(("rm -f %s; mkdir -p %s/Europe; cp /usr/share/zoneinfo/UTC %s/; cp /usr/share/zoneinfo/Europe/Kyiv %s/Europe/")
      :format(directory, directory, directory, directory))
    local found = zone.find "Europe/Kiev"
    local none, why = zone.find "Asia/Katmandu"
    zone.directories = before
    os.execute("rm -r " .. directory)
    assert.equal(7200, assert(found):offset(1700000000))
    assert.is_nil(none)
    assert.matches("Asia/Katmandu", why)
  end)

  it("has no name that leads in a circle", function()
    for name, target in pairs(links.zone_of) do assert.is_nil(links.zone_of[target], name) end
    assert.matches("^%d%d%d%d%l$", links.VERSION)
  end)
end)

describe("a word about a template", function()
  -- word, language, whether it sets aside, lifts, or neither
  for _, row in ipairs {
    { "PAUSED", "en-US", true }, { "paused", "EN_us", true }, { "LOCKED", "en_US", true }, { "ARCHIVED", "en_US", true },
    { "DISABLED", "en_US", true }, { "REJECTED", "en_US", true }, { "DELETED", "en_US", true }, { "LIMIT_EXCEEDED",
    "en_US", true },
    { "pending-deletion", "en_US", true }, { "Pending Deletion", "en_US", true }, { "PAUSED", "en", false }, { "PAUSED",
    "en_GB", false },
    { "FLAGGED", "en_US", false }, { "IN_APPEAL", "en_US", false }, { "SOMETHING_NEW", "en_US", false },
    { "PAUSED", "en_US", true, "status" },
  } do
    it(("%s %s%s"):format(row[1], row[2], row[4] and " as status" or ""), function()
      local sim = simulation.new { rules = [[
template "t" { language = "en_US", body = { "name", "action", "next_step" } }
confirm "R" { on = "paid", phone = "{phone}", name = "a", action = "b", next_step = "c" }]] }
      local function word(event, language)
        local value = { message_template_name = "t", message_template_language = language, [row[4] or "event"] = event }
        assert(sim.flow:hooks(cjson.encode { entry = { { changes = { { field = "message_template_status_update",
          value = value } } } } }))
      end
      word(row[1], row[2])
      assert(sim.flow:submit { id = "1", type = "paid", phone = "12020721300" })
      sim:advance(60)
      assert.equal(row[3] and 0 or 1, #sim.sent)
      for _, lifting in ipairs { "IN_APPEAL", "UNARCHIVED" } do
        word(lifting, "en-us")
        sim:advance(60)
        assert.equal(row[3] and lifting == "IN_APPEAL" and 0 or 1, #sim.sent)
      end
      sim:close()
    end)
  end

  it("keeps a language that is none", function()
    local found = assert(hooks.parse({ changes = { { field = "message_template_status_update", value = { event = "PAUSED",
      message_template_name = "t", message_template_language = "Klingon" } } } }, 1))
    assert.equal("Klingon", found.templates[1].language)
  end)
end)

describe("a name", function()
  for name, said in pairs {
    [""] = "there", [" "] = "there", ["\194\160"] = "there", ["\226\128\139"] = "there", ["\239\187\191"] = "there",
    ["\227\133\164"] = "there", ["\226\160\128"] = "there", ["\226\128\174 \226\128\172"] = "there", ["\0"] = "there",
    ["-"] = "-",
    ["é"] = "é", ["\226\128\139Ana"] = "\226\128\139Ana", ["😀"] = "😀",
  } do
    it(("%q is %s"):format(name, said), function()
      local source = 'confirm "R" { on = "paid", phone = "{phone}", name = "{n|there}", action = "Hi {n|there}", '
        .. 'next_step = "c" }'
      local decision = decide(source, { n = name })
      assert.same({ said, "Hi " .. said }, { decision.name, decision.action })
    end)
  end
end)

describe("a template with named variables", function()
  local RULES = [[
template "order_paid" { language = "en", body = { named = { "first_name", "order_id" } } }
confirm "R" { on = "paid", phone = "{phone}", first_name = "{n}", order_id = "{o}" }
example "E" { event = { id = "1", type = "paid", phone = "+1 202 072 1300", n = "Ana", o = 7 },
  expect = { confirm = "R", body = { "Ana", "7" } } }]]

  it("gets its values by their names, on the wire and in a replay", function()
    local sim = simulation.new { rules = RULES }
    assert(sim.flow:submit { id = "1", type = "paid", phone = "12020721300", n = "Ana", o = 7 })
    sim:advance(60)
    assert.same({ { name = "first_name", text = "Ana" }, { name = "order_id", text = "7" } }, sim.sent[1].message.body)
    assert.same({ "Ana", "7" }, sim.flow:show("1").body)
    sim:close()
  end)
  for fields, sentence in pairs { ['{ named = "x" }'] = "named must be a table",
    ['{ named = { "a b" } }'] = "write names of letters",
    ['{ named = { "a" }, "b" }'] = "without a field name", ['{ named = { "a" }, nmaed = 1 }'] = "unknown field" } do
    it("refuses " .. fields, function()
      local set, why = rules.load(('template "t" { body = %s }'):format(fields))
      assert.is_nil(set)
      assert.matches(sentence, why, 1, true)
    end)
  end
end)

describe("a type of events", function()
  for _, name in ipairs { "Order Completed", "order/paid", "pedido pago é", "a:b", "x" } do
    it(("%s is named by on"):format(name), function()
      local source = ('confirm "R" { on = %q, phone = "{phone}", name = "a", action = "b", next_step = "c" }'):format(name)
      assert.is_true(decide(source, { type = name }).confirm)
      assert.is_false(decide(source, { type = name .. "x" }).confirm)
    end)
  end
  for _, name in ipairs { "", " ", "a\nb", "Order *", "*.x" } do
    it(("%q is none"):format(name), function()
      assert.is_nil((rules.load(('confirm "R" { on = %q, phone = "1", name = "a", action = "b", next_step = "c" }')
        :format(name))))
    end)
  end
end)
