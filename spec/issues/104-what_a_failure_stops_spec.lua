-- Kind: what a failure means for others is decided in one place, for every code alike: a fault of the channel stops or pauses
-- the channel, a fault of the template sets that aside, a fault of the recipient leaves them alone, and a fault of the message
-- touches nobody else. No code does what belongs to another scope.
local codes = require "onemsg.codes"
local measures = require "onemsg.policy.measures"
local pace = require "onemsg.pace"
local rows = require "onemsg.codes.table"

local NOW = 1000

-- scope, action, retry → what it leads to beside what follows from entry.suppress
local expected = {
  ["channel stop false"] = "trip", ["channel pause false"] = "trip",
  ["channel pause true"] = "pause_until", ["channel pace true"] = "pause_until",
  ["template fix_template false"] = "park", ["template defer true"] = "park",
  ["recipient pace true"] = "", ["recipient suppress false"] = "", ["recipient fallback false"] = "",
  ["country fallback false"] = "",
  ["message fix_request false"] = "", ["message fallback false"] = "", ["message backoff true"] = "",
}

local function names_of(told)
  local names = {}
  for name in pairs(told) do names[#names + 1] = name end
  table.sort(names)
  return table.concat(names, " ")
end

describe("a failure with code", function()
  for code in pairs(rows.by_code) do
    it(code .. " stops, pauses, parks or suppresses what its scope says", function()
      local entry = codes.lookup(code)
      local kind = ("%s %s %s"):format(entry.scope, entry.action, tostring(entry.retry))
      assert.truthy(expected[kind], "a new kind, of which nobody said what it does: " .. kind)
      local told = measures.of(entry, "x", NOW, { code = code })
      local scope = expected[kind]
      assert.equal(entry.suppress and scope ~= "trip" and (scope .. " suppress"):gsub("^ ", "") or scope, names_of(told))
      if entry.suppress then
        assert.truthy(entry.scope == "recipient" or entry.scope == "country", "only who it is about is left alone")
        assert.same({ for_s = entry.suppress, reason = "x", code = code }, told.suppress)
      end
    end)
  end
end)

describe("a failure that measures something", function()
  local entries = { stop = { scope = "channel", action = "stop", wait = 7 }, pace = { scope = "channel", retry = true, wait = 7 },
    park = { scope = "template", wait = 7 }, forever = { scope = "template" }, unknown = {} }
  local cases = { -- entry, more, what, value
    { "stop", nil, "trip", { reason = "x", wait = 7, told = "answer" } },
    { "stop", { told = "hook" }, "trip", { reason = "x", wait = 7, told = "hook" } },
    { "pace", nil, "pause_until", NOW + 7 },
    { "pace", { retry_after = 3 }, "pause_until", NOW + 3 },
    { "pace", { retry_after = 1e9 }, "pause_until", NOW + pace.RETRY_AFTER_MOST },
    { "park", nil, "park", { until_at = NOW + 7, reason = "the template is set aside: x" } },
    { "forever", nil, "park", { until_at = NOW + pace.PARK, reason = "the template is set aside: x" } },
    { "unknown", nil, "trip", nil },
  }
  for _, case in ipairs(cases) do
    it(("%s leads to %s for so long"):format(case[1], case[3]), function()
      assert.same(case[4], measures.of(entries[case[1]], "x", NOW, case[2])[case[3]])
    end)
  end
end)
