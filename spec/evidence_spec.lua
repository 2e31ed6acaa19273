-- Whose is a message that was seen, when no id says so: what proves it, who may own it besides, and what proves nothing.
local evidence = require "onemsg.policy.evidence"
local phones = require "onemsg.base.phone"

local PHONE, AT = "12020721300", 1800000000
local TEXT = 'Hello, Maria! Action "payment" completed successfully. Thank you.'
local OTHER = "Hello, Maria! Your parcel is on its way."

local function with(base, change)
  local new = {}
  for name, value in pairs(base) do new[name] = value end
  for name, value in pairs(change or {}) do new[name] = value ~= "nil" and value or nil end
  return new
end

local function row(change)
  return with({ id = "a", channel = "main", phone = PHONE, left_at = AT + 20, state = "unknown" }, change)
end

local function echo(change)
  return with({ message_id = "m1", at = AT + 1, phone = PHONE, channel = "main", text = TEXT, type = "chat" }, change)
end

local function rival(change)
  return with({ id = "b", channel = "main", state = "unknown", left_at = AT + 30, began = AT + 10, filled = TEXT }, change)
end

local function seen(change)
  return with({ echoes = { echo() }, began = AT, filled = TEXT, values = { "Maria", "payment", "Thank you." },
                category = "UTILITY", asked = true, rivals = {}, statuses = {} }, change)
end

--- "text", "textless", "wait", or the reason why not; "" when there was nothing.
local function verdict(r, s)
  local found, why, wait = evidence.verdict(r, s)
  if found then
    assert.equal("m1", found.message_id)
    return found.textless and "textless" or "text", found.evidence
  end
  return wait and "wait" or why or ""
end

