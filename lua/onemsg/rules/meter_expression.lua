--- Expressions of a rules script, with what they may cost made calls that pay for it. For rules.meter. Pure.
local Reader = require "onemsg.rules.meter_words"

local M = {}

local format, concat, quoted = string.format, table.concat, Reader.quoted

M.MAX_JOINED = 50  -- texts that one expression joins: each takes a register
local SHORT = 256  -- bytes of a text in the script that anything may be compared with at no price
local DEAR = 8     -- steps more for what allocates ({}, function) or calculates long (% ^ //)
local FEW = 8      -- fields of one { } that may have numbers as names

-- How tight an operator binds to its left and to its right, as in Lua's own grammar.
local BINARY = {
  ["or"] = { 1, 1 }, ["and"] = { 2, 2 }, ["<"] = { 3, 3 }, [">"] = { 3, 3 }, ["<="] = { 3, 3 }, [">="] = { 3, 3 },
  ["~="] = { 3, 3 }, ["=="] = { 3, 3 }, ["|"] = { 4, 4 }, ["~"] = { 5, 5 }, ["&"] = { 6, 6 }, ["<<"] = { 7, 7 },
  [">>"] = { 7, 7 }, [".."] = { 9, 8 }, ["+"] = { 10, 10 }, ["-"] = { 10, 10 }, ["*"] = { 11, 11 },
  ["/"] = { 11, 11 }, ["//"] = { 11, 11 }, ["%"] = { 11, 11 }, ["^"] = { 14, 13 },
}
local UNARY = 12
local COMPARES = { ["<"] = true, [">"] = true, ["<="] = true, [">="] = true, ["=="] = true, ["~="] = true }
local CONSTANT = { ["nil"] = true, ["true"] = true, ["false"] = true }
-- Kinds of an expression that are equal to something, or not, at no price.
local PLAIN = { number = true, constant = true, text = true, made = true }
local LONG_ARITHMETIC = { ["%"] = true, ["^"] = true, ["//"] = true }


local expression

local function expressions(self)
  local kind, label, place = expression(self, 0)
  while self:is "," do
    self:next()
    expression(self, 0)
  end
  return kind, label, place
end

-- An operand that must be a number: behind `place`, up to here.
local function numeric(self, place, kind, label)
  if kind == "number" then return end
  self:before(place, self:call("number", quoted(label)))
  self:append(")")
end

local function table_of(self)
  local place, numbers = self:place(), 0
  self.cost.steps = self.cost.steps + DEAR
  self:expect "{"
  while not self:is "}" do
    if self:is "[" then
      self:next()
      local key = self:place()
      local kind = expression(self, 0)
      if kind ~= "text" and kind ~= "constant" then
        numbers = numbers + 1
        if kind ~= "number" then
          self:before(key, self:call "key")
          self:append(")")
        end
      end
      self:expect "]"
      self:expect "="
    elseif self.kind == "name" then
      local kind, text = self:peek()
      if kind == "symbol" and text == "=" then
        self:next()
        self:next()
      end
    end
    expression(self, 0)
    if self:is "," or self:is ";" then self:next() end
  end
  self:next()
  if numbers > FEW then
    self:before(place, self:call("list", tostring(numbers)))
    self:append(")")
  end
  return "made"
end

-- From the parameters to `end`. `self_first`: the function takes what it is called on, as `a:b` does.
local function body(self, self_first)
  local outer_fn, outer_cost = self.fn, self.cost
  self.cost.steps = self.cost.steps + DEAR
  self.fn, self.cost = { steps = 0, gotos = {} }, { steps = 2 }
  self:open_scope()
  self:expect "("
  if self_first then
    self:declare "self"
    self:append(self:is ")" and "self" or "self,")
  end
  while not self:is ")" do
    if self.kind == "name" then self:declare(self.text) end
    self:next()
  end
  self:next()
  self:append("")
  local place = #self.out
  M.block(self)
  self:expect "end"
  self:close_scope()
  local fn, cost = self.fn, self.cost
  fn.steps = fn.steps + cost.steps
  for _, at in ipairs(fn.gotos) do self:before(at, self:call "step" .. fn.steps .. ");") end
  self.out[place] = " " .. self:call "enter" .. cost.steps .. ");"
    .. (fn.born and "local " .. fn.born .. "=" .. self:call "call" .. ");" or "")
  self.fn, self.cost = outer_fn, outer_cost
  return "made"
end

-- The field that was read last becomes a call that pays for it; one whose name stands in the script costs nothing.
local function close_field(self, field)
  if not field or not field.dynamic then return end
  self:before(field.place, self:call("get", quoted(field.owner)))
  self.out[field.open], self.out[field.close] = ",", ")"
end

-- A name or ( … ) with what follows it. The last field stays open where it may be assigned to.
local function suffixed(self, assignable)
  local place, label, field, called = self:place(), nil, nil, false
  local name
  if self:is "(" then
    self:next()
    local kind = expression(self, 0)
    self:expect ")"
    if kind == "number" and not (self.kind == "text" or self:is "." or self:is ":" or self:is "(" or self:is "["
      or self:is "{") then
      return kind
    end
  else
    label, name = self.text, { place = self:take() }
    name.text = label
  end
  while true do
    if self:is "." then
      close_field(self, field)
      field = { place = place, owner = label, open = self:take() }
      label = self.text
      field.name = self:take()
      field.key, name, called = label, nil, false
    elseif self:is "[" then
      close_field(self, field)
      field = { place = place, owner = label, open = self:take() }
      local kind = expression(self, 0)
      field.dynamic = kind ~= "text"
      field.close = self:take()
      label, name, called = nil, nil, false
    elseif self:is ":" or self:is "(" or self:is "{" or self.kind == "text" then
      close_field(self, field)
      field, label, name, called = nil, nil, nil, true
      if self:is ":" then
        self:next()
        self:next()
      end
      self.cost.steps = self.cost.steps + 2
      if self:is "{" then
        table_of(self)
      elseif self.kind == "text" then
        self:next()
      else
        self:expect "("
        if not self:is ")" then expressions(self) end
        self:expect ")"
      end
    else
      break
    end
  end
  if assignable then return field, name, called end
  close_field(self, field)
  return nil, label
end

local function simple(self)
  if self.kind == "number" then
    self:next()
    return "number"
  elseif self.kind == "text" then
    local size = self.behind - self.start
    self:next()
    return size <= SHORT and "text" or nil
  elseif self:is "{" then
    return table_of(self)
  elseif self.kind == "name" and CONSTANT[self.text] then
    self:next()
    return "constant"
  elseif self:is "function" then
    self:next()
    return body(self)
  end
  return suffixed(self)
end

local function unary(self)
  if self:is "not" then
    self:next()
    expression(self, UNARY)
    return "constant"
  elseif self:is "#" then
    self:take("")
    local place = self:place()
    local _, label = expression(self, UNARY)
    self:before(place, self:call("length", quoted(label)))
    self:append(")")
    return "number"
  elseif self:is "-" or self:is "~" then
    self:next()
    local place = self:place()
    local kind, label = expression(self, UNARY)
    numeric(self, place, kind, label)
    return "number"
  end
  return simple(self)
end

local function joined(self, place, label)
  local labels = { label or "" }
  while self:is ".." do
    self:take(",")
    local _, other = expression(self, BINARY[".."][1])
    labels[#labels + 1] = other or ""
    if #labels > M.MAX_JOINED then
      self:refuse(format("more than %d texts are joined by '..' in one place: use \"{field}\" in a text", M.MAX_JOINED))
    end
  end
  self:before(place, self:call("join", tostring(#labels), quoted(concat(labels, "|"))))
  self:append(")")
end

local function compared(self, place, kind)
  local operator = self.text
  local at = self:take()
  local other = expression(self, BINARY[operator][2])
  local free = kind == "number" or other == "number"
  if operator == "==" or operator == "~=" then free = PLAIN[kind] or PLAIN[other] end
  if free then return "constant" end
  self.out[at] = ","
  self:before(place, self:call("compare", quoted(operator)))
  self:append(")")
  return "constant"
end

-- An expression whose operators bind tighter than `limit`.
-- @return what is known of its value: "number", "text" (a short one), "constant", "made" (a table or function), or nil
-- @return the name a person would call it by, or nil
-- @return the place before it
function expression(self, limit)
  local place = self:place()
  local kind, label = unary(self)
  while self.kind == "symbol" or self.kind == "name" do
    local operator, binds = self.text, BINARY[self.text]
    if not binds or binds[1] <= limit then break end
    if operator == ".." then
      joined(self, place, label)
      kind = nil
    elseif COMPARES[operator] then
      kind = compared(self, place, kind)
    elseif operator == "and" or operator == "or" then
      self:next()
      expression(self, binds[2])
      kind = nil
    else
      numeric(self, place, kind, label)
      if LONG_ARITHMETIC[operator] then self.cost.steps = self.cost.steps + DEAR end
      self:next()
      local right = self:place()
      local other, other_label = expression(self, binds[2])
      numeric(self, right, other, other_label)
      kind = "number"
    end
    label = nil
  end
  return kind, label, place
end

M.expression, M.expressions, M.suffixed, M.body, M.numeric = expression, expressions, suffixed, body, numeric
M.block = nil -- of rules.meter: the statements of a function

return M
