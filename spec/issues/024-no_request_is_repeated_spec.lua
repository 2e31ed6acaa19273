-- libcurl repeated a DELETE by itself, and where the server had read it whole it was "not_sent": nothing of a body had
-- been handed over, for it has none. Only what reads may be repeated.
local channels = require "support.channels"
local raw = require "support.raw"

-- method, body, may be repeated
local ROWS = {
  { "DELETE", nil, false }, { "DELETE", { a = 1 }, false }, { "POST", { a = 1 }, false }, { "PUT", { a = 1 }, false },
  { "PATCH", { a = 1 }, false }, { "GET", nil, true },
}

describe("a request that the server read, and did not answer", function()
  local function times(server, path)
    local n = 0
    for _, entry in ipairs(server:journal()) do n = n + (entry.path:find(path, 1, true) and 1 or 0) end
    return n
  end

  for _, kind in ipairs { "http", "h2" } do
    for _, row in ipairs(ROWS) do
      local method, body, harmless = row[1], row[2], row[3]
      it(("%s%s over %s, on a fresh connection and on a kept one"):format(method, body and " with a body" or "", kind),
        function()
          for answer = 0, 1 do
            local server = raw[kind]("close", { answer = answer })
            local channel = channels.to(server, { timeout = 60 })
            for i = 1, answer do assert(channel:request(method, "kept" .. i, body)) end
            local value, err, info = channel:request(method, "last", body)
            if harmless and answer == 1 then
              assert.is_true(value ~= nil or info.retry, err)
            else
              assert.is_nil(value)
              assert.are.equal("unknown", info.outcome, err)
              assert.is_nil(err:find("before it was asked", 1, true), err) -- it had been asked, without a body
              assert.are.equal(harmless, info.retry)
              assert.are.equal(1, times(server, "/last"))
            end
            channel:close()
            server:stop()
          end
        end)
    end
  end

  it("is not_sent where nobody listens, whatever it is", function()
    local channel = channels.to({ url = "http://127.0.0.1:9" })
    for _, row in ipairs(ROWS) do
      local _, err, info = channel:request(row[1], "x", row[2])
      assert.are.equal("not_sent", info.outcome)
      assert.is_true(info.retry)
      if row[1] ~= "GET" then assert.is_truthy(err:find(row[2] and "the message had not left" or "the request had not left")) end
    end
    channel:close()
  end)
end)
