--- Lua patterns for scripts that nobody vetted: the same meaning as string.find's, with a bound.
--
-- The library's matcher runs in C, where no budget reaches it, and a pattern such as ".-.-.-.-x" takes it minutes.
-- This one counts its steps and stops. It also behaves alike on Lua 5.4 and LuaJIT. Pure; it holds a small cache.
local M = {}

local byte, sub, find, char, match = string.byte, string.sub, string.find, string.char, string.match

M.MAX_PATTERN = 256 -- bytes of a pattern
local MAX_CAPTURES = 32
local MAX_CACHED = 200

local sets, compiled, cached = {}, {}, 0

-- The bytes that a single-character piece of a pattern ("%a", "[^x-z]", ".", "q") takes, each asked for once.
local function set_of(piece)
  local set = sets[piece]
  if not set then
    local anchored = "^" .. piece
    set = setmetatable({}, { __index = function(known, value)
      local takes = find(char(value), anchored) ~= nil
      known[value] = takes
      return takes
    end })
    sets[piece] = set
  end
  return set
end

-- The single-character piece that begins at `at`, and the position behind it.
local function piece_at(pattern, at)
  local first = sub(pattern, at, at)
  if first == "%" then
    if at == #pattern then error("malformed pattern (ends with '%')", 0) end
    return sub(pattern, at, at + 1), at + 2
  elseif first == "[" then
    local stop = at + 1
    if sub(pattern, stop, stop) == "^" then stop = stop + 1 end
    repeat -- the first character of a set is itself, even "]"
      if stop > #pattern then error("malformed pattern (missing ']')", 0) end
      stop = stop + (sub(pattern, stop, stop) == "%" and 2 or 1)
    until sub(pattern, stop, stop) == "]"
    return sub(pattern, at, stop), stop + 1
  elseif find(first, "[%^%$%(%)%.%[%]%*%+%-%?]") and first ~= "." then
    return "%" .. first, at + 1
  end
  return first, at + 1
end

