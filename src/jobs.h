/* jobs.h: a list of jobs, oldest first. Any thread; whoever has the list has its jobs. append moves
 * the caller's reference into it, shift moves it out again (NULL: empty).
 */
#ifndef OM_JOBS_H
#define OM_JOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct om_port;
struct om_job;

struct om_job_type {
  const char *name;
  void (*destroy)(struct om_job *job); /* frees the job; on any thread, no lock held */
};

struct om_job {
  const struct om_job_type *type;
  struct om_port *port; /* counted; where the job goes when it is done */
  struct om_job *next;  /* belongs to whoever has the job in a list */
  int refs;             /* __atomic */
  bool done;            /* owner's thread only; set by om_port_take */
  int tracked;          /* owner's thread only: its place in the state's table, 0: none */
};

struct om_jobs {
  struct om_job *head;
  struct om_job **tail;
};

static inline void om_jobs_init(struct om_jobs *list) {
  list->head = NULL;
  list->tail = &list->head;
}

static inline void om_jobs_append(struct om_jobs *list, struct om_job *job) {
  job->next = NULL;
  *list->tail = job;
  list->tail = &job->next;
}

static inline struct om_job *om_jobs_shift(struct om_jobs *list) {
  struct om_job *job = list->head;
  if (job == NULL) {
    return NULL;
  }
  list->head = job->next;
  if (list->head == NULL) {
    list->tail = &list->head;
  }
  job->next = NULL;
  return job;
}

/* Moves all of `from` to the end of `to`. */
static inline void om_jobs_move(struct om_jobs *to, struct om_jobs *from) {
  if (from->head != NULL) {
    *to->tail = from->head;
    to->tail = from->tail;
    om_jobs_init(from);
  }
}

#endif
