/* sql_postgres_error.c: what PostgreSQL's errors mean (see sql_postgres.h). */
#include "sql_postgres.h"

#include <stdio.h>
#include <string.h>

#define PRIMARY_BYTES 160 /* of the server's own sentence */

struct meaning {
  const char *state; /* or its beginning */
  enum om_sql_fault fault;
  bool broken; /* another connection is needed */
};

/* The first that fits. */
static const struct meaning meanings[] = {
    {"40001", OM_SQL_BUSY, false}, /* could not serialize */
    {"40P01", OM_SQL_BUSY, false}, /* deadlock */
    {"55P03", OM_SQL_BUSY, false}, /* waited too long for a lock */
    {"55006", OM_SQL_BUSY, false}, /* object in use */
    {"26000", OM_SQL_BUSY, true},  /* our prepared statements are gone: somebody is between us */
    {"42P05", OM_SQL_BUSY, true},    {"23", OM_SQL_CONFLICT, false},
    {"53100", OM_SQL_FULL, false},   {"53200", OM_SQL_MEMORY, false},
    {"53", OM_SQL_AWAY, true},    /* too many connections */
    {"57014", OM_SQL_IO, false},  /* cancelled by somebody */
    {"57", OM_SQL_AWAY, true},    /* shut down, starting */
    {"25P03", OM_SQL_AWAY, true}, /* we were silent within a transaction for too long */
    {"25006", OM_SQL_AWAY, true}, /* a standby: the primary is elsewhere now */
    {"08", OM_SQL_AWAY, true},       {"28", OM_SQL_CONFIG, true},
    {"3D000", OM_SQL_CONFIG, true},  {"42501", OM_SQL_READONLY, false},
    {"XX001", OM_SQL_CORRUPT, true}, {"XX002", OM_SQL_CORRUPT, true},
    {"58", OM_SQL_IO, true},         {"", OM_SQL_STATEMENT, false},
};

void om_postgres_one_line(char *buffer, size_t size, const char *text) {
  size_t used = 0;
  for (; *text != '\0' && used + 1 < size; text++) {
    bool blank = *text == '\n' || *text == '\t' || *text == '\r';
    if (!blank || (used > 0 && buffer[used - 1] != ' ')) {
      buffer[used++] = blank ? ' ' : *text;
    }
  }
  while (used > 0 && buffer[used - 1] == ' ') {
    used--;
  }
  buffer[used] = '\0';
}

/* Several that begin at once make the same table; the catalogue lets one through, and the others
 * find it there the next time. */
static bool made_meanwhile(const PGresult *result, const char *state, const char *text) {
  const char *schema = PQresultErrorField(result, PG_DIAG_SCHEMA_NAME);
  const char *said = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  return (strcmp(state, "23505") == 0 && schema != NULL && strcmp(schema, "pg_catalog") == 0) ||
         (strcmp(state, "42P07") == 0 && text != NULL && strstr(text, "IF NOT EXISTS") != NULL) ||
         (strcmp(state, "42710") == 0 && said != NULL && strncmp(said, "type ", 5) == 0) ||
         (strcmp(state, "XX000") == 0 && said != NULL &&
          strncmp(said, "tuple concurrently", 18) == 0);
}

/* A table was changed under a statement that we had prepared: a new connection prepares it anew. */
static bool outdated(const char *state, const char *said) {
  return strcmp(state, "0A000") == 0 && strncmp(said, "cached plan", 11) == 0;
}

static bool say(const struct om_postgres *postgres, enum om_sql_fault fault, const char *said,
                struct om_sql_error *error) {
  const char *stored = error->open ? "it may not have been stored" : "nothing was stored";
  const char *name = postgres->shown;
  switch (fault) {
  case OM_SQL_BUSY:
    return om_sql_fail(error, fault, 0,
                       "another process kept %s locked for too long (%s); nothing was stored; try "
                       "again",
                       name, said);
  case OM_SQL_FULL:
    return om_sql_fail(error, fault, 0,
                       "no space left for %s (%s); %s; free some space, and it goes on by itself",
                       name, said, stored);
  case OM_SQL_READONLY:
    return om_sql_fail(error, fault, 0, "no permission in %s (%s)", name, said);
  case OM_SQL_AWAY:
    return om_sql_fail(error, fault, 0,
                       "no connection to %s (%s); %s; it goes on by itself when there is one", name,
                       said, stored);
  case OM_SQL_CONFIG:
    return om_sql_fail(error, fault, 0, "%s does not let us in (%s)", name, said);
  case OM_SQL_CONFLICT:
  case OM_SQL_STATEMENT:
    return om_sql_fail(error, fault, 0, "%s", said);
  default:
    return om_sql_fail(error, fault, 0, "%s failed (%s); %s", name, said, stored);
  }
}

bool om_postgres_fail(struct om_postgres *postgres, const PGresult *result, const char *text,
                      struct om_sql_error *error) {
  char said[PRIMARY_BYTES];
  const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
  const struct meaning *meaning = meanings;
  if (state == NULL || primary == NULL) {
    return om_postgres_fail_away(postgres, error);
  }
  while (strncmp(state, meaning->state, strlen(meaning->state)) != 0) {
    meaning++;
  }
  bool fatal = severity != NULL && strcmp(severity, "ERROR") != 0;
  enum om_sql_fault fault = fatal ? OM_SQL_AWAY : meaning->fault;
  if (strcmp(state, "25006") == 0 && postgres->reads) {
    return om_sql_fail(error, OM_SQL_STATEMENT, 0,
                       "a statement that writes has no place in a read; use a unit");
  }
  bool old = outdated(state, primary);
  fault = old || made_meanwhile(result, state, text) ? OM_SQL_BUSY : fault;
  om_postgres_one_line(said, sizeof said, primary);
  char *value = strncmp(state, "22", 2) == 0 ? strstr(said, ": \"") : NULL;
  if (value != NULL) {
    *value = '\0'; /* it may be somebody's number */
  }
  snprintf(error->state, sizeof error->state, "%.5s", state);
  error->broken = fatal || old || meaning->broken;
  error->lost = error->broken;
  postgres->dead = postgres->dead || error->broken;
  error->open = postgres->committing && fatal;
  return say(postgres, fault, said, error);
}

bool om_postgres_fail_away(struct om_postgres *postgres, struct om_sql_error *error) {
  char said[PRIMARY_BYTES];
  om_postgres_one_line(said, sizeof said, PQerrorMessage(postgres->conn));
  error->broken = true;
  error->lost = true;
  postgres->dead = true;
  error->open = postgres->committing;
  return say(postgres, OM_SQL_AWAY, *said != '\0' ? said : "it says nothing", error);
}
