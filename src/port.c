/* port.c: the mailbox of one Lua state (see port.h).
 *
 * The owner sleeps on a condition variable, or an event loop sleeps for it on a descriptor: an
 * eventfd, or one end of a Unix stream socket. Whoever delivers signals only when the mailbox was
 * empty, and only after the lock is released.
 */
#define _GNU_SOURCE /* struct ucred */
#include "port.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define DIRECTORY_TEMPLATE "/onemsg-XXXXXX"
#define SOCKET_NAME        "/port"

/* The socket of an event loop. A thread that is about to write to it holds it, so that its owner's
 * close can't make the number another file's; a copy of the descriptor would do the same, but there
 * may be none left. */
struct stream {
  int fd;
  int refs; /* __atomic */
};

struct om_port {
  pthread_mutex_t lock;
  pthread_cond_t arrived;
  struct om_jobs home;   /* lock */
  bool closed;           /* lock */
  bool waiting;          /* lock: the owner sleeps on `arrived` */
  int event_fd;          /* lock for change; -1: none */
  struct stream *stream; /* lock for change; NULL: none */
  int listen_fd;         /* owner */
  char path[OM_PORT_PATH_BYTES];
  pid_t pid;
  int refs; /* __atomic */
};

int64_t om_now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- the process ---- */

static pid_t known_pid; /* __atomic; 0: ask */

static void forget_pid(void) {
  __atomic_store_n(&known_pid, 0, __ATOMIC_RELAXED);
}

static void watch_forks(void) {
  pthread_atfork(NULL, NULL, forget_pid);
}

pid_t om_process(void) {
  static pthread_once_t watching = PTHREAD_ONCE_INIT;
  pid_t pid = __atomic_load_n(&known_pid, __ATOMIC_RELAXED);
  if (pid == 0) {
    pthread_once(&watching, watch_forks);
    pid = getpid();
    __atomic_store_n(&known_pid, pid, __ATOMIC_RELAXED);
  }
  return pid;
}

/* ---- jobs ---- */

void om_job_init(struct om_job *job, const struct om_job_type *type, struct om_port *port) {
  job->type = type;
  job->port = port;
  job->next = NULL;
  job->refs = 1;
  job->done = false;
  job->tracked = 0;
  om_port_hold(port);
}

void om_job_hold(struct om_job *job) {
  __atomic_add_fetch(&job->refs, 1, __ATOMIC_RELAXED);
}

void om_job_drop(struct om_job *job) {
  if (__atomic_sub_fetch(&job->refs, 1, __ATOMIC_ACQ_REL) == 0) {
    struct om_port *port = job->port;
    job->type->destroy(job);
    om_port_drop(port);
  }
}

/* ---- the port ---- */

struct om_port *om_port_new(void) {
  struct om_port *port = calloc(1, sizeof *port);
  if (port == NULL) {
    return NULL;
  }
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&port->arrived, &attributes);
  pthread_condattr_destroy(&attributes);
  pthread_mutex_init(&port->lock, NULL);
  om_jobs_init(&port->home);
  port->event_fd = port->listen_fd = -1;
  port->pid = om_process();
  port->refs = 1;
  return port;
}

void om_port_hold(struct om_port *port) {
  __atomic_add_fetch(&port->refs, 1, __ATOMIC_RELAXED);
}

void om_port_drop(struct om_port *port) {
  if (__atomic_sub_fetch(&port->refs, 1, __ATOMIC_ACQ_REL) != 0) {
    return;
  }
  if (port->event_fd >= 0) {
    close(port->event_fd);
  }
  pthread_mutex_destroy(&port->lock);
  pthread_cond_destroy(&port->arrived);
  free(port);
}

bool om_port_foreign(const struct om_port *port) {
  return port->pid != om_process();
}

