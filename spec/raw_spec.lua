local raw = require "support.raw"

-- What plain curl makes of the raw servers: a proof that each fault is what it says, and that the trap which onemsg
-- must not fall into (a request sent again on a fresh connection, unasked) is really there.

local BODY = [[{"phone":"%s"}]]

--- Two posts over one curl, so that the second finds a kept connection. The exit code, and both statuses.
local function curl(it, more)
  local parts = {}
  for i, phone in ipairs { "12020721301", "12020721302" } do
    parts[i] = ("-s -o /dev/null -w '%%{http_code} ' -m 5 %s %s -d '%s' %s/x/sendTemplate"):format(
      it.ca_file and "--http2 --cacert " .. it.ca_file or "", more or "", BODY:format(phone), it.url)
  end
  local pipe = io.popen("curl " .. table.concat(parts, " --next ") .. "; echo $?")
  local text = pipe:read "*a"
  pipe:close()
  local first, second, code = text:match "^(%d+) (%d+) (%d+)"
  return tonumber(code), first .. " " .. second
end

-- How curl must end: well, badly (the code differs between its versions), or by our impatience.
local WELL, BADLY, LATE = "well", "badly", "late"
local IMPATIENT = "-m 0.5"

local function ends(how, it_is)
  local code, statuses = curl(it_is, how == LATE and IMPATIENT or nil)
  assert.equal(how, code == 0 and WELL or code == 28 and LATE or BADLY)
  return statuses
end

-- behaviour, whole requests with the second phone, how curl ends
local HTTP = {
  { "accept", 1, WELL }, { "hang", 1, LATE }, { "never_reads", 0, LATE }, { "half_body", 1, BADLY },
  { "bytewise", 1, WELL }, { "trickle", 1, LATE }, { "long_length", 1, BADLY }, { "negative_length", 1, BADLY },
  { "bad_chunk", 1, BADLY }, { "cut_chunk", 1, BADLY }, { "chunked", 1, WELL }, { "continue_first", 1, WELL },
  { "continue_only", 1, BADLY }, { "two_answers", 1, WELL }, { "garbage", 1, BADLY }, { "endless_head", 1, BADLY },
  { "early_413", 0, WELL }, { "no_length", 1, WELL }, { "short_length", 1, WELL }, { "answers_closes", 1, WELL },
}

describe("the raw server", function()
  for _, row in ipairs(HTTP) do
    it(row[1], function()
      local it_is = raw.http(row[1], { answer = 1 })
      finally(function() it_is:stop() end)
      assert.truthy(ends(row[3], it_is):find "^200 ")
      assert.equal(1, it_is:count "12020721301")
      assert.equal(row[2], it_is:count "12020721302")
    end)
  end

  for _, behaviour in ipairs { "close", "reset" } do
    it(behaviour .. ": curl sends again by itself", function()
      local it_is = raw.http(behaviour, { answer = 1 })
      finally(function() it_is:stop() end)
      assert.equal(0, (curl(it_is)))
      assert.equal(2, it_is:count "12020721302")
      local list = it_is:journal()
      assert.same({ 1, 1, 2 }, { list[1].connection, list[2].connection, list[3].connection })
      assert.same({ 1, 2, 1 }, { list[1].request, list[2].request, list[3].request })
    end)
  end

  for _, behaviour in ipairs { "head_close", "half_close", "head_reset", "half_reset" } do
    it(behaviour .. ": never a whole request", function()
      local it_is = raw.http(behaviour)
      finally(function() it_is:stop() end)
      ends(BADLY, it_is)
      assert.equal(0, it_is:count())
    end)
  end

  for _, behaviour in ipairs { "half_status", "half_head", "bad_length", "endless_body" } do
    it(behaviour .. ": whole, once, on the first request of a connection", function()
      local it_is = raw.http(behaviour)
      finally(function() it_is:stop() end)
      curl(it_is)
      assert.equal(1, it_is:count "12020721301")
    end)
  end

  it("never_accepts: connecting hangs", function()
    local it_is = raw.http "never_accepts"
    finally(function() it_is:stop() end)
    assert.equal("000 000", ends(LATE, it_is))
    assert.equal(0, it_is:count())
  end)

  it("says what it does not know", function()
    local ok, why = pcall(raw.http, "dance")
    assert.is_false(ok)
    assert.truthy(why:find "no behaviour dance")
  end)
end)

local H2 = {
  { "accept", WELL }, { "close", BADLY }, { "goaway_older", BADLY }, { "goaway_same", BADLY },
  { "goaway_calm", BADLY }, { "internal", BADLY }, { "cancel", BADLY }, { "hang", LATE }, { "half_answer", BADLY },
}

describe("the HTTP/2 server", function()
  for _, row in ipairs(H2) do
    it(row[1], function()
      local it_is = raw.h2(row[1], { answer = 1 })
      finally(function() it_is:stop() end)
      assert.truthy(ends(row[2], it_is):find "^200 ")
      assert.equal(1, it_is:count "12020721302")
      local list = it_is:journal()
      assert.equal(list[1].connection, list[2].connection)
    end)
  end

  for _, behaviour in ipairs { "refused", "reset" } do
    it(behaviour .. ": curl sends again by itself", function()
      local it_is = raw.h2(behaviour, { answer = 1 })
      finally(function() it_is:stop() end)
      assert.equal(0, (curl(it_is)))
      assert.equal(2, it_is:count "12020721302")
    end)
  end
end)
