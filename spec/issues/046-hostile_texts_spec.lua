-- Texts are written by others: none takes longer where it was made to. To mask the tokens in an error: patterns that
-- look at the same run again from each of its letters took 0.3 s for 8 KiB, and a hook may have hundreds of such texts.
local codes = require "onemsg.codes"
local utf8 = require "onemsg.base.utf8"
local webhook = require "onemsg.webhook"

--- What is masked, as patterns say it that care for nothing else.
local function plain_masks(s)
  return (s:gsub("eyJ[%w%-_]+%.[%w%-_%.]*", "***")
    :gsub("([Tt][Oo][Kk][Ee][Nn][\"']?%s*[:=]%s*[\"'])[^\"']*", "%1***")
    :gsub("([Tt][Oo][Kk][Ee][Nn]%s*[\"'])([^\"']*)", function(head, quoted)
      return not quoted:find "^%s*[:=]%s*$" and head .. "***" or nil -- "token": "…"
    end)
    :gsub("([Tt][Oo][Kk][Ee][Nn][=: ]+)[%w%-_%.~+/=]*%d[%w%-_%.~+/=]*", "%1***")
    :gsub("([Tt][Oo][Kk][Ee][Nn]=)[^%s&\"']+", "%1***")
    :gsub("([Bb][Ee][Aa][Rr][Ee][Rr] +)[%w%-_%.~+/=]+", "%1***"))
end

--- The least CPU time of several tries: what else runs on the machine does not add to it.
local function least_cost(act)
  local least = math.huge
  for _ = 1, 5 do
    local from = os.clock()
    for _ = 1, 3 do act() end
    least = math.min(least, os.clock() - from)
  end
  return least
end

-- A pattern that takes blanks first and asks for something else then begins again at each blank: 100 KB of blanks as a
-- webhook's URL held the program for 95 s.
describe("blanks at the ends", function()
  local SIZE = 65536
  local calls = {
    trim = utf8.trim,
    ["a webhook's URL"] = function(text) return webhook.check(text) end,
    ["a webhook in a list"] = function(text) return webhook.same(text, "https://shop.example/") end,
    ["webhooks in an answer"] = function(text) return webhook.parse(text) end,
  }
  for name, call in pairs(calls) do
    it("take no longer than letters: " .. name, function()
      local letters = least_cost(function() pcall(call, ("x"):rep(SIZE)) end)
      for _, text in ipairs { (" "):rep(SIZE), ("\n"):rep(SIZE) .. "x", "x" .. (" "):rep(SIZE), "x" .. (" "):rep(SIZE) .. "x",
                              "x" .. (" ,"):rep(SIZE / 2) .. "x" } do
        local ratio = least_cost(function() pcall(call, text) end) / math.max(letters, 1e-5)
        assert.is_true(ratio < 200, ("%.0f times as long as letters"):format(ratio))
      end
    end)
  end

  it("are cut, and no others", function()
    local cases = { [""] = "", [" "] = "", [" \t\n "] = "", ["a"] = "a", [" a"] = "a", ["a "] = "a", [" a b "] = "a b" }
    for text, trimmed in pairs(cases) do
      assert.equal(trimmed, utf8.trim(text))
    end
  end)
end)

describe("tokens in error texts", function()
  it("are masked wherever the plain patterns mask them", function()
    local pieces = { "eyJ", "ey", "J", ".", "a", "7", "token", "Token", "TOKEN", "=", ":", " ", '"', "'", "&", "-", "_",
      "bearer ", "Bearer", "/", "x1", "!" }
    local state = 7
    local function random(n)
      state = (state * 16807) % 2147483647
      return state % n + 1
    end
    for _ = 1, 20000 do
      local list = { "!" } -- a text that is blank, or begins or ends with a blank, is tidied by others
      for n = 2, random(14) do list[n] = pieces[random(#pieces)] end
      list[#list + 1] = "!"
      local text = table.concat(list):gsub(" +", " ")
      assert.equal(plain_masks(text), codes.text { message = text }, text)
    end
  end)

  local function cost(text)
    return least_cost(function() codes.explain(400, { message = text }) end)
  end

  local SIZE = 8192
  local innocent = ("some words "):rep(math.floor(SIZE / 11))
  for _, piece in ipairs { "eyJ", "eyJa", "eyJ.", "token=", "token: ", "token", "token =", "tokentoken=", "bearer ", "bearer",
                           "code ", "code!", "error:", "(#", "(#1", "1", " ", "token\t", "'", "<title", "\\u" } do
    it(("take no longer in a text of %q"):format(piece), function()
      for _, text in ipairs { piece:rep(math.floor(SIZE / #piece)), "token" .. piece:rep(math.floor(SIZE / #piece)) } do
        local ratio = cost(text) / cost(innocent)
        assert.is_true(ratio < 20, ("%.0f times as long as words"):format(ratio))
      end
    end)
  end
end)
