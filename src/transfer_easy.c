/* transfer_easy.c: one request in libcurl's terms.
 *
 * The trap: when a reused connection turns out to be dead, libcurl by itself repeats the request on
 * a fresh one, POST included, also when the server had read all of it (shown by
 * spec/repeat_spec.lua). For a send that would be a second message. The lock: before libcurl writes
 * a request to any connection, first or repeated, HTTP/1.1 or HTTP/2, it asks prerequest(), which
 * refuses if a byte of the body was ever handed over, or if the request has none and may change
 * something (DELETE). What "handed over" means depends on the size:
 *   - a small body is given to libcurl whole, which writes it together with the headers: one system
 *     call, one packet and one wake-up of the server less, a fifth of the processor time of a send.
 *     It counts as handed over when prerequest() lets the request pass;
 *   - a large one, which a network may take only half of, comes from a read callback that counts.
 *     There is no seek callback, so that libcurl could not rewind it either.
 *
 * prerequest() is also the last moment in which nothing has left. It looks whether the connection
 * is what libcurl takes it for (see transfer_epoll.h), whether the fence was passed, and whether an
 * answer can still come in time.
 * What it refuses then goes out on a fresh connection, or not at all.
 */
#include "transfer_easy.h"
#include "transfer_queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALL_BODY_BYTES 16384 /* what any socket takes at once; a message has about 400 */
/* libcurl reuses what was idle for less than a second more. Node and Apache close after 5 s. */
#define IDLE_MAX_S 3L
/* The versions whose Curl_retry_request was read: see may_prove_refusal. */
#define PROOF_FIRST 0x075000u
#define PROOF_LAST  0x0810ffu

/* ---- callbacks ---- */

static bool is_small(const struct om_transfer *transfer) {
  return transfer->body_bytes <= SMALL_BODY_BYTES;
}

static size_t read_body(char *to, size_t size, size_t count, void *user) {
  struct om_transfer *transfer = ((struct om_easy *)user)->transfer;
  size_t room = size * count;
  size_t left = transfer->body_bytes - transfer->handed_bytes;
  size_t n = left < room ? left : room;
  memcpy(to, transfer->body + transfer->handed_bytes, n);
  transfer->handed_bytes += n;
  return n;
}

/* Space for n more bytes of the answer; false: no memory. */
static bool grow(struct om_transfer *transfer, size_t n) {
  size_t room = transfer->answer_size;
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
  transfer->answer_size = room;
  return true;
}

/* The first byte of an answer has come: learns how long that takes, as RFC 6298 has it for TCP.
 * When the answer is whole libcurl may have begun the next request already. */
static void learn_wait(struct om_easy *handle) {
  struct om_endpoint *endpoint = handle->endpoint;
  int64_t wait_us = om_now_us() - handle->handed_us;
  if (endpoint->answer_us == 0) {
    endpoint->answer_us = wait_us;
    endpoint->answer_dev_us = wait_us / 2;
    return;
  }
  int64_t off_us = wait_us - endpoint->answer_us;
  endpoint->answer_dev_us += ((off_us < 0 ? -off_us : off_us) - endpoint->answer_dev_us) / 4;
  endpoint->answer_us += off_us / 8;
}

static size_t write_answer(char *from, size_t size, size_t count, void *user) {
  struct om_easy *handle = user;
  struct om_transfer *transfer = handle->transfer;
  size_t n = size * count;
  if (transfer->answer_bytes == 0 && transfer->body != NULL) {
    learn_wait(handle);
  }
  if (n > OM_ANSWER_MAX_BYTES - transfer->answer_bytes) {
    transfer->end = OM_END_TOO_BIG;
    return 0;
  }
  if (transfer->answer_bytes + n > transfer->answer_size && !grow(transfer, n)) {
    return 0;
  }
  memcpy(transfer->answer + transfer->answer_bytes, from, n);
  transfer->answer_bytes += n;
  return n;
}

/* Each line of a head: the answer's, those of 1xx answers before it, and trailers, of which libcurl
 * keeps what it is sent. */
