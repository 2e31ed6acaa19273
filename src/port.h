/* port.h: the mailbox of one Lua state, and the jobs that come home to it.
 *
 * A job is work that a thread of ours does for a Lua state: a transfer or a unit of SQL. The
 * state's thread (the "owner") makes it, hands it to an engine thread, and finds it back in its
 * port when it is done. Nothing here knows Lua, curl or SQL.
 *
 * Ownership: a job is counted. The owner side (a pending) holds one reference, the engine another,
 * which travels with the job: queue -> thread -> port -> owner. Whoever drops the last one frees
 * it. Locks: one mutex a port, held for a few pointer moves only; no call-out, no I/O under it.
 */
#ifndef OM_PORT_H
#define OM_PORT_H

#include "jobs.h"

#include <sys/types.h>

/* sun_path holds 108 bytes with its NUL; see unix(7). */
#define OM_PORT_PATH_BYTES 108

/* What an engine says to a job. */
enum om_submitted {
  OM_SUBMITTED = 0,
  OM_SUBMIT_FULL,    /* the engine's queue is at its bound */
  OM_SUBMIT_STOPPED, /* the process is ending, or the handle was closed */
  OM_SUBMIT_FAILED   /* no thread or no memory: errno says which */
};

/* Owner. Fills the head of a zeroed job with one reference, the caller's; holds the port. */
void om_job_init(struct om_job *job, const struct om_job_type *type, struct om_port *port);
/* Any thread. */
void om_job_hold(struct om_job *job);
void om_job_drop(struct om_job *job);

/* Owner. A port with one reference, or NULL: no memory. */
struct om_port *om_port_new(void);
/* Any thread. */
void om_port_hold(struct om_port *port);
void om_port_drop(struct om_port *port);
/* Owner, once, when its Lua state ends: what comes home from now on is dropped. Does not wait. */
void om_port_close(struct om_port *port);
/* Owner: was the port made by another process (we are in a forked child)? */
bool om_port_foreign(const struct om_port *port);

/* An engine's thread: sends each job of the list home, and the list's references with them. */
void om_port_deliver(struct om_jobs *list);

/* Owner: all that came home, oldest first, marked done; the caller owns the references.
 * Empties the readable descriptor. Never waits. */
void om_port_take(struct om_port *port, struct om_jobs *list);
/* Owner: waits until something is there to take. deadline_us: om_now_us() time, or INT64_MAX.
 * False: the deadline passed. */
bool om_port_wait(struct om_port *port, int64_t deadline_us);

/* Owner: a descriptor that is readable while something is there to take; made at the first call,
 * closed with the port. -1 and errno: it could not be made. */
int om_port_fd(struct om_port *port);
/* Owner: makes descriptor or socket speak up once more, for what was taken but not yet looked at.
 */
void om_port_ring(struct om_port *port);

/* Owner: for event loops that can only read a stream socket (nginx). listen makes a private
 * directory and a listening Unix socket in it and writes its path; accept takes one connection of
 * this very process, removes the path, and from then on one byte arrives there whenever the port
 * stops being empty. Both: 0, or -1 and errno. accept says EAGAIN while nobody has connected. */
int om_port_listen(struct om_port *port, char path[OM_PORT_PATH_BYTES]);
int om_port_accept(struct om_port *port);
/* Owner: closes listener, connection and path, if any. Safe to repeat. */
void om_port_hangup(struct om_port *port);

/* getpid() without the system call, of which a send would make four; right after every fork(). */
pid_t om_process(void);

/* Monotonic time in microseconds. */
int64_t om_now_us(void);

#endif
