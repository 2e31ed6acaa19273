/* sql_commit.c: reading, and the group commit (see sql_commit.h).
 *
 * A unit that fails undoes its savepoint and hurts no other. Savepoints cost a tenth of the rate,
 * and most batches need none: a batch is first run without, and if a unit of it fails, undone as a
 * whole and run again with them, as are the next GUARDED batches. Some faults take the transaction
 * with them, savepoints or not (a full disk, INSERT OR ROLLBACK): then nothing of the batch has
 * happened, the unit at fault is answered, and the others are run again, each in a transaction of
 * its own, so that none can fail by a neighbour twice. What fails at the commit (a deferred key, a
 * disk that is full just then) tells nothing of whose fault it is: then each is run alone, and
 * fails by itself or not at all. No answer leaves before the commit that
 * makes it true. */
#include "sql_commit.h"

#include <stdlib.h>
#include <unistd.h>

#define GUARDED      64   /* batches with savepoints after one that failed without */
#define PAUSE_MIN_US 100  /* a commit of another process takes about that long */
#define PAUSE_MAX_US 2000 /* the lock is polled: longer pauses starve beside a busy writer */

#define AWAY_MIN_US 100000   /* attempts to connect: any pause up to this … */
#define AWAY_MAX_US 10000000 /* … and, doubled each time, up to that */

static struct om_sql_unit *unit_of(struct om_job *job) {
  return (struct om_sql_unit *)job;
}

/* Puts a job back to where it came from. */
static void unshift(struct om_jobs *list, struct om_job *job) {
  struct om_jobs all;
  om_jobs_init(&all);
  om_jobs_append(&all, job);
  om_jobs_move(&all, list);
  om_jobs_move(list, &all);
}

/* The unit gets an answer: the rows it has, or this error. */
static void finish(struct om_sql_commit *round, struct om_job *job,
                   const struct om_sql_error *error) {
  struct om_sql_unit *unit = unit_of(job);
  if (error != NULL) {
    int failed = unit->failed;
    om_sql_unit_rewind(unit);
    unit->failed = failed;
    unit->error = *error;
  }
  round->stats.failed += unit->error.fault != OM_SQL_FINE;
  om_jobs_append(&round->done, job);
}

static void fail_all(struct om_sql_commit *round, struct om_jobs *list,
                     const struct om_sql_error *error) {
  for (struct om_job *job = om_jobs_shift(list); job != NULL; job = om_jobs_shift(list)) {
    unit_of(job)->failed = 0; /* it is about none of its statements */
    finish(round, job, error);
  }
}

/* The next unit of the list that nobody cancelled. */
static struct om_job *next_unit(struct om_sql_commit *round, struct om_jobs *list) {
  struct om_job *job = om_jobs_shift(list);
  while (job != NULL && __atomic_load_n(&unit_of(job)->cancelled, __ATOMIC_RELAXED) != 0) {
    struct om_sql_error error = {.fault = OM_SQL_FINE};
    om_sql_fail(&error, OM_SQL_CLOSED, 0, "this unit was cancelled before it ran");
    finish(round, job, &error);
    job = om_jobs_shift(list);
  }
  return job;
}

/* ---- another process has the lock ---- */

static void expire(struct om_sql_commit *round, struct om_jobs *list, int64_t now_us,
                   const struct om_sql_error *error) {
  struct om_jobs stay;
  om_jobs_init(&stay);
  for (struct om_job *job = next_unit(round, list); job != NULL; job = next_unit(round, list)) {
    if (unit_of(job)->deadline_us <= now_us || round->until_us <= now_us) {
      finish(round, job, error);
    } else {
      om_jobs_append(&stay, job);
    }
  }
  om_jobs_move(list, &stay);
}

