--- support.store: a directory for databases, and another process that holds their lock. For specs only.
local files = require "support.files"
local sys = require "support.sys"

local M = {}

--- The interpreter for processes of their own; SPEC_LUA: one with a sanitizer in it.
local LUA = os.getenv "SPEC_LUA" or rawget(_G, "jit") and "luajit" or "lua5.4"

--- Runs a shell command; the same answer on both Luas. -> boolean
function M.sh(command)
  local ok = os.execute(command)
  return ok == true or ok == 0
end

M.LUA = LUA
M.output, M.read, M.write = files.output, files.read, files.write

function M.directory()
  local name = os.tmpname()
  os.remove(name)
  assert(M.sh("mkdir -m 0755 " .. name))
  return name
end

function M.remove(directory)
  assert(directory:find "^/tmp/")
  M.sh("rm -rf " .. directory)
end

--- Waits until condition() is true; fails after a minute.
function M.until_true(condition, what)
  local deadline = sys.now() + 60
  while not condition() do
    assert(sys.now() < deadline, "waited in vain for " .. what)
    sys.sleep(0.001)
  end
end

--- A directory for one case, and where its store is. -> directory, path, finish(), which removes it and sees to it that no
-- thread and no descriptor is left
function M.case()
  collectgarbage()
  local threads, fds, directory = sys.threads(), sys.fds(), M.directory()
  return directory, directory .. "/store.db", function()
    M.remove(directory)
    assert(threads == sys.threads(), ("%d threads, %d before"):format(sys.threads(), threads))
    assert(fds == sys.fds(), ("%d descriptors, %d before"):format(sys.fds(), fds))
  end
end

--- Uses a database once, so that whatever starts only once (a sanitizer's own thread) is there before specs count.
function M.warm_up()
  local directory = M.directory()
  local db = assert(require "onemsg.sql".open("sqlite:" .. directory .. "/x.db"))
  assert(db:unit { { "SELECT 1 AS one" } })
  db:close()
  M.remove(directory)
end

--- Another process that holds the write lock of the database. -> release()
function M.lock(path)
  local flag = os.tmpname()
  os.remove(flag)
  local shell = assert(io.popen("sqlite3 -bail " .. path .. " >/dev/null", "w"))
  shell:write("BEGIN IMMEDIATE;\n.shell touch " .. flag .. "\n")
  shell:flush()
  M.until_true(function() return M.read(flag) end, "the lock")
  os.remove(flag)
  return function()
    shell:write "ROLLBACK;\n"
    shell:close()
  end
end

--- Runs a Lua program in a process of its own. before: shell words in front of it. -> its output, stderr included
function M.run(directory, program, before)
  local file = directory .. "/program.lua"
  M.write(file, program)
  local out = M.output((before or "") .. " " .. LUA .. " " .. file .. " 2>&1")
  os.remove(file)
  return out
end

--- The same with support.faults in between the program and the C library.
-- @treturn string its output, and "exit N" as its last line
function M.run_with_faults(directory, program)
  local shim = (os.getenv "B" or "build") .. "/" .. (rawget(_G, "jit") and "luajit" or "5.4") .. "/support/faults.so"
  return M.run(directory, program, "exec 2>&1; trap 'echo exit $?' EXIT; LD_PRELOAD=\"$PWD/" .. shim .. "\"")
end

--- Does this interpreter bear being preloaded? Not one with a sanitizer in it, or inside valgrind.
M.can_fault = os.getenv "RUNNER" == nil

--- Runs work in a forked child, which leaves with the code it returns (99: it raised). -> pid
function M.child(work)
  local pid = assert(sys.fork())
  if pid == 0 then
    local ok, code = pcall(work)
    if not ok then io.stderr:write("child: ", tostring(code), "\n") end
    sys.exit_now(ok and code or 99)
  end
  return pid
end

return M
