/* sql_postgres_prepared.c: a statement on its way to PostgreSQL (see sql_postgres.h): what a unit
 * may not do is refused, values get their types, texts that come again are prepared once.
 *
 * Whole numbers go as bigint and others as double precision: left to guess, the server takes the
 * type of whatever stands beside a placeholder, and refuses 1.5 beside a 5. Texts and NULL go
 * without a type. So a text may be prepared several times, by the types that it came with. */
#include "sql_postgres.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_KEPT_BYTES 8192 /* longer texts are not worth a name */
#define NAME_BYTES      16

enum { UNKNOWN = 0, INT8 = 20, FLOAT8 = 701 }; /* types by their numbers, which never change */

struct om_postgres_prepared {
  char name[NAME_BYTES];
  uint64_t hash;
  uint64_t used; /* when: the place that was used longest ago is given away */
  bool settled;  /* the server has said that it has it */
  size_t length;
  int count;
  Oid *types;
  char *text;
};

struct values {
  int count;
  const char *at[OM_SQL_MAX_VALUES];
  int lengths[OM_SQL_MAX_VALUES];
  int formats[OM_SQL_MAX_VALUES]; /* 1: binary */
  Oid types[OM_SQL_MAX_VALUES];
  unsigned char numbers[OM_SQL_MAX_VALUES][8];
};

static bool refuse(struct om_sql_error *error, const char *why) {
  return om_sql_fail(error, OM_SQL_STATEMENT, 0, "%s", why);
}

/* A unit must not end the transaction that it shares, nor change what the thread relies on. */
static bool check_text(const char *text, struct om_sql_error *error) {
  static const char *const own[] = {"BEGIN",   "START",   "COMMIT", "END",        "ROLLBACK",
                                    "ABORT",   "RELEASE", "SET",    "SAVEPOINT",  "RESET",
                                    "DISCARD", "PREPARE", "COPY",   "DEALLOCATE", "LISTEN",
                                    "NOTIFY",  "UNLISTEN"};
  const char *word = om_sql_first_word(text);
  if (*word == '\0' || *word == ';') {
    return refuse(error, "the statement is empty");
  }
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
    if (om_sql_is_word(word, own[i])) {
      return refuse(error, "this has no place in a unit: BEGIN, COMMIT, ROLLBACK, SAVEPOINT, SET, "
                           "COPY and the like are the library's own business");
    }
  }
  return true;
}

static void put_whole(unsigned char *to, uint64_t whole) {
  for (int i = 7; i >= 0; i--, whole >>= 8) {
    to[i] = (unsigned char)(whole & 0xff);
  }
}

static bool put_value(struct values *values, int i, const struct om_sql_value *value,
                      struct om_sql_error *error) {
  uint64_t bits = 0;
  values->at[i] = (const char *)values->numbers[i];
  values->lengths[i] = 8;
  values->formats[i] = 1;
  switch (value->type) {
  case OM_SQL_WHOLE:
    values->types[i] = INT8;
    put_whole(values->numbers[i], (uint64_t)value->as.whole);
    return true;
  case OM_SQL_REAL:
    values->types[i] = FLOAT8;
    memcpy(&bits, &value->as.real, sizeof bits);
    put_whole(values->numbers[i], bits);
    return true;
  case OM_SQL_BYTES:
    values->types[i] = UNKNOWN;
    values->formats[i] = 0;
    values->at[i] = value->as.bytes.at;
    values->lengths[i] = (int)value->as.bytes.len;
    return memchr(value->as.bytes.at, '\0', value->as.bytes.len) == NULL ||
           om_sql_fail(error, OM_SQL_STATEMENT, 0,
                       "value $%d has a zero byte, which PostgreSQL can't keep in a text", i + 1);
  default:
    values->types[i] = UNKNOWN;
    values->formats[i] = 0;
    values->at[i] = NULL;
    values->lengths[i] = 0;
    return true;
  }
}

/* ---- the cache ---- */

static void forget(struct om_postgres_prepared *prepared) {
  if (prepared != NULL) {
    free(prepared->types);
    free(prepared->text);
    free(prepared);
  }
}

void om_postgres_forget_all(struct om_postgres *postgres) {
  for (int i = 0; i < OM_POSTGRES_CACHED; i++) {
    forget(postgres->cache[i]);
    postgres->cache[i] = NULL;
  }
}

void om_postgres_settle_prepared(struct om_postgres *postgres,
                                 struct om_postgres_prepared *prepared, bool fine) {
  prepared->settled = fine;
  for (int i = 0; !fine && i < OM_POSTGRES_CACHED; i++) {
    if (postgres->cache[i] == prepared) {
      postgres->cache[i] = NULL;
      forget(prepared);
      return;
    }
  }
}

