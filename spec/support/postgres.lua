--- support.postgres: a private PostgreSQL, reached by a Unix socket in a temporary directory. It ends with stop(), and with
-- the process that started it, however that ends. For specs only.
local files = require "support.files"

local M = {}

local BIN = (files.output "ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1"):gsub("%s+$", "")

--- PostgreSQL refuses to run as root.
local AS = files.output "id -u":find "^0" and "setpriv --reuid=postgres --regid=postgres --clear-groups " or ""

local SETTINGS = {
  "listen_addresses=''", "max_connections=60", "shared_buffers=64MB", "max_wal_size=1GB", "log_min_messages=fatal",
  "max_prepared_transactions=0",
}

--- Starts a server with one database, "onemsg". options.settings: more lines of postgresql.conf; options.locale.
-- @treturn table directory, target (as onemsg takes it), and functions: psql(sql) -> output, hold(sql) -> release(), ctl(words),
-- stop()
function M.start(options)
  options = options or {}
  local directory = os.tmpname()
  os.remove(directory)
  local data, ready = directory .. "/data", directory .. "/ready"
  local lines = {}
  for _, list in ipairs { SETTINGS, options.settings or {} } do
    for _, line in ipairs(list) do lines[#lines + 1] = line end
  end
  lines[#lines + 1] = ("unix_socket_directories='%s'"):format(directory)
  local keeper = assert(io.popen(([[set -e; umask 022; cd /
    mkdir -m 0755 %s; [ -z '%s' ] || chown postgres %s
    trap '%s %s/pg_ctl -D %s -m immediate -w stop >/dev/null 2>&1; rm -rf %s' EXIT
    %s %s/initdb -D %s -A trust -U onemsg -E UTF8 --locale=%s --no-sync >%s/initdb.log 2>&1
    cat >>%s/postgresql.conf <<'EOF'
%s
EOF
    %s %s/pg_ctl -D %s -l %s/log -w -t 60 start >/dev/null 2>&1 </dev/null
    %s/psql -qX -h %s -U onemsg -d postgres -c 'CREATE DATABASE onemsg' </dev/null
    touch %s
    read word || true]]):format(directory, AS, directory, AS, BIN, data, directory, AS, BIN, data, options.locale or "C.UTF-8",
    directory, data, table.concat(lines, "\n"), AS, BIN, data, directory, BIN, directory, ready), "w"))
  local store = require "support.store"
  store.until_true(function() return files.read(ready) ~= nil end, "PostgreSQL")
  local psql = ("%s/psql -qXAt -v ON_ERROR_STOP=1 -h %s -U onemsg -d "):format(BIN, directory)
  local server = { directory = directory, data = data, bin = BIN,
    target = "postgres://onemsg@/onemsg?host=" .. directory }

  --- database: "onemsg" by default. @treturn string what it prints
  function server.psql(text, database)
    return files.output(("%s -c \"%s\" 2>&1"):format(psql .. (database or "onemsg"), text:gsub('[\\"$`]', "\\%0")))
  end

  --- Another session that runs these statements in a transaction and leaves it open. -> release(), which undoes it
  function server.hold(text, database)
    local flag = os.tmpname()
    os.remove(flag)
    local session = assert(io.popen(psql .. (database or "onemsg") .. " >/dev/null 2>&1", "w"))
    session:write("BEGIN;\n", text, ";\n\\! touch ", flag, "\n")
    session:flush()
    store.until_true(function() return files.read(flag) ~= nil end, "the lock")
    os.remove(flag)
    return function()
      session:write "ROLLBACK;\n"
      session:close()
    end
  end

  --- pg_ctl by its words: "-m immediate stop", "start", "promote". -> true when it worked
  function server.ctl(words)
    return store.sh(("cd / && %s %s/pg_ctl -D %s -l %s/log -w -t 60 %s >/dev/null 2>&1 </dev/null")
      :format(AS, BIN, data, directory, words))
  end

  --- PgBouncer in transaction mode in front of it, with two sessions for all. -> target(database), stop()
  function server.bouncer()
    local config = directory .. "/pgbouncer.ini"
    files.write(config, ([[
[databases]
* = host=%s user=onemsg
[pgbouncer]
listen_port=7432
listen_addr=
unix_socket_dir=%s
auth_type=any
pool_mode=transaction
default_pool_size=2
]]):format(directory, directory))
    store.sh("chmod 644 " .. config)
    local pool = assert(io.popen(("%s pgbouncer -q %s >/dev/null 2>&1 & read word || true; kill $!"):format(AS, config), "w"))
    store.until_true(function() return store.sh("[ -S " .. directory .. "/.s.PGSQL.7432 ]") end, "PgBouncer")
    return {
      target = function(database) return ("postgres://onemsg@:7432/%s?host=%s"):format(database, directory) end,
      stop = function()
        pool:write "\n"
        pool:close()
      end,
    }
  end

  function server.stop()
    keeper:write "\n"
    keeper:close()
  end

  return server
end

function M.has_bouncer()
  return files.output "command -v pgbouncer" ~= ""
end

return M
