/* core.c: functions for event loops (public: onemsg.fd, dispatch, sleep) and for our own Lua files
 * (the table `require "onemsg.core"` returns). All return at once, but for sleep.
 */
#include "core.h"

#include "base64.h"
#include "clock.h"
#include "environment.h"
#include "phone.h"
#include "ready.h"
#include "text.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DURATION_LESS 2147483648.0 /* 68 years; more is a mistake */

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

/* onemsg.dispatch() -> list of the pendings that became ready since the last call; never waits. It
 * keeps them until then; what was waited for meanwhile it returns only while somebody else has it.
 */
static int module_dispatch(lua_State *L) {
  struct om_state *state = om_state_of(L);
  state->collecting = true; /* from now on also for what another call takes home */
  om_pending_drain(L, state);
  om_ready_take(L, state);
  return 1;
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

/* core.duration(value [, bare]) -> seconds | nil and what it must be (OM_DURATION_FORM) when it is
 * neither a number from 0 up to DURATION_LESS nor a duration as text (om_duration). */
static int core_duration(lua_State *L) {
  double seconds = -1;
  bool text = lua_type(L, 1) == LUA_TSTRING;
  bool good = text && lua_toboolean(L, 2) ? strlen(lua_tostring(L, 1)) == lua_rawlen(L, 1) &&
                                                om_duration(lua_tostring(L, 1), true, &seconds)
                                          : om_to_seconds(L, 1, &seconds);
  if (!good || !(seconds >= 0 && seconds < DURATION_LESS)) {
    lua_pushnil(L);
    lua_pushliteral(L, OM_DURATION_FORM);
    return 2;
  }
  if (!text) {
    lua_pushvalue(L, 1);
  } else if (seconds == floor(seconds)) {
    lua_pushinteger(L, (lua_Integer)seconds);
  } else {
    lua_pushnumber(L, seconds);
  }
  return 1;
}

/* core.phone(phone [, country]) -> its digits, as a message to it carries them | nil and what is
 * wrong, which reads on after "phone". country: of national numbers. */
static int core_phone(lua_State *L) {
  char digits[OM_PHONE_MAX_DIGITS + 1];
  enum om_phone_fault fault = om_to_phone(L, 1, luaL_optstring(L, 2, NULL), digits);
  if (fault != OM_PHONE_OK) {
    lua_pushnil(L);
    lua_pushstring(L, om_phone_explain(fault));
    return 2;
  }
  lua_pushstring(L, digits);
  return 1;
}

/* core.nearest(word, names) -> the one of the list that was meant (om_near_try) | nil */
static int core_nearest(lua_State *L) {
  struct om_near near = {.word = luaL_checkstring(L, 1)};
  luaL_checktype(L, 2, LUA_TTABLE);
  int count = (int)lua_rawlen(L, 2);
  for (int i = 1; i <= count; i++) {
    lua_rawgeti(L, 2, i);
    if (lua_type(L, -1) == LUA_TSTRING) {
      om_near_try(&near, lua_tostring(L, -1)); /* the table keeps it */
    }
    lua_pop(L, 1);
  }
  lua_pushstring(L, near.name); /* nil for NULL */
  return 1;
}

bool om_core_push_json(lua_State *L, const char *text, size_t len, enum om_json_kind kind) {
  bool marked = false;
  if (kind == OM_JSON_ANSWER && om_json_is_plain(text, len)) {
    lua_pushlstring(L, text, len);
    return false;
  }
  size_t size = om_json_prepare(text, len, kind, NULL, &marked);
  char *bytes = (char *)lua_newuserdatauv(L, size + 1, 0);
  lua_pushlstring(L, bytes, om_json_prepare(text, len, kind, bytes, &marked));
  lua_remove(L, -2);
  return marked;
}

/* core.json(text [, event]) -> the text as lua-cjson can read it (om_json_prepare), whether there
 * are marks in it */
static int core_json(lua_State *L) {
  size_t len = 0;
  const char *text = luaL_checklstring(L, 1, &len);
  enum om_json_kind kind = lua_toboolean(L, 2) ? OM_JSON_EVENT : OM_JSON_ANSWER;
  lua_pushboolean(L, om_core_push_json(L, text, len, kind));
  return 2;
}

/* core.base64(bytes) -> text. core.unbase64(text) -> bytes | nil; its padding may be missing. */
static int core_base64(lua_State *L) {
  size_t len = 0;
  const char *bytes = luaL_checklstring(L, 1, &len);
  char *text = (char *)lua_newuserdatauv(L, OM_BASE64_TEXT_BYTES(len) + 1, 0);
  lua_pushlstring(L, text, om_base64_encode(bytes, len, text));
  return 1;
}

static int core_unbase64(lua_State *L) {
  size_t len = 0;
  const char *text = luaL_checklstring(L, 1, &len);
  char *bytes = (char *)lua_newuserdatauv(L, len + 1, 0);
  len = om_base64_decode(text, len, false, bytes);
  if (len == OM_BASE64_BAD) {
    lua_pushnil(L);
  } else {
    lua_pushlstring(L, bytes, len);
  }
  return 1;
}

/* core.blank(text) -> whether there is nothing to see in it (OM_TEXT_EMPTY) */
static int core_blank(lua_State *L) {
  size_t len = 0;
  const char *text = luaL_checklstring(L, 1, &len);
  lua_pushboolean(L, om_text_check(text, len, 0) == OM_TEXT_EMPTY);
  return 1;
}

struct pieces {
  lua_State *L;
  size_t before; /* bytes in front of what is cut */
  int count;
};

static void push_piece(void *context, size_t from, size_t to, bool alone) {
  struct pieces *pieces = context;
  lua_Integer last = (lua_Integer)(pieces->before + to);
  lua_pushinteger(pieces->L, (lua_Integer)(pieces->before + from + 1));
  lua_rawseti(pieces->L, -2, ++pieces->count);
  lua_pushinteger(pieces->L, alone ? -last : last);
  lua_rawseti(pieces->L, -2, ++pieces->count);
}

/* core.json_pieces(text, first, last, most) -> { first, last, … } of the pieces of the list or
 * object that stands there, last < 0 where it is one member alone | nil, where it is broken. */
static int core_json_pieces(lua_State *L) {
  size_t len = 0;
  const char *text = luaL_checklstring(L, 1, &len);
  lua_Integer first = luaL_checkinteger(L, 2);
  lua_Integer last = luaL_checkinteger(L, 3);
  struct pieces pieces = {.L = L, .before = (size_t)(first - 1)};
  size_t wrong = 0;
  luaL_argcheck(L, first >= 1 && first <= last && (size_t)last <= len, 2, "out of range");
  lua_newtable(L);
  if (om_json_cut(text + pieces.before, (size_t)(last - first + 1), (size_t)luaL_checkinteger(L, 4),
                  push_piece, &pieces, &wrong)) {
    return 1;
  }
  lua_pushnil(L);
  lua_pushinteger(L, (lua_Integer)(pieces.before + wrong + 1));
  return 2;
}

static void push_time(lua_State *L, int64_t us) {
  lua_pushnumber(L, (lua_Number)(us / 1000000) + (lua_Number)(us % 1000000) * 1e-6);
}

/* core.now() -> seconds since the epoch, with microseconds, by the wall clock. */
static int core_now(lua_State *L) {
  push_time(L, om_clock_read().wall_us);
  return 1;
}

/* core.getenv(name) -> a setting's text, or nil; see environment.h */
static int core_getenv(lua_State *L) {
  lua_pushstring(L, om_environment(luaL_checkstring(L, 1)));
  return 1;
}

/* core.steady() -> seconds of a clock that only rises: for deadlines. */
static int core_steady(lua_State *L) {
  push_time(L, om_clock_steady_us());
  return 1;
}

/* core.clocks() -> both at one instant. */
static int core_clocks(lua_State *L) {
  struct om_clocks now = om_clock_read();
  push_time(L, now.wall_us);
  push_time(L, now.steady_us);
  return 2;
}

/* core.country(text) -> the calling code of an ISO code or a calling code | nil: no country's. */
static int core_country(lua_State *L) {
  lua_pushstring(L, om_phone_country(luaL_checkstring(L, 1)));
  return 1;
}

#define CHAT "@c.us" /* the chat id of a phone */

/* core.spellings(address) -> the one spelling of a person by which two numbers are compared
 * (phone.h)
 * [, the other one]. What is no number stays as it is; "…@c.us" is one. */
static int core_spellings(lua_State *L) {
  char key[OM_PHONE_MAX_DIGITS + 1], other[OM_PHONE_MAX_DIGITS + 1];
  size_t len = 0, end = sizeof CHAT - 1;
  const char *text = luaL_checklstring(L, 1, &len);
  if (len > end && memcmp(text + len - end, CHAT, end) == 0) {
    len -= end;
  }
  if (!om_phone_key(text, len, key)) {
    lua_settop(L, 1);
    return 1;
  }
  lua_pushstring(L, key);
  if (!om_phone_longer(key, other)) {
    return 1;
  }
  lua_pushstring(L, other);
  return 2;
}

/* core.worked() -> seconds for which this thread had a processor. */
static int core_worked(lua_State *L) {
  struct timespec time = {0};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  lua_pushnumber(L, (lua_Number)time.tv_sec + (lua_Number)time.tv_nsec / 1e9);
  return 1;
}

void om_core_open(lua_State *L, int module, int core) {
  static const luaL_Reg functions[] = {
      {"fd", module_fd}, {"dispatch", module_dispatch}, {"sleep", module_sleep}, {NULL, NULL}};
  static const luaL_Reg inner[] = {{"listen", core_listen},
                                   {"accept", core_accept},
                                   {"hangup", core_hangup},
                                   {"collect", core_collect},
                                   {"positions", om_positions},
                                   {"raise", core_raise},
                                   {"ring", core_ring},
                                   {"under_way", core_under_way},
                                   {"yieldable", core_yieldable},
                                   {"seconds", core_seconds},
                                   {"json", core_json},
                                   {"json_pieces", core_json_pieces},
                                   {"base64", core_base64},
                                   {"blank", core_blank},
                                   {"unbase64", core_unbase64},
                                   {"duration", core_duration},
                                   {"nearest", core_nearest},
                                   {"phone", core_phone},
                                   {"now", core_now},
                                   {"steady", core_steady},
                                   {"clocks", core_clocks},
                                   {"worked", core_worked},
                                   {"country", core_country},
                                   {"spellings", core_spellings},
                                   {"getenv", core_getenv},
                                   {NULL, NULL}};
  lua_pushvalue(L, module);
  lua_setfield(L, core, "module"); /* resty/onemsg replaces `sleep` there */
  om_add_functions(L, module, functions);
  om_add_functions(L, core, inner);
}
