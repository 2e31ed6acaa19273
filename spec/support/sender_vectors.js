// Writes spec/support/sender_vectors.json: a signed request of each sender, for spec/senders_spec.lua. To renew it, anywhere
// outside the tree:
//   npm install --ignore-scripts stripe@23.1.0 standardwebhooks@1.1.1 svix@2.5.0 @octokit/webhooks-methods@6.0.0 \
//     @adyen/api-library@32.1.0 @hubspot/api-client@14.0.1 @paddle/paddle-node-sdk@3.10.0 razorpay@2.9.8 mercadopago@3.6.1 \
//     square@46.0.0 gocardless-nodejs@10.1.2 @shopify/shopify-api@15.0.0
//   NODE_PATH=node_modules node …/spec/support/sender_vectors.js >…/spec/support/sender_vectors.json
//
// `by`: whose library signed it, or accepted what node:crypto signed ("verify"), and refused it with another secret. Where a
// sender has no such library, node:crypto alone signs by the vendor's description ("described"), and so is only a second
// reading of it. The bodies have the fields and forms that the vendors' documentation shows; nobody in them is real.
"use strict"
const crypto = require("node:crypto")

const NOW = 1764147600 // seconds; the libraries that look at a clock see this one
globalThis.Date = class extends Date {
  constructor(...given) { super(...(given.length ? given : [NOW * 1000])) }
  static now() { return NOW * 1000 }
}

const mac = (key, text, encoding, hash = "sha256") => crypto.createHmac(hash, key).update(text).digest(encoding)
const must = (good, what) => { if (!good) throw new Error(what) }

const vectors = []
// volatile: [ text of the body, what a repeat has instead ]; sign: headers for a body, where they depend on it
const add = (sender, by, { volatile, sign, ...vector }) => {
  const made = { sender, by, method: "POST", headers: {}, ...vector }
  if (volatile) {
    const body = made.body.replace(...volatile)
    must(body !== made.body, sender + " has no " + volatile[0])
    made.again = { body, headers: sign ? { ...made.headers, ...sign(body) } : made.headers }
  }
  vectors.push(made)
}

async function stripe() {
  const { webhooks } = new (require("stripe"))("sk_test_x")
  const secret = "whsec_c3RyaXBlLWtlZXBzLXRoZS1wcmVmaXg"
  const body = JSON.stringify({ id: "evt_1QXa", object: "event", type: "checkout.session.completed", livemode: true,
    pending_webhooks: 2, created: NOW, data: { object: { id: "cs_live_1", object: "checkout.session", amount_total: 1250,
      currency: "eur", client_reference_id: "4711", customer_details: { name: "María Silva", phone: "+12020746100" } } } }, null, 2)
  const header = webhooks.generateTestHeaderString({ payload: body, secret, timestamp: NOW })
  must(webhooks.constructEvent(body, header, secret, 300, undefined, NOW * 1000).id === "evt_1QXa", "stripe")
  add("stripe", "stripe 23.1.0 signs", {
    sign: (payload) => ({ "Stripe-Signature": webhooks.generateTestHeaderString({ payload, secret, timestamp: NOW }) }), secret, body, headers: { "Stripe-Signature": header },
    id: "evt_1QXa", type: "checkout.session.completed", volatile: ['"pending_webhooks": 2', '"pending_webhooks": 1'] })
}

async function standard() {
  const body = JSON.stringify({ type: "invoice.paid", timestamp: "2026-11-26T07:00:00Z", data: { id: "in_1", phone: "+12020746101" } })
  for (const [sender, library, family] of [["standard", "standardwebhooks", "webhook"], ["svix", "svix", "svix"],
    ["clerk", "svix", "svix"], ["standard", "svix", "svix"]]) {
    const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    const hook = new (require(library).Webhook)(secret), id = "msg_" + sender + family
    add(sender, `${library} signs`, { secret, body, id, type: "invoice.paid", headers: { [family + "-id"]: id,
      [family + "-timestamp"]: String(NOW), [family + "-signature"]: hook.sign(id, new Date(NOW * 1000), body) } })
  }
  const secret = "bigcommerce-client-secret-as-it-is", id = "3f1c7a6e-0000-4000-8000-000000000001"
  const hook = new (require("standardwebhooks").Webhook)(secret, { format: "raw" })
  const body2 = JSON.stringify({ scope: "store/order/statusUpdated", store_id: "1025646", hash: "dd70", created_at: NOW,
    producer: "stores/abc", data: { type: "order", id: 250, status: { previous_status_id: 0, new_status_id: 10 } } })
  add("bigcommerce", "standardwebhooks signs (format raw)", { secret, body: body2, id, type: "store/order/statusUpdated",
    headers: { "webhook-id": id, "webhook-timestamp": String(NOW), "webhook-signature": hook.sign(id, new Date(NOW * 1000), body2) } })
}

