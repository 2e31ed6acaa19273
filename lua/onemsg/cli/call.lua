--- onemsg.cli.call: what a command gets: its arguments and options, its output, and on demand the channel and the
-- workflow, by the environment and the options --store and --rules. Also what an error means for the exit code.
local output = require "onemsg.cli.output"
local document = require "onemsg.base.document"
local phones = require "onemsg.base.phone"
local null = require "cjson".null

local M = {}

M.OK, M.USAGE, M.REFUSED, M.SERVER, M.NETWORK, M.CONFIG, M.UNKNOWN, M.SKIPPED = 0, 1, 2, 3, 4, 5, 6, 7

--- Options that many commands share.
M.STORE = { "store", "STORE", "such as sqlite:confirmations.db; else ONE_MSG_STORE" }
M.RESOLVE = { "resolve", "PROGRAM", "finds whom the event does not name: it gets the event as JSON on its standard input, and "
  .. 'prints a phone or {"phone":…,"first_name":…}' }
M.RULES = { "rules", "FILE", "the rules; else ONE_MSG_RULES, else rules.lua" }

local read_program = document.reader(8, "event") -- what a program prints

local Call = {}
Call.__index = Call

function M.new(options)
  return setmetatable({ options = options, out = output.new(options.json) }, Call)
end

local words = { config = M.CONFIG, invalid = M.USAGE, conflict = M.REFUSED, store = M.SERVER, closed = M.SERVER,
                timeout = M.NETWORK }

--- The exit code for an error of the library.
-- @tparam string err
-- @tparam ?table info
-- @tparam ?boolean changed it was to change something, so that not knowing whether it did is code 6
function M.code(err, info, changed)
  info = type(info) == "table" and info or {}
  local word = words[err:match "^(%l+):" or ""]
  if err:find "^invalid: no confirmation has" then word = M.REFUSED end -- as a 404
  if err:find "^invalid: the rules skip" then word = M.SKIPPED end
  if word then return word end
  if info.outcome == "unknown" and changed then return M.UNKNOWN end
  local status = info.status
  if status and status >= 500 then return M.SERVER end
  if status or info.outcome == "rejected" then return M.REFUSED end
  return M.NETWORK
end

-- What to look at when no answer came, by what libcurl says.
local NETWORK_HINTS = {
  { "resolve proxy", "Look at ONE_MSG_PROXY (or https_proxy): there is no such host." },
  { "resolve host", "Look at ONE_MSG_BASE_URL, and at this machine's DNS." },
  { "proxy", "Look at ONE_MSG_PROXY (or https_proxy), and whether that proxy lets 1MSG through." },
  { "certificate", "Look at this machine's clock and its CA certificates (ONE_MSG_CA_FILE), and for a proxy that opens TLS." },
  { "SSL", "Look at ONE_MSG_BASE_URL, and for a proxy or firewall that meddles with TLS." },
  { "", "Look at the network, a firewall, a proxy (ONE_MSG_PROXY), and at ONE_MSG_BASE_URL." },
}

local function network_hint(err)
  for _, pair in ipairs(NETWORK_HINTS) do
    if err:find(pair[1], 1, true) then return pair[2] end
  end
end

--- Ends a command with an error of the library: return call:fail(err, info, changed).
-- @return nil, message, code
function Call:fail(err, info, changed)
  local code = M.code(err, info, changed)
  info = type(info) == "table" and info or {}
  local hint = info.hint or code == M.NETWORK and network_hint(err) or code == M.CONFIG and self.left_out or nil
  self.out:object { error = err, outcome = info.outcome, status = info.status, code = info.code, class = info.class,
    retry = info.retry, retry_after = info.retry_after, hint = hint, exit = code }
  return nil, err .. (hint and "\n  " .. hint or ""), code
end

--- The channel of the environment.
-- @treturn ?userdata channel
-- @treturn string with nil: "config: …"
function Call:channel() -- luacheck: no self
  return require "onemsg".new {}
end

function Call:rules_path()
  return self.options.rules or os.getenv "ONE_MSG_RULES" or "rules.lua"
end

function Call:store()
  local store = self.options.store or os.getenv "ONE_MSG_STORE"
  if not store then
    return nil, "config: store is missing: give --store or ONE_MSG_STORE, for example sqlite:confirmations.db"
  end
  return store
end

-- What the store alone is asked needs neither a channel nor rules.
local function nobody() return { check = function() end, country = os.getenv "ONE_MSG_COUNTRY" } end
local no_rules = { current = function() return { uses = {} } end }

--- A program as the option `resolve`: event in, JSON out; it raises when the program fails. Not io.popen: LuaJIT's can't
-- tell how it ended.
local function program(command)
  return function(event)
    local given, printed = os.tmpname(), os.tmpname()
    local file = assert(io.open(given, "w"))
    file:write(output.encode(event), "\n")
    file:close()
    local ok, _, code = os.execute(("{ %s\n} <'%s' >'%s'"):format(command, given, printed))
    file = assert(io.open(printed))
    local text = file:read "*a"
    file:close()
    os.remove(given)
    os.remove(printed)
    if ok ~= true and ok ~= 0 then error(("%s ended with %s"):format(command, tostring(code or ok)), 0) end
    if not text:find "%S" then return nil end
    local found, why = read_program(text)
    if found == nil then error(("%s printed no JSON: %s"):format(command, why), 0) end
    return found ~= null and found or nil
  end
end

--- The workflow, with all that sending needs.
-- @tparam ?table more options of workflow.open
function Call:flow(more)
  local store, err = self:store()
  if not store then return nil, err end
  local channel
  channel, err = self:channel()
  if not channel then return nil, err end
  local options = { channel = channel, rules = self:rules_path(), store = store }
  if self.options.resolve then options.resolve = program(self.options.resolve) end
  for name, value in pairs(more or {}) do options[name] = value end
  return require "onemsg.workflow".open(options)
end

--- The workflow on a store, without channel and rules: to look, to settle, to cancel.
-- @tparam ?boolean make the store when it is not there
function Call:desk(make)
  local store, err = self:store()
  if not store then return nil, err end
  local path = store:match "^sqlite:(.+)$"
  local file = path and io.open(path:gsub("%?.*", ""), "rb")
  if path and not file and not make then
    return nil, ("config: there is no store at %s; `onemsg submit` makes it"):format(path)
  end
  if file then file:close() end
  require "onemsg"
  require "onemsg.core".end_on_signals()
  return require "onemsg.workflow".open { channel = nobody(), rules = no_rules, store = store }
end

--- Who gives the command.
function M.person() return os.getenv "SUDO_USER" or os.getenv "USER" end

--- settle, replay, cancel: a change by a person, shown.
-- @tparam string open "desk" or "flow"
function Call:by_hand(open, method, ...)
  local flow, err, info = self[open](self)
  if not flow then return self:fail(err, info) end
  local one
  one, err, info = flow[method](flow, self.options[1], ...)
  flow:close()
  if not one then return self:fail(err, info) end
  phones.hide(one)
  self.out:object(one)
  self.out:line("%s is %s: %s", one.id, one.state, one.reason)
  return true
end

return M
