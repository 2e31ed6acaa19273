/* sql.c: the stores of a process, and when their threads begin and end (see sql.h).
 *
 * A store is found by driver and name, counted by its handles, and has a thread from its first unit
 * on. The last handle's end, or the process's, makes the thread finish what is queued, close the
 * database and end; it is joined by whoever looks next, at the latest at exit. Two locks: the_lock
 * for the list of stores, a store's own for its queue, always in this order, and neither is held
 * while the database works. */
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

/* Has it a thread, of this very process? */
static bool runs_here(const struct om_sql_store *store) {
  return __atomic_load_n(&store->pid, __ATOMIC_RELAXED) == getpid();
}

/* ---- start and stop ---- */

static void free_store(struct om_sql_store *store) {
  pthread_mutex_destroy(&store->lock);
  pthread_cond_destroy(&store->wake);
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
      free_it = store->over;
      pthread_mutex_unlock(&store->lock);
    }
    if (!free_it) {
      at = &store->next;
      continue;
    }
    *at = store->next;
    if (pid != 0 && !store->joined) {
      pthread_join(store->thread, NULL); /* it has nothing left to do but to return */
    }
    free_store(store);
  }
}

/* the_lock is held. */
static void stop(struct om_sql_store *store, int64_t until_us) {
  pthread_mutex_lock(&store->lock);
  store->stop = true;
  store->until_us = until_us;
  pthread_cond_signal(&store->wake);
  pthread_mutex_unlock(&store->lock);
}

static bool wait_for_end(struct om_sql_store *store, int64_t until_us) {
  struct timespec until = om_sql_time(until_us + OM_SQL_STOP_GRACE_MS * 1000);
  int error = 0;
  pthread_mutex_lock(&store->lock);
  while (!store->over && error == 0) {
    error = pthread_cond_timedwait(&store->ended, &store->lock, &until);
  }
  bool over = store->over;
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
      pthread_join(store->thread, NULL);
      store->joined = true;
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
    pthread_cond_signal(&store->wake);
    pthread_mutex_unlock(&store->lock);
  }
  for (struct om_sql_store *store = the_stores; store != NULL; store = store->next) {
    int error = 0;
    pthread_mutex_lock(&store->lock);
    while (store->pause && !store->paused && !store->over && error == 0) {
      error = pthread_cond_timedwait(&store->ended, &store->lock, &until);
    }
  }
}

static void after_fork(bool child) {
  for (struct om_sql_store *store = the_stores; store != NULL; store = store->next) {
    torn = torn || (child && store->pause && !store->paused && !store->over);
    store->pause = false;
    if (!child) {
      pthread_cond_signal(&store->wake);
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
static int start(struct om_sql_store *store) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the host's threads */
  int error = pthread_create(&store->thread, NULL, om_sql_thread, store);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error == 0) {
    __atomic_store_n(&store->pid, getpid(), __ATOMIC_RELAXED);
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
  pthread_cond_init(&store->wake, &attributes);
  pthread_cond_init(&store->ended, &attributes);
  pthread_condattr_destroy(&attributes);
  pthread_mutex_init(&store->lock, NULL);
  om_jobs_init(&store->queue);
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
  *stats = store->stats;
  stats->queued = store->load;
  pthread_mutex_unlock(&store->lock);
}

/* The store's lock is held. */
static enum om_submitted enqueue(struct om_sql_store *store, struct om_sql_unit *unit) {
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
  int error = __atomic_load_n(&store->pid, __ATOMIC_RELAXED) == 0 ? start(store) : 0;
  if (error != 0) {
    om_sql_fail(&unit->error, OM_SQL_MEMORY, error, "no thread could be started: %s",
                strerror(error));
    errno = error;
    return OM_SUBMIT_FAILED;
  }
  om_jobs_append(&store->queue, &unit->job);
  store->waiting++;
  store->want = unit->reads ? 1 : store->want;
  store->load++;
  store->load_bytes += unit->bytes;
  return OM_SUBMITTED;
}

enum om_submitted om_sql_submit(struct om_job *job) {
  struct om_sql_unit *unit = (struct om_sql_unit *)job;
  struct om_sql_store *store = unit->store;
  unit->deadline_us = om_now_us() + unit->patience_us;
  pthread_mutex_lock(&store->lock);
  enum om_submitted result = enqueue(store, unit);
  bool wake = result == OM_SUBMITTED && store->sleeping && store->waiting >= store->want;
  pthread_mutex_unlock(&store->lock);
  if (wake) {
    pthread_cond_signal(&store->wake);
  }
  return result;
}

void om_sql_cancel(struct om_job *job) {
  __atomic_store_n(&((struct om_sql_unit *)job)->cancelled, 1, __ATOMIC_RELAXED);
}
