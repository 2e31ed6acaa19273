-- make demo: the use case's own message over HTTPS to a stand-in 1MSG, followed to `delivered`.
local fake_server = require "resty.onemsg.fake_server"
local onemsg = require "onemsg"

local dir = os.getenv "FAKE_DIR"
local env = assert(fake_server.start { dir = dir, set = { pace_ms = 300 } })

local function say(...) io.write(string.format(...), "\n") io.flush() end

local function run()
  local channel = assert(onemsg.new {
    base_url = env.ONE_MSG_BASE_URL, token = env.ONE_MSG_TOKEN, ca_file = env.ONE_MSG_CA_FILE,
    template = env.ONE_MSG_TEMPLATE, namespace = env.ONE_MSG_TEMPLATE_NAMESPACE, language = "en",
  })
  say("Maria paid her subscription. Telling her by %s", tostring(channel))
  local receipt = assert(channel:send {
    phone = "+1 (202) 072-1369",
    name = "Maria",
    action = "subscription payment",
    next_step = "Access activated in your account.",
  })
  say("  %-9s %s", receipt.outcome, receipt.id)
  local seen
  repeat
    local report = assert(channel:hookInfo(receipt.id))
    onemsg.sleep(0.05)
    if report.status ~= seen then
      seen = report.status
      say("  %-9s", seen)
    end
  until seen == "delivered" or seen == "read" or seen == "failed"
end

local ok, why = pcall(run)
fake_server.stop { dir = dir }
if not ok then error(why, 0) end
