/* sql_drivers.c: which driver a target's scheme means (see sql.h). Pure; no lock, no Lua. */
#include "sql.h"

#include <string.h>

#ifdef OM_POSTGRES
#define POSTGRES (&om_sql_postgres)
#else
#define POSTGRES NULL
#endif

static const char no_postgres[] = "this onemsg was built without PostgreSQL (libpq-dev)";

const struct om_sql_scheme om_sql_drivers[] = {
    {"sqlite:", &om_sql_sqlite, NULL},
    {"postgres://", POSTGRES, no_postgres},
    {"postgresql://", POSTGRES, no_postgres},
    {NULL, NULL, NULL},
};

const struct om_sql_scheme *om_sql_scheme_of(const char *target, struct om_sql_error *error) {
  const struct om_sql_scheme *scheme = om_sql_drivers;
  while (scheme->scheme != NULL && strncmp(target, scheme->scheme, strlen(scheme->scheme)) != 0) {
    scheme++;
  }
  if (scheme->scheme == NULL) {
    om_sql_fail(error, OM_SQL_CONFIG, 0,
                "the store must be given as sqlite: and the path of a file, like "
                "sqlite:/var/lib/onemsg/confirmations.db, or as postgres://user@host/database");
    return NULL;
  }
  if (scheme->driver == NULL) {
    om_sql_fail(error, OM_SQL_CONFIG, 0, "%s", scheme->missing);
    return NULL;
  }
  return scheme;
}
