-- Sends with Lua-cURLv3 and lua-cjson as one writes it by hand: reused easy handles on a multi handle, or one easy
-- handle, one message at a time. Settings and figures as in load.h; libcurl may repeat a request.
local cjson = require "cjson"
local curl = require "lcurl"
local sys = require "support.sys"

local window = tonumber(os.getenv "BENCH_WINDOW")
local count = tonumber(os.getenv "BENCH_COUNT")
local warm = tonumber(os.getenv "BENCH_WARM")
local http1 = os.getenv "BENCH_HTTP" == "1.1"

local function env(name) return assert(os.getenv("ONE_MSG_" .. name), "ONE_MSG_" .. name .. " is not set") end

local url = env "BASE_URL" .. "/" .. env "INSTANCE_ID" .. "/sendTemplate"
local headers = { "Authorization: Bearer " .. env "TOKEN", "Content-Type: application/json", "Expect:" }
local template, namespace, language = env "TEMPLATE", env "TEMPLATE_NAMESPACE", env "TEMPLATE_LANGUAGE"

local function body()
  return cjson.encode {
    phone = (("+1 (202) 072-1300"):gsub("%D", "")), template = template, namespace = namespace,
    language = { policy = "deterministic", code = language },
    params = { { type = "body", parameters = {
      { type = "text", text = "Maria" }, { type = "text", text = "subscription payment" },
      { type = "text", text = "Access activated in your account." } } } },
  }
end

local multi
local answers, easies = {}, {}

local function new_easy()
  local easy = curl.easy {
    url = url, proxy = "", httpheader = headers, cainfo = env "CA_FILE", nosignal = true, timeout_ms = 20000,
    http_version = http1 and curl.HTTP_VERSION_1_1 or curl.HTTP_VERSION_2TLS, pipewait = not http1,
  }
  easy:setopt_writefunction(function(part)
    local before = answers[easy]
    answers[easy] = before and before .. part or part
    return true
  end)
  easies[#easies + 1] = easy
  return easy
end

local function take(easy)
  local status, answer = easy:getinfo_response_code(), answers[easy]
  answers[easy] = nil
  local decoded = status == 200 and cjson.decode(answer)
  return decoded and decoded.sent == true and decoded.id and 1 or 0
end

local function begin(easy)
  easy:setopt_postfields(body())
  multi:add_handle(easy)
end

local function send_many(n)
  local accepted, begun, ended = 0, 0, 0
  for i = 1, math.min(window, n) do
    begun = begun + 1
    begin(easies[i] or new_easy())
  end
  while ended < n do
    multi:perform()
    local before = ended
    while true do
      local easy, ok, err = multi:info_read(true) -- true: and remove the handle
      if easy == 0 then break end
      if not ok then error(tostring(err)) end
      ended = ended + 1
      accepted = accepted + take(easy)
      if begun < n then
        begun = begun + 1
        begin(easy)
      end
    end
    if ended == before then multi:wait(1000) end
  end
  return accepted
end

local function send_single(n)
  local accepted, easy = 0, easies[1] or new_easy()
  for _ = 1, n do
    easy:setopt_postfields(body())
    easy:perform()
    accepted = accepted + take(easy)
  end
  return accepted
end

local send = send_single
if window > 1 then
  multi = curl.multi {
    max_host_connections = window, maxconnects = window,
  }
  send = send_many
end

send(warm)
local began, burnt = sys.now(), os.clock()
local accepted = send(count)
print(("accepted=%d seconds=%.6f cpu=%.6f"):format(accepted, sys.now() - began, os.clock() - burnt))
os.exit(accepted == count and 0 or 1)