describe("a message that was seen", function()
  local UNREAD = { text = "nil" }
  local cases = {
    -- what proves it
    { "its text", "text" },
    { "its text, in the history", "text", { echoes = {}, history = { { id = "m1", at = AT, phone = PHONE, text = TEXT } } } },
    { "its text in one hook, nothing in the other", "text", { echoes = { echo(UNREAD), echo { channel = "" } } } },
    { "its text in a hook and in the history", "text", { history = { { id = "m1", at = AT + 2, phone = PHONE, text = TEXT } } } },
    { "its text under a picture", "text", { echoes = { echo { texts = { TEXT, "x.png" }, type = "image" } } } },
    { "its text last of several", "text", { echoes = { echo { texts = { "x.png", TEXT } } } } },
    { "its text with a header around it", "text", { echoes = { echo { text = "Our shop\n" .. TEXT .. "\nReply STOP" } } } },
    { "the recipient in WhatsApp's own form", "text", { echoes = { echo { phone = "12020721300@c.us" } } } },
    { "news of it hours later, of a job", "text", { echoes = { echo { at = AT + 5 * 3600 } } }, { job_id = "j" } },
    { "before the history was asked", "text", { asked = false } },
    { "settled by hand", "text", {}, { state = "failed", settled = "not_arrived" } },

    -- where, when, to whom, what
    { "another text", "", { echoes = { echo { text = OTHER } } } },
    { "before it left", "", { echoes = { echo { at = AT - 61 } } } },
    { "long after it left", "", { echoes = { echo { at = AT + 621 } } } },
    { "more than a day after a job", "", { echoes = { echo { at = AT + 86421 } } }, { job_id = "j" } },
    { "another recipient", "", { echoes = { echo { phone = "12020729999" } } } },
    { "no recipient", "", { echoes = { echo { phone = "nil" } } } },
    { "another channel", "", { echoes = { echo { channel = "latam" } } } },
    { "a channel that is open", "text", { echoes = { echo { channel = "" } } } },
    { "what no template is charged as", "", { statuses = { { message_id = "m1", status = "sent", category = "service" } } } },
    { "what a template is charged as", "text",
      { statuses = { { message_id = "m1", status = "sent", category = "marketing_lite" } } } },

    -- rivals
    { "a rival in doubt with that text", "2 may own it", { rivals = { rival() } } },
    { "two of them", "3 may own it", { rivals = { rival(), rival { id = "c" } } } },
    { "a rival that 1MSG queued, the day before", "2 may own it", { rivals = {
      rival { job_id = "j", left_at = AT - 80000, began = AT - 80010 } } } },
    { "a rival that was settled", "2 may own it", { rivals = { rival { state = "delivered", settled = "arrived" } } } },
    { "a rival that was accepted without an id", "2 may own it", { rivals = { rival { state = "accepted" } } } },
    { "a rival that was replayed since", "2 may own it", { rivals = { rival { state = "lost" } } } },
    { "a rival whose text nobody knows", "2 may own it", { rivals = { rival { filled = "nil" } } } },
    { "a rival with those values", "2 may own it", { rivals = { rival { filled = "nil", values = { "Maria", "payment" } } } } },
    { "a rival with other values", "text", { rivals = { rival { filled = "nil", values = { "Maria", "refund" } } } } },
    { "a rival with another text", "text", { rivals = { rival { filled = OTHER } } } },
    { "a rival of another time", "text", { rivals = { rival { left_at = AT - 700, began = AT - 720 } } } },
    { "a rival that left later", "text", { rivals = { rival { left_at = AT + 200, began = AT + 180 } } } },
    { "a rival of another channel", "text", { rivals = { rival { channel = "latam" } } } },
    { "a rival of another channel, and the message's is open", "2 may own it",
      { echoes = { echo { channel = "" } }, rivals = { rival { channel = "latam" } } } },
    { "something is being sent", "wait", { rivals = { rival { state = "sending" } } } },
    { "something else is being sent", "wait", { rivals = { rival { state = "sending", filled = OTHER, channel = "latam" } } } },
    { "too many to tell apart", "more to this recipient", { crowded = true } },

    -- number and order
    { "two of them, and one owner", "2 messages", { echoes = { echo(), echo { message_id = "m2" } } } },
    { "two of them, and two owners", "2 messages", { echoes = { echo(), echo { message_id = "m2", at = AT + 9 } },
      rivals = { rival() } } },
    { "ours and another text", "text", { echoes = { echo(), echo { message_id = "m2", text = OTHER } } } },

    -- without a text
    { "no text", "textless", { echoes = { echo(UNREAD) } } },
    { "blanks for a text", "textless", { echoes = { echo { text = " " } } } },
    { "but the URL of a file", "textless", { echoes = { echo { texts = {}, text = "https://x.example/a.png" } } } },
    { "no text, and the history was not asked", "", { echoes = { echo(UNREAD) }, asked = false } },
    { "no text, of a person's picture", "", { echoes = { echo { text = "nil", type = "image" } } } },
    { "no text, of our picture", "textless", { echoes = { echo { text = "nil", type = "image" } }, media = "IMAGE" } },
    { "no text, of another kind of file", "", { echoes = { echo { text = "nil", type = "ptt" } }, media = "IMAGE" } },
    { "no text, in another category", "", { echoes = { echo(UNREAD) },
      statuses = { { message_id = "m1", status = "sent", category = "marketing" } } } },
    { "no text, hours after a job", "", { echoes = { echo { text = "nil", at = AT + 7200 } } }, { job_id = "j" } },
    { "no text, and somebody else may own it", "2 may own it",
      { echoes = { echo(UNREAD) }, rivals = { rival { filled = OTHER } } } },
    { "no text, twice", "2 messages", { echoes = { echo(UNREAD), echo { message_id = "m2", text = "nil" } } } },
    { "no text beside one with it", "text", { echoes = { echo(), echo { message_id = "m2", text = "nil" } } } },
    { "no text, settled by hand", "", { echoes = { echo(UNREAD) } }, { state = "failed", settled = "not_arrived" } },
    { "all values of an unknown template", "textless", { filled = "nil", category = "nil" } },
    { "some values of an unknown template", "", { filled = "nil", values = { "Maria", "refund" } } },
    { "empty values of an unknown template", "", { filled = "nil", values = { "", "" } } },

    -- exclusion
    { "only a status", "whose text nobody saw", { echoes = {}, statuses = {
      { message_id = "m1", at = AT + 1, status = "delivered", recipient = PHONE, category = "utility" } } } },
    { "only a failure", "status failed of 1 unknown", { echoes = {}, statuses = {
      { message_id = "m1", at = AT + 1, status = "failed", recipient = PHONE } } } },
    { "a status to somebody else", "", { echoes = {}, statuses = {
      { message_id = "m1", at = AT + 1, status = "sent", recipient = "12020729999" } } } },
    { "nothing", "", { echoes = {} } },
  }

  for _, case in ipairs(cases) do
    it(("%s: %s"):format(case[1], case[2] == "" and "nothing" or case[2]), function()
      local got = verdict(row(case[4]), seen(case[3]))
      if case[2] == "" then assert.equal("", got) else assert.truthy(got:find(case[2], 1, true), got) end
      assert.equal(case[2] == "text", got == "text")
      assert.equal(case[2] == "textless", got == "textless")
    end)
  end

  it("is decided the same in whatever order it was seen", function()
    local lists = { { echo(UNREAD), echo { channel = "" } }, { echo(), echo { message_id = "m2" } },
                    { echo { message_id = "m2", text = OTHER }, echo() } }
    for _, list in ipairs(lists) do
      assert.equal(verdict(row(), seen { echoes = list }), verdict(row(), seen { echoes = { list[2], list[1] } }))
    end
  end)

  it("is told with what is known, and where", function()
    local _, sentence = verdict(row(), seen { history = { { id = "m1", at = AT + 2, phone = PHONE, text = TEXT } } })
    assert.equal("evidence: a hook and the history shows a message to this recipient with the text, 1 s after its sending "
      .. "began", sentence)
    _, sentence = verdict(row(), seen { echoes = { echo(UNREAD) } })
    assert.matches("with no readable text, 1 s .*; found without its text", sentence)
  end)
end)

describe("a person's number", function()
  local same = {
    { "12020721300", "12020721300", true }, { "12020721300", "12020721300@c.us", true },
    { "12125551234", "12015551234", false }, { "12125551234", "1212555123", false },
    { "5511912345678", "551112345678", true }, { "5511912345678", "552112345678", false },
    { "525512345678", "5215512345678", true }, { "541112345678", "5491112345678", true },
    { "4901761234567", "491761234567", true }, { "493012345678", "4903012345678", true },
    { "390612345678", "39612345678", false }, { "493012345678", "490301234567", false },
    { "4930123456", "493123456", false }, { "17005551234", "1705551234", false },
    { "447911123456", "44791112345", false }, { "12020721300", "12020721300@g.us", false },
  }
  for _, case in ipairs(same) do
    it(("%s and %s: %s"):format(case[1], case[2], case[3] and "the same" or "another"), function()
      assert.equal(case[3], phones.same(case[1], case[2]))
      assert.equal(case[3], phones.same(case[2], case[1]))
    end)
  end
end)
