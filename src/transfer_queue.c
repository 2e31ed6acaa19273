/* transfer_queue.c: see transfer_queue.h. */
#include "transfer_queue.h"

#include <stdlib.h>
#include <string.h>

#define OWNERS_FIRST 64

void om_queue_init(struct om_queue *queue, int carried_max, int share, int streams) {
  queue->carried_max = carried_max;
  queue->share = share;
  queue->streams = streams;
}

void om_queue_close(struct om_queue *queue) {
  free(queue->owners);
}

/* ---- hosts ---- */

struct om_host *om_queue_find(const struct om_queue *queue, const char *peer) {
  struct om_host *host = queue->turn;
  for (int i = 0; i < queue->hosts; i++, host = host->next) {
    if (strcmp(host->peer, peer) == 0) {
      return host;
    }
  }
  return NULL;
}

struct om_host *om_queue_add(struct om_queue *queue, const char *peer) {
  struct om_host *host = calloc(1, sizeof *host);
  size_t size = strlen(peer) + 1;
  if (host == NULL) {
    return NULL;
  }
  host->peer = malloc(size);
  if (host->peer == NULL) {
    free(host);
    return NULL;
  }
  memcpy(host->peer, peer, size);
  om_jobs_init(&host->waiting);
  host->timer_us = INT64_MAX;
  if (queue->turn == NULL) {
    queue->turn = host;
    host->next = host;
  } else {
    host->next = queue->turn->next;
    queue->turn->next = host;
  }
  queue->hosts++;
  return host;
}

void om_queue_remove(struct om_queue *queue, struct om_host *host) {
  struct om_host *before = host;
  while (before->next != host) {
    before = before->next;
  }
  before->next = host->next;
  if (queue->turn == host) {
    queue->turn = host->next != host ? host->next : NULL;
  }
  queue->hosts--;
  for (size_t fd = 0; fd < queue->owners_size; fd++) {
    if (queue->owners[fd] == host) {
      queue->owners[fd] = NULL;
    }
  }
  free(host->peer);
  free(host);
}

struct om_host *om_queue_spare(const struct om_queue *queue) {
  struct om_host *oldest = NULL;
  struct om_host *host = queue->turn;
  int idle = 0;
  for (int i = 0; i < queue->hosts; i++, host = host->next) {
    if (host->carried == 0 && host->waiting.head == NULL) {
      idle++;
      oldest = oldest == NULL || host->used < oldest->used ? host : oldest;
    }
  }
  return idle > OM_HOSTS_KEPT ? oldest : NULL;
}

/* ---- transfers ---- */

/* How many transfers of a host libcurl may have. Over HTTP/2 only the server knows how many streams
 * it allows; the others wait in this host's libcurl, where they are in nobody else's way. */
static int room_of(const struct om_queue *queue, const struct om_host *host) {
  long room = host->connections;
  if (host->speaks == OM_SPEAKS_HTTP2) {
    room = queue->carried_max;
  } else if (host->speaks == OM_SPEAKS_UNKNOWN && host->may_multiplex && room < queue->streams) {
    room = queue->streams;
  }
  return room < queue->carried_max ? (int)room : queue->carried_max;
}

static bool may_begin(const struct om_queue *queue, const struct om_host *host) {
  return host->waiting.head != NULL && host->carried < room_of(queue, host) &&
         (queue->carried < queue->carried_max || host->carried < queue->share);
}

void om_queue_put(struct om_queue *queue, struct om_host *host, struct om_job *job) {
  host->used = ++queue->used;
  om_jobs_append(&host->waiting, job);
}

struct om_job *om_queue_take(struct om_queue *queue) {
  for (int i = 0; i < queue->hosts; i++) {
    struct om_host *host = queue->turn;
    queue->turn = host->next;
    if (may_begin(queue, host)) {
      return om_jobs_shift(&host->waiting);
    }
  }
  return NULL;
}

bool om_queue_may_take(const struct om_queue *queue) {
  const struct om_host *host = queue->turn;
  for (int i = 0; i < queue->hosts; i++, host = host->next) {
    if (may_begin(queue, host)) {
      return true;
    }
  }
  return false;
}

void om_queue_began(struct om_queue *queue, struct om_host *host) {
  queue->carried++;
  host->carried++;
}

void om_queue_ended(struct om_queue *queue, struct om_host *host) {
  queue->carried--;
  host->carried--;
}

/* ---- descriptors ---- */

bool om_queue_own(struct om_queue *queue, int fd, struct om_host *host) {
  size_t index = (size_t)fd;
  if (index >= queue->owners_size) {
    size_t room = queue->owners_size != 0 ? queue->owners_size : OWNERS_FIRST;
    while (room <= index) {
      room *= 2;
    }
    struct om_host **grown = realloc(queue->owners, room * sizeof *grown);
    if (grown == NULL) {
      return false;
    }
    for (size_t i = queue->owners_size; i < room; i++) {
      grown[i] = NULL;
    }
    queue->owners = grown;
    queue->owners_size = room;
  }
  queue->owners[index] = host;
  return true;
}

struct om_host *om_queue_owner(const struct om_queue *queue, int fd) {
  return (size_t)fd < queue->owners_size ? queue->owners[fd] : NULL;
}
