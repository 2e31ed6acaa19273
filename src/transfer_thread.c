/* transfer_thread.c: the transfer thread. It takes the whole inbox at once; everything else in the
 * engine belongs to it alone.
 *
 * libcurl is driven by curl_multi_socket_action; which descriptors epoll watches is
 * transfer_epoll.c's. Each host has a multi handle of its own, and what libcurl has not got yet
 * waits in transfer_queue.c.
 */
#include "transfer_thread.h"
#include "transfer_host.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Then what is done goes home: with more, owners idle while a burst of answers is read. */
#define EVENTS_AT_ONCE 32
#define BEGIN_MAX      64 /* in a round: so many handshakes at most keep an exit waiting */
#define CARRIED_MAX                                                                                \
  4096                   /* transfers that libcurl has: each costs it some 10 KB, and to take one  \
                          * that waits for a connection away it looks through all that do */
#define CARRIED_SHARE 64 /* of a host, in any case: as many as a channel has connections */
#define LATE_ROUNDS   (CARRIED_MAX / EVENTS_AT_ONCE) /* epoll has told of all that was there then */
#define IDLE_MAX      1024                           /* easy handles kept for reuse */
#define IDLE_SEARCH   8 /* how deep to look for one with the same endpoint */

/* ---- libcurl's callbacks ---- */

static curl_socket_t open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address) {
  struct om_engine *engine = user;
  int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  (void)purpose;
  om_transfer_epoll_opened(&engine->watches, fd);
  return fd;
}

static int close_socket(void *user, curl_socket_t fd) {
  struct om_engine *engine = user;
  om_transfer_epoll_closing(&engine->watches, fd);
  return close(fd);
}

/* ---- the thread ---- */

static void finish(struct om_engine *engine, struct om_transfer *transfer) {
  __atomic_sub_fetch(&engine->load, 1, __ATOMIC_RELAXED);
  __atomic_sub_fetch(&transfer->endpoint->in_flight, 1, __ATOMIC_RELAXED);
  om_jobs_append(&engine->finished, &transfer->job);
}

/* Ends a transfer that libcurl never had. */
static void drop(struct om_engine *engine, struct om_transfer *transfer, enum om_transfer_end end) {
  transfer->end = end;
  transfer->ended_us = om_now_us();
  finish(engine, transfer);
}

static int64_t due_of(const struct om_transfer *transfer) {
  return transfer->submitted_us + (int64_t)transfer->timeout_ms * 1000;
}

static void note_due(struct om_engine *engine, const struct om_transfer *transfer) {
  int64_t due_us = due_of(transfer);
  if (due_us < engine->due_us) {
    engine->due_us = due_us;
  }
}

static void link_active(struct om_engine *engine, struct om_transfer *transfer) {
  om_queue_began(&engine->queue, transfer->host);
  transfer->older = engine->newest;
  transfer->newer = NULL;
  if (engine->newest != NULL) {
    engine->newest->newer = transfer;
  }
  engine->newest = transfer;
}

static void unlink_active(struct om_engine *engine, struct om_transfer *transfer) {
  om_queue_ended(&engine->queue, transfer->host);
  if (transfer->newer != NULL) {
    transfer->newer->older = transfer->older;
  } else {
    engine->newest = transfer->older;
  }
  if (transfer->older != NULL) {
    transfer->older->newer = transfer->newer;
  }
}

/* An idle handle, at best one that has the endpoint's options already. */
static struct om_easy *take_handle(struct om_engine *engine, const struct om_endpoint *endpoint) {
  struct om_easy **link = &engine->idle;
  for (int i = 0; i < IDLE_SEARCH && *link != NULL && (*link)->endpoint != endpoint; i++) {
    link = &(*link)->next;
  }
  if (*link == NULL) {
    link = &engine->idle;
  }
  struct om_easy *handle = *link;
  if (handle == NULL) {
    return om_transfer_easy_new();
  }
  *link = handle->next;
  engine->idle_count--;
  return handle;
}

static void give_handle(struct om_engine *engine, struct om_easy *handle) {
  if (engine->idle_count >= IDLE_MAX) {
    om_transfer_easy_free(handle);
    return;
  }
  handle->next = engine->idle;
  engine->idle = handle;
  engine->idle_count++;
}

/* Told while libcurl reads that connection. What it left out has not been processed (RFC
 * 9113, 6.8); libcurl ends it with words that do not say so. */
