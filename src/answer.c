/* answer.c: see answer.h. JSON is read by lua-cjson; the outcome is outcome.c's; words and advice
 * for an error come from lua/onemsg/codes.lua. Nothing here shows the token. */
#include "answer.h"

#include "core.h"
#include "json.h"
#include "message.h"
#include "outcome.h"
#include "statistics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Of a body, to show OM_INFO_BODY_BYTES of it: escapes and tokens make it shorter. */
#define BODY_READ_BYTES (OM_INFO_BODY_BYTES + 2 * 6 * OM_TOKEN_MAX_BYTES)

/* ---- reading ---- */

void om_answer_decode(lua_State *L, struct om_state *state, const char *text, size_t len) {
  om_core_push_json(L, text, len, OM_JSON_ANSWER);
  lua_pushnil(L);
  for (int i = 0; i < OM_JSON_ATTEMPTS && lua_isnil(L, -1); i++) {
    lua_pop(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->decode);
    lua_pushvalue(L, -2);
    lua_call(L, 1, 1);
  }
  lua_remove(L, -2);
}

bool om_answer_digits(lua_State *L, int index, char digits[OM_DIGITS_BYTES]) {
  double number = lua_tonumber(L, index);
  if (!(number == floor(number) && fabs(number) < 9007199254740992.0)) {
    return false;
  }
  snprintf(digits, OM_DIGITS_BYTES, "%.0f", number);
  return true;
}

/* Pushes the decoded body, or nil where there is no complete answer, or none that is JSON; returns
 * its index. */
static int push_decoded(lua_State *L, struct om_state *state, const struct om_transfer *transfer) {
  luaL_checkstack(L, 20, NULL);
  if (transfer->end == OM_END_ANSWER && transfer->answer_bytes > 0) {
    om_answer_decode(L, state, transfer->answer, transfer->answer_bytes);
  } else {
    lua_pushnil(L);
  }
  return lua_gettop(L);
}

/* Pushes the text without the token. */
static void push_redacted(lua_State *L, const struct om_endpoint *endpoint, const char *text,
                          size_t len) {
  char *clean = (char *)lua_newuserdatauv(L, len + 1, 0);
  len = om_secret_redact(endpoint->secret, text, len, clean);
  lua_pushlstring(L, clean, len);
  lua_remove(L, -2);
}

/* Pushes the body without the token, capped. What is cut off here is cut off behind a whole token.
 */
static void push_body(lua_State *L, const struct om_transfer *transfer) {
  size_t len = transfer->answer_bytes < BODY_READ_BYTES ? transfer->answer_bytes : BODY_READ_BYTES;
  push_redacted(L, transfer->endpoint, transfer->answer, len);
  if (lua_rawlen(L, -1) > OM_INFO_BODY_BYTES) {
    lua_pushlstring(L, lua_tostring(L, -1), OM_INFO_BODY_BYTES);
    lua_remove(L, -2);
  }
}

/* Replaces the string on top of the stack by one without the token. */
static void redact_top(lua_State *L, const struct om_endpoint *endpoint) {
  size_t len = 0;
  const char *text = lua_tolstring(L, -1, &len);
  if (om_secret_is_in(endpoint->secret, text, len)) {
    push_redacted(L, endpoint, text, len);
    lua_remove(L, -2);
  }
}

/* target[key] = source[field] when that is a text, or a number that keeps its digits as one. */
static void copy_text(lua_State *L, const struct om_transfer *transfer, int source,
                      const char *field, int target, const char *key) {
  char digits[OM_DIGITS_BYTES];
  lua_getfield(L, source, field);
  if (lua_type(L, -1) == LUA_TNUMBER && om_answer_digits(L, -1, digits)) {
    lua_pushstring(L, digits);
    lua_replace(L, -2);
  }
  if (lua_type(L, -1) == LUA_TSTRING && lua_rawlen(L, -1) > 0) {
    redact_top(L, transfer->endpoint);
    lua_setfield(L, target, key);
  } else {
    lua_pop(L, 1);
  }
}

static bool is_null(lua_State *L, int index) {
  return lua_isnil(L, index) || lua_islightuserdata(L, index); /* lua-cjson's null */
}

static enum om_sent read_sent(lua_State *L, int answer) {
  enum om_sent sent = OM_SENT_ODD;
  lua_getfield(L, answer, "sent");
  if (is_null(L, -1)) {
    sent = OM_SENT_ABSENT;
  } else if (lua_type(L, -1) == LUA_TBOOLEAN) {
    sent = lua_toboolean(L, -1) ? OM_SENT_TRUE : OM_SENT_FALSE;
  } else if (lua_type(L, -1) == LUA_TSTRING) {
    const char *word = lua_tostring(L, -1);
    sent = strcmp(word, "true") == 0    ? OM_SENT_TRUE
           : strcmp(word, "false") == 0 ? OM_SENT_FALSE
                                        : OM_SENT_ODD;
  }
  lua_pop(L, 1);
  return sent;
}

