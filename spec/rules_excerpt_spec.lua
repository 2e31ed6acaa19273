-- The text of one rule out of a script, as the page shows it.
local excerpt = require "onemsg.rules.excerpt"

local SOURCE = [[
-- rules of the shop
template "action_success" { language = "en", body = { "name" } }
defaults { name = "there" }

-- who pays
confirm "Paid" {
  on = "paid", -- and nothing else

  name = "{name}",
}

-- staff
never 'Staff' { when = { staff = true } }
confirm("Other") { on = "other" }
example "Paid" { event = { }, expect = { } }
confirm "Last" {
  on = "last" }
]]

describe("the excerpt of a rule", function()
  for name, text in pairs {
    Paid = 'confirm "Paid" {\n  on = "paid", -- and nothing else\n\n  name = "{name}",\n}',
    Staff = "never 'Staff' { when = { staff = true } }", Other = 'confirm("Other") { on = "other" }',
    Last = 'confirm "Last" {\n  on = "last" }',
  } do
    it("of " .. name .. " ends where the next begins", function() assert.equal(text, excerpt.of(SOURCE, name)) end)
  end
  it("is nil where there is none", function()
    for _, name in ipairs { "Nobody", "", "action_success", "Paid2" } do assert.is_nil(excerpt.of(SOURCE, name)) end
    assert.is_nil(excerpt.of("", "Paid"))
    assert.is_nil(excerpt.of("\0\255", "Paid"))
  end)
  it("of a very long rule is cut", function()
    local text = excerpt.of('confirm "A" {\n' .. ("x = 1,\n"):rep(1000) .. "}", "A")
    assert.is_true(#text < 2000, #text)
  end)
end)
