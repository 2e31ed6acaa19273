/* transfer.c: the transfer thread (see transfer.h).
 *
 * Owners put transfers into the inbox under the lock and wake the thread only if it sleeps; the
 * thread takes the whole inbox at once. Everything else below belongs to the thread alone.
 *
 * libcurl is driven by curl_multi_socket_action and epoll with lazy registration: a descriptor
 * stays registered when libcurl stops caring for it, and goes only when an event nobody wants
 * arrives. That saves two system calls a request against an API that is a round trip away
 * (MEASURED.md).
 */
#include "transfer.h"
#include "carrier.h"
#include "watch.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Then what is done goes home: with more, owners idle while a burst of answers is read. */
#define EVENTS_AT_ONCE  32
#define STREAMS_MAX     256L /* default 100; a cold burst of 256 over HTTP/2 is 4 times faster */
#define CONNECTIONS_MIN 8L
#define CARRIED_MAX                                                                                \
  4096 /* transfers that libcurl has: each costs it some 10 KB, and to take one                    \
        * that waits for a connection away it looks through all that do */
#define GRACE_US     20000 /* libcurl ends what is late itself, and knows better why */
#define FORK_WAIT_MS 1000  /* a round of the thread takes far less */
#define IDLE_MAX     1024  /* easy handles kept for reuse */
#define IDLE_SEARCH  8     /* how deep to look for one with the same endpoint */

struct engine {
  pthread_mutex_t lock;
  pthread_cond_t changed; /* `over` or `paused` */
  pthread_cond_t resumed;
  struct om_jobs inbox; /* lock */
  bool sleeping;        /* lock */
  bool cancelling;      /* lock */
  bool stop;            /* lock */
  bool over;            /* lock: the thread is done */
  bool pausing;         /* lock: a fork wants the thread to stand still */
  bool paused;          /* lock: it does */
  int load;             /* __atomic: transfers under way */
  pid_t pid;
  pthread_t thread;
  int wake_fd;
  CURLM *multi;
  long max_connections;
  int64_t timer_us; /* libcurl's; INT64_MAX: none */
  int64_t due_us;   /* no transfer's time is over before; INT64_MAX: there is none */
  struct om_watches watches;
  struct om_carrier *idle;
  int idle_count;
  struct om_transfer *newest; /* the ones libcurl has: `carried` */
  int carried;
  struct om_jobs waiting; /* the ones it has not got yet, oldest first */
  struct om_jobs finished;
};

static pthread_mutex_t the_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct engine *the_engine; /* the_lock */
static bool ending;               /* the_lock: the process is on its way out */
static bool blind;                /* the_lock: this process was forked while the thread ran */

/* ---- the transfer ---- */

static void destroy(struct om_job *job) {
  struct om_transfer *transfer = (struct om_transfer *)job;
  om_endpoint_drop(transfer->endpoint);
  free(transfer->url);
  free(transfer->body);
  if (transfer->answer != transfer->first) {
    free(transfer->answer);
  }
  free(transfer->error);
  free(transfer);
}

struct om_transfer *om_transfer_new(struct om_port *port, struct om_endpoint *endpoint,
                                    const char *method, char *url, char *body, size_t body_bytes,
                                    long timeout_ms) {
  static const struct om_job_type type = {"transfer", destroy};
  struct om_transfer *transfer = calloc(1, sizeof *transfer);
  if (transfer == NULL) {
    free(url);
    free(body);
    return NULL;
  }
  om_job_init(&transfer->job, &type, port);
  om_endpoint_hold(endpoint);
  transfer->endpoint = endpoint;
  transfer->method = method;
  transfer->url = url;
  transfer->body = body;
  transfer->body_bytes = body_bytes;
  transfer->timeout_ms = timeout_ms;
  transfer->answer = transfer->first;
  transfer->answer_room = sizeof transfer->first;
  return transfer;
}

/* ---- libcurl's callbacks ---- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket_user) {
  struct engine *engine = user;
  unsigned wanted = what == CURL_POLL_REMOVE ? 0 : (unsigned)what & (OM_WATCH_IN | OM_WATCH_OUT);
  (void)easy;
  (void)socket_user;
  return om_watch_want(&engine->watches, fd, wanted) ? 0 : -1; /* -1: it ends the transfers */
}

