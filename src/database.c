/* database.c: onemsg.sql for Lua: units of statements in, rows out.
 *
 *   sql.open(target [, { busy_timeout = 5 }]) -> db | nil, err, info
 *   db:unit{ { text, value, …, expect = n }, … } -> results | nil, err, info
 *   db:read{ … }  the same for SELECTs only; a statement that writes is refused
 *   db:async{ … } -> pending of a unit    db:async_read{ … } -> pending of a read
 *   db:stats() -> table    db:engine() -> "sqlite" | "postgres"    db:close()    sql.null
 *
 * Values are strings, numbers, booleans (1 and 0) and sql.null; a number without a fraction goes as
 * a 64-bit integer. results[i] is the list of rows of statement i, tables by column name in which
 * NULL is an absent key, and results[i].changes the number of rows it changed. On LuaJIT, whose
 * numbers are doubles, an integer beyond 2^53 comes as a string of its digits: nothing is rounded.
 */
#include "database.h"

#include "database_unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATABASE               "onemsg.sql"
#define BUSY_TIMEOUT_DEFAULT_S 5.0
#define NAME_SHOWN_BYTES       1024
#define BUSY_TIMEOUT_MAX_S     60.0 /* beyond, something is wrong and waiting does not fix it */

enum { UNIT = 2, PENDING = 3, EXPECT_WORD = 4 }; /* what stands where on the stack */

struct database {
  struct om_sql_store *store; /* NULL: closed */
  const struct om_sql_driver *driver;
  char *name;
  int64_t patience_us;
};

/* ---- units ---- */

static struct database *check_database(lua_State *L) {
  return (struct database *)luaL_checkudata(L, 1, DATABASE);
}

static int fail_closed(lua_State *L) {
  return om_fail(L, "closed", NULL, "this store handle is closed; open another");
}

/* Pushes a pending under way and returns 0, or pushes `nil, err, info` and returns 3. */
static int start_unit(lua_State *L, bool reads, bool track) {
  struct database *database = check_database(L);
  struct om_state *state = om_state_of(L);
  lua_settop(L, UNIT);
  om_pending_new(L, state);
  lua_pushliteral(L, "expect"); /* EXPECT_WORD */
  /* From here until the unit is under way no Lua runs: what is checked is what is copied, and a
   * handle that is open stays open. */
  int count = om_database_unit_check(L, UNIT, EXPECT_WORD);
  if (database->store == NULL) {
    return fail_closed(L);
  }
  if (om_sql_foreign(database->store)) {
    return om_fail(L, "closed", NULL,
                   "this store handle was used before the process forked; open one after the fork");
  }
  struct om_port *port = om_state_port(state);
  struct om_sql_unit *unit = port != NULL ? om_sql_unit_new(database->store, port) : NULL;
  if (unit == NULL) {
    return om_fail(L, "store", NULL, "out of memory; nothing was stored");
  }
  unit->reads = reads;
  unit->patience_us = database->patience_us;
  if (!om_database_unit_copy(L, UNIT, EXPECT_WORD, unit, count)) {
    om_job_drop(&unit->job);
    return om_fail(L, "store", NULL, "out of memory; nothing was stored");
  }
  if (unit->bytes > OM_SQL_MAX_UNIT_BYTES) {
    om_job_drop(&unit->job);
    return om_fail(L, "invalid", NULL, "a unit of more than %u MiB; store it in parts",
                   OM_SQL_MAX_UNIT_BYTES >> 20);
  }
  if (om_pending_start(L, state, PENDING, &om_database_unit_work, &unit->job, track) != 0) {
    return om_database_unit_fail(L, &unit->error, 0);
  }
  lua_settop(L, PENDING);
  return 0;
}

static int run_and_wait(lua_State *L, bool reads) {
  int count = start_unit(L, reads, false);
  return count != 0 ? count : om_pending_wait(L, om_state_of(L), PENDING, INT64_MAX);
}

/* db:unit(statements) -> results | nil, err, info. Durable when it returns. Blocks; yields in
 * nginx.
 */
static int database_unit(lua_State *L) {
  return run_and_wait(L, false);
}

/* db:read(statements) -> results | nil, err, info. Never waits for a commit of another. */
static int database_read(lua_State *L) {
  return run_and_wait(L, true);
}

/* db:async(statements) -> pending | nil, err, info. Waits for nothing: every nginx phase. */
static int database_async(lua_State *L) {
  int count = start_unit(L, false, true);
  return count != 0 ? count : 1;
}

static int database_async_read(lua_State *L) {
  int count = start_unit(L, true, true);
  return count != 0 ? count : 1;
}

/* ---- the handle ---- */

/* db:stats() -> table of counters of the process's store: of all its handles together. */
static int database_stats(lua_State *L) {
  struct database *database = check_database(L);
  struct om_sql_stats stats;
  if (database->store == NULL || om_sql_foreign(database->store)) {
    return fail_closed(L);
  }
  om_sql_read_stats(database->store, &stats);
  const struct {
    const char *name;
    int64_t value;
  } fields[] = {
      {"units", stats.units},     {"reads", stats.reads},   {"failed", stats.failed},
      {"commits", stats.commits}, {"busy", stats.busy},     {"opened", stats.opened},
      {"queued", stats.queued},   {"upkeep", stats.upkeep}, {"largest", stats.largest_batch}};
  lua_createtable(L, 0, (int)(sizeof fields / sizeof *fields));
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    om_database_unit_push_whole(L, fields[i].value);
    lua_setfield(L, -2, fields[i].name);
  }
  return 1;
}