local function compile(pattern)
  if #pattern > M.MAX_PATTERN then error("a pattern may have " .. M.MAX_PATTERN .. " bytes at most", 0) end
  local items, at, open, captures = {}, 1, 0, 0
  if sub(pattern, 1, 1) == "^" then items.anchored, at = true, 2 end
  while at <= #pattern do
    local two = sub(pattern, at, at + 1)
    local item
    local first = sub(two, 1, 1)
    if first == "(" then
      captures, open = captures + 1, open + 1
      if captures > MAX_CAPTURES then error("too many captures", 0) end
      item, at = { op = two == "()" and "here" or "open" }, at + (two == "()" and 2 or 1)
      if item.op == "here" then open = open - 1 end
    elseif first == ")" then
      if open == 0 then error("invalid pattern capture", 0) end
      item, at, open = { op = "close" }, at + 1, open - 1
    elseif first == "$" and at == #pattern then
      item, at = { op = "end" }, at + 1
    elseif two == "%b" then
      if at + 3 > #pattern then error("missing arguments to '%b'", 0) end
      item, at = { op = "balance", left = byte(pattern, at + 2), right = byte(pattern, at + 3) }, at + 4
    elseif two == "%f" then
      if sub(pattern, at + 2, at + 2) ~= "[" then error("missing '[' after '%f' in pattern", 0) end
      local piece, behind = piece_at(pattern, at + 2)
      item, at = { op = "frontier", set = set_of(piece) }, behind
    elseif match(two, "^%%%d") then
      item, at = { op = "again", index = byte(two, 2) - 48 }, at + 2
    else
      local piece, behind = piece_at(pattern, at)
      local times = match(pattern, "^[%*%+%-%?]", behind)
      item, at = { op = times or "one", set = set_of(piece) }, behind + (times and 1 or 0)
    end
    items[#items + 1] = item
  end
  if open > 0 then error("unfinished capture", 0) end
  return items
end

local run

-- Longest first, as "*" and "+" do.
local function greedy(state, index, at, least)
  local set, subject, count = state.items[index].set, state.subject, 0
  while true do
    local value = byte(subject, at + count)
    if not value or not set[value] then break end
    count = count + 1
  end
  state.left = state.left - count
  for times = count, least, -1 do
    local stop = run(state, index + 1, at + times)
    if stop then return stop end
  end
end

-- Shortest first, as "-" does.
local function lazy(state, index, at)
  local set, subject = state.items[index].set, state.subject
  while true do
    local stop = run(state, index + 1, at)
    if stop then return stop end
    local value = byte(subject, at)
    if not value or not set[value] then return nil end
    at = at + 1
  end
end

local function balanced(state, item, at)
  local subject, depth = state.subject, 1
  if byte(subject, at) ~= item.left then return nil end
  for stop = at + 1, #subject do
    state.left = state.left - 1
    local value = byte(subject, stop)
    if value == item.right then
      depth = depth - 1
      if depth == 0 then return stop + 1 end
    elseif value == item.left then
      depth = depth + 1
    end
  end
end

-- Opens or closes a capture, goes on, and takes it back when the rest does not match.
local function capture(state, index, at, op)
  local starts, stops, which = state.starts, state.stops, state.count
  if op == "close" then
    while stops[which] ~= "open" do which = which - 1 end
    stops[which] = at
  else
    which = which + 1
    state.count, starts[which], stops[which] = which, at, op
  end
  local stop = run(state, index + 1, at)
  if not stop then
    if op == "close" then stops[which] = "open" else state.count = which - 1 end
  end
  return stop
end

-- What an item without repetition takes: the position behind it, or nil.
local function take(state, item, at)
  local subject, op = state.subject, item.op
  if op == "end" then return at == #subject + 1 and at or nil end
  if op == "balance" then return balanced(state, item, at) end
  if op == "frontier" then
    local before = at > 1 and byte(subject, at - 1) or 0
    return not item.set[before] and item.set[byte(subject, at) or 0] and at or nil
  end
  local from, to = state.starts[item.index], state.stops[item.index]
  if item.index > state.count or item.index < 1 or type(to) ~= "number" then
    error("invalid capture index %" .. item.index, 0)
  end
  local same = sub(subject, from, to - 1)
  state.left = state.left - #same
  return sub(subject, at, at + #same - 1) == same and at + #same or nil
end

function run(state, index, at)
  local items, subject = state.items, state.subject
  while true do
    state.left = state.left - 1
    if state.left < 0 then error(state, 0) end
    local item = items[index]
    if not item then return at end
    local op = item.op
    if op == "one" then
      local value = byte(subject, at)
      if not value or not item.set[value] then return nil end
      at = at + 1
    elseif op == "*" then return greedy(state, index, at, 0)
    elseif op == "+" then return greedy(state, index, at, 1)
    elseif op == "-" then return lazy(state, index, at)
    elseif op == "?" then
      local value = byte(subject, at)
      local stop = value and item.set[value] and run(state, index + 1, at + 1)
      if stop then return stop end
    elseif op == "open" or op == "here" or op == "close" then
      return capture(state, index, at, op)
    else
      at = take(state, item, at)
      if not at then return nil end
    end
    index = index + 1
  end
end

--- Looks for a pattern from a position on.
-- @tparam string subject
-- @tparam string pattern
-- @tparam number init 1-based, inside 1 .. #subject + 1
-- @tparam number steps how many steps it may take
-- @treturn[1] number the steps left
-- @treturn[1] number first byte of the match
-- @treturn[1] number last byte of the match
-- @treturn[1] table captures: texts, or numbers for "()"
-- @treturn[2] number the steps left; nothing more when nothing matches
-- @raise a sentence for a malformed pattern, a table when the steps run out
function M.search(subject, pattern, init, steps)
  local items = compiled[pattern]
  if not items then
    items = compile(pattern)
    if cached >= MAX_CACHED then compiled, sets, cached = {}, {}, 0 end
    compiled[pattern], cached = items, cached + 1
  end
  local state = { items = items, subject = subject, left = steps, starts = {}, stops = {}, count = 0 }
  for start = init, items.anchored and init or #subject + 1 do
    state.count = 0
    local stop = run(state, 1, start)
    if stop then
      local captures = {}
      for which = 1, state.count do
        local to = state.stops[which]
        captures[which] = to == "here" and state.starts[which] or sub(subject, state.starts[which], to - 1)
      end
      return state.left, start, stop - 1, captures
    end
  end
  return state.left
end

return M