static enum om_job_id read_job(lua_State *L, int answer) {
  char digits[OM_DIGITS_BYTES];
  enum om_job_id job = OM_JOB_ODD;
  lua_getfield(L, answer, "jobId");
  if (is_null(L, -1) || (lua_type(L, -1) == LUA_TSTRING && lua_rawlen(L, -1) == 0)) {
    job = OM_JOB_ABSENT;
  } else if (lua_type(L, -1) == LUA_TSTRING ||
             (lua_type(L, -1) == LUA_TNUMBER && om_answer_digits(L, -1, digits))) {
    job = OM_JOB_GIVEN;
  }
  lua_pop(L, 1);
  return job;
}

/* What came of a request that may have sent something; its answer, decoded, at index. */
static struct om_evidence read_evidence(lua_State *L, const struct om_transfer *transfer,
                                        int answer) {
  static const char *const deciding[] = {"sent", "jobId", "id", NULL};
  struct om_evidence evidence = {.answered = transfer->end == OM_END_ANSWER,
                                 .body_left = om_transfer_left(transfer),
                                 .status = transfer->status};
  if (lua_istable(L, answer)) {
    evidence.parsed = true;
    evidence.sent = read_sent(L, answer);
    evidence.job = read_job(L, answer);
    evidence.doubled = om_json_contradicts(transfer->answer, transfer->answer_bytes, deciding);
  }
  return evidence;
}

/* ---- errors ---- */

/* Pushes codes.explain's entry (a table, or nil) and sentence for a decoded answer at index, or for
 * an answer that nothing is known of: 0. */
static void push_explanation(lua_State *L, struct om_state *state,
                             const struct om_transfer *transfer, int answer) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, state->explain);
  if (answer != 0) {
    lua_pushinteger(L, transfer->status);
    lua_pushvalue(L, answer);
    lua_pushlstring(L, transfer->answer, transfer->answer_bytes);
  } else {
    lua_pushinteger(L, 0);
    lua_pushnil(L);
    lua_pushliteral(L, "");
  }
  lua_pushboolean(L, om_transfer_reads(transfer)); /* can be repeated without harm */
  lua_call(L, 4, 2);
  if (lua_type(L, -1) != LUA_TSTRING) {
    lua_pop(L, 1);
    lua_pushfstring(L, "%d", (int)transfer->status);
  }
  redact_top(L, transfer->endpoint);
}

/* The same for an answer that contradicts itself: neither its status nor its words are believed. */
static void push_contradiction(lua_State *L, struct om_state *state,
                               const struct om_transfer *transfer) {
  push_explanation(L, state, transfer, 0);
  lua_pop(L, 1);
  lua_pushfstring(L,
                  "the answer of %s contradicts itself (HTTP status %d, and what it says of the "
                  "message); it may have been accepted",
                  transfer->endpoint->host, (int)transfer->status);
}

static bool entry_flag(lua_State *L, int entry, const char *field) {
  bool flag = false;
  if (lua_istable(L, entry)) {
    lua_getfield(L, entry, field);
    flag = lua_toboolean(L, -1) != 0;
    lua_pop(L, 1);
  }
  return flag;
}

/* Pushes the sentence for a transfer that has no usable answer. */
static void push_failure(lua_State *L, const struct om_transfer *transfer, bool body_left) {
  const char *host = transfer->endpoint->host;
  double seconds = (double)(transfer->ended_us - transfer->submitted_us) / 1e6;
  const char *what = transfer->body != NULL ? "message" : "request";
  char left[80] = "";
  char number[32];
  if (!om_transfer_reads(transfer) && !transfer->refused) {
    snprintf(left, sizeof left,
             body_left ? "; the whole %s had left, so it may have been accepted"
                       : "; the %s had not left",
             what);
  }
  switch (transfer->end) {
  case OM_END_TIMEOUT:
    snprintf(number, sizeof number, "%.3g", seconds);
    lua_pushfstring(L, "no answer from %s within %s s%s", host, number, left);
    break;
  case OM_END_FENCED:
    lua_pushliteral(L, "the lease ended before it could leave");
    break;
  case OM_END_CANCELLED:
    lua_pushfstring(L, "cancelled%s", left);
    break;
  case OM_END_TOO_BIG:
    lua_pushfstring(
        L, "the %s of %s is larger than %d KiB%s",
        transfer->head_bytes > OM_HEAD_MAX_BYTES ? "answer's head" : "answer", host,
        (transfer->head_bytes > OM_HEAD_MAX_BYTES ? OM_HEAD_MAX_BYTES : OM_ANSWER_MAX_BYTES) / 1024,
        left);
    break;
  case OM_END_ANSWER:
  case OM_END_FAILED:
    lua_pushfstring(L, "%s: %s%s", host, transfer->error != NULL ? transfer->error : "no memory",
                    left);
    break;
  }
  redact_top(L, transfer->endpoint);
}

