/* sql.c: the stores of a process, and when their threads begin and end (see sql.h).
 *
 * A store is found by driver and name, counted by its handles, and each of its lanes has a thread
 * from its first unit on. The last handle's end, or the process's, makes the threads finish what is
 * queued, close the database and end; they are joined by whoever looks next, at the latest at exit.
 * Two locks: the_lock for the list of stores, a store's own for its queues, always in this order,
 * and neither is held while the database works. */
#include "sql_store.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t the_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct om_sql_store *the_stores; /* the_lock */
static bool ending;                     /* the_lock: the process is */
static bool torn; /* this is a child, and its parent's thread was inside the database when it was
                     made: locks that nobody holds any more are held in here; set by the fork */

/* Has it threads, of this very process? */
static bool runs_here(const struct om_sql_store *store) {
  return __atomic_load_n(&store->pid, __ATOMIC_RELAXED) == getpid();
}

/* ---- start and stop ---- */

/* The store's lock is held. Are the threads that were started at their end? */
static bool is_over(const struct om_sql_store *store) {
  bool over = true;
  for (int i = 0; i < OM_SQL_LANES; i++) {
    over = over && (!store->lanes[i].started || store->lanes[i].over);
  }
  return over;
}

/* The store's lock is held. Has every thread closed the database for the fork? */
static bool is_paused(const struct om_sql_store *store) {
  bool paused = true;
  for (int i = 0; i < OM_SQL_LANES; i++) {
    const struct om_sql_lane *lane = &store->lanes[i];
    paused = paused && (!lane->started || lane->paused || lane->over);
  }
  return paused;
}

/* The store's lock is held. */
static void wake_all(struct om_sql_store *store) {
  for (int i = 0; i < OM_SQL_LANES; i++) {
    pthread_cond_signal(&store->lanes[i].wake);
  }
}

/* the_lock is held, and all threads are over: they have nothing left to do but to return. */
static void join(struct om_sql_store *store) {
  for (int i = 0; i < OM_SQL_LANES && !store->joined; i++) {
    if (store->lanes[i].started) {
      pthread_join(store->lanes[i].thread, NULL);
    }
  }
  store->joined = true;
}

static void free_store(struct om_sql_store *store) {
  pthread_mutex_destroy(&store->lock);
  for (int i = 0; i < OM_SQL_LANES; i++) {
    pthread_cond_destroy(&store->lanes[i].wake);
  }
  pthread_cond_destroy(&store->ended);
  free(store->name);
  free(store);
}

/* the_lock is held. Frees the stores that nobody has a handle of and whose thread has ended. */
static void reap(void) {
  struct om_sql_store **at = &the_stores;
  while (*at != NULL) {
    struct om_sql_store *store = *at;
    pid_t pid = __atomic_load_n(&store->pid, __ATOMIC_RELAXED);
    bool free_it = store->handles == 0 && (pid == 0 || pid == getpid());
    if (free_it && pid != 0) {
      pthread_mutex_lock(&store->lock);
      free_it = is_over(store);
      pthread_mutex_unlock(&store->lock);
    }
    if (!free_it) {
      at = &store->next;
      continue;
    }
    *at = store->next;
    if (pid != 0) {
      join(store);
    }
    free_store(store);
  }
}

/* the_lock is held. */
static void stop(struct om_sql_store *store, int64_t until_us) {
  pthread_mutex_lock(&store->lock);
  store->stop = true;
  store->until_us = until_us;
  wake_all(store);
  pthread_mutex_unlock(&store->lock);
}

static bool wait_for_end(struct om_sql_store *store, int64_t until_us) {
  struct timespec until = om_sql_time(until_us + OM_SQL_STOP_GRACE_MS * 1000);
  int error = 0;
  pthread_mutex_lock(&store->lock);
  while (!is_over(store) && error == 0) {
    error = pthread_cond_timedwait(&store->ended, &store->lock, &until);
  }
  bool over = is_over(store);
  pthread_mutex_unlock(&store->lock);
  return over;
}