/* Whoever has waited long enough is told; the others are tried again after a pause. */
static void wait_for_lock(struct om_sql_commit *round, const struct om_sql_error *error) {
  int64_t now_us = om_now_us();
  round->stats.busy++;
  expire(round, &round->reads, now_us, error);
  expire(round, &round->writes, now_us, error);
  round->pause_us = round->pause_us == 0 ? PAUSE_MIN_US : round->pause_us * 2;
  round->pause_us = round->pause_us > PAUSE_MAX_US ? PAUSE_MAX_US : round->pause_us;
  round->retry_us = now_us + round->pause_us;
}

/* ---- the connection ---- */

/* xorshift64: of no other use than to keep many processes from connecting at once. */
static int64_t pause_up_to(struct om_sql_commit *round, int64_t most_us) {
  round->dice = round->dice != 0 ? round->dice : (uint64_t)om_now_us() ^ (uint64_t)getpid() << 40;
  round->dice ^= round->dice << 13;
  round->dice ^= round->dice >> 7;
  round->dice ^= round->dice << 17;
  return (int64_t)(round->dice % (uint64_t)most_us);
}

static int64_t first_deadline(const struct om_jobs *list, int64_t until_us) {
  for (struct om_job *job = list->head; job != NULL; job = job->next) {
    until_us = unit_of(job)->deadline_us < until_us ? unit_of(job)->deadline_us : until_us;
  }
  return until_us;
}

/* There is no server to be had at the moment: whoever has waited long enough is told. */
static void wait_for_server(struct om_sql_commit *round) {
  int64_t now_us = om_now_us();
  expire(round, &round->reads, now_us, &round->away);
  expire(round, &round->writes, now_us, &round->away);
  int64_t until_us = round->connect_us < round->until_us ? round->connect_us : round->until_us;
  until_us = first_deadline(&round->reads, first_deadline(&round->writes, until_us));
  round->retry_us = until_us > now_us ? until_us : now_us;
}

static void note_away(struct om_sql_commit *round, const struct om_sql_error *error) {
  round->away = *error;
  round->away_us = round->away_us == 0 ? AWAY_MIN_US : round->away_us * 2;
  round->away_us = round->away_us > AWAY_MAX_US ? AWAY_MAX_US : round->away_us;
  round->connect_us = om_now_us() + pause_up_to(round, round->away_us);
}

void om_sql_commit_add(struct om_sql_commit *round, struct om_job *job) {
  om_jobs_append(unit_of(job)->reads ? &round->reads : &round->writes, job);
}

bool om_sql_commit_empty(const struct om_sql_commit *round) {
  return round->reads.head == NULL && round->writes.head == NULL;
}

bool om_sql_commit_connect(struct om_sql_commit *round) {
  struct om_sql_error error = {.fault = OM_SQL_FINE};
  round->retry_us = 0;
  if (round->connection != NULL) {
    return true;
  }
  if (round->connect_us > om_now_us()) {
    wait_for_server(round);
    return false;
  }
  round->connection = round->driver->open(round->name, round->create, &error);
  if (round->connection != NULL) {
    round->connect_us = 0;
    round->away_us = 0;
    round->create = false;
    round->stats.opened++;
    return true;
  }
  if (error.fault == OM_SQL_BUSY) {
    wait_for_lock(round, &error);
    return false;
  }
  if (error.fault == OM_SQL_AWAY) {
    note_away(round, &error);
    wait_for_server(round);
    return false;
  }
  fail_all(round, &round->reads, &error);
  fail_all(round, &round->writes, &error);
  return false;
}

void om_sql_commit_close(struct om_sql_commit *round, bool briefly) {
  if (round->connection != NULL) {
    round->driver->close(round->connection, briefly);
    round->connection = NULL;
  }
}

/* ---- units ---- */

static bool run_unit(struct om_sql_commit *round, struct om_sql_unit *unit,
                     struct om_sql_error *error) {
  for (int i = 0; i < unit->statement_count; i++) {
    struct om_sql_statement *statement = &unit->statements[i];
    unit->failed = i + 1;
    if (!round->driver->run(round->connection, unit, statement, error)) {
      return false;
    }
    bool by_rows = statement->column_count > 0;
    int64_t count = by_rows ? statement->row_count : statement->changes;
    if (statement->expect >= 0 && statement->expect != count) {
      return om_sql_fail(error, OM_SQL_EXPECT, 0,
                         "statement %d %s %lld rows where exactly %lld were expected; the unit was "
                         "undone",
                         i + 1, by_rows ? "returned" : "changed", (long long)count,
                         (long long)statement->expect);
    }
  }
  unit->failed = 0;
  return true;
}