void om_port_close(struct om_port *port) {
  struct om_jobs left;
  om_jobs_init(&left);
  om_port_hangup(port);
  if (om_port_foreign(port)) {
    return; /* the lock may be held by a thread that this process does not have */
  }
  pthread_mutex_lock(&port->lock);
  port->closed = true;
  om_jobs_move(&left, &port->home);
  pthread_mutex_unlock(&port->lock);
  for (struct om_job *job = om_jobs_shift(&left); job != NULL; job = om_jobs_shift(&left)) {
    om_job_drop(job);
  }
}

static void drop_stream(struct stream *stream) {
  if (stream != NULL && __atomic_sub_fetch(&stream->refs, 1, __ATOMIC_ACQ_REL) == 0) {
    close(stream->fd);
    free(stream);
  }
}

/* A full pipe or a peer that is gone needs no care: the owner takes all that is there whenever it
 * looks, and a byte that did not fit stands behind others that did. */
static void ring(int event_fd, const struct stream *stream) {
  if (event_fd >= 0) {
    uint64_t one = 1;
    ssize_t n = write(event_fd, &one, sizeof one);
    (void)n;
  }
  if (stream != NULL) {
    ssize_t n = send(stream->fd, "!", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)n;
  }
}

/* Sends home a list whose jobs all have the same port. */
static void deliver_to(struct om_port *port, struct om_jobs *list) {
  om_port_hold(port); /* the last job's reference may be the port's last, once the owner has it */
  int event_fd = -1;
  struct stream *stream = NULL;
  bool wake = false;
  pthread_mutex_lock(&port->lock);
  if (!port->closed) {
    bool was_empty = port->home.head == NULL;
    om_jobs_move(&port->home, list);
    wake = port->waiting;
    if (was_empty && port->event_fd >= 0) {
      event_fd = port->event_fd;
    }
    if (was_empty && port->stream != NULL) {
      stream = port->stream;
      __atomic_add_fetch(&stream->refs, 1, __ATOMIC_RELAXED);
    }
  }
  pthread_mutex_unlock(&port->lock);
  if (wake) {
    pthread_cond_signal(&port->arrived);
  }
  ring(event_fd, stream);
  drop_stream(stream);
  for (struct om_job *job = om_jobs_shift(list); job != NULL; job = om_jobs_shift(list)) {
    om_job_drop(job); /* nobody is at home */
  }
  om_port_drop(port);
}

void om_port_deliver(struct om_jobs *list) {
  while (list->head != NULL) {
    struct om_port *port = list->head->port;
    struct om_jobs same;
    struct om_jobs others;
    om_jobs_init(&same);
    om_jobs_init(&others);
    for (struct om_job *job = om_jobs_shift(list); job != NULL; job = om_jobs_shift(list)) {
      om_jobs_append(job->port == port ? &same : &others, job);
    }
    deliver_to(port, &same);
    om_jobs_move(list, &others);
  }
}

void om_port_take(struct om_port *port, struct om_jobs *list) {
  om_jobs_init(list);
  if (om_port_foreign(port)) {
    return;
  }
  pthread_mutex_lock(&port->lock);
  om_jobs_move(list, &port->home);
  pthread_mutex_unlock(&port->lock);
  if (port->event_fd >= 0) {
    /* A delivery between the unlock and this read would be read away unseen: look again. */
    uint64_t count;
    ssize_t n = read(port->event_fd, &count, sizeof count);
    (void)n;
    pthread_mutex_lock(&port->lock);
    om_jobs_move(list, &port->home);
    pthread_mutex_unlock(&port->lock);
  }
  for (struct om_job *job = list->head; job != NULL; job = job->next) {
    job->done = true;
  }
}

bool om_port_wait(struct om_port *port, int64_t deadline_us) {
  if (om_port_foreign(port)) {
    return false;
  }
  int error = 0;
  pthread_mutex_lock(&port->lock);
  port->waiting = true;
  while (port->home.head == NULL && error == 0) {
    if (deadline_us == INT64_MAX) {
      error = pthread_cond_wait(&port->arrived, &port->lock);
    } else {
      struct timespec until = {.tv_sec = (time_t)(deadline_us / 1000000),
                               .tv_nsec = (long)(deadline_us % 1000000) * 1000};
      error = pthread_cond_timedwait(&port->arrived, &port->lock, &until);
    }
  }
  port->waiting = false;
  bool something = port->home.head != NULL;
  pthread_mutex_unlock(&port->lock);
  return something;
}

