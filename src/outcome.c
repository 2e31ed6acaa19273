/* outcome.c: see outcome.h. Where the evidence leaves it open, the outcome is unknown: a message
 * too few can be fixed by a person, a message too many cannot. */
#include "outcome.h"

static bool is_success(const struct om_evidence *e) {
  return e->status >= 200 && e->status < 300;
}

bool om_outcome_contradicts(const struct om_evidence *e) {
  if (is_success(e)) {
    return e->doubled;
  }
  /* a status of failure, and the words of a message that was taken */
  return e->doubled || e->sent == OM_SENT_TRUE || e->sent == OM_SENT_ODD || e->job != OM_JOB_ABSENT;
}

static enum om_outcome of_success(const struct om_evidence *e) {
  if (e->sent == OM_SENT_TRUE) {
    return OM_ACCEPTED;
  }
  if (!e->parsed || e->sent == OM_SENT_ODD || e->job == OM_JOB_ODD) {
    return OM_UNKNOWN;
  }
  if (e->job == OM_JOB_GIVEN) {
    return OM_QUEUED;
  }
  return e->sent == OM_SENT_FALSE || e->refusal ? OM_REJECTED : OM_UNKNOWN;
}

enum om_outcome om_outcome_of(const struct om_evidence *e) {
  if (!e->answered) {
    return e->body_left ? OM_UNKNOWN : OM_NOT_SENT;
  }
  if (om_outcome_contradicts(e)) {
    return OM_UNKNOWN;
  }
  if (is_success(e)) {
    return of_success(e);
  }
  if (e->status == 429) {
    return OM_NOT_SENT;
  }
  if (e->status == 408) {
    return OM_UNKNOWN; /* the server gave up waiting; it may have passed on what it had */
  }
  if (e->status >= 300 && e->status < 500) {
    return OM_REJECTED; /* a redirect is not followed: nobody there took the message */
  }
  if (e->status == 501 || (e->status >= 500 && e->refusal)) {
    return OM_REJECTED;
  }
  return OM_UNKNOWN;
}

const char *om_outcome_word(enum om_outcome outcome) {
  static const char *const words[] = {"accepted", "queued", "rejected", "not_sent", "unknown"};
  return words[outcome];
}
