/* outcome_test.c: what an answer proves as a table, against om_outcome_of, for every status from
 * 100 to 599 and every combination of the other evidence. The table is read from the top; the first
 * row that fits decides. It says the same as outcome.c in another way: rows, not branches. */
#include "outcome.h"

#include "test.h"

#define ANY (-1)

struct row {
  const char *say;
  long from, to; /* status */
  int answered, left, parsed, sent, job, doubled, refusal;
  enum om_outcome outcome;
};

static const struct row rows[] = {
    {"no answer, body not complete", 0, 599, 0, 0, ANY, ANY, ANY, ANY, ANY, OM_NOT_SENT},
    {"no answer, body complete", 0, 599, 0, 1, ANY, ANY, ANY, ANY, ANY, OM_UNKNOWN},
    {"two values of one name", 0, 599, 1, ANY, ANY, ANY, ANY, 1, ANY, OM_UNKNOWN},
    {"2xx, sent true", 200, 299, 1, ANY, ANY, OM_SENT_TRUE, ANY, 0, ANY, OM_ACCEPTED},
    {"2xx, sent is no word", 200, 299, 1, ANY, ANY, OM_SENT_ODD, ANY, 0, ANY, OM_UNKNOWN},
    {"2xx, jobId is no id", 200, 299, 1, ANY, ANY, ANY, OM_JOB_ODD, 0, ANY, OM_UNKNOWN},
    {"2xx, a job", 200, 299, 1, ANY, 1, ANY, OM_JOB_GIVEN, 0, ANY, OM_QUEUED},
    {"2xx, sent false, no job", 200, 299, 1, ANY, ANY, OM_SENT_FALSE, ANY, 0, ANY, OM_REJECTED},
    {"2xx, a known refusal", 200, 299, 1, ANY, 1, OM_SENT_ABSENT, OM_JOB_ABSENT, 0, 1, OM_REJECTED},
    {"2xx, anything else", 200, 299, 1, ANY, ANY, OM_SENT_ABSENT, ANY, 0, ANY, OM_UNKNOWN},
    {"no success, sent true", 0, 599, 1, ANY, ANY, OM_SENT_TRUE, ANY, 0, ANY, OM_UNKNOWN},
    {"no success, sent is no word", 0, 599, 1, ANY, ANY, OM_SENT_ODD, ANY, 0, ANY, OM_UNKNOWN},
    {"no success, a job", 0, 599, 1, ANY, ANY, ANY, OM_JOB_GIVEN, 0, ANY, OM_UNKNOWN},
    {"no success, jobId is no id", 0, 599, 1, ANY, ANY, ANY, OM_JOB_ODD, 0, ANY, OM_UNKNOWN},
    {"rate", 429, 429, 1, ANY, ANY, ANY, ANY, ANY, ANY, OM_NOT_SENT},
    {"server gave up", 408, 408, 1, ANY, ANY, ANY, ANY, ANY, ANY, OM_UNKNOWN},
    {"redirect", 300, 399, 1, ANY, ANY, ANY, ANY, ANY, ANY, OM_REJECTED},
    {"4xx", 400, 499, 1, ANY, ANY, ANY, ANY, ANY, ANY, OM_REJECTED},
    {"not built", 501, 501, 1, ANY, ANY, ANY, ANY, ANY, ANY, OM_REJECTED},
    {"5xx, a known refusal", 500, 599, 1, ANY, ANY, ANY, ANY, ANY, 1, OM_REJECTED},
    {"5xx", 500, 599, 1, ANY, ANY, ANY, ANY, ANY, 0, OM_UNKNOWN},
    {"no HTTP to speak of", 0, 199, 1, ANY, ANY, ANY, ANY, ANY, ANY, OM_UNKNOWN},
};

static int fits(int wanted, int is) {
  return wanted == ANY || wanted == is;
}

static const struct row *row_of(const struct om_evidence *e) {
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    const struct row *row = &rows[i];
    if (e->status >= row->from && e->status <= row->to && fits(row->answered, e->answered) &&
        fits(row->left, e->body_left) && fits(row->parsed, e->parsed) &&
        fits(row->sent, (int)e->sent) && fits(row->job, (int)e->job) &&
        fits(row->doubled, e->doubled) && fits(row->refusal, e->refusal)) {
      return row;
    }
  }
  return NULL;
}

static void check_one(const struct om_evidence *e) {
  const struct row *row = row_of(e);
  CHECK(row != NULL, "status %ld, sent %d, job %d", e->status, (int)e->sent, (int)e->job);
  if (row != NULL) {
    CHECK(om_outcome_of(e) == row->outcome, "%s: status %ld, sent %d, job %d is %s", row->say,
          e->status, (int)e->sent, (int)e->job, om_outcome_word(om_outcome_of(e)));
  }
  CHECK(!om_outcome_contradicts(e) || !e->answered || om_outcome_of(e) == OM_UNKNOWN, "%ld",
        e->status);
}

static void check_all(long status) {
  for (unsigned bits = 0; bits < 32; bits++) {
    for (int sent = OM_SENT_ABSENT; sent <= OM_SENT_ODD; sent++) {
      for (int job = OM_JOB_ABSENT; job <= OM_JOB_ODD; job++) {
        struct om_evidence e = {.answered = (bits & 1) != 0,
                                .body_left = (bits & 2) != 0,
                                .status = status,
                                .parsed = (bits & 4) != 0,
                                .sent = (enum om_sent)sent,
                                .job = (enum om_job_id)job,
                                .doubled = (bits & 8) != 0,
                                .refusal = (bits & 16) != 0};
        /* without `parsed`, a field of nothing cannot be */
        if (e.parsed || (sent == OM_SENT_ABSENT && job == OM_JOB_ABSENT && !e.doubled)) {
          check_one(&e);
        }
      }
    }
  }
}

int main(void) {
  static const char *const words[] = {"accepted", "queued", "rejected", "not_sent", "unknown"};
  for (long status = 100; status < 600; status++) {
    check_all(status);
  }
  check_all(0);
  for (int i = OM_ACCEPTED; i <= OM_UNKNOWN; i++) {
    CHECK(strcmp(om_outcome_word((enum om_outcome)i), words[i]) == 0, "%s", words[i]);
  }
  return test_end();
}
