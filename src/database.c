/* database.c: onemsg.sql for Lua: units of statements in, rows out.
 *
 *   sql.open(target [, { busy_timeout = 5 }]) -> db | nil, err, info
 *   db:unit{ { text, value, …, expect = n }, … } -> results | nil, err, info
 *   db:read{ … }  the same for SELECTs only; a statement that writes is refused
 *   db:async{ … } -> pending of a unit    db:async_read{ … } -> pending of a read
 *   db:stats() -> table    db:close()    sql.null
 *
 * Values are strings, numbers, booleans (1 and 0) and sql.null; a number without a fraction goes as
 * a 64-bit integer. results[i] is the list of rows of statement i, tables by column name in which
 * NULL is an absent key, and results[i].changes the number of rows it changed. On LuaJIT, whose
 * numbers are doubles, an integer beyond 2^53 comes as a string of its digits: nothing is rounded.
 */
#include "database.h"

#include "sql.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATABASE               "onemsg.sql"
#define BUSY_TIMEOUT_DEFAULT_S 5.0
#define BUSY_TIMEOUT_MAX_S     60.0 /* beyond, something is wrong and waiting does not mend it */
#define EXACT                  9007199254740992.0 /* 2^53: every whole double up to here is exact */

enum { UNIT = 2, PENDING = 3, EXPECT_WORD = 4 }; /* what stands where on the stack */

struct database {
  struct om_sql_store *store; /* NULL: closed */
  char *name;
  int64_t patience_us;
};

/* ---- errors ---- */

struct meaning {
  const char *word;
  const char *class;
  bool retry;
};

static struct meaning meaning_of(enum om_sql_fault fault) {
  static const struct meaning meanings[] = {
      [OM_SQL_FINE] = {"store", "unknown", false},
      [OM_SQL_CONFLICT] = {"conflict", "constraint", false},
      [OM_SQL_EXPECT] = {"conflict", "expect", false},
      [OM_SQL_STATEMENT] = {"store", "statement", false},
      [OM_SQL_LIMIT] = {"store", "limit", false},
      [OM_SQL_BUSY] = {"store", "busy", true},
      [OM_SQL_FULL] = {"store", "full", true},
      [OM_SQL_READONLY] = {"store", "readonly", false},
      [OM_SQL_MOVED] = {"store", "moved", false},
      [OM_SQL_CORRUPT] = {"store", "corrupt", false},
      [OM_SQL_IO] = {"store", "io", true},
      [OM_SQL_MEMORY] = {"store", "memory", true},
      [OM_SQL_CONFIG] = {"config", "config", false},
      [OM_SQL_QUEUE] = {"store", "queue", true},
      [OM_SQL_CLOSED] = {"closed", "closed", false},
  };
  return meanings[fault];
}

/* Pushes nil, err, info { outcome, class, retry, statement, code }. */
static int push_error(lua_State *L, const struct om_sql_error *error, int statement) {
  struct meaning meaning = meaning_of(error->fault);
  if (statement > 0 && error->fault == OM_SQL_STATEMENT) {
    om_fail(L, meaning.word, NULL, "statement %d: %s", statement, error->text);
  } else {
    om_fail(L, meaning.word, NULL, "%s", error->text);
  }
  lua_pushstring(L, meaning.class);
  lua_setfield(L, -2, "class");
  lua_pushboolean(L, meaning.retry);
  lua_setfield(L, -2, "retry");
  if (statement > 0) {
    lua_pushinteger(L, statement);
    lua_setfield(L, -2, "statement");
  }
  if (error->code != 0) {
    lua_pushinteger(L, error->code);
    lua_setfield(L, -2, "code");
  }
  return 3;
}

/* ---- rows out ---- */

static void push_whole(lua_State *L, int64_t whole) {
  if (sizeof(lua_Integer) >= sizeof whole && LUA_VERSION_NUM >= 503) {
    lua_pushinteger(L, (lua_Integer)whole);
  } else if (whole <= (int64_t)EXACT && whole >= -(int64_t)EXACT) {
    lua_pushnumber(L, (lua_Number)whole);
  } else {
    char digits[24];
    snprintf(digits, sizeof digits, "%lld", (long long)whole);
    lua_pushstring(L, digits);
  }
}

