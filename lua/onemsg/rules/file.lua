--- A rules file that is followed while it changes. The only part of the rules that reads anything.
--
-- It compares contents, not times: a second's read of a small file costs less than a dependency, and no clock of a file
-- system can hide a change. A file that is bad, missing or cut off leaves the last good rules at work and says so.
local plain = require "onemsg.base.utf8"

local M = {}

M.MAX_BYTES = 1048576
M.EVERY = 1 -- seconds between two looks at the file; a change is taken up within two

local core -- at the first look again: loading this loads no C

local LOST = 30 -- seconds after which who was loading it, and serves others in between, was killed

local File = {}
File.__index = File

local MAX_NAME = 50 -- bytes that messages call a file by

-- What messages call a file: the end of its path, made fit to be shown.
local function base_name(path)
  local name = plain.repair((path:match("[^/]+$") or path):gsub("%c", "?"), MAX_NAME)
  return #name <= MAX_NAME and name or plain.repair(name:sub(1, 20), 20) .. "…" .. plain.repair(name:sub(-20), 20)
end

--- Might reading it take for ever? A pipe, a terminal. Asked before each look but the first: then somebody waits for it who
-- may have meant that (`onemsg rules check /dev/stdin`); nginx asks before the first as well.
function M.may_hang(path)
  core = core or require "onemsg" and require "onemsg.core"
  local there, plain_file = core.log_file(path)
  return there and not plain_file
end

local function read(path, again)
  if again and M.may_hang(path) then
    return nil, "config: " .. base_name(path) .. ": it cannot be read again: it is no plain file"
  end
  local file, why = io.open(path, "rb")
  if not file then return nil, "config: " .. base_name(path) .. ": it cannot be opened: " .. tostring(why) end
  local content, failed = file:read(M.MAX_BYTES + 1)
  file:close()
  if failed then return nil, "config: " .. base_name(path) .. ": it cannot be read: " .. tostring(failed) end
  if #(content or "") > M.MAX_BYTES then
    return nil, "config: " .. base_name(path) .. ": it is larger than 1 MiB"
  end
  return content or ""
end

-- Reads the file and, when its content is new, loads it, whole or not at all.
local function look(self)
  local content, problem = read(self.path, self.ruleset)
  if content and content ~= self.content then
    local ruleset
    ruleset, problem = self.load(content, { name = base_name(self.path), breathe = self.breathe })
    self.content, self.refused = content, problem
    if ruleset then self.ruleset = ruleset end
  elseif content then
    problem = self.refused -- nothing new: what was wrong with it still is
  end
  self.problem = problem
end

--- The rules to decide by now.
-- @tparam[opt] number now seconds on any clock that only rises; default os.time()
-- @treturn table the newest good ruleset
-- @treturn string|nil why the file as it is now is not at work; also in `handle.problem`
-- handle.breathe: called between the pieces of a load; who asks meanwhile gets the rules of before.
function File:current(now)
  now = now or os.time()
  if now - self.looked >= M.EVERY or now < self.looked then
    local loading = self.loading and now >= self.loading and now - self.loading < LOST
    if not loading then
      self.looked, self.loading = now, now
      look(self)
      self.loading = nil
    end
  end
  return self.ruleset, self.problem
end

--- Opens a file; see rules.open.
function M.open(path, load_rules, now)
  local self = setmetatable({ path = path, load = load_rules, looked = now or os.time() }, File)
  look(self)
  if not self.ruleset then return nil, self.problem end
  return self
end

return M
