/* sql_postgres_rows.c: an answer's rows as values (see sql_postgres.h). Texts come as they are,
 * numbers as the server writes them. */
#include "sql_postgres.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Types by their numbers, which never change. */
enum { BOOL = 16, BYTEA = 17, INT8 = 20, INT2 = 21, INT4 = 23, OID = 26, FLOAT4 = 700, FLOAT8 };
enum { NUMERIC = 1700 };

static bool no_memory(struct om_sql_error *error) {
  return om_sql_fail(error, OM_SQL_MEMORY, 0, "out of memory");
}

static bool copy_bytes(struct om_sql_unit *unit, struct om_sql_value *value, const void *bytes,
                       size_t length) {
  char *copy = om_sql_alloc(unit, length + 1);
  if (copy == NULL) {
    return false;
  }
  memcpy(copy, bytes, length);
  copy[length] = '\0';
  unit->answer_bytes += length;
  value->type = OM_SQL_BYTES;
  value->as.bytes.at = copy;
  value->as.bytes.len = length;
  return true;
}

static bool copy_bytea(struct om_sql_unit *unit, struct om_sql_value *value, const char *text) {
  size_t length = 0;
  unsigned char *bytes = PQunescapeBytea((const unsigned char *)text, &length);
  bool fine = bytes != NULL && copy_bytes(unit, value, bytes, length);
  PQfreemem(bytes);
  return fine;
}

static void read_real(struct om_sql_value *value, const char *text) {
  value->type = OM_SQL_REAL;
  value->as.real = strtod(text, NULL);
}

/* A sum of whole numbers is "numeric" there, and whole all the same. */
static void read_number(struct om_sql_value *value, const char *text) {
  char *end = NULL;
  errno = 0;
  long long whole = strtoll(text, &end, 10);
  if (*end != '\0' || errno != 0) {
    read_real(value, text);
    return;
  }
  value->type = OM_SQL_WHOLE;
  value->as.whole = whole;
}

static bool copy_value(struct om_sql_unit *unit, const PGresult *from, int row, int column,
                       struct om_sql_value *value) {
  const char *text = PQgetvalue(from, row, column);
  value->type = OM_SQL_NULL;
  if (PQgetisnull(from, row, column)) {
    return true;
  }
  switch (PQftype(from, column)) {
  case BOOL:
    value->type = OM_SQL_WHOLE;
    value->as.whole = text[0] == 't';
    return true;
  case INT2:
  case INT4:
  case INT8:
  case OID:
  case NUMERIC:
    read_number(value, text);
    return true;
  case FLOAT4:
  case FLOAT8:
    read_real(value, text);
    return true;
  case BYTEA:
    return copy_bytea(unit, value, text);
  default:
    return copy_bytes(unit, value, text, (size_t)PQgetlength(from, row, column));
  }
}

static bool copy_names(struct om_sql_unit *unit, struct om_sql_statement *statement,
                       const PGresult *from) {
  int count = PQnfields(from);
  statement->columns = om_sql_alloc(unit, (size_t)count * sizeof *statement->columns);
  for (int i = 0; statement->columns != NULL && i < count; i++) {
    size_t size = strlen(PQfname(from, i)) + 1;
    char *copy = om_sql_alloc(unit, size);
    if (copy == NULL) {
      return false;
    }
    memcpy(copy, PQfname(from, i), size);
    statement->columns[i] = copy;
  }
  statement->column_count = count;
  return statement->columns != NULL;
}

static struct om_sql_row *copy_row(struct om_sql_unit *unit, const PGresult *from, int number) {
  int count = PQnfields(from);
  size_t size = sizeof(struct om_sql_row) + (size_t)count * sizeof(struct om_sql_value);
  struct om_sql_row *row = om_sql_alloc(unit, size);
  if (row == NULL) {
    return NULL;
  }
  row->next = NULL;
  unit->answer_bytes += size;
  for (int i = 0; i < count; i++) {
    if (!copy_value(unit, from, number, i, &row->values[i])) {
      return NULL;
    }
  }
  return row;
}

bool om_postgres_copy_rows(struct om_postgres *postgres, struct om_sql_unit *unit,
                           struct om_sql_statement *statement, const PGresult *result,
                           struct om_sql_error *error) {
  if (PQnfields(result) > 0 && statement->columns == NULL && !copy_names(unit, statement, result)) {
    return no_memory(error);
  }
  locale_t before = uselocale(postgres->numbers);
  struct om_sql_row **tail = statement->tail != NULL ? statement->tail : &statement->rows;
  bool fine = true;
  for (int i = 0; fine && i < PQntuples(result); i++) {
    *tail = copy_row(unit, result, i);
    if (*tail == NULL) {
      fine = no_memory(error);
      break;
    }
    tail = &(*tail)->next;
    statement->tail = tail;
    statement->row_count++;
    unit->answer_rows++;
    if (unit->answer_rows > OM_SQL_MAX_ROWS || unit->answer_bytes > OM_SQL_MAX_ANSWER_BYTES) {
      fine = om_sql_fail(error, OM_SQL_LIMIT, 0,
                         "the answer has more than %d rows or %u MiB; ask for it in parts, with "
                         "LIMIT",
                         OM_SQL_MAX_ROWS, OM_SQL_MAX_ANSWER_BYTES >> 20);
      error->broken = true; /* the rest of it is still to come */
      error->lost = true;
      postgres->dead = true;
    }
  }
  uselocale(before);
  return fine;
}
