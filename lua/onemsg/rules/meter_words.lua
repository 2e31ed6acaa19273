--- The words of a rules script one by one, and the script as it is written anew. For rules.meter.
--
-- What is read is copied as it stands; `place`, `take` and `append` put something before, instead of or behind a word,
-- so every word keeps its line. It also knows which function a variable belongs to. Pure.
local complaint = require "onemsg.rules.complaint"
local scanner = require "onemsg.rules.source"

local concat, find, sub = table.concat, string.find, string.sub
local token = scanner.token

local Reader = {}
Reader.__index = Reader

-- Words -------------------------------------------------------------------------------------------------------------

-- The token that begins at or behind a position, comments passed over.
local function read_token(source, at)
  while true do
    local start = find(source, "%S", at)
    if not start then return "end of script", "", #source + 1, #source + 1 end
    local kind, text, behind = token(source, start)
    if kind ~= "comment" then return kind, text, start, behind end
    at = behind
  end
end

--- Kind and text of the word behind this one.
function Reader:peek()
  local kind, text = read_token(self.source, self.behind)
  return kind, text
end

function Reader:next()
  self.cost.steps = self.cost.steps + 1
  self.last = self.behind
  self.kind, self.text, self.start, self.behind = read_token(self.source, self.behind)
  if self.kind == "symbol" and self.text == "..." then
    self:refuse("'...' is not available in rules: a function here takes one argument, the event")
  elseif self.kind == "name" and self.text == "_ENV" then
    self:refuse("'_ENV' is not available in rules: a rules script only declares")
  end
end

function Reader:refuse(sentence)
  local _, lines = sub(self.source, 1, self.start - 1):gsub("\n", "")
  complaint.complain(sentence, lines + 1)
end

function Reader:is(text) return self.text == text and (self.kind == "symbol" or self.kind == "name") end

-- Takes a word that must stand here. `load` took the script: a miss is a fault of this reader, said, never passed over.
function Reader:expect(text)
  if not self:is(text) then self:refuse("it cannot be read at '" .. sub(self.text, 1, 20) .. "'") end
  self:next()
end

-- What is written ---------------------------------------------------------------------------------------------------

-- Copies the script up to a position.
function Reader:copy(upto)
  if upto > self.copied then
    self.out[#self.out + 1] = sub(self.source, self.copied, upto - 1)
    self.copied = upto
  end
end

-- A place before this word, to be filled later; the number of the place.
function Reader:place()
  self:copy(self.start)
  local at = #self.out + 1
  self.out[at] = ""
  return at
end

-- A piece right behind the last word.
function Reader:append(text)
  self:copy(self.last)
  self.out[#self.out + 1] = text
end

-- This word as a piece of its own, under a number; goes on to the next.
function Reader:take(instead)
  self:copy(self.start)
  local at = #self.out + 1
  self.out[at] = instead or sub(self.source, self.start, self.behind - 1)
  self.copied = self.behind
  self:next()
  return at
end

function Reader:before(place, text) self.out[place] = text .. self.out[place] end

-- A call of an operator, as it begins.
function Reader:call(name, ...) return self.names[name] .. "(" .. concat({ ... }, ",") .. (... and "," or "") end

local function quoted(label) return '"' .. (label or "") .. '"' end

-- Variables ---------------------------------------------------------------------------------------------------------

function Reader:declare(name) self.scope[name] = self.fn end

function Reader:open_scope() self.scope = setmetatable({}, { __index = self.scope, outer = self.scope }) end
function Reader:close_scope() self.scope = getmetatable(self.scope).outer end

-- What must stand before an assignment to a variable of a function around this one: it may belong to another call.
function Reader:owned(name)
  local fn = self.scope[name]
  if not fn or fn == self.fn then return "" end
  if not fn.born then
    self.born = self.born + 1
    fn.born = self.names.born .. self.born
  end
  return self:call("own", fn.born) .. quoted(name) .. ");"
end

--- A reader at the first word.
-- @tparam table names operator = the name it has in what is written; `born` and `value`, beginnings of further names
function Reader.new(source, names)
  local self = setmetatable({ source = source, out = { "" }, copied = 1, behind = 1, last = 1, names = names, born = 0,
    cost = { steps = 0 }, fn = { steps = 0, gotos = {} }, scope = setmetatable({}, {}) }, Reader)
  self:next()
  return self
end

Reader.quoted = quoted

return Reader
