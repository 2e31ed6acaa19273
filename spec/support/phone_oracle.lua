--- Compares what leaves with what libphonenumber reads: cases of spec/support/phone_cases.js, which says how to run all.
-- As a script it reads them from standard input, and ends with 1 where other digits would leave than libphonenumber's.
local onemsg = require "onemsg"

local M = {}

-- @tparam function lines an iterator of the cases
-- @treturn table by form: { equal =, refused = }; and `total`
-- @treturn table cases with other digits, as sentences
function M.compare(lines)
  local channel = assert(onemsg.new { token = "a-token-that-is-never-used", channel = "FAKE1", namespace = "n",
    base_url = "http://127.0.0.1:9", template = "t", language = "en" })
  local counts, others = { total = { equal = 0, refused = 0 } }, {}
  local function count(form, what)
    counts[form] = counts[form] or { equal = 0, refused = 0 }
    for _, of in ipairs { counts[form], counts.total } do of[what] = of[what] + 1 end
  end
  for line in lines do
    local form, country, text, digits = line:match "^([^#\t]+)\t([^\t]+)\t([^\t]+)\t(%d+)$"
    if form then
      local checked = channel:check { phone = text, country = country ~= "-" and country or nil,
        name = "a", action = "b", next_step = "c" }
      if not checked then
        count(form, "refused")
      elseif checked.phone == digits then
        count(form, "equal")
      else
        others[#others + 1] = ("%s, country %s: %s leaves to %s, not to %s"):format(form, country, text, checked.phone,
          digits)
      end
    end
  end
  channel:close()
  return counts, others
end

if arg and arg[0] and arg[0]:find "phone_oracle%.lua$" then
  local counts, others = M.compare(io.lines())
  local forms = {}
  for form in pairs(counts) do forms[#forms + 1] = form end
  table.sort(forms)
  for _, form in ipairs(forms) do
    print(("%-50s equal %6d   refused %5d"):format(form, counts[form].equal, counts[form].refused))
  end
  for _, other in ipairs(others) do print("OTHER DIGITS: " .. other) end
  print(("other digits: %d"):format(#others))
  if counts.total.equal == 0 then print "phone_oracle.lua: there were no cases; phone_cases.js makes them" end
  os.exit(#others == 0 and counts.total.equal > 0 and 0 or 1)
end

return M