/* Nothing of it was stored, and another attempt may do better. */
static void wait_again(struct om_sql_commit *round, const struct om_sql_error *error) {
  if (error->fault == OM_SQL_BUSY) {
    wait_for_lock(round, error);
  } else {
    round->away = *error;
    round->connect_us = om_now_us(); /* the first attempt without a pause */
    wait_for_server(round);
  }
}

void om_sql_commit_read(struct om_sql_commit *round) {
  struct om_sql_error error = {.fault = OM_SQL_FINE};
  while (round->connection != NULL && round->retry_us == 0) {
    struct om_job *job = next_unit(round, &round->reads);
    if (job == NULL) {
      return;
    }
    error = (struct om_sql_error){.fault = OM_SQL_FINE};
    bool fine = round->driver->begin(round->connection, true, &error) &&
                run_unit(round, unit_of(job), &error);
    round->driver->rollback(round->connection); /* there is nothing to keep */
    if (!fine && (error.fault == OM_SQL_BUSY || error.fault == OM_SQL_AWAY)) {
      om_sql_unit_rewind(unit_of(job));
      unshift(&round->reads, job);
      wait_again(round, &error);
    } else {
      round->stats.reads += fine;
      finish(round, job, fine ? NULL : &error);
    }
    if (error.broken) {
      om_sql_commit_close(round, false);
    }
  }
}

/* ---- the group commit ---- */

static int64_t take_batch(struct om_sql_commit *round, struct om_jobs *batch) {
  int64_t count = 0;
  om_jobs_init(batch);
  for (struct om_job *job = next_unit(round, &round->writes); job != NULL;
       job = next_unit(round, &round->writes)) {
    if (count > 0 && unit_of(job)->alone) {
      unshift(&round->writes, job);
      break;
    }
    om_jobs_append(batch, job);
    count++;
    if (count == round->driver->batch || unit_of(job)->alone) {
      break;
    }
  }
  return count;
}

/* Nothing of the batch has happened: its units stand at the front again. */
static void put_back(struct om_sql_commit *round, struct om_jobs *batch, bool alone) {
  for (struct om_job *job = batch->head; job != NULL; job = job->next) {
    om_sql_unit_rewind(unit_of(job));
    unit_of(job)->alone = unit_of(job)->alone || alone;
  }
  om_jobs_move(batch, &round->writes);
  om_jobs_move(&round->writes, batch);
}

/* Runs the batch inside the open transaction. NULL: it can be committed; units that failed by
 * themselves are undone and bear their error. Else the unit for which the transaction must end. */
static struct om_sql_unit *run_batch(struct om_sql_commit *round, const struct om_jobs *batch,
                                     bool guarded, struct om_sql_error *error) {
  const struct om_sql_driver *driver = round->driver;
  if (driver->ahead != NULL) {
    driver->ahead(round->connection, !guarded);
  }
  for (struct om_job *job = batch->head; job != NULL; job = job->next) {
    struct om_sql_unit *unit = unit_of(job);
    *error = (struct om_sql_error){.fault = OM_SQL_FINE};
    if (guarded && !driver->savepoint(round->connection, error)) {
      return unit;
    }
    if (run_unit(round, unit, error)) {
      if (guarded && !driver->release(round->connection, error)) {
        return unit;
      }
      continue;
    }
    struct om_sql_error undone = {.fault = OM_SQL_FINE};
    if (!guarded || error->lost || error->broken || error->fault == OM_SQL_BUSY ||

        !driver->undo(round->connection, &undone)) {
      return unit;
    }
    int failed = unit->failed;
    om_sql_unit_rewind(unit);
    unit->failed = failed;
    unit->error = *error;
  }
  return NULL;
}

