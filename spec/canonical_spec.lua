local canonical = require "onemsg.base.canonical"
local null = require "cjson".null
local plan = require "onemsg.workflow.plan"

describe("canonical", function()
  it("is one text for one content", function()
    local text = '{"a":[1,2.5,{},"x"],"b":{"c":true,"d":null},"n":1000000000000000,"z":""}'
    assert.equal(text, canonical.text { z = "", n = 1e15, b = { d = null, c = true }, a = { 1.0, 2.5, {}, "x" } })
    assert.equal(text, canonical.text(require "cjson".decode(text)))
  end)

  it("escapes what JSON must not have, and nothing else", function()
    assert.equal([["\\ \" \n\r\t \u0000\u001f\u007f / é 😀"]], canonical.text "\\ \" \n\r\t \0\31\127 / é 😀")
  end)

  it("writes numbers in one spelling", function()
    for value, text in pairs { [0] = "0", [-5] = "-5", [0.1] = "0.1", [0.1 + 0.2] = "0.30000000000000004",
                               [2 ^ 53] = "9007199254740992", [1e300] = "1e+300" } do
      assert.equal(text, canonical.text(value))
    end
    assert.equal("0", canonical.text(-0.0))
  end)

  it("says what JSON can't say, and where", function()
    for path, value in pairs {
      ["event.a[2] is a function"] = { a = { 1, print } }, ["event.b.c is not a finite number"] = { b = { c = 0 / 0 } },
      ["event is neither a list nor a table of names"] = { 1, 2, nil, 4 },
      ["event has a key that is neither a name nor a position"] = { [true] = 1 },
      ["a name in event is not valid UTF-8"] = { ["\255"] = 1 }, ["event.s is not valid UTF-8"] = { s = "a\192\128" },
    } do
      local text, err = canonical.text(value)
      assert.is_nil(text)
      assert.is_truthy(err:find(path, 1, true), err)
    end
  end)

  it("is what a plan keeps of an event, with id and type", function()
    local read = assert(plan.read { id = 17, type = "paid" })
    assert.same({ "17", "paid", '{"id":17,"type":"paid"}' }, { read.id, read.type, read.text })
  end)
end)
