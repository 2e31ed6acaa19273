-- What an answer proves: every row of the fake's table, and one whole request each.
local channels = require "support.channels"
local numbers = require "onemsg.fake.numbers"
local server = require "support.server"

local FIRST_WORDS = { rejected = "rejected: ", not_sent = "not_sent: ", unknown = "unknown: " }
local CLASSES = require "onemsg.codes".classes
local STATUS_ONLY = { [70] = 200, [74] = 200, [75] = 200 } -- acts that begin an answer
local NEVER = { [76] = true }                  -- never answers: the channel's timeout ends it

-- What codes.lua makes of an answer, where a row's point is just that: code, retry, retry_after.
local INFO = {
  [42] = { code = 131047, retry = false }, [43] = { code = 131026 }, [46] = { code = 132000, retry = false },
  [47] = { code = 132001 }, [49] = { code = 131008 }, [50] = { code = 132018, retry = false }, [60] = { retry = false },
  [62] = { retry = true, retry_after = 2 }, [64] = { retry = true }, [65] = { code = 130429, retry = true },
  [66] = { code = 131056, retry = true }, [67] = { retry = true, retry_after = 1 },
  [68] = { code = 131056, retry = true },
  [93] = { code = 132015 }, [94] = { code = 131042, retry = false }, [95] = { code = 131048 }, [97] = { code = 132012 },
  [59] = { code = 131016, retry = false },
}

describe("outcome", function()
  local fake, channel, hasty, token

  setup(function()
    fake = server.fake { set = { pace_ms = 0 } }
    channel = channels.new(fake)
    hasty = channels.new(fake, { timeout = 3 })
    token = fake.env.ONE_MSG_TOKEN
  end)

  teardown(function()
    channel:close()
    hasty:close()
    fake:stop()
  end)

  local function check_receipt(row, phone, receipt)
    assert.are.equal(row.outcome, receipt.outcome)
    if row.outcome == "accepted" then
      assert.is_nil(receipt.job_id)
      if row.id == "none" then
        assert.is_nil(receipt.id)
      else
        assert.is_string(receipt.id)
        assert.is_true(#receipt.id > 10)
      end
    else
      assert.is_nil(receipt.id)
      assert.are.equal("job-" .. phone, receipt.job_id)
    end
  end

  local function check_error(ending, row, err, info)
    assert.are.equal(FIRST_WORDS[row.outcome], err:match "^%a+_?%a*: ")
    assert.is_true(#err > #"rejected: " + 3, err)
    assert.is_nil(err:find "[%c\127]", err)
    assert.is_nil(err:find('"sent"', 1, true), err) -- what a broken answer begins with is no sentence
    assert.are.equal(row.outcome, info.outcome)
    assert.is_boolean(info.retry)
    assert.is_string(info.class)
    assert.is_truthy(info.class == "network" or CLASSES[info.class], info.class)
    assert.are.equal(row.answer and row.answer[1] or STATUS_ONLY[ending], info.status)
    if row.outcome == "unknown" then assert.is_false(info.retry) end
    if row.outcome == "not_sent" then assert.is_true(info.retry) end
    for name, value in pairs(INFO[ending] or {}) do assert.are.equal(value, info[name], name) end
    if row.answer and row.answer[1] ~= 301 and row.answer[2] ~= "" then
      assert.is_string(info.hint)
      assert.is_string(info.body)
      assert.is_true(#info.body <= 2048)
    end
    for _, text in ipairs { err, info.hint or "", info.body or "" } do
      assert.is_nil(text:find(token, 1, true))
      assert.is_nil(text:find(token:sub(1, 20), 1, true))
    end
  end

  for ending = 0, 99 do
    local row = numbers.list[ending]
    if row then
      it(("%02d: %s"):format(ending, row.say), function()
        local phone = channels.phone(ending)
        local receipt, err, info = (NEVER[ending] and hasty or channel):send(channels.message(phone))
        if row.outcome == "accepted" or row.outcome == "queued" then
          assert.is_nil(err)
          assert.is_nil(info)
          check_receipt(row, phone, receipt)
        else
          assert.is_nil(receipt)
          check_error(ending, row, err, info)
        end
        assert.are.equal(1, fake:count(phone))
      end)
    end
  end

  it("obeys a Retry-After that is a date", function()
    local _, _, info = channel:send(channels.message(channels.phone(63)))
    assert.is_true(info.retry_after >= 0 and info.retry_after <= 4, info.retry_after) -- and the way here takes its time
  end)

  it("accepts where no row says otherwise", function()
    for _, ending in ipairs { 0, 7, 19, 69, 78, 98, 99 } do
      local phone = channels.phone(ending)
      local receipt, err = channel:send(channels.message(phone))
      assert.is_nil(err)
      assert.are.equal("accepted", receipt.outcome)
      assert.is_truthy(receipt.id:find "^wamid%.")
      assert.are.equal("Sent to " .. phone .. "@c.us", receipt.message)
      assert.are.equal("Message has been sent to the provider", receipt.description)
      assert.are.equal(1, fake:count(phone))
    end
  end)

  it("is not_sent when nobody listens, when the name is unknown, when TLS fails", function()
    for _, case in ipairs {
      { base_url = "http://127.0.0.1:9" }, { base_url = "https://no-such-host.invalid" },
      { base_url = fake.env.FAKE_HTTPS_URL, ca_file = "/etc/ssl/certs/ca-certificates.crt" },
      { base_url = (fake.env.FAKE_HTTP_URL:gsub("^http:", "https:")) },
    } do
      local other = channels.new(fake, case)
      local phone = channels.phone(1)
      local receipt, err, info = other:send(channels.message(phone))
      assert.is_nil(receipt)
      assert.is_truthy(err:find "^not_sent: ")
      assert.is_truthy(err:find("the message had not left", 1, true))
      assert.are.equal("not_sent", info.outcome)
      assert.are.equal("network", info.class)
      assert.is_true(info.retry)
      assert.is_nil(info.status)
      assert.are.equal(0, fake:count(phone))
      assert.are.equal(1, other:stats().not_sent)
      other:close()
    end
  end)

  it("stands in the statistics, once each", function()
    local stats = channel:stats()
    local expected = { accepted = 7, queued = 0, rejected = 0, not_sent = 1, unknown = 0, invalid = 0, reads = 0 }
    for ending, row in pairs(numbers.list) do
      if not NEVER[ending] then expected[row.outcome] = expected[row.outcome] + 1 end
    end
    for name, value in pairs(expected) do assert.are.equal(value, stats[name], name) end
    assert.are.equal(0, stats.in_flight)
    assert.are.equal(1, hasty:stats().unknown)
  end)
end)