int om_port_fd(struct om_port *port) {
  if (port->event_fd >= 0) {
    return port->event_fd;
  }
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) {
    return -1;
  }
  pthread_mutex_lock(&port->lock);
  port->event_fd = fd;
  bool pending = port->home.head != NULL;
  pthread_mutex_unlock(&port->lock);
  if (pending) {
    ring(fd, NULL);
  }
  return fd;
}

void om_port_ring(struct om_port *port) {
  ring(port->event_fd, port->stream);
}

/* ---- the stream socket ---- */

static void remove_path(struct om_port *port) {
  if (port->path[0] == '\0') {
    return;
  }
  if (!om_port_foreign(port)) {
    unlink(port->path);
    *strrchr(port->path, '/') = '\0';
    rmdir(port->path);
  }
  port->path[0] = '\0';
}

static int fail_listen(struct om_port *port) {
  int saved = errno;
  om_port_hangup(port);
  errno = saved;
  return -1;
}

/* A directory of our own, mode 0700, in TMPDIR or, where that can't be, in /tmp. */
static bool make_directory(char directory[OM_PORT_PATH_BYTES]) {
  const char *const roots[] = {getenv("TMPDIR"), "/tmp"};
  for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
    const char *root = roots[i];
    if (root != NULL && root[0] == '/' &&
        strlen(root) + sizeof DIRECTORY_TEMPLATE + sizeof SOCKET_NAME <= OM_PORT_PATH_BYTES) {
      snprintf(directory, OM_PORT_PATH_BYTES, "%s%s", root, DIRECTORY_TEMPLATE);
      if (mkdtemp(directory) != NULL) {
        return true;
      }
    }
  }
  return false;
}

int om_port_listen(struct om_port *port, char path[OM_PORT_PATH_BYTES]) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char directory[OM_PORT_PATH_BYTES];
  om_port_hangup(port);
  if (!make_directory(directory)) {
    return -1;
  }
  snprintf(port->path, sizeof port->path, "%.*s%s", (int)(sizeof port->path - sizeof SOCKET_NAME),
           directory, SOCKET_NAME);
  memcpy(address.sun_path, port->path, sizeof address.sun_path);
  port->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (port->listen_fd < 0 ||
      bind(port->listen_fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
      listen(port->listen_fd, 4) != 0) {
    return fail_listen(port);
  }
  memcpy(path, port->path, OM_PORT_PATH_BYTES);
  return 0;
}

int om_port_accept(struct om_port *port) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  int fd = accept4(port->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) {
    return -1;
  }
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid != getpid()) {
    close(fd);
    errno = EPERM;
    return -1;
  }
  struct stream *stream = malloc(sizeof *stream);
  if (stream == NULL) {
    close(fd);
    errno = ENOMEM;
    return -1;
  }
  *stream = (struct stream){.fd = fd, .refs = 1};
  close(port->listen_fd);
  port->listen_fd = -1;
  remove_path(port);
  pthread_mutex_lock(&port->lock);
  port->stream = stream;
  bool pending = port->home.head != NULL;
  pthread_mutex_unlock(&port->lock);
  if (pending) {
    ring(-1, stream);
  }
  return 0;
}

void om_port_hangup(struct om_port *port) {
  struct stream *stream = port->stream;
  if (port->listen_fd >= 0) {
    close(port->listen_fd);
    port->listen_fd = -1;
  }
  remove_path(port);
  if (stream != NULL && om_port_foreign(port)) {
    port->stream = NULL; /* the lock may be held by a thread that this process does not have, */
    close(stream->fd);   /* and so may the stream */
  } else if (stream != NULL) {
    pthread_mutex_lock(&port->lock);
    port->stream = NULL;
    pthread_mutex_unlock(&port->lock);
    drop_stream(stream);
  }
}
