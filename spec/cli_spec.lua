-- The command onemsg without a store: what it prints, and with what it ends.
local cjson = require "cjson"
local cli = require "onemsg.cli"
local commands = require "support.command"
local server = require "support.server"

local fake, command
local TEXTS = " --name Maria --action 'subscription payment' --next-step 'Access activated in your account.'"
local SECRET_URL = "https://shop.example/hooks/Jq8vT2aaabbbcccdd"

setup(function()
  fake = server.fake { set = { pace_ms = 0 } }
  command = commands.new(fake.env)
end)
teardown(function()
  local errors = fake:errors()
  fake:stop()
  command:remove()
  assert.equal("", errors)
end)
before_each(function() fake:reset() end)

local function send(ending, more, env)
  return command:run(("send --phone +1202072%04d%s%s"):format(1300 + ending, TEXTS, more or ""), { env = env })
end

describe("onemsg", function()
  it("without a command says what there is", function()
    for _, arguments in ipairs { "", "--help", "-h", "help" } do
      local result = command:run(arguments)
      assert.equal(0, result.code)
      for _, name in ipairs(cli.COMMANDS) do assert.truthy(result.out:find("\n  " .. name .. " ", 1, true), name) end
    end
    assert.truthy(command:run("--version").out:find "^onemsg %d+%.%d+")
  end)

  it("knows what was meant", function()
    for arguments, expected in pairs {
      ["sned"] = "there is no command sned, did you mean 'send'?",
      ["send --phnoe 1"] = "there is no option --phnoe, did you mean '--phone'?",
      ["send --phnoe=1"] = "there is no option --phnoe, did you mean '--phone'?",
      ["webhook ad x"] = "webhook has no ad, did you mean 'add'?",
      ["webhook"] = "webhook needs one of: list, add, remove",
      ["help sumbit"] = "there is no command sumbit, did you mean 'submit'?",
      ["send -x"] = "there is no option -x",
      ["send --phone"] = "--phone takes a value: NUMBER",
      ["send --phone --json"] = "--phone takes a value: NUMBER",
      ["send --check=1"] = "--check takes no value",
      ["send --phone 1 --phone 2"] = "--phone is given twice",
      ["send --ttl soon --phone 1"] = "--ttl takes seconds",
      ["send"] = "--phone is missing",
      ["list --limit many"] = "--limit takes a whole number from 1, not 'many'",
      ["list --limit 1.5"] = "--limit takes a whole number from 1, not '1.5'",
      ["list --limit 0"] = "--limit takes a whole number from 1, not '0'",
      ["list --since -1h"] = "--since takes a time such as 2h or 7d, or a day such as 2026-11-26",
      ["work --rate 0"] = "--rate takes a number from 0.01, not '0'",
      ["show"] = "ID is missing",
      ["show a b"] = "what is 'b'? It takes one argument",
      ["settle a perhaps"] = "arrived or not_arrived",
      ["fake --set nonsense"] = "--set takes name=value",
    } do
      local result = command:run(arguments)
      assert.equal(1, result.code, arguments .. ": " .. result.err)
      assert.equal("", result.out, arguments)
      assert.truthy(result.err:find(expected, 1, true), arguments .. ": " .. result.err)
      assert.truthy(result.err:find "^onemsg: ", result.err)
    end
  end)

  local function each_part(visit)
    for _, name in ipairs(cli.COMMANDS) do
      local one = cli.command(name)
      if one.run then visit(name, one) end
      for _, verb in ipairs(one.verb_names or {}) do visit(name .. " " .. verb, one.verbs[verb]) end
    end
  end

  it("helps with every command, and every example of the help is understood", function()
    command:write("events.jsonl", "{}\n")
    command:write("fake.env", "")
    os.execute(("ln -sf \"$PWD/examples\" '%s/examples'"):format(command.dir))
    command:write("parse", ("#!/usr/bin/env %s\nlocal part, wrong = require('onemsg.cli').read(arg)\n"
      .. "if not part then io.stderr:write(wrong, '\\n') end\nio.read('*a') print('understood')\nos.exit(part and 0 or 1)\n")
      :format(commands.INTERPRETER))
    local bin = commands.quote(command.dir .. "/bin")
    command:shell(("mkdir %s; mv %s/../parse %s/onemsg; chmod +x %s/onemsg"):format(bin, bin, bin, bin))
    local here = os.getenv "PWD"
    local count = 0
    each_part(function(name, part)
      local help = command:run(name .. " --help")
      assert.equal(0, help.code)
      assert.equal(help.out, command:run("help " .. name).out)
      assert.truthy(help.out:find("usage: onemsg " .. name, 1, true))
      assert.is_true(#part.examples >= 1, name)
      for _, example in ipairs(part.examples) do
        assert.truthy(help.out:find(example, 1, true))
        local line = ("export LUA_PATH=%s LUA_CPATH=%s; cd %s; PATH=$PWD/bin:$PATH; set -e; %s"):format(
          commands.quote((os.getenv "LUA_PATH":gsub("%f[^;%z]lua/", here .. "/lua/"))),
          commands.quote((os.getenv "LUA_CPATH":gsub("%f[^;%z]build/", here .. "/build/"))),
          commands.quote(command.dir), (example:gsub("/tmp/onemsg%-fake/", command.dir .. "/")))
        local result = command:shell(line)
        assert.equal(0, result.code, example .. ": " .. result.err)
        assert.truthy(result.out:find "^understood", example)
        count = count + 1
      end
    end)
    assert.is_true(count >= #cli.COMMANDS)
  end)

  it("ends with 5 and the name of the variable when it is not configured", function()
    for arguments, expected in pairs { ["send --phone 12020721300" .. TEXTS] = "ONE_MSG_TOKEN", templates = "ONE_MSG_TOKEN",
      list = "ONE_MSG_STORE", ["rules check nowhere.lua"] = "nowhere.lua" } do
      local bare = commands.new {}
      local result = bare:run(arguments)
      bare:remove()
      assert.equal(5, result.code, arguments)
      assert.truthy(result.err:find(expected, 1, true), result.err)
    end
  end)
end)

describe("onemsg send", function()
  local codes = { [0] = 0, [24] = 0, [29] = 0, [44] = 0, [40] = 2, [46] = 2, [48] = 2, [60] = 2, [61] = 2, [62] = 2, [93] = 2,
    [50] = 3, [55] = 3, [97] = 3, [45] = 6, [51] = 6, [52] = 6, [53] = 6, [57] = 6, [70] = 6, [71] = 6, [79] = 6, [84] = 6 }

  it("ends with the code that belongs to the answer", function()
    for ending, code in pairs(codes) do
      local result = send(ending)
      assert.equal(code, result.code, ending .. ": " .. result.err)
      assert.equal(code == 0, result.err == "", ending .. ": " .. result.err)
      assert.is_nil((result.out .. result.err):find(fake.env.ONE_MSG_TOKEN, 1, true))
      assert.is_nil((result.out .. result.err):gsub("job%-%d+", ""):find("2020721", 1, true), result.out .. result.err)
    end
  end)

  it("ends with 4 when nobody answers, and with 1 when the message can't be", function()
    local result = send(0, " --json", { ONE_MSG_BASE_URL = "https://127.0.0.1:9" })
    assert.equal(4, result.code)
    assert.equal("not_sent", result.json[1].outcome)
    result = command:run("send --phone nobody" .. TEXTS)
    assert.equal(1, result.code)
    assert.truthy(result.err:find "^onemsg: invalid: phone")
    result = send(0, " --language Klingon --json")
    assert.equal(1, result.code)
    assert.equal(1, result.json[1].exit)
    assert.truthy(result.json[1].error:find "^invalid: ")
    assert.equal(0, #fake:journal { method = "sendTemplate" })
  end)

  it("says what became of it, as text and as JSON", function()
    local text, json = send(1), send(2, " --json")
    assert.truthy(text.out:find "^accepted  wamid%.%S+\n$", text.out)
    assert.equal(1, #json.json)
    assert.equal("accepted", json.json[1].outcome)
    assert.equal("Sent to …1302@c.us", json.json[1].message)
    local refused = send(48, " --json")
    assert.same({ 2, 422, "rejected", "request", false }, { refused.json[1].exit, refused.json[1].status,
      refused.json[1].outcome, refused.json[1]["class"], refused.json[1].retry })
    assert.equal(refused.json[1].error, refused.err:match "^onemsg: ([^\n]+)")
    assert.same({ "Maria", "subscription payment", "Access activated in your account." },
      (function()
        local texts = {}
        for n, one in ipairs(cjson.decode(fake:journal { phone = "12020721301" }[1].body).params[1].parameters) do
          texts[n] = one.text
        end
        return texts
      end)())
  end)

  it("takes any template's texts, and only checks with --check", function()
    local result = command:run "send --phone 12020721300 --template receipt --body 'parcel 7' --check --json"
    assert.equal(0, result.code)
    assert.same({ "parcel 7" }, result.json[1].body)
    assert.equal("…1300", result.json[1].phone)
    assert.equal(0, #fake:journal { method = "sendTemplate" })
    result = command:run("send -", { stdin = [[{
      "phone": "+1 202 072 1300", "template": "order_shipped", "header": { "image": "https://shop.example/a.png" },
      "body": ["7"], "buttons": [{ "url": "7" }] }]] })
    assert.equal("", result.err)
    assert.equal(1, fake:count "12020721300")
    for stdin, pattern in pairs { ["{}"] = "phone is missing", ["7"] = "JSON object", ["{}\n{}"] = "one message",
      [""] = "no message", ["{"] = "not JSON", ['{"phone":"12020721300","nmae":"x"}'] = "nmae" } do
      result = command:run("send -", { stdin = stdin })
      assert.equal(1, result.code)
      assert.truthy(result.err:find(pattern, 1, true), result.err)
    end
  end)
end)

describe("onemsg hookinfo, templates", function()
  it("waits until it is delivered", function()
    fake:set { pace_ms = 150 }
    local id = commands.quote(send(0, " --json").json[1].id)
    local result = command:run("hookinfo --wait 10s --json " .. id)
    assert.equal(0, result.code)
    assert.truthy(("delivered read"):find(result.json[1].status, 1, true))
    assert.equal("…1300", result.json[1].hooks[1].recipient)
    assert.truthy(command:run("hookinfo " .. id).out:find "\n  %d%d%d%d%-%d%d%-%d%d %d%d:%d%d:%d%d  sent")
    local none = command:run "hookinfo --json wamid.nothing"
    assert.equal('{"hooks":[],"id":"wamid.nothing","ignored":0}\n', none.out)
    assert.equal("no news yet\n", command:run("hookinfo wamid.nothing").out)
  end)

  it("ends with 3, 2, 4 as the server fails", function()
    for down, code in pairs { ["503"] = 3, ["502"] = 3, ["401"] = 2, ["403"] = 2, close = 4 } do
      fake:set { down = down }
      assert.equal(code, command:run("hookinfo wamid.x").code, down)
      assert.equal(code, command:run("templates --json").code, down)
    end
  end)

  it("lists the templates, or one with its text", function()
    local result = command:run "templates"
    assert.equal(0, result.code)
    assert.truthy(result.out:find "^NAME +LANGUAGE +STATUS")
    assert.truthy(result.out:find "\naction_success +en +APPROVED +UTILITY +3 ")
    assert.truthy(command:run("templates action_success").out:find("\nen: Hello, {{1}}!", 1, true))
    assert.equal(3, #command:run("templates action_success --json").json)
    assert.equal(3, #command:run("--json templates action_success").json)
    assert.matches('"buttons":%[%]', command:run("templates greeting --json").out)
    assert.equal(1, command:run("templates no_such").code)
  end)
end)

describe("onemsg webhook", function()
  it("adds beside the others, lists, removes, and keeps the secret to itself", function()
    local result = command:run("webhook add --acks --json " .. SECRET_URL)
    assert.equal(0, result.code)
    assert.is_true(result.json[1].changed)
    assert.is_true(result.json[1].ackNotificationsOn)
    result = command:run "webhook list"
    assert.truthy(result.out:find("https://app.1msg.io/service/service_core/whatsapp/webhook/1\n", 1, true))
    assert.truthy(result.out:find("https://shop.example/hooks/***", 1, true))
    assert.is_nil(result.out:find("ackNotificationsOn", 1, true))
    assert.equal(SECRET_URL, command:run("webhook list --full --json").json[1].webhooks[2].url)
    assert.is_false(command:run("webhook add --json " .. SECRET_URL).json[1].changed)
    assert.is_true(command:run("webhook remove --json " .. SECRET_URL).json[1].changed)
    result = command:run "webhook list --json"
    assert.equal(1, #result.json[1].webhooks)
    assert.equal(1, command:run("webhook add http://shop.example/x").code)
  end)
end)

describe("onemsg rules", function()
  local event = '{"type":"order.paid","order":{"number":"7","total":50},'
    .. '"customer":{"phone":"+12020721300","whatsapp_ok":%s}}'

  it("checks, and names line and mistake", function()
    local result = command:run "rules check examples/rules.lua"
    assert.equal(0, result.code)
    assert.truthy(result.out:find "^ok  rules.lua, version %x+: 4 rules")
    assert.equal(4, #command:run("rules check --json examples/rules.lua").json[1].rules)
    assert.same({}, command:run("rules check --strict --json examples/rules.lua").json[1].warnings)
    local hasty = command:write("hasty.lua", 'confirm "P" {\n on = "paid", '
      .. 'phone = "{phone}", name = "n", action = "a", next_step = "x" }\n')
    result = command:run("rules check " .. hasty)
    assert.equal(0, result.code, result.err)
    assert.truthy(result.out:find('warning: hasty.lua:1: confirm "P": no example shows it at work', 1, true), result.out)
    assert.equal(1, command:run("rules check --strict " .. hasty).code)
    local path = command:write("bad.lua", 'template "t" { body = { "name" } }\nconfrim "x" { on = "y" }\n')
    result = command:run("rules check " .. path)
    assert.equal(5, result.code)
    assert.truthy(result.err:find("bad.lua:2: unknown word 'confrim', did you mean 'confirm'?", 1, true), result.err)
  end)

  it("tries an event: 0 confirmed, 7 skipped, 1 no event", function()
    local env = { ONE_MSG_RULES = "examples/rules.lua" }
    local yes = command:run("rules try", { stdin = event:format "true", env = env })
    assert.equal(0, yes.code)
    assert.truthy(yes.out:find('confirm "Order": yes', 1, true))
    local no = command:run("rules try --json", { stdin = event:format "false", env = env })
    assert.equal(7, no.code)
    assert.is_false(no.json[1].confirm)
    assert.truthy(no.json[1].reason:find "no consent")
    assert.equal("…1300", command:run("rules try --json", { stdin = event:format "true", env = env }).json[1].phone)
    for _, stdin in ipairs { "", "\n\n", "nonsense", "[]", "7", "{" } do
      assert.equal(1, command:run("rules try", { stdin = stdin, env = env }).code, stdin)
    end
  end)
end)

describe("onemsg doctor", function()
  local function findings(arguments, env)
    env = env or {}
    env.ONE_MSG_RULES = env.ONE_MSG_RULES or "examples/rules.lua"
    env.ONE_MSG_STORE = env.ONE_MSG_STORE or "sqlite:" .. command.dir .. "/doctor.db"
    local result, by = command:run("doctor --json " .. (arguments or ""), { env = env }), {}
    assert.equal("", result.err)
    for _, one in ipairs(result.json) do
      if not by[one.check] or by[one.check].state == "ok" then by[one.check] = one end
    end
    return by, result.code, result.out
  end

  it("finds everything in order, and sets what it is asked to", function()
    local by, code, out = findings()
    assert.equal(0, code, out)
    assert.equal("note", by.acks.state)
    for _, name in ipairs { "config", "token", "api", "rules", "template", "store", "nginx" } do
      assert.equal("ok", by[name].state, name)
    end
    by, code = findings("--url " .. SECRET_URL)
    assert.equal(5, code)
    assert.equal("fix", by.webhook.state)
    assert.truthy(by.webhook.text:find "not in the list.*blind since the beginning.*15 s")
    assert.equal("fix", by.acks.state)
    by, code = findings("--fix --url " .. SECRET_URL)
    assert.equal(0, code)
    assert.equal("ok", by.acks.state)
    by, code, out = findings(nil, { ONE_MSG_WEBHOOK_URL = SECRET_URL })
    assert.equal(0, code)
    assert.equal("ok", by.webhook.state)
    assert.is_nil(out:find("Jq8vT2", 1, true))
    assert.is_nil(out:find(fake.env.ONE_MSG_TOKEN, 1, true))
  end)

  it("says that hardly any room is left where the store lies, which it can still read", function()
    local disk = command.dir .. "/disk"
    assert.truthy(os.execute(("mkdir %s && mount -t tmpfs -o size=3m tmpfs %s"):format(disk, disk)))
    assert.equal("ok", (findings(nil, { ONE_MSG_STORE = ("sqlite:%s/doctor.db"):format(disk) })).store.state) -- not there yet
    command:run("submit", { stdin = '{"id":"room","type":"nothing"}', env = { ONE_MSG_RULES = "examples/rules.lua",
      ONE_MSG_STORE = ("sqlite:%s/doctor.db"):format(disk) } })
    local by, code, out = findings(nil, { ONE_MSG_STORE = ("sqlite:%s/doctor.db"):format(disk) })
    os.execute("umount " .. disk)
    assert.equal("fix", by.store.state)
    assert.matches("%d KiB are free where it lies", out)
    assert.equal(3, code)
  end)

  it("notices a disabled webhook, and revives it", function()
    command:run("webhook add --acks " .. SECRET_URL)
    fake:set { webhook_disabled = SECRET_URL }
    local by, code = findings("--url " .. SECRET_URL)
    assert.equal(5, code)
    assert.truthy(by.webhook.text:find "1MSG has disabled it")
    by, code = findings("--fix --url " .. SECRET_URL)
    assert.equal(0, code)
    assert.equal("ok", by.webhook.state)
  end)

  it("says what to do about each thing that is wrong", function()
    local function one(name, state, pattern, code, env, arguments)
      local by, ended, out = findings(arguments, env)
      assert.truthy(by[name], out)
      assert.same({ state, code }, { by[name].state, ended }, out)
      assert.truthy((by[name].text .. " " .. (by[name].advice or "")):find(pattern), out)
    end
    one("config", "fix", "ONE_MSG_TOKEN", 5, { ONE_MSG_TOKEN = "" })
    one("token", "note", "JWT", 2, { ONE_MSG_TOKEN = "plain-old-key" })
    one("api", "fix", "Renew or correct the token", 2, { ONE_MSG_TOKEN = "plain-old-key" })
    one("api", "fix", "ONE_MSG_BASE_URL", 4, { ONE_MSG_BASE_URL = "https://127.0.0.1:9" })
    one("rules", "fix", "cannot be opened", 5, { ONE_MSG_RULES = "nowhere.lua" })
    one("template", "fix", "has no template", 5, { ONE_MSG_TEMPLATE = "no_such" })
    one("template", "fix", "Only an approved", 2, { ONE_MSG_TEMPLATE = "unloved", ONE_MSG_RULES = "examples/rules.lua" })
    one("template", "fix", "ONE_MSG_TEMPLATE_NAMESPACE", 5, { ONE_MSG_TEMPLATE_NAMESPACE = "other" })
    one("template", "fix", "has 3 variables, and 2 are sent", 5, { ONE_MSG_RULES = command:write("two.lua",
      'template "action_success" { language = "en", body = { "name", "action" } }\n'
      .. 'confirm "x" { on = "y", name = "a", action = "b" }\n') })
    one("store", "fix", "can't be made", 3, { ONE_MSG_STORE = "sqlite:/nowhere/at/all.db" })
    for status, pattern in pairs { disconnected = "Connect the number", unregistered = "support" } do
      fake:set { status = status }
      one("api", "fix", pattern, 2)
    end
    fake:set { down = "503" }
    one("api", "fix", "503", 3)
  end)
end)

describe("onemsg fake", function()
  it("starts, is reached by its fake.env, and stops", function()
    local dir = commands.quote(command.dir .. "/fake")
    local started = command:run("fake start --dir " .. dir .. " --json")
    assert.equal(0, started.code, started.err)
    finally(function() command:run("fake stop --dir " .. dir) end)
    assert.equal(0, command:run("templates", { env = started.json[1] }).code)
    assert.equal(0, command:run("fake stop --dir " .. dir).code)
    assert.equal(4, command:run("templates", { env = started.json[1] }).code)
    assert.truthy(command:run("fake table").out:find("| 52 | 502, HTML | `unknown` |", 1, true))
  end)

  it("runs in the foreground until Ctrl-C, showing the requests", function()
    local sys = require "support.sys"
    local dir = command.dir .. "/fore"
    local started = command:start("fake --dir " .. commands.quote(dir))
    finally(function()
      sys.kill(started.pid, sys.KILL)
      command:run("fake stop --dir " .. commands.quote(dir))
    end)
    local function printed(text)
      return server.eventually(function() return started.out():find(text, 1, true) end)
    end
    assert.truthy(printed "Ctrl-C stops it")
    assert.equal(0, command:shell(". " .. commands.quote(dir .. "/fake.env") .. "; export ONE_MSG_BASE_URL; onemsg "
      .. "send --phone 12020721300 --name a --action b --next-step c", {
        env = { ONE_MSG_CA_FILE = dir .. "/ca.pem" } }).code)
    assert.truthy(printed "sendTemplate …1300")
    sys.kill(started.pid, sys.INT or 2)
    assert.equal(0, server.eventually(started.ended))
    assert.is_nil(io.open(dir .. "/nginx.pid"))
    assert.equal("", started.err())
  end)
end)
