/* sql_postgres_flight.c: what goes to the server together, and its answers (see sql_postgres.h).
 *
 * A flight is a run of commands and the mark that ends it. What is sent is noted in the order in
 * which it will be answered; what follows a command that failed is answered, up to the next mark,
 * by the word that it was skipped. Nothing waits for an answer that nobody needs yet: the end of a
 * savepoint or of a read is read with the next flight's. */
#include "sql_postgres.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define ROOM 16 /* commands of our own that must always find a place */

/* Until the next answer is there. */
static bool wait_for_answer(struct om_postgres *postgres, struct om_sql_error *error) {
  PGconn *conn = postgres->conn;
  for (;;) {
    int unsent = PQflush(conn);
    if (PQisBusy(conn) == 0) {
      return true; /* an answer, or libpq's word that there will be none */
    }
    struct pollfd wait = {.fd = PQsocket(conn),
                          .events = (short)(unsent == 1 ? POLLIN | POLLOUT : POLLIN)};
    if (unsent < 0 || wait.fd < 0) {
      return om_postgres_fail_away(postgres, error);
    }
    int ready = poll(&wait, 1, OM_POSTGRES_SILENT_MS);
    if (ready == 0 || (ready < 0 && errno != EINTR)) {
      return om_postgres_fail_away(postgres, error);
    }
    if (ready > 0 && (wait.revents & ~POLLOUT) != 0 && PQconsumeInput(conn) == 0 &&
        PQisBusy(conn) != 0) {
      return om_postgres_fail_away(postgres, error);
    }
  }
}

/* NULL: the end of what answers this command, or *error. */
static PGresult *next_answer(struct om_postgres *postgres, struct om_sql_error *error) {
  return wait_for_answer(postgres, error) ? PQgetResult(postgres->conn) : NULL;
}

static struct om_postgres_sent shift(struct om_postgres *postgres) {
  struct om_postgres_sent first = postgres->sent[postgres->sent_read++];
  if (postgres->sent_read == postgres->sent_count) {
    postgres->sent_read = 0;
    postgres->sent_count = 0;
    postgres->sent_bytes = 0;
  }
  return first;
}

static bool skipped(const PGresult *answer) {
  return PQresultStatus(answer) == PGRES_PIPELINE_ABORTED;
}

static bool fine_status(const PGresult *answer) {
  ExecStatusType status = PQresultStatus(answer);
  return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_SINGLE_TUPLE;
}

/* Keeps the first error: those behind it follow from it. */
static void judge(struct om_postgres *postgres, const PGresult *answer, const char *text,
                  struct om_sql_error *error) {
  if (error->fault == OM_SQL_FINE && !fine_status(answer)) {
    if (skipped(answer)) {
      om_sql_fail(error, OM_SQL_IO, 0, "%s skipped it, for what came before; nothing was stored",
                  postgres->shown);
    } else if (PQresultStatus(answer) == PGRES_FATAL_ERROR) {
      om_postgres_fail(postgres, answer, text, error);
    } else {
      om_sql_fail(error, OM_SQL_STATEMENT, 0,
                  PQresultStatus(answer) == PGRES_EMPTY_QUERY ? "the statement is empty"
                                                              : "this has no place in a unit");
    }
  }
}

/* One command of ours, or a preparation, is answered. */
static bool read_own(struct om_postgres *postgres, struct om_postgres_sent sent,
                     struct om_sql_error *error) {
  bool fine = true;
  for (PGresult *answer = next_answer(postgres, error); answer != NULL;
       answer = next_answer(postgres, error)) {
    fine = fine && fine_status(answer);
    judge(postgres, answer, NULL, error);
    if (sent.kind == OM_POSTGRES_OWN) {
      PQclear(postgres->own);
      postgres->own = answer;
    } else {
      PQclear(answer);
    }
    if (error->broken) {
      break;
    }
  }
  if (sent.kind == OM_POSTGRES_PREPARE) {
    om_postgres_settle_prepared(postgres, sent.prepared, fine && !error->broken);
  }
  return error->fault == OM_SQL_FINE;
}

static bool read_mark(struct om_postgres *postgres, struct om_sql_error *error) {
  PGresult *answer = next_answer(postgres, error);
  bool fine = answer != NULL && PQresultStatus(answer) == PGRES_PIPELINE_SYNC;
  PQclear(answer);
  return fine || (error->fault == OM_SQL_FINE ? om_postgres_fail_away(postgres, error) : false);
}

/* Reads one entry of what is under way, whatever it is. */
static bool read_any(struct om_postgres *postgres, struct om_sql_error *error) {
  struct om_postgres_sent sent = shift(postgres);
  return sent.kind == OM_POSTGRES_SYNC ? read_mark(postgres, error)
                                       : read_own(postgres, sent, error);
}

