--- resty.onemsg.serve.status: the operator's page. Reads with an operator's token (HTTP Basic, or Bearer for programs) or, with
-- open = true, whoever nginx lets through; to change something always needs an operator who may (onemsg.policy.roles).
--
--     GET  …/                     newest first; ?state=unknown, ?before=TIME for older ones
--     GET  …/?id=ID               one of them; ?q=TEXT finds by id, by phone, or by any text
--     GET  …/?days=7              by hour and outcome, and why not
--     POST …/?id=ID               action=arrived | not_arrived | replay | cancel, and the token of the form
--     POST …/                     action=pause | resume (rule, template or channel), suppress (id), with the word
--     &format=json                the same for programs; phones are masked here, too. format=csv: a list for a spreadsheet
--     &refresh=30                 the list again every so many seconds
local csv = require "onemsg.base.csv"
local json = require "onemsg.base.json"
local utf8 = require "onemsg.base.utf8"
local onemsg = require "onemsg"
local excerpt = require "onemsg.rules.excerpt"
local request = require "resty.onemsg.request"
local random = require "resty.onemsg.request".random
local html = require "resty.onemsg.serve.status_html"
local phones = require "onemsg.base.phone"
local recipients = require "onemsg.workflow.recipients"
local roles = require "onemsg.policy.roles"
local store_stats = require "resty.onemsg.stats"
local worker = require "resty.onemsg.worker"

local M = {}

local PAGE = 50         -- confirmations on one page
local CSV_MOST = 1000   -- in one table
local CSV_COLUMNS = { "changed_at", "state", "id", "type", "rule", "recipient", "channel", "template", "language", "message_id",
  "code", "attempts", "reason" }
local FORM_BYTES = 16384
local COOKIE = "onemsg_form"
local OVERLAP_S = 1e-6  -- pages overlap by so much, so that no two with one time of change fall between them

local function hex(bytes)
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

-- Who ---------------------------------------------------------------------------------------------------------------

--- Whose token the request has (name, may), and whether a browser may have added it by itself. nil: nobody's.
local function operator(settings)
  local one = request.operator(settings, request.bearer())
  if one then return { name = one.name or "operator", may = one.may }, false end
  one = request.operator(settings, request.password())
  return one and { name = one.name or request.user() or "operator", may = one.may }, true
end

--- What a form must carry: it belongs to this browser's cookie, which no other site can read or send (SameSite).
local function form_token(settings, cookie)
  return hex(onemsg.hmac(settings.key, "form " .. cookie))
end

local function cookie_of(settings)
  local cookie = ngx.var["cookie_" .. COOKIE]
  if cookie and cookie:find "^%x+$" and #cookie == 32 then return cookie end
  cookie = hex(random(settings, 16))
  ngx.header["Set-Cookie"] = ("%s=%s; HttpOnly; SameSite=Strict%s"):format(COOKIE, cookie,
    ngx.var.scheme == "https" and "; Secure" or "")
  return cookie
end

-- Answers -----------------------------------------------------------------------------------------------------------

local function headers(nonce)
  ngx.header["Content-Security-Policy"] = "default-src 'none'; style-src 'nonce-" .. nonce
    .. "'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
  ngx.header["X-Content-Type-Options"] = "nosniff"
  ngx.header["Referrer-Policy"] = "no-referrer"
  ngx.header["Cache-Control"] = "no-store"
end

local function new_page(settings, args)
  local nonce = hex(random(settings, 12))
  headers(nonce)
  return { nonce = nonce, now = ngx.now(), json = args.format == "json", csv = args.format == "csv", settings = settings }
end

local function problem(page, status, sentence)
  if page.json then return request.fail(status, sentence) end
  if status == 503 then ngx.header["Retry-After"] = request.RETRY_AFTER end
  return request.answer(status, html.TYPE, html.problem(page, sentence))
end

--- As show and list give it, but all names of the recipient masked for who may not see them whole.
local function masked(page, confirmation)
  if not (page.who and roles.may(page.who.may, "whole")) then phones.hide(confirmation) end
  return confirmation
end

--- JSON of a confirmation. cjson writes an empty table as an object, so empty lists are left out.
local function json_of(confirmation)
  for name, value in pairs(confirmation) do
    if type(value) == "table" and next(value) == nil then confirmation[name] = nil end
  end
  return json.encode(confirmation)
end

--- A call of the workflow: value, or nil, sentence, status.
local function ask(flow, method, ...)
  local ok, value, err = pcall(flow[method], flow, ...)
  if not ok then return nil, "invalid: " .. tostring(value):gsub("^[^\n]-%.lua:%d+: ", ""), 400 end
  if value == nil and err then return nil, err, request.status_of(err) end
  return value
