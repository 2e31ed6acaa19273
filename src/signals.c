/* signals.c: see signals.h. The flag is the process's, as signals are. */
#include "signals.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define READ_MAX_BYTES 65536 /* a pipe's capacity on Linux */

static volatile sig_atomic_t asked;

static void ask(int signal_number) {
  (void)signal_number;
  asked = 1;
}

/* core.stop_on_signals(): from now on the first SIGTERM, SIGINT or SIGHUP only makes stopped()
 * true; a second one ends the process as ever. A pipe that breaks is an error of the write. */
static int core_stop_on_signals(lua_State *L) {
  static const int stops[] = {SIGTERM, SIGINT, SIGHUP};
  struct sigaction action;
  struct sigaction before;
  memset(&action, 0, sizeof action);
  sigemptyset(&action.sa_mask);
  action.sa_handler = ask;
  action.sa_flags = (int)SA_RESETHAND; /* no SA_RESTART: a wait or a read ends */
  for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
    /* what is ignored stays so: nohup, a shell's background job */
    if (sigaction(stops[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN) {
      sigaction(stops[i], &action, NULL);
    }
  }
  action.sa_handler = SIG_IGN;
  action.sa_flags = 0;
  sigaction(SIGPIPE, &action, NULL);
  (void)L;
  return 0;
}

/* core.end_on_signals(): Ctrl-C ends the process at once. The interpreters' own handler waits until
 * a C function returns, which may be as long as a send takes. */
static int core_end_on_signals(lua_State *L) {
  (void)L;
  signal(SIGINT, SIG_DFL);
  return 0;
}

/* core.stopped() -> whether such a signal came. */
static int core_stopped(lua_State *L) {
  lua_pushboolean(L, asked);
  return 1;
}

/* core.read() -> what stdin has by now, at least a byte, waiting for it | nil at its end and when a
 * signal asked to stop | nil, err. Not to be mixed with io.stdin, which has a buffer. */
static int core_read(lua_State *L) {
  char bytes[READ_MAX_BYTES];
  ssize_t n = -1;
  do {
    n = asked ? 0 : read(STDIN_FILENO, bytes, sizeof bytes);
  } while (n < 0 && errno == EINTR);
  if (n <= 0) {
    lua_pushnil(L);
    lua_pushstring(L, n < 0 ? strerror(errno) : NULL);
    return 2;
  }
  lua_pushlstring(L, bytes, (size_t)n);
  return 1;
}

/* core.terminal(fd) -> whether a person sees, or types, what goes through it. */
static int core_terminal(lua_State *L) {
  int fd = (int)luaL_checknumber(L, 1);
  lua_pushboolean(L, isatty(fd));
  return 1;
}

void om_signals_open(lua_State *L, int core) {
  static const luaL_Reg functions[] = {{"stop_on_signals", core_stop_on_signals},
                                       {"end_on_signals", core_end_on_signals},
                                       {"stopped", core_stopped},
                                       {"read", core_read},
                                       {"terminal", core_terminal},
                                       {NULL, NULL}};
  lua_pushvalue(L, core);
  om_setfuncs(L, functions, 0);
  lua_pop(L, 1);
}
