/* backup.c: a consistent copy of a SQLite database at work, by SQLite's own online backup. For the
 * command `backup`, which owns its process: it waits.
 *
 * The copy is made under another name beside its own, and gets its own when it is whole and on
 * disk: who is killed in the middle leaves nothing that looks like a backup.
 */
#include "backup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ALL_PAGES                                                                                  \
  -1 /* in one read transaction: who writes meanwhile is not waited for, and not seen */
#define PAUSE_MS    20
#define PATIENCE_MS 60000 /* for a lock */

struct backup {
  char part[PATH_MAX];
  sqlite3 *from;
  sqlite3 *to;
  char why[512];
};

static bool failed(struct backup *backup, const char *what, const char *why) {
  snprintf(backup->why, sizeof backup->why, "%.240s: %.240s", what, why);
  return false;
}

static bool open_one(struct backup *backup, const char *path, sqlite3 **db) {
  int code = sqlite3_open_v2(path, db, SQLITE_OPEN_READWRITE, NULL);
  if (code != SQLITE_OK) {
    return failed(backup, path, *db != NULL ? sqlite3_errmsg(*db) : sqlite3_errstr(code));
  }
  sqlite3_busy_timeout(*db, PATIENCE_MS);
  return true;
}

/* The pages, all of one moment. */
static bool copy(struct backup *backup, const char *from) {
  sqlite3_backup *work = sqlite3_backup_init(backup->to, "main", backup->from, "main");
  int waited_ms = 0;
  int code = work != NULL ? SQLITE_OK : sqlite3_errcode(backup->to);
  while (work != NULL && code == SQLITE_OK) {
    code = sqlite3_backup_step(work, ALL_PAGES);
    if ((code == SQLITE_BUSY || code == SQLITE_LOCKED) && waited_ms < PATIENCE_MS) {
      waited_ms += PAUSE_MS;
      sqlite3_sleep(PAUSE_MS);
      code = SQLITE_OK;
    }
  }
  if (work != NULL) {
    int ended = sqlite3_backup_finish(work);
    code = code == SQLITE_DONE ? ended : code;
  }
  return code == SQLITE_OK || failed(backup, from, sqlite3_errstr(code));
}

static int first_text(void *into, int columns, char **values, char **names) {
  (void)names;
  snprintf((char *)into, 64, "%s", columns > 0 && values[0] != NULL ? values[0] : "");
  return 0;
}

/* The copy is one file, without a log beside it, and good. */
static bool settle(struct backup *backup) {
  char said[64] = "";
  char *why = NULL;
  int code = sqlite3_exec(backup->to, "PRAGMA journal_mode = DELETE", NULL, NULL, &why);
  if (code == SQLITE_OK) {
    code = sqlite3_exec(backup->to, "PRAGMA quick_check(1)", first_text, said, &why);
  }
  bool fine = code == SQLITE_OK && strcmp(said, "ok") == 0;
  if (!fine) {
    failed(backup, "the copy", why != NULL ? why : said);
  }
  sqlite3_free(why);
  return fine;
}

static bool on_disk(struct backup *backup, const char *path, int flags) {
  int fd = open(path, flags | O_CLOEXEC);
  bool fine = fd >= 0 && fsync(fd) == 0;
  int why = errno;
  if (fd >= 0) {
    close(fd);
  }
  return fine || failed(backup, path, strerror(why));
}

static bool directory_on_disk(struct backup *backup, const char *path) {
  char directory[PATH_MAX];
  const char *slash = strrchr(path, '/');
  int len = slash == NULL ? 0 : (int)(slash - path) + 1;
  snprintf(directory, sizeof directory, "%.*s", len, path);
  return on_disk(backup, len > 0 ? directory : ".", O_RDONLY | O_DIRECTORY);
}

static bool make(struct backup *backup, const char *from, const char *to) {
  int fd = open(backup->part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) { /* a folder that is not there is no fault of this name, which nobody gave */
    return failed(backup, errno == EEXIST ? backup->part : to, strerror(errno));
  }
  close(fd);
  bool fine = open_one(backup, from, &backup->from) &&
              open_one(backup, backup->part, &backup->to) && copy(backup, from) && settle(backup);
  sqlite3_close(backup->to);
  sqlite3_close(backup->from);
  fine = fine && on_disk(backup, backup->part, O_RDONLY);
  /* link, not rename: it replaces nothing */
  if (fine && link(backup->part, to) != 0) {
    fine = failed(backup, to, strerror(errno));
  }
  unlink(backup->part);
  return fine && directory_on_disk(backup, to);
}

/* core.sqlite_backup(path, to) -> true | nil, why. `to` must not be there. */
static int core_sqlite_backup(lua_State *L) {
  const char *from = luaL_checkstring(L, 1);
  const char *to = luaL_checkstring(L, 2);
  struct backup backup = {"", NULL, NULL, ""};
  bool fine = snprintf(backup.part, sizeof backup.part, "%s.%ld.part", to, (long)getpid()) <
              (int)sizeof backup.part;
  fine = fine ? make(&backup, from, to) : failed(&backup, to, "the name is too long");
  if (fine) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushnil(L);
  lua_pushstring(L, backup.why);
  return 2;
}

void om_backup_open(lua_State *L, int core) {
  lua_pushvalue(L, core);
  lua_pushcfunction(L, core_sqlite_backup);
  lua_setfield(L, -2, "sqlite_backup");
  lua_pop(L, 1);
}
