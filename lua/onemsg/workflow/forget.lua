--- onemsg.workflow.forget: a person is forgotten: flow:forget. For onemsg.workflow.
-- What is left is compared by keyed digests. Their key lies outside of the store: the option hash_key, ONE_MSG_HASH_KEY, or a
-- file beside a SQLite store, which the first forget makes.
local check = require "onemsg.base.check"
local content = require "onemsg.workflow.content"
local outbox_forget = require "onemsg.outbox.forget"
local phones = require "onemsg.base.phone"
local recipients = require "onemsg.workflow.recipients"
local utf8 = require "onemsg.base.utf8"

local M = { methods = {} }
local Hand = M.methods

local MARK = outbox_forget.MARK
local KEY_BYTES = 32
local LEAST_DIGITS = 8 -- of a phone without its calling code

local function core() return require "onemsg" and require "onemsg.core" end

local function hex(text)
  return (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function path_of(flow)
  local path = type(flow.store) == "string" and flow.store:match "^sqlite:([^?]+)"
  return path or nil
end

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "*a"
  file:close()
  return text ~= "" and text or nil
end

local function new_key(path)
  local file = assert(io.open("/dev/urandom", "rb"))
  local made, why = core().private_file(path, hex(file:read(KEY_BYTES)))
  file:close()
  if made or why == "exists" then return read(path) end
  return nil, ("config: the key of the digests can't be made at %s: %s"):format(path, why)
end

--- The digest of texts: a function. nil: there is no key yet, so nobody was forgotten here.
-- @tparam ?boolean make the key when there is none
-- @treturn string with nil, where one is to be made: "config: …"
function M.digest(flow, make)
  if flow.digest then return flow.digest end
  local path = path_of(flow)
  local key, err = flow.hash_key or core().getenv "ONE_MSG_HASH_KEY", nil
  if not key and path then key = read(path .. ".key") end
  if not key and make and path then key, err = new_key(path .. ".key") end
  if not key then
    return nil, err or "config: give a hash_key (ONE_MSG_HASH_KEY), which must not lie in the store; what is forgotten "
      .. "is told apart by it"
  end
  local hmac = require "onemsg".hmac
  flow.digest = function(text) return hex(hmac(key, text)) end
  return flow.digest
end

--- Is a repeat of a forgotten event the same?
-- @tparam string digested of the store
-- @tparam string text of the repeat
-- @tparam ?table ignored fields that only this submit leaves out: then nobody can tell, and it counts as the same
-- @treturn ?boolean nil: the event is not forgotten
function M.same(flow, digested, text, ignored)
  if digested:sub(1, #MARK) ~= MARK then return nil end
  local digest = M.digest(flow)
  if not digest or ignored and #ignored > 0 then return true end
  -- who forgot it may have known of no ignored fields
  return digested == MARK .. digest(content.plain(text, flow.event_ignore)) or digested == MARK .. digest(content.plain(text))
end

function M.is_forgotten(row) return row.event:sub(1, #MARK) == MARK end

local TAKES = { phone = "string number", bsuid = "string", username = "string", chat_id = "string", id = "string number",
                country = "string number", by = "string" }

-- All names of whom is meant, and the ids of events: nil, err, info.
local function whom(flow, by)
  local ids, key = {}
  if by.id then
    local row, err, info = flow.box:row(by.id)
    if err then return nil, err, info end
    if not row then return nil, ("invalid: no confirmation has the id %s"):format(by.id), { outcome = "invalid" } end
    key, ids[1] = row.person, row.id
  else
    local address = recipients.named(flow, "forget", by)
    if not address then check.misuse "forget takes a phone, bsuid, username, chat_id or id" end
    local persons, err, info = flow.box:persons { phones.key(address) }
    if not persons then return nil, err, info end
    key = persons[1]
  end
  if not key then return {}, ids end
  local rows, err, info = flow.box.db:read { require "onemsg.outbox.person".names_statement(key) }
  if not rows then return nil, err, info end
  return require "onemsg.outbox.person".names_of(key, rows[1]), ids
end

--- Does the text of an event have one of these names in it, however a phone is written?
local function naming(names)
  local phone, others = nil, {}
  for _, name in ipairs(names) do
    if name:find "^%d+$" then phone = name else others[(name:gsub("@%a+$", ""))] = true end
  end
  local function is_phone(text)
    local digits = text:gsub("%D", ""):gsub("^0+", "")
    return phone and #digits >= LEAST_DIGITS and (phone:sub(-#digits) == digits or digits:sub(-#phone) == phone)
  end
  return function(event)
    for text in event:gmatch '"([^"]*)"' do
      if is_phone(text) or others[text] or others[(text:gsub("^@", ""))] then return true end
    end
    for digits in event:gmatch "%d+" do
      if is_phone(digits) then return true end
    end
    return false
  end
end

-- Is the log of a SQLite store empty? Else what is left, and why.
local function emptied(path)
  local done, why = core().sqlite_empty_log(path)
  if done then return true end
  return false, ("the store has forgotten them, but its files %s and %s-wal may still hold bytes of before, as %s; repeat it")
    :format(path, path, why == "busy" and "somebody reads an old state of it, or writes to it, without an end"
      or "its log could not be emptied: " .. why)
end

--- Forgets a person, by all their names: of their confirmations, and all others of the same events, tombstones stay (id, state,
-- times, a keyed digest of the event), so that the same id stays a duplicate or a conflict. What is queued is cancelled; later
-- statuses are dropped. An endless suppression survives as a digest: it holds when they are named again. Neither the file nor
-- its log holds them afterwards. Waits for the disk: resty.onemsg refuses it. May be repeated; who was interrupted repeats it.
-- @tparam table whom phone | bsuid | username | chat_id | id (of a confirmation), country, by = who
-- @treturn ?table confirmations, cancelled, suppressions (that stay), names: counts; log = true: the write-ahead log was
--   emptied (SQLite), false: it was not within ten seconds; then left = the sentence that says what is left, and why
-- @treturn string with nil: "conflict: …" (one is being sent right now), "config: …" (no key), "store: …"
function Hand:forget(by)
  by = check.options("forget", by, TAKES)
  if type(by.id) == "number" then by.id = ("%.0f"):format(by.id) end
  local who, now = by.by and utf8.line(utf8.repair(by.by, 100)), self.now()
  local digest, why = M.digest(self, true)
  if not digest then return nil, why, { outcome = "invalid" } end
  local names, ids, info = whom(self, by)
  if not names then return nil, ids, info end
  local found, err, more
  if names[1] then
    found, err, more = self.box:that_name(naming(names))
    if not found then return nil, err, more end
    for _, id in ipairs(found) do ids[#ids + 1] = id end
  end
  found, err, more = self.box:of_people(names, ids)
  if not found then return nil, err, more end
  local rows = {}
  for _, row in ipairs(found) do
    if row.state == "sending" then
      return nil, ("conflict: %s is being sent right now; repeat it in a minute"):format(row.id), { outcome = "invalid" }
    end
    if not M.is_forgotten(row) then rows[#rows + 1] = row end
  end
  for n = 1, #rows - 1 do -- by it who was interrupted finds the others: it goes with the last of them
    if rows[n].id == by.id then rows[n], rows[#rows] = rows[#rows], rows[n] end
  end
  local final, kept, info_of = self.box:names_forgotten(names, digest, who, names[1] and phones.mask(names[1]) or ids[1], now)
  if not final then return nil, kept, info_of end
  local cancelled
  cancelled, err, more = self.box:bury(rows, digest, function(row) return content.plain(row.event, self.event_ignore) end, now,
    false, final)
  if not cancelled then return nil, err, more end
  local receipt = { confirmations = #rows, cancelled = cancelled, suppressions = kept, names = #names }
  local path = path_of(self)
  if path then receipt.log, receipt.left = emptied(path) end
  return receipt
end

--- Statuses and messages that are not of people who were forgotten; the others are dropped, and counted.
-- @tparam table found lists of { item } (onemsg.hooks)
function M.sift(flow, found)
  local digest = M.digest(flow)
  if not digest then return found end
  local ids = {}
  for _, one in ipairs(found) do ids[#ids + 1] = one.item.id end
  local set, err, info = flow.box:forgotten_messages(ids, digest)
  if not set then return nil, err, info end
  local left = {}
  for _, one in ipairs(found) do
    if not set[one.item.id] then left[#left + 1] = one end
  end
  return left
end

return M
