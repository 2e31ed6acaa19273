-- What a fallback answered was cut at 300 bytes, in the middle of a letter, and so were names and reasons elsewhere: texts
-- that are no UTF-8, which JSON and PostgreSQL refuse. Whatever is cut is cut between letters.
local onemsg = require "onemsg"
local core = require "onemsg.core"
local phones = require "onemsg.base.phone"
local plain = require "onemsg.base.utf8"
local rules = require "onemsg.rules"
local simulation = require "support.simulation"
local template = require "onemsg.template"
local webhook = require "onemsg.webhook"

local LETTERS = { "a", "é", "€", "😀", "aé", "a€😀" }

describe("a cut", function()
  it("falls between letters, at every length", function()
    for _, letter in ipairs(LETTERS) do
      local text = letter:rep(40)
      for bytes = 3, #text + 1 do
        local cut = plain.cut(text, bytes)
        assert.is_true(plain.valid(cut))
        assert.is_true(#cut <= bytes)
        if bytes >= #text then
          assert.equal(text, cut)
        else
          local kept = assert(cut:match "^(.*)…$")
          assert.equal(kept, text:sub(1, #kept))
          assert.is_true(#kept + 3 > bytes - 4, "a whole letter less than would fit")
        end
      end
    end
  end)

  it("keeps bytes that were out of place where they are", function()
    assert.equal("\255\255…", plain.cut("\255\255\255\255\255\255", 5))
    assert.equal("a\128\128\128\128…", plain.cut("a\128\128\128\128\128\128\128\128", 8))
  end)

  it("counts code points", function()
    for _, letter in ipairs(LETTERS) do
      assert.equal(plain.length(letter) * 7, plain.length(letter:rep(7)))
    end
    assert.equal(3, plain.length "a€😀")
  end)

  local WHERE = {
    { "what a fallback answers", function(text)
      local sim = simulation.new { rules = simulation.RULES, fallback = { sms = function() return nil, text end } }
      sim.answer = function() return nil, "rejected: 131026", { outcome = "rejected", code = 131026, status = 400 } end
      assert(sim.flow:submit { id = "a", type = "else", phone = "12020721300" })
      sim:advance(3600)
      local said = {}
      for n, line in ipairs(sim.flow:show("a").history) do said[n] = line.reason end
      local reason = table.concat(said, "\n")
      assert.is_truthy(reason:find("sms: failed", 1, true))
      sim:close()
      return reason
    end },
    { "the reason of a skipped event", function(text)
      local source = { 'template "t" { body = { "name" } }' }
      for n = 1, 30 do
        source[#source + 1] = ('confirm "%s %d" { on = "x", when = { a = "b" }, phone = "{p}", name = "n", template = "t" }')
          :format(plain.cut(text, 40), n)
      end
      return assert(rules.load(table.concat(source, "\n"))):decide({ id = "1", type = "x", a = text })[1].reason
    end },
    { "a value in a mistake of the rules", function(text)
      return (select(2, rules.load(('confirm "x" { on = "x", give_up_after = %q }'):format(text))))
    end },
    { "a raised text in a rule", function(text)
      return (select(2, rules.load(('error(%q)'):format(text))))
    end },
    { "the sample of a hook that was not understood", function(text)
      local sim = simulation.new {}
      sim.flow:hooks('{"event":"strange","what":"' .. text:rep(20) .. '"}')
      local rows = assert(sim.flow.box.db:read { { "SELECT sample FROM oddity" } })[1]
      sim:close()
      return assert(rows[1]).sample
    end },
    { "an option's name", function(text)
      return (select(2, pcall(rules.load, "", { [text] = 1 })))
    end },
    { "a URL that is shown", function(text) return webhook.mask("https://shop.example/?" .. text .. "=1") end },
    { "a language", function(text) return (select(2, template.language(text))) end },
    { "an option's name, in C", function(text)
      return (select(2, pcall(onemsg.new, { [text] = 1 })))
    end },
    { "a sentence of C", function(text) return (select(2, pcall(core.raise, text:rep(10)))) end },
    { "a phone", function(text) return phones.mask(text) end },
  }
  for _, where in ipairs(WHERE) do
    it("falls between letters: " .. where[1], function()
      for _, letter in ipairs(LETTERS) do
        for pad = 0, 3 do
          local said = where[2](("x"):rep(pad) .. letter:rep(400))
          assert.is_string(said)
          assert.is_true(plain.valid(said), ("%q"):format(said))
        end
      end
    end)
  end
end)
