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

#define NAME_MAX_BYTES 480  /* SQLite: 512, with its suffixes */
#define QUIET_PAGES    64   /* when nobody waits, a log this long is moved into the database */
#define FULL_PAGES     4096 /* 16 MiB of log: now, even if somebody waits */

/* The cache holds the upper parts of the indexes of a million confirmations. A log that grew while
 * somebody read for long is cut down to 32 MiB. Quoted words that are no names are mistakes. */
static const char set_up[] = "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
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

static bool fail_for_system(struct om_sql_error *error, const char *name, int code, int number) {
  if (no_space(number)) {
    return om_sql_fail(
        error, OM_SQL_FULL, code,
        "no space left for %s (%s); nothing was stored; free some space, and it goes "
        "on by itself",
        name, strerror(number));
  }
  if (number == EACCES || number == EPERM || number == EROFS) {
    return om_sql_fail(
        error, OM_SQL_READONLY, code,
        "no permission to write %s (%s); the file and its directory must be writable "
        "for this user",
        name, strerror(number));
  }
  return om_sql_fail(error, OM_SQL_IO, code, "the disk failed under %s (%s); nothing was stored",
                     name, number == EIO ? strerror(number) : sqlite3_errstr(code));
}

/* May this user write it? 0, or an error number. */
static int forbidden(const char *directory, const char *name) {
  if (faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) != 0 ||
      (faccessat(AT_FDCWD, name, R_OK | W_OK, AT_EACCESS) != 0 && errno != ENOENT)) {
    return errno;
  }
  return 0;
}

/* SQLite says "cannot open" for many reasons; what it was doing last may have been something else.
 */
static bool fail_to_open(struct om_sql_error *error, const char *name, int code, int number) {
  char directory[NAME_MAX_BYTES];
  snprintf(directory, sizeof directory, "%.*s/", (int)(strrchr(name, '/') - name), name);
  int why = forbidden(directory, name);
  error->broken = true; /* another connection may be allowed to, one day */
  return fail_for_system(error, name, code, why != 0 ? why : number);
}

bool om_sqlite_fail(struct om_sqlite *sqlite, int code, struct om_sql_error *error) {
  sqlite3 *db = sqlite->db;
  const char *name = sqlite->name;
  int number = errno != 0 ? errno : sqlite3_system_errno(db);
  error->lost = sqlite3_get_autocommit(db) != 0;
  switch (code & 0xff) {
  case SQLITE_CONSTRAINT:
    return om_sql_fail(error, OM_SQL_CONFLICT, code, "%s", sqlite3_errmsg(db));
  case SQLITE_BUSY:
  case SQLITE_LOCKED:
    return om_sql_fail(error, OM_SQL_BUSY, code,
                       "another process kept %s locked for too long; nothing was stored; try again",
                       name);
  case SQLITE_FULL:
    return fail_for_system(error, name, code, ENOSPC);
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
    return fail_for_system(error, name, code, number);
  case SQLITE_NOMEM:
    return om_sql_fail(error, OM_SQL_MEMORY, code, "out of memory");
  default:
    return om_sql_fail(error, OM_SQL_STATEMENT, code, "%s", sqlite3_errmsg(db));
  }
}

/* ---- the connection ---- */