static void stop_at_exit(void) {
  int64_t until_us = om_now_us() + OM_SQL_STOP_MS * 1000;
  pthread_mutex_lock(&the_lock);
  ending = true;
  for (struct om_sql_store *store = the_stores; store != NULL; store = store->next) {
    if (!om_sql_foreign(store)) {
      stop(store, until_us);
    }
  }
  for (struct om_sql_store *store = the_stores; store != NULL; store = store->next) {
    if (runs_here(store) && !store->joined && wait_for_end(store, until_us)) {
      join(store);
    }
  }
  pthread_mutex_unlock(&the_lock);
}

/* Around a fork: the threads close their databases, all locks are held. */
static void before_fork(void) {
  int64_t until_us = om_now_us() + OM_SQL_FORK_MS * 1000;
  struct timespec until = om_sql_time(until_us);
  pthread_mutex_lock(&the_lock);
  for (struct om_sql_store *store = the_stores; store != NULL; store = store->next) {
    pthread_mutex_lock(&store->lock);
    store->pause = runs_here(store);
    wake_all(store);
    pthread_mutex_unlock(&store->lock);
  }
  for (struct om_sql_store *store = the_stores; store != NULL; store = store->next) {
    int error = 0;
    pthread_mutex_lock(&store->lock);
    while (store->pause && !is_paused(store) && error == 0) {
      error = pthread_cond_timedwait(&store->ended, &store->lock, &until);
    }
  }
}

static void after_fork(bool child) {
  for (struct om_sql_store *store = the_stores; store != NULL; store = store->next) {
    torn = torn || (child && store->pause && !is_paused(store));
    store->pause = false;
    if (!child) {
      wake_all(store);
    }
    pthread_mutex_unlock(&store->lock);
  }
  pthread_mutex_unlock(&the_lock);
}

static void in_parent(void) {
  after_fork(false);
}

static void in_child(void) {
  after_fork(true);
}

static void prepare(void) {
  pthread_atfork(before_fork, in_parent, in_child);
  atexit(stop_at_exit);
}

/* The store's lock is held. 0, or an error number. */
static int start(struct om_sql_lane *lane) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the host's threads */
  int error = pthread_create(&lane->thread, NULL, om_sql_thread, lane);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error == 0) {
    lane->started = true;
    __atomic_store_n(&lane->store->pid, getpid(), __ATOMIC_RELAXED);
  }
  return error;
}

static struct om_sql_store *new_store(const struct om_sql_driver *driver, const char *name) {
  struct om_sql_store *store = calloc(1, sizeof *store);
  char *copy = strdup(name);
  if (store == NULL || copy == NULL) {
    free(store);
    free(copy);
    return NULL;
  }
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  for (int i = 0; i < OM_SQL_LANES; i++) {
    store->lanes[i].store = store;
    pthread_cond_init(&store->lanes[i].wake, &attributes);
    om_jobs_init(&store->lanes[i].queue);
  }
  pthread_cond_init(&store->ended, &attributes);
  pthread_condattr_destroy(&attributes);
  pthread_mutex_init(&store->lock, NULL);
  store->driver = driver;
  store->name = copy;
  store->stop = ending;
  return store;
}

/* ---- the owner's side ---- */

bool om_sql_foreign(const struct om_sql_store *store) {
  pid_t pid = __atomic_load_n(&store->pid, __ATOMIC_RELAXED);
  return pid != 0 && pid != getpid();
}

struct om_sql_store *om_sql_attach(const struct om_sql_driver *driver, const char *name,
                                   bool create, struct om_sql_error *error) {
  pthread_once(&once, prepare);
  pthread_mutex_lock(&the_lock);
  reap();
  struct om_sql_store *store = the_stores;
  while (store != NULL && (store->driver != driver || strcmp(store->name, name) != 0 ||
                           store->stop || om_sql_foreign(store))) {
    store = store->next;
  }
  if (store == NULL) {
    store = new_store(driver, name);
    if (store == NULL) {
      om_sql_fail(error, OM_SQL_MEMORY, 0, "out of memory");
    } else {
      store->next = the_stores;
      the_stores = store;
    }
  }
  if (store != NULL) {
    pthread_mutex_lock(&store->lock);
    store->create = store->create || create;
    pthread_mutex_unlock(&store->lock);
    store->handles++;
  }
  pthread_mutex_unlock(&the_lock);
  return store;
}

