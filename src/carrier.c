/* carrier.c: one request in libcurl's terms.
 *
 * The trap: when a reused connection turns out to be dead, libcurl by itself repeats the request on
 * a fresh one, POST included, also when the server had read all of it (MEASURED.md, shown by
 * spec/repeat_spec.lua). For a send that would be a second message. The lock: before libcurl writes
 * a request to any connection, first or repeated, HTTP/1.1 or HTTP/2, it asks prerequest(), which
 * refuses if a byte of the body was ever handed over, or if the request has none and may change
 * something (DELETE). What "handed over" means depends on the size:
 *   - a small body is given to libcurl whole, which writes it together with the headers: one system
 *     call, one packet and one wake-up of the server less, a fifth of the processor time of a send.
 *     It counts as handed over when prerequest() lets the request pass;
 *   - a large one, which a network may take only half of, comes from a read callback that counts.
 *     There is no seek callback, so that libcurl could not rewind it either.
 */
#include "carrier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALL_BODY_BYTES 16384 /* what any socket takes at once; a message has about 400 */

/* ---- callbacks ---- */

static bool is_small(const struct om_transfer *transfer) {
  return transfer->body_bytes <= SMALL_BODY_BYTES;
}

static size_t read_body(char *to, size_t size, size_t count, void *user) {
  struct om_transfer *transfer = ((struct om_carrier *)user)->transfer;
  size_t room = size * count;
  size_t left = transfer->body_bytes - transfer->handed_bytes;
  size_t n = left < room ? left : room;
  memcpy(to, transfer->body + transfer->handed_bytes, n);
  transfer->handed_bytes += n;
  return n;
}

/* Space for n more bytes of the answer; false: no memory. */
static bool grow(struct om_transfer *transfer, size_t n) {
  size_t room = transfer->answer_room;
  while (room < transfer->answer_bytes + n) {
    room *= 2;
  }
  char *old = transfer->answer == transfer->first ? NULL : transfer->answer;
  char *grown = realloc(old, room);
  if (grown == NULL) {
    return false;
  }
  if (old == NULL) {
    memcpy(grown, transfer->first, transfer->answer_bytes);
  }
  transfer->answer = grown;
  transfer->answer_room = room;
  return true;
}

static size_t write_answer(char *from, size_t size, size_t count, void *user) {
  struct om_transfer *transfer = ((struct om_carrier *)user)->transfer;
  size_t n = size * count;
  if (n > OM_ANSWER_MAX_BYTES - transfer->answer_bytes) {
    transfer->end = OM_END_TOO_BIG;
    return 0;
  }
  if (transfer->answer_bytes + n > transfer->answer_room && !grow(transfer, n)) {
    return 0;
  }
  memcpy(transfer->answer + transfer->answer_bytes, from, n);
  transfer->answer_bytes += n;
  return n;
}

/* Each line of a head: the answer's, those of 1xx answers before it, and trailers, of which libcurl
 * keeps what it is sent. */
static size_t count_head(char *line, size_t size, size_t count, void *user) {
  struct om_transfer *transfer = ((struct om_carrier *)user)->transfer;
  (void)line;
  transfer->head_bytes += size * count;
  if (transfer->head_bytes > OM_HEAD_MAX_BYTES) {
    transfer->end = OM_END_TOO_BIG;
    return 0;
  }
  return size * count;
}

static int prerequest(void *user, char *remote_ip, char *local_ip, int remote_port,
                      int local_port) {
  struct om_transfer *transfer = ((struct om_carrier *)user)->transfer;
  (void)remote_ip;
  (void)local_ip;
  (void)remote_port;
  (void)local_port;
  bool changes = transfer->body_bytes == 0 && !om_transfer_reads(transfer);
  if (transfer->handed_bytes != 0 || (transfer->asked && changes)) {
    return CURL_PREREQFUNC_ABORT;
  }
  transfer->asked = true;
  if (is_small(transfer)) {
    transfer->handed_bytes = transfer->body_bytes;
  }
  return CURL_PREREQFUNC_OK;
}

/* ---- options ---- */

/* The result of a chain of curl_easy_setopt calls: once false, no more are made. */
#define SET(option, value)                                                                         \
  do {                                                                                             \
    if (curl_easy_setopt(easy, (option), (value)) != CURLE_OK) {                                   \
      return false;                                                                                \
    }                                                                                              \
  } while (0)

