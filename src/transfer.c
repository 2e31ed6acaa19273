/* transfer.c: the owners' side of the transfer thread (see transfer.h): transfers, the engine's
 * start, its stop at exit, and what a fork does to it. The thread itself is transfer_thread.c's.
 *
 * Owners put transfers into the inbox under the lock and wake the thread only if it sleeps.
 */
#include "transfer.h"
#include "transfer_thread.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define FORK_WAIT_MS 10000 /* the rest of a round takes milliseconds; see OM_STOP_WAIT_MS */

static pthread_mutex_t the_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct om_engine *the_engine; /* the_lock */
static bool ending;                  /* the_lock: the process is on its way out */
static bool blind;                   /* the_lock: this process was forked while the thread ran */

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
  transfer->answer_size = sizeof transfer->first;
  return transfer;
}

bool om_transfer_reads(const struct om_transfer *transfer) {
  return strcmp(transfer->method, "GET") == 0;
}

bool om_transfer_left(const struct om_transfer *transfer) {
  return transfer->asked && transfer->handed_bytes == transfer->body_bytes && !transfer->refused;
}

/* ---- start and stop ---- */

/* the_lock is held. NULL and errno: it could not be made. */
static struct om_engine *start(void) {
  pthread_condattr_t attributes;
  sigset_t all;
  sigset_t before;
  struct om_engine *engine = calloc(1, sizeof *engine);
  if (engine == NULL) {
    return NULL;
  }
  om_jobs_init(&engine->inbox);
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
  engine->watches.epoll_fd = engine->watches.dead_fd = -1;
  int error = ENOMEM;
  if (om_transfer_thread_open(engine)) {
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the host's threads */
    error = pthread_create(&engine->thread, NULL, om_transfer_thread_main, engine);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
  }
  if (error != 0) {
    om_transfer_thread_close(engine);
    errno = error;
    return NULL;
  }
  return engine;
}

/* engine->lock is held. Wakes the thread, and waits until *done or the time is over. */
static void wake_and_wait(struct om_engine *engine, const bool *done, long wait_ms) {
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
  struct om_engine *engine = the_engine;
  ending = true;
  the_engine = NULL;
  pthread_mutex_unlock(&the_lock);
  if (engine == NULL || engine->pid != om_process()) {
    return;
  }
  pthread_mutex_lock(&engine->lock);
  engine->stop = true;
  __atomic_store_n(&engine->urgent, 1, __ATOMIC_RELAXED);
  wake_and_wait(engine, &engine->over, OM_STOP_WAIT_MS);
  bool over = engine->over;
  pthread_mutex_unlock(&engine->lock);
  if (over) {
    pthread_join(engine->thread, NULL);
    om_transfer_thread_close(engine);
  }
}

/* Before a fork. The thread must stand still, outside of libcurl and OpenSSL: a lock that it held
 * there would be held in the child for ever, and the child's first handshake would wait for it. */
static void pause_for_fork(void) {
  pthread_mutex_lock(&the_lock);
  struct om_engine *engine = the_engine;
  if (engine != NULL && engine->pid == om_process()) {
    pthread_mutex_lock(&engine->lock);
    engine->pausing = true;
    __atomic_store_n(&engine->urgent, 1, __ATOMIC_RELAXED);
    wake_and_wait(engine, &engine->paused, FORK_WAIT_MS);
    blind = !engine->paused && !engine->over;
    pthread_mutex_unlock(&engine->lock);
  }
}

static void resume_in_parent(void) {
  struct om_engine *engine = the_engine;
  if (engine != NULL && engine->pid == om_process()) {
    blind = false;
    pthread_mutex_lock(&engine->lock);
    engine->pausing = false;
    __atomic_store_n(&engine->urgent, 0, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&engine->lock);
    pthread_cond_signal(&engine->resumed);
  }
  pthread_mutex_unlock(&the_lock);
}

/* The thread stood still, so what it noted of its sockets is whole. libcurl is left alone: it would
 * say goodbye on connections that the parent still uses. */
static void resume_in_child(void) {
  if (the_engine != NULL && !blind && the_engine->wake_fd >= 0) {
    om_watches_abandon(&the_engine->watches);
    close(the_engine->wake_fd);
    the_engine->wake_fd = -1;
  }
  pthread_mutex_unlock(&the_lock);
}

static void prepare(void) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  pthread_atfork(pause_for_fork, resume_in_parent, resume_in_child);
  atexit(stop_at_exit); /* after curl_global_init: runs before what that registered */
}

/* the_lock is held. The running engine of this very process; a forked child gets one of its own. */
static struct om_engine *running_engine(void) {
  if (the_engine == NULL || the_engine->pid != om_process()) {
    the_engine = start();
  }
  return the_engine;
}

/* the_lock is held, so that the process cannot end under it. */
static enum om_submitted enqueue(struct om_engine *engine, struct om_transfer *transfer) {
  int all = __atomic_add_fetch(&engine->load, 1, __ATOMIC_RELAXED);
  int own = __atomic_add_fetch(&transfer->endpoint->in_flight, 1, __ATOMIC_RELAXED);
  if (all > OM_QUEUE_MAX && own > OM_QUEUE_SHARE) {
    __atomic_sub_fetch(&engine->load, 1, __ATOMIC_RELAXED);
    __atomic_sub_fetch(&transfer->endpoint->in_flight, 1, __ATOMIC_RELAXED);
    return OM_SUBMIT_FULL;
  }
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
    struct om_engine *engine = running_engine();
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
  struct om_engine *engine = the_engine;
  if (engine != NULL && engine->pid == om_process()) {
    pthread_mutex_lock(&engine->lock);
    engine->cancelling = true;
    pthread_mutex_unlock(&engine->lock);
    ssize_t n = write(engine->wake_fd, &one, sizeof one);
    (void)n;
  }
  pthread_mutex_unlock(&the_lock);
}