static size_t count_head(char *line, size_t size, size_t count, void *user) {
  struct om_transfer *transfer = ((struct om_easy *)user)->transfer;
  (void)line;
  transfer->head_bytes += size * count;
  if (transfer->head_bytes > OM_HEAD_MAX_BYTES) {
    transfer->end = OM_END_TOO_BIG;
    return 0;
  }
  return size * count;
}

bool om_transfer_easy_in_time(const struct om_transfer *transfer) {
  int64_t timeout_us = (int64_t)transfer->timeout_ms * 1000;
  int64_t left_us = transfer->submitted_us + timeout_us - om_now_us();
  int64_t wait_us = transfer->endpoint->answer_us + 4 * transfer->endpoint->answer_dev_us;
  if (wait_us > timeout_us / 2) {
    wait_us = timeout_us / 2; /* else nothing would be tried where answers were slow once */
  }
  return left_us > (transfer->body != NULL ? wait_us : 0);
}

static bool is_plain(const struct om_endpoint *endpoint) {
  return strncmp(endpoint->base, "http:", strlen("http:")) == 0;
}

/* libcurl wants to write a request again of which a part was handed over: never. But why it does
 * may prove what became of the request. */
static void refuse_repeat(struct om_easy *handle) {
  /* what it says of a stream that it gave up for HTTP/1.1, and of none that was refused */
  bool wants_http1 = strcmp(handle->error, "Empty reply from server") == 0;
  if (handle->proving && wants_http1) {
    handle->again = OM_AGAIN_HTTP1;
  } else if (handle->proving) {
    handle->transfer->refused = true;
  }
}

static int prerequest(void *user, char *remote_ip, char *local_ip, int remote_port,
                      int local_port) {
  struct om_easy *handle = user;
  struct om_transfer *transfer = handle->transfer;
  const struct om_ends ends = {remote_ip, local_ip, remote_port, local_port};
  bool changes = transfer->body_bytes == 0 && !om_transfer_reads(transfer);
  om_transfer_epoll_end(handle->hooks->watches, handle->connection);
  handle->connection.fd = -1;
  handle->stream = 0;
  if (transfer->handed_bytes != 0 || (transfer->asked && changes)) {
    refuse_repeat(handle);
    return CURL_PREREQFUNC_ABORT;
  }
  struct om_connection connection = om_transfer_epoll_find(handle->hooks->watches, &ends);
  if (!om_transfer_epoll_is_fit(handle->hooks->watches, connection, is_plain(handle->endpoint)) &&
      (connection.fd >= 0 || !handle->fresh)) {
    om_transfer_epoll_cut(handle->hooks->watches, connection);
    handle->again = handle->fresh ? OM_AGAIN_NOT : OM_AGAIN_FRESH;
    return CURL_PREREQFUNC_ABORT;
  }
  if (om_clock_is_past(&transfer->fence)) {
    transfer->end = OM_END_FENCED;
    return CURL_PREREQFUNC_ABORT;
  }
  if (!om_transfer_easy_in_time(transfer)) {
    handle->late = true;
    return CURL_PREREQFUNC_ABORT;
  }
  om_transfer_epoll_begin(handle->hooks->watches, connection, &transfer->host->patience);
  handle->connection = connection;
  handle->handed_us = om_now_us();
  transfer->asked = true;
  if (is_small(transfer)) {
    transfer->handed_bytes = transfer->body_bytes;
  }
  return CURL_PREREQFUNC_OK;
}

/* The number after a word in a line; 0: there is none. */
static unsigned long number_after(const char *line, const char *word) {
  const char *at = strstr(line, word);
  return at != NULL ? strtoul(at + strlen(word), NULL, 10) : 0;
}

/* What libcurl tells of HTTP/2 in words only. Other words of another version prove nothing, and
 * what they would have proven stays unknown. */
