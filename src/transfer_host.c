/* transfer_host.c: see transfer_host.h. */
#include "transfer_host.h"

#define CONNECTIONS_MIN 8L /* kept open beside those in use */

/* ---- libcurl's callbacks ---- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket_user) {
  struct om_host *host = user;
  struct om_engine *engine = host->engine;
  unsigned wanted = what == CURL_POLL_REMOVE ? 0 : (unsigned)what & (OM_WATCH_IN | OM_WATCH_OUT);
  (void)easy;
  (void)socket_user;
  if (wanted != 0 && !om_queue_own(&engine->queue, fd, host)) {
    return -1; /* it ends the transfers */
  }
  return om_transfer_epoll_want(&engine->watches, fd, wanted) ? 0 : -1;
}

void om_host_find_timer(struct om_engine *engine) {
  const struct om_host *host = engine->queue.turn;
  engine->timer_us = INT64_MAX;
  for (int i = 0; i < engine->queue.hosts; i++, host = host->next) {
    engine->timer_us = host->timer_us < engine->timer_us ? host->timer_us : engine->timer_us;
  }
}

static int on_timer(CURLM *multi, long timeout_ms, void *user) {
  struct om_host *host = user;
  struct om_engine *engine = host->engine;
  bool was_first = host->timer_us == engine->timer_us;
  (void)multi;
  host->timer_us = timeout_ms < 0 ? INT64_MAX : om_now_us() + (int64_t)timeout_ms * 1000;
  if (host->timer_us < engine->timer_us) {
    engine->timer_us = host->timer_us;
  } else if (was_first) {
    om_host_find_timer(engine);
  }
  return 0;
}

/* ---- hosts ---- */

void om_host_close(struct om_engine *engine, struct om_host *host) {
  if (host->multi != NULL) {
    curl_multi_cleanup(host->multi); /* it closes connections through our callbacks */
  }
  om_queue_remove(&engine->queue, host);
}

/* NULL: no memory. */
static struct om_host *open_host(struct om_engine *engine, const struct om_endpoint *endpoint) {
  struct om_host *spare = om_queue_spare(&engine->queue);
  if (spare != NULL) {
    om_host_close(engine, spare);
    om_host_find_timer(engine);
  }
  struct om_host *host = om_queue_add(&engine->queue, endpoint->peer);
  if (host == NULL) {
    return NULL;
  }
  host->engine = engine;
  host->multi = curl_multi_init();
  if (host->multi == NULL) {
    om_host_close(engine, host);
    return NULL;
  }
  curl_multi_setopt(host->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(host->multi, CURLMOPT_SOCKETDATA, host);
  curl_multi_setopt(host->multi, CURLMOPT_TIMERFUNCTION, on_timer);
  curl_multi_setopt(host->multi, CURLMOPT_TIMERDATA, host);
  curl_multi_setopt(host->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, OM_STREAMS_MAX);
  return host;
}

struct om_host *om_host_of(struct om_engine *engine, const struct om_endpoint *endpoint) {
  struct om_host *host = om_queue_find(&engine->queue, endpoint->peer);
  if (host == NULL) {
    host = open_host(engine, endpoint);
  }
  if (host != NULL && endpoint->max_connections > host->connections) {
    host->connections = endpoint->max_connections;
    curl_multi_setopt(host->multi, CURLMOPT_MAX_HOST_CONNECTIONS, host->connections);
    curl_multi_setopt(host->multi, CURLMOPT_MAXCONNECTS, host->connections + CONNECTIONS_MIN);
  }
  if (host != NULL && endpoint->http_version == CURL_HTTP_VERSION_2TLS) {
    host->may_multiplex = true;
  }
  return host;
}

void om_host_learn(struct om_host *host, CURL *easy) {
  long version = 0;
  if (host->may_multiplex && curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version) == CURLE_OK) {
    host->speaks = version >= CURL_HTTP_VERSION_2_0 ? OM_SPEAKS_HTTP2 : OM_SPEAKS_HTTP1;
  }
}
