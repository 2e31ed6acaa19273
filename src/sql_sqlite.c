/* sql_sqlite.c: the SQLite driver of the database thread (see sql.h): connection, transaction,
 * upkeep, and what SQLite's errors mean.
 *
 * WAL, synchronous=FULL: a commit is on disk when it returns, and readers wait for nobody. The file
 * is made with mode 0600, and its -wal and -shm follow it. SQLite never waits for another process's
 * lock here: the thread does, with the units' patience. Checkpoints are ours too: they are what
 * makes a commit slow, so they happen when nobody waits, or when the log has grown too long.
 *
 * A file that SQLite has open must not be opened and closed by other means in the same process:
 * that would drop its locks. So nothing here looks into a file to see what it is.
 */
#define _XOPEN_SOURCE 700 /* realpath */
#include "sql_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define QUIET_PAGES 64   /* when nobody waits, a log this long is moved into the database */
#define FULL_PAGES  4096 /* 16 MiB of log: now, even if somebody waits */

/* The cache holds the upper parts of the indexes of a million confirmations. A log that grew while
 * somebody read for long is cut down to 32 MiB. Quoted words that are no names are mistakes. */
static const char set_up[] =
    "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA secure_delete=ON;"
    "PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=33554432;"
    "PRAGMA cache_size=-16384; PRAGMA temp_store=MEMORY";

enum { BEGIN_READ, BEGIN_WRITE, COMMIT, ROLLBACK, SAVEPOINT, RELEASE, UNDO };

static const char *const own_texts[OM_SQLITE_OWN] = {
    "BEGIN",          "BEGIN IMMEDIATE", "COMMIT",          "ROLLBACK",
    "SAVEPOINT unit", "RELEASE unit",    "ROLLBACK TO unit"};

/* ---- errors ---- */

static bool no_space(int number) {
  return number == ENOSPC || number == EDQUOT || number == EFBIG;
}

bool om_sqlite_fail_for_system(struct om_sql_error *error, const char *name, int code, int number) {
  const char *stored = error->open ? "it may not have been stored" : "nothing was stored";
  if (no_space(number)) {
    return om_sql_fail(error, OM_SQL_FULL, code,
                       "no space left for %s (%s); %s; free some space, and it goes on by itself",
                       name, strerror(number), stored);
  }
  if (number == EACCES || number == EPERM || number == EROFS) {
    return om_sql_fail(
        error, OM_SQL_READONLY, code,
        "no permission to write %s (%s); the file and its directory must be writable "
        "for this user",
        name, strerror(number));
  }
  if (number == ENOMEM) {
    return om_sql_fail(error, OM_SQL_MEMORY, code, "out of memory; %s", stored);
  }
  return om_sql_fail(error, OM_SQL_IO, code, "the disk failed under %s (%s); %s", name,
                     number == EIO || number == EMFILE || number == ENFILE ? strerror(number)
                                                                           : sqlite3_errstr(code),
                     stored);
}

/* SQLite says "cannot open" for many reasons; what it was doing last may have been something else.
 */
static bool fail_to_open(struct om_sql_error *error, const char *name, int code, int number) {
  char directory[OM_SQLITE_NAME_BYTES];
  snprintf(directory, sizeof directory, "%.*s/", (int)(strrchr(name, '/') - name), name);
  int why = om_sqlite_forbidden(directory, name);
  error->broken = true; /* another connection may be allowed to, one day */
  return om_sqlite_fail_for_system(error, name, code, why != 0 ? why : number);
}

/* What fails while the log is written was not stored, for the mark of the commit comes last. What
 * fails behind that, when the log is synchronised or its index brought up to date, may have been.
 */
static bool may_be_stored(int code, int number) {
  int kind = code & 0xff;
  return kind != SQLITE_CONSTRAINT && kind != SQLITE_BUSY && kind != SQLITE_LOCKED &&
         kind != SQLITE_FULL && !(code == SQLITE_IOERR_WRITE && no_space(number));
}

