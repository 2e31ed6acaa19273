/* channel.c: a 1MSG channel for Lua: its methods. Options are options.c's, operations
 * operation.c's. */
#include "channel.h"

#include "options.h"
#include "statistics.h"

#include <stdio.h>
#include <string.h>

#define CHANNEL        "onemsg.channel"
#define OPERATIONS_MAX 32 /* that a misspelt name is held against */

static struct om_channel *check_channel(lua_State *L) {
  if (lua_type(L, 1) != LUA_TUSERDATA) {
    om_raise(L, "call it with a colon, like channel:send{…}; the first argument is a %s",
             luaL_typename(L, 1));
  }
  return (struct om_channel *)luaL_checkudata(L, 1, CHANNEL);
}

/* onemsg.new{ … } -> channel | nil, err, info. Every field may come from the environment. */
static int module_new(lua_State *L) {
  struct om_state *state = om_state_of(L);
  if (lua_isnoneornil(L, 1)) {
    lua_settop(L, 0);
    lua_newtable(L);
  }
  if (!lua_istable(L, 1)) {
    om_raise(L, "onemsg.new takes a table of options, and got a %s", luaL_typename(L, 1));
  }
  lua_settop(L, 1);
  luaL_checkstack(L, 40, NULL);
  om_options_check(L, 1);
  struct om_channel *channel = (struct om_channel *)lua_newuserdatauv(L, sizeof *channel, 1);
  memset(channel, 0, sizeof *channel); /* closed */
  luaL_getmetatable(L, CHANNEL);
  lua_setmetatable(L, 2);
  lua_newtable(L);
  lua_pushvalue(L, 3);
  lua_setuservalue(L, 2);
  int failed = om_options_read(L, state, 3, channel);
  if (failed) {
    return failed;
  }
  lua_settop(L, 2);
  return 1;
}

/* ---- methods ---- */

static int fail_closed(lua_State *L) {
  return om_fail(L, "closed", "invalid", "this channel was closed; make a new one with onemsg.new");
}

/* channel:send(message) and the others: begin, wait, answer. Upvalue 2: the operation. */
static int channel_call(lua_State *L) {
  struct om_state *state = om_state_of(L);
  struct om_channel *channel = check_channel(L);
  const struct om_operation *operation =
      (const struct om_operation *)lua_touserdata(L, lua_upvalueindex(2));
  int failed = om_operation_begin(L, state, channel, operation, 2, 0, false, NULL);
  return failed ? failed : om_pending_wait(L, state, lua_gettop(L), INT64_MAX);
}

/* Methods that are several requests: name, and where the Lua function is. */
static const char *const several[][3] = {{"templates", "onemsg.template", "fetch"},
                                         {"addWebhook", "onemsg.webhook", "add"},
                                         {"removeWebhook", "onemsg.webhook", "remove"},
                                         {"send_each", "onemsg.channel.send_each", "send_each"}};
#define SEVERAL (sizeof several / sizeof several[0])

static const struct om_operation *check_operation(lua_State *L, int index) {
  const char *names[OPERATIONS_MAX + 1];
  int n = 0;
  const char *name = lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : "";
  for (const struct om_operation *o = om_operations; o->name != NULL; o++) {
    if (strcmp(o->name, name) == 0) {
      return o;
    }
    if (n < OPERATIONS_MAX) {
      names[n++] = o->name;
    }
  }
  names[n] = NULL;
  for (size_t i = 0; i < SEVERAL; i++) {
    if (strcmp(several[i][0], name) == 0) {
      om_raise(L, "%s is several requests; call it as a method", name);
    }
  }
  const char *near = om_nearest(name, names);
  om_raise(L, "async takes the name of an operation, like \"send\"%s%s%s",
           near != NULL ? ", did you mean '" : "", near != NULL ? near : "",
           near != NULL ? "'?" : "");
}

