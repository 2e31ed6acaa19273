-- make demo, second part: the same as a service. Events come in by signed HTTP, hooks come back late, twice and out of
-- order, a failure becomes an SMS, and a doubt is ended by hand. nginx and the stand-in 1MSG run on this machine.
local signature = require "onemsg.signature"

local dir, port = (os.getenv "FAKE_DIR" or "/tmp/onemsg-demo") .. "-service", tostring(18000 + os.time() % 10000)
local secret = "whsec_" .. ("c2VjcmV0IG9mIHRoZSBkZW1v"):rep(2)
local SHELL = ([[export DIR='%s' PORT=%s ONE_MSG_EVENT_SECRET=%s ONE_MSG_STORE='sqlite:%s/store.db'
  [ ! -f "$DIR/fake/fake.env" ] || { set -a; . "$DIR/fake/fake.env"; set +a; }
  export ONE_MSG_RULES=examples/rules.lua PATH="$PWD/build:$PATH"; ]]):format(dir, port, secret, dir)

local function shell(line)
  local ok = os.execute(SHELL .. line)
  if ok ~= true and ok ~= 0 then error(line .. " failed", 0) end
end

local function say(text, mark) io.write(mark or "\n# ", text, "\n") io.flush() end

local function run(line)
  say(line, "$ ")
  shell(line)
end

--- Posts an event as a shop would: signed after Standard Webhooks.
local function post(id, name, phone)
  local body = ('{"id":"%s","type":"payment.succeeded","amount":9,"plan":{"kind":"subscription"},"payment":{"id":"%s"},'
    .. '"customer":{"first_name":"%s","phone":"%s","whatsapp_ok":true}}'):format(id, id, name, phone)
  local now = os.time()
  shell(("curl -s -H 'webhook-id: %s' -H 'webhook-timestamp: %d' -H 'webhook-signature: %s' -d '%s' http://127.0.0.1:%s/events")
    :format(id, now, signature.sign(secret, id, now, body), body, port))
end
local function wait_until(line) shell("for i in $(seq 150); do " .. line .. " && exit 0; sleep 0.2; done; exit 1") end

local function wait_for(id, state)
  wait_until(("onemsg show --json %s | grep -q '\"state\":\"%s\"'"):format(id, state))
end

local function story()
  say "As a service: nginx takes signed events; 202 says that it is on disk. Five people pay:"
  os.execute("rm -rf '" .. dir .. "'")
  shell 'env -u LUA_PATH -u LUA_CPATH examples/openresty/run service >/dev/null'
  shell 'curl -s -o "$DIR/set" "$FAKE_HTTP_URL/_fake/set?pace_ms=100"'
  for i, person in ipairs { "Maria 12020721330", "Ravi 12020721331", "Ana 12020721332", "Tom 12020721322", "Li 12020721379" } do
    post("pay-" .. i, person:match "(%a+) (%d+)")
  end
  say "Their hooks come back late (Maria), twice (Ravi), in reverse order (Ana). Tom's message fails: he gets an SMS instead."
  say "Li's answer was lost: nobody knows whether it left, so nobody sends it again."
  for i, state in ipairs { "read", "read", "read", "failed", "unknown" } do wait_for("pay-" .. i, state) end
  wait_until [[grep -q 'SMS would say' "$DIR/error.log"]]
  run "onemsg list"
  run "onemsg show pay-4"
  run [[grep -o 'an SMS would say: [^,]*' "$DIR/error.log"]]
  say "You ask Li: it did not arrive. That ends the doubt; had it arrived, a later hook would show that."
  run "onemsg settle pay-5 not_arrived"
  run "onemsg show pay-5"
  say 'To your own phone: set ONE_MSG_TOKEN, ONE_MSG_TEMPLATE, …; eval "$(make -s env)"; examples/follow.lua'
end
local ok, why = pcall(story)
shell "env -u LUA_PATH -u LUA_CPATH examples/openresty/run stop"
if not ok then error(why, 0) end