bool om_sqlite_fail(struct om_sqlite *sqlite, int code, struct om_sql_error *error) {
  sqlite3 *db = sqlite->db;
  const char *name = sqlite->name;
  if (db == NULL || (code & 0xff) == SQLITE_NOMEM || code == SQLITE_IOERR_NOMEM) {
    error->lost = db == NULL || sqlite3_get_autocommit(db) != 0;
    error->open = sqlite->committing;
    return om_sqlite_fail_for_system(error, name, code, ENOMEM);
  }
  int number = errno != 0 ? errno : sqlite3_system_errno(db);
  error->lost = sqlite3_get_autocommit(db) != 0;
  error->open = sqlite->committing && may_be_stored(code, number);
  switch (code & 0xff) {
  case SQLITE_CONSTRAINT:
    return om_sql_fail(error, OM_SQL_CONFLICT, code, "%s", sqlite3_errmsg(db));
  case SQLITE_BUSY:
  case SQLITE_LOCKED:
    return om_sql_fail(error, OM_SQL_BUSY, code,
                       "another process kept %s locked for too long; nothing was stored; try again",
                       name);
  case SQLITE_FULL:
    return om_sqlite_fail_for_system(error, name, code, ENOSPC);
  case SQLITE_READONLY:
  case SQLITE_CANTOPEN:
  case SQLITE_PERM:
    return fail_to_open(error, name, code, number);
  case SQLITE_NOTADB:
    error->broken = true;
    return om_sql_fail(error, OM_SQL_CORRUPT, code,
                       "%s is not an SQLite database (or is encrypted); name another file", name);
  case SQLITE_CORRUPT:
    error->broken = true;
    return om_sql_fail(error, OM_SQL_CORRUPT, code,
                       "%s is damaged (%s); stop all its users, keep a copy, and restore a backup "
                       "or use sqlite3's .recover",
                       name, sqlite3_errmsg(db));
  case SQLITE_IOERR:
    error->broken = !no_space(number);
    return om_sqlite_fail_for_system(error, name, code, number);
  default:
    return om_sql_fail(error, OM_SQL_STATEMENT, code, "%s", sqlite3_errmsg(db));
  }
}

bool om_sqlite_inside(struct om_sqlite *sqlite, struct om_sql_error *error) {
  return sqlite3_get_autocommit(sqlite->db) == 0 || om_sqlite_fail(sqlite, SQLITE_NOMEM, error);
}

/* ---- the connection ---- */

