--- A process in which Lua runs wherever it can: finalizers and metamethods that send, check, wait, close, raise, encode
-- and collect in the middle of onemsg's calls. Afterwards what arrived is compared with what was asked for, message by
-- message and row by row. Run by spec/issues/030-lua_runs_anywhere_spec.lua:
--
--     lua anywhere.lua SEED STEPS URL TOKEN JOURNAL DATABASE
--
-- It ends with 0, or says what is wrong and ends with 1.
local seed, steps, url, token, journal, database = tonumber(arg[1]), tonumber(arg[2]), arg[3], arg[4], arg[5], arg[6]

local cjson = require "cjson"
local onemsg = require "onemsg"
local core = require "onemsg.core"
local own_json = require "onemsg.base.json"
local sql = require "onemsg.sql"
local sys = require "support.sys"

local JIT = rawget(_G, "jit") ~= nil
local DEPTH = 3                -- a trap in a trap in a trap
local TRAPS = 12               -- that spring during one step: one begets others
local SECONDS = 20             -- until everything that left has arrived
local ACCEPTED, REFUSED, QUEUED = 69, 40, 44 -- what the fake does, by the last digits of the phone
local ENDINGS = { ACCEPTED, ACCEPTED, ACCEPTED, REFUSED, QUEUED }

