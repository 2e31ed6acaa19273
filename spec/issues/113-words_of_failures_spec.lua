-- Errors that come as a text only (an ack's title, 1MSG's plain sentences) were unclassified, so nothing was stopped, paused
-- or sent another way; and some patterns took a second for 8 KB of a stranger's text.
local codes = require "onemsg.codes"
local hooks = require "onemsg.hooks"
local template = require "onemsg.template"
local utf8 = require "onemsg.base.utf8"

describe("an error as a text", function()
  -- Meta's titles, as acks carry them; the code
  for text, code in pairs {
    ["User's number is part of an experiment"] = 130472, ["Message undeliverable"] = 131026,
    ["This message was not delivered to maintain healthy ecosystem engagement."] = 131049,
    ["Unable to deliver the message. This recipient has chosen to stop receiving marketing messages from your business"] =
      131050,
    ["Business Account locked"] = 131031, ["Business account has been locked."] = 131031,
    ["Temporarily blocked for policies violations"] = 368, ["Business eligibility payment issue"] = 131042,
    ["Spam rate limit hit"] = 131048, ["Rate limit hit"] = 130429, ["Rate limit issues"] = 80007,
    ["(Business Account, Consumer Account) pair rate limit hit"] = 131056, ["Template is Paused"] = 132015,
    ["Template does not Exist"] = 132001, ["Template action_success does not exist"] = 132001,
    ["Template name does not exist in the translation"] = 132001, ["Template Param Count Mismatch"] = 132000,
    ["Template Parameter Format Mismatch"] = 132012, ["Re-engagement message"] = 131047, ["Media upload error"] = 131053,
    ["Unsupported message type"] = 131051, ["There's an issue with the parameters in your template"] = 132018,
    ["Account in maintenance mode"] = 131057, ["Server Temporarily Unavailable"] = 133004, ["Generic user error"] = 135000,
    ["Recipient phone number not in allowed list"] = 131030, ["Incorrect certificate"] = 131045,
    ["Business account is restricted from messaging users in this country."] = 130497,
    ["Account register deregister rate limit exceeded"] = 133016, ["Access token has expired"] = 190,
    ["Dialog window is closed"] = 131047, ["Message is outside the allowed window"] = 131047,
    ["BSUID recipients are not supported for this message"] = 131062,
  } do
    it("of Meta: " .. text:sub(1, 60), function()
      assert.equal(code, (codes.find { error = text }))
      local found = assert(hooks.parse({ ack = { { id = "w", status = "failed", error = text } } }, 1))
      assert.equal(code, found.events[1].code)
      assert.equal(code, (codes.find { message = text:upper() }))
    end)
  end

  -- 1MSG's own, with sent = false and HTTP 200: class, action, whether a new send helps
  for text, said in pairs {
    ["Too many requests"] = { "rate", "pace", true }, ["Rate limit exceeded"] = { "rate", "pace", true },
    ["Invalid token"] = { "auth", "stop", false }, ["wrong token"] = { "auth", "stop", false },
    ["namespace is missing"] = { "request", "fix_request", false }, ["Dialog window is closed"] = { "request",
    "fix_request", false },
    ["Template welcome does not exist"] = { "template", "fix_template", false },
    ["Routing is disabled"] = { "request", "fix_request", false }, ["It is raining"] = { "unclassified", "fallback", false },
  } do
    it("of 1MSG: " .. text, function()
      local e = codes.explain(200, { sent = false, message = text })
      assert.same(said, { e.class, e.action, e.retry })
      assert.is_true(e.refusal)
    end)
    it("of 1MSG, behind a server error: " .. text, function()
      local e = codes.explain(503, { message = text })
      if e.refusal then assert.is_false(e.retry and e.fault == "platform") else assert.equal("settle", e.action) end
    end)
  end

  it("ordinary words behind a 5xx prove nothing", function()
    for _, text in ipairs { "too many requests", "rate limit", "the template service does not exist" } do
      assert.is_false(codes.explain(503, { message = text }).refusal)
    end
  end)
end)

describe("a text of a stranger", function()
  --- CPU seconds of one call, the least of several.
  local function seconds(call, text)
    local least = math.huge
    for _ = 1, 7 do
      local begun = os.clock()
      call(text)
      least = math.min(least, os.clock() - begun)
    end
    return least
  end

  local function hook(text) hooks.parse({ ack = { { id = text, status = text, error = text } }, messages = { { id = "a",
    body = text } } }, 1) end
  local function answer(text) codes.explain(400, { message = text }, nil) end
  local function listed(text) template.normalize { { name = text:sub(1, 600), language = "en", status = text:sub(1,
    600) } } end

  -- A text of 16 times the length costs about 16 times as much; where patterns go back and forth it is 256 times.
  for name, unit in pairs { eyj = "eyJ", token = "token=", ["token and a blank"] = "token ", quotes = "token:'",
    bearer = "bearer ",
    blanks = " ", points = ".", ["points and a letter"] = ". a", newlines = "\n", codes = "(#1", leading = "1",
      template = "template ",
    nbsp = "\194\160", letters = "x" } do
    it("costs what it is long: " .. name, function()
      for _, call in ipairs { hook, answer, listed, utf8.comparable, utf8.line, utf8.trim } do
        local function of(bytes) return "a" .. unit:rep(math.floor(bytes / #unit)) .. "a" end
        local short, long = seconds(call, of(512)), seconds(call, of(8192))
        assert.is_true(long < 80 * math.max(short, 2e-5), ("%g s for 512 bytes, %g s for 8192"):format(short, long))
      end
    end)
  end

  it("shows no token, however it stands there", function()
    for text, shown in pairs {
      ["eyJhbGciOi.eyJzdWIi.c2ln x"] = "*** x", ["at eyJ.x"] = "at eyJ.x", ["a.eyJab.c"] = "a.***",
      ["token=abc def"] = "token=*** def", ["token: s3cret."] = "token: ***", ["token is wrong"] = "token is wrong",
      ['"token":"abc"'] = '"token":"***"', ["Bearer abc.def"] = "Bearer ***", ["token=token=a1"] = "token=***",
    } do
      assert.equal(shown, codes.text { message = text })
    end
  end)
end)
