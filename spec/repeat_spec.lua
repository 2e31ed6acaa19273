-- No send is ever repeated, and no fault below HTTP is taken for more than it proves.
-- libcurl by itself repeats a request when a reused connection dies, also when the server had read all of it.
local channels = require "support.channels"
local raw = require "support.raw"
local sys = require "support.sys"

local ROW = 100 -- faults in a row

-- What a server does with the whole request: the outcome, and how many whole requests it saw.
local HTTP = {
  accept = { "accepted", 1 }, close = { "unknown", 1 }, reset = { "unknown", 1 }, hang = { "unknown", 1 },
  -- the body was in the network's hands, whether the server cared to read it or not
  head_close = { "unknown", 0 }, head_reset = { "unknown", 0 }, half_close = { "unknown", 0 },
  half_reset = { "unknown", 0 }, never_reads = { "unknown", 0 }, never_accepts = { "not_sent", 0 },
  half_status = { "unknown", 1 }, half_head = { "unknown", 1 }, half_body = { "unknown", 1 },
  bytewise = { "accepted", 1 }, trickle = { "unknown", 1 }, long_length = { "unknown", 1 },
  short_length = { "unknown", 1 }, bad_length = { "unknown", 1 }, negative_length = { "unknown", 1 },
  no_length = { "accepted", 1 }, bad_chunk = { "unknown", 1 }, cut_chunk = { "unknown", 1 },
  chunked = { "accepted", 1 },
  continue_first = { "accepted", 1 }, continue_only = { "unknown", 1 }, two_answers = { "accepted", 1 },
  garbage = { "unknown", 1 }, endless_head = { "unknown", 1 }, endless_body = { "unknown", 1 },
  early_413 = { "rejected", 0 }, answers_closes = { "accepted", 1 },
}
local H2 = {
  accept = { "accepted", 1 }, close = { "unknown", 1 }, reset = { "unknown", 1 },
  -- what the server says it turned away is not sent, though this one had read it; a connection's first stream has no
  -- older one that could be named
  goaway_older = { "unknown", 1, kept = "not_sent" }, goaway_calm = { "unknown", 1, kept = "not_sent" },
  refused = { "not_sent", 1 }, goaway_same = { "unknown", 1 },
  internal = { "unknown", 1 }, cancel = { "unknown", 1 }, hang = { "unknown", 1 }, half_answer = { "unknown", 1 },
}

-- Who does none of this ends by the channel's timeout, which is short there; all others end by themselves, long before.
local SILENT = { hang = true, never_reads = true, never_accepts = true, trickle = true, half_answer = true }
local SHORT, LONG = 2, 60
local TURNED_AWAY = { goaway_older = true, refused = true }

local function outcome_of(receipt, err, info)
  if receipt then return receipt.outcome end
  assert.are.equal(info.outcome .. ": ", err:match "^[%a_]+: ")
  assert.is_nil(err:find "rewind")
  return info.outcome
end

