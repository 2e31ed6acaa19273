/* answer.c: see answer.h. JSON is read by lua-cjson; the outcome is outcome.c's; words and advice
 * for an error come from lua/onemsg/codes.lua. Nothing here shows the token. */
#include "answer.h"

#include "message.h"
#include "outcome.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- reading ---- */

/* Pushes the decoded body, or nil. */
static void push_decoded(lua_State *L, struct om_state *state, const struct om_transfer *transfer) {
  if (transfer->answer_bytes == 0) {
    lua_pushnil(L);
    return;
  }
  lua_pushnil(L);
  for (int i = 0; i < OM_JSON_ATTEMPTS && lua_isnil(L, -1); i++) {
    lua_pop(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->decode);
    lua_pushlstring(L, transfer->answer, transfer->answer_bytes);
    lua_call(L, 1, 1);
  }
}

/* Pushes the body without the token, capped. */
static void push_body(lua_State *L, const struct om_transfer *transfer) {
  char *text = (char *)lua_newuserdatauv(L, transfer->answer_bytes + 1, 0);
  size_t len =
      om_endpoint_redact(transfer->endpoint, transfer->answer, transfer->answer_bytes, text);
  lua_pushlstring(L, text, len < OM_INFO_BODY_BYTES ? len : OM_INFO_BODY_BYTES);
  lua_remove(L, -2);
}

/* Replaces the string on top of the stack by one without the token. */
static void redact_top(lua_State *L, const struct om_endpoint *endpoint) {
  size_t len = 0;
  const char *text = lua_tolstring(L, -1, &len);
  char *clean = (char *)lua_newuserdatauv(L, len + 1, 0);
  len = om_endpoint_redact(endpoint, text, len, clean);
  lua_pushlstring(L, clean, len);
  lua_replace(L, -3);
  lua_pop(L, 1);
}

/* The same, for a string that hardly ever has the token in it. */
static void redact_seldom(lua_State *L, const struct om_endpoint *endpoint) {
  if (strstr(lua_tostring(L, -1), endpoint->token) != NULL) {
    redact_top(L, endpoint);
  }
}

/* target[key] = source[field] when that is a string or a number; numbers become texts. */
static void copy_text(lua_State *L, const struct om_transfer *transfer, int source,
                      const char *field, int target, const char *key) {
  char digits[40];
  lua_getfield(L, source, field);
  if (lua_type(L, -1) == LUA_TNUMBER) {
    snprintf(digits, sizeof digits, "%.0f", lua_tonumber(L, -1));
    lua_pushstring(L, digits);
    lua_replace(L, -2);
  }
  if (lua_type(L, -1) == LUA_TSTRING && lua_rawlen(L, -1) > 0) {
    redact_seldom(L, transfer->endpoint);
    lua_setfield(L, target, key);
  } else {
    lua_pop(L, 1);
  }
}

static enum om_sent read_sent(lua_State *L, int answer) {
  enum om_sent sent = OM_SENT_ABSENT;
  lua_getfield(L, answer, "sent");
  if (lua_type(L, -1) == LUA_TBOOLEAN) {
    sent = lua_toboolean(L, -1) ? OM_SENT_TRUE : OM_SENT_FALSE;
  } else if (lua_type(L, -1) == LUA_TSTRING) {
    const char *word = lua_tostring(L, -1);
    sent = strcmp(word, "true") == 0    ? OM_SENT_TRUE
           : strcmp(word, "false") == 0 ? OM_SENT_FALSE
                                        : OM_SENT_ABSENT;
  }
  lua_pop(L, 1);
  return sent;
}

static bool has_job(lua_State *L, int answer) {
  lua_getfield(L, answer, "jobId");
  bool has =
      (lua_type(L, -1) == LUA_TSTRING && lua_rawlen(L, -1) > 0) || lua_type(L, -1) == LUA_TNUMBER;
  lua_pop(L, 1);
  return has;
}

/* ---- errors ---- */

