-- Of the token no piece that helps to guess it is shown, wherever it comes from: in receipt.message it stood, cut by one
-- character; and who gave the token itself as token_file read it in the error.
local channels = require "support.channels"
local onemsg = require "onemsg"
local raw = require "support.raw"

local PIECE = 12
local TOKEN = channels.TOKEN

--- Fails when a text in the value has a piece of the token.
local function check(value, token)
  if type(value) == "table" then
    for key, item in pairs(value) do
      check(key, token)
      check(item, token)
    end
  elseif type(value) == "string" then
    for from = 1, #token - PIECE + 1 do
      assert.is_nil(value:find(token:sub(from, from + PIECE - 1), 1, true), from .. ": " .. value)
    end
  end
end

local PIECES = {
  TOKEN, TOKEN:sub(1, -2), TOKEN:sub(2), TOKEN:sub(5, -5), TOKEN:sub(1, PIECE), TOKEN:sub(-PIECE), TOKEN .. TOKEN,
  (TOKEN:gsub("%-", "%%2D")), "%" .. TOKEN, TOKEN:sub(1, PIECE) .. " … " .. TOKEN:sub(-PIECE),
}

describe("pieces of the token", function()
  local server, channel, finish

  setup(function() server, channel, finish = channels.with_raw { timeout = 30 } end)
  teardown(function() finish() end)

  for i, piece in ipairs(PIECES) do
    for _, status in ipairs { "200 OK", "401 Unauthorized", "500 Oops", "429 Slow" } do
      for _, form in ipairs {
        '{"sent":true,"id":"%s","message":"%s","description":"%s"}', '{"sent":false,"jobId":"%s","message":"%s","error":"%s"}',
        '{"sent":false,"message":"x %s y","error":{"message":"%s","code":131000,"details":"%s"}}',
        '<html><title>%s</title>%s %s', '%s %s %s',
      } do
        it(("%d in %s %s"):format(i, status, form), function()
          local body = form:format(piece, piece, piece)
          local head = "X-Token: " .. TOKEN .. "\r\n"
          check({ channel:send(channels.message(channels.phone(0), { action = raw.ask(status, body, head) })) }, TOKEN)
          if status ~= "200 OK" then check({ channel:request("GET", "x?" .. raw.ask(status, body)) }, TOKEN) end
        end)
      end
    end
  end

  it("at the end of what is shown of a long body", function()
    for before = 2000, 2060, 3 do
      local ask = raw.ask("500 Oops", ("x"):rep(before) .. TOKEN .. ("y"):rep(3000))
      local _, _, info = channel:request("POST", "sendTemplate", { x = ask })
      assert.are.equal(2048, #info.body)
      check(info, TOKEN)
    end
    local _, _, info = channel:request("POST", "sendTemplate", { x = raw.ask("500 Oops", TOKEN:rep(30000)) })
    assert.matches("^%[token%]", info.body)
    assert.is_true(#info.body < 30, info.body)
    check(info, TOKEN)
  end)

  it("in a status line that is none, and in words that are like it", function()
    local _, err, info = channel:send(channels.message(channels.phone(0), { action = raw.ask("abc " .. TOKEN, "{}") }))
    check({ err, info }, TOKEN)
    local words = TOKEN:sub(1, PIECE - 1)
    local receipt = assert(channel:send(channels.message(channels.phone(0),
      { action = raw.ask("200 OK", ('{"sent":true,"id":"a","message":"%s"}'):format(words)) })))
    assert.are.equal(words, receipt.message)
  end)

  -- the token where something else belongs
  for name, options in pairs {
    token_file = { token_file = TOKEN, token = false },
    ["token_file, with a slash"] = { token_file = "/" .. TOKEN, token = false },
    ["token_file, with slashes"] = { token_file = "./" .. TOKEN .. "/" .. TOKEN, token = false },
    channel = { channel = TOKEN }, base_url = { base_url = "https://example.com/" .. TOKEN },
    ["base_url, in a query"] = { base_url = "https://example.com/?" .. TOKEN }, proxy = { proxy = "ftp://" .. TOKEN },
    http = { http = TOKEN }, language = { language = TOKEN .. " x" }, timeout = { timeout = TOKEN },
    country = { country = TOKEN },
  } do
    it("given as " .. name, function()
      local all = { base_url = server.url, token = TOKEN, channel = "C1", template = "t", namespace = "n", language = "en" }
      for key, value in pairs(options) do all[key] = value or nil end
      if options.token == false then all.token = nil end
      local made, err, info = onemsg.new(all)
      assert.is_nil(made)
      assert.matches("^config: ", err)
      check({ err, info }, TOKEN)
    end)
  end

  it("a path that is one is shown: of a file that is not there, in a directory that is", function()
    local name = os.tmpname()
    os.remove(name)
    local _, err = onemsg.new { base_url = server.url, channel = "C1", token_file = name }
    assert.is_truthy(err:find(name, 1, true), err)
    _, err = onemsg.new { base_url = server.url, channel = "C1", token_file = "/none/of/these" }
    assert.is_truthy(err:find("not the token", 1, true), err)
  end)
end)
