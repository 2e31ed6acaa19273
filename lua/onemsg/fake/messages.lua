--- The messages of the fake 1MSG. Almost no state: an id carries the phone and the moment of acceptance, and the
-- phone's ending (fake/numbers.lua) tells the rest, so that hookInfo answers for the millionth message as for the
-- first. A bounded history serves GET messages.
-- Pure but for the serial number and the history; the time comes as an argument, in seconds.

local numbers = require "onemsg.fake.numbers"
local people = require "onemsg.fake.people"
local templates = require "onemsg.fake.templates"

local M = {}

--- How many messages GET messages can look back. About 1 kB each.
M.HISTORY = 2000

local serial, history, forced

--- The encoder and the decoder of ids; whoever runs this sets them.
M.base64, M.unbase64 = nil, nil

--- Forget everything.
function M.reset()
  serial, history, forced = 0, {}, {}
end
M.reset()

local format, byte, char = string.format, string.byte, string.char
local floor = math.floor

local MARK = "\251\255\191"   -- "+/+/" in base64

--- A whole number as so many bytes, the highest first.
local function pack(n, bytes)
  local out = ""
  for _ = 1, bytes do
    local low = n % 256
    out, n = char(low) .. out, (n - low) / 256
  end
  return out
end

local function unpack_number(text)
  local n = 0
  for i = 1, #text do n = n * 256 + byte(text, i) end
  return n
end

--- A new message id.
-- Looks like WhatsApp's, and holds "+/+/" and "=", so that a client that forgets to percent-encode it is found out. The
-- serial number stands at the end because LuaJIT hashes long strings by their ends: ids that differ only in the middle
-- would all fall into one chain, and a hundred thousand of them make nginx crawl.
-- @tparam string phone digits, or another address (fake/people.lua)
-- @tparam number now seconds
-- @tparam ?string kind "legacy" for the old form
-- @treturn string
function M.new_id(phone, now, kind)
  serial = serial + 1
  local ms = floor(now * 1000)
  if kind == "legacy" then return format("true_%s@c.us_%011X%07X", phone, ms, serial) end
  local head = "\28\24" .. char(#phone) .. phone
  return "wamid." .. M.base64(head .. ("\0"):rep(-#head % 3) .. MARK .. pack(ms, 6) .. pack(serial, 5))
end

--- How many ids were made since the last reset.
function M.made() return serial end

--- What an id says.
-- @tparam string id
-- @treturn ?string phone, nil when the id is none of ours
-- @treturn number seconds at which the message was accepted
-- @treturn number the serial number, counted from 1 since the last reset
function M.parse_id(id)
  local phone, ms, nth = id:match "^true_(%d+)@c%.us_(%x%x%x%x%x%x%x%x%x%x%x)(%x+)$"
  if phone then return phone, tonumber(ms, 16) / 1000, tonumber(nth, 16) end
  local packed = id:match "^wamid%.([%w+/]+=)$"
  if not packed or #packed > 200 then return nil end
  local raw = M.unbase64(packed) or ""
  local length = byte(raw, 3) or 0
  phone = raw:sub(4, 3 + length)
  if raw:sub(1, 2) ~= "\28\24" or raw:sub(-14, -12) ~= MARK or not phone:find "^[%w._@-]+$" then return nil end
  return phone, unpack_number(raw:sub(-11, -6)) / 1000, unpack_number(raw:sub(-5))
end

--- A message whose story is not the row's own (the second message of a number that fails only once). The newest
-- M.HISTORY of them are remembered.
function M.force(id, story)
  if forced[id] == nil then
    forced[#forced + 1] = id
    if #forced > M.HISTORY then forced = {} end
  end
  forced[id] = story
end

--- One status, as WhatsApp words it.
-- @tparam string id
-- @tparam table names of the recipient (fake/people.lua)
-- @tparam table event { status =, error = } out of a story
-- @tparam number at seconds
-- @treturn table
function M.status(id, names, event, at)
  local status = { id = id, type = "message", status = event.status, timestamp = format("%d", floor(at)),
                   recipient_id = names.phone, recipient_user_id = names.bsuid,
                   pricing = { billable = true, pricing_model = "PMP", category = "utility" } }
  local why = event.error
  if why then
    status.pricing = nil
    if why.text then status.error = why.title
    else
      status.errors = { { code = why.code, title = why.title, message = why.title,
                          error_data = { details = why.title } } }
    end
  end
  return status
end

--- The statuses that hookInfo knows by now, newest first: order is not promised, so it is not the obvious one.
-- @tparam string id
-- @tparam number now seconds
-- @tparam number pace seconds that one unit of a story takes
-- @tparam string tell which names it tells of the recipient (fake/people.lua)
-- @treturn table list, empty for an id that is none of ours
function M.hook_info(id, now, pace, tell)
  local list = {}
  local phone, accepted = M.parse_id(id)
  if not phone then return list end
  local row, names = numbers.row(phone), people.names(phone, tell)
  for _, event in ipairs(forced[id] or row.info or row.story) do
    local at = accepted + event.at * pace
    if at <= now then table.insert(list, 1, M.status(id, names, event, at)) end
  end
  return list
end

--- Keep a message for GET messages.
-- @tparam string id
-- @tparam string phone
-- @tparam string|table text a text, or the decoded body of a sendTemplate, which is put into words when asked for
-- @tparam number now seconds
-- @tparam boolean incoming it comes from the customer
-- @treturn number its place in the history, from 1
function M.remember(id, phone, text, now, incoming)
  local n = (history.last or 0) + 1
  history.last = n
  history[n % M.HISTORY] = { n, id, phone, text, now, incoming }
  return n
end

local function shown(entry, tell)
  local n, id, phone, text, at, incoming = entry[1], entry[2], entry[3], entry[4], entry[5], entry[6]
  if type(text) == "table" then text = templates.filled(text) end
  local names = people.names(phone, tell)
  local chat = names.chat
  return { messageNumber = n, id = id, body = text, fromMe = incoming and 0 or 1, self = incoming and 0 or 1,
           time = floor(at), type = "chat", author = incoming and chat or "100200300@c.us", chatId = chat,
           authorBsuid = incoming and names.bsuid or nil, authorUserName = incoming and names.username or nil,
           chatName = phone, senderName = incoming and phone or "onemsg fake" }
end
M.shown = shown

--- GET messages.
-- @tparam table args chatId, msgId, min_time, max_time (unix seconds), lastMessageNumber, last, limit (100; 0: all)
-- @tparam string tell which names it tells of the customers (fake/people.lua)
-- @treturn table list, oldest first
function M.find(args, tell)
  local limit = tonumber(args.limit) or 100
  if limit == 0 then limit = M.HISTORY end
  local newest = history.last or 0
  local from = math.max(newest - M.HISTORY + 1, (tonumber(args.lastMessageNumber) or 0) + 1, 1)
  local low, high = tonumber(args.min_time) or 0, tonumber(args.max_time) or math.huge
  local list = {}
  local first, last, step = from, newest, 1
  if args.last then first, last, step = newest, from, -1 end
  for n = first, last, step do
    local e = history[n % M.HISTORY]
    local at = floor(e[5])
    if at >= low and at <= high and (not args.chatId or args.chatId == people.names(e[3], tell).chat)
       and (not args.msgId or args.msgId == e[2]) then
      table.insert(list, step == 1 and #list + 1 or 1, shown(e, tell))
      if #list >= limit then break end
    end
  end
  return list
end

return M
