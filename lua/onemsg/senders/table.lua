--- onemsg.senders.table: who sends events, and how. A row a sender, as data; onemsg.senders says what the fields mean.
-- How each fact is known stands in its vendor's library or documentation; `about` tells a person what to know.
local M = {}

local function standard(family)
  return { header = family .. "-signature", find = "v1,(%S+)", time = "header." .. family .. "-timestamp",
           over = ("{header.%s-id}.{time}.{body}"):format(family), text = "base64", key = "base64" }
end

-- Payments ----------------------------------------------------------------------------------------------------------

M.stripe = {
  title = "Stripe",
  sign = { header = "stripe-signature", find = "v1=(%x+)", time = "t=(%d+)", over = "{time}.{body}" },
  id = "{id}", type = "{type}", test = { "{livemode}", "false" }, ignore = { "pending_webhooks" },
  where = "Developers, Webhooks, Add endpoint; the signing secret (whsec_…) is the secret, with its prefix",
  choose = "checkout.session.completed, invoice.paid",
  about = { "data.object is the object: its phone is there only if the checkout collects phones (customer_details.phone)",
            "amounts are in the smallest unit, currencies in lower case" },
}
M.paddle = {
  title = "Paddle Billing",
  sign = { header = "paddle-signature", find = "h1=(%x+)", time = "ts=(%d+)", over = "{time}:{body}" },
  id = "{event_id}", type = "{event_type}", ignore = { "notification_id" },
  where = "Developer tools, Notifications, New destination; the secret (pdl_ntfset_…) is the endpoint's own",
  choose = "transaction.completed, subscription.activated",
  about = { "no phone and no name in the event, only data.customer_id: find them by resolve",
            "data.details.totals.grand_total is a text in the smallest unit" },
}
M.recurly = {
  title = "Recurly",
  sign = { header = "recurly-signature", find = ",(%x+)", time = "^(%d+),", over = "{time}.{body}" },
  id = "{id}", type = "{object_type}.{event_type}",
  where = "Integrations, Webhooks: an endpoint of the format JSON (XML is not signed)",
  choose = "payment.succeeded", about = { "the event is thin: the person is found by resolve" },
}
M.lemonsqueezy = {
  title = "Lemon Squeezy",
  sign = { header = "x-signature" },
  id = "{meta.event_name}:{data.id}:{data.attributes.updated_at}", type = "{meta.event_name}",
  test = { "{meta.test_mode}", "true" },
  where = "Settings, Webhooks; the signing secret is yours to choose", choose = "order_created, subscription_payment_success",
  about = { "only 200 counts, and after three repeats within three minutes an event is lost",
            "no phone; data.attributes.user_name is the whole name; total is in the smallest unit" },
}
M.razorpay = {
  title = "Razorpay",
  sign = { header = "x-razorpay-signature" },
  id = "{header.x-razorpay-event-id}", type = "{event}",
  where = "Account & Settings, Webhooks; the secret is the webhook's, not the API key", choose = "order.paid",
  about = { "payment.captured and order.paid both come for one payment: choose one",
            "after a change of the secret, repeats are still signed with the old one: keep both for a day" },
}
M.gocardless = {
  title = "GoCardless",
  sign = { header = "webhook-signature" }, each = "events",
  id = "{id}", type = "{resource_type}.{action}",
  where = "Developers, Create, Webhook endpoint", choose = "payments, subscriptions",
  about = { "thin: links.payment names the payment, the person is found by resolve" },
}
M.mollie = {
  title = "Mollie (webhooks of the new kind)",
  sign = { header = "x-mollie-signature", find = "%f[%x](%x+)%s*$" },
  id = "{id}", type = "{type}",
  where = "Developers, Webhooks", choose = "payment-link.paid and others",
  about = { "the classic webhooks (a form with id=tr_…) are not signed and carry nothing: not this row",
            "entityId is the payment; the person is found by resolve" },
}
M.paystack = {
  title = "Paystack",
  sign = { header = "x-paystack-signature", mac = "sha512" },
  id = "{event}:{data.id}", type = "{event}", test = { "{data.domain}", "test" },
  where = "Settings, API Keys & Webhooks; the secret is the API's secret key", choose = "charge.success",
  about = { "data.customer.phone may be null, or national: give the rule a country" },
}
M.flutterwave = {
  title = "Flutterwave",
  sign = { { header = "flutterwave-signature", text = "base64" }, { header = "verif-hash", equal = "text" } },
  id = "{event|type}:{data.id}", type = "{event|type}",
  where = "Settings, Webhooks; the secret hash is yours to choose", choose = "charge.completed",
  about = { "data.amount is in the main unit; the phone is national: give the rule a country" },
}
M.square = {
  title = "Square",
  sign = { header = "x-square-hmacsha256-signature", over = "{url}{body}", text = "base64" },
  id = "{event_id}", type = "{type}", test = { "{header.square-environment:lower}", "sandbox" }, url = true,
  where = "Developer Console, Webhooks, Subscriptions", choose = "payment.updated",
  about = { "the URL is signed byte for byte as it was registered: give serve_events the same as url",
            "payment.updated comes often: ask for data.object.payment.status = COMPLETED" },
}
M.mercadopago = {
  title = "Mercado Pago",
  sign = { header = "x-signature", find = "v1=(%x+)", time = "ts=(%d+)",
           over = { "[id:{query.data.id};][request-id:{header.x-request-id};]ts:{time};",
                    "[id:{query.data.id:lower};][request-id:{header.x-request-id};]ts:{time};" } },
  id = "{type}:{query.data.id}:{action|type}", type = "{action|type}", test = { "{live_mode}", "false" },
  signed = {}, set = { ["data.id"] = "{query.data.id}" },
  where = "Your integrations, Webhooks", choose = "payment",
  about = { "the body is not signed: it stands under unsigned, and only data.id is sure; find the rest by resolve",
            "QR events are not signed at all and are refused" },
}
local ADYEN = "{pspReference}:{originalReference}:{merchantAccountCode}:{merchantReference}:{amount.value}:"
  .. "{amount.currency}:{eventCode}:{success}"
