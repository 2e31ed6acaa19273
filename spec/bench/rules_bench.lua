-- Decisions per second on one core: lua5.4 spec/bench/rules_bench.lua; luajit spec/bench/rules_bench.lua
-- Ten rules, one of them a function; a mix of events of which some match early, some late, some lack a field, some not
-- at all. The figure to reach is 100,000 a second.
package.path = "lua/?.lua;" .. package.path
local rules = require "onemsg.rules"

local ROUNDS, PER_ROUND = 7, 60000

local script = { [[
template "action_success" { language = "en", body = { "name", "action", "next_step" } }
defaults { phone = "{customer.phone}", name = "{customer.first_name|there}", give_up_after = "6h" }
never "Staff" { when = { ["customer.email"] = ends_with "@ourcompany.example" } }
confirm "Subscription payment" {
  on = "payment.succeeded", when = { ["plan.kind"] = "subscription", amount = over(0) },
  action = "subscription payment", next_step = "Access activated in your account.", once_per = "{payment.id}",
  otherwise = { after = "10m", send = "sms", text = "Payment received. {next_step}" },
}
confirm "Big order" {
  on = "order.paid", when = function(e) return e.order.total > 100 end,
  action = "order {order.number}", next_step = "We ship it on {order.ship_day|the next working day}.",
}
confirm "Order" {
  on = "order.paid", action = "order {order.number}", next_step = "It ships {order.ship_day}.",
}
]] }
for _, name in ipairs { "email", "address", "password", "card", "plan", "photo" } do
  script[#script + 1] = ([[
confirm "Profile: NAME" {
  on = "profile.updated", when = { ["change.field"] = one_of("NAME", "NAME_2") },
  action = "NAME update", next_step = "See it in your account, {customer.first_name}.",
}
]]):gsub("NAME", name)
end
local set = assert(rules.load(table.concat(script)))

local maria = { first_name = "Maria", phone = "+1 202 072 1369", email = "maria@example.com", opt_in = true }
local MIXES = {
  { "a payment that matches", {
    { type = "payment.succeeded", amount = 990, plan = { kind = "subscription" }, payment = { id = "p-1" },
      customer = maria } } },
  { "a rule with a function", { { type = "order.paid", order = { total = 250, number = 17 }, customer = maria } } },
  { "nothing matches", { { type = "profile.updated", change = { field = "nickname" }, customer = maria } } },
  { "a mix of eight", {
    { type = "payment.succeeded", amount = 990, plan = { kind = "subscription" }, payment = { id = "p-1" },
      customer = maria },
    { type = "payment.succeeded", amount = 5, plan = { kind = "subscription" }, payment = { id = "p-2" },
      customer = maria },
    { type = "payment.succeeded", amount = 0, plan = { kind = "trial" }, customer = maria },
    { type = "order.paid", order = { total = 250, number = 17 }, customer = maria },
    { type = "order.paid", order = { total = 50, number = 18, ship_day = "Monday" }, customer = maria },
    { type = "order.paid", order = { total = 50, number = 18 }, customer = maria },
    { type = "profile.updated", change = { field = "photo" }, customer = maria },
    { type = "login", customer = maria },
  } },
}

print(rawget(_G, "jit") and rawget(_G, "jit").version or _VERSION)
for _, mix in ipairs(MIXES) do
  local events, rates = mix[2], {}
  for round = 0, ROUNDS do -- round 0 warms up
    collectgarbage()
    local started, decided = os.clock(), 0
    for n = 1, PER_ROUND do
      decided = decided + #set:decide(events[n % #events + 1])
    end
    assert(decided == PER_ROUND)
    if round > 0 then rates[round] = PER_ROUND / (os.clock() - started) end
  end
  table.sort(rates)
  print(string.format("%-24s %9.0f decisions/s   (median of %d; %.0f to %.0f)", mix[1], rates[(ROUNDS + 1) / 2],
    ROUNDS, rates[1], rates[ROUNDS]))
end
