--- onemsg.base.pieces: a long JSON text is read in pieces, for who has others to serve between two of them. What is read is
-- what lua-cjson reads at once: it reads each piece. For onemsg.base.document.
local cjson = require "cjson.safe"

local M = {}

local byte, find, match, sub, abs = string.byte, string.find, string.match, string.sub, math.abs

local PIECE = 16384 -- bytes that are read at once
M.LONG = 2 * PIECE  -- what is no longer than this is not worth it

local QUOTE, BACKSLASH, LIST, OBJECT = 34, 92, 91, 123

local core -- at the first text: loading this loads no C

--- The name of a member, with its quotes, and where its value begins; nil: it is no member.
local function member(text, first)
  local from = find(text, "%S", first)
  if byte(text, from) ~= QUOTE then return nil end
  local at = find(text, '[\\"]', from + 1)
  while at and byte(text, at) == BACKSLASH do at = find(text, '[\\"]', at + 2) end
  local value = at and match(text, "^%s*:%s*()", at + 1)
  return value and sub(text, from, at), value
end

--- How deep lua-cjson may go inside of something.
local function decoder(depth)
  local json = cjson.new()
  json.decode_max_depth(depth)
  json.decode_invalid_numbers(false)
  return json.decode
end

local Reader = {}
Reader.__index = Reader

--- What a piece says by itself, or why it can't be read.
function Reader:decode(text, level)
  local decode = self.decoders[level]
  if not decode then
    decode = decoder(self.depth - level + 1)
    self.decoders[level] = decode
  end
  return self.read(decode, text)
end

--- The same of a part of a list or object, whose bracket stands in front of it.
-- @treturn ?table a list or object that holds nothing else
function Reader:part(text, first, last, level, is_list)
  local inside = sub(text, first, last)
  if not find(inside, "%S") then return nil, "Expected value but found nothing at character " .. first end
  local part, why = self:decode(is_list and "[" .. inside .. "]" or "{" .. inside .. "}", level)
  if part ~= nil then return part end
  return nil, (why:gsub("at character (%d+)", function(at) return "at character " .. at + first - 2 end))
end

--- One long member.
function Reader:alone(text, first, last, level, is_list)
  local name, at = nil, find(text, "%S", first)
  if not is_list then name, at = member(text, first) end
  local opens = at and at <= last and byte(text, at)
  if opens ~= LIST and opens ~= OBJECT then return self:part(text, first, last, level, is_list) end
  local value, why = self:whole(text, at, last, level + 1)
  if value == nil or is_list then return value and { value }, why end
  local key, wrong = self:decode("[" .. name .. "]", level)
  return key and { [key[1]] = value }, wrong
end

--- A list or object, whatever its length.
function Reader:whole(text, first, last, level)
  if level > self.depth then return nil, ("Found too many nested data structures (%d)"):format(level) end
  local pieces, wrong = core.json_pieces(text, first, last, PIECE)
  self.breathe()
  if not pieces then return nil, "Expected comma or end but found something else at character " .. wrong end
  local whole, is_list, length = {}, byte(text, first) == LIST, 0
  if #pieces == 2 and not find(sub(text, pieces[1], abs(pieces[2])), "%S") then
    return self:decode(sub(text, first, last), level)
  end
  for i = 1, #pieces, 2 do
    local read = pieces[i + 1] < 0 and self.alone or self.part
    local part, why = read(self, text, pieces[i], abs(pieces[i + 1]), level, is_list)
    if not part then return nil, why end
    for key, value in next, part do whole[is_list and length + key or key] = value end
    self.moved(part, whole, is_list and length or nil)
    length = length + #part
    self.breathe()
  end
  return whole
end

--- Reads a text that is longer than M.LONG.
-- @tparam string text
-- @tparam table how depth; breathe(), called between the pieces; read(decode, text), which reads a piece by lua-cjson's decode;
--   moved(part, whole, offset), told of what went over into its list or object
-- @treturn ?any the value
-- @treturn string with nil: what is wrong, in lua-cjson's words
function M.read(text, how)
  core = core or require "onemsg" and require "onemsg.core"
  local reader = setmetatable({ decoders = {}, depth = how.depth, breathe = how.breathe, read = how.read,
    moved = how.moved }, Reader)
  local at = find(text, "%S")
  local opens = at and byte(text, at)
  if opens ~= LIST and opens ~= OBJECT then return reader:decode(text, 1) end
  return reader:whole(text, at, #text, 1)
end

return M