async function github() {
  const { sign, verify } = await import( // it has no form for require, and import does not look into NODE_PATH
    require("node:path").resolve(process.env.NODE_PATH || "node_modules", "@octokit/webhooks-methods/dist-node/index.js"))
  const secret = "It's a Secret to Everybody"
  const body = JSON.stringify({ action: "created", sponsorship: { sponsor: { login: "maria" }, tier: { name: "$5 a month" } } })
  const signature = await sign(secret, body)
  must(await verify(secret, body, signature), "github")
  add("github", "@octokit/webhooks-methods 6.0.0 signs", { secret, body, id: "72d3162e-cc78-11e3-81ab-4c9367dc0958",
    type: "sponsorship.created", headers: { "X-Hub-Signature-256": signature, "X-GitHub-Event": "sponsorship",
      "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958" } })
}

async function adyen() {
  const { hmacValidator } = require("@adyen/api-library")
  const validator = new hmacValidator(), secret = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
  const item = { pspReference: "7914073381342284", merchantAccountCode: "TestMerchant", merchantReference: "TestPayment-1407325143704",
    amount: { value: 1130, currency: "EUR" }, eventCode: "AUTHORISATION", success: "true", eventDate: "2026-11-26T07:00:00+00:00",
    paymentMethod: "visa", reason: "069123:1111:12/2028" }
  item.additionalData = { hmacSignature: validator.calculateHmac(item, secret), shopperName: "Maria" }
  must(validator.validateHMAC(item, secret), "adyen")
  const body = JSON.stringify({ live: "true", notificationItems: [{ NotificationRequestItem: item }] })
  add("adyen", "@adyen/api-library 32.1.0 signs", { secret, body, id: "AUTHORISATION:7914073381342284:true", type: "AUTHORISATION",
    no_header: true, bend: ['"value":1130', '"value":1131'], volatile: ["069123", "069124"] })
  const body2 = JSON.stringify({ type: "balancePlatform.transfer.updated", timestamp: "2026-11-26T07:00:00+00:00", environment: "live",
    data: { id: "48POO45ZG6NHH2XJ", status: "captured" } })
  const signature = mac(Buffer.from(secret, "hex"), body2, "base64")
  must(validator.validateHMACSignature(secret, signature, body2), "adyen platform")
  add("adyen", "@adyen/api-library 32.1.0 verifies", { secret, body: body2, headers: { HmacSignature: signature },
    id: "balancePlatform.transfer.updated:48POO45ZG6NHH2XJ:2026-11-26T07:00:00+00:00", type: "balancePlatform.transfer.updated" })
}

async function hubspot() {
  const { Signature } = require("@hubspot/api-client")
  const secret = "hubspot-client-secret", url = "https://shop.example/events/hubspot?from=crm", timestamp = String(NOW * 1000)
  const body = JSON.stringify([{ eventId: 100, subscriptionId: 7, portalId: 62515, occurredAt: NOW * 1000, attemptNumber: 0,
    subscriptionType: "deal.propertyChange", objectId: 123, propertyName: "dealstage", propertyValue: "closedwon" }])
  const sign = (requestBody) => ({ "X-HubSpot-Signature-v3":
    Signature.getSignature("POST", "v3", { clientSecret: secret, requestBody, url, timestamp }) })
  add("hubspot", "@hubspot/api-client 14.0.1 signs", { secret, url, body, sign, id: "100:7", type: "deal.propertyChange",
    headers: { "X-HubSpot-Request-Timestamp": timestamp, ...sign(body) },
    volatile: ['"attemptNumber":0', '"attemptNumber":1'] })
}

async function paddle() {
  const { Paddle } = require("@paddle/paddle-node-sdk")
  const secret = "pdl_ntfset_01hv8wfj3a", body = JSON.stringify({ event_id: "evt_01hv8wf", event_type: "transaction.completed",
    occurred_at: "2026-11-26T07:00:00Z", notification_id: "ntf_01hv8wf", data: { id: "txn_01hv8wp", customer_id: "ctm_01hv6y1",
      currency_code: "EUR", details: { totals: { grand_total: "1250" } } } })
  const header = `ts=${NOW};h1=${mac(secret, NOW + ":" + body, "hex")}`, { webhooks } = new Paddle("x")
  must(await webhooks.isSignatureValid(body, secret, header), "paddle")
  must(!await webhooks.isSignatureValid(body, secret + "x", header), "paddle accepts anything")
  add("paddle", "@paddle/paddle-node-sdk 3.10.0 verifies", { secret, body,
    sign: (text) => ({ "Paddle-Signature": `ts=${NOW};h1=${mac(secret, NOW + ":" + text, "hex")}` }), headers: { "Paddle-Signature": header },
    id: "evt_01hv8wf", type: "transaction.completed", volatile: ["ntf_01hv8wf", "ntf_01hv8wg"] })
}

