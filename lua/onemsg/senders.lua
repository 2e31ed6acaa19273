--- onemsg.senders: events as Stripe, Shopify, WooCommerce and others send them. A row a sender (senders/table.lua), as
-- data; one verifier (senders/verify.lua) and one reader (senders/read.lua) for all. Its page is senders.md beside it.
--
--     local senders = require "onemsg.senders"
--     local request = { method = "POST", url = "https://…", headers = { ["stripe-signature"] = "…" }, body = "…" }
--     local taken = assert(senders.take("stripe", "whsec_…", request, os.time()))
--     for _, item in ipairs(taken.items) do flow:submit(item.event, taken.submit) end
--
-- Values in, values out, any nginx context: nothing here reads a clock, a variable or a file, or sends anything.
local misuse = require "onemsg.base.check".misuse
local read = require "onemsg.senders.read"
local suggest = require "onemsg.base.suggest"
local template = require "onemsg.senders.template"
local utf8 = require "onemsg.base.utf8"
local verify = require "onemsg.senders.verify"

local M = {}

local rows, ready = {}, {}

--- What a row may hold, and what that is.
local FIELDS = { title = "string", sign = "table", id = "string table", type = "string table", test = "table",
  ignore = "table", signed = "table", set = "table", each = "string", inside = "string", headers = "string",
  form = "boolean", lines = "boolean", url = "boolean", handshake = "table", where = "string", choose = "string",
  about = "table" }

local SIGN = { header = "string table", from = "string", find = "string", time = "string", tolerance = "number",
  over = "string table", mac = "string", text = "string", key = "string", equal = "string", query = "string",
  path = "boolean", loose = "boolean" }

local function check_fields(given, takes, what)
  for name, value in pairs(given) do
    local kinds = takes[name]
    if not kinds then return ("%s has no field '%s'%s"):format(what, tostring(name), suggest.phrase(tostring(name), takes)) end
    if not (" " .. kinds .. " "):find(" " .. type(value) .. " ", 1, true) then
      return ("%s: %s must be a %s, not a %s"):format(what, name, kinds:gsub(" ", " or a "), type(value))
    end
  end
end

local function set_of(list)
  local set = {}
  for _, one in ipairs(list) do set[one] = true end
  return set
end

local function copy(value)
  if type(value) ~= "table" then return value end
  local out = {}
  for name, one in pairs(value) do out[name] = copy(one) end
  return out
end

--- Compiles what a row answers without an event: handshakes and pings.
local function ready_handshakes(list)
  local made = {}
  for n, one in ipairs(list or {}) do
    local answer = copy(one.answer or {})
    for _, part in ipairs { answer.headers or {}, answer.json or {} } do
      for name, source in pairs(part) do
        local fill, wrong = template.compile(source)
        if not fill then return nil, "handshake: " .. wrong end
        part[name] = fill
      end
    end
    made[n] = { method = one.method, header = one.header, without = one.without, body = one.body, answer = answer }
  end
  return made
end

local function make(row)
  local made = { ignore = row.ignore, each = row.each, inside = row.inside, headers = row.headers,
    form = row.form, lines = row.lines, signed = row.signed and set_of(row.signed) }
  local wrong
  for _, name in ipairs { "id", "type" } do
    made[name], wrong = template.first(row[name])
    if not made[name] then return nil, name .. ": " .. wrong end
  end
  if row.test then
    made.test = set_of(row.test)
    made.test.fill, wrong = template.compile(row.test[1])
    if not made.test.fill then return nil, "test: " .. wrong end
  end
  for path, source in pairs(row.set or {}) do
    made.set = made.set or {}
    made.set[path], wrong = template.compile(source)
    if not made.set[path] then return nil, "set: " .. wrong end
  end
  made.schemes, wrong = verify.ready(row.sign)
  if not made.schemes then return nil, wrong end
  made.handshakes, wrong = ready_handshakes(row.handshake)
  if not made.handshakes then return nil, wrong end
  return made
end

