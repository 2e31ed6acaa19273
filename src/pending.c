/* pending.c: see pending.h. In nginx, resty/onemsg replaces `wait` by one that yields; everything
 * else here returns at once there as well. */
#include "pending.h"

#include "ready.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define PENDING "onemsg.pending"

/* With so many calls of whom nothing was heard, each UNREAD_STEPth looks what came home. */
#define UNREAD_MAX  1024
#define UNREAD_STEP 64

enum { KEEPS_CHANGES = 1, KEEPS_GROUP = 2 };

struct om_pending {
  int ready_place;    /* first: see ready.h */
  struct om_job *job; /* NULL: not started */
  const struct om_work *work;
  struct om_pending *next;  /* of the state's pendings that have a job */
  struct om_pending **link; /* to this one */
  int keeps;
  lua_Integer place; /* core.place */
};

struct om_state *om_state_of(lua_State *L) {
  return (struct om_state *)lua_touserdata(L, lua_upvalueindex(1));
}

struct om_port *om_state_port(struct om_state *state) {
  if (state->port != NULL && om_port_foreign(state->port)) {
    om_port_close(state->port); /* its jobs are the parent's: they never come home here */
    om_port_drop(state->port);
    state->port = NULL;
    state->under_way = 0;
  }
  if (state->port == NULL && !state->ended) {
    state->port = om_port_new();
  }
  return state->port;
}

static struct om_pending *check_pending(lua_State *L) {
  return (struct om_pending *)luaL_checkudata(L, 1, PENDING);
}

struct om_pending *om_pending_new(lua_State *L, struct om_state *state) {
  om_ready_pack(L, state);
  struct om_pending *pending = (struct om_pending *)lua_newuserdatauv(L, sizeof *pending, 1);
  memset(pending, 0, sizeof *pending);
  luaL_getmetatable(L, PENDING);
  lua_setmetatable(L, -2);
  return pending;
}

void om_pending_keep(lua_State *L, int index, int changes, int group) {
  struct om_pending *pending = (struct om_pending *)lua_touserdata(L, index);
  index = lua_absindex(L, index);
  if (changes != 0 && group != 0) {
    lua_createtable(L, 2, 0);
    lua_pushvalue(L, changes);
    lua_rawseti(L, -2, 1);
    lua_pushvalue(L, group);
    lua_rawseti(L, -2, 2);
  } else if (changes != 0 || group != 0) {
    lua_pushvalue(L, changes != 0 ? changes : group);
  } else {
    return;
  }
  lua_setuservalue(L, index);
  pending->keeps = (changes != 0 ? KEEPS_CHANGES : 0) | (group != 0 ? KEEPS_GROUP : 0);
}

/* Pushes what om_pending_keep kept, or nil. */
static void push_kept(lua_State *L, int index, const struct om_pending *pending, int which) {
  if ((pending->keeps & which) == 0) {
    lua_pushnil(L);
    return;
  }
  lua_getuservalue(L, index);
  if (pending->keeps != which) {
    lua_rawgeti(L, -1, which);
    lua_remove(L, -2);
  }
}

/* Appends the value on top of the stack to the list below it, whose length stands at [0]. Pops it.
 */
static void append(lua_State *L) {
  lua_rawgeti(L, -2, 0);
  int count = (int)lua_tointeger(L, -1) + 1;
  lua_pop(L, 1);
  lua_rawseti(L, -2, count);
  lua_pushinteger(L, count);
  lua_rawseti(L, -2, 0);
}

/* ---- coming home ---- */

/* Takes the job out of the table at index. */
static void forget(lua_State *L, int index, struct om_job *job) {
  luaL_unref(L, index, job->tracked);
  job->tracked = 0;
}

/* A tracked job is done: its pending goes to its group and to the next dispatch. */
static void report(lua_State *L, struct om_state *state, struct om_job *job) {
  if (job->tracked == 0) {
    return;
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, state->tracked);
  lua_rawgeti(L, -1, job->tracked);
  struct om_pending *pending = (struct om_pending *)lua_touserdata(L, -1);
  if (pending != NULL) {
    int index = lua_gettop(L);
    if ((pending->keeps & KEEPS_GROUP) != 0) {
      push_kept(L, index, pending, KEEPS_GROUP);
      lua_pushvalue(L, index);
      append(L);
      lua_pop(L, 1);
    }
    if (state->collecting && (state->collecting_groups || (pending->keeps & KEEPS_GROUP) == 0)) {
      om_ready_put(L, state, index);
    }
    forget(L, index - 1, job);
    state->under_way--;
  }
  lua_pop(L, 2);
}

