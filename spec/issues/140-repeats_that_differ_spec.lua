--- A sender repeats an event, and the body is not the same: a field for the attempt, or no id but that of the message.
local cjson = require "cjson"
local content = require "onemsg.workflow.content"
local service = require "support.service"
local signature = require "onemsg.signature"
local support = require "support.server"

describe("content", function()
  local FIELDS = { "attempts", "meta.sent_at", "list.1.at" }
  for n, case in ipairs {
    { '{"id":"1"}', '{"id":"1"}', true },
    { '{"attempts":[],"id":"1"}', '{"attempts":[{"at":1}],"id":"1"}', true },
    { '{"id":"1"}', '{"attempts":2,"id":"1"}', true },
    { '{"id":"1","meta":{"sent_at":1}}', '{"id":"1","meta":{"sent_at":2}}', true },
    { '{"id":"1","meta":{"sent_at":1,"x":1}}', '{"id":"1","meta":{"sent_at":1,"x":2}}', false },
    { '{"id":"1","meta":7}', '{"id":"1","meta":8}', false },
    { '{"id":"1","list":[{"at":1,"b":1}]}', '{"id":"1","list":[{"at":2,"b":1}]}', true },
    { '{"id":"1","list":[{"at":1},{"at":1}]}', '{"id":"1","list":[{"at":1},{"at":2}]}', false },
    { '{"id":"1","v":1}', '{"id":"1","v":2}', false },
  } do
    it("is compared without what is ignored: " .. n, function()
      assert.equal(case[3], content.same(case[1], case[2], FIELDS))
      assert.equal(case[3], content.same(case[2], case[1], nil, FIELDS))
      assert.equal(case[1] == case[2], content.same(case[1], case[2]))
    end)
  end

  it("is not compared by what is no field", function()
    for _, bad in ipairs { { "a..b" }, { "" }, { 5 }, { "a b" } } do
      assert.has_error(function() content.fields("event_ignore", bad) end)
    end
    assert.same({ "a", "b.c" }, content.fields("event_ignore", content.written "a, b.c"))
  end)
end)

describe("nginx: a repeat", function()
  local fake, here

  setup(function()
    fake = support.fake {}
    here = service.start { fake = fake, init = 'event_ignore = { "attempts", "meta.sent_at" },' }
  end)
  teardown(function()
    local complaints = here.nginx:complaints()
    here:stop()
    fake:stop()
    assert.equal("", complaints)
  end)

  local BEARER = { Authorization = "Bearer " .. service.TOKEN }

  local function post(body, headers)
    local status, answer = here:post("/events", body, headers)
    return status, cjson.decode(answer)
  end

  it("with other values in ignored fields is one, with others a conflict", function()
    for _, case in ipairs {
      { 202, '{"id":"m-1","type":"a","attempts":[]}' }, { 200, '{"id":"m-1","type":"a","attempts":[{"code":500}]}' },
      { 200, '{"meta":{"sent_at":"now"},"type":"a","id":"m-1"}' }, { 409, '{"id":"m-1","type":"a","meta":{"x":1}}' },
    } do
      assert.equal(case[1], (post(case[2], BEARER)), case[2])
    end
  end)

  local function headers(family, body, id)
    local at = os.time()
    return { [family .. "-id"] = id, [family .. "-timestamp"] = tostring(at),
             [family .. "-signature"] = signature.sign(service.SECRET, id, at, body) }
  end

  for _, family in ipairs { "webhook", "svix" } do
    it("of a message without an id of its own: the message's, and the first content wins: " .. family, function()
      local id = "msg_" .. family
      local function body(at, amount, more)
        return ('{"type":"payment.succeeded","timestamp":"%s","data":{"amount":%d},"customer":{"phone":"12020729%s"}%s}')
          :format(at, amount, family == "svix" and "100" or "200", more or "")
      end
      local first = body("2026-11-26T07:00:00Z", 5)
      local status, ticket = post(first, headers(family, first, id))
      assert.same({ 202, id, "queued" }, { status, ticket.id, ticket.state })
      for _, one in ipairs { first, body("2026-11-26T07:05:00Z", 5), body("2026-11-26T07:05:00Z", 6),
        body("x", 7, ',"more":null') } do
        status, ticket = post(one, headers(family, one, id))
        assert.same({ 200, id, true, one ~= first or nil }, { status, ticket.id, ticket.duplicate, ticket.differs })
      end
      assert.equal("accepted", (here:state(id, "accepted")))
      assert.equal(1, fake:count("12020729" .. (family == "svix" and "100" or "200")))
      -- an id of the event's own stays, and with it the conflict
      local own = '{"id":"own-' .. family .. '","type":"a"}'
      assert.equal(202, (post(own, headers(family, own, "msg_own"))))
      own = own:gsub('"a"', '"b"')
      for _, empty in ipairs { 'null', '""' } do
        local none = ('{"id":%s,"type":"a"}'):format(empty)
        assert.equal(400, (post(none, headers(family, none, "msg_own"))), "nothing is no id, and not absent")
      end
      assert.equal(409, (post(own, headers(family, own, "msg_own"))))
    end)

    it("is refused without its headers: " .. family, function()
      local body = '{"type":"a"}'
      for _, missing in ipairs { "id", "timestamp", "signature" } do
        local some = headers(family, body, "msg_x")
        some[family .. "-" .. missing] = nil
        assert.equal(401, (post(body, some)), missing)
      end
      local bent = headers(family, body, "msg_x")
      bent[family .. "-id"] = "msg_y"
      assert.equal(401, (post(body, bent)))
    end)
  end

  it("names no event of a list, and none that is not signed", function()
    local list = '[{"type":"a"},{"type":"a"}]'
    local status, answer = post(list, headers("webhook", list, "msg_list"))
    assert.equal(400, status)
    assert.matches("event.id is missing", answer.results[1].error)
    BEARER["webhook-id"] = "msg_b"
    assert.equal(400, (post('{"type":"a"}', BEARER)))
    BEARER["webhook-id"] = nil
  end)
end)
