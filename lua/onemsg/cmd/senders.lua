--- onemsg senders: who can post events as they are, and of each: what to register where.
local senders = require "onemsg.senders"

local M = {
  summary = "Whose webhooks are taken as they come (Stripe, Shopify …), and what to register where",
  arguments = { { "NAME", "one of them", optional = true } },
  examples = { "onemsg senders", "onemsg senders stripe" },
}

--- How a request is authenticated, in a few words.
local function scheme_of(row)
  local words = {}
  for n, one in ipairs(row.sign[1] and row.sign or { row.sign }) do
    local header = type(one.header) == "table" and one.header[1] or one.header
    if one.equal then
      words[n] = "the secret itself in " .. (header or "Authorization") .. (one.path and ", or in the URL" or "")
    else
      words[n] = ("HMAC-%s in %s"):format((one.mac or "sha256"):upper(), header or "the event")
    end
  end
  return table.concat(words, "; ")
end

local function text_of(value) return type(value) == "table" and table.concat(value, ", else ") or value end

local function one(call, name)
  local row, err = senders.get(name)
  if not row then return call:fail(err) end
  local out = call.out
  row.name, row.scheme, row.variable = name, scheme_of(row), senders.variable(name)
  row.sign, row.handshake = nil, nil
  out:object(row)
  out:line("%s", row.title or name)
  out:line("register  https://your.host/events/%s", name)
  if row.where then out:line("where     %s", row.where) end
  if row.choose then out:line("events    %s", row.choose) end
  out:line("secret    %s (blanks between the old and the new one)", row.variable)
  out:line("signed    %s", row.scheme)
  out:line("id        %s:%s", name, text_of(row.id))
  out:line("type      %s", text_of(row.type))
  for n, sentence in ipairs(row.about or {}) do out:line(n == 1 and "know      %s" or "          %s", sentence) end
  out:line("nginx     location /events/%s { content_by_lua_block {", name)
  out:line('            require("resty.onemsg").serve_events { from = "%s"%s } } }', name,
    row.url and ', url = "https://your.host/events/' .. name .. '"' or "")
  return true
end

function M.run(call)
  if call.options[1] then return one(call, call.options[1]) end
  for _, name in ipairs(senders.names()) do
    local row = senders.get(name)
    local scheme = scheme_of(row)
    call.out:object { name = name, title = row.title, scheme = scheme, variable = senders.variable(name) }
    call.out:line("%-12s %-40s %s", name, row.title or "", scheme)
  end
  return true
end

return M