async function razorpay() {
  const Razorpay = require("razorpay"), secret = "razorpay webhook secret"
  const body = JSON.stringify({ entity: "event", account_id: "acc_1", event: "order.paid", contains: ["payment", "order"], payload: {
    payment: { entity: { id: "pay_1", amount: 50000, currency: "INR", contact: "+919876543210", notes: [] } },
    order: { entity: { id: "order_1", receipt: "R-17", amount: 50000 } } }, created_at: NOW })
  const signature = mac(secret, body, "hex")
  must(Razorpay.validateWebhookSignature(body, signature, secret), "razorpay")
  must(!Razorpay.validateWebhookSignature(body, signature, "x"), "razorpay accepts anything")
  add("razorpay", "razorpay 2.9.8 verifies", { secret, body, id: "evt_rzp_1", type: "order.paid",
    headers: { "X-Razorpay-Signature": signature, "x-razorpay-event-id": "evt_rzp_1" } })
}

async function mercadopago() {
  const { WebhookSignatureValidator } = require("mercadopago"), secret = "mp-secret"
  const body = JSON.stringify({ id: 12345, live_mode: true, type: "payment", user_id: 44444, api_version: "v1",
    action: "payment.updated", data: { id: "999009" }, date_created: "2026-11-26T07:00:00Z" })
  for (const [ts, id] of [[NOW, "999009"], [NOW * 1000, "999010"]]) {
    const signature = `ts=${ts},v1=${mac(secret, `id:${id};request-id:req-1;ts:${ts};`, "hex")}`
    const options = { xSignature: signature, xRequestId: "req-1", dataId: id }
    WebhookSignatureValidator.validate({ ...options, secret }) // throws
    try { WebhookSignatureValidator.validate({ ...options, secret: "x" }); must(false, "mercadopago accepts anything") } catch (error) {
      must(error.name !== "Error", error.message)
    }
    add("mercadopago", "mercadopago 3.6.1 verifies", { secret, body, query: { "data.id": id, type: "payment" },
      headers: { "x-signature": signature, "x-request-id": "req-1" }, id: `payment:${id}:payment.updated`, type: "payment.updated",
      bend: "query", volatile: ['"user_id":44444', '"user_id":44445'] })
  }
}

async function square() {
  const { WebhooksHelper } = require("square"), secret = "sq-signature-key", url = "https://shop.example/events/square"
  const body = JSON.stringify({ merchant_id: "M1", type: "payment.updated", event_id: "13b867cf-db3d-4b1c-90b6-2f32a9d78124",
    created_at: "2026-11-26T07:00:00Z", data: { type: "payment", id: "hYy9", object: { payment: { id: "hYy9", status: "COMPLETED",
      order_id: "ord1", amount_money: { amount: 1250, currency: "USD" } } } } })
  const signature = mac(secret, url + body, "base64")
  must(await WebhooksHelper.verifySignature({ requestBody: body, signatureHeader: signature, signatureKey: secret, notificationUrl: url }), "square")
  must(!await WebhooksHelper.verifySignature({ requestBody: body, signatureHeader: signature, signatureKey: "x", notificationUrl: url }), "square accepts anything")
  add("square", "square 46.0.0 verifies", { secret, url, body, headers: { "x-square-hmacsha256-signature": signature },
    id: "13b867cf-db3d-4b1c-90b6-2f32a9d78124", type: "payment.updated" })
}

async function gocardless() {
  const { parse } = require("gocardless-nodejs/webhooks"), secret = "ED7D658C-D8EB-4941-948B-3973214F2D49"
  const body = JSON.stringify({ events: [{ id: "EV00BD05S5VM2T", created_at: "2026-11-26T07:00:00Z", resource_type: "payments",
    action: "confirmed", links: { payment: "PM1" } }, { id: "EV00BD05TB8K63", resource_type: "payments", action: "failed",
    links: { payment: "PM2" } }], meta: { webhook_id: "WB1" } })
  const signature = mac(secret, body, "hex")
  must(parse(body, secret, signature).length === 2, "gocardless")
  add("gocardless", "gocardless-nodejs 10.1.2 verifies", { secret, body,
    sign: (text) => ({ "Webhook-Signature": mac(secret, text, "hex") }), headers: { "Webhook-Signature": signature },
    id: "EV00BD05S5VM2T", type: "payments.confirmed", more: ["EV00BD05TB8K63"], volatile: ['"WB1"', '"WB2"'] })
}

