/* transfer_epoll.c: see transfer_epoll.h. */
#include "transfer_epoll.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST_ROOM 64
/* What a server closes sooner it closes for another reason; and what it does may change. */
#define PATIENCE_MIN_US 500000
#define PATIENCE_FOR_US INT64_C(600000000)

struct om_watch {
  unsigned registered : 8; /* with epoll */
  unsigned wanted : 8;     /* by libcurl */
  unsigned ours : 1;       /* opened and closed through our callbacks: laziness is safe */
  int under_way;           /* requests; more than one over HTTP/2 */
  uint64_t serial;
  int64_t heard_us;             /* when something came in last */
  int64_t idle_us;              /* since when nothing is under way */
  struct om_patience *patience; /* NULL: no request was written to it yet */
  int next;                     /* in the list: its fd + 1; 0: none */
  int local_port;               /* 0: not known yet */
  int remote_port;              /* 0: not known yet; then the addresses are not, either */
  char local_ip[INET6_ADDRSTRLEN];
  char remote_ip[INET6_ADDRSTRLEN];
};

bool om_watches_open(struct om_watches *watches) {
  int pair[2];
  watches->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (watches->epoll_fd < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    return false;
  }
  close(pair[1]);
  watches->dead_fd = pair[0];
  return true;
}

void om_watches_close(struct om_watches *watches) {
  if (watches->epoll_fd >= 0) {
    close(watches->epoll_fd);
  }
  if (watches->dead_fd >= 0) {
    close(watches->dead_fd);
  }
  free(watches->all);
}

void om_watches_abandon(struct om_watches *watches) {
  for (size_t fd = 0; fd < watches->room; fd++) {
    if (watches->all[fd].ours) {
      close((int)fd);
    }
  }
  om_watches_close(watches);
  memset(watches, 0, sizeof *watches);
  watches->epoll_fd = watches->dead_fd = -1;
}

/* NULL: no memory. */
static struct om_watch *watch_of(struct om_watches *watches, int fd) {
  size_t index = (size_t)fd;
  if (index >= watches->room) {
    size_t room = watches->room != 0 ? watches->room : FIRST_ROOM;
    while (room <= index) {
      room *= 2;
    }
    struct om_watch *grown = realloc(watches->all, room * sizeof *grown);
    if (grown == NULL) {
      return NULL;
    }
    memset(grown + watches->room, 0, (room - watches->room) * sizeof *grown);
    watches->all = grown;
    watches->room = room;
  }
  return &watches->all[index];
}

/* NULL: it is closed. */
static struct om_watch *open_one(const struct om_watches *watches,
                                 struct om_connection connection) {
  if (connection.fd < 0 || (size_t)connection.fd >= watches->room) {
    return NULL;
  }
  struct om_watch *entry = &watches->all[connection.fd];
  return entry->ours && entry->serial == connection.serial ? entry : NULL;
}

/* ---- epoll ---- */

static void watch(struct om_watches *watches, int fd, struct om_watch *entry, unsigned wanted) {
  struct epoll_event event = {.data = {.fd = fd}};
  event.events = ((wanted & OM_WATCH_IN) != 0 ? (uint32_t)EPOLLIN : 0) |
                 ((wanted & OM_WATCH_OUT) != 0 ? (uint32_t)EPOLLOUT : 0);
  int operation = wanted == 0              ? EPOLL_CTL_DEL
                  : entry->registered == 0 ? EPOLL_CTL_ADD
                                           : EPOLL_CTL_MOD;
  if (epoll_ctl(watches->epoll_fd, operation, fd, &event) != 0 && wanted != 0) {
    /* Our note was wrong (a descriptor closed behind our back and opened again): the other way. */
    operation = operation == EPOLL_CTL_ADD ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    epoll_ctl(watches->epoll_fd, operation, fd, &event);
  }
  entry->registered = wanted & (OM_WATCH_IN | OM_WATCH_OUT);
}

bool om_transfer_epoll_want(struct om_watches *watches, int fd, unsigned wanted) {
  struct om_watch *entry = watch_of(watches, fd);
  if (entry == NULL) {
    return false;
  }
  entry->wanted = wanted & (OM_WATCH_IN | OM_WATCH_OUT);
  bool enough = (entry->registered & wanted) == wanted;
  if (!enough || (!entry->ours && entry->registered != wanted)) {
    watch(watches, fd, entry, wanted);
  }
  return true;
}

/* Not left to close(): a forked child may have the socket as well, and epoll goes on to report it
 * then, with nobody able to stop it. */
