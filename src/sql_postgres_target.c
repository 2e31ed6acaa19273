/* sql_postgres_target.c: which server and database a target names (see sql_postgres.h). libpq reads
 * the target as it reads any connection URI; what it says of a wrong one may repeat a part of the
 * password, so that is said in our own words. Any thread; nothing is opened. */
#include "sql_postgres.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char scheme[] = "postgresql://";

static const char *value_of(const PQconninfoOption *options, const char *keyword) {
  for (; options != NULL && options->keyword != NULL; options++) {
    if (strcmp(options->keyword, keyword) == 0 && options->val != NULL) {
      return options->val;
    }
  }
  return "";
}

char *om_postgres_check(const char *target, bool *exists, struct om_sql_error *error) {
  size_t size = sizeof scheme + strlen(target);
  char *name = malloc(size);
  char *said = NULL;
  if (name == NULL) {
    om_sql_fail(error, OM_SQL_MEMORY, 0, "out of memory");
    return NULL;
  }
  snprintf(name, size, "%s%s", scheme, target);
  PQconninfoOption *options = PQconninfoParse(name, &said);
  const char *port = value_of(options, "port");
  const char *why = options == NULL
                        ? "libpq can't read it: write reserved characters of a password as %XX, and"
                          " only parameters that libpq knows behind the ?"
                    : port[strspn(port, "0123456789,")] != '\0'
                        ? "its port is no number: write reserved characters of a password as %XX"
                        : NULL;
  PQconninfoFree(options);
  PQfreemem(said);
  *exists = true; /* a database is never made */
  if (why != NULL) {
    om_sql_fail(error, OM_SQL_CONFIG, 0,
                "the store is given as postgres://user@host/database, and %s", why);
    free(name);
    return NULL;
  }
  return name;
}

void om_postgres_show(const char *name, char *buffer, size_t size) {
  PQconninfoOption *options = PQconninfoParse(name, NULL);
  const char *user = value_of(options, "user");
  const char *port = value_of(options, "port");
  const char *database = value_of(options, "dbname");
  snprintf(buffer, size, "postgres://%s%s%s%s%s%s%s", user, *user != '\0' ? "@" : "",
           value_of(options, "host"), *port != '\0' ? ":" : "", port, *database != '\0' ? "/" : "",
           database);
  PQconninfoFree(options);
}
