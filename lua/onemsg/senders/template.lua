--- onemsg.senders.template: texts made of a request, for the rows of senders: "{time}.{body}", "{topic|event}:{data.id}".
--
-- {body} {method} {url} {time}: of the request; {header.NAME}, {query.NAME}; {document.FIELD}: of the whole body, where
-- one body holds several events; any other name is a field of the event. {a|b}: the first that is there. {a:lower}: in
-- lower case; {url:plain}: with the percent signs undone that a URL need not have. […]: left out where a value in it is
-- missing. Pure.
local paths = require "onemsg.rules.text"

local M = {}

-- What HubSpot's documentation lists: characters that stand in a URL as such.
local PLAIN = {}
for char in (":/?@!$'()*,;"):gmatch "." do PLAIN[("%02X"):format(char:byte())] = char end

local CHANGES = {
  lower = string.lower,
  plain = function(text) return (text:gsub("%%(%x%x)", function(hex) return PLAIN[hex:upper()] end)) end,
}

local OF_REQUEST = { body = true, method = true, url = true, time = true }

--- A value as part of a text: nil where there is none, or no one spelling of it.
local function written(value)
  if type(value) == "string" then return value ~= "" and value or nil end
  if type(value) == "boolean" then return tostring(value) end
  if type(value) ~= "number" then return nil end
  return value % 1 == 0 and value > -2 ^ 53 and value < 2 ^ 53 and ("%.0f"):format(value)
    or value % 1 ~= 0 and ("%.14g"):format(value) or nil
end

--- One value of a header or of a query; given more than once it is nobody's.
local function single(value) return type(value) == "string" and value or nil end

--- How a name is looked up: function(request, event).
local function getter(name)
  if OF_REQUEST[name] then
    return function(request) return request[name] end
  end
  local kind, rest = name:match "^(%l+)%.(.+)$"
  if kind == "header" then
    rest = rest:lower()
    return function(request) return single((request.headers or {})[rest]) end
  elseif kind == "query" then
    return function(request) return single((request.query or {})[rest]) end
  end
  local get, wrong = paths.path(kind == "document" and rest or name)
  if not get then return nil, wrong end
  if kind == "document" then
    return function(request)
      if type(request.document) == "table" then return get(request.document) end
    end
  end
  return function(_, event)
    if type(event) == "table" then return get(event) end
  end
end

--- One {…}: function(request, event) → text or nil.
local function field(inner)
  local names, how = inner:match "^(.-):(%l+)$"
  local change = how and CHANGES[how]
  if how and not change then return nil, ("{%s}: there is no :%s"):format(inner, how) end
  local getters = {}
  for name in (names or inner):gmatch "[^|]+" do
    local get, wrong = getter(name)
    if not get then return nil, wrong end
    getters[#getters + 1] = get
  end
  if #getters == 0 then return nil, "{} names nothing" end
  return function(request, event)
    for _, get in ipairs(getters) do
      local text = written(get(request, event))
      if text then return change and change(text) or text end
    end
  end
end

local compile

--- The pieces of a source: texts, { get, name } and, for […], { part = template }.
local function pieces_of(source)
  local pieces, at = {}, 1
  while at <= #source do
    local open = source:find("[%[{]", at)
    if (open or #source + 1) > at then pieces[#pieces + 1] = source:sub(at, (open or #source + 1) - 1) end
    if not open then break end
    local brace = source:sub(open, open) == "{"
    local close = source:find(brace and "}" or "]", open, true)
    if not close then return nil, ("%s is not closed"):format(source:sub(open)) end
    local inner = source:sub(open + 1, close - 1)
    local made, wrong = (brace and field or compile)(inner)
    if not made then return nil, wrong end
    pieces[#pieces + 1] = brace and { get = made, name = inner } or { part = made }
    at = close + 1
  end
  return pieces
end

--- Compiles a template.
-- @tparam string source
-- @treturn ?function (request, event, loose) → text; or nil and what is missing. loose: what is missing is empty
-- @treturn string with nil: what is wrong with the source
function compile(source)
  if type(source) ~= "string" then return nil, "must be a text, not a " .. type(source) end
  local pieces, wrong = pieces_of(source)
  if not pieces then return nil, wrong end
  return function(request, event, loose)
    local out = {}
    for n, piece in ipairs(pieces) do
      if type(piece) == "string" then
        out[n] = piece
      elseif piece.part then
        out[n] = piece.part(request, event) or ""
      else
        out[n] = piece.get(request, event) or loose and ""
        if not out[n] then return nil, piece.name end
      end
    end
    return table.concat(out)
  end
end
M.compile = compile

--- The same for a list of templates: the first that can be filled.
function M.first(sources)
  if type(sources) == "string" then sources = { sources } end
  if type(sources) ~= "table" then return nil, "must be a text or a list of texts" end
  local made = {}
  for n, source in ipairs(sources) do
    local wrong
    made[n], wrong = compile(source)
    if not made[n] then return nil, wrong end
  end
  if #made == 0 then return nil, "is empty" end
  return function(request, event)
    local lacking
    for _, fill in ipairs(made) do
      local text, name = fill(request, event)
      if text then return text end
      lacking = lacking or name
    end
    return nil, lacking
  end
end

return M
