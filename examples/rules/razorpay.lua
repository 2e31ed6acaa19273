-- Confirmations of what Razorpay reports: location /events/razorpay { … serve_events { from = "razorpay" } }. `onemsg senders
-- razorpay` says what to register there; of the events choose order.paid (payment.captured comes for the same payment).
template "action_success" { language = "en", body = { "name", "action", "next_step" } }

confirm "Order paid" {
  on        = "order.paid",
  phone     = "{payload.payment.entity.contact}",
  name      = "{payload.payment.entity.notes.name|there}",     -- Razorpay knows no name: the shop may put one into notes
  action    = "payment of " .. money("{payload.payment.entity.amount}", "{payload.payment.entity.currency}", { minor = true }),
  next_step = "Order {payload.order.entity.receipt|received}.",
  once_per  = "{payload.payment.entity.id}",
}

example "Asha pays" {
  event  = { id = "razorpay:evt_1", type = "order.paid", sender = "razorpay", event = "order.paid", payload = {
             payment = { entity = { id = "pay_1", amount = 50000, currency = "INR", contact = "+919876543210",
                         notes = { name = "Asha" } } },
             order = { entity = { id = "order_1", receipt = "R-17" } } } },
  expect = { confirm = "Order paid", name = "Asha", phone = "919876543210", action = "payment of 500.00 INR" },
}
example "notes are an empty list where the shop puts nothing into them" {
  event  = { type = "order.paid", sender = "razorpay", payload = { payment = { entity = { id = "pay_2", amount = 12345,
             currency = "KWD", contact = "+919876543210", notes = {} } } } },
  expect = { confirm = "Order paid", name = "there", action = "payment of 12.345 KWD", next_step = "Order received." },
}
