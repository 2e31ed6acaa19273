--- onemsg.cli.first: what `onemsg init` writes for whoever begins: rules that hold, settings with secrets of their own, and
-- what stands in nginx. Pure: texts out.
local M = {}

M.RULES = [[
-- Which events are confirmed on WhatsApp, to whom, in which words. After a change: onemsg rules check
-- A text in quotes may hold {fields} of the event; what stands after | is used when the event has no such field.

-- The template as WhatsApp approved it, and what its {{1}}, {{2}}, {{3}} stand for.
template "action_success" { language = "en", body = { "name", "action", "next_step" } }

defaults {
  phone         = "{customer.phone}",
  name          = "{customer.first_name|there}",
  give_up_after = "6h",
}

confirm "Payment" {
  on        = "payment.succeeded",
  when      = { amount = over(0) },
  action    = "payment",
  next_step = "The receipt is in your mailbox.",
  once_per  = "{id}",                      -- one message for a payment, however often the event comes
}

-- Examples are checked whenever this file is read; one that fails keeps the old rules at work.
example "Maria pays" {
  event  = { id = "p-1", type = "payment.succeeded", amount = 990,
             customer = { first_name = "Maria", phone = "+1 202 072 1369" } },
  expect = { confirm = "Payment", name = "Maria", phone = "12020721369" },
}
]]

local ENV = [[
# Settings of onemsg, for the command (/etc/onemsg/env) and for services (EnvironmentFile=). It holds secrets: mode 0600 or 0640.

# From the 1MSG cabinet.
#ONE_MSG_TOKEN=
# The template that WhatsApp approved. `onemsg templates` lists names, languages and the namespace.
ONE_MSG_TEMPLATE=action_success
ONE_MSG_TEMPLATE_LANGUAGE=en
#ONE_MSG_TEMPLATE_NAMESPACE=

ONE_MSG_RULES=%s/rules.lua
ONE_MSG_STORE=sqlite:%s/confirmations.db

# While you try it out, nobody else is written to: phones, commas between.
#ONE_MSG_ONLY_TO=+12020721300

# Made for you just now: what signs events, the last part of the hooks' URL, the password of the operator's page.
ONE_MSG_EVENT_SECRET=%s
ONE_MSG_HOOK_SECRET=%s
ONE_MSG_OPERATOR_TOKEN=%s
]]

--- The settings.
-- @tparam string folder absolute
-- @tparam string data where the store lies
-- @tparam table secrets event, hook, operator
function M.env(folder, data, secrets)
  return ENV:format(folder, data, secrets.event, secrets.hook, secrets.operator)
end

local NGINX = [[
# onemsg in nginx, to be included in http { }. nginx must have the settings of %s/env when it starts:
# as a service with EnvironmentFile=%s/env, by hand with  set -a; . %s/env; set +a; nginx
%slua_shared_dict onemsg 1m;   # sums the metrics of all workers
init_by_lua_block        { require("resty.onemsg").init {} }
init_worker_by_lua_block { require("resty.onemsg").init_worker() }
server {
  listen 127.0.0.1:8080;
  access_log off;          # or one that leaves out /hooks/: its URL holds a secret
  location = /events { content_by_lua_block { require("resty.onemsg").serve_events() } }   # 202 only when on disk
  location /hooks/ {       # register https://your.host/hooks/SECRET with 1MSG: onemsg webhook add URL
    client_max_body_size 3m;
    client_body_buffer_size 256k;
    error_log stderr crit;  # nginx's own complaints name the request, and with it the secret
    content_by_lua_block { require("resty.onemsg").serve_hooks() }
  }
  location = /metrics {
    allow 127.0.0.1;
    deny all;
    content_by_lua_block { require("resty.onemsg").serve_metrics() }
  }
  location /onemsg/ { content_by_lua_block { require("resty.onemsg").serve_status() } }    # the operator's page
}
]]

--- The lines that tell nginx where the Lua files and the module are.
-- @tparam ?string lua folder of LuaJIT's Lua files; nil: where it looks by itself
-- @tparam ?string c folder of LuaJIT's module
local function paths(lua, c)
  local lines = lua and ('lua_package_path "%s/?.lua;;";\n'):format(lua) or ""
  return lines .. (c and ('lua_package_cpath "%s/?.so;;";\n'):format(c) or "")
end

--- What nginx includes.
function M.nginx(folder, lua, c) return NGINX:format(folder, folder, folder, paths(lua, c)) end

return M
