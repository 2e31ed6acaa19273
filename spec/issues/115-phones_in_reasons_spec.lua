-- A reason said cliente.celular is "11 91234-5678", whole, in the ticket and in the log. Of a phone only its end is shown,
-- whatever its field is called, and where it looks like one.
local rules = require "onemsg.rules"

local function reason_of(field, value)
  local event = { type = "paid" }
  local t, names = event, {}
  for name in field:gmatch "[^.]+" do names[#names + 1] = name end
  for n = 1, #names - 1 do
    t[names[n]] = {}
    t = t[names[n]]
  end
  t[names[#names]] = value
  return assert(rules.load(([[confirm "R" { on = "paid", when = { [%q] = "x" }, phone = "{phone}", name = "a", action = "b",
    next_step = "c" }]]):format(field))):decide(event)[1].reason
end

describe("a reason", function()
  for _, field in ipairs { "phone", "cliente.celular", "cliente.Telefone", "telefono", "tel", "contact.tel_1",
    "customer.mobilePhone",
    "whatsapp", "cel", "handynummer", "msisdn", "Mobile", "billing.phone" } do
    it("shows the end of a phone under " .. field, function()
      for _, phone in ipairs { "11 91234-5678", "+5511912345678", "5511912345678", "(11) 91234-5678" } do
        local reason = reason_of(field, phone)
        assert.is_nil(reason:find("1234", 1, true), reason)
        assert.matches("…5678", reason, 1, true)
      end
    end)
  end
  for _, phone in ipairs { "+55 11 91234-5678", "(11) 91234-5678", "11 91234-5678", "0151 1234 5678" } do
    it("shows the end of a phone that stands anywhere: " .. phone, function()
      local reason = reason_of("note", phone)
      assert.is_nil(reason:find("1234", 1, true), reason)
    end)
  end
  for _, value in ipairs { "2026-11-26", "2026-11-26 15:04", "order 12345678", "12345678", "4711", "1,234.50", "hotel",
    "10.20.30.40" } do
    it("shows what is no phone: " .. value, function()
      assert.matches(value, reason_of("hotel", value), 1, true)
    end)
  end
end)