static void close_connection(void *connection, bool briefly) {
  struct om_sqlite *sqlite = connection;
  if (sqlite->db != NULL && (!om_sqlite_settle(sqlite) || briefly)) {
    sqlite3_db_config(sqlite->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  }
  om_sqlite_forget_all(sqlite);
  for (int i = 0; i < OM_SQLITE_OWN; i++) {
    sqlite3_finalize(sqlite->own[i]);
  }
  sqlite3_close(sqlite->db); /* NULL is fine, a half-opened one as well */
  free(sqlite);
}

static int on_commit(void *connection, sqlite3 *db, const char *schema, int pages) {
  struct om_sqlite *sqlite = connection;
  (void)db;
  (void)schema;
  sqlite->log_pages = pages;
  return SQLITE_OK;
}

static bool use_log(struct om_sqlite *sqlite, struct om_sql_error *error) {
  sqlite3_stmt *statement = NULL;
  bool log = false;
  int code = sqlite3_prepare_v2(sqlite->db, "PRAGMA journal_mode=WAL", -1, &statement, NULL);
  code = code == SQLITE_OK ? sqlite3_step(statement) : code;
  if (code == SQLITE_ROW) {
    const char *mode = (const char *)sqlite3_column_text(statement, 0);
    log = mode != NULL && strcmp(mode, "wal") == 0;
    code = sqlite3_step(statement); /* only now a new database's first page is written */
  }
  bool fine = code == SQLITE_DONE || om_sqlite_fail(sqlite, code, error);
  sqlite3_finalize(statement);
  return fine &&
         (log || om_sql_fail(error, OM_SQL_CONFIG, 0,
                             "%s cannot have a write-ahead log where it is; move it to a local "
                             "disk",
                             sqlite->name));
}

static bool set_up_connection(struct om_sqlite *sqlite, struct om_sql_error *error) {
  sqlite3 *db = sqlite->db;
  errno = 0;
  sqlite3_extended_result_codes(db, 1);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
  sqlite3_set_authorizer(db, om_sqlite_authorize, sqlite);
  int code = sqlite3_exec(db, set_up, NULL, NULL, NULL);
  if (code != SQLITE_OK) {
    return om_sqlite_fail(sqlite, code, error);
  }
  if (!use_log(sqlite, error)) {
    return false;
  }
  code = sqlite3_exec(db, "SELECT 1 FROM sqlite_schema LIMIT 1", NULL, NULL, NULL);
  if (code != SQLITE_OK) {
    return om_sqlite_fail(sqlite, code, error);
  }
  om_sqlite_watch(sqlite); /* all its files are open now */
  sqlite3_wal_hook(db, on_commit, sqlite);
  for (int i = 0; i < OM_SQLITE_OWN; i++) {
    code =
        sqlite3_prepare_v3(db, own_texts[i], -1, SQLITE_PREPARE_PERSISTENT, &sqlite->own[i], NULL);
    if (code != SQLITE_OK) {
      return om_sqlite_fail(sqlite, code, error);
    }
  }
  return true;
}

static void *open_connection(const char *name, bool create, struct om_sql_error *error) {
  struct om_sqlite *sqlite = calloc(1, sizeof *sqlite);
  if (sqlite == NULL) {
    om_sql_fail(error, OM_SQL_MEMORY, 0, "out of memory");
    return NULL;
  }
  sqlite->name = name;
  sqlite->trusted = true;
  bool fine = !create || om_sqlite_create(name, error);
  if (fine && access(name, F_OK) != 0 && errno == ENOENT) {
    fine =
        om_sql_fail(error, OM_SQL_MOVED, 0,
                    "%s is gone, though it was there before; put it back, or open the store anew "
                    "to begin with an empty one",
                    name);
  }
  fine = fine && om_sqlite_one_name(name, error);
  if (fine) {
    int code =
        sqlite3_open_v2(name, &sqlite->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    fine = code == SQLITE_OK ? set_up_connection(sqlite, error)
                             : om_sqlite_fail(sqlite, sqlite3_extended_errcode(sqlite->db), error);
  }
  if (!fine) {
    close_connection(sqlite, false);
    return NULL;
  }
  sqlite->trusted = false;
  return sqlite;
}

static void show(const char *name, char *buffer, size_t size) {
  snprintf(buffer, size, "%s", name);
}

/* ---- the transaction ---- */

static bool run_own(void *connection, int which, struct om_sql_error *error) {
  struct om_sqlite *sqlite = connection;
  sqlite->trusted = true; /* SQLite may have to prepare it again */
  errno = 0;
  int code = sqlite3_step(sqlite->own[which]);
  bool fine = code == SQLITE_DONE || om_sqlite_fail(sqlite, code, error);
  sqlite3_reset(sqlite->own[which]);
  fine = fine && (which == COMMIT || which == ROLLBACK || om_sqlite_inside(sqlite, error));
  sqlite->trusted = false;
  return fine;
}

static bool begin(void *connection, bool reads, struct om_sql_error *error) {
  struct om_sqlite *sqlite = connection;
  sqlite->reads = reads;
  return om_sqlite_in_place(sqlite, error) &&
         run_own(sqlite, reads ? BEGIN_READ : BEGIN_WRITE, error);
}

static bool savepoint(void *connection, struct om_sql_error *error) {
  return run_own(connection, SAVEPOINT, error);
}

static bool release(void *connection, struct om_sql_error *error) {
  return run_own(connection, RELEASE, error);
}

static bool undo(void *connection, struct om_sql_error *error) {
  return run_own(connection, UNDO, error) && run_own(connection, RELEASE, error);
}

static bool commit(void *connection, struct om_sql_error *error) {
  struct om_sqlite *sqlite = connection;
  sqlite->committing = true;
  bool fine = run_own(sqlite, COMMIT, error);
  sqlite->committing = false;
  if (fine) {
    error->open = true;
    fine = om_sqlite_in_place(sqlite, error);
    error->open = !fine;
  }
  return fine;
}

static void rollback(void *connection) {
  struct om_sqlite *sqlite = connection;
  struct om_sql_error ignored = {.fault = OM_SQL_FINE};
  if (sqlite3_get_autocommit(sqlite->db) == 0) {
    run_own(sqlite, ROLLBACK, &ignored);
  }
}

/* Somebody who still reads an old state keeps the rest of the log from being moved: the next
 * attempt is worth it when there is more of it, or after the next commit when it is quiet. */
static bool idle(void *connection, bool quiet) {
  struct om_sqlite *sqlite = connection;
  int wanted = quiet ? QUIET_PAGES : FULL_PAGES + sqlite->attempt_pages;
  if (sqlite->log_pages < wanted) {
    return !quiet && sqlite->log_pages >= QUIET_PAGES;
  }
  struct om_sql_error ignored = {.fault = OM_SQL_FINE};
  sqlite->reads = false;
  if (!om_sqlite_in_place(sqlite, &ignored)) {
    return false; /* the next unit will say so */
  }
  int pages = 0;
  int moved = 0;
  int code = sqlite3_wal_checkpoint_v2(sqlite->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, &moved);
  bool all = code == SQLITE_OK && pages == moved;
  sqlite->attempt_pages = all ? 0 : sqlite->log_pages;
  sqlite->log_pages = all ? 0 : sqlite->log_pages;
  return !all && !quiet;
}

const struct om_sql_driver om_sql_sqlite = {
    .engine = "sqlite",
    .batch = OM_SQL_BATCH_MAX,
    .reads_apart = true,
    .check = om_sqlite_check,
    .show = show,
    .open = open_connection,
    .close = close_connection,
    .begin = begin,
    .savepoint = savepoint,
    .run = om_sqlite_run,
    .release = release,
    .undo = undo,
    .commit = commit,
    .rollback = rollback,
    .idle = idle,
};
