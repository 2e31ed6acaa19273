--- The word once_per: what makes a key, and whose key it is. For onemsg.rules.check.
local match = require "onemsg.rules.match"
local text = require "onemsg.rules.text"
local utf8 = require "onemsg.base.utf8"

local M = {}

local FIELDS = { key = true, across = true }
local SAMPLE = 'once_per = { key = "{order.id}", across = "orders" }'
local MAX_ACROSS = 100 -- bytes

--- A key belongs to all rules that say the same `across`, or else to the rules with this very text: people correct names
-- of rules, so a name is none of it.
-- @tparam table case the declaration under judgement
-- @param value of once_per
-- @treturn table slot (what fills it), across, said (the text; "" for a function)
-- @raise a complaint
function M.read(case, value)
  local across
  if type(value) == "table" and not match.is_condition(value) then
    case:known(value, FIELDS, "once_per: ")
    if value.key == nil then case:fail("once_per", "once_per needs key, as in " .. SAMPLE) end
    if value.across == nil then
      case:fail("once_per", "once_per needs across, a name that several rules share, as in " .. SAMPLE)
    end
    across = case:want("across", value.across, "string", '"orders"')
    if not across:find("%S") or #across > MAX_ACROSS or not utf8.valid(across) then
      case:fail("across", ('across is %s: write a short name that several rules share, such as "orders"'):format(
        text.plain(across)))
    end
    value = value.key
  end
  local slot = case:slot("once_per", value)
  if type(slot) == "string" then
    case:fail("once_per", ('once_per is %s for every event, so that only one would ever be confirmed: '
      .. 'write a field in braces, as in "{payment.id}"'):format(text.plain(slot)))
  end
  return { slot = slot, across = across, said = type(value) == "function" and "" or value }
end

return M