/* channel:async(operation, …) -> pending | nil, err, info. Never waits. */
static int channel_async(lua_State *L) {
  struct om_channel *channel = check_channel(L);
  const struct om_operation *operation = check_operation(L, 2);
  int failed = om_operation_begin(L, om_state_of(L), channel, operation, 3, 0, true, NULL);
  return failed ? failed : 1;
}

/* core.async_in(channel, group, operation, …): the same, for a group (pending.h). */
static int core_async_in(lua_State *L) {
  struct om_channel *channel = check_channel(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  const struct om_operation *operation = check_operation(L, 3);
  int failed = om_operation_begin(L, om_state_of(L), channel, operation, 4, 2, true, NULL);
  return failed ? failed : 1;
}

static int64_t microseconds(lua_State *L, int index) {
  return (int64_t)(luaL_checknumber(L, index) * 1e6);
}

/* core.send_in(channel, group, wall, steady, message): a send that leaves before these times by
 * the two clocks (core.clocks), or not at all. */
static int core_send_in(lua_State *L) {
  struct om_channel *channel = check_channel(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  const struct om_fence fence = {true, {microseconds(L, 3), microseconds(L, 4)}};
  const struct om_operation *send = om_operations; /* the first */
  int failed = om_operation_begin(L, om_state_of(L), channel, send, 5, 2, true, &fence);
  return failed ? failed : 1;
}

/* core.channel_patience(channel) -> timeout, connect_timeout in seconds. */
static int core_channel_patience(lua_State *L) {
  const struct om_channel *channel = check_channel(L);
  lua_pushnumber(L, (lua_Number)channel->timeout_ms / 1000);
  lua_pushnumber(L, (lua_Number)channel->connect_timeout_ms / 1000);
  return 2;
}

/* An option of the channel as onemsg.new took it, or nil; also when it is closed. */
static int push_option(lua_State *L, const char *name) {
  check_channel(L);
  lua_getuservalue(L, 1);
  lua_getfield(L, -1, name);
  return 1;
}

/* core.channel_id(channel) -> its id at 1MSG, without the old "instance" in front. */
static int core_channel_id(lua_State *L) {
  return push_option(L, "channel");
}

/* core.same_channel(a, b) -> do two ids, in any of their forms, name one channel at 1MSG? */
static int core_same_channel(lua_State *L) {
  lua_pushboolean(L, om_options_same_channel(luaL_checkstring(L, 1), luaL_checkstring(L, 2)));
  return 1;
}

/* core.channel_country(channel) -> the calling code for national numbers, or nil. */
static int core_channel_country(lua_State *L) {
  return push_option(L, "country");
}

/* channel:check(message) -> { phone | chat_id, body, template, namespace, language, ttl, changes }
 * as send would send it | nil, err, info as send would say it. Nothing leaves. */
static int channel_check(lua_State *L) {
  struct om_state *state = om_state_of(L);
  struct om_channel *channel = check_channel(L);
  struct om_message message;
  if (channel->endpoint == NULL) {
    return fail_closed(L);
  }
  lua_settop(L, 2);
  int failed = om_message_read(L, 2, &channel->defaults, state->encode, &message);
  if (failed) {
    return failed;
  }
  if (channel->endpoint == NULL) { /* Lua ran in between */
    return fail_closed(L);
  }
  om_message_push(L, &message);
  return 1;
}

/* channel:stats() -> counts by outcome, reads, in_flight, latency { count, mean, p50, p95, p99, max
 * } in seconds, over the answers since the channel was made; nil, err, info when it is closed. */
static int channel_stats(lua_State *L) {
  const struct om_channel *channel = check_channel(L);
  if (channel->endpoint == NULL) {
    return fail_closed(L);
  }
  struct om_statistics statistics = channel->endpoint->statistics; /* a finalizer may close it */
  int in_flight = __atomic_load_n(&channel->endpoint->in_flight, __ATOMIC_RELAXED);
  om_statistics_push(L, &statistics, in_flight);
  return 1;
}

/* channel:close(), __close, __gc: what is in flight ends by itself and can still be waited for. */
static int channel_close(lua_State *L) {
  struct om_channel *channel = check_channel(L);
  struct om_endpoint *endpoint = channel->endpoint;
  channel->endpoint = NULL;
  if (endpoint != NULL) {
    om_endpoint_drop(endpoint);
  }
  return 0;
}

static int channel_tostring(lua_State *L) {
  const struct om_channel *channel = check_channel(L);
  char base[OM_URL_MAX_BYTES + 1]; /* a finalizer may close it */
  snprintf(base, sizeof base, "%s", channel->endpoint != NULL ? channel->endpoint->base : "closed");
  lua_pushfstring(L, "onemsg.channel (%s)", base);
  return 1;
}

/* channel:templates(…) and the others that are several requests: a function of a Lua module.
 * Upvalues: state, function. */
static int channel_delegate(lua_State *L) {
  check_channel(L);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

/* core.operations: the names that async takes, each also a method that waits. core.several: name ->
 * { module, function }, methods that are several requests. Whoever must replace what waits
 * (resty/onemsg) goes by these. core.options: what onemsg.new takes. */
static void list_names(lua_State *L, int core) {
  lua_newtable(L);
  for (int i = 0; om_option_names[i] != NULL; i++) {
    lua_pushstring(L, om_option_names[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, core, "options");
  lua_newtable(L);
  for (int i = 0; om_operations[i].name != NULL; i++) {
    lua_pushstring(L, om_operations[i].name);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, core, "operations");
  lua_newtable(L);
  for (size_t i = 0; i < SEVERAL; i++) {
    lua_createtable(L, 2, 0);
    lua_pushstring(L, several[i][1]);
    lua_rawseti(L, -2, 1);
    lua_pushstring(L, several[i][2]);
    lua_rawseti(L, -2, 2);
    lua_setfield(L, -2, several[i][0]);
  }
  lua_setfield(L, core, "several");
}

/* Pushes module[name]. Modules are loaded with ours, not at the first call: one whose loading a
 * finalizer's error or call interrupts is broken for good in Lua 5.1's `require`. */
static void push_function(lua_State *L, const char *module, const char *name) {
  lua_getglobal(L, "require");
  lua_pushstring(L, module);
  lua_call(L, 1, 1);
  lua_getfield(L, -1, name);
  lua_remove(L, -2);
}

void om_channel_open(lua_State *L, int module, int core) {
  static const luaL_Reg methods[] = {{"async", channel_async},
                                     {"check", channel_check},
                                     {"stats", channel_stats},
                                     {"close", channel_close},
                                     {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", channel_close},
                                  {"__close", channel_close},
                                  {"__tostring", channel_tostring},
                                  {NULL, NULL}};
  static const luaL_Reg inner[] = {{"async_in", core_async_in},
                                   {"send_in", core_send_in},
                                   {"channel_patience", core_channel_patience},
                                   {"channel_id", core_channel_id},
                                   {"same_channel", core_same_channel},
                                   {"channel_country", core_channel_country},
                                   {NULL, NULL}};
  static const struct om_class class = {CHANNEL, "channel", meta, methods, inner};
  static const luaL_Reg functions[] = {{"new", module_new}, {NULL, NULL}};
  list_names(L, core);
  om_class_open(L, &class, core);
  om_add_functions(L, module, functions);
  int state = lua_gettop(L);
  lua_getfield(L, core, class.key);
  for (const struct om_operation *o = om_operations; o->name != NULL; o++) {
    union {
      const struct om_operation *in;
      void *out;
    } cast = {.in = o};
    lua_pushvalue(L, state);
    lua_pushlightuserdata(L, cast.out);
    lua_pushcclosure(L, channel_call, 2);
    lua_setfield(L, -2, o->name);
  }
  for (size_t i = 0; i < SEVERAL; i++) {
    lua_pushvalue(L, state);
    push_function(L, several[i][1], several[i][2]);
    lua_pushcclosure(L, channel_delegate, 2);
    lua_setfield(L, -2, several[i][0]);
  }
  lua_pop(L, 1);
}
