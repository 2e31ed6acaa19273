-- Confirmations of what WooCommerce reports: location /events/woocommerce { … serve_events { from = "woocommerce" } }.
-- `onemsg senders woocommerce` says what to register there; the topic is "Order updated": there is none for "paid".
template "action_success" { language = "en", body = { "name", "action", "next_step" } }

defaults {
  phone   = "{billing.phone}",
  country = "{billing.country}",     -- phones stand there as people typed them
  name    = "{billing.first_name|there}",
}

-- Goods to be shipped become `processing` when they are paid, downloads `completed` at once.
confirm "Order paid" {
  on        = "order.updated",
  when      = { status = one_of("processing", "completed") },
  action    = "order {number} of " .. money("{total}", "{currency}"),
  next_step = "We write again when it ships.",
  once_per  = "{number}",            -- processing, and later completed: one message
}

example "Ida pays" {
  event  = { id = "woocommerce:order.updated:727:processing", type = "order.updated", sender = "woocommerce", number = "727",
             status = "processing", total = "12.50", currency = "EUR", original = { id = 727 },
             billing = { first_name = "Ida", last_name = "Berg", phone = "0151 23456789", country = "DE" } },
  expect = { confirm = "Order paid", name = "Ida", phone = "4915123456789", action = "order 727 of 12.50 EUR", once_per = "727" },
}
example "not paid yet" {
  event  = { type = "order.updated", sender = "woocommerce", number = "728", status = "on-hold", total = "12.50",
             currency = "EUR", billing = { phone = "0151 23456789", country = "DE" } },
  expect = { confirm = false },
}
