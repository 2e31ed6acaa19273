/* sql_postgres.h: what the files of the PostgreSQL driver share. The store's thread only. */
#ifndef OM_SQL_POSTGRES_H
#define OM_SQL_POSTGRES_H

#include "sql.h"

#include <libpq-fe.h>
#include <locale.h>

#define OM_POSTGRES_CACHED    256          /* prepared statements of a connection */
#define OM_POSTGRES_FLIGHT    2048         /* commands under way at once */
#define OM_POSTGRES_BYTES     (256 * 1024) /* of texts and values: beyond, what follows waits */
#define OM_POSTGRES_SILENT_MS 60000        /* a server that says nothing for so long is away */
#define OM_POSTGRES_LOCK_MS   100          /* waits so long for a row's lock, then lets others go */

struct om_postgres_prepared;

/* What was sent and is still to be answered, in this order. */
enum om_postgres_kind { OM_POSTGRES_OWN, OM_POSTGRES_PREPARE, OM_POSTGRES_RUN, OM_POSTGRES_SYNC };

struct om_postgres_sent {
  enum om_postgres_kind kind;
  struct om_postgres_prepared *prepared; /* of PREPARE */
};

struct om_postgres {
  PGconn *conn;
  locale_t numbers; /* "C": numbers as the server writes them */
  bool pooled;      /* between us and the server is somebody who may change servers: no names */
  bool reads;       /* inside begin(reads) */
  bool ahead;       /* what follows the unit that runs may be sent with it */
  bool committing;  /* what fails now may have been stored */
  bool warned;      /* while committing: it may not be where it should be */
  bool dead;        /* of no more use, though there may be more to read */
  PGresult *own;    /* the last answer to a command of ours */
  struct om_postgres_prepared *cache[OM_POSTGRES_CACHED];
  uint64_t clock; /* of the cache */
  unsigned names; /* given so far */
  int sent_count;
  int sent_read;
  size_t sent_bytes;
  struct om_postgres_sent sent[OM_POSTGRES_FLIGHT];
  char shown[OM_SQL_TEXT_BYTES / 2]; /* the name without its secrets */
};

/* sql_postgres_target.c: the driver's `check` and `show`. */
char *om_postgres_check(const char *target, bool *exists, struct om_sql_error *error);
void om_postgres_show(const char *name, char *buffer, size_t size);

/* sql_postgres_error.c: *error for an answer that is one; text: of the statement, NULL for a
 * command of ours. Returns false. */
bool om_postgres_fail(struct om_postgres *postgres, const PGresult *result, const char *text,
                      struct om_sql_error *error);
/* The same when there is no answer, and will be none. */
bool om_postgres_fail_away(struct om_postgres *postgres, struct om_sql_error *error);
/* A server's or libpq's sentence in one line, without its end of line. */
void om_postgres_one_line(char *buffer, size_t size, const char *text);

/* sql_postgres_flight.c. A command of ours goes into the next flight: nothing is waited for. */
bool om_postgres_send(struct om_postgres *postgres, const char *text, struct om_sql_error *error);
/* Ends a flight and sends it. */
bool om_postgres_sync(struct om_postgres *postgres, struct om_sql_error *error);
/* Reads all that is under way. False: one of our own commands failed, or the connection. */
bool om_postgres_settle(struct om_postgres *postgres, struct om_sql_error *error);
/* The same, whatever it says. */
void om_postgres_drain(struct om_postgres *postgres);
/* The driver's `run`. */
bool om_postgres_run(void *connection, struct om_sql_unit *unit, struct om_sql_statement *statement,
                     struct om_sql_error *error);

/* sql_postgres_prepared.c: sends a statement with its values; what is under way grows by one or
 * two. False: *error; nothing was sent. */
bool om_postgres_send_statement(struct om_postgres *postgres,
                                const struct om_sql_statement *statement,
                                struct om_sql_error *error);
/* The statement was prepared, or was not. */
void om_postgres_settle_prepared(struct om_postgres *postgres,
                                 struct om_postgres_prepared *prepared, bool fine);
void om_postgres_forget_all(struct om_postgres *postgres);

/* sql_postgres_rows.c: this answer's rows into the unit. Returns false. */
bool om_postgres_copy_rows(struct om_postgres *postgres, struct om_sql_unit *unit,
                           struct om_sql_statement *statement, const PGresult *result,
                           struct om_sql_error *error);

static inline void om_postgres_note(struct om_postgres *postgres, enum om_postgres_kind kind,
                                    struct om_postgres_prepared *prepared) {
  postgres->sent[postgres->sent_count++] = (struct om_postgres_sent){kind, prepared};
}

#endif
