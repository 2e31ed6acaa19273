/* sql_sqlite_run.c: one statement in SQLite (see sql.h): found or prepared, bound, stepped, its
 * rows copied into the unit. What a unit may not do is refused when it is prepared. */
#include "sql_sqlite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_KEPT_BYTES 8192 /* longer texts are not worth a place in the cache */

struct om_sqlite_prepared {
  sqlite3_stmt *statement;
  char *text; /* NULL: not in the cache */
  size_t length;
  uint64_t hash;
  uint64_t used; /* when: the place that was used longest ago is given away */
  int highest;   /* $n */
  int places;    /* SQLite's parameters: as many as there are different $n */
  int numbers[]; /* which n each of them is */
};

/* ---- prepared statements ---- */

/* A unit must not end the transaction that it shares, nor change what the thread relies on. */
int om_sqlite_authorize(void *connection, int action, const char *first, const char *second,
                        const char *database, const char *trigger) {
  static const char *const readable[] = {"foreign_keys", "integrity_check", "journal_mode",
                                         "quick_check",  "synchronous",     "user_version"};
  const struct om_sqlite *sqlite = connection;
  (void)database;
  (void)trigger;
  if (sqlite->trusted) {
    return SQLITE_OK;
  }
  switch (action) {
  case SQLITE_TRANSACTION:
  case SQLITE_SAVEPOINT:
  case SQLITE_ATTACH:
  case SQLITE_DETACH:
    return SQLITE_DENY;
  case SQLITE_PRAGMA:
    for (size_t i = 0; i < sizeof readable / sizeof *readable; i++) {
      if (second == NULL && sqlite3_stricmp(first, readable[i]) == 0) {
        return SQLITE_OK;
      }
    }
    return SQLITE_DENY;
  default:
    return SQLITE_OK;
  }
}

/* Which n SQLite's parameter i is: it numbers them as they come. 0: not of the form $n. */
static int number_of(sqlite3_stmt *statement, int i) {
  const char *name = sqlite3_bind_parameter_name(statement, i);
  if (name == NULL || name[0] != '$' || name[1] < '1' || name[1] > '9' ||
      name[1 + strspn(name + 1, "0123456789")] != '\0' || strlen(name) > 5) {
    return 0;
  }
  return (int)strtol(name + 1, NULL, 10);
}

static void refuse(struct om_sql_error *error, const char *why) {
  om_sql_fail(error, OM_SQL_STATEMENT, SQLITE_MISUSE, "%s", why);
}

/* Reads the statement's parameters into *prepared. False: they are not $1 to $n, each one used. */
static bool read_places(struct om_sqlite_prepared *prepared) {
  bool seen[OM_SQL_MAX_VALUES + 1] = {false};
  for (int i = 0; i < prepared->places; i++) {
    int number = number_of(prepared->statement, i + 1);
    if (number == 0 || number > OM_SQL_MAX_VALUES) {
      return false;
    }
    prepared->numbers[i] = number;
    prepared->highest = number > prepared->highest ? number : prepared->highest;
    seen[number] = true;
  }
  for (int number = 1; number <= prepared->highest; number++) {
    if (!seen[number]) {
      return false;
    }
  }
  return true;
}

static void forget(struct om_sqlite_prepared *prepared) {
  if (prepared != NULL) {
    sqlite3_finalize(prepared->statement);
    free(prepared->text);
    free(prepared);
  }
}

void om_sqlite_forget_all(struct om_sqlite *sqlite) {
  for (int i = 0; i < OM_SQLITE_CACHED; i++) {
    forget(sqlite->cache[i]);
    sqlite->cache[i] = NULL;
  }
}

static struct om_sqlite_prepared *prepare(struct om_sqlite *sqlite,
                                          const struct om_sql_statement *wanted,
                                          struct om_sql_error *error) {
  sqlite3_stmt *statement = NULL;
  const char *tail = NULL;
  errno = 0;
  int code = sqlite3_prepare_v3(sqlite->db, wanted->text, (int)wanted->text_len + 1,
                                SQLITE_PREPARE_PERSISTENT, &statement, &tail);
  if (code == SQLITE_AUTH) {
    refuse(error,
           "this has no place in a unit: BEGIN, COMMIT, ROLLBACK, SAVEPOINT, ATTACH and most "
           "PRAGMAs are the library's own business");
    return NULL;
  }
  if (code != SQLITE_OK) {
    om_sqlite_fail(sqlite, code, error);
    return NULL;
  }
  int places = sqlite3_bind_parameter_count(statement);
  struct om_sqlite_prepared *prepared = calloc(1, sizeof *prepared + (size_t)places * sizeof(int));
  if (prepared == NULL) {
    sqlite3_finalize(statement);
    om_sql_fail(error, OM_SQL_MEMORY, 0, "out of memory");
    return NULL;
  }
  prepared->statement = statement;
  prepared->places = places;
  if (statement == NULL) {
    refuse(error, "the statement is empty");
  } else if (tail[strspn(tail, " \t\r\n;")] != '\0') {
    refuse(error, "one statement at a time: make a list of two of them");
  } else if (!read_places(prepared)) {
    refuse(error, "placeholders are $1, $2 and so on, as many as there are values");
  } else {
    return prepared;
  }
  forget(prepared);
  return NULL;
}