static void close_connection(void *connection, bool briefly) {
  struct om_sqlite *sqlite = connection;
  if (briefly && sqlite->db != NULL) {
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

/* Makes an empty file for SQLite, for this user only, whatever the umask says. */
static bool create_file(const char *name, struct om_sql_error *error) {
  int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    return errno == EEXIST || fail_for_system(error, name, SQLITE_CANTOPEN, errno);
  }
  bool fine = fchmod(fd, 0600) == 0;
  int number = errno;
  close(fd); /* nobody in this process has it open yet: no lock is lost */
  return fine || fail_for_system(error, name, SQLITE_CANTOPEN, number);
}

static bool use_log(struct om_sqlite *sqlite, struct om_sql_error *error) {
  sqlite3_stmt *statement = NULL;
  int code = sqlite3_prepare_v2(sqlite->db, "PRAGMA journal_mode=WAL", -1, &statement, NULL);
  code = code == SQLITE_OK ? sqlite3_step(statement) : code;
  if (code != SQLITE_ROW) {
    om_sqlite_fail(sqlite, code, error);
    sqlite3_finalize(statement);
    return false;
  }
  const char *mode = (const char *)sqlite3_column_text(statement, 0);
  bool fine = mode != NULL && strcmp(mode, "wal") == 0;
  sqlite3_finalize(statement);
  return fine ||
         om_sql_fail(error, OM_SQL_CONFIG, 0,
                     "%s cannot have a write-ahead log where it is; move it to a local disk",
                     sqlite->name);
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
  bool fine = !create || create_file(name, error);
  if (fine && access(name, F_OK) != 0 && errno == ENOENT) {
    fine =
        om_sql_fail(error, OM_SQL_MOVED, 0,
                    "%s is gone, though it was there before; put it back, or open the store anew "
                    "to begin with an empty one",
                    name);
  }
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

/* ---- the transaction ---- */

static bool run_own(void *connection, int which, struct om_sql_error *error) {
  struct om_sqlite *sqlite = connection;
  sqlite->trusted = true; /* SQLite may have to prepare it again */
  errno = 0;
  int code = sqlite3_step(sqlite->own[which]);
  bool fine = code == SQLITE_DONE || om_sqlite_fail(sqlite, code, error);
  sqlite3_reset(sqlite->own[which]);
  sqlite->trusted = false;
  return fine;
}

/* A file that was deleted or replaced still takes what is written to it, and nobody will find it.
 */
static bool in_place(struct om_sqlite *sqlite, struct om_sql_error *error) {
  int moved = 0;
  sqlite3_file_control(sqlite->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
  if (moved == 0) {
    return true;
  }
  error->broken = true;
  return om_sql_fail(error, OM_SQL_MOVED, 0,
                     "%s was deleted or replaced while it was in use; this unit is not in it",
                     sqlite->name);
}

static bool begin(void *connection, bool reads, struct om_sql_error *error) {
  struct om_sqlite *sqlite = connection;
  sqlite->reads = reads;
  return in_place(sqlite, error) && run_own(sqlite, reads ? BEGIN_READ : BEGIN_WRITE, error);
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
  return run_own(connection, COMMIT, error) && in_place(connection, error);
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
  int pages = 0;
  int moved = 0;
  int code = sqlite3_wal_checkpoint_v2(sqlite->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, &moved);
  bool all = code == SQLITE_OK && pages == moved;
  sqlite->attempt_pages = all ? 0 : sqlite->log_pages;
  sqlite->log_pages = all ? 0 : sqlite->log_pages;
  return !all && !quiet;
}

/* ---- the target ---- */

/* The file's own directory, without links; NULL: *error. */
static char *directory_of(const char *target, struct om_sql_error *error) {
  const char *slash = strrchr(target, '/');
  char *asked = slash == NULL ? strdup(".") : strndup(target, (size_t)(slash - target) + 1);
  char *real = asked != NULL ? realpath(asked, NULL) : NULL;
  int number = errno;
  if (real == NULL && (number == ENOENT || number == ENOTDIR)) {
    om_sql_fail(error, OM_SQL_CONFIG, 0, "the directory %s does not exist; create it first",
                asked != NULL ? asked : "");
  } else if (real == NULL) {
    fail_for_system(error, target, SQLITE_CANTOPEN, number);
  }
  free(asked);
  return real;
}

static bool check_permission(const char *directory, const char *name, bool exists,
                             struct om_sql_error *error) {
  struct stat info;
  if (exists && stat(name, &info) == 0 && !S_ISREG(info.st_mode)) {
    return om_sql_fail(error, OM_SQL_CONFIG, 0, "%s is %s; name a file", name,
                       S_ISDIR(info.st_mode) ? "a directory" : "no regular file");
  }
  int why = forbidden(directory, name);
  return why == 0 || fail_for_system(error, name, SQLITE_CANTOPEN, why);
}

static char *check(const char *target, bool *exists, struct om_sql_error *error) {
  const char *slash = strrchr(target, '/');
  const char *file = slash != NULL ? slash + 1 : target;
  if (*file == '\0' || strcmp(file, ".") == 0 || strcmp(file, "..") == 0 || target[0] == ':') {
    om_sql_fail(error, OM_SQL_CONFIG, 0,
                "\"%s\" names no file; write sqlite: and the path of one, like "
                "sqlite:/var/lib/onemsg/confirmations.db",
                target);
    return NULL;
  }
  char *directory = directory_of(target, error);
  if (directory == NULL) {
    return NULL;
  }
  char *name = malloc(NAME_MAX_BYTES);
  int length = name == NULL ? 0
                            : snprintf(name, NAME_MAX_BYTES, "%s/%s",
                                       strcmp(directory, "/") == 0 ? "" : directory, file);
  if (length <= 0 || length >= NAME_MAX_BYTES) {
    om_sql_fail(error, name == NULL ? OM_SQL_MEMORY : OM_SQL_CONFIG, 0,
                "the path of the database is too long: %d bytes, and at most %d can be", length,
                NAME_MAX_BYTES - 1);
    free(directory);
    free(name);
    return NULL;
  }
  char *real = realpath(name, NULL); /* a link to a file is that file */
  *exists = real != NULL;
  if (real != NULL) {
    free(name);
    name = real;
  }
  bool fine = check_permission(directory, name, *exists, error);
  free(directory);
  if (!fine) {
    free(name);
    return NULL;
  }
  return name;
}

const struct om_sql_driver om_sql_sqlite = {
    .scheme = "sqlite:",
    .check = check,
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