static int on_timer(CURLM *multi, long timeout_ms, void *user) {
  struct engine *engine = user;
  (void)multi;
  engine->timer_us = timeout_ms < 0 ? INT64_MAX : om_now_us() + (int64_t)timeout_ms * 1000;
  return 0;
}

static curl_socket_t open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address) {
  struct engine *engine = user;
  int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  (void)purpose;
  om_watch_opened(&engine->watches, fd);
  return fd;
}

static int close_socket(void *user, curl_socket_t fd) {
  struct engine *engine = user;
  om_watch_closing(&engine->watches, fd);
  return close(fd);
}

/* ---- the thread ---- */

static void finish(struct engine *engine, struct om_transfer *transfer) {
  __atomic_sub_fetch(&engine->load, 1, __ATOMIC_RELAXED);
  __atomic_sub_fetch(&transfer->endpoint->in_flight, 1, __ATOMIC_RELAXED);
  om_jobs_append(&engine->finished, &transfer->job);
}

/* Ends a transfer that libcurl never had. */
static void drop(struct engine *engine, struct om_transfer *transfer, enum om_transfer_end end) {
  transfer->end = end;
  transfer->ended_us = om_now_us();
  finish(engine, transfer);
}

static int64_t due_of(const struct om_transfer *transfer) {
  return transfer->submitted_us + transfer->timeout_ms * 1000 + GRACE_US;
}

static void note_due(struct engine *engine, const struct om_transfer *transfer) {
  int64_t due_us = due_of(transfer);
  if (due_us < engine->due_us) {
    engine->due_us = due_us;
  }
}

static void link_active(struct engine *engine, struct om_transfer *transfer) {
  engine->carried++;
  transfer->older = engine->newest;
  transfer->newer = NULL;
  if (engine->newest != NULL) {
    engine->newest->newer = transfer;
  }
  engine->newest = transfer;
}

static void unlink_active(struct engine *engine, struct om_transfer *transfer) {
  engine->carried--;
  if (transfer->newer != NULL) {
    transfer->newer->older = transfer->older;
  } else {
    engine->newest = transfer->older;
  }
  if (transfer->older != NULL) {
    transfer->older->newer = transfer->newer;
  }
}

/* An idle carrier, at best one that has the endpoint's options already. */
static struct om_carrier *take_carrier(struct engine *engine, const struct om_endpoint *endpoint) {
  struct om_carrier **link = &engine->idle;
  for (int i = 0; i < IDLE_SEARCH && *link != NULL && (*link)->endpoint != endpoint; i++) {
    link = &(*link)->next;
  }
  if (*link == NULL) {
    link = &engine->idle;
  }
  struct om_carrier *carrier = *link;
  if (carrier == NULL) {
    return om_carrier_new();
  }
  *link = carrier->next;
  engine->idle_count--;
  return carrier;
}

static void give_carrier(struct engine *engine, struct om_carrier *carrier) {
  if (engine->idle_count >= IDLE_MAX) {
    om_carrier_free(carrier);
    return;
  }
  carrier->next = engine->idle;
  engine->idle = carrier;
  engine->idle_count++;
}

static void allow_connections(struct engine *engine, long connections) {
  if (connections > engine->max_connections) {
    engine->max_connections = connections;
    curl_multi_setopt(engine->multi, CURLMOPT_MAX_HOST_CONNECTIONS, connections);
    curl_multi_setopt(engine->multi, CURLMOPT_MAXCONNECTS, connections + CONNECTIONS_MIN);
  }
}

static void begin(struct engine *engine, struct om_transfer *transfer) {
  const struct om_carrier_hooks hooks = {open_socket, close_socket, engine};
  if (__atomic_load_n(&transfer->cancel, __ATOMIC_RELAXED) != 0) {
    drop(engine, transfer, OM_END_CANCELLED);
    return;
  }
  struct om_carrier *carrier = take_carrier(engine, transfer->endpoint);
  if (carrier == NULL) {
    drop(engine, transfer, OM_END_FAILED);
    return;
  }
  allow_connections(engine, transfer->endpoint->max_connections);
  if (!om_carrier_load(carrier, transfer, &hooks) ||
      curl_multi_add_handle(engine->multi, carrier->easy) != CURLM_OK) {
    om_carrier_unload(carrier, CURLE_FAILED_INIT);
    om_carrier_free(carrier);
    finish(engine, transfer);
    return;
  }
  transfer->carrier = carrier;
  link_active(engine, transfer);
}