/* Moves it into the cache, unless its text is too long for that. */
static void keep(struct om_sqlite_prepared *prepared, struct om_sqlite_prepared **place,
                 const struct om_sql_statement *wanted) {
  char *text = wanted->text_len <= TEXT_KEPT_BYTES ? malloc(wanted->text_len) : NULL;
  if (text != NULL) {
    memcpy(text, wanted->text, wanted->text_len);
    prepared->text = text;
    prepared->length = wanted->text_len;
    forget(*place);
    *place = prepared;
  }
}

/* NULL: *error. What has no text afterwards is the caller's to forget. */
static struct om_sqlite_prepared *
find(struct om_sqlite *sqlite, const struct om_sql_statement *wanted, struct om_sql_error *error) {
  uint64_t hash = om_sql_hash(wanted->text, wanted->text_len);
  struct om_sqlite_prepared **oldest = &sqlite->cache[0];
  for (int i = 0; i < OM_SQLITE_CACHED; i++) {
    struct om_sqlite_prepared **place = &sqlite->cache[i];
    if (*place == NULL) {
      oldest = place;
      break; /* places are given away, never emptied: there is nothing behind it */
    }
    if ((*place)->hash == hash && (*place)->length == wanted->text_len &&
        memcmp((*place)->text, wanted->text, wanted->text_len) == 0) {
      (*place)->used = ++sqlite->clock;
      return *place;
    }
    oldest = (*place)->used < (*oldest)->used ? place : oldest;
  }
  struct om_sqlite_prepared *prepared = prepare(sqlite, wanted, error);
  if (prepared != NULL) {
    prepared->hash = hash;
    prepared->used = ++sqlite->clock;
    keep(prepared, oldest, wanted);
  }
  return prepared;
}

/* ---- running ---- */

static int bind(sqlite3_stmt *statement, int place, const struct om_sql_value *value) {
  switch (value->type) {
  case OM_SQL_WHOLE:
    return sqlite3_bind_int64(statement, place, value->as.whole);
  case OM_SQL_REAL:
    return sqlite3_bind_double(statement, place, value->as.real);
  case OM_SQL_BYTES: /* the arena outlives the statement's run */
    return sqlite3_bind_text64(statement, place, value->as.bytes.at, value->as.bytes.len,
                               SQLITE_STATIC, SQLITE_UTF8);
  default:
    return sqlite3_bind_null(statement, place);
  }
}

static bool copy_bytes(struct om_sql_unit *unit, struct om_sql_value *value, const void *bytes,
                       int length) {
  char *copy = om_sql_alloc(unit, (size_t)length + 1);
  if (copy == NULL) {
    return false;
  }
  if (length > 0) {
    memcpy(copy, bytes, (size_t)length);
  }
  value->type = OM_SQL_BYTES;
  value->as.bytes.at = copy;
  value->as.bytes.len = (size_t)length;
  unit->answer_bytes += (size_t)length;
  return true;
}

static bool copy_value(struct om_sql_unit *unit, sqlite3_stmt *from, int column,
                       struct om_sql_value *value) {
  switch (sqlite3_column_type(from, column)) {
  case SQLITE_INTEGER:
    value->type = OM_SQL_WHOLE;
    value->as.whole = sqlite3_column_int64(from, column);
    return true;
  case SQLITE_FLOAT:
    value->type = OM_SQL_REAL;
    value->as.real = sqlite3_column_double(from, column);
    return true;
  case SQLITE_TEXT: {
    const void *text = sqlite3_column_text(from, column);
    return text != NULL && copy_bytes(unit, value, text, sqlite3_column_bytes(from, column));
  }
  case SQLITE_BLOB: {
    const void *blob = sqlite3_column_blob(from, column);
    return copy_bytes(unit, value, blob, sqlite3_column_bytes(from, column));
  }
  default:
    value->type = OM_SQL_NULL;
    return true;
  }
}

