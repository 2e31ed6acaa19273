--- Files and commands, for specs.
local M = {}

--- What a file holds; nil when it can't be opened.
function M.read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "*a"
  file:close()
  return text or "" -- a file of /proc whose process has just ended
end

--- The same, "" when it can't be opened.
function M.content(path)
  return M.read(path) or ""
end

function M.write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  assert(file:close())
end

--- What a shell command says, without the blanks at its end.
function M.output(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "*a"
  pipe:close()
  return (text:gsub("%s+$", ""))
end

return M
