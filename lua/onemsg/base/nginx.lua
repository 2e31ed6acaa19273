--- Where this machine has what nginx needs for Lua.
local M = {}

local DIRECTORIES = { "/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules" }

--- The directory with nginx's Lua module, or nil. OpenResty has it built in.
function M.modules()
  for _, directory in ipairs(DIRECTORIES) do
    local file = io.open(directory .. "/ngx_http_lua_module.so", "rb")
    if file then
      file:close()
      return directory
    end
  end
  return nil
end

return M
