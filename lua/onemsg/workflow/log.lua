--- onemsg.workflow.log: the delivery log as JSON lines, and the user's callbacks, whose failures hurt nothing.
-- Never a token; of a phone only the last four digits.
local canonical = require "onemsg.base.canonical"
local utf8 = require "onemsg.base.utf8"
local phones = require "onemsg.base.phone"
local json = require "onemsg.base.json"

local M = {}

local core -- at the first file: loading this loads no C

local TEXT_CHARS = 1000 -- of a field that was not valid UTF-8

--- A time as text: "2026-11-23T15:04:05.123Z".
function M.time(at)
  local whole = math.floor(at)
  return os.date("!%Y-%m-%dT%H:%M:%S", whole) .. (".%03dZ"):format(math.floor((at - whole) * 1000))
end

-- The file ---------------------------------------------------------------------------------------------------------

local BACKLOG = 1048576 -- bytes of lines that wait while nobody reads the log; what comes then is dropped, and counted

local behind = setmetatable({}, { __mode = "k" }) -- the files with lines that wait

--- A file that is written to by lines, and opened anew where another one stands at its path, or none: who rotates logs
-- moves them away and need not tell anybody. While the new one can't be opened, lines go on into the old one. Nothing
-- here waits for a pipe's reader, a terminal or a full disk: lines are kept until they can go.
local Log = {}
Log.__index = Log

local function open(self)
  local file, identity = core.log_open(self.path)
  if not file then return nil, identity or self.path end
  if self.file then self.file:close() end
  self.file, self.identity, self.gone = file, identity, 0 -- a line that was cut begins anew in the new one
  return true
end

--- @tparam ?string path nil: standard error
-- @treturn ?table log: line(text, entry), flush(), close()
-- @treturn string with nil: why not
function M.file(path)
  core = core or require "onemsg" and require "onemsg.core"
  local self = setmetatable({ path = path, first = 1, last = 0, gone = 0, bytes = 0, dropped = 0,
    lines = {} }, Log)
  local ok, err = open(self)
  if not ok then return nil, "config: the log can't be opened: " .. tostring(err) end
  return self
end

--- Keeps a line; `gone` counts what went already of the first one that is kept.
local function keep(self, text)
  self.last = self.last + 1
  self.lines[self.last] = text .. "\n"
  self.bytes = self.bytes + #text + 1
end

--- Writes what is kept, a line a write: so it stays whole beside those of other processes. Whether all went.
local function write(self)
  while self.first <= self.last do
    local text = self.lines[self.first]
    repeat
      local count = self.file:write(text, self.gone)
      self.gone = self.gone + count
    until count == 0 or self.gone == #text
    if self.gone < #text then return false end
    self.lines[self.first] = nil
    self.first, self.gone, self.bytes = self.first + 1, 0, self.bytes - #text
  end
  self.first, self.last = 1, 0
  return true
end

--- Writes what waits, as far as that goes; then, once, how many lines are missing there.
function Log:flush()
  if self.path and core.log_file(self.path) ~= self.identity then open(self) end
  local all = write(self)
  if all and self.dropped > 0 then
    keep(self, canonical.text { alert = "log", at = self.dropped_at, dropped = self.dropped,
      reason = ("%d lines were dropped here: nobody took them off the log"):format(self.dropped) })
    self.dropped = 0
    all = write(self)
  end
  behind[self] = not all or nil
end

--- One line more. Where no more can be kept it is dropped, and so are all until those that wait have gone.
function Log:line(text, entry)
  if self.dropped > 0 or self.bytes + #text >= BACKLOG and self.bytes > 0 then self:flush() end
  if self.dropped > 0 or self.bytes + #text >= BACKLOG and self.bytes > 0 then
    self.dropped, self.dropped_at = self.dropped + 1, entry.at
    return
  end
  keep(self, text)
  self:flush()
end

--- @treturn number of lines that did not go, and are lost
function Log:close()
  if self.closed then return 0 end
  self.closed = true
  self:flush()
  self.file:close()
  behind[self] = nil
  return self.last - self.first + 1 + self.dropped
