--- onemsg.workflow.only_to: a system that is tried out writes to these people alone, on every way. For onemsg.workflow.
local check = require "onemsg.base.check"
local phones = require "onemsg.base.phone"
local recipients = require "onemsg.workflow.recipients"
local utf8 = require "onemsg.base.utf8"

local M = {}

M.WHY = "not in only_to"

-- The list of ONE_MSG_ONLY_TO: commas between, as a phone may have blanks. nil: there is none.
local function written()
  local list = {}
  for one in (require "onemsg.core".getenv "ONE_MSG_ONLY_TO" or ""):gmatch "[^,\n]+" do
    one = utf8.trim(one)
    if one ~= "" then list[#list + 1] = one end
  end
  return #list > 0 and list or nil
end

--- Whom a workflow may write to: the option, else ONE_MSG_ONLY_TO.
-- @tparam table flow countries, names
-- @tparam ?table option phones, bsuids, "@username"s, chat ids; none of them: nobody
-- @treturn ?table key = true; nil without an error: everybody
-- @treturn string with nil: "config: …"
function M.read(flow, option)
  local what = option and "only_to" or "ONE_MSG_ONLY_TO"
  local list = option or written()
  if not list then return nil end
  local people = {}
  for _, one in pairs(list) do
    if type(one) ~= "string" and type(one) ~= "number" then check.misuse("workflow.open: only_to is a list of phones") end
    local address, why = recipients.find(flow, one)
    if not address then return nil, ("config: %s: phone %s"):format(what, why) end
    people[phones.key(address)] = true
  end
  return people
end

--- May this address, of the person with this key in the store, be written to?
function M.allows(flow, address, person)
  local people = flow.only_to
  return not people or people[phones.key(address)] or people[person] or false
end

return M
