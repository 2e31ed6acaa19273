--- onemsg.policy.roles: who may do what by hand on the operator's page, and the file in which operators stand. Pure.
-- A line of the file: NAME ROLE SHA256, the SHA-256 of the token in hex; `#` begins a comment.
local suggest = require "onemsg.base.suggest"

local M = {}

--- view: looks, phones masked; operate: settles, replays, cancels, pauses, resumes, suppresses as well; admin: whole phones,
-- export.
M.ROLES = { view = 1, operate = 2, admin = 3 }

local NEEDS = { look = 1, change = 2, whole = 3, export = 3 }

--- May somebody do that?
-- @tparam ?string role nil: nobody who signed in
-- @tparam string what look, change, whole (see phones), export
function M.may(role, what) return role ~= nil and M.ROLES[role] >= NEEDS[what] end

--- What is wrong with a name or a role, as a sentence; nil: nothing.
function M.fault(name, role)
  if type(name) ~= "string" or not name:find "^[%w._@-]+$" or #name > 60 then
    return ("a name has letters, digits and . _ @ - only, not '%s'"):format(tostring(name):sub(1, 40))
  end
  if not M.ROLES[role or ""] then
    return ("%s may view, operate or admin, not '%s'%s"):format(name, tostring(role), suggest.phrase(tostring(role), M.ROLES))
  end
end

--- The operators of a file's text.
-- @treturn ?table { { name, may, sha256 }, … }
-- @treturn string with nil: what is wrong, with its line
function M.parse(text)
  local list, seen, number = {}, {}, 0
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    number = number + 1
    line = line:gsub("#.*", "")
    if line:find "%S" then
      local name, role, digest, more = line:match "^%s*(%S+)%s+(%S+)%s+(%x+)%s*(%S*)"
      local wrong = not name and "it is not NAME ROLE SHA256" or more ~= "" and "there is more than NAME ROLE SHA256"
        or M.fault(name, role) or #digest ~= 64 and "the third word is no SHA-256: 64 digits of hex"
        or seen[name] and name .. " stands there twice"
      if wrong then return nil, ("line %d: %s"):format(number, wrong) end
      seen[name] = true
      list[#list + 1] = { name = name, may = role, sha256 = digest:lower() }
    end
  end
  return list
end

--- The text without an operator, and how many lines that took.
function M.without(text, name)
  local kept, taken = {}, 0
  for line in text:gmatch "[^\n]+" do
    if line:match "^%s*(%S+)" == name then taken = taken + 1 else kept[#kept + 1] = line end
  end
  return #kept > 0 and table.concat(kept, "\n") .. "\n" or "", taken
end

--- A line for the file.
function M.line(name, role, sha256) return ("%s %s %s\n"):format(name, role, sha256) end

return M
