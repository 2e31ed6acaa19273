-- Operators have names, roles and tokens: what one may not do is not shown and is refused, and whoever changed something by
-- hand is named in the history and in the audit, whichever button it was.
local cjson = require "cjson"
local commands = require "support.command"
local mime = require "mime"
local roles = require "onemsg.policy.roles"
local service = require "support.service"
local support = require "support.server"

local FORM = "application/x-www-form-urlencoded"

describe("operators", function()
  it("stand in a file that is read whole, or refused with its line", function()
    local digest = ("0a"):rep(32)
    for text, expected in pairs {
      [""] = "", ["# nobody\n\n"] = "", ["maria operate " .. digest] = "maria:operate",
      ["a view " .. digest .. " # she\r\nb admin " .. digest:upper()] = "a:view b:admin",
      ["maria\n"] = "line 1: it is not", ["\nmaria operate 0a"] = "line 2: the third word is no SHA%-256",
      ["maria opeate " .. digest] = "line 1: maria may view, operate or admin, not 'opeate'.*operate",
      ["ma/ria view " .. digest] = "line 1: a name has letters", ["a view " .. digest .. " b"] = "line 1: there is more",
      ["a view " .. digest .. "\na admin " .. digest] = "line 2: a stands there twice",
    } do
      local list, wrong = roles.parse(text)
      for n, one in ipairs(list or {}) do list[n] = one.name .. ":" .. one.may end
      if list then assert.equal(expected, table.concat(list, " ")) else assert.matches("^" .. expected, wrong) end
    end
  end)

  it("may do what their role says, and nothing without one", function()
    local found = {}
    for _, role in ipairs { "view", "operate", "admin" } do
      for _, what in ipairs { "look", "change", "whole", "export" } do
        if roles.may(role, what) then found[#found + 1] = role .. " " .. what end
      end
    end
    assert.equal("view look, operate look, operate change, admin look, admin change, admin whole, admin export",
      table.concat(found, ", "))
    assert.is_false(roles.may(nil, "look"))
  end)

  it("are added, listed and removed by command; a token is printed once and stands nowhere", function()
    local command = commands.new {}
    local file = command.dir .. "/operators"
    command.env.ONE_MSG_OPERATORS = file
    local added = command:run "operator add maria --may operate --json"
    assert.same({ 0, "maria", "operate" }, { added.code, added.json[1].name, added.json[1].may })
    local token = added.json[1].token
    assert.matches("^%x+$", token)
    assert.equal(48, #token)
    assert.equal(0, command:run("operator add joe --may view").code)
    local text = assert(io.open(file)):read "*a"
    assert.is_nil(text:find(token, 1, true))
    local sum = assert(io.popen("printf %s " .. token .. " | sha256sum")):read "*a"
    assert.is_truthy(text:find("maria operate " .. sum:match "^%x+", 1, true))
    assert.matches("^600", assert(io.popen("stat -c %a " .. file)):read "*a")
    assert.equal(2, command:run("operator add maria --may admin").code)
    assert.equal(1, command:run("operator add eve --may root").code)
    assert.equal(1, command:run("operator add eve").code)
    assert.equal("NAME   MAY\nmaria  operate\njoe    view\n", command:run("operator list").out)
    assert.equal(0, command:run("operator remove maria").code)
    assert.equal(2, command:run("operator remove maria").code)
    assert.equal("NAME  MAY\njoe   view\n", command:run("operator list").out)
    command:write("operators", "nonsense\n")
    local bad = command:run "operator list"
    assert.equal(5, bad.code)
    assert.matches("line 1: it is not NAME ROLE SHA256", bad.err)
    command:remove()
  end)

  describe("on the page", function()
    local fake, here
    local TOKENS = { view = ("v"):rep(20), operate = ("o"):rep(20), admin = ("a"):rep(20) }

    local function signed(role) return { Authorization = "Basic " .. mime.b64("somebody:" .. TOKENS[role]) } end

    setup(function()
      fake = support.fake {}
      local list = {}
      for role, token in pairs(TOKENS) do list[#list + 1] = ("ms%s = { token = %q, may = %q }"):format(role, token, role) end
      here = service.start { fake = fake, init = "operators = { " .. table.concat(list, ", ") .. " }," }
    end)
    teardown(function()
      local complaints = here.nginx:complaints()
      service.stop_all()
      fake:stop()
      assert.equal("", complaints)
    end)

    local function stored(ending, state)
      local event = service.payment(ending)
      assert.equal(202, (here:event(event)))
      assert.equal(state, (here:state(event.id, state)))
      return event
    end

    --- What a browser would send; without a page that has a form, what somebody would send who knows its fields.
    local function press(role, query, fields)
      local headers = signed(role)
      local _, text, got = here:get("/onemsg/" .. query, headers)
      local token, cookie = text:match 'name="token" value="(%x+)"', (got["set-cookie"] or ""):match "^([^;]+)"
      return here:post("/onemsg/" .. query, ("token=%s&%s"):format(token or "", fields),
        { Authorization = headers.Authorization, Cookie = cookie, ["Content-Type"] = FORM })
    end

    it("see what they may, and no button of what they may not do", function()
      local event = stored("48", "rejected")
      for role, row in pairs { view = { false, false }, operate = { true, false }, admin = { true, true } } do
        local status, text = here:get("/onemsg/?id=" .. event.id, signed(role))
        assert.equal(200, status)
        assert.same(row, { text:find("<button name", 1, true) ~= nil, text:find(event.customer.phone, 1, true) ~= nil }, role)
        assert.is_truthy(text:find("Signed in as <bdi>ms" .. role, 1, true))
        for _, query in ipairs { "?q=" .. event.id, "?format=json", "?format=csv", "?format=json&id=" .. event.id } do
          local _, other = here:get("/onemsg/" .. query, signed(role))
          assert.equal(row[2], other:find(event.customer.phone, 1, true) ~= nil, role .. query)
        end
      end
      assert.equal(401, (here:get("/onemsg/", { Authorization = "Bearer " .. TOKENS.view .. "x" })))
    end)

    it("who looks is refused every change", function()
      local event = stored("48", "rejected")
      for _, fields in ipairs { "action=replay", "action=cancel", "action=arrived", "action=pause&rule=Payment&word=pause",
          "action=resume&rule=Payment", "action=suppress&word=suppress&id=" .. event.id, "action=nonsense" } do
        local status, text = press("view", "?id=" .. event.id, fields)
        assert.equal(403, status)
        assert.is_truthy(text:find("msview may look, and change nothing", 1, true))
        assert.equal(403, (here:post("/onemsg/?id=" .. event.id, fields, { Authorization = "Bearer " .. TOKENS.view,
          ["Content-Type"] = FORM })))
      end
      assert.equal("rejected", (here:state(event.id, "rejected")))
    end)

    it("are named in the history and the audit, by every button", function()
      local doubt, refused = stored("86", "unknown"), stored("48", "rejected")
      assert.equal(303, (press("operate", "?id=" .. doubt.id, "action=arrived")))
      assert.equal(303, (press("admin", "?id=" .. refused.id, "action=replay")))
      here:state(refused.id, "rejected")
      assert.equal(303, (press("operate", "?id=" .. refused.id, "action=pause&rule=Payment&word=pause")))
      local event = service.payment()
      here:event(event)
      assert.equal(303, (press("operate", "?id=" .. event.id, "action=cancel")))
      assert.equal(303, (press("admin", "?id=" .. refused.id, "action=resume&rule=Payment")))
      assert.equal(303, (press("operate", "?id=" .. refused.id, "action=suppress&word=suppress&id=" .. refused.id)))
      -- who signs in by the one token of all is who they say they are
      local last = stored("86", "unknown")
      assert.equal(200, (here:post("/onemsg/?format=json&id=" .. last.id, "action=not_arrived",
        { Authorization = "Bearer " .. service.OPERATOR, ["Content-Type"] = FORM })))
      local flow = assert(require "onemsg.workflow".open { channel = { check = function() end }, store = here.store,
        rules = { current = function() return { uses = {} } end } })
      local lines = {}
      for n, line in ipairs(assert(flow:audit())) do lines[n] = line.by .. " " .. line.what end
      assert.same({ "operator settle", "msoperate suppress", "msadmin resume", "msoperate cancel", "msoperate pause",
        "msadmin replay", "msoperate settle" }, lines)
      local history = cjson.encode(flow:show(doubt.id).history)
      assert.is_truthy(history:find("msoperate", 1, true))
      flow:close()
    end)
  end)
end)
