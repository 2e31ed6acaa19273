/* watch.h: which descriptors epoll watches for libcurl. Transfer thread only.
 *
 * Lazily: a descriptor stays registered when libcurl stops caring for it, and goes only when an
 * event arrives that nobody wants. Against an API that is a round trip away that saves two system
 * calls a request, 17 % of the processor time at 256 in flight (MEASURED.md). It is safe only where
 * we see every open and close; what libcurl opens by itself (its resolver's wake-up) is kept exact.
 */
#ifndef OM_WATCH_H
#define OM_WATCH_H

#include <stdbool.h>
#include <stddef.h>

#include <sys/epoll.h>

#define OM_WATCH_IN  1u /* as CURL_POLL_IN and CURL_POLL_OUT */
#define OM_WATCH_OUT 2u

struct om_watch;

struct om_watches {
  int epoll_fd; /* -1: closed */
  struct om_watch *all;
  size_t room;
};

/* False: no descriptor left. */
bool om_watches_open(struct om_watches *watches);
void om_watches_close(struct om_watches *watches);

/* libcurl cares for these events of fd from now on; 0: none. False: no memory. */
bool om_watch_want(struct om_watches *watches, int fd, unsigned wanted);
/* A socket was opened for libcurl (-1: it failed), or is about to be closed. */
void om_watch_opened(struct om_watches *watches, int fd);
void om_watch_closing(struct om_watches *watches, int fd);

/* What of an event concerns libcurl: a set of bits, and *broken for an error or hang-up. Stops
 * watching what nobody wants. */
unsigned om_watch_happened(struct om_watches *watches, const struct epoll_event *event,
                           bool *broken);

#endif