void om_pending_drain(lua_State *L, struct om_state *state) {
  struct om_jobs fresh;
  if (state->port == NULL) {
    return;
  }
  luaL_checkstack(L, 12, NULL);
  om_port_take(state->port, &fresh);
  om_jobs_move(&state->home, &fresh);
  while (state->home.head != NULL) {
    report(L, state, state->home.head);
    om_job_drop(om_jobs_shift(&state->home)); /* the engine's reference; the pending has its own */
  }
}

/* The event loop sleeps on a descriptor that a drain outside dispatch has emptied. */
static void keep_readable(struct om_state *state) {
  if (state->collecting && state->ready_count > 0 && state->port != NULL) {
    om_port_ring(state->port);
  }
}

/* The pending owns the job from here on. */
static void own(struct om_state *state, struct om_pending *pending, struct om_job *job) {
  pending->job = job;
  pending->next = state->pendings;
  pending->link = &state->pendings;
  if (pending->next != NULL) {
    pending->next->link = &pending->next;
  }
  state->pendings = pending;
}

static void disown(struct om_pending *pending) {
  struct om_job *job = pending->job;
  if (job == NULL) {
    return;
  }
  pending->job = NULL;
  *pending->link = pending->next;
  if (pending->next != NULL) {
    pending->next->link = pending->link;
  }
  om_job_drop(job);
}

void om_pending_end(struct om_state *state) {
  state->ended = true;
  while (state->pendings != NULL) {
    disown(state->pendings);
  }
}

static int fail_submit(lua_State *L, const struct om_work *work, enum om_submitted why, int error) {
  switch (why) {
  case OM_SUBMIT_FULL:
    return om_fail(L, "not_sent", NULL,
                   "the queue is full; wait for some of the calls in flight before this %s",
                   work->what);
  case OM_SUBMIT_STOPPED:
    return om_fail(L, "closed", "not_sent", "the process is ending; this %s was not begun",
                   work->what);
  default:
    return om_fail(L, "not_sent", NULL, "no thread could be started for this %s: %s", work->what,
                   strerror(error));
  }
}

int om_pending_start(lua_State *L, struct om_state *state, int index, const struct om_work *work,
                     struct om_job *job, bool track) {
  struct om_pending *pending = (struct om_pending *)lua_touserdata(L, index);
  index = lua_absindex(L, index);
  pending->work = work;
  own(state, pending, job);
  if (track && state->under_way >= UNREAD_MAX && state->under_way % UNREAD_STEP == 0) {
    om_pending_drain(L, state); /* what nobody ever asks for goes here */
    keep_readable(state);
  }
  if (track) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->tracked);
    lua_pushvalue(L, index);
    job->tracked = luaL_ref(L, -2);
    lua_pop(L, 1);
  }
  om_job_hold(job);
  enum om_submitted submitted = work->submit(job);
  if (submitted == OM_SUBMITTED) {
    state->under_way += track ? 1 : 0;
    return 0;
  }
  int error = errno;
  om_job_drop(job);
  if (track) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->tracked);
    forget(L, -1, job);
    lua_pop(L, 1);
  }
  return fail_submit(L, work, submitted, error);
}

struct answering {
  const struct om_work *work;
  struct om_job *job;
};

/* answer(answering, changes), in protected mode. */
static int run_answer(lua_State *L) {
  const struct answering *it = (const struct answering *)lua_touserdata(L, 1);
  return it->work->answer(L, om_state_of(L), it->job, 2);
}

/* The job is held meanwhile: Lua runs, and with it the pending's own finalizer may, even though it
 * stands on the stack (a finalizer of its owner's may wait for it). */
static int push_answer(lua_State *L, struct om_state *state, int index) {
  const struct om_pending *pending = (const struct om_pending *)lua_touserdata(L, index);
  struct answering it = {pending->work, pending->job};
  int top = lua_gettop(L);
  luaL_checkstack(L, 4, NULL);
  lua_rawgeti(L, LUA_REGISTRYINDEX, state->answer);
  lua_pushlightuserdata(L, &it);
  push_kept(L, index, pending, KEEPS_CHANGES);
  om_job_hold(it.job);
  int failed = lua_pcall(L, 2, LUA_MULTRET, 0);
  om_job_drop(it.job);
  return failed != 0 ? lua_error(L) : lua_gettop(L) - top;
}

