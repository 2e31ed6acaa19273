--- onemsg.codes.table: the rows behind onemsg.codes; nothing but data. PLATFORM.md section 4, in its order.
-- What an entry's fields mean stands in onemsg.codes, which is also the way to read and to extend these rows.
local M = {}

local DAY = 86400

local DOUBT = "It is open whether the message left: look for evidence (hooks, history) before you send again."

--- The closed set of classes.
M.classes = {
  auth = "the token or a permission is not accepted",
  account = "the channel or its account is blocked, unpaid or not set up",
  rate = "too much in too little time; slower works",
  platform = "a fault of WhatsApp or 1MSG that passes",
  template = "the template is missing, paused, disabled or not allowed",
  request = "what was sent does not fit: parameters, texts, media, address",
  recipient = "this recipient can't or doesn't want to get it",
  policy = "WhatsApp withholds it by a rule of its own",
  network = "no answer came: the connection, not the API (set by the channel, no code has it)",
  unclassified = "not known here",
}

--- The closed set of actions, each with the hint that is given where the entry has no better one.
M.actions = {
  backoff = "It passes: try again later, each time later.",
  defer = "Try again after the wait, not before.",
  pace = "Send more slowly.",
  pause = "Pause the whole channel for the wait, then try one message.",
  stop = "Stop sending on this channel until it is fixed: every message would be refused.",
  fix_template = "Set this template aside and look at its state in WhatsApp Manager.",
  fix_request = "Correct the message; the same one will be refused again.",
  fallback = "Reach the person another way; the same message will not arrive.",
  suppress = "Don't send messages of this kind to this recipient.",
  settle = DOUBT,
  ignore = "Does not concern template messages.",
}

M.faults = { platform = true, channel = true, template = true, request = true, media = true, recipient = true,
             rate = true, policy = true, unclassified = true }
M.scopes = { message = true, recipient = true, country = true, template = true, channel = true }
local usual_scope = { stop = "channel", pause = "channel", fix_template = "template", suppress = "recipient" }

local function entry(class, fault, action, meaning, hint, more)
  local e = { class = class, fault = fault, action = action, meaning = meaning, hint = hint or M.actions[action],
              scope = usual_scope[action] or "message", retry = false }
  for key, value in pairs(more or {}) do e[key] = value end
  return e
end
M.entry = entry

local function again(wait, more) -- a new send helps, first after wait seconds
  more = more or {}
  more.retry, more.wait = true, wait
  return more
end

local FALLBACK = { fallback = true }
local RENEW = "Renew or correct the token (1MSG cabinet, channel settings)."
local COUNT = "Give exactly as many values as the template has variables, header and buttons included; read the "
  .. "template again, it may have changed."
local UTILITY = " A confirmation is a UTILITY template: if this one is refused so, WhatsApp has probably "
  .. "re-classified it as MARKETING; look at its category."
local REGISTER = "Finish the number's registration with 1MSG support."

