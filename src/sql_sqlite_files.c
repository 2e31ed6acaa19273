/* sql_sqlite_files.c: the files of a database (see sql_sqlite.h): which one a target names, and
 * whether they are still those that this connection has open.
 *
 * SQLite knows its files by descriptor, everybody else by name. A file that was deleted, replaced
 * or emptied still takes what is written to it, and nobody will find it: so before a transaction
 * and after its commit the database, its write-ahead log and the log's index are looked at by name.
 * Nothing here opens a file that SQLite has open: to close it again would drop SQLite's locks.
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

/* ---- the target ---- */

bool om_sqlite_one_name(const char *name, struct om_sql_error *error) {
  struct stat info;
  return stat(name, &info) != 0 || info.st_nlink <= 1 ||
         om_sql_fail(error, OM_SQL_CONFIG, 0,
                     "%s has %ld names (hard links), and each would have a write-ahead log of its "
                     "own; remove the others",
                     name, (long)info.st_nlink);
}

int om_sqlite_forbidden(const char *directory, const char *name) {
  if (faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) != 0 ||
      (faccessat(AT_FDCWD, name, R_OK | W_OK, AT_EACCESS) != 0 && errno != ENOENT)) {
    return errno;
  }
  return 0;
}

bool om_sqlite_create(const char *name, struct om_sql_error *error) {
  int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    return errno == EEXIST || om_sqlite_fail_for_system(error, name, SQLITE_CANTOPEN, errno);
  }
  bool fine = fchmod(fd, 0600) == 0;
  int number = errno;
  close(fd); /* nobody in this process has it open yet: no lock is lost */
  return fine || om_sqlite_fail_for_system(error, name, SQLITE_CANTOPEN, number);
}

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
    om_sqlite_fail_for_system(error, target, SQLITE_CANTOPEN, number);
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
  int why = om_sqlite_forbidden(directory, name);
  if (why == 0) {
    return om_sqlite_one_name(name, error);
  }
  return om_sqlite_fail_for_system(error, name, SQLITE_CANTOPEN, why);
}

/* The file's own path, without links; NULL: *error. */
static char *path_of(const char *directory, const char *file, bool *exists,
                     struct om_sql_error *error) {
  char asked[OM_SQLITE_NAME_BYTES];
  int length =
      snprintf(asked, sizeof asked, "%s/%s", strcmp(directory, "/") == 0 ? "" : directory, file);
  if (length < OM_SQLITE_NAME_BYTES) {
    char *real = realpath(asked, NULL);
    *exists = real != NULL;
    real = real == NULL && errno == ENOENT ? strdup(asked) : real;
    if (real == NULL) {
      om_sqlite_fail_for_system(error, asked, SQLITE_CANTOPEN, errno);
      return NULL;
    }
    length = (int)strlen(real);
    if (length < OM_SQLITE_NAME_BYTES) {
      return real;
    }
    free(real);
  }
  om_sql_fail(error, OM_SQL_CONFIG, 0,
              "the path of the database is too long: %d bytes, and at most %d can be", length,
              OM_SQLITE_NAME_BYTES - 1);
  return NULL;
}

char *om_sqlite_check(const char *target, bool *exists, struct om_sql_error *error) {
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
  char *name = path_of(directory, file, exists, error);
  bool fine = name != NULL && check_permission(directory, name, *exists, error);
  free(directory);
  if (!fine) {
    free(name);
    return NULL;
  }
  return name;
}

/* ---- are they still in place? ---- */

/* SQLite's documented formats of the log and of its index, whose two headers are copies. */
#define INDEX_BYTES      32768 /* what is mapped at once */
#define INDEX_HEAD_BYTES 48
#define INDEX_IS_SET     12 /* a byte: the header means something */
#define INDEX_PAGE_BYTES 14 /* 16 bits; 1: 65536 */
#define INDEX_FRAMES     16 /* 32 bits: frames of the log that are committed */
#define INDEX_SALT       32 /* 8 bytes, as in the log's head */
#define LOG_HEAD_BYTES   32
#define LOG_FRAME_BYTES  24 /* and a page */
#define LOG_SALT         16
#define LOOKS            3 /* another process may be changing the header just now */

enum place { SAME, GONE, OTHER };

static const char *const suffixes[OM_SQLITE_FILES] = {"", "-wal", "-shm"};

static void name_of(char *buffer, const struct om_sqlite *sqlite, int which) {
  snprintf(buffer, OM_SQLITE_NAME_BYTES + 5, "%s%s", sqlite->name, suffixes[which]);
}

/* An empty log in its place is as good as none: somebody opened the database since, and has written
 * nothing. */
static enum place place_of(const struct om_sqlite *sqlite, int which) {
  char name[OM_SQLITE_NAME_BYTES + 5];
  struct stat now;
  const struct om_sqlite_file *file = &sqlite->files[which];
  name_of(name, sqlite, which);
  if (stat(name, &now) != 0) {
    return GONE;
  }
  if (now.st_dev == file->device && now.st_ino == file->inode) {
    return SAME;
  }
  return which == OM_SQLITE_LOG && now.st_size == 0 ? GONE : OTHER;
}