--- Adds a sender of one's own, or replaces one.
-- @tparam string name lower case letters, digits and _
-- @tparam table row
--   sign    how it is authenticated; or a list of such, of which the first whose header is there counts:
--     { header = name(s), find = pattern of each signature in it, time = pattern of the time in it or "header.NAME",
--       tolerance = 300 s, over = template(s) of what is signed ("{body}"), mac = "sha256" | "sha512",
--       text = "hex" | "base64", key = "raw" | "base64" | "hex" | "html" (what the secret's text is),
--       from = template: the signature stands in the event, loose = true: what is missing there is empty }
--     { equal = "text" | "bearer" | "basic", header = …, query = name, path = true }: the secret itself is sent
--   id, type  templates (senders/template.lua), or lists of them, of which the first that can be filled counts
--   test    { template, "false", … }: the values that mark a test;  ignore = fields in which a repeat may differ
--   signed  the fields of the event that are signed, where the body is not; the rest stands under `unsigned`
--   set     { ["data.id"] = template }: fields that come from elsewhere
--   each, inside   where the list of events stands in the body, and what each is wrapped into
--   headers = "ce-"  the event's fields are headers, the body is its data;  form, lines: the body may be one
--   handshake  { { method, header | without, body = pattern, answer = { headers, json } } }
--   title, where, choose, about   for people
-- @raise when something is wrong with it
function M.add(name, row)
  if type(name) ~= "string" or not name:find "^%l[%l%d_]*$" or #name > 40 then
    misuse("senders.add: a name has lower case letters, digits and _ only")
  elseif type(row) ~= "table" or type(row.sign) ~= "table" then
    misuse("senders.add: a row is a table, with sign = { header = … } or { equal = … }")
  end
  local wrong = check_fields(row, FIELDS, "row " .. name)
  for _, scheme in ipairs(row.sign[1] and row.sign or { row.sign }) do
    wrong = wrong or check_fields(scheme, SIGN, "sign of row " .. name)
  end
  if wrong then misuse("senders.add: " .. wrong) end
  local kept = copy(row)
  local made, why = make(kept)
  if not made then misuse("senders.add: row " .. name .. ": " .. why) end
  rows[name], ready[name] = kept, made
end

for name, row in pairs(require "onemsg.senders.table") do M.add(name, row) end

--- The names of all senders, in order.
function M.names()
  local list = {}
  for name in pairs(rows) do list[#list + 1] = name end
  table.sort(list)
  return list
end

--- Is there a sender of this name?
function M.has(name) return rows[name] ~= nil end

--- A row, to read.
-- @treturn ?table a copy
-- @treturn string with nil: "invalid: …", with a suggestion
function M.get(name)
  if rows[name] then return copy(rows[name]) end
  return nil, ("invalid: there is no sender %s%s"):format(tostring(name), suggest.phrase(tostring(name), rows))
end

local function row_of(call, name)
  if not ready[name] then
    misuse(("senders.%s: there is no sender %s%s"):format(call, tostring(name), suggest.phrase(tostring(name), rows)))
  end
  return ready[name]
end

--- The variable in which a sender's secrets stand: ONE_MSG_STRIPE_SECRET.
function M.variable(name) return ("ONE_MSG_%s_SECRET"):format(name:upper()) end

--- The secrets in a variable: a text, or several with blanks between, quotes around all or each left out; nil: none.
function M.written(text)
  local list = {}
  for one in utf8.unquoted(text or ""):gmatch "%S+" do list[#list + 1] = utf8.unquoted(one) end
  return #list > 0 and list or nil
end

--- Makes secrets ready, once, for verify and take.
-- @tparam string name
-- @tparam string|table secrets a text, or a list: the old and the new one
-- @treturn ?table keys
-- @treturn string with nil: "config: …", without the secret
function M.keys(name, secrets)
  local keys, wrong = verify.keys(row_of("keys", name), secrets)
  if not keys then return nil, ("config: %s: %s"):format(name, wrong) end
  return keys
end

--- A request, its names in lower case.
local function request_of(given)
  if type(given) ~= "table" or type(given.body) ~= "string" then
    misuse("senders: a request is { method, url, headers, query, body = text }")
  end
  local headers = {}
  for key, value in pairs(given.headers or {}) do headers[key:lower()] = value end
  return { method = given.method or "POST", url = given.url, headers = headers, query = given.query or {},
           body = given.body, path_secret = given.path_secret }
end

local function keys_of(name, secrets)
  if type(secrets) == "table" and secrets.row then return secrets end
  local keys, wrong = M.keys(name, secrets)
  if not keys then misuse(wrong) end
  return keys
end

--- The scheme that a request bears the mark of; else the first.
local function scheme_for(row, request)
  for at, scheme in ipairs(row.schemes) do
    if not scheme.from and verify.present(scheme, request) then return scheme, at end
  end
  for at, scheme in ipairs(row.schemes) do
    if scheme.from then return scheme, at end
  end
  return row.schemes[1], 1
end

--- Verifies, and reads where the signature stands within.
-- @treturn ?table the scheme; or nil, a sentence part, the status to answer
local function verified(row, keys, request, now)
  local scheme, at = scheme_for(row, request)
  if not scheme.from then
    local good, why = verify.scheme(scheme, at, keys, request, nil, now)
    if not good then return nil, why, 401 end
    return scheme
  end
  local items, wrong = read.items(row, request)
  if not items then return nil, wrong, 400 end
  for _, item in ipairs(items) do
    local good, why = verify.scheme(scheme, at, keys, request, item, now)
    if not good then return nil, why, 401 end
  end
  return scheme
end

--- Did this sender send this request? Several secrets hold at once, so that one can be changed without a gap.
-- @tparam string name
-- @tparam string|table secrets a text, a list, or what `keys` returned
-- @tparam table request { method, url (as registered), headers, query, body }; names of headers in any case
-- @tparam number now Unix seconds
-- @treturn ?boolean true
-- @treturn string with nil: why not, a sentence part that holds no secret
function M.verify(name, secrets, request, now)
  local row = row_of("verify", name)
  local scheme, why = verified(row, keys_of(name, secrets), request_of(request), now)
  if scheme then return true end
  return nil, why
end

local function read_all(name, row, request, scheme)
  local items, wrong = read.items(row, request)
  if not items then return nil, "invalid: " .. wrong end
  -- where a row has fields that are signed and another way to sign it all, the latter is not parted
  scheme = scheme or scheme_for(row, request)
  local all = #row.schemes > 1 and not scheme.from
  local list = {}
  for n, item in ipairs(items) do
    local event, why = read.event(name, row, request, item, all)
    list[n] = event and { event = event } or { wrong = why }
  end
  return list
end

--- The events of a request, as rules see them: the body's object with id, type and sender set; what these replace stands
-- under `original`, what the sender does not sign under `unsigned`; test = true of what is no real event. Verifies nothing.
-- @treturn ?table list of { event = table } or { wrong = sentence part }
-- @treturn string with nil: "invalid: …"
function M.read(name, request)
  return read_all(name, row_of("read", name), request_of(request))
end

local function filled(part, request)
  local out = {}
  for key, fill in pairs(part or {}) do out[key] = fill(request, nil, true) end
  return out
end

--- What is answered to a handshake or a ping; nil: it is none.
local function handshake(row, request)
  for _, one in ipairs(row.handshakes) do
    if request.method == one.method and (not one.header or request.headers[one.header])
      and not (one.without and request.headers[one.without])
      and (not one.body or request.body:find(one.body)) then
      return { status = 200, headers = filled(one.answer.headers, request),
               json = one.answer.json and filled(one.answer.json, request) or nil }
    end
  end
end

--- Verifies and reads a request.
-- @tparam string name, secrets, request, now: as verify; with an empty list of secrets only handshakes are taken
-- @treturn ?table { items = { { event } | { wrong }, … }, submit = options for flow:submit }; or, for a handshake or a
--   ping, { answer = { status = 200, headers = {…}, json = table | nil } }
-- @treturn string with nil: "invalid: …"
-- @treturn number with nil: the status to answer, 400, 401 or 405
function M.take(name, secrets, request, now)
  local row = row_of("take", name)
  request = request_of(request)
  local answer = handshake(row, request)
  if answer then return { answer = answer } end
  if request.method ~= "POST" then return nil, "invalid: events are posted", 405 end
  if type(secrets) == "table" and next(secrets) == nil then return nil, "invalid: there is no secret to verify it with", 401 end
  local scheme, why, status = verified(row, keys_of(name, secrets), request, now)
  if not scheme then return nil, "invalid: " .. why, status end
  local items
  items, why = read_all(name, row, request, scheme)
  if not items then return nil, why, 400 end
  return { items = items, submit = M.submit_options(name) }
end

--- How such events are submitted: of one id the first content wins, and some fields are not compared.
function M.submit_options(name)
  return { first = true, ignore = row_of("submit_options", name).ignore }
end

return M