static void unwatch(struct om_watches *watches, int fd, struct om_watch *entry) {
  if (entry->registered != 0) {
    watch(watches, fd, entry, 0);
  }
}

/* The server closed an idle connection, or is about to. A request that is on its way at that moment
 * is lost, so the next ones keep away from it. */
static void learn_patience(struct om_patience *patience, int64_t idle_us, int64_t now_us) {
  int64_t safe_us = idle_us / 4 * 3;
  if (idle_us < PATIENCE_MIN_US) {
    return;
  }
  if (patience->idle_us == 0 || safe_us < patience->idle_us || patience->until_us < now_us) {
    patience->idle_us = safe_us;
  }
  patience->until_us = now_us + PATIENCE_FOR_US;
}

unsigned om_transfer_epoll_happened(struct om_watches *watches, const struct epoll_event *event,
                                    bool *broken) {
  int fd = event->data.fd;
  struct om_watch *entry = watch_of(watches, fd);
  unsigned happened = ((event->events & (uint32_t)EPOLLIN) != 0 ? OM_WATCH_IN : 0) |
                      ((event->events & (uint32_t)EPOLLOUT) != 0 ? OM_WATCH_OUT : 0);
  bool ended = (event->events & (uint32_t)(EPOLLERR | EPOLLHUP)) != 0;
  *broken = false;
  if (entry == NULL || entry->registered == 0) {
    return 0;
  }
  if (entry->wanted != 0) {
    if ((happened & OM_WATCH_IN) != 0) {
      entry->heard_us = watches->now_us;
    }
    if ((happened & ~(unsigned)entry->wanted) != 0) {
      watch(watches, fd, entry, entry->wanted);
    }
    *broken = ended;
    return happened;
  }
  if (entry->patience == NULL) {
    unwatch(watches, fd, entry);
  } else if (entry->under_way == 0 && (ended || (happened & OM_WATCH_IN) != 0)) {
    learn_patience(entry->patience, watches->now_us - entry->idle_us, watches->now_us);
    om_transfer_epoll_cut(watches, (struct om_connection){fd, entry->serial});
  } else if (entry->registered != OM_WATCH_IN) {
    watch(watches, fd, entry, OM_WATCH_IN);
  } /* else its answer was read in this round; what came after it epoll says again */
  return 0;
}

/* ---- connections ---- */

/* Where the list begins that a local port belongs to; 0: not known yet. */
static int *list_of(struct om_watches *watches, int local_port) {
  return &watches->lists[local_port == 0 ? 0 : 1 + local_port % (OM_WATCH_LISTS - 1)];
}

static void link_entry(struct om_watches *watches, int fd, struct om_watch *entry) {
  int *head = list_of(watches, entry->local_port);
  entry->next = *head;
  *head = fd + 1;
}

static void unlink_entry(struct om_watches *watches, int fd, struct om_watch *entry) {
  int *link = list_of(watches, entry->local_port);
  while (*link != 0 && *link != fd + 1) {
    link = &watches->all[*link - 1].next;
  }
  if (*link != 0) {
    *link = entry->next;
  }
}

void om_transfer_epoll_opened(struct om_watches *watches, int fd) {
  struct om_watch *entry = fd >= 0 ? watch_of(watches, fd) : NULL;
  if (entry != NULL) {
    if (entry->ours) { /* closed behind our back */
      unlink_entry(watches, fd, entry);
    }
    memset(entry, 0, sizeof *entry);
    entry->ours = 1;
    entry->serial = ++watches->opened;
    link_entry(watches, fd, entry);
  }
}

void om_transfer_epoll_closing(struct om_watches *watches, int fd) {
  if ((size_t)fd < watches->room && watches->all[fd].ours) {
    unwatch(watches, fd, &watches->all[fd]);
    unlink_entry(watches, fd, &watches->all[fd]);
    memset(&watches->all[fd], 0, sizeof watches->all[fd]);
  }
}

/* Writes one end of a socket as libcurl writes it. Returns the port; 0: it has none yet. */
static int read_end(int fd, int (*get)(int, struct sockaddr *, socklen_t *), char *ip) {
  union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
  } end;
  socklen_t size = sizeof end;
  memset(&end, 0, sizeof end);
  if (get(fd, &end.any, &size) != 0) {
    return 0;
  }
  bool is_v6 = end.any.sa_family == AF_INET6;
  const void *in = is_v6 ? (const void *)&end.v6.sin6_addr : (const void *)&end.v4.sin_addr;
  if (inet_ntop(is_v6 ? AF_INET6 : AF_INET, in, ip, INET6_ADDRSTRLEN) == NULL) {
    return 0;
  }
  return ntohs(is_v6 ? end.v6.sin6_port : end.v4.sin_port);
}

