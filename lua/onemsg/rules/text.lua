--- Fields of an event and the texts made of them: "{customer.first_name|there}", "6h", 990.
--
-- Pure. An event is data from outside: it is read with rawget, never called, and a value that is no text, number or
-- true/false counts as absent where JSON's null is meant, and is named where a text was wanted.
local document = require "onemsg.base.document"
local letters = require "onemsg.base.utf8"
local numeral = require "onemsg.base.number"
local phones = require "onemsg.base.phone"

local M = {}

local type, rawget, tonumber, tostring = type, rawget, tonumber, tostring
local find, sub, gsub, match, format, concat = string.find, string.sub, string.gsub, string.match, string.format,
  table.concat
local huge = math.huge

M.MAX_TEXT = 16384  -- bytes of one filled text; WhatsApp takes 1024 characters, C judges that
M.MAX_DEPTH = 16    -- names in one path
M.MAX_SOURCE = 4096 -- bytes of one text in a script

local MAX_SHOWN = 200 -- bytes of a text that are made fit to be shown, of which the first 57 are

--- A number for scripts and sentences: 990 for 990.0, 12.5; nil for what is no number or infinite.
function M.number(n)
  local written = numeral.text(n)
  if written or n ~= n or n == huge or n == -huge then return written end
  return format("%.14g", n)
end

local KINDS = {
  ["nil"] = "nothing", string = "a text", number = "a number", boolean = "true or false", table = "a table",
  ["function"] = "a function",
}

--- A name that stands in a script, for people: cut, without control characters.
function M.name(word) return (letters.cut(letters.repair(word, MAX_SHOWN), 60):gsub("%c", " ")) end

--- What kind of thing a value is, for people.
function M.kind(value) return KINDS[type(value)] or "a " .. type(value) end

-- A text that is a phone as people write it: with a +, or in groups ("(11) 98765-4321"); dates and plain numbers are none.
local function looks_like_phone(value)
  if #value > 30 or find(value, "[^%d%s%+%-%(%)%./]") or find(value, "^%d%d%d%d%-%d%d%-%d%d") then return false end
  local count = #gsub(value, "%D", "")
  return count >= 8 and count <= 15 and (find(value, "^%s*%+") ~= nil or find(value, "[%s%(]") ~= nil)
end

--- A value for people: quoted, cut, without control characters. `secret`: only the last four characters.
function M.plain(value, secret)
  local kind = type(value)
  if kind == "string" and not secret then secret = looks_like_phone(value) end
  if kind == "number" then value = M.number(value) or tostring(value) end
  if kind ~= "string" and kind ~= "number" then
    return kind == "boolean" and tostring(value) or M.kind(value)
  end
  if secret then value = phones.mask(value) end
  if #value > MAX_SHOWN then value = sub(value, 1, MAX_SHOWN) end
  if find(value, "[\128-\255]") then value = letters.repair(value, MAX_SHOWN) end
  value = letters.cut(value, 60)
  if find(value, "%c") then value = gsub(value, "%c", " ") end
  return kind == "number" and value or '"' .. value .. '"'
end

-- What phones are called in events, in the languages of those who write them.
local PHONES = { "phone", "mobile", "whatsapp", "celular", "telefon", "telefone", "movil", "handy", "msisdn", "gsm",
  "cellulare", "portable", "telepon", "recipient" }

--- True when values at this path may be phone numbers, which messages show by their end only.
function M.is_secret(path)
  path = path:lower()
  for _, word in ipairs(PHONES) do
    if find(path, word, 1, true) then return true end
  end
  return find("." .. path:gsub("[_%-]", ".") .. ".", "%.tel%.") ~= nil or find("." .. path .. ".", "%.cel%.") ~= nil
end

local function present(value)
  local kind = type(value)
  if kind == "string" or kind == "number" or kind == "boolean" or kind == "table" then return value end
  return nil
end