local failures = {}
local function fail(format, ...) failures[#failures + 1] = format:format(...) end

--- Numbers of a stream of its own, the same on both Luas.
local function stream(start)
  local state = start % 2147483646 + 1
  return function(n)
    state = state * 16807 % 2147483647
    return math.floor(state / 2147483647 * n) + 1
  end
end
local pick, chance = stream(seed * 2), stream(seed * 2 + 1) -- of the calls; of the traps, whose number may vary

-- ---- what was asked for ----

local messages, rows = {}, {}  -- id -> what must arrive, and its fate: "once", "maybe"; nil: never
local serial, row_serial = 0, 0
local now = {}                 -- what the call under way uses: channel, db, pending
local inside = false           -- a call of onemsg is under way: a trap may raise
local depth, springs = 0, 0
local closing = false          -- the Lua state ends
local trap                     -- (declared here; see below)

--- A table whose every absent key springs a trap, and its length and its pairs, where somebody asks for them.
local function armed(t)
  return setmetatable(t, { __index = function() trap() end, __len = function(it) trap() return #rawget(it, "list") end,
    __pairs = function(it) trap() return next, it, nil end, __tostring = function() trap() return "armed" end })
end

local shapes = {
  function(id, m, it) -- the use case, with something to clean
    m.name, m.action, m.next_step = "Maria\t" .. id, "order " .. id, ("for  Maria\n%d"):format(id)
    it.texts = { "Maria " .. id, "order " .. id, "for  Maria " .. id } -- up to four blanks may stay
  end,
  function(id, m, it) -- numbers
    m.name, m.action, m.next_step = id + 0.5, "order " .. id, id
    it.texts = { ("%.14g"):format(id + 0.5), "order " .. id, ("%d"):format(id) }
  end,
  function(id, m, it) -- values that are tables, one of them ready for the API
    m.body = { armed { text = "one " .. id }, armed { text = "order " .. id, name = "n" .. id },
      armed { type = "currency", currency = { code = "EUR", amount_1000 = id, fallback_value = "c" .. id } }, "four\t" .. id }
    it.texts = { "one " .. id, "order " .. id, "c" .. id, "four " .. id }
    it.strange = true -- the fake has no such template; what it says of that needs other words
  end,
  function(id, m, it) -- everything
    m.body = { armed { text = "one " .. id }, "order " .. id }
    m.header = armed { image = "https://example.com/" .. id, filename = "f" .. id }
    m.buttons = { armed { url = "u/" .. id }, armed { sub_type = "quick_reply", index = 1,
      parameters = { { type = "payload", payload = "p" .. id } } } }
    m.ttl = "10m"
    it.texts = { "one " .. id, "order " .. id }
    it.more = { "https://example.com/" .. id, "f" .. id, "u/" .. id, "p" .. id }
    it.strange = true
  end,
}

--- A message that nobody else is to be given, and its entry.
local function new_message(draw)
  serial = serial + 1
  local id = serial -- from here on another may be made in between
  local it = { id = id, ending = ENDINGS[draw(#ENDINGS)] }
  it.phone = ("49151%02d%04d%02d"):format(seed % 100, id, it.ending)
  messages[id] = it
  local m = { phone = it.phone }
  shapes[draw(#shapes)](id, m, it)
  return m, it
end

--- The answer to a message: is it its own? Says what has to arrive.
local function judge(it, receipt, err, info)
  if type(receipt) == "table" then
    it.fate = "once"
    if it.ending == ACCEPTED and receipt.message ~= "Sent to " .. it.phone .. "@c.us"
      or it.ending == QUEUED and receipt.job_id ~= "job-" .. it.phone or it.ending == REFUSED then
      fail("message %d, %s, has the answer %s %s", it.id, it.phone, tostring(receipt.message), tostring(receipt.job_id))
    end
  elseif type(err) ~= "string" or type(info) ~= "table" then
    fail("message %d has the answer %s, %s, %s", it.id, tostring(receipt), tostring(err), tostring(info))
  elseif err:find "^closed: " and info.outcome == "not_sent" then
    it.fate = nil
  elseif err:find "^closed: this pending" or it.cancelled then
    it.fate = it.cancelled and "maybe" or "once"
  elseif err:find "^rejected: " and (it.ending == REFUSED or it.strange) then
    it.fate = "once"
  else
    fail("message %d: %s", it.id, err)
  end
end

--- Runs a call of onemsg. What it raises must come from a trap. Returns whether it returned, and what.
local function call(f, ...)
  local before = inside
  local function done(ok, ...)
    inside = before
    if not ok and not tostring((...)):find("a trap", 1, true) then fail("raised: %s", tostring((...))) end
    return ok, ...
  end
  inside = true -- no table, no closure from here on: what raises is to raise in there
  return done(pcall(f, ...))
end

-- ---- calls ----

local open = {}  -- { pending, entry of a message or a row } in the order of their beginning
local seen = {}  -- what dispatch returned

local function dispatch()
  local ok, list = call(onemsg.dispatch)
  for _, pending in ipairs(ok and list or {}) do
    if seen[pending] then fail("dispatch returned %s twice", tostring(pending)) end
    seen[pending] = true
  end
end

local function judge_row(it, result, err)
  if result then
    it.fate = "once"
    if it.reads and (result[1][1] or {}).id ~= it.id then fail("a read of %d got %s", it.id, tostring(cjson.encode(result))) end
  elseif type(err) ~= "string" or not err:find "^closed: " then
    fail("row %d: %s", it.id, tostring(err))
  elseif err:find "^closed: this store handle" or err:find "^closed: the store is closed" then
    it.fate = nil
  end
end

local function settle(it, ok, ...)
  if not ok then
    it.fate = "maybe"
  elseif it.row then
    judge_row(it, ...)
  else
    judge(it, ...)
  end
end

local function wait(pair)
  now.pending = pair
  local pending, it = pair[1], pair[2]
  local ok, value, err, info = call(pending.wait, pending)
  if ok then settle(it, ok, value, err, info) end -- what raised left nevertheless: its fate is as it was
end

local function unit_of(draw, reads)
  row_serial = row_serial + 1
  local id = row_serial
  local it = { row = true, id = id, reads = reads, text = "row " .. id }
  rows[id] = not reads and it or nil
  if reads then return { { "SELECT $1 AS id, $2 AS text", id, it.text, expect = 1 } }, it end
  local unit = { { "INSERT INTO t(id, text) VALUES($1, $2)", id, it.text, expect = 1 } }
  for i = 1, draw(3) do unit[i + 1] = { "SELECT text FROM t WHERE id = $1", id } end
  return unit, it
end

local function new_channel()
  local options = armed { base_url = url, token = token, template = "action_success", language = "en",
    namespace = "fa4e1a5e_0000_4fa4_9a4e_0123456789ab", timeout = 10 }
  local ok, channel, err = call(onemsg.new, options)
  if ok and not channel then fail("onemsg.new: %s", err) end
  return ok and channel or new_channel()
end

local function new_database()
  local ok, db, err = call(sql.open, "sqlite:" .. database, armed {})
  if ok and not db then fail("sql.open: %s", err) end
  return ok and db or new_database()
end

local calls
calls = {
  send = function(draw)
    local m, it = new_message(draw)
    it.main = depth == 0
    settle(it, call(now.channel.send, now.channel, m))
  end,
  async = function(draw)
    local m, it = new_message(draw)
    local ok, pending, err, info = call(now.channel.async, now.channel, "send", m)
    if ok and pending then
      it.fate = "once"
      open[#open + 1] = { pending, it }
    elseif ok then
      settle(it, ok, pending, err, info)
    end -- what raised before there was a pending has not begun
  end,
  wait = function(draw)
    if #open > 0 then wait(open[draw(#open)]) end
  end,
  check = function(draw)
    local m, it = new_message(draw)
    local ok, result, err = call(now.channel.check, now.channel, m)
    if ok and result and (result.phone ~= it.phone or result.body[2] ~= it.texts[2]) then
      fail("check of %s got %s, %s", it.phone, tostring(result.phone), tostring(result.body[2]))
    elseif ok and not result and not err:find "^closed: " then
      fail("check: %s", err)
    end
  end,
  hookInfo = function(draw)
    local id = "wamid." .. draw(1e6)
    local ok, report, err = call(now.channel.hookInfo, now.channel, id)
    if ok and report and report.id ~= id then fail("the report of %s is of %s", id, tostring(report.id)) end
    if ok and not report and err:find "^invalid: " then fail("hookInfo: %s", err) end
  end,
  request = function(draw)
    local m, it = new_message(draw)
    local body = { phone = it.phone, template = "action_success", params = {}, language = { code = "en" },
      namespace = "fa4e1a5e_0000_4fa4_9a4e_0123456789ab" }
    body.params[1] = { type = "body", parameters = {} }
    for i, text in ipairs(it.texts) do body.params[1].parameters[i] = { type = "text", text = text } end
    it.more = nil
    local ok, value, err = call(now.channel.request, now.channel, "POST", "sendTemplate", body)
    local begun = not (ok and not value and err:find "^closed: ")
    it.fate = not ok and "maybe" or begun and "once" or nil
    if ok and value and it.ending == ACCEPTED and value.message ~= "Sent to " .. it.phone .. "@c.us" then
      fail("request for %s has the answer %s", it.phone, tostring(value.message))
    end
    return m
  end,
  send_each = function(draw)
    local list, entries, answered = {}, {}, {}
    for i = 1, 1 + draw(9) do list[i], entries[i] = new_message(draw) end
    local ok = call(function()
      for i, receipt, err, info in now.channel:send_each(setmetatable(list, { __index = function() trap() end }),
        armed { window = draw(4) }) do
        if answered[i] then fail("send_each yields %d twice", i) end
        answered[i] = true
        settle(entries[i], true, receipt, err, info)
      end
    end)
    for i, it in ipairs(entries) do
      if not answered[i] then it.fate = "maybe" end
      if ok and not answered[i] then fail("send_each did not yield %d", i) end
    end
  end,
  messages = function(draw) call(now.channel.messages, now.channel, armed { limit = draw(50) }) end,
  settings = function() call(now.channel.settings, now.channel, { ackNotificationsOn = true }) end,
  setWebhook = function(draw) call(now.channel.setWebhook, now.channel, { "https://example.com/" .. draw(1e6) }) end,
  webhook = function() call(now.channel.webhook, now.channel) end,
  templates = function() call(now.channel.templates, now.channel) end,
  stats = function()
    local ok, stats, err = call(now.channel.stats, now.channel)
    if ok and stats and not (stats.accepted >= 0 and stats.latency.count >= 0) then fail "stats" end
    if ok and not stats and not err:find "^closed: " then fail("stats: %s", err) end
    ok, stats, err = call(now.db.stats, now.db)
    if ok and not stats and not err:find "^closed: " then fail("stats: %s", err) end
  end,
  words = function()
    for _, it in ipairs { now.channel, now.db, now.pending and now.pending[1] or now.db } do
      local ok, word = call(tostring, it)
      if ok and not word:find "^onemsg%.%a+ %(" then fail("tostring: %s", word) end
    end
  end,
  unit = function(draw)
    local unit, it = unit_of(draw)
    settle(it, call(now.db.unit, now.db, unit))
  end,
  read = function(draw)
    local unit, it = unit_of(draw, true)
    settle(it, call(now.db.read, now.db, unit))
  end,
  async_unit = function(draw)
    local unit, it = unit_of(draw)
    local ok, pending, err = call(now.db.async, now.db, unit)
    if ok and pending then
      it.fate = "once"
      open[#open + 1] = { pending, it }
    elseif ok then
      settle(it, ok, pending, err)
    end
  end,
  dispatch = dispatch,
  new = function() new_channel():close() end,
  open = function() new_database():close() end,
}

-- ---- traps ----

local acts = {
  calls.send, calls.async, calls.async, calls.check, calls.check, calls.check, calls.wait, calls.stats, calls.words,
  calls.unit, calls.async_unit, calls.dispatch, calls.hookInfo, calls.send_each,
  function() now.channel:close() end,
  function() now.db:close() end,
  function() collectgarbage() end,
  function() collectgarbage "step" end,
  function() error("a trap", 0) end,
  function()
    if closing then return end -- lua-cjson's own kept buffer is gone by then, on LuaJIT
    for _, json in ipairs { cjson, own_json } do json.encode { words = ("another's "):rep(chance(60)) } end
  end,
  function() cjson.decode '{"phone":"another","list":[1,2,{"a":null}]}' end,
  function()
    local pair = now.pending
    if not pair then return end
    pair[2].cancelled = not pair[2].row or nil
    if pair[2].row and pair[2].fate then pair[2].fate = "maybe" end
    pair[1]:cancel()
  end,
  function()
    if now.pending then getmetatable(now.pending[1]).__gc(now.pending[1]) end -- as if it were collected
  end,
}

function trap()
  if not inside or depth >= DEPTH or springs == 0 then return end
  local saved = now.pending
  depth, springs = depth + 1, springs - 1
  local ok, err = pcall(acts[chance(#acts)], chance)
  depth = depth - 1
  now.pending = saved
  if not ok then error(err, 0) end
end

--- Garbage that springs traps when it is collected.
local function plant(count)
  for _ = 1, count do
    if JIT then
      getmetatable(newproxy(true)).__gc = function() trap() end -- luacheck: ignore newproxy
    else
      setmetatable({}, { __gc = function() trap() end })
    end
  end
end

-- ---- what arrived ----

--- The texts of a message in the order of the wire: of the body, and of the header and the buttons.
local function texts_of(body)
  local texts, more = {}, {}
  for _, component in ipairs(body.params or {}) do
    for _, p in ipairs(component.parameters) do
      if component.type == "body" then
        texts[#texts + 1] = p.text or p.currency.fallback_value
      elseif p.image then
        more[#more + 1] = p.image.link
        more[#more + 1] = p.image.filename
      else
        more[#more + 1] = p.text or p.payload
      end
    end
  end
  return texts, more
end

--- Counts by id; says what is wrong with a message if `say`.
local function read_journal(say)
  local counts, order = {}, {}
  for line in io.lines(journal) do
    local entry = cjson.decode(line)
    if entry.verb == "POST" and entry.path:find "/sendTemplate$" and entry.phone
       and entry.phone:sub(1, 7) == ("49151%02d"):format(seed % 100) then
      local body = cjson.decode(entry.body)
      local texts, more = texts_of(body)
      local id = tonumber((texts[2] or ""):match "^order (%d+)$")
      local it = messages[id]
      if it then
        counts[id] = (counts[id] or 0) + 1
        if it.main then order[#order + 1] = id end
      end
      if say and (not it or body.phone ~= it.phone or table.concat(texts, "|") ~= table.concat(it.texts, "|")
        or table.concat(more, "|") ~= table.concat(it.more or {}, "|")) then
        fail("this left: %s", entry.body)
      end
    end
  end
  return counts, order
end

local function compare_messages()
  local counts, order, until_s = nil, nil, sys.now() + SECONDS
  local function complete()
    counts, order = read_journal(false)
    for id, it in pairs(messages) do
      if it.fate == "once" and not counts[id] then return false end
    end
    return true
  end
  while not complete() and sys.now() < until_s do sys.poll(-1, 0.02) end
  read_journal(true)
  local left = 0
  for id, it in pairs(messages) do
    local count = counts[id] or 0
    left = left + count
    if it.fate == "once" and count ~= 1 or not it.fate and count ~= 0 or count > 1 then
      fail("message %d (%s) left %d times", id, it.fate or "never", count)
    end
  end
  for i = 2, #order do
    if order[i] < order[i - 1] then fail("message %d left after %d", order[i - 1], order[i]) end
  end
  return left
end

local function compare_rows()
  local stored, count = {}, 0
  for _, row in ipairs(assert(now.db:unit { { "SELECT id, text FROM t" } })[1]) do
    count = count + 1
    stored[row.id] = row.text
    if not rows[row.id] or not rows[row.id].fate or row.text ~= rows[row.id].text then
      fail("row %d, %s, was not asked for", row.id, row.text)
    end
  end
  for id, it in pairs(rows) do
    if it.fate == "once" and not stored[id] then fail("row %d is not stored", id) end
  end
  return count
end

-- ---- all together ----

local names = {}
for name in pairs(calls) do names[#names + 1] = name end
table.sort(names)

collectgarbage("setpause", 100)
collectgarbage("setstepmul", 400)
now.channel, now.db = new_channel(), new_database()
assert(now.db:unit { { "CREATE TABLE t(id INTEGER PRIMARY KEY, text TEXT NOT NULL)" } })
for _ = 1, steps do
  if not now.channel:stats() then now.channel = new_channel() end
  if not now.db:stats() then now.db = new_database() end
  springs = TRAPS
  plant(pick(6))
  calls[names[pick(#names)]](pick)
end
springs = 0
if not now.db:stats() then now.db = new_database() end
for _, pair in ipairs(open) do wait(pair) end
dispatch()
if core.under_way() ~= 0 then fail("%d calls are under way", core.under_way()) end
local left, stored = compare_messages(), compare_rows()
for i = 1, math.min(#failures, 20) do print(failures[i]) end
print(("%d steps, %d messages asked for, %d left, %d rows, %d faults"):format(steps, serial, left, stored, #failures))
springs, closing = 50, true
plant(springs)
inside = true -- and the end of the Lua state is no exception
os.exit(#failures == 0 and 0 or 1, true)
