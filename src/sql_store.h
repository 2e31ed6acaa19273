/* sql_store.h: a store, as its owners (sql.c) and its thread (sql_thread.c) share it. */
#ifndef OM_SQL_STORE_H
#define OM_SQL_STORE_H

#include "sql.h"

#include <pthread.h>
#include <sys/types.h>
#include <time.h>

struct om_sql_store {
  const struct om_sql_driver *driver;
  char *name;
  struct om_sql_store *next; /* the_lock */
  int handles;               /* the_lock */
  pthread_t thread;          /* the_lock, once it has ended */
  bool joined;               /* the_lock */
  pid_t pid;                 /* __atomic: who started the thread; 0: nobody yet */

  pthread_mutex_t lock; /* for all that follows */
  pthread_cond_t wake;  /* the thread */
  pthread_cond_t ended; /* who waits for its end, or for its pause */
  struct om_jobs queue;
  int waiting; /* units in it */
  int want;    /* so many are worth a wake-up */
  int load;    /* units handed in and not yet answered */
  size_t load_bytes;
  bool create;      /* a new handle: a new database may be made */
  bool sleeping;    /* the thread is, and wants a signal */
  bool stop;        /* nothing is taken any more; changes only with the_lock held as well */
  bool over;        /* the database is closed */
  bool pause;       /* the process is about to fork */
  bool paused;      /* the thread has closed the database for it */
  int64_t until_us; /* when stopped: so long may the rest take */
  struct om_sql_stats stats;
};

/* The thread: user is its store. */
void *om_sql_thread(void *user);

static inline struct timespec om_sql_time(int64_t at_us) {
  return (struct timespec){.tv_sec = (time_t)(at_us / 1000000),
                           .tv_nsec = (long)(at_us % 1000000) * 1000};
}

#endif
