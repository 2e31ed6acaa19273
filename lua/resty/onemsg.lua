--- resty.onemsg: onemsg as a service inside nginx. Its page is onemsg.md beside it.
--
--     init_by_lua_block        { require("resty.onemsg").init { rules = "…", store = "sqlite:…" } }
--     init_worker_by_lua_block { require("resty.onemsg").init_worker() }
--     location = /events  { content_by_lua_block { require("resty.onemsg").serve_events() } }
--     location /hooks/    { content_by_lua_block { require("resty.onemsg").serve_hooks() } }
--     location = /metrics { content_by_lua_block { require("resty.onemsg").serve_metrics() } }
--     location /onemsg/   { content_by_lua_block { require("resty.onemsg").serve_status() } }
--
-- examples/openresty/service.conf is a whole one. In onemsg/: settings (options), worker (the long thread), request,
-- counters; serve/: events, hooks, metrics, status (the operator's page), status_html.

local M = {}

local settings

local function need()
  if not settings then
    error("resty.onemsg: call init { … } in init_by_lua first; lua_code_cache must be on", 3)
  end
  return settings
end

local function serve(endpoint, ...)
  return require "resty.onemsg.request".serve(require("resty.onemsg.serve." .. endpoint).serve, ...)
end

--- Reads and checks the options, the secrets and ONE_MSG_… before nginx forks and drops the environment. Opens no
-- connection and starts no thread. Raises one sentence, which stops nginx, when something is wrong.
-- Context: init_by_lua.
-- @tparam ?table options
--   rules            path of the script; ONE_MSG_RULES
--   store            "sqlite:/path", "postgres://…"; ONE_MSG_STORE
--   token, template, … of onemsg.new, or ONE_MSG_…; or channel = a channel; or channels = { name = options | channel }
--   event_secrets    signing secrets (whsec_…), a text or a list; ONE_MSG_EVENT_SECRET, several with blanks between
--   event_tokens     bearer tokens for events, a text or a list; ONE_MSG_EVENT_TOKEN
--   sender_secrets   { stripe = "whsec_…", shopify = { "new", "old" } }: of senders; ONE_MSG_STRIPE_SECRET, …
--   hook_secrets     last part of the webhook's URL, a text or a list (the old and the new one); ONE_MSG_HOOK_SECRET
--   operator_token   password of the operator's page, a text or a list; ONE_MSG_OPERATOR_TOKEN
--   operators        { maria = { token = "…", may = "view" | "operate" | "admin" } }, or the path of the file that
--                    `onemsg operator` writes; ONE_MSG_OPERATORS
--   open             true: whoever reaches the operator's page may read it (nginx's allow and deny guard it). To
--                    settle, replay and cancel needs operator_token all the same
--   event_bytes = 1 MiB, event_items = 1000, hook_bytes = 3 MiB   limits of one request
--   resolve, fallback, on_change, on_alert, log, rate, … of onemsg.workflow
function M.init(options)
  local reader = require "resty.onemsg.settings"
  settings = reader.read(options or {})
  local starting = require "ngx.process".type() ~= "worker" -- which comes here with lua_code_cache off, at each request
  local off = starting and reader.off(settings, options or {})
  if off then ngx.log(ngx.WARN, "onemsg: ", off) end
end

--- Starts this worker's long light thread, which sends, retries, polls and expires (flow:work), until the worker is to
-- leave; a reload or quit waits for no more than the sends in flight. Several workers, and `onemsg work`, may share a
-- store.
-- Context: init_worker_by_lua.
function M.init_worker()
  local the_settings = need()
  local kind = require "ngx.process".type()
  if kind == "worker" or kind == "single" then require "resty.onemsg.worker".start(the_settings) end
end

--- This worker's workflow, for show, list, explain and the rest of onemsg.workflow.
-- Context: rewrite, access, precontent, content, timer; elsewhere only when the store is open already.
-- @treturn ?table flow
-- @treturn string with nil: "store: …", "config: …"
function M.flow()
  need()
  return require "resty.onemsg.worker".flow()
end

--- Takes an event: on disk when it returns a ticket. As flow:submit of onemsg.workflow.
-- Context: rewrite, access, precontent, content, timer; with { wait = false } every phase from init_worker on.
-- @tparam table event id and type are required
-- @tparam ?table options wait = false: a pending (ready, wait) instead of a ticket; what comes before this worker has
--   opened the store is kept until then
-- @treturn ?table ticket { id, state, rule, reason, duplicate, … }
-- @treturn string with nil: "invalid: …", "conflict: …", "store: …", "config: …"
function M.submit(event, options)
  need()
  local worker = require "resty.onemsg.worker"
  if options and options.wait == false and not worker.is_open() then return worker.keep(event, options) end
  local yield = require "resty.onemsg.yield"
  if not (options and options.wait == false) and not yield.can_wait() then
    local phase = ngx.get_phase()
    return nil, ("invalid: submit waits, and %s_by_lua cannot; call submit(event, { wait = false })"):format(phase),
      { outcome = "invalid", retry = false, phase = phase }
  end
  local flow, err, info = worker.flow()
  if not flow then return nil, err, info end
  return flow:submit(event, options)
end

--- Answers POST of an event, an array of events or JSON lines, signed after Standard Webhooks or with a bearer token.
-- 202 only when on disk, 200 for a repeat, 400, 401, 405, 409, 413, 503 when it should be repeated.
-- With `from`, answers a sender as it wants it (onemsg.senders): 200 when on disk, repeats and what no rule names too;
-- 400, 401, 405, 413, 503.
-- Context: content_by_lua.
-- @tparam ?table options
--   from     a sender: "stripe", "shopify", …
--   url      the URL as it was registered there, where the sender signs it (Square, HubSpot); default https://, the Host
--            header and the request's own
--   header   the header that holds the secret (from = "plain")
function M.serve_events(options)
  local the_settings = need()
  if options == nil then return serve("events", the_settings) end
  return serve("senders", the_settings, require "resty.onemsg.serve.senders".options(options))
end

--- Answers 1MSG's webhook: …/<secret>. 200 only when on disk, 400, 404 for a wrong secret, 405, 413, 503.
-- Context: content_by_lua.
-- @tparam ?table options channel = name, where there are several and this location is one's own; else a body's instanceId
--   tells
function M.serve_hooks(options)
  local the_settings, channel = need(), options and options.channel
  if channel ~= nil and not the_settings.channels[channel] then
    error(("serve_hooks: there is no channel %q"):format(tostring(channel)), 2)
  end
  return serve("hooks", the_settings, channel)
end

--- Answers with the metrics in Prometheus' text format. Names nobody, and asks for no secret: let nginx guard it.
-- Context: content_by_lua.
function M.serve_metrics()
  return serve("metrics", need())
end

--- Answers with the operator's page: what became of each confirmation, and what a person decides. ?format=json for
-- programs. HTTP Basic with operator_token as the password (any user name), or Authorization: Bearer.
-- Context: content_by_lua.
function M.serve_status()
  return serve("status", need())
end

return M