/* What stays the same for all transfers of an endpoint. */
static bool set_endpoint(CURL *easy, struct om_carrier *carrier, const struct om_endpoint *endpoint,
                         const struct om_carrier_hooks *hooks) {
  SET(CURLOPT_NOSIGNAL, 1L);
  SET(CURLOPT_ERRORBUFFER, carrier->error);
  SET(CURLOPT_USERAGENT, "onemsg/" OM_VERSION);
  SET(CURLOPT_HTTPHEADER, endpoint->headers);
  SET(CURLOPT_PROTOCOLS_STR, "https,http");
  SET(CURLOPT_FOLLOWLOCATION, 0L);
  SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
  SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
  if (endpoint->ca_file != NULL) {
    SET(CURLOPT_CAINFO, endpoint->ca_file);
  }
  SET(CURLOPT_PROXY, endpoint->proxy); /* always set: libcurl must not call getenv on this thread */
  SET(CURLOPT_NOPROXY, endpoint->no_proxy);
  SET(CURLOPT_HTTP_VERSION, endpoint->http_version);
  SET(CURLOPT_PIPEWAIT, endpoint->http_version == CURL_HTTP_VERSION_2TLS ? 1L : 0L);
  SET(CURLOPT_CONNECTTIMEOUT_MS, endpoint->connect_timeout_ms);
  SET(CURLOPT_TCP_KEEPALIVE, 1L);
  SET(CURLOPT_QUICK_EXIT, 1L);
  SET(CURLOPT_PRIVATE, carrier);
  SET(CURLOPT_READFUNCTION, read_body);
  SET(CURLOPT_READDATA, carrier);
  SET(CURLOPT_WRITEFUNCTION, write_answer);
  SET(CURLOPT_WRITEDATA, carrier);
  SET(CURLOPT_HEADERFUNCTION, count_head);
  SET(CURLOPT_HEADERDATA, carrier);
  SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L); /* a proxy's answer is not the API's */
  SET(CURLOPT_PREREQFUNCTION, prerequest);
  SET(CURLOPT_PREREQDATA, carrier);
  SET(CURLOPT_OPENSOCKETFUNCTION, hooks->open_socket);
  SET(CURLOPT_OPENSOCKETDATA, hooks->thread);
  SET(CURLOPT_CLOSESOCKETFUNCTION, hooks->close_socket);
  SET(CURLOPT_CLOSESOCKETDATA, hooks->thread);
  return true;
}

static bool set_transfer(CURL *easy, const struct om_transfer *transfer) {
  int64_t left_ms = transfer->timeout_ms - (om_now_us() - transfer->submitted_us) / 1000;
  if (transfer->url != NULL) {
    SET(CURLOPT_CURLU, NULL);
    SET(CURLOPT_URL, transfer->url);
  } else {
    SET(CURLOPT_CURLU, transfer->endpoint->send_url);
  }
  if (transfer->body != NULL) {
    SET(CURLOPT_POSTFIELDS, is_small(transfer) ? transfer->body : NULL); /* NULL: read_body */
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)transfer->body_bytes);
  } else {
    SET(CURLOPT_HTTPGET, 1L);
  }
  bool usual = strcmp(transfer->method, transfer->body != NULL ? "POST" : "GET") == 0;
  SET(CURLOPT_CUSTOMREQUEST, usual ? NULL : transfer->method);
  SET(CURLOPT_TIMEOUT_MS, left_ms > 1 ? (long)left_ms : 1L);
  return true;
}

bool om_carrier_load(struct om_carrier *carrier, struct om_transfer *transfer,
                     const struct om_carrier_hooks *hooks) {
  carrier->transfer = transfer;
  carrier->error[0] = '\0';
  if (carrier->endpoint != transfer->endpoint) {
    if (carrier->endpoint != NULL) {
      curl_easy_reset(carrier->easy);
      om_endpoint_drop(carrier->endpoint);
    }
    om_endpoint_hold(transfer->endpoint);
    carrier->endpoint = transfer->endpoint;
    if (!set_endpoint(carrier->easy, carrier, transfer->endpoint, hooks)) {
      return false;
    }
  }
  return set_transfer(carrier->easy, transfer);
}

struct om_transfer *om_carrier_unload(struct om_carrier *carrier, CURLcode code) {
  struct om_transfer *transfer = carrier->transfer;
  curl_off_t retry_after = 0;
  carrier->transfer = NULL;
  transfer->ended_us = om_now_us();
  if (transfer->head_bytes > 0 && transfer->end != OM_END_CANCELLED) {
    /* else libcurl, where it has not begun, would tell of this handle's transfer before */
    curl_easy_getinfo(carrier->easy, CURLINFO_RESPONSE_CODE, &transfer->status);
    curl_easy_getinfo(carrier->easy, CURLINFO_RETRY_AFTER, &retry_after);
  }
  if (transfer->status < 200) {
    transfer->status = 0; /* "100 Continue", and then nothing */
  }
  if (retry_after > 0) {
    transfer->retry_after_s = retry_after < 86400 ? (long)retry_after : 86400;
  }
  if (code == CURLE_OK) {
    transfer->end = OM_END_ANSWER;
    return transfer;
  }
  if (transfer->end != OM_END_TOO_BIG && transfer->end != OM_END_CANCELLED) {
    transfer->end = code == CURLE_OPERATION_TIMEDOUT ? OM_END_TIMEOUT : OM_END_FAILED;
  }
  if (code == CURLE_OUT_OF_MEMORY) {
    snprintf(carrier->error, sizeof carrier->error,
             "out of memory, or a line of the answer's head is longer than libcurl reads");
  }
  const char *why = carrier->error[0] != '\0' ? carrier->error : curl_easy_strerror(code);
  if (code == CURLE_ABORTED_BY_CALLBACK || code == CURLE_SEND_FAIL_REWIND) {
    /* prerequest() refused, or libcurl could not rewind; who cancelled needs no reason */
    why = "the connection closed before an answer came";
  }
  size_t size = strlen(why) + 1;
  transfer->error = malloc(size);
  if (transfer->error != NULL) {
    memcpy(transfer->error, why, size);
  }
  return transfer;
}

struct om_carrier *om_carrier_new(void) {
  struct om_carrier *carrier = calloc(1, sizeof *carrier);
  if (carrier != NULL) {
    carrier->easy = curl_easy_init();
    if (carrier->easy == NULL) {
      free(carrier);
      return NULL;
    }
  }
  return carrier;
}

void om_carrier_free(struct om_carrier *carrier) {
  curl_easy_cleanup(carrier->easy);
  if (carrier->endpoint != NULL) {
    om_endpoint_drop(carrier->endpoint);
  }
  free(carrier);
}
