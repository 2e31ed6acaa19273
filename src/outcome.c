/* outcome.c: see outcome.h. Where the evidence leaves it open, the outcome is unknown: a message
 * too few can be mended by a person, a message too many cannot. */
#include "outcome.h"

static enum om_outcome of_success(const struct om_evidence *e) {
  if (e->sent == OM_SENT_TRUE) {
    return OM_ACCEPTED;
  }
  if (e->parsed && e->job) {
    return OM_QUEUED;
  }
  if (e->sent == OM_SENT_FALSE || (e->parsed && e->refusal)) {
    return OM_REJECTED;
  }
  return OM_UNKNOWN;
}

enum om_outcome om_outcome_of(const struct om_evidence *e) {
  if (!e->answered) {
    return e->body_left ? OM_UNKNOWN : OM_NOT_SENT;
  }
  if (e->status >= 200 && e->status < 300) {
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