static int read_words(CURL *easy, curl_infotype type, char *words, size_t size, void *user) {
  struct om_easy *handle = user;
  char line[128];
  (void)easy;
  if (type == CURLINFO_TEXT && handle->transfer != NULL) {
    snprintf(line, sizeof line, "%.*s", (int)(size < sizeof line ? size : sizeof line - 1), words);
    if (strstr(line, "GOAWAY, error=") != NULL && strstr(line, ", last_stream=") != NULL) {
      handle->hooks->goes_away(handle->hooks->thread, handle->connection,
                               number_after(line, ", last_stream="));
    } else if (strncmp(line, "Using Stream ID: ", strlen("Using Stream ID: ")) == 0) {
      handle->stream = number_after(line, "Using Stream ID: ");
    }
  }
  return 0;
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
static bool set_endpoint(CURL *easy, struct om_easy *handle, const struct om_endpoint *endpoint,
                         const struct om_easy_hooks *hooks) {
  SET(CURLOPT_NOSIGNAL, 1L);
  SET(CURLOPT_ERRORBUFFER, handle->error);
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
  SET(CURLOPT_MAXAGE_CONN, IDLE_MAX_S);
  SET(CURLOPT_CONNECTTIMEOUT_MS, endpoint->connect_timeout_ms);
  SET(CURLOPT_TCP_KEEPALIVE, 1L);
  SET(CURLOPT_QUICK_EXIT, 1L);
  SET(CURLOPT_PRIVATE, handle);
  SET(CURLOPT_READFUNCTION, read_body);
  SET(CURLOPT_READDATA, handle);
  SET(CURLOPT_WRITEFUNCTION, write_answer);
  SET(CURLOPT_WRITEDATA, handle);
  SET(CURLOPT_HEADERFUNCTION, count_head);
  SET(CURLOPT_HEADERDATA, handle);
  SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L); /* a proxy's answer is not the API's */
  SET(CURLOPT_PREREQFUNCTION, prerequest);
  SET(CURLOPT_PREREQDATA, handle);
  if (endpoint->http_version == CURL_HTTP_VERSION_2TLS) {
    SET(CURLOPT_DEBUGFUNCTION, read_words);
    SET(CURLOPT_DEBUGDATA, handle);
    SET(CURLOPT_VERBOSE, 1L);
  }
  SET(CURLOPT_OPENSOCKETFUNCTION, hooks->open_socket);
  SET(CURLOPT_OPENSOCKETDATA, hooks->thread);
  SET(CURLOPT_CLOSESOCKETFUNCTION, hooks->close_socket);
  SET(CURLOPT_CLOSESOCKETDATA, hooks->thread);
  return true;
}

/* Makes libcurl give up a request with a body that was on a reused HTTP/2 connection when that
 * ended, instead of repeating it. What it then still wants to repeat are streams that the server
 * refused, or that a GOAWAY left out: those were not processed (RFC 9113, 8.7), and nothing else
 * would tell. What it does is the very condition for that repeat in libcurl, which was made for
 * RTSP, and which nothing else of HTTP looks at. True: so it is. */
static bool may_prove_refusal(CURL *easy, bool wanted) {
  unsigned version = curl_version_info(CURLVERSION_NOW)->version_num;
  long request = wanted ? CURL_RTSPREQ_RECEIVE : CURL_RTSPREQ_OPTIONS;
  return version >= PROOF_FIRST && version <= PROOF_LAST &&
         curl_easy_setopt(easy, CURLOPT_RTSP_REQUEST, request) == CURLE_OK && wanted;
}

/* No timeout: libcurl would drop an answer that lies there when it passed; the engine's looks at
 * what came first. */
