local cjson = require "cjson"
local socket = require "socket"
local numbers = require "onemsg.fake.numbers"
local server = require "support.server"

describe("starting and stopping", function()
  local fake_server = require "onemsg.fake.server"
  local lua = io.popen("readlink /proc/" .. fake_server.own_pid() .. "/exe"):read "*l"

  local function read(path)
    local file = assert(io.open(path))
    local text = file:read "*a"
    file:close()
    return text
  end
  local function alive(pid) return (os.execute("test -e /proc/" .. pid)) end
  local function gone(pid)
    return server.eventually(function()
      local file = io.open("/proc/" .. pid .. "/stat")
      local state = file and file:read("*a"):match "%) (%a)"
      if file then file:close() end
      return not state or state == "Z"
    end)
  end
  local function script(words)
    local pipe = io.popen(lua .. " lua/onemsg/fake/server.lua " .. words .. " 2>&1; echo $?")
    local text = pipe:read "*a"
    pipe:close()
    return text
  end

  it("is a script, whose output a shell can take", function()
    local parent = server.directory()
    local dir = parent .. "/a place"
    local text = script("start --dir '" .. dir .. "' --latency 5 --no-journal --set pace_ms=7")
    assert.truthy(text:find "export ONE_MSG_TOKEN='eyJ[^\n]*\n#")
    assert.equal(read(dir .. "/fake.env") .. "# to point onemsg at it: . " .. dir .. "/fake.env\n0\n", text)
    local pipe = io.popen(". '" .. dir .. "/fake.env'; curl -s --cacert \"$ONE_MSG_CA_FILE\" "
      .. "-H \"Authorization: Bearer $ONE_MSG_TOKEN\" $ONE_MSG_BASE_URL/$ONE_MSG_INSTANCE_ID/status; "
      .. "curl -s $FAKE_HTTP_URL/_fake/set")
    local answer = pipe:read "*a"
    pipe:close()
    assert.truthy(answer:find '"status":"connected"')
    assert.truthy(answer:find '"latency_ms":5')
    assert.truthy(answer:find '"pace_ms":7')
    assert.truthy(answer:find '"journal":false')
    local master, worker = read(dir .. "/nginx.pid"):match "%d+", read(dir .. "/worker.pid"):match "%d+"
    assert.equal("0\n", script("stop --dir '" .. dir .. "'"))
    assert.truthy(gone(master))
    assert.truthy(gone(worker))
    assert.equal("0\n", script("stop --dir '" .. dir .. "'"))
    text = script("start --dir '" .. dir .. "'") -- who has sourced fake.env goes on finding it, whether it ran or not
    for _ = 1, 2 do assert.equal(text, script("start --dir '" .. dir .. "'")) end
    assert.equal("0\n", script("stop --dir '" .. dir .. "'"))
    os.execute("rm -rf '" .. parent .. "'")
  end)

  it("has a token whose payload names the channel", function()
    local mime = require "mime"
    local payload = fake_server.TOKEN:match "^[%w_-]+%.([%w_-]+)%.[%w_-]+$"
    local text = mime.unb64(payload:gsub("-", "+"):gsub("_", "/") .. ("="):rep(-#payload % 4))
    assert.equal(fake_server.CHANNEL, cjson.decode(text).instanceId)
  end)

  it("takes the ports that it is given, and says when they are taken", function()
    local taken = assert(socket.bind("127.0.0.1", 0))
    local port = tonumber((select(2, taken:getsockname())))
    local dir = server.directory()
    local none, why = fake_server.start { dir = dir, http = port }
    assert.is_nil(none)
    assert.equal(("port %d is taken"):format(port), why)
    taken:close()
    local given = assert(fake_server.start { dir = dir, http = port, owner = fake_server.own_pid() })
    assert.equal("http://127.0.0.1:" .. ("%d"):format(port), given.FAKE_HTTP_URL)
    local certificate = read(given.ONE_MSG_CA_FILE)
    given = assert(fake_server.start { dir = dir, owner = fake_server.own_pid() })   -- the first is stopped
    assert.equal(certificate, read(given.ONE_MSG_CA_FILE))
    fake_server.stop { dir = dir }
    os.execute("rm -rf '" .. dir .. "'")
  end)

  it("ends when its owner is gone", function()
    local dir = server.directory()
    local owner = io.popen("sleep 60 >/dev/null & echo $!"):read "*n"
    assert(fake_server.start { dir = dir, owner = owner })
    local master = read(dir .. "/nginx.pid"):match "%d+"
    assert.is_true(alive(master) == true or alive(master) == 0)
    os.execute("kill -9 " .. ("%d"):format(owner))
    assert.truthy(gone(master))
    os.execute("rm -rf '" .. dir .. "'")
  end)

  it("explains itself", function()
    for _, words in ipairs { "", "dance", "start", "start --dir", "start --dir x --port 1", "start --dir x --http one",
                             "stop", "start --dir x --set y" } do
      local text = script(words)
      assert.truthy(text:find "usage: ", words)
      assert.truthy(text:find "\n1\n$", words)
    end
    assert.truthy(script "start --dir /proc/nowhere":find "cannot make the directory /proc/nowhere")
    assert.equal(numbers.markdown() .. "0\n", script "table")
  end)
end)
