--- The operator's page in a real nginx: who may see and do what, and that nobody's name is markup.
local cjson = require "cjson"
local service = require "support.service"
local support = require "support.server"

local function basic(password)
  local mime = require "mime"
  return { Authorization = "Basic " .. (mime.b64("anna:" .. password)) }
end

local HOSTILE = [[<script>alert(1)</script>"><img src=x onerror='alert(2)'>&amp;]]

describe("nginx: serve_status", function()
  local fake, here, bearer
  local operator = basic(service.OPERATOR)

  setup(function()
    fake = support.fake {}
    bearer = { Authorization = "Bearer " .. service.OPERATOR }
    here = service.start { fake = fake, rules = service.RULES .. [[
      confirm "<b>Orders" { on = "order.paid", action = "order {id}", next_step = "{note}" }
      never "Staff" { when = { staff = true } }
    ]] }
  end)
  teardown(function()
    local complaints = here.nginx:complaints()
    service.stop_all()
    fake:stop()
    assert.equal("", complaints)
  end)

  local function settled(ending, state)
    local event = service.payment(ending)
    assert.equal(202, (here:event(event)))
    assert.equal(state, (here:state(event.id, state)))
    return event
  end

  local function page(query, headers)
    local status, text, got = here:get("/onemsg/" .. (query or ""), headers or operator)
    return status, text, got
  end

  --- What a browser would send when a button of a page is pressed.
  local function press(id, action, change)
    local _, text, headers = page("?id=" .. id)
    local form = { cookie = headers["set-cookie"]:match "^([^;]+)", token = text:match 'name="token" value="(%x+)"',
                   auth = operator.Authorization }
    if change then change(form) end
    return here:post("/onemsg/?id=" .. id, "token=" .. tostring(form.token) .. "&action=" .. action,
      { Authorization = form.auth, Cookie = form.cookie, ["Content-Type"] = "application/x-www-form-urlencoded" })
  end

  describe("lets in", function()
    it("nobody without the operator's token", function()
      for _, headers in ipairs { {}, basic "wrong", basic "", basic(service.TOKEN), { Authorization = "Basic ???" },
          { Authorization = "Bearer " .. service.TOKEN }, { Authorization = "Basic " .. service.OPERATOR } } do
        for _, query in ipairs { "", "?id=x", "?format=json", "?q=1", "?sign_in=1" } do
          local status, text, got = page(query, headers)
          assert.equal(401, status)
          assert.matches('^Basic realm="onemsg"', got["www-authenticate"])
          assert.is_nil(text:find("Payment", 1, true))
        end
        assert.equal(401, (here:post("/onemsg/?id=x", "action=cancel", headers)))
      end
    end)

    it("whoever has it, by Basic or Bearer", function()
      assert.equal(200, (page()))
      assert.equal(200, (page("", bearer)))
    end)

    it("nobody at all where init has no token and not open = true", function()
      local closed = service.start { fake = fake, secrets = false }
      local status, text = closed:get "/onemsg/"
      assert.equal(403, status)
      assert.matches("operator_token %(ONE_MSG_OPERATOR_TOKEN%)", text)
      assert.equal(403, (closed:post("/onemsg/?id=x", "action=cancel")))
      assert.equal(401, (closed:post("/events", "{}", service.sign "{}")))
      assert.equal(404, (closed:post("/hooks/" .. service.HOOK, "{}")))
      assert(support.eventually(function() return closed.nginx:log():find("hooks are refused", 1, true) end))
      assert.equal("", closed.nginx:complaints "onemsg: ")
      assert.matches("onemsg: events are refused: init has neither event_secrets", closed.nginx:log())
      assert.matches("onemsg: hooks are refused: init has no hook_secrets", closed.nginx:log())
      assert.matches("onemsg: the operator's page is refused", closed.nginx:log())
      closed:stop()
    end)

    it("readers where open = true; who wants to act signs in", function()
      local open = service.start { fake = fake, init = "open = true," }
      local event = service.payment "86"
      open:event(event)
      open:state(event.id, "unknown")
      local status, text = open:get("/onemsg/?id=" .. event.id)
      assert.equal(200, status)
      assert.is_nil(text:find("<button name", 1, true))
      assert.matches('href="%?sign_in=1"', text)
      assert.equal(401, (open:get "/onemsg/?sign_in=1"))
      assert.equal(401, (open:post("/onemsg/?id=" .. event.id, "action=arrived")))
      status, text = open:get("/onemsg/?id=" .. event.id, operator)
      assert.equal(200, status)
      assert.is_truthy(text:find("<button name", 1, true))
      assert.equal("unknown", (open:state(event.id, "unknown")))
      open:stop()
    end)
  end)

  describe("shows", function()
    it("the newest first, by state, and nothing of a phone but its end", function()
      local first, second = settled("48", "rejected"), settled("00", "accepted")
      local status, text, headers = page()
      assert.equal(200, status)
      assert.equal("text/html; charset=utf-8", headers["content-type"])
      assert.is_true(text:find(second.id, 1, true) < text:find(first.id, 1, true))
      for _, event in ipairs { first, second } do
        assert.is_nil(text:find(event.customer.phone, 1, true))
        assert.is_truthy(text:find("…" .. event.customer.phone:sub(-4), 1, true))
      end
      assert.is_truthy(text:find("422 Template variable count mismatch", 1, true))
      status, text = page "?state=rejected"
      assert.equal(200, status)
      assert.is_truthy(text:find(first.id, 1, true))
      assert.is_nil(text:find(second.id, 1, true))
      assert.equal(400, (page "?state=nonsense"))
      local _, none = page "?state=stalled"
      assert.is_truthy(none:find("Nothing here that is stalled.", 1, true))
    end)

    it("one with its texts, reason and history", function()
      local event = settled("22", "accepted")
      local status, text = page("?id=" .. event.id)
      assert.equal(200, status)
      for _, words in ipairs { "payment " .. event.id, "Access activated.", "Maria", "action_success (en)", "queued",
          "sending", "1MSG took it; not yet delivered",
          "1MSG answered with the message id", "matched rule &quot;Payment&quot;" } do
        assert.is_truthy(text:find(words, 1, true), words)
      end
      assert.is_nil(text:find(event.customer.phone, 1, true))
      assert.truthy(text:find("The rule that decided", 1, true) and text:find("confirm &quot;", 1, true), text)
      assert.truthy(text:find("It is the same today.", 1, true))
      status, text = page "?id=nobody%3Cb%3E"
      assert.equal(404, status)
      assert.is_truthy(text:find("nobody&lt;b&gt;", 1, true))
    end)

    it("what a search by id or by phone finds", function()
      local event = settled("00", "accepted")
      local phone = event.customer.phone
      for _, q in ipairs { event.id, "%20" .. event.id, phone, "%2B" .. phone:sub(1, 4) .. "+(" .. phone:sub(5, 7) .. ")+"
          .. phone:sub(8) } do
        local status, text = page("?q=" .. q)
        assert.equal(200, status)
        assert.is_truthy(text:find(event.id, 1, true), q)
      end
      local status, text = page "?q=no+such+thing"
      assert.equal(404, status)
      assert.is_truthy(text:find("Nothing here with this text.", 1, true))
      for _, q in ipairs { event.id:sub(2), phone:sub(-6), "PAYMENT+" .. event.id } do
        status, text = page("?q=" .. q)
        assert.equal(200, status)
        assert.is_truthy(text:find(event.id, 1, true), q)
      end
      status, text = page "?q=442079460999"
      assert.equal(200, status)
      assert.is_truthy(text:find("Nothing here for this person.", 1, true))
    end)

    it("pages, in which nothing is missing", function()
      local list = {}
      for i = 1, 130 do list[i] = { id = "page-" .. i, type = "order.paid", staff = true } end
      here:event(list)
      local seen, query, pages = {}, "?state=skipped", 0
      repeat
        local _, text = page(query)
        for id in text:gmatch "<bdi>(page%-%d+)</bdi>" do seen[id] = true end
        query, pages = text:match '<a href="(%?before=[^"]*)">Older ones', pages + 1
        query = query and query:gsub("&amp;", "&")
      until not query or pages > 9
      for i = 1, 130 do assert.is_true(seen["page-" .. i], "page-" .. i) end
      assert.is_true(pages <= 4)
    end)

    it("names that are markup as what they are, under a policy that runs and loads nothing", function()
      local event = service.payment()
      event.id, event.type, event.note = "id" .. HOSTILE, "order.paid", "note" .. HOSTILE .. "\226\128\174"
      assert.equal(202, (here:event(event)))
      here:state(event.id, "accepted")
      local nonces = {}
      for _, query in ipairs { "", "?id=" .. event.id:gsub("[^%w]", function(c) return ("%%%02X"):format(c:byte()) end),
          "?q=%3Cscript%3Ealert(1)", "?id=%22%3E%3Cscript%3E", "?state=%3Cscript%3E" } do
        local _, text, headers = page(query)
        assert.is_nil(text:find("<script", 1, true))
        assert.is_nil(text:find("<img", 1, true))
        assert.is_nil(text:find("<b>Orders", 1, true))
        local nonce = text:match '<style nonce="(%x+)">'
        assert.is_nil(nonces[nonce], "a nonce is used once")
        nonces[nonce] = true
        assert.equal("default-src 'none'; style-src 'nonce-" .. nonce
          .. "'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'", headers["content-security-policy"])
        assert.same({ "nosniff", "no-referrer", "no-store" }, { headers["x-content-type-options"],
          headers["referrer-policy"], headers["cache-control"] })
        for link in text:gmatch '[hs]r[ec]f?="([^"]*)"' do assert.matches("^%?", link) end
      end
    end)

    it("seven days by hour and outcome, and what failed with its meaning; a table for a spreadsheet; itself again", function()
      local event, good = settled("40", "rejected"), settled("00", "accepted")
      local text, status, headers
      assert(support.eventually(function() -- half a minute old at most
        status, text = page "?days=7"
        return status == 200 and text:find("not arrived", 1, true) and text:find("<td class=\"line\">", 1, true)
      end))
      assert.is_truthy(text:find("<svg viewBox", 1, true) and text:find("bad-bar", 1, true) and text:find("going-bar", 1, true))
      assert.is_truthy(text:find("Until 1MSG took it", 1, true))
      assert.is_nil(text:find("<script", 1, true))
      assert.is_nil(text:find(" style=", 1, true))
      status, text, headers = page "?format=csv"
      assert.same({ 200, "text/csv; charset=utf-8" }, { status, headers["content-type"] })
      assert.is_truthy(text:find("^changed_at,state,id,"))
      assert.is_truthy(text:find("accepted," .. good.id, 1, true))
      assert.is_nil(text:find(event.customer.phone, 1, true))
      assert.equal("30", select(3, page "?refresh=30").refresh)
      assert.equal("5", select(3, page "?refresh=1").refresh)
    end)

    it("programs the same as JSON", function()
      local event = settled("40", "rejected")
      local status, text, headers = page("?format=json&id=" .. event.id, bearer)
      assert.equal(200, status)
      assert.equal("application/json", headers["content-type"])
      local shown = cjson.decode(text)
      assert.same({ event.id, "rejected", "…" .. event.customer.phone:sub(-4) }, { shown.id, shown.state, shown.phone })
      assert.equal("rejected", shown.history[3].state)
      local answer = support.eventually(function() -- counts are a second old at most
        status, text = page("?format=json&state=rejected", bearer)
        local found = status == 200 and cjson.decode(text)
        return found and found.states.rejected and found
      end)
      assert.equal(event.id, answer.confirmations[1].id)
      assert.is_true(answer.states.rejected >= 1)
      assert.is_nil(text:find(event.customer.phone, 1, true))
      status, text = page("?format=json&id=nobody", bearer)
      assert.equal(404, status)
      assert.matches("no confirmation", cjson.decode(text).error)
      status, text = page("?format=json&state=stalled", bearer)
      assert.equal(200, status)
      assert.matches('"confirmations":%[%]', text)
    end)
  end)

  describe("acts", function()
    it("settles, replays and cancels when its own button is pressed", function()
      local doubt = settled("86", "unknown")
      local status, _, headers = press(doubt.id, "arrived")
      assert.same({ 303, "?id=" .. doubt.id }, { status, headers.location })
      assert.equal("delivered", (here:state(doubt.id, "delivered")))

      local other = settled("51", "unknown")
      assert.equal(303, (press(other.id, "not_arrived")))
      assert.equal("failed", (here:state(other.id, "failed")))

      local refused = settled("49", "rejected")
      assert.equal(303, (press(refused.id, "replay")))
      assert(support.eventually(function() return fake:count(refused.customer.phone) == 2 end))

      local late = service.payment "62" -- 429 with Retry-After: 2
      here:event(late)
      assert(support.eventually(function() return fake:count(late.customer.phone) == 1 end))
      here:state(late.id, "queued")
      assert.equal(303, (press(late.id, "cancel")))
      assert.equal("cancelled", (here:state(late.id, "cancelled")))
    end)

    it("pauses a rule, suppresses a person, and lets go on, each with its word and by name", function()
      local one = settled("00", "accepted")
      local function with(word, more)
        return function(form) form.token = form.token .. "&word=" .. word .. (more or "") end
      end
      local status, text = press(one.id, "pause", with("yes", "&rule=Payment"))
      assert.equal(400, status)
      assert.is_truthy(text:find("Write the word pause to confirm that. Nothing was changed.", 1, true))
      local _, headers
      status, _, headers = press(one.id, "pause", with("pause", "&rule=Payment"))
      assert.same({ 303, "?" }, { status, headers.location })
      local waiting = service.payment "00"
      here:event(waiting)
      _, text = page()
      assert.is_truthy(text:find("Messages of the rule <bdi>Payment</bdi> are paused</b> <bdi>by anna</bdi>", 1, true))
      _, text = page("?id=" .. waiting.id)
      assert.is_truthy(text:find("It is paused: by anna.", 1, true))
      assert.equal(0, fake:count(waiting.customer.phone))
      assert.equal(303, (press(one.id, "resume", with("", "&rule=Payment"))))
      assert.equal("accepted", (here:state(waiting.id, "accepted")))
      assert.equal(303, (press(one.id, "suppress", with("suppress", "&id=" .. one.id))))
      local again = service.payment "00"
      again.customer.phone = one.customer.phone
      here:event(again)
      local why
      _, why = here:state(again.id, "skipped")
      assert.equal("suppressed: by anna", why.reason)
      assert.equal(400, (press(one.id, "pause", with "pause")))
    end)

    it("says 409 when somebody was faster, 400 for nonsense", function()
      local doubt = settled("86", "unknown")
      local form
      press(doubt.id, "nonsense", function(f) form = f end)
      assert.equal(400, (press(doubt.id, "nonsense")))
      assert.equal(303, (press(doubt.id, "arrived")))
      local status, text = here:post("/onemsg/?id=" .. doubt.id, "token=" .. form.token .. "&action=not_arrived",
        { Authorization = form.auth, Cookie = form.cookie })
      assert.equal(409, status)
      assert.is_truthy(text:find("only what is unknown or stalled can be settled", 1, true))
      assert.equal("delivered", (here:state(doubt.id, "delivered")))
    end)

    it("not for a form that came from elsewhere", function()
      local doubt = settled("86", "unknown")
      local _, text, headers = page("?id=" .. doubt.id)
      assert.matches("^onemsg_form=%x+; HttpOnly; SameSite=Strict$", headers["set-cookie"])
      local token = text:match 'name="token" value="(%x+)"'
      local cases = {
        function(f) f.cookie = nil end, -- what SameSite does to a request from another site
        function(f) f.token = nil end,
        function(f) f.token = "" end,
        function(f) f.cookie = "onemsg_form=" .. ("0"):rep(32) end,
        function(f) f.cookie = "onemsg_form=" end,
        function(f) f.token = token end, -- of another visit
      }
      for _, change in ipairs(cases) do assert.equal(403, (press(doubt.id, "arrived", change))) end
      assert.equal(401, (press(doubt.id, "arrived", function(f) f.auth = nil end)))
      assert.equal("unknown", (here:state(doubt.id, "unknown")))
    end)

    it("for programs with Authorization: Bearer, which no browser adds by itself", function()
      local doubt = settled("86", "unknown")
      local status, text = here:post("/onemsg/?format=json&id=" .. doubt.id, "action=arrived", bearer)
      assert.equal(200, status)
      assert.equal("delivered", cjson.decode(text).state)
    end)

    it("never by GET, and refuses other methods and large forms", function()
      local doubt = settled("86", "unknown")
      page("?id=" .. doubt.id .. "&action=arrived")
      assert.equal("unknown", (here:state(doubt.id, "unknown")))
      assert.equal(405, (here:request("DELETE", "/onemsg/?id=" .. doubt.id, nil, operator)))
      assert.equal(413, (here:post("/onemsg/?id=" .. doubt.id, ("x"):rep(20000), operator)))
    end)
  end)
end)
