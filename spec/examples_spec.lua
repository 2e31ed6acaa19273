-- Every example runs as its first lines say, against the fake.
local channels = require "support.channels"
local server = require "support.server"

local EXAMPLES_MAX_LINES = 60
local LUA = rawget(_G, "jit") and "luajit" or "lua5.4"

describe("examples", function()
  local fake

  setup(function() fake = server.fake { set = { pace_ms = 50 } } end)
  teardown(function() fake:stop() end)

  -- Output and exit code of an example; ONE_MSG_* point at the fake.
  local function run(name, ...)
    local words = {}
    for variable, value in pairs(fake.env) do
      if variable:find "^ONE_MSG_" then words[#words + 1] = variable .. "='" .. value .. "'" end
    end
    words[#words + 1] = LUA .. " examples/" .. name .. ".lua"
    for _, argument in ipairs { ... } do words[#words + 1] = "'" .. argument .. "'" end
    local pipe = assert(io.popen(table.concat(words, " ") .. " 2>&1; echo $?"))
    local text = pipe:read "*a"
    pipe:close()
    assert.is_nil(text:find(fake.env.ONE_MSG_TOKEN, 1, true))
    local output, code = text:match "^(.-)(%d+)\n$"
    return output, tonumber(code)
  end

  local function csv(lines)
    local name = os.tmpname()
    local file = assert(io.open(name, "wb"))
    file:write(lines)
    file:close()
    return name
  end

  it("send", function()
    local phone = channels.phone(69)
    local output, code = run("send", "+" .. phone, "Maria", "subscription payment", "Access activated\nin your account.")
    assert.are.equal(0, code)
    assert.is_truthy(output:find "^accepted\twamid%.%S+\n  next_step was cleaned: ", output)
    assert.are.equal(1, fake:count(phone))
    output, code = run("send", channels.phone(48), "Maria", "x", "y")
    assert.are.equal(2, code)
    assert.is_truthy(output:find "^rejected: 422 ", output)
    output, code = run("send", channels.phone(51), "Maria", "x", "y")
    assert.are.equal(2, code)
    assert.is_truthy(output:find "^unknown: 500 .*Look before you send it again", output)
    output, code = run("send", "nobody", "Maria", "x", "y")
    assert.are.equal(2, code)
    assert.is_truthy(output:find "^invalid: phone has a letter", output)
    output, code = run "send"
    assert.are.equal(1, code)
    assert.is_truthy(output:find "^usage: ")
  end)

  it("follow", function()
    local output, code = run("follow", channels.phone(69), "Maria", "subscription payment", "Thank you.")
    assert.are.equal(0, code)
    assert.is_truthy(output:find "^accepted\twamid%.%S+\n.*d", output)
    assert.is_truthy(output:find "delivered" or output:find "read", output)
    output, code = run("follow", channels.phone(22), "Maria", "x", "y")
    assert.are.equal(2, code)
    assert.is_truthy(output:find "failed\t.*undeliverable", output)
    output, code = run("follow", channels.phone(44), "Maria", "x", "y")
    assert.are.equal(0, code)
    assert.is_truthy(output:find "^queued, without an id", output)
  end)

  it("batch: a thousand rows, quotes, problems by row", function()
    local lines, expected = { "phone,name,action,next_step" }, { accepted = 0, rejected = 0, unknown = 0, invalid = 0 }
    for i = 1, 1000 do
      local ending = i % 100 == 50 and 48 or i % 250 == 30 and 79 or i % 20
      local phone = channels.phone(ending)
      if i % 333 == 0 then phone = "nobody" end
      local outcome = phone == "nobody" and "invalid" or ending == 48 and "rejected" or ending == 79 and "unknown" or "accepted"
      expected[outcome] = expected[outcome] + 1
      lines[#lines + 1] = ('"+%s","Maria ""M."", Lda",order %d,Thank you.'):format(phone, i)
    end
    local name = csv(table.concat(lines, "\r\n") .. "\r\n")
    local output, code = run("batch", name)
    os.remove(name)
    assert.are.equal(2, code)
    assert.is_truthy(output:find("\r1000 done", 1, true), output)
    for outcome, count in pairs(expected) do
      assert.are.equal(count, tonumber(output:match("\r?" .. outcome .. " +(%d+)\n")), outcome)
    end
    local last = 0
    for row in output:gmatch "\nrow (%d+): " do
      assert.is_true(tonumber(row) > last)
      last = tonumber(row)
    end
    assert.is_truthy(output:find("row 334: invalid: phone", 1, true), output)
    local seen, bodies = 0, 0
    for _, entry in ipairs(fake:journal { method = "sendTemplate" }) do
      if entry.body:find('Maria \\"M.\\", Lda', 1, true) then
        seen = seen + 1
        if entry.body:find("order 7\"", 1, true) then bodies = bodies + 1 end
      end
    end
    assert.are.equal(1000 - expected.invalid, seen)
    assert.are.equal(1, bodies)
  end)

  it("batch: refuses what is no CSV, in words", function()
    local head = "phone,name,action,next_step\n"
    for text, expected in pairs {
      [""] = "empty", [head .. '1,"a,b,c\n'] = "row 2: a quote is never closed", [head .. '1,"a"b,c,d\n'] = "row 2: text behind",
      [head .. "1,2,3,4,5\n"] = "a column more", ["fone,name,action,next_step\n1,2,3,4\n"] = "did you mean 'phone'",
    } do
      local name = csv(text)
      local output, code = run("batch", name)
      os.remove(name)
      assert.are.equal(1, code)
      assert.is_truthy(output:find(expected, 1, true), output)
    end
    local phone = channels.phone(3)
    local name = csv("\239\187\191name,phone,action,next_step\nMaria," .. phone .. ',"a ""b""",c')
    local output, code = run("batch", name)
    os.remove(name)
    assert.are.equal(0, code)
    assert.is_truthy(output:find "accepted +1\n", output)
    assert.are.equal(1, fake:count(phone))
  end)

  it("luv", function()
    local output, code = run("luv", channels.phone(81), channels.phone(0), channels.phone(40), "nobody")
    assert.are.equal(0, code)
    assert.is_truthy(output:find "^nobody\tinvalid: ", output)
    assert.is_truthy(output:find "00\taccepted\n", output)
    assert.is_truthy(output:find "40\trejected: ", output)
    assert.is_truthy(output:find "81\taccepted\n", output)
    assert.is_true(tonumber(output:match "turned (%d+) times") > 20)
    output, code = run "luv"
    assert.are.equal(0, code)
    assert.is_truthy(output:find "^the loop turned", output)
  end)

  it("are short, and say how to start them", function()
    for _, name in ipairs { "send", "follow", "batch", "luv", "demo" } do
      local lines, text = 0, ""
      for line in io.lines("examples/" .. name .. ".lua") do lines, text = lines + 1, text .. line .. "\n" end
      assert.is_true(lines <= EXAMPLES_MAX_LINES, name .. " " .. lines)
      assert.is_truthy(text:find("examples/" .. name .. ".lua", 1, true) or name == "demo")
    end
  end)
end)
