-- make demo: five events become confirmations on WhatsApp, or not, and `onemsg show` says why. The 1MSG that answers here
-- is a stand-in on this machine; everything else is what runs in earnest.
local fake_server = require "onemsg.fake.server"

local dir = os.getenv "FAKE_DIR" or "/tmp/onemsg-demo"
assert(fake_server.start { dir = dir, owner = fake_server.own_pid(), set = { pace_ms = 300 } })

local function say(text) io.write("\n# ", text, "\n") end

local SHELL = ([[set -a; . '%s/fake.env'; ONE_MSG_RULES=examples/rules.lua; ONE_MSG_STORE='sqlite:%s/confirmations.db'; set +a
  PATH="$PWD/build:$PATH"; ]]):format(dir, dir)

--- Runs a command as you would type it, and shows that.
local function run(line)
  io.write("$ ", line, "\n")
  io.flush()
  local ok = os.execute(SHELL .. line)
  if ok ~= true and ok ~= 0 then error(line .. " failed", 0) end
end

local function output(line)
  local pipe = assert(io.popen(SHELL .. line))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

--- What Stripe posts when somebody has paid, and the signature that it sends with it.
local function stripe_posts(path)
  local body, at, secret = [[{"id":"evt_1","type":"checkout.session.completed","livemode":true,"data":{"object":{
"amount_total":1250,"currency":"eur","customer_details":{"name":"Maria Silva","phone":"+12020746100"}}}}]],
    os.time(), "whsec_of_the_demo"
  local file = assert(io.open(path, "wb"))
  file:write(body) file:close()
  local mac = require "onemsg".hmac(secret, at .. "." .. body):gsub(".", function(c) return ("%02x"):format(c:byte()) end)
  return ("ONE_MSG_STRIPE_SECRET=%s onemsg submit --rules examples/rules/stripe.lua --from stripe "
    .. "--header 'Stripe-Signature: t=%d,v1=%s' %s"):format(secret, at, mac, path)
end

local function story()
  for _, suffix in ipairs { "", "-wal", "-shm" } do os.remove(dir .. "/confirmations.db" .. suffix) end
  say "Five events come in: Maria pays (and the shop says so twice), a colleague pays, two orders are paid."
  run "onemsg submit examples/events.jsonl"
  say "examples/rules.lua has decided, and it is on disk. Now the messages leave: one is refused, one has to wait."
  run "onemsg work --drain 10s"
  say "What became of each? Maria's was accepted:"
  run "onemsg show pay-1"
  say "The colleague's was never to be sent, Ravi's was refused, Ana's was sent at the second attempt:"
  for _, id in ipairs { "pay-2", "order-3", "order-4" } do run("onemsg show " .. id) end
  say "Accepted is not delivered. Has Maria got it?"
  run(("onemsg hookinfo --wait 10s '%s'"):format(output("onemsg show --json pay-1"):match '"message_id":"([^"]+)"'))
  say "Stripe's own webhook, as Stripe posts and signs it, needs no program in between:"
  run(stripe_posts(dir .. "/stripe.json"))
  run "onemsg work --rules examples/rules/stripe.lua --drain 10s"
  run "onemsg show stripe:evt_1"
end

local ok, why = pcall(story)
fake_server.stop { dir = dir }
if not ok then error(why, 0) end