M.adyen = {
  title = "Adyen",
  sign = { { header = "hmacsignature", text = "base64", key = "hex" },
           { from = "{additionalData.hmacSignature}", over = ADYEN, loose = true, text = "base64", key = "hex" } },
  each = "notificationItems", inside = "NotificationRequestItem",
  id = { "{eventCode}:{pspReference}:{success}", "{type}:{data.id}:{timestamp|data.status}" }, type = "{eventCode|type}",
  test = { "{document.live|environment}", "false", "test" },
  signed = { "pspReference", "originalReference", "merchantAccountCode", "merchantReference", "amount", "eventCode",
             "success" },
  where = "Developers, Webhooks, Standard webhook; the HMAC key (hex) is the secret", choose = "AUTHORISATION",
  about = { 'success is a text: AUTHORISATION may have failed; ask for success = "true"',
            "what is not signed of a payment (additionalData …) stands under unsigned" },
}
M.chargebee = {
  title = "Chargebee",
  sign = { equal = "basic" },
  id = "{id}", type = "{event_type}", ignore = { "webhook_status", "webhooks" },
  where = "Settings, Configure, Webhooks, with Basic authentication; the secret is user:password",
  choose = "payment_succeeded", about = { "nothing is signed: the secret is sent as it is" },
}

-- Shops -------------------------------------------------------------------------------------------------------------

M.shopify = {
  title = "Shopify",
  sign = { header = { "x-shopify-hmac-sha256", "shopify-hmac-sha256" }, text = "base64" },
  id = { "{header.x-shopify-webhook-id}", "{header.x-shopify-topic}:{header.x-shopify-event-id}" },
  type = "{header.x-shopify-topic}", test = { "{test}", "true" },
  where = "Settings, Notifications, Webhooks, format JSON; the secret stands below the list (of an app: its client secret)",
  choose = "Order payment (orders/paid)",
  about = { "phone, customer.phone and shipping_address.phone may each be null, and are as people typed them",
            "use name (#1001) or order_number for an order: its id is longer than many programs keep exactly" },
}
M.woocommerce = {
  title = "WooCommerce",
  sign = { header = "x-wc-webhook-signature", text = "base64", key = "html" },
  id = { "{header.x-wc-webhook-topic}:{id}:{status}", "{header.x-wc-webhook-topic}:{id}:{date_modified_gmt}" },
  type = "{header.x-wc-webhook-topic}",
  handshake = { { method = "POST", without = "x-wc-webhook-topic", body = "^webhook_id=%d+$" } },
  where = "WooCommerce, Settings, Advanced, Webhooks; the secret of the webhook", choose = "Order updated",
  about = { "paid is order.updated with status processing or completed: each status of an order is one event",
            "not repeated after a failure, and switched off after five in a row",
            "billing.phone is as people typed it: country = \"{billing.country}\"" },
}
M.bigcommerce = {
  title = "BigCommerce",
  sign = { header = "webhook-signature", find = "v1,(%S+)", time = "header.webhook-timestamp",
           over = "{header.webhook-id}.{time}.{body}", text = "base64" },
  id = "{header.webhook-id}", type = "{scope}",
  where = "the API (POST /v3/hooks); the secret is the client secret as it is", choose = "store/order/statusUpdated",
  about = { "thin: data.id is the order, the person is found by resolve" },
}
M.frappe = {
  title = "Frappe, ERPNext",
  sign = { header = "x-frappe-webhook-signature", text = "base64" },
  id = { "{doctype}:{name}:{modified}" }, type = "{event|doctype}",
  where = "Integrations, Webhook, Enable Security; put doctype, name and modified into the JSON", choose = "on_submit",
  about = { "a template that holds a time of its own breaks the signature: it is rendered twice" },
}

