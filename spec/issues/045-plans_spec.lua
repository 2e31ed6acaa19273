-- However much is stored, a statement of the store reads what it is about: none walks through the confirmations or
-- their history, none sorts them. Every SQL text in lua/onemsg/outbox/ is explained, whoever uses it: they are found
-- as the constants of its functions. What is put together while it runs is recorded from a store in use.
local outbox = require "onemsg.outbox"
local simulation = require "support.simulation"
local sql = require "onemsg.sql"
local witness = require "onemsg.outbox.witness"

local VERBS = { SELECT = true, UPDATE = true, INSERT = true, DELETE = true, WITH = true }

-- Tables that stay small whatever is stored: a row for each channel, template, pause, kind of oddity, unheard word.
local SMALL = { channel = true, park = true, pause = true, p = true, oddity = true, meta = true, ruleset = true, node = true,
  n = true, l = true, template_seen = true, template_look = true }
-- Rows of the statement itself.
local NOTHING = { CONSTANT = true, line = true, times = true, c = true, json_each = true }
-- Indexes that hold only what is under way, in the order in which it is due.
local UNDER_WAY = { "confirmation_lease", "confirmation_give_up", "confirmation_fallback", "confirmation_attend",
  "confirmation_retry", "confirmation_handed", "status_held", "echo_age", "word_open", "person_late" }

-- What may read or sort more, and why: by what the text has in it.
local MAY = {
  { "SELECT state, COUNT(*) AS n FROM confirmation GROUP BY state", "SCAN", "counts all there is, in an index" },
  { "SELECT COUNT(*) AS n FROM status WHERE id IS NULL", "SCAN", "counts what is kept for unknown messages: bounded" },
  { "FROM suppression", "ORDER BY", "a person's list" },
  { "ORDER BY received_at, at, message_id, status", "ORDER BY", "the statuses of one confirmation" },
  { "FROM status s WHERE s.id IS NULL AND s.at", "ORDER BY", "what is kept for unknown messages, of some seconds" },
  { "FROM word WHERE acted_at IS NULL", "ORDER BY", "words that nobody has acted upon" },
  { "FROM departure WHERE +store = $1", "SCAN", "backwards, from the newest: a page" },
  { "FROM departure ORDER BY rowid", "SCAN", "the oldest: some rows" },
  { "SELECT id, event, changed_at FROM confirmation WHERE state = 'skipped'", "ORDER BY", "to forget somebody" },
  { "SELECT channel, source, until_at, lifted_at FROM suppression", "SCAN", "to forget somebody" },
  { "FROM audit ORDER BY place DESC, id DESC LIMIT", "SCAN", "the newest ones, by an index" },
  { "FROM oddity", "ORDER BY", "some kinds" },
  { "WHERE message_id = $1", "UNION", "a message's owners: one or two" },
  { "SELECT id FROM (SELECT id FROM confirmation WHERE attend_at", "UNION", "as many as are asked for" },
  { "ORDER BY changed_at DESC", "ORDER BY", "a person's list by what no index is for" },
}

-- What PostgreSQL alone is asked.
local OTHERS = { "set_config", "current_setting", "clock_timestamp" }

local function clean(text) return (text:gsub("%s+", " "):gsub("^ ", "")) end

--- What is wrong with a line of a plan, or nil.
local function fault(detail, text)
  local kind = detail:match "^SCAN" or detail:match "^(UNION) USING TEMP" or detail:match "USE TEMP B%-TREE FOR.*(ORDER BY)"
    or detail:find "TEMP B%-TREE" and "TEMP"
  if not kind then return nil end
  if kind == "SCAN" then
    local name, index = detail:match "^SCAN ([%w_]+)", detail:match "INDEX ([%w_]+)"
    if SMALL[name] or NOTHING[name] or name:find "^by_" then return nil end
    for _, one in ipairs(UNDER_WAY) do
      if index == one then return nil end
    end
  end
  for _, one in ipairs(MAY) do
    if one[2] == kind and text:find(one[1], 1, true) then return nil end
  end
  return detail .. " in " .. text
end

--- The SQL texts of the store's functions: text → where. Second, those that become a text only with string.format.
local function constants()
  local texts, formats, seen = {}, {}, {}
  local function take(text, where)
    if not VERBS[text:match "^%s*(%u+)%s" or ""] then return end
    for _, word in ipairs(OTHERS) do
      if text:find(word, 1, true) then return end
    end
    local into = text:find("%s", 1, true) and formats or texts
    into[clean(text)] = where
  end
  local function walk(f)
    local about = debug.getinfo(f, "S").source
    if seen[f] or not about:find "onemsg/outbox[/.]" then return end
    seen[f] = true
    for i = 1, 250 do
      local name, value = debug.getupvalue(f, i)
      if not name then break end
      if type(value) == "string" then take(value, name) elseif type(value) == "function" then walk(value) end
    end
  end
  for name, module in pairs(package.loaded) do
    if name:find "^onemsg%.outbox" then
      for _, list in ipairs { module, module.methods or {} } do
        for key, value in pairs(list) do
          if type(value) == "string" then take(value, key) elseif type(value) == "function" then walk(value) end
        end
      end
    end
  end
  return texts, formats
