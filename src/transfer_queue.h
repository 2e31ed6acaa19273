/* transfer_queue.h: the transfers that libcurl has not got yet, a queue a host, and whose turn it
 * is.
 *
 * One host that hangs must hold up no other. So each has a queue here, is given no more transfers
 * at a time than it has connections or streams for, and has a libcurl of its own (`multi`): libcurl
 * keeps one list of all transfers that wait for a connection, and wakes the oldest when one ends,
 * whatever its host. Bookkeeping only, no call of libcurl. Transfer thread only.
 */
#ifndef OM_TRANSFER_QUEUE_H
#define OM_TRANSFER_QUEUE_H

#include "jobs.h"
#include "transfer_epoll.h"

#include <curl/curl.h>

#define OM_HOSTS_KEPT                                                                              \
  16 /* hosts of whom nobody wants anything now, with their idle connections                       \
      */

/* What a host's answers showed. */
enum om_host_speaks { OM_SPEAKS_UNKNOWN, OM_SPEAKS_HTTP1, OM_SPEAKS_HTTP2 };

struct om_host {
  struct om_host *next; /* all hosts, in a ring */
  char *peer;           /* struct om_endpoint's */
  struct om_jobs waiting;
  int carried;        /* transfers that libcurl has */
  long connections;   /* as many as the most generous of its channels allows */
  bool may_multiplex; /* one of its channels would use HTTP/2 */
  enum om_host_speaks speaks;
  uint64_t used; /* when it got its last transfer, in the queue's count */

  struct om_patience patience; /* the handles' and transfer_epoll.c's */
  /* the engine's */
  void *engine;
  CURLM *multi;
  int64_t timer_us; /* libcurl's; INT64_MAX: none */
};

struct om_queue {
  struct om_host *turn; /* in the ring; NULL: no host */
  int hosts;
  int carried;
  int carried_max;
  int share;   /* so many may be carried for each host, whatever there is for others */
  int streams; /* at once to a host of which is not known yet whether it speaks HTTP/2 */
  uint64_t used;
  struct om_host **owners; /* by descriptor */
  size_t owners_size;
};

/* On a zeroed queue. */
void om_queue_init(struct om_queue *queue, int carried_max, int share, int streams);
/* Frees what is the queue's own; its hosts went before, by om_queue_remove. */
void om_queue_close(struct om_queue *queue);

/* The host of a peer, or NULL: there is none yet. */
struct om_host *om_queue_find(const struct om_queue *queue, const char *peer);
/* A new one; NULL: no memory. */
struct om_host *om_queue_add(struct om_queue *queue, const char *peer);
/* Takes a host that carries nothing out of the ring and frees it. */
void om_queue_remove(struct om_queue *queue, struct om_host *host);
/* The host to remove when there are more than OM_HOSTS_KEPT that nobody uses: the one that was idle
 * for the longest. NULL: none. */
struct om_host *om_queue_spare(const struct om_queue *queue);

/* Puts a transfer to the end of the host's queue. */
void om_queue_put(struct om_queue *queue, struct om_host *host, struct om_job *job);
/* Takes out the transfer whose turn it is, the hosts in turn; NULL: none may begin. */
struct om_job *om_queue_take(struct om_queue *queue);
bool om_queue_may_take(const struct om_queue *queue);
/* libcurl was given a transfer of the host's, or gave one back. */
void om_queue_began(struct om_queue *queue, struct om_host *host);
void om_queue_ended(struct om_queue *queue, struct om_host *host);

/* Notes whose libcurl a descriptor belongs to. False: no memory. */
bool om_queue_own(struct om_queue *queue, int fd, struct om_host *host);
struct om_host *om_queue_owner(const struct om_queue *queue, int fd);

#endif