end

--- Looks again whether lines go that wait. Who works calls it now and then.
-- @treturn number of lines that still wait or are missing, in all logs
function M.flush()
  local count = 0
  for log in pairs(behind) do
    log:flush()
    count = count + log.last - log.first + 1 + log.dropped
  end
  return count
end

--- The alert that lines were lost with a log that was closed.
function M.lost(count, now)
  return { alert = "log", at = now and M.time(now), dropped = count,
    reason = ("%d lines of the delivery log could not be written before the end"):format(count) }
end

--- A sink out of the option `log`: a function(line, entry), a path to append to, "stderr", or nil for none.
-- @treturn ?function sink
-- @treturn string with nil: why not
-- @treturn ?table with close(), to be called with the workflow's
function M.sink(option)
  if option == nil then return function() end end
  if type(option) == "function" then return option end
  local path = option
  if option == "stderr" then path = nil end
  local log, err = M.file(path)
  if not log then return nil, err end
  return function(line, entry) log:line(line, entry) end, nil, log
end

-- The lines --------------------------------------------------------------------------------------------------------

--- One line, its keys sorted; bytes that are not UTF-8 become "?".
local function line_of(entry)
  local text = canonical.text(entry)
  if text then return text end
  for key, value in pairs(entry) do
    if type(value) == "string" then entry[key] = utf8.repair(value, TEXT_CHARS) end
  end
  return canonical.text(entry) or json.encode(entry)
end

--- Writes one line. What the sink raises is dropped: there is nowhere left to say it, and it must not stop the work.
function M.write(sink, entry, now)
  entry.at = M.time(now)
  pcall(sink, line_of(entry), entry)
end

--- The line for a change of a confirmation.
function M.change(sink, row)
  local entry = {
    id = row.id, state = row.state, was = row.was, reason = row.reason, rule = row.rule,
    version = row.version, channel = row.channel, attempts = row.attempts,
    message_id = row.message_id, job_id = row.job_id, code = row.code,
    due_at = row.state == "queued" and M.time(row.due_at) or nil,
  }
  if row.phone then entry[phones.field_of(row.phone)] = phones.mask(row.phone) end
  M.write(sink, entry, row.changed_at)
end

--- Tells of an amendment: of a change, or, in the log only, of a note. A note changes no state, so on_change is not
-- called: nobody may take it for a second acceptance or failure.
function M.amended(flow, row, change, now)
  if change.note then
    local told = {}
    for name, value in pairs(row) do told[name] = value end
    told.reason, told.changed_at = change.note, now
    return M.change(flow.sink, told)
  end
  if change.reason then flow:announce(row) end
end

--- A confirmation as users see it.
-- @tparam table row of the store
-- @tparam ?table history
-- @tparam ?table statuses
function M.view(row, history, statuses)
  local message = row.message and json.decode(row.message) or {}
  local waits = row.state == "queued" or row.state == "sending"
  local view = {
    id = row.id, type = row.type, state = row.state, was = row.was, reason = row.reason, rule = row.rule,
    version = row.version, channel = row.channel, body = message.body, template = message.template,
    language = message.language, message_id = row.message_id, job_id = row.job_id, code = row.code,
    attempts = row.attempts, due_at = waits and row.due_at or nil,
    held = (waits or row.state == "accepted") and row.held or nil,
    give_up_at = waits and row.give_up_at or nil, fallback_at = row.fallback_at, fallback = row.fallback, way = row.way,
    retry_at = row.retry_at, stall_at = row.stall_at, contradiction = row.contradiction, settled = row.settled,
    created_at = row.created_at, forgotten_at = row.forgotten_at,
    changed_at = row.changed_at, accepted_at = row.accepted_at, history = history, statuses = statuses,
    resolved = row.resolved and json.decode(row.resolved) or nil,
  }
  return phones.tell(view, row.phone, row.person)
end

return M
