-- kill -9 at random moments, while processes submit and work on one store; against the fake 1MSG's journal, which holds
-- every request that a provider would have acted on. ONEMSG_CRASH_ROUNDS=500 for the long run; `make test` does 10.
-- The spec's own process forks, so it keeps its hands off threads until the last child is gone.
local channels = require "support.channels"
local rules = require "onemsg.rules"
local server = require "support.server"
local simulation = require "support.simulation"
local sys = require "support.sys"
local sql = require "onemsg.sql"
local workflow = require "onemsg.workflow"

local ROUNDS = tonumber(os.getenv "ONEMSG_CRASH_ROUNDS") or 10
local SUBMITTERS, WORKERS = 8, 2
local LEASE = 130 -- seconds; more than the channel's timeout. Nobody waits for its end here: see afterwards

-- What the phones' endings are for: accepted, refused, and two that leave it open. None of them is ever tried again.
local ENDINGS = { 0, 1, 2, 3, 4, 5, 6, 7, 48, 51, 79 }
local FINAL = { [48] = { rejected = true }, [51] = {}, [79] = {} }

describe("workflow under kill -9", function()
  local fake, directory, path

  before_each(function()
    fake = server.fake { set = { pace_ms = 0 } }
    directory = server.directory()
    path = directory .. "/store.db"
    require("support.stores").at(path) -- a database server is this process's, not a child's
  end)
  after_each(function()
    fake:stop()
    os.execute("rm -rf '" .. directory .. "'")
  end)

  local function open(more)
    local options = { channel = channels.new(fake), rules = assert(rules.load(simulation.RULES)),
                      store = assert(sql.open(require("support.stores").at(path), { busy_timeout = 60 })),
                      lease = LEASE, rate = 10000,
                      burst = 10000 }
    for name, value in pairs(more or {}) do options[name] = value end
    return assert(workflow.open(options))
  end

  --- Somebody who comes when the leases of all that were killed have run out, and does what is due then.
  local function afterwards()
    local flow = open()
    repeat until #assert(flow.box:recover(require "onemsg.core".now() + LEASE + 1)) == 0
    server.eventually(function()
      flow:drain()
      local states = flow:stats().states
      return not states.queued and not states.sending
    end)
    return flow
  end

  --- Forks a child that does `job` and leaves; what it raises is written to a file.
  local function child(job)
    local pid = assert(sys.fork())
    if pid > 0 then return pid end
    local ok, err = xpcall(job, debug.traceback)
    sys.limit("fsize", math.huge)
    if not ok then
      local file = io.open(directory .. "/errors", "a")
      file:write(tostring(err), "\n")
      file:close()
    end
    sys.exit_now(ok and 0 or 1)
  end

  local function errors()
    local file = io.open(directory .. "/errors")
    if not file then return "" end
    local text = file:read "*a"
    file:close()
    return text
  end

  local function phone_of(round, submitter, n)
    return ("491%03d%02d%05d%02d"):format(round, submitter, n, ENDINGS[1 + (n + submitter) % #ENDINGS])
  end

  --- Submits one event after the other; an id whose submit returned goes to a file.
  local function submitter(round, number)
    local flow = open()
    local acknowledged = assert(io.open(directory .. "/acknowledged." .. number, "a"))
    for n = 1, 99999 do
      local id = ("%d.%d.%d"):format(round, number, n)
      local ticket, err = flow:submit { id = id, type = "paid", phone = phone_of(round, number, n) }
      if not ticket then error(err) end
      acknowledged:write(id, "\n")
      acknowledged:flush()
    end
  end

  local function worker()
    open():work()
  end

  local function acknowledged()
    local ids = {}
    for number = 1, SUBMITTERS do
      local file = io.open(directory .. "/acknowledged." .. number)
      if file then
        for id in file:lines() do ids[#ids + 1] = id end
        file:close()
      end
    end
    return ids
  end

  it(("loses nothing and sends nothing twice in %d rounds of %d processes"):format(ROUNDS, SUBMITTERS + WORKERS),
    function()
      math.randomseed(os.time())
      child(function() open():close() end) -- the schema is there before the race, as in a service
      for round = 1, ROUNDS do
        local pids = {}
        for number = 1, SUBMITTERS do pids[number] = child(function() submitter(round, number) end) end
        for _ = 1, WORKERS do pids[#pids + 1] = child(worker) end
        local before = #acknowledged()
        server.eventually(function() return #acknowledged() > before end)
        sys.sleep(0.25 * math.random()) -- the random moment
        for _, pid in ipairs(pids) do sys.kill(pid, sys.KILL) end
        for _, pid in ipairs(pids) do
          local how = sys.waitpid(pid)
          assert.is_true(how == "killed" or how == "exited")
        end
      end
      assert.equal("", errors())

      local flow = afterwards()
      local counts, ids = fake:counts(), acknowledged()
      assert.is_true(#ids >= ROUNDS, #ids .. " acknowledged")
      local seen = {}
      for _, id in ipairs(ids) do
        local shown = flow:show(id)
        assert.is_truthy(shown, id .. " was acknowledged and is gone")
        local requests, final = counts[shown.phone] or 0, FINAL[tonumber(shown.phone:sub(-2))]
        assert.is_true(requests <= 1, ("%s: %d whole requests"):format(id, requests))
        if shown.state == "sent" or shown.state == "delivered" or shown.state == "read" then shown.state = "accepted" end
        if shown.state == "accepted" then
          assert.equal(1, requests)
          assert.is_nil(final)
        elseif shown.state == "rejected" then
          assert.is_true(final.rejected and requests == 1)
        else
          assert.equal("unknown", shown.state)
        end
        seen[shown.state] = (seen[shown.state] or 0) + 1
      end
      for _, shown in ipairs(assert(flow:list { state = "sending" })) do error(shown.id .. " is still sending") end
      assert.is_truthy(seen.accepted)
      local whole = 0
      for phone, n in pairs(counts) do -- also of those that were stored, and whose caller never heard of it
        assert.equal(1, n, phone)
        whole = whole + n
      end
      print(("\n%d acknowledged: %d accepted, %d rejected, %d unknown; %d whole requests"):format(#ids, seen.accepted,
        seen.rejected or 0, seen.unknown or 0, whole))
      flow:close()
    end)

  --- One process that kills itself at an exact moment of a send; then what a second one makes of it.
  local function killed_at(moment)
    local phone = "12020721300"
    local pid = child(function()
      local real = channels.new(fake)
      local flow = open { channel = {
        check = function(_, ...) return real:check(...) end,
        async = function(_, ...)
          moment(real, ...)
          return sys.kill(sys.getpid(), sys.KILL)
        end,
      } }
      assert(flow:submit { id = "one", type = "paid", phone = phone })
      flow:drain()
    end)
    assert.equal("killed", (sys.waitpid(pid)))
    local flow = open()
    flow:drain()
    assert.equal("sending", flow:show("one").state)
    flow:close()
    flow = afterwards()
    assert.equal("unknown", flow:show("one").state)
    flow:drain()
    flow:close()
    return fake:count(phone)
  end

  it("right before the request leaves: unknown, nothing was sent, and nothing is", function()
    assert.equal(0, killed_at(function() end))
  end)

  it("right after the request left: unknown, and never a second one", function()
    assert.equal(1, killed_at(function(real, ...)
      assert(assert(real:async(...)):wait())
    end))
  end)

  it("full disk: what can't be stored is not acknowledged, what was answered is not lost, and it recovers alone",
    function()
      local pid = child(function()
        sys.ignore(sys.XFSZ)
        local flow = open()
        assert(flow:submit { id = "before", type = "paid", phone = "12020721300" })
        local real = flow.channels.main
        flow.channels.main = { -- the disk fills up between the mark and the answer
          check = function(_, ...) return real:check(...) end,
          async = function(_, ...)
            local pending = assert(real:async(...))
            pending:wait()
            sys.limit("fsize", 32768) -- as much as SQLite needs to read
            return pending
          end,
        }
        local none, why = flow:drain { timeout = 1 }
        assert(none == nil and why:find "^store: no space left", tostring(why))
        assert(assert(flow:stats()).unrecorded == 1, "the answer is kept")
        local ticket, err = flow:submit { id = "during", type = "paid", phone = "12020721301" }
        assert(ticket == nil and err:find("^store: "), tostring(err))
        assert(flow:show("during") == nil)
        local before = assert(flow:show("before"))
        assert(before.state == "sending", before.state)
        sys.limit("fsize", math.huge)
        flow.channels.main = real
        flow:drain()
        assert(flow:show("before").state == "accepted", flow:show("before").state)
        assert(flow:submit { id = "during", type = "paid", phone = "12020721301" })
        flow:drain()
        assert(flow:show("during").state == "accepted", flow:show("during").state)
      end)
      local how, code = sys.waitpid(pid)
      assert.equal("", errors())
      assert.same({ "exited", 0 }, { how, code })
      assert.equal(1, fake:count "12020721300")
      assert.equal(1, fake:count "12020721301")
    end)

  it("64 callers in 4 processes submit one id at once, 100 times: one row and one message each", function()
    local start = os.time() + 1
    local pids = {}
    for process = 1, 4 do
      pids[process] = child(function()
        local now = require "onemsg.core".now
        local flow = open()
        local file = assert(io.open(directory .. "/tickets." .. process, "w"))
        for round = 1, 100 do
          while now() < start + round * 0.02 do sys.sleep(0.0005) end
          local landings = {}
          for n = 1, 16 do
            landings[n] = assert(flow:submit({ id = "r" .. round, type = "paid",
              phone = ("1202%05d00"):format(round) }, { wait = false }))
          end
          for _, landing in ipairs(landings) do
            local ticket = assert(landing:wait())
            file:write(ticket.id, " ", tostring(ticket.duplicate), " ", ticket.state, "\n")
          end
        end
        file:close()
        flow:drain()
        flow:close()
      end)
    end
    for _, pid in ipairs(pids) do sys.waitpid(pid) end
    assert.equal("", errors())
    local first, tickets = {}, 0
    for process = 1, 4 do
      for line in io.lines(directory .. "/tickets." .. process) do
        local id, duplicate, state = line:match "^(%S+) (%S+) (%S+)$"
        assert.equal("queued", state)
        tickets = tickets + 1
        if duplicate == "false" then first[id] = (first[id] or 0) + 1 end
      end
    end
    assert.equal(6400, tickets)
    for round = 1, 100 do
      assert.equal(1, first["r" .. round], "round " .. round)
      assert.equal(1, fake:count(("1202%05d00"):format(round)))
    end
    local flow = open()
    flow:drain() -- what the last to leave had submitted may have been nobody's turn yet
    assert.equal(100, server.accepted(flow:stats().states))
    flow:close()
  end)
end)