static void push_value(lua_State *L, const struct om_sql_value *value) {
  switch (value->type) {
  case OM_SQL_WHOLE:
    push_whole(L, value->as.whole);
    break;
  case OM_SQL_REAL:
    lua_pushnumber(L, value->as.real);
    break;
  case OM_SQL_BYTES:
    lua_pushlstring(L, value->as.bytes.at, value->as.bytes.len);
    break;
  default:
    lua_pushnil(L);
  }
}

static void push_result(lua_State *L, const struct om_sql_statement *statement) {
  int columns = statement->column_count;
  int number = 0;
  luaL_checkstack(L, columns + 6, "too many columns");
  lua_createtable(L, (int)statement->row_count, 1);
  int result = lua_gettop(L);
  push_whole(L, statement->changes);
  lua_setfield(L, result, "changes");
  for (int i = 0; i < columns && statement->rows != NULL; i++) {
    lua_pushstring(L, statement->columns[i]);
  }
  for (const struct om_sql_row *row = statement->rows; row != NULL; row = row->next) {
    lua_createtable(L, 0, columns);
    for (int i = 0; i < columns; i++) {
      if (row->values[i].type != OM_SQL_NULL) {
        lua_pushvalue(L, result + 1 + i);
        push_value(L, &row->values[i]);
        lua_rawset(L, -3);
      }
    }
    lua_rawseti(L, result, ++number);
  }
  lua_settop(L, result);
}

