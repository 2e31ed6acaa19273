-- Which events are confirmed on WhatsApp, to whom, in which words. Try a change before it goes live:
--     onemsg rules check examples/rules.lua
-- A text in quotes may hold {fields} of the event; what stands after | is used when the event has no such field.

-- The template as WhatsApp approved it, and what its {{1}}, {{2}}, {{3}} stand for.
template "action_success" { language = "en", body = { "name", "action", "next_step" } }

-- What holds for every confirm below that does not say otherwise.
defaults {
  phone         = "{customer.phone}",
  name          = "{customer.first_name|there}",
  language      = "{customer.language|en}",
  consent       = "customer.whatsapp_ok",     -- only to people who agreed: this field must be true
  give_up_after = "6h",                       -- 30s, 10m, 6h, 2d
}

-- No message ever, whatever stands below.
never "Staff" { when = { ["customer.email"] = ends_with("@ourcompany.example") } }

confirm "Subscription payment" {
  on        = "payment.succeeded",
  when      = { ["plan.kind"] = "subscription", amount = over(0) },
  action    = "subscription payment",
  next_step = "Access activated in your account.",
  once_per  = "{payment.id}",                 -- one message for a payment, however often the event comes
  otherwise = { after = "10m", send = "sms", text = "Payment received. {next_step}" },
}

confirm "Big order" {
  on        = "order.paid",
  when      = function(event) return event.order.total > 1000 end,   -- Lua, where words do not reach
  action    = "order {order.number}",
  next_step = "A colleague calls you about delivery on {order.ship_day|the next working day}.",
}

confirm "Order" {
  on        = "order.paid",
  action    = "order {order.number}",
  next_step = "We ship it on {order.ship_day|the next working day}.",
}

confirm "Profile update" {
  on        = { "profile.updated", "password.changed" },
  when      = { ["changed.by"] = missing },   -- nobody else did it for them
  action    = "profile update",
  next_step = "If this was not you, answer this message.",
  quiet     = { from = "21:00", to = "08:00", zone = "{customer.zone|America/Sao_Paulo}" },
}

-- Examples are checked whenever this file is read; one that fails keeps the old rules at work.
example "Maria pays" {
  event  = { type = "payment.succeeded", amount = 990, plan = { kind = "subscription" }, payment = { id = "p-1" },
             customer = { first_name = "Maria", phone = "+1 202 072 1369", whatsapp_ok = true } },
  expect = { confirm = "Subscription payment", name = "Maria", phone = "12020721369" },
}
example "a colleague pays" {
  event  = { type = "payment.succeeded", customer = { email = "joe@ourcompany.example" } },
  expect = { confirm = false, rule = "Staff" },
}
example "Ana orders a kettle" {
  event  = { type = "order.paid", order = { number = "7", total = 50 },
             customer = { first_name = "Ana", phone = "+1 202 072 1300", whatsapp_ok = true } },
  expect = { confirm = "Order", action = "order 7", next_step = "We ship it on the next working day." },
}
example "Ana orders a kitchen" {
  event  = { type = "order.paid", order = { number = "8", total = 4000 },
             customer = { first_name = "Ana", phone = "+1 202 072 1300", whatsapp_ok = true } },
  expect = { confirm = "Big order" },
}
example "Ana changes her password" {
  event  = { type = "password.changed", customer = { first_name = "Ana", phone = "+1 202 072 1300", whatsapp_ok = true } },
  expect = { confirm = "Profile update", language = "en" },
}