describe("repeat", function()
  local server, channel

  after_each(function()
    if channel then channel:close() end
    if server then server:stop() end
    server, channel = nil, nil
  end)

  local function open(kind, behaviour, answer, options)
    server = raw[kind](behaviour, { answer = answer })
    options = options or {}
    options.timeout = SILENT[behaviour] and SHORT or LONG
    options.connect_timeout = options.timeout
    channel = channels.to(server, options)
  end

  local function counts()
    local by_phone = {}
    for _, entry in ipairs(server:journal()) do by_phone[entry.phone] = (by_phone[entry.phone] or 0) + 1 end
    return by_phone
  end

  for kind, table_of in pairs { http = HTTP, h2 = H2 } do
    for behaviour, expected in pairs(table_of) do
      it(("%s: %s, on a fresh connection and on a kept one"):format(kind, behaviour), function()
        for answer = 0, behaviour == "never_accepts" and 0 or 1 do
          open(kind, behaviour, answer)
          for _ = 1, answer do
            assert.are.equal("accepted", outcome_of(channel:send(channels.message(channels.phone(0)))))
          end
          local phone = channels.phone(0)
          local before = sys.now()
          assert.are.equal(answer == 1 and expected.kept or expected[1],
            outcome_of(channel:send(channels.message(phone))))
          assert.is_true(SILENT[behaviour] or sys.now() - before < LONG - 5, "it ended by the timeout")
          assert.are.equal(expected[2], server:count(phone))
          assert.are.equal(answer + expected[2], server:count())
          channel:close()
          server:stop()
        end
      end)
    end
  end

  for _, case in ipairs {
    { "http", "close" }, { "http", "reset" }, { "http", "half_status" }, { "h2", "close" }, { "h2", "reset" },
    { "h2", "goaway_older" }, { "h2", "refused" },
  } do
    local kind, behaviour = case[1], case[2]
    it(("%s: %d kept-alive connections in a row end by %s after the whole request"):format(kind, ROW, behaviour),
      function()
        open(kind, behaviour, 1)
        local phones, faults, sends = {}, 0, 0
        while faults < ROW do
          local phone = channels.phone(0)
          phones[phone] = outcome_of(channel:send(channels.message(phone)))
          if phones[phone] ~= "accepted" then faults = faults + 1 end
          sends = sends + 1
          assert.is_true(sends <= 4 * ROW, "the server does not do its part")
        end
        local seen = counts()
        for phone, outcome in pairs(phones) do
          assert.are.equal(1, seen[phone], phone .. " " .. outcome)
          seen[phone] = nil
        end
        assert.is_nil(next(seen))
      end)

    it(("%s: a burst over connections that end by %s"):format(kind, behaviour), function()
      open(kind, behaviour, 1, { max_connections = 8 })
      local messages, outcomes = {}, {}
      for i = 1, 200 do messages[i] = channels.message(channels.phone(0)) end
      for index, receipt, err, info in channel:send_each(messages, { window = 32 }) do
        outcomes[messages[index].phone] = outcome_of(receipt, err, info)
      end
      local seen, tally = counts(), { accepted = 0, unknown = 0, not_sent = 0 }
      for _, message in ipairs(messages) do
        local outcome = outcomes[message.phone]
        tally[outcome] = tally[outcome] + 1
        local count = seen[message.phone] or 0
        assert.is_true(count <= 1, message.phone .. " " .. outcome)
        if outcome == "accepted" then assert.are.equal(1, count) end
        if outcome == "not_sent" then assert.is_true(count == 0 or TURNED_AWAY[behaviour], message.phone) end
      end
      assert.are.equal(200, tally.accepted + tally.unknown + tally.not_sent)
      assert.is_true((TURNED_AWAY[behaviour] and tally.not_sent or tally.unknown) > 0)
    end)
  end

  it("nor is a body too large for one write", function()
    local filler = ("x"):rep(100000)
    for _, case in ipairs { { "http", "close" }, { "http", "reset" }, { "h2", "refused" }, { "h2", "close" } } do
      open(case[1], case[2], 1)
      local phones = {}
      for i = 1, 20 do
        phones[i] = channels.phone(0)
        local answer, err, info = channel:request("POST", "sendTemplate", { phone = phones[i], filler = filler })
        assert.is_true(answer ~= nil or info.outcome == (case[2] == "refused" and "not_sent" or "unknown"), err)
      end
      local seen = counts()
      for _, phone in ipairs(phones) do assert.are.equal(1, seen[phone]) end
      channel:close()
      server:stop()
    end
  end)

  it("a server that answers and closes without a word costs nobody a message", function()
    open("http", "answers_closes", 0)
    for _ = 1, ROW do
      local phone = channels.phone(0)
      local outcome = outcome_of(channel:send(channels.message(phone)))
      local count = server:count(phone)
      if outcome == "accepted" then
        assert.are.equal(1, count)
      else
        assert.is_true(outcome == "unknown" and count <= 1 or outcome == "not_sent" and count == 0, outcome)
      end
    end
  end)

  it("is not_sent while the body did not leave whole", function()
    open("http", "never_reads", 0)
    local body = { template = "t", filler = ("x"):rep(16 * 1024 * 1024) }
    local answer, err, info = channel:request("POST", "sendTemplate", body)
    assert.is_nil(answer)
    assert.are.equal("not_sent", info.outcome)
    assert.is_truthy(err:find("the message had not left", 1, true))
    assert.is_true(info.retry)
  end)
end)
