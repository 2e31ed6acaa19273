-- Confirmations of what GitHub reports: location /events/github { … serve_events { from = "github" } }. `onemsg senders github`
-- says what to register there; of the events choose Sponsorships.
template "action_success" { language = "en", body = { "name", "action", "next_step" } }

-- GitHub knows no phones: who has opted in stands here, or `resolve` asks your database.
local phones = { maria = "+12020746100" }

confirm "Sponsorship" {
  on        = "sponsorship.created",
  phone     = function(event) return phones[event.sponsorship.sponsor.login] end,
  name      = "{sponsorship.sponsor.login}",
  action    = "sponsorship, {sponsorship.tier.name}",
  next_step = "Thank you! The private repository is open to you.",
}

example "Maria becomes a sponsor" {
  event  = { id = "github:72d3162e", type = "sponsorship.created", sender = "github", action = "created",
             sponsorship = { sponsor = { login = "maria" }, tier = { name = "$5 a month" } } },
  expect = { confirm = "Sponsorship", name = "maria", phone = "12020746100", action = "sponsorship, $5 a month" },
}
example "the ping that GitHub sends when the webhook is made" {
  event  = { type = "ping", sender = "github", zen = "Design for failure." },
  expect = { confirm = false },
}