static void goes_away(void *user, struct om_connection connection, unsigned long last_stream) {
  struct om_engine *engine = user;
  for (struct om_transfer *t = engine->newest; t != NULL; t = t->older) {
    const struct om_easy *handle = t->handle;
    if (connection.fd >= 0 && handle->connection.fd == connection.fd &&
        handle->connection.serial == connection.serial && handle->stream > last_stream) {
      t->refused = true;
    }
  }
}

/* False: libcurl refused it. */
static bool load(struct om_engine *engine, struct om_easy *handle, struct om_transfer *transfer) {
  return om_transfer_easy_load(handle, transfer, &engine->hooks) &&
         curl_multi_add_handle(transfer->host->multi, handle->easy) == CURLM_OK;
}

static void begin(struct om_engine *engine, struct om_transfer *transfer) {
  if (__atomic_load_n(&transfer->cancel, __ATOMIC_RELAXED) != 0) {
    drop(engine, transfer, OM_END_CANCELLED);
    return;
  }
  if (om_clock_is_past(&transfer->fence)) {
    drop(engine, transfer, OM_END_FENCED);
    return;
  }
  if (!om_transfer_easy_in_time(transfer)) {
    drop(engine, transfer, OM_END_TIMEOUT);
    return;
  }
  struct om_easy *handle = take_handle(engine, transfer->endpoint);
  if (handle == NULL) {
    drop(engine, transfer, OM_END_FAILED);
    return;
  }
  if (!load(engine, handle, transfer)) {
    om_transfer_easy_unload(handle, CURLE_FAILED_INIT);
    om_transfer_easy_free(handle);
    finish(engine, transfer);
    return;
  }
  transfer->handle = handle;
  link_active(engine, transfer);
}

/* A request ran out of time. Over HTTP/1.1 its connection is gone; over HTTP/2 it would be taken
 * for the next one. Where the server was not heard on it any more, that would be lost as well. */
static void retire(struct om_engine *engine, const struct om_easy *handle) {
  int64_t now_us = om_now_us();
  int64_t since_us = now_us - (int64_t)handle->transfer->timeout_ms * 500;
  if (since_us < handle->handed_us) {
    since_us = handle->handed_us;
  }
  if (om_transfer_epoll_is_silent(&engine->watches, handle->connection, since_us)) {
    om_transfer_epoll_cut(&engine->watches, handle->connection);
  }
}

static void complete(struct om_engine *engine, struct om_easy *handle, CURLcode code) {
  struct om_host *host = handle->transfer->host;
  curl_multi_remove_handle(host->multi, handle->easy);
  if (handle->again != OM_AGAIN_NOT && handle->transfer->end != OM_END_CANCELLED &&
      load(engine, handle, handle->transfer)) {
    return;
  }
  if (code == CURLE_OK) {
    om_host_learn(host, handle->easy);
  } else if (code == CURLE_OPERATION_TIMEDOUT) {
    retire(engine, handle);
  }
  struct om_transfer *transfer = om_transfer_easy_unload(handle, code);
  unlink_active(engine, transfer);
  transfer->handle = NULL;
  if (transfer->refused) {
    om_transfer_easy_free(
        handle); /* libcurl counts the repeats that it wanted, and stops at five */
  } else {
    give_handle(engine, handle);
  }
  finish(engine, transfer);
}

static void complete_host(struct om_engine *engine, struct om_host *host) {
  int left = 0;
  for (CURLMsg *message = curl_multi_info_read(host->multi, &left); message != NULL;
       message = curl_multi_info_read(host->multi, &left)) {
    struct om_easy *handle = NULL;
    CURLcode code = message->data.result; /* the message dies with the handle's removal */
    if (curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&handle) == CURLE_OK) {
      complete(engine, handle, code);
    }
  }
}

static void complete_all(struct om_engine *engine) {
  struct om_host *host = engine->queue.turn;
  for (int i = 0; i < engine->queue.hosts; i++, host = host->next) {
    if (host->carried > 0) {
      complete_host(engine, host);
    }
  }
}

/* Why the transfer has to end now; OM_END_ANSWER: it has not. */
static enum om_transfer_end verdict_of(const struct om_transfer *transfer, int64_t until_us,
                                       bool all) {
  if (all || __atomic_load_n(&transfer->cancel, __ATOMIC_RELAXED) != 0) {
    return OM_END_CANCELLED;
  }
  return due_of(transfer) <= until_us ? OM_END_TIMEOUT : OM_END_ANSWER;
}