/* A socket gets its local end when it begins to connect: sorts in those that got it meanwhile. */
static void learn_local_ends(struct om_watches *watches) {
  int *link = list_of(watches, 0);
  while (*link != 0) {
    int fd = *link - 1;
    struct om_watch *entry = &watches->all[fd];
    int port = read_end(fd, getsockname, entry->local_ip);
    if (port == 0) {
      link = &entry->next;
    } else {
      *link = entry->next;
      entry->local_port = port;
      link_entry(watches, fd, entry);
    }
  }
}

/* How many ends of a connection are those; the remote port counts least: with a proxy libcurl may
 * tell another. */
static int matching(struct om_watch *entry, int fd, const struct om_ends *ends) {
  if (entry->local_port != ends->local_port || strcmp(entry->local_ip, ends->local_ip) != 0) {
    return 0;
  }
  if (entry->remote_port == 0) {
    entry->remote_port = read_end(fd, getpeername, entry->remote_ip);
  }
  if (entry->remote_port == 0 || strcmp(entry->remote_ip, ends->remote_ip) != 0) {
    return 0;
  }
  return entry->remote_port == ends->remote_port ? 2 : 1;
}

static struct om_connection find(struct om_watches *watches, const struct om_ends *ends) {
  struct om_connection best = {-1, 0};
  int most = 0;
  for (int at = *list_of(watches, ends->local_port); at != 0; at = watches->all[at - 1].next) {
    struct om_watch *entry = &watches->all[at - 1];
    int found = matching(entry, at - 1, ends);
    if (found > most) {
      most = found;
      best = (struct om_connection){at - 1, entry->serial};
    } else if (found != 0 && found == most) {
      best.fd = -1; /* one of two: no knowing which */
    }
  }
  return best;
}

struct om_connection om_transfer_epoll_find(struct om_watches *watches,
                                            const struct om_ends *ends) {
  struct om_connection connection = {-1, 0};
  if (ends->local_port > 0) {
    connection = find(watches, ends);
    if (connection.fd < 0) {
      learn_local_ends(watches);
      connection = find(watches, ends);
    }
  }
  return connection;
}

bool om_transfer_epoll_is_fit(const struct om_watches *watches, struct om_connection connection,
                              bool silent_at_first) {
  const struct om_watch *entry = open_one(watches, connection);
  char byte;
  if (entry == NULL) {
    return false;
  }
  if (entry->under_way > 0 || (entry->patience == NULL && !silent_at_first)) {
    return true;
  }
  if (entry->patience != NULL && entry->patience->idle_us != 0 &&
      watches->now_us < entry->patience->until_us &&
      watches->now_us - entry->idle_us > entry->patience->idle_us) {
    return false;
  }
  return recv(connection.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
         (errno == EAGAIN || errno == EWOULDBLOCK);
}

void om_transfer_epoll_begin(struct om_watches *watches, struct om_connection connection,
                             struct om_patience *patience) {
  struct om_watch *entry = open_one(watches, connection);
  if (entry != NULL) {
    entry->patience = patience;
    entry->under_way++;
  }
}

void om_transfer_epoll_end(struct om_watches *watches, struct om_connection connection) {
  struct om_watch *entry = open_one(watches, connection);
  if (entry != NULL) {
    entry->under_way--;
    entry->idle_us = watches->now_us;
  }
}

bool om_transfer_epoll_is_silent(const struct om_watches *watches, struct om_connection connection,
                                 int64_t since_us) {
  const struct om_watch *entry = open_one(watches, connection);
  return entry != NULL && entry->heard_us <= since_us;
}

void om_transfer_epoll_cut(struct om_watches *watches, struct om_connection connection) {
  struct om_watch *entry = open_one(watches, connection);
  if (entry == NULL) {
    return;
  }
  /* Not shutdown(): what lies there unread would be read all the same. */
  unwatch(watches, connection.fd, entry);
  unlink_entry(watches, connection.fd, entry); /* its local port may be another's at once */
  if (dup2(watches->dead_fd, connection.fd) < 0) {
    return;
  }
  fcntl(connection.fd, F_SETFD, FD_CLOEXEC);
  if (entry->wanted != 0) {
    watch(watches, connection.fd, entry, entry->wanted);
  }
}
