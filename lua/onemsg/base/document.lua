--- onemsg.base.document: JSON that others wrote, read so that nothing of it is lost on the way through lua-cjson: digits
-- of numbers, the difference between [] and {}, halves of surrogate pairs, a byte order mark. The marks that make it
-- possible are src/json.c's.
--
-- A table that was read so looks as any other. How a number in it was written, and that an empty table is a list, is
-- known here as long as that table lives.
local cjson = require "cjson.safe"
local number = require "onemsg.base.number"
local pieces = require "onemsg.base.pieces"

local M = {}

local type, next, tonumber, byte, sub = type, next, tonumber, string.byte, string.sub

local MARK, LIST = 0xFF, "\255[]"
local BOM = "^\239\187\191"

local core -- at the first text: loading this loads no C

local spellings = setmetatable({}, { __mode = "k" }) -- table = { key = how the number there was written }
local lists = setmetatable({}, { __mode = "k" })     -- empty tables that were []

--- How the number `value` at a key of this table was written, where that is not how number.text writes it; nil also when
-- another number stands there by now.
function M.spelling(t, key, value)
  local known = spellings[t]
  local written = known and known[key]
  return written and tonumber(written) == value and written or nil
end

--- A table with the same keys and values, whose numbers are known to be written as those were.
function M.copy(t)
  local copy = {}
  for key, value in next, t do copy[key] = value end
  spellings[copy] = spellings[t]
  return copy
end

--- Was this empty table a list?
function M.is_list(t) return lists[t] == true end

--- The value that a marked text stands for, and how it was written.
local function unmarked(text, stored)
  if text == LIST then
    local list = {}
    lists[list] = true
    return list
  end
  local value, written = number.read(sub(text, 2))
  -- our own store keeps a number of this size only where it came as a number, which had lost its digits before
  if stored and type(value) == "string" then return tonumber(value) or value end
  if stored and number.shortest(value) == sub(text, 2) then return value end -- it came as a number there
  return value, written
end

local function restore(t, stored)
  for key, value in next, t do
    if type(value) == "table" then
      restore(value, stored)
    elseif type(value) == "string" and byte(value) == MARK then
      local written
      t[key], written = unmarked(value, stored)
      if written then
        local known = spellings[t] or {}
        spellings[t], known[key] = known, written
      end
    end
  end
end

--- How the numbers of a part of a list (from so many places on) or object were written is known of the whole as well.
local function moved(part, whole, places)
  local known = spellings[part]
  if not known then return end
  local all = spellings[whole] or {}
  spellings[whole] = all
  for key, written in next, known do all[places and places + key or key] = written end
end

--- What a text is that is no JSON in UTF-8, and what to do about it; nil: nothing that is known here.
function M.foreign(text)
  local a, b = byte(text, 1, 2)
  if a == 0x1F and b == 0x8B then return "it is compressed (gzip): send it as it is, uncompressed" end
  if a == 0x28 and b == 0xB5 then return "it is compressed (zstd): send it as it is, uncompressed" end
  if a == 0xFE and b == 0xFF or a == 0xFF and b == 0xFE or a == 0 or b == 0 then
    return "it is not UTF-8 (it looks like UTF-16 or UTF-32): send it as UTF-8"
  end
  return nil
end

--- The text without a byte order mark.
function M.bare(text) return (text:gsub(BOM, "", 1)) end

--- A reader of texts.
-- @tparam number depth how deep a text may be nested
-- @tparam string kind "event": what will be said to people; numbers keep their spelling, or become texts where they do
--   not fit. "stored": an event as our store has it. "told": what 1MSG says; whole numbers that do not fit become texts,
--   half a surrogate pair U+FFFD
-- @treturn function of a text, and of breathe, which is called between the pieces of a long one: the value; or nil, what is
--   wrong, and true where it is no text to begin with (M.foreign)
function M.reader(depth, kind)
  local json = cjson.new()
  json.decode_max_depth(depth)
  json.decode_invalid_numbers(false)
  local event, stored = kind ~= "told", kind == "stored"
  local function read(decode, text)
    local ready, marked = core.json(text, event)
    local value, why = decode(ready)
    if value == nil then
      if ready ~= text then why = select(2, decode(M.bare(text))) or why end -- at its place in this text
    elseif marked then
      local whole = { value }
      restore(whole, stored)
      value = whole[1]
    end
    return value, why
  end
  return function(text, breathe)
    core = core or require "onemsg" and require "onemsg.core"
    local value, why
    if breathe and #text > pieces.LONG then
      value, why = pieces.read(M.bare(text), { depth = depth, breathe = breathe, read = read, moved = moved })
    else
      value, why = read(json.decode, text)
    end
    if value ~= nil then return value end
    local foreign = M.foreign(text)
    if foreign then return nil, foreign, true end
    return nil, why
  end
end

return M
