/* sql_thread.c: the thread of a lane: sleeps until units are there, has a round with them, and
 * sends the answers home (see sql.h, sql_store.h).
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

static void sleep_until(struct om_sql_lane *lane, int64_t until_us) {
  lane->sleeping = true;
  if (until_us == INT64_MAX) {
    pthread_cond_wait(&lane->wake, &lane->store->lock);
  } else {
    struct timespec until = om_sql_time(until_us);
    pthread_cond_timedwait(&lane->wake, &lane->store->lock, &until);
  }
  lane->sleeping = false;
}

/* The lock is held. A database must not be open over a fork: the child would share its files and
 * its record of locks without having the locks. */
static void pause_for_fork(struct om_sql_lane *lane, struct om_sql_commit *round) {
  struct om_sql_store *store = lane->store;
  if (round->connection != NULL) {
    pthread_mutex_unlock(&store->lock);
    om_sql_commit_close(round, true);
    pthread_mutex_lock(&store->lock);
  }
  lane->paused = store->pause;
  pthread_cond_broadcast(&store->ended);
  while (store->pause) {
    pthread_cond_wait(&lane->wake, &store->lock);
  }
  lane->paused = false;
}

/* What the next round is to wait for: so many units, until then. */
struct company {
  int wanted;
  int64_t until_us;
};

/* Waits until there is something to do and takes it. upkeep: when it is quiet, there is that.
 * False: the store is stopped, and all is answered. */
static bool await(struct om_sql_lane *lane, struct om_sql_commit *round, struct company company,
                  bool upkeep) {
  struct om_sql_store *store = lane->store;
  bool more = true;
  bool holds = !om_sql_commit_empty(round);
  int64_t quiet_us = om_now_us() + OM_SQL_QUIET_MS * 1000;
  pthread_mutex_lock(&store->lock);
  lane->want = holds ? 1 : company.wanted;
  for (;;) {
    int64_t now_us = om_now_us();
    bool gathers = lane->want > 1 && now_us < company.until_us && !store->stop;
    lane->want = gathers ? lane->want : 1;
    if (store->pause) {
      pause_for_fork(lane, round);
      continue;
    }
    int64_t until_us = holds     ? round->retry_us
                       : gathers ? company.until_us
                       : upkeep  ? quiet_us
                                 : INT64_MAX;
    more = holds || lane->waiting > 0 || !store->stop;
    if (!more || lane->waiting >= lane->want || (holds && until_us <= now_us)) {
      break;
    }
    if (until_us > now_us) {
      sleep_until(lane, until_us);
      continue;
    }
    pthread_mutex_unlock(&store->lock);
    round->stats.upkeep++;
    upkeep = round->connection != NULL && round->driver->idle(round->connection, true);
    quiet_us = om_now_us() + OM_SQL_QUIET_MS * 1000;
    pthread_mutex_lock(&store->lock);
  }
  for (struct om_job *job = om_jobs_shift(&lane->queue); job != NULL;
       job = om_jobs_shift(&lane->queue)) {
    om_sql_commit_add(round, job);
  }
  lane->waiting = 0;
  round->create = store->create;
  round->until_us = store->stop ? store->until_us : INT64_MAX;
  pthread_mutex_unlock(&store->lock);
  return more;
}

/* False: there is no connection, and whoever can't wait for one is done. */
static bool connect(struct om_sql_lane *lane, struct om_sql_commit *round) {
  struct om_sql_store *store = lane->store;
  int64_t opened = round->stats.opened;
  pthread_mutex_lock(&store->lock);
  bool trusted = lane->breaks == store->breaks;
  lane->breaks = store->breaks;
  pthread_mutex_unlock(&store->lock);
  if (!trusted) {
    om_sql_commit_close(round, false);
  }
  lane->connected = om_sql_commit_connect(round);
  if (round->stats.opened > opened) { /* if it is gone one day, an empty one would hide that */
    pthread_mutex_lock(&store->lock);
    store->create = false;
    pthread_mutex_unlock(&store->lock);
  }
  return lane->connected;
}

/* Returns how many units were under way. */
static int deliver(struct om_sql_lane *lane, struct om_sql_commit *round) {
  struct om_sql_store *store = lane->store;
  int count = 0;
  size_t bytes = 0;
  for (const struct om_job *job = round->done.head; job != NULL; job = job->next) {
    count++;
    bytes += ((const struct om_sql_unit *)job)->bytes;
  }
  pthread_mutex_lock(&store->lock);
  int load = lane->load;
  lane->load -= count;
  store->load -= count;
  store->load_bytes -= bytes;
  lane->stats = round->stats;
  if (lane->connected && round->connection == NULL) {
    lane->breaks = ++store->breaks;
    lane->connected = false;
  }
  pthread_mutex_unlock(&store->lock);
  om_port_deliver(&round->done);
  return load;
}

/* Closes the connection. The committing lane does so last: only the last one to close an SQLite
 * database can move its log into it. */
static void end(struct om_sql_lane *lane, struct om_sql_commit *round) {
  struct om_sql_store *store = lane->store;
  const struct om_sql_lane *reads = &store->lanes[OM_SQL_READS];
  pthread_mutex_lock(&store->lock);
  while (lane != reads && reads->started && !reads->over) {
    if (store->pause) {
      pause_for_fork(lane, round);
    } else {
      pthread_cond_wait(&lane->wake, &store->lock);
    }
  }
  pthread_mutex_unlock(&store->lock);
  om_sql_commit_close(round, false);
  pthread_mutex_lock(&store->lock);
  lane->over = true;
  pthread_cond_broadcast(&store->ended);
  pthread_cond_signal(&store->lanes[OM_SQL_COMMITS].wake);
  pthread_mutex_unlock(&store->lock);
}

void *om_sql_thread(void *user) {
  struct om_sql_lane *lane = user;
  const struct om_sql_store *store = lane->store;
  bool reads = lane == &store->lanes[OM_SQL_READS];
  struct om_sql_commit round = {.driver = store->driver, .name = store->name};
  struct company company = {.wanted = 1};
  bool upkeep = false;
  prctl(PR_SET_NAME, reads ? "onemsg-sql-read" : "onemsg-sql", 0, 0, 0);
  om_jobs_init(&round.reads);
  om_jobs_init(&round.writes);
  om_jobs_init(&round.done);
  while (await(lane, &round, company, upkeep)) {
    int64_t took_us = 0;
    if (connect(lane, &round)) {
      om_sql_commit_read(&round);
      deliver(lane, &round); /* they need not wait for the commit */
      took_us = -om_now_us();
      om_sql_commit_write(&round);
      took_us += om_now_us();
    }
    int load = deliver(lane, &round);
    upkeep = round.connection != NULL && round.driver->idle(round.connection, false);
    took_us = took_us / GATHER_SHARE > GATHER_MAX_US ? GATHER_MAX_US : took_us / GATHER_SHARE;
    company.wanted = load > OM_SQL_BATCH_MAX ? OM_SQL_BATCH_MAX : load;
    company.wanted = reads ? 1 : company.wanted;
    company.until_us = om_now_us() + took_us;
  }
  end(lane, &round);
  return NULL;
}
