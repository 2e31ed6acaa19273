/* core.c: functions for event loops (public: onemsg.fd, dispatch, sleep) and for our own Lua files
 * (the table `require "onemsg.core"` returns). All return at once, but for sleep.
 */
#include "core.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* onemsg.fd() -> descriptor, readable while dispatch has something to return. It belongs to onemsg:
 * watch it, neither read nor close it. After a fork, ask again. */
static int module_fd(lua_State *L) {
  struct om_state *state = om_state_of(L);
  struct om_port *port = om_state_port(state);
  int fd = port != NULL ? om_port_fd(port) : -1;
  if (fd < 0) {
    return om_fail(L, "config", "invalid", "no descriptor for completions: %s", strerror(errno));
  }
  state->collecting = true;
  lua_pushinteger(L, fd);
  return 1;
}

/* onemsg.dispatch() -> list of the pendings that became ready since the last call; never waits. */
static int module_dispatch(lua_State *L) {
  struct om_state *state = om_state_of(L);
  state->collecting = true; /* from now on also for what another call takes home */
  lua_newtable(L);          /* first: a finalizer may dispatch as well */
  om_pending_drain(L, state);
  if (state->ready_count > 0) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->ready);
    lua_insert(L, -2);
    lua_rawseti(L, LUA_REGISTRYINDEX, state->ready);
    state->ready_count = 0;
    lua_pushnil(L);
    lua_rawseti(L, -2, 0);
  }
  return 1; /* a table of its own: the caller may keep it */
}

/* onemsg.sleep(seconds) -> true, or false when a signal ended it early. In nginx it yields. */
static int module_sleep(lua_State *L) {
  double seconds = om_check_seconds(L, 1, "the time to sleep", 0);
  struct timespec span = {.tv_sec = (time_t)seconds};
  span.tv_nsec = (long)((seconds - (double)span.tv_sec) * 1e9);
  lua_pushboolean(L, nanosleep(&span, NULL) == 0);
  return 1;
}

/* core.listen() -> path | nil, err. core.accept() -> true | false (nobody yet) | nil, err.
 * core.hangup(). See om_port_listen. */
static int core_listen(lua_State *L) {
  struct om_state *state = om_state_of(L);
  struct om_port *port = om_state_port(state);
  char path[OM_PORT_PATH_BYTES];
  if (port == NULL || om_port_listen(port, path) != 0) {
    return om_fail(L, "config", "invalid", "no Unix socket for completions: %s", strerror(errno));
  }
  lua_pushstring(L, path);
  return 1;
}

static int core_accept(lua_State *L) {
  struct om_state *state = om_state_of(L);
  if (state->port == NULL || om_port_accept(state->port) != 0) {
    if (state->port != NULL && (errno == EAGAIN || errno == EINTR)) {
      lua_pushboolean(L, 0);
      return 1;
    }
    return om_fail(L, "config", "invalid", "no connection for completions: %s", strerror(errno));
  }
  lua_pushboolean(L, 1);
  return 1;
}

static int core_hangup(lua_State *L) {
  struct om_state *state = om_state_of(L);
  if (state->port != NULL) {
    om_port_hangup(state->port);
  }
  return 0;
}

/* core.raise(sentence): misuse, at the line of the first caller that is none of our files. */
static int core_raise(lua_State *L) {
  return om_raise(L, "%s", luaL_checkstring(L, 1));
}

/* core.collect(): dispatch shall report also what was taken home by another call than itself, the
 * pendings of groups among it, and the socket speak up for it. */
static int core_collect(lua_State *L) {
  om_state_of(L)->collecting = om_state_of(L)->collecting_groups = true;
  return 0;
}

/* core.ring(): makes the socket readable, as if something had come home. */
static int core_ring(lua_State *L) {
  struct om_state *state = om_state_of(L);
  if (state->port != NULL && !om_port_foreign(state->port)) {
    om_port_ring(state->port);
  }
  return 0;
}

/* core.under_way() -> how many calls begun with async have not yet been reported. */
static int core_under_way(lua_State *L) {
  lua_pushinteger(L, om_state_of(L)->under_way);
  return 1;
}

/* core.yieldable() -> whether no C function stands between the caller and its coroutine's start. */
static int core_yieldable(lua_State *L) {
  lua_pushboolean(L, lua_isyieldable(L));
  return 1;
}

/* core.seconds(duration) -> number of seconds; raises at the caller's line. */
static int core_seconds(lua_State *L) {
  lua_pushnumber(L, om_check_seconds(L, 1, "the time to wait", 0));
  return 1;
}

/* core.now() -> seconds since the epoch, with microseconds. */
static int core_now(lua_State *L) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  lua_pushnumber(L, (lua_Number)now.tv_sec + (lua_Number)(now.tv_nsec / 1000) * 1e-6);
  return 1;
}

void om_core_open(lua_State *L, int module, int core) {
  static const luaL_Reg functions[] = {
      {"fd", module_fd}, {"dispatch", module_dispatch}, {"sleep", module_sleep}, {NULL, NULL}};
  static const luaL_Reg inner[] = {{"listen", core_listen},
                                   {"accept", core_accept},
                                   {"hangup", core_hangup},
                                   {"collect", core_collect},
                                   {"raise", core_raise},
                                   {"ring", core_ring},
                                   {"under_way", core_under_way},
                                   {"yieldable", core_yieldable},
                                   {"seconds", core_seconds},
                                   {"now", core_now},
                                   {NULL, NULL}};
  lua_pushvalue(L, module);
  lua_setfield(L, core, "module"); /* resty/onemsg replaces `sleep` there */
  om_add_functions(L, module, functions);
  om_add_functions(L, core, inner);
}
