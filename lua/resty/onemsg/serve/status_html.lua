--- resty.onemsg.serve.status_html: the operator's page as HTML: tables in, a text out. Everything from outside goes
-- through escape(), and into <bdi>, so that neither markup nor the writing direction of a name changes the page.
-- All links are relative to the one path: "?id=…".
local overview = require "resty.onemsg.serve.overview"
local pauses = require "onemsg.workflow.pauses"
local states = require "onemsg.policy.states"
local templates = require "onemsg.workflow.templates"

local M = {}

M.TYPE = "text/html; charset=utf-8"

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }

local function escape(value)
  return (tostring(value):gsub("[%z\1-\8\11-\31\127]", " "):gsub("[&<>\"']", ENTITIES))
end
M.escape = escape

local function foreign(value)
  return "<bdi>" .. escape(value) .. "</bdi>"
end

local function link(name, value)
  return "?" .. name .. "=" .. escape(ngx.escape_uri(tostring(value)))
end

--- The colour of a state.
local COLOUR = { queued = "wait", sending = "wait", accepted = "going", sent = "going", delivered = "good", read = "good",
  unknown = "doubt", stalled = "doubt", failed = "bad", rejected = "bad", expired = "bad", skipped = "off",
  cancelled = "off" }

local STYLE = [[
:root{--ink:#1c2330;--soft:#667085;--line:#e4e7ec;--back:#f6f7f9;--card:#fff;--link:#175cd3;
--wait:#b54708;--wait-b:#fef0c7;--going:#175cd3;--going-b:#dbeafe;--good:#067647;--good-b:#d1fadf;
--doubt:#7a2e9e;--doubt-b:#f0defc;--bad:#b42318;--bad-b:#fee4e2;--off:#475467;--off-b:#eaecf0}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--soft:#98a2b3;--line:#2c3442;--back:#12161d;--card:#1a202b;
--link:#84adff;--wait:#fec84b;--wait-b:#4e3408;--going:#84adff;--going-b:#1b335c;--good:#6ce9a6;--good-b:#0c3d2a;
--doubt:#dcb3f7;--doubt-b:#43205a;--bad:#fda29b;--bad-b:#55160c;--off:#cbd2dc;--off-b:#323a47}}
*{box-sizing:border-box}body{margin:0;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main,header>div{max-width:1080px;margin:0 auto;padding:0 20px}
header{background:var(--card);border-bottom:1px solid var(--line);margin-bottom:20px}
header>div{display:flex;gap:16px;align-items:center;justify-content:space-between;padding-top:12px;padding-bottom:12px}
header a{font-weight:650;font-size:18px;color:var(--ink)}header form{display:flex;gap:8px;flex:0 1 440px}
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}
input{flex:1;min-width:0;padding:7px 11px;border:1px solid var(--line);border-radius:8px;background:var(--back);
color:inherit;font:inherit}
button{padding:7px 14px;border:1px solid var(--line);border-radius:8px;background:var(--card);color:inherit;
font:inherit;cursor:pointer}button:hover{border-color:var(--link)}
nav{display:flex;flex-wrap:wrap;gap:8px;margin:0 0 16px}
nav a,.pill{border-radius:99px;padding:2px 11px;font-size:13px;font-weight:550;white-space:nowrap}
nav a.here{outline:2px solid currentColor;outline-offset:1px}nav b{font-weight:700;margin-left:4px}
.wait{color:var(--wait);background:var(--wait-b)}.going{color:var(--going);background:var(--going-b)}
.good{color:var(--good);background:var(--good-b)}.doubt{color:var(--doubt);background:var(--doubt-b)}
.bad{color:var(--bad);background:var(--bad-b)}.off{color:var(--off);background:var(--off-b)}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;overflow-x:auto;margin-bottom:20px}
.pad{padding:18px 20px}table{width:100%;border-collapse:collapse}
th{font-size:12px;font-weight:600;color:var(--soft);text-align:left;padding:10px 14px;
border-bottom:1px solid var(--line)}
td{padding:10px 14px;border-bottom:1px solid var(--line);vertical-align:top}tr:last-child td{border-bottom:0}
td.id,dd,.said{overflow-wrap:anywhere}td.id{font-weight:550;min-width:180px;max-width:260px}
.soft,time{color:var(--soft);font-size:13px}
time,.line{white-space:nowrap}h1{font-size:21px;margin:0 0 4px;overflow-wrap:anywhere}h2{font-size:15px;margin:0 0 10px}
dl{display:grid;grid-template-columns:150px 1fr;gap:7px 16px;margin:0}dt{color:var(--soft)}dd{margin:0}
.two{display:grid;grid-template-columns:3fr 2fr;gap:20px;align-items:start}
@media(max-width:760px){.two{grid-template-columns:1fr}dl{grid-template-columns:1fr;gap:0}dd{margin:0 0 9px}
main,header>div{padding-left:14px;padding-right:14px}header>div{flex-wrap:wrap}header form{flex:1 1 100%}
thead{display:none}table,tbody{display:block}tr{display:flex;flex-wrap:wrap;gap:2px 10px;padding:10px 14px;align-items:center;
border-bottom:1px solid var(--line)}td{display:block;padding:0;border:0}td:empty{display:none}td.id{max-width:none;
min-width:0}td.soft{flex:1 1 100%}time,.line{white-space:normal}}
.rule{font-size:.85em;white-space:pre-wrap;overflow-wrap:anywhere;margin:0}
.said{background:var(--good-b);border-radius:4px 14px 14px 14px;padding:10px 14px;margin:0 0 6px;white-space:pre-wrap}
ol{list-style:none;margin:0;padding:0}li{border-left:2px solid var(--line);padding:0 0 14px 16px;position:relative}
li:last-child{padding-bottom:0}li::before{content:"";position:absolute;left:-6px;top:7px;width:10px;height:10px;
border-radius:50%;background:var(--soft)}li:last-child::before{background:var(--link)}
.acts{display:flex;flex-wrap:wrap;gap:10px;margin-top:16px}.alarm{padding:12px 16px;border-radius:10px;margin:0 0 12px}
footer{color:var(--soft);font-size:13px;padding:0 0 30px}]]

