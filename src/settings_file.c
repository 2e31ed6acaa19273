/* settings_file.c: what the command needs of the file of settings: its text, where nobody but its
 * owner and his group can have read or changed it, for it holds a token; and to set variables. For
 * a process that has no threads yet. */
#include "settings_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_BYTES 65536 /* of settings; more is another kind of file */

/* What is wrong with a file that is to hold secrets, or NULL. */
static const char *fault_of(int fd) {
  struct stat facts;
  if (fstat(fd, &facts) != 0) {
    return strerror(errno);
  }
  if (!S_ISREG(facts.st_mode)) {
    return "it is no regular file";
  }
  if (facts.st_uid != 0 && facts.st_uid != geteuid()) {
    return "it belongs to somebody else; give it to root";
  }
  if ((facts.st_mode & (S_IWGRP | S_IRWXO)) != 0) {
    return "others can read or change it; chmod 640";
  }
  return facts.st_size > MOST_BYTES ? "it is larger than 64 KiB" : NULL;
}

/* core.settings_file(path) -> text | nil, why ("missing", "denied", or a sentence). */
static int core_settings_file(lua_State *L) {
  char text[MOST_BYTES];
  int fd = open(luaL_checkstring(L, 1), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    lua_pushnil(L);
    lua_pushstring(L, errno == ENOENT || errno == ENOTDIR ? "missing"
                      : errno == EACCES                   ? "denied"
                                                          : strerror(errno));
    return 2;
  }
  const char *why = fault_of(fd);
  size_t len = 0;
  ssize_t got = 1;
  while (why == NULL && got > 0 && len < sizeof text) {
    got = read(fd, text + len, sizeof text - len);
    len += got > 0 ? (size_t)got : 0;
  }
  if (why == NULL && got < 0) {
    why = strerror(errno);
  }
  close(fd);
  if (why != NULL) {
    lua_pushnil(L);
    lua_pushstring(L, why);
    return 2;
  }
  lua_pushlstring(L, text, len);
  return 1;
}

/* core.setenv(name, value): a variable that is set keeps its value. */
static int core_setenv(lua_State *L) {
  lua_pushboolean(L, setenv(luaL_checkstring(L, 1), luaL_checkstring(L, 2), 0) == 0);
  return 1;
}

void om_settings_file_open(lua_State *L, int core) {
  lua_pushvalue(L, core);
  lua_pushcfunction(L, core_settings_file);
  lua_setfield(L, -2, "settings_file");
  lua_pushcfunction(L, core_setenv);
  lua_setfield(L, -2, "setenv");
  lua_pop(L, 1);
}
