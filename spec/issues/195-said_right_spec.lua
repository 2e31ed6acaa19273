-- What went wrong was told as something else: a store that may not be read as one that is not there.
-- Kind: an error names its own cause.
local calls = require "onemsg.cli.call"
local doctor = require "onemsg.cli.doctor"

describe("a store that can't be read", function()
  local open = io.open
  after_each(function() io.open = open end) -- luacheck: ignore 122

  local function with(why, number)
    io.open = function(path) return nil, path .. ": " .. why, number end -- luacheck: ignore 122
    return calls.new { store = "sqlite:/srv/c.db?x=1" }
  end

  for name, case in pairs {
    ["is missing"] = { "No such file", 2, "^config: there is no store at /srv/c.db; `onemsg submit` makes it$" },
    ["is not this user's"] = { "Permission denied", 13, "^config: no permission to read /srv/c.db: run it as its owner %(sudo" },
    ["has a file where its folder would be"] = { "Not a directory", 20, "^config: the store can't be read: /srv/c.db: Not a" },
  } do
    it("because it " .. name .. " is told so", function()
      local flow, err = with(case[1], case[2]):desk()
      assert.is_nil(flow)
      assert.matches(case[3], err)
    end)
  end

  it("is told so by doctor, which makes none", function()
    local call = with("Permission denied", 13)
    call.doctor = {}
    local found
    for _, check in ipairs(doctor.checks) do
      local good, findings = pcall(check, call)
      for _, one in ipairs(good and findings or {}) do
        if one.check == "store" then found = one end
      end
    end
    assert.equal("fix", found.state)
    assert.matches("no permission to read /srv/c.db", found.text)
    assert.equal(calls.CONFIG, found.code)
  end)
end)

describe("events that are not JSON", function()
  local input = require "onemsg.cli.input"
  local SEVERAL = "everal events stand one on a line, or in a list %[ … %]$"

  local function read(text, size)
    local from, events, errors = 1, {}, {}
    local function piece()
      if from > #text then return nil end
      from = from + size
      return text:sub(from - size, from - 1)
    end
    for item in input.each(piece) do
      if item.error then errors[#errors + 1] = item.line .. ": " .. item.error else events[#events + 1] = item.event.id end
    end
    return table.concat(events, " "), errors
  end

  local PRETTY = '{\n  "id": "a",\n  "to": {\n    "n": 1\n  }\n}\n'
  for name, case in pairs {
    ["an error in a text on several lines"] = { '{\n  "id": "a",\n  "to": {\n    "n": 1,,\n  }\n}\n', "",
      "^4: invalid: line 4 is not JSON: .*; it belongs to what begins in line 1%. S" .. SEVERAL },
    ["a list with an error"] = { '[\n  {"id": "a"},\n  {"id" "b"},\n  {"id": "c"}\n]\n', "",
      "^3: invalid: line 3 is not JSON: .*; it belongs to what begins in line 1%. S" .. SEVERAL },
    ["two texts, one after the other"] = { "\n" .. PRETTY .. "\n" .. PRETTY, "",
      "^7: invalid: the JSON that begins in line 2 ends in line 7, and more follows: s" .. SEVERAL },
    ["a text that breaks off"] = { '{\n  "id": "a",\n', "", "^2: invalid: line 2 is not JSON: .*S" .. SEVERAL },
    ["lines, of which the first is a bad one"] = { '{"id":x}\n{"id":"b"}\n{"id":"c"}\n', "b c", "^1: invalid: line 1 is not" },
    ["lines, of which the first breaks off"] = { '{"id":\n{"id":"b"}\n{"id":"c"}\n', "b c", "^1: invalid: line 1 is not" },
    ["a text on several lines that is well"] = { PRETTY, "a" },
  } do
    it("are told once: " .. name, function()
      for _, size in ipairs { 1, 7, 10000 } do
        local events, errors = read(case[1], size)
        assert.equal(case[2], events)
        assert.equal(case[3] and 1 or 0, #errors, table.concat(errors, "\n"))
        if case[3] then assert.matches(case[3], errors[1]) end
      end
    end)
  end
end)

describe("events that the store does not take", function()
  local submit = require "onemsg.cmd.submit"
  local workflow = require "onemsg.workflow"
  local input = require "onemsg.cli.input"
  local open, batches, opener = workflow.open, input.batches, input.open
  after_each(function() workflow.open, input.batches, input.open = open, batches, opener end)

  it("are told by the first and their number", function()
    local call = calls.new {}
    local notes, flow = {}, { close = function() end }
    function call.flow() return flow end
    function call.out.note(_, text, ...) notes[#notes + 1] = text:format(...) end
    function flow.submit()
      return { wait = function() return nil, "store: the disk is full", { retry = true } end }
    end
    local items = {}
    for n = 1, 300 do items[n] = { line = n, event = { id = "e" .. n } } end
    function input.open() return function() end end
    function input.batches()
      local list = items
      return function() local now = list list = nil return now end
    end
    local good, why, code = submit.run(call)
    assert.is_nil(good)
    assert.same({ "onemsg: line 1 (e1): store: the disk is full", "onemsg: so it was with 255 more" }, notes)
    assert.matches("^stopped; when that is fixed", why)
    assert.equal(calls.SERVER, code)
  end)
end)

describe("what to do is said", function()
  for name, case in pairs {
    ["where nobody knows whether a message left"] = { "timeout after 20 s", { outcome = "unknown" }, "Perhaps it left.",
      6, "\n  Perhaps it left%.$" },
    ["where nobody knows whether something was done"] = { "no answer", { outcome = "unknown", hint = "Look at 1." }, true,
      6, "\n  Look at 1%. Perhaps it was done all the same: look before you do it again%.$" },
    ["where 1MSG says how long to wait"] = { "rejected: 429",
      { status = 429, retry_after = 17, hint = "Send more slowly." }, true, 2,
      "\n  Send more slowly%. Not before 17 s are over: 1MSG asks for it %(Retry%-After%)%.$" },
    ["where it does not"] = { "rejected: 429", { status = 429, retry_after = 0, hint = "Send more slowly." }, true,
      2, "\n  Send more slowly%.$" },
  } do
    it(name, function()
      local good, text, code = calls.new({}):fail(case[1], case[2], case[3])
      assert.is_nil(good)
      assert.equal(case[4], code)
      assert.matches(case[5], text)
    end)
  end

  it("by rules.md with the limits that hold", function()
    local cost = require "onemsg.rules.cost"
    local file = assert(io.open "lua/onemsg/rules.md")
    local text = file:read("*a"):gsub("%s+", " ")
    file:close()
    for sentence, limit in pairs { ["a function has ([%d,]+) steps and (%d+) MiB"] = cost.FUNCTION,
      ["meets together ([%d,]+) steps and (%d+) MiB"] = cost.EVENT,
      ["with its examples, ([%d,]+) steps and (%d+) MiB"] = cost.EXAMPLES } do
      local steps, mib = text:match(sentence)
      assert.same({ limit.steps, limit.bytes }, { tonumber((steps:gsub(",", ""))), tonumber(mib) * 1048576 })
    end
  end)

  it("by examples/openresty/run, which starts nothing for a word that it does not know", function()
    local pipe = io.popen "DIR=/nowhere/at/all examples/openresty/run sevrice 2>&1; echo $?"
    local said = pipe:read "*a"
    pipe:close()
    assert.equal("There is no 'sevrice' here: it is `run`, `run service` or `run stop`.\n1\n", said)
  end)
end)
