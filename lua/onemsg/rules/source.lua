--- The text of a rules script before it runs: its words with their lines, its version.
--
-- Why a lexer of our own beside Lua's: a declaration knows the line where it starts, and people want the line of
-- the field they mistyped; and one `..` of many operands multiplies a text in a single step of the machine, which
-- no instruction budget sees (rules/sandbox). It reads tokens only; that the script is Lua at all is `load`'s to say.
-- Pure. Works on the longest script that rules.load takes (1 MiB) in a fraction of a second.
local plain = require "onemsg.base.utf8"

local M = {}

local find, sub, byte, match, format, floor =
  string.find, string.sub, string.byte, string.match, string.format, math.floor

-- The position behind a long bracket that opens at `at`, or nil when none does.
local function long_bracket(source, at)
  local level = match(source, "^%[(=*)%[", at)
  if not level then return nil end
  local _, stop = find(source, "]" .. level .. "]", at + #level + 2, true)
  return (stop or #source) + 1
end

-- The position behind a quoted text that opens at `at`, and the text as it is written.
local function quoted(source, at)
  local quote, position = sub(source, at, at), at + 1
  while true do
    local stop = find(source, "[\\\"'\r\n]", position)
    if not stop then return #source + 1, "" end
    local char = sub(source, stop, stop)
    if char == "\\" then
      -- \z swallows the blanks behind it, line breaks included; any other escape takes one character
      if sub(source, stop + 1, stop + 1) == "z" then
        position = (match(source, "^%s*()", stop + 2))
      elseif find(source, "^\r\n", stop + 1) or find(source, "^\n\r", stop + 1) then
        position = stop + 3
      else
        position = stop + 2
      end
    elseif char == quote then
      return stop + 1, sub(source, at + 1, stop - 1)
    elseif char == "\n" or char == "\r" then
      return stop, ""
    else
      position = stop + 1
    end
  end
end

--- One token that begins at `at`, no blank there: its kind ("name", "number", "text", "symbol", "comment"), its
-- text (nothing for comments and long texts), the position behind it.
function M.token(source, at)
  local char = sub(source, at, at)
  if sub(source, at, at + 1) == "--" then
    return "comment", "", long_bracket(source, at + 2) or find(source, "[\r\n]", at) or #source + 1
  elseif find(char, "[%a_]") then
    local word = match(source, "^[%w_]+", at)
    return "name", word, at + #word
  elseif find(source, "^%.?%d", at) then
    local stop = at
    repeat -- as Lua does: everything that could be a number, for Lua to judge
      stop = match(source, "^[eEpP][+-]()", stop) or match(source, "^[%w_%.]()", stop)
      local more = stop and find(source, "^[%w_%.]", stop)
    until not more
    return "number", sub(source, at, stop - 1), stop
  elseif char == '"' or char == "'" then
    local behind, text = quoted(source, at)
    return "text", text, behind
  elseif char == "[" and long_bracket(source, at) then
    return "text", "", long_bracket(source, at)
  end
  local symbol = match(source, "^%.%.%.?", at) or match(source, "^[=~<>]=", at) or match(source, "^([/<>:])%1", at)
  symbol = symbol and (#symbol > 1 and symbol or symbol .. symbol) or char
  return "symbol", symbol, at + #symbol
end

-- What a word of Lua does to the brackets around it: functions stand in tables, and what is set in them is no field.
local OPENS = { ["{"] = "}", ["("] = ")", ["["] = "]", ["function"] = "end", ["if"] = "end", ["do"] = "end",
  ["repeat"] = "until" }
local CLOSES = { ["}"] = true, [")"] = true, ["]"] = true, ["end"] = true, ["until"] = true }

-- The fields of the tables that are open, so that a key which stands twice in one is seen: Lua takes the last.
local Open = {}
Open.__index = Open

local COMPARES = { ["=="] = "= …", ["~="] = "= function(value) return value ~= … end", ["<"] = "= under(…)",
  ["<="] = "= between(…, …)", [">"] = "= over(…)", [">="] = "= between(…, …)" }

-- What no field of a table can mean: a comparison in its place, nothing as its value, a word behind a value.
function Open:slip(kind, text, line)
  if not self[self.depth] or self.slipped then return end
  local word, value = self.word, self.value
  if kind == "symbol" and COMPARES[text] and word and self.bare then
    self.slipped = { line = line, sentence = format("'%s %s' is a comparison: here stands %s %s", word, text, word,
      COMPARES[text]) }
  elseif kind == "name" and (text == "or" or text == "and") and value and value ~= "nil" then
    self.slipped = { line = line, sentence = format("'%s' behind a value means nothing here: for one of several values write "
      .. "one_of(\"a\", \"b\"), for a second condition a comma", text) }
  elseif (text == "," or text == ";" or text == "}") and kind == "symbol" and value == "nil" then
    self.slipped = { line = line, sentence = format("'%s = nil' says nothing: write missing for a field that an event must "
      .. "not have, or leave it away", word or "?") }
  end
end

-- Follows what stands in a table: `bare` while a name stands where a field begins, `value` when one literal followed '='.
function Open:follow(kind, text, before)
  local first = before == "{" or before == "," or before == ";"
  if kind == "name" and first then
    self.word, self.bare, self.value = text, true, nil
  elseif before == "=" and (kind == "text" or kind == "number" or kind == "name" and text == "nil") then
    self.bare, self.value = false, kind == "name" and "nil" or kind
  elseif text ~= "=" or kind ~= "symbol" then
    self.bare, self.value = false, nil
  end
end

function Open:token(kind, text, line, before)
  self:slip(kind, text, line)
  self:follow(kind, text, before)
  if kind ~= "name" and kind ~= "symbol" then return end
  local closing = OPENS[text]
  if closing then
    self.depth = self.depth + 1
    self[self.depth] = text == "{" and {} or false
  elseif CLOSES[text] and self.depth > 0 then
    self[self.depth], self.depth = nil, self.depth - 1
  end
end

function Open:field(word, line)
  local fields = self[self.depth]
  if not fields then return end
  if fields[word] and not self.twice then self.twice = { word = word, line = line, first = fields[word] } end
  fields[word] = fields[word] or line
end

local TOKENS = 256 -- that are read at once

--- Reads a script.
-- @tparam string source
-- @tparam ?function breathe called between the pieces of the work
-- @treturn table `fields`, a list of { word, line } for every `word =` and `["word"] =` in order; `twice`: the first
--   field that stands twice in one { … }, { word, line, first }; `slipped`: { line, sentence } of what can't be meant
function M.scan(source, breathe)
  local tokens = 0
  local fields, line, at, counted = {}, 1, 1, 1
  local before_kind, before_text, before_line, wrapped
  local open = setmetatable({ depth = 0 }, Open)
  local size = #source
  while at <= size do
    local start = find(source, "%S", at)
    if not start then break end
    while true do -- lines between the last token and this one
      local eol = find(source, "\n", counted, true)
      if not eol or eol >= start then break end
      line, counted = line + 1, eol + 1
    end
    tokens = tokens + 1
    if breathe and tokens % TOKENS == 0 then breathe() end
    local kind, text, behind = M.token(source, start)
    if kind ~= "comment" then
      if kind == "symbol" then
        if text == "=" and (before_kind == "name" or wrapped) then
          fields[#fields + 1] = { before_text, before_line }
          open:field(before_text, before_line)
        end
        wrapped = text == "]" and before_kind == "text"
      end
      open:token(kind, text, line, before_kind == "symbol" and before_text)
      if not wrapped then before_kind, before_text, before_line = kind, text, line end
      if kind ~= "symbol" then wrapped = false end
    end
    at = behind
  end
  return { fields = fields, twice = open.twice, slipped = open.slipped }
end

--- What keeps a source from being a text, and its line: zero bytes, bytes that are not UTF-8. nil when it is one.
function M.no_text(source)
  local line = 0
  if not find(source, "%z") and not find(source, "[\128-\255]") then return nil end
  for content in (source .. "\n"):gmatch("([^\n]*)\n") do
    line = line + 1
    if find(content, "%z") then
      return "this is not a text: it holds zero bytes (saved as UTF-16 it would: save the file as UTF-8)", line
    end
    if not plain.valid(content) then
      return "this is not UTF-8: save the file as UTF-8 (it may be Latin-1 or Windows-1252 as it is)", line
    end
  end
end

-- What word processors and messengers make of what was typed.
local TYPED = { ['"'] = "“”„‟«»″＂", ["'"] = "‘’‚‛′´＇‹›", ["-"] = "‐‑‒–—―−", [","] = "，、", ["="] = "＝",
  ["{"] = "｛", ["}"] = "｝", ["("] = "（", [")"] = "）" }
local MEANT = {}
for typed, letters in pairs(TYPED) do
  for letter in letters:gmatch "[\194-\239][\128-\191]+" do MEANT[letter] = typed end
end

MEANT["`"] = "'"

local function is_blank(letter)
  return letter == "\194\160" or letter == "\194\173" or letter == "\226\128\175" or letter == "\227\128\128"
    or letter == "\239\187\191" or letter:find "^\226\128[\128-\143\168-\174]$" or letter:find "^\226\129[\159-\164]$"
end

--- A letter outside of texts and comments that no script has: what is wrong with it, and its line; nil when there is none.
function M.odd(source)
  if not find(source, "[`\128-\255]") then return nil end
  local at, size = 1, #source
  while at <= size do
    at = find(source, "%S", at)
    if not at then return nil end
    local letter = match(source, "^[\194-\244][\128-\191]+", at) or match(source, "^`", at)
    if not letter and find(source, "^[\"']", at) then -- a text that isn't closed on its line, or not as it was opened
      local said = match(source, "^[^\r\n]*", at)
      letter = M.token(source, at) == "text" and select(3, M.token(source, at)) == at + #said and not find(said, "[\"']$")
        and match(said, "\226\128[\152-\159]")
    end
    if letter then
      local line = 1
      for _ in sub(source, 1, at):gmatch "\n" do line = line + 1 end
      letter = match(letter, "^[\194-\223].") or match(letter, "^[\224-\239]..") or sub(letter, 1, 4)
      if is_blank(letter) then
        return "there is a blank here that only looks like one: delete it and press the space bar", line
      elseif MEANT[letter] then
        return format("there is a %s, as word processors write it: write a plain %s", letter, MEANT[letter]), line
      end
      return format("there is a %s outside of a text: texts stand in plain quotes, as in \"%s\"", letter, letter), line
    end
    local _, _, behind = M.token(source, at)
    at = behind
  end
end

--- The line of a field of the declaration that starts at `from`; that line itself when the field is not found.
function M.line_of(scan, from, word)
  for _, field in ipairs(scan.fields) do
    if field[2] >= from and field[1] == word then return field[2] end
  end
  return from
end

-- Two polynomials over the bytes, modulo the two largest primes under 2^31: the products stay under 2^53, so every
-- Lua computes the same. 62 bits say whether a text changed; they are no seal against someone who wants a collision.
local PRIME_A, PRIME_B, BASE_A, BASE_B = 2147483647, 2147483629, 1000003, 998857

--- The version of a script: 16 hex digits that depend on every byte, the same on every Lua.
function M.version(source)
  local a, b = #source + 1, #source + 7
  for first = 1, #source, 4096 do
    local last = first + 4095
    for at = first, last < #source and last or #source do
      local value = byte(source, at)
      a = (a * BASE_A + value) % PRIME_A
      b = (b * BASE_B + value) % PRIME_B
    end
  end
  return format("%04x%04x%04x%04x", floor(a / 65536), a % 65536, floor(b / 65536), b % 65536)
end

return M
