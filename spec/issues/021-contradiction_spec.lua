-- An answer that says two things proves neither: a 429 with `sent: true` was `not_sent`, and so the message was sent
-- once more. The same for what a call of one's own sends by `request`.
local channels = require "support.channels"
local raw = require "support.raw"

local RATE, BAD, ERROR, OK = "429 Too Many Requests", "400 Bad Request", "500 Oops", "200 OK"

-- status, body, outcome
local ROWS = {
  { RATE, '{"sent":true,"id":"wamid.X"}', "unknown" },
  { RATE, '{"sent":"true"}', "unknown" },
  { RATE, '{"sent":1}', "unknown" },
  { RATE, '{"sent":false,"jobId":"j-1","message":"queued"}', "unknown" },
  { RATE, '{"sent":false,"jobId":{}}', "unknown" },
  { RATE, '{"sent":false,"jobId":null}', "not_sent" },
  { RATE, '{"sent":false,"jobId":""}', "not_sent" },
  { RATE, '{"sent":null}', "not_sent" },
  { RATE, '{"error":"slow down"}', "not_sent" },
  { RATE, '[{"sent":true}]', "not_sent" },
  { RATE, '{"error":{"sent":true}}', "not_sent" },
  { RATE, 'slow down', "not_sent" },
  { BAD, '{"sent":true,"id":"wamid.X"}', "unknown" },
  { BAD, '{"jobId":7}', "unknown" },
  { BAD, '{"sent":false,"sent":true}', "unknown" },
  { BAD, '{"sent":false}', "rejected" },
  { "302 Found", '{"sent":true}', "unknown" },
  { "404 Not Found", '{"jobId":"j-1"}', "unknown" },
  { "501 Not Implemented", '{"sent":true}', "unknown" },
  { ERROR, '{"sent":true,"id":"wamid.X","message":"template is paused"}', "unknown" },
  { ERROR, '{"sent":false,"jobId":"j-1","message":"spam rate"}', "unknown" },
  { ERROR, '{"sent":false,"error":{"code":131026,"message":"x"}}', "rejected" },
  { OK, '{"sent":true,"id":"wamid.X","sent":false}', "unknown" },
  { OK, '{"sent":false,"id":"wamid.X","sent":true}', "unknown" },
  { OK, '{"sent":false,"s\\u0065nt":true}', "unknown" },
  { OK, '{"sent":true,"id":"a","id":"b"}', "unknown" },
  { OK, '{"sent":false,"jobId":null,"jobId":"j"}', "unknown" },
  { OK, '{"sent":true,"id":"a","sent":true}', "accepted" },
  { OK, '{"sent":true,"id":"a","x":{"sent":false}}', "accepted" },
  { OK, '{"sent":true,"id":"a","jobId":"j"}', "accepted" },
  { OK, '{"sent":false,"jobId":true}', "unknown" },
  { OK, '{"sent":false,"jobId":["j"]}', "unknown" },
  { OK, '{"sent":false,"jobId":1.5}', "unknown" },
  { OK, '{"sent":"perhaps","jobId":"j"}', "unknown" },
  { OK, '{"sent":false,"jobId":"j"}', "queued" },
  { OK, '{"jobId":17}', "queued" },
  { OK, '{"sent":false}', "rejected" },
  { OK, '{"sent":true,"id":NaN}', "unknown" },
}

describe("an answer that contradicts itself", function()
  local server, channel, finish

  setup(function() server, channel, finish = channels.with_raw { timeout = 30 } end)
  teardown(function() finish() end)

  for _, row in ipairs(ROWS) do
    local status, body, outcome = row[1], row[2], row[3]
    it(("%s %s: %s"):format(status:sub(1, 3), body, outcome), function()
      local phone = channels.phone(0)
      local receipt, err, info = channel:send(channels.message(phone, { action = raw.ask(status, body) }))
      assert.are.equal(outcome, receipt and receipt.outcome or info.outcome, err)
      if not receipt then
        assert.are.equal(outcome .. ": ", err:match "^[%a_]+: ")
        assert.are.equal(outcome == "not_sent", info.retry)
        assert.is_string(info.class)
        assert.is_string(info.hint)
        assert.are.equal(tonumber(status:match "^%d+"), info.status)
      end
      assert.are.equal(1, server:count(phone))
    end)
  end

  -- what is no success; of a success the caller reads the answer
  for _, row in ipairs(ROWS) do
    if row[1] ~= OK then
      it(("%s %s, by request: %s"):format(row[1]:sub(1, 3), row[2], row[3]), function()
        local ask = { phone = channels.phone(0), x = raw.ask(row[1], row[2]) }
        local value, _, info = channel:request("POST", "sendTemplate", ask)
        assert.is_nil(value)
        assert.are.equal(row[3], info.outcome)
        assert.are.equal(row[3] == "not_sent", info.retry)
      end)
    end
  end

  it("is no matter where nothing is sent", function()
    local value, _, info = channel:request("GET", "status?" .. raw.ask(RATE, '{"sent":true}'))
    assert.is_nil(value)
    assert.are.equal("not_sent", info.outcome)
    assert.is_true(info.retry)
  end)
end)