/* The same for those of a host that wait. */
static void end_waiting(struct om_engine *engine, struct om_host *host, int64_t until_us,
                        bool all) {
  struct om_jobs kept;
  om_jobs_init(&kept);
  for (struct om_job *job = om_jobs_shift(&host->waiting); job != NULL;
       job = om_jobs_shift(&host->waiting)) {
    struct om_transfer *t = (struct om_transfer *)job;
    enum om_transfer_end end = verdict_of(t, until_us, all);
    if (end == OM_END_ANSWER) {
      note_due(engine, t);
      om_jobs_append(&kept, job);
    } else {
      drop(engine, t, end);
    }
  }
  om_jobs_move(&host->waiting, &kept);
}

/* Ends the transfers that their owners gave up or that were due until then, or all. libcurl has no
 * timeouts of ours. */
static void end_some(struct om_engine *engine, int64_t until_us, bool all) {
  struct om_transfer *older = NULL;
  struct om_host *host = engine->queue.turn;
  engine->due_us = INT64_MAX;
  for (struct om_transfer *t = engine->newest; t != NULL; t = older) {
    enum om_transfer_end end = verdict_of(t, until_us, all);
    older = t->older;
    if (end == OM_END_ANSWER) {
      note_due(engine, t);
    } else {
      t->end = end;
      complete(engine, t->handle,
               end == OM_END_TIMEOUT ? CURLE_OPERATION_TIMEDOUT : CURLE_ABORTED_BY_CALLBACK);
    }
  }
  for (int i = 0; i < engine->queue.hosts; i++, host = host->next) {
    end_waiting(engine, host, until_us, all);
  }
}

static void put(struct om_engine *engine, struct om_transfer *transfer) {
  transfer->host = om_host_of(engine, transfer->endpoint);
  if (transfer->host == NULL) {
    drop(engine, transfer, OM_END_FAILED);
    return;
  }
  note_due(engine, transfer);
  om_queue_put(&engine->queue, transfer->host, &transfer->job);
}

static void begin_some(struct om_engine *engine) {
  for (int i = 0; i < BEGIN_MAX; i++) {
    struct om_job *job = om_queue_take(&engine->queue);
    if (job == NULL) {
      return;
    }
    begin(engine, (struct om_transfer *)job);
  }
}

/* Takes the inbox. True: go on; false: the process is ending. */
static bool take_inbox(struct om_engine *engine) {
  struct om_jobs taken;
  om_jobs_init(&taken);
  pthread_mutex_lock(&engine->lock);
  while (engine->pausing) {
    engine->paused = true;
    pthread_cond_signal(&engine->changed);
    pthread_cond_wait(&engine->resumed, &engine->lock);
  }
  engine->paused = false;
  om_jobs_move(&taken, &engine->inbox);
  bool cancelling = engine->cancelling;
  bool stop = engine->stop;
  engine->cancelling = false;
  engine->announced = taken.head == NULL && !stop;
  engine->sleeping = engine->announced;
  pthread_mutex_unlock(&engine->lock);
  for (struct om_job *job = om_jobs_shift(&taken); job != NULL; job = om_jobs_shift(&taken)) {
    put(engine, (struct om_transfer *)job);
  }
  if (cancelling || stop) {
    end_some(engine, 0, stop);
  }
  begin_some(engine);
  return !stop;
}

static int wait_ms(const struct om_engine *engine) {
  if (!engine->announced || engine->finished.head != NULL || om_queue_may_take(&engine->queue)) {
    return 0;
  }
  int64_t next_us = engine->timer_us < engine->due_us ? engine->timer_us : engine->due_us;
  if (next_us == INT64_MAX) {
    return -1;
  }
  int64_t left_us = next_us - om_now_us();
  if (left_us <= 0) {
    return 0;
  }
  return left_us > 60000000 ? 60000 : (int)((left_us + 999) / 1000);
}

static void handle_event(struct om_engine *engine, const struct epoll_event *event) {
  const struct om_host *host = om_queue_owner(&engine->queue, event->data.fd);
  int running = 0;
  bool broken = false;
  unsigned happened = om_transfer_epoll_happened(&engine->watches, event, &broken);
  if (host != NULL && (happened != 0 || broken)) {
    int mask = ((happened & OM_WATCH_IN) != 0 ? CURL_CSELECT_IN : 0) |
               ((happened & OM_WATCH_OUT) != 0 ? CURL_CSELECT_OUT : 0) |
               (broken ? CURL_CSELECT_ERR : 0);
    curl_multi_socket_action(host->multi, event->data.fd, mask, &running);
  }
}

