/* forget.c: what the command `forget` needs of files: a key that nobody else may read, and a
 * database whose log holds nothing any more. For a process that may wait. */
#include "forget.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 10000 /* for those who still read an old state */

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

/* core.sqlite_empty_log(path) -> true | nil, why. All that is committed stands in the database
 * file, and its log has no byte. */
static int core_sqlite_empty_log(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  sqlite3 *db = NULL;
  int code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);
  if (code == SQLITE_OK) {
    sqlite3_busy_timeout(db, PATIENCE_MS);
    code = sqlite3_exec(db, "PRAGMA secure_delete = ON; SELECT 1 FROM sqlite_schema LIMIT 1", NULL,
                        NULL, NULL);
  }
  if (code == SQLITE_OK) {
    code = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
  }
  const char *why = code == SQLITE_OK ? NULL : sqlite3_errstr(code);
  sqlite3_close(db);
  return answer(L, why);
}

void om_forget_open(lua_State *L, int core) {
  lua_pushvalue(L, core);
  lua_pushcfunction(L, core_private_file);
  lua_setfield(L, -2, "private_file");
  lua_pushcfunction(L, core_sqlite_empty_log);
  lua_setfield(L, -2, "sqlite_empty_log");
  lua_pop(L, 1);
}