bool om_postgres_send(struct om_postgres *postgres, const char *text, struct om_sql_error *error) {
  if (PQsendQueryParams(postgres->conn, text, 0, NULL, NULL, NULL, NULL, 0) != 1) {
    return om_postgres_fail_away(postgres, error);
  }
  om_postgres_note(postgres, OM_POSTGRES_OWN, NULL);
  return true;
}

bool om_postgres_sync(struct om_postgres *postgres, struct om_sql_error *error) {
  if (PQpipelineSync(postgres->conn) != 1) {
    return om_postgres_fail_away(postgres, error);
  }
  om_postgres_note(postgres, OM_POSTGRES_SYNC, NULL);
  return true;
}

bool om_postgres_settle(struct om_postgres *postgres, struct om_sql_error *error) {
  if (postgres->sent_count > 0 &&
      postgres->sent[postgres->sent_count - 1].kind != OM_POSTGRES_SYNC) {
    om_postgres_sync(postgres, error); /* else the server keeps its answers to itself */
  }
  while (postgres->sent_count > 0 && !error->broken) {
    read_any(postgres, error);
  }
  return error->fault == OM_SQL_FINE;
}

void om_postgres_drain(struct om_postgres *postgres) {
  struct om_sql_error ignored = {.fault = OM_SQL_FINE};
  om_postgres_settle(postgres, &ignored);
}

/* ---- statements ---- */

static bool full(const struct om_postgres *postgres) {
  return postgres->sent_count + ROOM > OM_POSTGRES_FLIGHT ||
         postgres->sent_bytes > OM_POSTGRES_BYTES;
}

/* Sends from this statement on as much as may go together. False: not even this one. */
static bool send_flight(struct om_postgres *postgres, const struct om_sql_unit *unit, int from,
                        struct om_sql_error *error) {
  struct om_sql_error later = {.fault = OM_SQL_FINE};
  bool first = true;
  postgres->sent_count -= postgres->sent_read;
  memmove(postgres->sent, postgres->sent + postgres->sent_read,
          (size_t)postgres->sent_count * sizeof *postgres->sent);
  postgres->sent_read = 0;
  postgres->sent_bytes = 0;
  while (unit != NULL) {
    for (int i = from; i < unit->statement_count; i++) {
      later.fault = OM_SQL_FINE;
      if (!first && full(postgres)) {
        return om_postgres_sync(postgres, error);
      }
      if (!om_postgres_send_statement(postgres, &unit->statements[i], first ? error : &later)) {
        return !first && om_postgres_sync(postgres, error); /* it is refused when its turn comes */
      }
      first = false;
    }
    from = 0;
    if (postgres->reads && !om_postgres_send(postgres, "ROLLBACK", error)) {
      return false; /* there is nothing to keep */
    }
    unit = postgres->ahead ? (const struct om_sql_unit *)unit->job.next : NULL;
  }
  return om_postgres_sync(postgres, error);
}

static bool changes_rows(const char *tag) {
  return strncmp(tag, "INSERT", 6) == 0 || strncmp(tag, "UPDATE", 6) == 0 ||
         strncmp(tag, "DELETE", 6) == 0 || strncmp(tag, "MERGE", 5) == 0;
}

static int64_t whole_of(const char *digits) {
  int64_t whole = 0;
  for (; *digits >= '0' && *digits <= '9'; digits++) {
    whole = whole * 10 + (*digits - '0');
  }
  return whole;
}

static bool read_rows(struct om_postgres *postgres, struct om_sql_unit *unit,
                      struct om_sql_statement *statement, struct om_sql_error *error) {
  PQsetSingleRowMode(postgres->conn); /* an answer without end must not be kept whole */
  for (PGresult *answer = next_answer(postgres, error); answer != NULL;
       answer = next_answer(postgres, error)) {
    judge(postgres, answer, statement->text, error);
    if (error->fault == OM_SQL_FINE) {
      om_postgres_copy_rows(postgres, unit, statement, answer, error);
      if (changes_rows(PQcmdStatus(answer))) {
        statement->changes = whole_of(PQcmdTuples(answer));
      }
    }
    PQclear(answer);
    if (error->broken) {
      break;
    }
  }
  return error->fault == OM_SQL_FINE;
}

bool om_postgres_run(void *connection, struct om_sql_unit *unit, struct om_sql_statement *statement,
                     struct om_sql_error *error) {
  struct om_postgres *postgres = connection;
  int asked = 0;
  for (int i = postgres->sent_read; i < postgres->sent_count; i++) {
    asked += postgres->sent[i].kind == OM_POSTGRES_RUN;
  }
  if (asked == 0 && !send_flight(postgres, unit, (int)(statement - unit->statements), error)) {
    return false;
  }
  while (postgres->sent[postgres->sent_read].kind != OM_POSTGRES_RUN) {
    if (!read_any(postgres, error)) {
      return false;
    }
  }
  shift(postgres);
  return read_rows(postgres, unit, statement, error);
}
