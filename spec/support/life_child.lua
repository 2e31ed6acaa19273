--- A process that ends with sends in flight; run by life_spec.lua. The way it ends is its first argument:
-- exit (os.exit()), close (os.exit(true, true)), fall (the end of the script), raise (an error), fork (a child that ends
-- in every way while its parent's sends are in flight). The second: how many microseconds to let the sends run.
local how, after, base_url, ca_file, token = arg[1], tonumber(arg[2]), arg[3], arg[4], arg[5]
local onemsg = require "onemsg"
local sys = require "support.sys"

local channel = assert(onemsg.new {
  base_url = base_url, ca_file = ca_file, token = token, template = "action_success", timeout = 60,
  namespace = "fa4e1a5e_0000_4fa4_9a4e_0123456789ab", language = "en",
})
local message = { phone = "12020721300", name = "Maria", action = "payment", next_step = "Thank you." }
local pendings = {}
for i = 1, 32 do pendings[i] = assert(channel:async("send", message)) end
for _ = 1, 16 do channel:async("status") end -- and some that nobody keeps
sys.sleep(after / 1e6)

if how == "exit" then os.exit() end
if how == "close" then os.exit(true, true) end
if how == "raise" then error "on purpose" end
if how == "fork" then
  local ways = { function() sys.exit_now(0) end, function() os.exit(true, true) end, function() os.exit(true) end }
  for i = 1, #ways do
    local pid = assert(sys.fork())
    if pid == 0 then
      local ok, err = channel:send(message)
      if ok or not err:find "^closed: " then sys.exit_now(41) end
      ok, err = pendings[1]:wait()
      if not ok and not err:find "^closed: " then sys.exit_now(42) end
      local fresh = assert(onemsg.new { base_url = base_url, ca_file = ca_file, token = token })
      if i ~= 2 and not fresh:status() then sys.exit_now(43) end
      ways[i]()
    end
    local end_of, code = sys.waitpid(pid)
    if end_of ~= "exited" or code ~= 0 then
      io.stderr:write(end_of, " ", code, "\n")
      os.exit(9)
    end
  end
  for i = 1, 32 do
    local receipt, err = pendings[i]:wait()
    if not receipt then error(err) end
  end
end
