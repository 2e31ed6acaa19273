-- Confirmations of what Stripe reports: location /events/stripe { … serve_events { from = "stripe" } }. `onemsg senders stripe`
-- says what to register there; of the events choose checkout.session.completed and invoice.paid.
template "action_success" { language = "en", body = { "name", "action", "next_step" } }

never "Not paid yet" { on = "checkout.session.completed", when = { ["data.object.payment_status"] = "unpaid" } }

-- The checkout has a phone only where it asks for one (phone_number_collection); where it has none, `resolve` finds it.
confirm "Checkout" {
  on        = "checkout.session.completed",
  phone     = "{data.object.customer_details.phone}",
  name      = first_word("{data.object.customer_details.name|there}"),
  action    = "payment of " .. money("{data.object.amount_total}", "{data.object.currency}", { minor = true }),
  next_step = "Receipt sent by email.",
}

confirm "Subscription renewed" {
  on        = "invoice.paid",
  when      = { ["data.object.billing_reason"] = "subscription_cycle" },
  phone     = "{data.object.customer_phone}",
  name      = first_word("{data.object.customer_name|there}"),
  action    = "renewal for " .. money("{data.object.amount_paid}", "{data.object.currency}", { minor = true }),
  next_step = "Your access goes on.",
  once_per  = "{data.object.id}",
}

example "Maria buys" {
  event  = { id = "stripe:evt_1", type = "checkout.session.completed", sender = "stripe", livemode = true, data = { object = {
             id = "cs_live_a1", object = "checkout.session", amount_total = 1250, currency = "eur", payment_status = "paid",
             customer_details = { name = "Maria Silva", email = "maria@customer.example", phone = "+12020746100" } } } },
  expect = { confirm = "Checkout", name = "Maria", phone = "12020746100", action = "payment of 12.50 EUR" },
}
example "a bank transfer that is still on its way" {
  event  = { type = "checkout.session.completed", sender = "stripe", data = { object = { payment_status = "unpaid",
             customer_details = { phone = "+12020746100" } } } },
  expect = { confirm = false, rule = "Not paid yet" },
}
example "a test of the developer's" {
  event  = { type = "checkout.session.completed", sender = "stripe", test = true, data = { object = { id = "cs_test_1",
             payment_status = "paid", customer_details = { phone = "+12020746100" } } } },
  expect = { confirm = false, reason = "test" },
}
example "a renewal in yen" {
  event  = { type = "invoice.paid", sender = "stripe", data = { object = { id = "in_1", billing_reason = "subscription_cycle",
             amount_paid = 980, currency = "jpy", customer_name = "Yuki Tanaka", customer_phone = "+819012345678" } } },
  expect = { confirm = "Subscription renewed", name = "Yuki", phone = "819012345678", action = "renewal for 980 JPY" },
}
