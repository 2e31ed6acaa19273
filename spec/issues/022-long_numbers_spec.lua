-- An id that comes as a number keeps its digits, or is unknown: 12345678901234567890 was read as …567168, another
-- message's id.
local channels = require "support.channels"
local raw = require "support.raw"

local LONG = "12345678901234567890"

describe("a long number", function()
  local channel, finish

  setup(function()
    local _
    _, channel, finish = channels.with_raw { timeout = 30 }
  end)
  teardown(function() finish() end)

  -- what stands in the answer, the id of the receipt
  for _, row in ipairs {
    { LONG, LONG }, { "-" .. LONG, "-" .. LONG }, { "9007199254740993", "9007199254740993" },
    { "9007199254740992", "9007199254740992" }, { "9007199254740991", "9007199254740991" }, { "17", "17" }, { "0", "0" },
    { '"' .. LONG .. '"', LONG }, { "1.5", nil }, { "1e300", nil }, { "12345678901234567890.0", nil }, { "{}", nil },
    { "true", nil },
  } do
    local given, id = row[1], row[2]
    it(("as id: %s"):format(given), function()
      local ask = raw.ask("200 OK", ('{"sent":true,"id":%s}'):format(given))
      local receipt = assert(channel:send(channels.message(channels.phone(0), { action = ask })))
      assert.are.equal("accepted", receipt.outcome)
      assert.are.equal(id, receipt.id)
      ask = raw.ask("200 OK", ('{"sent":false,"jobId":%s}'):format(given))
      local queued, _, info = channel:send(channels.message(channels.phone(0), { action = ask }))
      assert.are.equal(id and "queued" or "unknown", queued and queued.outcome or info.outcome)
      if queued then assert.are.equal(id, queued.job_id) end
    end)
  end

  it("in what is read, a text", function()
    local body = ('{"id":%s,"list":[%s,1],"text":"%s","low":9007199254740991}'):format(LONG, LONG, LONG)
    local value = assert(channel:request("GET", "messages?" .. raw.ask("200 OK", body)))
    assert.are.same({ LONG, LONG, 1, LONG, "9007199254740991" },
      { value.id, value.list[1], value.list[2], value.text, ("%.0f"):format(value.low) })
    -- of another message: the digits that were lost made it one without an id, and so this one's
    local report = assert(channel:hookInfo(raw.ask("200 OK", ('{"hooks":[{"id":%s,"status":"failed"},'
      .. '{"id":{},"status":"failed"},{"id":1.5,"status":"failed"},{"status":"sent"}]}'):format(LONG))))
    assert.are.same({ "sent", 1, 3 }, { report.status, #report.hooks, report.ignored })
  end)
end)
