--- resty.onemsg.serve.overview: today and seven days on the operator's page: by hour and outcome, failures by reason with their
-- meaning, how long it took. Tables in, HTML and inline SVG out; no script. For status_html.
local codes = require "onemsg.codes"
local states = require "onemsg.policy.states"

local M = {}

local HOUR, DAY = 3600, 86400
local WIDTH, HEIGHT, GAP = 720, 120, 2
local ORDER = { "good", "going", "wait", "doubt", "bad", "off" }
local MEANING = { good = "arrived", going = "under way", wait = "waiting", doubt = "in doubt", bad = "not arrived",
                  off = "not sent" }
local FAILED = { failed = true, rejected = true, expired = true, unknown = true, stalled = true, skipped = true }
local REASONS = 20

--- Counts by bar and colour.
local function bars_of(week, colour, first, step, count)
  local bars, most = {}, 0
  for n = 1, count do bars[n] = { total = 0 } end
  for _, one in ipairs(week.hours) do
    local bar = bars[math.floor((one.hour - first) / step) + 1]
    if bar and one.hour >= first then
      local name = colour[one.state] or "off"
      bar[name] = (bar[name] or 0) + one.count
      bar.total = bar.total + one.count
      most = math.max(most, bar.total)
    end
  end
  return bars, most
end

local function said(bar)
  local list = {}
  for _, name in ipairs(ORDER) do
    if bar[name] then list[#list + 1] = bar[name] .. " " .. MEANING[name] end
  end
  return list[1] and table.concat(list, ", ") or "nothing"
end

--- Bars, the newest on the right.
-- @tparam function label(time) → what stands under a bar
local function chart(title, bars, most, first, step, label)
  local out, total = {}, 0
  local width = WIDTH / #bars
  for n, bar in ipairs(bars) do
    local y = HEIGHT
    total = total + bar.total
    out[#out + 1] = ("<g><title>%s: %s</title>"):format(label(first + (n - 1) * step), said(bar))
    out[#out + 1] = ('<rect class="none" x="%.1f" y="0" width="%.1f" height="%d"/>'):format((n - 1) * width, width - GAP, HEIGHT)
    for _, name in ipairs(ORDER) do
      if bar[name] then
        local height = bar[name] / most * HEIGHT
        y = y - height
        out[#out + 1] = ('<rect class="%s-bar" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>'):format(name, (n - 1) * width, y,
          width - GAP, height)
      end
    end
    out[#out + 1] = "</g>"
  end
  return ('<figure><figcaption>%s <span class="soft">%d changes; most at once %d</span></figcaption><svg viewBox="0 0 %d %d" '
    .. 'role="img" aria-label="%s: %d changes">%s</svg><p class="soft axis"><span>%s</span><span>%s</span></p></figure>'):format(
    title, total, most, WIDTH, HEIGHT, title, total, table.concat(out), label(first), label(first + (#bars - 1) * step))
end

local function legend()
  local out = {}
  for n, name in ipairs(ORDER) do out[n] = ('<span class="pill %s">%s</span>'):format(name, MEANING[name]) end
  return '<p class="legend">' .. table.concat(out, " ") .. "</p>"
end

-- Why -----------------------------------------------------------------------------------------------------------------

local function reasons(week, tools)
  local out = {}
  for _, one in ipairs(week.reasons) do
    if FAILED[one.state] and #out < REASONS then
      local entry = one.code and codes.lookup(one.code) or {}
      out[#out + 1] = ('<tr><td class="line">%d</td><td>%s</td><td>%s</td><td class="soft">%s</td></tr>'):format(one.count,
        tools.pill(one.state), tools.foreign(one.reason), tools.escape(entry.meaning and entry.meaning
          .. (entry.hint and ". " .. entry.hint or "") or ""))
    end
  end
  if #out == 0 then return '<div class="card pad">Nothing failed in these seven days.</div>' end
  return '<div class="card"><table><thead><tr><th>Count<th>State<th>Why<th>Meaning, and what to do</tr></thead><tbody>'
    .. table.concat(out) .. "</tbody></table></div>"
end

-- How long ------------------------------------------------------------------------------------------------------------

local function percentile(list, part)
  return list[math.max(1, math.ceil(#list * part))]
end

local function took(title, rows, from, to, tools)
  local list = {}
  for _, row in ipairs(rows) do
    if row[from] and row[to] then list[#list + 1] = math.max(0, row[to] - row[from]) end
  end
  if #list == 0 then return "" end
  table.sort(list)
  return ("<dt>%s</dt><dd>half within %s, 95 of 100 within %s <span class=\"soft\">(of %d)</span></dd>"):format(title,
    tools.span(percentile(list, 0.5)), tools.span(percentile(list, 0.95)), #list)
end

-- The page ------------------------------------------------------------------------------------------------------------

--- @tparam table week of resty.onemsg.stats
-- @tparam number now
-- @tparam table colour state → class
-- @tparam table tools escape, foreign, pill, span of status_html
-- @treturn string HTML
function M.html(week, now, colour, tools)
  local hour, day = math.floor(now / HOUR) * HOUR, math.floor(now / DAY) * DAY
  local today, most_today = bars_of(week, colour, hour - 23 * HOUR, HOUR, 24)
  local days, most_days = bars_of(week, colour, day - 6 * DAY, DAY, 7)
  local times = took("Until 1MSG took it", week.accepted, "created_at", "accepted_at", tools)
    .. took("From there to the phone", week.delivered, "accepted_at", "changed_at", tools)
  return table.concat {
    '<div class="card pad"><h1>Seven days</h1>', legend(),
    chart("The last 24 hours", today, most_today, hour - 23 * HOUR, HOUR, function(at) return os.date("!%H:00", at) end),
    chart("Seven days", days, most_days, day - 6 * DAY, DAY, function(at) return os.date("!%a %d", at) end),
    '<p class="soft">Each confirmation counts where it last changed.</p>',
    times ~= "" and "<dl>" .. times .. "</dl>" or "", "</div>", "<h2>What did not arrive, and why</h2>", reasons(week, tools),
  }
end

M.STYLE = {}
for _, name in ipairs(ORDER) do M.STYLE[#M.STYLE + 1] = (".%s-bar{fill:var(--%s)}"):format(name, name) end
M.STYLE = table.concat(M.STYLE) .. ".none{fill:var(--back)}svg{width:100%;height:auto;display:block}figure{margin:14px 0}"
  .. ".axis{display:flex;justify-content:space-between;margin:4px 0}.legend{display:flex;flex-wrap:wrap;gap:6px}"

assert(states.by_name.unknown) -- FAILED names states
return M
