/* sql_sqlite.h: what the three files of the SQLite driver share. The store's thread only. */
#ifndef OM_SQL_SQLITE_H
#define OM_SQL_SQLITE_H

#include "sql.h"

#include <sqlite3.h>
#include <sys/types.h>

#define OM_SQLITE_CACHED 128 /* prepared statements kept; the outbox has some forty texts */

#define OM_SQLITE_OWN 7

#define OM_SQLITE_NAME_BYTES 480 /* SQLite: 512, with its suffixes */

/* The files of a database; the log is the write-ahead log, the index is the log's. */
enum { OM_SQLITE_MAIN, OM_SQLITE_LOG, OM_SQLITE_INDEX, OM_SQLITE_FILES };

struct om_sqlite_file {
  dev_t device;
  ino_t inode;
};

struct om_sqlite_prepared;

struct om_sqlite {
  sqlite3 *db;
  const char *name;
  sqlite3_stmt *own[OM_SQLITE_OWN]; /* BEGIN, COMMIT and the like */
  struct om_sqlite_prepared *cache[OM_SQLITE_CACHED];
  uint64_t clock;  /* of the cache */
  bool trusted;    /* what is being prepared is ours */
  bool reads;      /* inside begin(reads) */
  bool committing; /* what fails now may have been stored */
  bool watched;    /* files are known */
  struct om_sqlite_file files[OM_SQLITE_FILES];
  int log_pages;     /* of the write-ahead log, as of the last commit */
  int attempt_pages; /* so long it has to be for another checkpoint */
};

/* sql_sqlite.c: fills *error with the sentence for a result code, and for errno, which was 0 before
 * SQLite was called. Returns false. */
bool om_sqlite_fail(struct om_sqlite *sqlite, int code, struct om_sql_error *error);

/* Is there a transaction still? SQLite ends it, and calls the statement done, when there is no
 * memory for the end of that; what followed would be stored statement by statement. */
bool om_sqlite_inside(struct om_sqlite *sqlite, struct om_sql_error *error);

/* The same as om_sqlite_fail for a failed system call; number: its errno. error->open: it may have
 * been stored. */
bool om_sqlite_fail_for_system(struct om_sql_error *error, const char *name, int code, int number);

/* sql_sqlite_files.c: the driver's `check`. */
char *om_sqlite_check(const char *target, bool *exists, struct om_sql_error *error);
/* May this user write the file in this directory? 0, or an error number. */
int om_sqlite_forbidden(const char *directory, const char *name);
/* False, and *error: it has further names. A file that does not exist has none. */
bool om_sqlite_one_name(const char *name, struct om_sql_error *error);
/* Makes an empty file for SQLite, unless there is one; for this user only, whatever the umask says.
 */
bool om_sqlite_create(const char *name, struct om_sql_error *error);
/* Remembers which files SQLite has opened: all three, behind its first look into the database. */
void om_sqlite_watch(struct om_sqlite *sqlite);
/* Do the names still lead to them, and is the log whole (which a read finds out by itself)? False:
 * *error, and this connection is to be closed. error->open: the unit was committed when this was
 * asked. */
bool om_sqlite_in_place(struct om_sqlite *sqlite, struct om_sql_error *error);
/* Before the connection is closed: may SQLite move the log into the database and delete it? False:
 * not by these names. Was the database or its log only taken away, then what the log has and the
 * database has not is moved into the database here, as long as there is still a way to it. */
bool om_sqlite_settle(struct om_sqlite *sqlite);

/* sql_sqlite_run.c: the driver's `run`, SQLite's authorizer, and the end of the cache. */
bool om_sqlite_run(void *connection, struct om_sql_unit *unit, struct om_sql_statement *statement,
                   struct om_sql_error *error);
int om_sqlite_authorize(void *connection, int action, const char *first, const char *second,
                        const char *database, const char *trigger);
void om_sqlite_forget_all(struct om_sqlite *sqlite);

#endif