-- The rows follow PLATFORM.md 4.1, one code each; ranges stand below.
M.by_code = {
  [0] = entry("auth", "channel", "stop", "the app or user could not be authenticated", RENEW),
  [1] = entry("platform", "platform", "backoff", "unknown error of the WhatsApp API",
    "Try again twice at most; if it stays, the request is at fault.", again(30, { tries = 2 })),
  [2] = entry("platform", "platform", "backoff", "WhatsApp is down or overloaded", nil, again(60)),
  [3] = entry("auth", "channel", "stop", "the app lacks a capability or permission", RENEW),
  [4] = entry("rate", "rate", "pause", "the app's limit of calls is reached", nil, again(300)),
  [10] = entry("auth", "channel", "stop", "permission denied", RENEW),
  [33] = entry("account", "channel", "stop", "the business number does not exist or was deleted", REGISTER),
  [100] = entry("request", "request", "fix_request", "a parameter is invalid, unsupported or misspelled"),
  [190] = entry("auth", "channel", "stop", "the access token expired", RENEW),
  [368] = entry("account", "channel", "stop", "the account is blocked for a time because of a policy violation",
    "Look at the account's quality page; nothing is sent until the block ends.", FALLBACK),
  [470] = entry("request", "request", "fix_request", "more than 24 hours since the customer's last message",
    "Send a template, not a free text."),
  [1013] = entry("recipient", "recipient", "fallback", "WhatsApp could not address the recipient",
    "WhatsApp does not say why. Reach the person another way.",
    { fallback = true, scope = "recipient", suppress = 30 * DAY }),
  [80007] = entry("rate", "rate", "pause", "the WhatsApp account's limit of calls is reached", nil, again(300)),
  [130429] = entry("rate", "rate", "pace", "the number's throughput is reached", nil, again(5, { scope = "channel" })),
  [130472] = entry("policy", "policy", "fallback", "the recipient is part of an experiment of WhatsApp in which "
    .. "marketing messages are withheld", "Reach the person another way; don't repeat it." .. UTILITY, FALLBACK),
  [130497] = entry("policy", "channel", "fallback", "this business may not message users in this country",
    "Reach people of this country another way.", { fallback = true, scope = "country", suppress = 30 * DAY }),
  [131000] = entry("platform", "platform", "backoff", "something went wrong at WhatsApp",
    "Try again a few times, then reach the person another way.", again(10, { tries = 3 })),
  [131005] = entry("auth", "channel", "stop", "access denied", RENEW),
  [131008] = entry("request", "request", "fix_request", "a required parameter is missing"),
  [131009] = entry("request", "request", "fix_request", "a parameter's value is not valid",
    "Check the number and the values against the template; a template made minutes ago may not be known yet."),
  [131016] = entry("platform", "platform", "backoff", "a service of WhatsApp is unavailable", nil, again(30)),
  [131021] = entry("recipient", "recipient", "fix_request", "the recipient is the sender's own number",
    "Send to another number than the channel's own."),
  [131026] = entry("recipient", "recipient", "fallback", "the message could not be delivered to this recipient",
    "WhatsApp does not say why: an account that does not exist, an old app, terms not accepted, a block, and others. "
    .. "Reach the person another way.", { fallback = true, scope = "recipient", suppress = 30 * DAY }),
  [131030] = entry("recipient", "recipient", "fix_request", "the recipient is not on the test number's list",
    "Add the recipient to the list of the test channel, or use a live channel."),
  [131031] = entry("account", "channel", "stop", "the account is locked or restricted",
    "Look at the account's quality page or ask 1MSG support.", FALLBACK),
  [131037] = entry("account", "channel", "stop", "the number's display name is not approved",
    "Get the display name approved in WhatsApp Manager."),
  [131042] = entry("account", "channel", "stop", "payment for the account has a problem",
    "Settle billing in WhatsApp Manager; then sending works again.", FALLBACK),
  [131045] = entry("account", "channel", "stop", "the number's registration or certificate is at fault", REGISTER),
  [131047] = entry("request", "request", "fix_request", "more than 24 hours since the customer's last message",
    "Send a template, not a free text."),
  [131048] = entry("account", "channel", "pause", "restricted because people blocked or reported messages",
    "Pause for hours and send less; look at the number's quality rating.", { fallback = true, wait = 3600 }),
  [131049] = entry("policy", "policy", "fallback", "withheld to keep the ecosystem healthy (a cap per user)",
    "Reach the person another way; a repeat helps after 12 hours at the earliest." .. UTILITY,
    { fallback = true, wait = DAY / 2 }),
  [131050] = entry("recipient", "recipient", "suppress", "the recipient stopped marketing messages of this business",
    "Send no marketing; utility messages are allowed." .. UTILITY, FALLBACK),
  [131051] = entry("request", "request", "fix_request", "this type of message is not supported"),
  [131052] = entry("request", "media", "fix_request", "the media file could not be downloaded",
    "Check that the header's link is public, https and of an allowed type and size."),
  [131053] = entry("request", "media", "fix_request", "the media file could not be uploaded",
    "Check type and size of the header's file."),
  -- Meta says wait 4^X seconds, X = 0, 1, 2 ...; below 6 s the pair limit itself would refuse again (5.6)
  [131056] = entry("rate", "rate", "pace", "too many messages to the same recipient in a short time",
    "Wait longer between messages to this recipient.", again(6, { factor = 4, scope = "recipient" })),
  [131057] = entry("platform", "platform", "backoff", "the number is in maintenance", nil, again(60)),
  [131058] = entry("template", "template", "fix_template", "the sample hello_world works on test numbers only",
    "Use a template of your own."),
  [131062] = entry("recipient", "recipient", "fallback", "this kind of message can't go to a business-scoped user id",
    "Send to the person's phone number, or reach the person another way.", FALLBACK),
  [132000] = entry("request", "request", "fix_request", "the number of parameters differs from the template", COUNT),
  [132001] = entry("template", "template", "fix_template", "no approved template of this name and language",
    "Check name, language (en and en_US differ) and namespace; a new template needs minutes."),
  [132005] = entry("request", "request", "fix_request", "the text is too long once filled in", "Shorten the values."),
  [132007] = entry("template", "template", "fix_template", "the template's content breaks a policy"),
  [132012] = entry("request", "request", "fix_request", "a parameter's format differs from the template", COUNT),
  [132015] = entry("template", "template", "fix_template", "the template is paused for low quality",
    "It comes back by itself after 3 or 6 hours; at the third time it is disabled. Improve it meanwhile.",
    { fallback = true, wait = 3 * 3600 }),
  [132016] = entry("template", "template", "fix_template", "the template is disabled for good",
    "Make a new template with other content.", FALLBACK),
  [132018] = entry("request", "request", "fix_request", "a value has a line break, a tab or 5 spaces in a row",
    "Send with text = \"clean\", or remove them."),
  [132068] = entry("template", "template", "fix_template", "the template's flow is blocked"),
  [132069] = entry("template", "template", "defer", "the template's flow is throttled", nil,
    again(3600, { scope = "template" })),
  [133000] = entry("account", "channel", "stop", "an earlier deregistration is incomplete", REGISTER),
  [133004] = entry("platform", "platform", "backoff", "the registration server is unavailable", nil, again(60)),
  [133005] = entry("account", "channel", "stop", "wrong PIN of the number", REGISTER),
  [133006] = entry("account", "channel", "stop", "the number must be verified again", REGISTER),
  [133008] = entry("account", "channel", "stop", "too many wrong PINs", REGISTER),
  [133009] = entry("account", "channel", "stop", "PIN entered too fast", REGISTER),
  [133010] = entry("account", "channel", "stop", "the number is not registered", REGISTER),
  [133015] = entry("account", "channel", "pause", "the number was deleted minutes ago", nil, again(300)),
  [133016] = entry("account", "channel", "stop", "too many registrations of the number; wait up to 72 hours", REGISTER),
  [134011] = entry("account", "channel", "stop", "the terms for payments are not accepted"),
  [135000] = entry("request", "request", "fix_request", "the message failed, often because of its parameters"),
}