/* db:engine() -> "sqlite" or "postgres", also of a closed handle. */
static int database_engine(lua_State *L) {
  lua_pushstring(L, check_database(L)->driver->engine);
  return 1;
}

/* core.database_file(db) -> the path of the SQLite file behind an open handle | nil */
static int database_file(lua_State *L) {
  const struct database *database = check_database(L);
  bool file = database->store != NULL && database->driver == &om_sql_sqlite;
  lua_pushstring(L, file ? database->name : NULL);
  return 1;
}

static int close_database(lua_State *L, bool wait) {
  struct database *database = check_database(L);
  struct om_sql_store *store = database->store;
  char *name = database->name;
  database->store = NULL;
  database->name = NULL;
  free(name);
  if (store != NULL) {
    om_sql_detach(store, wait);
  }
  return 0;
}

/* db:close(): what was handed in is still done, and the database closed, within 5 s. */
static int database_close(lua_State *L) {
  return close_database(L, true);
}

/* The same without waiting for it: the collector's way, and nginx's. */
static int database_detach(lua_State *L) {
  return close_database(L, false);
}

static int database_tostring(lua_State *L) {
  const struct database *database = check_database(L);
  char name[NAME_SHOWN_BYTES]; /* a finalizer may close it */
  snprintf(name, sizeof name, "closed");
  if (database->store != NULL) {
    database->driver->show(database->name, name, sizeof name);
  }
  lua_pushfstring(L, "onemsg.sql (%s)", name);
  return 1;
}

/* The options at index 2, if any; raises when they are wrong. */
static double busy_timeout_of(lua_State *L) {
  static const char *const options[] = {"busy_timeout", NULL};
  double seconds = BUSY_TIMEOUT_DEFAULT_S;
  if (lua_isnil(L, 2)) {
    return seconds;
  }
  if (lua_type(L, 2) != LUA_TTABLE) {
    om_raise(L, "the options of sql.open must be a table, and are a %s", luaL_typename(L, 2));
  }
  om_check_names(L, 2, "sql.open", options);
  lua_getfield(L, 2, "busy_timeout");
  if (!lua_isnil(L, -1)) {
    seconds = om_check_seconds(L, -1, "busy_timeout", 0);
  }
  lua_pop(L, 1);
  if (seconds > BUSY_TIMEOUT_MAX_S) {
    om_raise(L, "busy_timeout must be at most %g seconds, and is %g", BUSY_TIMEOUT_MAX_S, seconds);
  }
  return seconds;
}

/* sql.open(target [, options]) -> db | nil, "config: …" or "store: …", info. target: "sqlite:" and
 * a path, or postgres://user@host/database. options.busy_timeout: how long a unit waits for another
 * process's lock; seconds, 5 by default. Nothing is opened and no thread started before the first
 * unit: a handle that was not yet used works on both sides of a fork. */
static int sql_open(lua_State *L) {
  struct om_sql_error error = {.fault = OM_SQL_FINE};
  size_t length = 0;
  if (lua_type(L, 1) != LUA_TSTRING) {
    om_raise(L, "the store must be a string, like \"sqlite:confirmations.db\", and is a %s",
             luaL_typename(L, 1));
  }
  lua_settop(L, 2);
  double seconds = busy_timeout_of(L);
  const char *target = lua_tolstring(L, 1, &length);
  const struct om_sql_scheme *scheme =
      om_sql_scheme_of(strlen(target) == length ? target : "", &error);
  if (scheme == NULL) {
    return om_database_unit_fail(L, &error, 0);
  }
  struct database *database = (struct database *)lua_newuserdatauv(L, sizeof *database, 0);
  memset(database, 0, sizeof *database);
  luaL_getmetatable(L, DATABASE);
  lua_setmetatable(L, -2);
  database->patience_us = (int64_t)(seconds * 1e6);
  bool exists = false;
  database->driver = scheme->driver;
  database->name = scheme->driver->check(target + strlen(scheme->scheme), &exists, &error);
  if (database->name != NULL) {
    database->store = om_sql_attach(scheme->driver, database->name, !exists, &error);
  }
  return database->store != NULL ? 1 : om_database_unit_fail(L, &error, 0);
}

void om_database_open(lua_State *L, int module, int core) {
  static const luaL_Reg methods[] = {{"unit", database_unit},   {"read", database_read},
                                     {"async", database_async}, {"async_read", database_async_read},
                                     {"stats", database_stats}, {"engine", database_engine},
                                     {"close", database_close}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", database_detach},
                                  {"__close", database_close},
                                  {"__tostring", database_tostring},
                                  {NULL, NULL}};
  static const luaL_Reg functions[] = {{"open", sql_open}, {NULL, NULL}};
  static const luaL_Reg inner[] = {
      {"detach", database_detach}, {"database_file", database_file}, {NULL, NULL}};
  static const struct om_class class = {DATABASE, "database", meta, methods, inner};
  om_class_open(L, &class, core);
  om_add_functions(L, module, functions);
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, module, "null");
}
