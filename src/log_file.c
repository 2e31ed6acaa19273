/* log_file.c: the file that a log is written to. It may be a pipe whose reader stands still or is
 * gone: nothing in here waits for that, and no signal comes of it. What could not be written is the
 * caller's to keep (lua/onemsg/workflow/log.lua).
 */
#include "log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOG      "onemsg.log"
#define LOG_MODE 0640 /* phones' ends and names: for its owner, and the group that reads logs */

struct log {
  int fd; /* -1: closed */
};

/* Pushes "device:inode" | nil, why there is none; the number of values. */
static int push_identity(lua_State *L, const char *path, const struct stat *facts, int failed) {
  if (failed != 0) {
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", path, strerror(failed));
    return 2;
  }
  char identity[48];
  snprintf(identity, sizeof identity, "%ju:%ju", (uintmax_t)facts->st_dev,
           (uintmax_t)facts->st_ino);
  lua_pushstring(L, identity);
  return 1;
}

/* core.log_file(path) -> "device:inode" of the file at the path, whether it is a plain one (no pipe
 * or device, which may keep who reads it waiting) | nil, why there is none. */
static int core_log_file(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  struct stat facts;
  int failed = stat(path, &facts) != 0 ? errno : 0;
  int count = push_identity(L, path, &facts, failed);
  if (failed == 0) {
    lua_pushboolean(L, S_ISREG(facts.st_mode));
    count++;
  }
  return count;
}

/* core.log_open(path) -> a file to append to, which is made where it is not there, and its
 * "device:inode" | nil, why; a pipe that nobody reads is refused. No path: standard error. */
static int core_log_open(lua_State *L) {
  struct stat facts;
  const char *path = luaL_optstring(L, 1, NULL);
  struct log *log = (struct log *)lua_newuserdatauv(L, sizeof *log, 0);
  log->fd = -1;
  luaL_getmetatable(L, LOG);
  lua_setmetatable(L, -2);
  if (path == NULL) {
    log->fd = STDERR_FILENO;
    return 1;
  }
  log->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, LOG_MODE);
  int failed = log->fd < 0 || fstat(log->fd, &facts) != 0 ? errno : 0;
  int count = push_identity(L, path, &facts, failed);
  return failed != 0 ? count : 1 + count;
}

/* Standard error is shared with others, who may count on its waiting: it is asked each time whether
 * it takes as much as a pipe takes whole. */
static ssize_t write_shared(int fd, const char *text, size_t len) {
  struct pollfd ready = {.fd = fd, .events = POLLOUT};
  ssize_t n = send(fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n >= 0 || errno != ENOTSOCK) {
    return n;
  }
  if (poll(&ready, 1, 0) != 1) {
    errno = EAGAIN;
    return -1;
  }
  return write(fd, text, len < PIPE_BUF ? len : PIPE_BUF);
}

/* As write(2), but a pipe that broke is an error only, whatever the process does with SIGPIPE. */
static ssize_t write_quietly(int fd, const char *text, size_t len) {
  static const struct timespec at_once;
  sigset_t pipe_only;
  sigset_t before;
  sigset_t pending;
  sigemptyset(&pipe_only);
  sigaddset(&pipe_only, SIGPIPE);
  sigemptyset(&pending);
  sigpending(&pending);
  pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
  ssize_t n = fd == STDERR_FILENO ? write_shared(fd, text, len) : write(fd, text, len);
  int why = errno;
  if (n < 0 && why == EPIPE && sigismember(&pending, SIGPIPE) == 0) {
    while (sigtimedwait(&pipe_only, NULL, &at_once) < 0 && errno == EINTR) {
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  errno = why;
  return n;
}

/* log:write(text, from) -> how many bytes behind the first `from` went; 0: none for now. */
static int log_write(lua_State *L) {
  struct log *log = (struct log *)luaL_checkudata(L, 1, LOG);
  size_t len = 0;
  const char *text = luaL_checklstring(L, 2, &len);
  lua_Integer from = luaL_checkinteger(L, 3);
  luaL_argcheck(L, from >= 0 && (size_t)from <= len, 3, "out of range");
  ssize_t n = 0;
  if (log->fd >= 0 && (size_t)from < len) {
    do {
      n = write_quietly(log->fd, text + from, len - (size_t)from);
    } while (n < 0 && errno == EINTR);
  }
  lua_pushinteger(L, n > 0 ? (lua_Integer)n : 0);
  return 1;
}

/* log:close() */
static int log_close(lua_State *L) {
  struct log *log = (struct log *)luaL_checkudata(L, 1, LOG);
  if (log->fd >= 0 && log->fd != STDERR_FILENO) {
    close(log->fd);
  }
  log->fd = -1;
  return 0;
}

void om_log_file_open(lua_State *L, int core) {
  static const luaL_Reg methods[] = {{"write", log_write}, {"close", log_close}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", log_close}, {NULL, NULL}};
  static const luaL_Reg inner[] = {
      {"log_file", core_log_file}, {"log_open", core_log_open}, {NULL, NULL}};
  static const struct om_class class = {LOG, "log", meta, methods, inner};
  om_class_open(L, &class, core);
}
