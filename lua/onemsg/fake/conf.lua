--- The nginx configuration of the fake 1MSG, as text. Pure.

local M = {}

local TEXT = [[
# Written by onemsg.fake.server; it is written anew at every start.
load_module $modules/ndk_http_module.so;
load_module $modules/ngx_http_lua_module.so;
$user
daemon on;
worker_processes 1;
pid "$dir/nginx.pid";
error_log "$dir/error.log" error;
events { worker_connections $connections; }
http {
  access_log off;
  default_type "application/json; charset=utf-8";
  server_tokens off;
  http2_max_concurrent_streams 256;
  client_body_buffer_size 64k;
  client_max_body_size 3m;
  client_body_temp_path "$dir/tmp";
  proxy_temp_path "$dir/tmp";
  fastcgi_temp_path "$dir/tmp";
  uwsgi_temp_path "$dir/tmp";
  scgi_temp_path "$dir/tmp";
  lua_package_path "$lua/?.lua;;";
  lua_socket_log_errors off;
  init_by_lua_block { require("resty.onemsg.fake").init(dofile($settings)) }
  init_worker_by_lua_block { require("resty.onemsg.fake").init_worker() }
  ssl_certificate "$dir/server.pem";
  ssl_certificate_key "$dir/server.key";
  ssl_session_cache shared:fake:1m;
  server {
    listen 127.0.0.1:$http backlog=4096;
    listen 127.0.0.1:$https ssl backlog=4096;
    listen 127.0.0.1:$h2 ssl http2 backlog=4096;
    location / { content_by_lua_block { require("resty.onemsg.fake").serve() } }
    location /_fake/ { content_by_lua_block { require("resty.onemsg.fake").control() } }
    # 120 s, or until the client leaves.
    location @hang { lua_check_client_abort on; content_by_lua_block { require("resty.onemsg.fake").hang() } }
    location @close { return 444; }
    location @reset { reset_timedout_connection on; return 444; }
  }
}
]]

--- Fill the configuration.
-- @tparam table values dir, lua (directories), modules, user (a directive or ""), settings (a quoted Lua string),
--   http, https, h2 (ports)
-- @treturn string
function M.text(values)
  return (TEXT:gsub("%$(%w+)", values))
end

return M
