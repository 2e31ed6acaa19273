/* outcome.h: what an answer proves (PLATFORM.md 2.2). Pure: no Lua, no I/O. */
#ifndef OM_OUTCOME_H
#define OM_OUTCOME_H

#include <stdbool.h>

enum om_outcome {
  OM_ACCEPTED, /* 1MSG took the message; not: it was delivered */
  OM_QUEUED,   /* 1MSG will take it, perhaps */
  OM_REJECTED, /* proven: it did not take it, and will not take the same again */
  OM_NOT_SENT, /* proven: the message did not leave whole, or was refused for its rate */
  OM_UNKNOWN   /* the message left whole; nothing says what became of it */
};

enum om_sent { OM_SENT_ABSENT, OM_SENT_TRUE, OM_SENT_FALSE, OM_SENT_ODD /* neither */ };
enum om_job_id { OM_JOB_ABSENT, OM_JOB_GIVEN, OM_JOB_ODD /* no text and no number */ };

struct om_evidence {
  bool answered;  /* a complete answer; without it all below but body_left is meaningless */
  bool body_left; /* every byte of the request body was handed to the network */
  long status;    /* HTTP */
  bool parsed;    /* the answer is a JSON object */
  enum om_sent sent;
  enum om_job_id job;
  bool doubled; /* sent, jobId or id stands there twice, with two values */
  bool refusal; /* its content is a known refusal, whatever its status */
};

enum om_outcome om_outcome_of(const struct om_evidence *evidence);
/* Whether a complete answer says two things that can't both be true, so that it proves nothing. */
bool om_outcome_contradicts(const struct om_evidence *evidence);
const char *om_outcome_word(enum om_outcome outcome);

#endif
