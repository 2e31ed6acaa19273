/* onemsg.c: what `require "onemsg"` and `require "onemsg.sql"` load. Registration only.
 *
 * Each Lua state has one om_state, in the registry and as upvalue of every function; it ends with
 * the Lua state. Loading starts no thread and opens nothing: nginx loads modules before it forks.
 */
#define _GNU_SOURCE /* dladdr */
#include "answer.h"
#include "backup.h"
#include "channel.h"
#include "child.h"
#include "core.h"
#include "database.h"
#include "forget.h"
#include "hmac.h"
#include "log_file.h"
#include "ready.h"
#include "settings_file.h"
#include "signals.h"

#include <dlfcn.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT int luaopen_onemsg(lua_State *L);
EXPORT int luaopen_onemsg_sql(lua_State *L);

static const char state_key = 0; /* its address is the registry key */
static const char core_key = 0;

static int state_gc(lua_State *L) {
  struct om_state *state = (struct om_state *)lua_touserdata(L, 1);
  struct om_port *port = state->port;
  state->port = NULL;
  om_pending_end(state);
  for (struct om_job *job = om_jobs_shift(&state->home); job != NULL;
       job = om_jobs_shift(&state->home)) {
    om_job_drop(job);
  }
  if (port != NULL) {
    om_port_close(port);
    om_port_drop(port);
  }
  return 0;
}

/* Pushes module[name] and pops it into a registry reference. */
static int reference(lua_State *L, const char *module, const char *name) {
  lua_getglobal(L, "require");
  lua_pushstring(L, module);
  lua_call(L, 1, 1);
  lua_getfield(L, -1, name);
  int ref = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pop(L, 1);
  return ref;
}

/* Keeps the library of the C function on top of the stack loaded. LuaJIT unloads what `require`
 * loaded while its state closes, and may call a host's finalizer, and that one us, after it. */
static void pin_library(lua_State *L) {
  union {
    lua_CFunction in;
    const void *out;
  } cast = {.in = lua_tocfunction(L, -1)};
  Dl_info found;
  if (cast.in != NULL && dladdr(cast.out, &found) != 0) {
    dlopen(found.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
  }
}

/* A codec of our own, so that nobody else's settings of lua-cjson reach us, nor ours them. Without
 * its kept buffer: a finalizer or a metamethod may encode while a text is being made of it. */
static void open_json(lua_State *L, struct om_state *state) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "cjson.safe");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "new");
  lua_call(L, 0, 1);
  lua_getfield(L, -1, "decode_max_depth");
  lua_pushinteger(L, OM_JSON_MAX_DEPTH);
  lua_call(L, 1, 0);
  lua_getfield(L, -1, "encode_keep_buffer");
  lua_pushboolean(L, 0);
  lua_call(L, 1, 0);
  lua_getfield(L, -1, "decode_invalid_numbers"); /* NaN, and 0x10, which it would take for 16 */
  lua_pushboolean(L, 0);
  lua_call(L, 1, 0);
  lua_getfield(L, -1, "encode");
  pin_library(L);
  state->encode = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_getfield(L, -1, "decode");
  state->decode = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pop(L, 2);
}

/* Pushes this Lua state's om_state. */
static void push_state(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
  if (!lua_isnil(L, -1)) {
    return;
  }
  lua_pop(L, 1);
  struct om_state *state = (struct om_state *)lua_newuserdatauv(L, sizeof *state, 0);
  memset(state, 0, sizeof *state);
  om_jobs_init(&state->home);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, state_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_newtable(L);
  state->tracked = luaL_ref(L, LUA_REGISTRYINDEX);
  om_ready_init(L, state);
  open_json(L, state);
  state->explain = reference(L, "onemsg.codes", "explain");
  lua_rawgeti(L, LUA_REGISTRYINDEX, state->explain);
  om_check_home(L, -1);
  lua_pop(L, 1);
  state->report = reference(L, "onemsg.hooks", "report");
  state->webhooks = reference(L, "onemsg.webhook", "parse");
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &state_key);
}

/* Pushes the table of what only resty/onemsg and our own Lua files use. They find it by require
 * "onemsg.core", also after somebody emptied package.loaded and loaded everything again. */