static int answer(lua_State *L, struct om_state *state, struct om_job *job, int changes) {
  const struct om_sql_unit *unit = (const struct om_sql_unit *)job;
  (void)state;
  (void)changes;
  if (unit->error.fault != OM_SQL_FINE) {
    return push_error(L, &unit->error, unit->failed);
  }
  lua_createtable(L, unit->statement_count, 0);
  for (int i = 0; i < unit->statement_count; i++) {
    push_result(L, &unit->statements[i]);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static const struct om_work unit_work = {"unit", om_sql_submit, om_sql_cancel, answer};

/* ---- statements in ---- */

/* Raises unless the value on top of the stack can be bound. */
static void check_value(lua_State *L, int statement, int number) {
  switch (lua_type(L, -1)) {
  case LUA_TSTRING:
  case LUA_TBOOLEAN:
    return;
  case LUA_TNUMBER: {
    lua_Number value = lua_tonumber(L, -1);
    if (!(value - value == 0)) { /* a NaN or an infinity minus itself is a NaN */
      om_raise(L, "value $%d of statement %d is %s; a database can't keep that", number, statement,
               value != value ? "not a number" : "infinite");
    }
    return;
  }
  case LUA_TLIGHTUSERDATA:
    if (lua_touserdata(L, -1) == NULL) {
      return;
    }
    break;
  case LUA_TNIL:
    om_raise(L, "value $%d of statement %d is nil; use sql.null to store NULL", number, statement);
  default:
    break;
  }
  om_raise(L,
           "value $%d of statement %d must be a string, a number, a boolean or sql.null, and is a "
           "%s",
           number, statement, luaL_typename(L, -1));
}

/* The number of values of the statement on top of the stack, by its highest index. */
static int count_values(lua_State *L, int statement) {
  static const char *const fields[] = {"expect", NULL};
  double highest = 0;
  lua_pushnil(L);
  while (lua_next(L, -2) != 0) {
    lua_pop(L, 1);
    double index = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
    if (lua_type(L, -1) == LUA_TSTRING) {
      const char *key = lua_tostring(L, -1);
      if (strcmp(key, "expect") != 0) {
        const char *near = om_nearest(key, fields);
        om_raise(L,
                 "statement %d has a field '%.40s'%s; it is a text, its values, and maybe expect",
                 statement, key, near != NULL ? " (did you mean 'expect'?)" : "");
      }
    } else if (index < 1 || index != floor(index) || index > OM_SQL_MAX_VALUES + 1) {
      om_raise(L, "statement %d must be a list: its text, then at most %d values", statement,
               OM_SQL_MAX_VALUES);
    }
    highest = index > highest ? index : highest;
  }
  return highest < 1 ? 0 : (int)highest - 1;
}

static void check_statement(lua_State *L, int statement) {
  size_t length = 0;
  if (lua_type(L, -1) != LUA_TTABLE) {
    om_raise(L,
             "statement %d must be a table, like { \"SELECT a FROM t WHERE b = $1\", value }, and "
             "is a %s",
             statement, luaL_typename(L, -1));
  }
  int values = count_values(L, statement);
  lua_rawgeti(L, -1, 1);
  if (lua_type(L, -1) != LUA_TSTRING) {
    om_raise(L, "statement %d must begin with its text, and begins with a %s", statement,
             luaL_typename(L, -1));
  }
  const char *text = lua_tolstring(L, -1, &length);
  if (strlen(text) != length) {
    om_raise(L, "the text of statement %d has a zero byte in it", statement);
  }
  int places = om_sql_placeholders(text);
  lua_pop(L, 1);
  for (int i = 1; i <= values; i++) {
    lua_rawgeti(L, -1, i + 1);
    check_value(L, statement, i);
    lua_pop(L, 1);
  }
  if (places != values) {
    om_raise(L, "statement %d has placeholders up to $%d and %d values%s", statement, places,
             values, places > values ? "; use sql.null to store NULL" : "");
  }
  lua_pushliteral(L, "expect");
  lua_rawget(L, -2);
  if (!lua_isnil(L, -1)) {
    om_check_whole(L, -1, "expect", 0, OM_SQL_MAX_ROWS);
  }
  lua_pop(L, 1);
}

static int check_unit(lua_State *L) {
  if (lua_type(L, 2) != LUA_TTABLE) {
    om_raise(L, "a unit is a list of statements, like { { \"SELECT 1\" } }, and this is a %s",
             luaL_typename(L, 2));
  }
  size_t count = lua_rawlen(L, 2);
  if (count == 0 || count > OM_SQL_MAX_STATEMENTS) {
    om_raise(L, "a unit is a list of 1 to %d statements, and this has %d", OM_SQL_MAX_STATEMENTS,
             (int)count);
  }
  luaL_checkstack(L, 8, NULL);
  for (int i = 1; i <= (int)count; i++) {
    lua_rawgeti(L, UNIT, i);
    check_statement(L, i);
    lua_pop(L, 1);
  }
  return (int)count;
}

/* ---- copying: nothing below raises ---- */

static const char *copy_string(lua_State *L, struct om_sql_unit *unit, int index, size_t *length) {
  const char *from = lua_tolstring(L, index, length);
  char *copy = om_sql_alloc(unit, *length + 1);
  if (copy != NULL) {
    memcpy(copy, from, *length + 1);
    unit->bytes += *length;
  }
  return copy;
}

static void copy_number(lua_State *L, struct om_sql_value *value) {
#if LUA_VERSION_NUM >= 503
  if (lua_isinteger(L, -1)) {
    value->type = OM_SQL_WHOLE;
    value->as.whole = (int64_t)lua_tointeger(L, -1);
    return;
  }
#endif
  double number = lua_tonumber(L, -1);
  bool whole = number == floor(number) && fabs(number) <= EXACT;
  value->type = whole ? OM_SQL_WHOLE : OM_SQL_REAL;
  if (whole) {
    value->as.whole = (int64_t)number;
  } else {
    value->as.real = number;
  }
}

static bool copy_value(lua_State *L, struct om_sql_unit *unit, struct om_sql_value *value) {
  unit->bytes += sizeof *value;
  switch (lua_type(L, -1)) {
  case LUA_TSTRING:
    value->type = OM_SQL_BYTES;
    value->as.bytes.at = copy_string(L, unit, -1, &value->as.bytes.len);
    return value->as.bytes.at != NULL;
  case LUA_TNUMBER:
    copy_number(L, value);
    return true;
  case LUA_TBOOLEAN:
    value->type = OM_SQL_WHOLE;
    value->as.whole = lua_toboolean(L, -1);
    return true;
  default:
    value->type = OM_SQL_NULL;
    return true;
  }
}

/* The statement on top of the stack. Only what check_statement has seen is there, or, if a
 * finalizer of the host has changed it since, NULLs and an empty text, which the database refuses.
 */
static bool copy_statement(lua_State *L, struct om_sql_unit *unit,
                           struct om_sql_statement *statement) {
  statement->expect = -1;
  lua_pushvalue(L, EXPECT_WORD); /* to make it here could raise */
  lua_rawget(L, -2);
  if (lua_type(L, -1) == LUA_TNUMBER) {
    statement->expect = (int64_t)lua_tonumber(L, -1);
  }
  lua_pop(L, 1);
  lua_rawgeti(L, -1, 1);
  statement->text = "";
  if (lua_type(L, -1) == LUA_TSTRING) {
    statement->text = copy_string(L, unit, -1, &statement->text_len);
  }
  lua_pop(L, 1);
  if (statement->text == NULL) {
    return false;
  }
  statement->value_count = om_sql_placeholders(statement->text);
  size_t size = (size_t)statement->value_count * sizeof(struct om_sql_value);
  struct om_sql_value *values = om_sql_alloc(unit, size);
  bool fine = values != NULL;
  for (int i = 0; fine && i < statement->value_count; i++) {
    lua_rawgeti(L, -1, i + 2);
    fine = copy_value(L, unit, &values[i]);
    lua_pop(L, 1);
  }
  statement->values = values;
  return fine;
}

static bool copy_unit(lua_State *L, struct om_sql_unit *unit, int count) {
  size_t size = (size_t)count * sizeof *unit->statements;
  unit->statements = om_sql_alloc(unit, size);
  if (unit->statements == NULL) {
    return false;
  }
  memset(unit->statements, 0, size);
  unit->statement_count = count;
  unit->bytes = sizeof *unit + size;
  bool reads = true;
  for (int i = 0; i < count; i++) {
    lua_rawgeti(L, UNIT, i + 1);
    bool fine = lua_type(L, -1) == LUA_TTABLE && copy_statement(L, unit, &unit->statements[i]);
    lua_pop(L, 1);
    if (!fine) {
      return false;
    }
    reads = reads && om_sql_only_reads(unit->statements[i].text);
  }
  unit->reads = unit->reads || reads;
  om_sql_unit_keep(unit);
  return true;
}

/* ---- units ---- */

static struct database *check_database(lua_State *L) {
  return (struct database *)luaL_checkudata(L, 1, DATABASE);
}

/* Pushes a pending under way and returns 0, or pushes `nil, err, info` and returns 3. */
static int start_unit(lua_State *L, bool reads, bool track) {
  struct database *database = check_database(L);
  struct om_state *state = om_state_of(L);
  int count = check_unit(L);
  lua_settop(L, UNIT);
  if (database->store == NULL) {
    return om_fail(L, "closed", NULL, "this store handle is closed; open another");
  }
  if (om_sql_foreign(database->store)) {
    return om_fail(L, "closed", NULL,
                   "this store handle was used before the process forked; open one after the fork");
  }
  om_pending_new(L, state);
  lua_pushliteral(L, "expect"); /* EXPECT_WORD */
  struct om_port *port = om_state_port(state);
  struct om_sql_unit *unit = port != NULL ? om_sql_unit_new(database->store, port) : NULL;
  if (unit == NULL) {
    return om_fail(L, "store", NULL, "out of memory; nothing was stored");
  }
  unit->reads = reads;
  unit->patience_us = database->patience_us;
  if (!copy_unit(L, unit, count)) {
    om_job_drop(&unit->job);
    return om_fail(L, "store", NULL, "out of memory; nothing was stored");
  }
  if (unit->bytes > OM_SQL_MAX_UNIT_BYTES) {
    om_job_drop(&unit->job);
    return om_fail(L, "invalid", NULL, "a unit of more than %u MiB; store it in parts",
                   OM_SQL_MAX_UNIT_BYTES >> 20);
  }
  if (om_pending_start(L, state, PENDING, &unit_work, &unit->job, track) != 0) {
    return push_error(L, &unit->error, 0);
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
    return om_fail(L, "closed", NULL, "this store handle is closed; open another");
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
    push_whole(L, fields[i].value);
    lua_setfield(L, -2, fields[i].name);
  }
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
  lua_pushfstring(L, "onemsg.sql (%s)", database->store == NULL ? "closed" : database->name);
  return 1;
}

static int fail_open(lua_State *L, const struct om_sql_error *error) {
  return push_error(L, error, 0);
}

/* sql.open(target [, options]) -> db | nil, "config: …" or "store: …", info. target: "sqlite:" and
 * a path. options.busy_timeout: how long a unit waits for another process's lock; seconds, 5 by
 * default. Nothing is opened and no thread started before the first unit: a handle that was not yet
 * used works on both sides of a fork. */
static int sql_open(lua_State *L) {
  static const char *const options[] = {"busy_timeout", NULL};
  double seconds = BUSY_TIMEOUT_DEFAULT_S;
  size_t length = 0;
  struct om_sql_error error = {.fault = OM_SQL_FINE};
  if (lua_type(L, 1) != LUA_TSTRING) {
    om_raise(L, "the store must be a string, like \"sqlite:confirmations.db\", and is a %s",
             luaL_typename(L, 1));
  }
  lua_settop(L, 2);
  if (!lua_isnil(L, 2)) {
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
      om_raise(L, "busy_timeout must be at most %g seconds, and is %g", BUSY_TIMEOUT_MAX_S,
               seconds);
    }
  }
  const char *target = lua_tolstring(L, 1, &length);
  const struct om_sql_driver *driver = &om_sql_sqlite;
  if (strlen(target) != length || strncmp(target, driver->scheme, strlen(driver->scheme)) != 0) {
    return om_fail(L, "config", "invalid",
                   "the store must be given as sqlite: and the path of a file, like "
                   "sqlite:/var/lib/onemsg/confirmations.db");
  }
  struct database *database = (struct database *)lua_newuserdatauv(L, sizeof *database, 0);
  memset(database, 0, sizeof *database);
  luaL_getmetatable(L, DATABASE);
  lua_setmetatable(L, -2);
  database->patience_us = (int64_t)(seconds * 1e6);
  bool exists = false;
  database->name = driver->check(target + strlen(driver->scheme), &exists, &error);
  if (database->name == NULL) {
    return fail_open(L, &error);
  }
  database->store = om_sql_attach(driver, database->name, !exists);
  if (database->store == NULL) {
    return om_fail(L, "store", NULL, "out of memory");
  }
  return 1;
}

void om_database_open(lua_State *L, int module, int core) {
  static const luaL_Reg methods[] = {{"unit", database_unit},
                                     {"read", database_read},
                                     {"async", database_async},
                                     {"async_read", database_async_read},
                                     {"stats", database_stats},
                                     {"close", database_close},
                                     {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", database_detach},
                                  {"__close", database_close},
                                  {"__tostring", database_tostring},
                                  {NULL, NULL}};
  static const luaL_Reg functions[] = {{"open", sql_open}, {NULL, NULL}};
  static const luaL_Reg inner[] = {{"detach", database_detach}, {NULL, NULL}};
  int state = lua_gettop(L);
  om_newmetatable(L, DATABASE);
  lua_pushvalue(L, state);
  om_setfuncs(L, meta, 1);
  lua_newtable(L);
  lua_pushvalue(L, state);
  om_setfuncs(L, methods, 1);
  lua_pushvalue(L, -1);
  lua_setfield(L, core, "database"); /* the table of methods */
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_pushvalue(L, module);
  lua_pushvalue(L, state);
  om_setfuncs(L, functions, 1);
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
  lua_pop(L, 1);
  lua_pushvalue(L, core);
  lua_pushvalue(L, state);
  om_setfuncs(L, inner, 1);
  lua_pop(L, 1);
}
