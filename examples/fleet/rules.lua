-- For examples/fleet/run.
template "action_success" { language = "en", body = { "name", "action", "next_step" } }

confirm "Order" {
  on = "order.paid", phone = "{phone}", name = "{name}", consent = "whatsapp_ok",
  action = "order {order}", next_step = "We ship it tomorrow.",
}