static void push_core(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &core_key);
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &core_key);
  }
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "loaded");
  lua_pushvalue(L, -3);
  lua_setfield(L, -2, "onemsg.core");
  lua_pop(L, 2);
}

/* In nginx nothing may block: the Lua part replaces every call that waits, or loading fails.
 * ngx.run_worker_thread has an `ngx` too, but no light threads: what runs there owns its thread and
 * may block. */
static void adapt_to_nginx(lua_State *L, int core, const char *part) {
  lua_getglobal(L, "ngx");
  bool in_nginx = lua_istable(L, -1);
  if (in_nginx) {
    lua_getfield(L, -1, "thread");
    in_nginx = lua_istable(L, -1);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  if (!in_nginx) {
    return;
  }
  lua_getglobal(L, "require");
  lua_pushliteral(L, "resty.onemsg.yield");
  if (lua_pcall(L, 1, 1, 0) != 0) {
    luaL_error(L,
               "onemsg: this is nginx, and without lua/resty/onemsg/yield.lua on lua_package_path "
               "its calls would block the worker; install that part (%s)",
               lua_tostring(L, -1));
  }
  lua_getfield(L, -1, part);
  lua_pushvalue(L, core);
  lua_call(L, 1, 0);
  lua_pop(L, 1);
}

static int module_hmac(lua_State *L) {
  size_t key_len = 0;
  size_t data_len = 0;
  static const char *const names[] = {"sha256", "sha512", NULL}; /* as enum om_hash */
  unsigned char mac[OM_HMAC_MAX_BYTES];
  const char *key = luaL_checklstring(L, 1, &key_len);
  const char *data = luaL_checklstring(L, 2, &data_len);
  enum om_hash hash = (enum om_hash)luaL_checkoption(L, 3, "sha256", names);
  size_t len = om_hmac(hash, key, key_len, data, data_len, mac);
  if (len == 0) {
    return luaL_error(L, "libcrypto could not compute HMAC-%s", names[hash]);
  }
  lua_pushlstring(L, (const char *)mac, len);
  return 1;
}

static int module_sha256(lua_State *L) {
  size_t len = 0;
  unsigned char out[OM_HMAC_MAX_BYTES];
  const char *data = luaL_checklstring(L, 1, &len);
  size_t got = om_sha256(data, len, out);
  if (got == 0) {
    return luaL_error(L, "libcrypto could not compute SHA-256");
  }
  lua_pushlstring(L, (const char *)out, got);
  return 1;
}

static int module_equal(lua_State *L) {
  size_t a_len = 0;
  size_t b_len = 0;
  const char *a = luaL_checklstring(L, 1, &a_len);
  const char *b = luaL_checklstring(L, 2, &b_len);
  lua_pushboolean(L, om_equal(a, a_len, b, b_len));
  return 1;
}

/* hmac(key, data [, "sha256" | "sha512"]) -> the 32 or 64 bytes of the HMAC.
 * sha256(data) -> its 32 bytes.
 * equal(a, b) -> boolean, in constant time. */
static const luaL_Reg functions[] = {
    {"hmac", module_hmac}, {"sha256", module_sha256}, {"equal", module_equal}, {NULL, NULL}};

static int open_part(lua_State *L, void (*open)(lua_State *, int, int), const char *part) {
  lua_settop(L, 0);
  lua_newtable(L);
  push_core(L);
  push_state(L);
  open(L, 1, 2);
  if (strcmp(part, "channel") == 0) {
    om_pending_open(L, 2);
    om_core_open(L, 1, 2);
    om_child_open(L, 2);
    om_log_file_open(L, 2);
    om_backup_open(L, 2);
    om_forget_open(L, 2);
    om_settings_file_open(L, 2);
    om_signals_open(L, 2);
  }
  adapt_to_nginx(L, 2, part);
  lua_settop(L, 1);
  return 1;
}

int luaopen_onemsg(lua_State *L) {
  open_part(L, om_channel_open, "channel");
  om_setfuncs(L, functions, 0);
  lua_pushliteral(L, OM_VERSION);
  lua_setfield(L, -2, "_VERSION");
  return 1;
}

int luaopen_onemsg_sql(lua_State *L) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "onemsg"); /* pendings, and in nginx their waiting, come with it */
  lua_call(L, 1, 0);
  return open_part(L, om_database_open, "database");
}
