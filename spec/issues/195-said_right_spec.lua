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
