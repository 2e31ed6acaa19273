/* sql_sqlite.h: what the two files of the SQLite driver share. The store's thread only. */
#ifndef OM_SQL_SQLITE_H
#define OM_SQL_SQLITE_H

#include "sql.h"

#include <sqlite3.h>

#define OM_SQLITE_CACHED 128 /* prepared statements kept; the outbox has some forty texts */

#define OM_SQLITE_OWN 7

struct om_sqlite_prepared;

struct om_sqlite {
  sqlite3 *db;
  const char *name;
  sqlite3_stmt *own[OM_SQLITE_OWN]; /* BEGIN, COMMIT and the like */
  struct om_sqlite_prepared *cache[OM_SQLITE_CACHED];
  uint64_t clock;    /* of the cache */
  bool trusted;      /* what is being prepared is ours */
  bool reads;        /* inside begin(reads) */
  int log_pages;     /* of the write-ahead log, as of the last commit */
  int attempt_pages; /* so long it has to be for another checkpoint */
};

/* sql_sqlite.c: fills *error with the sentence for a result code, and for errno, which was 0 before
 * SQLite was called. Returns false. */
bool om_sqlite_fail(struct om_sqlite *sqlite, int code, struct om_sql_error *error);

/* sql_sqlite_run.c: the driver's `run`, SQLite's authorizer, and the end of the cache. */
bool om_sqlite_run(void *connection, struct om_sql_unit *unit, struct om_sql_statement *statement,
                   struct om_sql_error *error);
int om_sqlite_authorize(void *connection, int action, const char *first, const char *second,
                        const char *database, const char *trigger);
void om_sqlite_forget_all(struct om_sqlite *sqlite);

#endif