void om_sql_detach(struct om_sql_store *store, bool wait) {
  int64_t until_us = om_now_us() + OM_SQL_STOP_MS * 1000;
  pthread_mutex_lock(&the_lock);
  bool last = store->handles == 1;
  bool started = runs_here(store);
  if (last && started && !store->stop) {
    stop(store, until_us);
  }
  if (last && started && wait) {
    pthread_mutex_unlock(&the_lock); /* this handle still holds the store */
    wait_for_end(store, until_us);
    pthread_mutex_lock(&the_lock);
  }
  store->handles--;
  reap();
  pthread_mutex_unlock(&the_lock);
}

void om_sql_read_stats(struct om_sql_store *store, struct om_sql_stats *stats) {
  pthread_mutex_lock(&store->lock);
  const struct om_sql_stats *reads = &store->lanes[OM_SQL_READS].stats;
  *stats = store->lanes[OM_SQL_COMMITS].stats;
  stats->reads += reads->reads;
  stats->failed += reads->failed;
  stats->busy += reads->busy;
  stats->opened += reads->opened;
  stats->queued = store->load;
  pthread_mutex_unlock(&store->lock);
}

/* The store's lock is held. The lane for a unit, its thread started; NULL: errno says why not. What
 * reads goes with the others where it can't go apart, or no second thread is to be had. */
static struct om_sql_lane *lane_for(struct om_sql_store *store, const struct om_sql_unit *unit) {
  struct om_sql_lane *lane = &store->lanes[OM_SQL_READS];
  if (unit->reads && store->driver->reads_apart && (lane->started || start(lane) == 0)) {
    return lane;
  }
  lane = &store->lanes[OM_SQL_COMMITS];
  int error = lane->started ? 0 : start(lane);
  errno = error;
  return error == 0 ? lane : NULL;
}

/* The store's lock is held. */
static enum om_submitted enqueue(struct om_sql_store *store, struct om_sql_unit *unit,
                                 struct om_sql_lane **to) {
  if (store->stop || om_sql_foreign(store)) {
    om_sql_fail(&unit->error, OM_SQL_CLOSED, 0, "the store is closed; this unit was not begun");
    return OM_SUBMIT_STOPPED;
  }
  if (torn) {
    om_sql_fail(&unit->error, OM_SQL_CLOSED, 0,
                "this process was forked while a statement ran that took longer than %d ms; no "
                "store can be used in it",
                OM_SQL_FORK_MS);
    return OM_SUBMIT_STOPPED;
  }
  if (store->load >= OM_SQL_QUEUE_MAX || store->load_bytes + unit->bytes > OM_SQL_QUEUE_MAX_BYTES) {
    om_sql_fail(&unit->error, OM_SQL_QUEUE, 0,
                "%d units wait already; wait for some of them before this one", store->load);
    return OM_SUBMIT_FULL;
  }
  struct om_sql_lane *lane = lane_for(store, unit);
  if (lane == NULL) {
    int error = errno;
    om_sql_fail(&unit->error, OM_SQL_MEMORY, error, "no thread could be started: %s",
                strerror(error));
    errno = error;
    return OM_SUBMIT_FAILED;
  }
  om_jobs_append(&lane->queue, &unit->job);
  lane->waiting++;
  lane->want = unit->reads ? 1 : lane->want;
  lane->load++;
  store->load++;
  store->load_bytes += unit->bytes;
  *to = lane;
  return OM_SUBMITTED;
}

enum om_submitted om_sql_submit(struct om_job *job) {
  struct om_sql_unit *unit = (struct om_sql_unit *)job;
  struct om_sql_store *store = unit->store;
  struct om_sql_lane *lane = NULL;
  unit->deadline_us = om_now_us() + unit->patience_us;
  pthread_mutex_lock(&store->lock);
  enum om_submitted result = enqueue(store, unit, &lane);
  bool wake = result == OM_SUBMITTED && lane->sleeping && lane->waiting >= lane->want;
  pthread_mutex_unlock(&store->lock);
  if (wake) {
    pthread_cond_signal(&lane->wake);
  }
  return result;
}

void om_sql_cancel(struct om_job *job) {
  __atomic_store_n(&((struct om_sql_unit *)job)->cancelled, 1, __ATOMIC_RELAXED);
}
