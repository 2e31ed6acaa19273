--- onemsg.codes: what an error of WhatsApp or 1MSG means, who can fix it, and whether a new send helps.
-- The rows stand in onemsg.codes.table; here is the reading of answers (PLATFORM.md 2.1, 2.2, 4).
-- Pure: no I/O, no clock. Nothing raises on any answer, however hostile; only add and add_text raise, on misuse.
--
-- An entry: code     number, or nil for what has none (an HTTP status, 1MSG's own refusals)
--   meaning, hint    sentences: what it says, what to do
--   class            a word of codes.classes, to branch on
--   fault            who can fix it: platform channel template request media recipient rate policy unclassified
--   action           a word of codes.actions
--   scope            what the action concerns: message recipient country template channel
--   retry            true: a new send of the same content can help, *once the failure is proven*
--   wait, factor     seconds before the first new send; growth of that wait (nil: 2)
--   tries            most new sends (nil: until give_up_after)
--   suppress         seconds not to address the scope (recipient, country) again
--   fallback         true: for this one message another way to reach the person is the better next step
-- Entries are shared: read them, don't write them. explain() hands out fresh ones.
local rows = require "onemsg.codes.table"
local utf8 = require "onemsg.base.utf8"
local check = require "onemsg.base.check"

local M = { classes = rows.classes, actions = rows.actions }

local TEXT_CHARS = 300    -- longest sentence handed out, in code points
local SCAN_BYTES = 8192   -- longest text looked at: an error says what it is at its beginning
local SCAN_NODES = 64     -- tables looked at in one answer
local SCAN_DEPTH = 6      -- nesting looked at
local SCAN_ITEMS = 8      -- items looked at in one array

--- A whole number from a number or a string of digits, else nil.
local function whole(value)
  if type(value) == "string" then
    value = #value <= 16 and tonumber((value:match("^%s*(%d+)%s*$")))
  end
  if type(value) ~= "number" or not (value >= 0 and value < 1e7) or value ~= math.floor(value) then return nil end
  return math.floor(value)
end

local function copy(e)
  local c = {}
  for key, value in pairs(e) do c[key] = value end
  return c
end

--- The entry of a code (number or digits), or nil. PLATFORM.md 4.1.
function M.lookup(code)
  local n = whole(code)
  if not n then return nil end
  if rows.by_code[n] then return rows.by_code[n] end
  for _, range in ipairs(rows.ranges) do
    if n >= range[1] and n <= range[2] then
      local e = copy(range[3])
      e.code = n
      return e
    end
  end
  return nil
end

-- Reading answers -----------------------------------------------------------------------------------------------

-- Only these are followed: an answer may also echo what was sent, and that is no evidence.
local inner = { "error", "errors", "meta", "response", "error_data", "data", "result", "message", "details" }
local sentence_keys = { "message", "error", "details", "developerMessage", "developer_message", "error_user_msg",
  "error_user_title", "description", "title", "detail", "reason", "error_description", "msg" }
local code_keys = { "code", "error_code", "errorCode" }

--- Calls visit(table) for the answer and what it wraps, outer first, until visit returns something.
local function walk(decoded, visit)
  local nodes = 0
  local function step(node, depth)
    if type(node) ~= "table" or depth > SCAN_DEPTH or nodes >= SCAN_NODES then return nil end
    nodes = nodes + 1
    local found = visit(node)
    for i = 1, SCAN_ITEMS do
      if found ~= nil or rawget(node, i) == nil then break end
      found = step(rawget(node, i), depth + 1)
    end
    for _, key in ipairs(inner) do
      if found ~= nil then break end
      found = step(rawget(node, key), depth + 1)
    end
    return found
  end
  return step(decoded, 1)
end

--- Calls read(sentence) for each sentence of an object, the most telling first, until read returns something.
local function read_sentences(t, read)
  for _, key in ipairs(sentence_keys) do
    local s = rawget(t, key)
    local found = type(s) == "string" and read(s:sub(1, SCAN_BYTES))
    if found then return found end
  end
  for i = 1, SCAN_ITEMS do -- errors = { "a sentence", … }
    local s = rawget(t, i)
    local found = type(s) == "string" and read(s:sub(1, SCAN_BYTES))
    if found then return found end
  end
  return nil
end

--- Codes of this size are WhatsApp's alone; smaller ones may as well be an HTTP status (200, 400) or a flag (0, 1).
local function unmistakable(n)
  return n ~= nil and n >= 10000 and (M.lookup(n) ~= nil or (n >= 130000 and n <= 139999))
end

--- Does this object look like an error of Meta's, so that a small number in it is Meta's?
local function from_meta(t)
  local kind = rawget(t, "type")
  if type(kind) == "string" and kind:find("Exception", 1, true) then return true end
  return rawget(t, "fbtrace_id") ~= nil or rawget(t, "error_subcode") ~= nil
    or type(rawget(t, "error_data")) == "table" or type(rawget(t, "title")) == "string"
end

local function code_in_object(t)
  for _, key in ipairs(code_keys) do
    local n = whole(rawget(t, key))
    if unmistakable(n) or n and M.lookup(n) and from_meta(t) then return n end
  end
  return nil
end

local function code_in_text(s)
  for digits in s:gmatch("%(#(%d+)%)") do
    local n = whole(digits)
    if n and (unmistakable(n) or M.lookup(n)) then return n end
  end
  for _, pattern in ipairs { "^%s*(%d+)%f[%D]", "[Cc]ode%W+(%d+)%f[%D]", "[Ee]rror%W+(%d+)%f[%D]" } do
    local n = whole(s:match(pattern))
    if unmistakable(n) then return n end
  end
  return nil
end

local function fragment_in(s)
  s = s:lower()
  for _, row in ipairs(rows.texts) do
    local _, last = s:find(row[1], 1, true)
    if last and (not row.behind or s:find(row.behind, last + 1, true)) then return row end
  end
  return nil
end

--- code (or nil), entry (or nil), "number" | "text" | "weak": how it was found.
local function search(decoded, text)
  if type(decoded) ~= "table" then
    decoded = { message = type(decoded) == "string" and decoded or text }
  end
  local code = walk(decoded, code_in_object)
    or walk(decoded, function(t) return read_sentences(t, code_in_text) end)
  if code then return code, M.lookup(code), "number" end
  local row = walk(decoded, function(t) return read_sentences(t, fragment_in) end)
  if not row then return nil end
  local how = row.weak and "weak" or "text"
  if type(row[2]) == "table" then return nil, row[2], how end
  return row[2], M.lookup(row[2]), how
end

--- The code in an answer, a hook's error, or a text: a number in the object, "(#NNN)" or a leading number in its
-- sentences, then known fragments. `text` is read only when `decoded` is not a table: what else stands in an answer is
-- no evidence. An HTTP status (code = 400, httpCode) is never taken for a code.
-- @return code (number) or nil; entry or nil (1MSG's own refusals have an entry and no code; unknown codes of
--   WhatsApp's range have no entry)
function M.find(decoded, text)
  local code, e = search(decoded, text)
  return code, e
end

--- Masks the run of `class` behind each `head`, where the run has something `telling` in it. Each run is looked through
-- once, however many heads stand in it.
local function mask_behind(s, head, class, telling)
  local out, from, at, run_end, mark = {}, 1, 1, 0, 0
  while true do
    local _, last = s:find(head, at)
    if not last then break end
    if last >= run_end then run_end = select(2, s:find("^" .. class .. "*", last + 1)) end
    if last >= mark then mark = s:find(telling, last + 1) or #s + 1 end
    at = last + 1
    if mark <= run_end then
      out[#out + 1] = s:sub(from, last) .. "***"
      from, at = run_end + 1, run_end + 1
    end
  end
  return table.concat(out) .. s:sub(from)
end

--- A run of a JWT's letters, from its beginning on if it is one.
local function mask_jwt(run)
  local from = run:find "eyJ[%w%-_]"
  return from and run:find(".", from + 4, true) and run:sub(1, from - 1) .. "***" or nil
end

-- Whoever wrote the text may want it to take long: no pattern looks at the same run again from its next letter.
local TOKEN = "[Tt][Oo][Kk][Ee][Nn]"
local function mask_tokens(s)
  s = s:gsub("[%w%-_%.]+", mask_jwt)
    :gsub("(" .. TOKEN .. "%s*[:=]%s*[\"'])[^\"']*", "%1***")
    :gsub("(" .. TOKEN .. "%s*[\"'])[^\"']*", "%1***")
  return (mask_behind(s, TOKEN .. "[=: ]+", "[%w%-_%.~+/=]", "%d")
    :gsub("(" .. TOKEN .. "=)[^%s&\"']+", "%1***")
    :gsub("([Bb][Ee][Aa][Rr][Ee][Rr] +)[%w%-_%.~+/=]+", "%1***"))
end

--- One line for people: at most TEXT_CHARS, valid UTF-8, tokens masked; nil where nothing is left.
local function tidy(s)
  s = utf8.repair(mask_tokens(utf8.line(s:sub(1, SCAN_BYTES))), TEXT_CHARS)
  return s ~= "" and s or nil
end

local function spoken(s)
  return s:find("%S") and s or nil
end

--- The sentence for people that an answer contains, or nil. raw is used when decoded is not a table: plain text as it
-- is, of an HTML page its title, of broken JSON nothing. At most 300 characters, valid UTF-8, one line, tokens masked.
function M.text(decoded, raw)
  if type(decoded) == "table" then
    local main = walk(decoded, function(t) return read_sentences(t, spoken) end)
    if not main then return nil end
    local details = walk(decoded, function(t)
      local s = rawget(t, "details")
      return type(s) == "string" and spoken(s) or nil
    end)
    if details and not main:find(details, 1, true) then main = main .. ": " .. details end
    return tidy(main)
  end
  local s = type(decoded) == "string" and decoded or raw
  if type(s) ~= "string" then return nil end
  s = s:sub(1, SCAN_BYTES)
  if s:find("^%s*[{[]") then return nil end -- JSON that could not be read says nothing to people
  if s:find("^%s*<") then s = s:match("<[Tt][Ii][Tt][Ll][Ee][^>]*>([^<]*)<") end
  if s and s:find("^%s*[{%[]") then return nil end -- JSON that broke off: its beginning may say the opposite
  return s and tidy(s)
end

--- sent = false and no jobId: the API's own word that nothing was sent (2.1).
local function refused_in_so_many_words(decoded)
  local sent, job = rawget(decoded, "sent"), rawget(decoded, "jobId")
  return (sent == false or sent == "false") and not (type(job) == "number" or type(job) == "string" and job ~= "")
end

--- Does this answer prove that the message was refused? PLATFORM.md 2.2. In doubt: no.
local function proves(status, decoded, e, how)
  if status == 408 then return false end
  if status >= 300 and status < 500 or status == 501 then return true end
  if type(decoded) ~= "table" then return false end -- a page or a text of some gateway, not the API's word
  if status < 300 and refused_in_so_many_words(decoded) then return true end
  return (how == "number" or how == "text") and e.fault ~= "platform" and e.fault ~= "unclassified"
end

local function entry_of_status(status, decoded)
  if status >= 300 and status < 400 then return rows.redirect end
  if status >= 400 then return rows.by_status[status] or rows.by_status[status < 500 and 400 or 500] end
  return type(decoded) == "table" and refused_in_so_many_words(decoded) and rows.refused or rows.unexpected
end

--- What an answer that is not an acceptance says.
-- @param status HTTP status (number; nil or 0 when there was none)
-- @param decoded the parsed body, or nil
-- @param raw the body's text, or nil; read only when decoded is not a table
-- @param harmless true for a call that sends nothing (GET): repeating it hurts nobody
-- @return a fresh entry, always. `refusal` true: the answer proves that the message was refused, also behind a 5xx.
--   Where refusal is false it is open whether the message left: retry is false and action is "settle"; or, when
--   harmless, retry is true and action is "backoff".
-- @return a sentence of at most 300 characters: "422 namespace is missing" (the status stands there unless it is 2xx)
function M.explain(status, decoded, raw, harmless)
  status = whole(status) or 0
  local code, found, how = search(decoded, raw)
  local e = copy(found or code and rows.unclassified or entry_of_status(status, decoded))
  e.code = code
  e.refusal = proves(status, decoded, e, how)
  if not e.refusal then
    e.retry, e.fallback, e.suppress = harmless == true, nil, nil
    e.action = harmless and "backoff" or "settle"
    e.wait, e.hint = harmless and (e.wait or 5) or nil, rows.actions[e.action]
  end
  local said = M.text(decoded, raw)
  local sentence = said or e.meaning
  if said and e.meaning == rows.unexpected.meaning then sentence = e.meaning .. ": " .. said end
  if status ~= 0 and (status < 200 or status >= 300) and tonumber(sentence:match("^%d+")) ~= status then
    sentence = ("%d %s"):format(status, sentence)
  end
  return e, tidy(sentence)
end

-- Extending -----------------------------------------------------------------------------------------------------

local FIELDS = { code = { 0, 9999999 }, meaning = "string", hint = "string", class = "string", fault = "string",
  action = "string", scope = "string", retry = "boolean", wait = "delay", factor = "number", tries = { 0, 1000 },
  suppress = "delay", fallback = "boolean" }

local function words(set)
  local list = {}
  for word in pairs(set) do list[#list + 1] = word end
  table.sort(list)
  return table.concat(list, ", ")
end

local function check_word(name, value, set)
  if value == nil then
    check.misuse(("codes.add: %s is missing; it is one of: %s"):format(name, words(set)))
  elseif not set[value] then
    check.misuse(("codes.add: %s can't be %q; it is one of: %s"):format(name, value, words(set)))
  end
end

--- Adds an entry, or replaces one, for the rest of the process. Raises on a wrong field.
-- codes.add { code = 131063, class = "recipient", action = "fallback", meaning = "…" [, hint, fault, scope, retry,
-- wait, factor, tries, suppress, fallback] }. fault defaults to "unclassified", which proves nothing behind a 5xx.
function M.add(new)
  if new == nil then check.misuse("codes.add takes a table: codes.add { code = 131063, class = …, … }") end
  new = check.options("codes.add", new, FIELDS, "field")
  local code = whole(new.code)
  if not code then check.misuse("codes.add: code is missing: a whole number") end
  if not new.meaning then check.misuse("codes.add: meaning is missing: one sentence that says what the code means") end
  check_word("class", new.class, rows.classes)
  check_word("action", new.action, rows.actions)
  check_word("fault", new.fault or "unclassified", rows.faults)
  check_word("scope", new.scope or "message", rows.scopes)
  if new.retry and not (new.wait and new.wait > 0) then
    check.misuse("codes.add: retry = true needs wait, the seconds before the first new send")
  end
  local e = rows.entry(new.class, new.fault or "unclassified", new.action, new.meaning, new.hint, new)
  e.code = code
  rows.by_code[code] = e
end

--- Maps a fragment of a text (compared in lower case, before the built-in ones) to a known code. Raises on misuse.
function M.add_text(fragment, code)
  if type(fragment) ~= "string" or #fragment:gsub("%s", "") < 4 then
    check.misuse("codes.add_text: the fragment must be a text of 4 letters or more")
  end
  if not M.lookup(code) then
    check.misuse(("codes.add_text: code %s is not known; add it first with codes.add"):format(tostring(code)))
  end
  table.insert(rows.texts, 1, { fragment:lower(), whole(code) })
end

return M