static void copy_fields(lua_State *L, int entry, int info) {
  static const char *const names[] = {"code", "class", "fault", "action", "scope", "hint", NULL};
  for (int i = 0; lua_istable(L, entry) && names[i] != NULL; i++) {
    lua_getfield(L, entry, names[i]);
    lua_setfield(L, info, names[i]);
  }
}

/* The stack has entry (or nil) and sentence on top; answers `nil, err, info`. */
static int fail(lua_State *L, const struct om_transfer *transfer, enum om_outcome outcome) {
  const char *word = om_outcome_word(outcome);
  int entry = lua_gettop(L) - 1;
  bool answered = transfer->end == OM_END_ANSWER || lua_istable(L, entry); /* or begun to */
  lua_createtable(L, 0, 12);
  int info = entry + 2;
  lua_pushstring(L, word);
  lua_setfield(L, info, "outcome");
  copy_fields(L, entry, info);
  if (!answered) {
    lua_pushliteral(L, "network");
    lua_setfield(L, info, "class");
  }
  bool retry = outcome == OM_NOT_SENT ||
               (outcome == OM_REJECTED && entry_flag(L, entry, "retry")) ||
               (outcome == OM_UNKNOWN && om_transfer_reads(transfer));
  lua_pushboolean(L, retry);
  lua_setfield(L, info, "retry");
  if (transfer->status != 0) {
    lua_pushinteger(L, transfer->status);
    lua_setfield(L, info, "status");
  }
  if (transfer->retry_after_s > 0) {
    lua_pushinteger(L, transfer->retry_after_s);
    lua_setfield(L, info, "retry_after");
  } else if (retry && lua_istable(L, entry)) {
    lua_getfield(L, entry, "wait"); /* what the code advises where the server says nothing */
    lua_setfield(L, info, "retry_after");
  }
  if (transfer->answer_bytes > 0) {
    push_body(L, transfer);
    lua_setfield(L, info, "body");
  }
  lua_pushnil(L);
  lua_pushfstring(L, "%s: %s", word, lua_tostring(L, entry + 1));
  lua_pushvalue(L, info);
  return 3;
}

/* ---- answers ---- */

/* WhatsApp took the message and holds it back (PLATFORM.md 3.2): its own word for that, which
 * stands in the answer, or where Meta's own has it. */
static void copy_held(lua_State *L, const struct om_transfer *transfer, int source, int receipt) {
  lua_getfield(L, source, "message_status");
  const char *word = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
  if (strncmp(word, "held_", 5) == 0) {
    copy_text(L, transfer, source, "message_status", receipt, "held");
  }
  lua_pop(L, 1);
}

