-- onemsg.template: reading the list (PLATFORM.md 1.7), and whether a message fits (1.4, 5.1 to 5.3).
local template = require "onemsg.template"
local cjson = require "cjson.safe"
local channels = require "support.channels"

local NS = "ca300906_cfbc_410b_99fb_dcee8e13d578"
local SEED = 'Hello, {{1}}! Action "{{2}}" completed successfully. {{3}} Thank you for using our service.'
local FIXED = #SEED - #"{{1}}{{2}}{{3}}" -- characters of the text that are not variables

local function raw(more)
  local item = { name = "action_success", language = "en", category = "UTILITY", status = "APPROVED", namespace = NS,
                 rejected_reason = "NONE", components = { { type = "BODY", text = SEED }, { type = "BUTTONS",
                 buttons = { { type = "URL", text = "Open website", url = "https://example.com" } } } } }
  for key, value in pairs(more or {}) do item[key] = value end
  return item
end

local function one(more)
  return template.normalize({ templates = { raw(more) } })[1]
end

local function with(components, more)
  more = more or {}
  more.components = components
  return one(more)
end

describe("template.normalize", function()
  it("reads the use case's template", function()
    local t = one()
    assert.same({ "action_success", "en", "UTILITY", "APPROVED", NS, SEED, 3, "POSITIONAL", true },
      { t.name, t.language, t.category, t.status, t.namespace, t.body_text, t.body_count, t.parameter_format,
        t.sendable })
    assert.same({ "1", "2", "3" }, t.names)
    assert.same({ { index = 0, type = "URL", text = "Open website", url = "https://example.com" } }, t.buttons)
    assert.is_nil(t.header)
    assert.is_nil(t.rejected_reason)
  end)

  for name, answer in pairs {
    ["a bare array"] = { raw() },
    ["a language object"] = { templates = { raw { language = { code = "en" } } } },
    ["lower case"] = { templates = { raw { status = "approved", category = "utility" } } },
    ["the second name of the namespace"] = { templates = { raw { namespace = cjson.null,
      message_template_namespace = NS } } },
    ["the third name of the namespace"] = { templates = { raw { namespace = false, messageTemplateNamespace = NS } } },
    ["components as a JSON string"] = { templates = { raw { components = cjson.encode(raw().components) } } },
    ["components in lower case"] = { templates = { raw { components = { { type = "body", text = SEED },
      { type = "buttons", buttons = { { type = "url", text = "Open website", url = "https://example.com" } } } } } } },
    ["what cjson makes of it"] = cjson.decode(cjson.encode { total = 1, templates = { raw() } }),
  } do
    it("reads " .. name, function()
      local t, expected = template.normalize(answer)[1], one()
      t.components, expected.components = nil, nil
      assert.same(expected, t)
    end)
  end

  it("takes a missing namespace from the others when they all share one", function()
    local list = template.normalize { templates = { raw { namespace = "" }, raw { name = "b" }, raw { name = "c" } } }
    assert.equal(NS, list[1].namespace)
    list = template.normalize { raw { namespace = "" }, raw { name = "b" }, raw { name = "c", namespace = "other" },
                                raw { name = "d" } }
    assert.is_nil(list[1].namespace)
    assert.equal("other", list[3].namespace)
    assert.is_nil(template.normalize({ raw { namespace = "" } })[1].namespace)
  end)

  for text, names in pairs {
    ["no variables"] = "", ["{{1}} {{2}}"] = "1 2", ["{{2}} {{1}} {{2}}"] = "1 2", ["{{ 1 }} and {{2 }}"] = "1 2",
    ["{{10}} {{9}} {{1}}"] = "1 9 10", ["{{1}} {{3}}"] = "1 3",
      ["{{first_name}} {{thing}} {{first_name}}"] = "first_name thing",
    ["{{01}} {{1}}"] = "1", ["{{}} {1} {{ }} {{a b}}"] = "", ["{{{1}}}"] = "1", ["{{1}}{{2}}"] = "1 2",
  } do
    it("counts the variables of " .. text, function()
      local t = with { { type = "BODY", text = text } }
      assert.equal(names, table.concat(t.names, " "))
      assert.equal(#t.names, t.body_count)
      assert.equal(names:find("%l") and "NAMED" or "POSITIONAL", t.parameter_format)
    end)
  end

  it("reads header and buttons, and what each needs", function()
    local t = with {
      { type = "HEADER", format = "TEXT", text = "For {{1}}" },
      { type = "BODY", text = "x" }, { type = "FOOTER", text = "y" },
      { type = "BUTTONS", buttons = { { type = "QUICK_REPLY", text = "Yes" }, { type = "PHONE_NUMBER", text = "Call" },
        { type = "URL", url = "https://x/{{1}}" }, { type = "COPY_CODE" }, { type = "FLOW" }, "junk" } },
    }
    assert.same({ "TEXT", "For {{1}}", { "1" }, nil }, { t.header.format, t.header.text, t.header.names,
      t.header.media })
    local needs, takes = {}, {}
    for i, button in ipairs(t.buttons) do needs[i], takes[i] = button.needs or "-", button.takes or "-" end
    assert.equal("- - url code - -", table.concat(needs, " "))
    assert.equal("payload - url code flow -", table.concat(takes, " "))
    for format, media in pairs { IMAGE = "image", VIDEO = "video", DOCUMENT = "document", LOCATION = "location" } do
      assert.equal(media, with({ { type = "HEADER", format = format } }).header.media)
    end
  end)

  it("says which can be sent", function()
    for status, sendable in pairs { APPROVED = true, approved = true, ["ACTIVE - QUALITY PENDING"] = true,
      ACTIVE = true,
                                    PAUSED = false, DISABLED = false, REJECTED = false, PENDING = false,
                                      [""] = false } do
      assert.equal(sendable, one({ status = status }).sendable)
    end
    assert.is_false(one({ status = cjson.null }).sendable)
    assert.equal("INVALID_FORMAT", one({ rejected_reason = "INVALID_FORMAT" }).rejected_reason)
  end)

  it("bears with hostile answers", function()
    local values = { true, 0, 1 / 0, "", "x", ("["):rep(1e5), {}, { {} }, { 1 }, cjson.null, { [1] = cjson.null },
      print,
                     { { { {} } } } }
    for _, value in ipairs(values) do
      assert.is_table(template.normalize(value))
      assert.is_table(template.normalize { templates = value })
      assert.is_table(template.normalize { templates = { value } })
      for _, key in ipairs { "name", "language", "category", "status", "namespace", "components", "rejected_reason",
                             "parameter_format", "id" } do
        for _, t in ipairs(template.normalize { raw { [key] = value } }) do
          assert.is_string(t.name)
          template.check(t, { body = { "a", "b", "c" } })
        end
      end
      for _, component in ipairs { { type = value, text = value, buttons = value, format = value },
          { type = "BODY", text = value }, { type = "HEADER", format = value, text = value },
          { type = "BUTTONS", buttons = value }, { type = "BUTTONS", buttons = { value } },
          { type = "BUTTONS", buttons = { { type = value, url = value, text = value } } } } do
        assert.equal("action_success", with({ value, component }).name)
      end
    end
    assert.same({}, template.normalize(nil))
  end)
end)

-- A channel that has `total` templates and answers `page` at most; it keeps the paths that were asked for.
local function stand_in(total, page, change)
  local channel = { paths = {} }
  function channel.request(_, method, path, body)
    assert.same({ "GET", nil }, { method, body })
    channel.paths[#channel.paths + 1] = path
    local limit, offset = path:match("^templates%?limit=(%d+)&offset=(%d+)$")
    local answer = { total = total, templates = {} }
    limit, offset = tonumber(limit), tonumber(offset)
    for i = offset + 1, math.min(total, offset + math.min(limit, page)) do
      table.insert(answer.templates, raw { name = "t" .. i, namespace = i % 2 == 0 and NS or nil })
    end
    if change then return change(answer, #channel.paths) end
    return answer
  end
  return channel
end

describe("template.fetch", function()
  it("asks once where one page holds all", function()
    local channel = stand_in(7, 100)
    assert.equal(7, #assert(template.fetch(channel)))
    assert.same({ "templates?limit=100&offset=0" }, channel.paths)
  end)

  it("reads page after page, in order, also where pages are smaller than asked for", function()
    local channel = stand_in(120, 50)
    local list = assert(template.fetch(channel))
    assert.same({ 120, "t1", "t120", NS }, { #list, list[1].name, list[120].name, list[1].namespace })
    assert.same({ "templates?limit=100&offset=0", "templates?limit=100&offset=50", "templates?limit=100&offset=100" },
      channel.paths)
    assert.is_nil(list.truncated)
  end)

  it("goes on without a total until nothing new comes", function()
    local channel = stand_in(120, 50, function(answer) answer.total = nil return answer end)
    assert.equal(120, #assert(template.fetch(channel)))
    assert.equal(4, #channel.paths)
  end)

  it("ends where the channel ignores offset", function()
    local channel = stand_in(500, 100, function() return { total = 500, templates = { raw(),
      raw { language = "es" } } } end)
    assert.equal(2, #assert(template.fetch(channel)))
    assert.equal(2, #channel.paths)
  end)

  it("stops after 20 pages and says so", function()
    local channel = stand_in(5000, 100)
    local list = assert(template.fetch(channel))
    assert.same({ 2000, 20, true }, { #list, #channel.paths, list.truncated })
    channel = stand_in(5000, 100)
    list = assert(template.fetch(channel, { limit = 10, pages = 3 }))
    assert.same({ 30, 3, "templates?limit=10&offset=20" }, { #list, #channel.paths, channel.paths[3] })
  end)

  it("hands on what went wrong, on any page", function()
    local channel = stand_in(200, 100, function(answer, n)
      if n == 2 then return nil, "timeout: no answer", { outcome = "unknown" } end
      return answer
    end)
    assert.same({ nil, "timeout: no answer", { outcome = "unknown" } }, { template.fetch(channel) })
  end)

  it("reads an error beside an empty list as a refusal", function()
    local channel = stand_in(0, 100, function() return { templates = {}, error = "Your access token has expired" } end)
    local list, err, info = template.fetch(channel)
    assert.is_nil(list)
    assert.equal("rejected: Your access token has expired", err)
    assert.same({ "rejected", 190, "auth", false }, { info.outcome, info.code, info.class, info.retry })
    assert.same({}, assert(template.fetch(stand_in(0, 100))))
    assert.truthy(select(2, template.fetch(stand_in(0, 100, function() return "hello" end))):find("^unknown: "))
  end)

  it("refuses wrong options at the caller's line", function()
    for _, opts in ipairs { { limit = 0 }, { limit = 1.5 }, { limit = "5" }, { pages = -1 }, { pages = 1 / 0 } } do
      local ok, why = pcall(function() local list = template.fetch(stand_in(1, 1), opts) return list end)
      assert.is_false(ok)
      assert.truthy(why:find("template_spec.lua", 1, true))
    end
  end)
end)

describe("template.find", function()
  local list = template.normalize { raw(), raw { language = "pt_BR" }, raw { name = "other" } }
  it("finds by name and language", function()
    assert.equal("pt_BR", template.find(list, "action_success", "pt_BR").language)
  end)
  it("says what there is instead", function()
    assert.truthy(select(2, template.find(list, "action_success", "es")):find("it has en, pt_BR", 1, true))
    assert.truthy(select(2, template.find(list, "Action-Success", "en")):find("did you mean action_success?", 1, true))
    assert.truthy(select(2, template.find(list, "nothing", "en")):find("^invalid: the channel has no template nothing"))
    assert.is_nil((template.find(list, nil, nil)))
  end)
end)

describe("template.check", function()
  local header_text = { type = "HEADER", format = "TEXT", text = "For {{1}}" }
  local image = { type = "HEADER", format = "IMAGE" }
  local body = { type = "BODY", text = "Hi {{1}}" }
  local function buttons(...) return { type = "BUTTONS", buttons = { ... } } end
  local dynamic = { type = "URL", url = "https://x/{{1}}" }
  local seed, named = one(), with({ { type = "BODY", text = "Hi {{first_name}}, {{thing}} is ready" } })
  local maria = { "Maria", "subscription payment", "Access activated in your account." }

  local fits = {
    { seed, { name = maria[1], action = maria[2], next_step = maria[3] } }, { seed, { body = maria } },
    { seed, { body = { "a", 5, { type = "text", text = "c" } } } },
    { named, { body = { { name = "thing", text = "it" }, { name = "first_name", text = "Maria" } } } },
    { seed, { body = { "a", { type = "currency", currency = { fallback_value = "$9", code = "USD" } }, "c" } } },
    { with { { type = "BODY", text = "Nothing." } }, { body = {} } },
    { with { { type = "BODY", text = "{{1}} {{3}}" } }, { body = { "a", "b" } } },
    { with { header_text, body }, { body = { "a" }, header = "Maria" } },
    { with { image, body }, { body = { "a" }, header = { image = "https://x/y.png" } } },
    { with { image, body }, { body = { "a" }, header = { type = "image", link = "https://x/y.png" } } },
    { with { { type = "HEADER", format = "TEXT", text = "Fixed" }, body }, { body = { "a" } } },
    { with { body, buttons(dynamic) }, { body = { "a" }, buttons = { { url = "t/1" } } } },
    { with { body, buttons({ type = "PHONE_NUMBER" }, dynamic) },
      { body = { "a" }, buttons = { { index = 1, url = "t" } } } },
    { with { body, buttons(dynamic) },
      { body = { "a" }, buttons = { { sub_type = "url", parameters = { { type = "text", text = "t" } } } } } },
    { with { body, buttons { type = "QUICK_REPLY" } }, { body = { "a" } } },
    { with { body, buttons { type = "QUICK_REPLY" } }, { body = { "a" }, buttons = { { payload = "yes" } } } },
    { with { body, buttons { type = "COPY_CODE" } }, { body = { "a" }, buttons = { { code = "CODE5" } } } },
    { seed, { body = { ("é"):rep(1024 - FIXED - 2), "a", "b" } } },
  }
  for i, case in ipairs(fits) do
    it("takes message " .. i, function()
      assert.is_true(assert(template.check(case[1], case[2])))
    end)
  end

  local misfits = {
    { one { status = "PAUSED" }, { body = maria }, "not approved: PAUSED" },
    { seed, { name = "Maria", action = "x" }, "next_step is missing" }, { seed, { name = "M", next_step = "x" },
      "action" },
    { seed, {}, "name is missing" }, { seed, { body = {} }, "takes 3 values, the message has 0" },
    { with { body }, { body = { "a", "b" } }, "takes 1 value, the message has 2" },
    { seed, { body = { "a", "b", nil, "d" } }, "" }, { seed, { body = { "a", "b", "c", "d" } }, "has 4" },
    { seed, { body = "Maria" }, "must be a list" }, { seed, { body = { "a", "", "c" } }, "{{2}} is empty" },
    { seed, { body = { "a", " \t", "c" } }, "{{2}} is empty" }, { seed, { body = { "a", true, "c" } },
      "{{2}} is empty" },
    { seed, { body = { "a", cjson.null, "c" } }, "{{2}} is empty" },
    { seed, { body = { a = 1, b = 2, c = 3 } }, "must be a list" },
    { seed, { body = { "a", { name = "n", text = "b" }, "c" } }, "without name" },
    { named, { body = { "Maria", "it" } }, "write each once, as { name = \"first_name\", text = … }" },
    { named, { body = { { name = "first_name", text = "M" }, { name = "thang", text = "x" } } }, "first_name, thing" },
    { named, { body = { { name = "thing", text = "M" }, { name = "thing", text = "x" } } }, "write each once" },
    { named, { body = { { name = "thing", text = "M" }, { name = "first_name", text = " " } } },
      "{{first_name}} is empty" },
    { named, { body = { { name = "thing", text = "M" } } }, "takes 2 values" },
    { seed, { body = { ("é"):rep(1024 - FIXED - 1), "a", "b" } }, "1025 characters" },
    { seed, { body = maria, header = "x" }, "takes no header" },
    { with { header_text, body }, { body = { "a" } }, "needs a header (text)" },
    { with { header_text, body }, { body = { "a" }, header = " " }, "needs a text" },
    { with { header_text, body }, { body = { "a" }, header = ("x"):rep(57) }, "61 characters" },
    { with { image, body }, { body = { "a" } }, "needs a header (image)" },
    { with { image, body }, { body = { "a" }, header = "x" }, "needs { image" },
    { with { image, body }, { body = { "a" }, header = { video = "x" } }, "needs { image" },
    { seed, { body = maria, buttons = { "x" } }, "buttons[1] must be a table" },
    { seed, { body = maria, buttons = { { url = "x" } } },
      "button 0 of template action_success is fixed (URL): leave it out" },
    { seed, { body = maria, buttons = { { index = 1, url = "x" } } }, "no button with index 1; it has 1 button" },
    { seed, { body = maria, buttons = { { index = "x", url = "x" } } }, "no button with index x" },
    { seed, { body = maria, buttons = { first = { url = "x" } } }, "must be a list" },
    { seed, { body = maria, buttons = "x" }, "must be a list" },
    { with { body, buttons(dynamic) }, { body = { "a" } }, "button 0 of template action_success needs { url = … }" },
    { with { body, buttons(dynamic) }, { body = { "a" }, buttons = { { url = " " } } },
      "the url of button 0 is empty" },
    { with { body, buttons(dynamic) }, { body = { "a" }, buttons = { { code = "x" } } }, "takes url" },
    { with { body, buttons(dynamic) }, { body = { "a" }, buttons = { {} } }, "takes url" },
    { with { body, buttons(dynamic) }, { body = { "a" }, buttons = { { url = "x" }, { index = 0, url = "y" } } },
      "twice" },
    { with { body, buttons(dynamic) }, { body = { "a" }, buttons = { { url = ("x"):rep(2001) } } },
      "longer than 2000" },
    { with { body, buttons { type = "COPY_CODE" } }, { body = { "a" } }, "needs { code = … }" },
  }
  for i, case in ipairs(misfits) do
    it("refuses message " .. i .. ": " .. case[3], function()
      local ok, err = template.check(case[1], case[2])
      assert.is_nil(ok)
      assert.truthy(err:find("^invalid: "))
      assert.truthy(err:find(case[3], 1, true), err)
    end)
  end
end)

describe("template.fill and length", function()
  it("give the use case's own text", function()
    local text = 'Hello, Maria! Action "subscription payment" completed successfully. '
      .. "Access activated in your account. Thank you for using our service."
    local values = { "Maria", "subscription payment", "Access activated in your account." }
    assert.equal(text, template.fill(one(), values))
    assert.equal(#text, template.length(one(), values))
  end)

  it("fill by place in the list, by name, repeatedly, and never twice over", function()
    local gap = with { { type = "BODY", text = "{{3}} {{ 1 }} {{3}}" } }
    assert.equal("b a b", template.fill(gap, { "a", "b" }))
    assert.equal("%1 {{3}} %1", template.fill(gap, { "{{3}}", "%1" }))
    assert.equal("{{3}} a {{3}}", template.fill(gap, { "a" }))
    assert.equal("Hi Ana 5", template.fill(with { { type = "BODY", text = "Hi {{n}} {{k}}" } }, { n = "Ana", k = 5 }))
    assert.equal("Hi Ana 5", template.fill(with { { type = "BODY", text = "Hi {{n}} {{k}}" } },
      { { name = "k", text = 5 }, { name = "n", text = "Ana" } }))
    assert.equal("{{1}}", template.fill(with { { type = "BODY", text = "{{1}}" } }))
    assert.equal("", template.fill(with {}, {}))
  end)

  it("count code points", function()
    assert.equal(4, template.length(with { { type = "BODY", text = "{{1}}" } }, { "é€😀a" }))
  end)
end)

describe("template.language", function()
  for _, code in ipairs { "en", "pt_BR", "fil", "prs_AF", "zh_CN" } do
    it("takes " .. code, function() assert.equal(code, template.language(code)) end)
  end
  for code, likely in pairs { ["pt-BR"] = "pt_BR", ["pt_br"] = "pt_BR", ["EN"] = "en", ["en_us"] = "en_US",
                              [" en "] = "en", ["PT-br"] = "pt_BR", ["en US"] = "en_US" } do
    it("suggests " .. likely .. " for " .. code, function()
      local ok, err = template.language(code)
      assert.is_nil(ok)
      assert.truthy(err:find("did you mean " .. likely .. "?", 1, true))
    end)
  end
  it("refuses everything else", function()
    for _, bad in ipairs { "", "e", "english", "en_USA", "en__US", "e1", "en\0", 5, true, {}, cjson.null, "___" } do
      local ok, err = template.language(bad)
      assert.is_nil(ok)
      assert.truthy(err:find("^invalid: "))
    end
    assert.is_nil((template.language(nil)))
  end)
end)

describe("channel:templates on a channel", function()
  local fake, channel, finish

  setup(function() fake, channel, finish = channels.with_fake() end)
  before_each(function() fake:reset() end)
  teardown(function() finish() end)

  for _, form in ipairs { "", "bare", "no_namespace", "other_namespace_key", "string_components", "language_object",
                          "lower_status", "ignores_offset" } do
    it("reads the form '" .. form .. "'", function()
      fake:set { templates_form = form }
      local list = assert(channel:templates())
      local t = assert(template.find(list, "action_success", "en"))
      assert.same({ SEED, 3, true, fake.env.ONE_MSG_TEMPLATE_NAMESPACE },
        { t.body_text, t.body_count, t.sendable, t.namespace })
      assert.is_true(template.check(t, { name = "Maria", action = "payment", next_step = "Done." }))
    end)
  end

  it("reads all pages", function()
    local few = #assert(channel:templates())
    fake:set { templates_extra = 250 }
    assert.equal(few + 250, #assert(channel:templates()))
    assert.equal(few + 250, #assert(channel:templates { limit = 33 }))
  end)

  it("refuses what is only an error", function()
    fake:set { templates_form = "error_key" }
    local list, err, info = channel:templates()
    assert.is_nil(list)
    assert.truthy(err:find("^rejected: "))
    assert.equal("rejected", info.outcome)
  end)
end)
