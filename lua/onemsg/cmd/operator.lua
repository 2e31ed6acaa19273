--- onemsg operator add|remove|list: who may use the operator's page, each with a token of their own. The file holds digests.
local calls = require "onemsg.cli.call"
local roles = require "onemsg.policy.roles"

local M = {
  summary = "Who may use the operator's page, and what they may do there",
  verb_names = { "add", "remove", "list" }, verbs = {},
}

local FILE = { "file", "FILE", "where they stand; else ONE_MSG_OPERATORS" }
local TOKEN_BYTES = 24

local function path_of(call)
  local path = call.options.file or os.getenv "ONE_MSG_OPERATORS"
  if path and path ~= "" then return path end
  return nil, "config: give --file or ONE_MSG_OPERATORS: the file in which operators stand"
end

local function hex(text)
  return (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

--- The file's text and its operators. A file that is not there has none.
local function read(path)
  local file, why, code = io.open(path, "rb")
  if not file then
    if code == 2 then return "", {} end
    return nil, "config: " .. why
  end
  local text = file:read "*a"
  file:close()
  local list, wrong = roles.parse(text)
  if not list then return nil, ("config: %s: %s"):format(path, wrong) end
  return text, list
end

--- Puts another text in its place, whole: whoever reads finds the old one or the new one.
local function write(path, text)
  local beside = path .. ".new"
  os.remove(beside)
  require "onemsg"
  local ok, why = require "onemsg.core".private_file(beside, text)
  if ok then ok, why = os.rename(beside, path) end
  if not ok then return nil, ("config: %s can't be written: %s"):format(path, tostring(why)) end
  return true
end

local function new_token()
  local file = assert(io.open("/dev/urandom", "rb"))
  local token = hex(file:read(TOKEN_BYTES))
  file:close()
  return token
end

local function is_there(list, name)
  for _, one in ipairs(list) do
    if one.name == name then return true end
  end
  return false
end

M.verbs.add = {
  summary = "Add one; their token is printed once, and stands nowhere",
  arguments = { { "NAME", "as it stands in history and audit" } },
  options = { FILE, { "may", "ROLE", "view, operate or admin" } },
  examples = { "onemsg operator add maria --may operate --file operators" },
  run = function(call)
    local name, may = call.options[1], call.options.may
    local wrong = roles.fault(name, may)
    if wrong then return nil, "operator add: " .. (may and wrong or "give --may view, operate or admin"), calls.USAGE end
    local path, err = path_of(call)
    if not path then return call:fail(err) end
    local text, list = read(path)
    if not text then return call:fail(list) end
    if is_there(list, name) then
      return call:fail(("conflict: %s is there already; `onemsg operator remove %s` first"):format(name, name))
    end
    local token = new_token()
    if text ~= "" and text:sub(-1) ~= "\n" then text = text .. "\n" end
    local ok
    ok, err = write(path, text .. roles.line(name, may, hex(require "onemsg".sha256(token))))
    if not ok then return call:fail(err) end
    call.out:object { name = name, may = may, token = token }
    call.out:line("%s", token)
    call.out:note(("%s may %s with this token; nginx reads it at its next start or reload"):format(name, may))
    return true
  end,
}

M.verbs.remove = {
  summary = "Take one out; their token opens nothing from nginx's next reload on",
  arguments = { { "NAME", "as in the list" } },
  options = { FILE },
  examples = { "onemsg operator remove maria --file operators" },
  run = function(call)
    local path, err = path_of(call)
    if not path then return call:fail(err) end
    local text, list = read(path)
    if not text then return call:fail(list) end
    local left, taken = roles.without(text, call.options[1])
    if taken == 0 then return call:fail(("conflict: there is no operator %s"):format(call.options[1])) end
    local ok
    ok, err = write(path, left)
    if not ok then return call:fail(err) end
    call.out:object { removed = call.options[1] }
    call.out:line("%s is removed; reload nginx", call.options[1])
    return true
  end,
}

M.verbs.list = {
  summary = "Who there is, and what they may do",
  options = { FILE },
  examples = { "onemsg operator list --file operators" },
  run = function(call)
    local path, err = path_of(call)
    if not path then return call:fail(err) end
    local text, list = read(path)
    if not text then return call:fail(list) end
    local rows = { { "NAME", "MAY" } }
    for _, one in ipairs(list) do
      call.out:object { name = one.name, may = one.may }
      rows[#rows + 1] = { one.name, one.may }
    end
    if #list > 0 then call.out:columns(rows) else call.out:line "nobody" end
    return true
  end,
}

return M
