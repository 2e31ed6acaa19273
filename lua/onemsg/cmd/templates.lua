--- onemsg templates: what the channel has.
local calls = require "onemsg.cli.call"

local M = {
  summary = "The channel's templates: which can be sent, with how many variables",
  arguments = { { "NAME", "only this one, with its text", optional = true } },
  options = { calls.CHANNEL },
  examples = { "onemsg templates", "onemsg templates action_success" },
}

function M.run(call)
  local channel, err, info = call:channel()
  if not channel then return call:fail(err, info) end
  local list
  list, err, info = channel:templates()
  if not list then return call:fail(err, info) end
  local rows, shown = { { "NAME", "LANGUAGE", "STATUS", "CATEGORY", "VARIABLES", "NAMESPACE" } }, {}
  for _, one in ipairs(list) do
    if not call.options[1] or one.name == call.options[1] then
      shown[#shown + 1] = one
      rows[#rows + 1] = { one.name, one.language, one.status or "", one.category or "", one.body_count or 0,
                          one.namespace or "" }
    end
  end
  if call.options[1] and not shown[1] then
    return call:fail(("invalid: the channel has no template %s; `onemsg templates` lists them"):format(call.options[1]))
  end
  for _, one in ipairs(shown) do call.out:object(one) end
  call.out:columns(rows)
  for _, one in ipairs(call.options[1] and shown or {}) do call.out:line("\n%s: %s", one.language, one.body_text or "") end
  return true
end

return M
