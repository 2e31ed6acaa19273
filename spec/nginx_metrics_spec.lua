--- GET /metrics in a real nginx: numbers that are right, over workers, reloads and failures, in a text that others read.
local nginx = require "support.nginx"
local service = require "support.service"
local support = require "support.server"

--- name or name{labels} → number
local function parse(text)
  local values, types = {}, {}
  for line in text:gmatch "[^\n]+" do
    local name, kind = line:match "^# TYPE (%S+) (%S+)$"
    if name then
      types[name] = kind
    elseif not line:find "^# HELP " then
      local key, value = line:match "^(%S+) (%S+)$"
      assert(key and tonumber(value), "not a sample: " .. line)
      assert(values[key] == nil, "twice: " .. key)
      values[key] = tonumber(value)
    end
  end
  return values, types
end

local function sum(values, pattern)
  local total = 0
  for key, value in pairs(values) do
    if key:find(pattern) then total = total + value end
  end
  return total
end

local has_promtool = os.execute "command -v promtool >/dev/null 2>&1" == true

describe("nginx: serve_metrics", function()
  local fake

  setup(function() fake = support.fake {} end)
  teardown(function() fake:stop() end)
  before_each(function() fake:reset() end)
  after_each(service.stop_all)

  local function read(here)
    local status, text, headers = here:get "/metrics"
    assert.equal(200, status)
    assert.equal("text/plain; version=0.0.4; charset=utf-8", headers["content-type"])
    return parse(text)
  end

  it("sums up what all workers did, also after a reload", function()
    local here = service.start { fake = fake, workers = 2 }
    local last
    for i = 1, 12 do
      last = service.payment(i == 12 and "48" or "00")
      assert.equal(202, (here:event(last)))
      here:event(last)
    end
    here:post("/events", "{", service.sign "{")
    here:post("/events", "{}")
    here:post("/hooks/wrong-secret-of-some-length", "{}")
    here:state(last.id, "rejected")
    local values, types
    local function settled()
      values, types = read(here)
      return values['onemsg_confirmations{state="accepted"}'] == 11 and sum(values, "^onemsg_sends_total{") == 12
        and values['onemsg_events_total{result="queued"}'] == 12 and values["onemsg_acceptance_seconds_count"] == 11
    end
    assert(support.eventually(settled), "the workers' counts never came together")
    assert.equal(1, values.onemsg_store_up)
    assert.equal(1, values.onemsg_rules_good)
    assert.equal(0, values.onemsg_due)
    assert.equal(1, values['onemsg_confirmations{state="rejected"}'])
    assert.equal(12, values['onemsg_events_total{result="duplicate"}'])
    assert.equal(1, values['onemsg_events_total{result="invalid"}'])
    assert.equal(1, values['onemsg_events_total{result="unauthorized"}'])
    assert.equal(1, values['onemsg_hook_requests_total{result="unauthorized"}'])
    assert.equal(11, values['onemsg_sends_total{channel="main",outcome="accepted"}'])
    assert.equal(1, values['onemsg_sends_total{channel="main",outcome="rejected"}'])
    assert.equal(12, values['onemsg_changes_total{state="sending"}'])
    assert.equal(11, values['onemsg_acceptance_seconds_bucket{le="+Inf"}'])
    assert.equal(12, values['onemsg_api_seconds_count{channel="main"}'])
    assert.equal(1, values['onemsg_channel_breaker{channel="main",breaker="closed"}'])
    assert.equal(0, values['onemsg_channel_breaker{channel="main",breaker="open"}'])
    assert.same({ "counter", "gauge", "histogram", "summary" },
      { types.onemsg_events_total, types.onemsg_confirmations, types.onemsg_acceptance_seconds, types.onemsg_api_seconds })
    local before = 0
    for _, edge in ipairs { 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 21600, 86400 } do
      local n = values[('onemsg_acceptance_seconds_bucket{le="%s"}'):format(edge)]
      assert.is_true(n >= before, "the buckets must rise")
      before = n
    end

    assert.is_truthy(nginx.gone(here.nginx:reload()))
    local event = service.payment()
    here:event(event)
    here:state(event.id, "accepted")
    assert(support.eventually(function()
      local now = read(here)
      return now['onemsg_events_total{result="queued"}'] == 13 and sum(now, "^onemsg_sends_total{") == 13
        and now["onemsg_acceptance_seconds_count"] == 12
    end), "a reload lost counts")
    local complaints = here.nginx:complaints()
    here:stop()
    assert.equal("", complaints)
  end)

  it("is what promtool accepts", function()
    if not has_promtool then
      return pending "promtool is not installed: apt-get install prometheus"
    end
    for _, dict in ipairs { true, false } do
      local here = service.start { fake = fake, dict = dict }
      local event = service.payment()
      here:event(event)
      here:post("/hooks/wrong-secret-of-some-length", "{}")
      here:state(event.id, "accepted")
      local _, text = here:get "/metrics"
      local path = here.nginx.dir .. "/metrics"
      local file = assert(io.open(path, "w"))
      file:write(text)
      file:close()
      local pipe = assert(io.popen(("promtool check metrics <%s 2>&1"):format(path)))
      local said = pipe:read "*a"
      pipe:close()
      here:stop()
      assert.equal("", said)
    end
  end)

  it("tells, without a shared dictionary, one worker's counts, and whose", function()
    local here = service.start { fake = fake, dict = false }
    here:event(service.payment())
    local values = read(here)
    assert.equal(1, values['onemsg_events_total{worker="0",result="queued"}'])
    assert.equal(1, values.onemsg_store_up)
    here:stop()
  end)

  it("shows a stopped channel, what waits for it, and bad rules", function()
    local here = service.start { fake = fake }
    here:event(service.payment "61")
    assert(support.eventually(function()
      return read(here)['onemsg_channel_breaker{channel="main",breaker="open"}'] == 1
    end))
    local file = assert(io.open(here.nginx.dir .. "/rules.lua", "a"))
    file:write "\nconfrim 'x' {}\n"
    file:close()
    assert(support.eventually(function() return read(here).onemsg_rules_good == 0 end))
    assert(support.eventually(function() return here.nginx:log():find("unknown word 'confrim'", 1, true) end))
    assert.equal(202, (here:event(service.payment())))
    assert.matches("onemsg: stopped main: rejected: 403", here.nginx:log())
    assert.equal("", here.nginx:complaints "onemsg: ")
    here:stop()
  end)

  it("answers GET and HEAD only", function()
    local here = service.start { fake = fake }
    local status, _, headers = here:post("/metrics", "x")
    assert.same({ 405, "GET, HEAD" }, { status, headers.allow })
    status = here:request("HEAD", "/metrics")
    assert.equal(200, status)
    here:stop()
  end)
end)
