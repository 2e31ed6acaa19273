-- An answer without end takes no memory: of trailers libcurl kept all that came, 900 MB in four seconds.
local channels = require "support.channels"
local raw = require "support.raw"
local sys = require "support.sys"

local ROOM_KB = 24 * 1024 -- an answer may have 1 MiB, libcurl and the spec need some

describe("an answer without end", function()
  -- what is endless, and what ends it: the cap, or where nothing is kept the channel's time
  for behaviour, says in pairs {
    endless_line = "out of memory, or a line of the answer's head is longer", endless_lines = "head of .* is larger than 64 KiB",
    endless_100 = "head of .* is larger than 64 KiB", endless_trailer = "head of .* is larger than 64 KiB",
    endless_body = "answer of .* is larger than 1024 KiB", endless_chunk = "no answer from .* within",
  } do
    it(("takes no memory: %s"):format(behaviour), function()
      local server = raw.http(behaviour)
      local channel = channels.to(server, { timeout = behaviour == "endless_chunk" and 1 or 120 })
      collectgarbage()
      local pending = assert(channel:async("send", channels.message "12020721300"))
      local before, most = sys.rss_kb(), 0
      while not pending:ready() do
        sys.sleep(0.005)
        most = math.max(most, sys.rss_kb())
      end
      local value, err, info = pending:wait()
      assert.is_nil(value)
      assert.are.equal("unknown", info.outcome)
      assert.is_truthy(err:find(says), err)
      assert.is_true(most - before < ROOM_KB, most - before)
      channel:close()
      server:stop()
    end)
  end

  it("of a refusal proves nothing: its end was not read", function()
    local server = raw.http "tell"
    local channel = channels.to(server, { timeout = 30 })
    local head = ("X: " .. ("y"):rep(1000) .. "\r\n"):rep(80)
    for _, status in ipairs { "429 Too Many Requests", "400 Bad Request", "200 OK" } do
      local _, _, info = channel:request("POST", "sendTemplate", { x = raw.ask(status, '{"sent":false}', head) })
      assert.are.equal("unknown", info.outcome)
      assert.is_false(info.retry)
    end
    channel:close()
    server:stop()
  end)
end)
