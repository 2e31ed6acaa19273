/* transfer_thread.h: what the owners of transfers and the transfer thread share. Private to
 * transfer.c and transfer_thread.c; one a process.
 */
#ifndef OM_TRANSFER_THREAD_H
#define OM_TRANSFER_THREAD_H

#include "transfer_easy.h"
#include "transfer_queue.h"

#include <pthread.h>
#include <sys/types.h>

struct om_engine {
  pthread_mutex_t lock;
  pthread_cond_t changed; /* `over` or `paused` */
  pthread_cond_t resumed;
  struct om_jobs inbox; /* lock */
  bool sleeping;        /* lock */
  bool cancelling;      /* lock */
  bool stop;            /* lock */
  bool over;            /* lock: the thread is done */
  bool pausing;         /* lock: a fork wants the thread to stand still */
  bool paused;          /* lock: it does */
  int load;             /* __atomic: transfers under way */
  int urgent;           /* __atomic: stop or pausing */
  pid_t pid;
  pthread_t thread;
  int wake_fd;
  bool announced;   /* that it may sleep now: who submits something wakes it */
  int64_t timer_us; /* the earliest of the hosts'; INT64_MAX: none */
  int64_t due_us;   /* no transfer's time is over before; INT64_MAX: there is none */
  int late_rounds;  /* since it passed */
  struct om_watches watches;
  struct om_easy_hooks hooks;
  struct om_easy *idle;
  int idle_count;
  struct om_transfer *newest; /* the ones libcurl has */
  struct om_queue queue;      /* the ones it has not got yet, and the hosts of all */
  struct om_jobs finished;
};

/* Before the thread starts: epoll, on a zeroed engine whose wake_fd is set. False: no descriptor.
 */
bool om_transfer_thread_open(struct om_engine *engine);
/* After it was joined, or when it could not be started. Frees the engine. */
void om_transfer_thread_close(struct om_engine *engine);
/* The thread. user: the engine. */
void *om_transfer_thread_main(void *user);

#endif
