/* child.c: a shell command beside the caller: begun, asked whether it has ended, killed. Nothing in
 * here waits. Its standard input is a file in memory, which no disk sees: it need not be read, and
 * nobody has to write on. It leads a process group of its own, which is killed with it; a Ctrl-C at
 * the terminal does not reach it. For programs of ours that own their process (the command `work`).
 */
#define _GNU_SOURCE /* memfd_create */
#include "child.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIGNALLED 128 /* what a shell adds to the number of a signal that ended a program */

extern char **environ;

/* A file in memory with these bytes, to be read from the start; -1 and errno. */
static int input_of(const char *bytes, size_t len) {
  int fd = memfd_create("onemsg notice", MFD_CLOEXEC);
  while (fd >= 0 && len > 0) {
    ssize_t n = write(fd, bytes, len);
    if (n < 0 && errno != EINTR) {
      int why = errno;
      close(fd);
      errno = why;
      return -1;
    }
    if (n > 0) {
      bytes += n;
      len -= (size_t)n;
    }
  }
  if (fd >= 0 && lseek(fd, 0, SEEK_SET) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

/* 0, or an errno. */
static int spawn(const char *command, int input_fd, pid_t *pid) {
  static const int reset[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGCHLD};
  char sh[] = "sh";
  char option[] = "-c";
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  sigset_t none;
  sigset_t usual;
  char *copy = strdup(command);
  if (copy == NULL) {
    return ENOMEM;
  }
  char *const argv[] = {sh, option, copy, NULL};
  sigemptyset(&none);
  sigemptyset(&usual);
  for (size_t i = 0; i < sizeof reset / sizeof reset[0]; i++) {
    sigaddset(&usual, reset[i]);
  }
  int why = posix_spawn_file_actions_init(&actions);
  if (why == 0) {
    why = posix_spawnattr_init(&attributes);
    if (why == 0) {
      posix_spawn_file_actions_adddup2(&actions, input_fd, STDIN_FILENO);
      posix_spawnattr_setpgroup(&attributes, 0);
      posix_spawnattr_setsigmask(&attributes, &none);
      posix_spawnattr_setsigdefault(&attributes, &usual);
      posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                POSIX_SPAWN_SETSIGDEF);
      why = posix_spawn(pid, "/bin/sh", &actions, &attributes, argv, environ);
      posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
  }
  free(copy);
  return why;
}

/* core.child_start(command, input) -> its process id | nil, why. */
static int core_child_start(lua_State *L) {
  size_t len = 0;
  pid_t pid = 0;
  const char *command = luaL_checkstring(L, 1);
  const char *input = luaL_checklstring(L, 2, &len);
  struct sigaction before;
  if (sigaction(SIGCHLD, NULL, &before) == 0 && before.sa_handler == SIG_IGN) {
    signal(SIGCHLD, SIG_DFL); /* inherited; how a child ended would be lost */
  }
  int fd = input_of(input, len);
  int why = fd >= 0 ? spawn(command, fd, &pid) : errno;
  if (fd >= 0) {
    close(fd);
  }
  if (why != 0) {
    lua_pushnil(L);
    lua_pushstring(L, strerror(why));
    return 2;
  }
  lua_pushinteger(L, (lua_Integer)pid);
  return 1;
}

/* core.child_poll(pid) -> nil: it runs | its exit status, as a shell has it; -1: nobody knows it.
 * Once it has ended, not to be asked again. */
static int core_child_poll(lua_State *L) {
  int status = 0;
  pid_t pid = (pid_t)luaL_checknumber(L, 1);
  pid_t ended = waitpid(pid, &status, WNOHANG);
  if (ended == 0 || (ended < 0 && errno == EINTR)) {
    lua_pushnil(L);
  } else if (ended < 0) {
    lua_pushinteger(L, -1);
  } else {
    lua_pushinteger(L, WIFEXITED(status) ? WEXITSTATUS(status) : SIGNALLED + WTERMSIG(status));
  }
  return 1;
}

/* core.child_kill(pid): the program and its group. It is to be polled until it has ended. */
static int core_child_kill(lua_State *L) {
  pid_t pid = (pid_t)luaL_checknumber(L, 1);
  kill(-pid, SIGKILL);
  kill(pid, SIGKILL);
  return 0;
}

void om_child_open(lua_State *L, int core) {
  static const luaL_Reg functions[] = {{"child_start", core_child_start},
                                       {"child_poll", core_child_poll},
                                       {"child_kill", core_child_kill},
                                       {NULL, NULL}};
  lua_pushvalue(L, core);
  om_setfuncs(L, functions, 0);
  lua_pop(L, 1);
}