static void complete(struct engine *engine, struct om_carrier *carrier, CURLcode code) {
  curl_multi_remove_handle(engine->multi, carrier->easy);
  struct om_transfer *transfer = om_carrier_unload(carrier, code);
  unlink_active(engine, transfer);
  transfer->carrier = NULL;
  give_carrier(engine, carrier);
  finish(engine, transfer);
}

static void complete_all(struct engine *engine) {
  int left = 0;
  for (CURLMsg *message = curl_multi_info_read(engine->multi, &left); message != NULL;
       message = curl_multi_info_read(engine->multi, &left)) {
    struct om_carrier *carrier = NULL;
    CURLcode code = message->data.result; /* the message dies with the handle's removal */
    if (curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&carrier) == CURLE_OK) {
      complete(engine, carrier, code);
    }
  }
}

/* Why the transfer has to end now; OM_END_ANSWER: it has not. */
static enum om_transfer_end verdict_of(const struct om_transfer *transfer, int64_t now_us,
                                       bool all) {
  if (all || __atomic_load_n(&transfer->cancel, __ATOMIC_RELAXED) != 0) {
    return OM_END_CANCELLED;
  }
  return due_of(transfer) <= now_us ? OM_END_TIMEOUT : OM_END_ANSWER;
}

/* Ends the transfers that their owners gave up or whose time is over, or all. libcurl looks at no
 * timeout of a transfer that waits for a connection behind slower ones to the same host. */
static void end_some(struct engine *engine, bool all) {
  int64_t now_us = om_now_us();
  struct om_jobs kept;
  struct om_transfer *older = NULL;
  om_jobs_init(&kept);
  engine->due_us = INT64_MAX;
  for (struct om_transfer *t = engine->newest; t != NULL; t = older) {
    enum om_transfer_end end = verdict_of(t, now_us, all);
    older = t->older;
    if (end == OM_END_ANSWER) {
      note_due(engine, t);
    } else {
      t->end = end;
      complete(engine, t->carrier,
               end == OM_END_TIMEOUT ? CURLE_OPERATION_TIMEDOUT : CURLE_ABORTED_BY_CALLBACK);
    }
  }
  for (struct om_job *job = om_jobs_shift(&engine->waiting); job != NULL;
       job = om_jobs_shift(&engine->waiting)) {
    struct om_transfer *t = (struct om_transfer *)job;
    enum om_transfer_end end = verdict_of(t, now_us, all);
    if (end == OM_END_ANSWER) {
      note_due(engine, t);
      om_jobs_append(&kept, job);
    } else {
      drop(engine, t, end);
    }
  }
  om_jobs_move(&engine->waiting, &kept);
}

/* Takes the inbox. True: go on; false: the process is ending. */
static bool take_inbox(struct engine *engine) {
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
  engine->sleeping = taken.head == NULL && !stop;
  pthread_mutex_unlock(&engine->lock);
  for (struct om_job *job = om_jobs_shift(&taken); job != NULL; job = om_jobs_shift(&taken)) {
    note_due(engine, (struct om_transfer *)job);
    om_jobs_append(&engine->waiting, job);
  }
  if (cancelling || stop || engine->due_us <= om_now_us()) {
    end_some(engine, stop);
  }
  while (engine->carried < CARRIED_MAX && engine->waiting.head != NULL) {
    begin(engine, (struct om_transfer *)om_jobs_shift(&engine->waiting));
  }
  return !stop;
}

