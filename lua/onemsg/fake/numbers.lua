--- What the fake 1MSG does with a message, chosen by the last two digits of the phone.
-- Data only, pure: the server (fake.lua), the specs and the table in the README all read this one list.
-- An ending that is not listed is accepted, sent, delivered and read. 00 to 19 are never listed, so that
-- benchmarks may use them freely; 69 and 78 stay free because the examples' phones end so.
--
-- A row has
--   say      one sentence for people
--   outcome  what a careful client must conclude from the answer
--   answer   { status, body [, headers] }: the answer instead of the acceptance; "$TOKEN", "$PHONE", "$ID" and
--            "$HTTP_DATE" are filled in. Absent: accepted.
--   act      a way of answering that is more than a body; fake.lua has a function of that name
--   first    the answer and act hold for the first so many requests of one phone, later ones are accepted
--   goes_out the message leaves although the answer does not say so
--   story    statuses that follow, { at = in units of the pace, status =, error = }; default DELIVERED
--   info     the story as hookInfo tells it, where it differs from what the hooks tell
--   hooks    { shape =, twice =, reversed =, bundle =, lost = }: how the story is posted
--   id       "none", "legacy"

local M = {}

local json_type = "application/json; charset=utf-8"
local html_type = "text/html"

--- The failures used below, as WhatsApp words them. text = true: only the sentence reaches us.
local ERROR = {
  experiment  = { code = 130472, text = true,
                  title = "Failed to send message because this user's phone number is part of an experiment" },
  undeliverable = { code = 131026, title = "Message undeliverable" },
  ecosystem   = { code = 131049,
                  title = "This message was not delivered to maintain healthy ecosystem engagement." },
  wrong       = { code = 131000, title = "Something went wrong" },
}

M.DELIVERED = { { at = 1, status = "sent" }, { at = 2, status = "delivered" }, { at = 4, status = "read" } }
M.SILENT    = {}

local function failed(why)
  return { { at = 1, status = "sent" }, { at = 2, status = "failed", error = ERROR[why] } }
end

local function graph(code, message, details)
  return ('{"error":{"message":"(#%d) %s","type":"OAuthException","code":%d,"error_data":'
    .. '{"messaging_product":"whatsapp","details":"%s"},"fbtrace_id":"AfakeFakeFake"}}')
    :format(code, message, code, details or message)
end

local function html(title)
  return ("<html>\n<head><title>%s</title></head>\n<body>\n<center><h1>%s</h1></center>\n</body>\n</html>\n")
    :format(title, title)
end

local LIMITED = '{"message":"Too many requests"}'

