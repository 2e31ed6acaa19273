-- What an error says is written by others: to mask the tokens in it takes no longer where it was made to. Patterns that
-- look at the same run again from each of its letters took 0.3 s for 8 KiB, and a hook may have hundreds of such texts.
local codes = require "onemsg.codes"

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

  --- The least CPU time of several tries: what else runs on the machine does not add to it.
  local function cost(text)
    local least = math.huge
    for _ = 1, 5 do
      local from = os.clock()
      for _ = 1, 3 do codes.explain(400, { message = text }) end
      least = math.min(least, os.clock() - from)
    end
    return least
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
