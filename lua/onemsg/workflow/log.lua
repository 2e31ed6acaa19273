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

local function to_file(file)
  return function(line)
    file:write(line, "\n")
    file:flush()
  end
end

--- A file that is written to by lines, and opened anew where another one stands at its path, or none: who rotates logs
-- moves them away and need not tell anybody. While the new one can't be opened, lines go on into the old one.
local function rotated(path)
  core = core or require "onemsg" and require "onemsg.core"
  local file, identity, err
  local function open()
    local there, why = core.log_file(path, true)
    local opened = there and io.open(path, "a")
    if not opened then return nil, why or path end
    opened:setvbuf "line"
    if file then file:close() end
    file, identity = opened, there
    return true
  end
  local ok
  ok, err = open()
  if not ok then return nil, err end
  return function(line)
    if core.log_file(path) ~= identity then open() end
    file:write(line, "\n")
    file:flush()
  end, { close = function() return file:close() end }
end

--- A sink out of the option `log`: a function(line, entry), a path to append to, "stderr", or nil for none.
-- @treturn ?function sink
-- @treturn string with nil: why not
-- @treturn ?table with close(), to be called with the workflow's
function M.sink(option)
  if option == nil then return function() end end
  if type(option) == "function" then return option end
  if option == "stderr" then return to_file(io.stderr) end
  local sink, file = rotated(option)
  if not sink then return nil, "config: the log can't be opened: " .. tostring(file) end
  return sink, nil, file
end

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
    created_at = row.created_at,
    changed_at = row.changed_at, accepted_at = row.accepted_at, history = history, statuses = statuses,
    resolved = row.resolved and json.decode(row.resolved) or nil,
  }
  return phones.tell(view, row.phone, row.person)
end

return M