static bool copy_names(struct om_sql_unit *unit, struct om_sql_statement *statement,
                       sqlite3_stmt *from) {
  int count = sqlite3_column_count(from);
  statement->columns = om_sql_alloc(unit, (size_t)count * sizeof *statement->columns);
  for (int i = 0; statement->columns != NULL && i < count; i++) {
    const char *name = sqlite3_column_name(from, i);
    size_t size = name != NULL ? strlen(name) + 1 : 0;
    char *copy = name != NULL ? om_sql_alloc(unit, size) : NULL;
    if (copy == NULL) {
      return false;
    }
    memcpy(copy, name, size);
    statement->columns[i] = copy;
  }
  statement->column_count = count;
  return statement->columns != NULL;
}

static struct om_sql_row *copy_row(struct om_sql_unit *unit, sqlite3_stmt *from, int count) {
  size_t size = sizeof(struct om_sql_row) + (size_t)count * sizeof(struct om_sql_value);
  struct om_sql_row *row = om_sql_alloc(unit, size);
  if (row == NULL) {
    return NULL;
  }
  row->next = NULL;
  unit->answer_bytes += size;
  for (int i = 0; i < count; i++) {
    if (!copy_value(unit, from, i, &row->values[i])) {
      return NULL;
    }
  }
  return row;
}

/* Steps to the end. */
static bool step_all(struct om_sqlite *sqlite, struct om_sql_unit *unit,
                     struct om_sql_statement *statement, sqlite3_stmt *from,
                     struct om_sql_error *error) {
  struct om_sql_row **tail = &statement->rows;
  errno = 0;
  int code = sqlite3_step(from);
  if ((code == SQLITE_ROW || code == SQLITE_DONE) && sqlite3_column_count(from) > 0 &&
      !copy_names(unit, statement, from)) {
    return om_sql_fail(error, OM_SQL_MEMORY, 0, "out of memory");
  }
  for (; code == SQLITE_ROW; code = sqlite3_step(from)) {
    *tail = copy_row(unit, from, statement->column_count);
    if (*tail == NULL) {
      return om_sql_fail(error, OM_SQL_MEMORY, 0, "out of memory");
    }
    tail = &(*tail)->next;
    statement->row_count++;
    unit->answer_rows++;
    if (unit->answer_rows > OM_SQL_MAX_ROWS || unit->answer_bytes > OM_SQL_MAX_ANSWER_BYTES) {
      return om_sql_fail(error, OM_SQL_LIMIT, 0,
                         "the answer has more than %d rows or %u MiB; ask for it in parts, with "
                         "LIMIT",
                         OM_SQL_MAX_ROWS, OM_SQL_MAX_ANSWER_BYTES >> 20);
    }
  }
  return code == SQLITE_DONE || om_sqlite_fail(sqlite, code, error);
}

bool om_sqlite_run(void *connection, struct om_sql_unit *unit, struct om_sql_statement *statement,
                   struct om_sql_error *error) {
  struct om_sqlite *sqlite = connection;
  struct om_sqlite_prepared *prepared = find(sqlite, statement, error);
  if (prepared == NULL) {
    return false;
  }
  bool fine = true;
  if (prepared->highest != statement->value_count) {
    refuse(error, "placeholders are $1, $2 and so on, as many as there are values");
    fine = false;
  } else if (sqlite->reads && sqlite3_stmt_readonly(prepared->statement) == 0) {
    refuse(error, "a statement that writes has no place in a read; use a unit");
    fine = false;
  }
  for (int i = 0; fine && i < prepared->places; i++) {
    int code = bind(prepared->statement, i + 1, &statement->values[prepared->numbers[i] - 1]);
    fine = code == SQLITE_OK || om_sqlite_fail(sqlite, code, error);
  }
  int before = sqlite3_total_changes(sqlite->db);
  fine = fine && step_all(sqlite, unit, statement, prepared->statement, error);
  sqlite3_reset(prepared->statement);
  sqlite3_clear_bindings(prepared->statement);
  fine = fine && om_sqlite_inside(sqlite, error);
  if (fine && sqlite3_total_changes(sqlite->db) != before) {
    statement->changes = sqlite3_changes(sqlite->db);
  }
  if (prepared->text == NULL) {
    forget(prepared);
  }
  return fine;
}
