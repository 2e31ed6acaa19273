/* transfer_epoll.h: the descriptors of libcurl: which epoll watches, and what is known of the
 * connections behind them. Transfer thread only.
 *
 * Lazily: a descriptor stays registered when libcurl stops caring for it. Against an API that is a
 * round trip away that saves two system calls a request, 17 % of the processor time at 256 in
 * flight. It is safe only where we see every open and close; what libcurl opens by itself (its
 * resolver's wake-up) is kept exact.
 *
 * So an idle connection is watched, too: one on which anything happens (an end, an alert, an answer
 * that nobody asked for) is cut, and libcurl finds it dead. libcurl's own look at it takes bytes
 * that lie there for life, and the next request for their question.
 */
#ifndef OM_TRANSFER_EPOLL_H
#define OM_TRANSFER_EPOLL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/epoll.h>

#define OM_WATCH_IN  1u /* as CURL_POLL_IN and CURL_POLL_OUT */
#define OM_WATCH_OUT 2u

struct om_watch;

#define OM_WATCH_LISTS 1024

struct om_watches {
  int epoll_fd;    /* -1: closed */
  int dead_fd;     /* -1: none; the end of a stream whose other end is closed */
  int64_t now_us;  /* when epoll answered last */
  uint64_t opened; /* sockets so far */
  struct om_watch *all;
  size_t room;
  int lists[OM_WATCH_LISTS]; /* of sockets by their local port; [0]: it is not known yet. fd + 1 */
};

/* A connection: a descriptor, and which of all that ever had its number. */
struct om_connection {
  int fd; /* -1: none */
  uint64_t serial;
};

/* How long a server keeps an idle connection, as far as it was seen to close one. */
struct om_patience {
  int64_t idle_us;  /* a connection that was idle for longer is not used; 0: not known */
  int64_t until_us; /* known until then */
};

/* The two ends of a connection, as libcurl tells them. */
struct om_ends {
  const char *remote_ip;
  const char *local_ip;
  int remote_port;
  int local_port;
};

/* False: no descriptor left. */
bool om_watches_open(struct om_watches *watches);
void om_watches_close(struct om_watches *watches);
/* In a forked child, where the thread is not: closes its copies of the descriptors. What the parent
 * has is untouched. */
void om_watches_abandon(struct om_watches *watches);

/* libcurl cares for these events of fd from now on; 0: none. False: no memory. */
bool om_transfer_epoll_want(struct om_watches *watches, int fd, unsigned wanted);
/* A socket was opened for libcurl (-1: it failed), or is about to be closed. */
void om_transfer_epoll_opened(struct om_watches *watches, int fd);
void om_transfer_epoll_closing(struct om_watches *watches, int fd);

/* What of an event concerns libcurl: a set of bits, and *broken for an error or hang-up. Cuts an
 * idle connection, stops watching what nobody wants. */
unsigned om_transfer_epoll_happened(struct om_watches *watches, const struct epoll_event *event,
                                    bool *broken);

/* The connection with these ends; fd -1: none that we know of. */
struct om_connection om_transfer_epoll_find(struct om_watches *watches, const struct om_ends *ends);
/* Whether a request may be written: others are under way on it, or nothing has come in since the
 * last answer, and nothing is about to. silent_at_first: nor may anything have come before the
 * first request. */
bool om_transfer_epoll_is_fit(const struct om_watches *watches, struct om_connection connection,
                              bool silent_at_first);
/* A request is handed to the connection, or is over. The connection may be gone by then. patience
 * is its server's, and outlives it. */
void om_transfer_epoll_begin(struct om_watches *watches, struct om_connection connection,
                             struct om_patience *patience);
void om_transfer_epoll_end(struct om_watches *watches, struct om_connection connection);
/* Whether it is still open, and nothing has come in since. */
bool om_transfer_epoll_is_silent(const struct om_watches *watches, struct om_connection connection,
                                 int64_t since_us);
/* Ends the connection under libcurl: it, and every request that is under way there, finds the end
 * of the stream. */
void om_transfer_epoll_cut(struct om_watches *watches, struct om_connection connection);

#endif