static bool set_transfer(CURL *easy, struct om_easy *handle, const struct om_transfer *transfer) {
  const struct om_endpoint *endpoint = transfer->endpoint;
  handle->proving = false;
  if (endpoint->http_version == CURL_HTTP_VERSION_2TLS) {
    bool http2 = !endpoint->downgraded;
    SET(CURLOPT_HTTP_VERSION, (long)(http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
    SET(CURLOPT_PIPEWAIT, http2 ? 1L : 0L);
    handle->proving = may_prove_refusal(easy, http2 && transfer->body != NULL);
  } else {
    SET(CURLOPT_HTTP_VERSION, endpoint->http_version);
  }
  SET(CURLOPT_FRESH_CONNECT, handle->fresh ? 1L : 0L);
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
  return true;
}

bool om_transfer_easy_load(struct om_easy *handle, struct om_transfer *transfer,
                           const struct om_easy_hooks *hooks) {
  if (handle->again == OM_AGAIN_HTTP1) {
    transfer->endpoint->downgraded = true;
    transfer->handed_bytes = 0; /* nobody took them: the one exception to the lock */
  }
  handle->transfer = transfer;
  handle->error[0] = '\0';
  handle->hooks = hooks;
  handle->connection.fd = -1;
  handle->stream = 0;
  handle->fresh = handle->again == OM_AGAIN_FRESH;
  handle->again = OM_AGAIN_NOT;
  handle->late = false;
  if (handle->endpoint != transfer->endpoint) {
    if (handle->endpoint != NULL) {
      curl_easy_reset(handle->easy);
      om_endpoint_drop(handle->endpoint);
    }
    om_endpoint_hold(transfer->endpoint);
    handle->endpoint = transfer->endpoint;
    if (!set_endpoint(handle->easy, handle, transfer->endpoint, hooks)) {
      return false;
    }
  }
  return set_transfer(handle->easy, handle, transfer);
}

static const char *why_of(const struct om_easy *handle, const struct om_transfer *transfer,
                          CURLcode code) {
  if (transfer->refused) {
    return "the server turned the request away unprocessed";
  }
  if (code != CURLE_ABORTED_BY_CALLBACK && code != CURLE_SEND_FAIL_REWIND && code != CURLE_OK) {
    return handle->error[0] != '\0' ? handle->error : curl_easy_strerror(code);
  }
  /* prerequest() refused, or libcurl could not rewind, or takes the end of an HTTP/2 connection for
   * a whole answer; who cancelled needs no reason */
  bool nothing_left = transfer->handed_bytes == 0 && (transfer->body_bytes > 0 || !transfer->asked);
  return nothing_left ? "the server spoke before it was asked"
                      : "the connection closed before an answer came";
}

struct om_transfer *om_transfer_easy_unload(struct om_easy *handle, CURLcode code) {
  struct om_transfer *transfer = handle->transfer;
  curl_off_t retry_after = 0;
  handle->transfer = NULL;
  handle->again = OM_AGAIN_NOT;
  transfer->ended_us = om_now_us();
  om_transfer_epoll_end(handle->hooks->watches, handle->connection);
  if (transfer->head_bytes > 0 && transfer->end != OM_END_CANCELLED) {
    /* else libcurl, where it has not begun, would tell of this handle's transfer before */
    curl_easy_getinfo(handle->easy, CURLINFO_RESPONSE_CODE, &transfer->status);
    curl_easy_getinfo(handle->easy, CURLINFO_RETRY_AFTER, &retry_after);
  }
  if (transfer->status < 200) {
    transfer->status = 0; /* "100 Continue", and then nothing */
  }
  if (retry_after > 0) {
    transfer->retry_after_s = retry_after < 86400 ? (long)retry_after : 86400;
  }
  if (code == CURLE_OK && transfer->status != 0) {
    transfer->end = OM_END_ANSWER;
    return transfer;
  }
  if (transfer->end != OM_END_TOO_BIG && transfer->end != OM_END_CANCELLED &&
      transfer->end != OM_END_FENCED) {
    transfer->end =
        code == CURLE_OPERATION_TIMEDOUT || handle->late ? OM_END_TIMEOUT : OM_END_FAILED;
  }
  if (code == CURLE_SEND_FAIL_REWIND && handle->proving) {
    transfer->refused =
        true; /* refuse_repeat's reason; a large body stops libcurl before it asks */
  }
  if (code == CURLE_OUT_OF_MEMORY) {
    snprintf(handle->error, sizeof handle->error,
             "out of memory, or a line of the answer's head is longer than libcurl reads");
  }
  const char *why = why_of(handle, transfer, code);
  size_t size = strlen(why) + 1;
  transfer->error = malloc(size);
  if (transfer->error != NULL) {
    memcpy(transfer->error, why, size);
  }
  return transfer;
}

struct om_easy *om_transfer_easy_new(void) {
  struct om_easy *handle = calloc(1, sizeof *handle);
  if (handle != NULL) {
    handle->easy = curl_easy_init();
    if (handle->easy == NULL) {
      free(handle);
      return NULL;
    }
  }
  return handle;
}

void om_transfer_easy_free(struct om_easy *handle) {
  curl_easy_cleanup(handle->easy);
  if (handle->endpoint != NULL) {
    om_endpoint_drop(handle->endpoint);
  }
  free(handle);
}
