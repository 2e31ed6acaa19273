/* sql_store.h: a store, as its owners (sql.c) and its threads (sql_thread.c) share it.
 *
 * A lane is one connection with its thread and its queue. What writes goes through the first lane;
 * what only reads through the second, where the driver's reads can go apart: then no commit waits
 * behind a long read, and no read behind a commit. */
#ifndef OM_SQL_STORE_H
#define OM_SQL_STORE_H

#include "sql.h"

#include <pthread.h>
#include <sys/types.h>
#include <time.h>

enum { OM_SQL_COMMITS, OM_SQL_READS, OM_SQL_LANES };

struct om_sql_lane {
  struct om_sql_store *store;
  pthread_t thread;     /* the_lock, once it is over */
  pthread_cond_t wake;  /* the thread */
  struct om_jobs queue; /* this and all that follows: the store's lock */
  int waiting;          /* units in it */
  int want;             /* so many are worth a wake-up */
  int load;             /* units handed in and not yet answered */
  bool started;         /* the thread was, by the store's process */
  bool sleeping;        /* the thread is, and wants a signal */
  bool over;            /* the connection is closed, and the thread ends */
  bool paused;          /* the connection is closed for a fork */
  int breaks;           /* of the store, as of this connection */
  bool connected;       /* thread: this round has a connection */
  struct om_sql_stats stats;
};

struct om_sql_store {
  const struct om_sql_driver *driver;
  char *name;
  struct om_sql_store *next; /* the_lock */
  int handles;               /* the_lock */
  bool joined;               /* the_lock */
  pid_t pid;                 /* __atomic: who started the first thread; 0: nobody yet */

  pthread_mutex_t lock; /* for all that follows, and for the lanes */
  pthread_cond_t ended; /* who waits for the end of a thread, or for its pause */
  struct om_sql_lane lanes[OM_SQL_LANES];
  int load; /* of all lanes together */
  size_t load_bytes;
  bool create; /* there is no database yet, and one may be made */
  int breaks;  /* connections that were found broken: the others are not to be trusted either */
  bool stop;   /* nothing is taken any more; changes only with the_lock held as well */
  bool pause;  /* the process is about to fork */
  int64_t until_us; /* when stopped: so long may the rest take */
};

/* A thread: user is its lane. */
void *om_sql_thread(void *user);

static inline struct timespec om_sql_time(int64_t at_us) {
  return (struct timespec){.tv_sec = (time_t)(at_us / 1000000),
                           .tv_nsec = (long)(at_us % 1000000) * 1000};
}

#endif