M.ranges = {
  { 200, 299, entry("auth", "channel", "stop", "a permission is missing or was revoked", RENEW) },
  { 138000, 138999, entry("unclassified", "unclassified", "ignore", "concerns calls") },
  { 2388000, 2388999, entry("unclassified", "unclassified", "ignore", "concerns the making of templates") },
  { 2494000, 2494999, entry("unclassified", "unclassified", "ignore", "concerns the administration of accounts") },
}

local WRONG_TOKEN = entry("auth", "channel", "stop", "1MSG does not accept the token", RENEW)
local TOO_MANY = entry("rate", "rate", "pace", "too many requests", nil, again(5, { scope = "channel" }))
local NO_NAMESPACE = entry("request", "request", "fix_request", "the namespace is missing",
  "Set namespace (ONE_MSG_TEMPLATE_NAMESPACE); `onemsg templates` shows it.")
local WRONG_DESTINATION = entry("request", "request", "fix_request", "this kind of destination can't be used",
  "Send to a phone number.")
M.unclassified = entry("unclassified", "unclassified", "fallback", "an error that is not known here",
  "Look at the text; if it is frequent, ask 1MSG support, and teach it with codes.add.", FALLBACK)

M.refused = entry("unclassified", "unclassified", "fallback", "1MSG refused the message and does not say why",
  "Look at the template, the number and the channel's state; ask 1MSG support if it stays.", FALLBACK)
M.unexpected = entry("platform", "platform", "settle", "the answer is not what the API of 1MSG gives")

