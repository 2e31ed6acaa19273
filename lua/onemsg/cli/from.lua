--- onemsg.cli.from: a request of a sender (onemsg.senders), as `onemsg submit --from` gets it: its body in a file or on
-- standard input, its headers as options.
local input = require "onemsg.cli.input"
local senders = require "onemsg.senders"
local utf8 = require "onemsg.base.utf8"

local M = {}

local BODY_BYTES = 16 * 1024 * 1024

M.OPTIONS = {
  { "from", "SENDER", "what is read is a request of this sender, as `onemsg senders` lists them" },
  { "header", "'NAME: VALUE'", "a header of it; may be given again", list = true },
  { "url", "URL", "to which it was posted, where the sender signs that" },
  { "unverified", false, "take it unsigned, as out of a file that you trust" },
}

local function unescape(text)
  return (text:gsub("+", " "):gsub("%%(%x%x)", function(pair) return string.char(tonumber(pair, 16)) end))
end

local function read_body(path)
  local read, err = input.open(path)
  if not read then return nil, err end
  local pieces, size = {}, 0
  for piece in read do
    pieces[#pieces + 1], size = piece, size + #piece
    if size > BODY_BYTES then return nil, "invalid: the body is longer than 16 MiB" end
  end
  return table.concat(pieces)
end

local function read_request(options)
  local request = { method = "POST", headers = {}, query = {}, url = options.url }
  for _, line in ipairs(options.header or {}) do
    local name, value = line:match "^%s*([^%s:]+)%s*:(.*)$"
    if not name then return nil, ("invalid: --header takes 'NAME: VALUE', not '%s'"):format(line) end
    request.headers[name] = utf8.trim(value)
  end
  for name, value in (options.url or ""):gsub("^[^?]*%??", ""):gmatch "([^&=]+)=([^&]*)" do
    request.query[unescape(name)] = unescape(value)
  end
  local body, err = read_body(options[1])
  request.body = body
  return body and request, err
end

--- The events of a request, for Batch of onemsg.cmd.submit.
-- @tparam table options of the command
-- @tparam number now
-- @treturn ?table list of { line, event, options } or { line, error }; empty for a handshake or a ping
-- @treturn string with nil: "invalid: …", "config: …"
function M.items(options, now)
  local name = options.from
  local row, err = senders.get(name)
  if not row then return nil, err end
  local request, secrets, taken
  request, err = read_request(options)
  if not request then return nil, err end
  if options.unverified then
    taken, err = senders.read(name, request)
    taken = taken and { items = taken, submit = senders.submit_options(name) }
  else
    secrets = senders.written(os.getenv(senders.variable(name)))
    if not secrets then
      return nil, ("config: the secret of %s is missing: set %s, or give --unverified"):format(name, senders.variable(name))
    end
    local keys
    keys, err = senders.keys(name, secrets)
    if not keys then return nil, err end
    taken, err = senders.take(name, keys, request, now)
  end
  if not taken then return nil, err end
  local items = {}
  for n, item in ipairs(taken.items or {}) do
    items[n] = { line = n, event = item.event, error = item.wrong and "invalid: " .. item.wrong,
                 options = { wait = false, first = taken.submit.first, ignore = taken.submit.ignore } }
  end
  return items
end

return M
