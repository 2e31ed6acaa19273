/* database_unit.c: a unit between Lua and the database thread (see database_unit.h). */
#include "database_unit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define EXACT 9007199254740992.0 /* 2^53: every whole double up to here is exact */

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
      [OM_SQL_AWAY] = {"store", "connection", true},
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

int om_database_unit_fail(lua_State *L, const struct om_sql_error *error, int statement) {
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
  if (error->state[0] != '\0') {
    lua_pushstring(L, error->state);
    lua_setfield(L, -2, "code");
  } else if (error->code != 0) {
    lua_pushinteger(L, error->code);
    lua_setfield(L, -2, "code");
  }
  return 3;
}

/* ---- rows out ---- */

void om_database_unit_push_whole(lua_State *L, int64_t whole) {
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
    om_database_unit_push_whole(L, value->as.whole);
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
  om_database_unit_push_whole(L, statement->changes);
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
    return om_database_unit_fail(L, &unit->error, unit->failed);
  }
  lua_createtable(L, unit->statement_count, 0);
  for (int i = 0; i < unit->statement_count; i++) {
    push_result(L, &unit->statements[i]);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

const struct om_work om_database_unit_work = {"unit", om_sql_submit, om_sql_cancel, answer};

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

static void check_statement(lua_State *L, int word, int statement) {
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
  lua_pushvalue(L, word);
  lua_rawget(L, -2);
  if (!lua_isnil(L, -1)) {
    om_check_whole(L, -1, "expect", 0, OM_SQL_MAX_ROWS);
  }
  lua_pop(L, 1);
}

int om_database_unit_check(lua_State *L, int index, int word) {
  if (lua_type(L, index) != LUA_TTABLE) {
    om_raise(L, "a unit is a list of statements, like { { \"SELECT 1\" } }, and this is a %s",
             luaL_typename(L, index));
  }
  size_t count = lua_rawlen(L, index);
  if (count == 0 || count > OM_SQL_MAX_STATEMENTS) {
    om_raise(L, "a unit is a list of 1 to %d statements, and this has %d", OM_SQL_MAX_STATEMENTS,
             (int)count);
  }
  luaL_checkstack(L, 8, NULL);
  for (int i = 1; i <= (int)count; i++) {
    lua_rawgeti(L, index, i);
    check_statement(L, word, i);
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

/* The statement on top of the stack, which is as check_statement has seen it. */
static bool copy_statement(lua_State *L, int word, struct om_sql_unit *unit,
                           struct om_sql_statement *statement) {
  statement->expect = -1;
  lua_pushvalue(L, word); /* to make it here could raise */
  lua_rawget(L, -2);
  if (lua_type(L, -1) == LUA_TNUMBER) {
    statement->expect = (int64_t)lua_tonumber(L, -1);
  }
  lua_pop(L, 1);
  lua_rawgeti(L, -1, 1);
  statement->text = copy_string(L, unit, -1, &statement->text_len);
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

bool om_database_unit_copy(lua_State *L, int index, int word, struct om_sql_unit *unit, int count) {
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
    lua_rawgeti(L, index, i + 1);
    bool fine = copy_statement(L, word, unit, &unit->statements[i]);
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