static struct om_postgres_prepared *new_prepared(const struct om_sql_statement *wanted,
                                                 const struct values *values, uint64_t hash) {
  struct om_postgres_prepared *prepared = calloc(1, sizeof *prepared);
  size_t size = (size_t)values->count * sizeof *values->types;
  if (prepared == NULL) {
    return NULL;
  }
  prepared->hash = hash;
  prepared->count = values->count;
  prepared->length = wanted->text_len;
  prepared->types = malloc(size + 1);
  prepared->text = malloc(wanted->text_len + 1);
  if (prepared->types == NULL || prepared->text == NULL) {
    forget(prepared);
    return NULL;
  }
  memcpy(prepared->types, values->types, size);
  memcpy(prepared->text, wanted->text, wanted->text_len + 1);
  return prepared;
}

/* *place: where it is, or may be put, when it is not there; NULL: nowhere. */
static struct om_postgres_prepared *look_up(struct om_postgres *postgres,
                                            const struct om_sql_statement *wanted,
                                            const struct values *values, uint64_t hash,
                                            struct om_postgres_prepared ***place) {
  size_t size = (size_t)values->count * sizeof *values->types;
  *place = NULL;
  for (int i = 0; i < OM_POSTGRES_CACHED; i++) {
    struct om_postgres_prepared *one = postgres->cache[i];
    if (one != NULL && one->hash == hash && one->length == wanted->text_len &&
        one->count == values->count && memcmp(one->text, wanted->text, one->length) == 0 &&
        memcmp(one->types, values->types, size) == 0) {
      return one;
    }
    if (one == NULL ? *place == NULL || **place != NULL
                    : one->settled &&
                          (*place == NULL || (**place != NULL && one->used < (**place)->used))) {
      *place = &postgres->cache[i];
    }
  }
  return NULL;
}

static bool send_failed(struct om_postgres *postgres, struct om_sql_error *error) {
  return om_postgres_fail_away(postgres, error);
}

/* NULL and no error: send it without a name. */
static struct om_postgres_prepared *name_for(struct om_postgres *postgres,
                                             const struct om_sql_statement *wanted,
                                             const struct values *values,
                                             struct om_sql_error *error) {
  struct om_postgres_prepared **place = NULL;
  if (postgres->pooled || wanted->text_len > TEXT_KEPT_BYTES) {
    return NULL;
  }
  uint64_t hash = om_sql_hash(wanted->text, wanted->text_len);
  struct om_postgres_prepared *found = look_up(postgres, wanted, values, hash, &place);
  if (found != NULL || place == NULL) {
    return found;
  }
  if (*place != NULL) {
    char text[NAME_BYTES + 16];
    snprintf(text, sizeof text, "DEALLOCATE %s", (*place)->name);
    if (!om_postgres_send(postgres, text, error)) {
      return NULL;
    }
    forget(*place);
    *place = NULL;
  }
  found = new_prepared(wanted, values, hash);
  if (found == NULL) {
    return NULL;
  }
  snprintf(found->name, sizeof found->name, "om%u", ++postgres->names);
  if (PQsendPrepare(postgres->conn, found->name, found->text, found->count, found->types) != 1) {
    send_failed(postgres, error);
    forget(found);
    return NULL;
  }
  om_postgres_note(postgres, OM_POSTGRES_PREPARE, found);
  *place = found;
  return found;
}

bool om_postgres_send_statement(struct om_postgres *postgres,
                                const struct om_sql_statement *statement,
                                struct om_sql_error *error) {
  struct values values = {.count = statement->value_count};
  if (!check_text(statement->text, error)) {
    return false;
  }
  for (int i = 0; i < values.count; i++) {
    if (!put_value(&values, i, &statement->values[i], error)) {
      return false;
    }
    postgres->sent_bytes += (size_t)values.lengths[i];
  }
  postgres->sent_bytes += statement->text_len;
  struct om_postgres_prepared *prepared = name_for(postgres, statement, &values, error);
  if (error->fault != OM_SQL_FINE) {
    return false;
  }
  int fine;
  if (prepared != NULL) {
    prepared->used = ++postgres->clock;
    fine = PQsendQueryPrepared(postgres->conn, prepared->name, values.count, values.at,
                               values.lengths, values.formats, 0);
  } else {
    fine = PQsendQueryParams(postgres->conn, statement->text, values.count, values.types, values.at,
                             values.lengths, values.formats, 0);
  }
  if (fine != 1) {
    return send_failed(postgres, error);
  }
  om_postgres_note(postgres, OM_POSTGRES_RUN, NULL);
  return true;
}