static void sleep_until_something(struct om_engine *engine, struct epoll_event *events,
                                  int *count) {
  uint64_t rung;
  *count = epoll_wait(engine->watches.epoll_fd, events, EVENTS_AT_ONCE, wait_ms(engine));
  for (int i = 0; i < *count; i++) {
    if (events[i].data.fd == engine->wake_fd) {
      ssize_t n = read(engine->wake_fd, &rung, sizeof rung);
      (void)n;
      events[i] = events[--*count];
      break;
    }
  }
}

/* The process wants to end or to fork: no more of this round. What was left out epoll says again.
 */
static bool is_urgent(const struct om_engine *engine) {
  return __atomic_load_n(&engine->urgent, __ATOMIC_RELAXED) != 0;
}

static void run_timers(struct om_engine *engine) {
  int64_t now_us = om_now_us();
  struct om_host *host = engine->queue.turn;
  int running = 0;
  for (int i = 0; i < engine->queue.hosts && !is_urgent(engine); i++, host = host->next) {
    if (host->timer_us <= now_us) {
      host->timer_us = INT64_MAX;
      curl_multi_socket_action(host->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
  }
  om_host_find_timer(engine);
}

/* Ends what is late, after everything that came in time was read: the thread, or the machine, may
 * have stood still while an answer arrived. */
static void end_late(struct om_engine *engine, int events) {
  int64_t now_us = engine->watches.now_us;
  if (engine->due_us > now_us) {
    engine->late_rounds = 0;
    return;
  }
  engine->late_rounds++;
  if ((events == 0 && engine->timer_us > om_now_us()) || engine->late_rounds > LATE_ROUNDS) {
    end_some(engine, now_us, false);
  }
}

static void run(struct om_engine *engine) {
  struct epoll_event events[EVENTS_AT_ONCE];
  int n = 0;
  while (take_inbox(engine)) {
    sleep_until_something(engine, events, &n);
    engine->watches.now_us = om_now_us();
    for (int i = 0; i < n && !is_urgent(engine); i++) {
      handle_event(engine, &events[i]);
    }
    if (engine->timer_us <= om_now_us() && !is_urgent(engine)) {
      run_timers(engine);
    }
    complete_all(engine);
    end_late(engine, n);
    om_port_deliver(&engine->finished);
  }
  om_port_deliver(&engine->finished);
}

void om_transfer_thread_close(struct om_engine *engine) {
  struct om_easy *next = NULL;
  while (engine->queue.turn != NULL) {
    om_host_close(engine, engine->queue.turn);
  }
  om_queue_close(&engine->queue);
  for (struct om_easy *handle = engine->idle; handle != NULL; handle = next) {
    next = handle->next;
    om_transfer_easy_free(handle);
  }
  if (engine->wake_fd >= 0) {
    close(engine->wake_fd);
  }
  om_watches_close(&engine->watches);
  pthread_mutex_destroy(&engine->lock);
  pthread_cond_destroy(&engine->changed);
  pthread_cond_destroy(&engine->resumed);
  free(engine);
}

void *om_transfer_thread_main(void *user) {
  struct om_engine *engine = user;
  prctl(PR_SET_NAME, "onemsg-transfer", 0, 0, 0);
  run(engine);
  pthread_mutex_lock(&engine->lock);
  engine->over = true;
  pthread_mutex_unlock(&engine->lock);
  pthread_cond_signal(&engine->changed);
  return NULL;
}

/* ---- opening ---- */

bool om_transfer_thread_open(struct om_engine *engine) {
  struct epoll_event event = {.events = (uint32_t)EPOLLIN, .data = {.fd = engine->wake_fd}};
  om_queue_init(&engine->queue, CARRIED_MAX, CARRIED_SHARE, OM_STREAMS_MAX);
  engine->hooks =
      (struct om_easy_hooks){&engine->watches, open_socket, close_socket, goes_away, engine};
  return engine->wake_fd >= 0 && om_watches_open(&engine->watches) &&
         epoll_ctl(engine->watches.epoll_fd, EPOLL_CTL_ADD, engine->wake_fd, &event) == 0;
}