int om_pending_wait(lua_State *L, struct om_state *state, int index, int64_t deadline_us) {
  const struct om_pending *pending = (const struct om_pending *)lua_touserdata(L, index);
  struct om_job *job = pending->job;
  index = lua_absindex(L, index);
  if (job == NULL) {
    return om_fail(L, "closed", "unknown", "this pending was collected, and its answer with it");
  }
  while (!job->done) {
    if (om_port_foreign(job->port)) {
      return om_fail(L, "closed", "unknown",
                     "this %s belongs to the process that began it; wait for it there",
                     pending->work->what);
    }
    if (state->port == NULL) {
      return om_fail(L, "closed", "unknown", "the Lua state is ending");
    }
    if (!om_port_wait(state->port, deadline_us)) {
      return om_fail(L, "timeout", "pending", "the %s is still under way; wait again, or cancel it",
                     pending->work->what);
    }
    om_pending_drain(L, state);
  }
  om_ready_let_go(L, state, index);
  keep_readable(state);
  return push_answer(L, state, index);
}

void om_pending_wait_group(lua_State *L, struct om_state *state, int index, int64_t deadline_us) {
  index = lua_absindex(L, index);
  om_pending_drain(L, state);
  for (;;) {
    lua_rawgeti(L, index, 0);
    lua_Integer count = lua_tointeger(L, -1);
    lua_pop(L, 1);
    if (count > 0 || state->port == NULL || !om_port_wait(state->port, deadline_us)) {
      keep_readable(state);
      return;
    }
    om_pending_drain(L, state);
  }
}

/* ---- methods ---- */

static int64_t deadline_of(lua_State *L, int index) {
  if (lua_isnoneornil(L, index)) {
    return INT64_MAX;
  }
  return om_now_us() + (int64_t)ceil(om_check_seconds(L, index, "the time to wait", 0) * 1e6);
}

/* pending:ready() -> boolean: true when wait would return at once. */
static int pending_ready(lua_State *L) {
  struct om_state *state = om_state_of(L);
  const struct om_pending *pending = check_pending(L);
  om_pending_drain(L, state);
  keep_readable(state);
  lua_pushboolean(L, pending->job != NULL && pending->job->done);
  return 1;
}

/* pending:wait([seconds]) -> what the operation returns, or nil, "timeout: …", info. */
static int pending_wait(lua_State *L) {
  check_pending(L);
  return om_pending_wait(L, om_state_of(L), 1, deadline_of(L, 2));
}

/* pending:cancel() -> boolean: false when it had already ended. What was handed to the network by
 * then stays `unknown`; wait tells. */
static int pending_cancel(lua_State *L) {
  struct om_pending *pending = check_pending(L);
  om_pending_drain(L, om_state_of(L));
  keep_readable(om_state_of(L));
  bool under_way =
      pending->job != NULL && !pending->job->done && !om_port_foreign(pending->job->port);
  if (under_way) {
    pending->work->cancel(pending->job);
  }
  lua_pushboolean(L, under_way);
  return 1;
}

static int pending_gc(lua_State *L) {
  disown(check_pending(L));
  return 0;
}

static int pending_tostring(lua_State *L) {
  const struct om_pending *pending = check_pending(L);
  bool done = pending->job != NULL && pending->job->done;
  lua_pushfstring(L, "onemsg.pending (%s, %s)",
                  pending->work != NULL ? pending->work->what : "empty",
                  done ? "ready" : "under way");
  return 1;
}

/* ---- groups, for send_each.lua ---- */

/* core.group(pending) -> the group it was made for, or nil. */
static int core_group(lua_State *L) {
  push_kept(L, 1, check_pending(L), KEEPS_GROUP);
  return 1;
}

/* core.place(pending, place) notes a whole number with the pending, core.place(pending) reads it.
 */
static int core_place(lua_State *L) {
  struct om_pending *pending = check_pending(L);
  if (lua_isnoneornil(L, 2)) {
    lua_pushinteger(L, pending->place);
    return 1;
  }
  pending->place = lua_tointeger(L, 2);
  return 0;
}

/* core.wait_group(group [, seconds]): see om_pending_wait_group. */
static int core_wait_group(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  om_pending_wait_group(L, om_state_of(L), 1, deadline_of(L, 2));
  return 0;
}

void om_pending_open(lua_State *L, int core) {
  static const luaL_Reg methods[] = {
      {"ready", pending_ready}, {"wait", pending_wait}, {"cancel", pending_cancel}, {NULL, NULL}};
  static const luaL_Reg meta[] = {
      {"__gc", pending_gc}, {"__tostring", pending_tostring}, {NULL, NULL}};
  static const luaL_Reg inner[] = {
      {"group", core_group}, {"place", core_place}, {"wait_group", core_wait_group}, {NULL, NULL}};
  static const struct om_class class = {PENDING, "pending", meta, methods, inner};
  struct om_state *state = (struct om_state *)lua_touserdata(L, -1);
  om_class_open(L, &class, core);
  if (state->answer == 0) {
    lua_pushvalue(L, -1);
    lua_pushcclosure(L, run_answer, 1);
    state->answer = luaL_ref(L, LUA_REGISTRYINDEX);
  }
}
