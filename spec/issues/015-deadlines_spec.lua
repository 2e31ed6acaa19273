-- An answer that had come in time was dropped when the process stood still past the deadline: the message was `unknown`.
local channels = require "support.channels"
local raw = require "support.raw"
local server = require "support.server"
local sys = require "support.sys"

local TIMEOUT_S = 3

describe("a deadline", function()
  local talker

  after_each(function() talker:stop() end)

  for over, http in pairs { plain = "1.1", tls = "1.1", h2 = "auto" } do
    it("takes nothing away that came in time while the process stood still (" .. over .. ")", function()
      talker = raw.talker(over)
      local channel = channels.to(talker, { timeout = TIMEOUT_S, http = http })
      assert(channel:send(channels.message(channels.phone(0))))
      assert.is_truthy(server.eventually(function() return talker:said() == 1 end))
      talker:hold()
      local phones, pendings = {}, {}
      for i = 1, 40 do -- more than one look at epoll tells of
        phones[i] = channels.phone(0)
        pendings[i] = assert(channel:async("send", channels.message(phones[i])))
      end
      assert.is_truthy(server.eventually(function() return talker:count() == 41 end))
      local parent = sys.getpid()
      local pid = assert(sys.fork())
      if pid == 0 then -- stops its parent, lets the server answer, and wakes the parent when it is too late
        sys.kill(parent, sys.STOP)
        talker:release()
        local answered = server.eventually(function() return talker:said() == 41 end)
        sys.sleep(TIMEOUT_S + 0.1)
        sys.kill(parent, sys.CONT)
        sys.exit_now(answered and 0 or 1)
      end
      local told = {}
      for i, pending in ipairs(pendings) do
        local receipt, err = pending:wait()
        told[i] = receipt and receipt.id or err
      end
      local _, status = sys.waitpid(pid)
      channel:close()
      assert.are.equal(0, status)
      for i, phone in ipairs(phones) do assert.are.equal("wamid." .. phone, told[i]) end
    end)
  end
end)
