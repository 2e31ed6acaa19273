-- What a server said while nobody asked was taken for the answer to the next message, and from then on each message got
-- its predecessor's; where it had closed, the next message went out on the dead connection and was `unknown`.
-- A connection on which anything happened since its last answer is never used again.
local channels = require "support.channels"
local raw = require "support.raw"
local server = require "support.server"
local sys = require "support.sys"

--- How many connections to a port are open on our side.
local function open_to(port)
  local count = 0
  for line in io.lines "/proc/net/tcp" do
    local remote, state = line:match "^ *%d+: %x+:%x+ %x+:(%x+) (%x+) "
    if state == "01" and tonumber(remote, 16) == port then count = count + 1 end
  end
  return count
end

local ANY = { "nothing", "close", "half close", "reset" }
local HTTP = { "408", "408 and close", "429", "400", "200 with an id", "a hundred answers", "100 Continue", "garbage",
               "half a line", "an empty line" }
local TLS = { "close_notify", "an alert in clear", "half a record" }
local H2 = { "nothing", "ping", "settings", "goaway", "goaway, calm", "goaway and close", "altsvc", "destroy", "reset",
             "half close", "an alert in clear", "half a record" }

local KINDS = { plain = { ANY, HTTP }, tls = { ANY, HTTP, TLS }, h2 = { H2 } }

for over, lists in pairs(KINDS) do
  describe("a connection (" .. over .. ")", function()
    local talker, channel, kind, heard, seen

    local function say(word)
      kind = word
      talker:say(word)
    end

    --- Sends to so many people at once, each of whom must get the answer to his message, and waits until the server has
    -- said its word on each connection, and the connection is given up for that.
    local function send(count)
      local phones, pendings = {}, {}
      heard, seen = heard + count, seen + count
      talker:hold() -- so that they are under way all at once, on a connection each
      for i = 1, count do
        phones[i] = channels.phone(0)
        pendings[i] = assert(channel:async("send", channels.message(phones[i])))
      end
      assert.is_truthy(server.eventually(function() return #talker:journal() >= seen end))
      talker:release()
      for i, pending in ipairs(pendings) do
        local receipt, err = pending:wait()
        assert.are.equal("wamid." .. phones[i], receipt and receipt.id, err)
      end
      assert.is_truthy(server.eventually(function()
        return talker:said() >= heard and (kind == "nothing" or open_to(talker.port) == 0)
      end))
    end

    --- How many of the latest requests, which came once each, one connection had.
    local function most(count)
      local entries, list, phones, found = talker:journal(), {}, {}, 0
      assert.are.equal(seen, #entries)
      for i = seen - count + 1, seen do
        list[entries[i].connection] = (list[entries[i].connection] or 0) + 1
        found = math.max(found, list[entries[i].connection])
        assert.is_nil(phones[entries[i].phone])
        phones[entries[i].phone] = true
      end
      return found
    end

    setup(function() talker = raw.talker(over) end)
    teardown(function() talker:stop() end)
    before_each(function()
      channel = channels.to(talker, { timeout = 5, max_connections = 64, http = over == "h2" and "auto" or "1.1" })
      heard, seen = talker:said(), #talker:journal()
    end)
    after_each(function()
      say "close" -- and what is open still is used up: each case begins with connections of its own
      local open = open_to(talker.port)
      if open > 0 then send(open) end
      channel:close()
    end)

    for _, list in ipairs(lists) do
      for _, word in ipairs(list) do
        it("is not used again after the server said " .. word, function()
          say(word)
          send(1)
          send(1)
          send(1)
          assert.are.equal(word == "nothing" and 3 or 1, most(3))
        end)

        if over ~= "h2" then -- which has one connection for all
          it("nor are four of them after " .. word, function()
            say(word)
            send(4)
            send(4)
            assert.are.equal(word == "nothing" and 2 or 1, most(8))
          end)
        end
      end
    end

    it("that its server is about to close is not used, once it was seen to do so", function()
      say "close late"
      send(1)
      say "nothing"
      send(1)
      sys.sleep(0.65) -- as long as this server has closed after 0.7 s before
      send(1)
      assert.are.equal(1, most(3))
    end)

    it("that was idle for long is not used again, though nothing happened on it", function()
      say "nothing"
      send(1)
      send(1)
      sys.sleep(4.1)
      send(1)
      assert.are.equal(2, most(3))
    end)
  end)
end
