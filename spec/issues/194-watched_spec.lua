-- The alert rules and the dashboard ask for metrics that /metrics has; promtool, where it is installed, takes the rules.
local cjson = require "cjson"

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

local SUFFIXES = { gauge = { "" }, counter = { "" }, summary = { "_sum", "_count" }, histogram = { "_bucket", "_sum", "_count" } }

describe("what watches the service", function()
  local known = {}
  for name, kind in read "lua/resty/onemsg/serve/metrics.lua":gmatch '{ "(onemsg_[%w_]+)", "(%l+)", "' do
    for _, suffix in ipairs(SUFFIXES[kind]) do known[name .. suffix] = true end
  end
  local alerts = read "examples/prometheus/alerts.yml"

  it("asks for metrics that there are", function()
    assert.is_true(known.onemsg_store_up and known.onemsg_acceptance_seconds_bucket)
    local asked = 0
    local function ask(text)
      for name in text:gmatch "onemsg_[%l_]+" do
        assert.is_true(known[name] or false, name)
        asked = asked + 1
      end
    end
    ask((alerts:gsub("#[^\n]*", "")))
    for _, panel in ipairs(cjson.decode(read "examples/grafana/onemsg.json").panels) do
      assert.is_true(#panel.targets > 0, panel.title)
      for _, target in ipairs(panel.targets) do ask(target.expr) end
    end
    assert.is_true(asked > 30)
  end)

  it("has a test for each alert, of trouble and of none", function()
    local tests = read "examples/prometheus/alerts_test.yml"
    for name in alerts:gmatch "alert: (%w+)" do
      assert.truthy(tests:find("alertname: " .. name .. "\n        exp_alerts", 1, true), name)
      assert.truthy(tests:find("alertname: " .. name .. " }", 1, true), name)
    end
  end)

  it("is taken by promtool, where it is installed", function()
    local function run(line)
      local pipe = assert(io.popen("{ " .. line .. "; } 2>&1; echo exit $?"))
      local text = pipe:read "*a"
      pipe:close()
      return text
    end
    if run("command -v promtool"):find "exit 1" then return pending "promtool is not installed" end
    for _, line in ipairs { "check rules alerts.yml", "test rules alerts_test.yml" } do
      local said = run("cd examples/prometheus && promtool " .. line)
      assert.truthy(said:find "exit 0\n$", said)
    end
  end)
end)
