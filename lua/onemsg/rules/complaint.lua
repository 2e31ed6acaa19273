--- How a rules script is told what is wrong with it: a sentence for the person who edits it, and the line.
--
-- Whatever works for a script raises through here, so that any mistake ends as "config: rules.lua:12: …". Pure.
local M = {}

local error, getmetatable, setmetatable, getinfo = error, getmetatable, setmetatable, debug.getinfo

local Complaint = {}
local source -- the chunk name of the script at work
local about  -- the line of the declaration that is being judged
local DEEPEST = 700 -- levels that are looked through: the depth a script may reach, and the matcher's under it

--- Ends what is under way with a sentence of ours and the line it concerns.
function M.complain(sentence, line) error(setmetatable({ sentence = sentence, line = line }, Complaint), 0) end

--- Sentence and line of what `complain` raised; nil for any other error.
function M.complaint(raised)
  if type(raised) == "table" and getmetatable(raised) == Complaint then return raised.sentence, raised.line end
end

--- Says whose lines are looked for, and returns who it was before.
function M.watch(name)
  local before = source
  source = name
  return before
end

--- The line of the script that is being run, seen from a function the script called.
function M.line_here()
  for level = 2, DEEPEST do
    local info = getinfo(level, "Sl")
    if not info then return nil end
    if info.source == source then return info.currentline end
  end
end

--- Says which declaration is being judged from now on, by its line; returns the one before.
function M.judge(line)
  local before = about
  about = line
  return before
end

--- Ends the script with a sentence and the line that called us, or that of the declaration under judgement.
function M.fail(sentence) M.complain(sentence, M.line_here() or about) end

return M
