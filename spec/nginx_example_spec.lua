--- examples/openresty, as a user starts it: against the stand-in, and as the user that we are.
local cjson = require "cjson"
local http = require "socket.http"
local nginx = require "support.nginx"
local support = require "support.server"

describe("examples/openresty", function()
  local dir, port, said

  local function run(verb)
    local pipe = assert(io.popen(("PORT=%d DIR=%s ONE_MSG_TOKEN= examples/openresty/run %s 2>&1"):format(port, dir, verb)))
    local text = pipe:read "*a"
    return text, pipe:close()
  end

  local function log()
    local file = assert(io.open(dir .. "/error.log"))
    local text = file:read "*a"
    file:close()
    return text
  end

  local function get(path) return (http.request(("http://127.0.0.1:%d%s"):format(port, path))) end
  local function post(path, form) return (http.request(("http://127.0.0.1:%d%s"):format(port, path), form)) end

  setup(function()
    local ok
    dir = support.directory()
    repeat
      port = nginx.free_port()
      said, ok = run ""
    until ok or not said:find "Address already in use"
    assert(ok, said)
  end)
  teardown(function()
    local text, ok = run "stop"
    local complaints = log():match "[^\n]*%[error%][^\n]*" or log():match "[^\n]*%[[acew][lrma][eira][rtn]%][^\n]*"
    os.execute("rm -rf " .. dir)
    assert(ok, text)
    assert.is_nil(complaints)
  end)

  it("says where it is and what to try", function()
    assert.matches("on http://127.0.0.1:" .. port .. ", talking to https://127.0.0.1:%d+%.", said)
    assert.matches("curl %-d name=Maria", said)
  end)

  it("answers the customer first, sends, and follows the message until it has arrived", function()
    local answer = cjson.decode((post("/checkout", "name=Maria&phone=%2B1+202+072+1369")))
    assert.is_true(answer.paid)
    local arrived = assert(support.eventually(function()
      return log():match("order " .. answer.order .. ": delivered") or log():match("order " .. answer.order .. ": read")
    end, 10), log())
    assert.is_string(arrived)
    assert.is_truthy(log():find("order " .. answer.order .. ": accepted", 1, true))
  end)

  it("tells in the answer itself what became of the message", function()
    assert.equal("accepted", cjson.decode((post("/checkout-and-wait", "name=Maria&phone=12020721369"))).message)
    local refused = cjson.decode((post("/checkout-and-wait", "name=Maria&phone=not-a-number")))
    assert.equal("invalid", refused.message)
    assert.matches("^invalid: phone", refused.why)
  end)

  it("begins a message in log_by_lua, and counts how it ended", function()
    local function accepted() -- each of two workers counts its own
      local most = 0
      for _ = 1, 8 do most = math.max(most, cjson.decode(get "/stats").accepted) end
      return most
    end
    local before = accepted()
    for _ = 1, 8 do assert.equal('{"updated":true}\n', get "/profile?name=Bob&phone=12020721369") end
    assert(support.eventually(function() return accepted() > before end))
  end)
end)
