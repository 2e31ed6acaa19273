-- Names were tied together by items that are not about one person of ours: acks of groups, hooks of other channels, the
-- business's own contact in its echo. And a STOP in the second in which a person had lifted a suppression was older than
-- that, for the times of messages are whole seconds.
local hooks = require "onemsg.hooks"
local simulation = require "support.simulation"

local PHONE, BSUID = "573001239967", "CO.88017"

describe("names", function()
  for what, body in pairs {
    ["an ack of a group"] = '{"ack":[{"id":"a","chatId":"1203@g.us","phone":"573001239967","bsuid":"CO.88017","status":"sent"}]}',
    ["the echo of our own message"] = '{"entry":[{"changes":[{"field":"smb_message_echoes","value":{"message_echoes":[{"id":"m",'
      .. '"to":"573001239967","type":"text"}],"contacts":[{"wa_id":"573009999999","user_id":"CO.1"}]}}]}]}',
  } do
    it("are not tied by " .. what, function() assert.same({}, hooks.parse(body, 1800000000).people) end)
  end

  it("are not tied by hooks of other channels", function()
    local sim = simulation.new { channels = { main = { id = "ODI1" } } }
    local ack = '{"instanceId":"%s","ack":[{"id":"a","phone":"573001239967","bsuid":"CO.88017","status":"sent"}]}'
    sim.flow.instances.main = "ODI1"
    sim.flow:hooks(ack:format "ODI2")
    assert.same({ BSUID }, sim.flow.box:persons { BSUID })
    sim.flow:hooks(ack:format "ODI1")
    assert.same({ PHONE }, sim.flow.box:persons { BSUID })
    sim:close()
  end)
end)

describe("a stop word", function()
  it("is heard in the second in which a suppression was lifted", function()
    local sim = simulation.new {}
    sim.flow:suppress(PHONE)
    sim.time = math.floor(sim.time) + 0.5
    sim.flow:unsuppress(PHONE)
    sim.time = sim.time + 0.4
    sim.flow:hooks(('{"messages":[{"id":"m","body":"STOP","fromMe":false,"time":%d,"chatId":"%s@c.us"}]}'):format(
      math.floor(sim.time), PHONE))
    assert.equal("skipped", sim.flow:submit({ id = "a", type = "paid", phone = PHONE, name = "Ana" }).state)
    sim:close()
  end)
end)
