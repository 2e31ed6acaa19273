--- onemsg.cli.call: what a command gets: its arguments and options, its output, and on demand the channel and the
-- workflow, by the environment and the options --store and --rules. Also what an error means for the exit code.
local output = require "onemsg.cli.output"
local document = require "onemsg.base.document"
local environment = require "onemsg.channel.environment"
local phones = require "onemsg.base.phone"
local null = require "cjson".null

local M = {}

M.OK, M.USAGE, M.REFUSED, M.SERVER, M.NETWORK, M.CONFIG, M.UNKNOWN, M.SKIPPED = 0, 1, 2, 3, 4, 5, 6, 7

--- Options that many commands share.
M.CHANNEL = { "channel", "NAME", "of several in ONE_MSG_CHANNELS this one; else main, else the first" }
M.STORE = { "store", "STORE", "such as sqlite:confirmations.db; else ONE_MSG_STORE" }
M.RESOLVE = { "resolve", "PROGRAM", "finds whom the event does not name: it gets the event as JSON on its standard input, and "
  .. 'prints a phone or {"phone":…,"first_name":…}' }
M.RESOLVE_TIMEOUT = { "resolve-timeout", "TIME", "how long it may run for one event (10s); then it is killed, with its process "
  .. "group, and the event is not taken", seconds = true }
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

--- What to do about an error, as sentences; nil: nothing is known.
local function advice(call, err, info, code, changed)
  local hint = info.hint or code == M.NETWORK and network_hint(err) or code == M.CONFIG and call.left_out or nil
  local more
  if code == M.UNKNOWN then
    more = type(changed) == "string" and changed or "Perhaps it was done all the same: look before you do it again."
  elseif info.status == 429 and (info.retry_after or 0) > 0 then
    more = ("Not before %.0f s are over: 1MSG asks for it (Retry-After)."):format(info.retry_after)
  end
  return hint and more and hint .. " " .. more or hint or more
end

--- Ends a command with an error of the library: return call:fail(err, info, changed).
-- @param changed as of M.code; a text: what to do when nobody knows whether it did
-- @return nil, message, code
function Call:fail(err, info, changed)
  local code = M.code(err, info, changed)
  info = type(info) == "table" and info or {}
  local hint = advice(self, err, info, code, changed)
  self.out:object { error = err, outcome = info.outcome, status = info.status, code = info.code, class = info.class,
    retry = info.retry, retry_after = info.retry_after, hint = hint, exit = code }
  return nil, err .. (hint and "\n  " .. hint or ""), code
end

--- The channel of the environment, or that of several which --channel names.
-- @treturn ?userdata channel
-- @treturn string with nil: "config: …"; with a channel: its name, where it has one
function Call:channel()
  local name, err = environment.choose(self.options.channel)
  if err then return nil, err end
  local channel, why, info = environment.open(name)
  if not channel then return nil, why, info end
  return channel, name
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

local EACCES = 13

--- The file of a SQLite store, looked at.
-- @treturn ?string its path; nil: it is no file
-- @treturn ?string "missing", or "config: …" when this user may not read it
function M.store_file(store)
  local path = store:match "^sqlite:([^?]+)"
  if not path then return nil end
  local file, why, number = io.open(path, "rb")
  if file then
    file:close()
  elseif number == EACCES then
    return path, ("config: no permission to read %s: run it as its owner (sudo -u NAME onemsg …)"):format(path)
  else
    return path, number == 2 and "missing" or "config: the store can't be read: " .. why
  end
  return path
end

-- What the store alone is asked needs neither a channel nor rules.
local function nobody() return { check = function() end, country = os.getenv "ONE_MSG_COUNTRY" } end
local no_rules = { current = function() return { uses = {} } end }

local RESOLVE_SECONDS, LOOK_SECONDS = 10, 0.001

--- Runs a program to its end, or kills it. -> its exit status, or nil and why
local function run(command, input, seconds)
  local core = require "onemsg" and require "onemsg.core"
  local child, why = core.child_start(command, input)
  if not child then return nil, "can't be run: " .. why end
  local due, killed = core.steady() + seconds, false
  while true do
    local status = core.child_poll(child)
    if status then
      if killed then return nil, ("was killed: it ran for %g s"):format(seconds) end
      return status
    end
    if not killed and core.steady() >= due then
      core.child_kill(child)
      killed = true
    end
    require "onemsg".sleep(LOOK_SECONDS)
  end
end

--- A program as the option `resolve`: event in, JSON out; it raises when the program fails or does not end in time.
local function program(command, seconds)
  return function(event)
    local printed = os.tmpname()
    local status, why = run(("{ %s\n} >'%s'"):format(command, printed), output.encode(event) .. "\n", seconds)
    local file = assert(io.open(printed))
    local text = file:read "*a"
    file:close()
    os.remove(printed)
    if not status then error(("%s %s"):format(command, why), 0) end
    if status ~= 0 then error(("%s ended with %d"):format(command, status), 0) end
    if not text:find "%S" then return nil end
    local found
    found, why = read_program(text)
    if found == nil then error(("%s printed no JSON: %s"):format(command, why), 0) end
    return found ~= null and found or nil
  end
end

--- The workflow, with all that sending needs.
-- @tparam ?table more options of workflow.open
function Call:flow(more)
  local store, err = self:store()
  if not store then return nil, err end
  local channels
  channels, err = environment.all()
  if not channels then return nil, err end
  local options = { channels = channels, rules = self:rules_path(), store = store }
  if self.options.resolve then
    options.resolve = program(self.options.resolve, self.options.resolve_timeout or RESOLVE_SECONDS)
  end
  for name, value in pairs(more or {}) do options[name] = value end
  return require "onemsg.workflow".open(options)
end

--- The workflow on a store, without channel and rules: to look, to settle, to cancel.
-- @tparam ?boolean make the store when it is not there
function Call:desk(make)
  local store, err = self:store()
  if not store then return nil, err end
  local path, amiss = M.store_file(store)
  if amiss == "missing" then
    if not make then return nil, ("config: there is no store at %s; `onemsg submit` makes it"):format(path) end
  elseif amiss then
    return nil, amiss
  end
  require "onemsg"
  require "onemsg.core".end_on_signals()
  return require "onemsg.workflow".open { channel = nobody(), rules = no_rules, store = store }
end

--- Who gives the command.
function M.person()
  local name = os.getenv "SUDO_USER" or os.getenv "USER"
  if not name then -- in containers: the user's number is known all the same
    local pipe = io.popen "id -un 2>/dev/null || id -u"
    name = pipe and pipe:read "*l"
    if pipe then pipe:close() end
  end
  return name
end

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