-- Answers without a code. 408 and 5xx say nothing about whether the message left, so retry is false there.
M.by_status = {
  [400] = entry("request", "request", "fix_request", "the request was refused as malformed"),
  [401] = WRONG_TOKEN,
  [402] = entry("account", "channel", "stop", "1MSG asks for payment", "Settle the 1MSG subscription."),
  [403] = entry("account", "channel", "stop", "the channel is not allowed to do this",
    "Check the channel's trial or subscription in the 1MSG cabinet."),
  [404] = entry("request", "channel", "stop", "1MSG does not know this channel or method",
    "Check the channel id and base_url."),
  [405] = entry("request", "channel", "stop", "the method is not allowed at this address", "Check base_url."),
  [408] = entry("platform", "platform", "settle", "the server gave up waiting for the request"),
  [413] = entry("request", "request", "fix_request", "the request is too large", "Shorten the values."),
  [415] = entry("request", "request", "fix_request", "the server does not accept this content type"),
  [422] = entry("request", "request", "fix_request", "the request was refused as not valid",
    "Check the namespace, and that the number of values is the template's."),
  [429] = TOO_MANY,
  [500] = entry("platform", "platform", "settle", "the server failed"),
  [501] = entry("request", "request", "fix_request", "1MSG does not offer this method"),
  [502] = entry("platform", "platform", "settle", "a gateway got no valid answer"),
  [503] = entry("platform", "platform", "settle", "the server is unavailable"),
  [504] = entry("platform", "platform", "settle", "a gateway waited in vain"),
}
M.redirect = entry("request", "channel", "stop", "the server redirects to another address",
  "Set base_url to the final address; a redirect is never followed, it would carry the token elsewhere.")

-- PLATFORM.md 4.3 and 9, lower case, most specific first; `behind`: what must stand somewhere behind it. A weak fragment
-- classifies, but is too ordinary to prove, in a server error, that the message was refused.
M.texts = {
  { "register deregister rate limit", 133016 },
  { "part of an experiment", 130472 }, { "users in this country", 130497 },
  { "undeliverable", 131026 }, { "valid whatsapp user", 131026 },
  { "re-engagement", 131047 }, { "24 hours have passed", 131047 }, { "healthy ecosystem", 131049 },
  { "spam rate", 131048 }, { "pair rate", 131056 }, { "pair) rate limit", 131056 },
  { "rate limit issues", 80007 }, { "rate limit hit", 130429 }, { "too many calls", 4, weak = true },
  { "number of parameters does not match", 132000 }, { "expected number of params", 132000 },
  { "template name does not exist", 132001 }, { "does not exist in the translation", 132001 },
  { "template is not defined", 132001 }, { "template does not exist", 132001 }, { "template not found", 132001 },
  { "param count mismatch", 132000 }, { "parameter format mismatch", 132012 },
  { "issue with the parameters in your template", 132018 }, { "unsupported message type", 131051 },
  { "incorrect certificate", 131045 }, { "server temporarily unavailable", 133004 }, { "generic user error", 135000 },
  { "dialog window is closed", 131047 }, { "outside the allowed window", 131047 },
  { "namespace is missing", NO_NAMESPACE },
  { "hydrated text too long", 132005 }, { "character policy", 132007 },
  { "parameter format does not match", 132012 }, { "template is paused", 132015 },
  { "template is disabled", 132016 }, { "new-line/tab", 132018 }, { "4 consecutive spaces", 132018 },
  { "flow is blocked", 132068 }, { "flow is throttled", 132069 },
  { "eligibility payment", 131042 }, { "payment issue", 131042 }, { "account has been locked", 131031 },
  { "account locked", 131031 }, { "blocked for policies violations", 368 },
  { "not in allowed list", 131030 }, { "cannot be sender", 131021 }, { "stopped marketing", 131050 },
  { "stop receiving marketing", 131050 }, { "bsuid recipients are not supported", 131062 },
  { "username is not found", WRONG_DESTINATION }, { "not linked with bsuid", WRONG_DESTINATION },
  { "routing is disabled", WRONG_DESTINATION },
  { "wrong token", WRONG_TOKEN }, { "invalid token", WRONG_TOKEN }, { "token is invalid", WRONG_TOKEN },
  { "access token has expired", 190 },
  { "required parameter is missing", 131008 }, { "parameter value is not valid", 131009 },
  { "media download error", 131052 }, { "media upload error", 131053 },
  { "display name", 131037, weak = true }, { "access denied", 131005, weak = true },
  { "permission denied", 10, weak = true }, { "something went wrong", 131000, weak = true },
  { "service unavailable", 131016, weak = true },
  { "too many requests", TOO_MANY, weak = true }, { "rate limit", TOO_MANY, weak = true },
  { "template", 132001, behind = "does not exist", weak = true }, { "maintenance mode", 131057, weak = true },
  { "not registered", 133010, weak = true },
}

for code, row in pairs(M.by_code) do row.code = code end

return M