async function shopify() {
  require("@shopify/shopify-api/adapters/node")
  const { shopifyApi, ApiVersion } = require("@shopify/shopify-api"), secret = "shopify-client-secret"
  const api = shopifyApi({ apiKey: "k", apiSecretKey: secret, scopes: ["read_orders"], hostName: "shop.example",
    apiVersion: Object.values(ApiVersion).pop(), isEmbeddedApp: false, logger: { log: () => {} } })
  const body = JSON.stringify({ id: "820982911946154500", name: "#1001", order_number: 1001, test: false, total_price: "409.94",
    currency: "USD", phone: null, customer: { first_name: "Maria", phone: "+12020746105" } }).replace('"820982911946154500"', "820982911946154508")
  const headers = { "X-Shopify-Topic": "orders/paid", "X-Shopify-Hmac-Sha256": mac(secret, body, "base64"),
    "X-Shopify-Shop-Domain": "shop.myshopify.com", "X-Shopify-API-Version": "2026-10",
    "X-Shopify-Webhook-Id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043", "X-Shopify-Event-Id": "98880550-7158-44d4-b7cd-2c97c8a091b5" }
  const valid = async (given) => (await api.webhooks.validate({ rawBody: given, rawRequest: { method: "POST", url: "/", headers } })).valid
  must(await valid(body), "shopify")
  must(!await valid(body + " "), "shopify accepts anything")
  add("shopify", "@shopify/shopify-api 15.0.0 verifies", { secret, body, headers,
    id: "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043", type: "orders/paid" })
}

