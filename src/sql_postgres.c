/* sql_postgres.c: the PostgreSQL driver of the database thread (see sql.h): connection and
 * transaction. libpq in pipeline mode; READ COMMITTED, no advisory locks, no LISTEN, so that it
 * works through a pooler that gives each transaction another server.
 *
 * Acknowledged is only what the server has answered with COMMIT, and without a warning: a wait for
 * a synchronous standby that somebody cancelled ends with one, and the row is on one machine only.
 * A connection that is lost behind the COMMIT leaves it open whether the unit was stored. */
#include "sql_postgres.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 60 /* units a transaction: PostgreSQL slows down at 64 savepoints */

/* What every transaction relies on. A commit is on disk when it is acknowledged, whatever the
 * role's or the database's settings say; nobody waits long for a row's lock, nor holds one long. */
#define SETTINGS                                                                                   \
  "SELECT set_config('lock_timeout', '%d', %s), set_config('client_min_messages', 'warning', %s)," \
  " set_config('idle_in_transaction_session_timeout', '10000', %s),"                               \
  " set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN "  \
  "'on' ELSE current_setting('synchronous_commit') END, %s)"
#define SETTINGS_BYTES 512

static void settings(char *buffer, bool local) {
  const char *word = local ? "true" : "false";
  snprintf(buffer, SETTINGS_BYTES, SETTINGS, OM_POSTGRES_LOCK_MS, word, word, word, word);
}

/* ---- the connection ---- */

static void on_notice(void *connection, const PGresult *notice) {
  struct om_postgres *postgres = connection;
  const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
  postgres->warned = postgres->warned || severity == NULL || strcmp(severity, "WARNING") == 0;
}

static void close_connection(void *connection, bool briefly) {
  struct om_postgres *postgres = connection;
  (void)briefly;
  PQclear(postgres->own);
  PQfinish(postgres->conn); /* NULL is fine */
  om_postgres_forget_all(postgres);
  if (postgres->numbers != (locale_t)0) {
    freelocale(postgres->numbers);
  }
  free(postgres);
}

/* Runs it by itself; its answer is postgres->own. */
static bool ask(struct om_postgres *postgres, const char *text, struct om_sql_error *error) {
  return om_postgres_send(postgres, text, error) && om_postgres_sync(postgres, error) &&
         om_postgres_settle(postgres, error);
}

/* Is it the server itself that we talk to? A pooler gives a number of its own for its end of the
 * connection. */
static bool set_up(struct om_postgres *postgres, struct om_sql_error *error) {
  char text[SETTINGS_BYTES];
  if (!ask(postgres, "SELECT pg_backend_pid()", error)) {
    return false;
  }
  postgres->pooled = PQntuples(postgres->own) != 1 || strtol(PQgetvalue(postgres->own, 0, 0), NULL,
                                                             10) != PQbackendPID(postgres->conn);
  settings(text, false);
  return postgres->pooled || ask(postgres, text, error);
}

/* What the target says goes before our defaults, but for the encoding. */
static PGconn *connect_to(const char *name) {
  const char *const keywords[] = {"connect_timeout",           "tcp_user_timeout",
                                  "keepalives_idle",           "keepalives_interval",
                                  "keepalives_count",          "target_session_attrs",
                                  "fallback_application_name", "dbname",
                                  "client_encoding",           NULL};
  const char *const values[] = {"3",          "15000",  "10", "5",    "3",
                                "read-write", "onemsg", name, "UTF8", NULL};
  return PQconnectdbParams(keywords, values, 1);
}

/* libpq gives no SQLSTATE here, only sentences; in another language than these, it is tried again.
 */
static bool not_let_in(PGconn *conn) {
  static const char *const sentences[] = {"password authentication failed", "no pg_hba.conf entry",
                                          "\" does not exist", "is not permitted to log in",
                                          "certificate verify failed"};
  const char *said = PQerrorMessage(conn);
  bool found = PQconnectionNeedsPassword(conn) != 0;
  for (size_t i = 0; !found && i < sizeof sentences / sizeof *sentences; i++) {
    found = strstr(said, sentences[i]) != NULL;
  }
  return found;
}

static bool fail_to_connect(struct om_postgres *postgres, struct om_sql_error *error) {
  char said[OM_SQL_TEXT_BYTES / 2];
  om_postgres_fail_away(postgres, error);
  if (not_let_in(postgres->conn)) {
    om_postgres_one_line(said, sizeof said, PQerrorMessage(postgres->conn));
    om_sql_fail(error, OM_SQL_CONFIG, 0, "%s does not let us in (%s)", postgres->shown, said);
  }
  return false;
}

