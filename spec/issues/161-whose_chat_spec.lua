-- What a message says of its author ties no names to the customer whose chat it is, where the author is somebody else:
-- the business, in a message of its own that isn't marked as such.
local hooks = require "onemsg.hooks"

describe("a message in a chat", function()
  local CHAT = '{"messages":[{"id":"m","body":"x","chatId":"%s","author":"%s","authorBsuid":"%s","authorUserName":"shop"}]}'
  for what, case in pairs {
    ["of another phone's"] = { "573001239967@c.us", "573009999999@c.us", "CO.1", { "573001239967" }, {} },
    ["of another bsuid's"] = { "CO.88017@lid", "573009999999@c.us", "CO.1", { nil, "CO.88017" }, {} },
    ["of its customer's"] = { "573001239967@c.us", "573001239967@c.us", "CO.88017", { "573001239967", "CO.88017", "shop" },
      { { phone = "573001239967", bsuid = "CO.88017", username = "shop" } } },
    ["of its customer's, the phone spelled otherwise"] = { "5215512345678@c.us", "525512345678@c.us", "MX.88017",
      { "5215512345678", "MX.88017", "shop" }, { { phone = "5215512345678", bsuid = "MX.88017", username = "shop" } } },
    ["by bsuid, with the customer's phone"] = { "CO.88017@lid", "573001239967@c.us", "CO.88017",
      { "573001239967", "CO.88017", "shop" }, { { phone = "573001239967", bsuid = "CO.88017", username = "shop" } } },
  } do
    it(what .. " author", function()
      local found = assert(hooks.parse(CHAT:format(case[1], case[2], case[3]), 1800000000))
      local one = found.messages[1]
      assert.same(case[4], { one.phone, one.bsuid, one.username })
      assert.same(case[5], found.people)
    end)
  end
end)
