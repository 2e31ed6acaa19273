--- Writes lua/onemsg/base/zone_links.lua, the old names of time zones, out of tzdata.zi (Debian: /usr/share/zoneinfo):
--   lua5.4 spec/support/zone_table.lua /usr/share/zoneinfo/tzdata.zi >lua/onemsg/base/zone_links.lua
-- That file has tzdata's table "backward" in it, as lines "L target name".
local file = assert(io.open(arg[1] or "/usr/share/zoneinfo/tzdata.zi", "rb"))
local version, targets, names = nil, {}, {}
for line in file:lines() do
  version = version or line:match "^# version (%S+)"
  local target, name = line:match "^L (%S+) (%S+)$"
  if target then
    if not names[target] then targets[#targets + 1], names[target] = target, {} end
    table.insert(names[target], name)
  end
end
table.sort(targets)
local out = { ([[
--- onemsg.base.zone_links: other names of time zones, most of them old ones (Asia/Calcutta), which many systems still
-- write and some machines have no file for. Data, made by spec/support/zone_table.lua from tzdata %s: a line is a zone
-- and the names that stand for it.
local M = {}

M.VERSION = "%s"

local lines = [=[
]]):format(assert(version, "this is no tzdata.zi"), version) }
for _, target in ipairs(targets) do
  table.sort(names[target])
  local line = target .. " ="
  for _, name in ipairs(names[target]) do
    if #line + #name > 115 then
      out[#out + 1] = line .. "\n"
      line = target .. " ="
    end
    line = line .. " " .. name
  end
  out[#out + 1] = line .. "\n"
end
out[#out + 1] = [[
]=]

--- name = the zone it stands for
M.zone_of = {}
for target, names in lines:gmatch "(%S+) = ([^\n]+)" do
  for name in names:gmatch "%S+" do M.zone_of[name] = target end
end

return M
]]
io.write(table.concat(out))