static int wait_ms(const struct engine *engine) {
  if (engine->finished.head != NULL) {
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

static void handle_event(struct engine *engine, const struct epoll_event *event) {
  int running = 0;
  bool broken = false;
  unsigned happened = om_watch_happened(&engine->watches, event, &broken);
  if (happened != 0 || broken) {
    int mask = ((happened & OM_WATCH_IN) != 0 ? CURL_CSELECT_IN : 0) |
               ((happened & OM_WATCH_OUT) != 0 ? CURL_CSELECT_OUT : 0) |
               (broken ? CURL_CSELECT_ERR : 0);
    curl_multi_socket_action(engine->multi, event->data.fd, mask, &running);
  }
}

static void sleep_until_something(struct engine *engine, struct epoll_event *events, int *count) {
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

static void run(struct engine *engine) {
  struct epoll_event events[EVENTS_AT_ONCE];
  int running = 0;
  int n = 0;
  while (take_inbox(engine)) {
    sleep_until_something(engine, events, &n);
    for (int i = 0; i < n; i++) {
      handle_event(engine, &events[i]);
    }
    if (engine->timer_us <= om_now_us()) {
      engine->timer_us = INT64_MAX;
      curl_multi_socket_action(engine->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    complete_all(engine);
    om_port_deliver(&engine->finished);
  }
  om_port_deliver(&engine->finished);
}

static void close_engine(struct engine *engine) {
  struct om_carrier *next = NULL;
  if (engine->multi != NULL) {
    curl_multi_cleanup(engine->multi); /* first: it closes connections through our callbacks */
  }
  for (struct om_carrier *carrier = engine->idle; carrier != NULL; carrier = next) {
    next = carrier->next;
    om_carrier_free(carrier);
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

static void *main_of_thread(void *user) {
  struct engine *engine = user;
  prctl(PR_SET_NAME, "onemsg-transfer", 0, 0, 0);
  run(engine);
  pthread_mutex_lock(&engine->lock);
  engine->over = true;
  pthread_mutex_unlock(&engine->lock);
  pthread_cond_signal(&engine->changed);
  return NULL;
}

/* ---- start and stop ---- */

static bool open_multi(struct engine *engine) {
  struct epoll_event event = {.events = (uint32_t)EPOLLIN, .data = {.fd = engine->wake_fd}};
  engine->multi = curl_multi_init();
  if (engine->wake_fd < 0 || !om_watches_open(&engine->watches) || engine->multi == NULL ||
      epoll_ctl(engine->watches.epoll_fd, EPOLL_CTL_ADD, engine->wake_fd, &event) != 0) {
    return false;
  }
  curl_multi_setopt(engine->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(engine->multi, CURLMOPT_SOCKETDATA, engine);
  curl_multi_setopt(engine->multi, CURLMOPT_TIMERFUNCTION, on_timer);
  curl_multi_setopt(engine->multi, CURLMOPT_TIMERDATA, engine);
  curl_multi_setopt(engine->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, STREAMS_MAX);
  return true;
}

/* the_lock is held. NULL and errno: it could not be made. */
static struct engine *start(void) {
  pthread_condattr_t attributes;
  sigset_t all;
  sigset_t before;
  struct engine *engine = calloc(1, sizeof *engine);
  if (engine == NULL) {
    return NULL;
  }
  om_jobs_init(&engine->inbox);
  om_jobs_init(&engine->waiting);
  om_jobs_init(&engine->finished);
  pthread_mutex_init(&engine->lock, NULL);
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&engine->changed, &attributes);
  pthread_condattr_destroy(&attributes);
  pthread_cond_init(&engine->resumed, NULL);
  engine->pid = om_process();
  engine->timer_us = engine->due_us = INT64_MAX;
  engine->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  engine->watches.epoll_fd = -1;
  int error = ENOMEM;
  if (open_multi(engine)) {
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the host's threads */
    error = pthread_create(&engine->thread, NULL, main_of_thread, engine);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
  }
  if (error != 0) {
    close_engine(engine);
    errno = error;
    return NULL;
  }
  return engine;
}

/* engine->lock is held. Wakes the thread, and waits until *done or the time is over. */
static void wake_and_wait(struct engine *engine, const bool *done, long wait_ms) {
  int64_t until_us = om_now_us() + wait_ms * 1000;
  struct timespec until = {.tv_sec = (time_t)(until_us / 1000000),
                           .tv_nsec = (long)(until_us % 1000000) * 1000};
  uint64_t one = 1;
  int error = 0;
  ssize_t n = write(engine->wake_fd, &one, sizeof one);
  (void)n;
  while (!*done && !engine->over && error == 0) {
    error = pthread_cond_timedwait(&engine->changed, &engine->lock, &until);
  }
}

/* Runs at exit, before libcurl's and OpenSSL's own clean-up. */
static void stop_at_exit(void) {
  pthread_mutex_lock(&the_lock);
  struct engine *engine = the_engine;
  ending = true;
  the_engine = NULL;
  pthread_mutex_unlock(&the_lock);
  if (engine == NULL || engine->pid != om_process()) {
    return;
  }
  pthread_mutex_lock(&engine->lock);
  engine->stop = true;
  wake_and_wait(engine, &engine->over, OM_STOP_WAIT_MS);
  bool over = engine->over;
  pthread_mutex_unlock(&engine->lock);
  if (over) {
    pthread_join(engine->thread, NULL);
    close_engine(engine);
  }
}

/* Before a fork. The thread must stand still, outside of libcurl and OpenSSL: a lock that it held
 * there would be held in the child for ever, and the child's first handshake would wait for it. */
static void pause_for_fork(void) {
  pthread_mutex_lock(&the_lock);
  struct engine *engine = the_engine;
  if (engine != NULL && engine->pid == om_process()) {
    pthread_mutex_lock(&engine->lock);
    engine->pausing = true;
    wake_and_wait(engine, &engine->paused, FORK_WAIT_MS);
    blind = !engine->paused && !engine->over;
    pthread_mutex_unlock(&engine->lock);
  }
}

static void resume_in_parent(void) {
  struct engine *engine = the_engine;
  if (engine != NULL && engine->pid == om_process()) {
    blind = false;
    pthread_mutex_lock(&engine->lock);
    engine->pausing = false;
    pthread_mutex_unlock(&engine->lock);
    pthread_cond_signal(&engine->resumed);
  }
  pthread_mutex_unlock(&the_lock);
}

static void resume_in_child(void) {
  pthread_mutex_unlock(&the_lock);
}

static void prepare(void) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  pthread_atfork(pause_for_fork, resume_in_parent, resume_in_child);
  atexit(stop_at_exit); /* after curl_global_init: runs before what that registered */
}

/* the_lock is held. The running engine of this very process; a forked child gets one of its own. */
static struct engine *running_engine(void) {
  if (the_engine == NULL || the_engine->pid != om_process()) {
    the_engine = start();
  }
  return the_engine;
}

/* the_lock is held, so that the process cannot end under it. */
static enum om_submitted enqueue(struct engine *engine, struct om_transfer *transfer) {
  if (__atomic_add_fetch(&engine->load, 1, __ATOMIC_RELAXED) > OM_QUEUE_MAX) {
    __atomic_sub_fetch(&engine->load, 1, __ATOMIC_RELAXED);
    return OM_SUBMIT_FULL;
  }
  __atomic_add_fetch(&transfer->endpoint->in_flight, 1, __ATOMIC_RELAXED);
  transfer->submitted_us = om_now_us();
  pthread_mutex_lock(&engine->lock);
  om_jobs_append(&engine->inbox, &transfer->job);
  bool wake = engine->sleeping;
  engine->sleeping = false;
  pthread_mutex_unlock(&engine->lock);
  if (wake) {
    uint64_t one = 1;
    ssize_t n = write(engine->wake_fd, &one, sizeof one);
    (void)n;
  }
  return OM_SUBMITTED;
}

enum om_submitted om_transfer_submit(struct om_job *job) {
  enum om_submitted result = OM_SUBMIT_STOPPED;
  pthread_once(&once, prepare);
  pthread_mutex_lock(&the_lock);
  if (blind) {
    result = OM_SUBMIT_FAILED;
    errno = EDEADLK;
  } else if (!ending) {
    struct engine *engine = running_engine();
    result = engine != NULL ? enqueue(engine, (struct om_transfer *)job) : OM_SUBMIT_FAILED;
  }
  pthread_mutex_unlock(&the_lock);
  return result;
}

void om_transfer_cancel(struct om_job *job) {
  struct om_transfer *transfer = (struct om_transfer *)job;
  uint64_t one = 1;
  __atomic_store_n(&transfer->cancel, 1, __ATOMIC_RELAXED);
  pthread_mutex_lock(&the_lock);
  struct engine *engine = the_engine;
  if (engine != NULL && engine->pid == om_process()) {
    pthread_mutex_lock(&engine->lock);
    engine->cancelling = true;
    pthread_mutex_unlock(&engine->lock);
    ssize_t n = write(engine->wake_fd, &one, sizeof one);
    (void)n;
  }
  pthread_mutex_unlock(&the_lock);
}