/* Pushes codes.explain's entry (a table, or nil) and sentence. */
static void push_explanation(lua_State *L, struct om_state *state,
                             const struct om_transfer *transfer, int answer) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, state->explain);
  lua_pushinteger(L, transfer->status);
  lua_pushvalue(L, answer);
  lua_pushlstring(L, transfer->answer, transfer->answer_bytes);
  lua_pushboolean(L, transfer->body == NULL); /* a reading can be repeated without harm */
  lua_call(L, 4, 2);
  if (lua_type(L, -1) != LUA_TSTRING) {
    lua_pop(L, 1);
    lua_pushfstring(L, "%d", (int)transfer->status);
  }
  redact_top(L, transfer->endpoint);
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
  const char *left = transfer->body == NULL ? ""
                     : body_left ? "; the whole message had left, so it may have been accepted"
                                 : "; the message had not left";
  char number[32];
  switch (transfer->end) {
  case OM_END_TIMEOUT:
    snprintf(number, sizeof number, "%.3g", seconds);
    lua_pushfstring(L, "no answer from %s within %s s%s", host, number, left);
    break;
  case OM_END_CANCELLED:
    lua_pushfstring(L, "cancelled%s", left);
    break;
  case OM_END_TOO_BIG:
    lua_pushfstring(L, "the answer of %s is larger than %d KiB%s", host, OM_ANSWER_MAX_BYTES / 1024,
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
               (outcome == OM_UNKNOWN && transfer->body == NULL);
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

/* ---- statistics ---- */

static int bucket_of(uint64_t us) {
  int octave = 0;
  while (octave < 31 && us >> (octave + 1) != 0) {
    octave++;
  }
  int quarter = octave < 2 ? 0 : (int)(us >> (octave - 2) & 3);
  int bucket = octave * 4 + quarter;
  return bucket < OM_LATENCY_BUCKETS ? bucket : OM_LATENCY_BUCKETS - 1;
}

/* The upper edge of a bucket in seconds. */
static double edge_of(int bucket) {
  return ldexp(1.0 + (bucket % 4 + 1) / 4.0, bucket / 4) / 1e6;
}

static void count(struct om_transfer *transfer, enum om_counter counter) {
  struct om_statistics *statistics = &transfer->endpoint->statistics;
  if (transfer->counted) {
    return;
  }
  transfer->counted = true;
  statistics->counts[counter]++;
  if (transfer->end == OM_END_ANSWER) {
    uint64_t us = (uint64_t)(transfer->ended_us - transfer->submitted_us);
    statistics->latency[bucket_of(us)]++;
    statistics->latency_sum_us += us;
    if (us > statistics->latency_max_us) {
      statistics->latency_max_us = us;
    }
  }
}

static double percentile(const struct om_statistics *statistics, uint64_t answers, double share) {
  uint64_t seen = 0;
  for (int i = 0; i < OM_LATENCY_BUCKETS; i++) {
    seen += statistics->latency[i];
    if (seen > 0 && (double)seen >= share * (double)answers) {
      double edge = edge_of(i);
      double most = (double)statistics->latency_max_us / 1e6;
      return edge < most ? edge : most;
    }
  }
  return 0;
}

static void set_number(lua_State *L, const char *name, double value) {
  lua_pushnumber(L, value);
  lua_setfield(L, -2, name);
}

void om_answer_statistics(lua_State *L, const struct om_statistics *statistics, int in_flight) {
  static const char *const names[] = {"accepted", "queued",  "rejected", "not_sent",
                                      "unknown",  "invalid", "reads"};
  uint64_t answers = 0;
  for (int i = 0; i < OM_LATENCY_BUCKETS; i++) {
    answers += statistics->latency[i];
  }
  lua_createtable(L, 0, OM_COUNTERS + 2);
  for (int i = 0; i < OM_COUNTERS; i++) {
    lua_pushinteger(L, (lua_Integer)statistics->counts[i]);
    lua_setfield(L, -2, names[i]);
  }
  lua_pushinteger(L, in_flight);
  lua_setfield(L, -2, "in_flight");
  lua_createtable(L, 0, 6);
  lua_pushinteger(L, (lua_Integer)answers);
  lua_setfield(L, -2, "count");
  set_number(L, "mean",
             answers > 0 ? (double)statistics->latency_sum_us / (double)answers / 1e6 : 0);
  set_number(L, "p50", percentile(statistics, answers, 0.50));
  set_number(L, "p95", percentile(statistics, answers, 0.95));
  set_number(L, "p99", percentile(statistics, answers, 0.99));
  set_number(L, "max", (double)statistics->latency_max_us / 1e6);
  lua_setfield(L, -2, "latency");
}

/* ---- answers ---- */

static int push_receipt(lua_State *L, const struct om_transfer *transfer, enum om_outcome outcome,
                        int answer, int changes) {
  lua_createtable(L, 0, 5);
  int receipt = lua_gettop(L);
  lua_pushstring(L, om_outcome_word(outcome));
  lua_setfield(L, receipt, "outcome");
  if (outcome == OM_ACCEPTED) {
    copy_text(L, transfer, answer, "id", receipt, "id");
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

int om_answer_send(lua_State *L, struct om_state *state, struct om_job *job, int changes) {
  struct om_transfer *transfer = (struct om_transfer *)job;
  struct om_evidence evidence = {
      .answered = transfer->end == OM_END_ANSWER ||
                  (transfer->end == OM_END_TOO_BIG && transfer->status >= 300),
      .body_left = transfer->handed_bytes == transfer->body_bytes,
      .status = transfer->status,
  };
  luaL_checkstack(L, 20, NULL);
  if (transfer->end == OM_END_ANSWER) {
    push_decoded(L, state, transfer);
  } else {
    lua_pushnil(L);
  }
  int answer = lua_gettop(L);
  if (lua_istable(L, answer)) {
    evidence.parsed = true;
    evidence.sent = read_sent(L, answer);
    evidence.job = has_job(L, answer);
  }
  enum om_outcome outcome = om_outcome_of(&evidence);
  if (outcome == OM_ACCEPTED || outcome == OM_QUEUED) {
    count(transfer, outcome == OM_ACCEPTED ? OM_COUNT_ACCEPTED : OM_COUNT_QUEUED);
    return push_receipt(L, transfer, outcome, answer, changes);
  }
  if (evidence.answered) {
    push_explanation(L, state, transfer, answer);
    evidence.refusal = entry_flag(L, lua_gettop(L) - 1, "refusal");
    outcome = om_outcome_of(&evidence);
  } else {
    lua_pushnil(L);
    push_failure(L, transfer, evidence.body_left);
  }
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
  bool left = transfer->body != NULL ? transfer->handed_bytes == transfer->body_bytes
                                     : transfer->end != OM_END_FAILED || transfer->status != 0;
  struct om_evidence evidence = {
      .answered = answered, .body_left = left, .status = transfer->status};
  if (answered) {
    push_explanation(L, state, transfer, answer);
    evidence.refusal = entry_flag(L, lua_gettop(L) - 1, "refusal");
  } else {
    lua_pushnil(L);
    push_failure(L, transfer, left);
  }
  fail(L, transfer, om_outcome_of(&evidence));
  return false;
}

/* Pushes the decoded answer (returns 1), or `nil, err, info` (3). */
static int read_table(lua_State *L, struct om_state *state, struct om_transfer *transfer) {
  luaL_checkstack(L, 20, NULL);
  if (transfer->end == OM_END_ANSWER) {
    push_decoded(L, state, transfer);
  } else {
    lua_pushnil(L);
  }
  int answer = lua_gettop(L);
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
  luaL_checkstack(L, 20, NULL);
  if (transfer->end == OM_END_ANSWER) {
    push_decoded(L, state, transfer);
  } else {
    lua_pushnil(L);
  }
  int answer = lua_gettop(L);
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
