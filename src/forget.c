/* forget.c: what the command `forget` needs of files: a key that nobody else may read, and a
 * database whose log holds nothing any more. For a process that may wait. */
#define _XOPEN_SOURCE 700 /* clock_gettime */
#include "forget.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 10000 /* for those who still read an old state, or make a checkpoint */
#define MOST_MS     3600000
#define ATTEMPT_MS  100
#define AGAIN_MS    20

static int answer(lua_State *L, const char *why) {
  if (why == NULL) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushnil(L);
  lua_pushstring(L, why);
  return 2;
}

/* core.private_file(path, text [, shared]) -> true | nil, why. A new file of mode 0600 (shared:
 * 0644), on disk; one that is there stays as it is: nil, "exists". */
static int core_private_file(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  size_t len = 0;
  const char *text = luaL_checklstring(L, 2, &len);
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                lua_toboolean(L, 3) ? 0644 : 0600);
  if (fd < 0) {
    return answer(L, errno == EEXIST ? "exists" : strerror(errno));
  }
  bool fine = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
  int number = errno;
  fine = close(fd) == 0 && fine;
  if (!fine) {
    unlink(path);
  }
  return answer(L, fine ? NULL : strerror(number));
}

static sqlite3_int64 now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (sqlite3_int64)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* SQLite itself waits for readers and writers here, but not for another checkpoint: the database
 * thread of any process makes one whenever it is quiet, and begins one just after a unit. And while
 * SQLite waits for readers nobody can write: so it waits a little at a time. */
static int empty_log(sqlite3 *db, sqlite3_int64 patience) {
  sqlite3_int64 end = now_ms() + patience;
  for (;;) {
    sqlite3_int64 left = end - now_ms();
    sqlite3_busy_timeout(db, left > ATTEMPT_MS ? ATTEMPT_MS : left > 0 ? (int)left : 0);
    int code = sqlite3_exec(db, "PRAGMA secure_delete = ON; SELECT 1 FROM sqlite_schema LIMIT 1",
                            NULL, NULL, NULL);
    if (code == SQLITE_OK) {
      code = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    }
    if ((code & 0xff) != SQLITE_BUSY || left <= 0) {
      return code;
    }
    sqlite3_sleep(AGAIN_MS);
  }
}

/* core.sqlite_empty_log(path [, ms]) -> true | nil, why. All that is committed stands in the
 * database file, and its log has no byte. Waits at most ms (10 s) for others; then "busy". */
static int core_sqlite_empty_log(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  lua_Number patience = luaL_optnumber(L, 2, PATIENCE_MS);
  luaL_argcheck(L, patience >= 0 && patience <= MOST_MS, 2, "milliseconds expected");
  sqlite3 *db = NULL;
  int code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);
  if (code == SQLITE_OK) {
    code = empty_log(db, (sqlite3_int64)patience);
  }
  sqlite3_close(db);
  return answer(L, code == SQLITE_OK              ? NULL
                   : (code & 0xff) == SQLITE_BUSY ? "busy"
                                                  : sqlite3_errstr(code));
}

void om_forget_open(lua_State *L, int core) {
  lua_pushvalue(L, core);
  lua_pushcfunction(L, core_private_file);
  lua_setfield(L, -2, "private_file");
  lua_pushcfunction(L, core_sqlite_empty_log);
  lua_setfield(L, -2, "sqlite_empty_log");
  lua_pop(L, 1);
}