-- Pieces ------------------------------------------------------------------------------------------------------------

local UNITS = { { 86400, "d" }, { 3600, "h" }, { 60, "min" }, { 1, "s" } }

--- "3 min", "2 h", "5 d"
local function span(seconds)
  for _, unit in ipairs(UNITS) do
    if seconds >= unit[1] then return ("%d %s"):format(seconds / unit[1], unit[2]) end
  end
  return "a moment"
end

local function ago(at, now)
  if at > now + 1 then return "in " .. span(at - now) end
  return now - at < 1 and "just now" or span(now - at) .. " ago"
end

--- How long ago; the exact time (UTC) when the pointer rests on it, or both.
local function time(at, now, both)
  local exact = os.date("!%Y-%m-%d %H:%M:%S", math.floor(at))
  return ('<time title="%s UTC">%s%s</time>'):format(exact, both and exact .. " · " or "", ago(at, now))
end

local function pill(state)
  return ('<span class="pill %s">%s</span>'):format(COLOUR[state] or "off", escape(state))
end

local function frame(page, title, body)
  return table.concat {
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>', escape(title), " · onemsg</title>",
    '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">',
    '<style nonce="', page.nonce, '">', STYLE, overview.STYLE, "</style></head><body>",
    '<header><div><a href="?">onemsg</a><form method="get" role="search"><input name="q" type="search" value="',
    escape(page.q or ""), '" placeholder="Order, name, phone or its last digits" aria-label="Find by any text" ',
    'autocomplete="off"><button>Find</button></form></div></header><main>', body,
    "<footer>Times are UTC. ",
    page.who and "Signed in as " .. foreign(page.who.name) .. (page.token and "." or ", to look.") or page.may_sign_in
      and 'Read only. <a href="?sign_in=1">Sign in</a> to settle, replay or cancel.' or "Read only.",
    "</footer></main></body></html>\n",
  }
