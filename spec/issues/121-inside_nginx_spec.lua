-- In nginx a handler may be killed by its client, a worker may not have opened its store yet, and a descriptor may be
-- missing. What was stored is counted and told once all the same, and what fails here is not the sender's fault.
local cjson = require "cjson"
local service = require "support.service"
local socket = require "socket"
local support = require "support.server"

local LOCATIONS = [[
  location = /aborts { lua_check_client_abort on; client_max_body_size 4m;
                       content_by_lua_block { require("resty.onemsg").serve_events() } }
  location = /late {   content_by_lua_block {
    local pending = assert(require("resty.onemsg").submit({ id = "late-" .. ngx.var.arg_i, type = "payment.succeeded",
      customer = { phone = "1202555" .. (1000 + ngx.var.arg_i) } }, { wait = false }))
    ngx.sleep(tonumber(ngx.var.arg_s))
    local one = ngx.thread.spawn(function() return (assert(pending:wait(30))) end)
    local ticket = assert(pending:wait(30))
    local _, other = ngx.thread.wait(one)
    ngx.print(ticket == other and ticket.state) } }
  location = /early {  content_by_lua_block { ngx.print "x" } log_by_lua_block {
    local told = package.loaded.told or {}
    package.loaded.told = told
    local pending, err = require("resty.onemsg").submit({ id = ngx.var.arg_id, type = "other" }, { wait = false })
    told[#told + 1] = pending and "ok" or err } }
  location = /told {   content_by_lua_block { ngx.print(table.concat(package.loaded.told or {}, "\n")) } }
  location = /raises { rewrite_by_lua_block {
      local real = ngx.req.read_body
      ngx.req.read_body = function()
        ngx.req.read_body = real
        error "http2 requests are not supported without content-length header"
      end }
    content_by_lua_block { require("resty.onemsg").serve_events() } }
  location /files/ {   client_body_in_file_only on; rewrite_by_lua_block {
      local real = ngx.req.get_body_file
      ngx.req.get_body_file = function()
        ngx.req.get_body_file = real
        return "/nowhere/at/all"
      end }
    content_by_lua_block { require("resty.onemsg")[ngx.var.arg_serve]() } }
]]

describe("nginx: nothing is lost, and nothing told twice", function()
  local fake, here

  local function start(more)
    here = service.start { fake = fake, locations = LOCATIONS,
      init = [[rate = 1, burst = 1, log = "$dir/delivery.log", ]] .. (more or "") }
  end

  setup(function() fake = support.fake {} end)
  teardown(function() fake:stop() end)
  after_each(function() service.stop_all() end)

  --- id → how often the log told that it is queued or skipped.
  local function told()
    local times = {}
    for line in io.lines(here.nginx.dir .. "/delivery.log") do
      local entry = cjson.decode(line)
      if entry.was == "new" then times[entry.id] = (times[entry.id] or 0) + 1 end
    end
    return times
  end

  local function metric(name)
    local _, text = here:get "/metrics"
    return tonumber(text:match("\n" .. name:gsub("%p", "%%%0") .. " (%d+)")) or 0
  end

  it("when a client hangs up at once", function()
    start()
    local ids = {}
    for i = 1, 60 do
      ids[i] = "gone-" .. i
      local list = i <= 50 and { { id = ids[i], type = "other" } } or {}
      for n = 1, i > 50 and 100 or 0 do list[n] = { id = ids[i] .. "-" .. n, type = "other" } end
      local body = cjson.encode(list)
      local client = assert(socket.connect("127.0.0.1", here.nginx.port))
      assert(client:send(("POST /aborts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s")
        :format(service.TOKEN, #body, body)))
      client:close()
    end
    assert(support.eventually(function() return metric 'onemsg_events_total{result="skipped"}' == 50 + 10 * 100 end))
    here:flow(function(flow) assert.equal(50 + 10 * 100, flow:stats().states.skipped) end)
    local count = 0
    for id, times in pairs(told()) do
      assert.equal(1, times, id)
      count = count + 1
    end
    assert.equal(50 + 10 * 100, count)
    assert.equal(1050, metric 'onemsg_changes_total{state="skipped"}')
  end)

  it("when several wait for one submit, at once or later", function()
    start [[on_change = function(one)
      if one.state == "queued" then ngx.shared.onemsg:incr("told " .. one.id, 1, 0) end end, ]]
    local clients = {}
    for i = 1, 60 do
      clients[i] = assert(socket.connect("127.0.0.1", here.nginx.port))
      assert(clients[i]:send(("GET /late?i=%d&s=%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"):format(i,
        i % 2 == 0 and "0.001" or "0.4")))
    end
    for _, client in ipairs(clients) do
      assert.matches("queued", client:receive "*a")
      client:close()
    end
    for i = 1, 60 do assert.equal(1, told()["late-" .. i]) end
    assert.equal(60, metric 'onemsg_changes_total{state="queued"}')
  end)

  it("when the log phase submits before the store is open, and over reloads", function()
    start()
    local sent = 0
    for _ = 1, 4 do
      for _ = 1, 20 do
        sent = sent + 1
        here.nginx:get("/early?id=early-" .. sent)
      end
      here.nginx:reload()
    end
    assert(support.eventually(function()
      local count = 0
      here:flow(function(flow) count = flow:stats().states.skipped or 0 end)
      return count == sent
    end))
    local _, answers = here:get "/told"
    assert.not_matches("store:", answers)
  end)

  for title, case in pairs {
    ["nginx's API raises"] = { "/raises", "http2 requests are not supported" },
    ["the file of an event's body can't be opened"] = { "/files/?serve=serve_events", "No such file" },
    ["the file of a hook's body can't be opened"] = { "/files/" .. service.HOOK .. "?serve=serve_hooks", "No such file" },
  } do
    it("answers 503 in words when " .. title, function()
      start()
      local body = cjson.encode { id = "x", type = "other", ack = { { id = "m1", status = "sent" } } }
      local status, answer, headers = here:post(case[1], body, { Authorization = "Bearer " .. service.TOKEN })
      assert.equal(503, status, answer)
      assert.matches("^[^s]*store: the body could not be read here", answer)
      assert.truthy(answer:find(case[2], 1, true), answer)
      assert.equal("5", headers["retry-after"])
      assert.equal(202, (here:event { id = "x", type = "other" }))
    end)
  end
end)