function described() {
  const by = "described"
  const simple = (sender, header, encoding, secret, event, id, type, { key, prefix, hash, headers, ...more } = {}) => {
    const body = JSON.stringify(event)
    add(sender, by, { secret, body, id, type, ...more, headers: { ...headers,
      [header]: (prefix || "") + mac(key || secret, body, encoding, hash) } })
  }
  const order = { id: 727, status: "processing", date_modified_gmt: "2026-11-26T07:00:00", total: "12.50", currency: "EUR",
    number: "727", billing: { first_name: "Maria", phone: "0151 23456789", country: "DE" } }
  for (const [secret, id] of [["woo & secret", 727], ["woo secret", 728]]) {
    simple("woocommerce", "X-WC-Webhook-Signature", "base64", secret.replace("&", "&amp;"), { ...order, id }, `order.updated:${id}:processing`,
      "order.updated", { key: secret, headers: { "X-WC-Webhook-Topic": "order.updated", "X-WC-Webhook-Delivery-ID": "d1" } })
  }
  simple("frappe", "X-Frappe-Webhook-Signature", "base64", "frappe", { doctype: "Sales Invoice", name: "ACC-1",
    modified: "2026-11-26 07:00:00.1", contact_mobile: "+12020746110" }, "Sales Invoice:ACC-1:2026-11-26 07:00:00.1", "Sales Invoice")
  simple("typeform", "Typeform-Signature", "base64", "typeform", { event_id: "01FT", event_type: "form_response", form_response: {
    token: "t1", answers: [{ type: "phone_number", phone_number: "+12020746111", field: { ref: "phone" } }] } }, "01FT", "form_response",
    { prefix: "sha256=" })
  simple("lemonsqueezy", "X-Signature", "hex", "lemon", { meta: { event_name: "order_created", test_mode: false }, data: { id: "1",
    attributes: { updated_at: "2026-11-26T07:00:00Z", user_name: "Maria Silva", total: 1250, currency: "EUR" } } },
    "order_created:1:2026-11-26T07:00:00Z", "order_created", { headers: { "X-Event-Name": "order_created" } })
  simple("mollie", "X-Mollie-Signature", "hex", "mollie", { resource: "event", id: "event_GvJ8WHrp5isUdRub9CJyH",
    type: "payment-link.paid", entityId: "pl_1" }, "event_GvJ8WHrp5isUdRub9CJyH", "payment-link.paid", { prefix: "sha256=" })
  simple("mollie", "X-Mollie-Signature", "hex", "mollie", { resource: "event", id: "event_2", type: "payment-link.paid" }, "event_2",
    "payment-link.paid")
  simple("paystack", "x-paystack-signature", "hex", "sk_live_paystack", { event: "charge.success", data: { id: 302961, domain: "live",
    amount: 10000, currency: "NGN", reference: "qTPrJoy9Bx", customer: { first_name: "Maria", phone: "08031234567" } } },
    "charge.success:302961", "charge.success", { hash: "sha512" })
  simple("flutterwave", "flutterwave-signature", "base64", "flutter", { type: "charge.completed", data: { id: "chg_1", amount: 12.5 } },
    "charge.completed:chg_1", "charge.completed")
  const static_ = (sender, secret, headers, event, id, type, more = {}) =>
    add(sender, by, { secret, headers, body: typeof event === "string" ? event : JSON.stringify(event), id, type, unsigned: true, ...more })
  static_("flutterwave", "flutter hash", { "verif-hash": "flutter hash" }, { event: "charge.completed", data: { id: 285959875 } },
    "charge.completed:285959875", "charge.completed")
  static_("chargebee", "user:pass:word", { Authorization: "Basic " + Buffer.from("user:pass:word").toString("base64") },
    { id: "ev_1", event_type: "payment_succeeded", webhook_status: "scheduled", content: { customer: { first_name: "Maria" } } },
    "ev_1", "payment_succeeded", { volatile: ["scheduled", "re_scheduled"] })
  static_("auth0", "auth0-token-of-the-stream", { Authorization: "auth0-token-of-the-stream" },
    '{"log_id":"900","data":{"type":"s","user_name":"maria"}}\n{"log_id":"901","data":{"type":"f"}}\n', "900", "s", { more: ["901"] })
  static_("okta", "okta-secret", { Authorization: "okta-secret" }, { eventType: "com.okta.event_hook", data: { events: [
    { uuid: "u1", eventType: "user.lifecycle.create" }, { uuid: "u2", eventType: "user.lifecycle.create" }] } }, "u1",
    "user.lifecycle.create", { more: ["u2"] })
  const cloud = { specversion: "1.0", id: "A-1", source: "/shop", type: "order.paid", data: { phone: "+12020746120" } }
  static_("cloudevents", "cloud-secret", { Authorization: "Bearer cloud-secret", "Content-Type": "application/cloudevents+json" }, cloud,
    "/shop:A-1", "order.paid")
  static_("cloudevents", "cloud-secret", { Authorization: "Bearer cloud-secret", "Content-Type": "application/json", "ce-id": "B-1",
    "ce-source": "/caf%C3%A9", "ce-type": "order.paid", "ce-specversion": "1.0" }, cloud.data, "/café:B-1", "order.paid")
  static_("cloudevents", "cloud-secret", { "Content-Type": "application/cloudevents-batch+json" },
    [{ ...cloud, id: "C-1" }, { ...cloud, id: "C-2" }], "/shop:C-1", "order.paid", { query: { access_token: "cloud-secret" }, more: ["/shop:C-2"] })
  static_("plain", "plain-secret-of-the-shop", { Authorization: "Bearer plain-secret-of-the-shop" }, { id: "o-1", type: "paid" }, "o-1", "paid")
  static_("plain", "plain-secret-of-the-shop", { Authorization: "Bearer plain-secret-of-the-shop",
    "Content-Type": "application/x-www-form-urlencoded" }, "id=o-2&type=paid&name=Jos%C3%A9+M&phone=%2B12020746121", "o-2", "paid")
  const text = JSON.stringify({ event: "invitee.created", payload: { uri: "https://api.calendly.com/scheduled_events/1" } })
  add("calendly", by, { secret: "calendly", body: text, headers: { "Calendly-Webhook-Signature": `t=${NOW},v1=${mac("calendly", NOW + "." + text, "hex")}` },
    id: "invitee.created:https://api.calendly.com/scheduled_events/1", type: "invitee.created" })
  const thin = JSON.stringify({ id: "r1", object_type: "payment", event_type: "succeeded", uuid: "x" })
  add("recurly", by, { secret: "recurly", body: thin, headers: { "recurly-signature":
    `${NOW * 1000},${mac("old", "x", "hex")},${mac("recurly", NOW * 1000 + "." + thin, "hex")}` }, id: "r1", type: "payment.succeeded" })
}

(async () => {
  for (const one of [stripe, standard, github, adyen, hubspot, paddle, razorpay, mercadopago, square, gocardless, shopify]) await one()
  described()
  console.log("[\n" + vectors.map((vector) => JSON.stringify({ now: NOW, ...vector })).join(",\n") + "\n]")
})().catch((error) => { console.error(error); process.exit(1) })