static void copy_held_of_messages(lua_State *L, const struct om_transfer *transfer, int answer,
                                  int receipt) {
  lua_getfield(L, answer, "messages");
  if (lua_istable(L, -1)) {
    lua_rawgeti(L, -1, 1);
    if (lua_istable(L, -1)) {
      copy_held(L, transfer, lua_gettop(L), receipt);
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

static int push_receipt(lua_State *L, const struct om_transfer *transfer, enum om_outcome outcome,
                        int answer, int changes) {
  lua_createtable(L, 0, 5);
  int receipt = lua_gettop(L);
  lua_pushstring(L, om_outcome_word(outcome));
  lua_setfield(L, receipt, "outcome");
  if (outcome == OM_ACCEPTED) {
    copy_text(L, transfer, answer, "id", receipt, "id");
    copy_held(L, transfer, answer, receipt);
    copy_held_of_messages(L, transfer, answer, receipt);
  }
  copy_text(L, transfer, answer, "jobId", receipt, "job_id");
  copy_text(L, transfer, answer, "message", receipt, "message");
  copy_text(L, transfer, answer, "description", receipt, "description");
  if (lua_istable(L, changes)) {
    lua_pushvalue(L, changes);
    lua_setfield(L, receipt, "changes");
  }
  return 1;
}

static void count(struct om_transfer *transfer, enum om_counter counter) {
  if (!transfer->counted) {
    transfer->counted = true;
    om_statistics_count(&transfer->endpoint->statistics, counter,
                        transfer->end == OM_END_ANSWER ? transfer->ended_us - transfer->submitted_us
                                                       : -1);
  }
}

/* Pushes entry (or nil) and sentence for what is no acceptance; returns the outcome. */
static enum om_outcome push_reason(lua_State *L, struct om_state *state,
                                   const struct om_transfer *transfer, int answer,
                                   struct om_evidence *evidence) {
  if (!evidence->answered) {
    lua_pushnil(L);
    push_failure(L, transfer, evidence->body_left);
  } else if (om_outcome_contradicts(evidence)) {
    push_contradiction(L, state, transfer);
  } else {
    push_explanation(L, state, transfer, answer);
    evidence->refusal = entry_flag(L, lua_gettop(L) - 1, "refusal");
  }
  return om_outcome_of(evidence);
}

int om_answer_send(lua_State *L, struct om_state *state, struct om_job *job, int changes) {
  struct om_transfer *transfer = (struct om_transfer *)job;
  int answer = push_decoded(L, state, transfer);
  struct om_evidence evidence = read_evidence(L, transfer, answer);
  enum om_outcome outcome = om_outcome_of(&evidence);
  if (outcome == OM_ACCEPTED || outcome == OM_QUEUED) {
    count(transfer, outcome == OM_ACCEPTED ? OM_COUNT_ACCEPTED : OM_COUNT_QUEUED);
    return push_receipt(L, transfer, outcome, answer, changes);
  }
  outcome = push_reason(L, state, transfer, answer, &evidence);
  count(transfer, outcome == OM_REJECTED   ? OM_COUNT_REJECTED
                  : outcome == OM_NOT_SENT ? OM_COUNT_NOT_SENT
                                           : OM_COUNT_UNKNOWN);
  return fail(L, transfer, outcome);
}

/* Whether a call that is no send has its answer; else pushes `nil, err, info`. */
static bool is_answer(lua_State *L, struct om_state *state, struct om_transfer *transfer,
                      int answer) {
  bool answered = transfer->end == OM_END_ANSWER;
  count(transfer, OM_COUNT_READS);
  if (answered && transfer->status >= 200 && transfer->status < 300) {
    return true;
  }
  struct om_evidence evidence = {
      .answered = answered, .body_left = om_transfer_left(transfer), .status = transfer->status};
  if (!om_transfer_reads(transfer)) {
    evidence = read_evidence(L, transfer, answer);
  }
  fail(L, transfer, push_reason(L, state, transfer, answer, &evidence));
  return false;
}

/* Pushes the decoded answer (returns 1), or `nil, err, info` (3). */
static int read_table(lua_State *L, struct om_state *state, struct om_transfer *transfer) {
  int answer = push_decoded(L, state, transfer);
  if (!is_answer(L, state, transfer, answer)) {
    return 3;
  }
  if (!lua_istable(L, answer)) {
    lua_pushnil(L);
    lua_pushfstring(L, "%d %s answered something that is not the JSON expected",
                    (int)transfer->status, transfer->endpoint->host);
    return fail(L, transfer, OM_UNKNOWN);
  }
  return 1;
}

int om_answer_read(lua_State *L, struct om_state *state, struct om_job *job, int nothing) {
  (void)nothing;
  return read_table(L, state, (struct om_transfer *)job);
}

int om_answer_request(lua_State *L, struct om_state *state, struct om_job *job, int nothing) {
  struct om_transfer *transfer = (struct om_transfer *)job;
  (void)nothing;
  int answer = push_decoded(L, state, transfer);
  if (!is_answer(L, state, transfer, answer)) {
    return 3;
  }
  if (lua_isnil(L, answer)) {
    lua_pushlstring(L, transfer->answer, transfer->answer_bytes);
    lua_replace(L, answer);
  }
  lua_createtable(L, 0, 1);
  lua_pushinteger(L, transfer->status);
  lua_setfield(L, -2, "status");
  return 2;
}

int om_answer_hooks(lua_State *L, struct om_state *state, struct om_job *job, int note) {
  int results = read_table(L, state, (struct om_transfer *)job);
  if (results != 1) {
    return results;
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, state->report);
  lua_getfield(L, note, "id");
  lua_pushvalue(L, -3);
  lua_call(L, 2, 1);
  return 1;
}

int om_answer_webhook(lua_State *L, struct om_state *state, struct om_job *job, int nothing) {
  (void)nothing;
  int results = read_table(L, state, (struct om_transfer *)job);
  if (results != 1) {
    return results;
  }
  int answer = lua_gettop(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, state->webhooks);
  lua_pushvalue(L, answer);
  lua_call(L, 1, 2);
  return 2;
}
