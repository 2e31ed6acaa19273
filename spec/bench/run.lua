-- All benchmarks, one after the other: make bench. LUACURL_CPATH="/dir/?.so" adds Lua-cURL. Each runs alone as well.

local function run(command)
  local ok = os.execute(command)
  if ok ~= true and ok ~= 0 then
    io.stderr:write("bench: this failed: ", command, "\n")
    os.exit(1)
  end
end

local CC = (os.getenv "CC" or "cc") .. " -O2 -std=c99 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror "

run "mkdir -p build/bench && make -s build/5.4/support/sys.so build/luajit/support/sys.so"
for _, name in ipairs { "multi_poll", "multi_socket" } do
  run(CC .. "spec/bench/send/" .. name .. ".c -o build/bench/" .. name .. " $(pkg-config --cflags --libs libcurl)")
end
run(CC .. "spec/bench/group_commit.c -o build/bench/group_commit $(pkg-config --cflags --libs sqlite3)")
run "lua5.4 spec/bench/send_bench.lua"
run "lua5.4 spec/bench/rules_bench.lua && luajit spec/bench/rules_bench.lua"
run "lua5.4 spec/bench/sql_bench.lua && luajit spec/bench/sql_bench.lua"
run "lua5.4 spec/bench/store_bench.lua"
run "lua5.4 spec/bench/nginx_bench.lua"
run "lua5.4 spec/bench/intake_bench.lua"