end

--- A button that changes something; `word`: what has to be written for that.
local function form(page, action, label, hidden, word)
  if not page.token then return "" end
  local out = { ('<form class="acts" method="post" action="?"><input type="hidden" name="token" value="%s">'):format(page.token) }
  for name, value in pairs(hidden) do
    out[#out + 1] = ('<input type="hidden" name="%s" value="%s">'):format(name, escape(value))
  end
  if word then
    out[#out + 1] = ('<label class="soft">write <b>%s</b> to confirm <input name="word" size="10" autocomplete="off" '
      .. "required></label>"):format(word)
  end
  out[#out + 1] = ('<button name="action" value="%s">%s</button></form>'):format(action, label)
  return table.concat(out)
end

-- The list ----------------------------------------------------------------------------------------------------------

local function alarms(page, stats)
  local out = {}
  for name, channel in pairs(stats.channels) do
    if channel.breaker ~= "closed" then
      local again = channel.next_at and " It is tried again " .. ago(channel.next_at, page.now) .. "." or ""
      out[#out + 1] = ('<p class="alarm bad"><b>Channel %s is stopped.</b> %s%s</p>'):format(foreign(name),
        foreign(channel.reason or ""), again)
    elseif channel.pause_until and channel.pause_until > page.now then
      out[#out + 1] = ('<p class="alarm wait">Channel %s pauses for %s.</p>'):format(foreign(name),
        span(channel.pause_until - page.now))
    end
  end
  for _, park in ipairs(stats.parked) do
    out[#out + 1] = ('<p class="alarm wait">Messages of template %s (%s) are set aside: %s</p>'):format(
      foreign(park.template), escape(park.language), foreign(park.reason))
  end
  for _, one in ipairs(stats.templates) do
    for _, what in ipairs(templates.amiss(one)) do
      if what.kind == "quality" then -- the others are set aside, or the rules allow them
        out[#out + 1] = ('<p class="alarm wait">Template %s (%s): %s.</p>'):format(foreign(one.name), escape(one.language),
          escape(what.text))
      end
    end
  end
  for _, pause in ipairs(stats.paused) do
    out[#out + 1] = ('<div class="alarm wait"><b>Messages of the %s %s are paused</b> %s.%s</div>'):format(pause.kind,
      foreign(pause.name), foreign(pauses.sentence(pause)), form(page, "resume", "Go on", { [pause.kind] = pause.name }))
  end
  if page.problem then
    out[#out + 1] = '<p class="alarm bad"><b>The rules file is not at work as it is now.</b> '
      .. foreign(page.problem) .. "</p>"
  end
  table.sort(out)
  return table.concat(out)
end

local function tabs(page, stats)
  local out = {}
  for _, one in ipairs(states.list) do
    local state, n = one.name, stats.states[one.name]
    if n or state == page.state then
      out[#out + 1] = ('<a class="%s%s" href="%s" title="%s">%s<b>%d</b></a>'):format(COLOUR[state],
        state == page.state and " here" or "", state == page.state and "?" or link("state", state), one.means,
        state, n or 0)
    end
  end
  return "<nav>" .. table.concat(out) .. "</nav>"
end

local function row(page, one)
  return table.concat { "<tr><td>", time(one.changed_at, page.now), "</td><td>", pill(one.state),
    '</td><td class="id"><a href="', link("id", one.id), '">', foreign(one.id), "</a></td><td>",
    foreign(one.rule or one.type), '</td><td class="line">', one.recipient and foreign(one.recipient) or "",
    '</td><td class="soft">', foreign(one.reason or ""), "</td></tr>" }
end

--- Which machines send.
local function nodes(page, stats)
  local out = {}
  for n, node in ipairs(stats.nodes) do
    out[n] = ("%s: %s, onemsg %s, seen %s"):format(foreign(node.name), node.processes > 0
      and ("%d at work"):format(node.processes) or "<b>none at work</b>", escape(node.version), ago(node.at, page.now))
  end
  return out[1] and '<p class="soft">' .. table.concat(out, " · ") .. "</p>" or ""
end

--- The list.
-- @tparam table page nonce, now, token, may_sign_in, state, before, older, q, phone, problem
-- @tparam table rows confirmations
-- @tparam table stats of flow:stats()
function M.list(page, rows, stats)
  local out = {}
  for i, one in ipairs(rows) do out[i] = row(page, one) end
  local body = #out > 0
    and '<div class="card"><table><thead><tr><th>Changed<th>State<th>Id<th>Rule<th>Phone<th>Why</tr></thead><tbody>'
      .. table.concat(out) .. "</tbody></table></div>"
    or '<div class="card pad">Nothing here' .. (page.state and " that is " .. escape(page.state) or "")
      .. (page.phone and " for this person" or page.find and " with this text" or "") .. ".</div>"
  local filter = (page.state and "&amp;state=" .. escape(ngx.escape_uri(page.state)) or "")
    .. (page.find and "&amp;q=" .. escape(ngx.escape_uri(page.find)) or "")
  local older = page.older and not page.phone and ('<a href="?before=%.17g%s">Older ones</a> · '):format(page.older, filter) or ""
  local links = '<p class="links">' .. older .. '<a href="?days=7">Seven days</a> · <a href="?format=csv' .. filter
    .. '">For a spreadsheet</a> · <a href="?refresh=30' .. filter .. '">Refresh by itself</a></p>'
  local waiting = stats.oldest_due and page.now - stats.oldest_due > 60
    and ('<p class="alarm wait">%d could leave now; the oldest has waited for %s.</p>'):format(stats.due,
      span(page.now - stats.oldest_due)) or ""
  return frame(page, page.state or "Confirmations",
    alarms(page, stats) .. waiting .. tabs(page, stats) .. body .. nodes(page, stats) .. links)
end

--- Today and seven days.
function M.week(page, week)
  return frame(page, "Seven days", overview.html(week, page.now, COLOUR,
    { escape = escape, foreign = foreign, pill = pill, span = span }) .. '<p><a href="?">All confirmations</a></p>')
end

-- One ---------------------------------------------------------------------------------------------------------------

local function buttons(page, one)
  local acts = {}
  if states.doubtful[one.state] then
    acts = { { "arrived", "It arrived" }, { "not_arrived", "It did not arrive" } }
  elseif states.replayable[one.state] then
    acts = { { "replay", "Send it again" } }
  elseif one.state == "queued" then
    acts = { { "cancel", "Cancel it" } }
  end
  if not page.token or #acts == 0 or one.forgotten_at then return "" end
  local out = { ('<form class="acts" method="post" action="%s"><input type="hidden" name="token" value="%s">'):format(
    link("id", one.id), page.token) }
  for _, act in ipairs(acts) do
    out[#out + 1] = ('<button name="action" value="%s">%s</button>'):format(act[1], act[2])
  end
  return table.concat(out) .. "</form>"
end

local function facts(page, one)
  local out = {}
  local function fact(name, value)
    if value then out[#out + 1] = "<dt>" .. name .. "</dt><dd>" .. value .. "</dd>" end
  end
  local function words(name, value) fact(name, value and value ~= "" and foreign(value) or nil) end
  local function moment(name, at) fact(name, at and time(at, page.now, true)) end
  local why = one.why or {}
  words("What happened", why.happened)
  words("Known by", why.evidence)
  words("What comes next", why.next)
  words("What you can do", why.can_do)
  words("Why", one.reason)
  words("Waits because", one.held)
  words("Contradiction", one.contradiction ~= one.reason and one.contradiction or nil)
  words("Settled by hand", one.settled)
  words("Fallback", one.fallback)
  words("Event", one.type)
  words("Rule", one.rule and one.rule .. (one.version and " (version " .. one.version .. ")" or ""))
  words("Phone", one.phone)
  words("Bsuid", one.bsuid)
  words("Username", one.username)
  words("Chat", one.chat_id)
  words("Channel", one.channel)
  words("Template", one.template and one.template .. " (" .. tostring(one.language) .. ")")
  words("Attempts", one.attempts)
  words("Code", one.code)
  words("Message id", one.message_id)
  words("Job id", one.job_id)
  moment("Due", one.due_at)
  moment("Given up", one.give_up_at)
  moment("New message", one.retry_at)
  moment("Fallback due", one.fallback_at)
  moment("Submitted", one.created_at)
  return "<dl>" .. table.concat(out) .. "</dl>"
end

local function steps(page, one)
  local out = {}
  for i, step in ipairs(one.history or {}) do
    out[i] = ("<li>%s %s<br>%s</li>"):format(pill(step.state), time(step.at, page.now, true),
      foreign(step.reason or ""))
  end
  return "<ol>" .. table.concat(out) .. "</ol>"
end

local function news(page, one)
  local out = {}
  for i, status in ipairs(one.statuses or {}) do
    out[i] = ("<li>%s %s <span class=\"soft\">by %s%s</span><br>%s%s</li>"):format(pill(status.status),
      time(status.at, page.now, true), escape(status.source or "?"),
      status.earlier and ", of an earlier message" or "", status.code and escape(status.code) .. " " or "",
      foreign(status.error or ""))
  end
  if #out == 0 then return "" end
  return '<div class="card pad"><h2>What WhatsApp reported</h2><ol>' .. table.concat(out) .. "</ol></div>"
end

local function texts(one)
  local out = {}
  for i, said in ipairs(one.body or {}) do out[i] = '<p class="said">' .. foreign(said) .. "</p>" end
  if #out == 0 then return "" end
  return '<div class="card pad"><h2>Texts in the message</h2>' .. table.concat(out) .. "</div>"
end

--- The rule's text, and what differs today.
local function rule_text(rule)
  if not rule or not rule.was then return "" end
  local today = rule.is == rule.was and '<p class="soft">It is the same today.</p>'
    or rule.is and '<h2>Today it says</h2><pre class="rule">' .. foreign(rule.is) .. "</pre>"
    or '<p class="soft">Today there is no rule of this name.</p>'
  return '<div class="card pad"><h2>The rule that decided</h2><pre class="rule">' .. foreign(rule.was) .. "</pre>" .. today
    .. "</div>"
end

--- One confirmation, as show() gives it, its phone masked.
-- @tparam ?table rule was, is: its text then and now
function M.one(page, one, rule)
  local meaning = (states.by_name[one.state] or {}).means or ""
  return frame(page, one.id, table.concat {
    '<div class="card pad"><h1>', foreign(one.id), "</h1><p>", pill(one.state), " ", meaning, "</p>",
    facts(page, one), buttons(page, one),
    one.rule and form(page, "pause", "Pause this rule", { rule = one.rule }, "pause") or "",
    one.recipient and form(page, "suppress", "Send nothing more to this person", { id = one.id }, "suppress") or "",
    '</div><div class="two"><div><div class="card pad"><h2>History</h2>', steps(page, one), "</div>",
    news(page, one), "</div><div>", texts(one), rule_text(rule), "</div></div>" })
end

--- A sentence instead of a page.
function M.problem(page, sentence)
  return frame(page, "onemsg", '<div class="card pad">' .. foreign(sentence)
    .. '</div><p><a href="?">All confirmations</a></p>')
end

return M
