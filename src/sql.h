/* sql.h: the database threads, and what a driver has to offer them. No Lua here, and no SQLite.
 *
 * A unit is a list of statements that succeeds or fails as a whole. Every distinct database of a
 * process has one store: a thread, started at the first unit, that takes all waiting units into one
 * transaction, a savepoint each, commits once, and only then sends the answers home. Units that
 * only read take no part in that: each is answered from its own snapshot, on a second thread with a
 * connection of its own where the driver allows that (reads_apart), else before the others.
 *
 * Ownership: a unit is a job (port.h). Its arena, which holds texts, values and rows, goes with it.
 * The owner fills it, the store's thread has it from submit to delivery, then the owner again.
 */
#ifndef OM_SQL_H
#define OM_SQL_H

#include "port.h"

#define OM_SQL_MAX_STATEMENTS   4000        /* a unit: ten for each of 400 confirmations */
#define OM_SQL_MAX_VALUES       1000        /* a statement; PostgreSQL's own limit is 65,535 */
#define OM_SQL_MAX_UNIT_BYTES   (16u << 20) /* texts and values of one unit */
#define OM_SQL_MAX_ROWS         100000      /* a unit's answer: more belongs in pages */
#define OM_SQL_MAX_ANSWER_BYTES (64u << 20) /* a unit's answer, as it lies in memory */
#define OM_SQL_QUEUE_MAX        4096        /* units handed in and not yet answered */
#define OM_SQL_QUEUE_MAX_BYTES  (64u << 20) /* the same, by their size */
#define OM_SQL_BATCH_MAX        256         /* units a commit: beyond, the rate gains little */
#define OM_SQL_STOP_MS          5000        /* what is queued at close or exit may take so long */
#define OM_SQL_STOP_GRACE_MS    1000 /* and the statement under way, and the closing, so long */
#define OM_SQL_FORK_MS          2000 /* a fork waits so long for the statement that runs */
#define OM_SQL_QUIET_MS         20   /* so long without work is a good time for upkeep */
#define OM_SQL_TEXT_BYTES       320  /* a sentence */

enum om_sql_type { OM_SQL_NULL, OM_SQL_WHOLE, OM_SQL_REAL, OM_SQL_BYTES };

struct om_sql_value {
  enum om_sql_type type;
  union {
    int64_t whole;
    double real;
    struct {
      const char *at;
      size_t len;
    } bytes;
  } as;
};

struct om_sql_row {
  struct om_sql_row *next;
  struct om_sql_value values[]; /* as many as the statement has columns */
};

struct om_sql_statement {
  const char *text; /* NUL-terminated */
  size_t text_len;
  const struct om_sql_value *values; /* for $1, $2 … */
  int value_count;
  int64_t expect; /* rows it must change or return; -1: any number */
  /* What the driver fills in. */
  int column_count; /* 0: it returns no rows */
  const char **columns;
  struct om_sql_row *rows;
  struct om_sql_row **tail; /* NULL: none yet */
  int64_t row_count;
  int64_t changes;
};

enum om_sql_fault {
  OM_SQL_FINE = 0,
  OM_SQL_CONFLICT,  /* a constraint said no */
  OM_SQL_EXPECT,    /* another number of rows than the statement expects */
  OM_SQL_STATEMENT, /* the statement itself is wrong, or not allowed in a unit */
  OM_SQL_LIMIT,     /* the answer is larger than the limits above */
  OM_SQL_BUSY,      /* another process holds the lock: worth another try */
  OM_SQL_AWAY,      /* no connection to the server, or none any more: worth another try */
  OM_SQL_FULL,      /* no space */
  OM_SQL_READONLY,  /* no permission, or a read-only disk */
  OM_SQL_MOVED,     /* the database is no longer where it was */
  OM_SQL_CORRUPT,   /* damaged, or no database at all */
  OM_SQL_IO,        /* the disk or the connection failed */
  OM_SQL_MEMORY,
  OM_SQL_CONFIG, /* the target cannot be right */
  OM_SQL_QUEUE,  /* the store's queue is full */
  OM_SQL_CLOSED  /* cancelled, or the store or the process ended first */
};

struct om_sql_error {
  enum om_sql_fault fault;
  int code;      /* the database's own; 0: none */
  char state[6]; /* the same where it is a word: an SQLSTATE; "": none */
  bool lost;     /* the transaction is gone, with everything in it */
  bool open;     /* of a commit: it may have been stored all the same, or be one day */
  bool broken;   /* the connection is of no more use: close it and open another */
  char text[OM_SQL_TEXT_BYTES];
};

struct om_sql_store;
struct om_sql_chunk;

struct om_sql_unit {
  struct om_job job; /* first */
  struct om_sql_store *store;
  struct om_sql_chunk *arena;
  struct om_sql_chunk *kept; /* the arena as the owner left it: an attempt starts from here */
  size_t kept_used;
  size_t bytes; /* of the arena: what the owner put in */
  size_t answer_bytes;
  int answer_rows;
  struct om_sql_statement *statements;
  int statement_count;
  int failed;          /* the statement, from 1, that error is about; 0: none of them */
  bool reads;          /* takes no write lock */
  bool alone;          /* thread: not to share a transaction, after a batch was lost */
  int cancelled;       /* __atomic */
  int64_t patience_us; /* how long it waits for another process's lock */
  int64_t deadline_us; /* thread: the same as a time */
  struct om_sql_error error;
};

