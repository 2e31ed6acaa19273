/* pending.h: one operation under way, as Lua sees it, and what a Lua state needs for all of them.
 *
 * A pending owns one reference to its job until it is collected; waiting twice gives the same
 * answer twice. No lock is held and no raw memory is unowned while Lua may raise: the pending
 * exists first.
 */
#ifndef OM_PENDING_H
#define OM_PENDING_H

#include "check.h"
#include "port.h"

/* One Lua state's share: made by the first luaopen, found as upvalue 1 of every function of ours.
 */
struct om_state {
  struct om_port *port; /* NULL before the first use and after the end */
  struct om_jobs home;  /* taken from the port, not yet reported */
  int tracked;     /* registry ref: table of luaL_ref, a job's `tracked` -> pending. Not keyed by
                    * the job: a hash that is full would be built anew at every send */
  int ready;       /* registry refs: the pendings for the next dispatch by place, held weakly, */
  int ready_held;  /* and those of them that nobody waited for yet, held */
  int ready_count; /* the last place */
  int ready_size;  /* with so many the places are given anew */
  bool ready_gaps; /* `ready_held` lacks some */
  bool collecting; /* somebody called fd or dispatch: fill `ready` */
  bool collecting_groups; /* with the pendings of groups too, which send_each made for itself */
  lua_Integer under_way;  /* tracked and not yet reported */
  struct om_pending *pendings; /* all that have a job, newest first */
  bool ended;                  /* the Lua state is closing: nothing begins any more */
  int answer;                  /* registry ref: what runs om_work.answer */
  int encode; /* registry refs: cjson's functions, codes.explain, hooks.report, … */
  int decode;
  int explain;
  int report;
  int webhooks; /* webhook.parse */
};

struct om_pending;

/* What can be done with a kind of job. answer pushes `value` or `nil, err, info` of a done job and
 * returns how many; `changes` is the stack index of what om_pending_keep kept, or of nil. */
struct om_work {
  const char *what; /* in sentences: "send" */
  enum om_submitted (*submit)(struct om_job *job);
  void (*cancel)(struct om_job *job);
  int (*answer)(lua_State *L, struct om_state *state, struct om_job *job, int changes);
};

struct om_state *om_state_of(lua_State *L); /* from upvalue 1 */

/* The state's port, made when there is none or when it was inherited over a fork. NULL: no memory,
 * or the Lua state has ended. */
struct om_port *om_state_port(struct om_state *state);

/* Pushes a pending that has no job yet. */
struct om_pending *om_pending_new(lua_State *L, struct om_state *state);
/* Keeps two values with the pending at index, 0 for either: `changes`, for its answer, and `group`,
 * a list with its length at [0], to which the pending is appended when it is done. */
void om_pending_keep(lua_State *L, int index, int changes, int group);
/* Gives the pending at index its job (it owns the caller's reference from here on, whatever
 * happens) and submits it. track: dispatch shall report it. Returns 0, or pushes `nil, err, info`
 * and returns 3. */
int om_pending_start(lua_State *L, struct om_state *state, int index, const struct om_work *work,
                     struct om_job *job, bool track);
/* Blocks until the pending at index is done; pushes its answer, returns the number of values.
 * deadline_us as om_port_wait's; past it, the answer is `nil, "timeout: …", info`. */
int om_pending_wait(lua_State *L, struct om_state *state, int index, int64_t deadline_us);

/* Blocks until the list at index (a group) is no longer empty, or the deadline passed. */
void om_pending_wait_group(lua_State *L, struct om_state *state, int index, int64_t deadline_us);

/* Takes home what is done, without waiting. Raises nothing but memory errors, and loses nothing;
 * runs no Lua. */
void om_pending_drain(lua_State *L, struct om_state *state);

/* The Lua state ends: pendings made by finalizers after this one's turn would keep their jobs. */
void om_pending_end(struct om_state *state);

/* Makes the metatable of pendings, and puts what send_each.lua and resty/onemsg need of them into
 * `core`. The state is on top of the stack, and stays there. */
void om_pending_open(lua_State *L, int core);

#endif