end

-- Pages -------------------------------------------------------------------------------------------------------------

local function text(value)
  return type(value) == "string" and value ~= "" and value or nil
end

--- The rule that decided, as it was then and as it is now.
-- @treturn ?table name; was, is: texts, nil where there is none (any more)
local function rule_of(flow, confirmation)
  local name = confirmation.rule
  local kept = name and confirmation.version and flow:rules_text(confirmation.version)
  if not kept then return nil end
  local now = flow:ruleset(flow.now())
  return { name = name, was = excerpt.of(kept.source, name), is = now and now.source and excerpt.of(now.source, name) }
end

local function show(page, flow, id)
  local confirmation, err, status = ask(flow, "show", id)
  if err then return problem(page, status, err) end
  if not confirmation then return problem(page, 404, "There is no confirmation with the id " .. id .. ".") end
  masked(page, confirmation)
  if page.json then return request.answer(200, "application/json", json_of(confirmation) .. "\n") end
  return request.answer(200, html.TYPE, html.one(page, confirmation, rule_of(flow, confirmation)))
end

--- The same as a table for a spreadsheet.
local function csv_of(page, found)
  local lines = { csv.line(CSV_COLUMNS) }
  for _, one in ipairs(found) do
    masked(page, one)
    local row = {}
    for n, name in ipairs(CSV_COLUMNS) do row[n] = one[name] or "" end
    row[1] = os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(one.changed_at))
    lines[#lines + 1] = csv.line(row)
  end
  ngx.header["Content-Disposition"] = 'attachment; filename="confirmations.csv"'
  return request.answer(200, "text/csv; charset=utf-8", table.concat(lines, "\r\n") .. "\r\n")
end

local function list(page, flow, args)
  local before = tonumber(args.before)
  local found, err, status = ask(flow, "list",
    { state = text(args.state), phone = page.phone, find = page.find, before = before, limit = page.csv and CSV_MOST or PAGE })
  if not found then return problem(page, status, err) end
  if page.csv then return csv_of(page, found) end
  local stats
  stats, err = store_stats.read()
  if not stats then return problem(page, request.status_of(err), err) end
  local rows = {}
  for i, one in ipairs(found) do
    rows[i] = masked(page, one)
    if page.json then rows[i] = json_of(one) end
  end
  local first, last = found[1], found[#found]
  if #found == PAGE then
    page.older = last.changed_at == first.changed_at and last.changed_at or last.changed_at + OVERLAP_S
  end
  if page.json then
    return request.answer(200, "application/json", ('{"states":%s,"due":%d,"confirmations":[%s]%s}\n'):format(
      json.encode(next(stats.states) and stats.states or { queued = 0 }), stats.due, table.concat(rows, ","),
      page.older and (',"older":"%.17g"'):format(page.older) or ""))
  end
  page.state, page.before, page.problem = text(args.state), before, stats.rules.problem
  return request.answer(page.find and not first and 404 or 200, html.TYPE, html.list(page, rows, stats))
end

--- A text that may be an id or a phone: the one whose id it is, else all to this phone.
local function find(page, flow, args)
  local q = utf8.trim(args.q)
  page.q = q
  local one, err, status = ask(flow, "show", q)
  if err then return problem(page, status, err) end
  if one then return show(page, flow, q) end
  page.phone = recipients.find(flow, q)
  -- the last digits of a phone, or an order number, may look like another one
  local none = page.phone and #(ask(flow, "list", { phone = page.phone, limit = 1 }) or {}) == 0
  if not page.phone or none and #(ask(flow, "list", { find = q, limit = 1 }) or {}) > 0 then
    page.phone, page.find = nil, q
  end
  return list(page, flow, { before = args.before, state = args.state })
end

local ACTIONS = {
  arrived     = function(flow, id, by) return ask(flow, "settle", id, "arrived", { by = by }) end,
  not_arrived = function(flow, id, by) return ask(flow, "settle", id, "not_arrived", { by = by }) end,
  replay      = function(flow, id, by) return ask(flow, "replay", id, { by = by }) end,
  cancel      = function(flow, id, by) return ask(flow, "cancel", id, { by = by }) end,
}

--- What needs a word, so that no slip of a finger does it.
local WORDS = { pause = "pause", suppress = "suppress" }

--- Actions that are about more than one confirmation: what becomes of the form, or nil, sentence, status.
local WIDE = {
  pause = function(flow, form, by)
    return ask(flow, "pause", { rule = text(form.rule), template = text(form.template), channel = text(form.channel), by = by })
  end,
  resume = function(flow, form, by)
    return ask(flow, "resume", { rule = text(form.rule), template = text(form.template), channel = text(form.channel), by = by })
  end,
  suppress = function(flow, form, by)
    local one, err, status = ask(flow, "show", text(form.id) or "")
    if not one then return nil, err or "There is no such confirmation.", status or 404 end
    if not one.recipient then return nil, "invalid: this confirmation is to nobody", 400 end
    return ask(flow, "suppress", one.recipient, { reason = "by " .. by, by = by })
  end,
}

local function act_wide(page, flow, form, by)
  if WORDS[form.action] and text(form.word) ~= WORDS[form.action] then
    return problem(page, 400, ("Write the word %s to confirm that. Nothing was changed."):format(WORDS[form.action]))
  end
  local done, err, status = WIDE[form.action](flow, form, by)
  if not done then return problem(page, status, err) end
  store_stats.forget()
  if page.json then
    return request.answer(200, "application/json", json.encode(type(done) == "table" and done or { skipped = done }) .. "\n")
  end
  ngx.header["Location"] = text(form.id) and "?id=" .. ngx.escape_uri(form.id) or "?"
  return request.answer(303, "text/plain", "")
end

local function act(page, flow, id, action, by)
  if not id or not ACTIONS[action] then
    return problem(page, 400, "invalid: give ?id= and action=arrived, not_arrived, replay or cancel")
  end
  local changed, err, status = ACTIONS[action](flow, id, by)
  if not changed then return problem(page, status, err) end
  store_stats.forget()
  if page.json then return request.answer(200, "application/json", json_of(masked(page, changed)) .. "\n") end
  ngx.header["Location"] = "?id=" .. ngx.escape_uri(id)
  return request.answer(303, "text/plain", "")
end

local function post(page, flow, args, by_browser)
  local body, status, sentence = request.body(FORM_BYTES)
  if not body then return problem(page, status, sentence) end
  local form = ngx.decode_args(body, 20)
  if not form then return problem(page, 400, "invalid: the form cannot be read") end
  if by_browser then
    local cookie = ngx.var["cookie_" .. COOKIE]
    if not cookie or not onemsg.equal(form_token(page.settings, cookie), tostring(form.token)) then
      return problem(page, 403, "This form is too old, or came from elsewhere. Open the confirmation again.")
    end
  end
  if WIDE[form.action] then return act_wide(page, flow, form, page.who.name) end
  return act(page, flow, text(args.id), form.action, page.who.name)
end

local function unauthorized(page, settings)
  if #settings.operators == 0 then
    request.say("the operator's page is refused: init has neither operators (ONE_MSG_OPERATORS), operator_token "
      .. "(ONE_MSG_OPERATOR_TOKEN) nor open = true")
    return problem(page, 403, "This page is closed: give init an operator_token (ONE_MSG_OPERATOR_TOKEN), or, where "
      .. "nginx itself guards it, open = true.")
  end
  ngx.header["WWW-Authenticate"] = 'Basic realm="onemsg", charset="UTF-8"'
  return problem(page, 401, "Please sign in: any name, and the operator's token as the password.")
end

--- Serves one request. For resty.onemsg.serve_status.
-- @tparam table settings
function M.serve(settings)
  local method, args = ngx.req.get_method(), ngx.req.get_uri_args(20)
  local page = new_page(settings, args)
  if method ~= "GET" and method ~= "HEAD" and method ~= "POST" then return request.wrong_method "GET, HEAD, POST" end
  local who, by_browser = operator(settings)
  page.who = who
  if not who and (method == "POST" or args.sign_in or not settings.open) then
    return unauthorized(page, settings)
  end
  local changes = who ~= nil and roles.may(who.may, "change")
  if method == "POST" and not changes then
    return problem(page, 403, ("%s may look, and change nothing. Nothing was changed."):format(who.name))
  end
  local flow, err = worker.flow()
  if not flow then return problem(page, 503, err) end
  if method == "POST" then return post(page, flow, args, by_browser) end
  if changes and not page.json then page.token = form_token(settings, cookie_of(settings)) end
  page.may_sign_in = not who and #settings.operators > 0
  if tonumber(args.refresh) then ngx.header["Refresh"] = ("%d"):format(math.min(3600, math.max(5, tonumber(args.refresh)))) end
  if text(args.days) then
    local week, why = store_stats.week()
    if not week then return problem(page, request.status_of(why), why) end
    return request.answer(200, html.TYPE, html.week(page, week))
  end
  if text(args.id) then return show(page, flow, args.id) end
  if text(args.q) then return find(page, flow, args) end
  return list(page, flow, args)
end

return M