static void *open_connection(const char *name, bool create, struct om_sql_error *error) {
  struct om_postgres *postgres = calloc(1, sizeof *postgres);
  (void)create;
  if (postgres == NULL) {
    om_sql_fail(error, OM_SQL_MEMORY, 0, "out of memory");
    return NULL;
  }
  om_postgres_show(name, postgres->shown, sizeof postgres->shown);
  postgres->numbers = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
  postgres->conn = connect_to(name);
  bool fine = true;
  if (postgres->conn == NULL || postgres->numbers == (locale_t)0) {
    fine = om_sql_fail(error, OM_SQL_MEMORY, 0, "out of memory");
  } else if (PQstatus(postgres->conn) != CONNECTION_OK) {
    fine = fail_to_connect(postgres, error);
  } else {
    PQsetNoticeReceiver(postgres->conn, on_notice, postgres);
    fine = (PQsetnonblocking(postgres->conn, 1) == 0 && PQenterPipelineMode(postgres->conn) == 1) ||
           om_postgres_fail_away(postgres, error);
    fine = fine && set_up(postgres, error);
  }
  if (!fine) {
    close_connection(postgres, false);
    return NULL;
  }
  return postgres;
}

/* ---- the transaction ---- */

static bool begin(void *connection, bool reads, struct om_sql_error *error) {
  struct om_postgres *postgres = connection;
  char text[SETTINGS_BYTES];
  postgres->reads = reads;
  settings(text, true);
  return om_postgres_send(postgres,
                          reads ? "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
                                : "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
                          error) &&
         (!postgres->pooled || om_postgres_send(postgres, text, error));
}

static void ahead(void *connection, bool on) {
  ((struct om_postgres *)connection)->ahead = on;
}

static bool savepoint(void *connection, struct om_sql_error *error) {
  return om_postgres_send(connection, "SAVEPOINT unit", error);
}

static bool release(void *connection, struct om_sql_error *error) {
  return om_postgres_send(connection, "RELEASE unit", error);
}

static bool undo(void *connection, struct om_sql_error *error) {
  struct om_postgres *postgres = connection;
  om_postgres_drain(postgres);
  return om_postgres_send(postgres, "ROLLBACK TO unit", error) &&
         om_postgres_send(postgres, "RELEASE unit", error) && om_postgres_sync(postgres, error);
}

static bool commit(void *connection, struct om_sql_error *error) {
  struct om_postgres *postgres = connection;
  postgres->warned = false;
  postgres->committing = true;
  bool fine = ask(postgres, "COMMIT", error);
  postgres->committing = false;
  if (fine && strcmp(PQcmdStatus(postgres->own), "COMMIT") != 0) {
    return om_sql_fail(error, OM_SQL_IO, 0, "%s undid the transaction; nothing was stored",
                       postgres->shown);
  }
  if (fine && postgres->warned) {
    error->open = true;
    return om_sql_fail(error, OM_SQL_IO, 0,
                       "%s did not wait for its standby; it may not have been stored",
                       postgres->shown);
  }
  return fine;
}

static void rollback(void *connection) {
  struct om_postgres *postgres = connection;
  struct om_sql_error ignored = {.fault = OM_SQL_FINE};
  postgres->ahead = false;
  if (postgres->dead) {
    return;
  }
  om_postgres_drain(postgres);
  if (PQtransactionStatus(postgres->conn) != PQTRANS_IDLE &&
      om_postgres_send(postgres, "ROLLBACK", &ignored) && om_postgres_sync(postgres, &ignored)) {
    PQflush(postgres->conn); /* locks go now; the answer is read with the next one */
  }
}

static bool idle(void *connection, bool quiet) {
  (void)connection;
  (void)quiet;
  return false; /* autovacuum does it */
}

const struct om_sql_driver om_sql_postgres = {
    .engine = "postgres",
    .batch = BATCH,
    .rotate = true,
    .check = om_postgres_check,
    .show = om_postgres_show,
    .open = open_connection,
    .close = close_connection,
    .begin = begin,
    .ahead = ahead,
    .savepoint = savepoint,
    .run = om_postgres_run,
    .release = release,
    .undo = undo,
    .commit = commit,
    .rollback = rollback,
    .idle = idle,
};
