/* sql_commit.h: what the database thread does with the units it took: answer those that read, put
 * the others through one transaction. The store's thread only; no lock, no Lua, no SQLite. */
#ifndef OM_SQL_COMMIT_H
#define OM_SQL_COMMIT_H

#include "sql.h"

struct om_sql_commit {
  const struct om_sql_driver *driver;
  const char *name;
  void *connection;     /* NULL: none at the moment */
  bool create;          /* a database that does not exist may be made */
  struct om_jobs reads; /* taken and not yet answered, oldest first */
  struct om_jobs writes;
  struct om_jobs done;      /* to be delivered */
  int64_t retry_us;         /* another process has the lock: nothing to do before; 0: it has not */
  int64_t pause_us;         /* grows while it has it */
  int64_t connect_us;       /* no other attempt to connect before; 0: none failed */
  int64_t away_us;          /* the longest pause behind the next attempt that fails */
  uint64_t dice;            /* for these pauses: they differ between processes */
  struct om_sql_error away; /* what the last attempt said */
  int guarded;              /* so many batches are to have savepoints */
  int64_t until_us;         /* the store is ending: no unit waits for a lock beyond; INT64_MAX */
  struct om_sql_stats stats;
};

/* Takes a unit of a caller; the reference goes with it. */
void om_sql_commit_add(struct om_sql_commit *round, struct om_job *job);
bool om_sql_commit_empty(const struct om_sql_commit *round);
/* False: there is no connection, and whoever can't wait for one is done. */
bool om_sql_commit_connect(struct om_sql_commit *round);
/* briefly: it will be opened again at once. */
void om_sql_commit_close(struct om_sql_commit *round, bool briefly);
/* Answers the units that read. */
void om_sql_commit_read(struct om_sql_commit *round);
/* Puts the oldest of the others, OM_SQL_BATCH_MAX at most, through one transaction. */
void om_sql_commit_write(struct om_sql_commit *round);

#endif