/* A driver: all but check on the thread that opened the connection. False: *error says why. */
struct om_sql_driver {
  const char *engine; /* its name in one word */
  int batch;          /* units a transaction, OM_SQL_BATCH_MAX at most */
  bool rotate;        /* locks are of rows: who waits for one lets those behind it go first */
  /* A second connection reads while the first one commits, and sees all that it has acknowledged.
   * It gets units that read only. */
  bool reads_apart;
  /* Owner's thread, no waiting, nothing opened: can what stands behind the scheme be right? Writes
   * the name by which two targets are known to be one database, to be freed by the caller; NULL:
   * *error. */
  char *(*check)(const char *target, bool *exists, struct om_sql_error *error);
  /* Owner's thread: the name as people may see it. */
  void (*show)(const char *name, char *buffer, size_t size);
  /* create: a database that does not exist may be made. NULL: *error. */
  void *(*open)(const char *name, bool create, struct om_sql_error *error);
  /* briefly: it is to be opened again at once. */
  void (*close)(void *connection, bool briefly);
  bool (*begin)(void *connection, bool reads, struct om_sql_error *error);
  /* NULL: of no use. Behind begin or savepoint. on: until rollback, the units linked behind the
   * one that runs come next, so what they ask may be sent along with it. */
  void (*ahead)(void *connection, bool on);
  /* Savepoints do not nest: one a unit, ended by release or by undo. */
  bool (*savepoint)(void *connection, struct om_sql_error *error);
  bool (*run)(void *connection, struct om_sql_unit *unit, struct om_sql_statement *statement,
              struct om_sql_error *error);
  bool (*release)(void *connection, struct om_sql_error *error);
  bool (*undo)(void *connection, struct om_sql_error *error);
  /* True: durable, and still where others will look for it. False: nothing of it is to be
   * acknowledged; rollback is still to be called. Unless error->open, nothing was stored. */
  bool (*commit)(void *connection, struct om_sql_error *error);
  void (*rollback)(void *connection);
  /* Upkeep between two batches (quiet: and nobody waits). True: a quiet call would be useful. */
  bool (*idle)(void *connection, bool quiet);
};

extern const struct om_sql_driver om_sql_sqlite;
extern const struct om_sql_driver om_sql_postgres; /* with OM_POSTGRES */

/* Which scheme is whose. driver NULL: it was not built in, and `missing` says what to do. */
struct om_sql_scheme {
  const char *scheme; /* what stands before the target: "sqlite:" */
  const struct om_sql_driver *driver;
  const char *missing;
};

/* sql_drivers.c. Ends with a scheme of NULL. */
extern const struct om_sql_scheme om_sql_drivers[];
/* Any thread. The target's scheme; NULL: *error. */
const struct om_sql_scheme *om_sql_scheme_of(const char *target, struct om_sql_error *error);

struct om_sql_stats {
  int64_t units, reads, failed, commits, largest_batch, busy, upkeep, opened, queued;
};

/* Owner. The store of this database in this process, made when there is none; one handle more.
 * No thread yet. name as from check; create: a database that is missing may be made. NULL: *error.
 */
struct om_sql_store *om_sql_attach(const struct om_sql_driver *driver, const char *name,
                                   bool create, struct om_sql_error *error);
/* Owner. One handle less: the last one ends the thread, once all that is queued is answered.
 * wait: until the database is closed, OM_SQL_STOP_MS at most. */
void om_sql_detach(struct om_sql_store *store, bool wait);
/* Owner. Was the thread started by another process (we are in a forked child)? */
bool om_sql_foreign(const struct om_sql_store *store);
void om_sql_read_stats(struct om_sql_store *store, struct om_sql_stats *stats);

/* Owner. A unit without statements, with the caller's reference. NULL: no memory. */
struct om_sql_unit *om_sql_unit_new(struct om_sql_store *store, struct om_port *port);
/* Whoever has the unit: aligned memory that lives as long as the unit. NULL: no memory. */
void *om_sql_alloc(struct om_sql_unit *unit, size_t size);
/* Owner, when all statements are in: what is allocated from here on belongs to one attempt. */
void om_sql_unit_keep(struct om_sql_unit *unit);
/* Thread: forgets the last attempt, its rows and its error. */
void om_sql_unit_rewind(struct om_sql_unit *unit);
/* Owner: as struct om_work wants them. A refusal leaves its reason in the unit as well. */
enum om_submitted om_sql_submit(struct om_job *job);
void om_sql_cancel(struct om_job *job);

/* Fills *error; text is cut at OM_SQL_TEXT_BYTES. Returns false, for the caller to return. */
bool om_sql_fail(struct om_sql_error *error, enum om_sql_fault fault, int code, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));
/* Pure. Begins the text with SELECT or VALUES, after blanks and comments? */
bool om_sql_only_reads(const char *text);
/* Pure. Where the text's first word begins, behind blanks, comments and brackets. */
const char *om_sql_first_word(const char *text);
/* Pure. Does this word stand there, in any case of its letters? */
bool om_sql_is_word(const char *text, const char *word);
/* Pure. FNV-1a. */
uint64_t om_sql_hash(const char *text, size_t length);
/* Pure. The highest $n of the text, outside quotes and comments. */
int om_sql_placeholders(const char *text);

#endif
