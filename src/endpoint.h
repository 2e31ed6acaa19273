/* endpoint.h: where a channel's requests go and with which credentials. Knows libcurl's URL parser
 * and header lists, no Lua. Immutable once made, counted, shared by a channel and its transfers.
 */
#ifndef OM_ENDPOINT_H
#define OM_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "redact.h"

#include <curl/curl.h>

#define OM_VERSION "1.0.0"

/* A JWT has a few hundred; nginx and others refuse longer headers. */
#define OM_TOKEN_MAX_BYTES   OM_SECRET_MAX_BYTES
#define OM_CHANNEL_MAX_BYTES 64
#define OM_URL_MAX_BYTES     2048

#define OM_LATENCY_BUCKETS 128

enum om_counter {
  OM_COUNT_ACCEPTED,
  OM_COUNT_QUEUED,
  OM_COUNT_REJECTED,
  OM_COUNT_NOT_SENT,
  OM_COUNT_UNKNOWN,
  OM_COUNT_INVALID,
  OM_COUNT_READS, /* calls that are no sends */
  OM_COUNTERS
};

/* The owner's thread only. */
struct om_statistics {
  uint64_t counts[OM_COUNTERS];
  uint64_t latency[OM_LATENCY_BUCKETS]; /* four buckets an octave of microseconds */
  uint64_t latency_sum_us;
  uint64_t latency_max_us;
};

struct om_endpoint {
  int refs;    /* __atomic */
  char *base;  /* "https://api.1msg.io/ODI371267300" */
  char *host;  /* for sentences */
  char *peer;  /* whom its connections end at: "https://api.1msg.io:443 via " and the proxy */
  char *token; /* travels in `headers` only */
  struct om_secret *secret; /* keeps it out of what is shown */
  CURLU *send_url;
  struct curl_slist *headers; /* Authorization, Content-Type, Accept; Expect removed */
  char *ca_file;              /* NULL: libcurl's own bundle */
  char *proxy;                /* "": none */
  char *no_proxy;
  long connect_timeout_ms;
  long http_version; /* CURL_HTTP_VERSION_* */
  long max_connections;
  int in_flight; /* __atomic */
  /* the transfer thread's */
  bool downgraded;       /* the server asked for HTTP/1.1 */
  int64_t answer_us;     /* how long sends waited for their answers lately: smoothed, as TCP does */
  int64_t answer_dev_us; /* and how far they were from that */
  struct om_statistics statistics;
};

struct om_endpoint_options {
  const char *base_url;
  const char *channel;
  const char *token;
  const char *ca_file;
  const char *proxy; /* NULL: as curl(1) does, from the environment */
  long connect_timeout_ms;
  long http_version;
  long max_connections;
};

/* Caller's thread. NULL: *sentence (of sentence_bytes) says which option is wrong and what to do.
 */
struct om_endpoint *om_endpoint_new(const struct om_endpoint_options *options, char *sentence,
                                    size_t sentence_bytes);
void om_endpoint_hold(struct om_endpoint *endpoint);
void om_endpoint_drop(struct om_endpoint *endpoint);

/* Cleans a pasted token into out (len + 1 bytes): blanks around it and a scheme word go. Returns
 * its length, or 0: nothing is left, it is a placeholder, or it has a byte that no header may have.
 */
size_t om_endpoint_clean_token(const char *token, size_t len, char *out);

/* Decodes the payload part of a JWT into out (at least len bytes). Returns its length, or 0: not a
 * JWT. The signature is 1MSG's business. */
size_t om_endpoint_jwt_payload(const char *token, size_t len, char *out);

#endif