--- Compiles a path of names, "customer.first_name" or "items.1.name".
-- @treturn[1] function of an event: the value, or nil when it is absent or null
-- @treturn[2] nil
-- @treturn[2] string what is wrong with the path
function M.path(path)
  local names = {}
  if type(path) ~= "string" then return nil, "a field is named by a text, not " .. M.kind(path) end
  if not find(path, "^[%w_%-]+$") and (find(path, "[^%w_%-%.]") or find("." .. path .. ".", "..", 1, true)) then
    return nil, format("%s is no field: write names joined by dots, as in customer.first_name", M.plain(path))
  end
  for name in path:gmatch("[^%.]+") do names[#names + 1] = name end
  if #names > M.MAX_DEPTH then return nil, format("%s has more than %d names", M.plain(path), M.MAX_DEPTH) end

  local first, second = names[1], names[2]
  if #names == 1 then
    return function(event) return present(rawget(event, first)) end
  elseif #names == 2 and not find(second, "^%d+$") then
    return function(event)
      local value = rawget(event, first)
      if type(value) ~= "table" then return nil end
      return present(rawget(value, second))
    end
  end
  local count, numbers = #names, {}
  for at, name in ipairs(names) do numbers[at] = find(name, "^%d+$") and tonumber(name) or name end
  return function(event)
    local value = event
    for at = 1, count do
      if type(value) ~= "table" then return nil end
      local inner = rawget(value, names[at])
      if inner == nil then inner = rawget(value, numbers[at]) end
      value = inner
    end
    return present(value)
  end
end

local core -- at the first text that may be blank: loading this loads no C

--- Is there nothing to see in a text: only blanks of any kind, line breaks and invisible signs?
function M.is_blank(text)
  core = core or require "onemsg" and require "onemsg.core"
  return core.blank(text)
end

-- A value as part of a text: the text; or nil and what it is instead ("absent" or a sentence part).
local function as_text(value)
  local kind = type(value)
  if kind == "string" then
    if #value > M.MAX_TEXT then return nil, format("is a text of %d bytes", #value) end
    if not find(value, "[!-~]") and M.is_blank(value) then return nil, "absent" end
    return value
  elseif kind == "number" then
    return numeral.text(value)
  elseif value == nil then
    return nil, "absent"
  end
  return nil, "is " .. (kind == "boolean" and tostring(value) or M.kind(value)) .. ", which is no text"
end
M.as_text = as_text

--- A function of an event: how the number at a path was written, where onemsg read the event itself and it matters.
local function spelling_of(path)
  local outer, name = match(path, "^(.*)%.([^%.]+)$")
  local get = outer and M.path(outer)
  name = name or path
  return function(event, value)
    local t = event
    if get then t = get(event) end
    return document.spelling(t, name, value) or document.spelling(t, tonumber(name), value)
  end
end

-- What makes a field of calls such as money(…) a filler, by the byte that such a field begins with (rules/phrase).
local call_mark, compile_call

function M.calls(mark, compile)
  call_mark, compile_call = mark, compile
end

-- One {field|default}: the function that fills it, or nil and a sentence.
local function compile_field(inner)
  if call_mark and sub(inner, 1, #call_mark) == call_mark then return compile_call(inner) end
  local path, default = match(inner, "^([^|]*)|(.*)$")
  path = letters.trim(path or inner)
  if path == "" then return nil, "'{}' names no field; for a brace as such write it twice: '{{'" end
  local get, problem = M.path(path)
  if not get then return nil, problem end
  local spelling = spelling_of(path)
  return function(event, values)
    local value = values and values[path]
    if value == nil then value = get(event) end
    if type(value) == "string" and #value < 1024 and find(value, "[!-~]") then return value end
    local written, wrong
    if type(value) == "number" then written = spelling(event, value) end
    if not written then written, wrong = as_text(value) end
    if written then return written end
    if wrong == "absent" and default then return default end
    return nil, path, wrong
  end
end

-- Braces as other programs want them, and how it is written here; nil when there are none.
local function foreign(source)
  local name = match(source, "%f[{]{{%s*([%w_%-%.]+)%s*[|}]")
  if name then
    return format("%s has two braces around a name: write {%s}%s", M.plain(source), name,
      find(name, "^%d+$") and " for a field of the event; what {{1}} stands for is said by body, in the template" or "")
  end
  name = match(source, "[%$%%]{%s*([%w_%-%.]+)%s*[|}]")
  if name then
    return format("%s has a sign before the brace: write {%s}; for an amount write money(\"{%s}\", \"USD\")",
      M.plain(source), name, name)
  end
end

--- Compiles a text with {field|default} in it. `{{` and `}}` stand for single braces.
-- @tparam string|number source
-- @treturn[1] string the text itself, when it has no fields
-- @treturn[2] function of event and (optional) values that come before the event's: the text; or nil, the path, and
--   "absent" or what is wrong with the value
-- @treturn[3] nil
-- @treturn[3] string what is wrong with the source
function M.compile(source)
  if type(source) == "number" then source = M.number(source) or "" end
  if #source > M.MAX_SOURCE then return nil, format("the text is longer than %d bytes", M.MAX_SOURCE) end
  local abroad = find(source, "{", 1, true) and foreign(source)
  if abroad then return nil, abroad end
  local pieces, dynamic, at = {}, false, 1
  while at <= #source do
    local brace = find(source, "[{}]", at)
    if (brace or #source + 1) > at then pieces[#pieces + 1] = sub(source, at, (brace or #source + 1) - 1) end
    if not brace then break end
    local char = sub(source, brace, brace)
    if sub(source, brace + 1, brace + 1) == char then
      pieces[#pieces + 1], at = char, brace + 2
    elseif char == "}" then
      return nil, format("%s has a '}' without a '{'; for a brace as such write it twice: '}}'", M.plain(source))
    else
      local stop = find(source, "}", brace, true)
      if not stop then return nil, format("%s has a '{' that is not closed", M.plain(source)) end
      local fill, problem = compile_field(sub(source, brace + 1, stop - 1))
      if not fill then return nil, problem end
      pieces[#pieces + 1], dynamic, at = fill, true, stop + 1
    end
  end
  if not dynamic then return concat(pieces) end
  if #pieces == 1 then return pieces[1] end
  return function(event, values)
    local filled, size = {}, 0
    for index = 1, #pieces do
      local piece = pieces[index]
      if type(piece) == "function" then
        local path, wrong
        piece, path, wrong = piece(event, values)
        if not piece then return nil, path, wrong end
      end
      size = size + #piece
      if size > M.MAX_TEXT then return nil, "the text", format("is longer than %d bytes", M.MAX_TEXT) end
      filled[index] = piece
    end
    return concat(filled)
  end
end

--- Seconds after midnight of "21:00", or nil.
function M.clock(value)
  local hour, minute = match(type(value) == "string" and value or "", "^(%d%d?):(%d%d)$")
  hour, minute = tonumber(hour), tonumber(minute)
  if not hour or hour > 23 or minute > 59 then return nil end
  return hour * 3600 + minute * 60
end

return M