M.list = {
  -- accepted, and what becomes of it
  [20] = { say = "accepted, and stays sent", story = { { at = 1, status = "sent" } } },
  [21] = { say = "accepted, then failed; the reason is a sentence only (130472)", story = failed "experiment" },
  [22] = { say = "accepted, then failed with code 131026", story = failed "undeliverable" },
  [23] = { say = "accepted, then failed with code 131000, which a retry may cure", story = failed "wrong" },
  [24] = { say = "accepted without an id", id = "none", hooks = { lost = true },
           answer = { 200, '{"sent":true,"message":"Sent to $PHONE@c.us"}' } },
  [25] = { say = "accepted, `sent` is the string \"true\"", answer = { 200, '{"sent":"true","id":"$ID"}' } },
  [26] = { say = "accepted, then silence", story = M.SILENT },
  [27] = { say = "accepted and delivered, never read",
           story = { { at = 1, status = "sent" }, { at = 2, status = "delivered" } } },
  [28] = { say = "accepted, then `undelivered`",
           story = { { at = 1, status = "sent" }, { at = 2, status = "undelivered", error = ERROR.undeliverable } } },
  [29] = { say = "accepted with status 201", answer = { 201, '{"sent":true,"id":"$ID"}' } },

  -- accepted; the hooks are the difficulty
  [30] = { say = "hooks come late (20 times as late)",
           story = { { at = 20, status = "sent" }, { at = 40, status = "delivered" }, { at = 80, status = "read" } } },
  [31] = { say = "every hook comes twice", hooks = { twice = true } },
  [32] = { say = "hooks come in reverse order", hooks = { reversed = true } },
  [33] = { say = "sent, failed (131026), and then delivered after all",
           story = { { at = 1, status = "sent" }, { at = 2, status = "failed", error = ERROR.undeliverable },
                     { at = 3, status = "delivered" } } },
  [34] = { say = "sent, delivered, and then failed (131026)",
           story = { { at = 1, status = "sent" }, { at = 2, status = "delivered" },
                     { at = 3, status = "failed", error = ERROR.undeliverable } } },
  [35] = { say = "hooks come before the answer does", act = "late_answer",
           story = { { at = 0, status = "sent" }, { at = 0.5, status = "delivered" } } },
  [36] = { say = "hooks carry `ack` as an object instead of an array", hooks = { shape = "ack_object" } },
  [37] = { say = "hooks carry `hooks[]`", hooks = { shape = "hooks" } },
  [38] = { say = "hooks are Meta's own `entry[]`", hooks = { shape = "raw" } },
  [39] = { say = "one hook carries all statuses, and `messages[]` beside `ack[]`",
           hooks = { shape = "both", bundle = true } },

  -- refused in words
  [40] = { say = "refused: 200, `sent` false, a text", outcome = "rejected",
           answer = { 200, '{"sent":false,"message":"Message undeliverable"}' } },
  [41] = { say = "refused: 200, `sent` false, `error` is a string", outcome = "rejected",
           answer = { 200, '{"sent":false,"error":"Recipient is not a valid WhatsApp user"}' } },
  [42] = { say = "refused: 200, `sent` false, error object with code 131047", outcome = "rejected",
           answer = { 200, '{"sent":false,"error":{"code":131047,"message":"Re-engagement message"}}' } },
  [43] = { say = "refused: 200, `sent` is the string \"false\", error object with title and 131026",
           outcome = "rejected", answer = { 200, '{"sent":"false","error":{"error_code":131026,'
             .. '"error_user_title":"Message undeliverable","error_user_msg":"The number is not reachable"}}' } },
  [44] = { say = "queued: `sent` false with a jobId; nothing more is heard", outcome = "queued",
           answer = { 200, '{"sent":false,"jobId":"job-$PHONE","message":"Message is queued"}' } },
  [45] = { say = "200 with an upstream error under `response`, no `sent`", outcome = "unknown",
           answer = { 200, '{"response":{"error":"Upstream did not take the call"}}' } },
  [46] = { say = "400 with code 132000 (number of parameters)", outcome = "rejected",
           answer = { 400, graph(132000, "Number of parameters does not match the expected number of params",
             "body: number of localizable_params (2) does not match the expected number of params (3)") } },
  [47] = { say = "404 with code 132001 (template and language do not exist)", outcome = "rejected",
           answer = { 404, graph(132001, "Template name does not exist in the translation") } },
  [48] = { say = "422, a text", outcome = "rejected",
           answer = { 422, '{"error":"Template variable count mismatch"}' } },
  [49] = { say = "400 in 360dialog's form (`meta.developerMessage`), code 131008", outcome = "rejected",
           answer = { 400, '{"meta":{"success":false,"httpCode":400,'
             .. '"developerMessage":"(#131008) Required parameter is missing"}}' } },

  -- server errors and statuses that prove little
  [50] = { say = "500 that is a known refusal (new-line, tab, blanks)", outcome = "rejected",
           answer = { 500, '{"message":"Param text cannot have new-line/tab characters '
             .. 'or more than 4 consecutive spaces"}' } },
  [51] = { say = "500 that is not a known refusal", outcome = "unknown",
           answer = { 500, '{"message":"Internal server error"}' } },
  [52] = { say = "502, HTML", outcome = "unknown",
           answer = { 502, html "502 Bad Gateway", { ["Content-Type"] = html_type } } },
  [53] = { say = "503, HTML", outcome = "unknown",
           answer = { 503, html "503 Service Temporarily Unavailable", { ["Content-Type"] = html_type } } },
  [54] = { say = "504, HTML", outcome = "unknown",
           answer = { 504, html "504 Gateway Time-out", { ["Content-Type"] = html_type } } },
  [55] = { say = "501, not built", outcome = "rejected", answer = { 501, '{"error":"Not implemented"}' } },
  [56] = { say = "408", outcome = "unknown", answer = { 408, '{"error":"Request timeout"}' } },
  [57] = { say = "500 that echoes the token", outcome = "unknown",
           answer = { 500, '{"error":"Unexpected failure near token \\"$TOKEN\\""}' } },
  [58] = { say = "301 to another path; following it would be a second request", outcome = "rejected",
           answer = { 301, "", { Location = "/_fake/ping" } } },
  [59] = { say = "500 with code 131016 (service unavailable), which proves nothing", outcome = "unknown",
           answer = { 500, graph(131016, "Service unavailable") } },

  -- credentials, account, rate
  [60] = { say = "401 that echoes the token", outcome = "rejected",
           answer = { 401, '{"error":"Wrong token \\"$TOKEN\\" for channel \\"$CHANNEL\\". '
             .. 'Provide the token as a GET parameter: ?token=$TOKEN"}' } },
  [61] = { say = "403 in plain text (subscription)", outcome = "rejected",
           answer = { 403, "Trial period is over. Please pay for the subscription.",
                      { ["Content-Type"] = "text/plain" } } },
  [62] = { say = "429 with Retry-After: 2", outcome = "not_sent",
           answer = { 429, LIMITED, { ["Retry-After"] = "2" } } },
  [63] = { say = "429 with Retry-After as an HTTP date 3 s ahead", outcome = "not_sent",
           answer = { 429, LIMITED, { ["Retry-After"] = "$HTTP_DATE" } } },
  [64] = { say = "429 without Retry-After", outcome = "not_sent", answer = { 429, LIMITED } },
  [65] = { say = "400 with code 130429 (throughput); a retry helps", outcome = "rejected",
           answer = { 400, graph(130429, "Rate limit hit") } },
  [66] = { say = "400 with code 131056 (too many to this recipient); a retry helps", outcome = "rejected",
           answer = { 400, graph(131056, "(Business Account, Consumer Account) pair rate limit hit") } },
  [67] = { say = "429 twice, then accepted", outcome = "not_sent", first = 2,
           answer = { 429, LIMITED, { ["Retry-After"] = "1" } } },
  [68] = { say = "400 with code 131056 once, then accepted", outcome = "rejected", first = 1,
           answer = { 400, graph(131056, "(Business Account, Consumer Account) pair rate limit hit") } },

  -- answers that are broken, late or never come; nothing goes out
  [70] = { say = "the answer is cut: Content-Length says more than comes, then close",
           outcome = "unknown", act = "cut" },
  [71] = { say = "200, empty", outcome = "unknown", answer = { 200, "" } },
  [72] = { say = "200, HTML", outcome = "unknown",
           answer = { 200, html "Welcome to nginx!", { ["Content-Type"] = html_type } } },
  [73] = { say = "200, JSON that ends in the middle", outcome = "unknown",
           answer = { 200, '{"sent":true,"id":"wamid.HBgMMTIw' } },
  [74] = { say = "200, 2 MiB of JSON", outcome = "unknown", act = "oversized" },
  [75] = { say = "200, JSON nested 10,000 deep", outcome = "unknown", act = "nested" },
  [76] = { say = "never answers (120 s at most)", outcome = "unknown", act = "hang" },
  [77] = { say = "accepted after 2 s", act = "slow" },
  [79] = { say = "reads the whole request, then closes", outcome = "unknown", act = "close" },
  [80] = { say = "reads the whole request, then resets the connection", outcome = "unknown", act = "reset" },
  [81] = { say = "accepted; the answer comes in pieces over half a second", act = "dribble" },
  [82] = { say = "closes after the first whole request, accepts any repetition", outcome = "unknown",
           act = "close", first = 1 },
  [83] = { say = "503 for the first request, accepts any repetition", outcome = "unknown", first = 1,
           answer = { 503, html "503 Service Temporarily Unavailable", { ["Content-Type"] = html_type } } },
  [84] = { say = "200, `sent` is the number 1", outcome = "unknown", answer = { 200, '{"sent":1,"id":"$ID"}' } },
  [85] = { say = "accepted with an id of the old form, `true_…@c.us_…`", id = "legacy" },

  -- doubt: the answer says less, more or other than what happened
  [86] = { say = "closes after the whole request, but the message goes out: hooks and history show it",
           outcome = "unknown", act = "close", goes_out = true, hooks = { shape = "both" } },
  [87] = { say = "500, but the message goes out: hooks and history show it", outcome = "unknown",
           answer = { 500, '{"message":"Internal server error"}' }, goes_out = true, hooks = { shape = "both" } },
  [88] = { say = "queued with a jobId, and goes out later under an id of its own", outcome = "queued",
           answer = { 200, '{"sent":false,"jobId":"job-$PHONE","message":"Message is queued"}' },
           goes_out = true, hooks = { shape = "both" } },
  [89] = { say = "accepted; all hooks are lost, only hookInfo tells of the delivery", hooks = { lost = true } },
  [90] = { say = "accepted; a hook says failed, hookInfo says delivered", story = failed "undeliverable",
           info = { { at = 1, status = "sent" }, { at = 2, status = "delivered" } } },
  [91] = { say = "accepted and delivered; the customer answers STOP", reply = "STOP",
           story = { { at = 1, status = "sent" }, { at = 2, status = "delivered" } } },

  -- more refusals that a workflow treats in a way of their own
  [92] = { say = "accepted, then failed with code 131049 (withheld by Meta)", story = failed "ecosystem" },
  [93] = { say = "refused: 200, `sent` false, 132015 (template paused)", outcome = "rejected",
           answer = { 200, '{"sent":false,"error":{"code":132015,"message":"Template is paused"}}' } },
  [94] = { say = "refused: 200, `sent` false, 131042 (payment), which concerns the whole channel",
           outcome = "rejected",
           answer = { 200, '{"sent":false,"error":{"code":131042,"message":"Business eligibility payment issue"}}' } },
  [95] = { say = "400 with code 131048 (spam rate), which concerns the whole channel", outcome = "rejected",
           answer = { 400, graph(131048, "Spam rate limit hit") } },
  [96] = { say = "accepted; the first message fails with 131000, later ones are delivered", first = 1,
           story = failed "wrong" },
  [97] = { say = "500 with code 132012 (parameter format), which is a refusal", outcome = "rejected",
           answer = { 500, graph(132012, "Parameter format does not match format in the created template") } },
  [98] = { say = "accepted, and held for a quality assessment ten units of time long",
           story = { { at = 10, status = "sent" }, { at = 12, status = "delivered" } },
           answer = { 200, '{"sent":true,"id":"$ID","message":"Sent to $PHONE@c.us","description":"Message has been sent to '
             .. 'the provider","message_status":"held_for_quality_assessment"}' } },
}

