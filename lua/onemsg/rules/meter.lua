--- Puts the meter into a rules script: the same script, line by line, that counts what it does (rules.cost).
--
-- Every function, every turn of a loop and every goto pays for the words it goes through; what one word can make dear
-- (`..`, a comparison, arithmetic on texts, a table's fields) becomes a call that pays for it. So no hook of the
-- machine is needed, the count is the same on every Lua, and LuaJIT may compile what it runs.
-- It reads what `load` has accepted already. What rules may not hold at all is said here, too. Pure.
local Reader = require "onemsg.rules.meter_words"
local terms = require "onemsg.rules.meter_expression"

local M = {}

local format, concat, find, quoted = string.format, table.concat, string.find, Reader.quoted
local expression, expressions, suffixed, body, numeric =
  terms.expression, terms.expressions, terms.suffixed, terms.body, terms.numeric

local MAX_SET = 50 -- targets of one assignment: each takes a register
local ENDS = { ["end"] = true, ["else"] = true, ["elseif"] = true, ["until"] = true }
M.OPERATORS = { "step", "enter", "get", "set", "key", "list", "length", "number", "join", "compare", "call", "own" }

local block

local function at_end(self) return self.kind == "end of script" or self.kind == "name" and ENDS[self.text] end


-- What runs again and again pays each time. `already`: the words of its condition.
local function loop(self, already, close)
  local outer = self.cost
  self:append("")
  local place = #self.out
  self.cost = { steps = 1 + already }
  self:open_scope()
  for _, name in ipairs(self.loop_names or {}) do self:declare(name) end
  self.loop_names = nil
  block(self)
  self:expect(close)
  if close == "until" then expression(self, 0) end
  self:close_scope()
  self.out[place] = " " .. self:call "step" .. self.cost.steps .. ");"
  self.fn.steps = self.fn.steps + self.cost.steps
  self.cost = outer
end

local function scoped(self)
  self:open_scope()
  block(self)
  self:close_scope()
end

local statements = {}

statements["if"] = function(self)
  self:next()
  expression(self, 0)
  self:expect "then"
  scoped(self)
  while self:is "elseif" do
    self:next()
    expression(self, 0)
    self:expect "then"
    scoped(self)
  end
  if self:is "else" then
    self:next()
    scoped(self)
  end
  self:expect "end"
end

statements["while"] = function(self)
  self:next()
  local before = self.cost.steps
  expression(self, 0)
  self:expect "do"
  loop(self, self.cost.steps - before, "end")
end

statements["do"] = function(self)
  self:next()
  scoped(self)
  self:expect "end"
end

statements["for"] = function(self)
  self:next()
  local names = { self.text }
  self:next()
  if self:is "=" then
    self:next()
    repeat
      local kind, label, place = expression(self, 0)
      numeric(self, place, kind, label)
      local more = self:is ","
      if more then self:next() end
    until not more
  else
    while self:is "," do
      self:next()
      names[#names + 1] = self.text
      self:next()
    end
    self:expect "in"
    expressions(self)
  end
  self:expect "do"
  self.loop_names = names
  loop(self, 2, "end")
end

statements["repeat"] = function(self)
  self:next()
  loop(self, 0, "until")
end

-- `function a.b.c(…)` is an assignment to a field, and pays as one.
statements["function"] = function(self)
  local place = self:place()
  local word = self:take()
  local last, owner, open = self.text, nil, nil
  local name = self:take()
  local is_method = false
  while self:is "." or self:is ":" do
    is_method = self:is ":"
    open, owner = self:take(), last
    last = self.text
    name = self:take()
  end
  if not open then
    self:before(place, self:owned(last))
    body(self)
    return
  end
  self.out[word] = self:call("set", quoted(owner))
  self.out[open], self.out[name] = ",", quoted(last) .. ",function"
  body(self, is_method)
  self:append(")")
end

statements["local"] = function(self)
  self:next()
  if self:is "function" then
    self:next()
    self:declare(self.text)
    self:next()
    body(self)
    return
  end
  local names = {}
  repeat
    names[#names + 1] = self.text
    self:next()
    if self:is "<" then -- an attribute
      self:next()
      self:next()
      self:next()
    end
    local more = self:is ","
    if more then self:next() end
  until not more
  if self:is "=" then
    self:next()
    expressions(self)
  end
  for _, name in ipairs(names) do self:declare(name) end
end

statements["return"] = function(self)
  self:next()
  if not at_end(self) and not self:is ";" then expressions(self) end
end

statements["goto"] = function(self)
  self.fn.gotos[#self.fn.gotos + 1] = self:place()
  self:next()
  self:next()
end

statements["::"] = function(self)
  self:next()
  self:next()
  self:next()
end

statements["break"] = Reader.next
statements[";"] = Reader.next

-- One target: `t.x = …` becomes a call that pays for it.
local function assign_one(self, start, field, name)
  if name then
    self:before(start, self:owned(name.text))
    self:expect "="
    expressions(self)
    return
  end
  self:before(field.place, self:call("set", quoted(field.owner)))
  self.out[field.open] = ","
  if field.name then self.out[field.name] = quoted(field.key) else self.out[field.close] = "" end
  self:take(",")
  expressions(self)
  self:append(")")
end

-- Several: first whose fields and which, then all values, then one by one.
local function assign_all(self, start, targets)
  local locals, values, last, owned = {}, {}, {}, {}
  local prefix = self.names.value
  for at, target in ipairs(targets) do
    local value = prefix .. at
    values[at] = value
    local name, field = target.name, target.field
    if target.comma then self.out[target.comma] = #locals > 0 and field and "," or " " end
    if name then
      self.out[name.place] = ""
      owned[#owned + 1] = self:owned(name.text)
      last[at] = name.text .. "=" .. value
    else
      local t, key = prefix .. at .. "t", prefix .. at .. "k"
      locals[#locals + 1], locals[#locals + 2] = t, key
      self.out[field.open] = ","
      if field.name then self.out[field.name] = quoted(field.key) else self.out[field.close] = "" end
      last[at] = self:call("set", quoted(field.owner), t, key) .. value .. ")"
    end
  end
  self:before(start, concat(owned) .. "do " .. (#locals > 0 and "local " .. concat(locals, ",") .. "=" or ""))
  self:take(" local " .. concat(values, ",") .. "=")
  expressions(self)
  self:append(" " .. concat(last, ";") .. " end")
end

local function simple_statement(self)
  local start = self:place()
  local field, name, called = suffixed(self, true)
  if called then return end
  if self:is "=" then return assign_one(self, start, field, name) end
  local targets = { { field = field, name = name } }
  while self:is "," do
    local comma = self:take()
    field, name = suffixed(self, true)
    targets[#targets + 1] = { field = field, name = name, comma = comma }
    if #targets > MAX_SET then
      self:refuse(format("more than %d values are set at once: write one line for each", MAX_SET))
    end
  end
  if not self:is "=" then self:expect "=" end
  return assign_all(self, start, targets)
end

function block(self)
  while not at_end(self) do
    self.breathe()
    local statement = self.kind ~= "text" and statements[self.text]
    if statement == statements["goto"] and statement then -- a name like any other where no name follows
      if self:peek() ~= "name" then statement = nil end
    end
    if statement then statement(self) else simple_statement(self) end
  end
end
terms.block = block

-- A name that the script does not use, nor anything that begins with it.
local function unused(source)
  local name, number = "_m", 1
  while find(source, name, 1, true) do
    number = number + 1
    name = "_m" .. number .. "_"
  end
  return name
end

--- The script with its meter: a chunk that takes `cost.operators` in the order of OPERATORS.
-- @tparam string source a script that `load` accepts
-- @tparam ?function breathe called between its statements
-- @treturn string
-- @raise a complaint for what rules may not hold
function M.write(source, breathe)
  local prefix = unused(source)
  local names = { born = prefix .. "b", value = prefix .. "v" }
  local listed = {}
  for at, name in ipairs(M.OPERATORS) do
    names[name] = prefix .. at
    listed[at] = names[name]
  end
  local self = Reader.new(source, names)
  self.breathe = breathe or function() end
  block(self)
  if self.kind ~= "end of script" then self:expect "end of script" end
  self:copy(#source + 1)
  for _, at in ipairs(self.fn.gotos) do self:before(at, self:call "step" .. self.fn.steps + self.cost.steps .. ");") end
  self.out[1] = "local " .. concat(listed, ",") .. "=...;" .. self:call "enter" .. self.cost.steps .. ");"
    .. (self.fn.born and "local " .. self.fn.born .. "=" .. self:call "call" .. ");" or "")
  return concat(self.out)
end

return M
