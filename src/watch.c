/* watch.c: see watch.h. */
#include "watch.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_ROOM 64

struct om_watch {
  unsigned registered : 8; /* with epoll */
  unsigned wanted : 8;     /* by libcurl */
  unsigned ours : 1;       /* opened and closed through our callbacks: laziness is safe */
};

bool om_watches_open(struct om_watches *watches) {
  watches->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  return watches->epoll_fd >= 0;
}

void om_watches_close(struct om_watches *watches) {
  if (watches->epoll_fd >= 0) {
    close(watches->epoll_fd);
  }
  free(watches->all);
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

bool om_watch_want(struct om_watches *watches, int fd, unsigned wanted) {
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

void om_watch_opened(struct om_watches *watches, int fd) {
  struct om_watch *entry = fd >= 0 ? watch_of(watches, fd) : NULL;
  if (entry != NULL) {
    memset(entry, 0, sizeof *entry);
    entry->ours = 1;
  }
}

void om_watch_closing(struct om_watches *watches, int fd) {
  if ((size_t)fd < watches->room) {
    memset(&watches->all[fd], 0, sizeof watches->all[fd]); /* close() leaves epoll by itself */
  }
}

unsigned om_watch_happened(struct om_watches *watches, const struct epoll_event *event,
                           bool *broken) {
  struct om_watch *entry = watch_of(watches, event->data.fd);
  unsigned happened = ((event->events & (uint32_t)EPOLLIN) != 0 ? OM_WATCH_IN : 0) |
                      ((event->events & (uint32_t)EPOLLOUT) != 0 ? OM_WATCH_OUT : 0);
  *broken = (event->events & (uint32_t)(EPOLLERR | EPOLLHUP)) != 0;
  if (entry == NULL || entry->registered == 0) {
    *broken = false;
    return 0;
  }
  if ((happened & ~(unsigned)entry->wanted) != 0 || (entry->wanted == 0 && *broken)) {
    watch(watches, event->data.fd, entry, entry->wanted);
  }
  if (entry->wanted == 0) {
    *broken = false;
    return 0;
  }
  return happened;
}
