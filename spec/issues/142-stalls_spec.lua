-- A body of a megabyte, some hundred hooks or a reload of the rules kept everybody else of an nginx worker waiting for a
-- third of a second. Nothing holds the loop: what the amount of work depends on is done in slices.
--
-- A light thread of the worker wakes each millisecond and looks what the processor did for the worker since: between two
-- looks nobody else was served. That does not count what other programs do with the machine; and where they leave it a
-- cold cache, or it is slow, the limit is what lua-cjson needs there for one megabyte.
local cjson = require "cjson"
local service = require "support.service"
local support = require "support.server"

local MOST_S = 0.020 -- beyond what the same nginx shows with nothing to do, on a machine that is not slow

local WATCH = [==[
  location = /watch { content_by_lua_block {
    local core, watch = require "onemsg.core", { most = 0, looks = 0 }
    package.loaded.watch = watch
    ngx.timer.at(0, function()
      local before = core.worked()
      while package.loaded.watch == watch and not ngx.worker.exiting() do
        ngx.sleep(0.001)
        local now = core.worked()
        watch.most, watch.looks, before = math.max(watch.most, now - before), watch.looks + 1, now
      end
    end)
    ngx.header.content_length = 0 } }
  location = /megabyte { content_by_lua_block {
    local core, text = require "onemsg.core", "[" .. ('{"a":[[[[1,2,3]]]]},'):rep(50000) .. "1]"
    local before, decode = core.worked(), require "cjson".decode
    decode(text)
    local said = ("%.6f"):format(core.worked() - before)
    ngx.header.content_length = #said
    ngx.print(said) } }
  location = /held { content_by_lua_block {
    local watch = package.loaded.watch
    local said = ("%.6f %d"):format(watch.most, watch.looks)
    ngx.header.content_length = #said
    ngx.print(said)
    package.loaded.watch = nil } }
]==]

describe("nginx: nothing holds the loop", function()
  local fake, here, idle

  setup(function()
    fake = support.fake {}
    here = service.start { fake = fake, locations = WATCH, init = "rate = 1000, burst = 1000, event_bytes = 4 * 1024 * 1024," }
  end)
  teardown(function()
    service.stop_all()
    fake:stop()
  end)

  --- For how long the longest piece of the work kept the worker, in seconds of its processor.
  local function held(work)
    assert.equal(200, (here:get "/watch"))
    work()
    local _, answer = here:get "/held"
    local most, looks = answer:match "^(%S+) (%d+)$"
    assert.is_true(tonumber(looks) > 0)
    return tonumber(most)
  end

  local function fine(work)
    idle = idle or held(function()
      for _ = 1, 20 do here:get "/watch-nothing" end
    end)
    local _, megabyte = here:get "/megabyte"
    local most, limit = held(work), math.max(MOST_S, tonumber(megabyte))
    local said = ("the loop was held for %.1f ms, %.1f when idle; %.1f more are allowed"):format(most * 1000, idle * 1000,
      limit * 1000)
    if os.getenv "ONEMSG_STALLS" then print(said) end
    assert.is_true(most <= idle + limit, said)
  end

  local bearer = { Authorization = "Bearer " .. service.TOKEN }

  local function hook(kind, list, status)
    local body = ('{"%s":[%s]}'):format(kind, table.concat(list, ","))
    assert.equal(status or 200, (here:post("/hooks/" .. service.HOOK, body)))
  end

  local function post(body, status)
    local got, answer = here:post("/events", body, bearer)
    assert.equal(status, got, tostring(answer):sub(1, 200))
  end

  local function acks(id, count)
    local list = {}
    for i = 1, count do list[i] = ('{"id":"wamid.%s%d","status":"sent","chatId":"1202%07d@c.us"}'):format(id, i, i) end
    return list
  end

  local function messages(text, count, fill)
    local list = {}
    for i = 1, count do
      list[i] = ('{"id":"%s%d","body":"%s","fromMe":false,"author":"1202%07d@c.us","chatId":"1202%07d@c.us","type":"chat"}')
        :format(text, i, text .. ("x"):rep(fill), i, i)
    end
    return list
  end

  local function batch(count)
    local list = {}
    for i = 1, count do list[i] = service.payment() end
    return cjson.encode(list)
  end

  it("4,000 statuses in one hook, and once more", function()
    local list = acks("a", 4000)
    fine(function() hook("ack", list) end)
    fine(function() hook("ack", list) end)
  end)

  it("three megabytes of inbound messages", function()
    fine(function() hook("messages", messages("m", 4400, 500)) end)
  end)

  it("stop words of 300 people", function()
    fine(function() hook("messages", messages("STOP", 300, 0)) end)
  end)

  it("a hook of 140,000 lists", function()
    fine(function() hook("x", { ('{"a":[[[[1,2,3]]]]},'):rep(140000) .. "1" }) end)
  end)

  it("a text of three megabytes", function()
    fine(function() hook("a", { '"' .. ("\\u00e9"):rep(480000) .. '"' }) end)
  end)

  it("batches of events, signed and not, JSON lines", function()
    fine(function() post(batch(1000), 202) end)
    fine(function()
      local lines = batch(300):gsub("^%[", ""):gsub("%]$", ""):gsub("},{\"", "}\n{\"")
      post(lines, 202)
    end)
  end)

  it("statuses of our own messages", function()
    local list = {}
    support.eventually(function()
      list = {}
      here:flow(function(flow)
        for _, one in ipairs(assert(flow:list { state = "accepted", limit = 400 })) do
          if one.message_id then list[#list + 1] = ('{"id":"%s","status":"delivered"}'):format(one.message_id) end
        end
      end)
      return #list >= 100
    end)
    fine(function() hook("ack", list) end)
  end)

  it("events that are too long", function()
    local fields, values = {}, {}
    for i = 1, 60000 do fields[i] = ('"k%d":%d'):format(i, i) end
    for i = 1, 250000 do values[i] = i end
    local event = '{"id":"long","type":"x","note":%s}'
    fine(function() post(event:format('"' .. ("x"):rep(1000000) .. '"'), 400) end)
    fine(function() post(event:format("{" .. table.concat(fields, ",") .. "}"), 400) end)
    fine(function() post(event:format("[" .. table.concat(values, ",") .. "]"), 400) end)
  end)
end)
