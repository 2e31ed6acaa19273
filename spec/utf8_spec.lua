-- onemsg.base.utf8: texts of strangers.
local utf8 = require "onemsg.base.utf8"

local GOOD = { "", "abc", "é", "€", "😀", "\224\160\128", "\237\159\191", "\238\128\128", "\240\144\128\128",
               "\244\143\191\191", "\0" }
local BAD = { "\128", "\191", "\192\128", "\193\191", "\194", "\194a", "\224\159\191", "\226\130", "\237\160\128",
              "\237\191\191", "\240\143\191\191", "\240\159\152", "\244\144\128\128", "\245\128\128\128", "\254",
                "\255",
              "\226\130\194" }

describe("utf8", function()
  it("tells valid UTF-8 from what is not", function()
    for _, s in ipairs(GOOD) do assert.is_true(utf8.valid("a" .. s .. "b")) end
    for _, s in ipairs(BAD) do
      assert.is_false(utf8.valid(s))
      assert.is_false(utf8.valid("é" .. s .. "€"))
    end
  end)

  it("repairs: the good stays, the bad becomes valid, of the same or less length in code points", function()
    for _, s in ipairs(GOOD) do assert.equal("é" .. s .. "€", utf8.repair("é" .. s .. "€", 99)) end
    for _, s in ipairs(BAD) do
      local repaired = utf8.repair("é" .. s .. "€", 99)
      assert.is_true(utf8.valid(repaired))
      assert.truthy(repaired:find("^é%?.*€$"))
    end
    for a = 0, 255 do -- every pair of bytes
      for b = 0, 255 do
        local s = string.char(a, b)
        local repaired = utf8.repair(s, 2)
        assert(utf8.valid(repaired))
        assert((repaired == s) == utf8.valid(s))
      end
    end
  end)

  it("cuts between characters", function()
    assert.equal("éé…", utf8.repair("éééé", 3))
    assert.equal("ééé", utf8.repair("ééé", 3))
    assert.equal("ab…", utf8.repair("abcd", 3))
    assert.equal("abc", utf8.repair("abc", 3))
  end)

  it("makes one line", function()
    assert.equal("a b c", utf8.line(" a\r\n\t b\226\128\168c\194\133 "))
    assert.equal("", utf8.line(" \0\n"))
    assert.equal("é€", utf8.line("é€"))
  end)
end)
