-- What is added in one place and forgotten in another was half there, in silence: a command in a file that nobody can call, a
-- word or field that no page names, a code that PLATFORM.md does not know.
local cli = require "onemsg.cli"
local codes = require "onemsg.codes.table"
local files = require "support.files"

local function lines(command)
  local pipe, list = assert(io.popen(command)), {}
  for line in pipe:lines() do list[#list + 1] = line end
  pipe:close()
  return list
end

describe("what stands in a list", function()
  local pages = {}
  for _, name in ipairs { "cli.md", "rules.md", "PLATFORM.md" } do pages[name] = files.content("lua/onemsg/" .. name) end

  it("of commands has its file, and its row in cli.md; and each file is in the list", function()
    local listed = {}
    for _, name in ipairs(cli.COMMANDS) do
      listed[name] = true
      assert.truthy(cli.command(name), name)
      if name ~= "help" then assert.truthy(pages["cli.md"]:find("`" .. name, 1, true), "cli.md has no row of " .. name) end
    end
    for _, path in ipairs(lines "ls lua/onemsg/cmd") do
      assert.is_true(listed[path:match "^(.*)%.lua$"], path .. " can't be called: COMMANDS in cli.lua")
    end
  end)

  it("of error codes is in PLATFORM.md", function()
    local count = 0
    local known = {}
    for row in pages["PLATFORM.md"]:gmatch "\n| ([^|]*) |" do
      for code in row:gmatch "%d+" do known[tonumber(code)] = true end
    end
    for code in pairs(codes.by_code) do
      count = count + 1
      assert.truthy(known[code], "PLATFORM.md has no row of " .. code)
    end
    assert.is_true(count > 50, count)
  end)

  it("of fields and words of the rules is in rules.md", function()
    local source = files.content "lua/onemsg/rules/check.lua"
    local fields = source:match "\nlocal FIELDS = (%b{})"
    for field in fields:gmatch "([%a_]+) = %a+" do
      assert.truthy(pages["rules.md"]:find("`" .. field, 1, true), "rules.md does not say what `" .. field .. "` is")
    end
    for _, place in ipairs { "match", "phrase" } do
      for word in files.content("lua/onemsg/rules/" .. place .. ".lua"):gmatch "\nfunction words%.([%a_]+)" do
        assert.truthy(pages["rules.md"]:find("`" .. word, 1, true), "rules.md does not say what `" .. word .. "` does")
      end
    end
  end)
end)
