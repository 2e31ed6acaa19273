/* transfer.h: one HTTP request and its answer, carried by the process's transfer thread.
 *
 * The thread owns one curl multi handle, starts at the first submit, and is stopped and joined (in
 * bounded time) when the process exits. It decides nothing: it fills in what happened and sends the
 * transfer home through its port. A body is handed to libcurl once; see transfer_easy.c.
 */
#ifndef OM_TRANSFER_H
#define OM_TRANSFER_H

#include "clock.h"
#include "endpoint.h"
#include "port.h"

#define OM_ANSWER_MAX_BYTES   (1024 * 1024) /* a page of 100 templates has about 300 KB */
#define OM_ANSWER_FIRST_BYTES 512           /* an acceptance has about 150 */
#define OM_HEAD_MAX_BYTES                                                                          \
  (64 * 1024)                /* of an answer, trailers and 1xx included; it has about 500 */
#define OM_QUEUE_MAX   65536 /* transfers under way in a process, waiting ones included */
#define OM_QUEUE_SHARE 1024  /* so many a channel may have under way, full as the queue may be */
/* At exit. The thread needs milliseconds; on a machine that is busy and slow it may be within 64
 * TLS handshakes, and OpenSSL must not be taken down under it: late is better than a crash. */
#define OM_STOP_WAIT_MS 10000

enum om_transfer_end {
  OM_END_ANSWER,   /* a complete answer; status and answer are set */
  OM_END_FAILED,   /* libcurl gave up: error says why */
  OM_END_TOO_BIG,  /* the answer was cut at OM_ANSWER_MAX_BYTES, or its head at OM_HEAD_MAX_BYTES */
  OM_END_TIMEOUT,  /* timeout_ms passed */
  OM_END_FENCED,   /* its fence was passed before the first byte left */
  OM_END_CANCELLED /* by the owner, or the process ended */
};

struct om_easy;
struct om_host;

struct om_transfer {
  struct om_job job;
  struct om_endpoint *endpoint; /* counted */
  const char *method;           /* static: "GET", "POST", … */
  char *url;                    /* NULL: the endpoint's send_url */
  char *body;
  size_t body_bytes;
  long timeout_ms;
  struct om_fence fence; /* no byte leaves later */
  int64_t submitted_us;
  int cancel; /* __atomic: the owner wants it to end */

  /* the thread's, until it comes home */
  struct om_host *host;   /* where it goes to */
  struct om_easy *handle; /* NULL: libcurl does not have it */
  struct om_transfer *newer;
  struct om_transfer *older;
  bool asked;          /* libcurl was allowed to write the request to a connection */
  size_t handed_bytes; /* of the body, to libcurl */
  bool refused;        /* the protocol says that the server did not process the request */
  size_t head_bytes;   /* of the answer; 0: nothing of it came */
  char *answer;        /* `first`, or malloced when it did not suffice */
  size_t answer_bytes;
  size_t answer_size;
  enum om_transfer_end end;
  long status;        /* 0: none */
  long retry_after_s; /* 0: none */
  int64_t ended_us;
  char *error; /* malloced; may be NULL */

  char first[OM_ANSWER_FIRST_BYTES]; /* spares the thread an allocation that another one frees */

  bool counted; /* owner: its outcome is in the channel's statistics */
};

/* Owner. A transfer with one reference, the caller's; takes over url and body (malloced, may be
 * NULL) whatever happens. NULL: no memory. */
struct om_transfer *om_transfer_new(struct om_port *port, struct om_endpoint *endpoint,
                                    const char *method, char *url, char *body, size_t body_bytes,
                                    long timeout_ms);

/* Whether the request only reads: to repeat it does no harm. */
bool om_transfer_reads(const struct om_transfer *transfer);
/* Whether the whole request may have been processed. For a done transfer. */
bool om_transfer_left(const struct om_transfer *transfer);

/* For struct om_work: job is a struct om_transfer's. */
enum om_submitted om_transfer_submit(struct om_job *job);
void om_transfer_cancel(struct om_job *job);

#endif