end

describe("the store's statements", function()
  local path, box, db

  before_each(function()
    path = simulation.store_path()
    box = assert(outbox.open("sqlite:" .. path, { "main", "latam" }, true))
    db = assert(sql.open("sqlite:" .. path))
    assert(db:unit { { witness.SCHEMA } }) -- its statements are explained here as well
  end)
  after_each(function()
    db:close()
    box:close()
    simulation.remove(path)
  end)

  local function plan(text)
    local most, statement = 0, { "EXPLAIN QUERY PLAN " .. text }
    for n in text:gmatch "%$(%d+)" do most = math.max(most, tonumber(n)) end
    for n = 1, most do statement[n + 1] = sql.null end
    return assert(db:unit { statement }, text)[1]
  end

  --- Texts that are put together while they are needed, as a workflow asks them: one message is accepted, one refused, one
  -- leads to another way, and lists are looked at by every filter.
  local function composed()
    local asked = {}
    local sim = simulation.new { fallback = { sms = function() return true end }, answer = function(message, n)
      if n == 1 then return { outcome = "accepted", id = "wamid." .. message.phone } end
      return nil, "rejected: no", { outcome = "rejected", code = 131026, retry = false }
    end }
    local flow = sim.flow
    local real = flow.box.db
    flow.box.db = setmetatable({}, { __index = function(_, name)
      return function(_, statements, ...)
        for _, statement in ipairs(type(statements) == "table" and statements or {}) do asked[clean(statement[1])] = true end
        return real[name](real, statements, ...)
      end
    end })
    for n, kind in ipairs { "paid", "paid", "else" } do
      assert(flow:submit { id = "e" .. n, type = kind, phone = "1202555010" .. n, name = "A" })
    end
    sim:advance(2 * 3600)
    for _, by in ipairs { {}, { state = "accepted" }, { phone = "12025550101" }, { rule = "Paid" }, { type = "paid" },
                          { channel = "main" }, { since = 1, before = 2 }, { state = "accepted", since = 1 },
                          { phone = "12025550101", channel = "main" } } do
      assert(flow:list(by))
    end
    flow.box.db = real
    sim:close()
    return asked
  end

  local function complaints()
    local texts, formats = constants()
    local asked, count, found = composed(), 0, {}
    for text in pairs(asked) do texts[text] = texts[text] or "put together" end
    for text, where in pairs(texts) do
      count = count + 1
      for _, line in ipairs(plan(text)) do
        local wrong = fault(line.detail, text)
        if wrong then found[#found + 1] = where .. ": " .. wrong end
      end
    end
    table.sort(found)
    return table.concat(found, "\n"), count, asked, formats
  end

  it("walk through no confirmations and sort none", function()
    local found, count, asked, formats = complaints()
    assert.equal("", found)
    assert.is_true(count > 80, count .. " statements")
    for text, where in pairs(formats) do -- each was seen as it is when it is whole
      local pattern, seen = text:gsub("%%[sd]", "\1"):gsub("%p", "%%%0"):gsub("\1", ".-"), false
      for one in pairs(asked) do seen = seen or one:find(pattern) ~= nil end
      assert.is_true(seen, where .. " was never asked: " .. text)
    end
  end)

  it("nor where the database knows how its rows are spread", function()
    assert(db:unit { { [[
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
      INSERT INTO confirmation(id, parts, event, type, was, state, step, reason, channel, phone, person, template, language,
        message, place, due_at, give_up_at, attempts, otherwise_unknown, created_at, changed_at)
      SELECT 'id-' || i, 1, '{}', 't', CASE WHEN i % 50 = 0 THEN 'new' ELSE 'sending' END,
        CASE WHEN i % 50 = 0 THEN 'queued' ELSE 'accepted' END, 1, '', 'main', '1202' || i, '1202' || i, 't', 'en',
        '{}', i, i, i + 1e6, 1, 0, i, i FROM n]] },
      { "INSERT INTO history(id, step, at, state, reason) SELECT id, 1, created_at, state, '' FROM confirmation" },
      { "ANALYZE" } })
    db:close()
    db = assert(sql.open("sqlite:" .. path))
    assert.equal("", (complaints()))
  end)

  it("would be caught if they did", function()
    for _, row in ipairs {
      { "SELECT * FROM confirmation WHERE rule = $1" },
      { "SELECT * FROM confirmation WHERE state = 'queued' AND channel = $1 ORDER BY changed_at + 1" },
      { "SELECT * FROM history WHERE at > $1" },
      { "SELECT COUNT(*) AS n FROM confirmation WHERE fallback IS NOT NULL" },
    } do
      local wrong
      for _, line in ipairs(plan(row[1])) do wrong = wrong or fault(line.detail, row[1]) end
      assert.is_truthy(wrong, row[1])
    end
  end)
end)
