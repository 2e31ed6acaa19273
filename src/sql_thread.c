/* sql_thread.c: a store's thread: sleeps until units are there, has a round with them, sends the
 * answers home (see sql.h).
 *
 * Callers that were answered together come back one after the other. Whoever committed for the
 * first of them would make all the others wait for a second commit, so the thread waits for as many
 * as were under way before, but for no longer than a part of what the last commit took: on a slow
 * disk that is twice the rate and half the waiting, and on a fast one it costs next to nothing. */
#include "sql_commit.h"
#include "sql_store.h"

#include <errno.h>
#include <sys/prctl.h>

#define GATHER_SHARE  2    /* waits for company half as long as the last commit took … */
#define GATHER_MAX_US 1000 /* … and no longer: it may not come */

static void sleep_until(struct om_sql_store *store, int64_t until_us) {
  store->sleeping = true;
  if (until_us == INT64_MAX) {
    pthread_cond_wait(&store->wake, &store->lock);
  } else {
    struct timespec until = om_sql_time(until_us);
    pthread_cond_timedwait(&store->wake, &store->lock, &until);
  }
  store->sleeping = false;
}

/* The lock is held. A database must not be open over a fork: the child would share its files and
 * its record of locks without having the locks. */
static void pause_for_fork(struct om_sql_store *store, struct om_sql_commit *round) {
  if (round->connection != NULL) {
    pthread_mutex_unlock(&store->lock);
    om_sql_commit_close(round, true);
    pthread_mutex_lock(&store->lock);
  }
  store->paused = store->pause;
  pthread_cond_broadcast(&store->ended);
  while (store->pause) {
    pthread_cond_wait(&store->wake, &store->lock);
  }
  store->paused = false;
}

/* What the next round is to wait for: so many units, until then. */
struct company {
  int wanted;
  int64_t until_us;
};

/* Waits until there is something to do and takes it. upkeep: when it is quiet, there is that.
 * False: the store is stopped, and all is answered. */
static bool await(struct om_sql_store *store, struct om_sql_commit *round, struct company company,
                  bool upkeep) {
  bool more = true;
  bool holds = !om_sql_commit_empty(round);
  int64_t quiet_us = om_now_us() + OM_SQL_QUIET_MS * 1000;
  pthread_mutex_lock(&store->lock);
  store->want = holds ? 1 : company.wanted;
  for (;;) {
    int64_t now_us = om_now_us();
    bool gathers = store->want > 1 && now_us < company.until_us && !store->stop;
    store->want = gathers ? store->want : 1;
    if (store->pause) {
      pause_for_fork(store, round);
      continue;
    }
    int64_t until_us = holds     ? round->retry_us
                       : gathers ? company.until_us
                       : upkeep  ? quiet_us
                                 : INT64_MAX;
    more = holds || store->waiting > 0 || !store->stop;
    if (!more || store->waiting >= store->want || (holds && until_us <= now_us)) {
      break;
    }
    if (until_us > now_us) {
      sleep_until(store, until_us);
      continue;
    }
    pthread_mutex_unlock(&store->lock);
    round->stats.upkeep++;
    upkeep = round->connection != NULL && round->driver->idle(round->connection, true);
    quiet_us = om_now_us() + OM_SQL_QUIET_MS * 1000;
    pthread_mutex_lock(&store->lock);
  }
  for (struct om_job *job = om_jobs_shift(&store->queue); job != NULL;
       job = om_jobs_shift(&store->queue)) {
    om_sql_commit_add(round, job);
  }
  store->waiting = 0;
  round->create = round->create || store->create;
  store->create = false;
  round->until_us = store->stop ? store->until_us : INT64_MAX;
  pthread_mutex_unlock(&store->lock);
  return more;
}

/* Returns how many units were under way. */
static int deliver(struct om_sql_store *store, struct om_sql_commit *round) {
  int count = 0;
  size_t bytes = 0;
  for (const struct om_job *job = round->done.head; job != NULL; job = job->next) {
    count++;
    bytes += ((const struct om_sql_unit *)job)->bytes;
  }
  pthread_mutex_lock(&store->lock);
  int load = store->load;
  store->load -= count;
  store->load_bytes -= bytes;
  store->stats = round->stats;
  pthread_mutex_unlock(&store->lock);
  om_port_deliver(&round->done);
  return load;
}

void *om_sql_thread(void *user) {
  struct om_sql_store *store = user;
  struct om_sql_commit round = {.driver = store->driver, .name = store->name};
  struct company company = {.wanted = 1};
  bool upkeep = false;
  prctl(PR_SET_NAME, "onemsg-sql", 0, 0, 0);
  om_jobs_init(&round.reads);
  om_jobs_init(&round.writes);
  om_jobs_init(&round.done);
  while (await(store, &round, company, upkeep)) {
    int64_t took_us = 0;
    if (om_sql_commit_connect(&round)) {
      om_sql_commit_read(&round);
      deliver(store, &round); /* they need not wait for the commit */
      took_us = -om_now_us();
      om_sql_commit_write(&round);
      took_us += om_now_us();
    }
    int load = deliver(store, &round);
    upkeep = round.connection != NULL && round.driver->idle(round.connection, false);
    took_us = took_us / GATHER_SHARE > GATHER_MAX_US ? GATHER_MAX_US : took_us / GATHER_SHARE;
    company.wanted = load > OM_SQL_BATCH_MAX ? OM_SQL_BATCH_MAX : load;
    company.until_us = om_now_us() + took_us;
  }
  om_sql_commit_close(&round, false);
  pthread_mutex_lock(&store->lock);
  store->over = true;
  pthread_cond_broadcast(&store->ended);
  pthread_mutex_unlock(&store->lock);
  return NULL;
}
