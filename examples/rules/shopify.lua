-- Confirmations of what Shopify reports: location /events/shopify { … serve_events { from = "shopify" } }. `onemsg senders
-- shopify` says what to register there; of the events choose "Order payment" and "Fulfillment creation".
template "action_success" { language = "en", body = { "name", "action", "next_step" } }

-- A phone may stand in three places, in each as people typed it: national ones are of the country of the address.
local function phone(event)
  local customer, shipping = event.customer or {}, event.shipping_address or {}
  return event.phone or customer.phone or shipping.phone
end

defaults {
  phone   = phone,
  country = function(event) return (event.shipping_address or event.billing_address or {}).country_code or "US" end,
  name    = "{customer.first_name|there}",
}

confirm "Order paid" {
  on        = "orders/paid",
  action    = "order {name} of " .. money("{total_price}", "{currency}"),
  next_step = "We write again when it ships.",
  once_per  = "{name}",     -- not {original.id}: two subscriptions to one topic would say it twice
}

example "Maria pays" {
  event  = { id = "shopify:b54557e4", type = "orders/paid", sender = "shopify", name = "#1001", order_number = 1001,
             total_price = "409.94", currency = "USD", test = false,
             customer = { first_name = "Maria", phone = "+12020746100" } },
  expect = { confirm = "Order paid", name = "Maria", phone = "12020746100", action = "order #1001 of 409.94 USD" },
}
example "a national number of the shipping address" {
  event  = { type = "orders/paid", sender = "shopify", name = "#1002", total_price = "20.00", currency = "EUR",
             customer = { first_name = "Ida" }, shipping_address = { phone = "0151 23456789", country_code = "DE" } },
  expect = { confirm = "Order paid", name = "Ida", phone = "4915123456789", action = "order #1002 of 20.00 EUR" },
}
example "an order of the theme's editor" {
  event  = { type = "orders/paid", sender = "shopify", test = true, name = "#1", total_price = "1.00", currency = "USD",
             phone = "+12020746100" },
  expect = { confirm = false, reason = "test" },
}
