-- By which names hooks know a person, and which of them one item ties together. PLATFORM.md 3.1, 9.
local hooks = require "onemsg.hooks"

describe("names of a person", function()
  local BSUID = "CO.88017"
  -- A body, and what it says of its one event or message: phone, bsuid, username, group; and the people it ties.
  for what, case in pairs {
    ["an ack with all"] = { '{"ack":[{"id":"a","phone":"573001239967","bsuid":"CO.88017","userName":"Ana.R","status":"sent"}]}',
      { "573001239967", BSUID, "ana.r" }, { { phone = "573001239967", bsuid = BSUID, username = "ana.r" } } },
    ["an ack without a phone"] = { '{"ack":[{"id":"a","chatId":"CO.88017@lid","status":"sent"}]}', { nil, BSUID }, {} },
    ["an ack that has the bsuid for a phone"] = { '{"ack":[{"id":"a","phone":"CO.88017","status":"sent"}]}',
      { nil, BSUID }, {} },
    ["a status of Meta's"] = { '{"entry":[{"changes":[{"field":"messages","value":{"statuses":[{"id":"a","status":"sent",'
      .. '"recipient_id":"573001239967","recipient_user_id":"CO.88017"}],"contacts":[{"wa_id":"573001239967",'
      .. '"user_id":"CO.88017","profile":{"username":"ana.r"}}]}}]}]}', { "573001239967", BSUID },
      { { phone = "573001239967", bsuid = BSUID }, { phone = "573001239967", bsuid = BSUID, username = "ana.r" } } },
    ["a message by bsuid"] = { '{"messages":[{"id":"m","body":"x","chatId":"CO.88017@lid","author":"CO.88017@lid",'
      .. '"authorBsuid":"CO.88017","authorUserName":"@ana.r"}]}', { nil, BSUID, "ana.r" },
      { { bsuid = BSUID, username = "ana.r" } } },
    ["a message by username"] = { '{"messages":[{"id":"m","body":"x","chatId":"Maria@username"}]}', { nil, nil, "maria" }, {} },
    ["a message of Meta's"] = { '{"entry":[{"changes":[{"field":"messages","value":{"messages":[{"id":"m","from":"",'
      .. '"from_user_id":"CO.88017","type":"text","text":{"body":"x"}}]}}]}]}', { nil, BSUID }, {} },
    ["our own message"] = { '{"messages":[{"id":"m","body":"x","fromMe":true,"chatId":"573001239967@c.us",'
      .. '"author":"573009999999@c.us","authorBsuid":"CO.1"}]}', { "573001239967" }, {} },
    ["our own message by Meta's echo"] = { '{"entry":[{"changes":[{"field":"smb_message_echoes","value":{"message_echoes":'
      .. '[{"id":"m","from":"573009999999","to":"573001239967","type":"text","text":{"body":"x"}}]}}]}]}',
      { "573001239967" }, {} },
    ["a group's message"] = { '{"messages":[{"id":"m","body":"x","chatId":"1203630@g.us","author":"573001239967@c.us",'
      .. '"authorBsuid":"CO.88017"}]}', { "573001239967", BSUID, nil, true }, {} },
    ["names of wrong types"] = { '{"ack":[{"id":"a","phone":7,"bsuid":{"a":1},"userName":["x"],"status":"sent"}]}', {}, {} },
    ["what is no bsuid"] = { '{"ack":[{"id":"a","phone":"573001239967","bsuid":"hello","status":"sent"}]}',
      { "573001239967" }, {} },
  } do
    it("in " .. what, function()
      local found = assert(hooks.parse(case[1], 1800000000))
      local one = found.events[1] or found.messages[1]
      assert.same(case[2], { one.recipient or one.phone, one.bsuid, one.username, one.group })
      assert.same(case[3], found.people)
    end)
  end
end)