static void settle_batch(struct om_sql_commit *round, struct om_jobs *batch, int64_t count) {
  round->stats.commits++;
  round->stats.largest_batch =
      count > round->stats.largest_batch ? count : round->stats.largest_batch;
  for (struct om_job *job = om_jobs_shift(batch); job != NULL; job = om_jobs_shift(batch)) {
    round->stats.units += unit_of(job)->error.fault == OM_SQL_FINE;
    finish(round, job, NULL);
  }
}

/* The unit that waited for a row's lock goes behind all others, into `last`: their rows may be
 * free.
 */
static void give_way(struct om_jobs *batch, const struct om_sql_unit *guilty,
                     struct om_jobs *last) {
  struct om_jobs others;
  om_jobs_init(&others);
  om_jobs_init(last);
  for (struct om_job *job = om_jobs_shift(batch); job != NULL; job = om_jobs_shift(batch)) {
    if (unit_of(job) == guilty) {
      om_sql_unit_rewind(unit_of(job));
      unit_of(job)->alone = true;
      om_jobs_append(last, job);
    } else {
      om_jobs_append(&others, job);
    }
  }
  om_jobs_move(batch, &others);
}

/* The transaction came to nothing, as far as is known. guilty: by this unit; NULL: as a whole.
 * committing: its commit failed, maybe for what one of many has done. Was nothing stored, then each
 * is tried alone. Is that open, none is: it could be stored twice. */
static void lose_batch(struct om_sql_commit *round, struct om_jobs *batch,
                       const struct om_sql_unit *guilty, bool committing,
                       const struct om_sql_error *error) {
  struct om_jobs last;
  bool again = error->fault == OM_SQL_BUSY || (error->fault == OM_SQL_AWAY && !error->open);
  if (error->fault == OM_SQL_BUSY && guilty != NULL && round->driver->rotate) {
    give_way(batch, guilty, &last);
    put_back(round, batch, false);
    om_jobs_move(&round->writes, &last);
    wait_again(round, error);
    return;
  }
  if (again) {
    put_back(round, batch, error->fault == OM_SQL_AWAY);
    wait_again(round, error);
    return;
  }
  if (guilty == NULL && committing && !error->open && batch->head->next != NULL) {
    put_back(round, batch, true);
    return;
  }
  if (guilty == NULL) {
    fail_all(round, batch, error);
    return;
  }
  struct om_jobs others;
  om_jobs_init(&others);
  for (struct om_job *job = om_jobs_shift(batch); job != NULL; job = om_jobs_shift(batch)) {
    if (unit_of(job) == guilty) {
      finish(round, job, error);
    } else {
      om_jobs_append(&others, job);
    }
  }
  put_back(round, &others, true);
}

void om_sql_commit_write(struct om_sql_commit *round) {
  struct om_sql_error error = {.fault = OM_SQL_FINE};
  const struct om_sql_unit *guilty = NULL;
  struct om_jobs batch;
  bool committing = false;
  int64_t count = round->connection != NULL && round->retry_us == 0 ? take_batch(round, &batch) : 0;
  if (count == 0) {
    return;
  }
  bool guarded = count > 1 && round->guarded > 0;
  round->guarded -= guarded;
  if (round->driver->begin(round->connection, false, &error)) {
    guilty = run_batch(round, &batch, guarded, &error);
    committing = guilty == NULL;
    if (committing) {
      error = (struct om_sql_error){.fault = OM_SQL_FINE};
      if (round->driver->commit(round->connection, &error)) {
        round->pause_us = 0;
        settle_batch(round, &batch, count);
        return;
      }
    }
  }
  round->driver->rollback(round->connection);
  if (error.broken) {
    om_sql_commit_close(round, false);
  }
  if (guilty != NULL && !guarded && count > 1 && error.fault != OM_SQL_BUSY &&
      error.fault != OM_SQL_AWAY) {
    round->guarded = GUARDED;
    put_back(round, &batch, false);
    return;
  }
  lose_batch(round, &batch, guilty, committing, &error);
}