void om_sqlite_watch(struct om_sqlite *sqlite) {
  char name[OM_SQLITE_NAME_BYTES + 5];
  struct stat now;
  for (int which = 0; which < OM_SQLITE_FILES; which++) {
    name_of(name, sqlite, which);
    if (stat(name, &now) == 0) { /* else it is gone already, and will be found so */
      sqlite->files[which] = (struct om_sqlite_file){now.st_dev, now.st_ino};
    }
  }
  sqlite->watched = true;
}

/* The committed frames that the index knows of, and the salt that their log must have; 0 frames:
 * nothing is known. */
static uint32_t read_index(const volatile unsigned char *index, uint64_t *bytes,
                           unsigned char salt[8]) {
  unsigned char head[2 * INDEX_HEAD_BYTES];
  uint16_t page = 0;
  uint32_t frames = 0;
  for (size_t i = 0; i < sizeof head; i++) {
    head[i] = index[i];
  }
  if (memcmp(head, head + INDEX_HEAD_BYTES, INDEX_HEAD_BYTES) != 0 || head[INDEX_IS_SET] == 0) {
    return 0;
  }
  memcpy(&page, head + INDEX_PAGE_BYTES, sizeof page);
  memcpy(&frames, head + INDEX_FRAMES, sizeof frames);
  memcpy(salt, head + INDEX_SALT, 8);
  *bytes = LOG_HEAD_BYTES + frames * (uint64_t)(LOG_FRAME_BYTES + (page == 1 ? 65536 : page));
  return frames;
}

/* Is the log that we have open the one that the index describes? It is not when somebody emptied
 * it, or deleted it under others before we opened (and with that made) it. */
static bool log_is_whole(const struct om_sqlite *sqlite) {
  sqlite3_file *database = NULL;
  sqlite3_file *log = NULL;
  void volatile *index = NULL;
  sqlite3_file_control(sqlite->db, "main", SQLITE_FCNTL_FILE_POINTER, &database);
  sqlite3_file_control(sqlite->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
  if (database == NULL || database->pMethods == NULL || database->pMethods->iVersion < 2 ||
      log == NULL || log->pMethods == NULL ||
      database->pMethods->xShmMap(database, 0, INDEX_BYTES, 0, &index) != SQLITE_OK ||
      index == NULL) {
    return true;
  }
  for (int look = 0; look < LOOKS; look++) {
    unsigned char head[LOG_HEAD_BYTES] = {0};
    unsigned char salt[8];
    unsigned char after[8];
    sqlite3_int64 size = 0;
    uint64_t wanted = 0;
    uint64_t then = 0;
    uint32_t frames = read_index(index, &wanted, salt);
    log->pMethods->xRead(log, head, sizeof head, 0); /* too short: the rest is zeros */
    log->pMethods->xFileSize(log, &size);
    if (frames == 0 || (memcmp(head + LOG_SALT, salt, 8) == 0 && (uint64_t)size >= wanted)) {
      return true;
    }
    if (read_index(index, &then, after) == frames && then == wanted &&
        memcmp(salt, after, 8) == 0) {
      return false;
    }
  }
  return true;
}

bool om_sqlite_in_place(struct om_sqlite *sqlite, struct om_sql_error *error) {
  const char *what = "deleted or replaced";
  int which = 0;
  while (which < OM_SQLITE_FILES && place_of(sqlite, which) == SAME) {
    which++;
  }
  if (which == OM_SQLITE_FILES) {
    if (sqlite->reads || log_is_whole(sqlite)) {
      return true;
    }
    which = OM_SQLITE_LOG;
    what = "deleted, replaced or emptied";
  }
  error->broken = true;
  return om_sql_fail(error, OM_SQL_MOVED, 0, "%s%s was %s while it was in use; this unit %s",
                     sqlite->name, suffixes[which], what,
                     error->open ? "may not be in the database" : "was not begun");
}

bool om_sqlite_settle(struct om_sqlite *sqlite) {
  struct om_sql_error ignored = {.fault = OM_SQL_FINE};
  sqlite->reads = false;
  if (!sqlite->watched || om_sqlite_in_place(sqlite, &ignored)) {
    return true;
  }
  enum place main_file = place_of(sqlite, OM_SQLITE_MAIN);
  enum place log = place_of(sqlite, OM_SQLITE_LOG);
  enum place index = place_of(sqlite, OM_SQLITE_INDEX);
  bool strangers = main_file == OTHER || log == OTHER || index == OTHER;
  if (!strangers && (main_file == GONE || log == GONE) && log_is_whole(sqlite)) {
    sqlite3_wal_checkpoint_v2(sqlite->db, NULL, SQLITE_CHECKPOINT_RESTART, NULL, NULL);
  }
  return false;
}
