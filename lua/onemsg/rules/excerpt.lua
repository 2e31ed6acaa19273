--- onemsg.rules.excerpt: the lines of one rule out of a script's text, for people. Pure; no judgement: a text that is no
-- script gives nil.
local M = {}

local WORDS = { confirm = true, never = true, template = true, defaults = true, example = true }
local LINES = 200 -- longest excerpt

--- The name that a line declares: `confirm "Name"`; nil where it begins none.
local function declared(line)
  local word, rest = line:match "^%s*(%a+)%s*%(?%s*(.*)$"
  if not WORDS[word] then return nil end
  local name = rest:match '^"([^"]*)"' or rest:match "^'([^']*)'"
  return name or (word == "defaults" or rest:find "^[{%[]") and "" or nil, word
end

--- The text of a rule: from its declaration to the next, without the blank lines and comments in between.
-- @tparam string source
-- @tparam string name of a confirm or a never
-- @treturn ?string
function M.of(source, name)
  local list
  for line in (source .. "\n"):gmatch "([^\n]*)\n" do
    local called, word = declared(line)
    if list and called then break end
    if list then
      list[#list + 1] = line
      if #list > LINES then break end
    elseif called == name and (word == "confirm" or word == "never") then
      list = { line }
    end
  end
  if not list then return nil end
  while #list > 1 and (not list[#list]:find "%S" or list[#list]:find "^%s*%-%-") do list[#list] = nil end
  return table.concat(list, "\n")
end

return M