-- Events as such ----------------------------------------------------------------------------------------------------

M.standard = {
  title = "Standard Webhooks",
  sign = { standard "webhook", standard "svix" },
  id = "{header.webhook-id|header.svix-id}", type = "{type}",
  where = "wherever the sender takes an endpoint; the secret is whsec_ and base64", choose = "what you confirm", about = {},
}
M.svix = { title = "Svix", sign = { standard "svix", standard "webhook" }, id = "{header.svix-id|header.webhook-id}",
  type = "{type}", where = "Endpoints, Add endpoint; the signing secret", choose = "what you confirm", about = {} }
M.clerk = { title = "Clerk", sign = M.svix.sign, id = M.svix.id, type = M.svix.type,
  where = "Configure, Webhooks, Add endpoint; the signing secret", choose = "user.created",
  about = { "data.phone_numbers.1.phone_number, data.first_name" } }
M.cloudevents = {
  title = "CloudEvents",
  sign = { equal = "bearer", query = "access_token" },
  id = "{source}:{id}", type = "{type}", headers = "ce-",
  handshake = { { method = "OPTIONS", header = "webhook-request-origin", answer = { headers = {
    ["WebHook-Allowed-Origin"] = "{header.webhook-request-origin}", ["WebHook-Allowed-Rate"] = "*",
    ["Allow"] = "POST, OPTIONS" } } } },
  where = "the event bus's HTTP target, with Authorization: Bearer or ?access_token=", choose = "what you confirm",
  about = { "structured, binary (ce- headers; what was posted stands under data) and batches" },
}
M.plain = {
  title = "Anything: JSON or a form, with a secret in a header or in the URL",
  sign = { equal = "bearer", path = true },
  id = "{id}", type = "{type}", form = true,
  where = "https://your.host/events/plain/SECRET, or Authorization: Bearer SECRET, or serve_events { header = … }",
  choose = "what you confirm", about = { "for Zapier, Make, n8n, WordPress forms, Odoo and programs of your own" },
}

-- People and their doings -------------------------------------------------------------------------------------------

M.github = {
  title = "GitHub",
  sign = { header = "x-hub-signature-256", find = "^sha256=(%x+)$" },
  id = "{header.x-github-delivery}", type = "{header.x-github-event}[.{action}]",
  where = "Settings, Webhooks, Add webhook, content type application/json", choose = "sponsorship, release",
  about = { "not repeated after a failure: redeliver by hand; a redelivery keeps its id" },
}
M.typeform = {
  title = "Typeform",
  sign = { header = "typeform-signature", find = "^sha256=(%S+)$", text = "base64" },
  id = "{event_id}", type = "{event_type}",
  where = "Connect, Webhooks, with a secret", choose = "form_response",
  about = { "find an answer by its field.ref, never by its position: phone = function(e) … end" },
}
M.calendly = {
  title = "Calendly",
  sign = { header = "calendly-webhook-signature", find = "v1=(%x+)", time = "t=(%d+)", over = "{time}.{body}" },
  id = "{event}:{payload.uri}", type = "{event}",
  where = "the API (POST /webhook_subscriptions) with a signing_key of yours", choose = "invitee.created", about = {},
}
M.hubspot = {
  title = "HubSpot",
  sign = { header = "x-hubspot-signature-v3", time = "header.x-hubspot-request-timestamp", text = "base64",
           over = { "{method}{url}{body}{time}", "{method}{url:plain}{body}{time}" } },
  id = "{eventId}:{subscriptionId}", type = "{subscriptionType}", ignore = { "attemptNumber" }, url = true,
  where = "the app's Webhooks; the secret is the app's client secret", choose = "deal.propertyChange",
  about = { "thin: objectId; the URL is signed, so give serve_events the registered one as url" },
}
M.auth0 = {
  title = "Auth0 (event and log streams)",
  sign = { equal = "bearer" }, lines = true,
  id = "{log_id|id}", type = "{data.type|type}",
  where = "Monitoring, Streams, Custom webhook; the authorization token is the secret", choose = "what you confirm", about = {},
}
M.okta = {
  title = "Okta event hooks",
  sign = { equal = "bearer" }, each = "data.events",
  id = "{uuid}", type = "{eventType}",
  handshake = { { method = "GET", header = "x-okta-verification-challenge",
    answer = { json = { verification = "{header.x-okta-verification-challenge}" } } } },
  where = "Workflow, Event Hooks; the authorization secret", choose = "user.lifecycle.create", about = {},
}

return M