for ending, row in pairs(M.list) do
  row.ending = ending
  row.outcome = row.outcome or "accepted"
  row.story = row.story or M.DELIVERED
  row.hooks = row.hooks or {}
  if row.answer then
    row.answer[3] = row.answer[3] or {}
    row.answer[3]["Content-Type"] = row.answer[3]["Content-Type"] or json_type
  end
end

local PLAIN = { outcome = "accepted", story = M.DELIVERED, hooks = {} }

--- The row for a phone.
-- @tparam string phone digits, or another address (fake/people.lua), of which the last two digits count
-- @treturn table a row; the plain acceptance when its ending is not listed
function M.row(phone)
  local ending = phone:match("^%d*(%d%d)") or phone:match("(%d%d)%D*$")
  return ending and M.list[tonumber(ending)] or PLAIN
end

--- Is the phone accepted, delivered and read, without any difficulty?
-- @tparam string phone digits
-- @treturn boolean
function M.is_plain(phone)
  return M.row(phone) == PLAIN
end

--- Does the row's difficulty hold for this request?
-- @tparam table row
-- @tparam number nth 1 for the first whole request of this phone
-- @treturn boolean
function M.holds(row, nth)
  return not row.first or nth <= row.first
end

--- The table as Markdown, for the README.
-- @treturn string
function M.markdown()
  local endings = {}
  for ending in pairs(M.list) do endings[#endings + 1] = ending end
  table.sort(endings)
  local lines = { "| ends in | what the fake does | outcome |", "|---|---|---|",
    "| 00–19, and all not listed | accepted, then sent, delivered, read | `accepted` |" }
  for _, ending in ipairs(endings) do
    local row = M.list[ending]
    lines[#lines + 1] = ("| %02d | %s | `%s` |"):format(ending, row.say, row.outcome)
  end
  return table.concat(lines, "\n") .. "\n"
end

return M
